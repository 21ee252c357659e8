# SPDX-License-Identifier: MIT
# Sourced by demo.sh: the guest is a real one, under KVM. Its vCPUs go round a sixteenth of its
# memory, check each page, and write it anew. It moves from the tinyvmm that is called here to there.

vcpus=2
working_set=$((mib / 16))
# So many lines has each vCPU printed when it has been everywhere: one in 1024 pages.
round=$((working_set * 256 / vcpus / 1024 + 2))

# Says why it cannot be tinyvmm, or nothing.
why_not_tinyvmm()
{
    if [ "$(uname -m)" != x86_64 ]; then
        echo "tinyvmm is for x86-64"
    elif ! reason=$( (exec 3<>/dev/kvm) 2>&1); then
        echo "/dev/kvm cannot be opened (${reason##*: })"
    elif [ "$mib" -lt 24 ] || [ "$mib" -gt 3072 ]; then
        echo "guests of tinyvmm have 24 to 3072 MiB"
    fi
}

# Two guests; of their memory there is only what the vCPUs use.
memory_of_tinyvmm()
{
    echo $((working_set * 2 + 128))
}

# ---- the two programs --------------------------------------------------------------------------

# ask NAME COMMAND...: gives a command; the answer goes to NAME.status
ask()
{
    asked=$1
    shift
    "$programs/tinyvmm" control "$work/$asked.control" "$@" \
        >"$work/$asked.status" 2>"$work/$asked.refused"
}

# field NAME FIELD: of the last answer
field()
{
    sed -n "s/^$2: //p" "$work/$1.status"
}

fail_tinyvmm()
{
    tail -n 5 "$work/here.out" "$work/here.log" "$work/there.out" "$work/there.log" >&2
    fail "$*"
}

# start_vmm NAME OPTION...: until it takes commands. Sets without if it ends before.
start_vmm()
{
    vmm=$1
    shift
    start "$vmm" "$programs/tinyvmm" run --vcpus $vcpus --memory "${mib}M" \
        --working-set "${working_set}M" --stay --control "$work/$vmm.control" "$@"
    while ! ask "$vmm" status; do
        if ! eval "kill -0 \$pid_$vmm" 2>/dev/null; then
            without="tinyvmm has no guest ($(tail -n 1 "$work/$vmm.log" | sed 's/^tinyvmm: //'))"
            return 1
        fi
        sleep 0.1
    done
}

start_both()
{
    start_vmm there --incoming tcp:127.0.0.1:0 "$@" && start_vmm here "$@"
}

# end_vmm NAME
end_vmm()
{
    ask "$1" quit || :
    ended=0
    eval "wait \$pid_$1" || ended=$?
    [ "$ended" -eq 0 ] || fail_tinyvmm "tinyvmm ended with exit code $ended"
}

end_both()
{
    end_vmm here
    end_vmm there
    started=
}

# ---- a migration -------------------------------------------------------------------------------

# count NAME VCPU: the pages that the vCPU has checked, as it told last
count()
{
    sed -n "s/^vcpu $2: \([0-9]*\) pages.*/\1/p" "$work/$1.out" | tail -n 1
}

# pages NAME: of all vCPUs
pages()
{
    echo $(($(count "$1" 0) + $(count "$1" 1)))
}

# wait_round NAME: until each vCPU has been everywhere
wait_round()
{
    for vcpu in 0 1; do
        while [ "$(grep -c "^vcpu $vcpu: [0-9]* pages" "$work/$1.out")" -lt "$round" ]; do
            eval "kill -0 \$pid_$1" 2>/dev/null || fail_tinyvmm "the guest does not go on"
            sleep 0.1
        done
    done
}

show_progress()
{
    left=$(field here remaining)
    all=$(field here total)
    mbps=$(field here mbps)
    [ "${all:-0}" -gt 0 ] || return 0
    line="$(((all - left) * 100 / all)) %  round $(field here dirty-sync-count)"
    line="$line  ${mbps%.*} Mbit/s  dirty $(field here dirty-pages-rate) pages/s"
    [ "$line" = "${shown-}" ] || echo "    $line"
    shown=$line
}

# wait_for_end NAME: of its migration
wait_for_end()
{
    while ask "$1" status; do
        [ "$1" != here ] || show_progress
        case $(field "$1" migration) in
        completed) return 0 ;;
        failed | cancelled | in-doubt) break ;;
        esac
        sleep 0.05
    done
    fail_tinyvmm "the migration ends as $(field "$1" migration) $1: $(field "$1" reason)"
}

# From here to there, where the guest then looks through all that it uses.
migrate()
{
    wait_round here
    ask there status || fail_tinyvmm "the destination has ended"
    address=$(field there address)
    echo "demo: moving a guest of $mib MiB, whose $vcpus vCPUs go round $working_set MiB of it," \
        "to $address"
    ask here set max-bandwidth 0 && ask here migrate "$address" ||
        fail_tinyvmm "the source does not migrate: $(cat "$work/here.refused")"
    wait_for_end here
    wait_for_end there
    cp "$work/here.status" "$work/sent.status"
    cp "$work/there.status" "$work/got.status"
    wait_round there
}

# Sets digest.
check_digests()
{
    digest=$(field sent digest)
    case $digest in
    "" | 0000000000000000) fail_tinyvmm "the source told no digest" ;;
    esac
    [ "$digest" = "$(field got digest)" ] ||
        fail_tinyvmm "the memories differ: digest $digest sent, $(field got digest) received"
}

# spent FIELD: in milliseconds
spent()
{
    milliseconds "$(field sent "$1-ns")"
}

report_tinyvmm()
{
    cat <<END
demo: done, and all of it is right
    total time    $(field sent total-time) ms
    downtime      $(spent downtime) ms: $(spent stop) to stop the vCPUs, $(spent final-sync) last sync,
                  $(spent last-ram) last pages, $(spent device) devices, $(spent handover) hand-over
    before it     $(spent dirty-log) ms in the dirty log, $(spent guest-stall) ms that vCPUs waited for it
    throughput    $(field sent mbps) Mbit/s, $(field sent transferred) bytes
    rounds        $(field sent dirty-sync-count)
    every byte    digest $digest at both ends, in the first migration
    every page    verified by the guest before it wrote it again: $(pages here) times
                  here, $(($(pages there) - $(pages here))) times where it went on
    its console   here:  $(grep "^vcpu 0" "$work/here.out" | tail -n 1)
                  there: $(grep "^vcpu 0" "$work/there.out" | head -n 1)
END
}

# The programs have been started. Two migrations, of a guest each: while a digest of all its memory is
# taken, at both ends, the guest has to wait, and that is not the downtime that one wants to see.
move_tinyvmm()
{
    echo "demo: first, with a digest of all memory at the hand-over"
    migrate
    check_digests
    end_both
    start_both || fail_tinyvmm "$without"
    echo "demo: once more, without it, to see how long the guest is down"
    migrate
    end_both
    report_tinyvmm
}
