#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real guest under KVM, and its way from one virtual machine monitor to another."""

import os
import subprocess
import time

from programs import CORRUPT, PATIENCE, Program
from vmms import LOGS, TINYVMM, VmmCase, main

# Each is slow with a sanitizer, and none of the fifty differs from the others but in the moment.
MOVES = 10 if os.environ.get("RS_TEST_SANITIZE") and not os.environ.get("RS_TEST_LONG") else 50


class Run(VmmCase):
    def test_the_guest_works(self):
        for vcpus in 1, 2, 4:
            with self.subTest(vcpus=vcpus):
                vmm = self.vmm("--vcpus", str(vcpus))
                vmm.wait_work(vcpus, 2)
                self.check_console(vcpus, vmm)
                self.assertGreater(vmm.lines(0)[-1][1], 0, "the timer does not tick")
                vmm.do("quit")
                vmm.end(0)

    def test_stop_and_cont(self):
        vmm = self.vmm("--vcpus", "2")
        vmm.wait_work(2)
        self.assertEqual(vmm.call("digest").returncode, 1)
        vmm.do("stop")
        self.assertEqual(vmm.status["guest"], "stopped")
        printed, digest = vmm.stdout, vmm.do("digest")
        time.sleep(0.2)
        self.assertEqual((vmm.stdout, vmm.do("digest")), (printed, digest))
        vmm.do("cont")
        self.check_goes_on(vmm, 2)
        vmm.do("stop")
        self.assertNotEqual(vmm.do("digest"), digest)

    def test_commands_that_make_no_sense(self):
        vmm = self.vmm()
        for words, text in ((["migrate"], "takes 1 argument"), (["nonsense"], "no such command"),
                            (["cancel"], "no migration runs"),
                            (["incoming", "unix:/nowhere"], "there is a guest here"),
                            (["set", "max-bandwidth", "x"], "max-bandwidth"),
                            (["resolve", "run"], "no migration to settle"), (["resolve", "x"], "resolve run")):
            with self.subTest(words=words):
                done = vmm.call(*words)
                self.assertEqual(done.returncode, 1)
                self.assertIn(text, done.stderr)


class Migrate(VmmCase):
    def test_moves(self):
        for log in LOGS:
            for vcpus in 1, 2:
                for address in "unix", "tcp:127.0.0.1:0":
                    with self.subTest(log=log, vcpus=vcpus, address=address):
                        self.move(log, vcpus, address)

    def move(self, log, vcpus, address):
        arguments = ["--dirty-log", log, "--vcpus", str(vcpus)]
        source, there = self.pair(*arguments)
        there.do("cancel")
        there.wait_status("cancelled")
        source.do("migrate", there.listening(address))
        self.check_moved(source, there)
        there.wait_work(vcpus, 2)
        self.check_console(vcpus, source, there)
        ticks = [ticks for _, ticks in there.lines(0)]
        self.assertGreater(ticks[-1], ticks[0], "the timer does not tick any more")
        source.do("quit")
        source.end(0)
        there.do("quit")
        there.end(0)

    def test_deltas(self):
        """A guest that changes little of each page, but more pages than the stream carries."""
        source, there = self.pair("--vcpus", "2")
        source.do("set", "xbzrle", "on")
        source.do("set", "xbzrle-cache-size", "8M")
        self.hold_active(source, there.status["address"])
        # Deltas are so small that it may come to an end by itself.
        source.until(lambda: int(source.status["xbzrle-cache.pages"]) > 100 or
                     source.status["migration"] != "active")
        self.let_go(source)
        self.check_moved(source, there)
        self.assertGreater(int(source.status["xbzrle-cache.pages"]), 0)
        self.assertGreater(int(source.status["xbzrle-cache.bytes"]), 0)
        self.assertEqual(source.status["xbzrle-cache.cache-size"], str(8 << 20))
        there.wait_work(2, 2)
        self.check_console(2, source, there)

    def test_compressed_pages(self):
        source, there = self.pair("--vcpus", "2")
        there.do("cancel")
        there.wait_status("cancelled")
        for vmm in source, there:
            vmm.do("set", "compress", "on")
        self.hold_active(source, there.listening())
        source.until(lambda: int(source.status["dirty-sync-count"]) >= 4 or
                     source.status["migration"] != "active")
        self.let_go(source)
        self.check_moved(source, there)
        self.assertGreater(int(source.status["compression.pages"]), 100)
        self.assertEqual(source.status["compression.pages"], there.status["compression.pages"])
        there.wait_work(2, 2)
        self.check_console(2, source, there)

    def test_many_passes(self):
        for log in LOGS:
            with self.subTest(log=log):
                source, there = self.pair("--vcpus", "2", "--dirty-log", log)
                self.hold_active(source, there.status["address"])
                source.until(lambda: int(source.status["dirty-sync-count"]) >= 4)
                source.wait_work(2)
                self.let_go(source)
                self.check_moved(source, there)
                there.wait_work(2)
                self.check_console(2, source, there)

    def test_ping_pong(self):
        for log in LOGS:
            with self.subTest(log=log):
                here, there = self.pair("--vcpus", "2", "--dirty-log", log)
                for _ in range(MOVES):
                    if there.status["migration"] != "setup":
                        there.listening()
                    here.do("migrate", there.status["address"])
                    self.check_moved(here, there)
                    here, there = there, here
                here.wait_work(2, 2)
                self.check_console(2, here, there)

    def test_bad_usage(self):
        for arguments, text in ((["run", "--vcpus", "5"], "--vcpus 5"),
                                (["run", "--memory", "3x"], "--memory 3x"),
                                (["run", "--memory", "9999999999G"], "--memory 9999999999G"),
                                (["run", "--working-set", "1G"], "the working set"),
                                (["run", "--dirty-log", "x"], "--dirty-log x"),
                                (["run", "--nonsense"], "--nonsense"),
                                (["run", "nonsense"], "arguments"),
                                (["migrate"], "usage: tinyvmm run")):
            with self.subTest(arguments=arguments):
                done = subprocess.run([TINYVMM, *arguments], text=True, capture_output=True,
                                      timeout=PATIENCE, check=False)
                self.assertEqual(done.returncode, 64)
                self.assertIn(text, done.stderr)
        done = subprocess.run([TINYVMM, "--help"], text=True, capture_output=True,
                              timeout=PATIENCE, check=True)
        self.assertIn("migrate ADDRESS", done.stdout)

    def test_a_stopped_guest_stays_stopped(self):
        source, there = self.pair()
        source.do("stop")
        digest = source.do("digest")["digest"]
        source.do("migrate", there.status["address"])
        there.wait_status("completed")
        self.assertEqual(there.status["guest"], "stopped")
        self.assertEqual(there.do("digest")["digest"], digest)
        there.do("cont")
        there.wait_work()
        self.check_console(1, source, there)

    def test_without_stay_the_source_ends(self):
        there = self.vmm("--incoming", f"unix:{self.path('in')}")
        there.wait_status("setup")
        source = self.start(Program([TINYVMM, "run", "--memory", "32M", "--control",
                                     self.path("control")]))
        control = [TINYVMM, "control", self.path("control")]
        # The file is there before it listens.
        there.until(lambda: not subprocess.run([*control, "status"], capture_output=True,
                                               check=False).returncode)
        subprocess.run([*control, "migrate", f"unix:{self.path('in')}"], check=True)
        source.end(0)
        there.wait_work()

    def test_writes_that_devices_do_not_tell_of_are_missed(self):
        """Otherwise the guest would prove nothing about rs_dirty_mark()."""
        for log in LOGS:
            with self.subTest(log=log):
                source, there = self.pair("--forget-marks", "--dirty-log", log)
                self.hold_active(source, there.status["address"])
                # Every page that a device fills is sent once, and is then filled again.
                source.until(lambda: int(source.status["dirty-sync-count"]) >= 3)
                source.wait_work(1, 2)
                self.let_go(source)
                there.end(CORRUPT)
                self.assertRegex(there.stdout.splitlines()[-1],
                                 "CORRUPT: (word of filled page|console ring)")
                # It ended at once, perhaps before it had said that the guest runs.
                source.wait_status("completed", "in-doubt")


if __name__ == "__main__":
    main()
