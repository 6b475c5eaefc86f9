# SPDX-License-Identifier: MIT
"""A booted machine: made once for each kernel and set of options, saved, then only restored."""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import cache, channel, emulator, initramfs, parts, payload
from .archive import require
from .channel import Frame
from .errors import LabError, MachineDied

DISK_STATES = ("hard_drive.0.drive0.image", "hard_drive.0.drive1.image")
KEPT = ("state", "boot.iso", "console.log")
HERE = Path(__file__).resolve().parent.parent
BOOT_SECONDS = 400  # a quiet host takes half a minute
SAVE_SECONDS = 120
SAVED_MACHINES = 8  # 200 MB each; the ones unused longest go first

# nopku: the emulator's XRSTOR, unrepaired, misplaces CET_U while PKRU is enabled.
# reboot=t, panic=-1: a reset ends the emulator at once instead of booting again.
COMMAND_LINE = ("console=ttyS0,115200 panic=-1 reboot=t nokaslr nopku cryptomgr.notests "
                "mitigations=off tsc=reliable no_timer_check")
ISOLINUX = """\
default lab
prompt 0
timeout 0
label lab
  kernel /vmlinuz
  initrd /initrd
  append {command_line}
"""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What distinguishes one booted machine from another."""
    kernel: str = "7.3"
    cpus: int = 1
    memory: int = 2048
    kvm_intel: str = ""
    cmdline: str = ""


def _compile(source, flags):
    """The program made of `source`, from the cache if that was compiled before."""
    text = source.read_bytes()
    key = hashlib.sha256(text + repr(flags).encode()).hexdigest()[:16]

    def fill(new):
        require(("cc", "gcc"))
        done = subprocess.run(["cc", "-O2", *flags, "-o", str(new / source.stem), str(source)],
                              text=True, check=False, capture_output=True)
        if done.returncode != 0:
            raise LabError(f"cannot compile {source.name}; libc6-dev has what it needs", done.stderr)

    return cache.entry(cache.root() / "programs" / f"{source.stem}-{key}", fill) / source.stem


def _build_modules(series, say):
    """The directory of the modules that the project's kernel/ has for `series`."""
    program = HERE.parent / "kernel" / parts.number(series) / "build"
    if not program.exists():
        raise LabError(f"there is no {program}")
    while True:
        # It says on stderr what it does, and the result on stdout.
        done = subprocess.run([program, "--as", series], text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise LabError(f"cannot build the modules for Linux {series}")
        if cache.use(Path(done.stdout.strip())):
            break
    say(f"using the modules of kernel/{series}")
    return Path(done.stdout.strip())


class Machine:
    """The parts of one Spec, and its saved state."""

    def __init__(self, spec, say):
        self.spec = spec
        self.say = say
        series, patched, self.kvm_intel = parts.KERNELS[spec.kernel]
        self.kvm_intel = f"{self.kvm_intel} {spec.kvm_intel}".strip()
        self.sets = ("emulator", "busybox", "boot", f"kernel-{series}")
        parts.fetch(self.sets, say)
        self.emulator = parts.current("emulator")
        self.vmlinuz = parts.vmlinuz(series, say)
        self.modules = [parts.modules(series, say)]
        if patched:
            self.modules.append(_build_modules(series, say))
        self.shim = _compile(HERE / "host" / "emulator_shim.c", ["-shared", "-fPIC"])
        self.agent = _compile(HERE / "guest" / "agent.c", ["-static"])

    def _command_line(self):
        return f"{COMMAND_LINE} {self.spec.cmdline}".strip()

    def key(self):
        """The name of the saved machine: it changes with everything that goes into it."""
        digest = hashlib.sha256()
        # Sets and programs lie in directories that are named after their content.
        contents = [parts.current(name).name for name in self.sets]
        contents += [directory.name for directory in self.modules]
        for item in (dataclasses.astuple(self.spec), self._command_line(), ISOLINUX,
                     emulator.CONFIG, initramfs.MODULES, self.kvm_intel, contents,
                     self.agent.parent.name, channel.DISK_SIZE, payload.DISK_SIZE):
            digest.update(repr(item).encode())
        for name in ("guest/init", "labtool/initramfs.py"):
            digest.update((HERE / name).read_bytes())
        return f"{self.spec.kernel}-{digest.hexdigest()[:16]}"

    def prepare(self, directory):
        """Link into a run's directory what the emulator's configuration names."""
        (directory / "emulator").symlink_to(self.emulator)
        (directory / "shim.so").symlink_to(self.shim)
        channel.create_disk(directory / "report.disk")

    def write_boot_medium(self, path):
        """Make the CD the machine boots from."""
        boot = parts.need("boot", self.say)
        initrd = initramfs.build(parts.busybox(self.say), self.agent, HERE / "guest" / "init",
                                 self.modules, self.kvm_intel)
        with cache.scratch(path.parent) as tree:
            shutil.copy(boot / "usr/lib/ISOLINUX/isolinux.bin", tree)
            shutil.copy(boot / "usr/lib/syslinux/modules/bios/ldlinux.c32", tree)
            shutil.copy(self.vmlinuz, tree / "vmlinuz")
            (tree / "initrd").write_bytes(initrd)
            (tree / "isolinux.cfg").write_text(
                ISOLINUX.format(command_line=self._command_line()), encoding="utf-8")
            done = subprocess.run(
                [boot / "usr/lib64/ld-linux-x86-64.so.2",
                 "--library-path", boot / "usr/lib/x86_64-linux-gnu", boot / "usr/bin/xorriso",
                 "-as", "mkisofs", "-quiet", "-o", path, "-b", "isolinux.bin", "-c", "boot.cat",
                 "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree],
                text=True, check=False, capture_output=True)
        if done.returncode != 0:
            raise LabError("cannot make the boot medium", done.stderr[-2000:])

    def saved(self):
        """The directory of the saved machine, booted and saved if there is none."""
        path = cache.root() / "machines" / self.key()
        while not cache.use(path):
            self.say(f"booting Linux {self.spec.kernel} once to save the booted machine "
                     "(about a minute)")
            cache.entry(path, self._boot_and_save)
        cache.keep_newest(path.parent, SAVED_MACHINES)
        return path

    def _boot_and_save(self, directory):
        started = time.monotonic()
        self.prepare(directory)
        self.write_boot_medium(directory / "boot.iso")
        channel.create_disk(directory / "orders.disk", payload.DISK_SIZE)
        (directory / "config").write_text(
            emulator.config(self.spec.cpus, self.spec.memory, go=False), encoding="ascii")
        (directory / "state").mkdir()
        booted = boot_and_save(directory)
        for path in directory.iterdir():
            if path.name not in KEPT:
                path.unlink()
        now = time.monotonic()
        self.say(f"booted in {booted - started:.0f} s, saved in {now - booted:.0f} s")


def boot_and_save(directory):
    """Boot the machine prepared in `directory` and save it to its state/; when it was up."""
    display = emulator.Display()
    read, write = os.pipe()
    # Its questions, answered ahead: where to, and no, it need not continue.
    os.write(write, b"state\nn\n")
    process = None
    try:
        process = emulator.Emulator(directory, display=display.far, stdin=read)
        await_ready(process, channel.Reader(directory / "report.disk"))
        booted = time.monotonic()
        # Disks would be saved whole, holes and all; but every run brings its own.
        for name in ("orders.disk", "report.disk"):
            os.truncate(directory / name, 0)
        display.greet()
        display.press(emulator.SAVE_BUTTON)
        while not process.wait(0.05):
            display.drain()
            if time.monotonic() - booted > SAVE_SECONDS:
                raise LabError("the emulator did not save the booted machine",
                               (directory / "emulator.out").read_text(errors="replace")[-2000:])
        if not (directory / "state" / "memory.ram").exists():
            raise LabError("the emulator ended without saving the machine", process.last_words())
        return booted
    finally:
        if process:
            process.stop()
        display.close()
        os.close(read)
        os.close(write)


def await_ready(process, reader):
    """Wait until the machine is up."""
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        ended = process.wait(0.05)
        for kind, _ in reader.frames():
            if kind == Frame.READY:
                return
        if ended:
            raise MachineDied("the machine did not boot", process.last_words())
        if time.monotonic() > deadline:
            raise LabError(f"the machine did not boot within {BOOT_SECONDS} s", process.last_words())
