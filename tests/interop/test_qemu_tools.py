#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs take the guest of a real QEMU, look at it, and give it to another QEMU."""

import os
import sys

import qemu
from interop import digest, main
from tools import Tools, program, why_not


class Programs(Tools):
    # ---- ramsync-recv --qemu ---------------------------------------------------------------

    def take(self, address, answers):
        source = self.source(answers=answers)
        tool, address = self.start_tool(*self.receive_into(address))
        found = source.migrate_live(address)
        self.assertGreaterEqual(found["ram"]["dirty-sync-count"], 3)
        self.assertEqual(self.end_tool(tool)["result"], "completed")
        self.check_saved(source)

    def test_take_over_tcp(self):
        self.take("tcp:127.0.0.1:0", answers=False)

    def test_take_over_tcp_with_answers(self):
        self.take("tcp:127.0.0.1:0", answers=True)

    def test_take_over_unix(self):
        self.take(f"unix:{self.path('socket')}", answers=False)

    def test_take_over_unix_with_answers(self):
        self.take(f"unix:{self.path('socket')}", answers=True)

    def test_take_over_exec(self):
        source = self.source()
        command = program(*self.receive_into("fd:0"))
        source.migrate_live(f"exec:{' '.join(command)} > {self.path('out')}")
        self.check_saved(source)

    def test_a_command_cannot_answer(self):
        """Its standard input is one-way: a QEMU that wants answers is refused, and told why."""
        source = self.source(answers=True)
        log = self.path("log")
        # Its standard output stays what QEMU reads answers from, until it ends.
        source.do("migrate", uri=f"exec:{' '.join(program(*self.receive_into('fd:0')))} 2> {log}")
        source.wait_migration(lambda found: found.get("status") == "failed")
        self.check_runs_on(source, source.passes())
        with open(log, encoding="utf-8") as file:
            self.assertIn("return path, and the stream is one-way", file.read())
        self.assertFalse(os.path.exists(self.path("devices")))

    def test_a_guest_that_cannot_be_stored_runs_on(self):
        source = self.source(answers=True)
        tool, address = self.start_tool("recv", "--qemu", "--from", "tcp:127.0.0.1:0",
                                        "--devices", "/dev/full",
                                        "--save", "/dev/null")
        source.do("migrate", uri=address)
        source.wait_migration(lambda found: found.get("status") == "failed")
        self.assertIn("No space left", self.end_tool(tool, 1)["error"])
        self.check_runs_on(source, source.passes())

    # ---- ramsync-inspect -------------------------------------------------------------------

    def test_a_guest_that_is_looked_at_runs_on(self):
        source = self.source(answers=True)
        tool, address = self.start_tool("inspect", "--extract", self.path("x"), "tcp:127.0.0.1:0")
        source.do("migrate", uri=address)
        source.wait_migration(lambda found: found.get("status") == "failed")
        found = self.end_tool(tool)
        self.assertTrue(found["whole"])
        self.assertEqual([command["name"] for command in found["commands"]][:2],
                         ["OPEN_RETURN_PATH", "PING"])
        self.assertEqual(os.path.getsize(self.path("x/pc.ram")), qemu.RAM_BYTES)
        self.check_runs_on(source, source.passes())

    # ---- ramsync-convert -------------------------------------------------------------------

    def test_convert_a_live_stream(self):
        source = self.source()
        stream, out = self.path("stream"), self.path("out")
        source.migrate_live(f"exec:gzip -1 > {stream}")
        converted = self.run_tool("convert", stream, out)
        # How often the guest was gone over is the machine's affair; once is enough now.
        found = self.run_tool("inspect", "--extract", self.path("x"), out)
        self.assertEqual(found["rounds"], 1)
        self.assertLess(converted["bytes-written"], converted["bytes-read"])
        self.assertEqual(digest(self.path("x/pc.ram")), digest(source.sent))
        self.check_loads(out, source)

    def test_convert_from_qemu_itself(self):
        """Told over the return path, QEMU is done when the file is."""
        source = self.source(answers=True)
        out = self.path("out")
        tool, address = self.start_tool("convert", "tcp:127.0.0.1:0", out)
        source.migrate_live(address)
        self.assertTrue(os.path.exists(out))
        self.assertTrue(self.end_tool(tool)["written"])
        self.check_loads(out, source)


if __name__ == "__main__":
    REASON = why_not()
    if REASON:
        print(f"SKIP: {REASON}")
        sys.exit(77)
    main()
