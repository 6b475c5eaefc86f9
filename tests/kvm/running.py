# SPDX-License-Identifier: MIT
"""Guests that run beside the test, and clients of their control sockets."""

import json
import os
import pathlib
import select
import socket
import subprocess
import time

import harness
from harness import TIMEOUT, TROUBLE, UMBRA, command


class Qmp:
    """A client that sends no newlines, and keeps events apart from answers."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        self.greeting = self.read()
        self.execute("qmp_capabilities")

    def close(self):
        self.lines.close()
        self.socket.close()

    def read(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def ask(self, request):
        self.socket.sendall(json.dumps(request).encode())
        while True:
            message = self.read()
            if message is None or "event" not in message:
                return message
            self.events.append(message)

    def execute(self, name):
        answer = self.ask({"execute": name})
        if not answer or "return" not in answer:
            raise AssertionError(f"{name}: {answer or 'the guest has ended'}")
        return answer["return"]

    def next_event(self):
        return self.events.pop(0) if self.events else self.read()


def connect(path, process=None):
    """A client, as soon as somebody listens there; `process` is who should."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return Qmp(path)
        except (FileNotFoundError, ConnectionRefusedError):  # not there, or not listening yet
            if time.monotonic() > deadline or (process and process.poll() is not None):
                raise
        time.sleep(0.005)


class Running:
    """A guest that runs until the test is over, called "it" unless told otherwise."""

    def __init__(self, test, name="echo", *options):
        self.socket = test.folder + "/qmp"
        self.start(test, command(name, "--qmp", self.socket, "--name", "it", *options))
        # What it prints first comes after its sockets are there.
        self.wait_for(b"\n")

    def start(self, test, arguments):
        # A pipe nobody writes to is input that never ends.
        self.process = subprocess.Popen(
            arguments, env=test.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0)
        test.addCleanup(self.close)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def wait_for(self, text):
        seen = b""
        while text not in seen:
            if not select.select([self.process.stdout], [], [], TIMEOUT)[0]:
                raise AssertionError(f"{text!r} did not come; seen: {seen!r}")
            part = os.read(self.process.stdout.fileno(), 4096)
            if not part:
                raise AssertionError(f"{text!r} did not come; seen: {seen!r}, and "
                                     f"{self.process.stderr.read()!r}")
            seen += part
        return seen

    def silent(self):
        return not select.select([self.process.stdout], [], [], 0)[0]

    def echoes(self, text):
        self.process.stdin.write(text)
        self.wait_for(text)

    def end(self):
        """How it ended: status and what it said."""
        status = self.process.wait(timeout=TIMEOUT)
        return status, self.process.stderr.read().decode()


class QmpTest(harness.GuestTest):
    """Names of guests are this test's own; when it ends, no socket may be left."""

    def setUp(self):
        super().setUp()
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.folder)

    def umbra(self, *arguments):
        return harness.run([UMBRA, *arguments], env=self.environment)

    def own(self, result):
        """What `umbra list --json` says of this test's guests; others may run beside it."""
        return [guest for guest in json.loads(result.stdout)["guests"]
                if guest["socket"].startswith(self.folder)]

    def listed(self):
        """This test's guests, of which nothing is amiss."""
        result = self.umbra("list", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn(self.folder, result.stderr)
        return self.own(result)

    def qmp(self, path, wait=False):
        """A client; `wait`: as soon as somebody listens there."""
        client = connect(path) if wait else Qmp(path)
        self.addCleanup(client.close)
        return client

    def sockets(self):
        return sorted(path.name for path in pathlib.Path(self.folder).rglob("*") if path.is_socket())

    def assert_trouble(self, result, text):
        self.assertEqual((result.returncode, result.stdout), (TROUBLE, ""), result.stderr)
        self.assertRegex(result.stderr, r"\Aumbra: [^\n]*\n\Z")
        self.assertIn(text, result.stderr)
