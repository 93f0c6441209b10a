#!/bin/sh
# gnn-explain on folders as people have them: the same molecules in other orders, line ends, labels
# and columns give the same numbers; what is different is said.
. "$(dirname "$0")/lib.sh"
. "$DK_ROOT/tests/tools/gnn_checks.sh"
gin=$nets/gin_MUTAG.safetensors
pure=$sets/MUTAG
ids=0,3,24-25,187

# fresh DIR : a copy of MUTAG to spoil
fresh() {
    rm -rf "$1"
    mkdir "$1"
    for part in A graph_indicator graph_labels node_labels; do
        cp "$pure/MUTAG_$part.txt" "$1/MUTAG_$part.txt"
    done
    chmod -R u+w "$1"
}
# mixed FILE : its lines in another order that is always the same
mixed() { awk '{printf "%d\t%s\n", (NR * 7919) % 10007, $0}' "$1" | sort -n -k1,1 | cut -f2- >mixed.txt; mv mixed.txt "$1"; }
run() { # what DIR : logits and scores of it
    expect 0 "$1: predict" "$gx" predict -m "$gin" -d "$2" -f -o z.csv
    cp err err.predict
    expect 0 "$1: explain" "$gx" explain -q -m "$gin" -d "$2" --method eig --ids "$ids" -f -o s.csv
}
equal() { # what DIR
    run "$1" "$2"
    same "$1: the same logits" z.csv clean-z.csv
    same "$1: the same scores" s.csv clean-s.csv
}
run "clean" "$pure"
mv z.csv clean-z.csv
mv s.csv clean-s.csv

# ---- The text of the files.
fresh d
mixed d/MUTAG_A.txt
equal "edges in any order" d
fresh d
sed -n '1,200p' "$pure/MUTAG_A.txt" >>d/MUTAG_A.txt
equal "edges listed twice" d
has "are said" '200 edges stand there more than once' err.predict
fresh d
for f in d/*.txt; do
    sed 's/$/\r/' "$f" >crlf.txt
    mv crlf.txt "$f"
done
equal "CRLF" d
fresh d
for f in d/*.txt; do
    awk 'NR > 1 {print last} {last = $0} END {printf "%s", last}' "$f" >cut.txt
    mv cut.txt "$f"
done
equal "no last line end" d
fresh d
for f in d/*.txt; do
    sed 's/, */ , /; s/$/  /' "$f" >blank.txt
    mv blank.txt "$f"
done
equal "blanks" d
fresh d
mkdir e
rm -rf e && mv d e
for part in A graph_indicator graph_labels node_labels; do mv e/MUTAG_$part.txt e/other_$part.txt; done
equal "another name" e

# ---- Labels.
fresh d
sed 's/^-1/5/; s/^1/9/' "$pure/MUTAG_graph_labels.txt" >d/MUTAG_graph_labels.txt
equal "classes 5 and 9" d
fresh d
awk '{print $1 + 3}' "$pure/MUTAG_node_labels.txt" >d/MUTAG_node_labels.txt
equal "node labels from 3 on" d
fresh d
rm d/MUTAG_node_labels.txt
awk '{for (i = 0; i < 7; i++) printf "%s%d", (i ? ", " : ""), i == $1 + 0; print ""}' "$pure/MUTAG_node_labels.txt" \
    >d/MUTAG_node_attributes.txt
equal "attributes alone" d
fresh d
rm d/MUTAG_node_labels.txt
expect 3 "no node labels" "$gx" predict -m "$gin" -d d -o bad.csv
says "do not fit" "expects 7"
expect 0 "but train" "$gx" train -q -d d --arch gin --epochs 2 --hidden 8 -o degree.safetensors
expect 0 "on degrees" "$gx" predict -q -m degree.safetensors -d d -o degree.csv
fresh d
awk '{print $1 + 0 ", " NR % 3}' "$pure/MUTAG_node_labels.txt" >d/MUTAG_node_labels.txt
expect 3 "two columns of node labels" "$gx" predict -m "$gin" -d d -o bad.csv
says "have another width" "10 features per node"
expect 0 "and train" "$gx" train -q -d d --arch gcn --epochs 2 --hidden 8 -o two.safetensors
expect 0 "and predict" "$gx" predict -q -m two.safetensors -d d -o two.csv

# ---- Fewer values than the model knows: by the model's values, not by the folder's.
expect 0 "a model of the tool's own" "$gx" train -q -d "$pure" --arch gin --epochs 2 --hidden 8 --seed 3 -o m.safetensors
expect 0 "its logits" "$gx" predict -q -m m.safetensors -d "$pure" -o whole.csv
# Graphs without the last three kinds of atoms.
fresh d
awk -F, 'FILENAME ~ /node_labels/ {label[FNR] = $1 + 0; next}
    FILENAME ~ /indicator/ {g[FNR] = $1; if (label[FNR] > 2) drop[$1] = 1; n = FNR; next}
    FILENAME ~ /graph_labels/ {y[FNR] = $1; graphs = FNR; next}
    FILENAME ~ /_A/ {gsub(/ /, ""); split($0, p, ","); from[FNR] = p[1]; to[FNR] = p[2]; m = FNR}
    END {
        for (i = 1; i <= graphs; i++) if (!drop[i]) {id[i] = ++k; print y[i] >"d/MUTAG_graph_labels.txt"; print i - 1 >"kept.txt"}
        for (i = 1; i <= n; i++) if (!drop[g[i]]) {
            at[i] = ++v; print id[g[i]] >"d/MUTAG_graph_indicator.txt"; print label[i] >"d/MUTAG_node_labels.txt"}
        for (i = 1; i <= m; i++) if (!drop[g[from[i]]]) print at[from[i]] ", " at[to[i]] >"d/MUTAG_A.txt"
    }' "$pure/MUTAG_node_labels.txt" "$pure/MUTAG_graph_indicator.txt" "$pure/MUTAG_graph_labels.txt" "$pure/MUTAG_A.txt"
expect 0 "a folder with three of seven kinds" "$gx" predict -q -m m.safetensors -d d -o part.csv
is "has fewer graphs" "$(($(rows part.csv) < 188))" 1
awk -F, 'NR == FNR {want[$1] = 1; next} FNR > 1 && ($1 in want)' kept.txt whole.csv | cut -d, -f2- >wanted
sed 1d part.csv | cut -d, -f2- >found
same "and the same logits" found wanted
expect 3 "a model without values" "$gx" predict -m "$gin" -d d -o bad.csv
says "cannot know" "3 features per node"
fresh d
sed '1s/.*/99/' "$pure/MUTAG_node_labels.txt" >d/MUTAG_node_labels.txt
expect 3 "a value that the model does not know" "$gx" predict -m m.safetensors -d d -o bad.csv
says "is named" 99

# ---- Edges.
fresh d
tr -d ' ' <"$pure/MUTAG_A.txt" | awk -F, '$1 < $2 {print $1 ", " $2}' >d/MUTAG_A.txt
expect 0 "one line per bond" "$gx" explain -m "$gin" -d d --method eig --ids 0 -f -o one.csv
has "is said" '3721 of 3721 edges have no reverse edge' err
is "and explained as directed" "$(rows one.csv)" 19
expect 0 "every method takes it" "$gx" evaluate -q -m "$gin" -d d --ids 0 --caps 0.7 \
    --methods goat,grad,gradxinput,ig,gradcam,sa,occlusion,deeplift,gnn-lrp,random
fresh d
tr -d ' ' <"$pure/MUTAG_A.txt" | awk -F, '{print} $1 == 1 && !seen++ {print "1,1"}' >d/MUTAG_A.txt
expect 0 "a self loop" "$gx" explain -q -m "$gin" -d d --method eig --ids 0 -f -o loop.csv
is "has a row" "$(rows loop.csv)" 39
expect 0 "unless dropped" "$gx" explain -q -m "$gin" -d d --self-loops drop --method eig --ids "$ids" -f -o loop.csv
same "then all is as before" loop.csv clean-s.csv

# ---- A graph id without nodes: labels must not shift.
fresh d
awk '{print ($1 > 1 ? $1 + 1 : $1)}' "$pure/MUTAG_graph_indicator.txt" >d/MUTAG_graph_indicator.txt
awk '{print} NR == 1 {print 1}' "$pure/MUTAG_graph_labels.txt" >d/MUTAG_graph_labels.txt
expect 0 "a graph without nodes" "$gx" predict -q -m "$gin" -d d -f -o gap.csv
awk -F, 'NR > 1 && $1 != 1 {print $2 "," $3 "," $4 "," $5}' gap.csv >found
sed 1d clean-z.csv | cut -d, -f2- >wanted
same "leaves the others' labels" found wanted
expect 0 "explained" "$gx" explain -m "$gin" -d d --method eig --ids 0-2 -f -o gap-s.csv
says "with a warning" "1 graphs have no edge"
fresh d
for _ in 1 2; do echo 188 >>d/MUTAG_graph_indicator.txt; echo 0 >>d/MUTAG_node_labels.txt; done
expect 0 "isolated last nodes" "$gx" predict -q -m "$gin" -d d -f -o last.csv
differ "count" last.csv clean-z.csv
sed '$d' last.csv >found
sed '$d' clean-z.csv >wanted
same "in the last graph only" found wanted

# ---- Ground truth in the order of the file.
rm -rf d
mkdir d
cp "$sets"/BA_2Motifs/*.txt d
chmod u+w d/*
paste "$sets/BA_2Motifs/BA_2Motifs_A.txt" "$sets/BA_2Motifs/BA_2Motifs_edge_gt.txt" >both.txt
mixed both.txt
cut -f1 both.txt >d/BA_2Motifs_A.txt
cut -f2 both.txt >d/BA_2Motifs_edge_gt.txt
mkdir nothing
for data in d "$sets/BA_2Motifs"; do
    expect 0 "AUC" env PATH="$PWD/nothing" "$gx" evaluate -q -m "$nets/gin_ba_2motifs.safetensors" -d "$data" --methods grad \
        --ids 0-40 --caps 0.7 --report "auc-$(basename "$data")"
done
same "truth in file order" auc-d/methods.csv auc-BA_2Motifs/methods.csv

# ---- nodes.csv.
rm -rf d
mkdir d
awk -F, 'BEGIN {OFS = ","} NR > 1 {$1 += 1000} {print}' "$sets/ba_shape/nodes.csv" >d/nodes.csv
awk -F, 'BEGIN {OFS = ","} NR > 1 {$1 += 1000; $2 += 1000} {print}' "$sets/ba_shape/edges.csv" >d/edges.csv
(head -1 d/nodes.csv && sed 1d d/nodes.csv >body && mixed body && cat body) >shuffled && mv shuffled d/nodes.csv
(head -1 d/edges.csv && sed 1d d/edges.csv >body && mixed body && cat body) >shuffled && mv shuffled d/edges.csv
shape=$nets/gin_ba_shape.safetensors
expect 0 "shuffled ids from 1000" "$gx" predict -q -m "$shape" -d d -o z.csv -f
expect 0 "as they were" "$gx" predict -q -m "$shape" -d "$sets/ba_shape" -o wanted.csv
sed 1d z.csv | awk -F, 'BEGIN {OFS = ","} {$1 -= 1000; print}' | sort -n >found
sed 1d wanted.csv | sort -n >wanted
same "the same logits" found wanted
expect 0 "a node by its id" "$gx" explain -q -m "$shape" -d d --method eig --nodes 1400 -o z.csv -f
expect 0 "and as it was" "$gx" explain -q -m "$shape" -d "$sets/ba_shape" --method eig --nodes 400 -o wanted.csv -f
sed 1d z.csv | awk -F, 'BEGIN {OFS = ","} {$1 -= 1000; $2 -= 1000; $3 -= 1000; print}' >found
sed 1d wanted.csv >wanted
same "the same scores" found wanted
expect 2 "an id that is not there" "$gx" explain -q -m "$shape" -d d --method eig --nodes 400 -o none.csv
says "is named" "no node 400"
clean "nothing is left"
finish
