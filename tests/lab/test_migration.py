#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stock Debian guest with 2 vCPUs that works on half of its RAM and deep in shadow-stack calls
is moved from process to process.

UMBRA_MIGRATIONS says how often, 2 if unset. A move takes half a minute or more of the host's time.
"""

import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

MOVES = int(os.environ.get("UMBRA_MIGRATIONS", "2"))


class Migration(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        text = lab.run(["/lab/migration.sh", str(MOVES)], {
            "migration.sh": lab.ROOT / "tests" / "lab" / "migration.sh",
            "initrd": lab.BUILD / "tests" / "guest_image" / "endure-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        }, timeout=600 + 300 * MOVES)
        cls.sections = {name: (body, int(status)) for name, body, status in re.findall(
            r"^== (\S+)\n(.*?)^== \1 ended with (\d+)$", text, re.M | re.S)}

    def section(self, name):
        self.assertIn(name, self.sections)
        text, status = self.sections[name]
        self.assertEqual(status, 0, text)
        return text

    def test_every_move_succeeds_and_tells_its_cost(self):
        for n in range(1, MOVES + 1):
            text = self.section(f"move-{n}")
            self.assertRegex(text, rf"(?m)^g{n - 1} runs at \S+ now: [\d.]+ MiB sent in \d+ rounds$")
            self.assertRegex(text, r"(?m)^the guest stood still for [\d.]+ ms: [\d.]+ to stop")

    def test_the_work_goes_on_from_process_to_process(self):
        outputs = [self.section(f"g{n}") for n in range(MOVES + 1)]
        whole = "".join(outputs)
        passes = [int(n) for n in re.findall(r"^endure: pass (\d+)$", whole, re.M)]
        # Each line once, in order, whichever process printed it: nothing was lost or done twice.
        self.assertEqual(passes, list(range(1, 2 * MOVES + 5)), whole)
        self.assertEqual(whole.count("umbra-guest: init"), 1)
        self.assertNotIn("WRONG", whole)
        for n in range(MOVES):
            self.assertIn("umbra: the guest moved to ", outputs[n])
        last = outputs[MOVES]
        self.assertRegex(last, r"(?m)^endure: all right, \d+ signals$")
        self.assertIn("endure: an overwritten return: SEGV_CPERR\n", last)
        self.assertIn("umbra: the guest powered off\n", last)


if __name__ == "__main__":
    tap.main()
