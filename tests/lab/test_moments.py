#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A tiny guest with all of CET, on 2 vCPUs, stored in files at random moments and gone on with in a
new process each time.

UMBRA_MOMENTS says how often, 40 if unset (`make check-kernel`: 100); UMBRA_SEED is the seed of when.
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
ROUNDS = MOMENTS + 20  # so that the guest still works at the last moment
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
        text = lab.run(["/lab/moments.sh", str(MOMENTS), str(ROUNDS), SEED], {
            "moments.sh": lab.ROOT / "tests" / "lab" / "moments.sh",
            "cet_moments": lab.BUILD / "tests" / "guests" / "cet_moments",
        }, options=("--add", f"{FOLDER / 'moments'}:/bin/moments"), timeout=300 + 20 * MOMENTS)
        cls.sections = {name: (body, int(status)) for name, body, status in re.findall(
            r"^== (\S+)\n(.*?)^== \1 ended with (\d+)$", text, re.M | re.S)}

    def said(self, name):
        """What the guest said, one vCPU's lines after the other's, and its exit status."""
        text, status = self.sections[name]
        lines = re.findall(r"^cet_moments: .*$", text, re.M)
        return sorted(lines, key=lambda line: re.sub(r"^cet_moments: (?!cpu)", "~", line)
                      .split(" round")[0].split(" cp ")[0]), status

    def told(self, name):
        return re.search(r"^moments: .* in all.*$", self.sections[name][0], re.M)[0]

    def test_undisturbed(self):
        self.assertEqual(self.said("undisturbed"), (expected(8), 0))

    def test_it_goes_on_from_any_moment(self):
        said, status = self.said("moved")
        self.assertEqual((said, status), (expected(ROUNDS), 0), self.sections["moved"][0])
        self.assertIn(f"moments: seed {SEED}, {MOMENTS} in all,", self.told("moved"))

    def test_the_moments_were_of_all_kinds(self):
        told = self.told("moved")
        print(f"# {told}")
        for kind in KINDS:
            with self.subTest(kind):
                self.assertGreater(int(re.search(rf"(\d+) {kind}(,|$)", told)[1]), 0, told)

    def test_without_its_ssp_the_guest_dies(self):
        """By its next use of a shadow stack that is nowhere: SDM 3A, page-fault error code, bit 6."""
        said, status = self.said("without-ssp")
        self.assertNotEqual(status, 0)
        self.assertNotIn("cet_moments: done", said)
        text = self.sections["without-ssp"][0]
        print("# " + re.search(r"cet_moments: WRONG.*", text)[0])
        self.assertRegex(text, r"cet_moments: WRONG: exception 14 error 0x4[0-7] ")


if __name__ == "__main__":
    tap.main()
