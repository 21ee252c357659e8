#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ramsync-send and ramsync-recv by postcopy: options, breaks, and what becomes of them."""

import os
import signal
import socket
import subprocess
import sys

from any_cut import AnyCut
from programs import COMPLETED, FAILED, PAUSED, Case, main, no_userfaultfd, receiver, sender

LONG = bool(os.environ.get("RS_TEST_LONG"))
BOTH = ["--postcopy"]
# Nearly all is left for postcopy, and comes so slowly that something can be done to it.
LATE = ["--postcopy-after", "0", "--memory", "16M", "--pattern", "random", "--working-set", "4M",
        "--dirty-rate", "20000"]
SLOW = [*LATE, "--max-postcopy-bandwidth", "12M"]


class Postcopy(Case):
    def check_ran(self, recv):
        """The writers ran at the destination, and found all their pages good."""
        report = recv.json
        self.assertGreater(report["pages-written"], 0)
        self.assertEqual(report["error"], "")
        return report

    # ---- options ----------------------------------------------------------------------------

    def test_after_a_round(self):
        send, recv = self.move(BOTH, BOTH)
        self.assertIn("postcopy-active", send.stderr)
        self.assertIn("postcopy-active", recv.stderr)
        self.check_ran(recv)
        self.assertGreater(send.json["statistics"]["dirty-sync-count"], 2)

    def test_after_more_rounds(self):
        send, recv = self.move(["--postcopy-after", "3", "--downtime-limit", "1", "--dirty-rate",
                                "100000"], BOTH)
        self.assertGreaterEqual(send.json["statistics"]["dirty-sync-count"], 4)
        self.check_ran(recv)

    def run_there(self, send_options, recv_options):
        """The writers go on as soon as the guest runs there, and wait for their pages."""
        recv = self.start(receiver("tcp:127.0.0.1:0", *BOTH, *recv_options))
        send = self.start(sender(recv.address(), *SLOW, *send_options))
        send.end(COMPLETED)
        recv.end(COMPLETED)
        report = self.check_ran(recv)
        faults = report["postcopy-faults"]
        self.assertGreater(faults["count"], 0)
        self.assertEqual(sum(faults["distribution"]), faults["count"])
        self.assertGreaterEqual(faults["max-ns"], faults["mean-ns"])
        self.assertGreater(faults["mean-ns"], 0)
        requests = report["statistics"]["postcopy-requests"]
        self.assertGreater(requests, 0)
        self.assertEqual(send.json["statistics"]["postcopy-requests"], requests)
        self.assertEqual(report["statistics"]["postcopy-duplicates"], 0)

    def test_at_once(self):
        self.run_there([], [])

    def test_preempt(self):
        self.run_there(["--preempt"], ["--preempt"])

    def test_preempt_at_one_end(self):
        """The sender must have it; a receiver can do without."""
        self.run_there([], ["--preempt"])
        recv = self.start(receiver("tcp:127.0.0.1:0", *BOTH))
        send = self.start(sender(recv.address(), *LATE, "--preempt")).end(FAILED)
        recv.end(FAILED)
        self.assertIn("lacks the feature 'preempt'", send.json["error"])
        self.assertIn("ran on here", send.stderr)

    def test_regions_of_every_kind(self):
        regions = ["--region", "a:anon:4M", "--region", "b:memfd:4M"]
        self.run_there([*regions, "--preempt"], ["--memory", "16M", *regions, "--preempt"])

    def test_unix(self):
        _, recv = self.move([*LATE, "--preempt"], [*BOTH, "--preempt"],
                            address=f"unix:{self.path('socket')}")
        self.check_ran(recv)

    def test_a_receiver_that_does_not_want_it(self):
        recv = self.start(receiver("tcp:127.0.0.1:0"))
        send = self.start(sender(recv.address(), *LATE)).end(FAILED)
        recv.end(FAILED)
        for end in send, recv:
            self.assertIn("postcopy", end.json["error"])
        # The guest is where it was.
        self.assertIn("ran on here", send.stderr)

    # ---- breaks -----------------------------------------------------------------------------

    def start_both(self, send_options=(), recv_options=()):
        """Two ends with a proxy between them, in postcopy."""
        recv = self.start(receiver("tcp:127.0.0.1:0", *BOTH, *recv_options))
        proxy = AnyCut(recv.address())
        self.addCleanup(proxy.close)
        send = self.start(sender(proxy.address, *SLOW, *send_options))
        recv.wait_for("postcopy-active")
        send.wait_for("postcopy-active")
        return send, recv, proxy

    def port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]

    def recover(self, *options, cuts=1):
        port = self.port()
        again = AnyCut(f"tcp:127.0.0.1:{port}")
        self.addCleanup(again.close)
        send, recv, proxy = self.start_both(["--recover", again.address, *options],
                                            ["--recover", f"tcp:127.0.0.1:{port}", *options])
        proxy.cut()
        for count in range(1, cuts):
            recv.wait_for_times("postcopy-active", count + 1)
            send.wait_for_times("postcopy-active", count + 1)
            again.cut()
        send.end(COMPLETED)
        recv.end(COMPLETED)
        self.check_ran(recv)
        for end in send, recv:
            self.assertIn("postcopy-paused: ", end.stderr)
            self.assertEqual(end.stderr.count("postcopy-active"), cuts + 1)
        self.assertIn("to recover", recv.stderr)

    def test_recover(self):
        self.recover()

    def test_recover_with_preempt(self):
        self.recover("--preempt")

    def test_recover_many_times(self):
        self.recover("--preempt", cuts=8 if LONG else 3)

    def test_recover_on_the_same_address(self):
        port = self.port()
        address = f"tcp:127.0.0.1:{port}"
        recv = self.start(receiver(address, *BOTH, "--recover", address))
        proxy = AnyCut(recv.address())
        self.addCleanup(proxy.close)
        send = self.start(sender(proxy.address, *SLOW, "--recover", address))
        recv.wait_for("postcopy-active")
        proxy.cut()
        send.end(COMPLETED)
        recv.end(COMPLETED)
        self.check_ran(recv)

    def test_without_recover(self):
        send, recv, proxy = self.start_both()
        proxy.cut()
        for end in send, recv:
            end.end(PAUSED)
            self.assertIn("postcopy-paused: ", end.stderr)
            self.assertIn("--recover", end.json["error"])
            self.assertEqual(end.json["result"], "paused")
            self.assertNotIn("ran on", end.stderr)

    def check_killed(self, killed, left):
        killed.kill()
        left.end(PAUSED)
        self.assertIn("the connection broke in postcopy", left.json["error"])

    def test_the_sender_is_killed(self):
        send, recv, _ = self.start_both()
        self.check_killed(send, recv)

    def test_the_receiver_is_killed(self):
        send, recv, _ = self.start_both()
        self.check_killed(recv, send)

    def check_waits(self, killed, left):
        """For another connection, until a signal ends that."""
        killed.kill()
        left.wait_for("postcopy-paused: ")
        self.assertRaises(subprocess.TimeoutExpired, left.process.wait, 1)
        left.kill(signal.SIGTERM)
        left.end(PAUSED)
        self.assertNotIn("--recover", left.json["error"])

    def test_the_sender_is_killed_and_waited_for(self):
        send, recv, _ = self.start_both([], ["--recover", "tcp:127.0.0.1:0"])
        self.check_waits(send, recv)

    def test_the_receiver_is_killed_and_waited_for(self):
        send, recv, _ = self.start_both(["--recover", f"tcp:127.0.0.1:{self.port()}"])
        self.check_waits(recv, send)

    def test_somebody_else_does_not_recover_it(self):
        """A connection of another migration is refused, and the wait goes on."""
        port = self.port()
        send, recv, proxy = self.start_both(["--recover", f"tcp:127.0.0.1:{port}"],
                                            ["--recover", "tcp:127.0.0.1:0"])
        proxy.cut()
        address = recv.wait_for("to recover\n").split("listening on ")[-1].split(" ", 1)[0]
        other = self.start(sender(address, *SLOW))
        other.end(FAILED)
        self.assertIn("ran on here", other.stderr)
        # Still the first one's, with what it asks for.
        forward = AnyCut(address, port)
        self.addCleanup(forward.close)
        send.end(COMPLETED)
        recv.end(COMPLETED)
        self.check_ran(recv)

    def test_a_signal_comes_too_late(self):
        send, recv, _ = self.start_both()
        send.kill(signal.SIGTERM)
        send.wait_for("too late to cancel")
        send.end(COMPLETED)
        recv.end(COMPLETED)


if __name__ == "__main__":
    REASON = no_userfaultfd()
    if REASON:
        print(f"SKIP: {REASON}")
        sys.exit(77)
    main()
