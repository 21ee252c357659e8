#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What was skipped in a run of ctest, and why; then the summary of ctest again.

ctest counts a test that was skipped as one that passed, and knows nothing of cases that cmocka
skipped inside a program. So the true counts stand here, before ctest's own words.

usage: summary.py BUILD    (reads BUILD/ctest.log and ctest's own log beneath BUILD)
"""

import os
import re
import sys

RULE = "-" * 58


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def outputs(log):
    """Name and output of each test in ctest's LastTest.log."""
    parts = re.split(r"^\d+/\d+ Testing: (.*)\n", log, flags=re.MULTILINE)
    for name, text in zip(parts[1::2], parts[2::2]):
        start = text.find("Output:\n" + RULE + "\n")
        end = text.rfind("\n<end of output>")
        output = text[start:end].split(RULE + "\n", 1)[-1] if start >= 0 else ""
        yield name, output.strip()


def skipped_cases(output):
    """Each case that cmocka skipped, with the last line that it printed before."""
    case, said = None, ""
    for line in output.splitlines():
        if line.startswith("[ RUN      ] "):
            case, said = line[13:].strip(), ""
        elif case and line.startswith("[  SKIPPED ] " + case):
            yield case, said
            case = None
        elif line.startswith("["):
            case = None
        elif line.strip():
            said = line.strip()


def last_line(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def main():
    build = sys.argv[1]
    log = read(os.path.join(build, "ctest.log"))
    tests = list(outputs(read(os.path.join(build, "Testing", "Temporary", "LastTest.log"))))
    whole = set(re.findall(r"Test +#\d+: (\S+) \.*\*\*\*Skipped", log))
    failed = len(re.findall(r"Test +#\d+: \S+ \.*\*\*\*(?!Skipped)", log))

    skips = []
    cases_run = 0
    for name, output in tests:
        if name in whole:
            skips.append((name, last_line(output)))
            continue
        cases_run += len(re.findall(r"^\[       OK \] ", output, flags=re.MULTILINE))
        skips += [(f"{name}: {case}", said) for case, said in skipped_cases(output)]

    print()
    print("== Skipped" if skips else "== Nothing was skipped")
    for name, why in skips:
        print(f"    {name}: {why or 'gave no reason'}")
    print()
    print(f"Tests: {len(tests) - len(whole) - failed} passed, {failed} failed, {len(whole)} skipped.")
    print(f"Cases inside them: {cases_run} passed, {len(skips) - len(whole)} skipped.")
    print("The summary below is ctest's, which counts a skipped test as passed.")

    # Up to where ctest repeats itself.
    summary = re.search(r"^\d+% tests passed.*?(?=^\[ERROR_MESSAGE\]|\Z)", log, flags=re.M | re.S)
    print()
    print(summary.group(0).strip() if summary else "ctest gave no summary")


if __name__ == "__main__":
    main()
