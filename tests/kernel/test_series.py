#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The patches of kernel/ as such: they apply, build one by one, and keep the kernel's style."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

SERIES = ("6.12", "7.3")
CHECKPATCH = tuple(f"scripts/{name}" for name in
                   ("checkpatch.pl", "spelling.txt", "const_structs.checkpatch"))


def patches_of(series):
    return sorted((lab.ROOT / "kernel" / series).glob("*.patch"))


def unpack(series, directory, paths):
    """Unpack some files of the source of `series`."""
    subprocess.run(["tar", "-xf", lab.part(f"source-{series}"), "-C", directory, "--strip-components=1",
                    *(f"linux-source-{series}/{path}" for path in paths)], check=True)


class Series(unittest.TestCase):
    maxDiff = None

    @staticmethod
    def touched(series):
        return {path for patch in patches_of(series) for path in re.findall(
            r"^--- a/(\S+)", patch.read_text(encoding="utf-8"), re.M)}

    def test_1_they_apply_one_by_one_as_mails(self):
        for series in SERIES:
            with self.subTest(series), tempfile.TemporaryDirectory() as tree:
                patches = patches_of(series)
                unpack(series, tree, self.touched(series))
                for command in (["init", "-q"], ["add", "-f", "."], ["commit", "-qm", "source"],
                                ["am", "-q", *patches]):
                    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x", *command],
                                   cwd=tree, check=True)

    def test_2_checkpatch_finds_nothing(self):
        for series in SERIES:
            with tempfile.TemporaryDirectory() as tree:
                # With the files: names that are in there already may be as they are.
                unpack(series, tree, (*CHECKPATCH, "MAINTAINERS", *self.touched(series)))
                # A new file makes checkpatch ask whether somebody maintains it. Somebody does.
                maintainers = (pathlib.Path(tree) / "MAINTAINERS").read_text(encoding="utf-8")
                self.assertIn("\nF:\tarch/x86/kvm/\n", maintainers)
                for patch in patches_of(series):
                    with self.subTest(patch.name):
                        for name in re.findall(r"^\+\+\+ b/(\S+)", re.sub(
                                r"(?m)^--- a/.*\n\+\+\+ .*", "", patch.read_text(encoding="utf-8")), re.M):
                            self.assertTrue(name.startswith("arch/x86/kvm/"), name)
                        done = subprocess.run(
                            ["perl", CHECKPATCH[0], "--strict", "--no-tree", "--ignore",
                             "FILE_PATH_CHANGES", patch], cwd=tree, capture_output=True, text=True,
                            check=False)
                        self.assertIn("total: 0 errors, 0 warnings, 0 checks, ", done.stdout)

    def test_3_each_builds_and_sparse_finds_nothing_new(self):
        done = subprocess.run([lab.ROOT / "kernel" / "6.12" / "build", "--each"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        first, *lines, last = done.stdout.splitlines()
        self.assertRegex(first, r"^sparse: [1-9]\d+ warnings without patches$")  # or it did not run
        self.assertEqual(lines, [f"{patch.name}: builds" for patch in patches_of("6.12")])
        self.assertEqual(last, "sparse: 0 new warnings")


if __name__ == "__main__":
    tap.main()
