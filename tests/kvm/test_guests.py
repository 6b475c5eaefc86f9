# SPDX-License-Identifier: MIT
"""One tiny guest per property: what it finds, and how it ends."""

import harness
from harness import CANNOT_GO_ON, RESET, TRIPLE_FAULT, TROUBLE, run_guest, values

MIB = 1 << 20
GIB = 1 << 30


class Endings(harness.GuestTest):
    def test_power_off(self):
        result = run_guest("hello")
        self.assert_done(result, "hello")
        self.assertEqual(result.stdout, "hello: via pvh\nhello: done\n")

    def test_reset(self):
        result = run_guest("reset")
        self.assertEqual(result.stdout, "reset: now\n")
        self.assert_ended(result, RESET, "umbra: the guest asked for a reboot")

    def test_triple_fault(self):
        result = run_guest("triple")
        self.assertEqual(result.stdout, "triple: now\n")
        self.assertEqual(result.returncode, TRIPLE_FAULT, result.stderr)
        self.assert_registers(result, "triple fault")

    def test_internal_error(self):
        result = run_guest("mmio_exec")
        self.assertEqual(result.stdout, "mmio_exec: now\n")
        self.assertEqual(result.returncode, CANNOT_GO_ON, result.stderr)
        self.assert_registers(result, "KVM cannot go on with the guest")
        self.assertIn("0x00000000cff00000", result.stderr, "rip is where no memory is")

    def test_unexpected_exception_is_reported(self):
        result = run_guest("exception")
        self.assertRegex(result.stdout, r"\Aexception: WRONG: exception 6 error 0x0 rip 0x")

    def assert_registers(self, result, reason):
        lines = result.stderr.splitlines()
        self.assertTrue(lines[0].startswith("umbra: "), lines)
        self.assertIn(reason, lines[0])
        for register in ("rip", "rsp", "cr0", "cr3", "cr4", "efer", "cs"):
            self.assertRegex(result.stderr, rf"\b{register} +(0x)?[0-9a-f]+")


class Boot(harness.GuestTest):
    def test_entry_in_64_bit_mode(self):
        result = run_guest("hello_long")
        self.assert_done(result, "hello")
        self.assertEqual(values(result.stdout, "hello")["via"], "linux")

    def test_command_line_arrives_whole(self):
        text = "console=ttyS0 quoted=\"a b\"  two  blanks ümlaut -- --init"
        for name, via in (("info", "pvh"), ("info_long", "linux")):
            with self.subTest(via):
                result = run_guest(name, "--cmdline", text)
                self.assert_done(result, "info")
                self.assertIn(f"info: cmdline [{text}]\n", result.stdout)
                self.assertIn(f"info: via {via}\n", result.stdout)

    def test_no_command_line_is_an_empty_one(self):
        self.assertIn("info: cmdline []\n", run_guest("info").stdout)

    def test_initrd_arrives_whole(self):
        data = bytes((i * 7 + i // 251) % 256 for i in range(100_003))
        total = 0
        for byte in data:
            total = (total * 31 + byte) % (1 << 64)
        initrd = self.folder + "/initrd"
        with open(initrd, "wb") as file:
            file.write(data)
        for name in ("info", "info_long"):
            with self.subTest(name):
                result = run_guest(name, "--initrd", initrd)
                self.assert_done(result, "info")
                self.assertIn(f"info: initrd size {len(data)} sum {total:#x}\n", result.stdout)

    def test_acpi_tables_name_the_power_ports(self):
        self.assertIn("info: acpi ok\n", run_guest("info").stdout)


class Memory(harness.GuestTest):
    # The guest sees all but what lies between the end of low RAM and 1 MiB.
    LOW_HOLE = MIB - 0x9FC00

    def check(self, name, option, size):
        result = run_guest(name, "--memory", option)
        self.assert_done(result, "memory")
        self.assertEqual(int(values(result.stdout, "memory")["ram"]), size - self.LOW_HOLE)
        return result

    def test_smallest(self):
        self.check("memory", "64M", 64 * MIB)

    def test_below_the_hole(self):
        result = self.check("memory", "3G", 3 * GIB)
        self.assertNotIn("range 0x100000000 ", result.stdout)

    def test_one_page_beyond_the_hole(self):
        result = self.check("memory", str(3 * GIB // 1024 + 4) + "K", 3 * GIB + 4096)
        self.assertIn("range 0x100000000 size 0x1000 type 1\n", result.stdout)

    def test_far_beyond_the_hole(self):
        for name in ("memory", "memory_long"):
            with self.subTest(name):
                result = self.check(name, "6G", 6 * GIB)
                self.assertIn("range 0x100000000 size 0xc0000000 type 1\n", result.stdout)


class Processors(harness.GuestTest):
    def test_all_start(self):
        for n in (1, 2, 5):
            with self.subTest(n):
                result = run_guest("cpus", "--cpus", str(n))
                self.assert_done(result, "cpus")
                self.assertEqual(values(result.stdout, "cpus"),
                                 {"madt": str(n), "running": str(n), "done": ""})

    def test_cpuid_agrees(self):
        result = run_guest("cpuid", "--cpus", "3")
        self.assert_done(result, "cpuid")
        found = values(result.stdout, "cpuid")
        self.assertEqual(found["hypervisor"], "1")
        self.assertEqual(found["hypervisor_vendor"], "KVMKVMKVM")
        self.assertEqual(found["apic_id"], "0")
        self.assertEqual(found["logical"], "3")

    def test_no_cet_is_no_trace_of_it(self):
        result = run_guest("cpuid", "--cet", "off")
        self.assert_done(result, "cpuid")
        found = values(result.stdout, "cpuid")
        traces = {key: found[key] for key in (
            "shstk", "ibt", "xss_cet_u", "xss_cet_s", "cet_u_size", "cet_s_size")}
        self.assertEqual(set(traces.values()), {"0"}, traces)

    def test_cet_on_is_there_or_refused_by_name(self):
        result = run_guest("cpuid", "--cet", "on")
        if result.returncode == TROUBLE:
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, r"\Aumbra: --cet on: [^\n]*SHSTK[^\n]*\n\Z")
            return
        self.assert_done(result, "cpuid")
        found = values(result.stdout, "cpuid")
        self.assertEqual((found["shstk"], found["ibt"]), ("1", "1"))

    def test_ring3(self):
        result = run_guest("ring3")
        self.assert_done(result, "ring3")
        self.assertEqual(
            values(result.stdout, "ring3"),
            {"cpl": "3", "sum": "49999995000000", "square": "49", "back": "by vector 6", "done": ""})


class SerialInput(harness.GuestTest):
    def test_echo(self):
        result = run_guest("echo", input="umbra 123q")
        self.assert_done(result, "echo")
        self.assertEqual(result.stdout, "echo: ready\numbra 123\necho: done\n")

    def test_nothing_of_much_is_lost(self):
        text = "".join(f"line {i:05} of input\n" for i in range(1000)).replace("q", "")
        result = run_guest("echo", input=text + "q")
        self.assert_done(result, "echo")
        self.assertEqual(result.stdout, f"echo: ready\n{text}\necho: done\n")


if __name__ == "__main__":
    harness.main()
