# SPDX-License-Identifier: MIT
"""What the race knows of the machine: programs it runs, their CPU time, and who else is busy."""

import bisect
import ctypes
import os
import signal
import subprocess
import tempfile
import threading
import time

PATIENCE = 120
TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.02
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """A contestant did not do what was asked of it."""


def die_with_us():
    """In a child: a race that is killed outright leaves nobody behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """A program that runs, its output in files. Ends with the block that it is used in."""

    def __init__(self, words):
        self.words = [str(word) for word in words]
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        # A session of its own: ^C is for us, and we end what we began.
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err, start_new_session=True,
                                        preexec_fn=die_with_us)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.close()
        self.err.close()

    @staticmethod
    def read(file):
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()

    def said(self):
        return self.read(self.out), self.read(self.err)

    def failed(self, what):
        return Failed(f"{self.words[0]}: {what}: {' '.join(self.said()).strip()}")

    def alive(self, end):
        if self.process.poll() is not None:
            raise self.failed(f"exit code {self.process.returncode}")
        if time.monotonic() > end:
            raise self.failed("takes too long")

    def wait(self, patience=PATIENCE):
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise self.failed("takes too long") from None
        if code != 0:
            raise self.failed(f"exit code {code}")

    def cpu_seconds(self):
        """User and system time of all its threads, those that ended as well: the process's CPU
        clock (see clock_getcpuclockid(3)), which is finer than /proc/PID/stat."""
        return time.clock_gettime((~self.process.pid << 3) | 2)


def first_number(path, key):
    """The number behind a key that begins a line, for instance in /proc/meminfo."""
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name.strip() == key:
                return int(rest.split()[0])
    raise Failed(f"{path} has no {key}")


def available_bytes():
    return first_number("/proc/meminfo", "MemAvailable") << 10


def loopback_bytes():
    """Received over lo, headers and acknowledgements included."""
    return first_number("/proc/net/dev", "lo")


def busy_and_stolen():
    """Seconds that the CPUs worked, and that the hypervisor had them do something else."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def sample():
    return time.monotonic(), *busy_and_stolen()


class Watch:
    """Samples the machine's CPU time, because nobody knows beforehand when a migration begins."""

    def __enter__(self):
        # It grows by whole samples: noise() may be asked between any two steps of the thread.
        self.samples = [sample()]
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def run(self):
        while not self.done.wait(SAMPLE_SECONDS):
            self.samples.append(sample())

    def noise(self, begin, end, own_cpu):
        """CPU seconds between two times that went to others, as a share of what there was."""
        samples = list(self.samples)
        times = [at for at, _, _ in samples]
        first, busy, stolen = samples[max(bisect.bisect_right(times, begin) - 1, 0)]
        last, busy_end, stolen_end = samples[min(bisect.bisect_left(times, end), len(times) - 1)]
        others = max(busy_end - busy - own_cpu, 0) + stolen_end - stolen
        return others / max(last - first, 1e-3) / os.cpu_count()
