#!/bin/sh
# SPDX-License-Identifier: MIT
# man.sh DIRECTORY: the man pages are there, and man finds nothing wrong with them.
set -eu
directory=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
status=0

for name in ramsync $(cat "$root/tests/abi/symbols.txt"); do
    [ -s "$directory/man3/$name.3" ] || { echo "FAIL: no page $name(3)" >&2; status=1; }
done
for page in "$directory"/man*/*; do
    sections=$(grep -c '^\.SH' "$page")
    [ "$sections" -ge 3 ] || { echo "FAIL: $page has $sections sections" >&2; status=1; }
done
# Text that is not escaped would be a request that troff does not know.
if command -v groff >/dev/null 2>&1; then
    warnings=$(groff -man -Tutf8 -ww -z "$directory"/man*/* 2>&1)
    [ -z "$warnings" ] || { echo "FAIL: $warnings" >&2; status=1; }
fi
exit $status
