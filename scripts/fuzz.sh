#!/bin/sh
# `make fuzz`: runs each fuzz target for a number of seconds, starting from its corpus. New inputs
# go to build/fuzz/corpus; a finding is left as build/fuzz/TARGET-crash-* and ends the run.
#   scripts/fuzz.sh SECONDS TARGET...
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
for target in "$@"; do
    mkdir -p "build/fuzz/corpus/$target"
    echo "fuzz: $target for $seconds s"
    if ! build/fuzz/engines/"$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
        -max_len=65536 -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" \
        "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"build/fuzz/$target.log" 2>&1; then
        tail -40 "build/fuzz/$target.log"
        exit 1
    fi
    grep -E 'stat::(number_of_executed_units|peak_rss_mb)' "build/fuzz/$target.log"
done
