# SPDX-License-Identifier: MIT
"""`umbra snapshot` itself: what it asks a guest for, and what it makes of the answers."""

import json
import os
import signal
import socket
import subprocess

import harness
from harness import TIMEOUT, TROUBLE, UMBRA
from snapshots import MIB, SnapshotTest
from terminal import rest_shown, shown_until


class FakeGuest:
    """Greets as umbra, takes a snapshot's command, and then does what the test wants."""

    GREETING = {"QMP": {"version": {"package": "umbra 9"}, "capabilities": []}}

    def __init__(self, test):
        self.path = test.folder + "/fake"
        self.listener = socket.socket(socket.AF_UNIX)
        test.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(TIMEOUT)

    def accept(self, test):
        self.connection = self.listener.accept()[0]
        self.connection.settimeout(TIMEOUT)
        test.addCleanup(self.connection.close)
        self.send(self.GREETING)
        self.take("qmp_capabilities")
        return self.take("x-umbra-snapshot")

    def send(self, message):
        self.connection.sendall(json.dumps(message).encode() + b"\r\n")

    def take(self, command):
        """Waits for a command, which must be this one; its arguments."""
        message = json.loads(self.connection.recv(65536))
        assert message["execute"] == command, message
        self.send({"return": {}})
        return message.get("arguments")

    def tell(self, status, **data):
        data = {"status": status, "done": 256 * MIB, "total": 1024 * MIB, **data}
        self.send({"event": "X_UMBRA_SNAPSHOT", "data": data})


class Command(SnapshotTest):
    """`umbra snapshot` itself."""

    def begin(self, *options, **streams):
        guest = FakeGuest(self)
        process = subprocess.Popen(
            [UMBRA, "snapshot", guest.path, "snap", *options], env=self.environment,
            cwd=self.folder, stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.arguments = guest.accept(self)
        return guest, process

    def assert_ended(self, process, status, stdout, stderr):
        self.assertEqual((*process.communicate(timeout=TIMEOUT), process.returncode),
                         (stdout, stderr, status))

    def complete(self, guest):
        stages = {"total": 7300, "pause": 100, "state": 200, "log": 3000, "ram": 4000}
        guest.tell("completed", stored=3 * MIB // 2, stopped_us=stages, sync_us=9900)

    def test_paths_become_absolute(self):
        guest, process = self.begin("--since", "/old", "--no-track")
        self.assertEqual(self.arguments,
                         {"path": self.path("snap"), "since": "/old", "no-track": True})
        guest.tell("active")
        self.complete(guest)
        self.assert_ended(process, 0, "snap: 1.5 MiB of RAM stored\n"
                          "the guest stood still for 7.3 ms: 0.1 to stop its processors, 0.2 for "
                          "their state, 3.0 to begin the log of what it writes from now on, 4.0 "
                          "for RAM\nall was on disk 9.9 ms later\n", "")

    def test_quiet(self):
        guest, process = self.begin("--quiet")
        self.complete(guest)
        self.assert_ended(process, 0, "", "")

    def test_progress_on_a_terminal(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        guest, process = self.begin(stderr=slave)
        os.close(slave)
        guest.tell("active")
        self.assertEqual(shown_until(master, b"\x1b[K"),
                         b"\r[#######                       ] 256 of 1024 MiB of RAM\x1b[K")
        self.complete(guest)
        process.communicate(timeout=TIMEOUT)
        self.assertEqual(rest_shown(master), b"\r\x1b[K")

    def test_ctrl_c(self):
        guest, process = self.begin()
        guest.tell("active")
        process.send_signal(signal.SIGINT)
        guest.take("x-umbra-snapshot-cancel")
        guest.tell("active")
        guest.tell("cancelled")
        self.assert_ended(process, TROUBLE, "",
                          "umbra: snap was not written: the snapshot was cancelled\n")

    def test_ctrl_c_comes_too_late(self):
        guest, process = self.begin()
        process.send_signal(signal.SIGINT)
        json.loads(guest.connection.recv(65536))
        # The last event was under way when the command came.
        guest.tell("completed", stored=0, stopped_us={}, sync_us=0)
        guest.send({"error": {"class": "GenericError", "desc": "no snapshot is under way"}})
        process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0)

    def test_it_fails(self):
        guest, process = self.begin()
        guest.tell("failed", error="so it was to be")
        self.assert_ended(process, TROUBLE, "", "umbra: so it was to be\n")

    def test_the_guest_dies(self):
        guest, process = self.begin()
        guest.tell("active")
        guest.connection.close()
        self.assert_ended(process, TROUBLE, "", "umbra: it is not known whether snap is complete: "
                          f"{guest.path}: the guest has ended\n")


if __name__ == "__main__":
    harness.main()
