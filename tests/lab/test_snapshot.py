#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stock Debian guest deep in shadow-stack calls: stored, killed, and gone on with."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import endure  # noqa: E402
import lab  # noqa: E402
import tap  # noqa: E402

PASSES_TOLD = 2  # in snapshot.sh: before it is stored, and again before what changed since is


class Snapshot(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        text = lab.run(["/lab/snapshot.sh"], {
            "snapshot.sh": lab.ROOT / "tests" / "lab" / "snapshot.sh",
            "initrd": lab.BUILD / "tests" / "guest_image" / "endure-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        })
        cls.sections = lab.sections(text)
        cls.times = {name: int(ms) for name, ms in re.findall(
            r"^time: (\w+) was there for (\d+) ms$", text, re.M)}

    def section(self, name, status=0):
        text, found = self.sections[name]
        self.assertEqual(found, status, text)
        return text

    def assert_goes_on(self, name):
        """Stored in the middle of its work, it comes to its end; its first pass there."""
        text = self.section(name)
        first = endure.assert_comes_to_its_end(self, text)
        self.assertIn("umbra: the guest powered off\n", text)
        return first

    def assert_moved(self, name):
        self.assertRegex(self.section(f"{name}-full"), r"MiB of RAM stored\n")
        self.assertRegex(self.section(f"{name}-since"), r"MiB of RAM stored\n")
        before = self.section(f"{name}-before")
        endure.assert_in_the_middle(self, before)
        first = self.assert_goes_on(f"{name}-after")
        # It worked on until it was killed. The line that it was at when it was stored may have got
        # lost with its process, and goes on here without its beginning.
        self.assertIn(first, range(2 * PASSES_TOLD + 1, endure.passes(before)[-1] + 3), before)
        return before, self.section(f"{name}-after")

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
        # It was asked for after so many passes; how much of the work goes on until then varies.
        self.assertGreater(self.assert_goes_on("full-again"), PASSES_TOLD)

    def test_full_blocks_are_huge_pages_of_the_file(self):
        """The machine's /tmp is a tmpfs, mounted without any of its own."""
        text = self.section("one-huge")
        self.assertRegex(text, r"(?m)^ShmemHugePages: +[1-9]\d* kB$")

    def test_cet_cannot_be_taken_away(self):
        text = self.section("off", 1)
        self.assertIn("umbra: --cet off: the guest has seen SHSTK and IBT in CPUID", text)


if __name__ == "__main__":
    tap.main()
