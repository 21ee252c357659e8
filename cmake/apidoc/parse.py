# SPDX-License-Identifier: MIT
"""Reads the public headers: kernel-doc comments and the declarations that follow them."""

import os
import re

# In the order in which ramsync.h introduces them; a header that is not named comes last.
HEADER_ORDER = ["ramsync.h", "state.h", "region.h", "dirty_log.h", "param.h", "stats.h", "stream.h",
                "migrate.h", "handlers.h", "error.h", "export.h"]
SECTIONS = ("Return", "Context", "Ownership", "Source")
SECTION_START = re.compile(r"(?:(?<=^)|(?<=[.!] ))(%s):\s*" % "|".join(SECTIONS))


class Problem(Exception):
    """Something in a header that has to be mended there."""


class Item:
    """One documented name: a function, struct, enum, macro or object."""

    def __init__(self, name, summary, header, line):
        self.name = name
        self.summary = summary
        self.header = header
        self.line = line
        self.kind = None
        self.declaration = ""
        self.declared = []  # names of parameters, fields or constants, as the compiler sees them
        self.members = []  # (name, text), as documented
        self.paragraphs = []
        self.sections = {}
        self.one_line = False

    @property
    def title(self):
        return {"function": self.name + "()", "struct": "struct " + self.name,
                "enum": "enum " + self.name}.get(self.kind, self.name)

    def fail(self, text):
        raise Problem(f"{self.header}:{self.line}: {self.name}: {text}")


class Header:
    def __init__(self, name):
        self.name = name
        self.overview = []
        self.items = []


def comment_lines(comment):
    """The text of a comment without its stars; leading tabs stay, they are layout."""
    lines = comment[2:-2].lstrip("*").split("\n")
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() if number else line.strip()
             for number, line in enumerate(lines)]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def paragraphs_of(lines):
    """Lists of lines between empty ones; a change into or out of layout by tabs also ends one."""
    found = [[]]
    for line in lines:
        if not line or (found[-1] and ("\t" in line) != ("\t" in found[-1][-1])):
            found.append([])
        if line:
            found[-1].append(line)
    return [paragraph for paragraph in found if paragraph]


def parse_comment(lines, header, number):
    one_line = len(lines) == 1
    # The summary may take several lines: it ends at an empty line or at the first tag.
    head = []
    while lines and lines[0] and not re.match(r"@\w+:|(%s):" % "|".join(SECTIONS), lines[0]):
        head.append(lines.pop(0).strip())
    first = " ".join(head)
    match = re.match(r"(?:struct |enum )?(\w+)(?:\(\))? - (.*)$", first)
    if not match:
        raise Problem(f"{header}:{number}: a comment must begin with 'name - summary': {first}")
    item = Item(match.group(1), match.group(2), header, number)
    item.one_line = one_line
    split = SECTION_START.search(item.summary)
    if split:  # all in one line
        lines.insert(0, item.summary[split.start():])
        item.summary = item.summary[:split.start()].strip()
    parse_body(item, lines)
    return item


def parse_body(item, lines):
    target = None  # where a line that begins nothing new belongs
    for line in lines:
        text = line.strip()
        member = re.match(r"@(\w+):\s*(.*)$", text)
        section = re.match(r"(%s):\s*(.*)$" % "|".join(SECTIONS), text)
        if not text:
            target = None
        elif member:
            target = [member.group(2)]
            item.members.append((member.group(1), target))
        elif section:
            if section.group(1) in item.sections:
                item.fail(f"two paragraphs '{section.group(1)}:'")
            target = [section.group(2)]
            item.sections[section.group(1)] = target
        elif target is None:
            target = [text]
            item.paragraphs.append(target)
        else:
            target.append(text)
    item.members = [(name, " ".join(text)) for name, text in item.members]
    item.sections = {name: " ".join(text) for name, text in item.sections.items()}
    if item.one_line:
        for name, text in list(item.sections.items()):
            match = SECTION_START.search(text)
            if match:
                item.sections[name] = text[:match.start()].strip()
                item.sections[match.group(1)] = text[match.end():]
    item.paragraphs = [" ".join(text) for text in item.paragraphs]


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def without_attributes(declaration):
    """What a compiler checks, and a reader does not need."""
    return re.sub(r"\s*__attribute__\(\(.*\)\);$", ";", declaration, flags=re.DOTALL)


def split_commas(text):
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def declared_name(text):
    pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)", text)
    if pointer:
        return pointer.group(1)
    return re.search(r"(\w+)\s*(?:\[[^]]*\]\s*)*$", text.strip()).group(1)


def declaration_after(text):
    """The declaration at the beginning of text, whole."""
    text = text.lstrip()
    if text.startswith("#define"):
        return re.match(r"#define(?:\\\n|.)*", text).group(0)
    depth = 0
    for position, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == ";" and depth == 0:
            return text[:position + 1]
    return ""


def prototype(declaration, width=90):
    """A function's declaration, its lines broken again: without RS_API they do not align."""
    declaration = " ".join(declaration.split())
    head, arguments = declaration.split("(", 1)
    lines = [head + "("]
    for number, argument in enumerate(split_commas(arguments.removesuffix(");"))):
        if number:
            lines[-1] += ","
            if len(lines[-1]) + len(argument) + 3 > width:
                lines.append(" " * len(head))
            lines[-1] += " "
        lines[-1] += argument
    return "\n".join(lines) + ");"


def understand(item, declaration):
    """Find out what the declaration is, and hold it against the comment's name."""
    declaration = without_attributes(declaration)
    plain = without_comments(declaration)
    match = re.match(r"#define (\w+)", plain)
    if match:
        item.kind, name = "macro", match.group(1)
    elif re.match(r"(struct|enum) \w+ \{", plain):
        item.kind, name = re.match(r"(struct|enum) (\w+)", plain).groups()
        body = plain[plain.index("{") + 1:plain.rindex("}")]
        if item.kind == "struct":
            item.declared = [declared_name(field) for field in body.split(";") if field.strip()]
        else:
            item.declared = [re.match(r"\w+", value).group(0) for value in split_commas(body)]
    elif "(" in plain.replace("RS_API", ""):
        item.kind = "function"
        match = re.match(r"RS_API\s+(.*?)(\w+)\((.*)\);$", plain, flags=re.DOTALL)
        if not match:
            item.fail("is documented, but not exported (RS_API)")
        name = match.group(2)
        item.returns_void = match.group(1).strip() == "void"
        arguments = match.group(3).strip()
        item.declared = [] if arguments == "void" else [
            declared_name(argument) for argument in split_commas(arguments) if argument != "..."]
    else:
        item.kind, name = "object", declared_name(plain.rstrip(";"))
    if name != item.name:
        item.fail(f"stands before the declaration of {name}")
    item.declaration = declaration.replace("RS_API ", "")
    if item.kind == "function":
        item.declaration = prototype(item.declaration)


def parse_header(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    header = Header(os.path.basename(path))
    documented = set()
    for match in re.finditer(r"/\*.*?\*/", text, flags=re.DOTALL):
        number = text.count("\n", 0, match.start()) + 1
        comment = match.group(0)
        if comment.startswith("/**"):
            item = parse_comment(comment_lines(comment), header.name, number)
            understand(item, declaration_after(text[match.end():]))
            header.items.append(item)
            documented.add(item.name)
        elif not header.overview and "SPDX" not in comment:
            header.overview = paragraphs_of(comment_lines(comment))
    for name in exported_names(text):
        if name not in documented:
            raise Problem(f"{header.name}: {name} is exported, but not documented")
    if not header.overview:
        raise Problem(f"{header.name}: has no comment that says what it is for")
    return header


def exported_names(text):
    """Everything that is declared RS_API, documented or not."""
    text = without_comments(text)
    text = re.sub(r"^#(?:\\\n|.)*", "", text, flags=re.MULTILINE)
    for statement in text.split(";"):
        if "RS_API" in statement:
            declaration = statement.split("RS_API", 1)[1]
            yield declared_name(declaration.split("(", 1)[0])


def parse_headers(directory):
    names = [name for name in os.listdir(directory) if name.endswith(".h")]
    names.sort(key=lambda name: (HEADER_ORDER.index(name) if name in HEADER_ORDER else 99, name))
    return [parse_header(os.path.join(directory, name)) for name in names]
