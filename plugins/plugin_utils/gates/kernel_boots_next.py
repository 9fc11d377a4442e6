# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot loader takes this kernel next. Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.kernel_can_boot import can_boot

READS = ("kernel",)


def judge(facts: Facts, want: str) -> Gate:
    """The boot loader takes the release *want* at the next boot, which can boot, and has the modules in use."""
    name = "kernel_boots_next"
    kernel = facts.get("fleetops_kernel") or {}
    entry = kernel.get("next_boot")
    if entry is None:
        return unread(name, facts, "fleetops_kernel", "next_boot")
    evidence: list[Evidence] = [{"source": entry["entry"], "text": entry["because"]}]
    if entry["release"] != want:
        reason = f"boots {entry['release']} next, not {want}: {entry['because']}"
        return gate(name, False, reason, evidence)
    return can_boot(name, facts, want, f"boots {want} next", evidence)
