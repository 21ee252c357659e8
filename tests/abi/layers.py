#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The order of the house: a file of src/ includes its own folder and folders below it, never above;
save and load never meet. And nobody is left out of the build."""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORDER = ["api", "migrate", "save", "load", "transport", "ram", "track", "wire", "codec", "base"]


def problems(path):
    folder = os.path.basename(os.path.dirname(path))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name in re.findall(r'^\s*#\s*include "([^"]+)"', text, flags=re.MULTILINE):
        target = os.path.dirname(name)
        if target not in ORDER:
            yield f"includes {name}: write the folder, from src/ on"
        elif ORDER.index(target) < ORDER.index(folder):
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
    files = sorted(glob.glob(os.path.join(ROOT, "src", "*", "*.[ch]")))
    found = [f"{os.path.relpath(path, ROOT)} {problem}"
             for path in files for problem in problems(path)]
    found += not_built(files)
    if not files:
        sys.exit("no sources")
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
