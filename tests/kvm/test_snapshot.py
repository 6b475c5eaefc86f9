# SPDX-License-Identifier: MIT
"""Snapshots of running guests, and guests that go on from them."""

import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness
from harness import CANNOT_GO_ON, POWERED_OFF, TIMEOUT, TRIPLE_FAULT, TROUBLE, UMBRA
from running import QmpTest, Running

MIB = 1 << 20
PAGE = 4096
MASK = (1 << 64) - 1

# How long tests/guests/toil.c computes: long enough to be met in the middle.
ROUNDS = 4000


def result_of(rounds):
    """What toil.c has to find, by the formulas that stand there."""
    total, words = rounds * (rounds + 1) // 2, 1 << 18
    checksum = sum(((total * (i | 1)) & MASK) * (2 * i + 1) for i in range(words)) & MASK
    return f"toil: sse {words * total & MASK}\ntoil: sum {checksum}\ntoil: done\n"


class Restored(Running):
    """A guest that goes on from a file."""

    def __init__(self, test, file, *options):
        self.start(test, [UMBRA, "restore", file, *options])


class SnapshotTest(QmpTest):
    @classmethod
    def setUpClass(cls):
        cls.result = result_of(ROUNDS)

    def worker(self, *options, fill=0, rounds=ROUNDS):
        """toil.c, in its second round."""
        guest = Running(self, "toil", "--cmdline", f"{rounds} {fill}", *options)
        return guest

    def path(self, name="snap"):
        return f"{self.folder}/{name}"

    def snapshot(self, name="snap", *options, target="it"):
        result = self.umbra("snapshot", target, self.path(name), *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def files(self):
        """What is in the folder, sockets left out."""
        return sorted(entry.name for entry in pathlib.Path(self.folder).iterdir()
                      if entry.is_file())

    def output(self, guest):
        """All that the guest says from now on, when it is over; it must have powered off."""
        stdout, stderr = guest.process.communicate(timeout=TIMEOUT)
        self.assertEqual((guest.process.returncode, stderr.decode()),
                         (POWERED_OFF, "umbra: the guest powered off\n"), stdout)
        return stdout.decode()

    def assert_restores(self, name="snap"):
        self.assertEqual(self.output(Restored(self, self.path(name))), self.result)

    def digest(self, name):
        return hashlib.sha256(pathlib.Path(self.path(name)).read_bytes()).hexdigest()


class GoesOn(SnapshotTest):
    def test_in_a_new_process_and_in_the_old_one(self):
        guest = self.worker()
        text = self.snapshot()
        self.assertRegex(text, r"\A\S.*: \d+\.\d MiB of RAM stored\n"
                               r"the guest stood still for \d+\.\d ms: .*\nall was on disk .*\n\Z")
        self.assertEqual(os.stat(self.path()).st_mode & 0o777, 0o600)
        self.assert_restores()
        self.assertEqual(self.output(guest), self.result)

    def test_many_at_once_of_one_file(self):
        guest = self.worker()
        self.snapshot()
        guest.close()
        before = self.digest("snap")
        for restored in [Restored(self, self.path()) for _ in range(4)]:
            self.assertEqual(self.output(restored), self.result)
        self.assertEqual(self.digest("snap"), before)

    def test_a_chain(self):
        guest = self.worker(rounds=3 * ROUNDS)
        self.result = result_of(3 * ROUNDS)
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
        self.assertEqual(self.output(restored), self.result)
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
        self.result = result_of(20 * ROUNDS)
        guest = self.worker(rounds=20 * ROUNDS)
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
        self.worker(rounds=20 * ROUNDS)
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
        self.worker(rounds=20 * ROUNDS)
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


class TakesLong(SnapshotTest):
    """A guest with so much RAM in use that its snapshot can be met in the middle."""

    FILL = 512
    OLDER = b"the older one"

    def setUp(self):
        super().setUp()
        self.guest = self.worker("--memory", f"{self.FILL + 128}M", fill=self.FILL)
        self.write_older()
        self.client = self.qmp(self.guest.socket)

    def start(self, *others):
        """Starts it, and has other commands executed before its end; their answers."""
        requests = ('{"execute":"x-umbra-snapshot","arguments":{"path":"%s"}}' % self.path("snap"),
                    *others)
        self.client.socket.sendall("".join(requests).encode())
        answers = []
        while len(answers) < len(requests):
            message = self.client.read()
            (self.client.events if "event" in message else answers).append(message)
        return answers

    def last_event(self):
        while True:
            event = self.client.next_event()
            if event["event"] == "X_UMBRA_SNAPSHOT" and event["data"]["status"] != "active":
                return event["data"]

    def has_begun(self):
        """Whether the guest's process has a new file open, with something in it."""
        descriptors = f"/proc/{self.guest.process.pid}/fd"
        for number in os.listdir(descriptors):
            try:
                if (os.readlink(f"{descriptors}/{number}").startswith(self.folder + "/") and
                        os.stat(f"{descriptors}/{number}").st_blocks):
                    return True
            except FileNotFoundError:
                pass  # closed meanwhile
        return False

    def stop_in_the_middle(self):
        """Starts one, and stops the guest's process when it has written a part. That may come too
        late on a busy machine: then once more."""
        process = self.guest.process
        for _ in range(20):
            self.start()
            end = time.monotonic() + TIMEOUT
            while not self.has_begun() and not self.is_new() and time.monotonic() < end:
                pass
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            if self.has_begun() and not self.is_new():
                return
            process.send_signal(signal.SIGCONT)
            self.assertEqual(self.last_event()["status"], "completed")
            self.write_older()
        self.fail("no snapshot was met in the middle")

    def is_new(self):
        return os.stat(self.path("snap")).st_size != len(self.OLDER)

    def write_older(self):
        pathlib.Path(self.path("snap")).unlink(missing_ok=True)
        pathlib.Path(self.path("snap")).write_bytes(self.OLDER)

    def assert_untouched(self):
        self.assertEqual(pathlib.Path(self.path("snap")).read_bytes(), self.OLDER)
        self.assertEqual(self.files(), ["snap"])

    def test_completes(self):
        self.start()
        data = self.last_event()
        self.assertEqual((data["status"], data["done"]), ("completed", data["total"]))
        self.assertGreaterEqual(data["stored"], self.FILL * MIB)
        stages = data["stopped_us"]
        self.assertEqual(stages["total"], sum(stages[name] for name in ("pause", "state", "log",
                                                                        "ram")))
        self.assert_restores()

    def test_others_are_refused_meanwhile(self):
        answers = self.start(
            '{"execute":"stop"}', '{"execute":"cont"}',
            '{"execute":"x-umbra-set","arguments":{"values":{"u_cet":"0x0"}}}',
            '{"execute":"x-umbra-snapshot","arguments":{"path":"/other"}}',
            '{"execute":"x-umbra-inspect"}', '{"execute":"query-status"}',
            '{"execute":"x-umbra-snapshot-cancel"}')
        for answer in answers[1:5]:
            self.assertIn("a snapshot of this guest is under way", answer["error"]["desc"])
        self.assertEqual(answers[5]["return"]["vcpus"][0]["mode"], "long")
        self.assertTrue(answers[6]["return"]["running"])
        self.assertEqual(answers[7], {"return": {}})
        self.assertEqual(self.last_event()["status"], "cancelled")
        self.assert_untouched()
        self.assertIn("no snapshot is under way",
                      self.client.ask({"execute": "x-umbra-snapshot-cancel"})["error"]["desc"])
        # Nothing is in the way of the next.
        self.snapshot()
        self.assert_restores()
        self.assertEqual(self.output(self.guest), self.result)

    def test_the_guest_is_ended_meanwhile(self):
        self.start('{"execute":"quit"}')
        self.assertEqual(self.last_event()["status"], "cancelled")
        self.assertEqual(self.client.next_event()["event"], "SHUTDOWN")
        self.assertEqual(self.guest.end(), (POWERED_OFF, "umbra: stopped by a QMP client\n"))
        self.assert_untouched()

    def test_its_process_gets_sigterm(self):
        self.stop_in_the_middle()
        self.guest.process.send_signal(signal.SIGTERM)
        self.guest.process.send_signal(signal.SIGCONT)
        self.assertEqual(self.last_event()["status"], "cancelled")
        self.assertEqual(self.guest.end(), (POWERED_OFF, "umbra: stopped by a signal\n"))
        self.assert_untouched()

    def has_nameless_files(self):
        try:
            os.close(os.open(self.folder, os.O_TMPFILE | os.O_RDWR))
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return False
        return True

    def test_its_process_is_killed(self):
        self.stop_in_the_middle()
        self.guest.process.kill()
        self.guest.process.wait()
        self.assertEqual(pathlib.Path(self.path("snap")).read_bytes(), self.OLDER)
        if self.has_nameless_files():
            self.assert_untouched()

    def test_the_client_goes_away(self):
        other = self.qmp(self.guest.socket)
        self.start()
        self.client.close()
        self.client = other
        self.assertEqual(self.last_event()["status"], "completed")
        self.assert_restores()


class TakesLongInMemory(TakesLong):
    """The same where files get huge pages."""

    def setUp(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", "/dev/shm"], capture_output=True, text=True,
                              check=False).stdout.strip()
        if kind != "tmpfs":
            self.skipTest("/dev/shm is no tmpfs here")
        before, tempfile.tempdir = tempfile.tempdir, "/dev/shm"
        try:
            super().setUp()
        finally:
            tempfile.tempdir = before


class FakeGuest:
    """Greets as umbra, takes a snapshot's command, and then does what the test wants."""

    GREETING = {"QMP": {"version": {"package": "umbra 9"}, "capabilities": []}}

    def __init__(self, test):
        self.path = test.folder + "/fake"
        self.listener = socket.socket(socket.AF_UNIX)
        test.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()

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
        seen = b""
        while b"RAM" not in seen:
            seen += os.read(master, 4096)
        self.assertEqual(seen, b"\r[#######                       ] 256 of 1024 MiB of RAM\x1b[K")
        self.complete(guest)
        process.communicate(timeout=TIMEOUT)
        self.assertEqual(os.read(master, 4096), b"\r\x1b[K")

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


class Trouble(SnapshotTest):
    def assert_full(self, folder, guest):
        before = sorted(os.listdir(folder))
        result = self.umbra("snapshot", "it", folder + "/snap")
        self.assertEqual(result.returncode, TROUBLE)
        self.assertRegex(result.stderr, r"\Aumbra: snapshot '.*/snap': cannot [^\n]*: "
                                        r"(No space left on device|File too large)\n\Z")
        self.assertEqual(sorted(os.listdir(folder)), before)
        self.snapshot("enough")
        self.assert_restores("enough")
        self.assertEqual(self.output(guest), self.result)

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
        self.assertEqual(self.output(guest), self.result)

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

    def truncate_under(self, length, *arguments):
        """The command is stopped when it has mapped the file, which then becomes that short."""
        size = os.path.getsize(self.path())
        for _ in range(50):
            process = subprocess.Popen([UMBRA, *arguments], env=self.environment, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            maps = f"/proc/{process.pid}/maps"
            while process.poll() is None and self.path() not in pathlib.Path(maps).read_text():
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
        self.worker(fill=32, rounds=100 * ROUNDS)
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
