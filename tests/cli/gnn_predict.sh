#!/bin/sh
# gnn-explain predict: the trained models of others are right exactly as often as published, and
# their logits are the recorded ones.
. "$(dirname "$0")/lib.sh"
. "$DK_ROOT/tests/tools/gnn_checks.sh"

# counts MODEL DATA CORRECT TOTAL
counts() {
    expect 0 "$1 predicts $2" "$gx" predict -q -m "$nets/$1.safetensors" -d "$sets/$2" --json
    is "$1 is right for" "$(number correct out)/$(number total out)" "$3/$4"
}
counts gcn_MUTAG MUTAG 163 188
counts gin_MUTAG MUTAG 166 188
has "the confusion matrix is there" '"confusion"' out
is "and is the published one" "$(sed -n '/"confusion"/,$p' out | tr -dc '0-9 ,' | tr -s ', ' '  ' | sed 's/^ *//;s/ *$//')" \
    "54 9 13 112"
has "with a schema" '"schema": "dk.prediction/1"' out
has "and the model's hash" '"model_hash": "[0-9a-f]\{32\}"' out
counts gcn_ba_2motifs BA_2Motifs 1000 1000
counts gin_ba_2motifs BA_2Motifs 1000 1000
counts holdijk_gcn_ba_2motifs BA_2Motifs 994 1000
counts gin_ba_shape ba_shape 690 700
counts gin_ba_community ba_community 1365 1400
counts gin_tree_grid tree_grid 1194 1231
counts holdijk_gcn_ba_shape ba_shape 683 700
counts holdijk_gcn_ba_community ba_community 1217 1400
counts holdijk_gcn_tree_cycle tree_cycle 824 871
counts holdijk_gcn_tree_grid tree_grid 1193 1231
is "the split has its own counts" "$(sed -n '/"val"/,$p' out | sed -n 's/.*"correct": \([0-9]*\).*/\1/p' | head -1)" 122
counts gcn_Mutagenicity Mutagenicity 4023 4337
counts gin_Mutagenicity Mutagenicity 3783 4337
counts holdijk_gcn_Mutagenicity Mutagenicity 3574 4337
counts gcn_NCI1 NCI1 3731 4110
counts gin_NCI1 NCI1 3772 4110

# logits MODEL DATA
logits() {
    expect 0 "logits of $1" "$gx" predict -q -m "$nets/$1.safetensors" -d "$sets/$2" -o "$1.csv"
    near "are the recorded ones" 1e-4 1e-5 "$1.csv" "$nets/reference/logits_$1.csv"
}
logits gcn_MUTAG MUTAG
logits gin_MUTAG MUTAG
logits gcn_ba_2motifs BA_2Motifs
logits gin_ba_2motifs BA_2Motifs
logits gin_ba_shape ba_shape
logits holdijk_gcn_ba_2motifs BA_2Motifs
logits holdijk_gcn_ba_shape ba_shape
logits holdijk_gcn_tree_cycle tree_cycle

is "columns of graphs" "$(head -1 gin_MUTAG.csv)" graph,label,pred,z0,z1
is "columns of nodes" "$(head -1 gin_ba_shape.csv)" node,label,pred,z0,z1,z2,z3
is "a row per graph" "$(rows gin_MUTAG.csv)" 188

mutag() { what=$1; shift; expect "$status" "$what" "$gx" predict -m "$nets/gin_MUTAG.safetensors" -d "$sets/MUTAG" "$@"; }
status=0
mutag "--csv" --csv csv.csv
same "is -o" csv.csv gin_MUTAG.csv
is "the accuracy is printed" "$(head -1 out)" "MUTAG: 166 of 188 correct (0.88298)"
mutag "-o -" -q -o -
same "is the same on standard output" out gin_MUTAG.csv
mutag "one thread" -q -j 1 -o one.csv
mutag "three threads" -q -j 3 -o three.csv
same "give the same bytes" one.csv three.csv
mutag "no output" -q
is "prints the accuracy" "$(head -1 out)" "MUTAG: 166 of 188 correct (0.88298)"
mutag "-f overwrites" -q -f -o one.csv
status=2
mutag "a file that is there" -q -o one.csv
says "is named" one.csv
mutag "logits and JSON" -o - --json
clean "nothing is left"
finish
