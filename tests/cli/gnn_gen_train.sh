#!/bin/sh
# gnn-explain gen, convert, train, info and evaluate --report: the same seed gives the same bytes,
# forms of data sets are equal, training goes on where it stopped.
. "$(dirname "$0")/lib.sh"
. "$DK_ROOT/tests/tools/gnn_checks.sh"

alike() { # what DIR DIR: the same files
    if problem=$(diff -rq "$2" "$3" 2>&1); then pass "$1"; else fail "$1" "$problem"; fi
}

# ---- Generators.
for kind in ba-shapes ba-community tree-cycles tree-grid ba-2motifs; do
    count=
    [ $kind != ba-2motifs ] || count="-n 50"
    for run in "a 1" "b 1" "c 2"; do
        # shellcheck disable=SC2086
        expect 0 "$kind, seed ${run#* }" "$gx" gen $kind $count -q --seed "${run#* }" -o "$kind-${run% *}"
    done
    alike "same seed, same bytes" $kind-a $kind-b
    if diff -rq $kind-a $kind-c >/dev/null; then fail "another seed, another set"; else pass "another seed, another set"; fi
    # The same files under the same name, by way of JSON.
    mkdir -p back/$kind-a
    expect 0 "to JSON" "$gx" convert -q -d $kind-a -o $kind.json
    cp $kind.json $kind-a.json
    expect 0 "and back" "$gx" convert -q -f -d $kind-a.json -o back/$kind-a
    alike "is the same" $kind-a back/$kind-a
    expect 0 "and again" "$gx" convert -q -d back/$kind-a -o again.json -f
    same "the same JSON" again.json $kind.json
    expect 0 "info" "$gx" info $kind-a --json
    cp out $kind.info
done
is "graphs of ba-2motifs" "$(cat ba-2motifs-a/*_graph_labels.txt | wc -l | tr -d ' ')" 50
is "nodes of ba-shapes" "$(rows ba-shapes-a/nodes.csv)" 700
has "counted by info" '700' ba-shapes.info
expect 2 "an unknown kind" "$gx" gen stars -o stars
absent "makes nothing" stars
expect 2 "a set that is there" "$gx" gen ba-2motifs -n 50 --seed 2 -o ba-2motifs-a
alike "stays" ba-2motifs-a ba-2motifs-b
expect 0 "-f overwrites it" "$gx" gen ba-2motifs -n 50 --seed 2 -q -f -o ba-2motifs-b
expect 0 "MUTAG to JSON" "$gx" convert -q -d "$sets/MUTAG" -o mutag.json
expect 0 "and to TU" "$gx" convert -q -d mutag.json -o mutag
for part in graph_indicator graph_labels node_labels; do
    tr -d ' \r' <"$sets/MUTAG/MUTAG_$part.txt" >wanted
    tr -d ' ' <"mutag/$(basename mutag/*_A.txt _A.txt)_$part.txt" >found
    same "the same $part" found wanted
done
tr -d ' ' <"$sets/MUTAG/MUTAG_A.txt" | sort >wanted
tr -d ' ' <"mutag/$(basename mutag/*_A.txt _A.txt)_A.txt" | sort >found
same "the same edges" found wanted

# ---- Training.
train() { # what options...
    what=$1
    shift
    expect 0 "$what" "$gx" train -q -d "$sets/MUTAG" --arch gin --hidden 16 --seed 4 --checkpoint-every 2 "$@"
}
train "six epochs" --epochs 6 -j 1 -o whole.safetensors
train "on three threads" --epochs 6 -j 3 -o threads.safetensors
same "the same model" whole.safetensors threads.safetensors
train "six with a checkpoint" --epochs 6 --checkpoint six.ck -o six.safetensors
same "the same model" whole.safetensors six.safetensors
train "four epochs" --epochs 4 --checkpoint four.ck -o four.safetensors
train "two more" --epochs 6 --checkpoint four.ck --resume -o resumed.safetensors
same "make the same model" whole.safetensors resumed.safetensors
# Stopped on the way: by a signal once there is a checkpoint.
"$gx" train -q -d "$sets/MUTAG" --arch gin --hidden 16 --seed 4 --checkpoint-every 2 --epochs 2000 --patience 0 \
    --checkpoint long.ck -o long.safetensors 2>err &
pid=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -s long.ck ] || sleep 0.2; done
kill -INT "$pid" 2>/dev/null
kill -TERM "$pid" 2>/dev/null
wait "$pid"
is "interrupted" $? 130
absent "no model yet" long.safetensors
exists "but a checkpoint" long.ck
train "resumed" --epochs 600 --patience 0 --checkpoint long.ck --resume -o resumed.safetensors -f
train "never stopped" --epochs 600 --patience 0 -o long.safetensors
same "is the same" resumed.safetensors long.safetensors
for arch in gcn sage graphconv gcn-norm gat gatv2; do
    expect 0 "$arch" "$gx" train -q -d "$sets/MUTAG" --arch $arch --hidden 8 --epochs 2 -o $arch.safetensors
    expect 0 "$arch predicts" "$gx" predict -q -m $arch.safetensors -d "$sets/MUTAG" -o $arch.csv
done
expect 0 "a node model" "$gx" train -q -d tree-cycles-a --arch gcn --hidden 8 --epochs 3 -o node.safetensors
expect 0 "predicts" "$gx" predict -q -m node.safetensors -d tree-cycles-a -o node.csv
is "every node" "$(rows node.csv)" "$(rows tree-cycles-a/nodes.csv)"
expect 0 "info of a model" "$gx" info whole.safetensors --json
has "its architecture" '"gin"' out
expect 0 "in words" "$gx" info whole.safetensors
has "too" gin out
expect 0 "of one of others" "$gx" info "$nets/holdijk_gcn_tree_cycle.safetensors" --json
expect 2 "a model that is there" "$gx" train -q -d "$sets/MUTAG" --arch gin --epochs 1 -o whole.safetensors
expect 2 "an unknown architecture" "$gx" train -q -d "$sets/MUTAG" --arch cnn -o bad.safetensors
expect 2 "--resume without a checkpoint" "$gx" train -q -d "$sets/MUTAG" --arch gin --resume -o bad.safetensors
absent "no model of that" bad.safetensors

# ---- Reports.
report() { # STATUS what options...
    want=$1 what=$2
    shift 2
    expect "$want" "$what" "$gx" evaluate -q -m "$nets/gin_ba_2motifs.safetensors" -d "$sets/BA_2Motifs" \
        --methods eig,grad,random --ids 0-5,500-505 --caps 0.5,0.7,0.9 --report report "$@"
}
report 0 "a report"
for f in fidelity.csv methods.csv table.md summary.json timings.csv; do exists "has $f" report/$f; done
if command -v gnuplot >/dev/null 2>&1; then
    for f in fid_plus fid_minus overall; do has "the curve $f" '<svg' report/$f.svg; done
else
    pass "curves # SKIP gnuplot is not installed"
fi
is "a row per method, cap and class" "$(rows report/fidelity.csv)" 27
is "a line per method and cap" "$(grep -c '^| [egr]' report/table.md)" 9
has "schema" '"schema": "dk.explainer-evaluation/1"' report/summary.json
has "seed" '"seed": 0' report/summary.json
cp report/fidelity.csv before.csv
report 2 "a second time"
same "leaves the first" report/fidelity.csv before.csv
report 0 "-f" -f -j 1
same "gives the same bytes" report/fidelity.csv before.csv
rm -rf report
if command -v neato >/dev/null 2>&1; then
    report 0 "--motifs 1" --motifs 1
    is "draws one of each class and method" "$(find report -name '*.svg' | grep -vc 'fid_plus\|fid_minus\|overall')" 6
else
    pass "motifs # SKIP graphviz is not installed"
fi
clean "nothing is left"
finish
