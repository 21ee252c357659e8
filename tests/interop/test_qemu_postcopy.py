#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest comes from a real QEMU by postcopy, and is recovered after a cut."""

import sys

import qemu
from interop import main
from relay import Relay
from stream_reader import read_postcopy
from tools import Tools, why_not

BACKGROUND = 4 << 20


class FromQemu(Tools):
    def start_receiver(self, *options):
        return self.start_tool(*self.receive_into(f"unix:{self.path('socket')}"), "--postcopy",
                               "--touch", "2000", *options)

    def begin(self, source, address, *capabilities):
        """Until the guest is on its way; slowly, so that there is time for something to happen."""
        source.enable("postcopy-ram", *capabilities)
        source.do("migrate-set-parameters", **{"max-bandwidth": 2 << 20, "downtime-limit": 1,
                                               "max-postcopy-bandwidth": BACKGROUND})
        source.do("migrate", uri=address)
        source.wait_migration(lambda found: found.get("ram", {}).get("transferred", 0) > 500000)
        source.do("migrate-start-postcopy")

    def check_came(self, source, found, relays, preempts):
        self.assertEqual(found["result"], "completed")
        self.assertGreater(found["statistics"]["postcopy-requests"], 0)
        self.assertGreater(found["postcopy-faults"]["count"], 0)
        main_ways = [relay.paths[0] for relay in relays]
        urgent = [path for relay in relays for path in relay.paths[1:]]
        self.assertEqual(len(urgent), len(relays) if preempts else 0)
        sent = read_postcopy(main_ways, urgent)["pc.ram"]
        with open(source.sent, "wb") as file:
            file.write(sent)
        with open(source.memory, "rb") as file:
            memory = file.read()
        lost = sum(sent[at:at + 4096] != memory[at:at + 4096]
                   for at in range(0, qemu.RAM_BYTES, 4096))
        self.assertLessEqual(lost, qemu.MANY_PAGES)
        self.check_saved(source)
        self.assertEqual(source.do("query-status")["status"], "postmigrate")

    def take(self, capabilities=(), options=()):
        source = self.source()
        tool, address = self.start_receiver(*options)
        relay = Relay(self.path("relay"), address)
        self.begin(source, relay.address, *capabilities)
        source.wait_migration(lambda found: found.get("status") == "completed")
        found = self.end_tool(tool)
        relay.close()
        self.check_came(source, found, [relay], bool(capabilities))

    def test_take(self):
        self.take()

    def test_take_with_preempt(self):
        self.take(["postcopy-preempt"], ["--preempt"])

    def recover(self, capabilities=(), options=()):
        source = self.source()
        other = f"unix:{self.path('other')}"
        tool, address = self.start_receiver("--recover", other, *options)
        relays = [Relay(self.path("relay"), address)]
        self.begin(source, relays[0].address, *capabilities)
        source.wait_migration(lambda found: found.get("status") == "postcopy-active")
        relays[0].wait_passed(100000)
        relays[0].cut()
        source.wait_migration(lambda found: found.get("status") == "postcopy-paused")
        self.wait_said("to recover\n")
        relays.append(Relay(self.path("relay2"), other))
        source.do("migrate", uri=relays[1].address, resume=True)
        source.wait_migration(lambda found: found.get("status") == "completed")
        found = self.end_tool(tool)
        relays[1].close()
        self.check_came(source, found, relays, bool(capabilities))

    def test_recover(self):
        self.recover()

    def test_recover_with_preempt(self):
        self.recover(["postcopy-preempt"], ["--preempt"])


if __name__ == "__main__":
    REASON = why_not()
    if REASON:
        print(f"SKIP: {REASON}")
        sys.exit(77)
    main()
