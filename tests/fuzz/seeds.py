#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of each fuzz target: whole, well-formed streams and the odd ones that a
fuzzer would be long in finding. Searching starts from them; what it finds lies beside them.

usage: seeds.py CORPUS    (a directory with one directory for each target)
"""

import gzip
import os
import struct
import sys
import zlib

PAGE = 4096
ZERO, LIST, FULL_PAGE, EOS, CONTINUE, FLUSH = 0x02, 0x04, 0x08, 0x10, 0x20, 0x200
XBZRLE, COMPRESSED = 0x40, 0x100
SESSION = b"0123456789abcdef"  # PEER_SESSION_MARK
OFFER, CHECK, COMMIT, RESOLVE = 0x5253, 0x5254, 0x5255, 0x5256
PONG = 2
ACCEPT, READY, RUNNING, FAILED = 0x5253, 0x5254, 0x5255, 0x5256


def u8(value):
    return struct.pack(">B", value)


def u16(value):
    return struct.pack(">H", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def name(text):
    return u8(len(text)) + text


def message(number, payload=b""):
    return u16(number) + u16(len(payload)) + payload


def command(number, payload=b""):
    return u8(8) + message(number, payload)


def feature(number, text, extra=b""):
    return u16(number) + u16(len(text) + 1 + len(extra)) + name(text) + extra


def features(two_way=True, runs=True, postcopy=False, preempt=False):
    known = feature(1, b"session", SESSION)
    known += feature(2, b"runs") if runs else b""
    known += feature(3, b"device-lengths")
    known += feature(4, b"handover") if two_way else b""
    known += feature(6, b"postcopy") if postcopy else b""
    return known + (feature(7, b"preempt") if preempt else b"")


# ---- RAM -------------------------------------------------------------------------------------


def block_list(*regions, address=None):
    entries = b"".join(name(region) + u64(size) + (b"" if address is None else u64(address))
                       for region, size in regions)
    return u64(sum(size for _, size in regions) | LIST) + entries


def page(offset, region=None, fill=b"\x5a", size=PAGE):
    head = u64(offset | FULL_PAGE | (0 if region else CONTINUE))
    return head + (name(region) if region else b"") + fill * size


def zero(offset, region=None):
    return u64(offset | ZERO | (0 if region else CONTINUE)) + (name(region) if region else b"") + u8(0)


def run(flags, offset, size, region=None, content=b""):
    head = u64(offset | flags | LIST | (0 if region else CONTINUE))
    return head + (name(region) if region else b"") + u64(size) + content


def delta(offset, data, region=None, encoding=1):
    head = u64(offset | XBZRLE | (0 if region else CONTINUE)) + (name(region) if region else b"")
    return head + u8(encoding) + u16(len(data)) + data


def compressed(offset, data, region=None):
    head = u64(offset | COMPRESSED | (0 if region else CONTINUE))
    return head + (name(region) if region else b"") + u32(len(data)) + data


END = u64(EOS)


def bodies(size=PAGE, used=4, address=None):
    """Name to bodies of two regions, a and b."""
    listed = block_list((b"a", used * size), (b"b", 4 * size), address=address)
    content = b"\x11\x22\x33\x44" * (2 * size // 4)
    deflated = zlib.compress(content[:size], 1)
    return {
        "empty": listed + END,
        "pages": listed + END + page(0, b"a", size=size) + zero(size) + zero(0, b"b") + END,
        "continue": listed + END + page(0, b"a", size=size) + END + zero(size) + END,
        "flush": listed + zero(0, b"a") + u64(FLUSH) + zero(3 * size) + END,
        "zero-over-page": listed + page(2 * size, b"a", size=size) + page(0, b"b", size=size) + END +
        zero(0) + zero(2 * size, b"a") + END,
        "list-again": listed + page(0, b"b", size=size) + listed + zero(0, b"b") + END,
        "deltas": listed + page(0, b"a", size=size) + zero(size) + END +
        delta(0, b"\x05\x01\xaa\x81\x01\x02\xbb\xcc") + delta(size, b"\x00\x01\xdd") +
        delta(size, b"\xfe\x07\x02\xee\xff", b"a") + delta(0, b"") + END,
        "delta-to-nothing": listed + zero(0, b"b") + delta(0, b"\x05\x01\xaa", b"a") + END,
        "delta-of-run": listed + run(ZERO, 0, 4 * size, b"a") + delta(3 * size, b"\0\x01\xaa") + END,
        "bad-delta": listed + page(0, b"a", size=size) + delta(0, b"\x05\x01\xaa\x00\x01\xbb") + END,
        "compressed": listed + compressed(0, b"\x78\x01", b"a") + END,
        "compressed-pages": listed + compressed(size, deflated, b"b") + compressed(0, deflated) +
        delta(0, b"\x05\x01\xaa") + compressed(size, deflated) + zero(size) +
        compressed(2 * size, deflated, b"a") + END + compressed(size, deflated) + END,
        "runs": listed + END + run(ZERO, 0, 4 * size, b"a") +
        run(FULL_PAGE, size, 2 * size, b"b", content) + run(ZERO, 0, 3 * size) + END,
    }


def ram_seeds():
    for shift, size in enumerate((1024, 4096, 16384, 65536)):
        if size > 4096:
            continue
        for option in (0x00, 0x04, 0x10, 0x14, 0x24, 0x80, 0x94):
            for title, body in bodies(size).items():
                yield f"{title}-{size}-{option:02x}", u8(shift | option) + body
        yield f"resize-{size}", u8(shift | 0x40) + bodies(size, used=6)["pages"]
        yield f"ignored-{size}", u8(shift | 0x88) + bodies(size, address=0x1000)["empty"]
        yield f"announced-{size}", (u8(shift | 0x20) + block_list((b"new", 2 * size)) +
                                    page(size, b"new", size=size) + END)
    # A delta that is longer than what can be looked at in a stream.
    yield "long-delta", (u8(2) + block_list((b"a", 4 << 14), (b"b", 4 << 14)) + zero(0, b"a") +
                         delta(0, b"\0\x81\x20" + b"\xaa" * 4097) + END)


# ---- postcopy --------------------------------------------------------------------------------


def discard(*ranges, region=b"a", version=0, end=0):
    return u8(version) + name(region) + u8(end) + b"".join(u64(start) + u64(size) for start, size in ranges)


def discard_seeds():
    yield "one", discard((0, PAGE))
    yield "many", discard(*((number * 2 * PAGE, PAGE) for number in range(8)))
    yield "all", discard((0, 16 * PAGE), region=b"n" * 255)
    yield "outside", discard((0, PAGE), (15 * PAGE, 2 * PAGE))
    yield "unaligned", discard((512, PAGE), (0, 100))
    yield "no-end", discard((PAGE, (1 << 64) - PAGE))
    yield "empty", discard((PAGE, 0))
    yield "none", discard() + bytes(8)
    yield "version", discard((0, PAGE), version=1)
    yield "no-zero", discard((0, PAGE), end=1)
    yield "advice", u64(0x201000) + u64(PAGE)
    yield "name", name(b"pc.ram")


def page_request_seeds():
    for title, start, size in ("page", PAGE, PAGE), ("huge", 2 << 20, 2 << 20), ("end", (1 << 64) - PAGE, PAGE - 1):
        yield title, u8(0) + u64(start) + u32(size)
        yield f"{title}-named", u8(1) + u64(start) + u32(size) + name(b"pc.ram")
    yield "no-end", u8(0) + u64((1 << 64) - 1) + u32(1)
    yield "no-name", u8(1) + u64(0) + u32(PAGE) + name(b"")
    yield "long", u8(1) + u64(0) + u32(PAGE) + name(b"n" * 255)


def received_map_seeds():
    mark = u64(0x0123456789abcdef)
    for pages in 1, 63, 64, 65, 128, 256:
        size = (pages + 63) // 64 * 8
        yield f"full-{pages}", u8(pages - 1) + u64(size) + b"\xff" * size + mark
        yield f"some-{pages}", u8(pages - 1) + u64(size) + b"\x25\0\x80\x01" * (size // 4) + mark
        yield f"short-{pages}", u8(pages - 1) + u64(size - 8) + bytes(size - 8) + mark
        yield f"mark-{pages}", u8(pages - 1) + u64(size) + bytes(size) + u64(0)


def postcopy_seeds():
    """A main stream, its length before it, and an urgent one."""
    for option in range(16):
        size, unit = (PAGE, PAGE) if option & 1 else (PAGE // 4, PAGE)
        deflated = zlib.compress(b"\x11\x22" * (size // 2), 1)

        def whole(offset, region=None):
            return page(offset, region, size=size) + b"".join(
                zero(at) if at // size % 2 else page(at, size=size) for at in range(offset + size, offset + unit, size))

        packed = b"".join(compressed(at, deflated, b"b" if at == 0 else None) for at in range(0, unit, size))
        for title, first, second in (
                ("pages", whole(unit, b"a") + whole(0, b"b"), whole(0, b"a")),
                ("twice", whole(unit, b"a") + whole(unit), whole(unit, b"a") + whole(2 * unit)),
                ("half", page(0, b"a", size=size), whole(0, b"a") + whole(unit)),
                ("urgent-half", whole(unit, b"a"), page(0, b"b", size=size)),
                ("packed", packed + packed, packed),
                ("runs", run(ZERO, unit, 2 * unit, b"b") + run(FULL_PAGE, 0, unit, b"a", b"\x77" * unit),
                 run(ZERO, 0, 4 * unit, b"a")),
                ("delta", delta(0, b"\5\1\xaa", b"a"), b""),
                ("list", block_list((b"a", 4 * unit), (b"b", 4 * unit)), b""),
                ("order", page(unit, b"a", size=size) + zero(0), b"")):
            for text, end in ("", END), ("-open", b""):
                yield f"{title}-{option}{text}", u8(option) + u16(len(first + END)) + first + END + second + end


# ---- whole streams ---------------------------------------------------------------------------


def header(machine, subsections=b""):
    return b"QEVM" + u32(3) + u8(7) + u32(len(machine)) + machine + subsections


def subsection(text, fields):
    return u8(5) + name(text) + u32(1) + fields


def section(kind, body, number=2, text=b"ram", version=4):
    head = name(text) + u32(0) + u32(version) if kind in (1, 4) else b""
    return u8(kind) + u32(number) + head + body + u8(0x7e) + u32(number)


def zeros(region, pages, size=PAGE):
    return zero(0, region) + b"".join(zero(number * size) for number in range(1, pages))


def ram(used=2, other=1, address=None, records=b""):
    """Every page comes: what lacks one is refused. records: more of them, at the end."""
    listed = block_list((b"a", used * PAGE), (b"b", other * PAGE), address=address)
    return (section(1, listed + END) + section(2, zeros(b"a", used) + zeros(b"b", other) + END) +
            section(3, page(0) + records + END))


DELTAS = delta(0, b"\5\1\xaa") + delta(PAGE, b"\0\2\xbb\xcc", b"a") + delta(0, b"")
DEVICE = section(4, u64(5) + b"state", 3, b"cpu", 1)
QEMU_DEVICE = section(4, b"four", 3, b"cpu", 1)
DESCRIPTION = u8(6) + u32(2) + b"{}"


def outer_seeds():
    native = header(b"ramsync") + command(OFFER, features())
    resolve = header(b"ramsync") + command(RESOLVE, SESSION + u8(1))
    discard = header(b"ramsync") + command(RESOLVE, SESSION + u8(2))
    whole = native + ram() + DEVICE + command(CHECK)
    one_way = header(b"ramsync") + command(OFFER, features(two_way=False))
    qemu = header(b"pc-i440fx-7.2")
    capability = subsection(b"configuration/capabilities", u32(1) + name(b"x-ignore-shared"))
    bits = subsection(b"configuration/target-page-bits", u32(16))
    uuid = subsection(b"configuration/uuid", bytes(16))
    yield "two-way", u8(0x01) + whole + command(COMMIT)
    yield "two-way-asked-again", u8(0x01) + whole + command(COMMIT) + resolve
    yield "two-way-announced", u8(0x13) + whole + command(COMMIT)
    yield "two-way-no-resume", u8(0x41) + whole + command(COMMIT)
    yield "two-way-doubt", u8(0x01) + whole
    yield "two-way-doubt-decree", u8(0x81) + whole
    yield "two-way-doubt-settled", u8(0x01) + whole + u8(8) + message(0) + resolve
    yield "two-way-doubt-discarded", u8(0x01) + whole + u8(8) + message(0) + discard
    yield "two-way-no-end", u8(0x01) + native + section(1, END) + command(CHECK)
    yield "one-way", u8(0x00) + one_way + ram() + DEVICE + u8(0)
    yield "one-way-unknown-feature", (u8(0) + header(b"ramsync") +
                                      command(OFFER, features(False) + feature(99, b"new")))
    yield "qemu", u8(0x00) + qemu + ram() + QEMU_DEVICE + u8(0) + DESCRIPTION
    yield "qemu-announced", u8(0x10) + qemu + ram() + QEMU_DEVICE + u8(0)
    yield "qemu-resized", u8(0x00) + qemu + ram(other=3) + u8(0)
    yield "qemu-uuid", u8(0x00) + header(b"pc", uuid) + ram() + u8(0)
    yield "qemu-return-path", (u8(0x01) + qemu + command(1) + command(2, u32(7)) + ram() +
                               command(11) + QEMU_DEVICE + u8(0))
    yield "qemu-snapshot", (u8(0x00) + qemu + section(1, block_list((b"a", 2 * PAGE),
                            (b"b", PAGE)) + END) + section(2, zeros(b"a", 2) + zeros(b"b", 1) + END) +
                            QEMU_DEVICE + u8(0))
    yield "qemu-pages-missing", (u8(0x00) + qemu + section(1, block_list((b"a", 2 * PAGE),
                                 (b"b", PAGE)) + END) + section(3, zeros(b"a", 2) + END) + u8(0))
    yield "qemu-no-devices", u8(0x20) + qemu + ram() + QEMU_DEVICE + u8(0)
    yield "big-pages", (u8(0x08) + header(b"virt", bits) +
                        section(1, block_list((b"a", 1 << 17), (b"b", 1 << 16)) + END) +
                        section(3, zeros(b"a", 2, 1 << 16) + zero(0, b"b") + END) + u8(0))
    yield "ignored", (u8(0x04) + header(b"pc", capability) +
                      section(1, block_list((b"a", 2 * PAGE), (b"b", PAGE), address=0x1000) + END) +
                      section(3, zeros(b"a", 2) + END) + u8(0))
    for title, records in ("deltas", DELTAS), ("bad-delta", DELTAS + delta(0, b"\0\1")):
        yield title, u8(0x00) + qemu + ram(records=records) + QEMU_DEVICE + u8(0)
    yield "partial-device", (u8(0x01) + native + ram() +
                             section(4, u64(5) + b"state", 3, b"xyz", 1))


def frame_seeds():
    bits = subsection(b"configuration/target-page-bits", u32(16))
    uuid = subsection(b"configuration/uuid", SESSION)
    capabilities = subsection(b"configuration/capabilities",
                              u32(2) + name(b"x-ignore-shared") + name(b"mapped-ram"))
    for piece in 0, 5:
        for title, data in {
                "plain": header(b"pc-i440fx-7.2"), "all": header(b"virt", bits + capabilities + uuid),
                "native": header(b"ramsync"), "long": header(b"m" * 255),
                "too-long": header(b"m" * 256), "twice": header(b"m", uuid + uuid),
        }.items():
            yield f"header-{title}-{piece}", u8(piece) + data + u8(1)
        text = b'{"page_size": 4096, "devices": [{"name": "a\\"}", "size": 1e3}, null]}'
        end = u8(0) + u8(6) + u32(len(text)) + text
        for title, data in {
                "nothing": end, "device": QEMU_DEVICE + end, "no-footer": b"body" + end + END,
                "behind": QEMU_DEVICE + end + b"behind", "cut": QEMU_DEVICE + end[:-1],
                "false": QEMU_DEVICE + u8(0) + u8(6) + u32(9) + text + QEMU_DEVICE + end,
                "within": QEMU_DEVICE + u8(0) + u8(6) + u32(99) + b'{"~~' + QEMU_DEVICE + end,
                "none": QEMU_DEVICE + u8(0),
        }.items():
            yield f"tail-{title}-{piece}", u8(piece) + data


def return_path_seeds():
    accept = message(ACCEPT, features())
    accept += message(PONG, u32(0))
    good = accept + message(READY) + message(RUNNING)
    for option in range(16):
        yield f"good-{option}", u8(option) + good
    yield "no-runs", u8(0) + message(ACCEPT, features(runs=False)) + message(READY)
    yield "no-handover", u8(0) + message(ACCEPT, features(two_way=False))
    yield "another-session", u8(0) + message(ACCEPT, features().replace(SESSION, bytes(16)))
    yield "unknown-feature", u8(0) + message(ACCEPT, features() + feature(99, b"new"))
    yield "failed-first", u8(0) + message(FAILED, b"no memory")
    yield "failed-later", u8(0) + accept + message(FAILED, b"region a is unknown here")
    yield "failed-at-last", u8(0) + accept + message(READY) + message(FAILED, b"no")
    yield "doubt", u8(0) + accept + message(READY)
    yield "doubt-run", u8(8) + accept + message(READY)
    yield "doubt-settled", u8(0) + accept + message(READY) + message(1) + message(RUNNING)
    yield "doubt-discarded", u8(0) + accept + message(READY) + message(1) + message(FAILED, b"gone")
    yield "failed-settled", u8(2) + accept + message(FAILED, b"discarded")
    yield "failed-and-runs", u8(2) + accept + message(RUNNING)


# ---- whole postcopies, in the pieces of gated_peer.h -------------------------------------------

NOW, CHECKED, PACKAGED, COMMITTED, ENDED, ASKED, RESUMED, SAID_READY, SAID_RUNNING, SAID_BITMAP, ACKED, NEVER = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)


def piece(gate, *said, new=False, channel=False):
    data = b"".join(said)
    return u8(gate | (0x80 if new else 0) | (0x40 if channel else 0)) + u16(len(data)) + data


def request(start, size, region=None):
    return message(3 if region else 4, u64(start) + u32(size) + (name(region) if region else b""))


def bitmap(bits, region=b"ram", size=8):
    return message(5, name(region)) + u64(size) + bits.to_bytes(size, "little") + u64(0x0123456789abcdef)


def recorded_answers(number):
    """A fixture's return path, its requests moved to where there is memory, its bitmaps left out."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "qemu-7.2")
    with gzip.open(os.path.join(folder, number + ".back.gz")) as file:
        data = file.read()
    while data:
        kind, size = struct.unpack(">HH", data[:4])
        payload, data = data[4:4 + size], data[4 + size:]
        if kind == 3:
            payload = u64(struct.unpack(">Q", payload[:8])[0] & 0xf000) + payload[8:12] + name(b"ram")
        elif kind == 4:
            payload = u64(struct.unpack(">Q", payload[:8])[0] & 0xf000) + payload[8:]
        elif kind == 5:
            size = struct.unpack(">Q", data[:8])[0]
            data = data[16 + size:]
            continue
        yield message(kind, payload)


def postcopy_out_seeds():
    pong, ack = message(PONG, u32(5)), message(6, u32(1))
    shut = piece(ENDED, message(1, u32(0)))
    asked = request(PAGE, PAGE, b"ram") + request(3 * PAGE, 2 * PAGE) + request(PAGE, PAGE)
    for text, qemu, preempt in (("", 0, 0), ("-qemu", 1, 0), ("-preempt", 0, 2), ("-qemu-preempt", 1, 2),
                                ("-qemu-old", 0x11, 2)):
        option = qemu | preempt
        if qemu:
            ready = piece(NOW, message(PONG, u32(1)), pong)
            last = piece(PACKAGED, message(PONG, u32(3)), message(PONG, u32(4)))
            told = piece(PACKAGED, message(PONG, u32(3)), asked, message(PONG, u32(4)))
        else:
            ready = (piece(NOW, message(ACCEPT, features(postcopy=True, preempt=preempt)), pong) +
                     piece(CHECKED, message(READY)))
            last, told = piece(COMMITTED, message(RUNNING)), piece(COMMITTED, message(RUNNING), asked)
        again = piece(ASKED, bitmap(0x5555), ack, asked, new=True)
        yield f"good{text}", u8(option) + ready + last + shut
        yield f"asked{text}", u8(option) + ready + told + shut
        yield f"recovered{text}", u8(option) + ready + told + again + shut
        yield f"twice{text}", u8(option) + ready + last + piece(ASKED, bitmap(0), new=True) + again + shut
        for number in range(0, 8, 4):
            yield f"given-up-{number}{text}", u8(option | number) + ready + told
            yield f"given-up-again-{number}{text}", (u8(option | number) + ready + told +
                                                     piece(ASKED, bitmap(3), new=True))
        yield f"silent{text}", u8(option) + ready + told + piece(NEVER) + again + piece(NEVER)
        yield f"devices{text}", u8(option | 8) + ready + told
        for title, answer in {
                "failed": message(FAILED, b"no"), "shut": message(1, u32(1)), "shut-early": message(1, u32(0)),
                "other": request(0, PAGE, b"other"), "beyond": request(15 * PAGE, 2 * PAGE, b"ram"),
                "odd": request(1, PAGE, b"ram"), "nothing": request(0, 0, b"ram"), "no-region": request(0, PAGE),
                "cut": message(3, u64(0) + u32(PAGE) + b"\xffram"), "bitmap": bitmap(1), "ack": ack,
                "running": message(RUNNING), "switchover": message(7), "accept": message(ACCEPT, features()),
        }.items():
            yield f"{title}{text}", u8(option) + ready + last + piece(NOW, answer) + again + shut
            yield f"{title}-recovering{text}", (u8(option) + ready + last + piece(ASKED, answer, new=True) +
                                                again + shut)
        for title, answer in {
                "short": bitmap(0, size=0), "long": bitmap(1, size=16), "mark": bitmap(1)[:-8] + bytes(8),
                "other": bitmap(1, b"other"), "cut": bitmap(1)[:-3], "no-name": message(5), "full": bitmap((1 << 64) - 1),
                "ack-0": bitmap(1) + message(6, u32(0)), "ack-long": bitmap(1) + message(6, u64(1)),
                "twice": bitmap(1) + bitmap(1), "shut": bitmap(1) + ack + message(1, u32(0)),
                "failed": bitmap(1) + ack + message(FAILED, b"no"),
        }.items():
            yield f"bitmap-{title}{text}", (u8(option) + ready + last + piece(ASKED, answer, new=True) + again +
                                            shut)
    first = list(recorded_answers("postcopy-recover.A"))
    second = list(recorded_answers("postcopy-recover.B"))
    whole = list(recorded_answers("postcopy"))
    start = piece(NOW, message(PONG, u32(1)), message(PONG, u32(2)))
    yield "recorded", u8(1) + start + piece(PACKAGED, *whole[2:-1]) + piece(ENDED, whole[-1])
    yield "recorded-recovery", (u8(1) + start + piece(PACKAGED, *first[2:40]) +
                                piece(ASKED, bitmap(0x0ff0), *second[:12], new=True) + piece(ENDED, second[-1]))


def package(*said):
    data = b"".join(said)
    return command(7, u32(len(data))) + data


def postcopy_in_seeds():
    listen = command(4)
    for text, option in ("", 0), ("-small", 1), ("-touch", 4), ("-small-touch", 5):
        size = PAGE // 4 if option & 1 else PAGE
        per_page = PAGE // size

        def whole(number, region=None):
            """A host page, with as little content as will do."""
            offset = number * PAGE
            if per_page == 1 and number != 1:
                return zero(offset, region)
            return page(offset, region, size=size) + b"".join(zero(offset + i * size) for i in range(1, per_page))

        listed = section(1, block_list((b"a", 4 * PAGE), (b"b", 2 * PAGE)) + END)
        some = section(2, whole(0, b"a") + whole(1) + END)
        left = section(2, whole(2, b"a") + END) + section(2, whole(3, b"a") + whole(0, b"b") + whole(1) + END)
        advice = command(3, u64(PAGE) + u64(size))
        dropped = command(6, discard((PAGE, PAGE))) + command(6, discard((0, 2 * PAGE), region=b"b"))
        end = section(3, END) + u8(0)
        missed = section(2, whole(1, b"a") + END)
        for form in "native", "qemu":
            qemu = form == "qemu"
            opening = (header(b"pc-i440fx-9.0") + command(1) + command(2, u32(1)) if qemu else
                       header(b"ramsync") + command(OFFER, features(postcopy=True)))
            device = QEMU_DEVICE if qemu else DEVICE
            start = opening + advice + listed + some + dropped
            parcel = package(listen, device, command(2, u32(3)) + command(5) if qemu else command(CHECK))
            ready = piece(NOW, start, parcel) + (piece(NOW, command(2, u32(4))) if qemu else
                                                 piece(SAID_READY, command(COMMIT)))
            who = b"" if qemu else header(b"ramsync") + command(0x5257, SESSION)
            again = piece(NOW, who, command(10, name(b"a")), command(10, name(b"b")), command(9), new=True)
            tag = f"-{form}{text}"
            yield f"good{tag}", u8(option) + ready + piece(NOW, missed, left, end)
            yield f"announced{tag}", u8(option | 0x40) + ready + piece(NOW, missed, left, end)
            yield f"no-resume{tag}", u8(option | 0x20) + ready + piece(NOW, missed, left, end)
            yield f"recovered{tag}", u8(option) + ready + again + piece(NOW, missed, left, end)
            yield f"half{tag}", u8(option) + ready + piece(NOW, left[:300]) + again + piece(NOW, missed, left, end)
            yield f"twice{tag}", (u8(option) + ready + piece(NOW, missed) + again + piece(NOW, left) + again +
                                  piece(NOW, end))
            yield f"given-up{tag}", u8(option) + ready + piece(NOW, missed)
            yield f"silent{tag}", u8(option) + ready + piece(NEVER)
            yield f"missing{tag}", u8(option) + ready + piece(NOW, left, end) + again + piece(NOW, missed, end)
            yield f"opaque{tag}", u8(option | 0x10) + ready + piece(NOW, missed, left, end)
            yield f"recording{tag}", u8(option | 8) + ready + piece(NOW, missed, left, end)
            yield f"recording-again{tag}", u8(option | 8) + ready + again + piece(NOW, missed, left, end)
            for title, said in {
                    "package": package(), "listen": listen, "run": command(5), "resume": command(9), "advise": advice,
                    "bitmap": command(10, name(b"a")), "discard": dropped, "commit": command(COMMIT),
                    "check": command(CHECK), "recover": command(0x5257, SESSION), "channel": command(0x5258, SESSION),
                    "list": listed, "delta": section(2, delta(0, b"\5\1\xaa", b"a") + END), "end": end,
                    "run-of-pages": section(2, run(ZERO, 0, 4 * PAGE, b"a") + END),
                    "half-page": section(2, page(PAGE, b"a", size=size)[:-9]), "device": device,
                    "bad-advice": command(3, u64(PAGE)), "bad-discard": command(6, discard((100, PAGE))),
                    "bad-bitmap": command(10, b"\xff" + b"a"), "other": command(10, name(b"z")),
            }.items():
                yield f"{title}-first{tag}", u8(option) + piece(NOW, opening, advice, listed, said)
                yield f"{title}-late{tag}", u8(option) + ready + piece(NOW, said) + again + piece(NOW, missed, left, end)
                yield f"{title}-again{tag}", (u8(option) + ready + piece(NOW, who, said, new=True) + again +
                                              piece(NOW, missed, left, end))
                yield f"{title}-packed{tag}", u8(option) + piece(NOW, start, package(listen, said))
            yield f"stranger{tag}", (u8(option) + ready + piece(NOW, header(b"ramsync"), command(0x5257, bytes(16)),
                                                                new=True) + again + piece(NOW, missed, left, end))
            # With a channel, on which some of the pages come.
            fast = opening if qemu else header(b"ramsync") + command(OFFER, features(postcopy=True, preempt=True))
            ready = ready.replace(piece(NOW, start, parcel),
                                  piece(NOW, fast, advice, listed, some, dropped, parcel))
            owner = b"" if qemu else header(b"ramsync") + command(0x5258, SESSION)
            urgent = whole(1, b"a") + whole(2)
            channel = piece(NOW, owner, urgent, END if qemu else b"", channel=True) + piece(NEVER, channel=True)
            yield f"channel{tag}", u8(option | 2) + ready + channel + piece(NOW, left, end)
            yield f"channel-again{tag}", u8(option | 2) + ready + channel + again + channel + piece(NOW, left, end)
            yield f"channel-breaks{tag}", (u8(option | 2) + ready + piece(NOW, owner, urgent[:200], channel=True) +
                                           piece(NEVER) + again + channel + piece(NOW, left, end))
            yield f"channel-stranger{tag}", (u8(option | 2) + ready + piece(NOW, header(b"pc"), urgent, channel=True) +
                                             again + channel + piece(NOW, left, end))


def xbzrle_seeds():
    for option in 0, 2, 4:
        yield f"same-{option}", u8(option)
        yield f"one-{option}", u8(option) + bytes([5, 1, 9])
        yield f"two-{option}", u8(option) + bytes([0, 2, 9, 9, 0x85, 1, 1, 9])
        yield f"long-{option}", u8(option) + bytes([0, 0x80, 1]) + bytes(128)
        yield f"beyond-{option}", u8(option) + bytes([0xff, 7, 2, 9, 9])
        pages = u8(option | 1) + b"\xff\xff"
        yield f"equal-{option}", pages
        yield f"scattered-{option}", pages + bytes([40, 1]) * 100
        yield f"runs-{option}", pages + bytes([3, 0xc1]) * 9
        yield f"alternating-{option}", pages + bytes([1, 7]) * 500
        yield f"limited-{option}", u8(option | 1) + b"\x10\x00" + bytes([40, 1]) * 9


def zlib_page_seeds():
    text = b"the quick brown fox jumps over the lazy dog "
    for option, size in (0, 1024), (2, 4096):
        for level in 0, 1, 6:
            for title, data in {
                    "text": (text * 100)[:size], "zeros": bytes(size), "counting":
                    b"".join(u32(number) for number in range(size // 4)), "short": text,
                    "long": bytes(size + 1),
            }.items():
                packed = zlib.compress(data, level)
                yield f"{title}-{level}-{size}", u8(option) + packed
            packed = zlib.compress(bytes(size), level)
            yield f"behind-{level}-{size}", u8(option) + packed + b"behind"
            yield f"cut-{level}-{size}", u8(option) + packed[:-3]
            # The high half of the options is the level.
            pages = u8(option | 1 | level << 4) + u16(0xffff)
            yield f"page-zeros-{level}-{size}", pages
            yield f"page-text-{level}-{size}", pages + text
            yield f"page-changing-{level}-{size}", pages + b"\x25" + text
            yield f"page-noise-{level}-{size}", pages + bytes(
                (number * number * 31 + number) >> 5 & 0xff for number in range(600))
            yield f"page-limited-{level}-{size}", pages[:1] + b"\x10\x00" + text
        fixed = zlib.compressobj(9, zlib.DEFLATED, 9, 1, zlib.Z_FIXED)
        yield f"fixed-{size}", u8(option) + fixed.compress((text * 100)[:size]) + fixed.flush()
        with_dictionary = zlib.compressobj(1, zdict=text)
        yield f"dictionary-{size}", u8(option) + with_dictionary.compress(text) + with_dictionary.flush()


def program_seeds():
    """Streams as outer_seeds() has them, with other options; device state is described here."""
    text = b'{"page_size": 4096, "devices": []}'
    end = QEMU_DEVICE + u8(0) + u8(6) + u32(len(text)) + text
    qemu = header(b"pc-i440fx-7.2")
    uuid = header(b"pc", subsection(b"configuration/uuid", SESSION))
    one_way = header(b"ramsync") + command(OFFER, features(two_way=False)) + ram()
    capability = subsection(b"configuration/capabilities", u32(1) + name(b"x-ignore-shared"))
    ignored = (header(b"pc", capability) +
               section(1, block_list((b"a", 2 * PAGE), (b"b", PAGE), address=0x1000) + END) +
               section(3, zeros(b"a", 2) + END))
    odd = b"".join(section(1, block_list(*((text, PAGE) for text in names)) + END) +
                   section(3, b"".join(page(0, text) for text in names) + END)
                   for names in [(b"..", b".", b"../x", b"/a", b"%2F", b"n" * 255)])
    for option in range(16):
        for title, data in {
                "qemu": qemu + ram() + end, "uuid": uuid + ram() + end, "ignored": ignored + end,
                "no-end": qemu + ram() + QEMU_DEVICE + u8(0), "cut": qemu + ram()[:-9],
                "native": one_way + DEVICE + u8(0), "deltas": qemu + ram(records=DELTAS) + end,
                "delta-cut": (qemu + ram(records=DELTAS))[:-24], "names": qemu + odd + end,
                "gzip": gzip.compress(qemu + ram() + end, mtime=0),
                "gzip-cut": gzip.compress(qemu + ram() + end, mtime=0)[:-9],
                "missing": qemu + section(1, block_list((b"a", PAGE)) + END) + section(3, END) + end,
        }.items():
            yield f"{title}-{option}", u8(option) + data


# ---- small things ----------------------------------------------------------------------------


def record_seeds():
    for option in (1, 5, 0x0d, 0, 3, 0x11, 0x12):
        for title, data in {
                "zero": zero(PAGE, b"pc.ram"), "page": page(PAGE, b"pc.ram", size=1),
                "zero-continue": zero(PAGE), "run": run(ZERO, 0, 1 << 20, b"pc.ram"),
                "page-run": run(FULL_PAGE, 0, 1 << 16), "end": END, "flush": u64(FLUSH),
                "list": u64(1 << 20 | LIST), "entry": name(b"pc.ram") + u64(1 << 20) + u64(0),
                "delta": delta(PAGE << 4, b"", b"pc.ram"), "delta-continue": delta(0, bytes(9)),
                "delta-long": delta(0, bytes(1025)), "delta-encoding": delta(0, b"", encoding=2),
                "compressed": compressed(PAGE << 4, b"z", b"pc.ram"),
                "compressed-long": compressed(0, bytes(2049))[:12],
                "compressed-empty": compressed(0, b""), "pair": u64(0x0a), "features": features(),
                "unknown": feature(99, b"new") + features(False), "twice": features() * 2,
        }.items():
            yield f"{title}-{option}", u8(option) + data


def address_seeds():
    for number, text in enumerate((
            "tcp:localhost:4444", "tcp::0", "tcp:[::1]:65535", "tcp:1.2.3.4:65536", "tcp:[]:1",
            "tcp:::1:5", "tcp:host", "tcp:host:", "tcp:host:+1", "tcp:[::1]5", "unix:/tmp/socket",
            "unix:", "unix:" + "x" * 108, "fd:0", "fd:2147483648", "fd:-1", "exec:cat > file",
            "exec:", "file:/tmp/ram", "file:", "http://host", "", "tcp:" + "h" * 256 + ":1")):
        yield f"{number:02}", text.encode()


def main():
    for target, seeds in (("outer", outer_seeds()), ("ram_body", ram_seeds()),
                          ("record", record_seeds()), ("return_path", return_path_seeds()),
                          ("frame", frame_seeds()), ("programs", program_seeds()),
                          ("xbzrle", xbzrle_seeds()), ("zlib_page", zlib_page_seeds()),
                          ("address", address_seeds()), ("discard", discard_seeds()),
                          ("page_request", page_request_seeds()),
                          ("received_map", received_map_seeds()),
                          ("postcopy_body", postcopy_seeds()),
                          ("postcopy_in", postcopy_in_seeds()),
                          ("postcopy_out", postcopy_out_seeds())):
        directory = os.path.join(sys.argv[1], target)
        os.makedirs(directory, exist_ok=True)
        for title, data in seeds:
            with open(os.path.join(directory, title), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
