#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A KVM that lacks something, or fails: one line says what, and umbra ends."""

import errno
import os
import re

import harness
from harness import CANNOT_GO_ON, POWERED_OFF, TROUBLE, UMBRA, guest, run

OLDER_KVM = os.environ["OLDER_KVM"]
HEADER = "/usr/include/linux/kvm.h"
# What a machine of umbra's cannot be without, and the first Linux that had it.
NEEDED = {
    "KVM_CAP_USER_MEMORY": "2.6.25", "KVM_CAP_EXT_CPUID": "2.6.26", "KVM_CAP_SET_TSS_ADDR": "2.6.25",
    "KVM_CAP_IRQ_ROUTING": "2.6.30", "KVM_CAP_SIGNAL_MSI": "3.5", "KVM_CAP_SPLIT_IRQCHIP": "4.4",
    "KVM_CAP_IMMEDIATE_EXIT": "4.13",
}
# Without these a guest runs all the same.
WELCOME = ("KVM_CAP_ONE_REG", "KVM_CAP_XSAVE2", "KVM_CAP_EXCEPTION_PAYLOAD", "KVM_CAP_TSC_CONTROL",
           "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", "KVM_CAP_X86_TRIPLE_FAULT_EVENT")
# Requests by name, as the kernel's documentation has them (asm-generic/ioctl.h for the number).
KVM = 0xAE
REQUESTS = {
    "KVM_CREATE_VM": (KVM << 8 | 0x01, errno.EBUSY),
    "KVM_GET_SUPPORTED_CPUID": (3 << 30 | 8 << 16 | KVM << 8 | 0x05, errno.ENOMEM),
    "KVM_SET_USER_MEMORY_REGION": (1 << 30 | 32 << 16 | KVM << 8 | 0x46, errno.EEXIST),
    "KVM_CREATE_VCPU": (KVM << 8 | 0x41, errno.ENOMEM),
    "KVM_SET_CPUID2": (1 << 30 | 8 << 16 | KVM << 8 | 0x90, errno.EINVAL),
    "KVM_SET_SREGS": (1 << 30 | 312 << 16 | KVM << 8 | 0x84, errno.EINVAL),
}
KVM_RUN = KVM << 8 | 0x80


def capability(name):
    with open(HEADER, encoding="utf-8") as header:
        return re.search(rf"^#define {name} (\d+)\b", header.read(), re.M)[1]


class OlderKvm(harness.GuestTest):
    def on(self, *faults, guest_name="hello"):
        return run([OLDER_KVM, *faults, "--", UMBRA, "run", "--kernel", guest(guest_name)])

    def fails(self, result, *words):
        self.assertEqual(result.returncode, TROUBLE, result.stderr)
        self.assertRegex(result.stderr, r"\Aumbra: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, result.stderr)

    def test_the_filter_alone_changes_nothing(self):
        # A capability that no kernel has, and a request that umbra does not make.
        result = self.on("--without", "99999", "--failing", "1=5")
        self.assertEqual(result.returncode, POWERED_OFF, result.stderr)

    def test_what_is_needed_is_missed_by_name(self):
        for name, since in NEEDED.items():
            with self.subTest(name):
                self.fails(self.on("--without", capability(name)), f"lacks {name} ",
                           f"(in Linux since {since})")

    def test_without_the_rest_a_guest_runs(self):
        for name in WELCOME:
            with self.subTest(name):
                result = self.on("--without", capability(name))
                self.assertEqual(result.returncode, POWERED_OFF, result.stderr)

    def test_a_request_that_fails_is_named_with_its_reason(self):
        for name, (number, reason) in REQUESTS.items():
            with self.subTest(name):
                result = self.on("--failing", f"{number}={reason}")
                self.fails(result, name, os.strerror(reason))

    def test_a_guest_that_kvm_does_not_run_cannot_go_on(self):
        result = self.on("--failing", f"{KVM_RUN}={errno.EIO}")
        self.assertEqual(result.returncode, CANNOT_GO_ON, result.stderr)
        self.assertRegex(result.stderr, r"\Aumbra: the guest cannot go on: vcpu 0: KVM_RUN: [^\n]+\n  rip ")

    def test_what_is_welcome_is_missed_where_it_would_have_served(self):
        # No restore, because the state would lack a part: said before anything is stopped.
        host = run([OLDER_KVM, "--without", capability("KVM_CAP_ONE_REG"), "--", UMBRA, "host"])
        self.assertRegex(host.stdout, r"(?m)^guest_ssp +no$")
        self.assertNotEqual(host.returncode, POWERED_OFF)


if __name__ == "__main__":
    harness.main()
