#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The tests, all of them. Sets up what is missing, builds every configuration, runs everything in
# one go of ctest. Ends with the list of what was skipped and ctest's summary; exits 0 only if
# nothing failed.
set -eu

usage()
{
    cat <<'END'
usage: tests/run.sh [--quick] [--long] [--lint] [-R REGEX] [-h]

    --quick     gcc only: no sanitizers, no fuzzers, no other machines
    --long      the big seeded sweeps, too: hours instead of minutes
    --lint      clang-tidy and cppcheck over the sources, instead of the tests
    -R REGEX    only tests whose name matches, as in ctest

Build trees go to $RS_BUILD_DIR, or build/ in the source tree.
END
}

quick=
lint=
regex=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --long)
        RS_TEST_LONG=1
        export RS_TEST_LONG
        ;;
    --lint) lint=yes ;;
    -R)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        regex=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
source=$(pwd)
build=${RS_BUILD_DIR:-build}
mkdir -p "$build"
build=$(cd "$build" && pwd)
jobs=$(nproc 2>/dev/null || echo 2)

. tests/lib/packages.sh
. tests/lib/configure.sh

need_everything
if [ -n "$lint" ]; then
    exec sh tests/lib/lint.sh "$source" "$build/lint" "$jobs"
fi

# name compiler options...
configurations=gcc
configure gcc gcc -DRS_BUILD_BENCH=ON -DRS_BUILD_TESTS=ON -DRS_LIBDEFLATE=ON
if [ -z "$quick" ]; then
    configurations="gcc asan tsan fuzz"
    configure asan clang -DRS_SANITIZE=address -DRS_BUILD_TESTS=ON -DRS_LIBDEFLATE=OFF
    configure tsan clang -DRS_SANITIZE=thread -DRS_BUILD_TESTS=ON -DRS_LIBDEFLATE=ON
    configure fuzz clang -DRS_SANITIZE=address -DRS_BUILD_FUZZERS=ON -DRS_BUILD_EXAMPLES=OFF
fi
for configuration in $configurations; do
    echo "== Building $configuration"
    cmake --build "$build/$configuration" -j "$jobs"
done

# One directory of tests whose subdirectories are the build trees: one run, one summary.
for configuration in $configurations; do
    echo "subdirs(\"$configuration\")"
done >"$build/CTestTestfile.cmake"

echo "== Testing"
status=0
without_aslr_if_needed ctest --test-dir "$build" -j "$jobs" --output-on-failure --no-tests=error \
    -O "$build/ctest.log" ${regex:+-R "$regex"} </dev/null || status=$?

python3 tests/lib/summary.py "$build"
exit $status
