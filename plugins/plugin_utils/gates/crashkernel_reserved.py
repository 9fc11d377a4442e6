# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reservation is as it was asked for. Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("kernel", "kdump")


def judge(facts: Facts, want: str) -> Gate:
    """What *want* asks for (as after ``crashkernel=``, or ``auto``) is reserved. Empty: nothing was asked."""
    name = "crashkernel_reserved"
    if not want:
        return gate(name, True, "no reservation was asked for")
    kernel, kdump = facts.get("fleetops_kernel"), facts.get("fleetops_kdump")
    if not kernel or not kdump:
        return gate(name, None, "cannot tell: fleetops_kernel or fleetops_kdump was not read")
    reserved = kdump["reservation"]["bytes"]
    if want == "auto":
        estimate = crashkernel.estimate(kernel, kdump)
        return gate(name, estimate["fits"], estimate["reason"])
    asked = crashkernel.reserved_for(want, kernel["memory_bytes"])
    if reserved is None:
        return unread(name, facts, "fleetops_kdump", "reservation.bytes")
    if asked is None:
        return gate(name, None, f"cannot tell how much crashkernel={want} is to reserve")
    evidence: list[Evidence] = [{"source": "/sys/kernel/kexec_crash_size", "text": str(reserved)}]
    reason = f"crashkernel={want} asks for {asked} bytes, {reserved} are reserved"
    return gate(name, reserved >= asked, reason, evidence)
