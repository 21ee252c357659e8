#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Recorded postcopy migrations of QEMU's, read by ramsync-inspect and made whole by ramsync-convert.

tests/fixtures/qemu-7.2/README.md says what they are.
"""

import gzip
import json
import os
import subprocess
import sys

from interop import FIXTURES, PATIENCE, digest, main
from tools import Tools, program

with open(os.path.join(FIXTURES, "expected.json"), encoding="utf-8") as expected_file:
    EXPECTED = json.load(expected_file)


def path(name):
    return os.path.join(FIXTURES, name)


def unpack(name):
    with gzip.open(path(name)) as file:
        return file.read()


class Recordings(Tools):
    def words(self, name):
        first, *others = [path(stream["file"]) for stream in EXPECTED[name]["streams"]]
        words = ["inspect", "--extract", self.path("x"), "--devices", self.path("devices"), first]
        for other in others:
            words += ["--resume", other]
        return words

    def refuse(self, *words):
        """What a program says that fails, and its report."""
        ended = subprocess.run(program(*words), stdin=subprocess.DEVNULL, capture_output=True,
                               text=True, timeout=PATIENCE, check=False)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        return json.loads(ended.stdout)

    def check_files(self, name, found):
        expected = EXPECTED[name]["regions"]
        self.assertEqual({region["name"]: region["bytes"] for region in found["regions"]},
                         {region: entry["bytes"] for region, entry in expected.items()})
        for region in found["regions"]:
            with self.subTest(region=region["name"]):
                self.assertEqual(region["pages-missing"], 0)
                self.assertEqual(digest(self.path(f"x/{region['file']}")),
                                 expected[region["name"]]["sha256"])

    def check(self, name):
        expected = EXPECTED[name]
        found = self.run_tool(*self.words(name))
        self.assertTrue(found["whole"])
        self.assertEqual(found["header"]["machine"], expected["machine"])
        self.assertEqual(found["bytes"], sum(stream["bytes"] for stream in expected["streams"]))
        self.assertEqual([command["name"] for command in found["commands"]], expected["commands"])
        self.check_files(name, found)
        # The end mark is ours: the package has none.
        self.assertEqual(os.path.getsize(self.path("devices")), found["device-state"]["bytes"])
        return found

    def test_postcopy(self):
        found = self.check("postcopy")
        records = EXPECTED["postcopy"]["records"]
        self.assertEqual(found["records"]["page"]["records"], records["page"])
        self.assertEqual(found["records"]["zero"]["records"], records["zero"])
        self.assertEqual(found["ram-bodies"], records["eos"])

    def test_commands(self):
        commands = self.check("postcopy")["commands"]
        about = {command["name"]: command["about"] for command in commands}
        # The guest writes what it counts in, and the first 512 pages behind 2 MiB.
        self.assertEqual(about["POSTCOPY_RAM_DISCARD"],
                         [{"region": "pc.ram", "address": 0x6000, "bytes": 0x1000},
                          {"region": "pc.ram", "address": 0x100000, "bytes": 0x1000},
                          {"region": "pc.ram", "address": 0x200000, "bytes": 0x200000}])
        self.assertEqual([entry["bytes"] for entry in about["POSTCOPY_ADVISE"]], [4096])
        package = next(command for command in commands if command["name"] == "PACKAGED")
        listen = next(command for command in commands if command["name"] == "POSTCOPY_LISTEN")
        run = next(command for command in commands if command["name"] == "POSTCOPY_RUN")
        self.assertEqual(listen["offset"], package["offset"] + 9)
        self.assertEqual(run["offset"] + 5, listen["offset"] + package["about"][0]["bytes"])

    def test_recovery(self):
        found = self.check("postcopy-recover")
        self.assertEqual([command["stream"] for command in found["commands"]], [1] * 15 + [2] * 7)
        self.assertEqual([command["about"][0]["region"] for command in found["commands"]
                          if command["name"] == "RECV_BITMAP"],
                         list(EXPECTED["postcopy-recover"]["regions"]))

    def test_a_half(self):
        """Without what came over the second connection."""
        first, second = [path(stream["file"]) for stream in
                         EXPECTED["postcopy-recover"]["streams"]]
        found = self.refuse("inspect", first)
        self.assertFalse(found["whole"])
        self.assertIn("postcopy breaks off", found["error"])
        self.assertIn("--resume", found["error"])
        self.assertEqual(found["damage"]["offset"],
                         EXPECTED["postcopy-recover"]["streams"][0]["bytes"])
        self.assertGreater(found["regions"][0]["pages-missing"], 15000)
        self.assertIn("not a migration stream", self.refuse("inspect", second)["error"])

    def test_in_three_pieces(self):
        """As if the recovery had been cut as well; the bitmaps of then would say the same."""
        first, second = EXPECTED["postcopy-recover"]["streams"]
        data = unpack(second["file"])
        # The first 119 bytes are commands. Then bodies, at any place of which it can go on.
        found = self.run_tool("inspect", "--extract", self.path("x"), path(first["file"]),
                              "--resume", self.write("B", data[:100]),
                              "--resume", self.write("C", data))
        self.check_files("postcopy-recover", found)
        self.assertEqual([command["stream"] for command in found["commands"]],
                         [1] * 15 + [2] * 5 + [3] * 7)

    def test_what_does_not_go_on(self):
        first = path(EXPECTED["postcopy-recover"]["streams"][0]["file"])
        whole = path(EXPECTED["postcopy"]["streams"][0]["file"])
        for name, said in ((first, "begins no record"), (whole, "begins no record"),
                           (self.path("nothing"), "No such file")):
            found = self.refuse("inspect", first, "--resume", name)
            self.assertIn(said, found["error"])

    def test_cut_anywhere(self):
        """Before the package it is a damage, behind it a break."""
        stream = EXPECTED["postcopy"]["streams"][0]
        data = unpack(stream["file"])
        places = {1000: "ended after", 5051409: "ended after", 5051490: "ended after",
                  5064390: "ended after", 5064397: "postcopy breaks off",
                  7157524: "postcopy breaks off", 7157543: "postcopy breaks off"}
        for place, said in places.items():
            with self.subTest(place=place):
                found = self.refuse("inspect", self.write("cut", data[:place]))
                self.assertIn(said, found["error"])

    def test_convert(self):
        """One stream without postcopy, as if it had been sent so."""
        out = self.path("out")
        source = path(EXPECTED["postcopy"]["streams"][0]["file"])
        self.run_tool("convert", "--lax", "on", source, out)
        found = self.run_tool("inspect", "--lax", "on", "--extract", self.path("x"), out)
        self.assertEqual(found["commands"], [])
        self.check_files("postcopy", found)


if __name__ == "__main__":
    if not os.path.exists(program("inspect")[0]):
        print("SKIP: the programs were not built")
        sys.exit(77)
    main()
