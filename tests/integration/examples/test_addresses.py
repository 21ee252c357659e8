#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest moves over every kind of address, and arrives equal, running and verified."""

import os
import shlex
import socket

from programs import FAST, RECV, Case, main, receiver, sender


class Addresses(Case):
    def check_guest_ran(self, send, recv):
        """The writers wrote at both ends: the default guest is not idle."""
        self.assertGreater(send.json["pages-written"], 0)
        self.assertGreater(recv.json["pages-written"], 0)

    def test_tcp(self):
        send, recv = self.move()
        self.check_guest_ran(send, recv)

    def test_tcp_ipv6(self):
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError as error:
                self.skipTest(f"no IPv6 here: {error}")
        self.move(address="tcp:[::1]:0")

    def test_tcp_name(self):
        self.move(address="tcp:localhost:0")

    def test_unix(self):
        path = self.path("socket")
        self.check_guest_ran(*self.move(address=f"unix:{path}"))
        self.assertFalse(os.path.exists(path))

    def test_sender_waits_for_receiver(self):
        path = self.path("late")
        send = self.start(sender(f"unix:{path}", "--verify", *FAST))
        recv = self.start(receiver(f"unix:{path}", "--verify"))
        self.check_moved(send, recv)

    def test_file(self):
        address = f"file:{self.path('saved')}"
        send = self.start(sender(address, "--verify", *FAST))
        send.end(0)
        # What was saved can be loaded any number of times.
        for _ in range(2):
            recv = self.start(receiver(address, "--verify"))
            self.check_moved(send, recv)
            self.check_guest_ran(send, recv)

    def test_socket_by_descriptor(self):
        ours, theirs = socket.socketpair()
        recv = self.start(receiver(f"fd:{theirs.fileno()}", "--verify",
                                   pass_fds=[theirs.fileno()]))
        send = self.start(sender(f"fd:{ours.fileno()}", "--verify", *FAST,
                                 pass_fds=[ours.fileno()]))
        ours.close()
        theirs.close()
        self.check_moved(send, recv)

    def test_pipe_by_descriptor(self):
        out, into = os.pipe()
        recv = self.start(receiver(f"fd:{out}", "--verify", pass_fds=[out]))
        send = self.start(sender(f"fd:{into}", "--verify", *FAST, pass_fds=[into]))
        os.close(out)
        os.close(into)
        self.check_moved(send, recv)

    def test_commands(self):
        path = shlex.quote(self.path("saved"))
        send = self.start(sender(f"exec:cat >{path}", "--verify", *FAST))
        send.end(0)
        recv = self.start(receiver(f"exec:cat {path}", "--verify"))
        self.check_moved(send, recv)

    def test_receiver_as_command(self):
        report = self.path("report")
        command = f"{shlex.quote(RECV)} --from fd:0 --verify --run-on 0.2 >{shlex.quote(report)}"
        send = self.start(sender(f"exec:{command}", "--verify", *FAST)).end(0)
        with open(report, encoding="utf-8") as file:
            self.assertIn(f"digest {send.digest}\n", file.read())

    def test_command_that_fails_at_the_end(self):
        command = "exec:cat >/dev/null; exit 7"
        send = self.start(sender(command, *FAST)).end(4)
        self.assertIn("7", send.json["error"])
        # Who knows that the command kept nothing may say so.
        send = self.start(sender(command, "--on-doubt", "run", *FAST)).end(1)
        self.assertIn("the guest ran on here, all pages", send.stderr)


if __name__ == "__main__":
    main()
