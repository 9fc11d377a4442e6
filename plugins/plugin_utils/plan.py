# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is changed, by which roles, and who is not, and why? Pure.

Two wishes lead to a plan: cure what is found (`make`), and have every node run a kernel (`make_kernel`). Only what is
certain is done: findings that are ``unknown`` are reported, and left to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, Remedy, Step
from ansible_collections.fleetops.kernel.plugins.plugin_utils import versions, wanted
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import HIGH
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import Record, natural

# The roles that a playbook imports, in the order of cure: what needs no reboot first, the kernel last.
LINKS, UPGRADE = "cilium_migration_cleanup", "kernel_upgrade"
ROLES = (LINKS, "crashkernel", UPGRADE)
# Variables that take effect at the next boot only.
REBOOT = ("kernel_upgrade_release", "kernel_upgrade_package", "crashkernel_size")
# Findings about the kernel that boots next: with one of these, a reboot loses devices that are in use.
LACKS = ("module-missing", "dkms-missing", "vendor-module-missing")
# One of weight says that what boots next cannot boot, or is older than what runs.
DIFFERS = "next-boot-differs"
# Two names for the same thing: a role takes one of them.
EITHER = ("kernel_upgrade_release", "kernel_upgrade_package")


# Keys in ``because`` that are no findings. What stands behind the colon is for people.
WANTED, LEFT = "kernel", "left"
REMEDIATE, KERNEL = "remediate", "kernel"
CURE = "cure what can be cured"


class Plan(TypedDict):
    """``goal``: what is wanted, in words; the same words for the same wish.

    ``skipped`` are hosts that could not be judged, with the reason. ``held_back``: hosts of which something is not
    done, since a reboot would do harm or may, with what and why. ``idle``: those with nothing to do, and why.
    """

    kind: str
    goal: str
    steps: list[Step]
    skipped: dict[str, str]
    held_back: dict[str, str]
    idle: dict[str, str]


def make(records: Mapping[str, Record], left: Mapping[str, str] | None = None) -> Plan:
    """One step for each host with something to cure: zone after zone, one node at a time.

    *left*: hosts that an earlier run of the same rollout left half-way or that failed in it, with what became of them.
    They have a step in any case, since nobody saw them come back.
    """
    made = _Making(REMEDIATE, CURE, records, left or {})
    for host, record in made.judged():
        step, held = step_of(record), held_back_of(record)
        if host in made.left:
            step = _taken_up(record, step, made.left[host])
        if step is not None:
            made.steps.append(step)
        stuck = [key_of(finding) for finding in record["findings"] if finding["status"] == "affected"]
        made.about(
            host, step, held, f"no cure from here for {', '.join(stuck)}" if stuck else "nothing to cure"
        )
    return made.plan()


def make_kernel(
    records: Mapping[str, Record],
    wish: Mapping[str, Any] | None = None,
    advisories: Sequence[Advisory] = (),
    left: Mapping[str, str] | None = None,
) -> Plan:
    """One step for each host that does not run the kernel that *wish* names, or not for good; *left* as in `make`.

    *wish*: the variables of the role kernel_upgrade that name a kernel, for all hosts; None: each host's own. A stale
    link is removed in the same step, since it would keep the node from coming back after the reboot.
    Raises FleetopsError when a host's wish cannot be meant.
    """
    made = _Making(KERNEL, "", records, left or {})
    wishes: dict[str, wanted.Wanted] = {}
    wrong: dict[str, list[str]] = {}
    # Of dark hosts as well: what is wanted must not depend on who answers, or the same command would be another.
    for host, record in made.records.items():
        found = _wish(record, wish)
        if isinstance(found, str):
            wrong.setdefault(found, []).append(host)
        else:
            wishes[host] = found
    for host, record in made.judged():
        if host in wishes:
            _kernel_step(made, record, wishes[host], advisories)
    if wrong:
        raise FleetopsError("; ".join(f"{msg} (on {', '.join(hosts)})" for msg, hosts in wrong.items()))
    words = {one.words for one in wishes.values()}
    made.goal = " / ".join(sorted(words)) or "no kernel, since no host could be read"
    return made.plan()


def _wish(record: Record, wish: Mapping[str, Any] | None) -> wanted.Wanted | str:
    """The kernel that is wanted on a host, or why that cannot be told."""
    try:
        return wanted.wanted_of(record["wanted"] if wish is None else wish)
    except FleetopsError as error:
        return error.msg


class _Making:
    """A plan under way."""

    def __init__(self, kind: str, goal: str, records: Mapping[str, Record], left: Mapping[str, str]) -> None:
        self.kind, self.goal, self.records, self.left = kind, goal, records, left
        self.steps: list[Step] = []
        self.skipped: dict[str, str] = {}
        self.held_back: dict[str, str] = {}
        self.idle: dict[str, str] = {}

    def judged(self) -> Iterator[tuple[str, Record]]:
        """The hosts that were read; the others are skipped."""
        for host, record in self.records.items():
            why = record["unreachable"] or record["unreadable"]
            if why:
                self.skipped[host] = why
            else:
                yield host, record

    def about(self, host: str, step: Step | None, held: str, idle: str) -> None:
        """Say of a host why it is not in the plan, or not in full."""
        if held:
            self.held_back[host] = held
        elif step is None:
            self.idle[host] = idle

    def plan(self) -> Plan:
        self.steps.sort(key=lambda step: (natural(step["zone"]), natural(step["host"])))
        for wave, step in enumerate(self.steps):
            step["wave"] = wave
        return {
            "kind": self.kind,
            "goal": self.goal,
            "steps": self.steps,
            "skipped": self.skipped,
            "held_back": self.held_back,
            "idle": self.idle,
        }


# --- a kernel ----------------------------------------------------------------------------------------


def _kernel_step(made: _Making, record: Record, wish: wanted.Wanted, advisories: Sequence[Advisory]) -> None:
    host, facts = record["host"], record["facts"]
    try:
        need = wanted.judge(facts["kernel"] if facts else None, wish, advisories)
    except FleetopsError as error:
        made.skipped[host] = error.msg
        return
    because = [f"{WANTED}:{why}" for why in need.why]
    because += [f"{LEFT}:{made.left[host]}"] if host in made.left else []
    if not because:
        made.about(host, None, "", f"runs {need.runs}, which also boots next")
        return
    # Any other kernel than the one wanted may be what boots next: this step puts that one in its place.
    harm = _harm_of_a_reboot(record, [need.release or "the archive's"]) if need.reboot else []
    if harm:
        whys = "; ".join(f"{key_of(finding)}: {finding['reason']}" for finding in harm)
        made.about(host, None, f"no reboot is planned, though it {', '.join(need.why)}: {whys}", "")
        return
    roles: dict[str, dict[str, Any]] = {}
    givers: dict[tuple[str, str], str] = {}
    for finding, remedy in _curable(record):
        if remedy["role"] == LINKS:
            because.append(key_of(finding))
            _merge(host, roles.setdefault(LINKS, {}), givers, key_of(finding), remedy)
    roles[UPGRADE] = {wish.name: wish.value}
    made.steps.append(_step(record, roles, because, need.reboot))


def _taken_up(record: Record, step: Step | None, what: str) -> Step:
    """The step of a host that an earlier run left, and that perhaps has nothing left to cure, but for its trial."""
    facts = record["facts"]
    kernel: Any = facts["kernel"] if facts else None
    trial = kernel["trial"] if kernel else None
    taken = step or _step(record, {}, [], False)
    if trial and trial["release"] == kernel["release"]:
        taken["roles"].setdefault(UPGRADE, {"kernel_upgrade_release": trial["release"]})
    taken["because"] = [*taken["because"], f"{LEFT}:{what}"]
    return taken


def _step(record: Record, roles: Mapping[str, dict[str, Any]], because: list[str], reboot: bool) -> Step:
    return {
        "host": record["host"],
        "zone": record["zone"],
        "wave": 0,
        "roles": {role: roles[role] for role in ROLES if role in roles},
        "because": because,
        "reboot": reboot,
    }


# --- a cure ------------------------------------------------------------------------------------------


def step_of(record: Record) -> Step | None:
    """What one host needs; None when nothing can be cured. Raises FleetopsError for remedies that do not fit."""
    roles: dict[str, dict[str, Any]] = {}
    givers: dict[tuple[str, str], str] = {}
    because: list[str] = []
    harm = _harm_of_a_reboot(record, _targets(record))
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
    reboot = any(name in REBOOT for variables in roles.values() for name in variables)
    return _step(record, roles, because, reboot)


def held_back_of(record: Record) -> str:
    """What one host is not cured of, and why no reboot is planned for it; '' when nothing is held back."""
    harm = _harm_of_a_reboot(record, _targets(record))
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


def _targets(record: Record) -> list[str]:
    """The kernels, by release or package, that the remedies put in the place of what boots next."""
    return [
        str(value)
        for _finding, remedy in _curable(record)
        for name, value in remedy["vars"].items()
        if name in EITHER
    ]


def _harm_of_a_reboot(record: Record, targets: Sequence[str]) -> list[Finding]:
    """Findings, affected or unknown, against the kernel that boots next, unless one of *targets* takes its place."""
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
