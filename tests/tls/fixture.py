# SPDX-License-Identifier: MIT
"""umbra-tls as a process, between a socket of the test's and loopback; certificates."""

import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
import tap  # noqa: E402,F401  (for those who import this)

PROGRAM = os.environ["UMBRA_TLS"]
TIMEOUT = 60  # whatever takes that long hangs


class Helper:
    """A running umbra-tls; `plain` is the end of the socket pair that umbra would have."""

    def __init__(self, *arguments, directory, tcp=None):
        self.plain, other = socket.socketpair()
        self.plain.settimeout(TIMEOUT)
        words = [PROGRAM, *map(str, arguments), "--dir", str(directory), str(other.fileno())]
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=[other.fileno()] + ([tcp.fileno()] if tcp else []))
        other.close()
        if tcp:
            tcp.close()

    def word(self):
        """What it says about the connection: one line, and nothing after it."""
        ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT)
        if not ready:
            raise AssertionError("umbra-tls says nothing")
        return self.process.stdout.read().decode()

    def end(self):
        """Its exit status and what it said on stderr."""
        self.plain.close()
        return self.ended()

    def ended(self):
        _, said = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, said.decode()

    def stop(self):
        self.plain.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="umbra-tls-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.certificates = pathlib.Path(cls.folder.name)
        subprocess.run([HERE / "make-certificates", cls.folder.name], check=True)

    def setUp(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(TIMEOUT)
        self.addCleanup(self.listener.close)
        self.port = self.listener.getsockname()[1]

    def directory(self, name):
        return self.certificates / name

    def accept(self):
        accepted, _ = self.listener.accept()
        self.addCleanup(accepted.close)
        accepted.settimeout(TIMEOUT)
        return accepted

    def dial(self, room=None):
        """A connection to the listener; `room` is for bytes that have come and are not read."""
        dialled = socket.socket()
        self.addCleanup(dialled.close)
        dialled.settimeout(TIMEOUT)
        if room:
            dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        dialled.connect(("127.0.0.1", self.port))
        return dialled

    def client(self, directory="good", host="localhost", port=None):
        helper = Helper("connect", host, port or self.port, directory=self.directory(directory))
        self.addCleanup(helper.stop)
        return helper

    def server(self, tcp, directory="good"):
        helper = Helper("serve", tcp.fileno(), directory=self.directory(directory), tcp=tcp)
        self.addCleanup(helper.stop)
        return helper

    def pair(self):
        """Two helpers that have accepted each other."""
        client = self.client()
        server = self.server(self.accept())
        self.assertEqual((client.word(), server.word()), ("ok\n", "ok\n"))
        return client, server

    def assert_refused(self, helper, *parts):
        word = helper.word()
        self.assertTrue(word.startswith("error: "), word)
        self.assertEqual(word.count("\n"), 1, word)
        self.assertTrue(word.endswith("\n"), word)
        for part in parts:
            self.assertIn(part, word)
        self.assertEqual(helper.ended(), (2, ""))
        self.assertEqual(helper.plain.recv(1), b"")
