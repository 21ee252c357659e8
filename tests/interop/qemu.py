# SPDX-License-Identifier: MIT
"""A real QEMU with the guest of the fixtures, driven through QMP."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time

from interop import FIXTURES, PATIENCE
from recording import Recording
from stream_reader import PAGE, read_memory

PROGRAM = shutil.which("qemu-system-x86_64")
MACHINE = "pc-i440fx-7.2"
# Two pages more than 64 MiB: QEMU before 9.0 loses writes without KVM if the length of its RAM is a
# multiple of 64 pages.
RAM_BYTES = (64 << 20) + 8192
# The guest counts its passes here.
PASSES_AT = 0x100000
# Of the pages that the guest writes.
MANY_PAGES = 64


def why_not():
    """Why no QEMU can be had, or None."""
    if not PROGRAM:
        return "there is no qemu-system-x86_64 here"
    machines = subprocess.run([PROGRAM, "-machine", "help"], capture_output=True, text=True,
                              check=False).stdout
    if MACHINE not in machines:
        return f"this QEMU has no machine {MACHINE}"
    return None


def passes(memory):
    """How often the guest whose memory is in that file has gone over it."""
    with open(memory, "rb") as file:
        file.seek(PASSES_AT)
        return int.from_bytes(file.read(4), "little")


class Qemu:
    """One QEMU; its RAM is a file, memory. With incoming it waits for a migration, paused.

    After a migration, sent is a file with the RAM that its stream has. That is not always the
    source's memory at the end: QEMU 7.2 without KVM loses writes now and then, on a busy machine.
    A page that the guest goes on writing is dirty no more, and what it had before stays the last of
    it in the stream.
    """

    def __init__(self, folder, name, incoming=False, by_postcopy=False, paused=True):
        """With by_postcopy its RAM is of a kind that can come so; not paused, it runs as soon as it may."""
        self.memory = os.path.join(folder, f"{name}.ram")
        backend = f"memory-backend-file,mem-path={self.memory}"
        if by_postcopy:
            backend = "memory-backend-memfd"
        self.sent = os.path.join(folder, f"{name}.sent")
        address = os.path.join(folder, f"{name}.qmp")
        words = [
            PROGRAM, "-accel", "tcg", "-machine", f"{MACHINE},memory-backend=pc.ram",
            "-m", f"{RAM_BYTES >> 10}K", "-object",
            f"{backend},id=pc.ram,size={RAM_BYTES},share=on",
            "-nodefaults", "-display", "none", "-qmp", f"unix:{address},server=on,wait=off",
            "-drive", f"file={FIXTURES}/boot.img,format=raw,if=floppy,readonly=on", "-boot", "a",
        ]
        if incoming:
            words += ["-S"] * paused + ["-incoming", "defer"]
        self.log = open(os.path.join(folder, f"{name}.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        self.socket = self.connect(address)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.lines.readline()
        self.do("qmp_capabilities")
        if by_postcopy:
            self.memory = self.find_memory()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()
        self.process.kill()
        self.process.wait()
        self.log.close()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def find_memory(self):
        """The memfd, as others see it: nobody waits for a page that is missing."""
        folder = f"/proc/{self.process.pid}/fd"
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                if "memfd:" in os.readlink(path) and os.stat(path).st_size == RAM_BYTES:
                    return path
        raise AssertionError("QEMU has no memfd with its RAM")

    def connect(self, address):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE)
            try:
                connection.connect(address)
                return connection
            except OSError:
                connection.close()
                time.sleep(0.02)
        raise AssertionError(f"QEMU does not start: {self.said()}")

    def do(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode())
        while True:
            line = self.lines.readline()
            if not line:
                raise AssertionError(f"QEMU is gone: {self.said()}")
            answer = json.loads(line)
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def passes(self):
        """How often the guest has gone over its memory."""
        return passes(self.memory)

    def wait_passes(self, count):
        end = time.monotonic() + PATIENCE
        while self.passes() < count:
            if time.monotonic() > end:
                raise AssertionError(f"the guest stands still at pass {self.passes()}")
            time.sleep(0.02)

    def wait_migration(self, reached):
        """Wait until reached(what query-migrate says) is true; returns that."""
        end = time.monotonic() + PATIENCE
        while True:
            found = self.do("query-migrate")
            if reached(found):
                return found
            if found.get("status") == "failed" or time.monotonic() > end:
                raise AssertionError(f"{found}: {self.said()}")
            time.sleep(0.02)

    def migrate_live(self, address):
        """Several rounds under a guest that writes faster than they pass, then the end."""
        recording = Recording(f"{self.sent}.{time.monotonic_ns()}", address)
        self.do("migrate-set-parameters", **{"max-bandwidth": 6 << 20, "downtime-limit": 1})
        self.do("migrate", uri=recording.address)
        # On a machine that is too busy for the guest to write much, it may be done before.
        self.wait_migration(lambda found: found.get("status") == "completed" or
                            found.get("ram", {}).get("dirty-sync-count", 0) >= 4)
        self.do("migrate-set-parameters", **{"max-bandwidth": 64 << 20, "downtime-limit": 2000})
        found = self.wait_migration(lambda found: found.get("status") == "completed")
        self.find_sent(recording)
        return found

    def find_sent(self, recording):
        end = time.monotonic() + PATIENCE
        while not recording.is_whole():
            if time.monotonic() > end:
                raise AssertionError(f"what QEMU sends to {recording.target} does not end")
            time.sleep(0.02)
        sent = read_memory(recording.path)["pc.ram"]
        os.unlink(recording.path)
        with open(self.memory, "rb") as file:
            memory = file.read()
        lost = sum(sent[at:at + PAGE] != memory[at:at + PAGE] for at in range(0, RAM_BYTES, PAGE))
        if len(sent) != RAM_BYTES or lost > MANY_PAGES:
            raise AssertionError(f"QEMU sent {lost} pages of {len(sent)} bytes otherwise")
        if lost:
            print(f"QEMU has lost writes to {lost} pages")
        with open(self.sent, "wb") as file:
            file.write(sent)

    def enable(self, *capabilities):
        self.do("migrate-set-capabilities",
                capabilities=[{"capability": name, "state": True} for name in capabilities])

    def want_answers(self):
        """The destination has to say over the return path that all went well."""
        self.enable("return-path")

    def load(self, path):
        self.do("migrate-incoming", uri=f"exec:cat {path}")
        self.wait_migration(lambda found: found.get("status") == "completed")
