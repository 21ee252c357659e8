# SPDX-License-Identifier: MIT
"""What the programs that race with QEMU have in common: how they begin and end, rounds and tables."""

import argparse
import json
import signal
import statistics
import sys

from race_machine import Failed


# ---- options ------------------------------------------------------------------------------------

def make_parser(name, text):
    summary, _, story = text.partition("\n\n")
    return argparse.ArgumentParser(prog=name, description=summary, epilog=story,
                                   formatter_class=argparse.RawDescriptionHelpFormatter,
                                   allow_abbrev=False)


# ---- rounds -------------------------------------------------------------------------------------

def quietest_round(options, number, contestants, run_one):
    """What run_one(contestant) found of each, and of those rounds that were tried the one with the
    least noise. Who is first depends on the round's number."""
    first = number % len(contestants)
    order = contestants[first:] + contestants[:first]
    best = None
    for _ in range(1 + options.retries):
        found = {who: run_one(who) for who in order}
        noise = max(one["noise"] for one in found.values())
        if best is None or noise < best["noise"]:
            best = {**found, "noise": noise}
        if noise <= options.noise:
            break
    return best


def median(values):
    return round(statistics.median(values), 4)


# ---- what came out ------------------------------------------------------------------------------

def rows(*lines):
    """Of a table: the head, and the others. As a list, a line each."""
    head, *others = lines
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *others)]


def tell(options, report, table):
    text = json.dumps(report, indent=2)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        print(table)
    else:
        print(text)
        print(table, file=sys.stderr)


def run_program(name, run):
    """run() does all of it. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run()
    except (Failed, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0
