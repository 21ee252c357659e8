# SPDX-License-Identifier: MIT
"""Streams of QEMU's form: recorded ones, and small ones made by hand."""

import gzip
import hashlib
import json
import os

FIXTURES = os.path.join(os.environ.get("RS_TEST_SOURCE", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")), "tests", "fixtures", "qemu-7.2")
PAGE = 4096
MACHINE = "pc-i440fx-7.2"
ZERO, LIST, CONTENT, EOS, CONTINUE, XBZRLE = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
START, PART, END, FULL = 1, 2, 3, 4

with open(os.path.join(FIXTURES, "expected.json"), encoding="utf-8") as expected_file:
    EXPECTED = json.load(expected_file)


def fixture(name):
    """The path of a recorded stream, packed."""
    return os.path.join(FIXTURES, EXPECTED[name]["file"])


def unpacked(name):
    with gzip.open(fixture(name)) as file:
        return file.read()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def u16(value):
    return value.to_bytes(2, "big")


def u32(value):
    return value.to_bytes(4, "big")


def u64(value):
    return value.to_bytes(8, "big")


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return bytes([len(data)]) + data


def header(machine=MACHINE, page_bits=None, capabilities=(), uuid=None):
    data = b"QEVM" + u32(3) + b"\7" + u32(len(machine)) + machine.encode()
    if page_bits is not None:
        data += b"\5" + string("configuration/target-page-bits") + u32(1) + u32(page_bits)
    if capabilities:
        data += b"\5" + string("configuration/capabilities") + u32(1) + u32(len(capabilities))
        data += b"".join(map(string, capabilities))
    if uuid is not None:
        data += b"\5" + string("configuration/uuid") + u32(1) + uuid
    return data


def command(number, payload=b""):
    return b"\x08" + u16(number) + u16(len(payload)) + payload


def section(kind, body, number=2, name="ram", version=4):
    head = bytes([kind]) + u32(number)
    if kind in (START, FULL):
        head += string(name) + u32(0) + u32(version)
    return head + body + b"\x7e" + u32(number)


def listed(regions, addresses=None):
    """The list of regions, and the end of its body. Their guest addresses with x-ignore-shared."""
    entries = b"".join(string(name) + u64(size) + (u64(addresses[name]) if addresses else b"")
                       for name, size in regions.items())
    return u64(sum(regions.values()) | LIST) + entries + u64(EOS)


def zero(offset, region):
    return u64(offset | ZERO) + string(region) + b"\0"


def page(offset, region, content):
    return u64(offset | CONTENT) + string(region) + content


def delta(offset, region, data):
    return u64(offset | XBZRLE) + string(region) + b"\1" + u16(len(data)) + data


def filled(byte):
    return bytes([byte]) * PAGE


DEVICE = section(FULL, b"state of a device" * 10, number=7, name="timer", version=2)
DESCRIPTION = b'{"page_size": 4096, "devices": [{"name": "timer", "instance_id": 0}]}'


def tail(devices=DEVICE):
    """Device state as ramsync-inspect --devices keeps it: all behind RAM."""
    return devices + b"\0\6" + u32(len(DESCRIPTION)) + DESCRIPTION


def stream(regions, records, head=header(), behind=None, addresses=None):
    """A whole stream; records are the body of the last part of RAM."""
    return (head + section(START, listed(regions, addresses)) +
            section(END, records + u64(EOS)) + (tail() if behind is None else behind))
