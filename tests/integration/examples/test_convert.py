#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ramsync-convert: the same guest, written anew."""

import os
import signal
import subprocess
import time

from fake_qemu import SHUT, FakeQemu, answer
from programs import COMPLETED, CONVERT, FAILED, FAST, INSPECT, Case, Program, main, sender
from streams import (DEVICE, EXPECTED, MACHINE, PAGE, digest, filled, fixture, header, page, stream, tail,
                     unpacked, zero)

REGIONS = {"ram": 3 * PAGE, "rom": PAGE}
RECORDS = (page(0, "ram", filled(1)) + zero(PAGE, "ram") + page(2 * PAGE, "ram", filled(2)) +
           page(0, "rom", filled(3)) + zero(2 * PAGE, "ram"))


class Convert(Case):
    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def convert(self, source, target=None, *arguments, code=COMPLETED, **popen):
        target = self.path("out") if target is None else target
        return self.start(Program([CONVERT, "--json", *arguments, source, target],
                                  **popen)).end(code)

    def inspect(self, path, directory, *arguments):
        return self.start(Program([INSPECT, "--json", "--extract", self.path(directory),
                                   "--devices", self.path(directory + ".devices"), *arguments,
                                   path])).end(COMPLETED).json

    def check_fixture(self, name, *arguments):
        converted = self.convert(fixture(name), None, *arguments).json
        found = self.inspect(self.path("out"), "x", *arguments)
        self.assertEqual((converted["written"], converted["error"]), (True, ""))
        self.assertEqual(converted["bytes-read"], EXPECTED[name]["bytes"])
        self.assertEqual(converted["bytes-written"], os.path.getsize(self.path("out")))
        self.assertEqual(found["header"]["machine"], EXPECTED[name]["machine"])
        # Compressed pages come when they are done, behind zeros that stand after them.
        if "compressed" not in found["records"]:
            self.assertEqual(found["rounds"], 1)
        self.assertEqual(found["bytes-behind"], 0)
        devices = found["device-state"]["bytes"]
        self.assertEqual(self.read("x.devices"), unpacked(name)[-devices:])
        self.assertEqual(converted["device-state-bytes"], devices)
        for region in found["regions"]:
            expected = EXPECTED[name]["regions"][region["name"]]
            self.assertEqual(region["address"], expected.get("address"))
            if expected["sha256"]:
                self.assertEqual(digest(self.path("x/" + region["file"])), expected["sha256"])
        return converted, found

    def test_plain(self):
        converted, _ = self.check_fixture("plain")
        self.assertEqual(converted["full-pages"], EXPECTED["plain"]["records"]["page"])

    def test_live(self):
        converted, found = self.check_fixture("live")
        self.assertLess(converted["bytes-written"], converted["bytes-read"] / 2)
        for region in found["regions"]:
            came = sum(kind["pages"] for kind in region["records"].values())
            self.assertEqual(came, region["pages"], region["name"])

    def test_xbzrle(self):
        """Each page once and in full, whatever deltas it came in."""
        for name in "xbzrle", "xbzrle-small-cache":
            converted, found = self.check_fixture(name)
            self.assertLess(converted["bytes-written"], converted["bytes-read"])
            self.assertEqual(set(found["records"]), {"end", "list", "page", "zero"})

    def test_compressed(self):
        """Written with the parameter compress: what comes compressed goes so, too."""
        for name in "compress", "compress-xbzrle":
            converted, found = self.check_fixture(name, "--compress", "on")
            self.assertLess(converted["bytes-written"], EXPECTED["plain"]["bytes"])
            pages = found["records"]["compressed"]["pages"]
            self.assertGreater(pages, EXPECTED[name]["records"]["compress_page"] * 9 / 10)
            self.assertEqual(pages, converted["compressed-pages"])
            self.assertEqual(found["records"]["page"]["pages"], converted["full-pages"])

    def test_compressed_becomes_plain(self):
        """--compress is about what is written: whatever comes is read."""
        for name in "compress", "compress-xbzrle":
            for arguments in (), ("--compress", "off"):
                _, found = self.check_fixture(name, *arguments)
                self.assertEqual(set(found["records"]), {"end", "list", "page", "zero"})

    def test_ignore_shared(self):
        converted, found = self.check_fixture("ignore-shared")
        self.assertEqual(converted["regions-not-sent"], 1)
        self.assertEqual(found["header"]["capabilities"], ["x-ignore-shared"])
        ram = found["regions"][0]
        self.assertEqual((ram["name"], ram["pages-missing"]), ("pc.ram", ram["pages"]))
        self.assertIsNone(ram["file"])

    def test_twice_is_once(self):
        self.convert(fixture("plain"))
        self.convert(self.path("out"), self.path("again"))
        self.assertEqual(self.read("out"), self.read("again"))

    def test_header_is_kept(self):
        head = header(uuid=bytes(range(16)), capabilities=["x-ignore-shared"])
        data = stream(REGIONS, RECORDS, head=head, addresses={"ram": 0x1000, "rom": 0xfff00000})
        self.convert(self.write("in", data))
        self.assertEqual(self.read("out")[:len(head)], head)
        self.assertEqual(self.read("out")[-len(tail()):], tail())
        self.assertEqual(self.inspect(self.path("out"), "x")["regions"][1]["address"], 0xfff00000)

    def test_other_pages(self):
        content = bytes(range(256)) * 64
        head = header(page_bits=14)
        data = stream({"ram": 2 * 16384}, zero(0, "ram") + page(16384, "ram", content), head=head)
        self.convert(self.write("in", data))
        self.assertEqual(self.read("out")[:len(head)], head)
        self.inspect(self.path("out"), "x")
        self.assertEqual(self.read("x/ram"), bytes(16384) + content)

    def test_ways_in_and_out(self):
        path = self.write("in", stream(REGIONS, RECORDS))
        self.convert(path)
        for source, target in ((f"file:{path}", f"file:{self.path('1')}"),
                               (f"exec:cat {path}", f"exec:cat > {self.path('1')}"),
                               (path, "unix"), ("-", "-")):
            with self.subTest(target):
                if target == "unix":
                    address = f"unix:{self.path('socket')}"
                    inspect = self.start(Program([INSPECT, "--json", address]))
                    self.convert(source, inspect.address())
                    self.assertEqual(inspect.end(COMPLETED).json["bytes"],
                                     len(self.read("out")))
                    continue
                with open(path, "rb") as file, open(self.path("2"), "wb") as out:
                    ended = subprocess.run([CONVERT, "--json", source, target], stdin=file,
                                           stdout=out, stderr=subprocess.PIPE, check=True)
                self.assertEqual(self.read("2" if target == "-" else "1"), self.read("out"))
                self.assertEqual(b'"written": true' in ended.stderr, target == "-")

    def check_refused(self, source, text, target=None, *arguments):
        """It says why, OUT is as it was, and nothing lies beside it."""
        self.write("out", b"old")
        before = sorted(os.listdir(self.folder))
        ended = self.convert(source, target, *arguments, code=FAILED)
        self.assertIn(text, ended.json["error"])
        self.assertIn(text, ended.stderr)
        self.assertFalse(ended.json["written"])
        self.assertEqual(self.read("out"), b"old")
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_refused(self):
        data = stream(REGIONS, RECORDS)
        self.check_refused(self.write("in", data[:-9]), "description")
        self.check_refused(self.write("in", data[:9000]), "ended")
        self.check_refused(self.write("in", b"something else"), "not a migration stream")
        self.check_refused(self.path("nothing"), "No such file")
        whole = self.write("in", data)
        self.check_refused(whole, "--max-memory", None, "--max-memory", "4K")
        self.check_refused(whole, "max-device-state", None, "--max-device-state", "100")
        self.check_refused(whole, "No such file", self.path("no/such"))
        self.check_refused(whole, "directory", self.folder)
        self.check_refused(whole, "No space left", "/dev/full")
        self.check_refused(f"exec:cat {whole}; exit 7", "7")
        self.check_refused(whole, "", "exec:head -c 100 > /dev/null; exit 9")

    def test_packed_and_damaged(self):
        with open(fixture("plain"), "rb") as file:
            packed = bytearray(file.read())
        packed[-6] ^= 1
        self.check_refused(self.write("in", packed), "gzip: damaged")

    def test_lax(self):
        data = stream(REGIONS, RECORDS, behind=DEVICE + b"\0")
        self.check_refused(self.write("in", data), "description")
        self.convert(self.path("in"), None, "--lax", "on")
        self.assertEqual(self.read("out")[-len(DEVICE) - 1:], DEVICE + b"\0")

    def test_a_signal_leaves_nothing(self):
        """While it waits for the rest of IN, OUT is open already."""
        self.write("out", b"old")
        reader, writer = os.pipe()
        convert = self.start(Program([CONVERT, "--json", "-", self.path("out")], stdin=reader))
        os.close(reader)
        with os.fdopen(writer, "wb") as file:
            file.write(stream(REGIONS, RECORDS)[:-100])
            file.flush()
            while not convert.opened(self.folder):
                time.sleep(0.02)
            convert.kill(signal.SIGINT)
            convert.end(-signal.SIGINT)
        self.assertEqual(os.listdir(self.folder), ["out"])
        self.assertEqual(self.read("out"), b"old")

    def test_a_source_hears_when_it_is_written(self):
        for target, told in (self.path("out"), 0), ("/dev/full", 1):
            convert = self.start(Program([CONVERT, "tcp:127.0.0.1:0", target]))
            source = FakeQemu(convert.address())
            self.addCleanup(source.close)
            self.assertEqual(source.send_with_answers(stream(REGIONS, RECORDS)),
                             answer(SHUT, told))
            # Whoever was told so finds it in its place.
            self.assertTrue(os.path.exists(self.path("out")))
            convert.end(FAILED if told else COMPLETED)

    def test_native_is_refused(self):
        self.start(sender(f"file:{self.path('in')}", *FAST)).end(COMPLETED)
        self.check_refused(self.path("in"), "libramsync's own form")

    def test_text(self):
        path = self.write("in", stream(REGIONS, RECORDS))
        said = self.start(Program([CONVERT, path, self.path("out")])).end(COMPLETED).stdout
        for word in MACHINE, "2 regions of 16384 bytes", "2 full pages and 2 of zeros":
            self.assertIn(word, said)
        records = (page(0, "ram", filled(1)) + page(PAGE, "ram", filled(2)) + zero(2 * PAGE, "ram") +
                   page(0, "rom", filled(3)))
        said = self.start(Program([CONVERT, "--compress", "on", self.write("in", stream(REGIONS, records)),
                                   self.path("out")])).end(COMPLETED).stdout
        self.assertIn("2 full pages, 1 compressed and 1 of zeros", said)

    def test_a_link_stays(self):
        """What it leads to is replaced: it may be the system's /dev/stdout."""
        source = self.write("in", stream(REGIONS, RECORDS))
        self.write("real", b"old")
        os.symlink("real", self.path("link"))
        self.convert(source, self.path("link"))
        self.convert(source)
        self.assertEqual(os.readlink(self.path("link")), "real")
        self.assertEqual(self.read("real"), self.read("out"))
        os.symlink("/proc/self/fd/1", self.path("stdout"))
        with open(self.path("redirected"), "wb") as file:
            self.convert(source, self.path("stdout"), stdout=file)
        self.assertTrue(os.path.islink(self.path("stdout")))
        self.assertEqual(self.read("redirected"), self.read("out"))
        os.symlink("nothing", self.path("dangling"))
        refused = self.convert(source, self.path("dangling"), code=FAILED)
        self.assertIn("leads nowhere", refused.stderr)
        self.assertFalse(os.path.exists(self.path("nothing")))

    def test_report_that_cannot_be_written(self):
        source = self.write("in", stream(REGIONS, RECORDS))
        with open("/dev/full", "w", encoding="ascii") as full:
            refused = self.convert(source, stdout=full, code=FAILED)
        self.assertIn("report could not be written", refused.stderr)

    def test_in_place(self):
        path = self.write("in", stream(REGIONS, RECORDS))
        self.convert(path, path)
        self.assertEqual(self.inspect(path, "x")["rounds"], 1)


if __name__ == "__main__":
    main()
