#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/embedding.md says how many lines of tinyvmm each step took: they are counted here.

A row of its table names functions and structures of a file, or whole files, in its second column, and
lines of code in its third: neither comments nor empty lines."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINYVMM = os.path.join(ROOT, "examples", "tinyvmm")
PAGE = os.path.join(ROOT, "docs", "embedding.md")


def code_lines(name):
    with open(os.path.join(TINYVMM, name), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    return [line for line in text.splitlines() if line.strip()]


def definitions(name):
    """Lines of each function and initialized object of a file."""
    block, found = [], {}
    for line in code_lines(name):
        if line.startswith(("#", "__asm__")):
            continue
        block.append(line)
        if line.startswith("}") or (line.endswith(";") and len(block) == 1):
            head = re.sub(r"__attribute__\(\(.*?\)\)", "", " ".join(block))
            match = re.search(r"(\w+)(?:\[\])? = \{|(\w+)\(", head)
            if match:
                found[match.group(1) or match.group(2)] = len(block)
            block = []
    return found


def lines_of(words):
    """Of files, and of what is named behind a file."""
    total, inside = 0, None
    for number, word in enumerate(words):
        if not word.endswith((".c", ".h")):
            total += inside[word]
            continue
        alone = number + 1 == len(words) or words[number + 1].endswith((".c", ".h"))
        inside = definitions(word)
        total += len(code_lines(word)) if alone else 0
    return total


def main():
    with open(PAGE, encoding="utf-8") as file:
        rows = re.findall(r"^\|([^|]*)\|([^|]*\.[ch]`[^|]*)\| *([0-9,]+) *\|$", file.read(),
                          flags=re.MULTILINE)
    wrong = []
    for step, where, told in rows:
        try:
            counted = lines_of(re.findall(r"`([\w./]+)`", where))
        except KeyError as missing:
            wrong.append(f"{step.strip()}: there is no {missing}")
            continue
        if counted != int(told.replace(",", "")):
            wrong.append(f"{step.strip()}: {counted} lines, not {told}")
    if len(rows) < 5:
        wrong.append("the table is not there")
    if wrong:
        sys.exit("docs/embedding.md: " + "\n".join(wrong))


if __name__ == "__main__":
    main()
