# SPDX-License-Identifier: MIT
"""The interface as man pages, and a program's --help as one."""

import os
import re
import subprocess

SECTION_TITLES = {"Return": "RETURN VALUE", "Context": "CONTEXT", "Ownership": "OWNERSHIP",
                  "Source": "ORIGIN"}


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    # A line must not begin with a control character.
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def prose(text):
    """Parameters in italics, our own names and error codes in bold."""
    text = re.sub(r"(^|\s)\*(\w[^*]*\w)\*", r"\1\2", text)  # *emphasis*
    text = escape(text)
    text = re.sub(r"@(\w+)", r"\\fI\1\\fP", text)
    return re.sub(r"\b((?:rs|RS)_\w+)|(\\-E[A-Z0-9]+)", r"\\fB\g<0>\\fP", text)


def literal(text):
    return ".nf\n" + escape(text.expandtabs(8)) + "\n.fi"


def title_line(name, section, version):
    return f'.TH {name.upper()} {section} "" "libramsync {version}" "libramsync"'


def overview(paragraphs):
    for paragraph in paragraphs:
        yield ".PP"
        if "\t" in paragraph[0]:
            yield literal("\n".join(paragraph))
        else:
            yield prose(" ".join(paragraph))


def item_page(item, version, known):
    yield title_line(item.name, 3, version)
    yield ".SH NAME"
    yield f"{item.name} \\- {escape(item.summary.rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield literal(f"#include <ramsync/{item.header}>\n\n{item.declaration}")
    if item.members:
        yield ".SH " + {"function": "PARAMETERS", "struct": "FIELDS"}.get(item.kind, "VALUES")
        for name, text in item.members:
            yield f".TP\n.I {name}\n{prose(text)}"
    if item.paragraphs:
        yield ".SH DESCRIPTION"
        yield "\n.PP\n".join(prose(paragraph) for paragraph in item.paragraphs)
    for name, text in item.sections.items():
        yield f".SH {SECTION_TITLES[name]}\n{prose(text)}"
    texts = " ".join([item.declaration, *item.paragraphs, *item.sections.values(),
                      *(text for _, text in item.members)])
    others = sorted(set(re.findall(r"\brs_\w+", texts)) & known - {item.name})
    yield ".SH SEE ALSO\n" + ",\n".join(f".BR {name} (3)" for name in ["ramsync", *others]).replace(
        ",\n.BR", " ,\n.BR")


def overview_page(headers, version):
    yield title_line("ramsync", 3, version)
    yield ".SH NAME\nramsync \\- live migration of a virtual machine's memory"
    yield ".SH SYNOPSIS\n" + literal("#include <ramsync/ramsync.h>\n\ncc program.c $(pkg-config "
                                     "--cflags --libs ramsync)")
    yield ".SH DESCRIPTION"
    for header in headers:
        if header.name != "ramsync.h":
            yield f".SS {header.name}"
        yield from overview(header.overview)
        for item in header.items:
            name = escape(item.title)
            if item.kind == "macro":
                name = escape(re.sub(r"\s*/\*.*\*/", "", item.declaration))
            yield f".TP\n.B {name}\n{prose(item.summary)}"
    yield (".SH SEE ALSO\n.BR ramsync\\-send (1),\n.BR ramsync\\-recv (1),\n"
           ".BR ramsync\\-inspect (1),\n.BR ramsync\\-convert (1)")


def write(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def write_pages(headers, version, directory):
    items = [item for header in headers for item in header.items if item.kind != "macro"]
    known = {item.name for item in items}
    for item in items:
        write(os.path.join(directory, item.name + ".3"), item_page(item, version, known))
    # Last: the build looks at the time of this one.
    write(os.path.join(directory, "ramsync.3"), overview_page(headers, version))


def help_entries(lines):
    """(term, text) of lines as '  --term VALUE   text', which deeper lines continue."""
    entries = []
    for line in lines:
        if re.match(r"  \S", line):
            term, _, text = line.strip().partition("  ")
            entries.append([term, text.strip()])
        elif entries:
            entries[-1][1] += " " + line.strip()
        else:
            raise ValueError(f"a line of --help belongs to nothing: {line}")
    return entries


def program_page(path, program, version):
    """From a --help that has a usage line, a paragraph, and blocks under titles with a colon."""
    text = subprocess.run([program, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
    usage, description, *blocks = text.strip("\n").split("\n\n")
    name = os.path.basename(program)
    usage = re.sub(r"^usage: *", "", " ".join(usage.split()), flags=re.IGNORECASE)
    usage = usage.replace(program, name)
    description = " ".join(description.split())
    summary = re.match(r"[^.]*", description).group(0)
    lines = [title_line(name, 1, version), ".SH NAME",
             escape(name) + " \\- " + escape(summary[0].lower() + summary[1:]),
             ".SH SYNOPSIS", literal(usage), ".SH DESCRIPTION", prose(description)]
    for block in blocks:
        title, *rest = block.splitlines()
        title, _, note = title.rstrip(":").partition(" (")
        lines.append(".SH " + escape(title.upper()))
        if note:
            note = note.rstrip(")")
            lines.append(prose(note[0].upper() + note[1:] + "."))
        for term, text in help_entries(rest):
            lines.append(f".TP\n.B {escape(term)}\n{prose(text.strip())}")
    lines += [".SH SEE ALSO", ".BR ramsync (3)"]
    write(path, lines)
