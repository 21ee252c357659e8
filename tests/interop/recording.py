# SPDX-License-Identifier: MIT
"""Keeps what a QEMU sends to somebody."""

import contextlib
import os
import socket
import threading



def connect(address):
    kind, _, rest = address.partition(":")
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(rest)
        return connection
    host, _, port = rest.rpartition(":")
    return socket.create_connection((host, port))


def pump(source, target, file=None):
    # If one of them goes, the other is to hear of it.
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            if file:
                file.write(data)
            target.sendall(data)
    for connection, way in (source, socket.SHUT_RD), (target, socket.SHUT_WR):
        with contextlib.suppress(OSError):
            connection.shutdown(way)


class Recording:
    """QEMU is to send to address, so that it comes to where it shall go and into the file path."""

    def __init__(self, path, address):
        self.path, self.target = path, address
        self.thread = self.listener = None
        if address.startswith("exec:"):
            # QEMU may be done before the command is; the file has its name after that.
            part = f"{path}.part"
            self.address = f"exec:tee {part} | {address.removeprefix('exec:')}; mv {part} {path}"
            return
        self.address = f"unix:{path}.socket"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{path}.socket")
        self.listener.listen()
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def carry(self):
        with self.listener:
            source, _ = self.listener.accept()
        os.unlink(f"{self.path}.socket")
        with source, connect(self.target) as target, open(self.path, "wb") as file:
            answers = threading.Thread(target=pump, args=(target, source), daemon=True)
            answers.start()
            pump(source, target, file)
            answers.join()

    def is_whole(self):
        return not self.thread.is_alive() if self.thread else os.path.exists(self.path)
