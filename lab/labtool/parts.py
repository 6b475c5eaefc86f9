# SPDX-License-Identifier: MIT
"""The parts the lab is made of, and where each comes from.

A set is what is fetched and cached together; a part is a file or directory in one. A set lives
in sets/NAME/VERSION, the link sets/NAME/current names the one in use, so that a run keeps
working while `lab/fetch --update` brings a newer one.
"""

import hashlib
import os
import re
import shutil
from dataclasses import dataclass

from . import cache
from .archive import Archive, require
from .errors import LabError

LIBRARIES = r"(lib[a-z0-9]|zlib1g)"
# Kernel series, with the release if it is in two: the suite, and how its builds for it are marked.
SERIES = {
    "7.3": ("trixie-backports", "deb13"),
    "6.18": ("trixie-backports", "deb13"),
    "6.17": ("trixie-backports", "deb13"),
    "6.12": ("bookworm-backports", "deb12"),
    "6.12-trixie": ("trixie", "deb13"),
}
# Kernels a machine can run: whose vmlinuz and modules, whether the folder of that series in
# kernel/ replaces some of the modules, and what options kvm-intel needs to virtualize CET.
KERNELS = {
    "7.3": ("7.3", False, ""),
    "7.3-fixed": ("7.3", True, ""),
    "6.18": ("6.18", False, ""),
    "6.17": ("6.17", False, ""),
    "6.12-stock": ("6.12", False, ""),
    "6.12": ("6.12", True, "nested=0"),
    "6.12-trixie": ("6.12-trixie", True, "nested=0"),
}


@dataclass(frozen=True)
class Set:
    """`packages` (or the newest match of `newest`), plus dependencies that match `also`.
    With `beside`, instead of dependencies those of these packages that there are, {0} being the
    version in the name."""
    suite: str
    packages: tuple = ()
    newest: str = ""
    also: str = r"$^"
    beside: tuple = ()


def number(series):
    """The part of the name of `series` that is the kernel's version."""
    return series.partition("-")[0]


def _newest_kernel(series, what):
    suite, mark = SERIES[series]
    return suite, rf"linux-{what}-({re.escape(number(series))}\.\d+\+{mark}(?:\.\d+)?)-cloud-amd64"


def _kernel(series):
    # One package or three, as the series goes. Not what they depend on: the archive keeps older
    # series without it, and a kernel here needs nothing of it.
    suite, newest = _newest_kernel(series, "image")
    return Set(suite, newest=newest,
               beside=("linux-binary-{0}-cloud-amd64", "linux-modules-{0}-cloud-amd64"))


def _headers(series):
    # Not what they depend on: a compiler that may be from another release than the suite.
    suite, newest = _newest_kernel(series, "headers")
    return Set(suite, newest=newest, beside=("linux-headers-{0}-common", "linux-kbuild-{0}"))


def _source(series):
    return Set(SERIES[series][0], (f"linux-source-{number(series)}",))


SETS = {
    "emulator": Set("trixie", ("bochs", "bochs-term", "bochsbios", "vgabios"), also=LIBRARIES),
    "boot": Set("trixie", ("isolinux", "syslinux-common", "xorriso"), also=LIBRARIES),
    "busybox": Set("trixie", ("busybox-static",)),
    **{f"kernel-{series}": _kernel(series) for series in SERIES},
    **{f"headers-{series}": _headers(series) for series in SERIES},
    **{f"source-{series}": _source(series) for series in SERIES},
    "gcc-14": Set("trixie", ("gcc-14", "binutils"), also=r"(gcc|cpp|binutils)-|zlib|" + LIBRARIES),
    "qemu": Set("trixie-backports", ("qemu-system-x86", "qemu-system-data", "seabios"),
                also=LIBRARIES),
    "qmp-shell": Set("trixie-backports", ("python3-qemu-qmp",)),
}

# What a plain `lab/fetch` brings: all that `lab/run` without options uses.
DEFAULT_SETS = ("emulator", "boot", "busybox", "kernel-7.3")

# Runs a program of a set with the set's own libraries, wherever the set was put. No program is
# started on the way, so that little is added to what a benchmark measures.
QEMU_WRAPPER = """\
#!/bin/sh
root=${0%/*}/..
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \\
\t"$root/usr/bin/${0##*/}" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
"""
# What no part of the lab ever reads.
USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var")
QEMU_USELESS = ("usr/bin/qemu-system-i386", "usr/lib/x86_64-linux-gnu/gconv")


def _remove(directory, names):
    for name in names:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _finish_qemu(directory):
    """Add bin/ with wrappers that find libraries and firmware inside the part."""
    _remove(directory, QEMU_USELESS)
    binaries = directory / "bin"
    binaries.mkdir()
    for program in (directory / "usr" / "bin").glob("qemu-system-*"):
        wrapper = binaries / program.name
        wrapper.write_text(QEMU_WRAPPER, encoding="utf-8")
        wrapper.chmod(0o755)


def _finish_headers(directory):
    """Let the headers find each other where they are; they expect to be in /usr/src."""
    for makefile in directory.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text(encoding="utf-8")
        here = "$(dir $(lastword $(MAKEFILE_LIST)))"
        text = re.sub(r"(?m)^KBUILD_OUTPUT=/usr/src/.*", f"KBUILD_OUTPUT := $(realpath {here})", text)
        text = text.replace("include /usr/src/", f"include {here}../")
        makefile.write_text(text, encoding="utf-8")


GCC_WRAPPER = """\
#!/bin/sh
# Runs {program} with this part's libraries, wherever the part was put.
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$here")
exec "$root/usr/lib64/ld-linux-x86-64.so.2" {name} \\
    --library-path "$root/usr/lib/x86_64-linux-gnu" {words}"$@"
"""


def _finish_gcc(directory):
    """Add bin/gcc, beside it the programs that it runs, as it looks for them, and bin/run for
    other programs of that release."""
    (directory / "bin").mkdir()
    for program, words in (
            ("gcc", '"$root/usr/bin/x86_64-linux-gnu-gcc-14" -B "$here/" '),
            ("cc1", '"$root/usr/libexec/gcc/x86_64-linux-gnu/14/cc1" '),
            ("as", '"$root/usr/bin/x86_64-linux-gnu-as" '),
            ("run", "")):
        wrapper = directory / "bin" / program
        # A program that `run` is given goes by its own name.
        name = '--argv0 "$0"' if words else ""
        wrapper.write_text(GCC_WRAPPER.format(program=program, name=name, words=words),
                           encoding="utf-8")
        wrapper.chmod(0o755)


FINISH = {"qemu": _finish_qemu, "gcc-14": _finish_gcc,
          **{f"headers-{series}": _finish_headers for series in SERIES}}


def _fill(name, archive):
    """Fetch the set `name` and make it the current one; return its directory."""
    rule = SETS[name]
    packages = rule.packages or (archive.newest(rule.newest),)
    if rule.beside:
        version = re.fullmatch(rule.newest, packages[0])[1]
        packages += archive.known(name.format(version) for name in rule.beside)
        chosen = archive.versions(packages, rule.suite)
    else:
        chosen = archive.resolve(packages, rule.suite, rule.also)
    version = hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:16]

    def fill(new):
        archive.say(f"fetching {name} ({len(chosen)} packages)")
        archive.unpack(chosen, new)
        _remove(new, USELESS)
        FINISH.get(name, lambda directory: None)(new)
        (new / "packages").write_text("\n".join(chosen) + "\n", encoding="utf-8")

    parent = cache.root() / "sets" / name
    directory = cache.entry(parent / version, fill)
    cache.point(parent / "current", version)
    cache.keep_newest(parent, 2)  # the one in use and the one before it
    return directory


def fetch(names, say, update=False):
    """Bring the sets `names` into the cache; with `update`, look for newer ones."""
    archive = Archive(say)
    missing = [name for name in names if update or not current(name)]
    if not missing:
        return
    require(("apt-get", "apt"), ("dpkg", "dpkg"))
    with cache.locked("fetch"):
        archive.update(force=update)
        for name in missing:
            if update or not current(name):
                _fill(name, archive)


def current(name):
    """The directory of the set `name`, or None if it is not in the cache."""
    link = cache.root() / "sets" / name / "current"
    return link.resolve() if link.is_dir() else None


def need(name, say):
    """The directory of the set `name`, fetched if it is not in the cache."""
    fetch([name], say)
    return current(name)


def _only(directory, pattern, what):
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise LabError(f"expected one {what} in {directory}, found {len(found)}; "
                       "remove that directory to fetch it again")
    return found[0]


def vmlinuz(series, say):
    return _only(need(f"kernel-{series}", say), "**/vmlinuz*", "kernel")


def modules(series, say):
    directory = need(f"kernel-{series}", say)
    found = [path for path in directory.glob("**/lib/modules/*") if (path / "kernel").is_dir()]
    if len(found) != 1:
        raise LabError(f"expected one module directory in {directory}, found {len(found)}")
    return found[0]


def headers(series, say):
    return _only(need(f"headers-{series}", say), "usr/src/linux-headers-*-cloud-amd64",
                 "directory of headers")


def source(series, say):
    return _only(need(f"source-{series}", say), "usr/src/linux-source-*.tar.xz", "source")


def busybox(say):
    return _only(need("busybox", say), "**/bin/busybox", "busybox")


PARTS = {
    "busybox": ("busybox", busybox),
    "emulator": ("emulator", lambda say: need("emulator", say)),
    "boot": ("boot", lambda say: need("boot", say)),
    "qemu": ("qemu", lambda say: need("qemu", say)),
    "qmp-shell": ("qmp-shell", lambda say: need("qmp-shell", say)),
    "gcc-14": ("gcc-14", lambda say: need("gcc-14", say) / "bin" / "gcc"),
}
for _series in SERIES:
    PARTS[f"vmlinuz-{_series}"] = (f"kernel-{_series}", lambda say, s=_series: vmlinuz(s, say))
    PARTS[f"modules-{_series}"] = (f"kernel-{_series}", lambda say, s=_series: modules(s, say))
    PARTS[f"headers-{_series}"] = (f"headers-{_series}", lambda say, s=_series: headers(s, say))
    PARTS[f"source-{_series}"] = (f"source-{_series}", lambda say, s=_series: source(s, say))


def path_of(name, say):
    """The path of the part `name`, as text."""
    if name not in PARTS:
        raise LabError(f"there is no part '{name}'; parts are: {' '.join(sorted(PARTS))}")
    return os.fspath(PARTS[name][1](say))
