# SPDX-License-Identifier: MIT
"""Stands between a QEMU and somebody: keeps what the source sends over each connection, and cuts."""

import contextlib
import os
import socket
import threading
import time

from interop import PATIENCE
from recording import connect


class Relay:
    """Connections to address go on to target; what comes over the N-th is in paths[N]."""

    def __init__(self, path, target):
        self.target, self.path, self.paths = target, path, []
        self.address = f"unix:{path}.socket"
        self.pairs, self.threads = [], []
        self.passed = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{path}.socket")
        self.listener.listen()
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                source, _ = self.listener.accept()
                target = connect(self.target)
            except OSError:
                return
            path = f"{self.path}.{len(self.paths)}"
            self.paths.append(path)
            self.pairs.append((source, target))
            for work, words in (self.forth, (source, target, open(path, "wb"))), \
                               (self.back, (target, source)):
                thread = threading.Thread(target=work, args=words, daemon=True)
                self.threads.append(thread)
                thread.start()

    @staticmethod
    def end(source, target):
        for connection, way in (source, socket.SHUT_RD), (target, socket.SHUT_WR):
            with contextlib.suppress(OSError):
                connection.shutdown(way)

    def forth(self, source, target, file):
        with contextlib.suppress(OSError), file:
            while data := source.recv(1 << 16):
                file.write(data)
                self.passed += len(data)
                target.sendall(data)
        self.end(source, target)

    def back(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        self.end(source, target)

    def wait_passed(self, more):
        """Until so many bytes more have come from the source."""
        wanted, end = self.passed + more, time.monotonic() + PATIENCE
        while self.passed < wanted:
            if time.monotonic() > end:
                raise AssertionError(f"{self.address}: nothing comes any more")
            time.sleep(0.001)

    def cut(self):
        """No more connections, and none of those that there are."""
        for pair in self.pairs:
            for connection in pair:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.accepting.join(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        for pair in self.pairs:
            for connection in pair:
                connection.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}.socket")
