#!/bin/sh
# Makes the bundled models of gnn-explain anew: a BA-2Motifs set from our generator, and a GCN and a
# GIN for it and for MUTAG, with the recipe of `gnn-explain train` (Adam, 1e-3, weight decay 5e-4,
# batches of 64, at most 300 epochs, seed 1).
#   scripts/models_gnn.sh [DIR]      default models/gnn
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
gx=$root/bin/gnn-explain
out=${1:-$root/models/gnn}
mkdir -p "$out"
"$gx" gen ba-2motifs -n 1000 --seed 1 -o "$out/ba2motifs" -f
for arch in gcn gin; do
    "$gx" train -d "$root/tests/data/thirdparty/MUTAG" --arch $arch --hidden 64 --seed 1 \
        -o "$out/mutag-$arch.safetensors" -f
    "$gx" train -d "$out/ba2motifs" --arch $arch --hidden 32 --seed 1 \
        -o "$out/ba2motifs-$arch.safetensors" -f
done
