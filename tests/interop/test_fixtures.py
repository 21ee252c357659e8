#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Recorded QEMU migrations, loaded through the handlers and through the driver.

tests/fixtures/qemu-7.2/README.md says what they are.
"""

import gzip
import json
import os
import zlib

from interop import FIXTURES, Case, digest, main

with open(os.path.join(FIXTURES, "expected.json"), encoding="utf-8") as expected_file:
    EXPECTED = json.load(expected_file)

PAGE = 4096
ZERO, LIST, FULL_PAGE, EOS, CONTINUE, XBZRLE, COMPRESSED = 2, 4, 8, 0x10, 0x20, 0x40, 0x100
START, DEVICE = 1, 4


class Walk:
    """Goes over a stream of RAM, and writes it again with its compressed pages in full."""

    def __init__(self, data):
        self.data, self.at, self.kept, self.pages = data, 0, bytearray(), 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def keep(self, size):
        self.kept += self.take(size)
        return int.from_bytes(self.kept[len(self.kept) - size:], "big")

    def record(self):
        """Whether the body goes on behind it."""
        word = int.from_bytes(self.take(8), "big")
        in_full = word ^ (COMPRESSED | FULL_PAGE) if word & COMPRESSED else word
        self.kept += in_full.to_bytes(8, "big")
        if word & (ZERO | FULL_PAGE | XBZRLE | COMPRESSED) and not word & CONTINUE:
            self.keep(self.keep(1))
        if word & COMPRESSED:
            self.kept += zlib.decompress(self.take(int.from_bytes(self.take(4), "big")))
            self.pages += 1
        elif word & XBZRLE:
            self.keep(1)
            self.keep(self.keep(2))
        elif word & LIST:
            end = word - LIST
            while end > 0:
                self.keep(self.keep(1))
                end -= self.keep(8)
        else:
            self.keep(1 if word & ZERO else PAGE if word & FULL_PAGE else 0)
        return not word & EOS

    def whole(self):
        self.keep(9)
        self.keep(self.keep(4))
        while self.data[self.at] < DEVICE:
            first = self.keep(1)
            self.keep(4)
            if first == START:
                self.keep(self.keep(1) + 8)
            while self.record():
                pass
            self.keep(5)
        self.keep(len(self.data) - self.at)
        return bytes(self.kept)


class Fixtures(Case):
    def unpack(self, name):
        with gzip.open(os.path.join(FIXTURES, EXPECTED[name]["file"])) as file:
            data = file.read()
        self.assertEqual(len(data), EXPECTED[name]["bytes"])
        return self.write("stream", data)

    def check_regions(self, name, found):
        expected = EXPECTED[name]["regions"]
        self.assertEqual({region["name"]: region["bytes"] for region in found["regions"]},
                         {region: entry["bytes"] for region, entry in expected.items()})
        for region in found["regions"]:
            sha256 = expected[region["name"]]["sha256"]
            with self.subTest(region=region["name"]):
                if sha256 is not None:
                    self.assertEqual(digest(region["file"]), sha256)

    def check_counts(self, name, found):
        records = EXPECTED[name]["records"]
        self.assertEqual(found["zero"], records["zero"])
        self.assertEqual(found["page"], records["page"])
        self.assertEqual(found["xbzrle"], records.get("xbzrle", 0))
        self.assertEqual(found["compressed"], records.get("compress_page", 0))

    def check(self, name, *options):
        stream = self.unpack(name)
        for work in self.load, self.receive:
            with self.subTest(work=work.__name__):
                found = work(stream, *options)
                self.check_regions(name, found)
                self.check_counts(name, found)
        found = self.load(stream, *options)
        self.assertEqual(found["bodies"], EXPECTED[name]["bodies"])
        self.assertEqual(found["machine"], EXPECTED[name]["machine"])

    def test_plain(self):
        self.check("plain")

    def test_plain_over_rubbish(self):
        self.check("plain", "rubbish")

    def test_live(self):
        self.check("live")

    def test_live_over_rubbish(self):
        self.check("live", "rubbish")

    # ---- encoded pages ----------------------------------------------------------------------

    def test_xbzrle(self):
        self.check("xbzrle")

    def test_xbzrle_over_rubbish(self):
        self.check("xbzrle", "rubbish")

    def test_xbzrle_small_cache(self):
        self.check("xbzrle-small-cache")

    def test_compress(self):
        self.check("compress", "compress=on")

    def test_compress_over_rubbish(self):
        self.check("compress", "compress=on", "rubbish")

    def test_compress_with_deltas(self):
        for threads in 1, 2, 9:
            self.check("compress-xbzrle", "compress=on", f"decompress-threads={threads}")

    def check_recoded(self, name):
        """Every delta in it is what our encoder makes of the same two pages."""
        found = self.run_program("recode", self.unpack(name), "compress=on")
        self.assertEqual(found["recoded"], EXPECTED[name]["records"]["xbzrle"])
        self.check_regions(name, found)
        return found["recoded"]

    def test_deltas_are_made_again(self):
        self.assertEqual(sum(self.check_recoded(name) for name in (
            "xbzrle", "xbzrle-small-cache", "compress-xbzrle")), 4313)

    def inflate(self, name):
        """The stream with its compressed pages in full."""
        with open(self.unpack(name), "rb") as file:
            walk = Walk(file.read())
        stream = self.write("inflated", walk.whole())
        self.assertEqual(walk.pages, EXPECTED[name]["records"]["compress_page"])
        return stream

    def test_compressed_pages_in_full(self):
        """What the compressed pages hold, without a word of the library's about them."""
        for name in "compress", "compress-xbzrle":
            found = self.load(self.inflate(name))
            self.check_regions(name, found)
            records = EXPECTED[name]["records"]
            self.assertEqual(found["page"], records["page"] + records["compress_page"])

    def test_compressed_pages_are_refused(self):
        """Unless the parameter compress is on."""
        for name in "compress", "compress-xbzrle":
            stream = self.unpack(name)
            lengths = self.write_lengths(stream)
            for words in ("load", stream), ("receive", stream, lengths):
                said = self.run_program(*words, fails=True)
                self.assertIn("a compressed page, but the parameter compress is off", said)

    # ---- regions that the stream does not fill ----------------------------------------------

    def ignored(self, address):
        ram = EXPECTED["ignore-shared"]["regions"]["pc.ram"]
        return "pc.ram", ram["bytes"], ram["address"] + address

    def test_ignore_shared(self):
        self.check("ignore-shared", *self.ignored(0))
        with open(self.path("region-0"), "rb") as file:
            self.assertEqual(file.read().strip(b"\0"), b"")

    def test_ignored_region_elsewhere(self):
        said = self.run_program("load", self.unpack("ignore-shared"), *self.ignored(0x1000),
                                fails=True)
        self.assertIn("pc.ram is ignored, and lies at guest address 0x1000", said)

    def test_ignore_shared_must_be_equal(self):
        lengths = self.write("lengths", b"")
        said = self.run_program("receive", self.unpack("ignore-shared"), lengths, fails=True)
        self.assertIn("x-ignore-shared is on in the stream and off here", said)
        said = self.run_program("receive", self.unpack("plain"), lengths, *self.ignored(0),
                                fails=True)
        self.assertIn("x-ignore-shared is off in the stream and on here", said)


if __name__ == "__main__":
    main()
