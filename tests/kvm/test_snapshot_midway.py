# SPDX-License-Identifier: MIT
"""A snapshot that takes long: what is refused, ended, killed or cancelled in the middle of it."""

import errno
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import harness
from harness import POWERED_OFF, TIMEOUT
from snapshots import MIB, SnapshotTest


class TakesLong(SnapshotTest):
    """A guest with so much RAM in use that its snapshot can be met in the middle."""

    FILL = 512
    OLDER = b"the older one"

    def setUp(self):
        super().setUp()
        self.guest = self.worker("--memory", f"{self.FILL + 128}M", fill=self.FILL)
        self.write_older()
        self.client = self.qmp(self.guest.socket)

    def start(self):
        answer = self.client.ask({"execute": "x-umbra-snapshot",
                                  "arguments": {"path": self.path("snap")}})
        self.assertEqual(answer, {"return": {}})

    def answers_meanwhile(self, *requests):
        """Has commands executed while one is taken."""
        self.stop_in_the_middle()
        self.client.socket.sendall("".join(requests).encode())
        self.guest.process.send_signal(signal.SIGCONT)
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

    def written(self):
        """How much the guest's process has put in a new file that it has open, in bytes."""
        descriptors = f"/proc/{self.guest.process.pid}/fd"
        for number in os.listdir(descriptors):
            try:
                if os.readlink(f"{descriptors}/{number}").startswith(self.folder + "/"):
                    size = os.stat(f"{descriptors}/{number}").st_blocks * 512
                    if size:
                        return size
            except FileNotFoundError:
                pass  # closed meanwhile
        return 0

    def hold_back(self):
        """From now on the thread that takes it gets what time all others leave it."""
        for task in pathlib.Path(f"/proc/{self.guest.process.pid}/task").iterdir():
            if task.joinpath("comm").read_text() == "job\n":
                os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
                return
        self.fail("nothing takes a snapshot")

    def stop_in_the_middle(self):
        """Starts one, and stops the guest's process when it has written a part, with more to
        come. That may come too late on a busy machine: then once more."""
        process, seen = self.guest.process, []
        for _ in range(20):
            self.start()
            end = time.monotonic() + TIMEOUT
            while not self.written() and not self.is_new() and time.monotonic() < end:
                pass
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            seen.append(self.written())
            if 0 < seen[-1] < self.FILL * MIB // 2 and not self.is_new():
                self.hold_back()
                return
            process.send_signal(signal.SIGCONT)
            self.assertEqual(self.last_event()["status"], "completed")
            self.write_older()
        self.fail(f"no snapshot was met in the middle; written: {seen}")

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
        answers = self.answers_meanwhile(
            '{"execute":"stop"}', '{"execute":"cont"}',
            '{"execute":"x-umbra-set","arguments":{"values":{"u_cet":"0x0"}}}',
            '{"execute":"x-umbra-snapshot","arguments":{"path":"/other"}}',
            '{"execute":"x-umbra-inspect"}', '{"execute":"query-status"}',
            '{"execute":"x-umbra-snapshot-cancel"}')
        for answer in answers[:4]:
            self.assertIn("a snapshot of this guest is under way", answer["error"]["desc"])
        self.assertEqual(answers[4]["return"]["vcpus"][0]["mode"], "long")
        self.assertTrue(answers[5]["return"]["running"])
        self.assertEqual(answers[6], {"return": {}})
        self.assertEqual(self.last_event()["status"], "cancelled")
        self.assert_untouched()
        self.assertIn("no snapshot is under way",
                      self.client.ask({"execute": "x-umbra-snapshot-cancel"})["error"]["desc"])
        # Nothing is in the way of the next.
        self.snapshot()
        self.assert_restores()
        self.assert_result(self.guest)

    def test_the_guest_is_ended_meanwhile(self):
        self.assertEqual(self.answers_meanwhile('{"execute":"quit"}'), [{"return": {}}])
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


if __name__ == "__main__":
    harness.main()
