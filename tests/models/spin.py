#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has spin look at every state of docs/models/postcopy.pml, and find what is done wrong on purpose.

usage: spin.py DIRECTORY    (scratch; RS_TEST_LONG=1 for more pages, vCPUs and cuts at once)
"""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "docs", "models", "postcopy.pml")
COMPILER = os.environ.get("CC", "gcc")
MEMORY_MIB = 1024

# Nothing may go wrong: pages, vCPUs, cuts, other options.
RIGHT = [
    (3, 1, 1, ""),
    (2, 2, 1, ""),
    (2, 1, 2, ""),
    (2, 1, 2, "PREEMPT"),
    (2, 2, 1, "PREEMPT"),
    (3, 1, 1, "LAZY PREEMPT"),
]
RIGHT_LONG = [
    (3, 1, 2, ""),
    (3, 1, 1, "PREEMPT"),
    (2, 2, 2, "PREEMPT"),
    (2, 2, 2, "LAZY"),
    (3, 2, 1, "LAZY PREEMPT"),
]
# It comes to an end, too, however the threads take turns.
ENDS = [
    (2, 1, 1, ""),
    (1, 1, 1, "PREEMPT"),
    (1, 1, 1, "LAZY PREEMPT"),
]

TWICE = r"assertion violated +!\(\(\(content>>page\)&1\)\)"
LOST = r"assertion violated \(\(content==.*received=="
STALE = r"assertion violated \(stale==0\)"
HANGS = r"invalid end state"
WRONG = [
    ("FAULT_CLEAR_AFTER_SEND PREEMPT", TWICE),
    ("FAULT_LOADERS_RUN_ON PREEMPT", TWICE),
    ("FAULT_SENDERS_RUN_ON PREEMPT", TWICE),
    ("FAULT_MARK_BEFORE_PLACE", LOST),
    ("FAULT_END_ALONE PREEMPT", LOST),
    ("FAULT_END_BESIDE_REQUEST PREEMPT", LOST),
    ("FAULT_NO_DISCARD", STALE),
    ("FAULT_NO_REREQUEST LAZY", HANGS),
]

failures = 0


def fail(text, output):
    global failures
    failures += 1
    print(f"FAILED: {text}\n{output}", flush=True)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, done.stdout


def must(*command):
    code, output = run(*command)
    if code:
        sys.exit(f"{' '.join(command)}:\n{output}")


def check(defines, compiled, arguments):
    """What the verifier says of the model made with defines."""
    for old in os.listdir("."):
        os.remove(old)
    must("spin", "-a", *(f"-D{one}" for one in defines), MODEL)
    must(COMPILER, "-w", f"-DMEMLIM={MEMORY_MIB}", *compiled, "-o", "pan", "pan.c")
    return run("./pan", "-m200000", *arguments)[1]


def sizes(pages, vcpus, cuts, options):
    return [f"PAGES={pages}", f"VCPUS={vcpus}", f"CUTS={cuts}", *options.split()]


def is_complete(output):
    """Without an error, and nothing was left out for want of memory or depth."""
    return (re.search(r"errors: 0$", output, re.M) and "Search not completed" not in output and
            not re.search(r"max search depth too small|out of memory|memory limit|truncated", output))


def states(output):
    return re.search(r"([\d.e+]+) states, stored", output)[1]


def right(case, *compiled):
    output = check(sizes(*case), ["-O1", "-DSAFETY", *compiled], [])
    name = " ".join(sizes(*case))
    if is_complete(output):
        print(f"{name}: {states(output)} states, nothing wrong", flush=True)
    else:
        fail(name, output)


def ends(case):
    # Weak fairness and channels without room do not go together with partial order reduction.
    output = check(sizes(*case) + ["LIVENESS"], ["-O1", "-DNFAIR=4", "-DNOREDUCE"], ["-a", "-f"])
    name = " ".join(sizes(*case))
    if is_complete(output) and "fairness enabled" in output:
        print(f"{name}: comes to an end", flush=True)
    else:
        fail(f"{name}: does not come to an end", output)


def wrong(options, pattern):
    # What hangs is often there, too, and found first.
    arguments = [] if pattern is HANGS else ["-E"]
    output = check(sizes(2, 1, 1, options), ["-DSAFETY"], arguments)
    found = re.search(r"^pan:1: (.*)$", output, re.M)
    if found and re.match(pattern, found[1]):
        print(f"{options}: found: {found[1]}", flush=True)
    else:
        fail(f"{options}: not found", output)


def main():
    for tool in "spin", COMPILER:
        if not shutil.which(tool):
            print(f"SKIP: {tool} is not installed")
            sys.exit(77)
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    for options, pattern in WRONG:
        wrong(options, pattern)
    for case in ENDS:
        ends(case)
    for case in RIGHT:
        right(case)
    # Half the memory, in twice the time.
    for case in RIGHT_LONG if os.environ.get("RS_TEST_LONG") else []:
        right(case, "-DCOLLAPSE")
    sys.exit(f"{failures} failed" if failures else 0)


if __name__ == "__main__":
    main()
