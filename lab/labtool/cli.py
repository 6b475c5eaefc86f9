# SPDX-License-Identifier: MIT
"""The three commands as a person meets them."""

import argparse
import sys

from . import parts
from .errors import EXIT_LAB, EXIT_USAGE, LabError


def _say_as(program):
    def say(text):
        print(f"{program}: {text}", file=sys.stderr, flush=True)
    return say


def _guarded(program, work):
    """Run `work()`; turn its failure into one line, details below, and an exit code."""
    try:
        return work()
    except LabError as error:
        print(f"{program}: {error}", file=sys.stderr)
        if error.detail:
            print(error.detail, file=sys.stderr)
        return EXIT_LAB
    except OSError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_LAB


def fetch_main(arguments):
    parser = argparse.ArgumentParser(
        prog="lab/fetch", description="Fill the lab's cache from the configured Debian archive.",
        epilog="Parts: " + " ".join(sorted(parts.PARTS)))
    parser.add_argument("part", nargs="*", metavar="PART",
                        help="what to fetch (default: all that a plain lab/run uses)")
    parser.add_argument("--update", action="store_true", help="look for newer versions")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.part if name not in parts.PARTS]
    if unknown:
        parser.error(f"no part named {unknown[0]}; parts: {' '.join(sorted(parts.PARTS))}")
    names = [parts.PARTS[name][0] for name in options.part] or list(parts.DEFAULT_SETS)

    def work():
        parts.fetch(list(dict.fromkeys(names)), _say_as("lab/fetch"), options.update)
        return 0
    return _guarded("lab/fetch", work)


def part_main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"usage: lab/part NAME\nparts: {' '.join(sorted(parts.PARTS))}", file=sys.stderr)
        return EXIT_USAGE

    def work():
        print(parts.path_of(arguments[0], _say_as("lab/part")))
        return 0
    return _guarded("lab/part", work)


def run_main(arguments):
    from . import run  # the other two start faster without it
    return _guarded("lab/run", lambda: run.main(arguments, _say_as("lab/run")))
