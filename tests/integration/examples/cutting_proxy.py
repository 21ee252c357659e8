# SPDX-License-Identifier: MIT
"""Stands between sender and receiver, and cuts the first connection at one message of the
hand-over. Later connections pass whole."""

import socket
import struct
import threading

READY, COMMIT, RUNNING = "READY", "COMMIT", "RUNNING"

# Type of a message on the return path; docs/wire-format.md has them.
_RETURN = {0x5254: READY, 0x5255: RUNNING}


class CuttingProxy:
    """Cuts when the message `lost` is on its way, which its reader never gets."""

    def __init__(self, target, lost):
        host, port = target[len("tcp:"):].rsplit(":", 1)
        self.target = (host, int(port))
        self.lost = lost
        self.was_lost = False
        self.ready_passed = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp:127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _serve(self):
        cut = True
        while True:
            try:
                source, _ = self.server.accept()
                destination = socket.create_connection(self.target)
            except OSError:
                return
            pair = (source, destination)
            back = self._back_and_cut if cut else self._copy
            forth = self._forth_and_cut if cut else self._copy
            threading.Thread(target=forth, args=pair, daemon=True).start()
            threading.Thread(target=back, args=(destination, source), daemon=True).start()
            cut = False

    def _cut(self, *sockets):
        self.was_lost = True
        self._end(*sockets)

    @staticmethod
    def _end(*sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _copy(self, reader, writer):
        try:
            while data := reader.recv(1 << 16):
                writer.sendall(data)
        except OSError:
            pass
        self._end(reader, writer)

    def _forth_and_cut(self, reader, writer):
        """After READY only COMMIT comes from the source."""
        try:
            while data := reader.recv(1 << 16):
                if self.lost == COMMIT and self.ready_passed.is_set():
                    self._cut(reader, writer)
                    return
                writer.sendall(data)
        except OSError:
            pass
        self._end(reader, writer)

    def _back_and_cut(self, reader, writer):
        try:
            with reader.makefile("rb") as file:
                while head := file.read(4):
                    kind, length = struct.unpack(">HH", head)
                    name = _RETURN.get(kind)
                    if name == self.lost:
                        self._cut(reader, writer)
                        return
                    if name == READY:
                        self.ready_passed.set()
                    writer.sendall(head + file.read(length))
        except OSError:
            pass
        self._end(reader, writer)
