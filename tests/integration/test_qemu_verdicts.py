#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the tables of odd streams say of QEMU, a real one has to confirm.

The programs of the tables write their streams, QEMU loads each: does it take the stream, and what
does its RAM hold then?
"""

import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

QEMU = shutil.which("qemu-system-x86_64")
MACHINE = "pc-i440fx-7.2"
PROGRAMS = os.path.join(os.environ["RS_TEST_BUILD"], "tests", "integration",
                        "integration.malformed*")
# A guard against tests that hang, no more.
PATIENCE_S = 240

# As in odd_streams.h.
TWO_WAY, UUID = 1 << 0, 1 << 9
# Ignored and read-only regions, which this QEMU does not have.
OTHER_REGIONS = 1 << 1 | 1 << 2
CAPABILITIES = {1 << 16: "compress", 1 << 17: "postcopy-ram"}
PAGE = 4096


def qemu_version():
    """As 100 * major + minor; None if there is no QEMU that has the machine."""
    if not QEMU:
        return None
    machines = subprocess.run([QEMU, "-machine", "help"], capture_output=True, text=True,
                              check=False).stdout
    said = subprocess.run([QEMU, "-version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    return int(found[1]) * 100 + int(found[2]) if found and MACHINE in machines else None


class Row:
    """A stream in a file, and what its table says."""

    def __init__(self, folder, line):
        name, options, first, end, self.what, self.pages = line.rstrip("\n").split("\t")
        self.name = name
        self.path = os.path.join(folder, name)
        self.options = int(options)
        self.first, self.end = int(first), int(end)

    def is_for_qemu(self):
        return self.first >= 0 and not self.options & OTHER_REGIONS

    def is_taken(self, version):
        return self.first <= version < self.end

    def contents(self):
        """(number, bytes) of pages of a."""
        for word in re.findall(r"a\d+:\S+", self.pages):
            first, *parts = word.split(",")
            number, value = first[1:].split(":")
            page = bytearray([int(value, 16)]) * PAGE
            for at, data in (part.split("=") for part in parts):
                page[int(at, 16):int(at, 16) + len(data) // 2] = bytes.fromhex(data)
            yield int(number), page


class Qemu:
    """A QEMU that waits for a stream. Its RAM is 16 KiB in one block, a, and holds 0x11."""

    def __init__(self, row):
        with open(f"{row.path}.ram", "wb") as file:
            file.write(b"\x11" * 4 * PAGE)
        words = [
            QEMU, "-accel", "tcg", "-machine", f"{MACHINE},memory-backend=a", "-m", "16K",
            "-object", f"memory-backend-file,id=a,size=16K,mem-path={row.path}.ram,share=on,"
            "x-use-canonical-path-for-ramblock-id=off",
            "-nodefaults", "-display", "none", "-S", "-incoming", "defer", "-qmp", "stdio",
        ]
        if row.options & UUID:
            words += ["-uuid", "abababab-abab-abab-abab-abababababab"]
        self.row = row
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.do("qmp_capabilities")
        self.enable("events")

    def do(self, command, **arguments):
        """Whether QEMU can."""
        request = {"execute": command, "arguments": arguments}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return "return" in answer
        return False

    def enable(self, name):
        return self.do("migrate-set-capabilities",
                       capabilities=[{"capability": name, "state": True}])

    def is_loaded(self):
        """Waits for the end. COLO begins where another migration is complete."""
        for line in self.process.stdout:
            event = json.loads(line)
            if event.get("event") == "MIGRATION":
                if event["data"]["status"] in ("completed", "colo", "failed", "postcopy-paused"):
                    return event["data"]["status"] in ("completed", "colo")
        return False

    def load(self):
        path = self.row.path
        # A pipe that has nothing in it does not wake QEMU.
        if not self.row.options & TWO_WAY and os.path.getsize(path) > 0:
            return self.do("migrate-incoming", uri=f"exec:cat {path}") and self.is_loaded()
        if not self.do("migrate-incoming", uri=f"unix:{path}.socket"):
            return False
        with socket.socket(socket.AF_UNIX) as source, open(path, "rb") as file:
            source.connect(f"{path}.socket")
            source.sendall(file.read())
            source.shutdown(socket.SHUT_WR)
            return self.is_loaded()

    def takes(self):
        """Whether it takes the stream. QEMU before 9.1 exits if not."""
        needed = [name for option, name in CAPABILITIES.items() if self.row.options & option]
        return all(self.enable(name) for name in needed) and self.load()

    def end(self):
        self.process.kill()
        return self.process.communicate()[1].strip()


def wrong_pages(row):
    with open(f"{row.path}.ram", "rb") as file:
        memory = file.read()
    return [number for number, page in row.contents()
            if memory[number * PAGE:(number + 1) * PAGE] != page]


def ask(row, version):
    """What QEMU does differently; None if all is as the row says."""
    qemu = Qemu(row)
    watch = threading.Timer(PATIENCE_S, qemu.process.kill)
    watch.start()
    taken = qemu.takes()
    watch.cancel()
    said = qemu.end()
    if taken != row.is_taken(version):
        return f"{row.name}, {row.what}: QEMU {'takes' if taken else 'refuses'} it: {said}"
    pages = wrong_pages(row) if taken else []
    return f"{row.name}, {row.what}: other content in the pages {pages}" if pages else None


def write_rows(folder):
    for program in sorted(glob.glob(PROGRAMS)):
        subprocess.run([program], env={**os.environ, "RS_ODD_STREAMS_TO": folder}, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(os.path.join(folder, "rows"), encoding="utf-8") as file:
        return [row for row in (Row(folder, line) for line in file) if row.is_for_qemu()]


def main():
    version = qemu_version()
    if version is None:
        print(f"SKIP: there is no qemu-system-x86_64 with the machine {MACHINE}")
        return 77
    # Postcopy needs memory that can be registered with a userfaultfd, as that of other files cannot.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ramsync-test.", dir=memory) as folder:
        rows = write_rows(folder)
        with ThreadPoolExecutor(2) as pool:
            wrong = [found for found in pool.map(lambda row: ask(row, version), rows) if found]
    print(f"{len(rows)} streams, and QEMU differs from {len(wrong)} rows")
    print("\n".join(wrong))
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
