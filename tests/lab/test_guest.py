#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stock Debian guest with CET, in the lab: all guests in one start of the machine."""

import ctypes
import pathlib
import re
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402


def unpack_kernel(image):
    """The ELF in a bzImage packed with zstd (Documentation/arch/x86/boot.rst, payload_offset)."""
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_decompress.restype = zstd.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[(setup_sectors + 1) * 512 + offset:][:length]
    size, = struct.unpack("<I", payload[-4:])
    kernel = ctypes.create_string_buffer(size)
    packed = zstd.ZSTD_findFrameCompressedSize(payload, ctypes.c_size_t(length))
    done = zstd.ZSTD_decompress(kernel, ctypes.c_size_t(size), payload, ctypes.c_size_t(packed))
    assert done == size, "the kernel's payload is not zstd"
    return kernel.raw


def run_all():
    """Runs guest_boots.sh in the lab; {section: (text, exit status)}."""
    vmlinuz = lab.part("vmlinuz-7.3")
    with tempfile.TemporaryDirectory() as folder:
        vmlinux = pathlib.Path(folder) / "vmlinux"
        vmlinux.write_bytes(unpack_kernel(pathlib.Path(vmlinuz).read_bytes()))
        text = lab.run(["/lab/guest_boots.sh"], {
            "guest_boots.sh": lab.ROOT / "tests" / "lab" / "guest_boots.sh",
            "shstk_proof": lab.BUILD / "tests" / "programs" / "shstk_proof",
            "initrd": lab.BUILD / "tests" / "guest_image" / "guest-initrd.cpio",
            "echo": lab.BUILD / "tests" / "guests" / "echo",
            "cet": lab.BUILD / "tests" / "guests" / "cet",
            "cpuid": lab.BUILD / "tests" / "guests" / "cpuid",
            "vmlinuz": vmlinuz, "vmlinux": vmlinux,
        })
    return lab.sections(text)


class Guests(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.sections = run_all()

    def section(self, name, status):
        self.assertIn(name, self.sections)
        text, found = self.sections[name]
        self.assertEqual(found, status, text)
        return text

    def assert_lines(self, text, *lines):
        for line in lines:
            self.assertIn(line + "\n", text)

    def assert_proven(self, text, kind, cpus=2):
        self.assert_lines(text, "cpuinfo: user_shstk yes", "cpuinfo: ibt yes",
                          "control: without shadow stack an overwritten return lands where it points",
                          "status: x86_Thread_features shstk",
                          f"tasks: 6 {kind} on {cpus} CPUs: ok",
                          "violation: overwritten return: SIGSEGV si_code 10",
                          "violation: overwritten return, no handler: killed by SIGSEGV",
                          "shstk_proof: all proven")
        self.assertEqual(len(re.findall(r"^task \d: .*\d+ switches checked .*: ok$", text, re.M)), 6)

    def test_the_proof_holds_in_the_lab_itself(self):
        self.assert_proven(self.section("lab", 0), "processes", cpus=1)

    def test_cet_by_hand_in_ring_0_and_3(self):
        text = self.section("tiny-cet", 0)
        self.assert_lines(text, "cet: calls ok", "cet: cp error 1 cpl 0", "cet: cp error 3 cpl 0",
                          "cet: cp error 1 cpl 3", "cet: pl3_ssp ok", "cet: token busy", "cet: done")

    def test_a_state_that_cannot_be_entered_is_reported_with_its_registers(self):
        if lab.KVM != "mainline":
            self.assertRegex(self.section("fail-entry", 0), "s_cet=0x8000000000000004")
            self.skipTest(f"{lab.KERNEL} refuses such a state, as it should")
        text = self.section("fail-entry", 5)
        # VM-entry failure due to invalid guest state: SDM 3D, appendix C, basic reason 33.
        self.assert_lines(text, "umbra: KVM cannot enter the guest: vcpu 0: the CPU refuses to "
                          "enter the guest, hardware reason 0x80000021")
        self.assertRegex(text, r"(?m)^  rip +0x[0-9a-f]{16}  rflags 0x")

    def test_cpuid_with_and_without(self):
        keys = ("shstk", "ibt", "xss_cet_u", "xss_cet_s")
        text = self.section("tiny-cpuid", 0)
        self.assert_lines(text, *(f"cpuid: {key} 1" for key in keys),
                          "cpuid: cet_u_size 16", "cpuid: cet_s_size 24")
        text = self.section("tiny-cpuid-off", 0)
        self.assert_lines(text, *(f"cpuid: {key} 0" for key in keys),
                          "cpuid: cet_u_size 0", "cpuid: cet_s_size 0")

    def test_many_tasks_keep_their_shadow_stacks_on_two_vcpus(self):
        text = self.section("tasks", 0)
        processes, _, threads = text.partition("shstk_proof: all proven\n")
        self.assert_proven(processes + "shstk_proof: all proven\n", "processes")
        self.assert_proven(threads, "threads")
        self.assert_lines(text, "kernel ibt: enabled (kernel log)", "umbra-guest: exit status 0",
                          "umbra: the guest powered off")

    def test_cet_off_shows_neither_and_a_triple_fault_is_told(self):
        text = self.section("off-triple", 4)
        self.assert_lines(text, "cpuinfo: user_shstk no", "cpuinfo: ibt no",
                          "kernel ibt: no word of it in the kernel log",
                          "shstk_proof: no shadow stack: arch_prctl says EOPNOTSUPP",
                          "shstk_proof ended with 3")
        self.assertRegex(text, r"(?m)^umbra: the guest died of a triple fault")
        self.assertNotIn("Kernel panic", text)

    def test_elf_kernel_and_reboot_by_acpi(self):
        text = self.section("elf-reset", 3)
        self.assert_lines(text, "cpuinfo: user_shstk yes", "cpuinfo: ibt yes",
                          "umbra: the guest asked for a reboot")

    def test_panic_is_seen_as_such(self):
        text = self.section("panic", 4)
        self.assertIn("Kernel panic - not syncing: sysrq triggered crash", text)


if __name__ == "__main__":
    tap.main()
