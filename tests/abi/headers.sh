#!/bin/sh
# SPDX-License-Identifier: MIT
# headers.sh CC CXX: each public header compiles alone and twice, in strict C11 and in C++17.
set -eu
cc=$1
cxx=$2
include=$(cd "$(dirname "$0")/../../include" && pwd)
status=0

# compile HEADER COMPILER OPTIONS...
compile()
{
    header=$1
    shift
    printf '#include <ramsync/%s>\n#include <ramsync/%s>\nint unused;\n' "$header" "$header" |
        "$@" -Wall -Wextra -Wpedantic -Werror -Wundef -Wshadow -I"$include" -fsyntax-only - || {
        echo "FAIL: $header with $*" >&2
        status=1
    }
}

for path in "$include"/ramsync/*.h; do
    header=${path##*/}
    compile "$header" "$cc" -x c -std=c11 -Wstrict-prototypes
    compile "$header" "$cxx" -x c++ -std=c++17
done
exit $status
