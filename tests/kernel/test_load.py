#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The 6.12 series under load, for UMBRA_LOAD_SECONDS (60) of this machine's time: guests with shadow
stacks whose vCPUs move, guests that watch their registers, and the host's own shadow stacks.
"""

import collections
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
import lab  # noqa: E402
import tap  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = int(os.environ.get("UMBRA_LOAD_SECONDS", "60"))
START_SECONDS = 900  # until the guests are up and each has said something
SLOW = 4  # how much longer than at the start, boot and all, somebody may take for a round
PARTIES = ("guest 1", "guest 2", "moves", "host", "mover")


def put_under_load(log):
    """
    Runs load.sh until all parties have worked side by side for SECONDS, and each has come to a
    round since, which takes as long as the host needs. Returns how many rounds each came to
    since, how many it has to at the least, and whatever was wrong; `log` receives what the
    kernel has to say.
    """
    files = {
        "load.sh": HERE / "load.sh",
        "cet_moves": lab.BUILD / "tests" / "kernel" / "cet_moves",
        "shstk_proof": lab.BUILD / "tests" / "programs" / "shstk_proof",
        "initrd": lab.BUILD / "tests" / "guest_image" / "guest-initrd.cpio",
        "vmlinuz": lab.part("vmlinuz-7.3"),
    }
    words = [lab.ROOT / "lab" / "run", "--kernel", "6.12", "--cpus", "2", "--quiet", "--dmesg", log,
             "--timeout", str(2 * START_SECONDS + 2 * SECONDS)]
    for name, source in files.items():
        words += ["--add", f"{source}:/lab/{name}"]
    rounds, wrong, last = {}, [], collections.deque(maxlen=20)
    with subprocess.Popen([*words, "--", "load.sh"], stdout=subprocess.PIPE, text=True,
                          errors="replace", env=dict(os.environ, UMBRA_BUILD=str(lab.BUILD))) as run:
        started, begun, enough = time.monotonic(), None, False
        for line in run.stdout:
            party, _, words = line.strip().partition(": ")
            last.append(line)
            if "WRONG" in line:
                break
            if words.startswith("round"):
                rounds.setdefault(party, 0)
                rounds[party] += begun is not None
            if begun is None and set(PARTIES) <= set(rounds):
                begun = time.monotonic()
            if begun is not None and time.monotonic() - begun >= SECONDS and all(rounds.values()):
                enough = True
                break
        run.send_signal(signal.SIGTERM)
        # What is wrong may take more than one line.
        told = [*last, *run.stdout.readlines()[:50]]
    if not enough:
        wrong.append(f"rounds: {rounds}, status {run.returncode}; the last words:\n{''.join(told)}")
        return rounds, 0, wrong
    # By this host's own speed: what it took until each had come to its first.
    return rounds, (time.monotonic() - begun) // (SLOW * (begun - started)), wrong


class Load(unittest.TestCase):
    def test_nobody_loses_a_register(self):
        with tempfile.NamedTemporaryFile(mode="r", errors="replace") as log:
            rounds, least, wrong = put_under_load(log.name)
            trouble = [line for line in log if lab.TROUBLE.search(line)]
        print(f"# {SECONDS} s: {rounds}", flush=True)
        self.assertFalse(wrong, "\n".join(wrong))
        self.assertEqual(trouble, [])
        # And nobody stood still for long while the others worked.
        self.assertEqual([party for party in PARTIES if rounds[party] < least], [], rounds)


if __name__ == "__main__":
    tap.main()
