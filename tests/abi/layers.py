#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The order of the house: a file of src/ or examples/ includes its own folder and folders below it,
never above; save and load never meet. And nobody is left out of the build."""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORDER = {
    "src": ["api", "migrate", "save", "load", "postcopy", "transport", "ram", "track", "wire",
            "codec", "base"],
    "examples": ["tinyvmm", "live", "recorded", "command", "guest", "files", "text"],
}


def problems(house, path):
    folder = os.path.basename(os.path.dirname(path))
    order = ORDER[house]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name in re.findall(r'^\s*#\s*include "([^"]+)"', text, flags=re.MULTILINE):
        target = os.path.dirname(name)
        if target not in order:
            yield f"includes {name}: write the folder, from {house}/ on"
        elif order.index(target) < order.index(folder):
            yield f"includes {name}, which is above it"
        elif (folder, target) == ("save", "load"):
            yield f"includes {name}: save and load never meet"


def not_built(files):
    with open(os.path.join(ROOT, "src", "CMakeLists.txt"), encoding="utf-8") as file:
        listed = set(re.findall(r"^    (\w+/\w+\.c)\b", file.read(), flags=re.MULTILINE))
    for path in files:
        name = os.path.relpath(path, os.path.join(ROOT, "src"))
        if path.endswith(".c") and name not in listed:
            yield f"src/{name} is not in src/CMakeLists.txt"


def main():
    found = []
    for house in ORDER:
        files = sorted(glob.glob(os.path.join(ROOT, house, "*", "*.[ch]")))
        if not files:
            sys.exit(f"no sources in {house}/")
        found += [f"{os.path.relpath(path, ROOT)} {problem}"
                  for path in files for problem in problems(house, path)]
        if house == "src":
            found += not_built(files)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
