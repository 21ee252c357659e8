# SPDX-License-Identifier: MIT
"""The documentation of the interface, made from the headers in include/ramsync.

usage: python3 cmake/apidoc COMMAND

    check                   the headers are complete, docs/api.md is up to date
    api                     write docs/api.md
    man DIRECTORY           write the pages of section 3
    program PAGE PROGRAM    write a page of section 1 from PROGRAM --help
    symbols                 print the name of everything that is exported
"""

import os
import sys

sys.dont_write_bytecode = True

import check
import man
import markdown
import parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(ROOT, "include", "ramsync")
API_PAGE = os.path.join(ROOT, "docs", "api.md")


def version():
    with open(os.path.join(INCLUDE, "export.h"), encoding="utf-8") as file:
        words = [line.split() for line in file if line.startswith("#define RS_VERSION_")]
    return ".".join(line[2] for line in words)


def print_symbols():
    for name in sorted(os.listdir(INCLUDE)):
        with open(os.path.join(INCLUDE, name), encoding="utf-8") as file:
            for symbol in parse.exported_names(file.read()):
                print(symbol)


def run(command, arguments):
    if command == "symbols":
        return print_symbols()
    if command == "program":
        return man.program_page(*arguments, version())
    headers = parse.parse_headers(INCLUDE)
    check.check(headers)
    if command == "man":
        return man.write_pages(headers, version(), *arguments)
    page = markdown.render(headers)
    if command == "api":
        with open(API_PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    elif command == "check":
        with open(API_PAGE, encoding="utf-8") as file:
            if file.read() != page:
                sys.exit("docs/api.md is out of date: run python3 cmake/apidoc api")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        run(sys.argv[1], sys.argv[2:])
    except parse.Problem as problem:
        sys.exit(str(problem))
