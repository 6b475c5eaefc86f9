# SPDX-License-Identifier: MIT
"""The lab for tests: its parts, and one run of a script in it."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("UMBRA_BUILD", ROOT / "build"))
# The machine's kernel where a test does not ask for one: what tests of the product run on.
KERNEL = os.environ.get("UMBRA_LAB_KERNEL", "7.3")
SERIES = KERNEL.partition("-")[0]
# What its KVM does with values that it should refuse: tests/common/kvm_rules.h.
KVM = {"6.12": "series", "7.3-fixed": "fixed"}.get(KERNEL, "mainline")
# Kernels with modules of kernel/, or to compare those with: their log has to stay free of complaints.
OURS = ("6.12", "6.12-stock", "6.12-trixie", "7.3-fixed")
TROUBLE = re.compile(r"WARNING: |\bBUG: |\bOops\b|unchecked MSR access|Call Trace:|lockup")


def part(name):
    """The path of a part of the lab; skips the test if it cannot be had."""
    answer = subprocess.run([ROOT / "lab" / "part", name], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise unittest.SkipTest(answer.stderr.strip().splitlines()[-1])
    return answer.stdout.strip()


def run(command, files, options=(), timeout=900, kernel=KERNEL):
    """
    Runs `command` in the lab with `files` ({name: host path}) in /lab, on `kernel`.
    Returns its output, both streams, without carriage returns; fails unless it exits with 0.
    """
    with tempfile.NamedTemporaryFile(mode="r", errors="replace") as log:
        words = [ROOT / "lab" / "run", "--quiet", "--timeout", str(timeout), "--kernel", kernel,
                 "--dmesg", log.name, *options]
        for name, source in files.items():
            words += ["--add", f"{source}:/lab/{name}"]
        done = subprocess.run([*words, "--", *command], capture_output=True, text=True,
                              errors="replace", check=False,
                              env=dict(os.environ, UMBRA_BUILD=str(BUILD)))
        trouble = [line for line in log if TROUBLE.search(line)]
    if done.returncode:
        raise AssertionError(f"lab/run: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    if trouble and kernel in OURS:
        raise AssertionError(f"the log of {kernel} complains:\n{''.join(trouble)}")
    return done.stdout.replace("\r", "")
