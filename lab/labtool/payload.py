# SPDX-License-Identifier: MIT
"""What a run brings into the machine: its orders and its files, on one disk.

Layout, in sectors of 512 bytes: orders (struct Orders of guest/agent.c) · three lists of words
(arguments, environment, files to bring back), each a decimal count and that many words, all
ended by NUL · a tar archive that is unpacked over the root directory.
"""

import os
import struct
import tarfile
import time

from . import elf
from .errors import LabError

SECTOR = 512
DISK_SIZE = 4 << 30  # sparse; the size is part of the saved machine
LAB_DIRECTORY = "/lab"  # what comes without a path of its own; first in PATH


def _words(*lists):
    words = []
    for one in lists:
        words += [str(len(one)), *one]
    return b"".join(os.fsencode(word) + b"\0" for word in words)


class Payload:
    """Files by their path in the machine; the later one wins."""

    def __init__(self):
        self.files = {}

    def add(self, source, target=None):
        """Add a file and, if it is a dynamic program, the libraries it needs."""
        source = os.path.abspath(source)
        if not os.path.isfile(source):
            raise LabError(f"cannot add {source}: there is no such file")
        target = target or f"{LAB_DIRECTORY}/{os.path.basename(source)}"
        if target.endswith("/"):
            target += os.path.basename(source)
        self.files[target] = source
        for library in elf.needed(source):
            self.files.setdefault(library, os.path.realpath(library))

    def add_tree(self, source, target=None):
        """Add a directory as it is; links stay links."""
        source = os.path.abspath(source)
        if not os.path.isdir(source):
            raise LabError(f"cannot add {source}: there is no such directory")
        target = (target or f"{LAB_DIRECTORY}/{os.path.basename(source)}").rstrip("/")
        self.files[target] = source

    def add_build(self, directory):
        """Add the programs a build made: umbra, and all that is in its folder lab/."""
        candidates = [os.path.join(directory, "umbra")]
        folder = os.path.join(directory, "lab")
        if os.path.isdir(folder):
            candidates += [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
        for path in candidates:
            if os.path.isfile(path) and os.access(path, os.X_OK):
                self.add(path)

    def write(self, path, argv, environment, get):
        """Write the disk image `path`."""
        words = _words(argv, [f"{key}={value}" for key, value in environment.items()], get)
        archive_at = SECTOR + -(-len(words) // SECTOR) * SECTOR
        with open(path, "wb") as disk:
            disk.seek(SECTOR)
            disk.write(words)
            disk.seek(archive_at)
            with tarfile.open(fileobj=disk, mode="w", format=tarfile.GNU_FORMAT) as archive:
                for target, source in self.files.items():
                    # A file reached by a link is brought as the file; trees keep their links.
                    real = source if os.path.isdir(source) else os.path.realpath(source)
                    archive.add(real, target.lstrip("/"), filter=_as_root)
            size = disk.tell() - archive_at
            disk.seek(0)
            disk.write(struct.pack("<8sQQQQ32s", b"UMBRALAB", len(words), archive_at, size,
                                   int(time.time()), os.urandom(32)))
            if archive_at + size > DISK_SIZE:
                raise LabError(f"what the run brings along ({size >> 20} MiB) is too much")
            disk.truncate(DISK_SIZE)


def _as_root(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
