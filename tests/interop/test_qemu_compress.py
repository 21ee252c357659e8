#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compressed pages go from a real QEMU to the programs, and from the programs to a real QEMU."""

import sys

from interop import digest, main
from tools import Tools, why_not

COMPRESS = "--compress", "on"


class Compress(Tools):
    # ---- from QEMU -------------------------------------------------------------------------

    def take(self, *capabilities, answers=False):
        source = self.source(*capabilities, answers=answers)
        tool, address = self.start_tool(*self.receive_into(self.address()), *COMPRESS)
        told = source.migrate_live(address)
        received = self.end_tool(tool)
        self.assertEqual(received["result"], "completed")
        self.check_saved(source)
        found = received["statistics"]
        # QEMU's own number counts some pages several times.
        self.assertGreater(found["compression.pages"], 500)
        self.assertLessEqual(found["compression.pages"], told["compression"]["pages"])
        return found, told

    def address(self):
        return f"unix:{self.path('socket')}"

    def test_take(self):
        self.take("compress")

    def test_take_with_answers(self):
        self.take("compress", answers=True)

    def test_take_with_deltas(self):
        """In QEMU the one has the first pass, and the other those after it."""
        found, told = self.take("compress", "xbzrle")
        if told["ram"]["dirty-sync-count"] > 4:
            self.assertGreater(found["xbzrle-cache.pages"], 0)
        self.assertLessEqual(found["xbzrle-cache.pages"], told["xbzrle-cache"]["pages"])

    def test_without_the_parameter_it_is_refused(self):
        source = self.source("compress", answers=True)
        tool, address = self.start_tool(*self.receive_into(self.address()))
        source.do("migrate", uri=address)
        source.wait_migration(lambda found: found.get("status") == "failed")
        self.assertIn("a compressed page, but the parameter compress is off",
                      self.end_tool(tool, 1)["error"])
        self.check_runs_on(source, source.passes())

    # ---- to QEMU ---------------------------------------------------------------------------

    def convert(self, source, level):
        """The guest of a QEMU that has stopped, and how many pages of it are compressed."""
        stream, out = self.path("stream"), self.path(f"out{level}")
        converted = self.run_tool("convert", *COMPRESS, "--compress-level", level, stream, out)
        self.assertGreater(converted["compressed-pages"], 500)
        found = self.run_tool("inspect", "--extract", self.path("x"), out)
        self.assertEqual(found["records"]["compressed"]["pages"], converted["compressed-pages"])
        self.assertEqual(digest(self.path("x/pc.ram")), digest(source.sent))
        return out, converted["bytes-written"]

    def check_convert(self, *capabilities):
        source = self.source(*capabilities)
        source.migrate_live(f"exec:cat > {self.path('stream')}")
        fast, fast_bytes = self.convert(source, 1)
        small, small_bytes = self.convert(source, 9)
        self.assertLess(small_bytes, fast_bytes)
        for out in fast, small:
            self.check_loads(out, source, "compress")

    def test_convert(self):
        self.check_convert()

    def test_convert_what_was_compressed(self):
        self.check_convert("compress", "xbzrle")

    def test_a_qemu_without_the_capability(self):
        """Then it is as wrong a stream as any."""
        source = self.source()
        source.migrate_live(f"exec:cat > {self.path('stream')}")
        out, _ = self.convert(source, 1)
        with self.start_qemu("destination", incoming=True) as destination:
            destination.do("migrate-incoming", uri=f"exec:cat {out}")
            destination.process.wait(60)
            self.assertIn("Received an unexpected compressed page", destination.said())


if __name__ == "__main__":
    REASON = why_not()
    if REASON:
        print(f"SKIP: {REASON}")
        sys.exit(77)
    main()
