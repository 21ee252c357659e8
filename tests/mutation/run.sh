#!/bin/sh
# SPDX-License-Identifier: MIT
#
# usage: tests/mutation/run.sh DIRECTORY [NAME...]
#
# Shows that the tests can fail. Each patch beside this script breaks the library in one place, in
# a copy of the sources in DIRECTORY, and names the test that must notice and what it then says.
# Without a patch the same tests must pass. A patch that does not apply any more is a failure: mend it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
[ $# -ge 1 ] || { sed -n '4s/# //p' "$0" >&2; exit 2; }
work=$1
shift
[ $# -gt 0 ] || set -- $(cd "$here" && ls ./*.patch | sed 's,^\./,,; s,\.patch$,,')

jobs=$(nproc 2>/dev/null || echo 2)
compiler=${CC:-cc}
packages="cmocka liburcu-bp"
flags="-std=gnu11 -O1 -D_GNU_SOURCE -pthread -Iinclude -Isrc -Itests $(pkg-config --cflags $packages)"
# Seconds for one run of a test.
limit=120
# For the property test, which ends with the first case that goes wrong.
control_cases=60
cases=1000
RS_TEST_SEED=0
export RS_TEST_SEED RS_TEST_CASES

for tool in patch pkg-config "$compiler"; do
    command -v "$tool" >/dev/null 2>&1 || { echo "there is no $tool here"; exit 77; }
done

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

# A bug that needs two processors at the same time may hide on a machine that is busy.
run_until_it_fails()
{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        run || return $?
    done
}

fail()
{
    echo "$1"
    failures=$((failures + 1))
}

copy()
{
    rm -rf "$work"
    mkdir -p "$work/objects" "$work/tests/integration"
    cp -R "$source/src" "$source/include" "$work"
    cp -R "$source/tests/support" "$source/tests/unit" "$work/tests"
    cp "$source"/tests/integration/*.[ch] "$work/tests/integration"
    cp -R "$work/src" "$work/pristine"
}

patched_files()
{
    sed -n 's,^+++ b/\([^[:space:]]*\).*,\1,p' "$here/$1.patch"
}

# say NAME FIELD: a line above the patch.
say()
{
    sed -n "s/^$2: //p" "$here/$1.patch"
}

# What changed goes back to what it was.
restore()
{
    for file in $(patched_files "$1"); do
        cp "pristine/${file#src/}" "$file"
    done
    compile $(patched_files "$1")
}

mutate()
{
    test=$(say "$1" Test)
    if ! patch -p1 -s -f <"$here/$1.patch" >output 2>&1; then
        fail "$1: the patch does not apply any more"
        cat output
    elif ! { compile $(patched_files "$1") && link "$test"; } >output 2>&1; then
        fail "$1: it does not compile any more"
        cat output
    else
        RS_TEST_CASES=$cases
        run_until_it_fails && code=0 || code=$?
        said=$(grep -m 1 -e "$(say "$1" Says)" output || :)
        case $code in
        0) fail "$1: test $test did not notice" ;;
        *)
            if [ -n "$said" ]; then
                echo "$1: noticed: $said"
            else
                fail "$1: test $test ended with $code, and not for this"
                cat output
            fi
            ;;
        esac
    fi
    restore "$1"
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

failures=0
copy
cd "$work"
tests=$(for name in "$@"; do say "$name" Test; done | sort -u)
compile src/*/*.c tests/support/*.c tests/integration/[!t]*.c \
    $(for test in $tests; do test_file "$test"; done)
for test in $tests; do
    control "$test"
done
for name in "$@"; do
    mutate "$name"
done
[ "$failures" -eq 0 ] || { echo "$failures of $# mutations were not noticed"; exit 1; }
