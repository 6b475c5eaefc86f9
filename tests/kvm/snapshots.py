# SPDX-License-Identifier: MIT
"""Guests at work whose snapshots are taken, and what must hold of what is restored."""

import hashlib
import pathlib

from harness import POWERED_OFF, TIMEOUT, UMBRA
from running import QmpTest, Running

MIB = 1 << 20
PAGE = 4096
MASK = (1 << 64) - 1

# How long tests/guests/toil.c computes: long enough to be met in the middle.
ROUNDS = 4000


def result_of(rounds):
    """What toil.c has to find, by the formulas that stand there."""
    total, words = rounds * (rounds + 1) // 2, 1 << 18
    checksum = sum(((total * (i | 1)) & MASK) * (2 * i + 1) for i in range(words)) & MASK
    return f"toil: sse {words * total & MASK}\ntoil: sum {checksum}\ntoil: done\n"


class Restored(Running):
    """A guest that goes on from a file."""

    def __init__(self, test, file, *options):
        self.start(test, [UMBRA, "restore", file, *options])


class SnapshotTest(QmpTest):
    @classmethod
    def setUpClass(cls):
        cls.result = result_of(ROUNDS)

    def worker(self, *options, fill=0, rounds=ROUNDS):
        """toil.c, in its second round."""
        guest = Running(self, "toil", "--cmdline", f"{rounds} {fill}", *options)
        return guest

    def path(self, name="snap"):
        return f"{self.folder}/{name}"

    def snapshot(self, name="snap", *options, target="it"):
        result = self.umbra("snapshot", target, self.path(name), *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def files(self):
        """What is in the folder, sockets left out."""
        return sorted(entry.name for entry in pathlib.Path(self.folder).iterdir()
                      if entry.is_file())

    def output(self, guest):
        """All that the guest says from now on, when it is over; it must have powered off."""
        stdout, stderr = guest.process.communicate(timeout=TIMEOUT)
        self.assertEqual((guest.process.returncode, stderr.decode()),
                         (POWERED_OFF, "umbra: the guest powered off\n"), stdout)
        return stdout.decode()

    def assert_restores(self, name="snap"):
        self.assertEqual(self.output(Restored(self, self.path(name))), self.result)

    def digest(self, name):
        return hashlib.sha256(pathlib.Path(self.path(name)).read_bytes()).hexdigest()
