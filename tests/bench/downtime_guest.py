# SPDX-License-Identifier: MIT
"""The guest of downtime_guest.S, from outside: its memory, and what its monitor was seen to do."""

import mmap
import os
import struct
import time

from race_machine import Failed, PATIENCE

PAGE = 4096
WORDS = PAGE // 8

# As in downtime_guest.S.
ORDERS, DELAY, GO, PROGRESS = 0x8000, 0x8028, 0x8030, 0x9000
WAITING, FILLED = 1, 2
WORK = 16 << 20

# As in downtime_probe.c.
KINDS = "log_on", "log_off", "get", "clear"
CALLS = 4096


def wait_for(program, what, condition, pause=0.01):
    end = time.monotonic() + PATIENCE
    while not condition():
        program.alive(float("inf"))
        if time.monotonic() > end:
            raise program.failed(f"{what}: takes too long")
        time.sleep(pause)


class Memory:
    """The memory of a program's guest, which is a memfd of that size."""

    def __init__(self, program, size):
        self.program, self.size = program, size
        folder = f"/proc/{program.process.pid}/fd"
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.readlink(path).startswith("/memfd:") and os.stat(path).st_size == size:
                self.file = open(path, "r+b")
                self.map = mmap.mmap(self.file.fileno(), size)
                return
        raise program.failed("the guest's memory is not to be found")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.map.close()
        self.file.close()

    def populate(self):
        """Have all of it, as zeros: a hypervisor may be slow to give it."""
        os.posix_fallocate(self.file.fileno(), 0, self.size)

    def order(self, load):
        """Have it fill memory, and then go round the working set, or halt."""
        wait_for(self.program, "boot", lambda: self.progress()[0] == WAITING)
        struct.pack_into("<6Q", self.map, ORDERS, WORK, self.filled_end(load),
                         WORK, WORK + load.working_set, load.step, load.delay)
        struct.pack_into("<Q", self.map, GO, 1)
        wait_for(self.program, "fill memory", lambda: self.progress()[0] == FILLED)

    def delay(self, turns):
        """Another one, of a guest that was ordered one. It reads that all the time, and is never to
        find a 0, which struct.pack_into() would write first."""
        self.map[DELAY:DELAY + 8] = struct.pack("<Q", turns)

    def filled_end(self, load):
        return min(WORK + load.filled, self.size) if load.filled else self.size

    def progress(self):
        """How far it is, and how many pages of the working set were written."""
        return struct.unpack_from("<QQ", self.map, PROGRESS)

    def rate(self, seconds):
        """Pages written a second."""
        begin, before = time.monotonic(), self.progress()[1]
        time.sleep(seconds)
        return (self.progress()[1] - before) / (time.monotonic() - begin)

    def column(self, word, begin, end, step):
        """A word of each page."""
        with memoryview(self.map) as octets, octets.cast("Q") as words:
            return words[begin // 8 + word:end // 8:step // 8].tolist()

    def check(self, load):
        """Of a guest that is stopped: is every page there, as it was written last?"""
        end = self.filled_end(load)
        if self.column(0, WORK, end, PAGE) != list(range(WORK, end, PAGE)) or \
                any(self.column(0, end, self.size, PAGE)):
            raise self.program.failed("pages of the guest were lost")
        if load.step == 0:
            return
        rounds = self.column(1, WORK, WORK + load.working_set, load.step)
        # It may have been stopped between a page and the count of pages.
        if rounds != sorted(rounds, reverse=True) or rounds[0] - rounds[-1] > 1 or \
                sum(rounds) - self.progress()[1] not in (0, 1):
            raise self.program.failed("pages of the guest are too old")


class Notes:
    """What the probe in a monitor has written down; times in seconds of CLOCK_MONOTONIC."""

    def __init__(self, path):
        self.path, self.map = path, None

    def close(self):
        if self.map:
            self.map.close()

    def preload(self, probe):
        """Words that go in front of a command line."""
        return ["env", f"LD_PRELOAD={probe}", f"DOWNTIME_PROBE={self.path}"]

    def numbers(self, offset, count):
        if not self.map:
            with open(self.path, "rb") as file:
                self.map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        return struct.unpack_from(f"<{count}Q", self.map, offset)

    @property
    def entered(self):
        return self.numbers(0, 1)[0] / 1e9

    @property
    def left(self):
        return self.numbers(8, 1)[0] / 1e9

    def calls(self, kind, since):
        """(begin, seconds) of each call."""
        number = KINDS.index(kind)
        count = self.numbers(16 + 8 * number, 1)[0]
        if count > CALLS:
            raise Failed(f"{count} calls of the dirty log are too many for the probe")
        times = self.numbers(16 + 8 * len(KINDS) + 16 * CALLS * number, 2 * count)
        return [(begin / 1e9, (end - begin) / 1e9)
                for begin, end in zip(times[::2], times[1::2]) if begin / 1e9 >= since]

    def summary(self, since):
        """Of the dirty log: calls and milliseconds, by kind."""
        found = {}
        for kind in KINDS:
            seconds = [took for _, took in self.calls(kind, since)]
            found[kind] = {"calls": len(seconds), "ms": round(sum(seconds) * 1e3, 3),
                           "longest_ms": round(max(seconds, default=0) * 1e3, 3)}
        return found
