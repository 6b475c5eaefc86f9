# SPDX-License-Identifier: MIT
"""Migrations that go wrong, at every message and at random bytes: one process has the guest.

The guest (tests/guests/tally.c) shows its work all the time. What all processes
that ever had it said, one after another, must be each line once and right: a guest
that ran in two places, lost a page or went back in time cannot keep that up.

UMBRA_FAULTS is how many faults are tried (a few by default; 1,000 take a while), and
UMBRA_SEED the seed of those that are random.
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time

import harness
from harness import TIMEOUT, TROUBLE
from migrating import MigrationTest, Tally
from migration_proxy import Fault, Proxy

FAULTS = int(os.environ.get("UMBRA_FAULTS", "200"))
SEED = int(os.environ.get("UMBRA_SEED", "1"))
LONG = FAULTS >= 1000

# Each message of a migration by one connection, in order; RAM comes some more times.
MESSAGES = (("HELLO", 0), ("VERDICT", 0), ("JOINED", 0), ("RAM", 0), ("RAM", 3), ("END", 0),
            ("STATE", 0), ("READY", 0), ("GO", 0), ("STARTED", 0), ("END", 1))
LOUD = ("cut", "cut after", "cut inside", "flip", "drop", "twice", "late")
SILENT = ("swallow", "swallow one", "stall")

MOVED, STAYED, PAUSED = "moved", "stayed", "paused"
AT_ONE, OF_TWO = {MOVED}, {MOVED, STAYED}


def allowed(fault):
    """Who may have the guest afterwards, on one host."""
    message = (fault.name, fault.nth)
    if fault.kind == "late" or message in (("STARTED", 0), ("END", 1)):
        return AT_ONE
    if (fault.name, fault.kind) == ("GO", "twice"):
        return AT_ONE
    # The connection ends for both at once, and the first to say so has it.
    if (fault.name, fault.kind) in (("GO", "cut after"), ("READY", "twice")):
        return OF_TWO
    # The source may answer with GO, and that get through, before the cut.
    if (fault.name, fault.kind) == ("READY", "cut after"):
        return OF_TWO
    return {STAYED}


class FaultTest(MigrationTest):
    patience = 2  # seconds; silence is one of the faults

    @classmethod
    def setUpClass(cls):
        cls.tally = Tally()

    def setUp(self):
        super().setUp()
        self.sides = [self.source()]

    def connect(self, fault, **keywords):
        """A target and a proxy before it: both, and the source's URI."""
        path, proxied = self.new_path(), self.new_path()
        target = self.target("unix:" + path, **keywords)
        proxy = Proxy(proxied, path, fault)
        self.addCleanup(proxy.close)
        return target, proxy, "unix:" + proxied

    def assert_gives_up(self, target):
        """It says why in one line, and ends or, if no guest was announced, waits on."""
        target.wait("its line", lambda side: side.err.endswith(b"\n"))
        self.assertRegex(target.err.decode(), r"\Aumbra: [^\n]+\n\Z")
        if b"a guest was turned away" in target.err:
            self.assertEqual(target.status(), "inmigrate")
            target.close()
            return
        self.assertEqual(target.end()[0], TROUBLE, target.err)
        self.assertIn(b"the guest did not arrive, and is where it was: ", target.err)
        self.assertEqual(target.out, b"")

    def assert_moved(self, source, target):
        self.wait_status(target, "running")
        self.assertEqual(source.status(), "postmigrate")
        self.assert_goes_on(target)
        source.execute("quit")
        self.assertRegex(source.end()[1], r"\Aumbra: the guest moved to unix:[^\n]*\n\Z")
        target.catch_up()
        self.assertEqual((source.process.returncode, target.err), (0, b""))
        self.sides.append(target)

    def assert_stayed(self, source, target, last):
        self.assertEqual(source.status(), "running")
        self.assertRegex(last["error"], r"\A[^\n]+\Z")
        self.assert_goes_on(source)
        source.catch_up()
        self.assertEqual(source.err, b"")
        self.assert_gives_up(target)

    def inflict(self, fault, may=None):
        """One migration of the guest, from where it is; who has it afterwards."""
        source = self.sides[-1]
        target, proxy, uri = self.connect(fault)
        last = self.migrate(source, uri)
        proxy.go_on.set()
        may = may or (allowed(fault) if proxy.fired.is_set() else AT_ONE)
        if last["status"] == "completed":
            outcome = MOVED
            self.assert_moved(source, target)
        else:
            outcome = STAYED
            self.assertEqual(last["status"], "failed")
            self.assert_stayed(source, target, last)
        proxy.close()
        self.assertIn(outcome, may, last)
        # All it ever said is right, so far.
        self.assert_counted(self.sides, self.tally)
        return outcome

    def inflict_all(self, faults):
        outcomes = {}
        for fault in faults:
            outcome = None
            with self.subTest(str(fault)):
                outcome = self.inflict(fault)
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if not outcome:
                # One failure must not become that of all that follow.
                self.sides = [self.source()]
        print(f"# {len(faults)} faults: {outcomes}", flush=True)
        self.finish(self.sides, self.tally)


class Connection(FaultTest):
    """What a connection can do to them."""

    def test_each_message(self):
        self.inflict_all([Fault(kind, *message) for message in MESSAGES for kind in LOUD])

    def test_silence_at_each_message(self):
        kinds = SILENT if LONG else SILENT[:1]
        self.inflict_all([Fault(kind, *message) for message in MESSAGES for kind in kinds])

    def test_random_bytes(self):
        dice = random.Random(SEED)
        faults = []
        for _ in range(FAULTS):
            message = ("RAM", dice.randrange(6)) if dice.random() < 0.5 else dice.choice(MESSAGES)
            kind = dice.choice(("flip", "flip", "cut inside"))
            faults.append(Fault(kind, *message, where=dice.random()))
        self.inflict_all(faults)


class Killed(FaultTest):
    """One side is killed when a message is on its way: who has the guest takes it along."""

    def kill(self, side):
        side.process.kill()
        side.process.wait()

    def one(self, message, kind, who):
        if self.sides[-1].process.poll() is not None:
            self.sides = [self.source()]
        source = self.sides[-1]
        fault = Fault(kind, *message)
        target, proxy, uri = self.connect(fault)
        victim = source if who == "source" else target
        fault.act = lambda: self.kill(victim)
        self.begin(source, uri)
        self.assertTrue(proxy.fired.wait(TIMEOUT))
        return source, target, proxy

    def test_the_source(self):
        for message in MESSAGES:
            for kind in ("pause", "act, drop"):
                with self.subTest(message, kind=kind):
                    source, target, proxy = self.one(message, kind, "source")
                    if message in (("STARTED", 0), ("END", 1)) or (message[0], kind) == ("GO", "pause"):
                        self.wait_status(target, "running")
                        source.end()
                        self.assert_goes_on(target)
                        self.finish_after_kill(source, target, self.tally)
                        self.assertEqual(target.err, b"umbra: the guest powered off\n")
                    else:
                        self.assert_gives_up(target)
                    proxy.close()

    def test_the_target(self):
        for message in MESSAGES:
            for kind in ("pause", "act, drop"):
                with self.subTest(message, kind=kind):
                    source, target, proxy = self.one(message, kind, "target")
                    last = source.migrated()
                    target.end()
                    if message in (("STARTED", 0), ("END", 1)):
                        # It had the guest, and took it along.
                        self.assertEqual((last["status"], source.status()),
                                         ("completed", "postmigrate"))
                        self.assert_silent(source)
                        source.execute("quit")
                        source.end()
                        self.assert_counted([source, target], self.tally)
                    else:
                        self.assertEqual(last["status"], "failed")
                        self.assertEqual(source.status(), "running")
                        self.assert_goes_on(source)
                        self.assertEqual((source.err, target.out), (b"", b""))
                        self.assert_counted([source], self.tally)
                    proxy.close()


class Stopped(FaultTest):
    """A process that stands still for longer than its peer waits."""

    def stop(self, side):
        """Returns when no thread of it runs any more."""
        os.kill(side.process.pid, signal.SIGSTOP)
        for task in pathlib.Path(f"/proc/{side.process.pid}/task").iterdir():
            # One that ends meanwhile does not run either.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                while task.joinpath("stat").read_text().rpartition(") ")[2][0] != "T":
                    pass

    def stop_at(self, name, which):
        fault = Fault("pause", name)
        target, proxy, uri = self.connect(fault)
        side = self.sides[0] if which == "source" else target
        fault.act = lambda: self.stop(side)
        self.addCleanup(self.go_on, side)
        self.begin(self.sides[0], uri)
        self.assertTrue(proxy.fired.wait(TIMEOUT))
        return target

    def go_on(self, side):
        if side.process.poll() is None:
            os.kill(side.process.pid, signal.SIGCONT)

    def test_the_target_before_it_has_it(self):
        source = self.sides[0]
        target = self.stop_at("GO", "target")
        last = source.migrated()
        self.assertEqual((last["status"], source.status()), ("failed", "running"))
        self.assert_goes_on(source)
        self.go_on(target)
        # GO waits for it there, and must count for nothing.
        self.assert_says(target, TROUBLE, "the source took its guest back")
        self.assertEqual(target.out, b"")
        self.finish(self.sides, self.tally)

    def test_the_source_when_it_is_gone(self):
        source = self.sides[0]
        target = self.stop_at("STARTED", "source")
        self.wait_status(target, "running")
        self.assert_goes_on(target)
        # Longer than both are patient.
        time.sleep(2 * self.patience)
        self.go_on(source)
        self.assertEqual(source.migrated()["status"], "completed")
        self.assert_moved(source, target)
        self.finish(self.sides, self.tally)


class TwoHosts(FaultTest):
    """They share no word of memory: the source has to ask."""

    SEPARATE = ("unshare", "--pid", "--fork", "--kill-child")

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("a PID namespace needs root")
        super().setUp()

    def connect(self, fault, **keywords):
        return super().connect(fault, prefix=self.SEPARATE, **keywords)

    def begin_with(self, kind, name, act=None):
        fault = Fault(kind, name)
        target, proxy, uri = self.connect(fault)
        fault.act = (lambda: act(proxy)) if act else None
        self.begin(self.sides[-1], uri)
        return self.sides[-1], target, proxy

    @staticmethod
    def unreachable(proxy):
        proxy.reachable = False

    def assert_paused(self, source, last):
        """Kept, not running, and said so."""
        self.assertEqual((last["status"], source.status()), ("failed", "paused"))
        self.assertRegex(last["error"], r"\A[^\n]*it runs there or nowhere, and is kept paused "
                                        r"here; resume it only if it does not run there[^\n]*\Z")
        self.assert_silent(source)
        self.assertEqual(source.err, b"")

    def test_each_message(self):
        for kind in LOUD:
            for message in MESSAGES[-4:]:
                fault = Fault(kind, *message)
                may = allowed(fault)
                if may == OF_TWO and (fault.name, fault.kind) != ("READY", "cut after"):
                    # GO was passed on: nobody can have been faster.
                    may = AT_ONE
                with self.subTest(str(fault)):
                    self.inflict(fault, may)
        self.finish(self.sides, self.tally)

    def test_cut_for_good_after_go(self):
        source, target, proxy = self.begin_with("act, drop", "STARTED", self.unreachable)
        last = source.migrated()
        self.assert_paused(source, last)
        self.wait_status(target, "running")
        self.assert_goes_on(target)
        self.assertEqual(target.err, b"")
        # Its user looks, sees that it runs there, and ends it here.
        source.execute("quit")
        self.assertEqual(source.end(), (0, "umbra: stopped by a QMP client\n"))
        self.sides.append(target)
        self.finish(self.sides, self.tally)
        proxy.close()

    def test_cut_for_good_before_go(self):
        source, target, _ = self.begin_with("act, drop", "GO", self.unreachable)
        last = source.migrated()
        self.assert_paused(source, last)
        self.assert_gives_up(target)
        # Its user looks, sees that it runs nowhere, and lets it go on here.
        source.execute("cont")
        self.finish(self.sides, self.tally)

    def come_back(self, name):
        """The network is away for a while, from this message on; for less than both are patient."""
        self.patience = 20
        source, target, proxy = self.begin_with("act, drop", name, self.unreachable)
        self.assertTrue(proxy.fired.wait(TIMEOUT))
        time.sleep(1)
        # Undecided: it stands still.
        self.assertEqual(source.execute("query-migrate")["status"], "device")
        proxy.reachable = True
        return source, target

    def test_the_network_comes_back_after_go(self):
        source, target = self.come_back("STARTED")
        self.assertEqual(source.migrated()["status"], "completed")
        self.assert_moved(source, target)
        self.finish(self.sides, self.tally)

    def test_the_network_comes_back_before_go(self):
        source, target = self.come_back("GO")
        last = source.migrated()
        self.assertEqual(last["status"], "failed")
        self.assert_stayed(source, target, last)
        self.finish(self.sides, self.tally)

    def test_the_target_is_killed(self):
        """Nobody answers any more."""
        for name in ("GO", "STARTED"):
            with self.subTest(name):
                if name == "STARTED":
                    self.sides = [self.source()]
                source, target, _ = self.begin_with("act, drop", name, lambda _: target_killed())

                def target_killed():
                    subprocess.run(["pkill", "-KILL", "-P", str(target.process.pid)], check=True)

                self.assert_paused(source, source.migrated())

    def test_cancelled_while_it_asks(self):
        source, target, proxy = self.begin_with("act, drop", "STARTED", self.unreachable)
        self.assertTrue(proxy.fired.wait(TIMEOUT))
        source.execute("migrate_cancel")
        # Cancelled or not: it may run there.
        self.assert_paused(source, source.migrated())
        self.wait_status(target, "running")


if __name__ == "__main__":
    harness.main()
