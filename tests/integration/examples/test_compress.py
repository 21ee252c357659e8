#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guests that move with their pages compressed, and ends of which only one wants that."""

import os

from programs import COMPLETED, FAILED, FAST, Case, main, receiver, sender

ON = ["--compress", "on"]
STATISTICS = ["compression.pages", "compression.compressed-size"]


class Compress(Case):
    def check_statistics(self, send, recv):
        found = send.json["statistics"]
        for name in STATISTICS:
            self.assertEqual(found[name], recv.json["statistics"][name])
        self.assertGreater(found["compression.pages"], 1000)
        # Text and half of the mix get much smaller.
        self.assertLess(found["compression.compressed-size"],
                        found["compression.pages"] * found["page-size"] / 2)

    def test_moves(self):
        for sending, receiving in (([], []),
                                   (["--compress-level", "9", "--compress-threads", "1"],
                                    ["--decompress-threads", "1"]),
                                   (["--compress-threads", "255"], ["--decompress-threads", "255"]),
                                   (["--pattern", "text", "--xbzrle", "on"], [])):
            with self.subTest(sending):
                send, recv = self.move([*ON, *sending], [*ON, *receiving])
                self.check_statistics(send, recv)
                self.assertEqual(send.json["statistics"]["compression.busy"], 0)

    def test_without_waiting_for_threads(self):
        send, recv = self.move([*ON, "--compress-wait-thread", "off", "--compress-threads", "1",
                                "--compress-level", "9"], ON)
        found = send.json["statistics"]
        self.assertGreater(found["compression.busy"], 0)
        self.assertEqual(found["compression.pages"], recv.json["statistics"]["compression.pages"])

    def test_level_0_sends_pages_in_full(self):
        send, _ = self.move([*ON, "--compress-level", "0"], ON)
        self.assertEqual(send.json["statistics"]["compression.pages"], 0)

    def test_random_pages_go_in_full(self):
        """But for what the guest makes of them."""
        send, _ = self.move([*ON, "--pattern", "random", "--writers", "0"], ON)
        found = send.json["statistics"]
        self.assertLess(found["compression.pages"], found["normal"] / 10)

    def test_qemus_form(self):
        """The guest has no devices that a QEMU would know; the same program reads it back."""
        send, recv = self.move([*ON, "--machine", "pc"], [*ON, "--machine", "pc"])
        self.check_statistics(send, recv)

    def test_through_a_file(self):
        path = self.path("file")
        send = self.start(sender(f"file:{path}", "--verify", *ON, *FAST)).end(COMPLETED)
        self.assertLess(os.path.getsize(path), send.json["statistics"]["normal-bytes"] +
                        send.json["statistics"]["compression.pages"] * 4096 / 2 + (1 << 20))
        refused = self.start(receiver(f"file:{path}")).end(FAILED)
        self.assertIn("the source compresses pages, and the parameter compress is off here",
                      refused.json["error"])
        recv = self.start(receiver(f"file:{path}", "--verify", *ON)).end(COMPLETED)
        self.assertEqual(recv.digest, send.digest)

    # ---- at one end only -------------------------------------------------------------------

    def test_only_at_the_source(self):
        """Refused by both, with the reason, before a page was sent."""
        recv = self.start(receiver("tcp:127.0.0.1:0"))
        send = self.start(sender(recv.address(), *ON, *FAST)).end(FAILED)
        recv.end(FAILED)
        self.assertIn("the destination lacks the feature 'compress'", send.json["error"])
        self.assertIn("the parameter compress is off here", recv.json["error"])
        self.assertLess(send.json["statistics"]["wire-bytes"], 1000)
        self.assertEqual(send.json["statistics"]["normal"], 0)

    def test_only_at_the_destination(self):
        send, recv = self.move([], ON)
        for end in send, recv:
            self.assertEqual(end.json["statistics"]["compression.pages"], 0)

    def test_qemus_form_only_at_the_source(self):
        """Nobody could say so before: it is the first compressed page that is refused."""
        recv = self.start(receiver("tcp:127.0.0.1:0", "--machine", "pc"))
        send = self.start(sender(recv.address(), "--machine", "pc", *ON, *FAST))
        recv.end(FAILED)
        send.end(FAILED)
        self.assertIn("a compressed page, but the parameter compress is off", recv.json["error"])


if __name__ == "__main__":
    main()
