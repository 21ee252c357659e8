#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/embedding.md says how many lines of tinyvmm each step took: they are counted here.

The second column of its table names files, or a file and what is meant of it: functions and tables. The
third has lines of code: neither comments nor empty lines nor what is included. No function is left out."""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINYVMM = os.path.join(ROOT, "examples", "tinyvmm")
PAGE = os.path.join(ROOT, "docs", "embedding.md")


class Source:
    """A file of tinyvmm: how many lines it has, and each function and table in it."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
        lines = [line for line in text.splitlines()
                 if line.strip() and not line.startswith("#include")]
        self.lines = len(lines)
        self.functions, self.tables = {}, {}
        block = []
        for line in lines:
            if line.startswith(("#", "__asm__")):
                continue
            block.append(line)
            if line.startswith("}") or (line.endswith(";") and len(block) == 1):
                self.add(block)
                block = []

    def add(self, block):
        head = re.sub(r"__attribute__\(\(.*?\)\)", "", " ".join(block))
        table = re.search(r"^[^(]*?(\w+)(?:\[\])? = \{", head) or re.search(r"^} (\w+)\[\]", block[-1])
        function = re.search(r"^[^={]*?(\w+)\([^{;]*\) \{", head)
        if function:
            self.functions[function.group(1)] = len(block)
        elif table:
            self.tables[table.group(1)] = len(block)

    def lines_of(self, names):
        known = {**self.functions, **self.tables}
        return sum(known[name] for name in names) if names else self.lines


def parts_of(where):
    """(file, [name...]) of a cell."""
    parts = []
    for word in re.findall(r"`([\w.]+)`", where):
        if "." in word:
            parts.append((word, []))
        else:
            parts[-1][1].append(word)
    return parts


def problems(rows, sources):
    left = {name: set(source.functions) for name, source in sources.items()}
    for step, where, told in rows:
        lines = 0
        for name, names in parts_of(where):
            try:
                lines += sources[name].lines_of(names)
            except KeyError as missing:
                yield f"{step}: there is no {missing} in {name}"
            left[name] = left[name].difference(names) if names else set()
        if lines != int(told):
            yield f"{step}: {lines} lines, not {told}"
    for name, functions in left.items():
        if functions:
            yield f"{name}: {', '.join(sorted(functions))}: in no step"


def main():
    with open(PAGE, encoding="utf-8") as file:
        rows = re.findall(r"^\| ([^|]*) \| ([^|]*`\w+\.c`[^|]*) \| (\d+) \|$", file.read(),
                          flags=re.MULTILINE)
    sources = {os.path.basename(path): Source(path)
               for path in glob.glob(os.path.join(TINYVMM, "*.c"))}
    found = list(problems(rows, sources))
    sys.exit("docs/embedding.md:\n" + "\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
