# SPDX-License-Identifier: MIT
"""What stands between sender and receiver. One cuts the first connection at one message of the
hand-over, and lets later ones pass whole; the other makes one kind of trouble at one byte."""

import socket
import struct
import threading
import time

READY, COMMIT, RUNNING = "READY", "COMMIT", "RUNNING"

# Type of a message on the return path; docs/wire-format.md has them.
_RETURN = {0x5254: READY, 0x5255: RUNNING}
# A record of the stream, as it stands there.
_COMMIT = bytes((8, 0x52, 0x55, 0, 0))


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
        """In postcopy pages that the destination needs may come from the source before COMMIT."""
        last = b""
        try:
            while data := reader.recv(1 << 16):
                last = last[-len(_COMMIT) + 1:] + data
                if self.lost == COMMIT and self.ready_passed.is_set() and _COMMIT in last:
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


CUT, HALF_CLOSE, STALL, DELAY = TROUBLES = "cut", "half-close", "stall", "delay"
THERE, BACK = "there", "back"

# No more than this at once, so that what is delayed is many pieces.
_PIECE = 1 << 14


class TroubledProxy:
    """Any number of connections, which have trouble together when the byte number `at` of one
    direction, all of them counted, is due:

    cut         all are broken, in both directions
    half-close  the connection whose byte it is ends in that direction, and goes on in the other
    stall       that direction of all of them stands still, and nobody is told
    delay       every piece of that direction takes its time from there on; nothing is lost

    Without a trouble all is well."""

    def __init__(self, target, trouble=None, direction=THERE, at=0):
        self.target = target
        self.trouble = trouble
        self.direction = direction
        self.left = at
        self.lock = threading.Lock()
        self.sockets = []
        self.happened = threading.Event()
        self.closed = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp:127.0.0.1:%d" % self.server.getsockname()[1]
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()

    def close(self):
        """As if its host went away."""
        self.closed.set()
        self._cut()
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for thread in self.threads:
            thread.join()
        for one in self.sockets:
            one.close()

    def _connect(self):
        if self.target.startswith("unix:"):
            there = socket.socket(socket.AF_UNIX)
            there.connect(self.target[len("unix:"):])
            return there
        host, port = self.target[len("tcp:"):].rsplit(":", 1)
        return socket.create_connection((host, int(port)))

    def _serve(self):
        while True:
            try:
                source, _ = self.server.accept()
            except OSError:
                return
            try:
                destination = self._connect()
            except OSError:
                source.close()
                continue
            with self.lock:
                self.sockets += [source, destination]
            for arguments in (source, destination, THERE), (destination, source, BACK):
                thread = threading.Thread(target=self._carry, args=arguments, daemon=True)
                self.threads.append(thread)
                thread.start()
            if self.closed.is_set() or (self.happened.is_set() and self.trouble == CUT):
                self._cut()

    def _cut(self):
        with self.lock:
            CuttingProxy._end(*self.sockets)

    def _due(self, direction, size):
        """How many bytes may pass, and whether the trouble is due behind them."""
        if self.trouble is None or direction != self.direction:
            return size, False
        with self.lock:
            if size < self.left:
                self.left -= size
                return size, False
            passed, self.left = self.left, 0
        return passed, True

    def _carry(self, reader, writer, direction):
        try:
            while data := reader.recv(_PIECE):
                passed, due = self._due(direction, len(data))
                if due and self.trouble != DELAY:
                    writer.sendall(data[:passed])
                    self._make_trouble(writer)
                    return
                if due:
                    self.happened.set()
                    time.sleep(0.005)
                writer.sendall(data)
            writer.shutdown(socket.SHUT_WR)
        except OSError:
            CuttingProxy._end(reader, writer)

    def _make_trouble(self, writer):
        self.happened.set()
        if self.trouble == CUT:
            self._cut()
        elif self.trouble == HALF_CLOSE:
            writer.shutdown(socket.SHUT_WR)
        # Stalled: what comes stays where it is.
