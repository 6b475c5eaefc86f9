# SPDX-License-Identifier: MIT
"""A full disk, and a file that is truncated while its RAM is in use."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import harness
from harness import CANNOT_GO_ON, TIMEOUT, TRIPLE_FAULT, TROUBLE, UMBRA
from snapshots import MIB, Restored, SnapshotTest


class Trouble(SnapshotTest):
    def assert_full(self, folder, guest):
        before = sorted(os.listdir(folder))
        result = self.umbra("snapshot", "it", folder + "/snap")
        self.assertEqual(result.returncode, TROUBLE, result.stderr)
        self.assertRegex(result.stderr, r"\Aumbra: snapshot '.*/snap': cannot [^\n]*: "
                                        r"(No space left on device|File too large)\n\Z")
        self.assertEqual(sorted(os.listdir(folder)), before)
        self.snapshot("enough")
        self.assert_restores("enough")
        self.assert_result(guest)

    def test_the_disk_is_full(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small file system needs root")
        folder = self.path("small")
        os.mkdir(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", folder], check=True)
        self.addCleanup(subprocess.run, ["umount", folder], check=True)
        self.assert_full(folder, self.worker("--memory", "96M"))

    def test_files_may_not_be_so_large(self):
        guest = self.worker()
        subprocess.run(["prlimit", "--pid", str(guest.process.pid), f"--fsize={MIB}:"], check=True)
        folder = self.path("small")
        os.mkdir(folder)
        result = self.umbra("snapshot", "it", folder + "/snap")
        self.assertIn("File too large", result.stderr)
        self.assertEqual(os.listdir(folder), [])
        self.assert_result(guest)

    def test_the_file_is_truncated_under_the_guest(self):
        guest = self.worker()
        self.snapshot()
        guest.close()
        restored = Restored(self, self.path(), "--paused", "--name", "it")
        self.wait_until_listed("it")
        os.truncate(self.path(), 3 * MIB)
        self.umbra("resume", "it")
        status, stderr = restored.end()
        # KVM says that it cannot reach memory, or the guest finds none and dies of it.
        self.assertIn(status, (CANNOT_GO_ON, TRIPLE_FAULT), stderr)
        self.assertRegex(stderr, rf"(?m)^umbra: the guest's memory is in {re.escape(self.path())} "
                                 r".* was changed while the guest ran: ")

    def test_what_is_gone_does_not_pass_for_zeros(self):
        guest = self.worker()
        self.snapshot()
        guest.close()
        Restored(self, self.path(), "--paused", "--name", "it")
        self.wait_until_listed("it")
        os.truncate(self.path(), 3 * MIB)
        self.assert_trouble(self.umbra("snapshot", "it", self.path("other")),
                            "a part of the guest's memory is gone")
        self.assertEqual(self.files(), ["snap"])

    def has_mapped(self, process):
        try:
            return self.path() in pathlib.Path(f"/proc/{process.pid}/maps").read_text()
        except ProcessLookupError:  # it has just ended
            return False

    def truncate_under(self, length, *arguments):
        """The command is stopped when it has mapped the file, which then becomes that short."""
        size = os.path.getsize(self.path())
        for _ in range(50):
            process = subprocess.Popen([UMBRA, *arguments], env=self.environment, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while process.poll() is None and not self.has_mapped(process):
                pass
            process.send_signal(signal.SIGSTOP)
            os.truncate(self.path(), length)
            process.send_signal(signal.SIGCONT)
            stdout, stderr = process.communicate(timeout=TIMEOUT)
            if process.returncode == TROUBLE:
                self.assertRegex(stderr, r"\Aumbra: [^\n]*" + re.escape(self.path()) +
                                 r"[^\n]*\n\Z")
                self.assertEqual(stdout, "")
                return stderr
            # It was faster: then nothing was lost for it.
            self.assertEqual((process.returncode, stderr), (0, ""))
            os.truncate(self.path(), size)
            shutil.copy(self.path("copy"), self.path())
        return self.fail("the command was faster each time")

    def test_the_file_is_truncated_while_it_is_compared(self):
        self.worker(fill=32)
        self.snapshot()
        shutil.copy(self.path(), self.path("copy"))
        diff = "diff", self.path("copy"), self.path()
        self.assertIn("was truncated while it was read", self.truncate_under(3 * MIB, *diff))
        shutil.copy(self.path("copy"), self.path())
        # Of a page that is gone in part nothing is noticed but this.
        size = os.path.getsize(self.path())
        self.assertIn("bytes long and should be", self.truncate_under(size - 100, *diff))

    def wait_until_listed(self, name):
        deadline = time.monotonic() + TIMEOUT
        while self.umbra("inspect", name).returncode != 0:
            self.assertLess(time.monotonic(), deadline, f"{name} does not answer")


if __name__ == "__main__":
    harness.main()
