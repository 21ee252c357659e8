# SPDX-License-Identifier: MIT
"""What the tests of tinyvmm share: a virtual machine monitor with a real guest under KVM. The guest
checks its memory and its registers all the time; the tests look at what it prints, and compare all
memory at every hand-over."""

import os
import re
import subprocess
import sys
import time

import programs
from programs import PATIENCE, PROGRAMS, Case, Program

TINYVMM = os.path.join(PROGRAMS, "tinyvmm")
LOGS = "kvm", "userfaultfd"

# Small enough for the vCPUs to come round several times a second.
MACHINE = ["--memory", "32M", "--working-set", "2M", "--stay", "--digest"]
LINE = re.compile(r"vcpu (\d): (\d+) pages, (\d+) ticks")
PAGES_A_LINE = 1024


ENDED = "completed", "failed", "cancelled", "in-doubt"


class Vmm(Program):
    """A tinyvmm, and what its guest has printed."""

    def __init__(self, path, *arguments):
        self.path = path
        super().__init__([TINYVMM, "run", "--control", path, *MACHINE, *arguments])
        self.until(lambda: os.path.exists(path) and not self.call("status").returncode)

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.arguments}: {self.stdout[-2000:]}{self.stderr}")
            time.sleep(0.01)

    def call(self, *words):
        """Give a command. Returns the client's end."""
        return subprocess.run([TINYVMM, "control", self.path, *words], text=True,
                              capture_output=True, timeout=PATIENCE, check=False)

    def do(self, *words):
        done = self.call(*words)
        if done.returncode:
            raise AssertionError(f"{words}: {done.stderr}")
        return dict(line.split(": ", 1) for line in done.stdout.splitlines())

    @property
    def status(self):
        return self.do("status")

    def wait_status(self, *wanted):
        self.until(lambda: self.status["migration"] in wanted)
        return self.status

    @property
    def is_settled(self):
        """Does nothing happen until somebody gives a command?"""
        status = self.status
        return status["migration"] in ENDED or status["paused"] == "yes"

    def wait_settled(self):
        self.until(lambda: self.is_settled)
        return self.status["migration"]

    def listening(self, address="unix"):
        """Have it wait for a guest. Returns the address."""
        self.do("incoming", f"unix:{self.path}.in" if address == "unix" else address)
        return self.wait_status("setup")["address"]

    def lines(self, vcpu=None):
        """What the vCPUs counted, line by line; every line is whole."""
        found = []
        # Somebody may be writing the last one.
        for line in self.stdout.rpartition("\n")[0].splitlines():
            match = LINE.fullmatch(line)
            if not match:
                raise AssertionError(f"this is no line of the guest: {line!r}")
            if vcpu in (None, int(match[1])):
                found.append((int(match[2]), int(match[3])))
        return found

    def wait_work(self, vcpus=1, lines=1):
        """Wait until every vCPU has printed so many lines more."""
        before = [len(self.lines(vcpu)) for vcpu in range(vcpus)]
        self.until(lambda: all(len(self.lines(vcpu)) >= before[vcpu] + lines
                               for vcpu in range(vcpus)))


class VmmCase(Case):
    count = 0

    def vmm(self, *arguments):
        self.count += 1
        return self.start(Vmm(self.path(f"vmm{self.count}"), *arguments))

    def pair(self, *arguments):
        """One with a guest that works, and one without a guest."""
        source = self.vmm(*arguments)
        there = self.vmm("--incoming", f"unix:{self.path('first')}", *arguments)
        there.wait_status("setup")
        source.wait_work()
        return source, there

    def check_moved(self, source, there):
        source.wait_status("completed", "failed", "in-doubt")
        there.wait_status("completed", "failed", "in-doubt")
        sent, got = source.status, there.status
        self.assertEqual((sent["migration"], sent["guest"]), ("completed", "none"), sent)
        self.assertEqual((got["migration"], got["guest"]), ("completed", "running"), got)
        self.assertNotEqual(sent["digest"], "0" * 16)
        self.assertEqual(sent["digest"], got["digest"])

    def check_console(self, vcpus, *vmms):
        """Nothing that the vCPUs counted is missing, and nothing was printed twice."""
        for vcpu in range(vcpus):
            lines = sorted(line for vmm in vmms for line in vmm.lines(vcpu))
            self.assertEqual([pages for pages, _ in lines],
                             [PAGES_A_LINE * (i + 1) for i in range(len(lines))])
            ticks = [ticks for _, ticks in lines]
            self.assertEqual(ticks, sorted(ticks))

    def check_goes_on(self, source, vcpus=1):
        self.assertEqual(source.status["guest"], "running")
        source.wait_work(vcpus, 2)

    def hold_active(self, source, address):
        """Have it migrate, and not come to an end."""
        source.do("set", "max-bandwidth", "2M")
        source.do("set", "downtime-limit", "1")
        source.do("migrate", address)
        source.wait_status("active")

    def let_go(self, source):
        source.do("set", "downtime-limit", "2000")
        source.do("set", "max-bandwidth", "0")


def main():
    """Run the tests of the calling file, where there can be a guest."""
    if not os.path.exists(TINYVMM):
        print("SKIP: there is no tinyvmm: it is for x86-64, with linux/kvm.h")
        sys.exit(77)
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        print(f"SKIP: /dev/kvm does not open: {error.strerror}")
        sys.exit(77)
    programs.main()
