# SPDX-License-Identifier: MIT
"""Guests at work whose snapshots are taken, and what must hold of what is restored."""

import hashlib
import pathlib

from harness import POWERED_OFF, TIMEOUT, UMBRA
from running import QmpTest, Running

MIB = 1 << 20
PAGE = 4096
MASK = (1 << 64) - 1

WORDS = 1 << 18  # tests/guests/toil.c
FACTOR = sum((i | 1) * (2 * i + 1) for i in range(WORDS)) & MASK


def result_of(rounds):
    """What toil.c has to find, by the formulas that stand there."""
    total = rounds * (rounds + 1) // 2
    return (f"toil: rounds {rounds}\ntoil: sse {WORDS * total & MASK}\n"
            f"toil: sum {total * FACTOR & MASK}\ntoil: done\n")


class Restored(Running):
    """A guest that goes on from a file."""

    def __init__(self, test, file, *options):
        self.start(test, [UMBRA, "restore", file, *options])


class SnapshotTest(QmpTest):
    def worker(self, *options, fill=0):
        """toil.c, in its second round or later; it works until it is asked for its result."""
        return Running(self, "toil", "--cmdline", f"- {fill}", *options)

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

    def assert_result(self, guest):
        """Asks for it, and looks how the guest ended: nothing of its work may be lost."""
        stdout, stderr = (text.decode() for text in guest.process.communicate(b"q", TIMEOUT))
        self.assertEqual((guest.process.returncode, stderr),
                         (POWERED_OFF, "umbra: the guest powered off\n"), stdout)
        self.assertRegex(stdout, r"\Atoil: rounds \d+\n")
        self.assertEqual(stdout, result_of(int(stdout.split()[2])))

    def assert_restores(self, name="snap"):
        self.assert_result(Restored(self, self.path(name)))

    def digest(self, name):
        return hashlib.sha256(pathlib.Path(self.path(name)).read_bytes()).hexdigest()
