#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The connection is lost during the hand-over, at each of its messages. The guest runs at exactly
one end, or both ends know that they do not know."""

import signal

from cutting_proxy import COMMIT, READY, RUNNING, CuttingProxy
from programs import COMPLETED, FAILED, FAST, IN_DOUBT, Case, main, receiver, sender


class Doubt(Case):
    def lose(self, message, send_arguments=(), recv_arguments=(), end_receiver=False):
        """A migration that loses a message of the hand-over; both ends, ended."""
        recv = self.start(receiver("tcp:127.0.0.1:0", "--verify", *recv_arguments))
        proxy = CuttingProxy(recv.address(), message)
        self.addCleanup(proxy.close)
        send = self.start(sender(proxy.address, "--verify", *FAST, *send_arguments))
        send.end()
        if end_receiver:
            recv.kill(signal.SIGTERM)
        recv.end()
        self.assertTrue(proxy.was_lost)
        return send, recv

    def test_ready_lost(self):
        # The source was never told, so the guest is its; and it can tell the destination.
        send, recv = self.lose(READY)
        send.end(FAILED)
        recv.end(FAILED)
        self.assertIn("the guest ran on here, all pages", send.stderr)
        self.assertIn("the receiver knows", send.stderr)
        self.assertIn("in doubt", recv.stderr)
        self.assertNotIn("digest", recv.json)

    def test_ready_lost_and_nobody_asks(self):
        send, recv = self.lose(READY, ["--on-doubt", "exit"], ["--on-doubt", "exit"])
        send.end(FAILED)
        recv.end(IN_DOUBT)
        self.assertIn("--on-doubt", recv.json["error"])

    def test_commit_lost(self):
        self.check_moved(*self.lose(COMMIT))

    def test_commit_lost_and_nobody_asks(self):
        for program in self.lose(COMMIT, ["--on-doubt", "exit"], ["--on-doubt", "exit"]):
            program.end(IN_DOUBT)
            self.assertEqual(program.json["result"], "in-doubt")
            self.assertEqual(program.json["status"], "in-doubt")

    def test_commit_lost_and_settled_for_the_destination(self):
        self.check_moved(*self.lose(COMMIT, ["--on-doubt", "discard"], ["--on-doubt", "run"]))

    def test_commit_lost_and_settled_for_the_source(self):
        send, recv = self.lose(COMMIT, ["--on-doubt", "run"], ["--on-doubt", "discard"])
        send.end(FAILED)
        recv.end(FAILED)
        self.assertIn("the guest ran on here, all pages", send.stderr)
        self.assertNotIn("digest", recv.json)

    def test_running_lost(self):
        # The destination has the guest and does not know of any doubt, but it answers.
        self.check_moved(*self.lose(RUNNING, (), ["--run-on", "100000"], end_receiver=True))

    def test_running_lost_and_nobody_asks(self):
        send, recv = self.lose(RUNNING, ["--on-doubt", "exit"])
        send.end(IN_DOUBT)
        recv.end(COMPLETED)


if __name__ == "__main__":
    main()
