# SPDX-License-Identifier: MIT
"""What the stream of a QEMU 7.2 says that the memory is.

Shares nothing with the library, because what the two find is compared. The stream is one that QEMU
wrote: nothing is checked but what would go unnoticed.
"""

import zlib

PAGE = 4096
ZERO, BLOCK_LIST, CONTENT, EOS, CONTINUE, DELTA, COMPRESSED = 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x100
PACKAGED = 7
START, PART, END, CONFIGURATION, COMMAND, FOOTER = 1, 2, 3, 7, 8, 0x7e


def apply(delta, page):
    """Of each run of XBZRLE: how many bytes stay, how many are new, and those."""
    at = place = 0

    def length():
        nonlocal at
        low, at = delta[at], at + 1
        if low < 0x80:
            return low
        high, at = delta[at], at + 1
        return low & 0x7f | high << 7

    while at < len(delta):
        place += length()
        count = length()
        page[place:place + count] = delta[at:at + count]
        at, place = at + count, place + count


class Cut(AssertionError):
    """It ends too early."""


class Reader:
    def __init__(self, file):
        self.file = file
        self.blocks = {}
        self.last = None

    def take(self, count):
        data = self.file.read(count)
        if len(data) != count:
            raise Cut(f"the stream ends at {self.file.tell()}, within its RAM")
        return data

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def name(self):
        return self.take(self.number(1)).decode()

    def block_list(self, total):
        while total:
            name, length = self.name(), self.number(8)
            self.blocks[name] = bytearray(length)
            total -= length

    def content(self, kind, old):
        if kind == ZERO:
            return self.take(1) * PAGE
        if kind == CONTENT:
            return self.take(PAGE)
        if kind == COMPRESSED:
            return zlib.decompress(self.take(self.number(4)))
        if kind != DELTA or self.number(1) != 1:
            raise AssertionError(f"a record of flags 0x{kind:x} before {self.file.tell()}")
        page = bytearray(old)
        apply(self.take(self.number(2)), page)
        return page

    def body(self):
        while True:
            word = self.number(8)
            at, kind = word & -PAGE, word % PAGE & ~CONTINUE
            if kind == EOS:
                return
            if kind == BLOCK_LIST:
                self.block_list(at)
                continue
            if not word & CONTINUE:
                self.last = self.blocks[self.name()]
            page = self.content(kind, self.last[at:at + PAGE])
            if len(page) != PAGE:
                raise AssertionError(f"a page of {len(page)} bytes before {self.file.tell()}")
            self.last[at:at + PAGE] = page

    def section(self):
        """Whether more of RAM follows: it comes before the devices."""
        kind = self.number(1)
        if kind == CONFIGURATION:
            self.take(self.number(4))
            return True
        if kind == COMMAND:
            command = self.number(2)
            payload = self.take(self.number(2))
            if command == PACKAGED:
                self.take(int.from_bytes(payload, "big"))
            return True
        number = self.number(4)
        if kind == START:
            if (self.name(), self.number(4), self.number(4)) != ("ram", 0, 4):
                raise AssertionError("a section that is not RAM's")
        elif kind not in (PART, END):
            raise AssertionError(f"a section of type {kind} before {self.file.tell()}")
        self.body()
        if (self.number(1), self.number(4)) != (FOOTER, number):
            raise AssertionError(f"no footer before {self.file.tell()}")
        return kind != END


def read_memory(path):
    """The content of each block of RAM by its name."""
    with open(path, "rb") as file:
        reader = Reader(file)
        if reader.take(8) != b"QEVM\0\0\0\3":
            raise AssertionError(f"{path} is no stream of QEMU")
        while reader.section():
            pass
        return reader.blocks


def read_as_far(reader, step):
    """A connection that was cut ends anywhere: what is there in part never came."""
    try:
        while step():
            pass
    except Cut:
        reader.last = None


def read_postcopy(connections, urgent=()):
    """The same of a postcopy: files with what the source sent over its connections, one after the other,
    and those with what it was asked for."""
    blocks = None
    for path in (*connections, *urgent):
        with open(path, "rb") as file:
            reader = Reader(file)
            if blocks is None:
                if reader.take(8) != b"QEVM\0\0\0\3":
                    raise AssertionError(f"{path} is no stream of QEMU")
            else:
                reader.blocks = blocks
            if path in urgent:
                read_as_far(reader, lambda: bool(reader.body()))
            else:
                read_as_far(reader, reader.section)
            blocks = reader.blocks
    return blocks
