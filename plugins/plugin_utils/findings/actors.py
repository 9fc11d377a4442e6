# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who else may reboot a node, remove its fallback kernel, or undo its network? Pure.

No remedy: whose node it is decides who may act on it. The reason says what to set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    ActorsFacts,
    Evidence,
    Finding,
    KernelFacts,
    Kured,
    UnattendedUpgrades,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    HIGH,
    LOW,
    MEDIUM,
    Case,
    finding,
    not_read,
)

APT, DNF = "unattended-upgrades", "dnf-automatic"
REMOVE = "Remove-Unused-Kernel-Packages"
# What keeps each from it.
NO_REBOOT = {
    APT: 'set Unattended-Upgrade::Automatic-Reboot "false"',
    DNF: "set reboot = never in its automatic.conf",
}
KEEP_KERNELS = {
    APT: f'set Unattended-Upgrade::{REMOVE} "false", or apt-mark manual the one to keep',
    DNF: "raise installonly_limit in dnf.conf",
}
# The bare setting of each of networkd's two, and what it then removes.
FOREIGN = (
    ("manages_foreign_routes", "ManageForeignRoutes", "routes"),
    ("manages_foreign_rules", "ManageForeignRoutingPolicyRules", "routing rules"),
)


def reboot_by_others(case: Case) -> list[Finding]:
    """Who may reboot this node, in the middle of a cure as well?"""
    id_ = "reboot-by-others"
    actors, stopped = _start(id_, HIGH, case)
    if actors is None:
        return stopped
    kernel = case["facts"]["kernel"]
    kured, others = actors["kured"], actors["upgrades"]
    found = [_doubt(id_, "upgrades", MEDIUM, actors, "upgrades")] if others is None else []
    found += [one for other in others or [] for one in _upgrade_reboots(id_, other, actors, kernel)]
    if kured is None or kured["running"] is None:
        found.append(_doubt(id_, "kured", HIGH, actors, "kured.running"))
    elif kured["running"]:
        found.append(_kured_reboots(id_, kured, actors))
    if found:
        return found
    seen = [f"{other['name']} does not" for other in others or []] + ["kured does not run"]
    return [
        _fine(id_, f"nobody else reboots it: {', '.join(seen)}", *(other["lines"] for other in others or []))
    ]


def fallback_may_be_removed(case: Case) -> list[Finding]:
    """Who removes older kernels, and which one would that be?"""
    id_ = "fallback-may-be-removed"
    actors, stopped = _start(id_, MEDIUM, case)
    if actors is None:
        return stopped
    others = actors["upgrades"]
    if others is None:
        return [_doubt(id_, "upgrades", MEDIUM, actors, "upgrades")]
    found: list[Finding] = []
    for other in others:
        does = _both(other["enabled"], other["removes_kernels"])
        if does is False:
            continue
        status, which = _at_risk(other["name"], case["facts"]["kernel"])
        present = f"upgrades.{other['name']}" not in actors["unknown"]
        if does is None and (status != "ok" or not present):
            found.append(_doubt(id_, other["name"], MEDIUM, actors, *_paths(other, "removes_kernels")))
        else:
            reason = f"{other['name']} {'removes' if does else 'may remove'} older kernels: {which}"
            reason += "" if status == "ok" else f" ({KEEP_KERNELS[other['name']]})"
            evidence = [*_default_of_apt(other), *other["lines"]]
            found.append(finding(id_, other["name"], status, MEDIUM, reason, evidence))
    return found or [
        _fine(id_, "nobody removes its kernels by itself", *(other["lines"] for other in others))
    ]


def foreign_routes_flushed(case: Case) -> list[Finding]:
    """Does systemd-networkd take away what Cilium set up, when it starts or a link changes?

    It spares what is marked as the kernel's own; Cilium marks its rules and most of its routes so since its pull
    request 24288. The older ones lose the whole network of the host (Cilium's issue 18706). No file of the node tells
    which Cilium runs, so that it is medium: on most nodes of today it is less bad than it was.
    """
    name = "foreign-routes-flushed", "networkd"
    actors, stopped = _start(name[0], MEDIUM, case)
    if actors is None:
        return stopped
    networkd, cilium = actors["networkd"], actors["cilium"]
    if cilium is False:
        return [finding(*name, "ok", LOW, "no Cilium on this node", [])]
    if networkd is None:
        return [_doubt(*name, MEDIUM, actors, "networkd")]
    if networkd["active"] is False:
        return [finding(*name, "ok", MEDIUM, "systemd-networkd does not run", networkd["lines"])]
    removed = [row for row in FOREIGN if networkd[row[0]] is not False]  # type: ignore[literal-required]
    if not removed:
        reason = "systemd-networkd leaves alone what others made"
        return [finding(*name, "ok", MEDIUM, reason, networkd["lines"])]
    unsaid = ["cilium"] if cilium is None else []
    unsaid += ["networkd.active"] if networkd["active"] is None else []
    unsaid += [f"networkd.{row[0]}" for row in removed if networkd[row[0]] is None]  # type: ignore[literal-required]
    if unsaid:
        return [_doubt(*name, MEDIUM, actors, *unsaid)]
    what = " and ".join(row[2] for row in removed)
    wanted = " and ".join(f"{row[1]}=no" for row in removed)
    reason = (
        f"systemd-networkd removes {what} that Cilium made, when it starts or a link changes; newer Cilium (since its "
        "pull request 24288) marks its rules and most of its routes as the kernel's own, which are spared, and older "
        f"ones lose the network of the node: which one runs here was not read (set {wanted} in a file of "
        "/etc/systemd/networkd.conf.d)"
    )
    evidence = networkd["lines"] + [
        _default(row[1]) for row in removed if not _is_said(networkd["lines"], row[1])
    ]
    return [finding(*name, "affected", MEDIUM, reason, evidence)]


# --- who reboots -------------------------------------------------------------------------------------


def _upgrade_reboots(
    id_: str, other: UnattendedUpgrades, actors: ActorsFacts, kernel: KernelFacts | None
) -> list[Finding]:
    name = other["name"]
    does = _both(other["enabled"], other["reboots"])
    if does is None:
        return [_doubt(id_, name, MEDIUM, actors, *_paths(other, "reboots"))]
    if not does:
        return []
    marker = kernel["reboot_required"] if kernel else None
    pending = name == APT and marker is not None and marker["required"]
    when = "at its next run, since a reboot is pending" if pending else "whenever an upgrade asks for it"
    reason = f"{name} reboots this node by itself, {when} ({NO_REBOOT[name]})"
    evidence = list(other["lines"])
    if pending and marker:
        evidence.insert(0, {"source": marker["source"], "text": "it is there"})
    return [finding(id_, name, "affected", HIGH if pending else MEDIUM, reason, evidence)]


def _kured_reboots(id_: str, kured: Kured, actors: ActorsFacts) -> Finding:
    if kured["sentinel_present"] is False:
        # How kured stands on every node of a cluster that has it.
        severity, when = LOW, f"once {kured['sentinel']} is there; it is not"
    elif kured["sentinel_present"]:
        severity, when = HIGH, f"now: {kured['sentinel']} is there"
    else:
        why = readings.why(actors, "kured.sentinel_present")
        severity, when = HIGH, f"on its sign, and whether that is given is unknown ({why})"
    reason = f"kured may drain and reboot this node {when} (stop it for the time of a cure)"
    return finding(id_, "kured", "affected", severity, reason, kured["lines"])


# --- which kernel goes -------------------------------------------------------------------------------


def _at_risk(name: str, kernel: KernelFacts | None) -> tuple[str, str]:
    """(status, clause): may it remove the kernel that is the way back, the running one, once the next has booted?

    apt keeps the booted kernel and the newest; where these are one, the newest but one as well (apt 2.1.12,
    KernelAutoRemoveHelper). Only what was installed as a dependency goes. dnf keeps ``installonly_limit`` kernels
    with the booted one among them (dnf.conf(5)).
    """
    if name == DNF:
        return "ok", "of more than installonly_limit the oldest goes, but for the booted one"
    rule = (
        "of those that came as a dependency, apt keeps only the booted one and the newest, or the two newest"
    )
    running = kernel["release"] if kernel else None
    order = _in_order(kernel, running)
    if not kernel or not running or not order:
        return "unknown", f"{rule}; which one is next cannot be told"
    entry = kernel["next_boot"]
    following = entry["release"] if entry and entry["release"] in order else order[-1]
    if running in _kept(order, following):
        return "ok", f"{rule}, and {running}, which runs now, is one of them"
    return (
        "affected",
        f"{rule}; once {following} has booted, {running} may go, which runs now and is the way back",
    )


def _in_order(kernel: KernelFacts | None, running: str | None) -> list[str]:
    """The installed kernels, oldest first as apt has it, which orders all flavours by their releases; or none."""
    releases = [one["release"] for one in (kernel["installed"] if kernel else None) or []]
    try:
        order = sorted(releases, key=lambda release: versions.key(release, versions.DEB))
    except FleetopsError:  # of the site's own making, with a name that dpkg would not order
        return []
    return order if running in order else []


def _kept(order: Sequence[str], booted: str) -> set[str]:
    return {booted, order[-1]} if booted != order[-1] else set(order[-2:])


# --- pieces ------------------------------------------------------------------------------------------


def _start(id_: str, severity: str, case: Case) -> tuple[ActorsFacts | None, list[Finding]]:
    """(what was read, []), or (None, what a rule then says)."""
    actors, kernel = case["facts"]["actors"], case["facts"]["kernel"]
    if actors is None:
        return None, [not_read(id_, "actors", "actors", severity)]
    if kernel is not None and kernel["container"]:
        return None, [finding(id_, "actors", "unknown", severity, readings.CONTAINER, [])]
    return actors, []


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _paths(other: UnattendedUpgrades, *names: str) -> list[str]:
    """The facts of it that are unknown."""
    facts: Any = other
    return [f"upgrades.{other['name']}.{name}" for name in ("enabled", *names) if facts[name] is None]


def _doubt(id_: str, subject: str, severity: str, actors: ActorsFacts, *paths: str) -> Finding:
    whys = "; ".join(dict.fromkeys(readings.why(actors, path) for path in paths))
    return finding(id_, subject, "unknown", severity, f"cannot tell: {whys}", [])


def _fine(id_: str, reason: str, *evidence: Sequence[Evidence]) -> Finding:
    return finding(id_, "actors", "ok", LOW, reason, [line for lines in evidence for line in lines])


def _default_of_apt(other: UnattendedUpgrades) -> list[Evidence]:
    if other["name"] != APT or any(f"::{REMOVE}" in line["text"] for line in other["lines"]):
        return []
    return [{"source": APT, "text": f"{REMOVE} is true by default, no file sets it"}]


def _is_said(lines: Sequence[Evidence], setting: str) -> bool:
    return any(line["text"].partition("=")[0].strip() == setting for line in lines)


def _default(setting: str) -> Evidence:
    return {"source": "networkd.conf", "text": f"{setting}=yes is systemd's default, no file sets it"}
