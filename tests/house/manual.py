#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does the manual tell every command and option of the program? manual.py UMBRA PAGE

A command has a subsection "umbra NAME"; the options that `umbra NAME --help` lists are items
in it, and every item there is an option that exists.
"""

import re
import subprocess
import sys

from repo import report


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def commands_of(umbra):
    listing = output(umbra, "--help").split("Commands:\n", 1)[1].split("\n\n", 1)[0]
    return [line.split()[0] for line in listing.splitlines()]


def options_of(umbra, command):
    """What --help lists: the options at the start of a line."""
    lines = re.findall(r"^  (?:-\w, )?(--[a-z][a-z0-9-]*)", output(umbra, command, "--help"), re.M)
    return set(lines) - {"--help"}


def subsections(page):
    """{command: options at the heads of items}, read from the mdoc source."""
    found = {}
    for part in re.split(r"^\.Ss ", page, flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        body = re.split(r"^\.Sh ", body, flags=re.M)[0]
        heads = re.findall(r"^\.It (.*)", body, re.M)
        options = [option for head in heads for option in re.findall(r"\bFl (-[a-z][a-z0-9-]*)", head)]
        found[title.removeprefix("umbra ")] = {"-" + option for option in options}
    return found


def lint(page_path):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", page_path], capture_output=True,
                          text=True, check=False)
    # The page's date is its own; no system's base manual holds it.
    return [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]


def main():
    umbra, page_path = sys.argv[1:]
    with open(page_path, encoding="utf-8") as handle:
        told = subsections(handle.read())
    results = {"mandoc has nothing to say": lint(page_path)}
    for command in commands_of(umbra):
        there = options_of(umbra, command)
        faults = [f"{option} is not in the manual" for option in sorted(there - told.get(command, set()))]
        faults += [f"{option} is in the manual only" for option in sorted(told.get(command, set()) - there)]
        if command not in told:
            faults.append(f"there is no subsection \"umbra {command}\"")
        results[f"umbra {command}"] = faults
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
