# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""This kernel is installed, and can boot. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("kernel",)


def judge(facts: Facts, want: str) -> Gate:
    """The release *want* is installed, can boot, and has the modules in use; whatever boots next."""
    return can_boot("kernel_can_boot", facts, want, f"has {want}", ())


def can_boot(name: str, facts: Facts, want: str, so_far: str, evidence: Sequence[Evidence]) -> Gate:
    kernel = facts.get("fleetops_kernel") or {}
    if kernel.get("installed") is None:
        return unread(name, facts, "fleetops_kernel", "installed")
    found = readings.installed(kernel, want)
    if found is None:
        return gate(
            name,
            None,
            f"{so_far}, but cannot tell whether it can boot: it is not among the installed kernels",
        )
    if found["bootable"] is None:
        why = kernel["unknown"].get(f"installed.{want}.bootable") or "no reason given"
        return gate(name, None, f"{so_far}, but cannot tell whether it can boot ({why})", evidence)
    if not found["bootable"]:
        missing = ", ".join(found["missing"]) or "the reader does not say what"
        return gate(name, False, f"{so_far}, but it cannot boot; missing: {missing}", evidence)
    # What runs has what is in use.
    if want != kernel.get("release") and found["lacks"] != []:
        if found["lacks"] is None:
            why = kernel["unknown"].get(f"installed.{want}.lacks") or "no reason given"
            words = f"{so_far}, but cannot tell whether it has the modules in use ({why})"
            return gate(name, None, words, evidence)
        lacks = ", ".join(found["lacks"])
        return gate(name, False, f"{so_far}, but it lacks modules in use: {lacks}", evidence)
    return gate(name, True, so_far, evidence)
