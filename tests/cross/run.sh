#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh MACHINE WORK: what is pure computation (base, wire, codec) and its tests in this folder,
# compiled for another machine and run under qemu's user-mode emulation: s390x is big-endian.
set -eu
machine=$1
work=$2
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../../src" && pwd)
cc=$machine-linux-gnu-gcc

skip()
{
    echo "$*"
    exit 77
}

if [ "$(uname -m)" = "$machine" ]; then
    run=
    cc=cc
elif command -v "qemu-$machine-static" >/dev/null 2>&1; then
    run=qemu-$machine-static
elif command -v "qemu-$machine" >/dev/null 2>&1; then
    run=qemu-$machine
else
    skip "no qemu-$machine: package qemu-user-static"
fi
command -v "$cc" >/dev/null 2>&1 || skip "no $cc: package gcc-$machine-linux-gnu"
echo 'int main(void) { return 0; }' | "$cc" -static -x c - -o /dev/null 2>/dev/null ||
    skip "$cc cannot link: package libc6-dev-*-cross"

rm -rf "$work"
mkdir -p "$work/objects"
flags="-std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wconversion -Wshadow -Werror"
flags="$flags -I$source -I$source/../include -I$here/.."

cd "$work/objects"
# There is no zlib for other machines to be had, and zlib_page.c has nothing to do with byte order.
codec=$(ls "$source"/codec/*.c | grep -v '/zlib_page\.c$')
"$cc" $flags -c "$source"/base/*.c $codec "$source"/wire/*.c
cd "$work"
ar rcs libpure.a objects/*.o

status=0
count=0
for test in "$here"/*.c; do
    [ -e "$test" ] || break
    name=$(basename "$test" .c)
    "$cc" $flags -static "$test" libpure.a -pthread -o "$name"
    echo "== $name on $machine"
    $run "./$name" || { echo "FAIL: $name returned $?" >&2; status=1; }
    count=$((count + 1))
done
echo "$count programs"
[ "$count" -gt 0 ] || status=1
exit $status
