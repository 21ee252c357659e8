#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ramsync-inspect with streams that are damaged: where it says they are, and what is saved."""

import gzip
import os
import resource

from programs import FAILED, INSPECT, Case, Program, main
from streams import (CONTENT, DESCRIPTION, END, EOS, EXPECTED, LIST, PAGE, PART, START, command,
                     delta, digest, filled, fixture, header, listed, page, section, stream, string, tail,
                     u16, u64, unpacked, zero)

REGIONS = {"ram": 4 * PAGE, "rom": PAGE}
HEAD = header() + section(START, listed(REGIONS))
FIRST = section(PART, zero(0, "ram") + page(PAGE, "ram", filled(1)) +
                page(2 * PAGE, "ram", filled(2)) + page(0, "rom", filled(9)) + u64(EOS))
SECOND = zero(3 * PAGE, "ram") + page(PAGE, "ram", filled(3)) + u64(EOS)
WHOLE = HEAD + FIRST + section(END, SECOND) + tail()
# Where the last page with content has its record.
RECORD = WHOLE.index(page(PAGE, "ram", filled(3)))
SECOND_AT = len(HEAD + FIRST)


class Damage(Case):
    def inspect(self, data, *arguments):
        path = self.path("stream")
        with open(path, "wb") as file:
            file.write(data)
        return self.start(Program([INSPECT, "--json", *arguments, path])).end(FAILED)

    def check(self, data, offset, text, section_name="ram", region=None, region_offset=None):
        """It says where and what, extracts nothing, and has the numbers for programs, too."""
        ended = self.inspect(data, "--extract", self.path("x"), "--devices", self.path("d"))
        found = ended.json
        self.assertFalse(found["whole"])
        self.assertEqual(found["damage"], {"offset": offset, "section": section_name,
                                           "region": region, "region-offset": region_offset})
        self.assertIn(f"ramsync-inspect: at byte {offset}", ended.stderr)
        for word in text, section_name or "", region or "":
            self.assertIn(word, ended.stderr)
        for name in "x", "d":
            self.assertFalse(os.path.exists(self.path(name)), name)
        return ended

    def test_truncated(self):
        ended = self.check(WHOLE[:RECORD + 2000], RECORD, f"ended after {RECORD + 2000} bytes",
                           region="ram", region_offset=PAGE)
        self.assertIn(f"in section ram from byte {SECOND_AT}", ended.stderr)
        self.assertIn("in region ram at offset 0x1000", ended.stderr)
        self.check(WHOLE[:RECORD + 3], RECORD, "ended")
        self.check(WHOLE[:SECOND_AT], SECOND_AT, "ended", section_name=None)
        self.check(WHOLE[:-1], len(WHOLE) - 1, "description", section_name=None)
        entry = len(header()) + len(section(START, b"")) - 5 + 8
        self.check(WHOLE[:entry + 3], entry, "ended")

    def test_every_truncation_is_noticed(self):
        """None is taken for a whole stream, and none ends badly."""
        regions = {"ram": PAGE}
        data = stream(regions, zero(0, "ram"))
        for length in range(len(data)):
            ended = self.inspect(data[:length], "--devices", self.path("d"))
            self.assertIn("ramsync-inspect: ", ended.stderr)
            self.assertFalse(os.path.exists(self.path("d")), length)

    def test_damaged(self):
        def with_bytes(at, data):
            return WHOLE[:at] + data + WHOLE[at + len(data):]

        beyond = with_bytes(RECORD, u64(64 * PAGE | 8))
        self.check(beyond, RECORD, "region ram, offset 0x40000")
        self.check(with_bytes(RECORD + 9, b"tap"), RECORD, "region tap")
        self.check(with_bytes(RECORD, u64(PAGE | 0x41)), RECORD, "0x41")
        self.check(with_bytes(SECOND_AT, b"\x55"), SECOND_AT, "0x55", section_name=None)
        self.check(with_bytes(SECOND_AT - 5, b"\x7d"), SECOND_AT - 5, "footer")

    def test_deltas(self):
        """A delta that is cut off is not applied; one that is malformed was, in part."""
        def check(records, text, cut=0):
            whole = HEAD + FIRST + section(END, SECOND[:-8] + records + u64(EOS))
            at = whole.index(records)
            data = whole[:at + len(records) - cut] if cut else whole + tail()
            self.check(data, at, text, region="ram", region_offset=PAGE)
            ended = self.inspect(data, "--extract", self.path("kept"), "--keep-going")
            self.assertIn("region ram lacks 1 of its 4 pages", ended.stderr)
            with open(self.path("kept/ram"), "rb") as file:
                self.assertEqual(file.read(), bytes(2 * PAGE) + filled(2) + bytes(PAGE))

        check(delta(PAGE, "ram", b"\5\2ab"), "the stream ended after", cut=1)
        check(delta(PAGE, "ram", b"\5\2ab\1\2c"), "offset 0x1000: a malformed XBZRLE delta")

    def test_a_delta_to_a_page_that_never_came(self):
        data = HEAD + section(END, delta(PAGE, "ram", b"\0\1a") + u64(EOS)) + tail()
        self.check(data, len(HEAD) + 5, "offset 0x1000: an XBZRLE delta to a page that never came")

    def test_a_name_that_is_none(self):
        at = WHOLE.index(b"\3ram" + u64(4 * PAGE))
        ended = self.inspect(WHOLE[:at + 1] + b"\x1b\xff\n" + WHOLE[at + 4:])
        self.assertNotIn("\x1b", ended.stderr)
        self.assertIn("\x1b\ufffd\n", [region["name"] for region in ended.json["regions"]])

    def test_keep_going(self):
        ended = self.inspect(WHOLE[:RECORD + 2000], "--extract", self.path("x"), "--keep-going",
                             "--devices", self.path("d"))
        self.assertIn("region ram lacks 1 of its 4 pages", ended.stderr)
        self.assertNotIn("region rom lacks", ended.stderr)
        self.assertEqual([region["pages-missing"] for region in ended.json["regions"]], [1, 0])
        # The page that it broke off in is neither the old one nor the new one.
        with open(self.path("x/ram"), "rb") as file:
            self.assertEqual(file.read(), bytes(2 * PAGE) + filled(2) + bytes(PAGE))
        with open(self.path("x/rom"), "rb") as file:
            self.assertEqual(file.read(), filled(9))
        self.assertFalse(os.path.exists(self.path("d")))

    def test_keep_going_when_devices_are_lost(self):
        data = unpacked("plain")[:-60000]
        ended = self.inspect(data, "--extract", self.path("x"), "--keep-going")
        self.assertNotIn("lacks", ended.stderr)
        for region in ended.json["regions"]:
            self.assertEqual(digest(self.path("x/" + region["file"])),
                             EXPECTED["plain"]["regions"][region["name"]]["sha256"])

    def test_keep_going_with_one_region(self):
        ended = self.inspect(WHOLE[:RECORD], "--extract", self.path("x"), "--keep-going",
                             "--region", "rom")
        self.assertNotIn("lacks", ended.stderr)
        self.assertEqual(os.listdir(self.path("x")), ["rom"])

    def test_a_long_run_that_breaks_off(self):
        """What never came takes no memory, however much of it a few bytes announce."""
        size, offer = 1 << 31, u16(1) + u16(24) + string("session") + bytes(16)
        for number, name in (2, "runs"), (3, "device-lengths"):
            offer += u16(number) + u16(len(name) + 1) + string(name)
        run = u64(CONTENT | LIST) + string("ram") + u64(size - PAGE)
        data = (header("ramsync") + command(0x5253, offer) +
                section(START, listed({"ram": size})) +
                section(PART, page(size - PAGE, "ram", filled(7)) + run + filled(8))[:-5])
        ended = self.inspect(data, "--extract", self.path("x"), "--keep-going", "--max-memory",
                             str(size))
        self.assertIn(f"region ram lacks {size // PAGE - 1} of its {size // PAGE} pages",
                      ended.stderr)
        with open(self.path("x/ram"), "rb") as file:
            self.assertEqual(file.read(2 * PAGE), bytes(2 * PAGE))
            file.seek(size - PAGE)
            self.assertEqual(file.read(), filled(7))
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        self.assertLess(used, size // 2)

    def test_packed(self):
        with open(fixture("live"), "rb") as file:
            packed = file.read()
        ended = self.inspect(packed[:400000])
        self.assertIn("gzip: the packed data breaks off after 400000 bytes", ended.stderr)
        self.assertIn("in region pc.ram at offset", ended.stderr)
        broken = bytearray(packed)
        broken[-5] ^= 1
        ended = self.inspect(bytes(broken), "--extract", self.path("x"))
        self.assertIn("gzip: damaged at packed byte", ended.stderr)
        self.assertFalse(os.path.exists(self.path("x")))
        # The checksum of a piece is behind the stream: everything was read, and still it counts.
        small = gzip.compress(WHOLE + bytes(100000))
        ended = self.inspect(small[:-8] + b"\0" * 8, "--extract", self.path("x"))
        self.assertIn("gzip: damaged", ended.stderr)
        self.assertFalse(os.path.exists(self.path("x")))

    def test_description_that_is_not_whole(self):
        data = WHOLE[:-len(DESCRIPTION)] + DESCRIPTION[:-1] + b"]"
        self.assertIn("description", self.inspect(data).json["error"])


if __name__ == "__main__":
    main()
