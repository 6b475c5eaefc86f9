# SPDX-License-Identifier: MIT
"""The emulated CET machine; docs/lab.md tells how the pieces fit."""
