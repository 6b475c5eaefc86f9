# SPDX-License-Identifier: MIT
"""What shstk_endure says in a guest that works until it is asked to end, and is met in the middle."""

import re

PASSES_LEFT = 3  # that in which it is asked to end, and two more


def passes(text):
    """The numbers of those that were told as a whole: a line may be cut in two by a move."""
    return [int(n) for n in re.findall(r"^endure: pass (\d+)\n", text, re.M)]


def assert_in_the_middle(test, text):
    """It has begun, and works on: nobody has asked it to end."""
    test.assertNotEqual(passes(text), [], text)
    test.assertNotIn("endure: asked to end", text)
    test.assertNotIn("WRONG", text)


def assert_comes_to_its_end(test, text):
    """From the middle of its work to its end, with all that it proves there; its first pass."""
    found = passes(text)
    test.assertGreaterEqual(len(found), PASSES_LEFT, text)
    test.assertEqual(found, list(range(found[0], found[0] + len(found))), text)
    test.assertNotIn("umbra-guest: init", text)
    assert_the_end(test, text)
    return found[0]


def assert_the_end(test, text):
    """It was asked, passed over all of its memory twice more, and returns are still guarded."""
    test.assertNotIn("WRONG", text)
    _, asked, rest = text.partition("endure: asked to end\n")
    test.assertTrue(asked, text)
    test.assertEqual(len(passes(rest)), PASSES_LEFT - 1, text)
    test.assertRegex(rest, r"(?m)^endure: all right, \d+ signals$")
    test.assertIn("endure: an overwritten return: SEGV_CPERR\n", rest)
