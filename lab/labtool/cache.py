# SPDX-License-Identifier: MIT
"""The cache outside the tree: entries are complete or not there.

An entry is a directory. It is filled under a temporary name and renamed when it is
whole, so a reader needs no lock; fillers of one entry wait for each other.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
import time

STALE_SECONDS = 24 * 3600
IN_USE_SECONDS = 3600
TURN_SECONDS = 0.2


def root():
    """The cache directory, created if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = pathlib.Path(base) / "umbra" / "lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name):
    """Hold the lock `name`, for as long as the cache is being changed there."""
    directory = root() / "locks"
    directory.mkdir(exist_ok=True)
    with open(directory / name.replace("/", "-"), "w", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def turn(say):
    """
    Hold one of as many places as there are processors; wait for one if all are taken.

    A machine keeps a processor busy: with more of them than processors all get slower
    together, until they run into their time limits.
    """
    directory = root() / "locks"
    directory.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(open(directory / f"place-{index}", "w", encoding="ascii"))
                  for index in range(len(os.sched_getaffinity(0)))]
        waiting = False
        while not any(_try_lock(place) for place in places):
            if not waiting:
                say("waiting for another lab/run to end")
                waiting = True
            time.sleep(TURN_SECONDS)  # there is no waiting for whichever place is free first
        yield


def _try_lock(handle):
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def scratch(parent):
    """A temporary directory beside the entries, gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_stale(parent):
    """Remove what a filler that was killed left behind long ago."""
    for path in parent.glob(".new-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def entry(path, fill):
    """Return the directory `path`, made by `fill(directory)` if it is not there."""
    if path.is_dir():
        return path
    with locked(str(path.relative_to(root()))):
        if not path.is_dir():
            _remove_stale(path.parent)
            with scratch(path.parent) as new:
                fill(new)
                new.chmod(0o755)
                # fill() owns `new` alone; from here on the entry is whole.
                new.rename(path)
                new.mkdir()
    return path


def point(link, target):
    """Make the symbolic link `link` name `target`, in one step."""
    with tempfile.TemporaryDirectory(dir=link.parent, prefix=".new-") as directory:
        new = pathlib.Path(directory) / "link"
        new.symlink_to(target)
        new.replace(link)


def use(path):
    """Note that the entry `path` is in use from now on; False if there is none."""
    with locked(f"{path.parent.name}-in-use"):
        if not path.is_dir():
            return False
        os.utime(path)
        return True


def keep_newest(parent, count):
    """Remove all but the `count` entries of `parent` that were used last; none used just now."""
    # Whoever is about to use one either has said so before, or finds it gone.
    with locked(f"{parent.name}-in-use"), scratch(parent) as doomed:
        entries = [path for path in parent.iterdir()
                   if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")]
        entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in entries[count:]:
            if time.time() - path.stat().st_mtime > IN_USE_SECONDS:
                path.rename(doomed / path.name)
