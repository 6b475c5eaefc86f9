#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check, inspect and backtrace on snapshot files, where there is no KVM.

UMBRA is the program, MAKE_STATES the one that makes the files (make_states.c tells what is in
them).
"""

import json
import os
import pathlib
import pty
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import tap  # noqa: E402
from terminal import rest_shown  # noqa: E402

YES, NO, TROUBLE = 0, 1, 2
STACK = 0x7FFF00000000


class Files(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="umbra test ")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        subprocess.run([os.environ["MAKE_STATES"], folder.name], check=True)

    def umbra(self, *arguments, **options):
        """Runs it with the folder as its own: (status, stdout, stderr)."""
        # No guest of this user may have a say in what a TARGET is.
        environment = dict(os.environ, XDG_RUNTIME_DIR=str(self.folder / "nobody"))
        done = subprocess.run([os.environ["UMBRA"], *arguments], cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60,
                              check=False, env=environment,
                              **{"stdout": subprocess.PIPE, **options})
        return done.returncode, done.stdout, done.stderr

    def json(self, status, *arguments):
        found, stdout, stderr = self.umbra(*arguments, "--json")
        self.assertEqual((found, stderr), (status, ""))
        return json.loads(stdout)

    def trouble(self, *arguments):
        """The one line that it says when it cannot answer."""
        status, stdout, stderr = self.umbra(*arguments)
        self.assertEqual((status, stdout, stderr.count("\n")), (TROUBLE, "", 1), stderr)
        self.assertTrue(stderr.startswith("umbra: "), stderr)
        return stderr.removeprefix("umbra: ").rstrip("\n")


class FullDisk(Files):
    def test_an_answer_that_is_cut_is_none(self):
        """However long it is: what is beyond stdio's buffer fails at another moment."""
        for command in (["list"], ["list", "--json"], ["inspect", "full.snap"],
                        ["inspect", "full.snap", "--json"], ["backtrace", "full.snap"],
                        ["backtrace", "full.snap", "--json"], ["diff", "full.snap", "full.snap"],
                        ["host"], ["host", "--json"]):
            with self.subTest(command), open("/dev/full", "wb") as full:
                status, _, stderr = self.umbra(*command, stdout=full)
                self.assertEqual(status, TROUBLE)
                self.assertIn(f"umbra: {command[0]}: cannot write the answer", stderr)


class Check(Files):
    def test_its_own_host(self):
        self.assertEqual(self.umbra("check", "full.snap", "--host", "host.json"),
                         (YES, "full.snap: loads on host.json (Linux 7.3.4+deb13-cloud-amd64)\n", ""))
        answer = self.json(YES, "check", "full.snap", "--host", "host.json")
        self.assertEqual(answer, {
            "version": 1, "source": "snapshot", "loads": True, "ram_verified": True,
            "host": {"kernel": "7.3.4+deb13-cloud-amd64", "backend": "kvm_intel"},
            "problems": []})

    def test_a_chain(self):
        self.assertEqual(self.umbra("check", "next.snap", "--host", "host.json")[0], YES)

    def test_fewer_features(self):
        answer = self.json(NO, "check", "full.snap", "--host", "small.json")
        self.assertFalse(answer["loads"])
        problem, = answer["problems"]
        remedy = problem.pop("remedy")
        self.assertEqual(problem, {
            "vcpu": None, "register": "cpuid 7.0 ebx", "value": "0xf1bf27eb", "bits": "17:16",
            "rule": "(avx512f, avx512dq) were shown to the guest, and this host's KVM does not "
                    "offer them", "kvm": "accepts"})
        self.assertIn("choose a destination", remedy)

    def test_text_says_the_same(self):
        status, stdout, stderr = self.umbra("check", "full.snap", "--host", "small.json")
        problem, last = stdout.splitlines()
        self.assertEqual((status, stderr), (NO, ""))
        self.assertTrue(problem.startswith("machine: cpuid 7.0 ebx=0xf1bf27eb: bits 17:16 (avx512f, "
                                           "avx512dq) were shown to the guest"), problem)
        self.assertEqual(last, "full.snap: would not load on small.json (Linux "
                               "7.3.4+deb13-cloud-amd64): 1 problem")

    def test_a_host_without_cet(self):
        answer = self.json(NO, "check", "full.snap", "--host", "plain.json")
        found = {(p["vcpu"], p["register"], p["bits"]) for p in answer["problems"]}
        self.assertLessEqual({(None, "cpuid 7.0 ecx", "7"), (None, "cpuid 7.0 edx", "20"),
                              (0, "xss", "11"), (0, "cr4", "23"), (0, "u_cet", "0"),
                              (1, "xss", "11"), (1, "cr4", "23")}, found)
        self.assertIn("guest_ssp", {p["register"] for p in answer["problems"]})

    def test_a_value_that_kvm_loses(self):
        answer = self.json(NO, "check", "lost.snap", "--host", "host.json")
        problem, = answer["problems"]
        self.assertEqual((problem["vcpu"], problem["register"], problem["value"], problem["bits"],
                          problem["kvm"]),
                         (0, "u_cet", "0x8000000000000004", "63:12", "accepts-and-loses"))

    def test_a_host_without_kvm(self):
        answer = self.json(NO, "check", "full.snap", "--host", "none.json")
        problem, = answer["problems"]
        self.assertEqual((problem["register"], problem["kvm"]), ("kvm", "refuses"))
        self.assertIn("No such file", problem["rule"])

    def test_no_kvm_to_ask(self):
        said = self.trouble("check", "full.snap", "--kvm", "/nowhere/kvm")
        self.assertRegex(said, r"^check: there is no KVM here to ask: .*/nowhere/kvm.*--host")

    def test_bad_descriptions(self):
        (self.folder / "bad.json").write_text('{"version": 1}')
        (self.folder / "long.json").write_text(" " * 300000)
        for name, expected in (("bad.json", "kernel is missing"), ("long.json", "more than 262144"),
                               ("full.snap", "no description of a host"), (".", "Is a directory"),
                               ("/dev/zero", "more than 262144"), ("absent", "No such file")):
            for option, words in (("--host", ("check", "full.snap")),
                                  ("--cpu-like", ("run", "--kernel", "absent"))):
                said = self.trouble(*words, option, name)
                self.assertTrue(said.startswith(f"{option}: "), said)
                self.assertIn(expected, said)
                self.assertIn(name, said)

    def test_damaged_ram(self):
        content = bytearray((self.folder / "full.snap").read_bytes())
        at = content.index((0x401110).to_bytes(8, "little"))
        content[at] ^= 1
        (self.folder / "damaged.snap").write_bytes(content)
        self.assertIn("damaged.snap", self.trouble("check", "damaged.snap", "--host", "host.json"))
        answer = self.json(YES, "check", "damaged.snap", "--host", "host.json", "--quick")
        self.assertFalse(answer["ram_verified"])

    def test_what_is_no_target(self):
        (self.folder / "text").write_text("no snapshot\n" * 1000)
        self.assertIn("text", self.trouble("check", "text", "--host", "host.json"))
        self.assertIn("no guest of that name", self.trouble("check", "absent", "--host", "host.json"))
        self.assertIn("an argument is missing", self.trouble("check"))

    def test_progress_is_for_terminals(self):
        outer, inner = pty.openpty()
        self.addCleanup(os.close, outer)
        done = subprocess.run([os.environ["UMBRA"], "check", "full.snap", "--host", "host.json"],
                              cwd=self.folder, stderr=inner, stdout=subprocess.PIPE, timeout=60,
                              check=False)
        os.close(inner)
        shown = rest_shown(outer)
        self.assertEqual(done.returncode, YES)
        self.assertIn(b"64 of 64 MiB of RAM", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)


class Inspect(Files):
    def test_registers(self):
        answer = self.json(YES, "inspect", "full.snap")
        self.assertEqual((answer["version"], answer["source"], answer["kernel"]),
                         (1, "snapshot", "7.3.4+deb13-cloud-amd64"))
        first, second = answer["vcpus"]
        self.assertEqual((first["id"], first["cpl"], first["rip"]), (0, 3, "0x401234"))
        self.assertEqual(first["live"], {"shstk": True, "ibt": False})
        values = {register["name"]: register["value"] for register in first["registers"]}
        self.assertEqual(values, {
            "u_cet": "0x1", "s_cet": "0x4", "pl0_ssp": "0x0", "pl1_ssp": "0x0", "pl2_ssp": "0x0",
            "pl3_ssp": "0x7fff00001000", "int_ssp_tab": "0x0", "guest_ssp": hex(STACK + 0xFE8)})
        self.assertEqual(first["control"]["cr3"], "0x1234000")
        self.assertEqual(first["guest_cpu"], first["host_cpu"])
        self.assertEqual(first["problems"], [])
        self.assertEqual(second["registers"][-1]["value"], "0x7fff00000ff0")

    def test_one_cpu(self):
        answer = self.json(YES, "inspect", "full.snap", "--cpu", "1")
        self.assertEqual([vcpu["id"] for vcpu in answer["vcpus"]], [1])
        self.assertIn("there is no vCPU 2: 0 to 1", self.trouble("inspect", "full.snap", "--cpu", "2"))

    def test_text(self):
        status, stdout, stderr = self.umbra("inspect", "next.snap")
        self.assertEqual((status, stderr), (YES, ""))
        self.assertRegex(stdout, rf"(?m)^  guest_ssp +0x0000{STACK + 0xFE0:x}  ")
        self.assertTrue(stdout.endswith("Taken on Linux 7.3.4+deb13-cloud-amd64.\n"))

    def test_problems(self):
        first = self.json(YES, "inspect", "lost.snap")["vcpus"][0]
        self.assertEqual([(p["register"], p["kvm"]) for p in first["problems"]],
                         [("u_cet", "accepts-and-loses")])

    def test_nothing_to_watch(self):
        self.assertIn("does not change", self.trouble("inspect", "full.snap", "--watch", "1"))


class Backtrace(Files):
    def frames(self, *arguments):
        answer = self.json(YES, "backtrace", *arguments)
        self.assertEqual((answer["version"], answer["source"]), (1, "snapshot"))
        return answer["vcpus"]

    def test_full(self):
        first, second = self.frames("full.snap")
        self.assertEqual(
            [(frame["at"], frame["value"], frame["kind"]) for frame in first["frames"]],
            [(hex(STACK + 0xFE8), "0x401110", "return"), (hex(STACK + 0xFF0), "0x401220", "return"),
             (hex(STACK + 0xFF8), "0x401330", "return")])
        self.assertEqual((first["from"], first["end"]),
                         ("guest_ssp", {"reason": "unmapped", "at": hex(STACK + 0x1000)}))
        self.assertEqual(len(second["frames"]), 2)

    def test_through_the_chain(self):
        first, = self.frames("next.snap", "--cpu", "0")
        self.assertEqual([frame["value"] for frame in first["frames"]],
                         ["0x401001", "0x401110", "0x401220", "0x401330"])

    def test_symbols_and_limit(self):
        (self.folder / "System.map").write_text("0000000000401100 T inner\n0000000000401200 T outer\n")
        first, = self.frames("full.snap", "--cpu", "0", "--limit", "2", "--symbols", "System.map")
        self.assertEqual([frame["symbol"] for frame in first["frames"]], ["inner+0x10", "outer+0x20"])

    def test_text(self):
        status, stdout, stderr = self.umbra("backtrace", "full.snap", "--cpu", "0")
        self.assertEqual((status, stderr), (YES, ""))
        self.assertEqual(stdout.splitlines()[:2], [
            f"vcpu 0, ring 3, guest_ssp = 0x{STACK + 0xFE8:016x}",
            f"  #0    0x{STACK + 0xFE8:016x}  0x0000000000401110  return"])

    def test_bad_options(self):
        self.assertIn("there is no vCPU 7: 0 to 1", self.trouble("backtrace", "full.snap", "--cpu", "7"))
        self.assertIn("--limit", self.trouble("backtrace", "full.snap", "--limit", "0"))

    def test_a_part_is_gone(self):
        folder = self.folder / "alone"
        folder.mkdir()
        shutil.copy(self.folder / "next.snap", folder)
        self.assertIn("full.snap", self.trouble("backtrace", "alone/next.snap"))


class Diff(Files):
    def test_same(self):
        shutil.copy(self.folder / "full.snap", self.folder / "copy.snap")
        self.assertEqual(self.umbra("diff", "full.snap", "copy.snap"),
                         (YES, "RAM is the same in all 16384 pages\n"
                               "full.snap and copy.snap are the same\n", ""))
        self.assertEqual(self.json(YES, "diff", "full.snap", "copy.snap"), {
            "version": 1, "same": True, "differences": [],
            "ram": {"compared": True, "pages": 16384, "different": 0, "first": []}})

    def test_different(self):
        answer = self.json(NO, "diff", "full.snap", "next.snap")
        self.assertEqual(answer["differences"], [
            {"path": "vcpu 0: cet.guest_ssp", "a": hex(STACK + 0xFE8), "b": hex(STACK + 0xFE0),
             "moves": False}])
        # The page of the shadow stack, which only the newer file of the chain has.
        self.assertEqual(answer["ram"], {"compared": True, "pages": 16384, "different": 1,
                                         "first": ["0x1238000"]})

    def test_text(self):
        status, stdout, stderr = self.umbra("diff", "full.snap", "lost.snap")
        self.assertEqual((status, stderr), (NO, ""))
        head, *rows, ram, last = stdout.splitlines()
        self.assertEqual(head.split(), ["full.snap", "lost.snap"])
        self.assertEqual([row.split() for row in rows], [
            ["vcpu", "0:", "cet.u_cet", "0x1", "0x8000000000000004"],
            ["vcpu", "0:", "cet.guest_ssp", hex(STACK + 0xFE8), hex(STACK + 0xFE0)]])
        self.assertEqual(ram, "RAM differs in 1 of 16384 pages, at 0x1238000")
        self.assertEqual(last, "full.snap and lost.snap are different")

    def test_ram_alone(self):
        content = bytearray((self.folder / "full.snap").read_bytes())
        at = content.index((0x401110).to_bytes(8, "little"))
        content[at] ^= 1
        (self.folder / "other.snap").write_bytes(content)
        answer = self.json(NO, "diff", "full.snap", "other.snap")
        self.assertEqual((answer["differences"], answer["ram"]["first"]), ([], ["0x1238000"]))

    def test_what_runs_on(self):
        answer = self.json(YES, "diff", "full.snap", "later.snap")
        self.assertTrue(answer["same"])
        difference, = answer["differences"]
        self.assertEqual((difference["path"], difference["moves"]),
                         ("vcpu 1: lapic.timer-current-count", True))

    def test_what_only_one_has(self):
        answer = self.json(NO, "diff", "full.snap", "single.snap")
        self.assertIn({"path": "vcpu 1", "a": "present", "b": None, "moves": False},
                      answer["differences"])

    def test_another_size(self):
        answer = self.json(NO, "diff", "full.snap", "large.snap")
        self.assertEqual([d["path"] for d in answer["differences"]], ["memory"])
        self.assertEqual(answer["ram"], {"compared": False, "why": "it has not the same size"})

    def test_trouble(self):
        self.assertIn("absent", self.trouble("diff", "full.snap", "absent"))
        self.assertIn("an argument is missing", self.trouble("diff", "full.snap"))


if __name__ == "__main__":
    tap.main()
