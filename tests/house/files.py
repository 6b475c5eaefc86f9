#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What must hold for every file: it says its licence, and it works on any machine."""

import re
import sys

from repo import ROOT, files, report

SPDX = re.compile(rb"SPDX-License-Identifier: ([^\s*]+)")
# Files that are no text of ours, or that say nothing but the licence; a patch begins with the
# head of a mail, and its licence is that of the files it changes.
WITHOUT_LICENCE_LINE = re.compile(r"^LICENSE$|^LICENSES/|/(data|corpus)/|^kernel/.*\.patch$")
# Everything finds its packages through the machine's own apt configuration …
ARCHIVE_HOST = re.compile(
    rb"\b(deb|ftp|security|snapshot|archive|mirrors?|httpredir|cdn-fastly)"
    rb"(\.\w+)*\.(debian|ubuntu)\.(org|net|com)\b")
# … and everything else from its own place in the tree.
MACHINE_PATH = re.compile(rb"(?<![\w.$}~/-])/(home|root|work|Users)/\w[^\s\"']*")


def licence_fault(name, text):
    wanted = b"GPL-2.0-only" if name.startswith("kernel/") else b"MIT"
    found = SPDX.search(b"\n".join(text.splitlines()[:3]))
    if not found:
        return "has no SPDX-License-Identifier in its first three lines"
    if found[1] != wanted:
        return f"says {found[1].decode()}, but LICENSE says {wanted.decode()} for this folder"
    return None


def main():
    licence, hosts, paths = [], [], []
    for name in files():
        text = (ROOT / name).read_bytes()
        if not WITHOUT_LICENCE_LINE.search(name):
            fault = licence_fault(name, text)
            licence += [f"{name} {fault}"] if fault else []
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, faults in ((ARCHIVE_HOST, hosts), (MACHINE_PATH, paths)):
                found = pattern.search(line)
                if found:
                    faults.append(f"{name}:{number}: {found[0].decode(errors='replace')}")
    return report({"every file says its licence": licence,
                   "no file names a package archive's host": hosts,
                   "no file names a place on one machine": paths})


if __name__ == "__main__":
    sys.exit(main())
