#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nested guests and the 6.12 series: with kvm_intel.nested=Y there is no CET, without no L2."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402


class Nested(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = lab.run(["/lab/reload.sh", "cet_nested; true", "nested=1", "nested=0"], {
            "reload.sh": pathlib.Path(__file__).resolve().parent / "reload.sh",
            "cet_nested": lab.BUILD / "tests" / "kernel" / "cet_nested",
        }, kernel="6.12")
        cls.said = lab.Sections(re.findall(r"^== (.*)\n((?:[^=].*\n)*)", text, re.M), text)

    def assert_all_ok(self, options, *points):
        text = self.said[options]
        self.assertRegex(text, r"\n1\.\.\d+\n\Z")
        self.assertEqual([line for line in text.splitlines() if line.startswith("not ok")], [], text)
        for point in points:
            self.assertRegex(text, rf"(?m)^ok \d+ - {point}$")

    def test_guests_that_may_have_guests_have_no_cet(self):
        self.assert_all_ok("nested=1", "no MSR 0x6a0", "no guest_ssp", "no CR4.CET from inside",
                           r"L1 is told of no CET at VM entry \(0x490\)", "and yet it has VMX")

    def test_guests_that_have_cet_have_no_guests(self):
        self.assert_all_ok("nested=0", "no CR4.VMXE from inside", "though CR4.CET can be set",
                           "no state of VMX operation is taken")


if __name__ == "__main__":
    tap.main()
