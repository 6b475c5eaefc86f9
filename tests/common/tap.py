# SPDX-License-Identifier: MIT
"""unittest, reporting as TAP (testanything.org): one point for each test method."""

import sys
import unittest


class _Tap(unittest.TestResult):
    """A failed subtest fails its test; a set-up that fails is told for each test it kept away."""

    def __init__(self, suite):
        super().__init__()
        self.missing = [test.id() for test in _tests(suite)]
        print(f"1..{len(self.missing)}", flush=True)

    def stopTest(self, test):
        super().stopTest(test)
        bad = [text for failed, text in self.failures + self.errors
               if getattr(failed, "test_case", failed) is test]
        skips = [reason for skipped, reason in self.skipped if skipped is test]
        self.point(test.id(), "not ok" if bad else "ok", skips, bad)

    def point(self, name, word, skips=(), details=()):
        self.missing.remove(name)
        directive = f" # SKIP {skips[0]}" if skips else ""
        print(f"{word} - {name.removeprefix('__main__.')}{directive}", flush=True)
        for line in "\n".join(details).splitlines():
            print("# " + line, flush=True)

    def report_missing(self):
        """Classes or modules whose set-up failed or was skipped ran none of their tests."""
        skips = [reason for _, reason in self.skipped]
        details = [text for _, text in self.errors]
        for name in list(self.missing):
            word = "not ok" if self.errors else "ok"
            self.point(name, word, [] if self.errors else skips, details)


def _tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _tests(test)
        else:
            yield test


def main(skip=None):
    """Runs all tests of the program, or none, for the reason `skip`."""
    if skip:
        print(f"1..0 # SKIP {skip}")
        return
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = _Tap(suite)
    suite.run(result)
    result.report_missing()
    sys.exit(0 if result.wasSuccessful() else 1)
