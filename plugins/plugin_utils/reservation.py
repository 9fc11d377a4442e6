# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The memory that a role is to reserve for the capture kernel on this node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.plugin_utils.target import part


def crashkernel_size(facts: Mapping[str, Any], size: str) -> str:
    """The value to stand after ``crashkernel=``: *size* once checked, or the safe size for ``auto``."""
    if size == "auto":
        return crashkernel.safe_size(part(facts, "fleetops_kernel"), part(facts, "fleetops_kdump"))
    return crashkernel.check(size)
