#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stock Debian guest with 2 vCPUs that works on half of its RAM and deep in shadow-stack calls
is moved from process to process.

UMBRA_MIGRATIONS says how often, 2 if unset. A move takes half a minute or more of the host's time.
"""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import endure  # noqa: E402
import lab  # noqa: E402
import tap  # noqa: E402

MOVES = int(os.environ.get("UMBRA_MIGRATIONS", "2"))


class Migration(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.sections = lab.sections(lab.run(["/lab/migration.sh", str(MOVES)], {
            "migration.sh": lab.ROOT / "tests" / "lab" / "migration.sh",
            "initrd": lab.BUILD / "tests" / "guest_image" / "endure-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        }, timeout=lab.SECONDS + 300 * MOVES))

    def section(self, name):
        text, status = self.sections[name]
        self.assertEqual(status, 0, self.sections.text)
        return text

    def test_every_move_succeeds_and_tells_its_cost(self):
        for n in range(1, MOVES + 1):
            text = self.section(f"move-{n}")
            self.assertRegex(text, rf"(?m)^g{n - 1} runs at \S+ now: [\d.]+ MiB sent in \d+ rounds?$")
            self.assertRegex(text, r"(?m)^the guest stood still for [\d.]+ ms: [\d.]+ to stop")

    def test_the_work_goes_on_from_process_to_process(self):
        outputs = [self.section(f"g{n}") for n in range(MOVES + 1)]
        said = "".join(outputs)
        # Each line once, in order, whichever process printed it: nothing was lost or done twice.
        passes = endure.passes(said)
        self.assertEqual(passes, list(range(1, len(passes) + 1)), said)
        self.assertEqual(said.count("umbra-guest: init"), 1, said)
        self.assertIn("endure: pass 1\n", outputs[0])
        self.assertNotIn("endure: asked to end", "".join(outputs[:-1]))
        endure.assert_the_end(self, said)
        for n in range(MOVES):
            self.assertIn("umbra: the guest moved to ", self.section(f"g{n}-told"))
        self.assertIn("umbra: the guest powered off\n", self.section(f"g{MOVES}-told"))


if __name__ == "__main__":
    tap.main()
