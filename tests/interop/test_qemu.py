#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""RAM goes from a real QEMU to this library, and from this library to a real QEMU."""

import sys

import qemu
from interop import Case, digest, main


class WithQemu(Case):
    def start(self, name, **options):
        guest = qemu.Qemu(self.folder, name, **options)
        self.addCleanup(guest.__exit__)
        return guest

    def save_live(self):
        """A live migration of a guest that writes: the stream, and the QEMU that wrote it."""
        source = self.start("source")
        source.wait_passes(3)
        stream = self.path("stream")
        found = source.migrate_live(stream)
        self.assertGreaterEqual(found["ram"]["dirty-sync-count"], 3)
        return stream, source

    def check_ram(self, found, source):
        regions = {region["name"]: region for region in found["regions"]}
        self.assertEqual(regions["pc.ram"]["bytes"], qemu.RAM_BYTES)
        self.assertEqual(digest(regions["pc.ram"]["file"]), digest(source.memory))
        return regions

    def test_from_qemu_through_the_handlers(self):
        stream, source = self.save_live()
        found = self.load(stream, "rubbish")
        self.check_ram(found, source)
        self.assertGreater(found["bodies"], 4)

    def test_from_qemu_through_the_driver(self):
        stream, source = self.save_live()
        self.check_ram(self.receive(stream), source)

    def test_to_qemu(self):
        stream, source = self.save_live()
        ours = self.path("ours")
        regions = self.check_ram(self.run_program("rewrite", stream, ours), source)
        passes = source.passes()
        with self.start("destination", incoming=True) as destination:
            destination.load(ours)
            self.assertEqual(digest(destination.memory), digest(source.memory))
            self.assertEqual(destination.do("query-status")["status"], "paused")
            self.check_bios(destination, regions["pc.bios"])
            self.assertEqual(destination.passes(), passes)
            destination.do("cont")
            destination.wait_passes(passes + 3)

    def check_bios(self, destination, bios):
        """Of the other regions, the one that a guest can see as a whole: it ends at 4 GiB."""
        dump = self.path("bios")
        destination.do("pmemsave", val=(1 << 32) - bios["bytes"], size=bios["bytes"], filename=dump)
        self.assertEqual(digest(dump), digest(bios["file"]))


if __name__ == "__main__":
    REASON = qemu.why_not()
    if REASON:
        print(f"SKIP: {REASON}")
        sys.exit(77)
    main()
