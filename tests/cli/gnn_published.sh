#!/bin/sh
# Published pictures and aggregate numbers from the published models: which bonds are marked, node
# tables, GOAt's discriminability and coverage.
. "$(dirname "$0")/lib.sh"
gx=$DK_BIN/gnn-explain
third=$DK_ROOT/tests/data/thirdparty

# near 'what' VALUE EXPECTED TOLERANCE
near() {
    if awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && d <= t) }'; then
        pass "$1: $2"
    else
        fail "$1" "expected $3 within $4, found $2"
    fi
}
# kept FILE: undirected kept edges, one line
kept() {
    awk -F, 'NR > 1 && $(c) == 1 && $2 < $3 { printf "%s-%s ", $2, $3 } NR == 1 { for (i = 1; i <= NF; i++) if ($i == "kept") c = i }' "$1"
}
# column FILE NAME: value of the first row
column() {
    awk -F, -v n="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == n) c = i } NR == 2 { print $(c) }' "$1"
}

# Mutagenicity graph 0 (E Tab. 6): two C-Cl and two C-O bonds on the GCN, the two C-Cl on the GIN.
for m in gcn gin; do
    expect 0 "graph 0 of Mutagenicity, $m" "$gx" explain -m "$third/gnn/${m}_Mutagenicity.safetensors" \
        -d "$third/Mutagenicity" --ids 0 -o $m.csv
done
[ "$(kept gcn.csv)" = "1-4 1-5 9-10 9-11 " ] && pass "both C-Cl and C-O bonds" || fail "gcn bonds" "$(kept gcn.csv)"
label() { sed -n "$(($1 + 1))p" "$third/Mutagenicity/Mutagenicity_node_labels.txt" | tr -d ' \r'; }
[ "$(kept gin.csv)" = "1-5 9-11 " ] && pass "the GIN marks the C-Cl bonds" || fail "gin bonds" "$(kept gin.csv)"
if [ "$(label 5)$(label 11)" = 22 ]; then pass "they end in chlorine"; else fail "they end in chlorine"; fi
expect 0 "graph 1658 of NCI1" "$gx" explain -m "$third/gnn/gin_NCI1.safetensors" -d "$third/NCI1" --ids 1658 -o nci.csv
[ "$(kept nci.csv | wc -w)" -eq 7 ] && pass "a ring and one bond" || fail "a ring and one bond" "$(kept nci.csv)"
expect 0 "with equal scores together" "$gx" explain -m "$third/gnn/gin_NCI1.safetensors" -d "$third/NCI1" \
    --ids 1658 --ties group -o ring.csv
[ "$(kept ring.csv | wc -w)" -eq 6 ] && pass "the ring alone" || fail "the ring alone" "$(kept ring.csv)"

# EiG-Search on nodes: AUC, precision of the top edges, node accuracy.
nodes() { # set nodes auc precision accuracy
    expect 0 "$1" "$gx" evaluate -m "$third/gnn/gin_$1.safetensors" -d "$third/$1" --nodes "$2" --correct \
        --methods eig --caps 0.9 --report "$1"
    near "$1: AUC of the own motif" "$(column "$1/methods.csv" auc)" "$3" 0.005
    near "$1: precision" "$(column "$1/methods.csv" top_precision)" "$4" 0.005
    near "$1: node accuracy" "$(column "$1/methods.csv" node_accuracy)" "$5" 0.005
}
nodes ba_shape 300-699 0.9934 0.8188 0.9231
nodes tree_grid 511-1230 0.7778 0.8412 0.8563
expect 0 "whole graph" "$gx" evaluate -m "$third/gnn/gin_ba_shape.safetensors" -d "$third/ba_shape" \
    --nodes 300-699 --correct --methods eig --caps 0.9 --auc-scope graph --report whole
near "ba_shape: AUC over the whole graph" "$(column whole/methods.csv auc)" 1.000 0.005
[ "${GNN_LARGE:-0}" = 1 ] && nodes ba_community 300-699,1000-1399 0.9828 0.6717 0.9314

# GOAt on BA-2Motifs: discriminability and coverage of class 1.
expect 0 "goat" "$gx" evaluate -m "$third/gnn/gcn_ba_2motifs.safetensors" -d "$third/BA_2Motifs" \
    --methods goat --caps 0.7,0.75 --even 0 --size-rule own --report goat
near "discriminability at .7" "$(column goat/methods.csv discriminability)" 17.11 0.5
near "coverage of the top explanation" "$(column goat/methods.csv coverage)" 0.932 0.01
near "of the top two" "$(awk -F, '$3 == 1 && $4 == 2 { print $6 }' goat/coverage.csv)" 0.972 0.01
near "of the top three" "$(awk -F, '$3 == 1 && $4 == 3 { print $6 }' goat/coverage.csv)" 1.0 0.01
near "Fid+" "$(column goat/fidelity.csv fid_plus)" 0.582 0.017
near "whole graphs" "$(sed -n 's/.*whole_graph_discriminability": \([0-9.]*\).*/\1/p' goat/summary.json)" 4.2127 0.0043

# The same on the molecules (make bench): discriminability at five sparsities, coverage of class 1.
molecules() { # set, distances, whole graphs, "k:coverage ..."
    expect 0 "goat on $1" "$gx" evaluate -q -m "$third/gnn/gcn_$1.safetensors" -d "$third/$1" \
        --methods goat --caps 0.7,0.75,0.8,0.85,0.9 --even 0 --size-rule own --gt none --report "goat-$1"
    row=1
    for d in $2; do
        row=$((row + 1))
        near "$1: discriminability, row $row" "$(sed -n "${row}p" "goat-$1/methods.csv" | cut -d, -f7)" "$d" \
            "$(awk -v d="$d" 'BEGIN { print .03 * d }')"
    done
    near "$1: whole graphs" "$(sed -n 's/.*whole_graph_discriminability": \([0-9.]*\).*/\1/p' "goat-$1/summary.json")" "$3" 0.004
    for pair in $4; do
        near "$1: coverage of ${pair%:*}" \
            "$(awk -F, -v k="${pair%:*}" '$3 == 1 && $4 == k { print $6 }' "goat-$1/coverage.csv")" "${pair#*:}" 0.01
    done
}
if [ "${GNN_LARGE:-0}" = 1 ]; then
    molecules Mutagenicity "3.578 3.364 2.925 2.349 1.451" 3.6055 \
        "5:.107 25:.247 105:.411 205:.512 305:.570 405:.628 485:.674"
    molecules NCI1 "1.336 1.274 1.117 .987 .643" .9575 \
        "5:.148 25:.289 105:.460 205:.575 305:.645 405:.699 485:.742"
fi
finish
