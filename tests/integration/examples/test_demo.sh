#!/bin/sh
# SPDX-License-Identifier: MIT
# The demonstration, small, from another directory and without a terminal: it says that all is
# right, and leaves nothing behind. If anything differs it says so and fails.
set -eu

if [ -n "${RS_TEST_SANITIZE-}" ]; then
    echo "the demonstration is tested as users build it, without a sanitizer"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/tmp" "$scratch/bin"
export RS_BUILD_DIR="$scratch/build" TMPDIR="$scratch/tmp"
cd /

# expect CODE TEXT ARGUMENTS...: how it ends, what it says, and that it cleans up
expect()
{
    code=$1
    text=$2
    shift 2
    status=0
    "$RS_TEST_SOURCE/examples/demo.sh" "$@" >"$scratch/out" 2>&1 </dev/null || status=$?
    if [ "$status" -ne "$code" ] || ! grep -q "$text" "$scratch/out"; then
        cat "$scratch/out"
        echo "demo.sh $*: exit code $status, expected $code and '$text'"
        exit 1
    fi
    if [ -n "$(ls -A "$TMPDIR")" ]; then
        echo "demo.sh $*: left something behind: $(ls -A "$TMPDIR")"
        exit 1
    fi
}

expect 0 "every byte    digest [0-9a-f]\{16\} at both ends" 64
cat "$scratch/out"

expect 2 usage: 12 34
expect 2 usage: none
expect 2 usage: -5
expect 2 usage: 3
expect 1 "need .* MiB of memory" 9999999

# Programs that are no good, by a cmake that "builds" them.
cat >"$scratch/bin/cmake" <<'END'
#!/bin/sh
[ "$1" = --build ] || exit "${DEMO_BUILD_FAILS:-0}"
mkdir -p "$2/examples"
rm -f "$2/examples"/*
report='{ printf "    \"digest\": \"%s\",\n" '
fields='; printf "  \"memory\": 67108864,\n  \"pages-written\": %s,\n" "${DEMO_WRITTEN:-9}"; }'
cat >"$2/examples/ramsync-send" <<SEND
#!/bin/sh
$report 1111$fields
exit "\${DEMO_SENT:-0}"
SEND
cat >"$2/examples/ramsync-recv" <<RECV
#!/bin/sh
[ -z "\$DEMO_MUTE" ] || exit 5
echo "ramsync-recv: listening on tcp:127.0.0.1:1" >&2
sleep 1
$report "\$DEMO_DIGEST"$fields
exit "\${DEMO_RECEIVED:-0}"
RECV
chmod +x "$2/examples"/*
END
chmod +x "$scratch/bin/cmake"
PATH=$scratch/bin:$PATH
export PATH DEMO_DIGEST=1111 DEMO_MUTE=

(export DEMO_DIGEST=2222; expect 1 "the memories differ: digest 1111 sent, 2222 received" 64)
(export DEMO_SENT=4; expect 1 "the sender ended with exit code 4" 64)
(export DEMO_RECEIVED=2; expect 1 "the receiver ended with exit code 2" 64)
(export DEMO_WRITTEN=0; expect 1 "the writers did not write" 64)
(export DEMO_MUTE=yes; expect 1 "the receiver does not listen" 64)
(export DEMO_BUILD_FAILS=1; expect 1 "the build failed" 64)
