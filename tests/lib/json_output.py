#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run a command; fail unless it succeeds and prints JSON: one document, or one a line."""

import json
import subprocess
import sys


def documents(text):
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def main():
    run = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)
    sys.stdout.write(run.stdout)
    if run.returncode != 0:
        # Negative: ended by that signal. 77 is a skip, and stays one.
        return run.returncode if run.returncode > 0 else 1
    try:
        found = documents(run.stdout)
    except ValueError as error:
        sys.exit(f"not JSON: {error}")
    if not found or not all(found):
        sys.exit("printed nothing, or an empty document")
    return 0


if __name__ == "__main__":
    sys.exit(main())
