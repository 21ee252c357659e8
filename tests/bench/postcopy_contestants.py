# SPDX-License-Identifier: MIT
"""Those who move a live guest by postcopy: each does it once, over one connection or, with preempt,
over two, and returns what that took."""

import time

from downtime_contestants import LiveQemu, Load, Migration, Tinyvmm, begin_ours, begin_qemu, \
    ours_says, qemu_says
from downtime_guest import Memory, wait_for
from race_contestants import UNLIMITED


def working_set(options):
    return Load("working set", options.working_set, options.step, options.delay)


def follow(options, source, destination, wait_ended):
    """From when the guest goes to the end: how long it had to do with a part of its memory, and how
    much it got done meanwhile."""
    # Nobody looks into the destination's memory before the end: pages that are not there would come
    # to be, as zeros.
    with Memory(source, options.size) as left, Memory(destination, options.size) as arrived:
        wait_for(destination, "migrate", lambda: destination.notes.entered > 0)
        # What the guest has left stands still.
        before = left.progress()[1]
        wait_ended()
        seconds = time.monotonic() - destination.notes.entered
        pages = arrived.progress()[1] - before
    return {"after_entry_ms": round(seconds * 1e3, 3),
            "postcopy_pages_per_second": round(pages / seconds)}


def migrate(options, source, destination, move):
    return Migration(options, working_set(options), source, destination).run(move)


# ---- QEMU ---------------------------------------------------------------------------------------

def move_qemu(options, source, destination):
    def wait_ended():
        source.wait_completed()
        destination.wait_completed()

    begin_qemu(source, destination)
    source.do("migrate-start-postcopy")
    found = follow(options, source, destination, wait_ended)
    if "postcopy-active" not in source.events:
        raise source.failed("it was no postcopy")
    said, came = source.do("query-migrate"), destination.do("query-migrate")
    return {**qemu_says(source, destination), **found,
            "blocked_ms": sum(came["postcopy-vcpu-blocktime"]),
            "requests": said["ram"]["postcopy-requests"]}


def run_qemu(options, folder, preempt, bandwidth):
    both = ["postcopy-ram"] + ["postcopy-preempt"] * preempt
    with LiveQemu(options, folder, "source") as source, \
            LiveQemu(options, folder, "destination", "-incoming", "defer") as destination:
        for end, only in (source, []), (destination, ["postcopy-blocktime"]):
            end.connect()
            end.have(*both, *only)
            end.do("migrate-set-parameters", **{
                "max-bandwidth": options.max_bandwidth or UNLIMITED,
                "max-postcopy-bandwidth": bandwidth})
        return migrate(options, source, destination,
                       lambda: move_qemu(options, source, destination))


# ---- ours ---------------------------------------------------------------------------------------

def our_faults(came):
    return {"faults": int(came["faults"]), "fault_mean_us": float(came["fault-mean-us"]),
            "fault_max_us": float(came["fault-max-us"])}


def move_ours(options, source, destination):
    def wait_ended():
        source.wait_status("completed", 0.01)
        destination.wait_status("completed", 0.01)

    begin_ours(source, destination)
    # Refused if it comes too late.
    source.do("postcopy")
    found = follow(options, source, destination, wait_ended)
    said, came = source.do("status"), destination.do("status")
    return {**ours_says(source, destination), **found, **our_faults(came),
            "blocked_ms": float(came["vcpu0-blocked-ms"]),
            "requests": int(said["postcopy-requests"])}


def run_ours(options, folder, preempt, bandwidth):
    with Tinyvmm(options, folder, "source", options.log) as source, \
            Tinyvmm(options, folder, "destination", options.log, "--incoming", "tcp:127.0.0.1:0",
                    "--postcopy", *["--preempt"] * preempt) as destination:
        # By its option it would switch by itself, a little earlier than QEMU can be asked to.
        source.do("set", "postcopy-ram", "on")
        source.do("set", "postcopy-preempt", "on" if preempt else "off")
        source.do("set", "max-bandwidth", str(options.max_bandwidth))
        source.do("set", "max-postcopy-bandwidth", str(bandwidth))
        return migrate(options, source, destination,
                       lambda: move_ours(options, source, destination))
