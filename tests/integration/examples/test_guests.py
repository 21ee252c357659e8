#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guests of all kinds of memory, made in all ways, arrive as they were."""

import os
import random

from programs import FAST, Case, main, sender

MIB = 1 << 20


def huge_pages_free():
    try:
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                  encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return 0


class Guests(Case):
    def test_patterns(self):
        digests = set()
        for pattern in "zero", "text", "random", "mix":
            with self.subTest(pattern):
                send, _ = self.move(["--pattern", pattern, "--writers", "0"])
                digests.add(send.digest)
                self.assertEqual(send.json["pages-written"], 0)
        self.assertEqual(len(digests), 4)

    def test_pattern_is_the_same_every_time(self):
        first, _ = self.move(["--writers", "0"])
        second, _ = self.move(["--writers", "0"])
        self.assertEqual(first.digest, second.digest)

    def test_receiver_with_the_same_layout(self):
        for extra in [], ["--prealloc"]:
            with self.subTest(extra):
                self.move([], ["--memory", "64M", *extra])

    def test_receiver_of_announced_memory_touched_before(self):
        self.move([], ["--prealloc"])

    def test_prealloc_at_the_source(self):
        self.move(["--prealloc", "--populate", "8M"])

    def test_never_populated_memory(self):
        send, recv = self.move(["--memory", "4G", "--populate", "16M"])
        self.assertEqual(recv.json["memory"], 4096 * MIB)
        self.assertGreater(send.json["statistics"]["wire-bytes"], 4 * MIB)
        self.assertLess(send.json["statistics"]["wire-bytes"], 64 * MIB)

    def test_image(self):
        image = self.path("image")
        content = random.Random(1).randbytes(3 * MIB + 12345)
        with open(image, "wb") as file:
            file.write(content)
            file.seek(40 * MIB)
            file.write(b"after a hole")
        first, _ = self.move(["--image", image, "--writers", "0"])
        with open(image, "r+b") as file:
            file.seek(2 * MIB)
            file.write(bytes([content[2 * MIB] ^ 1]))
        second, _ = self.move(["--image", image, "--writers", "0"])
        self.assertNotEqual(first.digest, second.digest)

    def test_regions_of_choice(self):
        layout = ["--region", "first:anon:8M", "--region", "second:memfd:4M",
                  "--region", "third:anon:64K"]
        send, _ = self.move(layout)
        self.assertEqual(send.json["memory"], 76 * MIB + 65536)
        self.move(layout, ["--memory", "64M", *layout])

    def test_huge_pages(self):
        if huge_pages_free() < 8:
            self.skipTest("fewer than 8 free huge pages of 2 MiB")
        layout = ["--region", "huge:hugetlb:8M"]
        self.move(layout, ["--memory", "64M", *layout])

    def test_page_sizes(self):
        for size in "4096", "16K", "64K":
            with self.subTest(size):
                self.move(["--page-size", size], ["--page-size", size])

    def test_many_writers_as_fast_as_they_can(self):
        # They would never let it end, were the pause not allowed to be long.
        self.move(["--writers", "7", "--dirty-rate", "0", "--downtime-limit", "2000000"])

    def test_dirty_log_marks(self):
        self.move(["--dirty-log", "marks"])

    def test_dirty_log_userfaultfd(self):
        probe = self.start(sender("file:/dev/null", *FAST)).end(0)
        if "userfaultfd does not work here" in probe.stderr:
            self.skipTest(probe.stderr.strip())
        self.move(["--dirty-log", "userfaultfd"])

    def test_image_that_does_not_fit(self):
        image = self.path("large")
        with open(image, "wb") as file:
            os.truncate(file.fileno(), 65 * MIB)
        send = self.start(sender("file:/dev/null", "--image", image)).end(1)
        self.assertIn("do not fit into the memory", send.json["error"])
        self.assertIn(image, send.json["error"])


if __name__ == "__main__":
    main()
