# SPDX-License-Identifier: MIT
"""The interface as one Markdown page."""

import re

INTRODUCTION = """# The interface of libramsync

Made from the headers by `python3 cmake/apidoc api`: change those, not this page. The same text is
installed as man pages; begin with `man ramsync`.
"""
# What is set as code; the rest of a text may still hold *emphasis*.
CODE = re.compile(r"(?:struct |enum )?\brs_\w*\*?(?:\(\))?|\bRS_[A-Z0-9_]+|@\w+|-E[A-Z0-9]+\b")


def anchor(title):
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


class Writer:
    def __init__(self, headers):
        self.headers = headers
        self.titles = {item.name: item.title for header in headers for item in header.items}

    def code(self, match):
        word = match.group(0)
        text = f"`{word.lstrip('@')}`"
        title = self.titles.get(re.sub(r"^(struct|enum) |\(\)$", "", word))
        return f"[{text}](#{anchor(title)})" if title else text

    def prose(self, text):
        pieces, end = [], 0
        for match in CODE.finditer(text):
            pieces += [self.escape(text[end:match.start()]), self.code(match)]
            end = match.end()
        return "".join(pieces) + self.escape(text[end:])

    @staticmethod
    def escape(text):
        text = re.sub(r"([\\<>_\[\]])", r"\\\1", text)
        return re.sub(r"\*(?!\w[^*]*\w\*)(?<!\w\*)", r"\\*", text)

    def overview(self, paragraphs):
        for paragraph in paragraphs:
            if "\t" in paragraph[0]:
                yield "```text\n" + "\n".join(
                    line.removeprefix("\t").expandtabs(8) for line in paragraph) + "\n```\n"
            else:
                yield self.prose(" ".join(paragraph)) + "\n"

    def item(self, item):
        yield f"### {item.title}\n"
        yield self.prose(item.summary[0].upper() + item.summary[1:]) + "\n"
        yield "```c\n" + item.declaration.expandtabs(8) + "\n```\n"
        if item.members:
            yield "\n".join(f"- `{name}`: {self.prose(text)}" for name, text in item.members) + "\n"
        for paragraph in item.paragraphs:
            yield self.prose(paragraph) + "\n"
        for name, text in item.sections.items():
            yield f"**{name}:** {self.prose(text)}\n"

    def page(self):
        yield INTRODUCTION
        yield "\n".join(f"- [{header.name}](#{anchor(header.name)})" for header in self.headers) + "\n"
        for header in self.headers:
            yield f"## {header.name}\n"
            yield from self.overview(header.overview)
            for item in header.items:
                yield from self.item(item)


def render(headers):
    return "\n".join(Writer(headers).page())
