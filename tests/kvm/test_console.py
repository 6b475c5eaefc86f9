# SPDX-License-Identifier: MIT
"""The terminal: raw while the guest runs, given back on every way out."""

import os
import pty
import select
import signal
import subprocess
import termios
import time

import harness
from harness import CANNOT_GO_ON, TRIPLE_FAULT, command

ESCAPE = b"\x01"  # Ctrl-A


class Session:
    """umbra on a terminal of its own, seen from the user's end."""

    def __init__(self, *arguments):
        self.user, terminal = pty.openpty()
        self.terminal = terminal
        self.before = termios.tcgetattr(terminal)
        self.process = subprocess.Popen(
            arguments, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
        self.seen = b""

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.user)
        os.close(self.terminal)

    def type(self, keys):
        os.write(self.user, keys)

    def read(self, seconds):
        """Adds what comes within the time; False if nothing did."""
        if not select.select([self.user], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.user, 65536)
        return True

    def wait_for(self, text):
        deadline = time.monotonic() + harness.TIMEOUT
        while text not in self.seen:
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} did not come; seen: {self.seen!r}")
            self.read(1)

    def wait(self):
        """The exit status; the pty is read on, so that umbra can write."""
        deadline = time.monotonic() + harness.TIMEOUT
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.wait(timeout=1)

    def modes(self):
        return termios.tcgetattr(self.terminal)

    def is_raw(self):
        local = self.modes()[3]
        return not local & (termios.ICANON | termios.ECHO | termios.ISIG)


class Console(harness.GuestTest):
    def start(self, name, *options):
        session = Session(*command(name, *options))
        self.addCleanup(session.close)
        return session

    def assert_given_back(self, session, status):
        self.assertEqual(session.wait(), status, session.seen)
        self.assertEqual(session.modes(), session.before)

    def test_keys_reach_the_guest_and_come_back_once(self):
        session = self.start("echo")
        session.wait_for(b"echo: ready")
        self.assertTrue(session.is_raw())
        session.type(b"abc\x03\x04\x1a")
        session.wait_for(b"abc\x03\x04\x1a")
        session.type(b"q")
        self.assert_given_back(session, 0)
        self.assertEqual(session.seen.count(b"abc"), 1)
        self.assertIn(b"the guest powered off", session.seen)

    def test_escape_key_ends_a_guest_that_hangs(self):
        session = self.start("hang")
        session.wait_for(b"hang: now")
        self.assertTrue(session.is_raw())
        session.type(ESCAPE + b"x")
        self.assert_given_back(session, 0)
        self.assertIn(b"escape key", session.seen)

    def test_escape_key_twice_is_itself(self):
        session = self.start("echo")
        session.wait_for(b"echo: ready")
        session.type(b"<" + ESCAPE + ESCAPE + b">")
        session.wait_for(b"<\x01>")
        session.type(ESCAPE + b"h")
        session.wait_for(b"end umbra")
        session.type(b"q")
        self.assert_given_back(session, 0)

    def test_signals_give_it_back(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number.name):
                session = self.start("hang")
                session.wait_for(b"hang: now")
                self.assertTrue(session.is_raw())
                session.process.send_signal(number)
                self.assert_given_back(session, 0)
                self.assertIn(b"by a signal", session.seen)

    def test_deaths_give_it_back(self):
        for name, status in (("triple", TRIPLE_FAULT), ("mmio_exec", CANNOT_GO_ON)):
            with self.subTest(name):
                session = self.start(name)
                self.assert_given_back(session, status)
                # A message printed while the terminal is raw would run down in steps.
                self.assertIn(b"\r\n  rip ", session.seen)

    def test_refusals_do_not_touch_it(self):
        session = self.start("hello", "--cpus", "0")
        self.assert_given_back(session, 2)


class OtherInput(harness.GuestTest):
    def test_end_of_input_leaves_the_guest_running(self):
        process = subprocess.Popen(command("echo"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"echo: ready\n")
        # Long enough for the main loop to have seen the end of the input many times.
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        used = sum(os.times()[2:4])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=harness.TIMEOUT), 0)
        self.assertEqual(process.stderr.read(), b"umbra: stopped by a signal\n")
        # It slept all the while, instead of reading the end over and over.
        self.assertLess(sum(os.times()[2:4]) - used, 0.4)


if __name__ == "__main__":
    harness.main()
