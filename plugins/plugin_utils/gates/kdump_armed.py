# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A capture kernel is loaded. Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate

READS = ("kdump",)
# A reload (after a rebuilt initrd, or memory that came late) unloads the capture kernel for a moment.
STABLE_FOR = 10


def judge(facts: Facts) -> Gate:
    """Memory is reserved and a capture image is loaded into it."""
    kdump = facts.get("fleetops_kdump")
    if not kdump:
        return gate("kdump_armed", None, "cannot tell: fleetops_kdump was not read")
    armed, reason = rules.armed(kdump)
    return gate("kdump_armed", armed, reason)
