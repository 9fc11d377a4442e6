# SPDX-License-Identifier: GPL-3.0-or-later
"""A small lab of real Debian machines under QEMU."""

from __future__ import annotations

from .client import Lab
from .errors import LabError
from .node import Completed, Node

__all__ = ["Completed", "Lab", "LabError", "Node"]
