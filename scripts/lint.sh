#!/bin/sh
# `make lint`: which room may include which (docs/DESIGN.md section 2), shell scripts, and static
# analysis. Tools that are not installed are named and left out.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

# A room may include itself and the rooms to its left.
allowed() {
    case $1 in
        base) echo base ;;
        num) echo base num ;;
        io) echo base num io ;;
        ops) echo base num io ops ;;
        grad) echo base num io ops grad ;;
        text) echo base num io ops grad text ;;
        graph) echo base num io ops grad graph ;;
        model) echo base num io ops grad text model ;;
    esac
}
for room in base num io ops grad text graph model; do
    [ -d "common/$room" ] || continue
    ok=$(allowed $room)
    # shellcheck disable=SC2013  # room names hold no spaces
    for other in $(grep -rhoE '^#include "[a-z]+/' "common/$room" | sed 's/.*"//; s,/,,' | sort -u); do
        case " $ok " in
            *" $other "*) ;;
            *) echo "layers: common/$room includes $other/:"
               grep -rn "^#include \"$other/" "common/$room"
               bad=1 ;;
        esac
    done
done
for tool in tools/*/; do
    if grep -rnE '^#include "(\.\./|tools/)' "$tool"; then
        echo "layers: $tool includes another tool"
        bad=1
    fi
done
if grep -rnE '\b(atoi|atof|atol|strcpy|strcat|sprintf|gets)\(' common tools tests --include='*.c'; then
    echo "unchecked functions (see above)"
    bad=1
fi

if command -v shellcheck >/dev/null 2>&1; then
    shellcheck -x -S warning -P tests/cli scripts/*.sh tests/*.sh tests/cli/*.sh .ci/run || bad=1
else
    echo "lint: shellcheck is not installed; scripts were not checked"
fi
if command -v cppcheck >/dev/null 2>&1; then
    cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
        '-Djson_object_foreach(o,k,v)=for(;(k)!=0&&(v)!=0;)' '-Djson_array_foreach(a,i,v)=for(;(i)!=0&&(v)!=0;)' \
        --suppress=missingIncludeSystem -Icommon common tools || bad=1
else
    echo "lint: cppcheck is not installed; no static analysis"
fi
[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
