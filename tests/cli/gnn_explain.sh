#!/bin/sh
# gnn-explain explain: the recorded scores and sizes, the same bytes for every number of threads and
# shards, what is selected, and graphs that hardly have an edge.
. "$(dirname "$0")/lib.sh"
. "$DK_ROOT/tests/tools/gnn_checks.sh"
every="eig goat grad gradxinput ig gradcam sa occlusion deeplift gnn-lrp gnnexplainer pgexplainer subgraphx
    rgexplainer random"
# Little work for the methods that learn or search.
brief="--epochs 1 --rollouts 1 --samples 2"
gin=$nets/gin_MUTAG.safetensors
mutag=$sets/MUTAG
# It carries the node labels it was trained on, so that a graph may have few of them.
own=$DK_ROOT/models/gnn/mutag-gin.safetensors

# ---- Recorded explanations.
for name in gcn_MUTAG:MUTAG gin_MUTAG:MUTAG gcn_ba_2motifs:BA_2Motifs gin_ba_2motifs:BA_2Motifs; do
    model=${name%:*} data=${name#*:}
    reference=$nets/reference/explain_$model
    ids=$(sed 1d "${reference}_summary.csv" | cut -d, -f1 | tr '\n' ',' | sed 's/,$//')
    for method in eig goat; do
        expect 0 "$method of $model" "$gx" explain -q -m "$nets/$model.safetensors" -d "$sets/$data" \
            --method $method --sparsity 0.7 --even 0 --ties pair --ids "$ids" -o $method.csv --summary $method.json -f
    done
    cut -d, -f1-5 "$reference.csv" | sed '1s/.*/graph,src,dst,score,rank/' >wanted.csv
    near "has the recorded scores and ranks" 1e-9 1e-8 eig.csv wanted.csv
    cut -d, -f1-3,6-7 "$reference.csv" | sed '1s/.*/graph,src,dst,score_c0,score_c1/' >wanted.csv
    near "and GOAt the recorded scores" 1e-9 1e-7 goat.csv wanted.csv
    instances eig.json >found.csv
    cut -d, -f1-4,8- "${reference}_summary.csv" >wanted.csv
    near "sizes and fidelities are the recorded ones" 1e-9 1e-8 found.csv wanted.csv
    is "as many edges are kept as the summary says" \
        "$(awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == "kept") k = i} {s += $k} END {print s}' eig.csv)" \
        "$(awk -F, '{s += $8} END {print s}' found.csv)"
done
is "columns of eig" "$(head -1 eig.csv)" graph,src,dst,score,score_c0,score_c1,rank,kept,prob_drop
for word in '"schema": "dk.explanation-summary/1"' '"tool": "gnn-explain"' '"model_hash": "[0-9a-f]\{32\}"' \
    '"data_hash": "[0-9a-f]\{32\}"' '"ties": "pair"' '"sparsity": 0.7' '"even": 0' '"per_class"' '"probability"'; do
    has "the summary has $word" "$word" eig.json
done

# ---- Every method: threads, JSON of one graph, few edges.
explain() { # what method options... : of $data by $net
    what=$1 method=$2
    shift 2
    # shellcheck disable=SC2086
    expect "${status:-0}" "$what" "$gx" explain -m "$net" -d "$data" --method "$method" $brief "$@"
}
expect 0 "MUTAG as JSON" "$gx" convert -q -d "$mutag" -o mutag.json
grep '^ *{"nodes"' mutag.json | sed -n '2s/, "label": -*[0-9]*}.*/}/p' >one.json
is "a graph of it" "$(head -c 14 one.json)" '  {"nodes": 13'
awk '/^ *{"nodes"/ && ++n > 3 {next} n == 3 && /^ *{"nodes"/ {sub(/,$/, "")} {print}' mutag.json >small.json
expect 0 "the first graphs" "$gx" info small.json --json
net=$own data=small.json
echo '{"schema": "dk.gnn-dataset/1", "name": "few", "task": "graph", "classes": [-1, 1], "graphs": [
    {"nodes": 3, "edges": [], "node_labels": [0, 1, 2], "label": 1},
    {"nodes": 2, "edges": [[0, 1], [1, 0]], "node_labels": [0, 1], "label": 1},
    {"nodes": 5, "edges": [[0, 1], [1, 0], [1, 2], [2, 1]], "node_labels": [0, 1, 2, 0, 0], "label": 1},
    {"nodes": 3, "edges": [[0, 0], [0, 1], [1, 0], [1, 2], [2, 1]], "node_labels": [0, 1, 2], "label": 1},
    {"nodes": 1, "edges": [], "node_labels": [0], "label": 1}]}' >few.json
for method in $every; do
    explain "$method on one thread" $method -q -j 1 --ids 0-2 -f -o one.csv --summary one.s
    explain "$method on three" $method -q -j 3 --ids 0-2 -f -o three.csv --summary three.s
    same "gives the same scores" one.csv three.csv
    same "and summary" one.s three.s
    is "a row per edge" "$(rows one.csv)" 94
    # What is learned needs correctly predicted labelled graphs: not of a single unlabelled one.
    case $method in pgexplainer | rgexplainer) explain "it is learned once" $method -q --explainer $method.st --ids 0 -f -o learned.csv ;; esac
    saved=
    [ ! -e $method.st ] || saved="--explainer $method.st"
    # shellcheck disable=SC2086
    expect 0 "$method of a graph from a pipe" sh -c "'$gx' explain -q -m '$own' -d - --method $method $brief $saved -f -o pipe.csv <one.json"
    is "has its rows" "$(rows pipe.csv)" 28
    # shellcheck disable=SC2086
    expect 0 "$method where edges are few" "$gx" explain -m "$own" -d few.json --method $method --ids 0-4 $brief $saved -f -o few.csv
    says "says so" "2 graphs have no edge and so no rows"
    is "rows of graphs with edges only" "$(sed 1d few.csv | cut -d, -f1 | uniq -c | tr -s ' ' | tr '\n' ';')" ' 2 1; 4 2; 5 3;'
    lacks "finite scores" 'nan\|inf' few.csv
    # shellcheck disable=SC2086
    expect 0 "$method where there is no edge" "$gx" explain -m "$own" -d few.json --method $method --ids 0 $brief $saved -f -o few.csv --summary few.s
    is "no row" "$(rows few.csv)" 0
    has "no average" '"n": 0' few.s
done
explain "eig of graph 1 in its folder" eig -q --ids 1 -f -o folder.csv
expect 0 "and from a pipe" sh -c "'$gx' explain -q -m '$own' -d - --method eig -f -o pipe.csv <one.json"
is "gives the same numbers" "$(cut -d, -f2- pipe.csv)" "$(cut -d, -f2- folder.csv)"

# ---- What was learned.
for method in pgexplainer rgexplainer; do
    explain "$method learns" $method -q --explainer "new-$method.st" --ids 0,2 -o "learned-$method.csv"
    exists "and saves" "new-$method.st"
    cp "new-$method.st" before.st
    explain "$method loads" $method -q --explainer "new-$method.st" --ids 0,2 -o "loaded-$method.csv"
    same "the same bytes" "learned-$method.csv" "loaded-$method.csv"
    same "the file is left as it is" "new-$method.st" before.st
done

net=$gin data=$mutag
# ---- Shards.
explain "all at once" eig -q -o whole.csv --summary whole.json
for i in 1 2 3; do
    explain "part $i" eig -q --shard $i/3 -o part$i.csv --summary part$i.json
done
expect 0 "merged in any order" "$gx" merge -q -o merged.csv part3.csv part1.csv part2.csv
same "are the whole" merged.csv whole.csv
expect 0 "and their summaries" "$gx" merge -q -o merged.json part2.json part3.json part1.json
same "too" merged.json whole.json
is "all that is predicted correctly" "$(sed 1d whole.csv | cut -d, -f1 | uniq | wc -l | tr -d ' ')" 166
expect 3 "parts that overlap" "$gx" merge -q -o bad.csv part1.csv whole.csv
absent "are not joined" bad.csv

# ---- Selection.
graphs() { sed 1d "$1" | cut -d, -f1 | uniq | tr '\n' ' '; }
explain "explicit ids" eig --ids 24-25,3 -f -o ids.csv --summary ids.json
says "one predicted wrongly, with its target" "1 of them are predicted wrongly; the class explained is the prediction"
is "all of them" "$(graphs ids.csv)" "3 24 25 "
instances ids.json >ids.s
is "target is the prediction" "$(awk -F, '$1 == 25 {print $2, $3, $4}' ids.s)" "1 0 0"
explain "their labels" eig --ids 25 --target label -f -o ids.csv --summary ids.json
says "said as well" "1 of them are predicted wrongly; the class explained is the label"
instances ids.json >ids.s
is "target is the label" "$(awk -F, '$1 == 25 {print $2, $3, $4}' ids.s)" "1 0 1"
explain "a class by number" eig -q --ids 0 --target 0 -f -o ids.csv --summary ids.json
instances ids.json >ids.s
is "is the target" "$(awk -F, '$1 == 0 {print $2, $3, $4}' ids.s)" "1 1 0"
explain "--class" eig -q --class 1 -f -o class.csv
is "the correct ones of it" "$(graphs class.csv | wc -w | tr -d ' ')" 112
explain "both" eig -q --class 1 --ids 20-33 -f -o both.csv
graphs both.csv >found
"$gx" predict -q -m "$gin" -d "$mutag" -o logits.csv >out
awk -F, '$1 >= 20 && $1 <= 33 && $2 == 1 && $3 == 1 {printf "%s ", $1}' logits.csv >wanted
same "the intersection" found wanted
explain "nothing fits" eig -q --class 1 --ids 33 -f -o none.csv --summary none.json
is "no rows" "$(rows none.csv)" 0

# ---- Sizes.
kept() { awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == "kept") k = i} {s += $k} END {print s + 0}' "$1"; }
explain "sparsity 0" eig -q --ids 0 --sparsity 0 --search 0 -f -o size.csv
is "keeps all" "$(kept size.csv)" 38
explain "sparsity .999" grad -q --ids 0 --sparsity 0.999 --search 0 -f -o size.csv
is "keeps an undirected edge" "$(kept size.csv)" 2
explain "--topk" eig -q --ids 0,5 --topk 6 --search 0 -f -o size.csv
is "keeps that many of each" "$(kept size.csv)" 12
explain "on standard output" eig -q --ids 0,5 --topk 6 --search 0 -o -
same "is the same" out size.csv
explain "--timings" eig -q --ids 0,5 -f -o size.csv --timings times.csv
is "has a row each" "$(cut -d, -f1-2 times.csv | tr '\n' ' ')" "id,edges 0,38 5,62 "
explain "--json" eig -q --ids 0,5 -f -o size.csv --summary size.json --json
same "is the summary" out size.json
printf '0,0-1,1-0\n0,12-14,14-12,14-15,15-14,14-16,16-14\n' >groups.csv
explain "--groups" eig -q --groups groups.csv -o sets.csv
is "a row per set" "$(cut -d, -f1-3 sets.csv | tr '\n' ' ')" "graph,line,edges 0,1,2 0,2,6 "
is "one edge is its score" "$(awk -F, 'NR == 2 {printf "%.10g", $4}' sets.csv)" \
    "$(awk -F, '$1 == 0 && $2 == 0 && $3 == 1 {printf "%.10g", $4}' whole.csv)"
status=2
explain "output that is there" eig -q --ids 0 -o size.csv
says "is named" size.csv
explain "summary that is there" eig -q --ids 0 -o new.csv --summary size.json
says "is named" size.json
absent "nothing is written then" new.csv
explain "timings that are there" eig -q --ids 0 -o new.csv --timings times.csv
absent "neither then" new.csv
status=0

# ---- Nodes.
start=$(date +%s)
expect 0 "all house nodes" "$gx" explain -q -m "$nets/gin_ba_shape.safetensors" -d "$sets/ba_shape" --method eig \
    --nodes 300-699 -o nodes.csv --summary nodes.json
is "within the time of a blink" "$(($(date +%s) - start > 20))" 0
is "all of them" "$(graphs nodes.csv | wc -w | tr -d ' ')" 400
is "columns" "$(head -1 nodes.csv | cut -d, -f1-4)" node,src,dst,score
is "14 edges of each" "$(awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == "kept") k = i} NR > 1 {s[$1] += $k}
    END {for (i in s) if (s[i] != 14) bad++; print bad + 0}' nodes.csv)" 0
sed 1d "$sets/ba_shape/edges.csv" | cut -d, -f1-2 | sort >all
sed 1d nodes.csv | cut -d, -f2-3 | sort -u | comm -23 - all >strange
is "edges by the ids of the data set" "$(wc -l <strange | tr -d ' ')" 0
expect 0 "some of them on three threads" "$gx" explain -q -j 3 -m "$nets/gin_ba_shape.safetensors" -d "$sets/ba_shape" \
    --method goat --nodes 400,301-303 -o goat3.csv
expect 0 "and on one" "$gx" explain -q -j 1 -m "$nets/gin_ba_shape.safetensors" -d "$sets/ba_shape" \
    --method goat --nodes 400,301-303 -o goat1.csv
same "the same bytes" goat1.csv goat3.csv

# ---- Many graphs in little memory.
if [ "$DK_VARIANT" = asan ]; then
    pass "8,000 graphs # SKIP the sanitizer reserves more address space"
else
    expect 0 "8,000 graphs" "$gx" gen ba-2motifs -q -n 8000 --seed 3 -o many
    start=$(date +%s)
    expect 0 "explained in 4 GB" sh -c "ulimit -v 4000000; exec '$gx' explain -q -m '$nets/gin_ba_2motifs.safetensors' \
        -d many --method eig --search 0 -o many.csv"
    is "within a minute" "$(($(date +%s) - start > 60))" 0
    rm -rf many many.csv
fi
clean "nothing is left"

# ---- Nodes one by one or in one pass over the edges: a shard of few nodes gives the same bytes.
shape="-m $DK_ROOT/tests/data/thirdparty/gnn/gin_ba_shape.safetensors -d $DK_ROOT/tests/data/thirdparty/ba_shape"
# shellcheck disable=SC2086  # a list of words on purpose
{
    expect 0 "forty nodes" "$DK_BIN/gnn-explain" explain -q $shape --nodes 400-439 -o forty.csv
    expect 0 "the first of forty shards" "$DK_BIN/gnn-explain" explain -q $shape --nodes 400-439 --shard 1/40 -o first.csv
    expect 0 "the other nodes" "$DK_BIN/gnn-explain" explain -q $shape --nodes 401-439 -o others.csv
}
expect 0 "merged" "$DK_BIN/gnn-explain" merge -o again.csv others.csv first.csv
same "nodes by shards" forty.csv again.csv
finish
