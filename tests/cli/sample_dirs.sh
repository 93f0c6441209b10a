#!/bin/sh
# Model directories as people have them: legal ones give the latents of the plain directory, broken
# ones one clear error, with the component's file and the tensor named.
. "$(dirname "$0")/lib.sh"

edit=$DK_ROOT/build/$DK_VARIANT/tests/st_edit
text=text_encoder/model.safetensors
transformer=transformer/diffusion_pytorch_model.safetensors
vae=vae/diffusion_pytorch_model.safetensors

copy() { rm -rf m; mkdir m; cp -r "$model"/. m/; chmod -R u+w m; }
edited() { # VERB FILE ARGUMENTS : the edited copy of a file of ./m in its place
    verb=$1
    file=$2
    shift 2
    "$edit" "$verb" "m/$file" edited "$@" || fail "st_edit $verb $file"
    mv edited "m/$file"
}
paint() { # STATUS what DIR OPTIONS : latents and picture
    rm -f x.png x.safetensors
    status=$1
    what=$2
    dir=$3
    shift 3
    expect "$status" "$what" "$dit" -m "$dir" --prompt "red apple" --seed 1 --steps 1 -o x.png \
        --latent-out x.safetensors "$@"
}
good() { # what DIR OPTIONS : works, with the same latents
    paint 0 "$@"
    same "$1: the same latents" plain.safetensors x.safetensors
}
bad() { # STATUS what TEXT OPTIONS : fails on ./m, says TEXT and leaves nothing
    status=$1
    what=$2
    words=$3
    shift 3
    paint "$status" "$what" m "$@"
    says "$what: named" "$words"
    absent "$what: no picture" x.png
    absent "$what: no latents" x.safetensors
}
lfs() { printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7921824\n' >"m/$1"; }

paint 0 "the plain directory" "$model"
mv x.safetensors plain.safetensors
mv x.png plain.png

# The hub's cache.
hub=hub/models--someone--emoji
mkdir -p "$hub/blobs" "$hub/refs" "$hub/snapshots/0123abc"
printf 0123abc >"$hub/refs/main"
(cd "$model" && find . -type f) | while read -r file; do
    blob=$(echo "$file" | tr -c 'a-z0-9\n' _)
    cp "$model/$file" "$hub/blobs/$blob"
    mkdir -p "$hub/snapshots/0123abc/$(dirname "$file")"
    ln -s "$PWD/$hub/blobs/$blob" "$hub/snapshots/0123abc/$file"
done
good "the hub's cache" "$hub"
good "its snapshot" "$hub/snapshots/0123abc"
rm "$hub"/blobs/*vae_diffusion*
paint 3 "a link to a blob that is not there" "$hub"
says "named" "$vae"
printf fff >"$hub/refs/main"
paint 3 "a snapshot that is not there" "$hub"
says "named" '"fff"'

# Variants.
copy
for file in $text $transformer $vae; do
    "$edit" convert "m/$file" "m/${file%.safetensors}.fp16.safetensors" F16
    "$edit" convert "m/$file" edited F32
    mv edited "m/$file"
done
good "f32 beside fp16" m
good "--variant fp16" m --variant fp16
bad 3 "a variant that is not there" "model.bf16.safetensors" --variant bf16
rm "m/$text" "m/$transformer" "m/$vae"
good "the only variant needs no option" m
cp "m/${vae%.safetensors}.fp16.safetensors" "m/${vae%.safetensors}.bf16.safetensors"
bad 3 "two variants and no choice" "choose with --variant"

# LFS pointers.
for file in $text $transformer $vae tokenizer/spiece.model; do
    copy
    lfs "$file"
    bad 3 "an LFS pointer" "$file: is a git-LFS pointer"
done

# Types of storage, mixed between components.
copy
edited convert "$text" F32
edited convert "$transformer" F64
edited convert "$vae" BF16
good "f32, f64 and bf16" m
edited convert "$transformer" BF16
paint 0 "a bf16 transformer" m

# Old and other names.
copy
edited rename "$vae" to_q. query.
edited rename "$vae" to_k. key.
edited rename "$vae" to_v. value.
edited rename "$vae" to_out.0. proj_attn.
good "old attention names in the VAE" m
expect 0 "its picture is the plain one's" "$DK_ROOT/build/$DK_VARIANT/tests/png_compare" plain.png x.png
copy
edited rename "$text" shared.weight encoder.embed_tokens.weight
good "the tied embedding under its other name" m
copy
edited add "$text" encoder.embed_tokens.weight
good "under both" m
copy
edited drop "$text" shared.weight
bad 3 "under neither" "shared.weight"
copy
edited add "$transformer" one.more
good "an extra tensor" m
says "warned about" "transformer: 1 tensor is not used: one.more"

# Shards.
copy
for file in $text $transformer $vae; do
    rm "m/$file"
    "$edit" shard "$model/$file" "m/${file%.safetensors}" 3
done
good "shards" m
part=m/${transformer%.safetensors}-00002-of-00003.safetensors
second=adaln_single.emb.timestep_embedder.linear_1.weight # the second in order of data
mv "$part" part
bad 3 "a missing shard" "diffusion_pytorch_model-00002-of-00003.safetensors"
"$edit" drop part "$part" "$second"
bad 3 "a shard without its tensor" "\"$second\" (diffusion_pytorch_model-00002"
rm "m/$transformer.index.json"
bad 3 "shards without their index" "transformer: shards without their index"

# Headers.
for spaces in 0 1 3 6 1000; do
    copy
    for file in $text $transformer $vae; do edited pad "$file" "$spaces"; done
    good "a header padded by $spaces" m
done

# Tokenizers.
copy
lfs tokenizer/tokenizer.json
good "spiece.model goes before tokenizer.json" m
copy
rm m/tokenizer/*
bad 3 "no tokenizer" "tokenizer: no tokenizer"
copy
echo '{"<photo>": 1500}' >m/tokenizer/added_tokens.json
good "added tokens that the prompt does not use" m
echo 'red <photo>' >lines
expect 0 "tokenize knows them" "$dit" tokenize -m m lines
if grep -qF '"ids":[43,' out && grep -qF '1500' out; then pass "by their id"; else fail "by their id" "$(cat out)"; fi
expect 3 "an id that the encoder has no row for" "$dit" -m m --prompt "a <photo>" --seed 1 -o x2.png
says "named" "1500"
echo '{"<photo>": -3}' >m/tokenizer/added_tokens.json
bad 3 "a negative id" "tokenizer/added_tokens.json: <photo>"

# NaN and infinity.
copy
edited fill "$transformer" transformer_blocks.3.attn1.to_q.weight nan
bad 1 "NaN in a block" "step 1 of 1: transformer block 3"
copy
edited fill "$text" encoder.block.2.layer.0.SelfAttention.q.weight inf
bad 1 "infinity in the text encoder" "text encoder block 2"
copy
edited fill "$vae" decoder.conv_in.bias nan
rm -f x.png
expect 1 "NaN in the VAE" "$dit" -m m --prompt x --seed 1 --steps 1 -o x.png
says "named" "decoding image 0: vae decoder mid block"
absent "no picture of it" x.png

# Where nothing can be written, and who stops listening.
expect 1 "a directory nobody can write" "$dit" -m "$model" --prompt x --seed 1 --steps 1 -o /proc/x.png
says "named" "/proc"
echo keep >kept.png
expect 2 "an existing output" "$dit" -m "$model" --prompt x --seed 1 --steps 1 -o kept.png
if [ "$(cat kept.png)" = keep ]; then pass "is kept"; else fail "is kept"; fi
copy
edited fill "$vae" decoder.conv_out.bias 0
expect 5 "replay with another VAE" "$dit" --replay plain.png -m m -o x3.png
absent "paints nothing" x3.png
expect 3 "replay of a variant that is not there" "$dit" --replay plain.png --variant fp16 -o x3.png
says "named" "fp16"
seq 20000 >many
{ "$dit" tokenize -m "$model" many 2>err; echo $? >status; } | head -1 >/dev/null
if [ "$(cat status)" = 1 ]; then pass "a closed pipe"; else fail "a closed pipe" "$(cat status)"; fi
says "is said" "Broken pipe"

# Bad items.
items() { # STATUS TEXT : the items in ./items
    expect "$1" "item: $(cat items)" "$dit" -m "$model" --prompts items --seed 1 --steps 1 -o x4.png
    says "named" "items: line 1: $2"
    absent "no picture of it" x4.png
}
echo '{"prompt":"x","colour":1}' >items; items 3 'unknown key "colour"'
echo '{"prompt":3}' >items; items 3 "prompt: expected a string"
echo '{"prompt":"x","steps":0}' >items; items 3 "steps"
echo '{"prompt":"x","size":"70x64"}' >items; items 2 "size 70x64"
echo '{"prompt"' >items; items 3 "line 1"
printf 'a\377\n' >items; items 3 "invalid UTF-8 at byte 1"
clean "no temporary files are left"
finish
