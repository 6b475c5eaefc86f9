# SPDX-License-Identifier: MIT
"""What can go wrong, and the exit codes that say so."""

EXIT_USAGE = 2
EXIT_TIMEOUT = 124   # the command did not end in time
EXIT_LAB = 125       # the lab failed, or the machine died under the command
EXIT_CANNOT_RUN = 126  # the command is there and cannot be executed
EXIT_NOT_FOUND = 127   # there is no such command in the machine
EXIT_SIGNAL = 128      # + n: killed by signal n


class LabError(Exception):
    """The lab itself failed. `detail` is shown below the message, as it is."""

    def __init__(self, message, detail=""):
        super().__init__(message)
        self.detail = detail


class MachineDied(LabError):
    """The machine ended before the command did."""


class CommandTimeout(LabError):
    """The command did not end within the time it was given."""
