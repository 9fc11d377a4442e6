# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is cured, and in which order? Pure.

Only what is certain is cured: findings that are ``unknown`` are reported, and left to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, Remedy, Step
from ansible_collections.fleetops.kernel.plugins.plugin_utils import versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import HIGH
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import Record, natural

# The roles that a playbook imports, in the order of cure: what needs no reboot first, the kernel last.
ROLES = ("cilium_migration_cleanup", "crashkernel", "kernel_upgrade")
# Variables that take effect at the next boot only.
REBOOT = ("kernel_upgrade_release", "kernel_upgrade_package", "crashkernel_size")
# Findings about the kernel that boots next: with one of these, a reboot loses devices that are in use.
LACKS = ("module-missing", "dkms-missing", "vendor-module-missing")
# One of weight says that what boots next cannot boot, or is older than what runs.
DIFFERS = "next-boot-differs"
# Two names for the same thing: a role takes one of them.
EITHER = ("kernel_upgrade_release", "kernel_upgrade_package")


class Plan(TypedDict):
    """``skipped`` are hosts that could not be judged, with the reason.

    ``held_back``: hosts of which something is not cured, since a reboot would do harm or may, with what and why.
    """

    steps: list[Step]
    skipped: dict[str, str]
    held_back: dict[str, str]


def make(records: Mapping[str, Record]) -> Plan:
    """One step for each host with something to cure: zone after zone, one node at a time."""
    skipped: dict[str, str] = {}
    held_back: dict[str, str] = {}
    steps: list[Step] = []
    for host, record in records.items():
        why = record["unreachable"] or record["unreadable"]
        if why:
            skipped[host] = why
            continue
        step = step_of(record)
        if step is not None:
            steps.append(step)
        why = held_back_of(record)
        if why:
            held_back[host] = why
    steps.sort(key=lambda step: (natural(step["zone"]), natural(step["host"])))
    for wave, step in enumerate(steps):
        step["wave"] = wave
    return {"steps": steps, "skipped": skipped, "held_back": held_back}


def step_of(record: Record) -> Step | None:
    """What one host needs; None when nothing can be cured. Raises FleetopsError for remedies that do not fit."""
    roles: dict[str, dict[str, Any]] = {}
    givers: dict[tuple[str, str], str] = {}
    because: list[str] = []
    harm = _harm_of_a_reboot(record)
    for finding, remedy in _curable(record):
        if harm and _needs_reboot(remedy):
            continue
        if remedy["role"] not in ROLES:
            raise FleetopsError(
                f"{record['host']}: {key_of(finding)} wants the role '{remedy['role']}', which no playbook knows: "
                f"expected one of {', '.join(ROLES)}"
            )
        because.append(key_of(finding))
        _merge(record["host"], roles.setdefault(remedy["role"], {}), givers, key_of(finding), remedy)
    if not roles:
        return None
    return {
        "host": record["host"],
        "zone": record["zone"],
        "wave": 0,
        "roles": {role: roles[role] for role in ROLES if role in roles},
        "because": because,
        "reboot": any(name in REBOOT for variables in roles.values() for name in variables),
    }


def held_back_of(record: Record) -> str:
    """What one host is not cured of, and why no reboot is planned for it; '' when nothing is held back."""
    harm = _harm_of_a_reboot(record)
    waits = [key_of(finding) for finding, remedy in _curable(record) if _needs_reboot(remedy)]
    if not harm or not waits:
        return ""
    whys = "; ".join(f"{key_of(finding)}: {finding['reason']}" for finding in harm)
    return f"no reboot is planned, which {', '.join(waits)} would need: {whys}"


def key_of(finding: Finding) -> str:
    """How a finding is named."""
    return f"{finding['id']}:{finding['subject']}"


# --- what a reboot would do --------------------------------------------------------------------------


def _curable(record: Record) -> list[tuple[Finding, Remedy]]:
    return [
        (finding, finding["remedy"])
        for finding in record["findings"]
        if finding["status"] == "affected" and finding["remedy"] is not None
    ]


def _needs_reboot(remedy: Remedy) -> bool:
    return any(name in REBOOT for name in remedy["vars"])


def _harm_of_a_reboot(record: Record) -> list[Finding]:
    """Findings, affected or unknown, against the kernel that boots next, unless a remedy puts another in its place."""
    targets = [
        str(value)
        for _finding, remedy in _curable(record)
        for name, value in remedy["vars"].items()
        if name in EITHER
    ]
    return [finding for finding in record["findings"] if _is_harm(finding, targets)]


def _is_harm(finding: Finding, targets: Sequence[str]) -> bool:
    # What cannot be told may be so.
    if finding["status"] == "ok":
        return False
    if finding["id"] == DIFFERS:
        # No remedy names a kernel that cannot boot, or an older one.
        return (finding["severity"] == HIGH or finding["status"] == "unknown") and not targets
    # Of LACKS, the subject is the kernel that boots next.
    its = finding["subject"]
    return finding["id"] in LACKS and (
        not targets or any(target == its or target.endswith(f"-{its}") for target in targets)
    )


# --- one role, wanted by several findings ------------------------------------------------------------


def _merge(
    host: str, merged: dict[str, Any], givers: dict[tuple[str, str], str], key: str, remedy: Remedy
) -> None:
    """Add the variables of a finding's remedy to those of its role; the stricter value stays."""
    for name, value in remedy["vars"].items():
        rival = next(
            (other for other in EITHER if name in EITHER and other != name and other in merged), None
        )
        clash = rival or (name if name in merged else None)
        if clash is None:
            merged[name] = value
            givers[remedy["role"], name] = key
            continue
        giver = givers[remedy["role"], clash]
        both = f"{host}: {giver} wants {clash}={merged[clash]}, {key} wants {name}={value}"
        try:
            stricter = _same(None, value) if rival else STRICTER.get(name, _same)(merged[name], value)
        except FleetopsError as error:
            raise FleetopsError(f"{both}: {error.msg}", findings=[giver, key]) from error
        if stricter != merged[name]:
            merged[name] = stricter
            givers[remedy["role"], name] = key


def _same(one: Any, other: Any) -> Any:
    if one != other:
        raise FleetopsError("these cannot be had together")
    return one


def _larger_size(one: str, other: str) -> str:
    if one == other:
        return one
    try:
        return max(one, other, key=crashkernel.parse_size)
    except FleetopsError as error:
        raise FleetopsError("only plain sizes can be compared") from error


def _newer_release(one: str, other: str) -> str:
    return one if one == other else versions.kernel_sort([one, other])[-1]


def _sooner(one: int, other: int) -> int:
    """Of two times until a reboot; never 0, which means never."""
    return min(one, other) if one > 0 and other > 0 else int(_same(one, other))


def _united(one: list[str], other: list[str]) -> list[str]:
    return sorted({*one, *other}, key=natural)


STRICTER: dict[str, Callable[[Any, Any], Any]] = {
    "crashkernel_size": _larger_size,
    "crashkernel_capture_panic": _sooner,
    "kernel_upgrade_release": _newer_release,
    "cilium_migration_cleanup_links": _united,
}
