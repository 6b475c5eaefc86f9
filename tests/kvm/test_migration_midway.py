# SPDX-License-Identifier: MIT
"""What may happen while a guest moves: cancelled, too busy, given other limits, ended."""

import json
import os
import random
import signal
import subprocess

import harness
from harness import TIMEOUT, TROUBLE, UMBRA
from migrating import MIB, Moves, Side, Tally
from migration_proxy import Fault, Proxy


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
        ticks = json.loads(self.umbra("host", "--json").stdout)["kvm"]["tsc_khz"] * 3 // 1000
        for _ in range(3):
            # Three seconds: at the source it is never away for so long, even on a busy machine.
            source = Side(self, self.new_name("source"), harness.command(
                "tally", "--cmdline", f"0 64 {ticks}", "--memory", "64M"))
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


if __name__ == "__main__":
    harness.main()
