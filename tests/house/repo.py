# SPDX-License-Identifier: MIT
"""What the checks of this folder share: the project's files, and TAP."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files():
    """Paths of the project's files, relative to ROOT: those that git tracks or would on `git add`,
    or, in an unpacked archive, all outside build directories and hidden ones."""
    # The tree may belong to somebody else; listing it is harmless.
    listing = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z",
                              "--cached", "--others", "--exclude-standard"],
                             capture_output=True, check=False) if (ROOT / ".git").exists() else None
    if listing and listing.returncode == 0:
        names = [name for name in os.fsdecode(listing.stdout).split("\0") if name]
    else:
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")
                 if not path.relative_to(ROOT).parts[0].startswith(("build", ".git"))
                 and "__pycache__" not in path.parts]
    return sorted(name for name in names if (ROOT / name).is_file())


def report(results):
    """Print {name: faults} as TAP; return the exit status."""
    print(f"1..{len(results)}")
    for number, (name, faults) in enumerate(results.items(), 1):
        print(f"{'not ok' if faults else 'ok'} {number} - {name}")
        for fault in faults:
            print(f"# {fault}")
    return 1 if any(results.values()) else 0
