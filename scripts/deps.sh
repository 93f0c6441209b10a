#!/bin/sh
# Installs what ditkit needs from Debian 12, and only that.
#   scripts/deps.sh           install what is missing (as root or through sudo -n), else name it
#   scripts/deps.sh --check   exit 0 if nothing is missing; prints the missing packages
# Environment: DITKIT_NO_INSTALL=1 never installs, only names what is missing.
set -eu

# file or command that proves the presence of a package, package; a third word "optional" marks programs
# that are only called where they are (drawings, plots): they are installed, but nobody is stopped for them
needs='
/usr/include/png.h libpng-dev
/usr/include/zlib.h zlib1g-dev
/usr/include/jansson.h libjansson-dev
/usr/include/protobuf-c/protobuf-c.h libprotobuf-c-dev
protoc-c protobuf-c-compiler
/usr/include/utf8proc.h libutf8proc-dev
/usr/include/xxhash.h libxxhash-dev
/usr/include/oneapi/dnnl/dnnl.h libdnnl-dev
/usr/include/cmocka.h libcmocka-dev
cc gcc
ar binutils
make make
neato graphviz optional
gnuplot gnuplot-nox optional
'

missing=
required=
while read -r proof package optional; do
    [ -n "$proof" ] || continue
    case $proof in
        /*) [ -e "$proof" ] && continue
            # Multi-arch headers live one directory deeper.
            for f in /usr/include/*/"${proof#/usr/include/}" /usr/local/include/"${proof#/usr/include/}"; do
                [ -e "$f" ] && continue 2
            done ;;
        *)  command -v "$proof" >/dev/null 2>&1 && continue ;;
    esac
    missing="$missing $package"
    [ -n "$optional" ] || required="$required $package"
done <<LIST
$needs
LIST

if [ -z "$missing" ]; then
    exit 0
fi
if [ "${1:-}" = --check ]; then
    echo "missing:$missing"
    exit 1
fi

say() { echo "deps: $*" >&2; }
# Nothing can be installed: only what is required is worth stopping for.
cannot() {
    say "$1:$missing"
    [ -z "$required" ]
    exit
}
if [ "${DITKIT_NO_INSTALL:-0}" = 1 ] || ! command -v apt-get >/dev/null 2>&1; then
    cannot "these Debian 12 packages are missing (other systems: their equivalents)"
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
else
    cannot "missing packages; as root run apt-get install"
fi
say "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # both are lists on purpose
{
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends $missing
} >&2
