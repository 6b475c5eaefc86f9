# SPDX-License-Identifier: MIT
"""What the machine tells: frames that its agent appends to a disk, read while it writes.

A frame starts at a sector: u32 magic, sequence, type, length · the body · zeros · u32 sequence,
~magic at the end of its last sector. The emulator writes sectors in order, so a frame whose end
is there is there as a whole.
"""

import os
import struct
from enum import IntEnum

from .errors import LabError

SECTOR = 512
DISK_SIZE = 64 << 30  # sparse; the size is part of the saved machine
MAGIC = 0x4C424D55
MAXIMUM = 1 << 20
HEAD = struct.Struct("<IIII")
TAIL = struct.Struct("<II")


class Frame(IntEnum):
    READY = 1
    START = 2
    OUT = 3
    ERR = 4
    STATUS = 5
    FILE = 6
    DATA = 7
    KLOG = 8
    DONE = 9


def create_disk(path, size=DISK_SIZE):
    """Make an empty disk; the machine writes its frames to one of the default size."""
    with open(path, "wb") as disk:
        disk.truncate(size)


class Reader:
    """Yields frames as they come; `greeted` if the READY frame was read when it was saved."""

    def __init__(self, path, greeted=False):
        self.path = path
        self.at = SECTOR if greeted else 0
        self.sequence = 1 if greeted else 0
        self.odd = None  # a head that makes no sense, as it was last seen

    def frames(self):
        """All frames that are complete now, as (Frame, bytes)."""
        # Opened anew: the emulator puts a file of its own in this place when it restores.
        with open(self.path, "rb", buffering=0) as disk:
            while True:
                frame = self._next(disk.fileno())
                if not frame:
                    return
                yield frame

    def _next(self, descriptor):
        head = os.pread(descriptor, HEAD.size, self.at)
        if len(head) < HEAD.size:
            return None
        magic, sequence, kind, length = HEAD.unpack(head)
        if magic == 0:
            return None
        if magic != MAGIC or sequence != self.sequence or length > MAXIMUM:
            # It may have been read in the middle of being written: then it is another next time.
            if head != self.odd:
                self.odd = head
                return None
            raise LabError("what the machine sends makes no sense any more; "
                           "did the command write to /dev/sdb?")
        size = -(-(HEAD.size + length + TAIL.size) // SECTOR) * SECTOR
        data = os.pread(descriptor, size, self.at)
        if len(data) < size or TAIL.unpack(data[-TAIL.size:]) != (sequence, ~MAGIC & 0xFFFFFFFF):
            return None
        self.at += size
        self.sequence += 1
        return Frame(kind), data[HEAD.size:HEAD.size + length]
