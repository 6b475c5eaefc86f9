# SPDX-License-Identifier: MIT
"""The lab for tests: its parts, and one run of a script in it."""

import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("UMBRA_BUILD", ROOT / "build"))


def part(name):
    """The path of a part of the lab; skips the test if it cannot be had."""
    answer = subprocess.run([ROOT / "lab" / "part", name], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise unittest.SkipTest(answer.stderr.strip().splitlines()[-1])
    return answer.stdout.strip()


def run(command, files, options=(), timeout=900):
    """
    Runs `command` in the lab with `files` ({name: host path}) in /lab.
    Returns its output, both streams, without carriage returns; fails unless it exits with 0.
    """
    words = [ROOT / "lab" / "run", "--quiet", "--timeout", str(timeout), *options]
    for name, source in files.items():
        words += ["--add", f"{source}:/lab/{name}"]
    done = subprocess.run([*words, "--", *command], capture_output=True, text=True, errors="replace",
                          env=dict(os.environ, UMBRA_BUILD=str(BUILD)), check=False)
    if done.returncode:
        raise AssertionError(f"lab/run: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout.replace("\r", "")
