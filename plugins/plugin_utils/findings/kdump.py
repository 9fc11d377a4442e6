# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Would the capture kernel start, fit, and come back? Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Finding,
    KdumpFacts,
    KernelFacts,
    Remedy,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings, verdict
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    HIGH,
    LOW,
    Case,
    finding,
    not_read,
    remedy_of,
)

# Seconds until a failing capture kernel reboots, as the role crashkernel has it by default.
CAPTURE_PANIC = 10


def crashkernel_too_small(case: Case) -> list[Finding]:
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "crashkernel-too-small", "crashkernel"
    if kernel is None or kdump is None:
        return [not_read(*name, "kdump" if kdump is None else "kernel")]
    reserved = kdump["reservation"]["bytes"]
    if reserved == 0 or _nothing_to_fit(kdump):
        return []  # kdump-not-armed says it
    if kernel["container"]:
        return [finding(*name, "unknown", HIGH, readings.CONTAINER, readings.reserved(kdump))]
    estimate = crashkernel.estimate(kernel, kdump)
    evidence = readings.reserved(kdump) + readings.initrd(kdump)
    if estimate["fits"]:
        return [finding(*name, "ok", HIGH, estimate["reason"], evidence)]
    if reserved is None or kdump["capture"]["initrd_bytes"] is None:
        return [finding(*name, "unknown", HIGH, f"cannot tell: {estimate['reason']}", evidence)]
    remedy, cure = _size_remedy(case, kernel, kdump)
    if estimate["fits"] is False:
        return [finding(*name, "affected", HIGH, estimate["reason"] + cure, evidence, remedy)]
    # Nothing says that it fails: a doubt of little weight, with the size that would end it.
    return [finding(*name, "unknown", LOW, f"cannot tell: {estimate['reason']}{cure}", evidence, remedy)]


def kdump_not_armed(case: Case) -> list[Finding]:
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "kdump-not-armed", "kdump"
    if kernel is None or kdump is None:
        return [not_read(*name, "kdump" if kdump is None else "kernel")]
    evidence = readings.reserved(kdump) + readings.loaded(kdump)
    if kernel["container"]:
        return [finding(*name, "unknown", HIGH, readings.CONTAINER, evidence)]
    armed, reason = kdump_rules.armed(kdump)
    if kdump["capture"]["loaded"]:
        return [finding(*name, "ok", HIGH, "a capture kernel is loaded", evidence)]
    if kdump["implementation"] is None and "implementation" not in kdump["unknown"]:
        # The role makes no node a kdump node: a plan must not start what is bound to fail.
        reason = f"no kdump package is installed; {reason} (no cure from here: install kdump-tools first)"
        return [finding(*name, "affected", HIGH, reason, evidence)]
    if armed is None:
        return [finding(*name, "unknown", HIGH, f"cannot tell: {reason}", evidence)]
    if kdump["reservation"]["bytes"] == 0:
        remedy, cure = _size_remedy(case, kernel, kdump)
    else:
        remedy, cure = _crashkernel_remedy(case, kernel, kdump)
    return [finding(*name, "affected", HIGH, reason + cure, evidence, remedy)]


def capture_may_hang(case: Case) -> list[Finding]:
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "capture-may-hang", "capture"
    if kernel is None or kdump is None:
        return [not_read(*name, "kdump" if kdump is None else "kernel")]
    if kdump["capture"]["loaded"] is False:
        return []  # kdump-not-armed says it
    if kernel["container"]:
        return [finding(*name, "unknown", HIGH, readings.CONTAINER, [])]
    reboots, clause = verdict.capture_net(kdump, "the capture kernel")
    evidence = readings.loaded(kdump) + readings.line(kdump)
    if kdump["capture"]["loaded"] is None:
        reason = f"cannot tell: whether a capture kernel is loaded is unknown ({readings.why(kdump, 'capture.loaded')})"
        return [finding(*name, "unknown", HIGH, reason, evidence)]
    if reboots is None:
        return [finding(*name, "unknown", HIGH, f"cannot tell: {clause}", evidence)]
    if reboots:
        return [finding(*name, "ok", HIGH, f"{clause}: should it fail, it reboots", evidence)]
    remedy, cure = _crashkernel_remedy(case, kernel, kdump)
    return [
        finding(
            *name,
            "affected",
            HIGH,
            f"{clause}: should it fail, it stays there for ever{cure}",
            evidence,
            remedy,
        )
    ]


# --- remedies


def _size_remedy(case: Case, kernel: KernelFacts, kdump: KdumpFacts) -> tuple[Remedy | None, str]:
    """The remedy of a larger reservation: the site's own size where it cures, or the safe one."""
    size = str(case["vars"].get("crashkernel_size") or "auto")
    if size != "auto":
        vain = _in_vain(crashkernel.check(size), kernel, kdump)
        if vain:
            return None, f" (no cure from here: the chosen crashkernel_size {size} {vain})"
    else:
        try:
            size = crashkernel.safe_size(kernel, kdump)
        except FleetopsError as error:
            return None, f" ({error.msg})"
    return _crashkernel_remedy(case, kernel, kdump, crashkernel_size=size)


def _in_vain(size: str, kernel: KernelFacts, kdump: KdumpFacts) -> str:
    """Why the reboot for a reservation of *size* would cure nothing; '' when it may."""
    asked = crashkernel.reserved_for(size, kernel["memory_bytes"])
    if asked is None:
        return "does not tell how much it reserves on this node"
    # Nothing was measured elsewhere: there, only what reserves nothing is known to be in vain.
    measured = kernel["architecture"] == "x86_64"
    limit = crashkernel.estimate(kernel, kdump)["too_small_up_to"] if measured else 0
    if asked > limit:
        return ""
    return f"reserves {readings.mib(asked)}, and more than {readings.mib(limit)} are needed"


def _crashkernel_remedy(
    case: Case, kernel: KernelFacts, kdump: KdumpFacts, **variables: Any
) -> tuple[Remedy | None, str]:
    """The role sets both: without the seconds in force, its default would take the place of a good value."""
    seconds = {"crashkernel_capture_panic": _seconds(case, kdump)}
    return remedy_of(kernel, "crashkernel", {**variables, **seconds})


def _seconds(case: Case, kdump: KdumpFacts) -> int:
    """Until a failing capture kernel reboots: the site's own, else what it carries now, else the role's default."""
    chosen = case["vars"].get("crashkernel_capture_panic")
    if chosen in (None, ""):
        return kdump["capture"]["panic"] or CAPTURE_PANIC
    try:
        seconds = int(str(chosen))
    except ValueError:
        seconds = 0
    if not seconds:
        raise FleetopsError(
            f"crashkernel_capture_panic is '{chosen}': expected seconds, or a negative number for at once"
        )
    return seconds


def _nothing_to_fit(kdump: KdumpFacts) -> bool:
    """Is there neither a capture kernel nor a package that would load one?"""
    missing = kdump["implementation"] is None and "implementation" not in kdump["unknown"]
    return missing and kdump["capture"]["loaded"] is False
