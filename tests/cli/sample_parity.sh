#!/bin/sh
# From seed to pixels on tiny random models of every kind, against the published pipelines: at most
# 1/255 apart, at least 99 % of the pixels equal. The text side is the bundled model's.
. "$(dirname "$0")/lib.sh"
data=$DK_ROOT/tests/data/parity
compare=$DK_ROOT/build/$DK_VARIANT/tests/png_compare

for kind in alpha sigma dit; do
    cp -r "$data/$kind" "$data/vae" .
    mv vae "$kind/vae"
    [ $kind = dit ] || cp -r "$model/text_encoder" "$model/tokenizer" "$kind"
done
prompt="Red apple on a wooden table"
long=
while [ ${#long} -lt 1160 ]; do long="${long}a ship, two cats and a lamp; "; done

# paint FILE MODEL option...
paint() {
    file=$1
    from=$2
    shift 2
    expect 0 "$file" "$dit" -m "$from" --seed 5 "$@" -o "$file.png"
    expect 0 "$file as published" "$compare" "$file.png" "$data/$file.png"
}
paint alpha alpha --prompt "$prompt" --negative "blue sky" --steps 5 --size 48x32 --no-binning
paint sigma_wide sigma --prompt "$prompt" --steps 5 --size 80x48
paint sigma_tall sigma --prompt "$long" --steps 5 --size 40x72
paint dit dit --class "golden retriever"
expect 0 "class by number" "$dit" -m dit --seed 5 --class 207 --reference -o number.png
expect 0 "also as published" "$compare" number.png "$data/dit.png"
expect 0 "class by its other name" "$dit" -m dit --seed 5 --class "yellow dog" -o other.png
expect 0 "the same picture" "$compare" other.png dit.png
for wrong in "no such class" 99999 -1; do
    expect 2 "unknown class $wrong" "$dit" -m dit --seed 5 --class "$wrong" -o wrong.png
done
absent "paints nothing" wrong.png
expect 2 "a prompt for a model of classes" "$dit" -m dit --seed 5 --prompt x -o wrong.png

# A half-precision VAE whose sums pass f16's 65504: computed in f32, so there is a picture.
edit=$DK_ROOT/build/$DK_VARIANT/tests/st_edit
cp -r "$model" huge
chmod -R u+w huge
w=huge/vae/diffusion_pytorch_model.safetensors
expect 0 "one bias of 60000" "$edit" fill "$w" one.safetensors decoder.conv_in.bias 60000
expect 0 "and another" "$edit" fill one.safetensors two.safetensors decoder.mid_block.resnets.0.conv2.bias 60000
mv two.safetensors "$w"
expect 0 "their sum is no infinity" "$dit" -m huge --prompt "red apple" --seed 1 -o huge.png
expect 0 "on the plain loops (f64 sums)" "$dit" -m huge --prompt "red apple" --seed 1 --reference -o plain.png
expect 0 "the same picture" "$compare" huge.png plain.png
finish
