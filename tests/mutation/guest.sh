#!/bin/sh
# SPDX-License-Identifier: MIT
#
# usage: tests/mutation/guest.sh DIRECTORY [NAME...]
#
# Shows that a real guest notices what a migration loses. Each patch in guest/ breaks the library, or
# what tinyvmm does with it, in one place, in a copy of the sources in DIRECTORY; the test that moves
# a guest which looks for it (tests/integration/examples/test_tinyvmm_guest.py) must fail, for the
# reason that the patch says, and pass without it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
patches=$here/guest
. "$here/lib.sh"
[ $# -ge 1 ] || { sed -n '4s/# //p' "$0" >&2; exit 2; }
work=$1
shift
[ $# -gt 0 ] || set -- $(all_names)

if ! reason=$( (exec 3<>/dev/kvm) 2>&1); then
    echo "SKIP: /dev/kvm does not open: ${reason##*: }"
    exit 77
fi
need patch cmake python3

jobs=$(nproc 2>/dev/null || echo 2)
# Seconds for one run of the test.
limit=120

# Everything but the tests: tinyvmm, and the library under it.
copy()
{
    rm -rf "$work"
    mkdir -p "$work/pristine"
    for part in CMakeLists.txt cmake include src examples; do
        cp -R "$source/$part" "$work"
    done
    cp -R "$work/src" "$work/examples" "$work/pristine"
    work=$(cd "$work" && pwd)
}

configure()
{
    if command -v ninja >/dev/null 2>&1; then
        export CMAKE_GENERATOR=Ninja
    fi
    cmake -S . -B build -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O1
}

# build PROGRAM...
build()
{
    cmake --build build -j "$jobs" --target "$@"
}

rebuild()
{
    build tinyvmm
}

run()
{
    code=0
    RS_TEST_PROGRAMS=$work/build/examples timeout -k 5 "$limit" python3 -u \
        "$source/tests/integration/examples/test_tinyvmm_guest.py" >output 2>&1 || code=$?
    return $code
}

# A guest that has lost its memory may fall silent before it can say so: then that is tried again.
try()
{
    code=0
    for _ in 1 2 3; do
        run || code=$?
        if said "$1" >/dev/null; then
            break
        fi
    done
    return $code
}

control()
{
    run && code=0 || code=$?
    case $code in
    0)
        echo "no mutation: the guest finds nothing wrong"
        ;;
    77)
        cat output
        exit 77
        ;;
    *)
        cat output
        echo "the test fails without any mutation"
        exit 1
        ;;
    esac
}

copy
cd "$work"
# The test's helpers ask for all programs.
if ! { configure &&
    build tinyvmm ramsync-send ramsync-recv ramsync-inspect ramsync-convert; } >output 2>&1; then
    cat output
    echo "tinyvmm does not build here"
    exit 1
fi
control
mutate_all "$@"
