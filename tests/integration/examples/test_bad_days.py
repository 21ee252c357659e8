#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cancelled, killed and cut migrations: the guest goes on where it belongs, and every page that it
wrote meanwhile is good."""

import signal
import time

from programs import CANCELLED, FAILED, SLOW, Case, main, receiver, sender


class BadDays(Case):
    def start_slow(self, *recv_arguments):
        """Both ends, in the middle of a migration."""
        recv = self.start(receiver("tcp:127.0.0.1:0", "--progress", *recv_arguments))
        send = self.start(sender(recv.address(), "--progress", *SLOW))
        recv.wait_for(" MiB received")
        send.wait_for("%  round 1")
        return send, recv

    def check_ran_on(self, send):
        self.assertIn("the guest ran on here, all pages of its working set are good", send.stderr)

    def test_sender_cancelled(self):
        for number in signal.SIGINT, signal.SIGTERM:
            with self.subTest(number):
                send, recv = self.start_slow()
                send.kill(number)
                send.end(CANCELLED)
                self.check_ran_on(send)
                self.assertEqual(send.json["result"], "cancelled")
                self.assertEqual(send.json["status"], "cancelled")
                recv.end(FAILED)

    def test_receiver_cancelled(self):
        send, recv = self.start_slow()
        recv.kill(signal.SIGINT)
        recv.end(CANCELLED)
        send.end(FAILED)
        self.check_ran_on(send)

    def test_receiver_killed(self):
        send, recv = self.start_slow()
        recv.kill()
        send.end(FAILED)
        self.check_ran_on(send)
        self.assertEqual(send.json["status"], "failed")
        self.assertNotEqual(send.json["error"], "")

    def test_sender_killed(self):
        send, recv = self.start_slow()
        send.kill()
        recv.end(FAILED)
        self.assertEqual(recv.json["result"], "failed")
        self.assertNotEqual(recv.json["error"], "")

    def test_receiver_stalls(self):
        send, recv = self.start_slow()
        recv.kill(signal.SIGSTOP)
        send.kill(signal.SIGINT)
        send.end(CANCELLED)
        self.check_ran_on(send)

    def test_stall_time_out(self):
        recv = self.start(receiver("tcp:127.0.0.1:0", "--progress"))
        send = self.start(sender(recv.address(), *SLOW, "--stall-timeout", "500"))
        recv.wait_for(" MiB received")
        recv.kill(signal.SIGSTOP)
        send.end(FAILED)
        self.check_ran_on(send)

    def test_nobody_listens(self):
        begin = time.monotonic()
        send = self.start(sender("tcp:127.0.0.1:1")).end(FAILED)
        self.assertGreater(time.monotonic() - begin, 9)
        self.assertIn("tcp:127.0.0.1:1", send.json["error"])

    def test_waiting_ends_on_a_signal(self):
        recv = self.start(receiver("tcp:127.0.0.1:0"))
        recv.address()
        recv.kill(signal.SIGINT)
        self.assertEqual(recv.process.wait(60), -signal.SIGINT)

    def test_full_disk(self):
        send = self.start(sender("file:/dev/full", "--max-bandwidth", "0")).end(FAILED)
        self.assertIn("No space left", send.json["error"])
        self.check_ran_on(send)

    def test_run_on_ends_on_a_signal(self):
        recv = self.start(receiver("tcp:127.0.0.1:0", "--verify", "--run-on", "100000"))
        send = self.start(sender(recv.address(), "--verify", "--max-bandwidth", "0")).end(0)
        recv.kill(signal.SIGTERM)
        self.check_moved(send, recv)


if __name__ == "__main__":
    main()
