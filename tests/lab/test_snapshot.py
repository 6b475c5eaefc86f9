#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stock Debian guest deep in shadow-stack calls: stored, killed, and gone on with."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

PASSES = 12  # in snapshot.sh


class Snapshot(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        text = lab.run(["/lab/snapshot.sh"], {
            "snapshot.sh": lab.ROOT / "tests" / "lab" / "snapshot.sh",
            "initrd": lab.BUILD / "tests" / "guest_image" / "endure-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        }, timeout=1200)
        cls.sections = {name: (body, int(status)) for name, body, status in re.findall(
            r"^== (\S+)\n(.*?)^== \1 ended with (\d+)$", text, re.M | re.S)}
        cls.times = {name: int(ms) for name, ms in re.findall(
            r"^time: (\w+) was there for (\d+) ms$", text, re.M)}

    def section(self, name, status=0):
        self.assertIn(name, self.sections)
        text, found = self.sections[name]
        self.assertEqual(found, status, text)
        return text

    def assert_comes_to_its_end(self, text, first):
        """The whole rest of the work, and the proof that returns are still guarded."""
        passes = [int(n) for n in re.findall(r"^endure: pass (\d+)$", text, re.M)]
        self.assertEqual(passes, list(range(first, PASSES + 1)), text)
        self.assertRegex(text, r"(?m)^endure: all right, \d+ signals$")
        self.assertIn("endure: an overwritten return: SEGV_CPERR\n", text)
        self.assertIn("umbra: the guest powered off\n", text)

    def assert_moved(self, name):
        self.assertRegex(self.section(f"{name}-full"), r"MiB of RAM stored\n")
        self.assertRegex(self.section(f"{name}-since"), r"MiB of RAM stored\n")
        before = self.section(f"{name}-before")
        after = self.section(f"{name}-after")
        told = [int(n) for n in re.findall(r"^endure: pass (\d+)$", before, re.M)]
        self.assertLess(told[-1], PASSES, "it was not met in the middle")
        self.assertNotIn("umbra-guest: init", after)
        # What it had said before its last moment may have got lost with its process.
        first, = re.findall(r"\A.*?^endure: pass (\d+)$", after, re.M | re.S)
        self.assertIn(int(first), range(5, told[-1] + 2))
        self.assert_comes_to_its_end(after, int(first))
        return before, after

    def test_one_vcpu(self):
        self.assert_moved("one")

    def test_two_vcpus(self):
        self.assert_moved("two")

    def test_time_stands_still_in_the_file(self):
        """The guest's clock shows no more than the time that its two processes were there."""
        for name in ("one", "two"):
            before, after = self.assert_moved(name)
            init, = re.findall(r"umbra-guest: init after ([\d.]+) s", before)
            end, = re.findall(r"^([\d.]+) [\d.]+$", after, re.M)
            self.assertGreater(float(end), float(init))
            self.assertLess(float(end), self.times[name] / 1000)

    def test_a_full_one_outlives_the_next(self):
        text = self.section("full-again")
        first, = re.findall(r"\A.*?^endure: pass (\d+)$", text, re.M | re.S)
        # It was asked for after the second pass; how much of the work goes on until then varies.
        self.assertIn(int(first), range(3, PASSES + 1))
        self.assert_comes_to_its_end(text, int(first))

    def test_full_blocks_are_huge_pages_of_the_file(self):
        """The machine's /tmp is a tmpfs, mounted without any of its own."""
        kib, = re.findall(r"^ShmemHugePages: +(\d+) kB$", self.section("one-huge"), re.M)
        self.assertGreater(int(kib), 0)

    def test_cet_cannot_be_taken_away(self):
        text = self.section("off", 1)
        self.assertIn("umbra: --cet off: the guest has seen SHSTK and IBT in CPUID", text)


if __name__ == "__main__":
    tap.main()
