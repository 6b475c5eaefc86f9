# SPDX-License-Identifier: MIT
"""Post-copies that go wrong, at every message and at random bytes: the guest loses nothing by it.

Before GO the guest stays where it is. After it the connection may break, and the migration is
resumed until it is complete. The guest shows its work all the time, as in test_migration_faults.py;
UMBRA_FAULTS and UMBRA_SEED are as there.
"""

import os
import random

import harness
from migration_proxy import Fault
from test_migration_faults import AT_ONE, LONG, LOUD, MOVED, OF_TWO, SEED, SILENT, STAYED, FaultTest, allowed

FAULTS = int(os.environ.get("UMBRA_FAULTS", "60"))

# In the order in which they come. What does not come (a guest may want nothing) does no harm.
BEFORE = (("HELLO", 0), ("VERDICT", 0), ("JOINED", 0), ("LATER", 0), ("END", 0), ("STATE", 0),
          ("READY", 0), ("GO", 0))
AFTER = (("STARTED", 0), ("WANT", 0), ("PAGES", 0), ("PAGES", 1), ("WANT", 2), ("PAGES", 9),
         ("COMPLETE", 0), ("END", 1))
# The first of these break the connection, so that the second kind comes.
AGAIN = (("RESUME", 0), ("MISSING", 0), ("END", 1), ("PAGES", 3), ("COMPLETE", 0))


class PostcopyFaults(FaultTest):
    def begin(self, source, uri, **parameters):
        source.execute("migrate-set-capabilities", capabilities=[
            {"capability": "postcopy-ram", "state": True}])
        super().begin(source, uri, **parameters)
        answer = source.qmp().ask({"execute": "migrate-start-postcopy"})
        # A fault may have been faster.
        if "error" in answer:
            self.assertRegex(answer["error"]["desc"], "too late|no migration")

    def resume(self, source, uri):
        answer = source.qmp().ask({"execute": "migrate", "arguments": {"uri": uri, "resume": True}})
        if "error" in answer:
            # The event that it was paused is older than the last attempt.
            self.assertIn("nothing to resume", answer["error"]["desc"])

    def finish_migration(self, source, uris):
        """The last event; connects again whenever it has to, the last time by the last of `uris`."""
        resumed = 0
        for data in source.events("X_UMBRA_MIGRATION"):
            if data["status"] != "active":
                return data, resumed
            if data["migration"]["status"] == "postcopy-paused":
                self.resume(source, uris[min(resumed, len(uris) - 1)])
                resumed += 1
                self.assertLess(resumed, 20, data)
        raise AssertionError("no end")

    def migrate_through(self, source, target, fault, proxy, uri):
        direct = "unix:" + proxy.target
        self.begin(source, uri)
        return self.finish_migration(source, [direct] if fault.kind in SILENT else [uri])

    def look_at_complaints(self, target):
        """Each was followed by the word that it goes on. Who misses nothing complains of nothing."""
        self.assertRegex(target.take_err(), rb"\A(umbra: the guest waits for pages that are at the "
                                            rb"source; resume the migration there: [^\n]+\n"
                                            rb"umbra: the migration goes on\n)*\Z")
        self.assert_goes_on(target)

    def inflict(self, fault, may=None):
        source = self.sides[-1]
        target, proxy, uri = self.connect(fault)
        last, resumed = self.migrate_through(source, target, fault, proxy, uri)
        proxy.go_on.set()
        if last["status"] == "completed":
            outcome = MOVED
            if resumed:
                self.look_at_complaints(target)
            self.assert_moved(source, target)
        else:
            outcome = STAYED
            self.assertEqual((last["status"], resumed), ("failed", 0), last)
            self.assert_stayed(source, target, last)
        proxy.close()
        if fault.name != "PAGES":
            self.resumes += resumed > 0
        self.assertIn(outcome, may or self.may(fault, proxy), last)
        self.assert_counted(self.sides, self.tally)
        return outcome

    @staticmethod
    def may(fault, proxy):
        if not proxy.fired.is_set() or fault.name == "PAGES" or (fault.name, fault.nth) in AFTER:
            return AT_ONE
        # A thread of its own reads on, and may complain before the guest is claimed.
        if (fault.name, fault.kind) == ("GO", "twice"):
            return OF_TWO
        return allowed(fault)

    def setUp(self):
        super().setUp()
        self.resumes = 0

    def test_each_message(self):
        self.inflict_all([Fault(kind, *message) for message in BEFORE + AFTER for kind in LOUD])
        self.assertGreater(self.resumes, 0)

    def test_silence_at_each_message(self):
        kinds = SILENT if LONG else SILENT[:1]
        self.inflict_all([Fault(kind, *message) for message in BEFORE[3:] + AFTER for kind in kinds])

    def test_random_bytes(self):
        dice = random.Random(SEED)
        faults = []
        for _ in range(FAULTS):
            message = dice.choice(BEFORE[3:] + AFTER)
            if message[0] == "PAGES":
                message = ("PAGES", dice.randrange(12))
            kind = dice.choice(("flip", "flip", "cut inside"))
            faults.append(Fault(kind, *message, where=dice.random()))
        self.inflict_all(faults)


class Twice(PostcopyFaults):
    """The connection breaks, and what makes a new one goes wrong as well."""

    def migrate_through(self, source, target, fault, proxy, uri):
        first = Fault("cut", "PAGES", 0)
        proxy.fault, second = first, fault
        self.begin(source, uri)
        self.assertTrue(proxy.fired.wait(harness.TIMEOUT))
        with proxy.lock:
            proxy.counts = {"LATER": 1}
            proxy.fault = second
            proxy.fired.clear()
        return self.finish_migration(source, [uri])

    @staticmethod
    def may(fault, proxy):
        return AT_ONE

    def test_each_message(self):
        faults = []
        for name, nth in AGAIN:
            # On the new connection the target's END comes first.
            for kind in LOUD:
                faults.append(Fault(kind, name, nth - (name == "END")))
        self.inflict_all(faults)

    test_silence_at_each_message = None

    def test_random_bytes(self):
        dice = random.Random(SEED)
        self.inflict_all([
            Fault(dice.choice(("flip", "cut inside")), *dice.choice(AGAIN[:2] + AGAIN[3:]),
                  where=dice.random()) for _ in range(FAULTS // 2)])


if __name__ == "__main__":
    harness.main()
