#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every link in README.md, CHANGELOG.md and docs/*.md leads somewhere in this tree."""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"^```.*?^```", "", file.read(), flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        yield re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")


def problems(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(path):
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(read(path)):
            yield f"{target}: no such heading"


def main():
    pages = [os.path.join(ROOT, name) for name in ("README.md", "CHANGELOG.md")]
    pages += sorted(glob.glob(os.path.join(ROOT, "docs", "*.md")))
    found = [f"{os.path.relpath(page, ROOT)}: {problem}"
             for page in pages for problem in problems(page)]
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
