#!/bin/sh
# The commands of the manual, on the bundled model.
. "$(dirname "$0")/lib.sh"

expect 0 "one prompt, one picture" "$dit" -m "$model" --prompt "red apple" --seed 1 -o apple.png
exists "the picture is there" apple.png
expect 0 "the same again" "$dit" -m "$model" --prompt "red apple" --seed 1 -o again.png
same "equal runs give equal bytes" apple.png again.png
expect 2 "an existing picture is not overwritten" "$dit" -m "$model" --prompt x --seed 1 -o apple.png
says "and the message says how" "-f"
expect 0 "replay" "$dit" --replay apple.png -o replayed.png
same "replay gives the same bytes" apple.png replayed.png
expect 0 "to standard output" "$dit" -m "$model" --prompt "red apple" --seed 1 -o -
same "the bytes on standard output are the picture" out apple.png

mkdir dir
printf 'red apple\r\n\nrocket\n{"prompt":"cat face","seed":9,"count":1}\n' >prompts.txt
expect 0 "prompts from a file" "$dit" -m "$model" --prompts prompts.txt --count 2 --seed 1 --steps 4 \
    -o 'dir/%n-%p-%i-%s.png' --sheet sheet.png --json
for f in dir/0-red-apple-0-1.png dir/0-red-apple-1-2.png dir/1-rocket-0-1.png dir/1-rocket-1-2.png \
    dir/2-cat-face-0-9.png sheet.png; do
    exists "$f" "$f"
done
if grep -q '"path": "dir/2-cat-face-0-9.png"' out; then pass "--json lists paths"; else fail "--json lists paths" "$(cat out)"; fi
expect 0 "one of them alone" "$dit" -m "$model" --prompt rocket --seed 2 --steps 4 -o alone.png
same "image i is made again alone with seed S+i" alone.png dir/1-rocket-1-2.png
expect 0 "prompts from standard input" sh -c "echo rocket | '$dit' -m '$model' --prompts - --seed 2 --steps 4 -o in.png"
same "standard input gives the same picture" alone.png in.png

# Shards together make what one run makes.
mkdir a b
for i in 1 2; do
    expect 0 "shard $i/2" "$dit" -m "$model" --prompts prompts.txt --count 2 --seed 1 --steps 4 \
        --shard $i/2 -o "b/%n-%p-%i-%s.png"
done
if diff -r dir b >/dev/null; then pass "shards give the same files"; else fail "shards give the same files" "$(diff -rq dir b)"; fi

# Threads and batches.
for j in 1 2 3; do
    for b in 1 4; do
        expect 0 "threads $j, batch $b" "$dit" -m "$model" --prompt "cat face" --count 4 --seed 7 \
            --steps 4 -j $j --batch $b -o "t-$j-$b-%i.png" --latent-out "l-$j-$b.safetensors"
        same "latents equal those of one thread, batch 1" l-1-1.safetensors "l-$j-$b.safetensors"
        same "picture equals that of one thread, batch 1" t-1-1-3.png "t-$j-$b-3.png"
    done
done

# Embeddings and latents through files.
expect 0 "--embeds-out alone" "$dit" -m "$model" --prompt "red apple" --seed 1 --embeds-out e.safetensors
expect 0 "--embeds-in" "$dit" -m "$model" --embeds-in e.safetensors --seed 1 --latent-out le.safetensors
expect 0 "--latent-out" "$dit" -m "$model" --prompt "red apple" --seed 1 --latent-out lp.safetensors
same "states from a file give the same latents" le.safetensors lp.safetensors
expect 0 "--trace" "$dit" -m "$model" --prompt "red apple" --seed 1 --trace tr.safetensors -o t.png
same "a traced picture is the same picture" t.png apple.png
expect 0 "previews" "$dit" -m "$model" --prompt "red apple" --seed 1 --preview-every 8 -o p.png
exists "preview of step 8" p.step008.png
exists "preview of step 16" p.step016.png
same "previews leave the picture alone" p.png apple.png
for s in ddim ddpm euler dpm++; do
    expect 0 "--scheduler $s" "$dit" -m "$model" --prompt "red apple" --seed 1 --steps 10 --scheduler $s -o "s-$s.png"
    expect 0 "replay of $s" "$dit" --replay "s-$s.png" -o "r-$s.png"
    same "replay of $s is equal" "s-$s.png" "r-$s.png"
done
expect 0 "--size" "$dit" -m "$model" --prompt "red apple" --seed 1 --steps 2 --size 96x64 -o wide.png
expect 0 "--rng philox" "$dit" -m "$model" --prompt "red apple" --seed 1 --steps 2 --rng philox -o ph.png

expect 0 "inspect" "$dit" inspect "$model"
expect 0 "inspect --json" "$dit" inspect "$model" --json
if grep -q '"missing": \[\]' out; then pass "nothing is missing"; else fail "nothing is missing" "$(head -30 out)"; fi
expect 0 "--dry-run" "$dit" -m "$model" --prompt x --dry-run --json
if grep -q peak_memory_bytes out; then pass "dry run tells the memory"; else fail "dry run tells the memory"; fi
expect 0 "tokenize" sh -c "printf 'red apple\n' | '$dit' tokenize -m '$model'"
if [ "$(cat out)" = '{"text":"red apple","ids":[43,507],"pieces":["▁red","▁apple"]}' ]; then
    pass "tokens"
else
    fail "tokens" "$(cat out)"
fi
for action in "" inspect tokenize; do
    # shellcheck disable=SC2086
    expect 0 "help $action" "$dit" $action --help
done
expect 0 "version" "$dit" --version
clean "no temporary files are left"

finish
