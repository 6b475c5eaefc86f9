# SPDX-License-Identifier: MIT
"""A guest at work, saved at random moments and gone on with in new machines, to the right end."""

import os
import re

import harness

BUILD = os.environ.get("UMBRA_SAVE_LOAD", harness.BUILD + "/tests/save_load")


class Work(harness.GuestTest):
    """Ring 3 stirs memory with a result in SSE, ring 0 prints, and sleeps until its timer fires."""

    @classmethod
    def setUpClass(cls):
        cls.expected = harness.run([BUILD + "/expect", "work"]).stdout
        assert cls.expected.endswith("work: done\n"), cls.expected

    def moved(self, *options):
        result = harness.run([BUILD + "/save_load", "--say", *options, harness.guest("work")])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, self.expected, result.stderr)
        times, = re.findall(r"^save_load: moved (\d+) times", result.stderr, re.M)
        return int(times), re.findall(r"^saved at rip \S+, cpl (\d)", result.stderr, re.M)

    def test_undisturbed(self):
        self.assertEqual(self.moved("--times", "0"), (0, []))

    def test_at_random_moments(self):
        """In ring 3 and in ring 0, in the middle of a line and in the middle of the work."""
        moves, rings, seed = 0, set(), 0
        # On a busy machine a guest may be over before it has moved often.
        while (moves < 100 or rings != {"0", "3"}) and seed < 20:
            seed += 1
            with self.subTest(seed):
                times, found = self.moved("--times", "40", "--every", "4000", "--seed", str(seed))
                moves += times
                rings.update(found)
        print(f"# {moves} moves of {seed} guests", flush=True)
        self.assertGreaterEqual(moves, 100)
        self.assertEqual(rings, {"0", "3"})


if __name__ == "__main__":
    harness.main()
