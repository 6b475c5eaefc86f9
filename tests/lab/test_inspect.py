#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""umbra inspect and umbra set, held against what a guest says of its own registers."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

# What the guest holds: tests/guests/cet_state.c.
HELD = {
    "u_cet": 0x5, "s_cet": 0x14, "pl0_ssp": 0x8000000FF8, "pl1_ssp": 0x8000001FF0,
    "pl2_ssp": 0xFFFF800000002000, "pl3_ssp": 0x7FFF00003FF8, "int_ssp_tab": 0xFFFF800000004001,
}
IDS = {name: (index, 0x2030000200000000 | index) for name, index in (
    ("u_cet", 0x6A0), ("s_cet", 0x6A2), ("pl0_ssp", 0x6A4), ("pl1_ssp", 0x6A5), ("pl2_ssp", 0x6A6),
    ("pl3_ssp", 0x6A7), ("int_ssp_tab", 0x6A8))}


def values_of(vcpu):
    return {register["name"]: int(register["value"], 16) for register in vcpu["registers"]}


def said(text):
    """All the values that the guest said, a list of dictionaries."""
    rounds = re.split(r"^cet_state: waiting$", text, flags=re.M)
    return [{name: int(value, 16) for name, value in
             re.findall(r"^cet_state: (\w+) (0x[0-9a-f]+|0)$", part, re.M)} for part in rounds]


class Inspect(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        guests = lab.BUILD / "tests" / "guests"
        text = lab.run(["/lab/inspect.sh"], {
            "inspect.sh": lab.ROOT / "tests" / "lab" / "inspect.sh",
            "cet_state": guests / "cet_state",
            "echo": guests / "echo",
            "initrd": lab.BUILD / "tests" / "guest_image" / "depth-initrd.cpio",
            "vmlinuz": lab.part("vmlinuz-7.3"),
        })
        cls.sections = lab.answers(text)
        cls.answer = lab.loads(cls.sections["json"])
        cls.ring0, = cls.answer["vcpus"]
        cls.ring3, = lab.loads(cls.sections["json3"])["vcpus"]

    def test_the_guest_holds_what_it_should(self):
        self.assertEqual(said(self.sections["told0"])[0], dict(HELD, xss=0x1800))

    def test_each_register_is_what_the_guest_holds(self):
        values = values_of(self.ring0)
        self.assertEqual(list(values), [*HELD, "guest_ssp"])
        values.pop("guest_ssp")
        self.assertEqual(values, HELD)
        self.assertEqual({r["verdict"] for r in self.ring0["registers"]}, {"ok"})
        self.assertEqual(self.ring0["problems"], [])

    def test_names_and_numbers(self):
        for register in self.ring0["registers"][:-1]:
            self.assertEqual((int(register["msr"], 16), int(register["one_reg"], 16)),
                             IDS[register["name"]])
        self.assertEqual(int(self.ring0["registers"][-1]["one_reg"], 16), 0x2030000300000000)

    def test_fields(self):
        u_cet, s_cet = (register["fields"] for register in self.ring0["registers"][:2])
        self.assertEqual({name for name, value in u_cet.items() if value is True},
                         {"shstk_en", "endbr_en"})
        self.assertEqual({name for name, value in s_cet.items() if value is True},
                         {"endbr_en", "no_track_en"})

    def test_ring_0(self):
        self.assertEqual((self.ring0["cpl"], self.ring0["mode"]), (0, "long"))
        self.assertEqual(self.ring0["live"], {"shstk": False, "ibt": True})
        control = self.ring0["control"]
        self.assertEqual((control["cr0_wp"], control["cr4_cet"], control["xss"]),
                         (True, True, "0x1800"))

    def test_ring_3_of_linux(self):
        self.assertEqual((self.ring3["cpl"], self.ring3["mode"]), (3, "long"))
        # A program with a shadow stack; Linux keeps IBT for itself.
        self.assertEqual(self.ring3["live"], {"shstk": True, "ibt": False})
        values = values_of(self.ring3)
        self.assertEqual((values["u_cet"] & 1, values["s_cet"] & 4), (1, 4))
        # The youngest entry that the program told stands where its pointer is.
        youngest = re.search(r"^entry \d+ (0x\w+) ", self.sections["told3"], re.M)[1]
        self.assertEqual(values["guest_ssp"], int(youngest, 16))

    def test_cpus(self):
        for cpu in (self.ring0["guest_cpu"], self.ring0["host_cpu"]):
            self.assertEqual((cpu["shstk"], cpu["ibt"], int(cpu["xss"], 16) & 0x1800),
                             (True, True, 0x1800))

    def test_text_says_the_same(self):
        text = self.sections["text"]
        for name, value in HELD.items():
            self.assertRegex(text, rf"(?m)^  {name} +0x{value:016x}  ")
        self.assertRegex(text, r"(?m)^  shstk +off: s_cet\.shstk_en is clear$")
        self.assertRegex(text, r"(?m)^  ibt +on: s_cet\.endbr_en is set$")
        self.assertRegex(text, r"(?m)^  u_cet .*  shstk_en, endbr_en$")

    def test_the_stop_is_short(self):
        # A millisecond is 4 million instructions; whatever else the machine does in the middle of
        # some stop is not umbra's.
        stops = [int(us) for us in re.findall(r": *(\d+)$", self.sections["stops"], re.M)]
        self.assertEqual(len(stops), 5, self.sections["stops"])
        self.assertLess(min(stops), 1000, stops)
        self.assertGreaterEqual(self.answer["stopped_us"], 0)

    def test_written_values_reach_the_guest(self):
        self.assertEqual(self.sections["written"],
                         "u_cet: 0x5 → 0x1\npl1_ssp: 0x8000001ff0 → 0x8000001000\n"
                         "int_ssp_tab: 0xffff800000004001 → 0x0\nstatus 0\n")
        self.assertEqual(said(self.sections["told0"])[1],
                         dict(HELD, xss=0x1800, u_cet=1, pl1_ssp=0x8000001000, int_ssp_tab=0))

    def test_refused_by_name(self):
        self.assertRegex(self.sections["running"], r"the guest runs: pause it first\nstatus 2\n")
        lines = self.sections["refused"].splitlines()
        self.assertEqual(lines[1::2], ["status 2"] * 5)
        for line, text in zip(lines[::2], (
                "u_cet=0x40: bits 6 are reserved", "pl3_ssp=0x7fff00003ffe: bits 1 must be zero",
                *(("KVM accepts-and-loses", "KVM accepts-and-loses", "force writes it all the same")
                  if lab.KVM == "mainline" else ["KVM refuses"] * 3))):
            self.assertTrue(line.startswith("umbra: ring0: vcpu 0: "), line)
            self.assertIn(text, line)

    def test_forced_and_told(self):
        damaged, = lab.loads(self.sections["damaged"].rsplit("}", 1)[0] + "}")["vcpus"]
        if lab.KVM != "mainline":
            # This KVM refuses what umbra thinks it would take: the register holds what it held.
            self.assertRegex(self.sections["forced"], r"s_cet=0x8000000000000004[^\n]*\nstatus 2\n\Z")
            self.assertEqual(values_of(damaged)["s_cet"], HELD["s_cet"])
            return
        self.assertEqual(self.sections["forced"], "s_cet: 0x14 → 0x8000000000000004\nstatus 0\n")
        self.assertEqual(damaged["registers"][1]["verdict"], "accepts")
        self.assertEqual([problem["register"] for problem in damaged["problems"]], ["s_cet"])
        self.assertEqual(damaged["problems"][0]["kvm"], "accepts")

    def test_the_host_that_a_guest_runs_on_can_load_it(self):
        # Tiny and with live IBT, Linux with a shadow stack in use, without CET.
        for section, name in (("check", "ring0"), ("check3", "ring3"), ("check-off", "off")):
            lines = self.sections[section].splitlines()
            self.assertRegex(lines[0], rf"^{name}: loads on this host \(Linux {re.escape(lab.SERIES)}\.")
            self.assertEqual(lines[1], "status 0")
        self.assertRegex(self.sections["check"], r"(?m)^ring0: loads on /tmp/host\.json .*\nstatus 0\n\Z")

    def test_a_file_is_read_as_the_guest_is(self):
        live, file = (lab.loads(self.sections["inspect:" + target])
                      for target in ("ring3", "/tmp/ring3.snap"))
        self.assertEqual((live["source"], file["source"]), ("live", "snapshot"))
        self.assertEqual(live["vcpus"], file["vcpus"])
        live, file = (lab.loads(self.sections["backtrace:" + target])["vcpus"]
                      for target in ("ring3", "/tmp/ring3.snap"))
        self.assertEqual(live, file)
        self.assertGreater(len(live[0]["frames"]), 20)  # the depth that the program was told
        self.assertRegex(self.sections["check-file"],
                         r"\A/tmp/ring3\.snap: loads on this host [^\n]*\nstatus 0\n\Z")
        self.assertTrue(self.sections["diff-file"].endswith("are the same\nstatus 0\n"))

    def test_a_value_on_which_the_entry_would_fail(self):
        if lab.KVM != "mainline":
            self.skipTest("this KVM did not take such a value, as test_forced_and_told has seen")
        self.assertRegex(self.sections["check-damaged"],
                         r"\Avcpu 0: s_cet=0x8000000000000004: bits 63:12 [^\n]*\(KVM accepts; "
                         r"[^\n]*\nring0: would not load on this host [^\n]*: 1 problem\nstatus 1\n\Z")

    def test_a_guest_is_the_same_as_itself(self):
        text = self.sections["diff"]
        self.assertTrue(text.endswith("ring0 and ring0 are the same\nstatus 0\n"), text)

    def test_the_guest_ended_well(self):
        self.assertIn("cet_state: done\numbra: the guest powered off\n", self.sections["told0"])

    def test_hidden_cet(self):
        off, = lab.loads(self.sections["off"])["vcpus"]
        self.assertEqual((off["guest_cpu"]["shstk"], off["guest_cpu"]["ibt"]), (False, False))
        self.assertEqual((off["host_cpu"]["shstk"], off["host_cpu"]["ibt"]), (True, True))
        self.assertEqual(set(values_of(off).values()) - {0}, set())
        self.assertNotIn("guest_ssp", values_of(off))
        self.assertEqual(off["problems"], [])
        self.assertRegex(self.sections["off-set"],
                         r"\Aumbra: off: vcpu 0: u_cet=0x1: [^\n]*neither shadow stacks[^\n]*\nstatus 2\n")


if __name__ == "__main__":
    tap.main()
