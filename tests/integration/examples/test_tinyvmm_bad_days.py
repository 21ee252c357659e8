#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Migrations of a real guest that are cancelled or break, in every phase: the guest goes on at the
source."""

import os
import socket

from cutting_proxy import COMMIT, READY, RUNNING, CuttingProxy
from programs import FAILED, Program
from vmms import LOGS, TINYVMM, VmmCase, main


class Swallower(CuttingProxy):
    """Leaves the connection open when the message is lost."""

    def _cut(self, *_):
        self.was_lost = True


class BadDays(VmmCase):
    def test_cancel(self):
        for log in LOGS:
            with self.subTest(log=log):
                source, there = self.pair("--dirty-log", log)
                self.hold_active(source, there.status["address"])
                source.wait_work()
                source.do("cancel")
                self.assertEqual(source.wait_status("cancelled", "failed")["migration"],
                                 "cancelled")
                there.wait_status("failed", "cancelled")
                self.check_goes_on(source)
                self.let_go(source)
                source.do("migrate", there.listening())
                self.check_moved(source, there)
                there.wait_work()
                self.check_console(1, source, there)

    def test_cancel_at_the_hand_over(self):
        source, there = self.pair()
        there.do("cancel")
        there.wait_status("cancelled")
        proxy = Swallower(there.listening("tcp:127.0.0.1:0"), READY)
        self.addCleanup(proxy.close)
        source.do("migrate", proxy.address)
        source.until(lambda: proxy.was_lost)
        self.assertEqual(source.status["migration"], "device")
        source.do("cancel")
        source.wait_status("cancelled")
        self.check_goes_on(source)
        there.wait_status("in-doubt")
        there.do("resolve", "discard")
        self.assertEqual(there.status["guest"], "none")
        source.do("migrate", there.listening())
        self.check_moved(source, there)

    def test_cancel_while_connecting(self):
        source = self.vmm()
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        source.do("migrate", f"file:{pipe}")
        self.assertEqual(source.status["migration"], "setup")
        self.assertIn("a migration runs", source.call("migrate", "unix:/nowhere").stderr)
        source.do("cancel")
        source.wait_status("cancelled")
        self.check_goes_on(source)

    def deaf(self):
        """Somebody who takes a connection, and says nothing."""
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.path("deaf"))
        listener.listen()
        return listener, f"unix:{self.path('deaf')}"

    def test_cancel_during_setup(self):
        source = self.vmm("--vcpus", "2")
        listener, address = self.deaf()
        source.do("migrate", address)
        peer, _ = listener.accept()
        self.addCleanup(peer.close)
        peer.recv(1)
        self.assertEqual(source.status["migration"], "setup")
        source.do("cancel")
        source.wait_status("cancelled")
        self.check_goes_on(source, 2)

    def test_broken_during_setup(self):
        source = self.vmm()
        listener, address = self.deaf()
        source.do("migrate", address)
        peer, _ = listener.accept()
        peer.recv(1)
        peer.close()
        source.wait_status("failed")
        self.check_goes_on(source)

    def test_nobody_is_there(self):
        source = self.vmm()
        source.do("migrate", f"unix:{self.path('nobody')}")
        self.assertIn("nobody", source.wait_status("failed")["reason"])
        self.check_goes_on(source)

    def test_the_destination_dies(self):
        source, there = self.pair("--vcpus", "2")
        self.hold_active(source, there.status["address"])
        source.wait_work(2)
        there.kill()
        source.wait_status("failed")
        self.check_goes_on(source, 2)
        self.let_go(source)
        other = self.vmm("--vcpus", "2")
        other.do("quit")
        other.end(0)
        other = self.vmm("--vcpus", "2", "--incoming", f"unix:{self.path('other')}")
        source.do("migrate", other.wait_status("setup")["address"])
        self.check_moved(source, other)
        other.wait_work(2)
        self.check_console(2, source, other)

    def test_the_destination_has_another_machine(self):
        for name, arguments, text in (("vcpus", ["--vcpus", "2"], "has 2"),
                                      ("memory", ["--memory", "64M"], "ram")):
            with self.subTest(name=name):
                source = self.vmm()
                there = self.vmm("--incoming", f"unix:{self.path(name)}", *arguments)
                source.wait_work()
                source.do("migrate", there.wait_status("setup")["address"])
                source.wait_status("failed")
                self.assertIn(text, there.wait_status("failed")["reason"])
                self.check_goes_on(source)

    def test_without_stay_a_destination_ends_that_got_nothing(self):
        there = self.start(Program([TINYVMM, "run", "--incoming", f"unix:{self.path('in')}"]))
        there.address()
        source = self.vmm("--vcpus", "2")
        source.do("migrate", f"unix:{self.path('in')}")
        there.end(FAILED)
        source.wait_status("failed")
        self.check_goes_on(source, 2)

    def cut(self, lost, *arguments):
        source, there = self.pair(*arguments)
        there.do("cancel")
        there.wait_status("cancelled")
        proxy = CuttingProxy(there.listening("tcp:127.0.0.1:0"), lost)
        self.addCleanup(proxy.close)
        source.do("migrate", proxy.address)
        return source, there

    def test_cut_before_ready(self):
        source, there = self.cut(READY)
        source.wait_status("failed")
        self.check_goes_on(source)
        there.wait_status("in-doubt")
        there.do("resolve", "discard")
        self.assertEqual(there.status["guest"], "none")

    def test_cut_before_commit(self):
        source, there = self.cut(COMMIT)
        source.wait_status("in-doubt")
        there.wait_status("in-doubt")
        self.assertIn("in doubt", source.call("migrate", "unix:/nowhere").stderr)
        there.do("resolve", "discard")
        source.do("resolve", "run")
        self.check_goes_on(source)
        self.assertEqual(there.status["guest"], "none")

    def test_cut_before_running(self):
        source, there = self.cut(RUNNING)
        there.wait_status("completed")
        source.wait_status("in-doubt")
        source.do("resolve", "discard")
        self.assertEqual(source.status["guest"], "none")
        there.wait_work()
        self.check_console(1, source, there)


if __name__ == "__main__":
    main()
