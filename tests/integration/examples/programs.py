# SPDX-License-Identifier: MIT
"""What the tests of the programs share.

Environment: RS_TEST_PROGRAMS is the folder of the programs, RS_TEST_SANITIZE the sanitizer that
they are built with, if any.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAMS = os.environ.get("RS_TEST_PROGRAMS", ".")
SEND = os.path.join(PROGRAMS, "ramsync-send")
RECV = os.path.join(PROGRAMS, "ramsync-recv")
INSPECT = os.path.join(PROGRAMS, "ramsync-inspect")
CONVERT = os.path.join(PROGRAMS, "ramsync-convert")

# A guard against tests that hang, no more: nothing here is a measurement.
PATIENCE = 240

COMPLETED, FAILED, CORRUPT, CANCELLED, IN_DOUBT, PAUSED, BAD_USAGE = 0, 1, 2, 3, 4, 5, 64

# Small, and of every kind; the writers are busy enough to need more than one round.
GUEST = ["--memory", "64M", "--pattern", "mix", "--writers", "2", "--dirty-rate", "2000",
         "--working-set", "8M"]
FAST = ["--max-bandwidth", "0"]
# 64 MiB of random pages last long enough to do something to the migration meanwhile.
SLOW = ["--max-bandwidth", "4M", "--pattern", "random"]


def no_userfaultfd():
    """Why nothing can be received by postcopy here, or None."""
    if os.geteuid() == 0 or os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
        return None
    with open("/proc/sys/vm/unprivileged_userfaultfd", encoding="ascii") as file:
        return None if file.read().strip() == "1" else "faults of the kernel's cannot be handled"


class Program:
    """A program that runs, its output in files."""

    def __init__(self, arguments, **popen):
        self.arguments = arguments
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", self.out)
        self.process = subprocess.Popen(arguments, stderr=self.err, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.close()
        self.err.close()

    @staticmethod
    def _read(file):
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), size, 0).decode()

    @property
    def stdout(self):
        return self._read(self.out)

    @property
    def stderr(self):
        return self._read(self.err)

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def digest(self):
        return self.json["digest"]

    def wait_for(self, text):
        """Wait until standard error holds a text; returns all of it."""
        end = time.monotonic() + PATIENCE
        while text not in self.stderr:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.arguments}: no '{text}' in: {self.stderr}")
            time.sleep(0.02)
        return self.stderr

    def wait_for_times(self, text, times):
        """The same, so many times."""
        end = time.monotonic() + PATIENCE
        while self.stderr.count(text) < times:
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.arguments}: not {times} '{text}' in: {self.stderr}")
            time.sleep(0.02)

    def address(self):
        """The address that a receiver listens on."""
        line = self.wait_for("listening on ").split("listening on ", 1)[1]
        while "\n" not in line:
            time.sleep(0.02)
            line = self.stderr.split("listening on ", 1)[1]
        return line.split("\n", 1)[0]

    def opened(self, folder):
        """Has it opened a file in a folder, one without a name included?"""
        fds = f"/proc/{self.process.pid}/fd"
        if self.process.poll() is not None:
            raise AssertionError(f"{self.arguments}: ended: {self.stderr}")
        try:
            return any(os.readlink(os.path.join(fds, fd)).startswith(folder + "/")
                       for fd in os.listdir(fds))
        except FileNotFoundError:
            return False  # one was closed meanwhile

    def end(self, code=None):
        """Wait for the end, and check the exit code."""
        self.process.wait(PATIENCE)
        if code is not None and self.process.returncode != code:
            raise AssertionError(f"{' '.join(self.arguments)}: exit code "
                                 f"{self.process.returncode}, not {code}:\n"
                                 f"{self.stdout}{self.stderr}")
        return self

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)


def sender(address, *arguments, **popen):
    return Program([SEND, "--to", address, "--json", *GUEST, *arguments], **popen)


def receiver(address, *arguments, **popen):
    return Program([RECV, "--from", address, "--json", "--run-on", "0.3", *arguments], **popen)


class Case(unittest.TestCase):
    """A test with a folder of its own and a check of whole migrations."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ramsync-test.")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, program):
        """Have a program ended with the test."""
        self.addCleanup(program.__exit__)
        return program

    def check_moved(self, send, recv):
        """Both ends are done, the memories are equal, and the guest went on."""
        send.end(COMPLETED)
        recv.end(COMPLETED)
        self.assertEqual(send.json["result"], "completed")
        self.assertEqual(recv.json["result"], "completed")
        self.assertRegex(send.digest, "^[0-9a-f]{16}$")
        self.assertEqual(send.digest, recv.digest)
        self.assertEqual(send.json["memory"], recv.json["memory"])
        self.assertEqual(send.json["writers"], recv.json["writers"])

    def move(self, send_arguments=(), recv_arguments=(), address="tcp:127.0.0.1:0"):
        """A whole migration; returns sender and receiver."""
        recv = self.start(receiver(address, "--verify", *recv_arguments))
        send = self.start(sender(recv.address(), "--verify", *FAST, *send_arguments))
        self.check_moved(send, recv)
        return send, recv


class _Result(unittest.TestResult):
    """Says what it does in cmocka's words, which tests/lib/summary.py understands."""

    def startTest(self, test):
        super().startTest(test)
        print(f"[ RUN      ] {test.id().split('.', 1)[1]}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        print(f"[       OK ] {test.id().split('.', 1)[1]}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(reason)
        print(f"[  SKIPPED ] {test.id().split('.', 1)[1]}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(self.failures[-1][1])
        print(f"[  FAILED  ] {test.id().split('.', 1)[1]}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(self.errors[-1][1])
        print(f"[  FAILED  ] {test.id().split('.', 1)[1]}", flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print(self._exc_info_to_string(err, test))
            print(f"[  FAILED  ] {subtest.id().split('.', 1)[1]}", flush=True)


def main():
    """Run the tests of the calling file, or those that the command line names."""
    for program in SEND, RECV, INSPECT, CONVERT:
        if not os.path.exists(program):
            sys.exit(f"there is no {program}; RS_TEST_PROGRAMS says where the programs are")
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    if len(sys.argv) > 1:
        suite = loader.loadTestsFromNames(sys.argv[1:], module)
    else:
        suite = loader.loadTestsFromModule(module)
    result = _Result()
    suite.run(result)
    if not result.testsRun:
        sys.exit("there are no tests here")
    sys.exit(0 if result.wasSuccessful() else 1)
