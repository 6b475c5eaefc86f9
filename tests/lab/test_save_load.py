#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guests deep in shadow-stack calls, saved and gone on with in new machines, under a real KVM."""

import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

FOLDER = lab.BUILD / "tests" / "save_load"


DEEP_MOVES, WORK_MOVES = 8, 6  # in save_load.sh


def expected(*words):
    return subprocess.run([FOLDER / "expect", *words], capture_output=True, text=True,
                          check=True).stdout


class SaveLoad(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        guests = lab.BUILD / "tests" / "guests"
        text = lab.run(["/lab/save_load.sh"], {
            "save_load.sh": lab.ROOT / "tests" / "lab" / "save_load.sh",
            "cet_deep": guests / "cet_deep",
            "work": guests / "work",
            "hello": guests / "hello",
        }, options=("--add", f"{FOLDER / 'save_load'}:/bin/save_load",
                    "--add", f"{lab.BUILD / 'tests' / 'kvm' / 'test_kvm_load'}:/bin/test_kvm_load"))
        cls.sections = lab.sections(text)

    def section(self, name):
        """What the guest said, how often it was moved, and how it ended."""
        text, status = self.sections[name]
        said = "".join(re.findall(r"^(?:cet_deep|work): .*\n", text, re.M))
        self.assertRegex(text, r"(?m)^save_load: moved \d+ times")
        return said, int(re.search(r"^save_load: moved (\d+) times", text, re.M)[1]), status

    def test_load(self):
        """The tests of tier 2, with all that they skip where there is no CET."""
        text, status = self.sections["load"]
        self.assertEqual(status, 0, text)
        self.assertEqual(re.findall(r"^ok \d+ (\S+) # SKIP", text, re.M), ["/load/tsc-never-backwards"],
                         text)

    def test_undisturbed(self):
        self.assertEqual(self.section("undisturbed"), (expected("cet_deep"), 0, 0),
                         self.sections["undisturbed"])

    def test_shadow_stacks_survive_and_still_protect(self):
        """In a guest that works until it is asked to end, after the last move."""
        said, times, status = self.section("deep")
        rounds = re.findall(r" after (\d+) rounds$", said, re.M)
        self.assertEqual(len(rounds), 1, self.sections["deep"])
        self.assertEqual((said, status), (expected("cet_deep", rounds[0]), 0), self.sections["deep"])
        self.assertEqual(times, DEEP_MOVES, self.sections["deep"])

    def test_without_its_ssp_the_guest_dies(self):
        said, times, status = self.section("without-ssp")
        self.assertEqual(times, 1, self.sections["without-ssp"])
        self.assertNotEqual(said, expected("cet_deep"))
        self.assertTrue(status or "WRONG" in said, self.sections["without-ssp"])

    def test_without_u_cet_the_guest_is_not_protected(self):
        said, times, _ = self.section("without-u-cet")
        self.assertEqual(times, 1, self.sections["without-u-cet"])
        self.assertNotEqual(said, expected("cet_deep"))

    def test_work(self):
        said, times, status = self.section("work")
        self.assertEqual((said, status), (expected("work"), 0), self.sections["work"])
        self.assertEqual(times, WORK_MOVES, self.sections["work"])


if __name__ == "__main__":
    tap.main()
