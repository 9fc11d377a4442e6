# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is going to be done about it, and what became of each node, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.findings import named, variables
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.lines import (
    FEW,
    WIDTH,
    WORDS,
    Entry,
    Hosts,
    Paint,
    abbreviate,
    by_reason,
    count,
    fact,
    name_of,
    plain,
    wrap,
)

# Of a long plan, what is still read.
MOST_STEPS = 12
STATUSES = ("failed", "not attempted", "done", "planned", "nothing to do")

# --- before ------------------------------------------------------------------------------------------


def plan(hosts: Hosts) -> list[str]:
    """Which nodes are cured, in which order, by which roles."""
    steps = sorted((e["step"] for e in hosts.values() if e.get("step")), key=lambda step: step["wave"])
    held = _held_back(hosts)
    if not steps:
        return ["", "PLAN: nothing to cure", *held]
    reboots = sum(step["reboot"] for step in steps)
    lines = ["", f"PLAN: {count(len(steps), 'node')}, one at a time, {reboots} of them with one reboot"]
    if len(steps) <= FEW:
        for step in steps:
            name = name_of(step["host"], {"zone": step["zone"]})
            lines += _cures(f"  {step['wave'] + 1:>3}. {name}{_reboot(step)}", step)
        return lines + held
    zones: dict[str, list[str]] = {}
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for step in steps:
        zones.setdefault(step["zone"] or "no zone", []).append(step["host"])
        alike.setdefault((step["reboot"], repr(step["roles"])), []).append(step)
    for zone, names in zones.items():
        head = f"  {zone}, {count(len(names), 'node')}: "
        lines.append(plain(head).ljust(len(head)) + abbreviate(names, WIDTH - len(head)))
    for those in sorted(alike.values(), key=len, reverse=True)[:MOST_STEPS]:
        lines += _cures(f"  {count(len(those), 'node')}, as {those[0]['host']}{_reboot(those[0])}", those[0])
    if len(alike) > MOST_STEPS:
        lines.append(f"  and {len(alike) - MOST_STEPS} more kinds of steps, in the JSON")
    return lines + held


def _held_back(hosts: Hosts) -> list[str]:
    """What is not planned, since a reboot would do harm."""
    whys = {host: entry["held_back"] for host, entry in hosts.items() if entry.get("held_back")}
    lines: list[str] = []
    groups = by_reason(whys)
    for why, those in groups[:MOST_STEPS]:
        lines += wrap(f"{abbreviate(those)}: {why}", "  HELD BACK  ", "      ")
    if len(groups) > MOST_STEPS:
        lines.append(f"  HELD BACK  {len(groups) - MOST_STEPS} more kinds of reasons, in the JSON")
    return lines


def _cures(head: str, step: Mapping[str, Any]) -> list[str]:
    lines = [plain(head).rjust(len(head))]
    for role, values in step["roles"].items():
        lines += wrap(f"{role}{variables(values)}", "         ", "             ")
    return lines


def _reboot(step: Mapping[str, Any]) -> str:
    return ", with one reboot" if step["reboot"] else ", without a reboot"


# --- after -------------------------------------------------------------------------------------------


def outcomes(hosts: Hosts, paint: Paint) -> list[str]:
    """What became of each node, and what changed."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for host, entry in hosts.items():
        status, why = entry["outcome"]["status"], entry["outcome"]["why"]
        change: Any = host if len(hosts) <= FEW else _change(entry) if _tells(entry) else ()
        groups.setdefault((status, why, change, entry["held_back"]), []).append(host)
    lines: list[str] = []
    for key in sorted(groups, key=lambda key: (STATUSES.index(key[0]), natural(groups[key][0]))):
        status, why = key[0], key[1]
        those = groups[key]
        entry = hosts[those[0]]
        who = name_of(those[0], entry) if len(those) == 1 else f"{len(those)} nodes, {abbreviate(those, 70)}"
        lines += paint(
            wrap(f"{status.upper()}: {who}{f': {why}' if why else ''}", "", "    "), status.upper()
        )
        if _tells(entry):
            lines += _changes(those, hosts)
        if entry["held_back"] not in ("", why):
            lines += wrap(entry["held_back"], "    held back   ", "                ")
    return lines


def _changes(those: Sequence[str], hosts: Hosts) -> list[str]:
    entry = hosts[those[0]]
    before, was, now = entry["before"], entry["before"]["on_panic"]["outcome"], entry["on_panic"]["outcome"]
    kernel = fact(entry, "kernel")
    boots = ""
    if before["boot_id"] and kernel.get("boot_id"):
        boots = ", rebooted" if before["boot_id"] != kernel["boot_id"] else ", not rebooted"
    then, today = before["release"] or "unknown", kernel.get("release") or "unknown"
    lines = [f"    on a panic  {WORDS[was]} -> {WORDS[now]}"]
    lines += wrap(f"{then} -> {today}{boots}", "    kernel      ", "                ")
    for name in ("cured", "left", "new"):
        keys = Counter(key for host in those for key in (hosts[host]["difference"] or {}).get(name, []))
        words = [f"{named(key)}{f' ({number})' if len(those) > 1 else ''}" for key, number in keys.items()]
        if words:
            lines += wrap(", ".join(words), f"    {name:<12}", "                ")
    return lines


def _tells(entry: Entry) -> bool:
    """Was this node touched, and is it known how it is now?"""
    dark = entry["unreachable"] or entry["unreadable"]
    return entry["outcome"]["status"] in ("done", "failed") and not dark


def _change(entry: Entry) -> tuple[Any, ...]:
    """What nodes of one group have in common."""
    before = entry["before"]
    return (
        before["on_panic"]["outcome"],
        entry["on_panic"]["outcome"],
        before["release"],
        fact(entry, "kernel").get("release"),
    )
