# SPDX-License-Identifier: MIT
"""Guests that move, in every way there is, and are the same guests afterwards."""

import re
import socket

import harness
from harness import UMBRA
from migrating import Moves


class Ways(Moves):
    def test_unix_socket(self):
        source, (target, uri) = self.source(), self.unix()
        self.assert_command_moves(source, target, uri)
        self.finish([source, target], self.tally)

    def test_several_connections(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        self.assert_command_moves(source, target, uri, "--channels", "4")
        self.finish([source, target], self.tally)

    def test_tcp(self):
        source, target = self.source(), self.target("tcp:127.0.0.1:0")
        target.wait("its port", lambda side: b"\n" in side.err)
        port = re.fullmatch(r"umbra: listening on port (\d+)\n", target.take_err().decode())[1]
        self.assert_command_moves(source, target, f"tcp:127.0.0.1:{port}", "--channels", "2")
        self.finish([source, target], self.tally)

    def test_tcp_beyond_this_host(self):
        result = harness.run([UMBRA, "run", "--incoming", "tcp:0.0.0.0:0"], env=self.environment)
        self.assert_trouble(result, "--allow-remote")

    def test_descriptors(self):
        """A connected pair: each process was given its end when it was started."""
        one, other = socket.socketpair()
        with one, other:
            source = self.source(pass_fds=[one.fileno()])
            target = self.target(f"fd:{other.fileno()}", pass_fds=[other.fileno()])
            self.assertEqual(self.migrate(source, f"fd:{one.fileno()}")["status"], "completed")
        self.assert_goes_on(target)
        source.execute("quit")
        source.end()
        self.finish([source, target], self.tally)

    def test_a_descriptor_of_another_process(self):
        source = self.source()
        self.assert_trouble(self.command(source, "fd:3"), "use QMP's migrate")

    def test_options_are_those_of_one_command(self):
        """What the last one said is not what this one leaves out: umbra(1) tells the defaults."""
        source = self.source()
        self.assert_trouble(
            self.umbra("migrate", source.name, "tls:localhost:1", "--downtime", "7", "--bandwidth",
                       "1M", "--patience", "3", "--postcopy-bandwidth", "2M", "--tls", "/nowhere"),
            "/nowhere")
        said = source.execute("query-migrate-parameters")
        self.assert_trouble(self.umbra("migrate", source.name, "unix:/nowhere"), "cannot connect")
        left = source.execute("query-migrate-parameters")
        self.assertEqual(
            {name: (said[name], left[name]) for name in said if said[name] != left[name]},
            {"downtime-limit": (7, 100), "max-bandwidth": (1 << 20, 0),
             "max-postcopy-bandwidth": (2 << 20, 0), "x-umbra-patience": (3000, 15000),
             "tls-creds": ("/nowhere", "")})

    def test_certificates_that_nothing_would_use(self):
        """Whoever gives them believes that what he sends or receives is encrypted."""
        source = self.source()
        for uri in ("unix:" + self.new_path(), "tcp:127.0.0.1:1"):
            for command in (("migrate", source.name, uri), ("run", "--incoming", uri)):
                with self.subTest(command):
                    self.assert_trouble(self.umbra(*command, "--tls", self.folder),
                                        "nothing is encrypted there")
        self.assert_goes_on(source)
        self.finish([source], self.tally)

    def test_list_keeps_its_columns(self):
        """Who waits for a guest has a longer status than who runs one."""
        self.source()
        target, _ = self.unix()
        self.assertEqual(target.status(), "inmigrate")
        header, *rows = self.umbra("list").stdout.splitlines()
        self.assertIn("inmigrate", " ".join(rows))
        self.assertEqual({row.index("/") for row in rows}, {header.index("SOCKET")}, rows)

    def test_what_waits_has_no_guest_yet(self):
        """Said once, and in other words than those of a protocol."""
        target, _ = self.unix()
        self.assertEqual(target.status(), "inmigrate")
        for command in (["inspect"], ["pause"], ["check"], ["snapshot", self.path("snap")]):
            result = self.umbra(command[0], target.name, *command[1:])
            self.assert_trouble(result, f"umbra: {target.name}: its process cannot do that: it still "
                                        "waits for a guest")

    def test_back_and_forth(self):
        sides = [self.source()]
        for _ in range(8):
            target, uri = self.unix()
            last = self.migrate(sides[-1], uri)
            self.assertEqual(last["status"], "completed", last)
            self.assert_goes_on(target)
            sides[-1].execute("quit")
            sides[-1].end()
            sides.append(target)
        self.finish(sides, self.tally)

    def test_a_paused_guest_stays_paused(self):
        source, (target, uri) = self.source(), self.unix()
        source.execute("stop")
        self.assertEqual(self.migrate(source, uri)["status"], "completed")
        self.wait_status(target, "paused")
        self.assert_silent(target)
        source.execute("quit")
        source.end()
        target.execute("cont")
        self.assert_goes_on(target)
        self.finish([source, target], self.tally)

    def test_two_processors(self):
        """The second has not been started by the guest, and is carried along."""
        source, (target, uri) = self.source("--cpus", "2"), self.unix()
        self.assert_command_moves(source, target, uri)
        self.assertEqual(len(target.execute("query-cpus-fast")), 2)
        self.finish([source, target], self.tally)


class DryRun(Moves):
    def test_yes(self):
        source, (target, uri) = self.source(), self.unix()
        for _ in range(3):
            result = self.command(source, uri, "--dry-run")
            self.assertEqual((result.returncode, result.stdout, result.stderr),
                             (0, f"{source.name} can move to {uri}\n", ""))
        self.assertEqual((source.status(), target.status(), target.err),
                         ("running", "inmigrate", b""))
        # And then it does.
        self.assert_command_moves(source, target, uri)
        self.finish([source, target], self.tally)

    def test_no(self):
        """A guest without CET, and a target that takes only guests with it."""
        source = self.source("--cet", "off")
        target, uri = self.unix("--cet", "on")
        for options in (["--dry-run"], []):
            seen = len(target.err)
            result = self.command(source, uri, *options)
            self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
            self.assertRegex(result.stderr, r"\Aumbra: \S+: the peer says: [^\n]*--cet[^\n]*\n\Z")
            target.wait("its line", lambda side: side.err[seen:].endswith(b"\n"))
            target.catch_up()
            self.assertRegex(target.err[seen:], rb"\Aumbra: a guest was turned away: [^\n]*\n\Z")
            self.assertEqual((source.status(), target.status()), ("running", "inmigrate"))
        self.assert_goes_on(source)
        self.finish([source], self.tally)

    def test_nobody_there(self):
        source = self.source()
        self.assert_trouble(self.command(source, "unix:" + self.path("nobody"), "--dry-run"),
                            "cannot connect")
        self.assert_trouble(self.command(source, "unix:" + self.path("nobody")), "cannot connect")
        self.assert_trouble(self.command(source, "tcp:127.0.0.1:1"), "cannot connect")
        self.finish([source], self.tally)


if __name__ == "__main__":
    harness.main()
