# SPDX-License-Identifier: MIT
"""The lab for tests: its parts, and one run of a script in it."""

import json
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
# For one command: there to end what hangs. On a quiet host the longest takes two minutes.
SECONDS = 1500
TROUBLE = re.compile(r"WARNING: |\bBUG: |\bOops\b|unchecked MSR access|Call Trace:|lockup")


def part(name):
    """The path of a part of the lab; skips the test if it cannot be had."""
    answer = subprocess.run([ROOT / "lab" / "part", name], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise unittest.SkipTest(answer.stderr.strip().splitlines()[-1])
    return answer.stdout.strip()


class Sections(dict):
    """What a script printed, by name. What is missing fails the test, and shows what there is."""

    def __init__(self, found, text):
        super().__init__(found)
        self.text = text

    def __missing__(self, name):
        raise AssertionError(f"no section {name} in\n{self.text}")


def sections(text):
    """{name: (what was printed, exit status)} of the steps that steps.sh tells."""
    return Sections({name: (body, int(status)) for name, body, status in re.findall(
        r"^== (\S+)\n(.*?)\n== \1 ended with (\d+)$", text, re.M | re.S)}, text)


def answers(text):
    """{name: what was printed} of scripts that say "== NAME" before each, and at the end."""
    return Sections(re.findall(r"^== (\S+)\n(.*?)(?=^== )", text, re.M | re.S), text)


def loads(text):
    """json.loads() that shows what is no JSON."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise AssertionError(f"{error} in\n{text}") from error


def run(command, files, options=(), timeout=SECONDS, kernel=KERNEL):
    """
    Runs `command` in the lab with `files` ({name: host path}) and steps.sh in /lab, on `kernel`.
    Returns its output without carriage returns; fails unless it exits with 0.
    """
    files = {"steps.sh": ROOT / "tests" / "common" / "steps.sh", **files}
    with tempfile.NamedTemporaryFile(mode="r", errors="replace") as log:
        words = [ROOT / "lab" / "run", "--quiet", "--timeout", str(timeout), "--kernel", kernel,
                 "--dmesg", log.name, *options]
        for name, source in files.items():
            words += ["--add", f"{source}:/lab/{name}"]
        done = subprocess.run([*words, "--", *command], capture_output=True, text=True,
                              errors="replace", check=False,
                              env=dict(os.environ, UMBRA_BUILD=str(BUILD)))
        kernel_log = log.readlines()
    trouble = [line for line in kernel_log if TROUBLE.search(line)]
    if done.returncode:
        raise AssertionError(f"lab/run: status {done.returncode}\n{done.stdout}\n{done.stderr}\n"
                             f"the kernel's last words:\n{''.join(kernel_log[-20:])}")
    if trouble and kernel in OURS:
        raise AssertionError(f"the log of {kernel} complains:\n{''.join(trouble)}")
    return done.stdout.replace("\r", "")
