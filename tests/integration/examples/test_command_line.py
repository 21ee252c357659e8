#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Options, help, reports: what is refused, and what is said."""

import os
import re
import subprocess
import time

from programs import (BAD_USAGE, CONVERT, FAILED, FAST, GUEST, INSPECT, RECV, SEND, Case, Program,
                      main, receiver, sender)

# The table of statistics, as the library's header lists it.
STATISTICS = """transferred remaining total duplicate normal normal-bytes dirty-sync-count
dirty-pages-rate page-size mbps pages-per-second setup-time downtime expected-downtime total-time
downtime-ns wire-bytes zero-run-pages stop-ns final-sync-ns last-ram-ns device-ns handover-ns
resume-ns dirty-log-ns guest-stall-ns xbzrle-cache.cache-size xbzrle-cache.bytes
xbzrle-cache.pages xbzrle-cache.cache-miss xbzrle-cache.cache-miss-rate xbzrle-cache.encoding-rate
xbzrle-cache.overflow compression.pages compression.busy compression.busy-rate
compression.compressed-size compression.compression-rate postcopy-requests postcopy-duplicates
postcopy-blocktime-ns postcopy-latency""".split()

NAMES = {SEND: "ramsync-send", RECV: "ramsync-recv", INSPECT: "ramsync-inspect",
         CONVERT: "ramsync-convert"}
NOWHERE = "file:/dev/null"

# Program, arguments, what the message must name.
REFUSED = [
    (SEND, [], "--to"),
    (RECV, [], "--from"),
    (SEND, ["--to"], "--to"),
    (SEND, ["--to", NOWHERE, "--no-such-option"], "--no-such-option"),
    (SEND, ["--to", NOWHERE, "-x"], "-x"),
    (SEND, ["--to", NOWHERE, "-xyz"], "-x"),
    (SEND, ["--to", NOWHERE, "word"], "word"),
    (SEND, ["--from", NOWHERE], "--from"),
    (RECV, ["--to", NOWHERE], "--to"),
    (RECV, ["--from", NOWHERE, "--writers", "1"], "--writers"),
    (SEND, ["--to", NOWHERE, "--json=1"], "--json"),
    (RECV, ["--from", NOWHERE, "--qemu"], "--devices"),
    (RECV, ["--from", NOWHERE, "--devices", "/dev/null"], "--devices needs --qemu"),
    (RECV, ["--from", NOWHERE, "--save", "."], "--save needs --qemu"),
    (RECV, ["--from", NOWHERE, "--qemu", "--devices", "/dev/null"], "--qemu needs --save DIR"),
    (RECV, ["--from", NOWHERE, "--qemu", "pc"], "'pc'"),
    (INSPECT, [], "FILE is missing"),
    (INSPECT, ["a", "b"], "'b'"),
    (INSPECT, ["--keep-going", "a"], "--keep-going needs --extract"),
    (INSPECT, ["--from", NOWHERE], "--from"),
    (INSPECT, ["--lax", "maybe", "a"], "--lax"),
    (INSPECT, ["--max-memory", "many", "a"], "--max-memory"),
    (CONVERT, [], "IN is missing"),
    (CONVERT, ["a"], "OUT is missing"),
    (CONVERT, ["a", "b", "c"], "'c'"),
    (CONVERT, ["--extract", "a", "b", "c"], "--extract"),
    (CONVERT, ["--uuid", "mine", "a", "b"], "--uuid"),
    (CONVERT, ["--xbzrle", "on", "a", "b"], "--xbzrle: each page is written once only"),
    (CONVERT, ["--xbzrle-cache-size", "3M", "a", "b"], "--xbzrle-cache-size"),
    (SEND, ["--to", NOWHERE, "--memory", "many"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "-1"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "1P"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "64M5"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "99999999T"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "99999999999999999999"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "64K"], "--memory"),
    (SEND, ["--to", NOWHERE, "--pattern", "checked"], "checked"),
    (SEND, ["--to", NOWHERE, "--dirty-log", "kvm"], "kvm"),
    (SEND, ["--to", NOWHERE, "--on-doubt", "ask"], "ask"),
    (SEND, ["--to", NOWHERE, "--writers", "1025"], "--writers"),
    (SEND, ["--to", NOWHERE, "--writers", "1K"], "--writers"),
    (SEND, ["--to", NOWHERE, "--dirty-rate", "fast"], "--dirty-rate"),
    (SEND, ["--to", NOWHERE, "--page-size", "5000"], "--page-size"),
    (SEND, ["--to", NOWHERE, "--page-size", "128K"], "--page-size"),
    (SEND, ["--to", NOWHERE, "--region", "low"], "low"),
    (SEND, ["--to", NOWHERE, "--region", "low:rom:1M"], "rom"),
    (SEND, ["--to", NOWHERE, "--region", "low:anon:much"], "much"),
    (SEND, ["--to", NOWHERE, "--region", ":anon:1M"], ":anon:1M"),
    (SEND, ["--to", NOWHERE, "--image", "x", "--populate", "1M"], "--populate"),
    (RECV, ["--from", NOWHERE, "--run-on", "soon"], "--run-on"),
    (RECV, ["--from", NOWHERE, "--run-on", "-1"], "--run-on"),
    (RECV, ["--from", NOWHERE, "--run-on", "nan"], "--run-on"),
    (SEND, ["--to", NOWHERE, "--downtime-limit", "2000001"], "downtime-limit"),
    (SEND, ["--to", NOWHERE, "--downtime-limit", "soon"], "downtime-limit"),
    (SEND, ["--to", NOWHERE, "--max-bandwidth", "-5"], "max-bandwidth"),
    (SEND, ["--to", NOWHERE, "--x-ignore-shared", "maybe"], "x-ignore-shared"),
    (SEND, ["--to", NOWHERE, "--preempt"], "--preempt needs --postcopy"),
    (RECV, ["--from", NOWHERE, "--preempt"], "--preempt needs --postcopy"),
    (SEND, ["--to", NOWHERE, "--postcopy", "--preempt"], "--preempt: file:/dev/null"),
    (SEND, ["--to", NOWHERE, "--postcopy-after", "soon"], "--postcopy-after"),
    (RECV, ["--from", NOWHERE, "--postcopy-after", "1"], "--postcopy-after"),
    (SEND, ["--to", NOWHERE, "--recover", "tcp:localhost:1"], "--recover needs --postcopy"),
    (RECV, ["--from", NOWHERE, "--postcopy", "--recover", "fd:0"], "--recover 'fd:0'"),
    (RECV, ["--from", NOWHERE, "--postcopy", "--touch", "9"], "--touch needs --qemu"),
    (SEND, ["--to", NOWHERE, "--max-postcopy-bandwidth", "fast"], "max-postcopy-bandwidth"),
    (INSPECT, [NOWHERE, *["--resume", "x"] * 17], "--resume: at most 16"),
    (CONVERT, ["x", "file:y", "--postcopy"], "--postcopy: file:y"),
    (CONVERT, ["x", "tcp:localhost:1", "--preempt"], "--preempt needs --postcopy"),
    (CONVERT, ["x", "fd:9", "--postcopy", "--preempt"], "--preempt: fd:9"),
]

# The same for what only shows when it is tried.
FAILING = [
    (SEND, ["--to", "nonsense", "--memory", "1M"], "nonsense"),
    (SEND, ["--to", "tcp:127.0.0.1", "--memory", "1M"], "tcp:127.0.0.1"),
    (SEND, ["--to", "unix:/no/such/folder/socket", "--memory", "1M", "--region", "a:anon:1"],
     "\"a\""),
    (SEND, ["--to", "file:/no/such/folder/file", "--memory", "1M"], "/no/such/folder/file"),
    (SEND, ["--to", NOWHERE, "--memory", "1025K"], "--memory"),
    (SEND, ["--to", NOWHERE, "--memory", "1M", "--region", "rom:anon:1M"], "region rom"),
    (SEND, ["--to", NOWHERE, "--memory", "1M", "--image", "/no/such/image"], "/no/such/image"),
    (SEND, ["--to", NOWHERE, "--memory", "1M", "--image", "/"], "/: not a regular file"),
    (SEND, ["--to", NOWHERE, "--memory", "1M", "--working-set", "2M"], "--working-set"),
    (SEND, ["--to", NOWHERE, "--memory", "1M", "--writers", "9", "--working-set", "32K"],
     "9 writers over 8 pages"),
    (RECV, ["--from", "file:/no/such/file"], "/no/such/file"),
    (RECV, ["--from", "exec:exit 3"], ""),
    (RECV, ["--from", "file:/dev/null"], "ended"),
    (SEND, ["--to", NOWHERE, "--memory", "1M", "--postcopy"], "one-way"),
]


class CommandLine(Case):
    def test_refused(self):
        for program, arguments, named in REFUSED:
            with self.subTest(" ".join(arguments)):
                ended = self.start(Program([program, *arguments])).end(BAD_USAGE)
                self.assertIn(named, ended.stderr)
                self.assertIn("--help", ended.stderr)
                self.assertEqual(ended.stdout, "")

    def test_failing(self):
        for program, arguments, named in FAILING:
            with self.subTest(" ".join(arguments)):
                ended = self.start(Program([program, "--json", *arguments])).end(FAILED)
                self.assertIn(named, ended.json["error"])
                self.assertEqual(ended.json["result"], "failed")
                self.assertIn(ended.json["error"], ended.stderr)

    def test_help_lists_every_option_once(self):
        own = {SEND: ["verify", "qemu"], RECV: ["verify", "qemu", "devices", "save"],
               INSPECT: ["extract", "region", "devices", "keep-going"], CONVERT: ["max-memory"]}
        for program, name in NAMES.items():
            with self.subTest(name):
                text = subprocess.run([program, "--help"], check=True, text=True,
                                      stdout=subprocess.PIPE).stdout
                self.assertTrue(text.startswith(f"Usage: {name} "))
                options = re.findall(r"^  --([a-z-]+)", text, flags=re.MULTILINE)
                self.assertEqual(len(options), len(set(options)))
                for option in ["json", "max-bandwidth", "downtime-limit", "machine", *own[program]]:
                    self.assertIn(option, options)
                self.assertIn("From 0 to 2000000 ms, default 300.", " ".join(text.split()))
                self.assertIn("Exit codes:", text)
                self.assertLess(max(map(len, text.splitlines())), 81)

    def test_closed_standard_files(self):
        """Nothing that is opened takes their place, or messages would be written into it."""
        address = "unix:" + self.path("socket")
        recv = self.start(Program(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", RECV, "--from",
                                   address]))
        while not os.path.exists(self.path("socket")):
            self.assertIsNone(recv.process.poll())
            time.sleep(0.02)
        for fd in "012":
            self.assertEqual(os.readlink(f"/proc/{recv.process.pid}/fd/{fd}"), "/dev/null")
        closed = self.start(Program(["sh", "-c", 'exec "$@" <&-', "sh", INSPECT, "-"])).end(FAILED)
        self.assertIn("ramsync-inspect: -: ", closed.stderr)

    def test_version(self):
        for program, name in NAMES.items():
            text = subprocess.run([program, "--version"], check=True, text=True,
                                  stdout=subprocess.PIPE).stdout
            self.assertRegex(text, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_json_has_all_statistics(self):
        send, recv = self.move()
        for program in send, recv:
            self.assertEqual(list(program.json["statistics"]), STATISTICS)
        sent = send.json["statistics"]
        self.assertGreater(sent["transferred"], 1 << 20)
        self.assertEqual(sent["normal-bytes"], sent["normal"] * sent["page-size"])
        self.assertEqual(sent["total"], 64 << 20)
        self.assertEqual(sent["remaining"], 0)
        self.assertGreaterEqual(sent["dirty-sync-count"], 2)
        self.assertGreater(sent["downtime-ns"], 0)
        self.assertGreaterEqual(sent["wire-bytes"], sent["transferred"])

    def test_text_report_and_progress(self):
        recv = self.start(Program([RECV, "--from", "tcp:127.0.0.1:0", "--run-on", "0.2",
                                   "--verify", "--progress"]))
        send = self.start(Program([SEND, "--to", recv.address(), *GUEST, *FAST, "--verify",
                                   "--progress"])).end(0)
        recv.end(0)
        self.assertRegex(send.stdout, r"^completed after [0-9.]+ s: 64 MiB of memory")
        self.assertRegex(send.stdout, r"downtime [0-9.]+ ms")
        self.assertRegex(send.stdout, r"downtime: [0-9.]+ to stop, [0-9.]+ last sync, [0-9.]+ last "
                                      r"pages, [0-9.]+ devices, [0-9.]+ hand-over; before, up to ")
        self.assertRegex(send.stderr, r"%  round \d+  \d+ Mbit/s  dirty \d+ pages/s  "
                                      r"expected downtime \d+ ms")
        self.assertRegex(recv.stderr, r"MiB received")
        digests = [re.search("^digest ([0-9a-f]{16})$", program.stdout, flags=re.M).group(1)
                   for program in (send, recv)]
        self.assertEqual(digests[0], digests[1])

    def test_no_progress_without_a_terminal(self):
        send, _ = self.move()
        self.assertNotIn("round", send.stderr)

    def test_memory_is_bounded(self):
        recv = self.start(receiver("tcp:127.0.0.1:0", "--max-memory", "63M"))
        send = self.start(sender(recv.address(), *FAST))
        recv.end(FAILED)
        self.assertIn("--max-memory", recv.json["error"])
        send.end(FAILED)
        self.assertIn("all pages of its working set are good", send.stderr)


if __name__ == "__main__":
    main()
