#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""umbra host on hosts that differ: with CET, without it for one reason or another, without KVM."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

REGISTERS = ["u_cet", "s_cet", "pl0_ssp", "pl1_ssp", "pl2_ssp", "pl3_ssp", "int_ssp_tab",
             "guest_ssp"]
SCRIPT = """
show() { echo "== $1"; shift; "$@"; echo "status $?"; }
show json umbra host --json
show text umbra host
show alien umbra host --json --kvm /dev/null
rm /dev/kvm
show absent umbra host --json
echo "== end"
"""

# In what the KVMs of kernel/ differ from mainline's: kernel/README.md.
TRAITS = {
    "mainline": [],
    "fixed": ["refuses-noncanonical-bitmap"],
    "series": ["refuses-noncanonical-bitmap", "takes-any-bitmap-page", "refuses-cet-without-wp"],
}


class Host:
    """What `umbra host` said on one machine."""

    def __init__(self, kernel, options=()):
        lab.part(f"vmlinuz-{kernel.partition('-')[0]}")
        text = lab.run(["/bin/sh", "-c", SCRIPT], {}, options=options, kernel=kernel)
        found = re.findall(r"^== (\w+)\n(.*?)status (\d+)\n(?=== )", text, re.M | re.S)
        self.text = lab.Sections({name: body for name, body, _ in found}, text)
        self.status = lab.Sections({name: int(status) for name, _, status in found}, text)

    def json(self, name="json"):
        return lab.loads(self.text[name])


class HostTest(unittest.TestCase):
    maxDiff = None

    def assert_without_cet(self, host, why, remedy):
        answer = host.json()
        self.assertEqual(host.status["json"], 1)
        self.assertEqual(answer["cet"],
                         {"shstk": False, "ibt": False, "guest_ssp": False, "registers": [],
                          "traits": []})
        self.assertEqual([entry["what"] for entry in answer["missing"]],
                         ["shstk", "ibt", "guest_ssp"])
        for entry in answer["missing"]:
            self.assertRegex(entry["why"], why)
            self.assertRegex(entry["remedy"], remedy)
        self.assertRegex(host.text["text"], r"(?m)^missing +shstk, ibt, guest_ssp$")


class WithCet(HostTest):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(lab.KERNEL)

    def test_all_of_cet_is_there(self):
        answer = self.host.json()
        self.assertEqual(self.host.status["json"], 0)
        self.assertEqual(answer["version"], 1)
        self.assertEqual(answer["cet"], {"shstk": True, "ibt": True, "guest_ssp": True,
                                         "registers": REGISTERS, "traits": TRAITS[lab.KVM]})
        self.assertEqual(answer["missing"], [])

    def test_what_another_machine_needs_to_judge_by(self):
        answer = self.host.json()
        kvm = answer["kvm"]
        self.assertTrue(answer["kernel"].startswith(lab.SERIES + "."))
        self.assertEqual((kvm["api_version"], kvm["xss"], kvm["linear_bits"]), (12, "0x1800", 48))
        self.assertEqual(kvm["capabilities"]["one_reg"], 1)
        self.assertGreaterEqual(kvm["capabilities"]["max_vcpus"], 1)
        self.assertIn("0x6a0", kvm["msrs"])
        self.assertIn("0xda0", kvm["msrs"])
        leaf, = [entry for entry in kvm["cpuid"]
                 if entry["function"] == "0x7" and entry["index"] == 0]
        self.assertTrue(int(leaf["ecx"], 16) >> 7 & 1 and int(leaf["edx"], 16) >> 20 & 1)

    def test_a_file_that_is_no_kvm(self):
        answer = self.host.json("alien")
        self.assertEqual((self.host.status["alien"], answer["kvm"]["access"]), (2, "alien"))
        self.assertEqual([entry["what"] for entry in answer["missing"]], ["kvm"])

    def test_no_kvm(self):
        answer = self.host.json("absent")
        self.assertEqual((self.host.status["absent"], answer["kvm"]["access"]), (2, "absent"))
        self.assertEqual([entry["what"] for entry in answer["missing"]], ["kvm"])
        self.assertIn("/dev/kvm", answer["missing"][0]["why"])


class CetParameterOff(HostTest):
    def test_the_parameter_is_named(self):
        host = Host(lab.KERNEL, ("--kvm-intel", "cet=0"))
        self.assertEqual(host.json()["kvm"]["parameters"]["kvm_intel.cet"], "N")
        self.assert_without_cet(host, r"kvm_intel\.cet is N", r"cet=0")


class OlderKernel(HostTest):
    def test_the_kernel_is_named(self):
        host = Host("6.17")
        self.assertEqual(host.json()["kvm"]["capabilities"]["one_reg"], 0)
        self.assert_without_cet(host, r"from Linux 6\.18 on, .* 6\.17\.", r"6\.18 or newer")


if __name__ == "__main__":
    tap.main()
