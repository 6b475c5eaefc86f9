# SPDX-License-Identifier: MIT
"""Just enough of ELF: what a program needs beside itself, and what a kernel module depends on."""

import lzma
import os
import re
import struct
import subprocess

from .errors import LabError

PT_INTERP = 3


def interpreter(path):
    """The program loader that the ELF file `path` names; None if it is no dynamic program."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(64)
            if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
                return None
            offset, = struct.unpack_from("<Q", head, 32)
            size, count = struct.unpack_from("<HH", head, 54)
            if not count:  # an object file, such as a kernel module
                return None
            handle.seek(offset)
            table = handle.read(size * count)
            for at in range(0, len(table) - 55, size):
                kind, = struct.unpack_from("<I", table, at)
                start, = struct.unpack_from("<Q", table, at + 8)
                length, = struct.unpack_from("<Q", table, at + 32)
                if kind == PT_INTERP:
                    handle.seek(start)
                    return handle.read(length).rstrip(b"\0").decode()
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    return None


def needed(path):
    """The files a dynamic program needs, its loader included, at the paths it looks for them."""
    loader = interpreter(path)
    if not loader:
        return []
    if not os.path.exists(loader):
        raise LabError(f"{path} wants the program loader {loader}, which is not on this machine; "
                       "bring it with --add-tree together with its own libraries")
    # The loader only lists here: the program does not run.
    done = subprocess.run([loader, "--list", os.path.abspath(path)], text=True, check=False,
                          capture_output=True, stdin=subprocess.DEVNULL)
    missing = re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    if done.returncode != 0 or missing:
        what = f"library {missing[0]} not found" if missing else done.stderr.strip()
        raise LabError(f"cannot tell which libraries {path} needs: {what}")
    return [loader] + re.findall(r"=> (/\S.*?) \(0x", done.stdout)


def read_module(path):
    """The kernel module `path`, unpacked."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def module_depends(data):
    """The names of the modules that the unpacked module `data` depends on."""
    found = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name.decode() for name in found.group(1).split(b",") if name] if found else []
