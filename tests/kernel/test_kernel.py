#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The modules of kernel/ in the lab: under the distribution's kernel, and what they leave of it."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
# The module's parameter, what umbra makes of it, and the reason in the kernel's log.
WHAT_IS_OFFERED = """
echo "cet $(cat /sys/module/kvm_intel/parameters/cet)," \
    "$(umbra host | sed -n 's/^shstk *//p' | cut -d' ' -f1)"
dmesg | sed -n 's/.*\\(CET is hidden from guests: .*\\)/\\1/p' | tail -1
dmesg -c | grep -E 'WARNING: |BUG: |Oops|unchecked MSR access'
true
"""


class Kernel(unittest.TestCase):
    maxDiff = None

    def abi(self, kernel, *arguments):
        text = lab.run(["cet_kvm", *arguments],
                       {"cet_kvm": lab.BUILD / "tests" / "kernel" / "cet_kvm"}, kernel=kernel)
        self.assertRegex(text, r"\n1\.\.\d+\n\Z")
        return [line for line in text.splitlines() if line.startswith("not ok")]

    def test_the_series_has_the_interface_of_newer_kernels(self):
        # 3200 values for each of eight registers and eight feature sets: 204,800
        self.assertEqual(self.abi("6.12", "3200"), [])

    def test_and_so_it_has_on_the_6_12_of_another_release(self):
        self.assertEqual(self.abi("6.12-trixie", "300"), [])

    def test_the_fixed_kernel_has_it_but_for_what_is_known(self):
        self.assertEqual([line for line in self.abi("7.3-fixed", "--mainline", "3200")
                          if "# TODO" not in line], [])

    def test_the_kernel_without_the_series_has_nothing(self):
        text = lab.run(["/bin/sh", "-c", "umbra host; true"], {}, kernel="6.12-stock")
        self.assertRegex(text, r"(?m)^shstk +no")

    def test_cet_is_hidden_where_it_must_be_and_comes_back(self):
        text = lab.run(["/lab/reload.sh", WHAT_IS_OFFERED, "nested=1", "nested=0 cet=0",
                        "nested=0 ept=0", "nested=0 unrestricted_guest=0",
                        "nested=0 allow_smaller_maxphyaddr=1", "nested=0"],
                       {"reload.sh": HERE / "reload.sh"}, kernel="6.12")
        self.assertEqual(text.splitlines(), [
            "== nested=1", "cet N, no",
            "CET is hidden from guests: nested virtualization is enabled",
            "== nested=0 cet=0", "cet N, no",
            "== nested=0 ept=0", "cet N, no",
            "CET is hidden from guests: unrestricted guests are disabled",
            "== nested=0 unrestricted_guest=0", "cet N, no",
            "CET is hidden from guests: unrestricted guests are disabled",
            "== nested=0 allow_smaller_maxphyaddr=1", "cet N, no",
            "CET is hidden from guests: allow_smaller_maxphyaddr is set",
            "== nested=0", "cet Y, yes",
        ])

    def test_two_guests_and_the_host_keep_their_shadow_stacks(self):
        text = lab.run(["/lab/two_guests.sh"], {
            "two_guests.sh": HERE / "two_guests.sh",
            "cet_moves": lab.BUILD / "tests" / "kernel" / "cet_moves",
            "shstk_proof": lab.BUILD / "tests" / "programs" / "shstk_proof",
            "initrd": lab.BUILD / "tests" / "guest_image" / "guest-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        }, ("--cpus", "2"), kernel="6.12")
        self.assertEqual(text.count("shstk_proof: all proven"), 4, text)
        self.assertEqual(text.count("umbra-guest: exit status 0"), 2, text)
        self.assertTrue(text.endswith("moves: done\n"), text)
        self.assertRegex(text, r"(?m)^host: \d+ rounds$")
        rounds, = re.findall(r"^host: (\d+) rounds$", text, re.M)
        self.assertGreater(int(rounds), 0, text)


if __name__ == "__main__":
    tap.main()
