#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Regions may have any name; their files stay where they belong."""

import os
import stat
import subprocess

from programs import COMPLETED, FAILED, INSPECT, Case, Program, main
from streams import PAGE, filled, page, stream, zero

NAMES = {
    "../x": "..%2Fx",
    "/etc/x": "%2Fetc%2Fx",
    "..": "%2E%2E",
    ".": "%2E",
    "...": "...",
    "a/../../b": "a%2F..%2F..%2Fb",
    "%2E%2E": "%252E%252E",
    "%2F": "%252F",
    "~": "~",
    "-rf": "-rf",
    "a b\n": "a b\n",
    "\"quoted\" \\ ü": "\"quoted\" \\ ü",
    "\x1b[2J": "\x1b[2J",
    "n" * 255: "n" * 255,
}


class ExtractNames(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("a"))
        self.directory = self.path("a/x")

    def extract(self, names, code=COMPLETED, directory=None):
        path = self.write({name: PAGE for name in names},
                          b"".join(page(0, name, filled(1 + i)) for i, name in enumerate(names)))
        return self.start(Program([INSPECT, "--json", "--extract", directory or self.directory,
                                   path])).end(code)

    def content(self, name):
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()

    def files(self):
        return sorted(os.listdir(self.directory))

    def test_names(self):
        found = self.extract(NAMES).json
        self.assertEqual(self.files(), sorted(NAMES.values()))
        for i, (region, name) in enumerate(NAMES.items()):
            self.assertEqual(self.content(name), filled(1 + i), region)
        self.assertEqual([region["file"] for region in found["regions"]], list(NAMES.values()))
        # Nothing beside it, and nothing above.
        self.assertEqual(os.listdir(self.path("a")), ["x"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["a", "stream"])
        self.assertFalse(os.path.exists("/etc/x"))

    def test_bytes_that_are_no_text(self):
        self.extract([b"\xff\xfe/\x80"])
        self.assertEqual(os.listdir(os.fsencode(self.directory)), [b"\xff\xfe%2F\x80"])

    def test_a_name_too_long(self):
        for name in "/" * 100, "n" * 254 + "/":
            ended = self.extract(["ram", name], code=FAILED)
            self.assertIn("the file system takes no more than", ended.json["error"])
            self.assertTrue(ended.json["whole"])
            self.assertEqual(ended.stderr.count("takes no more than"), 1)
            self.assertEqual(self.files(), [])

    def test_what_was_there(self):
        os.mkdir(self.directory)
        for name in "ram", "kept":
            with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
                file.write("old")
        self.extract(["ram"])
        self.assertEqual(self.content("ram"), filled(1))
        self.assertEqual(self.content("kept"), b"old")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("a/x/ram")).st_mode), 0o600)

    def test_links_are_not_followed(self):
        os.mkdir(self.directory)
        outside = self.path("outside")
        with open(outside, "w", encoding="utf-8") as file:
            file.write("outside")
        os.symlink(outside, os.path.join(self.directory, "ram"))
        os.symlink(self.path("a"), os.path.join(self.directory, "rom"))
        os.mkfifo(os.path.join(self.directory, "fifo"))
        os.link(outside, os.path.join(self.directory, "hard"))
        names = ["ram", "rom", "fifo", "hard"]
        self.extract(names)
        for i, name in enumerate(names):
            self.assertTrue(stat.S_ISREG(os.lstat(os.path.join(self.directory, name)).st_mode))
            self.assertEqual(self.content(name), filled(1 + i))
        with open(outside, encoding="utf-8") as file:
            self.assertEqual(file.read(), "outside")
        self.assertEqual(os.listdir(self.path("a")), ["x"])

    def test_a_directory_in_the_way(self):
        os.makedirs(os.path.join(self.directory, "rom"))
        ended = self.extract(["rom"], code=FAILED)
        self.assertIn("rom", ended.json["error"])
        self.assertEqual(self.files(), ["rom"])

    def test_no_place_for_it(self):
        ended = self.extract(["ram"], code=FAILED, directory=self.path("no/such"))
        self.assertIn("No such file or directory", ended.json["error"])
        ended = self.extract(["ram"], code=FAILED, directory="/dev/null")
        self.assertIn("Not a directory", ended.json["error"])

    def in_namespace(self, *commands):
        """Shell commands where something else is mounted; skips where nothing can be."""
        probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", self.directory],
                               capture_output=True, check=False)
        if probe.returncode:
            self.skipTest("no file system can be mounted here")
        return subprocess.run(["unshare", "-m", "sh", "-c", " && ".join(commands)],
                              capture_output=True, text=True, check=False)

    def write(self, regions, records):
        path = self.path("stream")
        with open(path, "wb") as file:
            file.write(stream(regions, records))
        return path

    def test_a_full_disk(self):
        """All or nothing, and nothing stays behind."""
        os.mkdir(self.directory)
        path = self.write({"small": PAGE, "large": 32 * PAGE}, page(0, "small", filled(1)) +
                          b"".join(page(i * PAGE, "large", filled(1)) for i in range(32)))
        ended = self.in_namespace(f"mount -t tmpfs -o size=64K none {self.directory}",
                                  f"cd {self.directory}",
                                  f"{{ {INSPECT} --extract . {path}; echo code $?; ls -A; }}")
        self.assertIn("No space left on device", ended.stderr)
        self.assertEqual(ended.stdout.split("code ")[1], "1\n")

    def test_without_files_without_names(self):
        """Where /proc is missing they cannot be given one; so they have one from the beginning."""
        if os.environ.get("RS_TEST_SANITIZE"):
            self.skipTest("the sanitizers need /proc")
        os.mkdir(self.directory)
        path = self.write({"ram": 2 * PAGE}, page(0, "ram", filled(1)) + zero(PAGE, "ram"))
        ended = self.in_namespace("mount -t tmpfs none /proc",
                                  f"{INSPECT} --extract {self.directory} {path}")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(self.files(), ["ram"])
        self.assertEqual(self.content("ram"), filled(1) + bytes(PAGE))
        os.unlink(self.path("a/x/ram"))
        os.mkdir(self.path("a/x/ram"))
        ended = self.in_namespace("mount -t tmpfs none /proc",
                                  f"{INSPECT} --extract {self.directory} {path}")
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(self.files(), ["ram"])


if __name__ == "__main__":
    main()
