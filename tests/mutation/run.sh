#!/bin/sh
# SPDX-License-Identifier: MIT
#
# usage: tests/mutation/run.sh [--no-control] DIRECTORY [NAME...]
#
# Shows that the tests can fail. Each patch beside this script breaks the library in one place, in
# a copy of the sources in DIRECTORY, and names the test that must notice and what it then says.
# Without a patch the same tests must pass; --no-control leaves that to whoever runs them anyway.
# A patch that does not apply any more is a failure: mend it.
set -eu

patches=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$patches/../.." && pwd)
. "$patches/lib.sh"
control=yes
if [ "${1:-}" = --no-control ]; then
    control=
    shift
fi
[ $# -ge 1 ] || { sed -n '4s/# //p' "$0" >&2; exit 2; }
work=$1
shift
[ $# -gt 0 ] || set -- $(all_names)

jobs=$(nproc 2>/dev/null || echo 2)
compiler=${CC:-cc}
packages="cmocka liburcu-bp zlib"
need patch pkg-config "$compiler"
flags="-std=gnu11 -O1 -D_GNU_SOURCE -pthread -Iinclude -Isrc -Itests $(pkg-config --cflags $packages)"
# Seconds for one run of a test.
limit=120
# For the property test, which ends with the first case that goes wrong.
control_cases=60
cases=1000
RS_TEST_SEED=0
export RS_TEST_SEED RS_TEST_CASES

# compile FILE...: each to its object.
compile()
{
    printf '%s\n' "$@" | xargs -P "$jobs" -I FILE sh -c \
        'object=objects/$(echo "$2" | tr / _).o; exec $0 $1 -c "$2" -o "$object"' \
        "$compiler" "$flags" FILE
}

# link TEST
link()
{
    $compiler -pthread -o "program" "objects/$(test_file "$1" | tr / _).o" objects/src_*.o \
        objects/tests_support_*.o objects/tests_integration_[!t]*.o \
        $(pkg-config --libs $packages)
}

# The file of a test as patches name it.
test_file()
{
    case $1 in
    */*) echo "tests/unit/${1%/*}/test_${1##*/}.c" ;;
    *) echo "tests/integration/test_$1.c" ;;
    esac
}

# The exit code of the program; what it said is in the file output.
run()
{
    code=0
    timeout -k 5 "$limit" ./program >output 2>&1 || code=$?
    return $code
}

copy()
{
    rm -rf "$work"
    mkdir -p "$work/objects" "$work/pristine" "$work/tests/integration"
    cp -R "$source/src" "$source/include" "$work"
    cp -R "$source/tests/support" "$source/tests/unit" "$work/tests"
    cp "$source"/tests/integration/*.[ch] "$work/tests/integration"
    cp -R "$work/src" "$work/pristine"
}

# The files that the last patch has changed are as they were, but their objects are not.
changed=
rebuild()
{
    before=$changed
    changed=$(patched_files "$1")
    compile $before $changed && link "$(say "$1" Test)"
}

# A bug that needs two processors at the same time may hide on a machine that is busy.
try()
{
    RS_TEST_CASES=$cases
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        run || return $?
    done
}

# control TEST
control()
{
    link "$1"
    RS_TEST_CASES=$control_cases
    if run; then
        echo "no mutation: test $1 passes"
    else
        cat output
        echo "test $1 fails without any mutation"
        exit 1
    fi
}

copy
cd "$work"
tests=$(for name in "$@"; do say "$name" Test; done | sort -u)
compile src/*/*.c tests/support/*.c tests/integration/[!t]*.c \
    $(for test in $tests; do test_file "$test"; done)
for test in ${control:+$tests}; do
    control "$test"
done
mutate_all "$@"
