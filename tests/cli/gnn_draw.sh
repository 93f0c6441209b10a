#!/bin/sh
# gnn-explain draw: the DOT text marks exactly the kept edges, Graphviz makes SVG and PNG of it, and
# what cannot be drawn is refused with nothing half-written.
. "$(dirname "$0")/lib.sh"
gx=$DK_BIN/gnn-explain
sets=$DK_ROOT/tests/data/thirdparty

# edges FILE.dot: "a b red" or "a b -" per edge statement, sorted, smaller node first
edges() {
    sed -n 's/^ *\([0-9]*\) *-[->] *\([0-9]*\) *\[\(.*\)\];$/\1 \2 \3/p' "$1" |
        awk '{a = $1; b = $2; if (a > b) {a = $2; b = $1} print a, b, (/color=red/ ? "red" : "-")}' | sort
}
# kept FILE.csv ITEM: the undirected kept edges of a scores file in the same form
kept() {
    awk -F, -v item="$2" '$1 == item && $6 == 1 {a = $2; b = $3; if (a > b) {a = $3; b = $2} print a, b, "red"}' "$1" |
        sort -u
}
marks() { # what FILE.dot FILE.csv ITEM
    edges "$2" | grep red >drawn
    kept "$3" "$4" >wanted
    same "$1" drawn wanted
}
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "found $2, expected $3"; fi; }
has() { if grep -q -e "$2" "$3"; then pass "$1"; else fail "$1" "no $2 in $3: $(head -c 400 "$3")"; fi; }
lacks() { if grep -q -e "$2" "$3"; then fail "$1" "$2 in $3"; else pass "$1"; fi; }
# score_file FILE NAME ITEM [a-b ...] : rows on stdin "src dst"; the pairs given are kept
score_file() {
    file=$1 column=$2 item=$3
    shift 3
    awk -v column="$column" -v item="$item" -v pairs="$*" 'BEGIN {
            count = split(pairs, list, " ")
            for (i = 1; i <= count; i++) {split(list[i], p, "-"); keep[p[1] " " p[2]] = keep[p[2] " " p[1]] = 1}
            print column ",src,dst,score,rank,kept"
        } {
            k = ($1 " " $2) in keep
            print item "," $1 "," $2 "," 1 / NR "," NR - 1 "," k
        }' >"$file"
}
# Edges of the first graph of a TU folder, counted from 0.
first_graph() {
    last=$(grep -cx 1 "$sets/$1/$1_graph_indicator.txt")
    tr -d ' ' <"$sets/$1/$1_A.txt" | awk -F, -v last="$last" '$1 <= last {print $1 - 1, $2 - 1}' |
        sort -n -k1,1 -k2,2
}

# ---- A molecule.
first_graph MUTAG | score_file mutag.csv graph 0 12-14 14-15 14-16
expect 0 "a molecule as DOT" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --id 0 -o mutag.dot
marks "marks exactly the kept edges" mutag.dot mutag.csv 0
is "one line per undirected edge" "$(edges mutag.dot | wc -l | tr -d ' ')" 19
is "one statement per node" "$(grep -c 'fillcolor=' mutag.dot)" 17
has "atoms have letters" 'label="N"' mutag.dot
has "and a legend" 'nitrogen' mutag.dot
has "and a title" 'MUTAG graph 0, class 1, 6 of 38 directed edges kept' mutag.dot
has "kept edges are wide" 'color=red, penwidth=5' mutag.dot
grep '^//' mutag.dot >comments
lacks "no edge inside a comment" '-[->]' comments
is "edges are the only lines with an edge operator" "$(grep -c -e '--' mutag.dot)" 19
expect 0 "a second time" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --id 0 -o again.dot
same "gives the same bytes" mutag.dot again.dot
expect 0 "the one graph of the scores needs no --id" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv -o -
same "on standard output" mutag.dot out
expect 0 "the four best directed edges" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --topk 4 -o top.dot
awk -F, 'BEGIN {OFS = ","} NR > 1 {$6 = $5 < 4} {print}' mutag.csv >best.csv
marks "by their ranks" top.dot best.csv 0
has "and counted in the title" '4 of 38 directed' top.dot
expect 0 "only what is near the kept edges" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --hops 1 -o near.dot
is "the nitro group, its carbon and two more" "$(grep -c 'fillcolor=' near.dot)" 6
printf '{"instances": [{"id": 0, "prediction": 1}]}' >summary.json
expect 0 "with the summary of explain" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --summary summary.json -o predicted.dot
has "the title has the prediction" 'class 1 (predicted 1)' predicted.dot
expect 0 "no letters, node numbers, a title of one's own" "$gx" draw -d "$sets/MUTAG" --id 0 --no-atoms --numbers \
    --title 'a -> b -- "c" & <d>' -o plain.dot
lacks "no letters then" 'label="N"' plain.dot
has "numbers" 'label="16"' plain.dot
lacks "nothing marked without scores" 'color=red,' plain.dot
is "a title cannot look like an edge" "$(grep -c -e '--' plain.dot)" 19
expect 0 "letters by hand" "$gx" draw -d "$sets/MUTAG" --id 0 --atoms 0=C,N,2=Xx -o named.dot
has "are used" 'label="Xx"' named.dot

# ---- Nodes.
sed 1d "$sets/ba_shape/edges.csv" | awk -F, '$1 >= 400 && $1 <= 404 && $2 >= 400 && $2 <= 404 {print $1, $2}' |
    score_file node.csv node 400 400-401 401-402
expect 0 "a node" "$gx" draw -d "$sets/ba_shape" --scores node.csv --id 400 --hops 1 -o node.dot
marks "marks exactly the kept edges" node.dot node.csv 400
has "the explained node has a ring" '400 \[.*peripheries=2' node.dot
is "no other has" "$(grep -c peripheries node.dot)" 1
has "edges without a row are drawn" 'no score' node.dot
has "classes are in the legend" 'class 2' node.dot
expect 0 "no hop at all" "$gx" draw -d "$sets/ba_shape" --scores node.csv --id 400 --hops 0 -o small.dot
marks "still shows all that is kept" small.dot node.csv 400

# ---- Directions.
echo '{"nodes": 4, "edges": [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3]], "node_labels": [0, 1, 0, 1]}' >g.json
printf 'graph,src,dst,score,rank,kept\n0,0,1,3,0,1\n0,1,0,1,3,0\n0,1,2,2,1,1\n0,2,1,2,2,1\n' >way.csv
expect 0 "JSON on standard input" sh -c "'$gx' draw -q -d - --scores way.csv -o way.dot <g.json"
marks "one direction of a pair" way.dot way.csv 0
has "is an arrow" '0 -> 1 .color=red, penwidth=5, tooltip' way.dot
has "both directions are one line" '1 -> 2 .color=red, penwidth=5, dir=none' way.dot
has "a one-way edge is an arrow" '2 -> 3 .tooltip="no score"' way.dot
is "three lines in all" "$(edges way.dot | wc -l | tr -d ' ')" 3

# ---- Errors.
printf 'graph,src,dst,score\n500,0,1,1\n' >far.csv
expect 3 "scores of a graph that is not there" "$gx" draw -d "$sets/MUTAG" --scores far.csv --id 0 -o bad.dot
says "named" "no graph 500"
printf 'graph,src,dst,score\n0,0,99,1\n' >far.csv
expect 3 "of a node" "$gx" draw -d "$sets/MUTAG" --scores far.csv --id 0 -o bad.dot
expect 3 "of a node in a graph that is not drawn" "$gx" draw -d "$sets/MUTAG" --scores far.csv --id 1 -o bad.dot
printf 'graph,src,dst,score\n0,0,9,1\n' >far.csv
expect 3 "of an edge" "$gx" draw -d "$sets/MUTAG" --scores far.csv --id 0 -o bad.dot
says "says what may be wrong" "scores of another data set"
expect 3 "scores of nodes for a set of graphs" "$gx" draw -d "$sets/MUTAG" --scores node.csv --id 0 -o bad.dot
expect 3 "no scores file's columns" "$gx" draw -d "$sets/MUTAG" --scores "$sets/ba_shape/edges.csv" --id 0 -o bad.dot
expect 2 "an id that is not there" "$gx" draw -d "$sets/MUTAG" --id 188 -o bad.dot
expect 2 "no id" "$gx" draw -d "$sets/MUTAG" -o bad.dot
expect 2 "an unknown format" "$gx" draw -d "$sets/MUTAG" --id 0 -o bad.gif
says "names those there are" ".svg, .png or .dot"
expect 2 "several pictures, one name" "$gx" draw -d "$sets/MUTAG" --id 0-2 -o bad.dot
expect 2 "unknown escape" "$gx" draw -d "$sets/MUTAG" --id 0 -o 'bad%z.dot'
expect 2 "a file that is there" "$gx" draw -d "$sets/MUTAG" --id 0 -o mutag.dot
expect 0 "-f overwrites it" "$gx" draw -d "$sets/MUTAG" --id 0 -f -o again.dot
expect 1 "a missing directory" "$gx" draw -d "$sets/MUTAG" --id 0 -o no/such/bad.dot
expect 2 "atoms without a symbol" "$gx" draw -d "$sets/MUTAG" --id 0 --atoms C,,O -o bad.dot
expect 2 "--topk without scores" "$gx" draw -d "$sets/MUTAG" --id 0 --topk 3 -o bad.dot
expect 0 "a graph without a row" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --id 5 -o none.dot
says "is said" "no row of graph 5"
awk 'BEGIN {printf "{\"nodes\": 6000, \"edges\": ["; for (i = 1; i < 6000; i++) printf "%s[0,%d],[%d,0]", (i > 1 ? "," : ""), i, i; print "]}"}' >large.json
expect 4 "too large a graph" "$gx" draw -d large.json -o bad.svg
says "with advice" "--hops N draws less"
expect 0 "is written as DOT" "$gx" draw -d large.json -o large.dot
mkdir nothing
expect 1 "without Graphviz" env PATH="$PWD/nothing" "$gx" draw -d "$sets/MUTAG" --id 0 -o bad.svg
says "names what is missing" "graphviz (neato) not found; -o FILE.dot needs no program"
printf '#!/bin/sh\necho out of ink >&2\nexit 7\n' >nothing/neato
chmod +x nothing/neato
expect 1 "Graphviz fails" env PATH="$PWD/nothing:$PATH" "$gx" draw -d "$sets/MUTAG" --id 0 -o bad.svg
says "with its own words" "out of ink"
for f in bad.dot bad.svg bad.gif; do absent "nothing of all that: $f" $f; done

# ---- Pictures.
if command -v neato >/dev/null 2>&1; then
    expect 0 "SVG" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --id 0 -o mutag.svg
    has "is SVG" '<svg' mutag.svg
    is "with three red lines" "$(grep -c 'stroke="red" stroke-width="5"' mutag.svg)" 3
    is "and nothing else in that red" "$(grep -c 'stroke="red"' mutag.svg)" 3
    expect 0 "again" "$gx" draw -d "$sets/MUTAG" --scores mutag.csv --id 0 -f -o again.svg
    same "the same bytes" mutag.svg again.svg
    mkdir pictures
    expect 0 "several at once, PNG" "$gx" draw -q -d "$sets/MUTAG" --scores mutag.csv --id 0,2-3 -o 'pictures/%i.png'
    for i in 0 2 3; do
        is "picture $i is PNG" "$(head -c 4 pictures/$i.png | tail -c 3)" PNG
    done
    # Ended while Graphviz works: by the signal's status, and nothing is left.
    printf '#!/bin/sh\necho $$ >started\nexec sleep 60\n' >nothing/neato
    env PATH="$PWD/nothing:$PATH" "$gx" draw -d "$sets/MUTAG" --id 0 -o slow.svg 2>err &
    pid=$!
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -s started ] || sleep 0.2; done
    kill -TERM "$pid"
    wait "$pid"
    is "interrupted" $? 130
    absent "no picture of it" slow.svg
    if kill -0 "$(cat started)" 2>/dev/null; then fail "the layout program ended too"; else pass "the layout program ended too"; fi
else
    pass "pictures # SKIP graphviz is not installed"
fi
clean "no temporary file is left"
finish
