# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From Ansible's variables to one record per host: what plan and report are made from. Pure.

Reading ``hostvars[host]`` merges all variables of that host (about a millisecond): it is done once per host, and
only the keys below are looked at.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, OnPanic
from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings, good, sitevars, target, verdict
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory
from ansible_collections.fleetops.kernel.plugins.plugin_utils.readings import NodeFacts

PARTS = ("kernel", "kdump", "links", "actors")
FACT = "fleetops_"
# Where the role assess registers its look at a node.
LOOK = "assess_look"
KNOWN_BAD = "kernel-known-bad"
# The folder on the controller that is read instead of a dead node.
ROOT = "fleetops_root"
CHOICES = tuple(sitevars.CHECKS)
# By which the host's own variables say what kernel it is to run, and which groups are zones.
WANTED = (*target.NAMES, good.POLICY)
ZONE_GROUPS = "fleetops_zone_groups"
ZONES = "zone[_-].+"


class LeftBehind(TypedDict):
    """What was read instead of the node itself (see node_facts): ``kind``, ``root``, and ``time`` or null."""

    kind: str
    root: str
    time: str | None


class Record(TypedDict):
    """One host. ``zones``: all that it is in; ``wanted``: its own variables that name a kernel, those that are set.

    ``unreachable`` and ``unreadable`` are reasons; with one of them there are no facts.

    ``bad_variables`` is a reason as well, and stands in ``unreadable`` too: nothing is planned on such a host, and it
    counts like one that could not be read. Its facts were read all the same, and are judged as far as they can be.
    """

    host: str
    zone: str
    zones: list[str]
    wanted: dict[str, Any]
    facts: NodeFacts | None
    findings: list[Finding]
    on_panic: OnPanic
    unreachable: str | None
    unreadable: str | None
    bad_variables: str | None
    left_behind: LeftBehind | None


def collect(
    hostvars: Mapping[str, Any], hosts: Sequence[str], advisories: Sequence[Advisory]
) -> dict[str, Record]:
    """The records of *hosts*, in natural order of their names."""
    return {
        str(host): record(str(host), hostvars[host], advisories)
        for host in sorted(hosts, key=lambda h: natural(str(h)))
    }


def record(host: str, variables: Mapping[str, Any], advisories: Sequence[Advisory]) -> Record:
    """Judge one host."""
    registered = variables.get(LOOK) or {}
    # The facts, which are most of it, are taken by themselves.
    look = {key: plain(registered.get(key)) for key in ("unreachable", "failed", "msg", "left_behind")}
    unreachable = _words(look.get("msg")) if look.get("unreachable") else None
    unreadable = _words(look.get("msg")) if look.get("failed") and not unreachable else None
    facts: NodeFacts | None = None
    if not (unreachable or unreadable):
        facts = _facts(variables)
        unreadable = "it was not looked at" if facts is None else None
    chosen = {key: plain(variables.get(key)) for key in CHOICES}
    bad = sitevars.wrong(chosen) if facts else {}
    found: list[Finding] = []
    try:
        found = _judge(facts, advisories, chosen, bad) if facts else []
    except FleetopsError as error:  # what fails of one host shall not be felt by the others
        facts, unreadable, bad = None, error.msg, {}
    on_panic = (
        verdict.on_panic(facts, _dump_may_fail(found, advisories))
        if facts
        else unlooked(unreachable, unreadable)
    )
    zones = zones_of(variables)
    wanted = {name: plain(variables.get(name)) for name in WANTED}
    return {
        "host": host,
        "zone": zones[0] if zones else "",
        "zones": zones,
        "wanted": {name: value for name, value in wanted.items() if value not in (None, "", False)},
        "facts": facts,
        "findings": found,
        "on_panic": on_panic,
        "unreachable": unreachable,
        "unreadable": f"bad variable: {sitevars.say(bad)}" if bad else unreadable,
        "bad_variables": sitevars.say(bad),
        "left_behind": _left_behind(variables, look),
    }


def _judge(
    facts: NodeFacts, advisories: Sequence[Advisory], chosen: Mapping[str, Any], bad: Mapping[str, str]
) -> list[Finding]:
    """The findings of a host. With bad variables those that need none of them, and no cure, which might be another."""
    usable = {name: None if name in bad else value for name, value in chosen.items()}
    found = findings.judge(facts, advisories, usable)
    for finding in found if bad else []:
        finding["remedy"] = None
    return found


def _dump_may_fail(found: Sequence[Finding], advisories: Sequence[Advisory]) -> list[str]:
    """The advisories that name the running kernel, or may name it, as one whose dump may fail."""
    breaks = {advisory["id"] for advisory in advisories if advisory["breaks_kdump"]}
    return [
        finding["subject"]
        for finding in found
        if finding["id"] == KNOWN_BAD and finding["subject"] in breaks and findings.is_open(finding)
    ]


def unlooked(unreachable: str | None, unreadable: str | None) -> OnPanic:
    """The verdict on a node that was not read."""
    because = (
        f"it could not be reached: {unreachable}" if unreachable else f"it could not be read: {unreadable}"
    )
    return {"outcome": "unknown", "because": because, "evidence": []}


def zones_of(variables: Mapping[str, Any]) -> list[str]:
    """The zones of a host: ``fleetops_zone`` alone, else its groups that ``fleetops_zone_groups`` names.

    Raises FleetopsError for a ``fleetops_zone_groups`` that is no regular expression.
    """
    zone = variables.get("fleetops_zone")
    if zone:
        return [plain(str(zone))]
    pattern = str(variables.get(ZONE_GROUPS) or ZONES)
    groups = sorted((str(name) for name in variables.get("group_names") or []), key=natural)
    try:
        return [name for name in groups if re.fullmatch(pattern, name)]
    except re.error as error:
        raise FleetopsError(
            f"{ZONE_GROUPS} is '{pattern}': expected a regular expression ({error})"
        ) from error


def natural(name: str) -> list[Any]:
    """Sort key: ``node-2`` before ``node-10``."""
    return [
        (0, int(piece), "") if piece.isdigit() else (1, 0, piece)
        for piece in re.findall(r"[0-9]+|[^0-9]+", name)
    ]


_SIMPLE = frozenset({int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """Ansible's lazy, tagged or marked values as what JSON knows.

    Ten thousand nodes say mostly the same words: each is kept once.
    """
    kind = type(value)
    if kind is str:
        return sys.intern(value)
    if kind in _SIMPLE:
        return value
    if isinstance(value, (dict, Mapping)):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    # str() of a marked text gives a marked text in ansible-core 2.17.
    return (
        float(value)
        if isinstance(value, float)
        else sys.intern(str.__str__(value))
        if isinstance(value, str)
        else str(value)
    )


def _facts(variables: Mapping[str, Any]) -> NodeFacts | None:
    """What the look itself returned. The host's facts may be older, and count only where nobody registered a look."""
    look = variables.get(LOOK)
    return facts_in((variables if look is None else look).get("ansible_facts"))


def facts_in(known: Any) -> NodeFacts | None:
    """The facts of ours among ``ansible_facts``; None when there are none."""
    known = known if isinstance(known, Mapping) else {}
    found: Any = {part: plain(known.get(FACT + part)) or None for part in PARTS}
    return found if any(found.values()) else None


def facts_read(known: Any) -> NodeFacts:
    """The facts of ours that a caller gives. Raises FleetopsError when there are none."""
    found = facts_in(known)
    if found is None:
        raise FleetopsError(
            "The node was not read: expected the ansible_facts that fleetops.kernel.node_facts returned"
        )
    return found


def _left_behind(variables: Mapping[str, Any], look: Mapping[str, Any]) -> LeftBehind | None:
    """Also of a folder that could not be read: the host itself was not asked."""
    root = plain(variables.get(ROOT))
    found: LeftBehind | None = look.get("left_behind")
    if found or not look.get("failed"):
        return found  # a node that was asked itself left nothing behind, whatever its variables say
    return {"kind": "folder", "root": str(root), "time": None} if root else None


def _words(message: Any) -> str:
    """One line. What ansible-core 2.19 and newer puts before every message says nothing here."""
    words = " ".join(str(message or "no reason given").split())
    return re.sub(r"\A(?:(?:Task|Action|Module) failed: )+", "", words)
