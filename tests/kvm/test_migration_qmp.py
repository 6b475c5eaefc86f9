# SPDX-License-Identifier: MIT
"""Migration as QMP clients know it."""

import harness
from migrating import MIB, Moves


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
        self.begin(source, uri, max_bandwidth=MIB)
        info = {"status": "setup"}
        while info["status"] == "setup" or info["ram"]["transferred"] <= MIB // 4:
            info = source.execute("query-migrate")
            self.assertIn(info["status"], ("setup", "active"), info)
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
