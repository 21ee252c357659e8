# SPDX-License-Identifier: MIT
"""The two that race: each moves an image once and returns what that took."""

import json
import os
import socket
import subprocess
import time

from race_machine import Failed, PATIENCE, Program, Watch, loopback_bytes

# Far beyond what loopback carries; 0 is not "unlimited" in every version of QEMU.
UNLIMITED = 1 << 40


def result(watch, begin, end, cpu, wire, compressed, digest):
    return {
        "wall_seconds": round(end - begin, 4),
        "cpu_seconds": round(sum(cpu), 4),
        "source_cpu_seconds": round(cpu[0], 4),
        "destination_cpu_seconds": round(cpu[1], 4),
        "wire_bytes": wire,
        "compressed_pages": compressed,
        "noise": round(watch.noise(begin, end, sum(cpu)), 3),
        "digest": digest,
    }


class Image:
    """The file that both move, and its digest."""

    def __init__(self, maker, folder, size, kind):
        self.maker, self.size, self.kind = maker, size, kind
        self.path = os.path.join(folder, "image")
        self.run("make", self.path, size, kind)
        self.digest = self.digest_of(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.unlink(self.path)

    def run(self, *words):
        with Program([self.maker, *words]) as program:
            program.wait()
            return program.said()[0].strip()

    def digest_of(self, path, *place):
        return self.run("digest", path, *place)


# Both have the same names for these.
def compression(options):
    return {"compress-level": options.compress_level,
            "compress-threads": options.compress_threads,
            "decompress-threads": options.decompress_threads}


# ---- QEMU ---------------------------------------------------------------------------------------

class Qemu(Program):
    """A QEMU whose guest never runs, with QMP."""

    def __init__(self, program, folder, name, size, backend, *more):
        address = os.path.join(folder, f"{name}.qmp")
        super().__init__([
            program, "-accel", "tcg", "-machine", "pc,memory-backend=ram", "-m", f"{size >> 10}K",
            "-object", f"{backend},id=ram,size={size},prealloc=on", "-S", "-nodefaults",
            "-display", "none", "-serial", "none", "-monitor", "none",
            "-qmp", f"unix:{address},server=on,wait=off", *more])
        self.address = address
        self.socket = None

    def __exit__(self, *what):
        if self.socket:
            self.socket.close()
        super().__exit__(*what)

    def connect(self):
        """Once it answers its memory is allocated."""
        end = time.monotonic() + PATIENCE
        while self.socket is None:
            self.alive(end)
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE)
            try:
                connection.connect(self.address)
                self.socket = connection
            except OSError:
                connection.close()
                time.sleep(0.02)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.lines.readline()
        self.events = []
        self.do("qmp_capabilities")
        self.have("events")
        self.do("migrate-set-parameters", **{"max-bandwidth": UNLIMITED})

    def next(self):
        try:
            line = self.lines.readline()
        except OSError:
            line = ""
        if not line:
            raise self.failed("no more answers")
        message = json.loads(line)
        if message.get("event") == "MIGRATION":
            self.events.append(message["data"]["status"])
        return message

    def have(self, *capabilities):
        self.do("migrate-set-capabilities",
                capabilities=[{"capability": name, "state": True} for name in capabilities])

    def do(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = self.next()
            if "error" in answer:
                raise self.failed(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def wait_completed(self, patience=PATIENCE):
        self.socket.settimeout(patience)
        while "completed" not in self.events:
            for status in "failed", "postcopy-paused":
                if status in self.events:
                    raise self.failed(f"the migration: {status}")
            self.next()
        return time.monotonic()

    def memory_digest(self, image):
        """Of its guest's RAM, which is the one private mapping of that length."""
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as file:
            for line in file:
                begin, end = (int(word, 16) for word in line.split()[0].split("-"))
                if end - begin == image.size:
                    return image.digest_of(f"/proc/{self.process.pid}/mem", begin, image.size)
        raise self.failed("its RAM is not to be found")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def qemu_version(program):
    run = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = run.stdout.split()
    if "version" not in words:
        raise Failed(f"{program} does not tell its version")
    return words[words.index("version") + 1]


def compress_in_qemu(options, end):
    end.have("compress")
    end.do("migrate-set-parameters", **compression(options), **{"compress-wait-thread": True})


def race_qemu(options, folder, image, _fresh):
    backend = f"memory-backend-file,mem-path={image.path},share=on"
    with Qemu(options.qemu, folder, "source", image.size, backend) as source, \
            Qemu(options.qemu, folder, "destination", image.size, "memory-backend-ram",
                 "-incoming", "defer") as destination, Watch() as watch:
        source.connect()
        destination.connect()
        if options.compress:
            compress_in_qemu(options, source)
            compress_in_qemu(options, destination)
        address = f"tcp:127.0.0.1:{free_port()}"
        destination.do("migrate-incoming", uri=address)
        both = source, destination
        cpu, wire = [end.cpu_seconds() for end in both], loopback_bytes()
        begin = time.monotonic()
        source.do("migrate", uri=address)
        end = max(source.wait_completed(options.patience),
                  destination.wait_completed(options.patience))
        cpu = [end.cpu_seconds() - before for end, before in zip(both, cpu)]
        wire = loopback_bytes() - wire
        compressed = source.do("query-migrate").get("compression", {}).get("pages", 0)
        return result(watch, begin, end, cpu, wire, compressed, destination.memory_digest(image))


# ---- ours ---------------------------------------------------------------------------------------

def wait_address(receiver):
    """Where it listens: by then its memory is allocated."""
    end = time.monotonic() + PATIENCE
    while True:
        for line in receiver.said()[1].splitlines():
            if " listening on " in line:
                return line.split(" listening on ")[1]
        receiver.alive(end)
        time.sleep(0.02)


def compress_in_ours(options):
    values = {"compress": "on", **compression(options)}
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def race_ours(options, folder, image, fresh):
    form = ["--machine", "race"] if options.ours_form == "qemu" else []
    both = ["--json", "--verify"]
    if options.compress:
        both += compress_in_ours(options)
    touch = [] if fresh else ["--prealloc"]
    with Program([options.recv, "--from", "tcp:127.0.0.1:0", "--region", f"ram:anon:{image.size}",
                  *touch, *both]) as receiver:
        address = wait_address(receiver)
        wire = loopback_bytes()
        with Program([options.send, "--to", address, "--region", f"ram:memfd:{image.size}",
                      "--prealloc", "--image", image.path, "--writers", "0", "--max-bandwidth", "0",
                      "--dirty-log", options.dirty_log, *form, *both]) as sender, Watch() as watch:
            sender.wait(options.patience)
            receiver.wait(options.patience)
            sent, received = (json.loads(program.said()[0]) for program in (sender, receiver))
    wire = loopback_bytes() - wire
    if sent["digest"] != image.digest:
        raise Failed(f"the sender's memory is not the image: {sent['digest']}")
    end = max(sent["ended-at"], received["ended-at"])
    cpu = sent["cpu-seconds"], received["cpu-seconds"]
    return result(watch, sent["began-at"], end, cpu, wire, sent["statistics"]["compression.pages"],
                  received["digest"])
