# SPDX-License-Identifier: MIT
"""What a documented interface owes its reader."""

import re

from parse import SECTION_START, Problem


def problems_of(item, known):
    documented = [name for name, _ in item.members]
    for name in documented:
        if name not in item.declared:
            yield f"documents @{name}, which does not exist"
    if len(set(documented)) != len(documented):
        yield "documents something twice"
    if not item.one_line:
        for name in item.declared:
            if name not in documented:
                yield f"leaves out @{name}"
    if item.kind == "function":
        has_return = "Return" in item.sections
        if has_return and item.returns_void:
            yield "returns nothing, but says what"
        if not has_return and not item.returns_void:
            yield "does not say what it returns ('Return:')"
    texts = [item.summary, *item.paragraphs, *item.sections.values()]
    texts += [text for _, text in item.members]
    if not all(texts):
        yield "has an empty summary, member or paragraph"
    for text in texts:
        hidden = None if item.one_line else SECTION_START.search(text)
        if hidden:
            yield f"has '{hidden.group(1)}:' inside a line; let it begin one"
        for name in re.findall(r"@(\w+)", text):
            if item.kind == "function" and name not in item.declared:
                yield f"speaks of @{name}, which is no parameter of it"
        for name in re.findall(r"\b(rs_\w+)\(\)", text):
            if name not in known:
                yield f"speaks of {name}(), which does not exist"


def check(headers):
    items = [item for header in headers for item in header.items]
    known = {item.name for item in items}
    found = [f"{item.header}:{item.line}: {item.name}: {problem}"
             for item in items for problem in problems_of(item, known)]
    for header in headers:
        for name in re.findall(r"\b(rs_\w+)\(\)", "\n".join(sum(header.overview, []))):
            if name not in known:
                found.append(f"{header.name}: speaks of {name}(), which does not exist")
    if found:
        raise Problem("\n".join(found))
