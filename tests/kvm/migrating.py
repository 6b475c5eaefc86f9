# SPDX-License-Identifier: MIT
"""Guests that move between processes, and what must hold of them wherever they are."""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import threading
import time

from harness import TIMEOUT, UMBRA, command
from running import QmpTest, connect

MASK = (1 << 64) - 1
MIB = 1 << 20
BEAT = 64  # tests/guests/tally.c
KIB = 512  # written all the time
FILL = 4   # MiB that stay as they are

# Runs a command that gets no userfaultfd, neither by the device nor by the system call.
WITHOUT = ("if [ -e /dev/userfaultfd ]; then mount --bind /dev/null /dev/userfaultfd; fi && "
           'exec setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace "$@"')

FINAL = ("completed", "failed", "cancelled")


class Tally:
    """What tests/guests/tally.c has to say, by the formulas that stand there."""

    def __init__(self, kib=KIB):
        words = kib * 1024 // 8
        self.factor = sum((i | 1) * (2 * i + 1) for i in range(words)) & MASK

    def line(self, r):
        t = r * (r + 1) // 2
        return f"tally: r {r} sse {t & MASK} sum {t * self.factor & MASK} bad 0"


def unread(stream):
    """How many bytes a pipe holds."""
    return struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, bytes(4)))[0]


class Side:
    """A process that has the guest, had it, or waits for it."""

    def __init__(self, test, name, arguments, **options):
        self.name, self.path = name, f"{test.folder}/{name}.qmp"
        self.process = subprocess.Popen(
            [*arguments, "--name", name, "--qmp", self.path], env=test.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            **options)
        self.changed = threading.Condition()
        self.out, self.err = b"", b""
        self.readers = [threading.Thread(target=self.collect, args=each, daemon=True)
                        for each in ((self.process.stdout, "out"), (self.process.stderr, "err"))]
        for reader in self.readers:
            reader.start()
        self.client = None
        test.addCleanup(self.close)

    def collect(self, stream, where):
        while True:
            select.select([stream], [], [])
            # What is not in the pipe any more is in its place: see catch_up().
            with self.changed:
                part = os.read(stream.fileno(), 65536)
                setattr(self, where, getattr(self, where) + part)
                self.changed.notify_all()
            if not part:
                return

    def close(self):
        if self.client:
            self.client.close()
            self.client = None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def wait(self, what, condition, timeout=TIMEOUT):
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), timeout):
                raise AssertionError(f"{self.name}: {what} did not happen: {self.out[-500:]!r} "
                                     f"{self.err!r}")

    def catch_up(self):
        """What its process has written by now is in `out` and `err` when this returns."""
        self.wait("silence", lambda side: not unread(side.process.stdout) and
                  not unread(side.process.stderr))

    def take_err(self):
        """All that it has said of itself by now, and will not be held against it any more."""
        self.catch_up()
        with self.changed:
            said, self.err = self.err, b""
        return said

    def qmp(self):
        """Its client; waits for the socket."""
        if self.client is None:
            self.client = connect(self.path, self.process)
        return self.client

    def status(self):
        """query-status, or "gone" if the process has ended."""
        try:
            answer = self.qmp().ask({"execute": "query-status"})
        except OSError:
            return "gone"
        return answer["return"]["status"] if answer else "gone"

    def execute(self, name, **arguments):
        request = {"execute": name.replace("_", "-") if name != "migrate_cancel" else name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value
                                    for key, value in arguments.items()}
        answer = self.qmp().ask(request)
        if not answer or "return" not in answer:
            raise AssertionError(f"{self.name}: {request}: {answer}; it said {self.err!r}")
        return answer["return"]

    def events(self, name):
        """Events of that name, for ever."""
        while True:
            event = self.qmp().next_event()
            if event is None:
                raise AssertionError(f"{self.name} has ended: {self.err!r}")
            if event["event"] == name:
                yield event["data"]

    def migrated(self):
        """How the migration that is under way ends: the last event."""
        for data in self.events("X_UMBRA_MIGRATION"):
            if data["status"] in FINAL:
                return data

    def lines(self):
        """The guest's whole lines so far."""
        return self.out.decode().split("\n")[:-1]

    def wait_lines(self, n):
        """Until the guest has said `n` more whole lines."""
        until = self.out.count(b"\n") + n
        self.wait(f"line {until}", lambda side: side.out.count(b"\n") >= until)

    def end(self):
        """Waits for the process to end; its status and what it said."""
        status = self.process.wait(timeout=TIMEOUT)
        for reader in self.readers:
            reader.join()
        return status, self.err.decode()


class MigrationTest(QmpTest):
    patience = 60  # seconds; nobody waits for it unless there is silence

    def setUp(self):
        super().setUp()
        self.count = 0

    def new_name(self, what):
        self.count += 1
        return f"{what}-{self.count}"

    def source(self, *options, kib=KIB, fill=FILL, **keywords):
        side = Side(self, self.new_name("source"),
                    command("tally", "--cmdline", f"{fill} {kib}", "--memory", "64M", *options),
                    **keywords)
        side.wait("its first line", lambda each: b"\n" in each.out)
        return side

    def target(self, uri, *options, prefix=(), **keywords):
        """A waiting process; its sockets are there."""
        side = Side(self, self.new_name("target"),
                    [*prefix, UMBRA, "run", "--incoming", uri, "--patience", str(self.patience),
                     *options], **keywords)
        side.qmp()
        return side

    def target_that_may_not(self):
        """One that gets no userfaultfd, and its URI."""
        with open("/proc/sys/vm/unprivileged_userfaultfd", encoding="ascii") as file:
            if file.read() == "1\n":
                self.skipTest("vm.unprivileged_userfaultfd is 1 here: everybody may")
        if os.geteuid() != 0:
            self.skipTest("only root can give its rights up")
        uri = "unix:" + self.new_path()
        return self.target(uri, prefix=["unshare", "--mount", "sh", "-c", WITHOUT, "sh"]), uri

    def path(self, name):
        return f"{self.folder}/{name}"

    def new_path(self):
        return self.path(self.new_name("socket"))

    def begin(self, source, uri, **parameters):
        source.execute("migrate-set-parameters", x_umbra_patience=self.patience * 1000,
                       **parameters)
        source.execute("migrate", uri=uri)

    def migrate(self, source, uri, **parameters):
        self.begin(source, uri, **parameters)
        return source.migrated()

    def assert_says(self, side, status, pattern):
        """It has ended, with that status and one line."""
        self.assertRegex((side.end()[1]), rf"\Aumbra: [^\n]*(?:{pattern})[^\n]*\n\Z")
        self.assertEqual(side.process.returncode, status, side.err)

    def wait_status(self, side, status):
        deadline = time.monotonic() + TIMEOUT
        while side.status() != status:
            self.assertLess(time.monotonic(), deadline, f"{side.name} is {side.status()}")
            time.sleep(0.01)

    def assert_silent(self, side):
        """Its guest does not run: it would say several lines in this time."""
        side.catch_up()
        lines = side.lines()
        time.sleep(0.3)
        side.catch_up()
        # The beginning of a line waits for a moment in case the rest comes.
        self.assertEqual(side.lines(), lines)

    def assert_goes_on(self, side):
        side.wait_lines(2)

    def assert_counted(self, sides, tally):
        """All that the guest ever said, wherever it was: each line once, each right."""
        said = b"".join(side.out for side in sides).decode().split("\n")[:-1]
        for i, line in enumerate(said):
            self.assertEqual(line, tally.line((i + 1) * BEAT), f"line {i + 1}")
        return len(said)

    def finish(self, sides, tally):
        """Ends the guest, which the last of `sides` has, and looks at all it said."""
        last = sides[-1]
        last.process.stdin.write(b"q")
        last.wait("the end", lambda side: side.out.endswith(b"tally: done\n"))
        self.assertEqual(last.end(), (0, "umbra: the guest powered off\n"))
        last.out = last.out.removesuffix(b"tally: done\n")
        return self.assert_counted(sides, tally)

    def finish_after_kill(self, source, target, tally):
        """
        The same where the source was killed: what it had taken of the guest's output and not
        yet written is gone with it. The guest itself has missed nothing.
        """
        target.process.stdin.write(b"q")
        target.wait("the end", lambda side: side.out.endswith(b"tally: done\n"))
        self.assertEqual(target.end(), (0, "umbra: the guest powered off\n"))
        self.assert_counted([source], tally)
        said = target.out.removesuffix(b"tally: done\n").decode().split("\n")[1:-1]
        first = int(re.match(r"tally: r (\d+) ", said[0])[1])
        for i, line in enumerate(said):
            self.assertEqual(line, tally.line(first + i * BEAT))


class Moves(MigrationTest):
    """Moves of a guest that counts, by a Unix socket unless told otherwise."""

    @classmethod
    def setUpClass(cls):
        cls.tally = Tally()

    def unix(self, *options, **keywords):
        path = self.new_path()
        return self.target("unix:" + path, *options, **keywords), "unix:" + path

    def command(self, source, uri, *options):
        return self.umbra("migrate", source.name, uri, "--patience", str(self.patience), *options)

    def assert_command_moves(self, source, target, uri, *options):
        """`umbra migrate` moves it, tells so, and ends the source."""
        result = self.command(source, uri, *options)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\A\S+ runs at \S.* now: \d+\.\d MiB sent in \d+ rounds?\n"
                                        r"the guest stood still for \d+\.\d ms: [^\n]+\n\Z")
        self.assertEqual(source.end(), (0, f"umbra: the guest moved to {uri}\n"))
        self.assert_goes_on(target)
        # A guest may run before the main thread knows that it is there.
        self.wait_status(target, "running")
