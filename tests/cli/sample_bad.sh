#!/bin/sh
# Bad input: one clear error with the right status, nothing half-written.
. "$(dirname "$0")/lib.sh"

copy() { rm -rf m; mkdir m; cp -r "$model"/. m/; chmod -R u+w m; }
try() { # STATUS what : runs on ./m
    expect "$1" "$2" "$dit" -m m --prompt "red apple" --seed 1 --steps 2 -o bad.png
    absent "$2: no picture" bad.png
}

expect 2 "no arguments" "$dit"
expect 2 "unknown option" "$dit" --promt x
says "suggests the nearest" "--prompt"
expect 2 "steps out of range" "$dit" -m "$model" --prompt x --steps 0 -o x.png
expect 2 "steps not a number" "$dit" -m "$model" --prompt x --steps 2x -o x.png
expect 2 "two sources" "$dit" -m "$model" --prompt x --prompts y -o x.png
expect 2 "size no multiple" "$dit" -m "$model" --prompt x --size 60x64 -o x.png
says "names the multiple" "multiple of 8"
expect 2 "a class for a text model" "$dit" -m "$model" --class 3 -o x.png
expect 2 "several images, one path" "$dit" -m "$model" --prompt x --count 2 -o x.png
expect 2 "pattern writes one path twice" "$dit" -m "$model" --prompt x --count 2 -o 'x-%n.png'
expect 2 "unknown escape" "$dit" -m "$model" --prompt x -o 'x-%z.png'
expect 1 "missing directory" "$dit" -m "$model" --prompt x -o no/such/x.png
expect 4 "no GPU in this build" "$dit" -m "$model" --prompt x --device cuda -o x.png
expect 3 "no model directory" "$dit" -m nowhere --prompt x -o x.png
expect 3 "invalid UTF-8" "$dit" -m "$model" --prompt "$(printf 'a\377b')" -o x.png
absent "no picture of any of them" x.png

expect 0 "an empty prompt" "$dit" -m "$model" --prompt "" --seed 1 --steps 2 -o empty.png
expect 0 "a Chinese prompt" "$dit" -m "$model" --prompt "红苹果" --seed 1 --steps 2 -o chinese.png
expect 0 "its settings are read back" "$dit" --replay chinese.png -o chinese2.png
same "and give the same bytes" chinese.png chinese2.png
head -c 1000000 /dev/zero | tr '\0' 'a' | sed 's/aaaa/red /g' >long.txt
expect 0 "10^6 characters" "$dit" -m "$model" --prompts long.txt --seed 1 --steps 2 -o long.png
says "are cut with the limit named" "limit of 120"

copy; head -c 100000 "$model/vae/diffusion_pytorch_model.safetensors" >m/vae/diffusion_pytorch_model.safetensors
try 3 "truncated safetensors"
says "named" "vae/diffusion_pytorch_model.safetensors"
copy; rm -r m/vae; try 3 "missing component"; says "named" '"vae"'
copy; rm m/transformer/*.safetensors; try 3 "missing weights"; says "named" "transformer"
copy; printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7921824\n' >m/transformer/diffusion_pytorch_model.safetensors
try 3 "LFS pointer"; says "named" "LFS"
copy; echo '{' >m/vae/config.json; try 3 "corrupt config"; says "named" "vae/config.json"
copy; sed -i 's/"PixArtTransformer2DModel"/"FluxTransformer2DModel"/' m/transformer/config.json
try 4 "unknown class"; says "named" "FluxTransformer2DModel"
copy; sed -i 's/"num_layers": 6/"num_layers": 7/' m/transformer/config.json
try 3 "missing tensors"
says "the first is named" "transformer_blocks.6.attn1.to_q.weight"
says "the last is named" "transformer_blocks.6.scale_shift_table"
copy; sed -i 's/"caption_channels": 192/"caption_channels": 200/' m/transformer/config.json
try 3 "wrong shape"; says "both shapes" "[192, 200]"
copy; head -c 1000 "$model/tokenizer/spiece.model" >m/tokenizer/spiece.model; try 3 "corrupt spiece.model"
says "named" "tokenizer/spiece.model"
copy; sed -i 's/"DPMSolverMultistepScheduler"/"PNDMScheduler"/' m/scheduler/scheduler_config.json
try 4 "unknown scheduler"; says "named" "PNDMScheduler"
copy; sed -i 's/"linear"/"circular"/' m/scheduler/scheduler_config.json; try 4 "unknown beta schedule"; says "named" "circular"

# The legal oddities.
copy; sed -i 's/"norm_eps": 1e-06,/"norm_eps": 1e-06, "double_self_attention": false, "num_vector_embeds": null,/; s/"PixArtTransformer2DModel"/"Transformer2DModel"/; s/"interpolation_scale": 1,/"interpolation_scale": null,/' m/transformer/config.json
expect 0 "first-release class with null and obsolete keys" "$dit" -m m --prompt "red apple" --seed 1 --steps 2 -o old.png
expect 0 "the usual directory" "$dit" -m "$model" --prompt "red apple" --seed 1 --steps 2 --latent-out usual.safetensors
expect 0 "as latents" "$dit" -m m --prompt "red apple" --seed 1 --steps 2 --latent-out old.safetensors
same "gives the same latents" usual.safetensors old.safetensors

# Replay with another model.
expect 0 "a picture" "$dit" -m "$model" --prompt "red apple" --seed 1 --steps 2 -o mine.png
copy; sed -i 's/"norm_eps": 1e-06/"norm_eps": 1e-05/' m/transformer/config.json
expect 5 "replay with another model" "$dit" --replay mine.png -m m -o other.png
absent "paints nothing" other.png
expect 3 "replay of a foreign picture" "$dit" --replay "$DK_ROOT/tests/data/emoji/full_0.png" -o other.png

# Interrupt: status 130, nothing left.
expect 130 "SIGINT ends with 130" timeout -s INT --preserve-status 1 \
    "$dit" -m "$model" --prompt x --seed 1 --steps 900 --count 50 -o 'int-%i.png' --sheet int.png
absent "no picture" int.png
clean "no temporary files are left"
finish
