#!/bin/sh
# The examples of the READMEs: every line of a ```sh block that names a program is run, in
# order, in an empty directory that sees bin/, models/ and tests/.
. "$(dirname "$0")/lib.sh"

run_examples() {
    file=$1
    dir=$2
    mkdir "$dir"
    ln -s "$DK_BIN" "$dir/bin"
    ln -s "$DK_ROOT/models" "$dir/models"
    ln -s "$DK_ROOT/tests" "$dir/tests"
    printf 'rocket\nred apple\n' >"$dir/prompts.txt"
    awk '/^```sh$/ {on = 1; next} /^```/ {on = 0} on && /dit-sample|gnn-explain|^mkdir/' "$file" >"$dir.examples"
    while IFS= read -r line; do
        expect 0 "$(basename "$(dirname "$file")")/README.md: $line" \
            env PATH="$DK_BIN:$PATH" sh -c "cd $dir && $line"
    done <"$dir.examples"
    if [ -s "$dir.examples" ]; then pass "$dir has examples"; else fail "$dir has examples"; fi
}

run_examples "$DK_ROOT/README.md" top
exists "the picture of the first example" top/apple.png
same "replayed equally" top/apple.png top/again.png
run_examples "$DK_ROOT/tools/dit-sample/README.md" tool
exists "the sheet of the tool's README" tool/sheet.png
same "replayed equally there" tool/apple.png tool/again.png
run_examples "$DK_ROOT/tools/gnn-explain/README.md" gnn
exists "the drawn molecule of gnn-explain's README" gnn/molecule.svg
exists "curves of its comparison" gnn/mutag/overall.svg
for f in csv json; do
    if [ -s gnn/all.$f ]; then pass "merged $f"; else fail "merged $f"; fi
done
finish
