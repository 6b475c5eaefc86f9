# SPDX-License-Identifier: MIT
"""Snapshots of running guests, and guests that go on from them."""

import os
import pathlib
import time

import harness
from running import Running
from snapshots import PAGE, Restored, SnapshotTest


class GoesOn(SnapshotTest):
    def test_in_a_new_process_and_in_the_old_one(self):
        guest = self.worker()
        text = self.snapshot()
        self.assertRegex(text, r"\A\S.*: \d+\.\d MiB of RAM stored\n"
                               r"the guest stood still for \d+\.\d ms: .*\nall was on disk .*\n\Z")
        self.assertEqual(os.stat(self.path()).st_mode & 0o777, 0o600)
        self.assert_restores()
        self.assert_result(guest)

    def test_many_at_once_of_one_file(self):
        guest = self.worker()
        self.snapshot()
        guest.close()
        before = self.digest("snap")
        for restored in [Restored(self, self.path()) for _ in range(4)]:
            self.assert_result(restored)
        self.assertEqual(self.digest("snap"), before)

    def test_a_chain(self):
        guest = self.worker()
        self.snapshot("0")
        for i in (1, 2, 3):
            # Some rounds lie between the links.
            time.sleep(0.05)
            self.snapshot(str(i), "--since", self.path(str(i - 1)))
        self.assertEqual(self.files(), ["0", "1", "2", "3"])
        guest.close()
        for i in (3, 0):
            self.assert_restores(str(i))
        # Each finds the others from its own folder.
        os.mkdir(self.path("moved"))
        for name in self.files():
            os.rename(self.path(name), self.path("moved/" + name))
        self.assert_restores("moved/2")
        os.unlink(self.path("moved/1"))
        result = self.umbra("restore", self.path("moved/2"))
        self.assert_trouble(result, "moved/1")

    def test_an_increment_holds_what_was_written(self):
        guest = Running(self, "writer")
        self.snapshot("0")
        guest.process.stdin.write(b"u1")
        guest.wait_for(b"wrote\n")
        self.snapshot("1", "--since", self.path("0"))
        # 64 pages by the guest's own description; its stack, its variables and page tables besides.
        used = os.stat(self.path("1")).st_blocks * 512
        self.assertGreaterEqual(used, 64 * PAGE)
        self.assertLess(used, 100 * PAGE)
        guest.process.stdin.write(b"q")
        guest.wait_for(b"done\n")

    def test_a_restored_guest_is_a_guest(self):
        guest = self.worker("--cpus", "2")
        self.snapshot()
        guest.close()
        restored = Restored(self, self.path(), "--name", "again", "--qmp", self.path("other"),
                            "--paused")
        client = self.qmp(self.path("other"), wait=True)
        self.assertEqual(client.execute("query-status"), {"status": "paused", "running": False})
        self.assertEqual(len(client.execute("query-cpus-fast")), 2)
        self.assertTrue(restored.silent())
        self.snapshot("second", target="again")
        # What its memory is mapped from may be replaced.
        self.snapshot("snap", target="again")
        client.execute("cont")
        self.assert_result(restored)
        self.assert_restores("second")
        self.assert_restores("snap")

    def test_input_goes_on(self):
        guest = Running(self, "echo")
        self.umbra("pause", "it")
        # One waits in the serial port, with its interrupt.
        guest.process.stdin.write(b"x")
        for _ in range(100):
            self.umbra("list")
        self.snapshot()
        self.assertEqual(self.umbra("resume", "it").returncode, 0)
        guest.wait_for(b"x")
        guest.close()
        restored = Restored(self, self.path())
        restored.wait_for(b"x")
        restored.echoes(b"hello")


class Refused(SnapshotTest):
    def test_since(self):
        guest = self.worker()
        self.assert_trouble(self.umbra("snapshot", "it", self.path("1"), "--since", self.path("0")),
                            "the first snapshot of a process must be a full one")
        self.snapshot("0", "--no-track")
        self.assert_trouble(self.umbra("snapshot", "it", self.path("1"), "--since", self.path("0")),
                            "without no-track")
        self.snapshot("1")
        self.snapshot("2")
        self.assert_trouble(self.umbra("snapshot", "it", self.path("3"), "--since", self.path("1")),
                            "/1 is not the last snapshot of this guest")
        self.assert_trouble(self.umbra("snapshot", "it", self.path("3"), "--since", self.path("9")),
                            self.path("9"))
        before = self.digest("2")
        self.assert_trouble(self.umbra("snapshot", "it", self.path("2"), "--since", self.path("2")),
                            "give another name")
        self.assertEqual((self.files(), self.digest("2")), (["0", "1", "2"], before))
        # None of that cost the chain anything.
        self.snapshot("3", "--since", self.path("2"), "--no-track")
        guest.close()
        self.assert_restores("3")

    def test_places(self):
        self.worker()
        os.mkdir(self.path("folder"))
        os.symlink("nowhere", self.path("link"))
        for target, text in ((self.path("nix/snap"), "open its folder"),
                             (self.path("folder"), "no regular file"),
                             (self.path("link"), "no regular file"),
                             ("/dev/null", "no regular file")):
            with self.subTest(target):
                self.assert_trouble(self.umbra("snapshot", "it", target), text)
        self.assert_trouble(self.umbra("snapshot", "nix", self.path()), "no guest of that name")
        self.assertEqual(self.files(), [])

    def test_restore(self):
        self.worker()
        self.snapshot()
        for options, text in ((("--cpus", "2"), "--cpus is not for restore: it is in the file"),
                              (("-m", "1G"), "-m is not for restore: it is in the file"),
                              (("--kernel", "x"), "--kernel is not for restore"),
                              (("--cet", "maybe"), "--cet: 'maybe' is none of auto, on, off"),
                              (("--kvm", "/dev/null"), "/dev/null"),
                              (("--name", "it"), "in use by a running process")):
            with self.subTest(options):
                result = self.umbra("restore", self.path(), *options)
                self.assertIn(text, result.stderr)
                self.assertNotEqual(result.returncode, 0)
                self.assertEqual(result.stdout, "")
        pathlib.Path(self.path("text")).write_text("no snapshot\n", encoding="utf-8")
        for name in ("nix", "text", "umbra"):
            with self.subTest(name):
                self.assert_trouble(self.umbra("restore", self.path(name)), self.path(name))

    def test_cet_that_the_guest_never_saw(self):
        """Where this host has no CET; where it has, the lab tests the reverse."""
        if self.umbra("host").returncode == 0:
            self.skipTest("this host's KVM has CET: the guest saw it")
        self.worker()
        self.snapshot()
        result = self.umbra("restore", self.path(), "--cet", "on")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Aumbra: --cet on: the guest has seen neither ")


if __name__ == "__main__":
    harness.main()
