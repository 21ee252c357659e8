#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The demonstration: a guest whose threads keep writing to its memory moves from one process to
# another over loopback TCP, and every byte of it is checked. Sets up what is missing, builds into
# build/demo, and leaves nothing else behind. Exits 0 only if nothing differs.
set -eu

usage()
{
    cat <<'END'
usage: examples/demo.sh [-h] [MIB]

Moves a guest of MIB mebibytes (1024) with active writers from one process to another.
The build tree is demo/ in $RS_BUILD_DIR, or in build/ of the source tree.
END
}

fail()
{
    echo "demo: $*" >&2
    exit 1
}

mib=1024
case ${1-} in
-h | --help)
    usage
    exit 0
    ;;
?*) mib=$1 ;;
esac
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

# ---- setting up ------------------------------------------------------------------------------

[ "$(uname -s)" = Linux ] || fail "libramsync is for Linux"
free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
free=$((${free:-0} / 1024))
needed=$((mib * 2 + mib / 8 + 64))
[ "$free" -ge "$needed" ] ||
    fail "two guests of $mib MiB need $needed MiB of memory, $free are free;" \
        "a smaller one is possible: examples/demo.sh MIB"

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
send=$build/examples/ramsync-send
recv=$build/examples/ramsync-recv

# ---- moving a guest --------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/ramsync-demo.XXXXXX")
receiver=

clean_up()
{
    if [ -n "$receiver" ]; then
        # Nothing weaker: a shell that has not become the receiver yet would miss it.
        kill -KILL "$receiver" 2>/dev/null || true
        wait "$receiver" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

: >"$work/recv.log" # now, not when the receiver's shell comes to it
"$recv" --from tcp:127.0.0.1:0 --verify --json >"$work/recv.json" 2>"$work/recv.log" &
receiver=$!
address=
tries=100
while [ -z "$address" ]; do
    address=$(sed -n 's/^ramsync-recv: listening on //p' "$work/recv.log")
    if ! kill -0 "$receiver" 2>/dev/null || [ "$tries" -eq 0 ]; then
        cat "$work/recv.log" >&2
        fail "the receiver does not listen"
    fi
    tries=$((tries - 1))
    [ -n "$address" ] || sleep 0.1
done

echo "demo: moving a guest of $mib MiB with 2 writers to $address"
sent=0
"$send" --to "$address" --memory "${mib}M" --writers 2 --dirty-rate 10000 \
    --working-set "$((mib / 8))M" --max-bandwidth 0 --verify --json --progress \
    >"$work/send.json" || sent=$?
if [ "$sent" -ne 0 ]; then
    cat "$work/recv.log" >&2
    fail "the sender ended with exit code $sent"
fi
received=0
wait "$receiver" || received=$?
receiver=

# ---- looking at it ---------------------------------------------------------------------------

# value FILE NAME: of a "NAME": VALUE line
value()
{
    sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$work/$1.json"
}

if [ "$received" -ne 0 ]; then
    cat "$work/recv.log" >&2
    fail "the receiver ended with exit code $received"
fi
digest=$(value send digest)
[ -n "$digest" ] || fail "the sender told no digest"
[ "$digest" = "$(value recv digest)" ] ||
    fail "the memories differ: digest $digest sent, $(value recv digest) received"
[ "$(value recv memory)" -eq "$((mib * 1024 * 1024))" ] ||
    fail "the receiver has $(value recv memory) bytes of memory"
[ "$(value send pages-written)" -gt 0 ] && [ "$(value recv pages-written)" -gt 0 ] ||
    fail "the writers did not write"

downtime=$(value send downtime-ns)
cat <<END
demo: done, and all of it is right
    total time    $(value send seconds) s
    downtime      $(awk "BEGIN { printf \"%.3f\", $downtime / 1e6 }") ms
    throughput    $(value send mbps) Mbit/s, $(value send transferred) bytes
    rounds        $(value send dirty-sync-count)
    every byte    digest $digest at both ends
    every page    verified by the guest before it wrote it again: $(value send pages-written) times
                  here, $(value recv pages-written) times where it went on
END
