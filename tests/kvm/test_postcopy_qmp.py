# SPDX-License-Identifier: MIT
"""Post-copy as QMP clients do it: switched to on the way, broken, resumed; what is said meanwhile."""

import re
import signal

import harness
from migrating import MigrationTest, Tally

MIB = 1 << 20


def refusal(side, name, **arguments):
    answer = side.qmp().ask({"execute": name, "arguments": arguments})
    return answer["error"]["desc"]


class Postcopy(MigrationTest):
    @classmethod
    def setUpClass(cls):
        cls.tally = Tally()

    def setUp(self):
        super().setUp()
        self.from_, self.uri = self.source(), "unix:" + self.new_path()
        self.to = self.target(self.uri)

    def statuses(self, side):
        """MIGRATION events, by status."""
        for data in side.events("MIGRATION"):
            yield data["status"]

    def until(self, side, status):
        """The statuses up to that one."""
        seen = []
        for each in self.statuses(side):
            seen.append(each)
            if each == status:
                return seen
        raise AssertionError(seen)

    def capabilities(self, side, **states):
        side.execute("migrate-set-capabilities", capabilities=[
            {"capability": name.replace("_", "-"), "state": state}
            for name, state in states.items()])

    def switch(self, crawl):
        """Pre-copy that never ends, and then post-copy; `crawl`: only what is waited for comes."""
        self.capabilities(self.from_, postcopy_ram=True, events=True)
        self.begin(self.from_, self.uri, max_bandwidth=MIB, downtime_limit=0,
                   max_postcopy_bandwidth=1 if crawl else 0)
        self.until(self.from_, "active")
        self.from_.execute("migrate-start-postcopy")

    def forget_recovery(self):
        self.to.wait("its recovery", lambda side: side.err.endswith(b"goes on\n"))
        self.to.take_err()

    def test_switch(self):
        self.switch(crawl=False)
        self.assertEqual(self.until(self.from_, "completed"),
                         ["device", "postcopy-active", "completed"])
        ram = self.from_.execute("query-migrate")["ram"]
        self.assertEqual(ram["remaining"], 0)
        self.assertGreater(ram["postcopy-bytes"], 0)
        self.assertEqual(self.from_.status(), "postmigrate")
        self.assert_goes_on(self.to)
        self.assertEqual(self.to.execute("query-migrate")["status"], "completed")
        self.finish([self.from_, self.to], self.tally)

    def test_broken_and_resumed(self):
        self.switch(crawl=True)
        self.until(self.from_, "postcopy-active")
        for _ in range(3):
            self.assertEqual(self.to.execute("query-migrate")["status"], "postcopy-active")
            self.assertIn("cannot be cancelled", refusal(self.from_, "migrate_cancel"))
            self.assertIn("too late", refusal(self.from_, "migrate-start-postcopy"))
            self.from_.execute("migrate-pause")
            self.until(self.from_, "postcopy-paused")
            self.assertIn("resume", self.from_.execute("query-migrate")["error-desc"])
            self.to.wait("its complaint", lambda side: b"resume the migration there" in side.err)
            self.assertIn("not all here", refusal(self.to, "x-umbra-backtrace"))
            self.assertIn("unix:PATH", refusal(self.from_, "migrate", uri="nowhere", resume=True))
            self.from_.execute("migrate", uri="unix:/nowhere", resume=True)
            self.assertEqual(self.until(self.from_, "postcopy-paused"),
                             ["postcopy-recover", "postcopy-paused"])
            self.from_.execute("migrate", uri=self.uri, resume=True)
            self.assertEqual(self.until(self.from_, "postcopy-active"),
                             ["postcopy-recover", "postcopy-active"])
            self.forget_recovery()
        # All that it touches has come by request.
        self.to.wait_lines(3)
        self.assertGreater(self.from_.execute("query-migrate")["ram"]["postcopy-requests"], 0)
        self.assertIn("under way", refusal(self.to, "migrate", uri="unix:/nowhere"))
        self.from_.execute("migrate-set-parameters", max_postcopy_bandwidth=0)
        self.until(self.from_, "completed")
        self.finish([self.from_, self.to], self.tally)

    def test_the_source_is_not_ended_while_it_is_needed(self):
        """Who asks is refused; a signal is obeyed as soon as nothing is lost by it."""
        self.switch(crawl=True)
        self.until(self.from_, "postcopy-active")
        self.assertIn("would be lost; wait until", refusal(self.from_, "quit"))
        self.assert_trouble(self.umbra("quit", self.from_.name), "umbra quit --force")
        self.from_.execute("migrate-pause")
        self.until(self.from_, "postcopy-paused")
        self.assertIn(f"umbra migrate {self.from_.name} URI --resume", refusal(self.from_, "quit"))
        for n in (1, 2):
            self.from_.process.send_signal((signal.SIGTERM, signal.SIGHUP)[n - 1])
            self.from_.wait("its answer", lambda side, n=n: side.err.count(b"\n") == n)
        self.assertEqual(self.from_.status(), "postmigrate")
        self.from_.execute("migrate-set-parameters", max_postcopy_bandwidth=0)
        self.from_.execute("migrate", uri=self.uri, resume=True)
        status, said = self.from_.end()
        self.assertEqual(status, 0)
        self.assertRegex(said, r"\A(umbra: not stopped yet by a signal: the guest runs at [^\n]* "
                               r"this process then ends by itself\n){2}"
                               rf"umbra: the guest moved to {re.escape(self.uri)}\n\Z")
        self.forget_recovery()
        self.assert_goes_on(self.to)
        self.finish([self.from_, self.to], self.tally)

    def test_the_source_is_ended_by_force(self):
        self.switch(crawl=True)
        self.until(self.from_, "postcopy-active")
        result = self.umbra("quit", self.from_.name, "--force")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_says(self.from_, 0, "the guest moved to .*: ended while pages of the guest "
                                        "were missing at the target: the guest there cannot go on")
        self.to.wait("its complaint", lambda side: b"resume the migration there" in side.err)
        self.assertEqual(self.to.execute("query-migrate")["status"], "postcopy-paused")

    def test_not_prepared(self):
        self.begin(self.from_, self.uri, max_bandwidth=MIB, downtime_limit=0)
        self.assertIn("postcopy-ram", refusal(self.from_, "migrate-start-postcopy"))
        self.from_.execute("migrate_cancel")
        self.assertEqual(self.from_.migrated()["status"], "cancelled")
        self.assert_goes_on(self.from_)

    def test_nothing_to_do(self):
        for name, arguments in (("migrate-start-postcopy", {}), ("migrate-pause", {}),
                                ("migrate", {"uri": self.uri, "resume": True})):
            with self.subTest(name):
                self.assertIn("there is no migration", refusal(self.from_, name, **arguments))

    def test_one_connection_only(self):
        self.capabilities(self.from_, postcopy_ram=True)
        self.assertIn("connect again", refusal(self.from_, "migrate", uri="fd:0"))

    def test_target_may_not(self):
        """Refused by name before a page goes, and the guest stays."""
        uri = self.target_that_may_not()[1]
        self.capabilities(self.from_, postcopy_ram=True)
        self.begin(self.from_, uri)
        last = self.from_.migrated()
        self.assertEqual(last["status"], "failed")
        self.assertIn("/dev/userfaultfd", last["error"])
        self.assert_goes_on(self.from_)


if __name__ == "__main__":
    harness.main()
