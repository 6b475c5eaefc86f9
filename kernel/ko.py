# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel module says of the kernel it is for, and whether that kernel agrees."""

import lzma
import struct
from pathlib import Path

# struct modversion_info: a CRC and the symbol's name, 64 bytes together.
VERSION = struct.Struct("<Q56s")


class ModuleError(Exception):
    """The module does not fit."""


def _sections(data):
    """{name: bytes} of the sections of the 64-bit ELF file `data`."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ModuleError("is no 64-bit ELF file")
    offset, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    heads = [struct.unpack_from("<IIQQQQ", data, offset + i * size) for i in range(count)]
    strings = heads[names][4]
    sections = {}
    for name, _, _, _, start, length in heads:
        at = strings + name
        sections[data[at:data.index(b"\0", at)].decode()] = data[start:start + length]
    return sections


class Module:
    """A module's file, .ko or .ko.xz."""

    def __init__(self, path):
        data = Path(path).read_bytes()
        self.path = path
        self.sections = _sections(lzma.decompress(data) if str(path).endswith(".xz") else data)

    def info(self, key):
        """The value of `key` in the module's .modinfo."""
        prefix = f"{key}=".encode()
        for entry in self.sections[".modinfo"].split(b"\0"):
            if entry.startswith(prefix):
                return entry[len(prefix):].decode()
        raise ModuleError(f"{self.path} has no {key}")

    def versions(self):
        """{symbol: CRC} of all that the module takes from the kernel and other modules; nothing
        where the kernel is built without CRCs."""
        return {name.rstrip(b"\0").decode(): crc
                for crc, name in VERSION.iter_unpack(self.sections.get("__versions", b""))}


def symvers(path):
    """{symbol: CRC} of a Module.symvers."""
    lines = (line.split("\t") for line in Path(path).read_text(encoding="ascii").splitlines())
    return {fields[1]: int(fields[0], 16) for fields in lines}


def check(module, genuine, kernel, own):
    """Raise unless `module` fits where `genuine`, the distribution's, does; the count of CRCs.

    `kernel` are the CRCs of that kernel and its other modules, `own` those of what was built
    together with the module. What stands in both is the module's own: that has changed.
    """
    if module.info("vermagic") != genuine.info("vermagic"):
        raise ModuleError(f"{module.path} is for '{module.info('vermagic')}', "
                          f"the kernel is '{genuine.info('vermagic')}'")
    expected = {**kernel, **own}
    versions = module.versions()
    if bool(versions) != bool(genuine.versions()):
        raise ModuleError(f"{module.path}: CRCs of symbols are in one of it and the kernel's own, "
                          "and not in the other")
    for symbol, crc in versions.items():
        if expected.get(symbol) != crc:
            raise ModuleError(f"{module.path}: the kernel's {symbol} is not the one it was built for")
    return len(versions)
