#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD WORK CC CXX GENERATOR: install the built project, use it as its users do: through pkg-config and
# through find_package, from C and from C++, after the installed tree was moved; and the example of
# README.md.
set -eu
build=$1
work=$2
cc=$3
cxx=$4
generator=$5
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

fail()
{
    echo "FAIL: $*" >&2
    exit 1
}

check_files()
{
    for file in include/ramsync/ramsync.h include/ramsync/export.h bin/ramsync-send \
        bin/ramsync-recv bin/ramsync-inspect bin/ramsync-convert \
        share/man/man3/rs_migrate_out.3 share/man/man1/ramsync-send.1; do
        [ -s "$1/$file" ] || fail "$1/$file was not installed"
    done
    [ -z "$(find "$1" -name '*testing*')" ] || fail "the tests' library was installed"
    installed=$(cd "$1/include/ramsync" && ls)
    [ "$installed" = "$(cd "$root/include/ramsync" && ls)" ] || fail "headers: $installed"
}

rm -rf "$work"
mkdir -p "$work"

# As a packager does it: another prefix in the files than where they go.
DESTDIR=$work/package cmake --install "$build" --prefix /opt/ramsync >"$work/log"
check_files "$work/package/opt/ramsync"
[ "$(ls "$work/package")" = opt ] || fail "something was installed beside the prefix"

# As a user does it; and then the tree moves.
cmake --install "$build" --prefix "$work/first" >"$work/log"
mv "$work/first" "$work/prefix"
prefix=$work/prefix
check_files "$prefix"
! grep -rIlE "$work|$build" "$prefix" || fail "these name the place they came from"

libdir=$(dirname "$(find "$prefix" -name libramsync.so)")
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
unset LD_LIBRARY_PATH
"$prefix/bin/ramsync-send" --version || fail "the installed program does not find the library"

echo "== pkg-config"
flags=$(pkg-config --cflags --libs ramsync)
strict="-Wall -Wextra -Wpedantic -Werror"
"$cc" -std=c11 $strict "$here/program.c" $flags -Wl,-rpath,"$libdir" -o "$work/with-pc-c"
"$cxx" -std=c++17 $strict -x c++ "$here/program.c" -x none $flags -Wl,-rpath,"$libdir" \
    -o "$work/with-pc-cxx"
"$work/with-pc-c"
"$work/with-pc-cxx"
pkg-config --exists "ramsync >= 0.1 ramsync < 1" || fail "ramsync.pc has no sensible version"

echo "== find_package"
cmake -S "$here/find_package" -B "$work/cmake" -G "$generator" -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >"$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/cmake" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/cmake/consumer-c"
"$work/cmake/consumer-cxx"

# code LANGUAGE FILE: what stands in the file's code blocks of that language.
code()
{
    awk -v begin="\`\`\`$1" '$0 == begin { inside = 1; next } /^```$/ { inside = 0 } inside' "$2"
}

echo "== docs/embedding.md"
code c "$root/docs/embedding.md" >"$work/embedding.c"
grep -q rs_migrate_out "$work/embedding.c" || fail "docs/embedding.md has lost its code"
"$cc" -std=gnu11 $strict -Wno-unused-function $flags -fsyntax-only "$work/embedding.c"

echo "== README.md"
code c "$root/README.md" >"$work/example.c"
lines=$(grep -c . "$work/example.c") || fail "README.md has no example"
[ "$lines" -le 35 ] || fail "the example has grown to $lines lines: it is to be short"
"$cc" -std=gnu11 $strict "$work/example.c" $flags -Wl,-rpath,"$libdir" -o "$work/example"
"$work/example" >"$work/example.out" || fail "the example returned $?"
# What the README says that it prints.
code text "$root/README.md" | diff - "$work/example.out" || fail "the example prints something else than README.md says"
