#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the includes keep to the order of layers.txt? One TAP line per folder.

A folder of vmm/ includes its own headers, those of folders on lines below its own, and
those of include/. Only a folder itself includes its internal.h. msr/ and cet/ never meet
glib, not even through somebody else's header. include/ is freestanding C.
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
GLIB = re.compile(r"^(glib|gio|gmodule|gobject)([/.-]|$)")
WITHOUT_GLIB = ("msr", "cet")
# C11, section 4, paragraph 6: what a freestanding implementation has.
FREESTANDING = {"float.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h",
                "stddef.h", "stdint.h", "stdnoreturn.h"}


def read_layers(path):
    """{folder: line number}; a greater number is lower."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()
             if line and not line.startswith("#")]
    return {folder: number for number, line in enumerate(lines) for folder in line}


def includes_of(path):
    return [name for _, name in INCLUDE.findall(path.read_text(encoding="utf-8"))]


class Tree:
    """The sources under `root`, and what is wrong with their includes."""

    def __init__(self, root):
        self.root = root
        self.layers = read_layers(pathlib.Path(__file__).parent / "layers.txt")

    def resolve(self, source, name):
        """The file of ours that `source` means by `name`, or None for a system header."""
        for base in (source.parent, self.root / "include", self.root / "vmm"):
            if (base / name).is_file():
                return (base / name).resolve()
        return None

    def glib_by(self, source, seen):
        """How `source` comes to glib: the chain of headers as text, or None."""
        for name in includes_of(source):
            if GLIB.match(name):
                return f"<{name}>"
            target = self.resolve(source, name)
            if target and target not in seen:
                seen.add(target)
                chain = self.glib_by(target, seen)
                if chain:
                    return f'"{name}" → {chain}'
        return None

    def fault_of_include(self, folder, source, name):
        """Why `source`, in vmm/folder, must not include `name`, or None."""
        if ".." in name.split("/"):
            return "goes up the tree: name it from vmm/"
        target = self.resolve(source, name)
        if not target or self.root / "include" in target.parents:
            return None
        if self.root / "vmm" not in target.parents:
            return "is outside vmm/ and include/"
        other = target.relative_to(self.root / "vmm").parts[0]
        if other == folder:
            return None
        if target.name == "internal.h":
            return f"is {other}'s own"
        if other not in self.layers or self.layers[other] <= self.layers[folder]:
            return f"is not below {folder} in layers.txt"
        return None

    def faults_of_folder(self, folder):
        if folder not in self.layers:
            return [f"vmm/{folder} has no line in layers.txt"]
        faults = []
        for source in sources(self.root / "vmm" / folder):
            where = source.relative_to(self.root)
            for name in includes_of(source):
                fault = self.fault_of_include(folder, source, name)
                if fault:
                    faults.append(f'{where} includes "{name}", which {fault}')
            chain = self.glib_by(source, set()) if folder in WITHOUT_GLIB else None
            if chain:
                faults.append(f"{where} comes to glib: {chain}")
        return faults

    def faults_of_contracts(self):
        faults = []
        for source in sources(self.root / "include"):
            for name in includes_of(source):
                target = self.resolve(source, name)
                ours = target and self.root / "include" in target.parents
                if not ours and name not in FREESTANDING:
                    where = source.relative_to(self.root)
                    faults.append(f"{where} includes <{name}>, which is not freestanding")
        return faults

    def faults_of_document(self):
        """The line in the document is the table, written as people read it."""
        rows = {}
        for folder, number in self.layers.items():
            rows.setdefault(number, []).append(folder)
        line = " → ".join(", ".join(rows[number]) for number in sorted(rows))
        document = self.root / "docs" / "architecture.md"
        if line in document.read_text(encoding="utf-8").splitlines():
            return []
        return [f"docs/architecture.md lacks the line: {line}"]


def sources(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in (".c", ".h", ".S"))


def main():
    tree = Tree(pathlib.Path(sys.argv[1]).resolve())
    folders = sorted(path.name for path in (tree.root / "vmm").iterdir() if path.is_dir())
    results = [(f"vmm/{folder}", tree.faults_of_folder(folder)) for folder in folders]
    results.append(("include", tree.faults_of_contracts()))
    results.append(("docs/architecture.md", tree.faults_of_document()))
    print(f"1..{len(results)}")
    for number, (name, faults) in enumerate(results, 1):
        print(f"{'not ok' if faults else 'ok'} {number} - {name}")
        for fault in faults:
            print(f"# {fault}")
    return 1 if any(faults for _, faults in results) else 0


if __name__ == "__main__":
    sys.exit(main())
