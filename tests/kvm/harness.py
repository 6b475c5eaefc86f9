# SPDX-License-Identifier: MIT
"""Runs umbra with tiny guests, for the tests of this folder.

UMBRA is the program, UMBRA_GUESTS the folder of the tiny guests (as a rule what
was built in build/). A test program ends with harness.main(), which speaks TAP, and
skips it all where there is no KVM to test with.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
import tap  # noqa: E402

BUILD = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "build"))
UMBRA = os.environ.get("UMBRA", BUILD + "/umbra")
GUESTS = os.environ.get("UMBRA_GUESTS", BUILD + "/tests/guests")
TIMEOUT = 60  # seconds, for what takes well under one

KVM_GET_API_VERSION = 0xAE00

# How `umbra run` ends: umbra(1), EXIT STATUS.
POWERED_OFF, TROUBLE, RESET, TRIPLE_FAULT, CANNOT_GO_ON = 0, 2, 3, 4, 5


def kvm_missing():
    """Why tests with guests cannot run here, or None."""
    try:
        with open("/dev/kvm", "rb+", buffering=0) as kvm:
            fcntl.ioctl(kvm, KVM_GET_API_VERSION)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    return None


def guest(name):
    return os.path.join(GUESTS, name)


def command(name, *options):
    return [UMBRA, "run", "--kernel", guest(name), *options]


def run(arguments, **options):
    """Runs a program to its end; its output as text, its status, both streams apart."""
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    return subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", timeout=TIMEOUT, check=False, **options)


def run_guest(name, *options, **keywords):
    return run(command(name, *options), **keywords)


def values(stdout, name):
    """What a guest printed, as a dictionary: `NAME: key value` lines."""
    found = {}
    for line in stdout.splitlines():
        prefix, _, text = line.partition(": ")
        if prefix == name:
            key, _, value = text.partition(" ")
            found[key] = value
    return found


class GuestTest(unittest.TestCase):
    """A test that runs guests, in a folder of its own that must be empty when it ends."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="umbra test ")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def assert_ended(self, result, status, stderr):
        """`stderr` is the first line's text; guests that do not power off add registers."""
        first = result.stderr.splitlines()[0] if result.stderr else ""
        self.assertEqual((result.returncode, first), (status, stderr), result.stdout + result.stderr)

    def assert_done(self, result, name):
        self.assertEqual(result.stdout.splitlines()[-1:], [f"{name}: done"],
                         result.stdout + result.stderr)
        self.assert_ended(result, POWERED_OFF, "umbra: the guest powered off")


def main():
    tap.main(skip=kvm_missing())
