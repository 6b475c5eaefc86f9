# SPDX-License-Identifier: MIT
"""lab/run: one command in the emulated machine, from its options to its exit status."""

import argparse
import os
import re
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

from . import cache, channel, emulator, machine, parts
from .channel import Frame
from .errors import (EXIT_LAB, EXIT_SIGNAL, EXIT_TIMEOUT, CommandTimeout, LabError, MachineDied)
from .payload import DISK_SIZE, LAB_DIRECTORY, Payload

POLL_SECONDS = 0.01
START_SECONDS = 300  # to the start of the command, its files unpacked
MEMORY_MB = (256, 3072)
TROUBLE = re.compile(r"WARNING: |\bBUG: |\bOops\b|general protection|Kernel panic|Call Trace:")
CAUSE = re.compile(r"Kernel panic - [^\r\n]*|\bBUG: [^\r\n]*|\bOops: [^\r\n]*")


class Stopped(Exception):
    """A signal asked lab/run to end."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def _split_add(text):
    """HOSTFILE[:PATH]; PATH is absolute, so that a colon elsewhere is part of a name."""
    source, colon, target = text.rpartition(":/")
    return (source, "/" + target) if colon else (text, None)


def _split_get(text):
    source, colon, target = text.partition(":")
    if not colon or not source or not target:
        raise argparse.ArgumentTypeError(f"'{text}' is not PATH:HOSTFILE")
    return source, target


def _memory(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not MEMORY_MB[0] <= value <= MEMORY_MB[1]:
        raise argparse.ArgumentTypeError(f"{text} is not between {MEMORY_MB[0]} and {MEMORY_MB[1]}")
    return value


def _parser():
    parser = argparse.ArgumentParser(
        prog="lab/run", usage="lab/run [OPTION]... -- COMMAND...",
        description="Run COMMAND as root in an emulated machine whose KVM virtualizes CET, and "
                    "exit with its status. 124: it took too long; 125: the lab failed or the "
                    "machine died; 126, 127: it could not be run, was not found; 128+N: signal N.")
    option = parser.add_argument
    option("--kernel", choices=sorted(parts.KERNELS), default="7.3", help="the machine's Linux")
    option("--cpus", type=int, choices=range(1, 5), default=1, help="how many (default 1)")
    option("--memory", type=_memory, default=2048, metavar="MB", help="default 2048")
    option("--timeout", type=float, default=600, metavar="SECONDS",
           help="for the command itself (default 600)")
    option("--add", type=_split_add, action="append", default=[], metavar="HOSTFILE[:PATH]",
           help=f"bring a file (default: into {LAB_DIRECTORY}) and the libraries it needs")
    option("--add-tree", type=_split_add, action="append", default=[], metavar="DIR[:PATH]",
           help="bring a directory as it is")
    option("--get", type=_split_get, action="append", default=[], metavar="PATH:HOSTFILE",
           help="bring a file back when the command has ended")
    option("--env", action="append", default=[], metavar="NAME=VALUE", help="for the command")
    option("--kvm-intel", default="", metavar="OPTIONS", help="more options for the module")
    option("--cmdline", default="", metavar="ARGS", help="more arguments for the machine's kernel")
    option("--dmesg", metavar="HOSTFILE", help="bring the kernel's log back")
    option("--no-save", action="store_true", help="boot afresh; neither use nor make a saved machine")
    option("--quiet", action="store_true", help="no progress")
    option("--verbose", action="store_true", help="show the machine's console on stderr")
    option("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    return parser


def _parse(arguments):
    parser = _parser()
    if "--" not in arguments:
        if {"-h", "--help"} & set(arguments):
            parser.parse_args(["--help"])
        parser.error("a '--' and the command to run are missing")
    at = arguments.index("--")
    options = parser.parse_args(arguments[:at])
    options.command = arguments[at + 1:]
    if not options.command:
        parser.error("the command to run is missing")
    for text in (options.kvm_intel, options.cmdline):
        if "\n" in text:
            parser.error("module options and kernel arguments are one line")
    return options


class Console:
    """Follows the machine's console for --verbose."""

    def __init__(self, path, show):
        self.path, self.show, self.at = path, show, 0

    def follow(self):
        if not self.show or not self.path.exists():
            return
        with open(self.path, "rb") as log:
            log.seek(self.at)
            data = log.read()
        self.at += len(data)
        sys.stderr.buffer.write(data.replace(b"\r", b""))
        sys.stderr.flush()


class Report:
    """Acts on the machine's frames: output goes out, files go where they belong."""

    def __init__(self, get):
        self.get = get
        self.started = False
        self.done = False
        self.status = None
        self.kernel_log = b""
        self.failed = []   # of --get
        self.target = None

    def take(self, kind, body):
        """Act on one frame."""
        if kind == Frame.START:
            self.started = True
        elif kind == Frame.OUT:
            _write_all(1, body)
        elif kind == Frame.ERR:
            _write_all(2, body)
        elif kind == Frame.STATUS:
            self.status, = struct.unpack("<I", body)
        elif kind == Frame.FILE:
            self._open_target(*struct.unpack("<III", body))
        elif kind == Frame.DATA:
            if self.target:
                self.target.write(body)
        elif kind == Frame.KLOG:
            self.kernel_log += body
        elif kind == Frame.DONE:
            self._close_target()
            self.done = True

    def _open_target(self, index, mode, error):
        self._close_target()
        source, target = self.get[index]
        if error:
            self.failed.append(f"cannot bring back {source}: {os.strerror(error)}")
            return
        try:
            self.target = open(target, "wb")
            os.fchmod(self.target.fileno(), mode & 0o777)
        except OSError as problem:
            self.failed.append(f"cannot write {target}: {problem.strerror}")

    def _close_target(self):
        if self.target:
            self.target.close()
            self.target = None

    def exit_status(self):
        """What a shell would make of the command's wait status."""
        if os.WIFSIGNALED(self.status):
            return EXIT_SIGNAL + os.WTERMSIG(self.status)
        return os.WEXITSTATUS(self.status)


def _write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def _prepare(directory, options, built):
    """Fill the run's directory; return the emulator and the reader of what it tells."""
    built.prepare(directory)
    payload = Payload()
    payload.add_build(os.environ.get("UMBRA_BUILD") or str(machine.HERE.parent / "build"))
    for source, target in options.add:
        payload.add(source, target)
    for source, target in options.add_tree:
        payload.add_tree(source, target)
    environment = dict(word.partition("=")[::2] for word in options.env)
    orders = directory / "orders.disk"
    text = emulator.config(options.cpus, options.memory, go=True)
    if options.no_save:
        built.write_boot_medium(directory / "boot.iso")
        payload.write(orders, options.command, environment, [get[0] for get in options.get])
        (directory / "config").write_text(text, encoding="ascii")
        return emulator.Emulator(directory), channel.Reader(directory / "report.disk")

    saved = built.saved()
    state = directory / "state"
    state.mkdir()
    for path in (saved / "state").iterdir():
        if path.name not in machine.DISK_STATES:
            (state / path.name).symlink_to(path)
    (state / "config").unlink()
    (state / "config").write_text(text, encoding="ascii")
    (directory / "boot.iso").symlink_to(saved / "boot.iso")
    # Restoring copies each saved disk over the disk of the same size.
    payload.write(state / machine.DISK_STATES[0], options.command, environment,
                  [get[0] for get in options.get])
    channel.create_disk(orders, DISK_SIZE)
    channel.create_disk(state / machine.DISK_STATES[1])
    (state / "memory.ram").unlink()
    (state / "memory.ram").touch()
    memory = str(saved / "state" / "memory.ram")
    return (emulator.Emulator(directory, restore="state", memory=memory),
            channel.Reader(directory / "report.disk", greeted=True))


def _follow(process, reader, report, console, timeout):
    """Relay until the machine is done; raise if it is not going to be."""
    deadline = time.monotonic() + START_SECONDS
    while not report.done:
        # Asked before reading: what it wrote before it ended is then all there to be read.
        ended = process.wait(POLL_SECONDS)
        started = report.started
        for kind, body in reader.frames():
            report.take(kind, body)
        console.follow()
        if report.started and not started:
            deadline = time.monotonic() + timeout
        if report.done:
            return
        if ended:
            raise MachineDied(_epitaph(report, console.path), process.last_words())
        if time.monotonic() > deadline and report.status is None:
            if report.started:
                raise CommandTimeout(f"the command did not end within {timeout:g} s")
            raise LabError("the machine did not come to the command", process.last_words())


def _epitaph(report, console):
    """When the machine died, and what its kernel had to say to that."""
    log = console.read_bytes() if console.exists() else b""
    cause = CAUSE.search(log.decode("utf-8", "replace"))
    if report.status is not None:
        when = "after the command had ended"
    elif report.started:
        when = "before the command ended"
    else:
        when = "before the command began"
    return f"the machine {'died' if cause else 'was reset or powered off'} {when}" + (
        f": {cause[0].strip()}" if cause else "")


def _note_trouble(log, say):
    lines = [line for line in log.decode("utf-8", "replace").splitlines() if TROUBLE.search(line)]
    if lines:
        say(f"the machine's kernel complained ({len(lines)} lines; --dmesg FILE brings its log): "
            f"{lines[0].strip()}")


def _note_emulator(output, say):
    """What the emulator's shim could not do."""
    for line in output.read_text(errors="replace").splitlines():
        if line.startswith("lab: "):
            say(line.removeprefix("lab: "))


def _conclude(report, options, say):
    """Say what there is to say about a run that came to its end; its exit status."""
    if options.dmesg:
        Path(options.dmesg).write_bytes(report.kernel_log)
    _note_trouble(report.kernel_log, say)
    for problem in report.failed:
        say(problem)
    return report.exit_status() or (EXIT_LAB if report.failed else 0)


def _run(options, say, progress):
    built = machine.Machine(machine.Spec(options.kernel, options.cpus, options.memory,
                                         options.kvm_intel, options.cmdline), progress)
    report = Report(options.get)
    process = None
    with (cache.turn(progress),
          tempfile.TemporaryDirectory(prefix="umbra-lab-", ignore_cleanup_errors=True) as name):
        directory = Path(name)
        console = Console(directory / "console.log", options.verbose)
        try:
            process, reader = _prepare(directory, options, built)
            _follow(process, reader, report, console, options.timeout)
            return _conclude(report, options, say)
        except CommandTimeout as error:
            say(error)
            return EXIT_TIMEOUT
        finally:
            if process:
                process.stop()
                _note_emulator(directory / "emulator.out", say)
            if not report.done and options.dmesg and console.path.exists():
                shutil.copyfile(console.path, options.dmesg)


def _on_signal(number, _frame):
    raise Stopped(number)


def main(arguments, say):
    """Run the command line `arguments`; return the exit status."""
    options = _parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    progress = (lambda text: None) if options.quiet else say
    try:
        return _run(options, say, progress)
    except Stopped as stopped:
        return EXIT_SIGNAL + stopped.number
    except BrokenPipeError:
        return EXIT_SIGNAL + signal.SIGPIPE
