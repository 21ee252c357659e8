#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ramsync-inspect: what it reports of whole streams, wherever they come from."""

import gzip
import os
import subprocess

from programs import (BAD_USAGE, COMPLETED, FAILED, FAST, GUEST, INSPECT, SEND, Case, Program, main,
                      sender)
from streams import (DEVICE, END, EOS, EXPECTED, MACHINE, PAGE, PART, START,
                     command, delta, digest, filled, fixture, header, listed, page, section, stream, tail,
                     u64, unpacked, zero)

REGIONS = {"ram": 3 * PAGE, "rom": 2 * PAGE}
# All of them, and then two of the first region again.
RECORDS = (zero(0, "ram") + page(PAGE, "ram", filled(1)) + zero(2 * PAGE, "ram") +
           page(0, "rom", filled(2)) + zero(PAGE, "rom") +
           page(PAGE, "ram", filled(3)) + zero(2 * PAGE, "ram"))


class Inspect(Case):
    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def inspect(self, *arguments, code=COMPLETED, **popen):
        return self.start(Program([INSPECT, "--json", *arguments], **popen)).end(code)

    def look(self, data, *arguments, code=COMPLETED):
        """What it says of these bytes."""
        return self.inspect(*arguments, self.write("stream", data), code=code).json

    # ---- recorded streams ------------------------------------------------------------------

    def check_fixture(self, name, *arguments):
        expected = EXPECTED[name]
        directory, devices = self.path("regions"), self.path("devices")
        found = self.inspect("--extract", directory, "--devices", devices, *arguments,
                             fixture(name)).json
        self.assertEqual((found["whole"], found["error"], found["packed"]), (True, "", "gzip"))
        self.assertEqual(found["header"]["machine"], expected["machine"])
        self.assertEqual(found["bytes"], expected["bytes"])
        self.assertEqual(found["bytes-behind"], 0)
        self.assertEqual(found["ram-bodies"], expected["bodies"])
        records = found["records"]
        names = {"list": "mem_size", "end": "eos", "compressed": "compress_page"}
        for kind in "list", "end", "page", "zero", "xbzrle", "compressed":
            self.assertEqual(records.get(kind, {"records": 0})["records"],
                             expected["records"].get(names.get(kind, kind), 0), kind)
        self.assertEqual({region["name"] for region in found["regions"]}, set(expected["regions"]))
        for region in found["regions"]:
            self.check_region(region, expected["regions"][region["name"]], directory)
        with open(devices, "rb") as file:
            self.assertEqual(file.read(), unpacked(name)[found["device-state"]["offset"]:])
        self.assertEqual(os.path.getsize(devices), found["device-state"]["bytes"])
        return found

    def check_region(self, region, expected, directory):
        self.assertEqual(region["bytes"], expected["bytes"])
        self.assertEqual(region["address"], expected.get("address"))
        if expected["sha256"] is None:
            self.assertEqual(region["pages-missing"], region["pages"])
            self.assertIsNone(region["file"])
            return
        self.assertEqual(region["pages-missing"], 0)
        path = os.path.join(directory, region["file"])
        self.assertEqual(os.path.getsize(path), expected["bytes"])
        self.assertEqual(digest(path), expected["sha256"])

    def test_plain(self):
        found = self.check_fixture("plain")
        self.assertEqual(found["rounds"], 1)

    def test_live(self):
        found = self.check_fixture("live")
        self.assertGreater(found["rounds"], 2)
        self.assertEqual([found["sections"][i]["kind"] for i in (0, 1, -2, -1)],
                         ["start", "part", "part", "end"])

    def test_xbzrle(self):
        for name in "xbzrle", "xbzrle-small-cache":
            found = self.check_fixture(name)
            came = sum(region["records"].get("xbzrle", {"pages": 0})["pages"]
                       for region in found["regions"])
            self.assertEqual(came, EXPECTED[name]["records"]["xbzrle"])

    def test_compressed(self):
        for name in "compress", "compress-xbzrle":
            self.check_fixture(name)

    def test_compressed_pages_are_refused(self):
        """If that is asked for; it says where, and what came before."""
        for name in "compress", "compress-xbzrle":
            found = self.inspect(fixture(name), "--compress", "off", code=FAILED).json
            self.assertIn("a compressed page, but the parameter compress is off", found["error"])
            self.assertEqual(found["damage"]["section"], "ram")
            self.assertEqual(len(found["regions"]), len(EXPECTED[name]["regions"]))

    def test_ignore_shared(self):
        found = self.check_fixture("ignore-shared")
        self.assertEqual(found["header"]["capabilities"], ["x-ignore-shared"])
        self.assertFalse(os.path.exists(self.path("regions/pc.ram")))

    def test_files_are_sparse(self):
        self.inspect("--extract", self.path("x"), fixture("plain"))
        ram = os.stat(self.path("x/pc.ram"))
        full = EXPECTED["plain"]["records"]["page"] * PAGE
        self.assertLessEqual(ram.st_blocks * 512, full + (64 << 10))
        self.assertGreater(ram.st_size, 8 * full)

    def test_files_are_sparse_where_memory_became_zero(self):
        pages = range(64)
        records = b"".join(page(i * PAGE, "ram", filled(1)) for i in pages)
        records += b"".join(zero(i * PAGE, "ram") for i in pages if i != 40)
        self.look(stream({"ram": 64 * PAGE}, records), "--extract", self.path("x"))
        self.assertLessEqual(os.stat(self.path("x/ram")).st_blocks * 512, 2 * PAGE)
        with open(self.path("x/ram"), "rb") as file:
            self.assertEqual(file.read(), bytes(40 * PAGE) + filled(1) + bytes(23 * PAGE))

    # ---- streams made by hand --------------------------------------------------------------

    def test_everything_has_its_place(self):
        head = header(uuid=bytes(range(16)))
        data = head + section(START, listed(REGIONS)) + section(PART, RECORDS + u64(EOS)) + \
            section(END, u64(EOS)) + tail() + b"behind"
        found = self.look(data)
        self.assertEqual(found["header"], {
            "form": "qemu", "machine": MACHINE, "page-size": PAGE,
            "uuid": "00010203-0405-0607-0809-0a0b0c0d0e0f", "capabilities": [], "features": []})
        lengths = [len(section(START, listed(REGIONS))), len(section(PART, RECORDS + u64(EOS))),
                   len(section(END, u64(EOS)))]
        self.assertEqual([s["bytes"] for s in found["sections"]], lengths)
        self.assertEqual([s["offset"] for s in found["sections"]],
                         [len(head), len(head) + lengths[0], len(head) + sum(lengths[:2])])
        self.assertEqual([s["records"] for s in found["sections"]], [2, 8, 1])
        ram, rom = found["regions"]
        self.assertEqual((ram["pages"], ram["pages-missing"]), (3, 0))
        self.assertEqual(ram["records"],
                         {"zero": {"records": 3, "pages": 3, "bytes": 3 * 13},
                          "page": {"records": 2, "pages": 2, "bytes": 2 * (PAGE + 12)}})
        self.assertEqual(rom["records"],
                         {"zero": {"records": 1, "pages": 1, "bytes": 13},
                          "page": {"records": 1, "pages": 1, "bytes": PAGE + 12}})
        self.assertEqual(found["records"]["list"]["records"], 1)
        self.assertEqual(found["rounds"], 2)
        self.assertEqual(found["device-state"],
                         {"form": "opaque", "offset": len(head) + sum(lengths),
                          "bytes": len(tail())})
        self.assertEqual(found["bytes"], len(data) - 6)
        self.assertEqual(found["bytes-behind"], 6)

    def test_deltas(self):
        data = stream(REGIONS, RECORDS + delta(PAGE, "ram", b"\5\2ab") +
                      delta(2 * PAGE, "ram", b"\0\1c") + delta(PAGE, "ram", b"\1\1d"))
        found = self.look(data, "--extract", self.path("x"))
        ram, rom = found["regions"]
        self.assertEqual(ram["records"]["xbzrle"],
                         {"records": 3, "pages": 3, "bytes": 3 * 15 + 4 + 3 + 3})
        self.assertNotIn("xbzrle", rom["records"])
        self.assertEqual(found["records"]["xbzrle"], ram["records"]["xbzrle"])
        self.assertEqual(found["rounds"], 4)
        with open(self.path("x/ram"), "rb") as file:
            self.assertEqual(file.read(), bytes(PAGE) + b"\3d\3\3\3ab" + filled(3)[7:] +
                             b"c" + bytes(PAGE - 1))

    def test_other_pages(self):
        content = bytes(range(256)) * 4
        records = (zero(0, "ram") + page(1024, "ram", content) + zero(2048, "ram") + u64(EOS))
        data = header(page_bits=10) + section(START, listed({"ram": 3 * 1024})) + \
            section(END, records) + tail()
        found = self.look(data, "--extract", self.path("x"))
        self.assertEqual(found["header"]["page-size"], 1024)
        with open(self.path("x/ram"), "rb") as file:
            self.assertEqual(file.read(), bytes(1024) + content + bytes(1024))

    def test_pages_of_a_size_that_is_none(self):
        found = self.look(header(page_bits=20) + b"\1", code=FAILED)
        self.assertIn("pages of 1048576 bytes", found["error"])

    def test_pages_that_never_came(self):
        data = stream(REGIONS, zero(0, "ram") + zero(0, "rom") + zero(PAGE, "rom"))
        found = self.look(data, code=FAILED)
        self.assertIn("region ram: 2 of its 3 pages never came", found["error"])
        self.assertEqual([region["pages-missing"] for region in found["regions"]], [2, 0])
        self.assertEqual(self.look(data, "--lax", "on")["regions"][0]["pages-missing"], 2)

    def test_a_recording_of_a_source_that_wanted_answers(self):
        whole = stream(REGIONS, RECORDS)
        head = len(header())
        data = whole[:head] + command(1) + command(2, b"\0\0\0\1") + whole[head:]
        found = self.look(data)
        self.assertEqual(found["commands"],
                         [{"stream": 1, "offset": head, "number": 1, "name": "OPEN_RETURN_PATH",
                           "about": []},
                          {"stream": 1, "offset": head + 5, "number": 2, "name": "PING",
                           "about": []}])
        self.assertIn("return path", self.look(data, "--lax", "off", code=FAILED)["error"])

    def test_lax(self):
        data = stream(REGIONS, RECORDS, behind=DEVICE + b"\0")
        self.assertIn("description", self.look(data, code=FAILED)["error"])
        found = self.look(data, "--lax", "on")
        self.assertEqual(found["device-state"]["bytes"], len(DEVICE) + 1)

    def test_parameters_check_the_stream(self):
        data = stream(REGIONS, RECORDS, head=header(uuid=bytes(16)))
        uuid = "00000000-0000-0000-0000-000000000001"
        self.assertIn(uuid, self.look(data, "--uuid", uuid, code=FAILED)["error"])
        self.assertIn("q35", self.look(data, "--machine", "q35", code=FAILED)["error"])
        self.assertIn("x-ignore-shared",
                      self.look(data, "--x-ignore-shared", "on", code=FAILED)["error"])
        self.assertIn("--max-memory", self.look(data, "--max-memory", "16K", code=FAILED)["error"])

    def test_what_is_not_supported_is_named(self):
        postcopy = header() + command(3, bytes(16))
        self.assertIn("postcopy-ram is off here", self.look(postcopy, code=FAILED)["error"])
        for flag, name in (0x80, "RDMA"), (0x100, "the parameter compress is off"):
            found = self.look(stream(REGIONS, u64(flag) + b"\3ram"), "--compress", "off",
                              code=FAILED)
            self.assertIn(name, found["error"])
            self.assertEqual(found["damage"]["section"], "ram")

    def test_one_region(self):
        data = stream(REGIONS, RECORDS)
        found = self.look(data, "--region", "rom", "--extract", self.path("x"))
        self.assertEqual([region["name"] for region in found["regions"]], ["rom"])
        self.assertEqual(os.listdir(self.path("x")), ["rom"])
        found = self.look(data, "--region", "tape", "--extract", self.path("y"), code=FAILED)
        for name in '"tape"', '"ram"', '"rom"':
            self.assertIn(name, found["error"])
        self.assertFalse(os.path.exists(self.path("y")))

    def test_text(self):
        regions = {"ram": PAGE, "a\x1b[31m/b": PAGE}
        data = stream(regions, zero(0, "ram"), addresses=dict.fromkeys(regions, 0),
                      head=header(capabilities=["x-ignore-shared"]))
        out = self.start(Program([INSPECT, "--extract", self.path("x"),
                                  self.write("stream", data)])).end(COMPLETED).stdout
        for text in "QEMU's", MACHINE, "end of ram (id 2", "The stream is whole.", \
                "a\\x1b[31m/b (not in the stream: no file)":
            self.assertIn(text, out)
        self.assertNotIn("\x1b", out)

    def test_text_of_pages(self):
        """Zero, full, delta and missing, and the kinds of records."""
        records = RECORDS + delta(PAGE, "ram", b"\5\2ab") + delta(PAGE, "ram", b"\5\1c")
        out = self.start(Program([INSPECT, self.write("stream", stream(REGIONS, records))])) \
            .end(COMPLETED).stdout
        lines = [line.split() for line in out.splitlines()]
        self.assertIn(["bytes", "zero", "full", "delta", "missing"], lines)
        self.assertIn([str(3 * PAGE), "3", "2", "2", "0", "ram"], lines)
        self.assertIn([str(2 * PAGE), "1", "1", "0", "0", "rom"], lines)
        self.assertIn(["2", "2", str(2 * 15 + 4 + 3), "xbzrle"], lines)

    # ---- where streams come from -----------------------------------------------------------

    def test_inputs(self):
        path = self.write("plain", stream(REGIONS, RECORDS))
        packed = self.write("packed", gzip.compress(stream(REGIONS, RECORDS)))
        for plain, arguments in ((True, [path]), (False, [packed]), (True, [f"file:{path}"]),
                                 (False, [f"file:{packed}"]), (True, [f"exec:cat {path}"]),
                                 (False, [f"exec:cat {packed}"])):
            with self.subTest(arguments[0]):
                found = self.inspect(*arguments).json
                self.assertEqual(found["packed"], None if plain else "gzip")
                self.assertEqual(found["records"]["page"]["records"], 3)

    def test_pipes(self):
        data = stream(REGIONS, RECORDS)
        for content in data, gzip.compress(data):
            for word in "-", "fd:0":
                with self.subTest(word):
                    reader, writer = os.pipe()
                    found = self.start(Program([INSPECT, "--json", word], stdin=reader))
                    os.close(reader)
                    with os.fdopen(writer, "wb") as file:
                        file.write(content)
                    found.end(COMPLETED)
                    self.assertEqual(found.json["bytes"], len(data))

    def test_packed_in_pieces(self):
        data = stream(REGIONS, RECORDS)
        pieces = gzip.compress(data[:5000]) + gzip.compress(b"") + gzip.compress(data[5000:])
        self.assertEqual(self.look(pieces + bytes(512))["bytes"], len(data))
        self.assertIn("something else", self.look(pieces + b"more", code=FAILED)["error"])

    def test_a_command_that_fails(self):
        path = self.write("stream", stream(REGIONS, RECORDS))
        found = self.inspect(f"exec:cat {path}; exit 3", code=FAILED).json
        self.assertIn("3", found["error"])

    def test_no_stream_at_all(self):
        for data, text in (b"", "ended"), (b"hello world, said the file", "not a migration stream"), \
                (b"QEVM\0\0\0\2" + bytes(100), "version 2"):
            with self.subTest(text):
                found = self.look(data, code=FAILED)
                self.assertIn(text, found["error"])
                self.assertIsNone(found["header"])
        self.assertIn("nothing", self.inspect(self.path("nothing"), code=FAILED).json["error"])

    # ---- streams of our own ----------------------------------------------------------------

    def test_report_that_cannot_be_written(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            refused = self.start(Program([INSPECT, fixture("plain")], stdout=full)).end(FAILED)
        self.assertIn("report could not be written", refused.stderr)

    def test_native_file(self):
        path = self.path("native")
        self.start(sender(f"file:{path}", *FAST)).end(COMPLETED)
        found = self.inspect("--extract", self.path("x"), path).json
        self.assertEqual(found["header"]["form"], "native")
        self.assertIn("runs", found["header"]["features"])
        self.assertEqual(found["device-state"]["form"], "sections")
        self.assertGreater(found["device-state"]["bytes"], 0)
        self.assertEqual(found["sections"][-1]["name"], "ramsync-guest")
        self.assertEqual(sum(region["pages-missing"] for region in found["regions"]), 0)
        self.assertEqual(sum(region["bytes"] for region in found["regions"]), 64 << 20)
        self.assertEqual(sorted(os.listdir(self.path("x"))), ["ram.high", "ram.low", "rom"])
        found = self.inspect("--devices", self.path("d"), path, code=FAILED).json
        self.assertIn("libramsync's own form", found["error"])
        self.assertFalse(os.path.exists(self.path("d")))

    def test_a_guest_that_is_looked_at_stays(self):
        for arguments, listed_bytes in ([], 64 << 20), (["--populate", "1M"], 64 << 20):
            inspect = self.start(Program([INSPECT, "--json", "tcp:127.0.0.1:0"]))
            send = self.start(Program([SEND, "--to", inspect.address(), *GUEST, *FAST,
                                       *arguments]))
            inspect.end(COMPLETED)
            send.end(FAILED)
            self.assertIn("the guest ran on here", send.stderr)
            self.assertEqual(sum(region["bytes"] for region in inspect.json["regions"]),
                             listed_bytes)

    def test_output_that_cannot_be_written(self):
        path = self.write("stream", stream(REGIONS, RECORDS))
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.inspect(path, code=FAILED, stdout=full)

    def test_unknown_usage(self):
        ended = subprocess.run([INSPECT, "--nonsense"], capture_output=True, check=False)
        self.assertEqual(ended.returncode, BAD_USAGE)

    def test_many_sections_stay_bounded(self):
        """A hostile stream cannot make the report longer than it is."""
        parts = section(PART, u64(EOS)) * 70000
        data = header() + section(START, listed(REGIONS)) + parts + \
            section(END, RECORDS + u64(EOS)) + tail()
        found = self.look(data)
        self.assertEqual(len(found["sections"]) + found["sections-left-out"], 70002)
        self.assertEqual(len(found["sections"]), 65536)
        self.assertEqual(found["ram-bodies"], 70002)


if __name__ == "__main__":
    main()
