# SPDX-License-Identifier: MIT
"""`umbra migrate` with post-copy: when it begins, what it says, what Ctrl-C means, how it goes on."""

import re
import signal
import socket
import subprocess

import harness
from harness import TIMEOUT, TROUBLE, UMBRA
from migrating import MigrationTest, Side, Tally
from migration_proxy import Proxy

KIB = 24 << 10  # written all the time: never small
RESUME = 3
CRAWL = ["--postcopy-bandwidth", "1"]  # only what is waited for comes
RUNS_THERE = (r"\S+ runs at \S.* now, and needs both sides until the rest of its memory "
              r"\(\d+\.\d MiB\) is there\n")
REPORT = (r"\S+ runs at \S.* now: \d+\.\d MiB sent in %s, and \d+\.\d MiB of it when it ran "
          r"there already, which waited for \d+ pages\nthe guest stood still for \d+\.\d ms: [^\n]+\n")


class Command(MigrationTest):
    def start_both(self, kib=KIB, fill=16):
        self.tally = Tally(kib=kib)
        self.from_, path = self.source(kib=kib, fill=fill), self.new_path()
        self.to, self.uri = self.target("unix:" + path), "unix:" + path
        self.proxied = self.new_path()
        self.proxy = Proxy(self.proxied, path)
        self.addCleanup(self.proxy.close)

    def migrate(self, *options):
        return self.umbra("migrate", self.from_.name, *options)

    def start(self, *options):
        """In the background."""
        process = subprocess.Popen(
            [UMBRA, "migrate", self.from_.name, *options], env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def assert_ends(self, process, status, stdout, stderr):
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertRegex(out, rf"\A{stdout}\Z", err)
        self.assertRegex(err, rf"\A{stderr}\Z")
        self.assertEqual(process.returncode, status)

    def assert_moved(self):
        self.assertEqual(self.from_.end(), (0, f"umbra: the guest moved to {self.uri}\n"))
        self.assertRegex(self.to.take_err(), rb"\A(umbra: the guest waits for pages [^\n]+\n"
                                             rb"umbra: the migration goes on\n)*\Z")
        self.assert_goes_on(self.to)
        self.finish([self.from_, self.to], self.tally)

    def until_active(self):
        for data in self.from_.events("X_UMBRA_MIGRATION"):
            if data["migration"]["status"] == "active":
                return

    def crawl(self, uri):
        """A migration that stays in post-copy, since the guest does not touch all; its process."""
        process = self.start(uri, "--postcopy", "--bandwidth", "1M", "--downtime", "0", *CRAWL)
        self.until_active()
        self.assertEqual(self.migrate("--start-postcopy").returncode, 0)
        first = process.stdout.readline()
        self.assertRegex(first, rf"\A{RUNS_THERE}\Z")
        # What the guest does not touch is still to come.
        self.assertGreater(float(re.search(r"\((\d+\.\d) MiB\)", first)[1]), 1)
        return process


class Begins(Command):
    def test_after_one_pass(self):
        self.start_both()
        process = self.start(self.uri, "--postcopy-after-precopy", "--downtime", "1",
                             "--postcopy-bandwidth", "32M")
        # It may be over before it could be told.
        self.assert_ends(process, 0, f"({RUNS_THERE})?{REPORT % '1 round'}", "")
        self.assert_moved()

    def test_not_if_the_rest_is_small(self):
        self.start_both(kib=64)
        result = self.migrate(self.uri, "--postcopy-after-precopy", "--downtime", "10000")
        self.assertRegex(result.stdout, r"\A\S+ runs at \S.* now: \d+\.\d MiB sent in 1 round\n"
                                        r"the guest stood still for [^\n]+\n\Z", result.stderr)
        self.assert_moved()

    def test_by_hand(self):
        self.start_both()
        self.assert_trouble(self.migrate("--start-postcopy"), "there is no migration under way")
        process = self.start(self.uri, "--postcopy", "--bandwidth", "1M", "--downtime", "0", "-q")
        self.until_active()
        result = self.migrate("--start-postcopy")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assert_ends(process, 0, "", "")
        self.assert_moved()

    def test_not_unless_it_was_asked_for(self):
        self.start_both()
        process = self.start(self.uri, "--bandwidth", "1M", "--downtime", "0")
        self.until_active()
        self.assert_trouble(self.migrate("--start-postcopy"), "umbra migrate --postcopy")
        process.send_signal(signal.SIGINT)
        self.assert_ends(process, TROUBLE, "", "umbra: [^\n]* stays here: [^\n]*\n")
        self.finish([self.from_], self.tally)


class Breaks(Command):
    def assert_broken(self, result):
        self.assertEqual(result.returncode, RESUME)
        self.assertRegex(result.stderr, r"\Aumbra: [^\n]* the guest waits at the target for pages that "
                                        r"are here; resume the migration: [^\n]* --resume\)\n\Z")

    def test_and_is_resumed(self):
        self.start_both(kib=64)
        process = self.crawl("unix:" + self.proxied)
        for _ in range(2):
            self.proxy.cut()
            self.assert_ends(process, RESUME, "", r"umbra: [^\n]*resume the migration: [^\n]* "
                             # Its path has a space.
                             rf"\(umbra migrate {self.from_.name} 'unix:[^\n]*' --resume\)\n")
            self.assert_broken(self.migrate("unix:/nowhere", "--resume"))
            process = self.start("unix:" + self.proxied, "--resume")
            self.assertRegex(process.stdout.readline(),
                             r"\Aconnected again: \d+\.\d MiB of \S+ are still to go\n\Z")
        self.assert_trouble(self.migrate(self.uri, "--resume"), "nothing to resume")
        self.assert_trouble(self.migrate(self.uri), "under way")
        self.proxy.cut()
        self.assert_ends(process, RESUME, "", "umbra: [^\n]*\n")
        # This time past the proxy, and with all haste.
        result = self.migrate(self.uri, "--resume", "--postcopy-bandwidth", "0")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, rf"\A(connected again: [^\n]*\n)?{REPORT % '1 round'}\Z")
        self.assert_moved()

    def test_ctrl_c_comes_too_late(self):
        self.start_both(kib=64)
        process = self.crawl(self.uri)
        process.send_signal(signal.SIGINT)
        self.assertRegex(process.stderr.readline(),
                         r"\Aumbra: [^\n]* post-copy cannot be cancelled; Ctrl-C once more ends this "
                         r"command, and the migration goes on\n\Z")
        process.send_signal(signal.SIGINT)
        self.assert_ends(process, -signal.SIGINT, "", "")
        self.assertEqual(self.from_.execute("query-migrate")["status"], "postcopy-active")
        self.from_.execute("migrate-set-parameters", max_postcopy_bandwidth=0)
        self.assertEqual(self.from_.migrated()["status"], "completed")
        self.assertEqual(self.umbra("quit", self.from_.name).returncode, 0)
        self.assert_moved()


class Refused(Command):
    def test_nothing_to_resume(self):
        self.start_both(kib=64)
        before = self.from_.execute("query-migrate-parameters")
        self.assert_trouble(self.migrate(self.uri, "--resume", "--postcopy-bandwidth", "5M"),
                            "there is no migration to resume")
        self.assertEqual(self.from_.execute("query-migrate-parameters"), before)
        self.finish([self.from_], self.tally)

    def test_words_that_do_not_go_together(self):
        self.start_both(kib=64)
        for options, text in (
                ((self.uri, "--resume", "--channels", "2"), "--channels does not go with it"),
                ((self.uri, "--resume", "--postcopy"), "--postcopy does not go with it"),
                ((self.uri, "--resume", "--dry-run"), "--dry-run does not go with it"),
                (("--start-postcopy", "--resume"), "--resume does not go with it"),
                (("--start-postcopy", self.uri), "unexpected argument"),
                (("--resume",), "an argument is missing"),
                ((self.uri, "--postcopy", "--postcopy-bandwidth", "much"), "--postcopy-bandwidth"),
                (("fd:3", "--postcopy"), "use QMP's migrate"),
                (("fd:3", "--resume"), "use QMP's migrate"),
                (("nowhere", "--resume"), "unix:PATH")):
            with self.subTest(options):
                self.assert_trouble(self.migrate(*options), text)
        self.finish([self.from_], self.tally)

    def test_by_a_target_that_may_not(self):
        """Before a page goes, by name, and the guest stays."""
        self.start_both(kib=64)
        target, uri = self.target_that_may_not()
        for options in ((), ("--dry-run",)):
            self.assert_trouble(self.migrate(uri, "--postcopy", *options), "/dev/userfaultfd")
        # It is post-copy that it cannot.
        self.assertEqual(self.migrate(uri, "--dry-run").returncode, 0)
        self.assertEqual(target.status(), "inmigrate")
        self.assert_goes_on(self.from_)
        self.finish([self.from_], self.tally)

    def test_by_a_target_with_one_connection(self):
        self.start_both(kib=64)
        path = self.new_path()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            process = self.start("unix:" + path, "--postcopy")
            one = listener.accept()[0]
        with one:
            target = Side(self, "single", [UMBRA, "run", "--incoming", f"fd:{one.fileno()}"],
                          pass_fds=[one.fileno()])
            self.assert_ends(process, TROUBLE, "", r"umbra: [^\n]*listens on a single connection\n")
        self.assertEqual(target.end()[0], TROUBLE)
        self.assertIn(b"listens on a single connection", target.err)
        self.finish([self.from_], self.tally)


if __name__ == "__main__":
    harness.main()
