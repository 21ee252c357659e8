# SPDX-License-Identifier: MIT
# Sourced by demo.sh: the guest is a stand-in, memory with threads that keep writing to it.

# Two guests, all of whose memory is filled.
memory_of_stand_in()
{
    echo $((mib * 2 + mib / 8 + 64))
}

# value NAME FIELD: of a "FIELD": VALUE line that a program printed
value()
{
    sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$work/$1.out"
}

# Sets address.
wait_for_receiver()
{
    address=
    tries=100
    while [ -z "$address" ]; do
        address=$(sed -n 's/^ramsync-recv: listening on //p' "$work/recv.log")
        if ! kill -0 "$pid_recv" 2>/dev/null || [ "$tries" -eq 0 ]; then
            cat "$work/recv.log" >&2
            fail "the receiver does not listen"
        fi
        tries=$((tries - 1))
        [ -n "$address" ] || sleep 0.1
    done
}

check_stand_in()
{
    digest=$(value send digest)
    [ -n "$digest" ] || fail "the sender told no digest"
    [ "$digest" = "$(value recv digest)" ] ||
        fail "the memories differ: digest $digest sent, $(value recv digest) received"
    [ "$(value recv memory)" -eq "$((mib * 1024 * 1024))" ] ||
        fail "the receiver has $(value recv memory) bytes of memory"
    [ "$(value send pages-written)" -gt 0 ] && [ "$(value recv pages-written)" -gt 0 ] ||
        fail "the writers did not write"
}

report_stand_in()
{
    cat <<END
demo: done, and all of it is right
    total time    $(value send seconds) s
    downtime      $(milliseconds "$(value send downtime-ns)") ms
    throughput    $(value send mbps) Mbit/s, $(value send transferred) bytes
    rounds        $(value send dirty-sync-count)
    every byte    digest $digest at both ends
    every page    verified by the guest before it wrote it again: $(value send pages-written) times
                  here, $(value recv pages-written) times where it went on
END
}

move_stand_in()
{
    start recv "$programs/ramsync-recv" --from tcp:127.0.0.1:0 --verify --json
    wait_for_receiver
    echo "demo: moving a guest of $mib MiB with 2 writers to $address"
    sent=0
    "$programs/ramsync-send" --to "$address" --memory "${mib}M" --writers 2 --dirty-rate 10000 \
        --working-set "$((mib / 8))M" --max-bandwidth 0 --verify --json --progress \
        >"$work/send.out" || sent=$?
    if [ "$sent" -ne 0 ]; then
        cat "$work/recv.log" >&2
        fail "the sender ended with exit code $sent"
    fi
    received=0
    wait "$pid_recv" || received=$?
    started=
    if [ "$received" -ne 0 ]; then
        cat "$work/recv.log" >&2
        fail "the receiver ended with exit code $received"
    fi
    check_stand_in
    report_stand_in
}
