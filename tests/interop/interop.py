# SPDX-License-Identifier: MIT
"""What the tests of this folder share: the program, recorded streams, and where devices end."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(os.path.dirname(HERE), "fixtures", "qemu-7.2")
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "interop"
PATIENCE = 240


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def u32(value):
    return value.to_bytes(4, "big")


def device_lengths(stream):
    """(name, instance, bytes) of each device section, from the description behind the stream.

    It names the devices in order; a body ends where the footer of its section is followed by the
    header of the next device.
    """
    start = stream.rindex(b'{"page_size"')
    devices = json.loads(stream[start:].decode())["devices"]
    starts = []
    at = 0
    for device in devices:
        name = device["name"].encode()
        header = (b"(?:\x7e(.{4})|^)\x04(.{4})" + re.escape(bytes([len(name)]) + name) +
                  re.escape(u32(device["instance_id"])) + b".{4}")
        found = re.compile(header, re.DOTALL).search(stream, at)
        if not found or (starts and found.group(1) != starts[-1][0]):
            raise AssertionError(f"where does device {name} begin?")
        starts.append((found.group(2), found.start(), found.end()))
        at = found.end()
    end = stream.rindex(b"\x7e" + starts[-1][0] + b"\x00\x06", 0, start)
    ends = [found for _, found, _ in starts[1:]] + [end]
    return [(device["name"], device["instance_id"], end - begin)
            for device, (_, _, begin), end in zip(devices, starts, ends)]


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ramsync-test.")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def start_program(self, verb, stream, *arguments):
        words = [PROGRAM, verb, stream, self.folder, *map(str, arguments)]
        program = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        return program

    def end_program(self, program, fails=False):
        """What the program found, or with fails what it said."""
        out, err = program.communicate(timeout=PATIENCE)
        self.assertEqual(program.returncode != 0, fails, f"{program.args}: {err}")
        return err if fails else json.loads(out)

    def run_program(self, verb, stream, *arguments, fails=False):
        return self.end_program(self.start_program(verb, stream, *arguments), fails)

    def load(self, stream, *options):
        return self.run_program("load", stream, *options)

    def write_lengths(self, stream):
        """A file that tells the program how long the devices of a stream are."""
        with open(stream, "rb") as file:
            lengths = device_lengths(file.read())
        lines = "".join(f"{size} {instance} {name}\n" for name, instance, size in lengths)
        return self.write("lengths", lines.encode())

    def receive(self, stream, *options):
        return self.run_program("receive", stream, self.write_lengths(stream), *options)


def main():
    del sys.argv[1:2]
    unittest.main(verbosity=2)
