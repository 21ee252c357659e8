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
        found = source.migrate_live(f"exec:cat > {stream}")
        self.assertGreaterEqual(found["ram"]["dirty-sync-count"], 3)
        return stream, source

    def check_ram(self, found, source):
        regions = {region["name"]: region for region in found["regions"]}
        self.assertEqual(regions["pc.ram"]["bytes"], qemu.RAM_BYTES)
        self.assertEqual(digest(regions["pc.ram"]["file"]), digest(source.sent))
        return regions

    def test_from_qemu_through_the_handlers(self):
        stream, source = self.save_live()
        found = self.load(stream, "rubbish")
        self.check_ram(found, source)
        self.assertGreater(found["bodies"], 4)

    def test_from_qemu_through_the_driver(self):
        stream, source = self.save_live()
        self.check_ram(self.receive(stream), source)

    def listen(self, lengths):
        """The driver on a socket.

        Its file is there a moment before one can connect to it. A QEMU that comes in between has
        failed, and nobody comes any more.
        """
        address = f"unix:{self.path('socket')}"
        program = self.start_program("receive", address, lengths)
        self.assertEqual(program.stderr.readline(), "listening\n")
        return address, program

    def test_from_qemu_with_answers(self):
        stream, source = self.save_live()
        lengths = self.write_lengths(stream)
        source.do("cont")
        source.want_answers()
        address, program = self.listen(lengths)
        source.migrate_live(address)
        self.check_ram(self.end_program(program), source)

    def test_qemu_hears_of_our_failure(self):
        source = self.start("source")
        source.wait_passes(1)
        source.want_answers()
        address, program = self.listen(self.write("lengths", b""))
        source.do("migrate", uri=address)
        source.wait_migration(lambda found: found.get("status") == "failed")
        self.assertIn("failed to load it", self.end_program(program, fails=True))
        source.wait_passes(source.passes() + 2)

    def test_to_qemu(self):
        stream, source = self.save_live()
        ours = self.path("ours")
        regions = self.check_ram(self.run_program("rewrite", stream, ours), source)
        passes = qemu.passes(source.sent)
        with self.start("destination", incoming=True) as destination:
            destination.load(ours)
            self.assertEqual(digest(destination.memory), digest(source.sent))
            self.assertEqual(destination.do("query-status")["status"], "paused")
            self.check_bios(destination, regions["pc.bios"])
            self.assertEqual(destination.passes(), passes)
            destination.do("cont")
            destination.wait_passes(passes + 3)

    def test_deltas_to_qemu(self):
        """Many rounds of deltas, made while the memory is written."""
        stream, source = self.save_live()
        ours = self.path("ours")
        sent = self.run_program("rewrite-live", stream, ours)
        regions = self.check_ram(sent, source)
        self.assertGreater(sent["xbzrle"] - sent["overflows"], 300)
        self.assertGreater(sent["overflows"], 20)
        self.assertGreater(sent["misses"], 100)
        self.assertGreater(sent["zero_copies"], 20)
        # What came are deltas indeed.
        here = self.load(ours)
        self.check_ram(here, source)
        self.assertGreater(here["xbzrle"], 300)
        passes = qemu.passes(source.sent)
        with self.start("destination", incoming=True) as destination:
            destination.load(ours)
            self.assertEqual(digest(destination.memory), digest(source.sent))
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
