#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The guest itself notices pages that are not what they must be: the tests above would prove
nothing if it did not."""

from programs import FAST, CORRUPT, Case, main, receiver, sender


class Faults(Case):
    def test_lost_writes_are_found_by_the_guest(self):
        # The writers are far on their second round when the guest is stopped, for the first one
        # takes four seconds; what was sent meanwhile stays old.
        recv = self.start(receiver("tcp:127.0.0.1:0", "--run-on", "60"))
        send = self.start(sender(recv.address(), "--dirty-log", "none", "--dirty-rate", "0",
                                 "--max-bandwidth", "16M", "--pattern", "random"))
        recv.end(CORRUPT)
        self.assertRegex(recv.json["error"],
                         r"region \"ram\.(low|high)\" offset 0x[0-9a-f]+: page \d+ of writer \d")
        self.assertRegex(recv.json["error"], r"expected sequence \d+")
        self.assertEqual(recv.json["result"], "corrupt")
        send.end(0)

    def test_lost_writes_are_found_by_the_digest(self):
        recv = self.start(receiver("tcp:127.0.0.1:0", "--verify"))
        send = self.start(sender(recv.address(), "--verify", "--dirty-log", "none",
                                 "--dirty-rate", "0", "--max-bandwidth", "16M",
                                 "--pattern", "random"))
        send.end(0)
        recv.end(CORRUPT)
        self.assertNotEqual(send.digest, recv.digest)

    def test_a_page_not_visited_any_more_is_found_at_the_end(self):
        # At one page a second the writers visit next to nothing before they are stopped.
        path = self.path("saved")
        self.start(sender(f"file:{path}", "--pattern", "zero", "--writers", "1", "--dirty-rate",
                          "1", *FAST)).end(0)
        self.start(receiver(f"file:{path}")).end(0)
        with open(path, "r+b") as file:
            data = file.read()
            at = data.rindex(b"!cnysmar")  # the magic number, little-endian, of the last page
            file.seek(at + 2000)
            old = file.read(1)
            file.seek(at + 2000)
            file.write(bytes([old[0] ^ 0x10]))
        recv = self.start(receiver(f"file:{path}")).end(CORRUPT)
        self.assertIn("is broken", recv.json["error"])


if __name__ == "__main__":
    main()
