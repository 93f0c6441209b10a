#!/bin/sh
# The pictures of the published program: at most 1/255 apart, at least 99 % of the pixels equal.
. "$(dirname "$0")/lib.sh"
data=$DK_ROOT/tests/data/emoji
compare=$DK_ROOT/build/$DK_VARIANT/tests/png_compare

expect 0 "all recorded runs at once" "$dit" -m "$model" --prompts "$data/prompts.jsonl" -o '%n-%i.png'
run=0
while read -r case count; do
    i=0
    while [ "$i" -lt "$count" ]; do
        expect 0 "$case $i" "$compare" "$run-$i.png" "$data/${case}_$i.png"
        i=$((i + 1))
    done
    run=$((run + 1))
done <<LIST
full 1
four 4
negative 1
noguide 1
unicode 1
long 1
onestep 1
fifty 2
LIST
expect 0 "the same on the plain loops" "$dit" -m "$model" --prompt "red apple" --seed 1 --reference -o ref.png
expect 0 "also agree" "$compare" ref.png "$data/full_0.png"
finish
