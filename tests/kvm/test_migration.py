# SPDX-License-Identifier: MIT
"""Guests that move, in every way there is, and are the same guests afterwards."""

import os
import random
import re
import signal
import socket
import subprocess

import harness
from harness import TIMEOUT, TROUBLE, UMBRA
from migrating import MIB, MigrationTest, Side, Tally
from migration_proxy import Fault, Proxy


class Moves(MigrationTest):
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
        self.assertRegex(result.stdout, r"\A\S+ runs at \S.* now: \d+\.\d MiB sent in \d+ rounds\n"
                                        r"the guest stood still for \d+\.\d ms: [^\n]+\n\Z")
        self.assertEqual(source.end(), (0, f"umbra: the guest moved to {uri}\n"))
        self.assert_goes_on(target)
        self.assertEqual(target.status(), "running")


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
        port = re.fullmatch(r"umbra: listening on port (\d+)\n", target.err.decode())[1]
        self.assert_command_moves(source, target, f"tcp:127.0.0.1:{port}", "--channels", "2")
        target.err = b""
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


class Cancelled(Moves):
    def test_ctrl_c(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        process = subprocess.Popen(
            [UMBRA, "migrate", source.name, uri, "--bandwidth", "1M"], env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for data in source.events("X_UMBRA_MIGRATION"):
            if data["migration"]["status"] == "active":
                break
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.communicate(timeout=TIMEOUT),
                         ("", f"umbra: {source.name} stays here: the migration was cancelled\n"))
        self.assertEqual(process.returncode, TROUBLE)
        self.assertEqual(source.execute("query-migrate")["status"], "cancelled")
        self.assert_goes_on(source)
        self.assert_says(target, TROUBLE, "the guest did not arrive, and is where it was: ")
        self.finish([source], self.tally)

    def test_at_any_time(self):
        """The proxy holds a message back while the cancel comes."""
        sides, outcomes = [self.source()], []
        dice = random.Random(1)
        messages = [("HELLO", 0), ("VERDICT", 0), ("JOINED", 0), ("RAM", 2), ("END", 0),
                    ("STATE", 0), ("READY", 0), ("GO", 0), ("STARTED", 0), ("END", 1)]
        for message in messages * 2:
            source = sides[-1]
            path, proxied = self.new_path(), self.new_path()
            target = self.target("unix:" + path)
            proxy = Proxy(proxied, path, Fault("late", *message, delay=0.05))
            self.addCleanup(proxy.close)
            self.begin(source, "unix:" + proxied)
            self.assertTrue(proxy.fired.wait(TIMEOUT))
            proxy.go_on.wait(dice.random() * 0.06)
            source.execute("migrate_cancel")
            last = source.migrated()
            with self.subTest(message):
                self.assertIn(last["status"], ("cancelled", "completed"))
                outcomes.append(last["status"])
                if last["status"] == "cancelled":
                    self.assertEqual(source.status(), "running")
                    self.assert_goes_on(source)
                    target.wait("its line", lambda side: side.err.endswith(b"\n"))
                    target.close()
                    self.assertEqual(target.out, b"")
                else:
                    self.wait_status(target, "running")
                    self.assertEqual(source.status(), "postmigrate")
                    source.execute("quit")
                    source.end()
                    sides.append(target)
                    self.assert_goes_on(target)
            proxy.close()
            self.assert_counted(sides, self.tally)
        self.assertIn("cancelled", outcomes)
        self.assertIn("completed", outcomes)
        self.finish(sides, self.tally)

    def test_nothing_to_cancel(self):
        source = self.source()
        self.assertEqual(source.execute("migrate_cancel"), {})
        self.finish([source], self.tally)


class Busy(Moves):
    def test_a_guest_that_writes_faster_than_the_link(self):
        kib = 24 << 10
        source, (target, uri) = self.source(kib=kib, fill=0), self.unix()
        source.execute("migrate-set-parameters", max_bandwidth=64 * MIB, downtime_limit=200)
        source.execute("migrate", uri=uri)
        throttled = set()
        for data in source.events("X_UMBRA_MIGRATION"):
            throttled.add(data["migration"].get("cpu-throttle-percentage", 0))
            if data["status"] != "active":
                break
        self.assertEqual(data["status"], "completed", data)
        self.assertGreater(max(throttled), 20)
        self.assertGreater(data["migration"]["ram"]["dirty-sync-count"], 2)
        source.execute("quit")
        source.end()
        self.assert_goes_on(target)
        self.finish([source, target], Tally(kib=kib))

    def test_bandwidth(self):
        """20 MiB at 16 MiB/s cannot take less than a second and a quarter, minus what starts it."""
        source, (target, uri) = self.source(fill=20), self.unix()
        last = self.migrate(source, uri, max_bandwidth=16 * MIB)
        self.assertEqual(last["status"], "completed")
        self.assertGreater(last["migration"]["ram"]["transferred"], 20 * MIB)
        self.assertGreater(last["migration"]["total-time"], 1000)
        source.execute("quit")
        source.end()
        self.assert_goes_on(target)
        self.finish([source, target], self.tally)

    def test_the_limit_is_lifted_under_way(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        self.begin(source, uri, max_bandwidth=MIB // 4)
        for data in source.events("X_UMBRA_MIGRATION"):
            if data["migration"]["ram"]["transferred"] > 0:
                break
        source.execute("migrate-set-parameters", max_bandwidth=0)
        self.assertEqual(source.migrated()["status"], "completed")
        source.execute("quit")
        source.end()
        self.finish([source, target], self.tally)

    def test_connections_are_counted_once(self):
        """More of them, asked for while the first ones are being made, are for the next time."""
        source = self.source(fill=16)
        path, proxied = self.new_path(), self.new_path()
        target = self.target("unix:" + path)
        other = self.qmp(source.path)
        fault = Fault("pause", "VERDICT", act=lambda: other.ask(
            {"execute": "migrate-set-parameters", "arguments": {"multifd-channels": 4}}))
        proxy = Proxy(proxied, path, fault)
        self.addCleanup(proxy.close)
        source.execute("migrate-set-capabilities", capabilities=[
            {"capability": "multifd", "state": True}])
        last = self.migrate(source, "unix:" + proxied, multifd_channels=2)
        self.assertEqual(last["status"], "completed", last)
        self.assertEqual(source.execute("query-migrate-parameters")["multifd-channels"], 4)
        source.execute("quit")
        source.end()
        self.finish([source, target], self.tally)


class Ends(Moves):
    def test_the_guest_ends_under_way(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        self.begin(source, uri, max_bandwidth=MIB)
        for data in source.events("X_UMBRA_MIGRATION"):
            if data["migration"]["status"] == "active":
                break
        self.finish([source], self.tally)
        self.assert_says(target, TROUBLE, "the guest did not arrive, and is where it was: ")

    def test_the_guest_ends_as_soon_as_it_arrives(self):
        """It sees that it did not run for a while, and powers off at once.

        On one processor, and before umbra's main thread knows that a guest has come.
        """
        self.patience = 20
        for _ in range(3):
            source = Side(self, self.new_name("source"), harness.command(
                "tally", "--cmdline", "0 64 6000", "--memory", "64M"))
            source.wait("its first line", lambda each: b"\n" in each.out)
            path, proxied = self.new_path(), self.new_path()
            target = self.target("unix:" + path, preexec_fn=lambda: os.sched_setaffinity(
                0, {min(os.sched_getaffinity(0))}))
            os.sched_setscheduler(target.process.pid, os.SCHED_IDLE, os.sched_param(0))
            proxy = Proxy(proxied, path, Fault("late", "STATE", delay=4))
            self.addCleanup(proxy.close)
            self.assertEqual(self.migrate(source, "unix:" + proxied)["status"], "completed")
            self.assertEqual(target.end(), (0, "umbra: the guest powered off\n"))
            source.execute("quit")
            source.end()
            proxy.close()

    def test_the_target_is_told_to_quit(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        self.begin(source, uri, max_bandwidth=MIB)
        for data in source.events("X_UMBRA_MIGRATION"):
            if data["migration"]["status"] == "active":
                break
        target.execute("quit")
        self.assertEqual(target.end(), (0, "umbra: stopped by a QMP client\n"))
        last = source.migrated()
        self.assertEqual(last["status"], "failed")
        self.assert_goes_on(source)
        self.finish([source], self.tally)

    def test_after_it_moved(self):
        source, (target, uri) = self.source(), self.unix()
        self.assertEqual(self.migrate(source, uri)["status"], "completed")
        self.assertEqual(source.execute("query-status"),
                         {"status": "postmigrate", "running": False})
        for request in ({"execute": "cont"}, {"execute": "migrate", "arguments": {"uri": uri}}):
            answer = source.qmp().ask(request)
            self.assertRegex(answer["error"]["desc"], "runs (elsewhere|at )", request)
        self.assert_trouble(self.umbra("resume", source.name), "runs elsewhere")
        self.assert_silent(source)
        self.assert_goes_on(target)
        source.execute("quit")
        self.assertEqual(source.end(), (0, f"umbra: the guest moved to {uri}\n"))
        self.finish([source, target], self.tally)


class AsQemu(Moves):
    """What QMP clients expect: qapi/migration.json and qapi/run-state.json of QEMU."""

    def test_events(self):
        source, (target, uri) = self.source(), self.unix()
        source.execute("migrate-set-capabilities",
                       capabilities=[{"capability": "events", "state": True}])
        watcher = self.qmp(source.path)
        source.execute("migrate", uri=uri)
        self.assertEqual(source.migrated()["status"], "completed")
        seen = []
        while seen[-1:] != ["completed"]:
            event = watcher.next_event()
            if event["event"] == "MIGRATION":
                seen.append(event["data"]["status"])
            elif event["event"] == "STOP":
                seen.append("STOP")
        self.assertEqual([each for each in seen if each != "STOP"],
                         ["setup", "active", "device", "completed"])
        self.assertEqual(seen.count("STOP"), 1)
        source.execute("quit")
        source.end()
        self.finish([source, target], self.tally)

    def test_query_migrate(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        self.assertEqual(source.execute("query-migrate"), {})
        self.begin(source, uri, max_bandwidth=4 * MIB)
        while True:
            info = source.execute("query-migrate")
            if info["status"] == "active" and info["ram"]["transferred"] > MIB:
                break
        self.assertLessEqual({"transferred", "remaining", "total", "duplicate", "normal",
                              "normal-bytes", "dirty-pages-rate", "mbps", "dirty-sync-count",
                              "page-size"}, set(info["ram"]))
        self.assertEqual((info["ram"]["total"], info["ram"]["page-size"]), (64 * MIB, 4096))
        self.assertLessEqual({"status", "ram", "total-time", "setup-time", "expected-downtime"},
                             set(info))
        source.execute("migrate-set-parameters", max_bandwidth=0)
        self.assertEqual(source.migrated()["status"], "completed")
        info = source.execute("query-migrate")
        self.assertEqual((info["status"], info["ram"]["remaining"]), ("completed", 0))
        self.assertGreaterEqual(info["downtime"], 1)
        self.assertEqual(info["ram"]["normal-bytes"], 4096 * info["ram"]["normal"])
        source.execute("quit")
        source.end()
        self.finish([source, target], self.tally)

    def test_parameters_and_capabilities(self):
        source = self.source()
        source.execute("migrate-set-parameters", downtime_limit=300, max_bandwidth=12345678,
                       multifd_channels=3)
        found = source.execute("query-migrate-parameters")
        self.assertEqual((found["downtime-limit"], found["max-bandwidth"], found["multifd-channels"]),
                         (300, 12345678, 3))
        for bad in ({"downtime-limit": 2000001}, {"multifd-channels": 0}, {"no-such": 1}):
            answer = source.qmp().ask({"execute": "migrate-set-parameters", "arguments": bad})
            self.assertIn("error", answer)
        self.assertEqual(source.execute("query-migrate-parameters"), found)
        source.execute("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}, {"capability": "xbzrle", "state": False}])
        names = {each["capability"]: each["state"]
                 for each in source.execute("query-migrate-capabilities")}
        self.assertTrue(names["events"])
        answer = source.qmp().ask({"execute": "migrate-set-capabilities", "arguments": {
            "capabilities": [{"capability": "xbzrle", "state": True}]}})
        self.assertIn("xbzrle", answer["error"]["desc"])
        self.finish([source], self.tally)

    def test_incoming_defer(self):
        source, target = self.source(), self.target("defer")
        self.assertEqual(target.status(), "inmigrate")
        self.assertEqual(target.execute("query-migrate"), {})
        # What libvirt sends a waiting QEMU before it tells it where to listen.
        target.execute("migrate-set-capabilities", capabilities=[
            {"capability": "events", "state": True}, {"capability": "xbzrle", "state": False}])
        target.execute("migrate-set-parameters", downtime_limit=300)
        self.assertIn("error", target.qmp().ask(
            {"execute": "migrate-incoming", "arguments": {"uri": "nowhere"}}))
        uri = "unix:" + self.new_path()
        target.execute("migrate-incoming", uri=uri)
        self.assertEqual(target.execute("query-migrate")["status"], "setup")
        answer = target.qmp().ask({"execute": "migrate-incoming", "arguments": {"uri": uri}})
        self.assertIn("listens already", answer["error"]["desc"])
        self.assertEqual({each["name"]: each["status"] for each in self.listed()},
                         {source.name: "running", target.name: "inmigrate"})
        self.assertEqual(self.migrate(source, uri)["status"], "completed")
        self.assertEqual(next(target.events("MIGRATION")), {"status": "completed"})
        self.assertEqual(target.qmp().next_event()["event"], "RESUME")
        self.wait_status(target, "running")
        source.execute("quit")
        source.end()
        self.finish([source, target], self.tally)

    def test_one_at_a_time(self):
        source, (target, uri) = self.source(fill=16), self.unix()
        self.begin(source, uri, max_bandwidth=MIB)
        for request in ({"execute": "migrate", "arguments": {"uri": uri}}, {"execute": "stop"},
                        {"execute": "cont"}):
            self.assertIn("a migration of this guest is under way",
                          source.qmp().ask(request)["error"]["desc"])
        source.execute("migrate_cancel")
        self.assertEqual(source.migrated()["status"], "cancelled")
        target.wait("its line", lambda side: b"\n" in side.err)
        self.finish([source], self.tally)


if __name__ == "__main__":
    harness.main()
