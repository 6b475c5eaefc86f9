#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What lab/run promises: true status, whole output, exact arguments, and nothing left behind."""

import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = ROOT / "lab" / "run"
MEGABYTES = 5
SECONDS = 1200  # for one run; a host that makes its first also fetches and boots
# Prints "before", and goes on when it is on the disk that lab/run reads (the writes to it, counted:
# Documentation/block/stat.rst).
TELL = ("writes() { awk '{ print $5 }' /sys/block/sdb/stat; }; n=$(writes); echo before; "
        "until [ $(writes) -gt $n ]; do usleep 1000; done; ")


def is_gone(pid):
    """Ended; whether somebody has asked how is another matter."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def lab(*arguments, run=RUN, **environment):
    """Run lab/run with `arguments`; stdout and stderr are bytes."""
    return subprocess.run([run, *arguments], env=dict(os.environ, **environment), check=False,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS)


class Command(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="lab run ")
        self.addCleanup(self.directory.cleanup)
        self.path = pathlib.Path(self.directory.name)

    def check(self, done, status):
        self.assertEqual(done.returncode, status, (done.stdout[-2000:] + b"\n" + done.stderr)
                         .decode(errors="replace"))

    def begin(self):
        """A run that has begun and does not end: its process, and its emulator's."""
        process = subprocess.Popen([RUN, "--", "sh", "-c", "echo begun; sleep 1000"],
                                   stdout=subprocess.PIPE, env=dict(os.environ, TMPDIR=self.path))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        self.assertEqual(process.stdout.read(6), b"begun\n")
        child, = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return process, child

    def test_arguments_and_streams_are_exact(self):
        words = ["", "a b", "it's", '"$HOME"', "line\nbreak", "*", "\\", "ü", "-n", "--"]
        script = 'for word; do printf "%s\\0" "$word"; done; printf "to stderr" >&2; exit 77'
        done = lab("--quiet", "--", "sh", "-c", script, "sh", *words)
        self.check(done, 77)
        self.assertEqual(done.stdout, b"".join(word.encode() + b"\0" for word in words))
        self.assertEqual(done.stderr, b"to stderr")

    def test_machine_has_cet_and_kvm(self):
        done = lab("--", "sh", "-c", "grep -o -w -E 'user_shstk|ibt|vmx' /proc/cpuinfo | sort -u; "
                   "[ -c /dev/kvm ] && [ -c /dev/net/tun ] && grep -q '^kvm_intel ' /proc/modules "
                   "&& hostname; ip link show lo | grep -c UP; cat /proc/self/fd/0 | wc -c")
        self.check(done, 0)
        self.assertEqual(done.stdout.split(), b"ibt user_shstk vmx lab 1 0".split())

    def test_megabytes_of_output_are_whole(self):
        size = MEGABYTES << 20
        copy = self.path / "copy"
        done = lab("--get", f"/tmp/copy:{copy}", "--", "sh", "-c",
                   f"head -c {size} /dev/urandom | tee /tmp/copy; sha256sum </tmp/copy >&2")
        self.check(done, 0)
        self.assertEqual(len(done.stdout), size)
        digest = hashlib.sha256(done.stdout).hexdigest()
        self.assertIn(digest.encode(), done.stderr)
        self.assertEqual(hashlib.sha256(copy.read_bytes()).hexdigest(), digest)

    def test_files_go_in_and_come_out(self):
        brought, tree = self.path / "a file", self.path / "tree"
        brought.write_text("brought\n")
        brought.chmod(0o640)
        tree.mkdir()
        (tree / "link").symlink_to("gone")
        back, log = self.path / "back", self.path / "log"
        done = lab("--add", str(brought), "--add", f"{brought}:/etc/other", "--add", "/bin/ls",
                   "--add-tree", f"{tree}:/tree", "--get", f"/etc/other:{back}", "--dmesg", str(log),
                   "--env", "COLOUR=deep blue", "--", "sh", "-c",
                   'cat "a file" && /lab/ls -l "a file" && readlink /tree/link && echo "$COLOUR"')
        self.check(done, 0)
        lines = done.stdout.decode().splitlines()
        self.assertEqual((lines[0], lines[2:]), ("brought", ["gone", "deep blue"]))
        self.assertTrue(lines[1].startswith("-rw-r-----"), lines[1])
        self.assertEqual(back.read_text(), "brought\n")
        self.assertIn(b"Linux version", log.read_bytes())

    def test_missing_file_to_bring_back_fails(self):
        done = lab("--get", f"/none:{self.path}/none", "--", "true")
        self.check(done, 125)
        self.assertIn(b"cannot bring back /none: No such file", done.stderr)

    def test_statuses(self):
        for script, status in (("exit 0", 0), ("exit 1", 1), ("kill -SEGV $$", 139)):
            with self.subTest(script):
                self.check(lab("--", "sh", "-c", script), status)

    def test_command_that_cannot_run(self):
        for command, status in (("no-such-command", 127), ("/etc", 126)):
            with self.subTest(command):
                self.check(lab("--", command), status)

    def test_machine_that_dies_is_told_from_the_command(self):
        for script, words in (("reboot -f", b"reset or powered off"),
                              ("echo c >/proc/sysrq-trigger", b"sysrq triggered crash")):
            with self.subTest(script):
                done = lab("--", "sh", "-c", f"{TELL}{script}; sleep 60")
                self.check(done, 125)
                self.assertEqual(done.stdout, b"before\n", done.stderr)
                self.assertIn(words, done.stderr)

    def test_timeout(self):
        done = lab("--timeout", "10", "--", "sh", "-c", "echo begun; while :; do :; done")
        self.check(done, 124)
        self.assertEqual(done.stdout, b"begun\n", done.stderr)
        self.assertIn(b"did not end within 10 s", done.stderr)

    def test_orphan_does_not_hold_the_run_up(self):
        done = lab("--timeout", "300", "--", "sh", "-c", "sleep 10000 & echo gone")
        self.check(done, 0)
        self.assertEqual(done.stdout, b"gone\n")

    def test_two_at_once(self):
        started = []
        for word in (3, 4):
            process = subprocess.Popen([RUN, "--", "sh", "-c", f"sleep 0.2; echo {word}; exit {word}"],
                                       stdout=subprocess.PIPE)
            started.append(process)
            self.addCleanup(process.wait)
            self.addCleanup(process.terminate)
        for process, word in zip(started, (3, 4)):
            output, _ = process.communicate(timeout=SECONDS)
            self.assertEqual((process.returncode, output), (word, b"%d\n" % word))

    def test_signal_leaves_nothing_behind(self):
        process, emulator = self.begin()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 128 + signal.SIGTERM)
        self.assertEqual(list(self.path.iterdir()), [])
        self.assertTrue(is_gone(emulator))

    def test_killed_takes_the_emulator_along(self):
        process, emulator = self.begin()
        process.kill()
        process.wait(SECONDS)
        deadline = time.monotonic() + 120
        while not is_gone(emulator):
            self.assertLess(time.monotonic(), deadline, "the emulator outlives lab/run")
            time.sleep(0.05)

    def test_paths_with_spaces(self):
        copy = self.path / "a copy" / "lab"
        shutil.copytree(ROOT / "lab", copy, ignore=shutil.ignore_patterns("__pycache__"))
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        (self.path / "the cache").mkdir()
        (self.path / "the cache" / "umbra").symlink_to(cache / "umbra")
        done = lab("--", "echo", "hi", run=copy / "run", XDG_CACHE_HOME=str(self.path / "the cache"))
        self.check(done, 0)
        self.assertEqual(done.stdout, b"hi\n")

    def test_wrong_usage(self):
        for arguments in ((), ("--cpus", "0", "--", "true"), ("--kernel", "2.4", "--", "true"),
                          ("--memory", "lots", "--", "true"), ("--",)):
            with self.subTest(arguments):
                done = lab(*arguments)
                self.check(done, 2)
                self.assertIn(b"usage: lab/run", done.stderr)


if __name__ == "__main__":
    sys.exit(not unittest.main(exit=False, verbosity=2).result.wasSuccessful())
