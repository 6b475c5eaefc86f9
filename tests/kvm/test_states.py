# SPDX-License-Identifier: MIT
"""check and diff on running guests and on snapshots of them."""

import json
import pathlib

import harness
from harness import TROUBLE
from running import QmpTest, Running

YES, NO = 0, 1


class States(QmpTest):
    def answers(self, status, *arguments):
        """What it prints, which must not be an error."""
        result = self.umbra(*arguments)
        self.assertEqual((result.returncode, result.stderr), (status, ""), result.stdout)
        return result.stdout

    def json(self, status, *arguments):
        return json.loads(self.answers(status, *arguments, "--json"))

    def snapshot(self, name):
        path = f"{self.folder}/{name}"
        self.answers(YES, "snapshot", "--quiet", "it", path)
        return path

    def describe_host(self, change=None):
        """`umbra host --json`, which answers no or yes; perhaps with another value in it."""
        host = json.loads(self.umbra("host", "--json").stdout)
        if change:
            change(host)
        path = pathlib.Path(self.folder) / "host.json"
        path.write_text(json.dumps(host))
        return str(path)


class Check(States):
    def test_what_runs_here_loads_here(self):
        """One processor in 64-bit mode, others that never started; running, paused and stored."""
        guest = Running(self, "echo", "--cpus", "3")
        host = self.describe_host()
        for target in ("it", self.snapshot("snap")):
            for where in ((), ("--host", host)):
                with self.subTest((target, where)):
                    self.assertRegex(self.answers(YES, "check", target, *where),
                                     r"\A[^\n]*: loads on [^\n]*\n\Z")
        self.assertEqual(self.json(YES, "check", "it")["source"], "live")
        guest.echoes(b"goes on")

    def test_a_host_that_lacks_something(self):
        Running(self, "echo", "--cpus", "2")

        def change(host):
            host["kvm"]["capabilities"]["max_vcpus"] = 1
            leaf, = (l for l in host["kvm"]["cpuid"] if l["function"] == "0x1")
            leaf["edx"] = hex(int(leaf["edx"], 16) & ~(1 << 26))

        host = self.describe_host(change)
        for target in ("it", self.snapshot("snap")):
            problems = self.json(NO, "check", target, "--host", host)["problems"]
            self.assertEqual([(p["vcpu"], p["register"], p["bits"], p["kvm"]) for p in problems],
                             [(None, "cpuid 1 edx", "26", "accepts"),
                              (None, "capability max_vcpus", "", "refuses")])
            self.assertIn("(sse2)", problems[0]["rule"])

    def test_no_kvm(self):
        path = f"{self.folder}/snap"
        Running(self)
        self.snapshot("snap")
        self.assert_trouble(self.umbra("check", path, "--kvm", self.folder), "no KVM here to ask")


class Diff(States):
    def test_a_paused_guest_and_its_snapshot(self):
        Running(self, "echo", "--cpus", "2")
        self.answers(YES, "pause", "it")
        path = self.snapshot("snap")
        answer = self.json(YES, "diff", "it", path)
        self.assertEqual({d["path"] for d in answer["differences"] if not d["moves"]}, set())
        self.assertFalse(answer["ram"]["compared"])
        self.assertTrue(answer["ram"]["why"])

    def test_a_guest_that_went_on(self):
        Running(self, "toil", "--cmdline", "-")
        first, second = self.snapshot("first"), self.snapshot("second")
        answer = self.json(NO, "diff", first, second)
        changed = {d["path"] for d in answer["differences"] if not d["moves"]}
        self.assertTrue(changed and all(path.startswith("vcpu 0: ") for path in changed), changed)
        self.assertGreater(answer["ram"]["different"], 0)
        self.assertRegex(self.answers(NO, "diff", first, second), r"\nRAM differs in \d+ of \d+ pages")

    def test_who_is_not_there(self):
        Running(self)
        result = self.umbra("diff", "it", "nobody")
        self.assertEqual((result.returncode, result.stdout), (TROUBLE, ""))
        self.assert_trouble(result, "no guest of that name")

    def test_what_is_no_target(self):
        """A file would do for these commands, so what is said is not that a guest is needed."""
        for command in ("inspect", "backtrace", "check"):
            with self.subTest(command):
                self.assert_trouble(self.umbra(command, "./nix"), "No such file")
                self.assert_trouble(self.umbra(command, self.folder),
                                    "neither a snapshot nor a guest's socket")


if __name__ == "__main__":
    harness.main()
