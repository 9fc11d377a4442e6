# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Would the capture kernel start, fit, and come back? Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Dump,
    Evidence,
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
    listed,
    not_read,
    remedy_of,
)

# Seconds until a failing capture kernel reboots, as the role crashkernel has it by default.
CAPTURE_PANIC = 10
_PACKAGES = {"debian": "kdump-tools", "redhat": "kexec-tools, in newer releases kdump-utils"}


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
    if _no_package(kdump):
        # The role makes no node a kdump node: a plan must not start what is bound to fail.
        family = kernel["distro"]["family"] if kernel["distro"] else None
        package = _PACKAGES.get(family or "", "the distribution's kdump package")
        reason = f"no kdump package is installed; {reason} (no cure from here: install {package} first)"
        return [finding(*name, "affected", HIGH, reason, evidence)]
    if armed is None:
        return [finding(*name, "unknown", HIGH, f"cannot tell: {reason}", evidence)]
    if kdump["reservation"]["bytes"] == 0 and kdump["reservation"]["requested"]:
        return []  # kdump-not-reserved says it
    if kdump["reservation"]["bytes"] == 0:
        remedy, cure = _size_remedy(case, kernel, kdump)
    else:
        remedy, cure = _crashkernel_remedy(case, kernel, kdump)
    return [finding(*name, "affected", HIGH, reason + cure, evidence, remedy)]


def kdump_not_reserved(case: Case) -> list[Finding]:
    """Was memory asked for on the command line, and none reserved?"""
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "kdump-not-reserved", "crashkernel"
    if kernel is None or kdump is None:
        return [not_read(*name, "kdump" if kdump is None else "kernel")]
    requested, reserved = kdump["reservation"]["requested"], kdump["reservation"]["bytes"]
    if kernel["container"]:
        return [finding(*name, "unknown", HIGH, readings.CONTAINER, [])]
    if not requested and "reservation.requested" in kdump["unknown"] and not reserved:
        why = readings.why(kdump, "reservation.requested")
        return [finding(*name, "unknown", HIGH, f"cannot tell what crashkernel asks for ({why})", [])]
    if not requested:
        return []  # where none is reserved, kdump-not-armed says it
    evidence = readings.reserved(kdump)
    asked = ", ".join(requested)
    if reserved is None:
        why = readings.why(kdump, "reservation.bytes")
        reason = f"cannot tell: crashkernel asks for {asked}, and whether that is reserved is unknown ({why})"
        return [finding(*name, "unknown", HIGH, reason, evidence)]
    if reserved:
        reason = f"crashkernel asks for {asked}, and {readings.mib(reserved)} are reserved"
        return [finding(*name, "ok", HIGH, reason, evidence)]
    reason = f"crashkernel asks for {asked}, and nothing is reserved: {_why_nothing(kernel, requested)}"
    if _no_package(kdump):
        return [
            finding(*name, "affected", HIGH, reason, evidence)
        ]  # kdump-not-armed says what is to be done first
    remedy, cure = _size_remedy(case, kernel, kdump)
    return [finding(*name, "affected", HIGH, reason + cure, evidence, remedy)]


def dump_target_too_small(case: Case) -> list[Finding]:
    """Is there room for a dump where it goes?"""
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "dump-target-too-small", "target"
    if kernel is None or kdump is None:
        return [not_read(*name, "kdump" if kdump is None else "kernel")]
    if _no_package(kdump):
        return []  # kdump-not-armed says it
    if kernel["container"]:
        return [finding(*name, "unknown", HIGH, readings.CONTAINER, [])]
    kept, words = verdict.target_net(kernel, kdump)
    evidence = readings.room(kdump)
    if kept:
        return [finding(*name, "ok", HIGH, words, evidence)]
    if kept is False:
        return [
            finding(*name, "affected", HIGH, f"{words} (make room there, or send dumps elsewhere)", evidence)
        ]
    target = kdump["target"]
    # What is somewhere else, or may be enough, is a doubt of less weight than a disk that could not be asked.
    severity = HIGH if target is None or (target["kind"] == "local" and target["free_bytes"] is None) else LOW
    return [finding(*name, "unknown", severity, f"cannot tell: {words}", evidence)]


def dumps_waiting(case: Case) -> list[Finding]:
    """Do dumps lie there that nobody has taken away yet?"""
    kdump = case["facts"]["kdump"]
    name = "dumps-waiting", "target"
    if kdump is None:
        return [not_read(*name, "kdump", LOW)]
    dumps = kdump["dumps"]
    if dumps is None:
        return [finding(*name, "unknown", LOW, f"cannot tell: {readings.why(kdump, 'dumps')}", [])]
    if not dumps:
        return [finding(*name, "ok", LOW, "no dump lies on the disk", [])]
    newest, cut = dumps[-1], [dump["path"] for dump in dumps if dump["complete"] is False]
    more = " or more" if "dumps.older" in kdump["unknown"] else ""
    count = "a dump lies" if len(dumps) == 1 and not more else f"{len(dumps)}{more} dumps lie"
    reason = f"{count} on the disk, of a crash that nobody has cleared away yet; the newest, {_dump(newest)}"
    others = [path for path in cut if path != newest["path"]]
    reason += f"; incomplete as well: {listed(others)}" if others else ""
    evidence: list[Evidence] = [
        {"source": dump["path"], "text": f"{dump['bytes']} bytes, {_dump_state(dump)}"}
        for dump in reversed(dumps)
    ]
    return [finding(*name, "affected", LOW, reason, evidence)]


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


# --- words


def _why_nothing(kernel: KernelFacts, requested: list[str]) -> str:
    """Why a request ended in no reservation, as far as its words tell."""
    try:
        sizes = [crashkernel.reserved_for(value, kernel["memory_bytes"]) for value in requested]
    except FleetopsError as error:
        return error.msg
    if sizes and sizes[-1] == 0:
        return "of this much memory it asks for none"
    return "the kernel found no room for it when it booted, or it was given back since"


def _dump(dump: Dump) -> str:
    when = datetime.fromtimestamp(dump["time"], timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"of {when}, is {_dump_state(dump)} ({dump['path']})"


def _dump_state(dump: Dump) -> str:
    return {
        True: "complete",
        False: "INCOMPLETE",
        None: "of a kind that does not tell whether it is complete",
    }[dump["complete"]]


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
    return kdump["capture"]["panic"] or CAPTURE_PANIC if chosen in (None, "") else seconds_of(chosen)


def seconds_of(chosen: Any) -> int:
    """The site's own ``crashkernel_capture_panic``. Raises FleetopsError for what can be no such time."""
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
    return _no_package(kdump) and kdump["capture"]["loaded"] is False


def _no_package(kdump: KdumpFacts) -> bool:
    return kdump["implementation"] is None and "implementation" not in kdump["unknown"]
