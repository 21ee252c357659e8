#!/bin/sh
# SPDX-License-Identifier: MIT
# symbols.sh LIBRARY: the same names are declared RS_API in the headers, listed in the symbol map and
# in symbols.txt, and exported by the library with the right version; and nothing else is.
set -eu
library=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL

sort "$here/symbols.txt" >"$work/symbols.txt"
python3 "$root/cmake/apidoc" symbols | sort >"$work/headers"
# A line of the map: tab, name, semicolon.
sed -n 's/^	\(rs_[a-z0-9_]*\);$/\1/p' "$root/src/ramsync.map" | sort >"$work/map"
nm -D --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' |
    sort >"$work/exported"
sed 's/$/@@RAMSYNC_0.1/' "$work/symbols.txt" >"$work/expected"

status=0
compare()
{
    if ! diff -u "$work/$1" "$work/$2"; then
        echo "FAIL: $3" >&2
        status=1
    fi
}
compare symbols.txt headers "include/ramsync/*.h and tests/abi/symbols.txt differ"
compare symbols.txt map "src/ramsync.map and tests/abi/symbols.txt differ"
compare expected exported "$library does not export what tests/abi/symbols.txt lists"

soname=$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
if [ "$soname" != libramsync.so.0 ]; then
    echo "FAIL: SONAME is '$soname'" >&2
    status=1
fi
[ -s "$work/symbols.txt" ] || status=1
exit $status
