#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real guest moves by postcopy: it runs before its memory is there, and finds all of it, over connections
that break as well."""

import ctypes
import os
import random
import sys

from cutting_proxy import BACK, COMMIT, CUT, THERE, TROUBLES, CuttingProxy, TroubledProxy
from vmms import VmmCase, main

LONG = bool(os.environ.get("RS_TEST_LONG"))
# Of each kind, of which there are four. A sanitizer's program takes its time for each.
MOVES = BREAKS = 50 if LONG else 1 if os.environ.get("RS_TEST_SANITIZE") else 3
SEED = 6

SYS_USERFAULTFD = 323
PAUSED = "postcopy-paused"
# So little in the background that the guest has to ask.
SLOW = ["--max-postcopy-bandwidth", "4M"]
# Where trouble may come: about what a migration takes in each direction.
BYTES = {THERE: 2400000, BACK: 1200}


def check_rights():
    """A page that a vCPU misses is missed by the kernel, which not everybody may hear of."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(SYS_USERFAULTFD, os.O_CLOEXEC)
    if fd >= 0:
        os.close(fd)
    elif not os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
        print(f"SKIP: no userfaultfd for the kernel's faults: {os.strerror(ctypes.get_errno())}")
        sys.exit(77)


class PostcopyCase(VmmCase):
    def begin(self, here, there, proxy=None):
        """Have the guest go. Returns the proxy that it goes through, if any."""
        if there.status["migration"] != "setup":
            there.listening("tcp:127.0.0.1:0" if proxy else "unix")
        address = there.status["address"]
        here.do("migrate", proxy(address).address if proxy else address)

    def check_came(self, here, there):
        """The guest went, and all of its memory."""
        for vmm in here, there:
            self.assertEqual(vmm.wait_settled(), "completed", vmm.status)
        self.assertEqual(here.status["guest"], "none")
        self.assertNotEqual(there.status["guest"], "none")

    def hold(self, source, bandwidth="64K"):
        """Have a postcopy of the guest, which is stopped, take its time."""
        source.do("stop")
        source.do("set", "max-postcopy-bandwidth", bandwidth)

    def recover(self, source, there, wrap=lambda address: address):
        there.do("recover", "tcp:127.0.0.1:0")
        source.do("recover", wrap(there.status["address"]))


class Moves(PostcopyCase):
    def ping_pong(self, vcpus, *arguments, held=False):
        here, there = self.pair("--vcpus", str(vcpus), *SLOW, *arguments)
        faults = 0
        for _ in range(MOVES):
            if held:
                # It would be over before the second pass.
                here.do("set", "max-bandwidth", "12M")
                here.do("set", "downtime-limit", "0")
            self.begin(here, there)
            self.check_came(here, there)
            if held:
                self.assertGreaterEqual(int(here.status["dirty-sync-count"]), 2)
            faults += int(there.status["faults"])
            there.wait_work()
            here, there = there, here
        self.assertGreater(faults, 0, "it had no need of postcopy")
        here.wait_work(vcpus, 2)
        self.check_console(vcpus, here, there)

    def test_at_once(self):
        self.ping_pong(1, "--postcopy")

    def test_at_once_with_preempt(self):
        self.ping_pong(4, "--postcopy", "--preempt", "--dirty-log", "userfaultfd")

    def test_after_two_rounds(self):
        self.ping_pong(2, "--postcopy-after", "2", "--dirty-log", "userfaultfd", held=True)

    def test_after_two_rounds_with_preempt(self):
        self.ping_pong(2, "--postcopy-after", "2", "--preempt", held=True)

    def test_by_command(self):
        """And on by precopy, with a log that needs a userfaultfd where postcopy had its own."""
        here, there = self.pair("--vcpus", "2", "--dirty-log", "userfaultfd")
        here.do("set", "max-postcopy-bandwidth", "2M")
        self.assertIn("no outgoing migration", here.call("postcopy").stderr)
        there.do("cancel")
        there.wait_status("cancelled")
        for vmm in here, there:
            vmm.do("set", "postcopy-ram", "on")
        self.hold_active(here, there.listening())
        here.wait_work(2)
        here.do("postcopy")
        self.check_came(here, there)
        self.assertGreater(int(there.status["faults"]), 0)
        there.wait_work(2)
        for vmm in here, there:
            vmm.do("set", "postcopy-ram", "off")
        there.do("migrate", here.listening())
        self.check_moved(there, here)
        here.wait_work(2, 2)
        self.check_console(2, here, there)

    def test_all_memory_is_equal(self):
        """Of a guest that its user had stopped, which looks at none of it; and then it does."""
        here, there = self.pair("--postcopy", "--max-postcopy-bandwidth", "20M")
        here.do("stop")
        digest = here.do("digest")
        self.begin(here, there)
        self.check_came(here, there)
        self.assertEqual(there.status["guest"], "stopped")
        self.assertEqual(there.do("digest"), digest)
        there.do("cont")
        there.wait_work(1, 2)
        self.check_console(1, here, there)

    def test_blocked_times(self):
        here, there = self.pair("--vcpus", "2", "--postcopy", *SLOW)
        self.begin(here, there)
        self.check_came(here, there)
        status = there.status
        blocked = [float(status[f"vcpu{vcpu}-blocked-ms"]) for vcpu in range(2)]
        self.assertGreater(int(status["faults"]), 0)
        # Elsewhere threads of KVM's may do the waiting for a vCPU, and nobody knows for which.
        if os.path.exists("/sys/module/kvm_pvm"):
            self.assertGreater(sum(blocked), 0)
        self.assertGreaterEqual(float(status["fault-max-us"]), float(status["fault-mean-us"]))
        self.assertLessEqual(float(status["all-blocked-ms"]), min(blocked) + 0.001)
        self.assertEqual(here.status["faults"], "0")

    def test_parameters_at_one_end_only(self):
        here = self.vmm("--postcopy")
        there = self.vmm("--incoming", f"unix:{self.path('in')}")
        here.do("migrate", there.wait_status("setup")["address"])
        self.assertIn("postcopy", here.wait_status("failed", "completed")["reason"])
        self.check_goes_on(here)


class Breaks(PostcopyCase):
    def held_pair(self, *arguments):
        """A postcopy that is under way. Its guest is stopped."""
        here, there = self.pair("--postcopy", *arguments)
        self.hold(here)
        self.begin(here, there)
        here.wait_status("postcopy-active")
        there.wait_status("postcopy-active")
        return here, there

    def paused_pair(self, *arguments):
        here, there = self.held_pair(*arguments)
        here.do("pause")
        for vmm in here, there:
            self.assertEqual(vmm.wait_settled(), PAUSED)
            self.assertNotEqual(vmm.status["reason"], "")
        return here, there

    def go_on(self, here, there):
        """Over a new address, to the end."""
        here.do("set", "max-postcopy-bandwidth", "0")
        self.recover(here, there)
        self.check_came(here, there)

    def test_pause_at_either_end(self):
        for preempt, at_source in ([], True), (["--preempt"], False):
            with self.subTest(preempt=preempt, at_source=at_source):
                here, there = self.held_pair(*preempt)
                digest = here.do("digest")["digest"]
                (here if at_source else there).do("pause")
                for vmm in here, there:
                    self.assertEqual(vmm.wait_settled(), PAUSED)
                self.go_on(here, there)
                self.assertEqual(there.do("digest")["digest"], digest)
                there.do("cont")
                there.wait_work(1, 2)
                self.check_console(1, here, there)

    def test_a_guest_that_waits_meanwhile(self):
        """All that it needs is at the other end, and the control socket answers all the same."""
        here, there = self.paused_pair("--vcpus", "2")
        self.assertIn("on its way", there.call("digest").stderr)
        there.do("cont")
        lines = len(there.lines())
        there.do("stop")
        self.assertIn(there.status["guest"], ("stopping", "stopped"))
        there.do("cont")
        self.assertEqual(there.status["guest"], "running")
        self.assertEqual(len(there.lines()), lines)
        self.go_on(here, there)
        there.wait_work(2, 2)
        self.check_console(2, here, there)

    def test_nobody_to_recover_with(self):
        here, there = self.paused_pair()
        here.do("recover", f"unix:{self.path('nobody')}")
        here.until(lambda: here.status["paused"] == "yes")
        self.assertIn("nobody", here.status["reason"])
        self.assertEqual(here.call("recover", "nonsense").returncode, 1)
        self.go_on(here, there)
        there.do("cont")
        there.wait_work()
        self.check_console(1, here, there)

    def test_given_up(self):
        """The source has all of the guest, as it was when it went."""
        here, there = self.paused_pair("--vcpus", "2")
        there.do("cont")
        self.assertEqual(there.call("resolve", "run").returncode, 1)
        there.do("resolve", "discard")
        self.assertEqual(there.wait_status("failed")["guest"], "none")
        here.do("resolve", "run")
        here.wait_status("failed")
        here.do("cont")
        here.wait_work(2)
        here.do("set", "max-postcopy-bandwidth", "0")
        self.begin(here, there)
        self.check_came(here, there)
        there.wait_work(2, 2)
        # What it printed before it was given up was printed again.
        self.assertEqual(there.stderr.count("vcpu"), 0, there.stderr)

    def test_the_source_is_killed(self):
        here, there = self.held_pair("--vcpus", "2")
        here.kill()
        self.assertEqual(there.wait_settled(), PAUSED)
        self.assertNotEqual(there.status["reason"], "")
        there.do("cont")
        there.do("quit")
        there.end(0)
        self.assertNotIn("vcpu", there.stderr)

    def test_commit_is_lost(self):
        """Neither end knows whether the guest is there until they have met again."""
        here, there = self.pair("--postcopy")
        proxies = []

        def cut(target):
            proxies.append(CuttingProxy(target, COMMIT))
            self.addCleanup(proxies[-1].close)
            return proxies[-1]

        there.do("cancel")
        there.wait_status("cancelled")
        self.begin(here, there, cut)
        for vmm in here, there:
            self.assertEqual(vmm.wait_settled(), PAUSED)
        self.assertEqual(there.status["guest"], "none")
        self.recover(here, there)
        self.check_came(here, there)
        there.wait_work()
        self.check_console(1, here, there)


class Trouble(PostcopyCase):
    """Anything, anywhere, and then once more while it recovers. Wherever the guest is then, there it works."""

    def connect(self, target):
        """Through a proxy that makes trouble, unless there was enough."""
        trouble = self.random.choice(self.troubles) if self.left else None
        direction = self.random.choice((THERE, BACK))
        # While it recovers little is said before the pages go on.
        end = BYTES[direction] if not self.said or self.random.random() < 0.5 else 300
        self.left -= self.left > 0
        proxy = TroubledProxy(target, trouble, direction, self.random.randrange(end))
        self.addCleanup(proxy.close)
        self.said.append((trouble, direction, proxy.left))
        return proxy

    def try_to_recover(self, here, there):
        self.recoveries += 1
        if not there.call("recover", "tcp:127.0.0.1:0").returncode:
            here.do("recover", self.connect(there.status["address"]).address)

    def tell_the_other(self, here, there):
        """Once an end has ended, the other may still wait to hear of it."""
        if there.status["migration"] == "completed":
            here.do("resolve", "discard")
        elif here.status["guest"] == "running":
            there.do("resolve", "discard")
        else:
            self.fail(f"here {here.status}, there {there.status}")

    def drive(self, here, there):
        """To an end. Returns whether the guest went."""
        while True:
            sent, came = here.wait_settled(), there.wait_settled()
            if sent == came == PAUSED:
                self.try_to_recover(here, there)
            elif {PAUSED, "in-doubt"} & {sent, came}:
                self.tell_the_other(here, there)
            else:
                break
        guests = here.status["guest"], there.status["guest"]
        self.assertIn(guests, (("none", "running"), ("running", "none")))
        return guests[0] == "none"

    def run_moves(self, troubles, *arguments):
        self.random = random.Random(f"{SEED} {troubles} {arguments}")
        self.troubles, self.said, self.recoveries = troubles, [], 0
        here, there = self.pair("--vcpus", "2", "--postcopy", *SLOW, *arguments)
        there.do("cancel")
        there.wait_status("cancelled")
        for vmm in here, there:
            vmm.do("set", "stall-timeout", "1000")
        for number in range(BREAKS):
            self.left = 1 + number % 3
            self.said.clear()
            try:
                self.begin(here, there, self.connect)
                if self.drive(here, there):
                    here, there = there, here
                here.wait_work(2)
            except AssertionError as error:
                raise AssertionError(f"move {number}, {self.said}: here {here.status}, "
                                     f"there {there.status}") from error
        here.wait_work(2, 2)
        self.check_console(2, here, there)
        print(f"{BREAKS} moves, {self.recoveries} recoveries")
        # Where a migration is at some byte is a matter of luck, but not fifty times.
        if LONG:
            self.assertGreater(self.recoveries, 0)

    def test_cut(self):
        self.run_moves([CUT])

    def test_cut_with_preempt(self):
        self.run_moves([CUT], "--preempt")

    def test_everything(self):
        self.run_moves(TROUBLES)

    def test_everything_with_preempt(self):
        self.run_moves(TROUBLES, "--preempt", "--dirty-log", "userfaultfd")


if __name__ == "__main__":
    check_rights()
    main()
