#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Recorded QEMU migrations, loaded through the handlers and through the driver.

tests/fixtures/qemu-7.2/README.md says what they are.
"""

import gzip
import json
import os

from interop import FIXTURES, Case, digest, main

with open(os.path.join(FIXTURES, "expected.json"), encoding="utf-8") as expected_file:
    EXPECTED = json.load(expected_file)


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
