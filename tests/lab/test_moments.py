#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A tiny guest with all of CET, on 2 vCPUs, stored in files at random moments and gone on with in a
new process each time.

UMBRA_MOMENTS says how often at the least, 40 if unset (`make check-kernel`: 100); UMBRA_SEED is the
seed of when. The guest works until it is asked to end, which its last process does.
"""

import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

MOMENTS = int(os.environ.get("UMBRA_MOMENTS", "40"))
SEED = os.environ.get("UMBRA_SEED", "1")
CPUS = 2
FOLDER = lab.BUILD / "tests" / "save_load"
KINDS = ("in ring 3", "in ring 0", "halted", "with an interrupt pending", "in a handler of ring 3",
         "in an interrupt's handler", "in a context switch")


def expected(rounds):
    return subprocess.run([FOLDER / "expect", "cet_moments", str(CPUS), str(rounds)],
                          capture_output=True, text=True, check=True).stdout.splitlines()


class Moments(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        text = lab.run(["/lab/moments.sh", str(MOMENTS), SEED], {
            "moments.sh": lab.ROOT / "tests" / "lab" / "moments.sh",
            "cet_moments": lab.BUILD / "tests" / "guests" / "cet_moments",
        }, options=("--add", f"{FOLDER / 'moments'}:/bin/moments"), timeout=lab.SECONDS + 20 * MOMENTS)
        cls.sections = lab.sections(text)

    def said(self, name):
        """What the guest said, one vCPU's lines after the other's, and its exit status."""
        text, status = self.sections[name]
        lines = re.findall(r"^cet_moments: .*$", text, re.M)
        return sorted(lines, key=lambda line: re.sub(r"^cet_moments: (?!cpu)", "~", line)
                      .split(" round")[0].split(" cp ")[0]), status

    def told(self, name):
        text = self.sections[name][0]
        self.assertRegex(text, r"(?m)^moments: .* in all")
        return re.search(r"^moments: .* in all.*$", text, re.M)[0]

    def test_undisturbed(self):
        self.assertEqual(self.said("undisturbed"), (expected(8), 0),
                         self.sections["undisturbed"][0])

    def test_it_goes_on_from_any_moment(self):
        said, status = self.said("moved")
        text = self.sections["moved"][0]
        # All its processors end with the same one.
        rounds = re.findall(r"^cet_moments: cpu \d .* after (\d+) rounds", text, re.M)
        self.assertEqual(len(rounds), CPUS, text)
        self.assertEqual((said, status), (expected(int(rounds[0])), 0), text)
        self.assertGreaterEqual(int(re.search(r"(\d+) in all", self.told("moved"))[1]), MOMENTS)

    def test_the_moments_were_of_all_kinds(self):
        told = self.told("moved")
        print(f"# {told}")
        for kind in KINDS:
            with self.subTest(kind):
                self.assertGreater(int(re.search(rf"(\d+) {kind}(,|$)", told)[1]), 0, told)

    def test_without_its_ssp_the_guest_dies(self):
        """By its next use of a shadow stack that is nowhere: SDM 3A, page-fault error code, bit 6."""
        said, status = self.said("without-ssp")
        text = self.sections["without-ssp"][0]
        self.assertNotEqual(status, 0, text)
        self.assertNotIn("cet_moments: done", said)
        self.assertRegex(text, r"cet_moments: WRONG: exception 14 error 0x4[0-7] ")
        print("# " + re.search(r"cet_moments: WRONG.*", text)[0])


if __name__ == "__main__":
    tap.main()
