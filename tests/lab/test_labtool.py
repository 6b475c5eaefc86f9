#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The lab's own parts, where two of its processes meet: what one does between two steps of the other."""

import os
import pathlib
import struct
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "common"), str(ROOT / "lab")]
import tap  # noqa: E402
from labtool import cache, channel, errors  # noqa: E402


def frame(sequence, kind, body):
    """One as guest/agent.c writes it."""
    whole = channel.HEAD.pack(channel.MAGIC, sequence, kind, len(body)) + body
    room = -(len(whole) + channel.TAIL.size) % channel.SECTOR
    return whole + bytes(room) + channel.TAIL.pack(sequence, ~channel.MAGIC & 0xFFFFFFFF)


class Channel(unittest.TestCase):
    def setUp(self):
        self.disk = tempfile.NamedTemporaryFile()
        self.addCleanup(self.disk.close)
        channel.create_disk(self.disk.name)
        self.reader = channel.Reader(self.disk.name)

    def write(self, data, at):
        os.pwrite(self.disk.fileno(), data, at)

    def test_a_frame_is_taken_when_all_of_it_is_there(self):
        """Whatever the emulator has of it on the disk when it is looked at."""
        first, second = frame(0, channel.Frame.OUT, b"a" * 1000), frame(1, channel.Frame.DONE, b"")
        self.write(first, 0)
        self.assertEqual(list(self.reader.frames()), [(channel.Frame.OUT, b"a" * 1000)])
        for there in range(len(second)):
            self.write(second[:there], len(first))
            self.assertEqual(list(self.reader.frames()), [], there)
        self.write(second, len(first))
        self.assertEqual(list(self.reader.frames()), [(channel.Frame.DONE, b"")])

    def test_what_stays_nonsense_is_told(self):
        self.write(struct.pack("<IIII", channel.MAGIC, 7, 1, 0), 0)
        self.assertEqual(list(self.reader.frames()), [])
        with self.assertRaisesRegex(errors.LabError, "makes no sense"):
            list(self.reader.frames())


class Cache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.enterContext(mock.patch.dict(os.environ, XDG_CACHE_HOME=folder.name))
        self.parent = cache.root() / "machines"
        self.entries = [cache.entry(self.parent / str(n), lambda new: None) for n in range(3)]
        self.age(*self.entries)

    @staticmethod
    def age(*entries):
        long_ago = time.time() - 2 * cache.IN_USE_SECONDS
        for n, path in enumerate(entries):
            os.utime(path, (long_ago + n, long_ago + n))

    def test_what_is_in_use_stays(self):
        self.assertTrue(cache.use(self.entries[0]))
        cache.keep_newest(self.parent, 1)
        self.assertEqual(list(self.parent.iterdir()), [self.entries[0]])

    def test_what_was_removed_is_not_used(self):
        cache.keep_newest(self.parent, 1)
        self.assertFalse(cache.use(self.entries[0]))
        self.assertTrue(cache.use(self.entries[2]))

    def test_nothing_is_removed_while_somebody_says_that_it_is_in_use(self):
        """Between its look whether there is one, and its word that it uses it."""
        utime, remover = os.utime, threading.Thread(target=cache.keep_newest, args=(self.parent, 1))

        def remove_meanwhile(path):
            remover.start()
            remover.join(0.3)  # long enough for one that does not wait
            utime(path)

        with mock.patch("os.utime", remove_meanwhile):
            self.assertTrue(cache.use(self.entries[0]))
        remover.join()
        self.assertTrue(self.entries[0].is_dir())


if __name__ == "__main__":
    tap.main()
