#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The emulated CPU does what programs with shadow stacks rely on, in the machine's own kernel."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

COUNT = 20000  # unrepaired, a few hundred were enough


class Emulator(unittest.TestCase):
    def test_programs_preempted_in_signals_keep_their_shadow_stack(self):
        program = lab.BUILD / "tests" / "programs" / "shstk_signals"
        text = lab.run(["sh", "-c", f"/lab/shstk_signals {COUNT} || dmesg | grep shstk_signals"],
                       {"shstk_signals": program})
        self.assertEqual(text, "signals: all right\n")


if __name__ == "__main__":
    tap.main()
