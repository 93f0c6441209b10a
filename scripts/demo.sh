#!/bin/sh
# `make demo`: pictures from words with the bundled model, and one contact sheet of them.
set -eu
cd "$(dirname "$0")/.."
out=build/demo
mkdir -p "$out"
head -n 24 models/emoji/prompts.txt >"$out/prompts.txt"
cat <<'TEXT'
dit-sample: 24 pictures from 24 short texts, painted by models/emoji, a PixArt diffusion
transformer with its own T5 text encoder and VAE (7 million parameters, 64 x 64 pixels).
The same program reads the published PixArt-alpha, PixArt-Sigma and DiT directories.
TEXT
echo "+ bin/dit-sample -m models/emoji --prompts $out/prompts.txt --seed 1 -f -o '$out/%p.png' --sheet $out/sheet.png"
bin/dit-sample -m models/emoji --prompts "$out/prompts.txt" --seed 1 -f \
    -o "$out/%p.png" --sheet "$out/sheet.png"
echo "Contact sheet: $out/sheet.png (one picture per line of $out/prompts.txt)"
