# SPDX-License-Identifier: MIT
"""What tests share in which the programs meet a real QEMU.

RS_TEST_PROGRAMS is the folder of the programs.
"""

import json
import os
import subprocess
import time

import qemu
from interop import PATIENCE, Case, digest

PROGRAMS = os.environ.get("RS_TEST_PROGRAMS", ".")


def program(name, *arguments):
    return [os.path.join(PROGRAMS, f"ramsync-{name}"), "--json", *map(str, arguments)]


def why_not():
    """Why no QEMU or no program can be had, or None."""
    if not os.path.exists(program("inspect")[0]):
        return "the programs were not built"
    return qemu.why_not()


class Tools(Case):
    def start_qemu(self, name, **options):
        guest = qemu.Qemu(self.folder, name, **options)
        self.addCleanup(guest.__exit__)
        return guest

    def source(self, *capabilities, answers=False):
        """A QEMU whose guest has begun to write."""
        source = self.start_qemu("source")
        source.wait_passes(3)
        source.enable(*capabilities)
        if answers:
            source.want_answers()
        return source

    def run_tool(self, name, *arguments):
        ended = subprocess.run(program(name, *arguments), stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return json.loads(ended.stdout)

    def start_tool(self, *words):
        """A program that listens; returns it and its address."""
        log = self.path("log")
        with open(log, "w", encoding="utf-8") as file:
            tool = subprocess.Popen(program(*words), stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=file, text=True)
        self.addCleanup(tool.communicate)
        self.addCleanup(tool.kill)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and tool.poll() is None:
            with open(log, encoding="utf-8") as file:
                said = file.read()
            if "listening on" in said and said.endswith("\n"):
                return tool, said.split("listening on ")[1].strip()
            time.sleep(0.02)
        with open(log, encoding="utf-8") as file:
            raise AssertionError(f"{words}: {file.read()}")

    def wait_said(self, text):
        """Until the program has said it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with open(self.path("log"), encoding="utf-8") as file:
                said = file.read()
            if text in said:
                return
            time.sleep(0.02)
        raise AssertionError(f"no '{text}' in: {said}")

    def end_tool(self, tool, code=0):
        out, _ = tool.communicate(timeout=PATIENCE)
        with open(self.path("log"), encoding="utf-8") as file:
            self.assertEqual(tool.returncode, code, file.read())
        return json.loads(out)

    def receive_into(self, address):
        return ["recv", "--qemu", "--from", address, "--devices", self.path("devices"),
                "--save", self.path("saved")]

    def check_saved(self, source):
        """What was saved is all that the source sent."""
        self.assertEqual(digest(self.path("saved/pc.ram")), digest(source.sent))
        self.assertEqual(os.path.getsize(self.path("saved/pc.ram")), qemu.RAM_BYTES)
        self.assertGreater(os.path.getsize(self.path("devices")), 10000)

    def check_runs_on(self, source, passes):
        source.wait_passes(passes + 2)
        self.assertEqual(source.do("query-status")["status"], "running")

    def check_loads(self, path, source, *capabilities):
        """Another QEMU loads it, has the memory that the source sent, and its guest goes on."""
        passes = qemu.passes(source.sent)
        with self.start_qemu("destination", incoming=True) as destination:
            destination.enable(*capabilities)
            destination.load(path)
            self.assertEqual(digest(destination.memory), digest(source.sent))
            self.assertEqual(destination.passes(), passes)
            destination.do("cont")
            destination.wait_passes(passes + 3)
