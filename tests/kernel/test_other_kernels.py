#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A stock guest of one kernel's KVM goes on under another's: from a snapshot file, and by a migration
that was recorded there and is played here. It may use whatever its first host showed it, which
is by --cpu-like no more than the second has; a guest that was shown all is refused where features
are missing, and any guest with CET by a host without it, each by name.
"""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import endure  # noqa: E402
import lab  # noqa: E402
import tap  # noqa: E402

ROUTES = (("7.3", "6.12"), ("6.12", "7.3"))
WITHOUT_CET = "6.17"
TAKEN = ("all.snap", "taken.snap", "taken.tape")
# What Linux 6.12's KVM does not know of the lab's CPU, and 7.3's does: arch/x86/kvm/cpuid.c.
NEW_IN_7_3 = ("sha512", "sm3", "sm4")


def run(kernel, words, files, options=()):
    common = {"other_kernel.sh": lab.ROOT / "tests" / "kernel" / "other_kernel.sh",
              "tape": lab.BUILD / "tests" / "kernel" / "tape"}
    return lab.sections(lab.run(["/lab/other_kernel.sh", *words], {**common, **files}, options,
                                kernel=kernel))


class OtherKernels(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.hosts, cls.taken, cls.gone_on = {}, {}, {}
        for kernel in sorted({kernel for route in ROUTES for kernel in route}):
            cls.hosts[kernel] = cls.folder / f"{kernel}.json"
            cls.hosts[kernel].write_text(run(kernel, ("describe",), {})["host"][0])
        for source, target in ROUTES:
            files = {name: cls.folder / f"{source}.{name}" for name in TAKEN}
            options = []
            for name, path in files.items():
                options += ["--get", f"/tmp/{name}:{path}"]
            cls.taken[source] = run(source, ("take",), {
                "initrd": lab.BUILD / "tests" / "guest_image" / "endure-initrd.cpio",
                "vmlinuz": lab.part("vmlinuz-7.3"),
                "other.json": cls.hosts[target],
            }, options)
            cls.gone_on[source, target] = run(target, ("go-on",), files)
            if source == "7.3":
                cls.refused = run(WITHOUT_CET, ("go-on",), files)

    def assert_section(self, found, name, status=0):
        self.assertIn(name, found)
        text, ended = found[name]
        self.assertEqual(ended, status, text)
        return text

    def assert_comes_to_its_end(self, text):
        """It was stored or moved after its second pass. The number of its first one here."""
        first = endure.assert_comes_to_its_end(self, text)
        self.assertGreaterEqual(first, 3, text)
        self.assertIn("umbra: the guest powered off\n", text)
        return first

    def test_the_hosts_have_cet(self):
        for kernel, path in self.hosts.items():
            with self.subTest(kernel):
                cet = json.loads(path.read_text())["cet"]
                self.assertTrue(cet["shstk"] and cet["ibt"] and cet["guest_ssp"])

    def test_taken_from_the_middle_of_its_work(self):
        for source, found in self.taken.items():
            with self.subTest(source):
                self.assert_section(found, "store-all")
                self.assert_section(found, "store")
                print(f"# {source}: " + self.assert_section(found, "move").replace("\n", "; "))
                text = self.assert_section(found, "source")
                self.assertIn("umbra: the guest moved to ", text)
                self.assertNotIn("endure: asked to end", text)
                first = self.assert_comes_to_its_end(self.assert_section(found, "target"))
                print(f"# then pass {first}")

    def test_restored_under_another_kernel(self):
        for route, found in self.gone_on.items():
            with self.subTest(route):
                self.assert_comes_to_its_end(self.assert_section(found, "restored"))

    def test_a_recorded_migration_ends_under_another_kernel(self):
        """It arrives as it did where it was recorded: with the next pass."""
        for (source, target), found in self.gone_on.items():
            with self.subTest((source, target)):
                self.assert_section(found, "play")
                text = self.assert_section(found, "target")
                first = self.assert_comes_to_its_end(text)
                text = self.assert_section(self.taken[source], "target")
                self.assertEqual(first, self.assert_comes_to_its_end(text))

    def test_what_was_shown_all_is_refused_where_features_are_missing(self):
        found = self.gone_on["7.3", "6.12"]
        text = self.assert_section(found, "all", 1)
        for name in NEW_IN_7_3:
            self.assertRegex(text, rf"\({name},|, {name}[,)]|\({name}\)")
        self.assertIn("were shown to the guest, and this host's KVM does not offer them", text)
        text = self.assert_section(found, "restored-all", 1)
        self.assertIn("/lab/all.snap: cannot be restored here", text)
        self.assertNotIn("endure: ", text)

    def test_refused_by_a_kernel_without_cet(self):
        text = self.assert_section(self.refused, "restored", 1)
        self.assertIn("and this host's KVM has no shadow stacks", text)
        self.assertIn("/lab/taken.snap: cannot be restored here", text)
        self.assertNotIn("endure: ", text)
        text = self.assert_section(self.refused, "play", 1)
        self.assertRegex(text, r"tape: the target gave up: the guest does not fit this host:\n"
                               r"(?s:.*)and this host's KVM has no shadow stacks")


if __name__ == "__main__":
    tap.main()
