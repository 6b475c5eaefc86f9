# SPDX-License-Identifier: MIT
"""A running guest reached from outside: its control socket, and the commands that use it."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import harness
from harness import POWERED_OFF, TIMEOUT, TROUBLE, UMBRA, command
from running import QmpTest, Running

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 5  # as vmm/cli/client.c has it
UMBRA_GREETING = b'{"QMP": {"version": {"package": "umbra 9"}, "capabilities": []}}'


def greet_and_leave(listener, greeting):
    """Greets whoever connects, if with anything, and closes when spoken to, until shut down."""
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall(greeting)
                if greeting:
                    connection.recv(1)


class Protocol(QmpTest):
    def test_stop_cont_quit(self):
        guest = Running(self)
        one, other = self.qmp(guest.socket), self.qmp(guest.socket)
        self.assertEqual(one.greeting["QMP"]["capabilities"], [])
        self.assertEqual(one.execute("query-status"), {"status": "running", "running": True})
        one.execute("stop")
        self.assertEqual(other.next_event()["event"], "STOP")
        self.assertEqual(other.execute("query-status"), {"status": "paused", "running": False})
        guest.process.stdin.write(b"a")
        for _ in range(100):
            other.execute("query-status")
        self.assertTrue(guest.silent())
        other.execute("cont")
        self.assertEqual([one.next_event()["event"] for _ in range(2)], ["STOP", "RESUME"])
        guest.wait_for(b"a")
        one.execute("quit")
        event = other.next_event()
        while event["event"] != "SHUTDOWN":
            event = other.next_event()
        self.assertEqual(event["data"], {"guest": False, "reason": "host-qmp-quit"})
        self.assertIsNone(other.read())
        self.assertEqual(guest.end(), (POWERED_OFF, "umbra: stopped by a QMP client\n"))
        self.assertEqual(self.sockets(), [])

    def test_cpus(self):
        guest = Running(self, "echo", "--cpus", "3")
        cpus = self.qmp(guest.socket).execute("query-cpus-fast")
        self.assertEqual([cpu["cpu-index"] for cpu in cpus], [0, 1, 2])
        threads = {cpu["thread-id"] for cpu in cpus}
        self.assertEqual(len(threads), 3)
        self.assertLessEqual(threads, set(map(int, os.listdir(f"/proc/{guest.process.pid}/task"))))

    def test_the_guest_ends(self):
        guest = Running(self)
        client = self.qmp(guest.socket)
        guest.process.stdin.write(b"q")
        event = client.next_event()
        self.assertEqual((event["event"], event["data"]),
                         ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"}))
        self.assertIsNone(client.read())
        self.assertEqual(guest.end()[0], POWERED_OFF)
        self.assertEqual(self.sockets(), [])

    def test_a_signal_ends_it_while_paused(self):
        guest = Running(self)
        client = self.qmp(guest.socket)
        client.execute("stop")
        guest.process.send_signal(signal.SIGTERM)
        client.next_event()
        self.assertEqual(client.next_event()["data"], {"guest": False, "reason": "host-signal"})
        self.assertEqual(guest.end()[0], POWERED_OFF)
        self.assertEqual(self.sockets(), [])

    def test_clients_that_misbehave(self):
        guest = Running(self)
        good = self.qmp(guest.socket)
        silent = self.qmp(guest.socket)
        silent.socket.sendall(b'{"execute":"st')
        crowd = [self.qmp(guest.socket) for _ in range(100)]
        for bad in (b"help\n", b"{]", b"\xff\xfe\n", b"[" * 5000 + b"]" * 5000):
            with self.subTest(bad[:5]):
                client = self.qmp(guest.socket)
                client.socket.sendall(bad)
                self.assertEqual(client.read()["error"]["class"], "GenericError")
                self.assertEqual(client.execute("query-name"), {"name": "it"})
        endless = self.qmp(guest.socket)
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            endless.socket.sendall(b'{"execute":"' + b"x" * 10_000_000)
        self.assertIn("65536", endless.read()["error"]["desc"])
        gone = self.qmp(guest.socket)
        gone.socket.sendall(b'{"execute":"query-commands"}' * 100)
        gone.close()
        for client in crowd:
            self.assertEqual(client.execute("query-name"), {"name": "it"})
        guest.echoes(b"still here")
        self.assertEqual(good.execute("query-status"), {"status": "running", "running": True})


class Sockets(QmpTest):
    def test_modes(self):
        guest = Running(self)
        self.assertEqual(os.stat(guest.socket).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.folder + "/umbra").st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(self.folder + "/umbra/it.sock").st_mode & 0o777, 0o600)

    def test_busy(self):
        guest = Running(self)
        for option, value, named in (("--qmp", guest.socket, guest.socket),
                                     ("--name", "it", "/umbra/it.sock")):
            with self.subTest(option):
                result = harness.run_guest("hello", option, value, env=self.environment)
                self.assert_trouble(result, "in use by a running process")
                self.assertIn(named, result.stderr)
        self.assertEqual(self.sockets(), ["it.sock", "qmp"])
        guest.echoes(b"undisturbed")

    def test_killed_leaves_what_the_next_replaces(self):
        first = Running(self)
        first.process.kill()
        first.process.wait()
        self.assertEqual(self.sockets(), ["it.sock", "qmp"])
        second = Running(self)
        self.assertEqual(self.qmp(second.socket).execute("query-name"), {"name": "it"})

    def test_of_no_start_nothing_is_left(self):
        for options in (("--kernel", self.folder + "/nix"), ("--memory", "1"), ("--cpus", "0")):
            with self.subTest(options):
                result = harness.run_guest("hello", "--qmp", self.folder + "/qmp", *options,
                                           env=self.environment)
                self.assertEqual(result.returncode, TROUBLE)
                self.assertEqual(self.sockets(), [])

    def test_bad_paths_and_names(self):
        pathlib.Path(self.folder, "file").write_text("kept", encoding="utf-8")
        for options, text in (
                (("--qmp", self.folder + "/file"), "no socket of this user"),
                (("--qmp", self.folder + "/" + "x" * 200), "may have 107"),
                (("--qmp", self.folder + "/nix/s"), "cannot open its directory"),
                (("--name", "a/b"), "is no name for a guest"),
                (("--name", ""), "is no name for a guest")):
            with self.subTest(options):
                result = harness.run_guest("hello", *options, env=self.environment)
                self.assert_trouble(result, text)
                self.assertEqual(self.sockets(), [])
        self.assertEqual(pathlib.Path(self.folder, "file").read_text(encoding="utf-8"), "kept")


class Commands(QmpTest):
    def test_by_name_and_by_path(self):
        guest = Running(self, "echo", "--memory", "96M", "--cpus", "2")
        expected = {"name": "it", "pid": guest.process.pid, "status": "running", "vcpus": 2,
                    "memory": 96 << 20, "socket": self.folder + "/umbra/it.sock"}
        self.assertEqual(self.listed(), [expected])
        for target in ("it", guest.socket):
            for name, status in (("pause", "paused"), ("pause", "paused"), ("resume", "running")):
                with self.subTest((target, name)):
                    result = self.umbra(name, target)
                    self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
                    self.assertEqual(self.listed(), [dict(expected, status=status)])
        row = rf"^it +{guest.process.pid} +running +2 +96 MB +.*/umbra/it\.sock$"
        self.assertRegex(self.umbra("list").stdout, re.compile(row, re.MULTILINE))
        guest.echoes(b"it runs")
        # When quit returns, the guest is gone.
        self.assertEqual(self.umbra("quit", "it").returncode, 0)
        self.assertEqual(self.sockets(), [])
        self.assertEqual(guest.end(), (POWERED_OFF, "umbra: stopped by a QMP client\n"))
        self.assertEqual(self.listed(), [])

    def test_a_name_of_its_own(self):
        process = subprocess.Popen(command("hang"), env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdout.readline()
        self.assertEqual([guest["name"] for guest in self.listed()], [f"umbra-{process.pid}"])
        self.assertEqual(self.umbra("quit", f"umbra-{process.pid}").returncode, 0)
        process.wait(timeout=TIMEOUT)

    def test_killed(self):
        guest = Running(self)
        guest.process.kill()
        guest.process.wait()
        self.assert_trouble(self.umbra("pause", "it"), "it: no guest answers there")
        self.assert_trouble(self.umbra("pause", guest.socket), "no guest answers there")
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.sockets(), ["qmp"])  # what has no name is nobody's to remove
        self.assert_trouble(self.umbra("pause", "it"), "no guest of that name")

    def test_no_such_guest(self):
        for target in ("nix", self.folder + "/nix", ""):
            with self.subTest(target):
                self.assert_trouble(self.umbra("quit", target), "no guest of that name")
        self.assert_trouble(self.umbra("pause", __file__), "not a socket")
        self.assert_trouble(self.umbra("pause"), "usage: umbra pause TARGET")

    @contextlib.contextmanager
    def serving(self, *says):
        """A socket whose peer says this, and then waits for the end, or closes at once."""
        path = self.folder + "/other"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def answer():
            # Who comes may leave before all is said, or not come at all.
            with listener, contextlib.suppress(OSError), listener.accept()[0] as connection:
                for text in says:
                    connection.sendall(text)
                while says and connection.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            os.unlink(path)

    def test_quit_waits_for_the_end(self):
        """Longer than for an answer: the kernel takes seconds to take a large guest's memory."""
        path = self.folder + "/slow"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            quits = subprocess.Popen([UMBRA, "quit", path], stdin=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
            self.addCleanup(quits.communicate)
            with listener.accept()[0] as connection:
                connection.sendall(UMBRA_GREETING + b'{"return": {}}' * 2)
                with self.assertRaises(subprocess.TimeoutExpired):
                    quits.wait(ANSWER_SECONDS + 1)
            self.assertEqual((quits.wait(TIMEOUT), quits.stderr.read()), (0, ""))

    def test_list_while_one_ends(self):
        """Peers that close when they are asked: a guest that ends is not worth a word."""
        Running(self)
        path = self.folder + "/umbra/other.sock"
        for greeting, said in ((UMBRA_GREETING, ""), (b"", ""),
                               (b"220 hello\r\n", "does not speak QMP")):
            with self.subTest(greeting), socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                thread = threading.Thread(target=greet_and_leave, args=(listener, greeting))
                thread.start()
                result = self.umbra("list", "--json")
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()
                os.unlink(path)
                self.assertEqual([guest["name"] for guest in self.own(result)], ["it"])
                warned = [line for line in result.stderr.splitlines() if path in line]
                self.assertEqual(len(warned), bool(said), result.stderr)
                self.assertIn(said, result.stderr)

    def test_no_umbra(self):
        qemu = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 11},
                                    "package": "Debian"}, "capabilities": ["oob"]}}
        for says, text in (
                ((), "the guest has ended"),
                ((b"220 hello\r\n",), "does not speak QMP"),
                ((b"[]\n",), "does not speak QMP"),
                ((b"{}\n",), "no umbra"),
                ((b'{"QMP":1}\n',), "no umbra"),
                ((json.dumps(qemu).encode(),), "speaks QMP as another program: Debian"),
                ((b"",), "no answer within 5 seconds"),
                ((UMBRA_GREETING,), "no answer within 5 seconds"),
                ((UMBRA_GREETING, b'{"error":{"class":"x","desc":"so\\nthere"}}'),
                 "so there"),
                ((UMBRA_GREETING, b'{"event":"STOP"}{"error":7}'),
                 "an error without a description")):
            with self.subTest(says), self.serving(*says) as path:
                self.assert_trouble(self.umbra("pause", path), text)


class Inspect(QmpTest):
    """What there is to see without CET, and what must be refused by name."""

    def inspect(self, *options):
        result = self.umbra("inspect", "it", "--json", *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def test_running_and_paused(self):
        guest = Running(self, "echo", "--cpus", "2")
        seen = self.inspect()
        self.assertEqual((seen["version"], seen["source"], seen["running"]), (1, "live", True))
        self.assertEqual([vcpu["id"] for vcpu in seen["vcpus"]], [0, 1])
        self.assertGreater(seen["stopped_us"], 0)
        first, second = seen["vcpus"]
        # The guest's own doing: the first processor is in 64-bit mode, the second never started.
        self.assertEqual((first["mode"], second["mode"]), ("long", "real"))
        self.assertEqual(int(first["control"]["cr0"], 0) >> 31, 1)
        guest.echoes(b"goes on")
        self.umbra("pause", "it")
        seen = self.inspect("--cpu", "1")
        self.assertEqual([vcpu["id"] for vcpu in seen["vcpus"]], [1])
        self.assertEqual((seen["running"], "stopped_us" in seen), (False, False))
        text = self.umbra("inspect", "it", "--cpu", "1").stdout
        self.assertRegex(text, r"\Avcpu 1\n")
        self.assertRegex(text, r"\nThe guest is paused\.\n\Z")

    def test_watch_until_the_end(self):
        guest = Running(self)
        watch = subprocess.Popen([UMBRA, "inspect", "it", "--watch", "0.05"], env=self.environment,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watch.wait)
        self.assertEqual(watch.stdout.readline(), "vcpu 0\n")
        self.assertEqual(self.umbra("quit", "it").returncode, 0)
        _, stderr = watch.communicate(timeout=TIMEOUT)
        self.assertEqual((watch.returncode, stderr), (TROUBLE, "umbra: it: the guest has ended\n"))
        guest.end()

    def test_bad_arguments(self):
        Running(self)
        for arguments, text in (
                (("inspect", "it", "--cpu", "1"), "there is no vCPU 1: 0 to 0"),
                (("inspect", "it", "--cpu", "x"), "'x' is not a number"),
                (("inspect", "it", "--watch", "-1"), "--watch: give seconds"),
                (("inspect", "it", "--watch", "0"), "--watch: give seconds"),
                (("inspect", "nix"), "no guest of that name"),
                (("inspect", __file__), "is no snapshot of umbra"),
                (("set", "it", "u_cet=1"), "the guest runs: pause it first"),
                (("set", "it"), "an argument is missing"),
                (("set", "it", "u_cet"), "is not REGISTER=VALUE"),
                (("set", "it", "u_cet=-1"), "'-1' is not a number"),
                (("set", "it", "u_cet=0x10000000000000000"), "does not fit in 64 bits"),
                (("set", "it", "u_cet=1", "u_cet=2"), "given twice")):
            with self.subTest(arguments):
                self.assert_trouble(self.umbra(*arguments), text)
        self.umbra("pause", "it")
        for arguments, text in ((("nix=1",), "no register 'nix'"),
                                (("u_cet=1", "--cpu", "1"), "there is no vCPU 1"),
                                (("u_cet=0x40",), "u_cet")):
            with self.subTest(arguments):
                self.assert_trouble(self.umbra("set", "it", *arguments), text)


class QmpShell(QmpTest):
    """QEMU's own client, as Debian ships it."""

    def test_session(self):
        part = subprocess.run([ROOT / "lab" / "part", "qmp-shell"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=240, check=False)
        if part.returncode:
            self.skipTest(f"qmp-shell cannot be had: {part.stderr.strip()}")
        root = part.stdout.strip()
        guest = Running(self)
        result = harness.run(
            [sys.executable, root + "/usr/bin/qmp-shell", guest.socket],
            input="query-status\nstop\nquery-status\nquery-cpus-fast\ncont\nnix\nquery-name a=1\n"
                  "quit\n",
            env=dict(self.environment, PYTHONPATH=root + "/usr/lib/python3/dist-packages",
                     HOME=self.folder))
        for text in ("Connected to QEMU 0.1.0", '"running": true', '"status": "paused"',
                     '"cpu-index": 0', "The command nix has not been found",
                     "Parameter 'a' is unexpected"):
            self.assertIn(text, result.stdout, result.stderr)
        self.assertEqual(guest.end()[0], POWERED_OFF)


if __name__ == "__main__":
    harness.main()
