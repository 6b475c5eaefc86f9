#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the 6.12 series costs: instructions, beside the unpatched modules and beside mainline."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FIGURES = ("exit", "userspace", "switch")
# What kernel/README.md states: three RDMSR, three WRMSR, and to ask whether they are needed.
MSR_PAIRS = 124
HIDDEN, OFFERED = "nested=0 cet=0", "nested=0"


def costs(kernel, *options):
    """{module options: {(guest, figure): instructions}}"""
    text = lab.run(["/lab/reload.sh", "cet_run_cost", *options],
                   {"reload.sh": HERE / "reload.sh",
                    "cet_run_cost": lab.BUILD / "tests" / "kernel" / "cet_run_cost"}, kernel=kernel)
    print("".join(f"# {kernel} {line}\n" for line in text.splitlines()), end="", flush=True)
    return {name: {(guest, figure): float(number) for guest, figure, number in
                   re.findall(r"^(\w+) (\w+) ([\d.]+)$", body, re.M)}
            for name, body in re.findall(r"^== (.*)\n((?:[^=].*\n)*)", text, re.M)}


class Cost(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stock = costs("6.12-stock", "nested=1", "nested=0")
        cls.series = costs("6.12", "nested=1", HIDDEN, OFFERED)
        cls.mainline = costs("7.3", HIDDEN, OFFERED)

    def added(self, kernel, figure):
        """What a guest with CET costs more than one where CET is hidden."""
        return kernel[OFFERED]["both", figure] - kernel[HIDDEN]["none", figure]

    def test_hidden_it_costs_what_the_unpatched_modules_do(self):
        for options, unpatched in (("nested=1", "nested=1"), (HIDDEN, "nested=0")):
            for figure in FIGURES:
                with self.subTest(figure, options=options):
                    ours = self.series[options]["none", figure]
                    theirs = self.stock[unpatched]["none", figure]
                    self.assertAlmostEqual(ours / theirs, 1, delta=0.001)

    def test_exposed_it_costs_what_mainline_adds_and_three_msr_pairs(self):
        for figure in ("userspace", "switch"):
            with self.subTest(figure):
                self.assertLessEqual(self.added(self.series, figure),
                                     self.added(self.mainline, figure) + MSR_PAIRS)

    def test_an_exit_that_stays_in_the_kernel_costs_no_more(self):
        # A batch of exits ends in one to userspace, hence not quite the same.
        for kernel in (self.series, self.mainline):
            self.assertLessEqual(self.added(kernel, "exit") / kernel[HIDDEN]["none", "exit"], 0.001)

    def test_only_guests_with_shadow_stacks_pay_for_the_msrs(self):
        for figure in ("userspace", "switch"):
            with self.subTest(figure):
                none, ibt, both = (self.series[OFFERED][guest, figure]
                                   for guest in ("none", "ibt", "both"))
                self.assertAlmostEqual(ibt / none, 1, delta=0.001)
                self.assertGreater(both - ibt, 6)  # or they are not switched at all


if __name__ == "__main__":
    tap.main()
