#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pages as what changed in them: the parameter xbzrle."""

from programs import COMPLETED, FAILED, INSPECT, Case, Program, main, sender

# So that there are several rounds: the guest writes a quarter of what goes out.
BUSY = ["--xbzrle", "on", "--writers", "2", "--dirty-rate", "2000", "--working-set", "8M",
        "--max-bandwidth", "32M", "--downtime-limit", "1"]


class Deltas(Case):
    def statistics(self, *arguments):
        """Of the source, by QEMU's names without "xbzrle-cache."; the guest has arrived."""
        send, recv = self.move([*BUSY, *arguments])
        came = recv.json["statistics"]["xbzrle-cache.pages"]
        found = {name.removeprefix("xbzrle-cache."): value
                 for name, value in send.json["statistics"].items() if "xbzrle-" in name}
        # What had not changed was not sent, and what had changed too much came as a page.
        self.assertLessEqual(came, found["pages"] - found["overflow"])
        return came, found

    def test_a_busy_guest(self):
        came, found = self.statistics("--xbzrle-cache-size", "64M")
        self.assertEqual(found["cache-size"], 64 << 20)
        self.assertGreater(found["cache-miss"], 0)
        self.assertGreater(came, 0)
        self.assertGreater(found["bytes"], 0)
        self.assertGreaterEqual(found["pages"], came)

    def test_a_cache_that_is_too_small(self):
        _, found = self.statistics("--xbzrle-cache-size", "64K")
        self.assertEqual(found["cache-size"], 65536)
        self.assertGreater(found["cache-miss"], 16)

    def test_qemus_form(self):
        """Deltas are QEMU's own records: nothing has to be agreed on."""
        path = self.path("stream")
        send = self.start(sender(f"file:{path}", *BUSY, "--qemu", "pc")).end(COMPLETED).json
        found = self.start(Program([INSPECT, "--json", path])).end(COMPLETED).json
        deltas = found["records"]["xbzrle"]["pages"]
        self.assertGreater(deltas, 0)
        self.assertLessEqual(deltas, send["statistics"]["xbzrle-cache.pages"])

    def test_large_pages(self):
        for size in "32K", "64K":
            send = self.start(sender("file:/dev/null", *BUSY, "--page-size", size))
            self.assertIn("parameter xbzrle: pages of", send.end(FAILED).json["error"])

    def test_off(self):
        send, _ = self.move(["--xbzrle", "off"])
        for name, value in send.json["statistics"].items():
            if name.startswith("xbzrle-cache."):
                self.assertEqual(value, 0, name)


if __name__ == "__main__":
    main()
