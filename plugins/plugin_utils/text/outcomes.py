# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What became of each node, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.findings import named
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.lines import (
    FEW,
    WORDS,
    Entry,
    Hosts,
    Paint,
    abbreviate,
    fact,
    name_of,
    wrap,
)

STATUSES = ("failed", "not attempted", "done", "planned", "nothing to do")


def told(hosts: Hosts, paint: Paint) -> list[str]:
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
