# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a rollout stands, for somebody who looks at it from another terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import calendar, estimate, waves
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import (
    DONE,
    FAILED,
    HELD,
    REFUSED,
    WAITING,
    State,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.table import (
    WIDTH,
    columns,
    field,
    grouped,
    minutes,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text import lines

NOBODY = "held by no living process"
SAID = {DONE: "done", HELD: "under way", WAITING: "waiting", FAILED: "failed", REFUSED: "not attempted"}
# Names on a line of those of whom there is nothing else to say.
NAMES = WIDTH - 20


def status_text(state: State, sentence: str, gone: Collection[str], now: float, alive: bool = True) -> str:
    """*sentence*: who rolls; *gone*: hosts whose place no living process holds; *alive*: somebody does roll."""
    plan: Mapping[str, Any] = state.plan or {}
    of_host = statuses(state)
    counts = Counter(of_host.values())
    share = counts[DONE] / len(of_host) if of_host else 1.0
    found = [f"ROLLOUT: {plan.get('goal') or plan.get('kind') or 'no plan yet'}", ""]
    found += field("Held by", sentence)
    tally = [f"{counts[status]} {words}" for status, words in SAID.items() if counts[status]]
    found += field("Nodes", f"{', '.join(tally) or 'none planned'}, of {len(of_host)} ({share:.0%} done)")
    found += _when(state, counts, now, alive)
    found += _under_way(state, of_host, gone, now)
    for status in (FAILED, REFUSED):
        whys = {
            host: state.node(host).why or "nobody said why" for host, one in of_host.items() if one == status
        }
        found += ["", *grouped(SAID[status].upper(), whys)] if whys else []
    found += ["", *grouped("DARK WHEN LOOKED AT", state.dark)] if state.dark else []
    for status in (WAITING, DONE):
        those = [host for host, one in of_host.items() if one == status]
        if those:
            head = f"{SAID[status].upper()}: {lines.count(len(those), 'node')}: "
            found += ["", head + lines.abbreviate(those, WIDTH - len(head))]
    return "\n".join(line.rstrip() for line in found)


def statuses(state: State) -> dict[str, str]:
    """How each node stands in the last run: what an earlier one failed or did not attempt waits again, if planned."""
    found: dict[str, str] = {}
    planned = set(state.planned)
    for host in sorted({*planned, *state.nodes}, key=natural):
        node = state.node(host)
        again = host in planned and state.last not in (node.run, node.refused)
        if host not in planned and node.status in (WAITING, REFUSED):
            continue  # there is nothing to do on it any more
        if node.refused == state.last and node.status != DONE:
            found[host] = REFUSED
        else:
            found[host] = WAITING if again and node.status in (FAILED, REFUSED) else node.status
    return found


def _when(state: State, counts: Mapping[str, int], now: float, alive: bool) -> list[str]:
    plan: Mapping[str, Any] = state.plan or {}
    zone = str(plan.get("time_zone") or "UTC")
    if state.paused:
        why = f": {state.paused.why}" if state.paused.why else ""
        return field(
            "PAUSED", f"by {state.paused.by or 'somebody'}, for {minutes(now - state.paused.since)}{why}"
        )
    budget = int(plan.get("budget") or 0)
    failed = state.with_status(FAILED, state.last)
    if alive and len(failed) > budget:
        return field("STOPPING", f"{len(failed)} failed, {budget} tolerated: no other node begins")
    left = counts.get(WAITING, 0) + counts.get(HELD, 0)
    course = estimate.eta(state, now) if alive and left else None
    if course is None:
        return []
    found = []
    soaked = waves.soaked(state)
    if soaked > now and not counts.get(HELD):
        found += field("Soak", f"until {calendar.say(soaked, zone)}, {minutes(soaked - now)} more")
    if course.never:
        return found + field("Left", f"no maintenance window is long enough for {', '.join(course.never)}")
    several = f", in {course.parts} maintenance windows" if course.parts > 1 else ""
    until = f"about {minutes(course.end - now)}, until {calendar.say(course.end, zone)}{several}, if nothing fails"
    return found + field("Left", until)


def _under_way(state: State, of_host: Mapping[str, str], gone: Collection[str], now: float) -> list[str]:
    those = [host for host, status in of_host.items() if status == HELD]
    if not those:
        return []
    zones: Mapping[str, str] = (state.plan or {}).get("zones") or {}
    rows = [("HOST", "ZONE", "STAGE", "SINCE", "IN ALL", "")]
    for host in sorted(those, key=lambda one: (state.node(one).acquired, natural(one))):
        node = state.node(host)
        left = f"left half-way by run {node.run}" if node.run != state.last else ""
        rows.append(
            (
                lines.plain(host),
                lines.plain(zones.get(host, "")),
                lines.plain(node.stage or "begun"),
                minutes(now - node.since),
                minutes(now - node.acquired),
                NOBODY.upper() if host in gone else left,
            )
        )
    return ["", f"UNDER WAY: {lines.count(len(those), 'node')}", *columns(rows)]
