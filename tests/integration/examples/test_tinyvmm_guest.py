#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that works hard is moved to and fro, and looks for what was lost by itself: this is the
test that must notice the mutations of tests/mutation/guest/."""

from contextlib import contextmanager

from vmms import PAGES_A_LINE, VmmCase, main

MOVES = 3
VCPUS = 2
# A vCPU prints a line after as many pages as it has: between two lines it was everywhere.
WORKING_SET = f"{VCPUS * PAGES_A_LINE * 4}K"
ROUND = 2
SENT = 5 << 20


@contextmanager
def last_words(*vmms):
    """If something goes wrong, show what the guest had to say."""
    try:
        yield
    except AssertionError:
        for vmm in vmms:
            print("".join(vmm.stdout.splitlines(True)[-2:]) + vmm.stderr, flush=True)
        raise


class Guest(VmmCase):
    def wait_round(self, vmm):
        """Until each vCPU has been everywhere. None stands still while the other goes on."""
        before = [len(vmm.lines(vcpu)) for vcpu in range(VCPUS)]

        def printed():
            return [len(vmm.lines(vcpu)) - before[vcpu] for vcpu in range(VCPUS)]

        vmm.until(lambda: min(printed()) >= ROUND or max(printed()) >= 25 * ROUND)
        self.assertGreaterEqual(min(printed()), ROUND, "a vCPU stands still")

    def hold_dirty(self, source, address):
        """Have it migrate up to where most of the working set was sent, and then written anew."""
        source.do("set", "downtime-limit", "0")
        source.do("set", "max-bandwidth", "8M")
        source.do("migrate", address)
        source.until(lambda: int(source.status["transferred"]) >= SENT)
        source.do("set", "max-bandwidth", "16K")
        # On a machine that is very busy it may have come to its end already.
        if source.status["guest"] == "running":
            self.wait_round(source)

    def move(self, source, there):
        self.hold_dirty(source, there.status["address"])
        self.let_go(source)
        source.wait_status("completed", "failed", "in-doubt")
        there.wait_status("completed", "failed", "in-doubt")
        sent, got = source.status, there.status
        self.assertEqual((sent["migration"], got["migration"]), ("completed", "completed"),
                         sent["reason"] + got["reason"])
        # And then the guest is to say what it thinks of it.
        with self.subTest("all memory"):
            self.assertEqual(sent["digest"], got["digest"])
        self.wait_round(there)

    def test_finds_nothing_wrong(self):
        here, there = self.pair("--vcpus", str(VCPUS), "--working-set", WORKING_SET)
        for _ in range(MOVES):
            if there.status["migration"] != "setup":
                there.listening()
            with last_words(there):
                self.move(here, there)
            here, there = there, here
        self.check_console(VCPUS, here, there)


if __name__ == "__main__":
    main()
