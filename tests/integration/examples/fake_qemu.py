# SPDX-License-Identifier: MIT
"""The source's end of a socket, as far as QEMU's form of the stream has answers."""

import socket

from programs import PATIENCE
from streams import command, header, u16, u32

OPEN_RETURN_PATH, PING = 1, 2
SHUT, PONG = 1, 2


def answer(number, value):
    return u16(number) + u16(4) + u32(value)


class FakeQemu:
    """The source's end of a socket."""

    def __init__(self, address):
        kind, where = address.split(":", 1)
        if kind == "tcp":
            host, port = where.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(PATIENCE)
            self.socket.connect(where)

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                break
            data += more
        return data

    def send_with_answers(self, data):
        """As a QEMU with a return path does: it asks first, and waits for SHUT at the end."""
        head = len(header())
        self.send(data[:head] + command(OPEN_RETURN_PATH) + command(PING, u32(1)))
        if self.read(8) != answer(PONG, 1):
            raise AssertionError("no PONG for PING")
        self.send(data[head:])
        return self.read(8)

    def close(self):
        self.socket.close()
