#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The register table against the lab's KVM, and what the library costs there."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

# Each section ends in its program's exit status. The cost comes first, before the machine is warm.
SCRIPT = f"""
section() {{ name=$1; shift; echo "== $name"; "$@" 2>&1; echo "status $?"; }}
section cost cet_cost
section entry cet_entry {lab.KVM}
section proof cet_proof --kvm {lab.KVM} --values 500000
section one cet_proof --kvm {lab.KVM} --one both u_cet 0x8000000000000004
section example cet_save_restore
echo 1 > /sys/module/kvm/parameters/ignore_msrs
section ignored cet_proof --kvm {lab.KVM} --values 200000
echo "== end"
"""
VERDICTS = ("ok", "accepts", "accepts-and-loses", "refuses")
MAINLINE = lab.KVM == "mainline"


class Cet(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        lab.part(f"vmlinuz-{lab.SERIES}")
        text = lab.run(["/bin/sh", "-c", SCRIPT], {
            "cet_save_restore": lab.BUILD / "examples" / "cet_save_restore",
        }, options=())
        cls.sections = lab.answers(text)

    def section(self, name):
        text = self.sections[name]
        self.assertRegex(text, r"status 0\n\Z")
        return text

    def proven(self, name, values, *verdicts):
        text = self.section(name)
        self.assertRegex(text, r"^seed \d+, ")
        self.assertRegex(text, r"(?m)^\d+ values, 0 mismatches$")
        tried, = re.findall(r"^(\d+) values, 0 mismatches$", text, re.M)
        self.assertGreaterEqual(int(tried), values)
        # A run that reaches only some of the verdicts would prove little.
        counts = dict(re.findall(r"^(\S+) +(\d+)$", text, re.M))
        counts = {verdict: int(counts[verdict]) for verdict in VERDICTS}
        self.assertEqual([verdict for verdict in VERDICTS if counts[verdict] > 100], list(verdicts),
                         text)

    def test_the_table_says_what_kvm_does(self):
        self.proven("proof", 500000, *(VERDICTS if MAINLINE else ("ok", "refuses")))

    def test_and_what_it_does_with_ignore_msrs(self):
        # Where the register is absent, any value is taken and lost: that is what was asked for.
        self.proven("ignored", 200000,
                    *(VERDICTS if MAINLINE else ("ok", "accepts-and-loses", "refuses")))

    def test_one_line_is_repeated_alone(self):
        self.assertIn(f"same: {'accepts-and-loses' if MAINLINE else 'refuses'}\n",
                      self.section("one"))

    def test_what_kvm_accepts_fails_at_entry(self):
        text = self.section("entry")
        self.assertIn(f"s_cet not canonical: {'entry fails' if MAINLINE else 'KVM refuses it'}", text)
        self.assertIn("all as the check says\n", text)

    def test_the_example_moves_all_registers(self):
        self.assertEqual(len(re.findall(r"^\w+ +0x0{16}$", self.section("example"), re.M)), 8)

    def test_capture_and_restore_cost_little_more_than_their_ioctls(self):
        found = re.findall(r"^(capture|restore) \d+, bare ioctls \d+: ([\d.]+) times$",
                           self.section("cost"), re.M)
        self.assertEqual([name for name, _ in found], ["capture", "restore"], self.section("cost"))
        for name, times in found:
            self.assertLessEqual(float(times), 1.05, name)

    def test_a_check_costs_less_than_2000_instructions(self):
        cost, = re.findall(r"^check (\d+) instructions$", self.section("cost"), re.M)
        self.assertLessEqual(int(cost), 2000)


if __name__ == "__main__":
    tap.main()
