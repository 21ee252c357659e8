#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The demonstration: a guest that keeps writing to its memory moves from one process to another over
# loopback TCP, and every byte of it is checked. Where KVM works it is a real guest, of tinyvmm
# (demo/tinyvmm.sh), elsewhere the stand-in of ramsync-send and ramsync-recv (demo/stand_in.sh). Sets
# up what is missing, builds into build/demo, and leaves nothing else behind. Exits 0 only if nothing
# differs.
set -eu

usage()
{
    cat <<'END'
usage: examples/demo.sh [--without-kvm] [-h] [MIB]

Moves a guest of MIB mebibytes (1024) that keeps writing from one process to another.

    --without-kvm   no virtual machine, even where KVM works: threads that write memory instead

The build tree is demo/ in $RS_BUILD_DIR, or in build/ of the source tree.
END
}

fail()
{
    echo "demo: $*" >&2
    exit 1
}

# need_memory MIB
need_memory()
{
    free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
    free=$((${free:-0} / 1024))
    [ "$free" -ge "$1" ] ||
        fail "two guests of $mib MiB need $1 MiB of memory, $free are free;" \
            "a smaller one is possible: examples/demo.sh MIB"
}

mib=1024
without=
while :; do
    case ${1-} in
    -h | --help)
        usage
        exit 0
        ;;
    --without-kvm) without=--without-kvm ;;
    *) break ;;
    esac
    shift
done
[ -z "${1-}" ] || mib=$1
case $mib in
0* | *[!0-9]* | ????????*) mib=0 ;;
esac
if [ "$mib" -lt 16 ] || [ $# -gt 1 ]; then
    usage >&2
    exit 2
fi

cd "$(dirname "$0")/.."
root=$(pwd)
. "$root/tests/lib/packages.sh"
. "$root/examples/demo/tinyvmm.sh"
. "$root/examples/demo/stand_in.sh"

# ---- setting up ------------------------------------------------------------------------------

[ "$(uname -s)" = Linux ] || fail "libramsync is for Linux"
[ -n "$without" ] || without=$(why_not_tinyvmm)
if [ -n "$without" ]; then
    need_memory "$(memory_of_stand_in)"
else
    need_memory "$(memory_of_tinyvmm)"
fi

need_program cmake cmake
need_program ninja ninja-build
need_program pkg-config pkg-config
command -v "${CC:-cc}" >/dev/null 2>&1 || need_program gcc gcc
need_package libc6-dev /usr/include/stdio.h
need_library liburcu-bp liburcu-dev
need_library zlib zlib1g-dev
install_missing

build=${RS_BUILD_DIR:-$root/build}/demo
mkdir -p "$build"
echo "demo: building into $build"
if ! { cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release &&
    cmake --build "$build"; } >"$build/demo.log" 2>&1; then
    cat "$build/demo.log" >&2
    fail "the build failed"
fi
programs=$build/examples

# ---- moving a guest --------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/ramsync-demo.XXXXXX")
started=

# start NAME COMMAND...: in the background, with output to NAME.out and NAME.log. Sets pid_NAME.
start()
{
    name=$1
    shift
    : >"$work/$name.log" # now, not when the program comes to it
    "$@" >"$work/$name.out" 2>"$work/$name.log" &
    eval "pid_$name=$!"
    started="$started $!"
}

stop_started()
{
    for pid in $started; do
        # Nothing weaker: a shell that has not become the program yet would miss it.
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=
}

clean_up()
{
    stop_started
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# milliseconds NANOSECONDS
milliseconds()
{
    awk "BEGIN { printf \"%.3f\", $1 / 1e6 }"
}

if [ -z "$without" ] && start_both --digest; then
    echo "demo: /dev/kvm works: using tinyvmm"
    move_tinyvmm
else
    echo "demo: $without: using ramsync-send and ramsync-recv"
    stop_started
    need_memory "$(memory_of_stand_in)"
    move_stand_in
fi
