# SPDX-License-Identifier: MIT
"""The two whose downtime is compared: each moves a live guest once and returns what that took."""

import os
import socket
import time

from downtime_guest import Memory, Notes, PAGE, wait_for
from race_contestants import Qemu, free_port
from race_machine import PATIENCE, Program, Watch, loopback_bytes

RATE_SECONDS, SMOKE_RATE_SECONDS = 0.5, 0.05
PARTS = "stop-ns", "final-sync-ns", "last-ram-ns", "device-ns", "handover-ns"


class Load:
    """How much memory a guest fills (0: all), and what it does then."""

    def __init__(self, name, working_set, step=0, delay=0, filled=0):
        self.name, self.working_set, self.step = name, working_set, step
        self.delay, self.filled = delay, filled


IDLE, BUSY = "idle", "busy"


def loads(options):
    every = {IDLE: Load(IDLE, 0), BUSY: Load(BUSY, options.working_set, PAGE)}
    return [every[name] for name in options.loads]


class Migration:
    """One of which both ends are there already."""

    def __init__(self, options, load, source, destination):
        self.options, self.load = options, load
        self.ends = source, destination

    def prepare(self):
        """Both guests' memory is there. Returns how many pages a second are written."""
        options, load, ends = self.options, self.load, self.ends
        with Memory(ends[0], options.size) as memory:
            if load.filled:
                memory.populate()
            memory.order(load)
            seconds = SMOKE_RATE_SECONDS if options.smoke else RATE_SECONDS
            rate = memory.rate(seconds) if load.step else 0
        with Memory(ends[1], options.size) as memory:
            memory.populate()
        return rate

    def measure(self, move):
        """move() returns what the monitor says of the migration, as a dictionary; "ended" may be
        in it and false, if it was cancelled."""
        ends = self.ends
        with Watch() as watch:
            cpu, wire = self.cpu(), loopback_bytes()
            begin = time.monotonic()
            said = move()
            if said.get("ended", True):
                # The destination goes on: it is still the one guest that runs.
                wait_for(ends[1], "resume", lambda: ends[1].notes.entered > 0)
                said["blackout_ms"] = round((ends[1].notes.entered - ends[0].notes.left) * 1e3, 3)
            end = time.monotonic()
            wire = loopback_bytes() - wire
            noise = watch.noise(begin, end, self.cpu() - cpu)
        return {**said, "wire_bytes": wire, "dirty_log_calls": ends[0].notes.summary(begin),
                "noise": round(noise, 3)}

    def check(self):
        """Is the destination's memory what its guest and the one before it wrote?"""
        self.ends[1].stop_guest()
        with Memory(self.ends[1], self.options.size) as memory:
            memory.check(self.load)

    def run(self, move):
        rate = self.prepare()
        found = self.measure(move)
        if found.get("ended", True):
            self.check()
        return {**found, "pages_written_per_second": round(rate)}

    def cpu(self):
        return sum(end.cpu_seconds() for end in self.ends)


class Probed:
    """A monitor with the probe in it."""

    def begin(self, options, path, words):
        self.notes = Notes(path)
        Program.__init__(self, [*self.notes.preload(options.probe), *words])
        # What a failure begins with.
        self.words = words

    def __exit__(self, *what):
        super().__exit__(*what)
        self.notes.close()


# ---- QEMU ---------------------------------------------------------------------------------------

class LiveQemu(Probed, Qemu):
    """A QEMU with KVM, whose guest is its firmware."""

    def __init__(self, options, folder, name, *more):
        self.address = os.path.join(folder, f"{name}.qmp")
        self.socket, self.stamps = None, {}
        size = options.size
        self.begin(options, os.path.join(folder, f"{name}.notes"), [
            options.qemu, "-accel", "kvm",
            "-machine", "pc,memory-backend=ram", "-m", f"{size >> 10}K",
            "-object", f"memory-backend-memfd,id=ram,size={size},share=on",
            "-bios", options.firmware,
            "-nodefaults", "-display", "none", "-serial", "none", "-monitor", "none",
            "-qmp", f"unix:{self.address},server=on,wait=off", *more])

    def next(self):
        message = super().next()
        if "event" in message:
            stamp = message["timestamp"]
            self.stamps[message["event"]] = stamp["seconds"] + stamp["microseconds"] / 1e6
        return message

    def stop_guest(self):
        self.do("stop")


def begin_qemu(source, destination):
    address = f"tcp:127.0.0.1:{free_port()}"
    destination.do("migrate-incoming", uri=address)
    source.do("migrate", uri=address)


def qemu_says(source, destination):
    """Of a migration that ends by itself."""
    source.wait_completed()
    destination.wait_completed()
    # An answer comes behind the events before it.
    found = source.do("query-migrate")
    destination.do("query-status")
    return {
        "downtime_ms": found["downtime"],
        "stop_to_resume_ms": round(
            (destination.stamps["RESUME"] - source.stamps["STOP"]) * 1e3, 3),
        **qemu_statistics(found),
    }


def qemu_statistics(found):
    return {
        "total_ms": found["total-time"],
        "ram_bytes": found["ram"]["transferred"],
        "dirty_syncs": found["ram"]["dirty-sync-count"],
    }


def move_qemu(source, destination):
    begin_qemu(source, destination)
    return qemu_says(source, destination)


def run_qemu(options, folder, load, *more):
    with LiveQemu(options, folder, "source", *more) as source, \
            LiveQemu(options, folder, "destination", "-incoming", "defer") as destination:
        for end in source, destination:
            end.connect()
            end.do("migrate-set-parameters", **{"downtime-limit": options.downtime_limit})
        return Migration(options, load, source, destination).run(
            lambda: move_qemu(source, destination))


# ---- ours ---------------------------------------------------------------------------------------

class Tinyvmm(Probed, Program):
    """A tinyvmm, and its control socket."""

    def __init__(self, options, folder, name, log, *more):
        self.address = os.path.join(folder, f"{name}.control")
        self.begin(options, os.path.join(folder, f"{name}.notes"), [
            options.tinyvmm, "run", "--stay", "--memory", f"{options.size >> 10}K",
            "--dirty-log", log, "--control", self.address, *more])
        wait_for(self, "start", self.answers)

    def answers(self):
        try:
            return bool(self.do("status"))
        except OSError:
            return False

    def do(self, *words):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.address)
            connection.sendall(" ".join(words).encode() + b"\n")
            with connection.makefile(encoding="utf-8") as answer:
                lines = answer.read().splitlines()
        if not lines or lines[-1] != "ok":
            raise self.failed(f"{' '.join(words)}: {lines[-1:]}")
        return dict(line.split(": ", 1) for line in lines[:-1])

    def wait_status(self, wanted, pause):
        def is_there():
            status = self.do("status")
            if status["migration"] in ("failed", "cancelled", "in-doubt", "postcopy-paused"):
                raise self.failed(f"{status['migration']}: {status['reason']}")
            return status["migration"] == wanted
        wait_for(self, wanted, is_there, pause)
        return self.do("status")

    def stop_guest(self):
        self.do("stop")


def begin_ours(source, destination):
    address = destination.wait_status("setup", 0.01)["address"]
    source.do("migrate", address)


def ours_says(source, destination):
    sent = source.wait_status("completed", 0.01)
    got = destination.wait_status("completed", 0.01)
    return {
        "downtime_ms": round(int(sent["downtime-ns"]) / 1e6, 3),
        **our_statistics(sent),
        "parts_ms": {**{name.removesuffix("-ns"): round(int(sent[name]) / 1e6, 3)
                        for name in PARTS},
                     "resume": round(int(got["resume-ns"]) / 1e6, 3)},
        "dirty_log_ms": round(int(sent["dirty-log-ns"]) / 1e6, 3),
    }


def our_statistics(sent):
    return {
        "total_ms": int(sent["total-time"]),
        "ram_bytes": int(sent["transferred"]),
        "dirty_syncs": int(sent["dirty-sync-count"]),
    }


def move_ours(source, destination):
    begin_ours(source, destination)
    # Asking it takes time from the two cores: look whether the guest is there, first.
    wait_for(destination, "migrate", lambda: destination.notes.entered > 0)
    return ours_says(source, destination)


def run_ours(options, folder, load, log):
    with Tinyvmm(options, folder, "source", log) as source, \
            Tinyvmm(options, folder, "destination", log,
                    "--incoming", "tcp:127.0.0.1:0") as destination:
        source.do("set", "downtime-limit", str(options.downtime_limit))
        source.do("set", "max-bandwidth", "0")
        return Migration(options, load, source, destination).run(
            lambda: move_ours(source, destination))
