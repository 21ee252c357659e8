#!/bin/sh
# SPDX-License-Identifier: MIT
# The demonstration, small, from another directory and without a terminal: with a virtual machine where
# that is possible, and without. It says which, that all is right, and leaves nothing behind. If
# anything differs it says so and fails.
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

# Where it runs, if not here.
inside=

# expect CODE TEXT ARGUMENTS...: how it ends, what it says, and that it cleans up
expect()
{
    code=$1
    text=$2
    shift 2
    status=0
    $inside "$RS_TEST_SOURCE/examples/demo.sh" "$@" >"$scratch/out" 2>&1 </dev/null || status=$?
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

every_byte="every byte    digest [0-9a-f]\{16\} at both ends"

# said TEXT: beside what was expected
said()
{
    grep -q "$1" "$scratch/out" && return 0
    cat "$scratch/out"
    echo "it does not say '$1'"
    exit 1
}

kvm=
if reason=$( (exec 3<>/dev/kvm) 2>&1) && [ "$(uname -m)" = x86_64 ]; then
    kvm=yes
fi

expect 0 "$every_byte" 64
cat "$scratch/out"
if [ -n "$kvm" ]; then
    said "^demo: /dev/kvm works: using tinyvmm"
    said "downtime  *[0-9.][0-9.]* ms: [0-9.][0-9.]* to stop the vCPUs, [0-9.][0-9.]* last sync,$"
    said " [0-9.][0-9.]* last pages, [0-9.][0-9.]* devices, [0-9.][0-9.]* hand-over$"
    said "before it  *[0-9.][0-9.]* ms in the dirty log, [0-9.][0-9.]* ms "
elif [ "$(uname -m)" = x86_64 ]; then
    said "^demo: /dev/kvm cannot be opened (${reason##*: }): using ramsync-send and ramsync-recv"
fi
expect 0 "$every_byte" --without-kvm 64
cat "$scratch/out"
said "^demo: --without-kvm: using ramsync-send and ramsync-recv"
if [ -n "$kvm" ]; then
    expect 0 "$every_byte" 16
    said "^demo: guests of tinyvmm have 24 to 3072 MiB: using ramsync-send and ramsync-recv"
fi

expect 2 usage: 12 34
expect 2 usage: none
expect 2 usage: -5
expect 2 usage: --with-kvm
expect 2 usage: 3
expect 0 "usage: .*--without-kvm" --help
expect 1 "need .* MiB of memory" 9999999

# A /dev/kvm that does not open, and one that is no KVM.
cat >"$scratch/bin/shut" <<'END'
mount --bind /dev/kvm /dev/kvm && mount -o remount,bind,nodev /dev/kvm && exec "$@"
END
cat >"$scratch/bin/other" <<'END'
mount --bind /dev/null /dev/kvm && exec "$@"
END
if [ -z "$kvm" ]; then
    :
elif unshare -m sh "$scratch/bin/shut" true 2>"$scratch/why"; then
    inside="unshare -m sh $scratch/bin/shut"
    expect 0 "$every_byte" 64
    said "^demo: /dev/kvm cannot be opened (Permission denied): using ramsync-send and ramsync-recv"
    inside="unshare -m sh $scratch/bin/other"
    expect 0 "$every_byte" 64
    said "^demo: tinyvmm has no guest (KVM_.*): using ramsync-send and ramsync-recv"
    inside=
else
    echo "not tested: a /dev/kvm that is no good: $(head -n 1 "$scratch/why")"
fi

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
cat >"$2/examples/tinyvmm" <<'VMM'
#!/bin/sh
# control PATH COMMAND, or run OPTION... with --control PATH among them
name=${2##*/}
case "$1 ${3-}" in
"control quit") rm "$2" ;;
"control migrate") [ -z "$DEMO_NO_WAY" ] || { echo "tinyvmm: no way" >&2; exit 1; } ;;
"control status")
    [ -e "$2" ] || exit 1
    printf '%s: %s\n' migration "$DEMO_MIGRATION" reason "of $name" total 64 remaining 0
    case $name in
    here*) echo "digest: 1111" ;;
    *) echo "digest: $DEMO_DIGEST" ;;
    esac
    ;;
run*)
    while [ "$1" != --control ]; do shift; done
    if [ "$DEMO_DIES" = "${2##*/}" ]; then
        : >"$2"
        sleep 1
        exit 2
    fi
    for line in 1 2 3; do
        printf 'vcpu %s: 1024 pages, 1 ticks\n' 0 1
    done
    : >"$2"
    while [ -e "$2" ]; do sleep 0.1; done
    exit "${DEMO_ENDED:-0}"
    ;;
esac
VMM
chmod +x "$2/examples"/*
END
chmod +x "$scratch/bin/cmake"
PATH=$scratch/bin:$PATH
export PATH DEMO_DIGEST=1111 DEMO_MUTE=

(
    export DEMO_DIGEST=2222
    expect 1 "the memories differ: digest 1111 sent, 2222 received" --without-kvm 64
)
(export DEMO_SENT=4; expect 1 "the sender ended with exit code 4" --without-kvm 64)
(export DEMO_RECEIVED=2; expect 1 "the receiver ended with exit code 2" --without-kvm 64)
(export DEMO_WRITTEN=0; expect 1 "the writers did not write" --without-kvm 64)
(export DEMO_MUTE=yes; expect 1 "the receiver does not listen" --without-kvm 64)
(export DEMO_BUILD_FAILS=1; expect 1 "the build failed" 64)

[ -n "$kvm" ] || exit 0
export DEMO_MIGRATION=completed DEMO_DIES= DEMO_NO_WAY=
(
    export DEMO_DIGEST=2222
    expect 1 "the memories differ: digest 1111 sent, 2222 received" 64
)
(export DEMO_DIGEST=; expect 1 "the memories differ: digest 1111 sent,  received" 64)
(export DEMO_MIGRATION=failed; expect 1 "the migration ends as failed here: of here" 64)
(export DEMO_NO_WAY=yes; expect 1 "the source does not migrate: tinyvmm: no way" 64)
(export DEMO_DIES=here.control; expect 1 "the guest does not go on" 64)
(export DEMO_DIES=there.control; expect 1 "the guest does not go on" 64)
(export DEMO_ENDED=2; expect 1 "tinyvmm ended with exit code 2" 64)
