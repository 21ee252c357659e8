#!/bin/sh
# SPDX-License-Identifier: MIT
# The demonstration, small, from another directory and without a terminal: it says that all is
# right, and leaves nothing behind. With a receiver that is broken it says so and fails.
set -eu

if [ -n "${RS_TEST_SANITIZE-}" ]; then
    echo "the demonstration is tested as users build it, without a sanitizer"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/tmp"
export RS_BUILD_DIR="$scratch/build" TMPDIR="$scratch/tmp"
cd /

"$RS_TEST_SOURCE/examples/demo.sh" 64 >"$scratch/out" 2>&1 </dev/null || {
    cat "$scratch/out"
    exit 1
}
cat "$scratch/out"
grep -q "all of it is right" "$scratch/out"
grep -q "every byte    digest [0-9a-f]\{16\} at both ends" "$scratch/out"
[ -z "$(ls -A "$TMPDIR")" ]

for arguments in "12 34" none -5 3; do
    status=0
    "$RS_TEST_SOURCE/examples/demo.sh" $arguments >"$scratch/out" 2>&1 </dev/null || status=$?
    [ "$status" -eq 2 ] && grep -q usage: "$scratch/out"
done
