#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""QEMU's form of the stream, written and read by the programs."""

from programs import FAILED, FAST, Case, main, receiver, sender

MACHINE = "pc-i440fx-7.2"


class QemuForm(Case):
    def save(self, *arguments):
        self.saved = self.path("saved")
        send = self.start(sender(f"file:{self.saved}", "--verify", *FAST, *arguments))
        return send.end(0)

    def head(self):
        with open(self.saved, "rb") as file:
            return file.read(4096)

    def test_file_and_back(self):
        send = self.save("--qemu", MACHINE)
        head = self.head()
        self.assertEqual(head[:8], b"QEVM\0\0\0\3")
        self.assertIn(MACHINE.encode(), head)
        self.assertNotIn(b"ramsync\0", head)
        recv = self.start(receiver(f"file:{self.saved}", "--verify"))
        self.check_moved(send, recv)
        self.assertGreater(recv.json["pages-written"], 0)

    def test_machine_is_the_same_option(self):
        self.save("--machine", MACHINE)
        self.assertIn(MACHINE.encode(), self.head())

    def test_native_form_is_not_qemus(self):
        self.save()
        self.assertNotIn(b"pc-i440fx", self.head())
        self.assertIn(b"ramsync", self.head())

    def test_over_a_socket(self):
        self.move(["--qemu", MACHINE], ["--machine", MACHINE])

    def test_another_machine_is_refused(self):
        self.save("--qemu", MACHINE)
        recv = self.start(receiver(f"file:{self.saved}", "--machine", "pc-q35-7.2")).end(FAILED)
        self.assertIn(MACHINE, recv.json["error"])
        self.assertIn("pc-q35-7.2", recv.json["error"])


if __name__ == "__main__":
    main()
