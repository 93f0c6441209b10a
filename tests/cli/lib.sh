# Sourced by the command-line cases: TAP lines, a scratch directory, and checks. Each case runs in
# its own empty directory; $dit is the program, $model the bundled model.
# shellcheck shell=sh
set -u
name=$(basename "$0" .sh)
# shellcheck disable=SC2034  # used by the cases
dit=$DK_BIN/dit-sample
# shellcheck disable=SC2034
model=$DK_ROOT/models/emoji
scratch=$DK_TEST_TMP/$name
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch" || exit 1
n=0
failed=0

pass() { n=$((n + 1)); echo "ok $n - $1"; }
fail() { n=$((n + 1)); failed=1; echo "not ok $n - $1"; [ -z "${2:-}" ] || echo "$2" | sed 's/^/# /'; }

# expect STATUS 'what' command... : runs it with output in ./out and ./err
expect() {
    want=$1
    what=$2
    shift 2
    "$@" >out 2>err
    got=$?
    if [ "$got" -eq "$want" ]; then
        pass "$what"
    else
        fail "$what" "status $got, expected $want: $(head -c 600 err)"
    fi
}
# says 'what' TEXT: the last ./err holds TEXT
says() {
    if grep -qF -- "$2" err; then pass "$1"; else fail "$1" "expected: $2; stderr: $(head -c 600 err)"; fi
}
same() { if cmp -s "$2" "$3"; then pass "$1"; else fail "$1" "$2 and $3 differ"; fi; }
exists() { if [ -e "$2" ]; then pass "$1"; else fail "$1" "$2 is not there"; fi; }
absent() { if [ ! -e "$2" ]; then pass "$1"; else fail "$1" "$2 is there"; fi; }
# No half-written or temporary file in the directory.
clean() {
    left=$(find . -name '.*.tmp' | head -3)
    if [ -z "$left" ]; then pass "$1"; else fail "$1" "left behind: $left"; fi
}
finish() { echo "1..$n"; exit $failed; }
