#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest goes to a real QEMU by postcopy, and is recovered after a cut."""

import os
import subprocess
import sys
import unittest

import qemu
from interop import digest, main
from relay import Relay
from tools import Tools, program, why_not

LONG = bool(os.environ.get("RS_TEST_LONG"))


class ToQemu(Tools):
    """ramsync-convert --postcopy."""

    def save(self):
        """A stream of a guest that is stopped now, and the QEMU that wrote it."""
        source = self.source()
        stream = self.path("stream")
        source.migrate_live(f"exec:cat > {stream}")
        return stream, source

    def listen(self, capabilities, **options):
        destination = self.start_qemu("destination", incoming=True, by_postcopy=True, **options)
        destination.enable("postcopy-ram", *capabilities)
        address = f"unix:{self.path('incoming')}"
        destination.do("migrate-incoming", uri=address)
        return destination, address

    def start_convert(self, stream, address, *options):
        with open(self.path("log"), "w", encoding="utf-8") as log:
            tool = subprocess.Popen(program("convert", "--postcopy", *options, stream, address),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                    text=True)
        self.addCleanup(tool.communicate)
        self.addCleanup(tool.kill)
        return tool

    def check_runs_there(self, destination, source):
        passes = qemu.passes(source.sent)
        self.assertEqual(digest(destination.memory), digest(source.sent))
        self.assertEqual(destination.do("query-status")["status"], "paused")
        destination.do("cont")
        destination.wait_passes(passes + 3)

    def check_ran_there(self, destination, source):
        """What its guest did not write is as it was; and it wrote what it always does."""
        destination.wait_passes(qemu.passes(source.sent) + 3)
        destination.do("stop")
        with open(source.sent, "rb") as old, open(destination.memory, "rb") as new:
            sent, memory = old.read(), new.read()
        changed = [at for at in range(0, qemu.RAM_BYTES, 4096)
                   if sent[at:at + 4096] != memory[at:at + 4096]]
        self.assertTrue(changed)
        for at in changed:
            self.assertTrue(at < 0x101000 or 0x200000 <= at < 0x400000, hex(at))

    def hand_over(self, capabilities=(), options=()):
        stream, source = self.save()
        destination, address = self.listen(capabilities)
        tool = self.start_convert(stream, address, *options)
        found = self.end_tool(tool)
        self.assertTrue(found["written"])
        destination.wait_migration(lambda found: found.get("status") == "completed")
        self.check_runs_there(destination, source)

    def test_hand_over(self):
        self.hand_over()

    def test_hand_over_with_preempt(self):
        self.hand_over(["postcopy-preempt"], ["--preempt"])

    def run_at_once(self, capabilities=(), options=()):
        """The guest runs there from the first moment, and asks for what it needs."""
        stream, source = self.save()
        destination, address = self.listen(capabilities, paused=False)
        tool = self.start_convert(stream, address, "--max-postcopy-bandwidth", "4M", *options)
        found = self.end_tool(tool)
        self.assertGreater(found["requests"], 0)
        destination.wait_migration(lambda found: found.get("status") == "completed")
        self.check_ran_there(destination, source)

    @unittest.skipUnless(LONG, "RS_TEST_LONG is not set")
    def test_run_at_once(self):
        self.run_at_once()

    def test_run_at_once_with_preempt(self):
        self.run_at_once(["postcopy-preempt"], ["--preempt"])

    def recover(self, capabilities=(), options=(), **start):
        stream, source = self.save()
        destination, address = self.listen(capabilities, **start)
        relay = Relay(self.path("relay"), address)
        other = f"unix:{self.path('other')}"
        tool = self.start_convert(stream, relay.address, "--max-postcopy-bandwidth", "4M",
                                  "--recover", other, *options)
        destination.wait_migration(lambda found: found.get("status") == "postcopy-active")
        relay.wait_passed(300000)
        relay.cut()
        destination.wait_migration(lambda found: found.get("status") == "postcopy-paused")
        self.wait_said("postcopy-paused")
        destination.do("migrate-recover", uri=other)
        found = self.end_tool(tool)
        self.assertTrue(found["written"])
        destination.wait_migration(lambda found: found.get("status") == "completed")
        return destination, source

    def test_recover(self):
        self.check_runs_there(*self.recover())

    @unittest.skipUnless(LONG, "RS_TEST_LONG is not set")
    def test_recover_with_preempt(self):
        self.check_runs_there(*self.recover(["postcopy-preempt"], ["--preempt"]))

    @unittest.skipUnless(LONG, "RS_TEST_LONG is not set")
    def test_recover_a_guest_that_runs(self):
        self.check_ran_there(*self.recover(paused=False))

    def test_recover_a_guest_that_runs_with_preempt(self):
        self.check_ran_there(*self.recover(["postcopy-preempt"], ["--preempt"], paused=False))


if __name__ == "__main__":
    REASON = why_not()
    if REASON:
        print(f"SKIP: {REASON}")
        sys.exit(77)
    main()
