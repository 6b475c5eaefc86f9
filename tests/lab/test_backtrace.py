#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""umbra backtrace, held against what a program in the guest says of its own shadow stack."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

DEPTH = 20


class Backtrace(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        text = lab.run(["/lab/backtrace.sh"], {
            "backtrace.sh": lab.ROOT / "tests" / "lab" / "backtrace.sh",
            "shstk_depth": lab.BUILD / "tests" / "programs" / "shstk_depth",
            "initrd": lab.BUILD / "tests" / "guest_image" / "depth-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        })
        cls.sections = lab.answers(text)
        cls.told = [(int(at, 16), int(value, 16)) for at, value in
                    re.findall(r"^entry \d+ (0x\w+) (0x\w+)$", cls.sections["told"], re.M)]
        cls.vcpu, = lab.loads(cls.sections["json"])["vcpus"]

    def test_the_guest_told_a_deep_stack(self):
        self.assertGreater(len(self.told), 2 * DEPTH)

    def test_each_entry_is_what_the_guest_said(self):
        frames = [(int(frame["at"], 16), int(frame["value"], 16)) for frame in self.vcpu["frames"]]
        self.assertEqual(frames[:len(self.told)], self.told)
        self.assertEqual(len(frames), len(self.told), "entries above the top")

    def test_it_starts_at_the_live_pointer_and_ends_at_the_top(self):
        self.assertEqual((self.vcpu["cpl"], self.vcpu["from"]), (3, "guest_ssp"))
        self.assertEqual(int(self.vcpu["ssp"], 16), self.told[0][0])
        self.assertEqual(int(self.vcpu["end"]["at"], 16), self.told[-1][0] + 8)
        self.assertIn(self.vcpu["end"]["reason"], ("unmapped", "not-shadow-stack"))

    def test_the_signal_frame_is_no_return_address(self):
        kinds = [frame["kind"] for frame in self.vcpu["frames"]]
        self.assertEqual(kinds.count("signal-frame"), 1)
        # It holds where the interrupted code's pointer was: just above itself (bit 63 marks it).
        frame = self.vcpu["frames"][kinds.index("signal-frame")]
        self.assertEqual(int(frame["value"], 16), int(frame["at"], 16) + 8 | 1 << 63)
        self.assertEqual(kinds.count("return"), len(kinds) - 1)

    def test_names_are_the_calls_that_were_made(self):
        names = [frame.get("symbol", "").partition("+")[0] for frame in self.vcpu["frames"]]
        # turn() was called by inner(), inner() DEPTH times by itself, then by the handler.
        self.assertEqual(names[:DEPTH + 1], ["inner"] * (DEPTH + 1))
        self.assertEqual(names[DEPTH + 1], "on_signal")
        self.assertEqual(names.count("outer"), DEPTH + 1)
        self.assertEqual(names[-1], "main")

    def test_text_names_the_same(self):
        text = self.sections["text"]
        for frame in self.vcpu["frames"]:
            self.assertIn(f"0x{int(frame['at'], 16):016x}  0x{int(frame['value'], 16):016x}", text)
        self.assertEqual(len(re.findall(r"  outer\+0x", text)), DEPTH + 1)

    def test_a_limit_is_kept(self):
        vcpu, = lab.loads(self.sections["limit"])["vcpus"]
        self.assertEqual(len(vcpu["frames"]), 3)
        self.assertEqual(vcpu["end"]["reason"], "limit")


if __name__ == "__main__":
    tap.main()
