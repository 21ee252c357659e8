#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ramsync-recv --qemu: a guest of QEMU's into files, and what its source is told."""

import os

from fake_qemu import OPEN_RETURN_PATH, SHUT, FakeQemu, answer
from programs import COMPLETED, FAILED, FAST, RECV, SLOW, Case, Program, main, sender
from streams import (EXPECTED, PAGE, command, digest, filled, fixture, header, page, stream, tail,
                     unpacked, zero)

REGIONS = {"ram": 3 * PAGE, "rom": PAGE}
RAM = page(0, "ram", filled(1)) + zero(PAGE, "ram") + page(2 * PAGE, "ram", filled(2))
RECORDS = RAM + page(0, "rom", filled(3))


class RecvQemu(Case):
    def receive(self, address, *arguments, devices=None, save=True, **popen):
        words = [RECV, "--qemu", "--json", "--from", address, "--devices",
                 devices or self.path("devices"), *arguments]
        words += ["--save", self.path("saved") if save else "/dev/null"]
        return self.start(Program(words, **popen))

    def connect(self, recv):
        source = FakeQemu(recv.address())
        self.addCleanup(source.close)
        return source

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def check_saved(self, name="plain"):
        for region, expected in EXPECTED[name]["regions"].items():
            path = self.path("saved/" + region.replace("/", "%2F"))
            if expected["sha256"]:
                self.assertEqual(digest(path), expected["sha256"], region)
            else:
                self.assertFalse(os.path.exists(path))
        data = unpacked(name)
        devices = self.read("devices")
        self.assertEqual(devices, data[-len(devices):])
        self.assertGreater(len(devices), 100000)

    def check_nothing(self):
        for name in "devices", "saved":
            self.assertFalse(os.path.exists(self.path(name)), name)

    def test_one_way(self):
        for address in "tcp:127.0.0.1:0", f"unix:{self.path('socket')}":
            with self.subTest(address):
                recv = self.receive(address)
                source = self.connect(recv)
                source.send(unpacked("plain"))
                source.close()
                recv.end(COMPLETED)
                self.check_saved()
                self.assertEqual(recv.json["result"], "completed")

    def test_with_answers(self):
        for address in "tcp:127.0.0.1:0", f"unix:{self.path('socket')}":
            with self.subTest(address):
                recv = self.receive(address)
                source = self.connect(recv)
                self.assertEqual(source.send_with_answers(unpacked("live")), answer(SHUT, 0))
                # Whoever was told so finds everything in its place.
                self.check_saved("live")
                source.close()
                recv.end(COMPLETED)

    def test_other_ways(self):
        for address in f"exec:zcat {fixture('plain')}", "fd:0":
            with self.subTest(address):
                path = self.path("stream")
                with open(path, "wb") as file:
                    file.write(unpacked("plain"))
                with open(path, "rb") as file:
                    self.receive(address, stdin=file).end(COMPLETED)
                self.check_saved()

    def test_encoded(self):
        self.receive(f"exec:zcat {fixture('xbzrle')}").end(COMPLETED)
        self.check_saved("xbzrle")

    def test_compressed(self):
        self.receive(f"exec:zcat {fixture('compress-xbzrle')}", "--compress", "on").end(COMPLETED)
        self.check_saved("compress-xbzrle")

    def test_compressed_is_refused(self):
        """Unless the parameter compress is on."""
        recv = self.receive(f"exec:zcat {fixture('compress-xbzrle')}").end(FAILED)
        self.assertIn("a compressed page, but the parameter compress is off", recv.json["error"])
        self.check_nothing()

    def test_ignore_shared(self):
        address = f"exec:zcat {fixture('ignore-shared')}"
        recv = self.receive(address).end(FAILED)
        self.assertIn("x-ignore-shared", recv.json["error"])
        self.check_nothing()
        self.receive(address, "--x-ignore-shared", "on").end(COMPLETED)
        self.check_saved("ignore-shared")

    def check_refused(self, recv, data, *texts):
        """The source hears of it, and keeps its guest."""
        source = self.connect(recv)
        self.assertEqual(source.send_with_answers(data), answer(SHUT, 1))
        recv.end(FAILED)
        for text in texts:
            self.assertIn(text, recv.json["error"])

    def test_files_that_cannot_be_written(self):
        data = stream(REGIONS, RECORDS)
        self.check_refused(self.receive("tcp:127.0.0.1:0", devices="/dev/full", save=False), data,
                           "No space left on device")
        with open(self.path("saved"), "w", encoding="utf-8"):
            pass
        self.check_refused(self.receive("tcp:127.0.0.1:0"), data, "Not a directory")
        self.assertFalse(os.path.exists(self.path("devices")))
        os.unlink(self.path("saved"))
        os.makedirs(self.path("saved/ram"))
        self.check_refused(self.receive("tcp:127.0.0.1:0"), data, "ram")
        self.assertFalse(os.path.exists(self.path("devices")))
        recv = self.receive("tcp:127.0.0.1:0", devices=self.path("no/such")).end(FAILED)
        self.assertIn("No such file", recv.json["error"])

    def test_streams_that_are_refused(self):
        whole = stream(REGIONS, RECORDS)
        self.check_refused(self.receive("tcp:127.0.0.1:0"), stream(REGIONS, RAM), "region rom")
        self.check_nothing()
        early = whole.replace(b"\1\0\0\0\2\3ram", b"\4\0\0\0\2\5timer", 1)
        self.check_refused(self.receive("tcp:127.0.0.1:0"), early, "timer")
        self.check_refused(self.receive("tcp:127.0.0.1:0", "--max-memory", "8K"), whole,
                           "--max-memory")
        self.check_refused(self.receive("tcp:127.0.0.1:0", "--max-device-state", "100"), whole,
                           "max-device-state")
        self.check_nothing()

    def test_another_machine_is_refused(self):
        recv = self.receive("tcp:127.0.0.1:0", "--machine", "pc-q35-7.2")
        source = self.connect(recv)
        source.send(header() + command(OPEN_RETURN_PATH))
        self.assertEqual(source.read(1), b"")
        recv.end(FAILED)
        self.assertIn("pc-q35-7.2", recv.json["error"])

    def test_a_source_that_breaks_off(self):
        recv = self.receive("tcp:127.0.0.1:0")
        source = self.connect(recv)
        source.send(stream(REGIONS, RECORDS)[:-5])
        source.close()
        recv.end(FAILED)
        self.check_nothing()

    def test_a_stream_of_our_own_is_refused(self):
        """Its guest runs on where it is."""
        for arguments in [], ["--writers", "0"]:
            recv = self.receive("tcp:127.0.0.1:0")
            send = self.start(sender(recv.address(), *FAST, *arguments)).end(FAILED)
            recv.end(FAILED)
            self.assertIn("the guest ran on here", send.stderr)
            self.check_nothing()

    def test_all_of_it_may_be_unwanted(self):
        recv = self.receive("tcp:127.0.0.1:0", devices="/dev/null", save=False)
        source = self.connect(recv)
        self.assertEqual(source.send_with_answers(stream(REGIONS, RECORDS)), answer(SHUT, 0))
        recv.end(COMPLETED)
        self.assertEqual(os.listdir(self.folder), [])

    def test_native_is_refused_while_the_guest_runs(self):
        recv = self.receive("tcp:127.0.0.1:0")
        send = self.start(sender(recv.address(), *SLOW, "--writers", "0")).end(FAILED)
        self.assertIn("own form", recv.end(FAILED).stderr)
        self.assertEqual(send.json["statistics"]["downtime-ns"], 0)
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_is_kept_loads_again(self):
        """The parts, put together by hand, are the stream."""
        recv = self.receive("tcp:127.0.0.1:0")
        source = self.connect(recv)
        source.send(stream(REGIONS, RECORDS))
        source.close()
        recv.end(COMPLETED)
        self.assertEqual(self.read("devices"), tail())
        self.assertEqual(self.read("saved/ram"), filled(1) + bytes(PAGE) + filled(2))
        self.assertEqual(self.read("saved/rom"), filled(3))


if __name__ == "__main__":
    main()
