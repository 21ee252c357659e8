# SPDX-License-Identifier: MIT
"""What the benchmarks of live guests under KVM have in common: options, and what they need."""

import argparse
import os
import shutil
import sys

from race_machine import Failed, LIBC, available_bytes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIZE, SMOKE_SIZE = 1 << 30, 64 << 20
SPARE_BYTES = 1 << 30
SKIPPED = 77
SYS_USERFAULTFD = 323  # of x86-64


def multiple_of(unit):
    def parse(text):
        units = {"K": 10, "M": 20, "G": 30}
        shift = units.get(text[-1:].upper(), 0)
        try:
            number = int(text[:-1] if shift else text) << shift
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a size") from None
        if number < unit or number % unit:
            raise argparse.ArgumentTypeError(f"'{text}' is not a multiple of {unit >> 10}K")
        return number
    return parse


size = multiple_of(1 << 20)


def some_of(names):
    def parse(text):
        chosen = list(dict.fromkeys(text.split(",")))
        for name in chosen:
            if name not in names:
                raise argparse.ArgumentTypeError(
                    f"there is no '{name}': want some of {', '.join(names)}")
        return chosen
    return parse


def add_common(parser):
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="(5)")
    add("--qemu", default="qemu-system-x86_64", metavar="PROGRAM", help="(%(default)s)")
    add("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
        help="where this project was built, with RS_BUILD_BENCH=ON (build of the source tree)")
    add("--smoke", action="store_true",
        help="for ctest: small, one round; only shows that it works; exits 77 without KVM or QEMU")


def add_log(parser):
    parser.add_argument("--log", choices=("kvm", "userfaultfd"), default="kvm",
                        help="dirty log of tinyvmm (kvm)")


def add_judging(parser):
    add = parser.add_argument
    add("--noise", type=float, default=0.1,
        help="share of the CPUs that others may use during a migration (0.1)")
    add("--retries", type=int, default=2, help="how often a noisy round is run again (2)")
    add("--json", metavar="FILE", help="write the results here instead of to standard output")


def take_common(options):
    options.made = os.path.join(options.build, "tests", "bench")
    options.tinyvmm = os.path.join(options.made, "downtime_tinyvmm")
    options.probe = os.path.join(options.made, "downtime_probe.so")
    options.firmware = os.path.join(options.made, "downtime_firmware.bin")
    options.size = getattr(options, "size", SIZE)
    if options.smoke:
        options.size, options.rounds = SMOKE_SIZE, 1
    return options


def cannot(options, why):
    if options.smoke:
        print(f"SKIP: {why}")
        sys.exit(SKIPPED)
    raise Failed(why)


def check_userfaultfd(options):
    """A page that a vCPU misses is missed by the kernel, which not everybody may hear of."""
    fd = LIBC.syscall(SYS_USERFAULTFD, os.O_CLOEXEC)
    if fd < 0:
        cannot(options, "no userfaultfd for the kernel's faults")
    os.close(fd)


def check_machine(options):
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        cannot(options, f"/dev/kvm does not open: {error.strerror}")
    if not shutil.which(options.qemu):
        cannot(options, f"there is no {options.qemu}; Debian has it in qemu-system-x86")
    if os.environ.get("RS_TEST_SANITIZE"):
        cannot(options, "nothing can be preloaded into a program with a sanitizer")
    for name in options.tinyvmm, options.probe, options.firmware:
        if not os.path.exists(name):
            raise Failed(f"there is no {name}: build it (-DRS_BUILD_BENCH=ON, --build DIR)")
    need, free = 2 * options.size + SPARE_BYTES, available_bytes()
    if free < need:
        raise Failed(f"{need >> 20} MiB of memory are needed, {free >> 20} are available")
