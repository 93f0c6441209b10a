#!/bin/sh
# Runs every test and ends with "N passed, N failed, N skipped".
#   tests/run.sh release|asan [name-pattern]
# Three kinds, all speaking TAP: unit programs (tests/unit), command-line cases (tests/cli/*.sh) and
# the replay of the fuzz corpora (always under ASan and UBSan).
set -u
variant=${1:-release}
pattern=${2:-}
cd "$(dirname "$0")/.." || exit 1

if [ "$variant" = release ]; then bin=$PWD/bin; else bin=$PWD/build/$variant/bin; fi
out=build/$variant/results
rm -rf "$out" "build/$variant/tmp"
mkdir -p "$out" "build/$variant/tmp"
export DK_BIN="$bin" DK_TEST_TMP="$PWD/build/$variant/tmp" DK_ROOT="$PWD" DK_VARIANT="$variant"
export CMOCKA_MESSAGE_OUTPUT=TAP
# oneDNN and libgomp keep allocations for the life of the process: not leaks of ours.
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp:print_suppressions=0"
export ASAN_OPTIONS="allocator_may_return_null=1"
# Waiting threads sleep instead of spinning: the tests must not slow down on a busy machine.
export OMP_WAIT_POLICY=passive

run() { # name, command...
    name=$1
    shift
    case $name in *"$pattern"*) ;; *) return ;; esac
    "$@" >"$out/$name.tap" 2>"$out/$name.err"
    status=$?
    bad=$(grep -c '^not ok' "$out/$name.tap")
    good=$(grep -c '^ok' "$out/$name.tap")
    # A program that died, or that ran no test at all, is a failure of its own.
    if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
        echo "not ok - $name ended with status $status" >>"$out/$name.tap"
        bad=1
    elif [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
        echo "not ok - $name ran no test" >>"$out/$name.tap"
        bad=1
    fi
    if [ "$bad" -ne 0 ]; then
        echo "--- $name: $bad failed, $good passed"
        grep -A12 '^not ok' "$out/$name.tap" | head -60
        tail -40 "$out/$name.err"
    else
        echo "    $name: $good"
    fi
}

for source in tests/unit/test_*.c; do
    name=$(basename "$source" .c)
    run "$name" "build/$variant/tests/$name"
done
for case in tests/cli/*.sh; do
    case $case in */lib.sh) continue ;; esac
    run "cli-$(basename "$case" .sh)" sh "$case"
done
for source in tests/fuzz/fuzz_*.c; do
    what=$(basename "$source" .c)
    what=${what#fuzz_}
    run "fuzz-$what" "build/asan/fuzz/$what" "tests/fuzz/corpus/$what"
done

count() { cat "$out"/*.tap | grep -c "$1"; }
failed=$(count '^not ok')
skipped=$(count '^ok.*# *[Ss][Kk][Ii][Pp]')
passed=$(($(count '^ok') - skipped))
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
