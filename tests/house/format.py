#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Is every C file formatted as .clang-format says? With --fix: make it so."""

import subprocess
import sys

from repo import ROOT, files, report


def c_files():
    # kernel/ is written in the kernel's style, which checkpatch judges.
    return [name for name in files()
            if name.endswith((".c", ".h")) and not name.startswith("kernel/")]


def main():
    names = c_files()
    if sys.argv[1:] == ["--fix"]:
        return subprocess.run(["clang-format", "-i", "--", *names], cwd=ROOT, check=False).returncode
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", "--", *names], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    faults = [line for line in done.stderr.splitlines() if ": error: " in line]
    if done.returncode and not faults:
        faults = done.stderr.splitlines() or [f"clang-format: exit status {done.returncode}"]
    return report({"C files are formatted (make format does it)": faults})


if __name__ == "__main__":
    sys.exit(main())
