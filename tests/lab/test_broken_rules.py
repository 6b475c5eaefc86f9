#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks each rule of the register table in turn: the hand-written oracle and the lab's KVM must
both notice. A table that can be wrong unnoticed is not proven by tests that are green.

Each broken table is compiled beside the rest of the library, unchanged, into the oracle's test
and into the programs that ask the kernel.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

TABLE = lab.ROOT / "vmm" / "cet" / "registers.c"
RULE = re.compile(r"^static const RegRule (\w+) = \{\n(.*?)^\};", re.M | re.S)
LAST_BITS = re.compile(r"BITS\((\d+), (\d+)\)(?!.*BITS)")


def replaced(pattern, replacement):
    """The row with the first `pattern` replaced; unchanged, and so no case, without one."""
    return lambda row: re.sub(pattern, replacement, row, count=1, flags=re.M)


def one_bit_less(row):
    return LAST_BITS.sub(lambda found: f"BITS({int(found[1]) - 1}, {found[2]})", row)


def one_bit_more(row):
    """Below if there is room. An address is canonical or not whatever its low bits are."""
    if "REG_RULE_CANONICAL" in row:
        return row
    return LAST_BITS.sub(lambda found: f"BITS({found[1]}, {int(found[2]) - 1})" if int(found[2])
                         else f"BITS({int(found[1]) + 1}, 0)", row)


# What may go wrong with a row; each applies to the rows that it changes.
BREAKS = {
    "gone": replaced(r"\.kind = REG_RULE_\w+", ".kind = REG_RULE_CROSS"),
    "no-bits": replaced(r"\.bits = .*,$", ".bits = 0,"),
    "one-bit-more": one_bit_more,
    "one-bit-less": one_bit_less,
    "no-features": replaced(r"\.features = .*,$", ".features = 0,"),
    "accepted": replaced(r"(?<=\.kvm = )REG_REFUSES", "REG_ACCEPTS"),
    "lost": replaced(r"(?<=\.kvm = )(REG_REFUSES|REG_ACCEPTS)", "REG_LOSES"),
    "refused": replaced(r"(?<=\.kvm = )(REG_LOSES|REG_ACCEPTS)", "REG_REFUSES"),
    "trait-missed": replaced(r"\.unlike = .*,$", ".unlike = 0,"),
    "trait-lost": replaced(r"(?<=\.kvm_then = )REG_REFUSES", "REG_LOSES"),
    "trait-refused": replaced(r"(?<=\.kvm_then = )REG_OK", "REG_REFUSES"),
}
# With the same values each time: whether a broken rule shows in them is no matter of luck.
# Programs are run with both settings of ignore_msrs: a rule may show in one of them only.
ASK_KVM = f"""
for name in "$@"; do
    for ignore in 0 1; do
        echo $ignore > /sys/module/kvm/parameters/ignore_msrs
        /lab/cet_proof.$name --kvm {lab.KVM} --seed 1 --values 80000 >/tmp/out 2>&1
        echo "$name cet_proof $?"
        grep -m 1 MISMATCH /tmp/out
    done
    /lab/cet_entry.$name {lab.KVM} >/tmp/out 2>&1; echo "$name cet_entry $?"
done
"""
# What a KVM cannot tell: it has no traits, or goes by them where the table says so.
NOT_TOLD = {
    "mainline": r"\w+\.trait-",
    "fixed": r"[us]_cet_canonical\.(accepted|lost|refused)|bitmap_alignment\.trait-",
    "series": r"[us]_cet_canonical\.(accepted|lost|refused)|bitmap_alignment\.(?!trait-)",
}


def broken_tables():
    """(name, text) of every table with one rule broken in one way."""
    text = TABLE.read_text()
    for rule in RULE.finditer(text):
        for how, broken in BREAKS.items():
            row = broken(rule[2])
            if row != rule[2]:
                yield f"{rule[1]}.{how}", text[:rule.start(2)] + row + text[rule.end(2):]


class Workshop:
    """Compiles the programs once for all tables, and once more for each what the table is in."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        glib = subprocess.run(["pkg-config", "--cflags", "--libs", "glib-2.0"], check=True,
                              capture_output=True, text=True).stdout.split()
        self.flags = ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-I", str(lab.ROOT / "include"),
                      "-I", str(lab.ROOT / "vmm"), "-I", str(lab.ROOT / "tests")]
        self.glib = glib
        rest = [path for folder in ("msr", "cet") for path in (lab.ROOT / "vmm" / folder).glob("*.c")
                if path != TABLE]
        self.rest = [self.compile(path) for path in rest]
        self.programs = {
            "oracle": self.compile(lab.ROOT / "tests/unit/test_cet_registers.c"),
            "cet_proof": self.compile(lab.ROOT / "tests/lab/cet_proof.c"),
            "cet_entry": self.compile(lab.ROOT / "tests/lab/cet_entry.c"),
        }

    def cc(self, *words):
        subprocess.run(["cc", *self.flags, *map(str, words), *self.glib], check=True)

    def compile(self, source):
        target = self.folder / (source.stem + ".o")
        self.cc("-c", "-o", target, source)
        return target

    def build(self, name, text):
        table = self.folder / f"{name}.c"
        table.write_text(text)
        for program, main in self.programs.items():
            self.cc("-o", self.folder / f"{program}.{name}", main, *self.rest, table)


class BrokenRules(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="umbra-broken-rules-")
        cls.addClassCleanup(folder.cleanup)
        cls.workshop = Workshop(folder.name)
        cls.names = []
        for name, text in [("sound", TABLE.read_text()), *broken_tables()]:
            cls.workshop.build(name, text)
            cls.names.append(name)

    def test_every_rule_is_broken_somehow(self):
        rules = {rule[1] for rule in RULE.finditer(TABLE.read_text())}
        self.assertGreaterEqual(len(rules), 11)
        self.assertEqual({name.split(".")[0] for name in self.names[1:]}, rules)

    def test_the_oracle_notices(self):
        red = {}
        for name in self.names:
            done = subprocess.run([self.workshop.folder / f"oracle.{name}"], capture_output=True,
                                  check=False, env=dict(os.environ, G_DEBUG=""))
            red[name] = done.returncode != 0
        self.assertFalse(red.pop("sound"))
        self.assertEqual([name for name, noticed in red.items() if not noticed], [])

    def test_kvm_notices(self):
        lab.part(f"vmlinuz-{lab.SERIES}")
        files = {f"{program}.{name}": self.workshop.folder / f"{program}.{name}"
                 for name in self.names for program in ("cet_proof", "cet_entry")}
        text = lab.run(["/bin/sh", "-c", ASK_KVM, "sh", *self.names], files, options=())
        status = {}
        for name, program, number in re.findall(r"^(\S+) (cet_\w+) (\d+)$", text, re.M):
            self.assertIn(number, "01", f"{program}.{name} did not run")
            status[name] = status.get(name, False) or number == "1"
        self.assertEqual(set(status), set(self.names), text)
        self.assertFalse(status.pop("sound"), text)
        cannot = [name for name in self.names if re.match(NOT_TOLD[lab.KVM], name)]
        self.assertEqual([name for name, noticed in status.items() if not noticed], cannot, text)


if __name__ == "__main__":
    tap.main()
