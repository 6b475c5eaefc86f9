#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The kernel's own msrs_test, with the second patch of kernel/7.3: on the kernel that has the first
patch, on the one that has not, and its rows for CET on 6.12 with its series."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

# Of the source: what `make headers` and the selftests of KVM take, which compile bits of drivers.
NEEDED = ("Makefile", "Kbuild", "scripts", "include", "usr", "arch/x86", "tools", "virt/kvm",
          "drivers/dma/ioat", "drivers/dma/idxd", "drivers/net/ethernet/intel/igb")
SELFTESTS = "tools/testing/selftests/kvm"
# The table, up to the first row for CET. Its first rows are about what 6.12 does otherwise.
OTHER_ROWS = re.compile(r"(?<=const struct kvm_msr __msrs\[\] = \{\n).*?(?=\t\tMSR_TEST2\(MSR_IA32_S_CET)",
                        re.S)


class Selftest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="umbra-selftest-")
        cls.addClassCleanup(folder.cleanup)
        cls.tree = pathlib.Path(folder.name)
        subprocess.run(["tar", "-xf", lab.part("source-7.3"), "-C", cls.tree, "--strip-components=1",
                        *(f"linux-source-7.3/{path}" for path in NEEDED)], check=True)
        patch, = (lab.ROOT / "kernel" / "7.3").glob("0002-*.patch")
        subprocess.run(["git", "apply", patch], cwd=cls.tree, check=True,
                       env=dict(os.environ, GIT_CEILING_DIRECTORIES=str(cls.tree.parent)))
        cls.make("headers")
        cls.program = cls.tree / SELFTESTS / "x86" / "msrs_test"
        cls.build()

    @classmethod
    def make(cls, *words):
        # The selftests' rules are others under another make, such as that of `make check-kernel`.
        alone = {name: value for name, value in os.environ.items()
                 if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        done = subprocess.run(["make", "-s", f"-j{len(os.sched_getaffinity(0))}", *words], cwd=cls.tree,
                              env=alone, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"make {' '.join(words)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    @classmethod
    def build(cls):
        cls.make("-C", SELFTESTS, "ARCH=x86_64", "LDFLAGS=-static", str(cls.program))

    def run_on(self, kernel):
        """(exit status, output) of the test on `kernel`."""
        text = lab.run(["/bin/sh", "-c", "./msrs_test 2>&1; echo \"status $?\""],
                       {"msrs_test": self.program}, kernel=kernel)
        self.assertRegex(text, r"(?m)^status \d+$")
        return int(re.search(r"^status (\d+)$", text, re.M)[1]), text

    def test_1_it_passes_with_the_fix(self):
        status, text = self.run_on("7.3-fixed")
        self.assertEqual(status, 0, text)

    def test_2_and_fails_without(self):
        status, text = self.run_on("7.3")
        self.assertNotEqual(status, 0, text)
        self.assertRegex(text, r"Expected failure on writing 0x8000000000000004 to MSR_IA32_[SU]_CET")

    def test_3_the_series_passes_its_rows_for_cet(self):
        source = self.program.with_suffix(".c")
        text, n = OTHER_ROWS.subn("", source.read_text(encoding="utf-8"))
        self.assertEqual(n, 1)
        self.assertEqual(len(re.findall(r"^\t\tMSR_TEST", text, re.M)), 15)
        source.write_text(text, encoding="utf-8")
        self.build()
        status, text = self.run_on("6.12")
        self.assertEqual(status, 0, text)


if __name__ == "__main__":
    tap.main()
