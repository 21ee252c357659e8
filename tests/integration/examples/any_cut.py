# SPDX-License-Identifier: MIT
"""Stands between sender and receiver, and cuts when it is told to."""

import socket
import threading


def end(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class AnyCut:
    """Passes everything, on any number of connections, until all that there are are cut."""

    def __init__(self, target, port=0):
        host, other = target[len("tcp:"):].rsplit(":", 1)
        self.target = (host, int(other))
        self.sockets = []
        self.server = socket.create_server(("127.0.0.1", port))
        self.address = "tcp:127.0.0.1:%d" % self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self):
        sockets, self.sockets = self.sockets, []
        end(*sockets)

    def close(self):
        end(self.server)
        self.server.close()
        self.cut()

    def _serve(self):
        while True:
            try:
                source, _ = self.server.accept()
            except OSError:
                return
            try:
                destination = socket.create_connection(self.target)
            except OSError:
                source.close()
                continue
            self.sockets += [source, destination]
            for pair in (source, destination), (destination, source):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(reader, writer):
        try:
            while data := reader.recv(1 << 16):
                writer.sendall(data)
        except OSError:
            pass
        end(reader, writer)
