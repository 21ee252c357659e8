#!/bin/sh
# SPDX-License-Identifier: MIT
# lint.sh SOURCE BUILD JOBS: clang-format, clang-tidy and cppcheck. For people: not part of the tests.
set -eu
source=$1
build=$2
jobs=$3
cd "$source"
files=$(find src include examples tests -name '*.c' -o -name '*.h')
status=0

echo "== clang-format"
if command -v clang-format >/dev/null 2>&1; then
    clang-format --dry-run -Werror $files || status=1
fi

echo "== clang-tidy"
cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DRS_BUILD_TESTS=ON -DRS_BUILD_BENCH=ON \
    >/dev/null
printf '%s\n' $files | grep '\.c$' | grep -v '^tests/cross/\|^tests/consumer/' |
    xargs -P "$jobs" -n 4 clang-tidy -p "$build" --quiet || status=1

echo "== cppcheck"
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
    --error-exitcode=1 --suppress=missingIncludeSystem -j "$jobs" -D_GNU_SOURCE \
    -Isrc -Iinclude src examples || status=1
exit $status
