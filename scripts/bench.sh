#!/bin/sh
# `make bench`: timings of this machine as CSV under docs/bench. With PYTHON=path of an interpreter
# that has torch and diffusers, the published pipeline is timed in the same run.
set -eu
cd "$(dirname "$0")/.."
out=docs/bench
mkdir -p "$out" build/bench
repeats=${REPEATS:-3}
machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
{
    echo "machine: $machine, $(nproc) cores"
    echo "compiler: $(${CC:-cc} --version | head -n 1)"
    echo "command: make bench REPEATS=$repeats${PYTHON:+ PYTHON=...}"
} >"$out/machine.txt"

build/release/perf/bench_ops >"$out/ops.csv"
{
    echo case,threads,min_seconds,median_seconds
    # Whole runs, loading included: the best and the middle of $repeats.
    for count in 1 8; do
        for k in $(seq "$repeats"); do
            rm -f build/bench/*.png
            s=$(date +%s.%N)
            bin/dit-sample -q -m models/emoji --prompt "red apple" --count $count --seed 1 \
                -o "build/bench/%i.png"
            e=$(date +%s.%N)
            echo "$k $s $e"
        done | awk -v c=$count -v t="$(nproc)" '{print ($3 - $2) / c}' | sort -n |
            awk -v c=$count -v t="$(nproc)" '{v[NR] = $1}
                END {printf "emoji s/image of %d (20 steps and loading),%d,%.3f,%.3f\n", c, t, v[1], v[int((NR + 1) / 2)]}'
    done
    build/release/perf/bench_pixart "$repeats" | tail -n +2
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" scripts/dev/bench_python.py "$repeats" "$(nproc)" 2>/dev/null | tail -n +2
    fi
} | tee "$out/sample.csv"
sh scripts/bench_gnn.sh
