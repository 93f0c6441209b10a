# Sourced by the gnn-explain cases after lib.sh: where the data is, and checks of text, JSON and CSV.
# shellcheck shell=sh disable=SC2034
gx=$DK_BIN/gnn-explain
sets=$DK_ROOT/tests/data/thirdparty
nets=$sets/gnn

is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "found $2, expected $3"; fi; }
has() { if grep -q -e "$2" "$3"; then pass "$1"; else fail "$1" "no $2 in $3: $(head -c 400 "$3")"; fi; }
lacks() { if grep -q -e "$2" "$3"; then fail "$1" "$2 in $3"; else pass "$1"; fi; }
differ() { if cmp -s "$2" "$3"; then fail "$1" "$2 and $3 are equal"; else pass "$1"; fi; }
# number KEY FILE.json: the first number under that key, as text
number() { sed -n "s/^ *\"$1\": \\([-+0-9.e]*\\),*\$/\\1/p" "$2" | head -1; }
# rows FILE.csv: rows below the header
rows() { sed 1d "$1" | wc -l | tr -d ' '; }
# near 'what' ABSOLUTE RELATIVE FOUND.csv WANTED.csv: the same rows by their first column, columns
# found by name; every column of WANTED is within ABSOLUTE + RELATIVE |wanted| or the same text.
near() {
    if problem=$(awk -F, -v abs="$2" -v rel="$3" '
            function size(v) { return v < 0 ? -v : v }
            { sub(/\r$/, "") }
            FNR == 1 && NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
            FNR == 1 {
                for (i = 1; i <= NF; i++) {
                    if (!($i in column)) {print "no column " $i; exit 1}
                    place[i] = column[$i]; title[i] = $i
                }
                second = 1; next
            }
            !second { found[++rows] = $0; next }
            {
                count++
                if (count > rows) {print "more than " rows " rows wanted"; exit 1}
                split(found[count], f, ",")
                for (i = 1; i <= NF; i++) {
                    v = f[place[i]]
                    if (v != $i && (v == "" || size(v - $i) > abs + rel * size($i))) {
                        print "row " count " (" $1 "): " title[i] " is " v ", expected " $i; exit 1
                    }
                }
            }
            END { if (count != rows && count <= rows) {print rows " rows, expected " count; exit 1} }' "$4" "$5"); then
        pass "$1"
    else
        fail "$1" "$problem"
    fi
}
# instances SUMMARY.json: its instances as CSV
instances() {
    awk 'BEGIN {print "graph,label,prediction,target,nodes,edges,k_cap_0.7,k_best,fid_plus,fid_minus,sparsity"}
        /"instances": \[/ {inside = 1}
        inside && /^ *"[a-z_]*": / {
            k = $1; v = $2; gsub(/[":]/, "", k); sub(/,$/, "", v); value[k] = v
            if (k == "sparsity")
                print value["id"] "," value["label"] "," value["prediction"] "," value["target"] "," value["nodes"] "," \
                    value["edges"] "," value["cap"] "," value["size"] "," value["fid_plus"] "," value["fid_minus"] "," v
        }
        /"averages"/ {exit}' "$1"
}
