# SPDX-License-Identifier: MIT
"""Packages from the Debian archive that this machine's apt is configured for.

Nothing is installed. A private apt root (own lists, own empty dpkg status) reads the
suites the lab needs from the same mirror, with the same proxies and credentials, and
apt verifies signatures and hashes as always.
"""

import os
import pathlib
import re
import shutil
import subprocess

from . import cache
from .errors import LabError

SUITES = ("trixie", "trixie-backports", "bookworm-backports")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Hooks of the system's configuration are for the system's own lists.
CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Dir::Etc::sourceparts;
#clear Dir::Etc::preferencesparts;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "0";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}";
Dir::Cache::archives "{root}/archives";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "{root}/none";
Dir::Etc::preferences "{root}/none/preferences";
Dir::Etc::preferencesparts "{root}/none";
"""


def require(*programs):
    """Fail with advice if the host lacks one of `programs` (name, package)."""
    for name, package in programs:
        if not shutil.which(name):
            raise LabError(f"the lab needs '{name}' on this machine; install the package {package}")


def _run(*command, cwd=None):
    """Run apt or dpkg and return what it says on stdout."""
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-12:])
        raise LabError(f"'{command[0]}' failed with status {done.returncode}", tail)
    return done.stdout


def _os_codename():
    try:
        text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r'^VERSION_CODENAME="?([^"\n]*)', text, re.MULTILINE)
    return found.group(1) if found else ""


def main_archive():
    """The URI of the main Debian archive among the configured sources."""
    fields = ("REPO_URI", "RELEASE", "COMPONENT", "CREATED_BY")
    output = _run("apt-get", "indextargets", "--format", " ".join(f"$({name})" for name in fields))
    wanted = {_os_codename(), "stable", "oldstable", "bookworm", "trixie"} - {""}
    for line in output.splitlines():
        uri, release, component, created_by = (line.split() + [""] * 4)[:4]
        if created_by == "Packages" and component == "main" and release in wanted:
            return uri
    raise LabError("apt has no source for the main Debian archive; add one (component main) "
                   "below /etc/apt/sources.list.d, or run where the cache is filled already")


class Archive:
    """The private apt root; `update` fetches the package lists anew."""

    def __init__(self, say):
        self.root = cache.root() / "apt"
        self.say = say

    def _configure(self):
        for name in ("lists/partial", "archives/partial", "none"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        options = f"[arch=amd64 signed-by={KEYRING}] " if os.path.exists(KEYRING) else "[arch=amd64] "
        uri = main_archive()
        (self.root / "sources.list").write_text(
            "".join(f"deb {options}{uri} {suite} main\n" for suite in SUITES), encoding="utf-8")
        (self.root / "apt.conf").write_text(CONFIG.format(root=self.root), encoding="utf-8")

    def _apt(self, program, *arguments, cwd=None):
        return _run(program, "-qq", "-c", str(self.root / "apt.conf"), *arguments, cwd=cwd)

    def update(self, force=False):
        """Fetch the package lists if there are none, or if `force`."""
        stamp = self.root / "updated"
        if stamp.exists() and not force:
            return
        self._configure()
        self.say("fetching the package lists")
        self._apt("apt-get", "update", "-oAPT::Update::Error-Mode=any")
        stamp.touch()

    def newest(self, pattern):
        """The package whose name matches `pattern` and has the highest version in its name."""
        regex = re.compile(pattern)
        names = [name for name in self._apt("apt-cache", "pkgnames").split() if regex.fullmatch(name)]
        if not names:
            raise LabError(f"the archive has no package like {pattern}")
        return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def known(self, names):
        """Those of `names` that the archive has, as a tuple."""
        there = set(self._apt("apt-cache", "pkgnames").split())
        return tuple(name for name in names if name in there)

    def resolve(self, packages, suite, wanted):
        """name=version of `packages` and those they depend on whose name matches `wanted`."""
        plan = self._apt("apt-get", "--simulate", "--target-release", suite, "install", *packages)
        found = re.findall(r"^Inst (\S+) \(?(?:\[.*?\] \()?(\S+) ", plan, re.MULTILINE)
        chosen = {name: version for name, version in found
                  if name in packages or re.match(wanted, name)}
        return sorted(f"{name}={version}" for name, version in chosen.items())

    def versions(self, packages, suite):
        """name=version of `packages` themselves."""
        shown = self._apt("apt-cache", "--no-all-versions", f"-oAPT::Default-Release={suite}",
                          "show", *packages)
        found = re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", shown, re.MULTILINE)
        return sorted(f"{name}={version}" for name, version in found)

    def unpack(self, chosen, directory):
        """Download the packages `chosen` and unpack them below `directory`."""
        require(("dpkg", "dpkg"))
        with cache.scratch(self.root / "archives") as scratch:
            self._apt("apt-get", "download", *chosen, cwd=scratch)
            for deb in sorted(scratch.glob("*.deb")):
                _run("dpkg", "-x", str(deb), str(directory))
