# SPDX-License-Identifier: MIT
"""The first file system of the emulated machine: busybox, the agent, the kernel's modules."""

import stat

from . import elf
from .errors import LabError

# What the machine loads, with options. Dependencies come in by themselves.
# enable_apicv: the emulator refuses a posted-interrupt descriptor that is not page-aligned.
MODULES = {
    "ata_piix": "",
    "sd_mod": "",
    "tun": "",
    "kvm_intel": "enable_apicv=0 dump_invalid_vmcs=1",
}
DIRECTORIES = ("bin", "dev", "etc", "lab", "modules", "proc", "root", "run", "sbin", "sys", "tmp",
               "usr", "usr/bin", "usr/sbin", "var")
CONSOLE = (5, 1)


class Cpio:
    """A cpio archive in the kernel's own ("newc") format, in memory."""

    def __init__(self):
        self.pieces = []
        self.inode = 0

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        encoded = name.encode() + b"\0"
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        self.pieces += [head + encoded, bytes(-(len(head) + len(encoded)) % 4),
                        data, bytes(-len(data) % 4)]

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, data)

    def character_device(self, name, device):
        self._entry(name, stat.S_IFCHR | 0o600, device=device)

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return b"".join(self.pieces)


def _load_order(directories, wanted):
    """(name, data) of the modules `wanted` and their dependencies, each after what it needs.
    A module in a later one of `directories` replaces that of an earlier."""
    files = {}
    for directory in directories:
        for path in sorted(directory.glob("**/*.ko*")):
            files[path.name.split(".ko")[0].replace("-", "_")] = path
    order = {}

    def visit(name):
        if name in order or (name not in files and name not in wanted):
            return  # a dependency without a file is built into the kernel
        if name not in files:
            raise LabError(f"the kernel in {directories[0]} has no module {name}")
        data = elf.read_module(files[name])
        for dependency in elf.module_depends(data):
            visit(dependency.replace("-", "_"))
        order[name] = data

    for name in wanted:
        visit(name)
    return order


def build(busybox, agent, init, modules, kvm_options):
    """The archive, as bytes; `kvm_options` are added to those of kvm-intel."""
    cpio = Cpio()
    for name in DIRECTORIES:
        cpio.directory(name)
    cpio.character_device("dev/console", CONSOLE)
    cpio.file("bin/busybox", busybox.read_bytes(), 0o755)
    cpio.file("agent", agent.read_bytes(), 0o755)
    cpio.file("init", init.read_bytes(), 0o755)
    options = dict(MODULES, kvm_intel=f"{MODULES['kvm_intel']} {kvm_options}".strip())
    lines = []
    for name, data in _load_order(modules, options).items():
        cpio.file(f"modules/{name}.ko", data)
        lines.append(f"{name}.ko {options.get(name, '')}".strip() + "\n")
    cpio.file("modules/list", "".join(lines).encode())
    return cpio.finish()
