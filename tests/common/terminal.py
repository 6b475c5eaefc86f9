# SPDX-License-Identifier: MIT
"""The user's end of a pseudo terminal."""

import os


def shown_until(master, text):
    """What has been shown up to and with `text`, at the end of what a program has written."""
    shown = b""
    while not shown.endswith(text):
        # Also what was written at once comes in pieces, when the kernel gets to it.
        shown += os.read(master, 65536)
    return shown


def rest_shown(master):
    """What else has been shown, when no program has the terminal any more."""
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:  # EIO
            return shown
