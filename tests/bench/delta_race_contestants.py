# SPDX-License-Identifier: MIT
"""Those who race over a narrow link, each with deltas and without, and how fast their guest is."""

import time

from downtime_contestants import LiveQemu, Load, Migration, Tinyvmm, begin_ours, begin_qemu, \
    our_statistics, ours_says, qemu_says, qemu_statistics
from downtime_guest import Memory, PAGE, WORK, wait_for

DELTAS = "cache-size", "bytes", "pages", "cache-miss", "overflow"
PAUSE = 0.01

WINDOWS, WINDOW_SECONDS = 5, 0.2
DELAY_GROWTH, DELAY_MOST = 8, 1 << 24
ATTEMPTS, SLACK = 6, 0.01


def hot_set(options, delay):
    return Load("hot", options.hot_set, PAGE, delay, options.filled - WORK)


# ---- the guest's speed --------------------------------------------------------------------------

def page_seconds(memory, delay):
    """What a page takes. Others can only slow it down: the best of some short whiles is what the
    guest does alone."""
    memory.delay(delay)
    return 1 / max(1, *(memory.rate(WINDOW_SECONDS) for _ in range(WINDOWS)))


def bracket(memory, wanted):
    """Two delays and what a page takes with them, the first too little and the second enough."""
    low = 1, page_seconds(memory, 1)
    high = low
    while high[1] < wanted and high[0] < DELAY_MOST:
        delay = high[0] * DELAY_GROWTH
        low, high = high, (delay, page_seconds(memory, delay))
    return low, high


def find_delay(memory, wanted):
    """What a page takes is its own time and that of the turns, so the delay is looked for on a line
    between two that were tried."""
    low, high = bracket(memory, wanted)
    for _ in range(ATTEMPTS):
        best = min(low, high, key=lambda one: abs(one[1] - wanted))
        if abs(best[1] / wanted - 1) < SLACK or high[0] - low[0] < 2 or high[1] <= low[1]:
            break
        share = (wanted - low[1]) / (high[1] - low[1])
        delay = low[0] + round(share * (high[0] - low[0]))
        delay = min(max(delay, low[0] + 1), high[0] - 1)
        middle = delay, page_seconds(memory, delay)
        low, high = (middle, high) if middle[1] < wanted else (low, middle)
    return min(low, high, key=lambda one: abs(one[1] - wanted))


def calibrate(options, folder):
    """The delay at which a guest writes so many pages a second, and how many that really are. It is
    a number of turns of a loop, the same for whoever runs the guest."""
    with Tinyvmm(options, folder, "calibration", options.log) as program, \
            Memory(program, options.size) as memory:
        memory.order(hot_set(options, 1))
        delay, seconds = find_delay(memory, 1 / options.page_rate)
    return delay, 1 / seconds


# ---- what is alike ------------------------------------------------------------------------------

def arrives(options, destination):
    """Whether the guest enters the destination in time. Asking the monitors would cost processor
    time that the migration wants."""
    end = time.monotonic() + options.patience
    while not destination.notes.entered:
        destination.alive(float("inf"))
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True


def race(options, delay, source, destination, move):
    return Migration(options, hot_set(options, delay), source, destination).run(move)


# ---- QEMU ---------------------------------------------------------------------------------------

def qemu_deltas(found):
    return {name: found["xbzrle-cache"][name] for name in DELTAS}


def set_up_qemu(options, end, deltas):
    end.connect()
    end.do("migrate-set-parameters", **{"downtime-limit": options.downtime_limit,
                                        "max-bandwidth": options.bandwidth})
    if deltas:
        end.have("xbzrle")
        end.do("migrate-set-parameters", **{"xbzrle-cache-size": options.cache})


def give_up_qemu(source):
    found = source.do("query-migrate")
    source.do("migrate_cancel")
    wait_for(source, "cancel", lambda: source.do("query-migrate")["status"] == "cancelled", PAUSE)
    return found


def move_qemu(options, deltas, source, destination):
    begin_qemu(source, destination)
    ended = arrives(options, destination)
    if ended:
        said = qemu_says(source, destination)
        found = source.do("query-migrate")
    else:
        found = give_up_qemu(source)
        said = qemu_statistics(found)
    return {"ended": ended, **said, **({"deltas": qemu_deltas(found)} if deltas else {})}


def run_qemu(options, folder, delay, deltas):
    with LiveQemu(options, folder, "source") as source, \
            LiveQemu(options, folder, "destination", "-incoming", "defer") as destination:
        for end in source, destination:
            set_up_qemu(options, end, deltas)
        return race(options, delay, source, destination,
                    lambda: move_qemu(options, deltas, source, destination))


# ---- ours ---------------------------------------------------------------------------------------

def our_deltas(sent):
    return {name: int(sent[f"xbzrle-cache.{name}"]) for name in DELTAS}


def give_up_ours(source):
    sent = source.do("status")
    source.do("cancel")
    wait_for(source, "cancel", lambda: source.do("status")["migration"] == "cancelled", PAUSE)
    return sent


def move_ours(options, deltas, source, destination):
    begin_ours(source, destination)
    ended = arrives(options, destination)
    if ended:
        said = ours_says(source, destination)
        sent = source.do("status")
    else:
        sent = give_up_ours(source)
        said = our_statistics(sent)
    return {"ended": ended, **said, **({"deltas": our_deltas(sent)} if deltas else {})}


def run_ours(options, folder, delay, deltas):
    with Tinyvmm(options, folder, "source", options.log) as source, \
            Tinyvmm(options, folder, "destination", options.log,
                    "--incoming", "tcp:127.0.0.1:0") as destination:
        source.do("set", "downtime-limit", str(options.downtime_limit))
        source.do("set", "max-bandwidth", str(options.bandwidth))
        if deltas:
            source.do("set", "xbzrle", "on")
            source.do("set", "xbzrle-cache-size", str(options.cache))
        return race(options, delay, source, destination,
                    lambda: move_ours(options, deltas, source, destination))
