# SPDX-License-Identifier: MIT
"""Bochs: its configuration, its process, and the button that saves its state."""

import os
import re
import select
import signal
import socket
import struct
import subprocess

from .errors import LabError, MachineDied

# All paths are relative to the run's own directory, which links to the rest: the same text
# serves every run, and no path has to survive the parser.
CONFIG = """\
plugin_ctrl: biosdev=1, unmapped=1, serial=1, extfpuirq=1, speaker=0, gameport=0, parallel=0
config_interface: textconfig
display_library: rfb, options="timeout=0, no_gui_console"
memory: guest={memory}, host={memory}, block_size=1024
cpu: model=arrow_lake, count={cpus}, ips=100000000, reset_on_triple_fault=0, exclude_features="smap,lass,waitpkg"
romimage: file=emulator/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=emulator/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata0-master: type=disk, path=orders.disk, mode=flat
ata0-slave: type=disk, path=report.disk, mode=flat
ata1-master: type=cdrom, path=boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=console.log
clock: sync=none
log: emulator.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
port_e9_hack: enabled={go}
"""
GREET_SECONDS = 120  # a host that has nothing else to do takes none
LIBRARIES = "emulator/usr/lib/x86_64-linux-gnu"

# The display's tool bar: its second button from the right saves. Text mode, 32 pixels a button.
SAVE_BUTTON = (720 - 64 + 16, 16)


def config(cpus, memory, go):
    """The configuration's text; `go` lets the agent in the machine begin."""
    return CONFIG.format(cpus=cpus, memory=memory, go=int(go))


class Emulator:
    """A Bochs process in the directory `directory`; end it with stop()."""

    def __init__(self, directory, restore=None, memory=None, display=None, stdin=subprocess.DEVNULL):
        (directory / "continue").write_text("c\n", encoding="ascii")
        source = ["-r", restore] if restore else ["-f", "config"]
        environment = {
            "PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(directory),
            "BXSHARE": "emulator/usr/share/bochs",
            "LTDL_LIBRARY_PATH": f"{LIBRARIES}/bochs/plugins",
        }
        if memory:
            environment["UMBRA_LAB_MEMORY"] = memory
        if display:
            environment["UMBRA_LAB_DISPLAY"] = str(display.fileno())
        self.directory = directory
        with open(directory / "emulator.out", "wb") as output:
            # A group of its own: the terminal's Ctrl-C is for lab/run, which ends the machine.
            self.process = subprocess.Popen(
                ["emulator/usr/lib64/ld-linux-x86-64.so.2", "--library-path", LIBRARIES,
                 "--preload", "./shim.so", "emulator/usr/bin/bochs-bin",
                 "-q", *source, "-rc", "continue"],
                cwd=directory, env=environment, stdin=stdin, stdout=output, stderr=output,
                process_group=0, pass_fds=[display.fileno()] if display else [])
        self.ended = os.pidfd_open(self.process.pid)

    def wait(self, seconds):
        """Wait at most `seconds`; True once the emulator has ended."""
        poll = select.poll()
        poll.register(self.ended, select.POLLIN)
        poll.poll(max(0, seconds) * 1000)
        return self.process.poll() is not None

    def stop(self):
        """End the emulator, whatever it is doing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.ended is not None:
            os.close(self.ended)
            self.ended = None

    def last_words(self):
        """The console's end and what the emulator complained of, for a person."""
        return last_words(self.directory)


def _tail(path, count, keep=lambda line: True):
    try:
        text = path.read_bytes().decode("utf-8", "replace").replace("\r", "")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip() and keep(line)][-count:]


def last_words(directory):
    console = _tail(directory / "console.log", 20)
    trouble = _tail(directory / "emulator.log", 4, re.compile(r"^\d+p\[").match)
    trouble += _tail(directory / "emulator.out", 4, re.compile(">>PANIC<<").search)
    parts = []
    if console:
        parts += ["--- the end of the machine's console:", *console]
    if trouble:
        parts += ["--- the emulator's own words:", *trouble]
    return "\n".join(parts)


class Display:
    """The one client of the emulator's display; all it can do is press a button."""

    def __init__(self):
        self.near, self.far = socket.socketpair()
        self.near.settimeout(GREET_SECONDS)

    def close(self):
        self.near.close()
        self.far.close()

    def _receive(self, count):
        data = b""
        while len(data) < count:
            piece = self.near.recv(count - len(data))
            if not piece:
                raise MachineDied("the emulator closed its display")
            data += piece
        return data

    def greet(self):
        """The start of the RFB protocol: version, no password, shared."""
        try:
            self._receive(12)
            self.near.sendall(b"RFB 003.003\n")
            if self._receive(4) != struct.pack(">I", 1):
                raise LabError("the emulator's display wants a password")
            self.near.sendall(b"\x01")
            name_length, = struct.unpack(">20xI", self._receive(24))
            self._receive(name_length)
        except OSError as error:
            raise LabError(f"the emulator's display does not answer: {error}") from error

    def press(self, position):
        for button in (1, 0):
            self.near.sendall(struct.pack(">BBHH", 5, button, *position))

    def drain(self):
        """Throw away what it draws, lest the emulator wait for us."""
        while select.select([self.near], [], [], 0)[0]:
            if not self.near.recv(1 << 16):
                return
