# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long will it take? From what earlier rollouts took, by playing the window through. Pure.

The window is first in, first out in the order of the plan, as the places are given. Where a node would not be through
before the maintenance window closes, the rest goes on in the next one: that takes the same command again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import calendar, slot, waves
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import HELD, State

# So many measured nodes of a kind make a median that says more than that of all kinds.
ENOUGH = 3
# Seconds that a node is given which is under way for longer than it was thought to need.
OVERDUE = 60.0


class Measured(NamedTuple):
    """A node of an earlier rollout, and its seconds from taking its place to giving it back."""

    kind: str
    hardware: str
    zone: str
    seconds: float


class Expected(NamedTuple):
    """``seconds`` by host. ``basis``: what they are taken from, in words."""

    seconds: dict[str, int]
    basis: str


class Course(NamedTuple):
    """When each node begins and ends, when each wave begins, and when all is over; epoch seconds.

    ``parts``: in how many maintenance windows. ``never``: hosts for which no window is long enough; nothing that comes
    after them is in the course.
    """

    begins: dict[str, float]
    ends: dict[str, float]
    waves: list[float | None]
    end: float
    parts: int
    never: list[str]


def measured(states: Iterable[State], hardware: Mapping[str, str]) -> list[Measured]:
    """What was measured in the ledgers of *states*. *hardware*: of each host, as it is known today."""
    return [
        Measured(
            str(state.plan["kind"]), hardware.get(host, ""), str(state.plan["zones"].get(host, "")), seconds
        )
        for state in states
        if state.plan
        for host, seconds in state.durations().items()
    ]


def expected(
    hosts: Mapping[str, tuple[str, str]], kind: str, known: Sequence[Measured], default: float
) -> Expected:
    """The median of nodes alike: of their hardware, else of their zone, else of all of the same *kind* of rollout.

    *hosts*: hardware and zone of each.
    """
    alike = [one for one in known if one.kind == kind]
    groups: dict[tuple[str, str], list[float]] = {}
    for one in alike:
        for key in (("hardware", one.hardware), ("zone", one.zone), ("", "")):
            groups.setdefault(key, []).append(one.seconds)
    medians = {key: median(those) for key, those in groups.items() if len(those) >= ENOUGH or not key[0]}
    every = medians.get(("", ""), default)
    seconds = {
        host: math.ceil(medians.get(("hardware", hardware), medians.get(("zone", zone), every)))
        for host, (hardware, zone) in hosts.items()
    }
    if not alike:
        return Expected(seconds, f"fleetops_node_seconds ({default:g}), since nothing was measured yet")
    return Expected(seconds, f"the median of {len(alike)} measured {'node' if len(alike) == 1 else 'nodes'}")


# --- the course of a rollout -------------------------------------------------------------------------


def course(rollout: Mapping[str, Any], now: float) -> Course:
    """The course of a rollout that begins *now*, if every node takes what is expected, and none fails."""
    return _play(rollout, rollout["seconds"], now, {}, set(), 0.0)


def eta(state: State, now: float) -> Course | None:
    """The course of what is left of a rollout that is under way; None when there is none.

    What this rollout measured itself corrects what was expected of it.
    """
    if state.plan is None:
        return None
    seconds = _corrected(state)
    busy = {
        host: max(state.node(host).acquired + seconds.get(host, OVERDUE), now + OVERDUE)
        for host in state.with_status(HELD, state.last)
    }
    over = {host for host in state.planned if slot.ended(state, host)}
    return _play(state.plan, seconds, now, busy, over, waves.soaked(state))


def _corrected(state: State) -> dict[str, float]:
    plan: Mapping[str, Any] = state.plan or {}
    ratios = [
        seconds / plan["seconds"][host]
        for host, seconds in state.durations().items()
        if plan["seconds"].get(host)
    ]
    factor = median(ratios) if len(ratios) >= ENOUGH else 1.0
    return {host: value * factor for host, value in plan["seconds"].items()}


class _Floor:
    """Who is under way, and how many more may be."""

    def __init__(self, rollout: Mapping[str, Any], busy: Mapping[str, float]) -> None:
        self.zones: Mapping[str, str] = rollout["zones"]
        self.room = {
            zone: max(1, limit - len(rollout["unavailable"].get(zone, ())))
            for zone, limit in rollout["max_unavailable"].items()
        }
        self.heap = [(end, host) for host, end in busy.items()]
        heapq.heapify(self.heap)
        self.of_zone: dict[str, int] = {}
        for host in busy:
            self._count(host, 1)

    def _count(self, host: str, number: int) -> None:
        zone = self.zones.get(host, "")
        self.of_zone[zone] = self.of_zone.get(zone, 0) + number

    def take(self, host: str, end: float) -> None:
        heapq.heappush(self.heap, (end, host))
        self._count(host, 1)

    def fits(self, host: str, wave: Mapping[str, Any]) -> bool:
        zone = self.zones.get(host, "")
        limit = min(wave["per_zone"] or math.inf, self.room.get(zone, math.inf))
        return len(self.heap) < int(wave["in_flight"]) and self.of_zone.get(zone, 0) < float(limit)

    def next_end(self) -> float:
        end, host = heapq.heappop(self.heap)
        self._count(host, -1)
        return end


def _play(
    rollout: Mapping[str, Any],
    seconds: Mapping[str, float],
    now: float,
    busy: Mapping[str, float],
    over: set[str],
    soaked: float,
) -> Course:
    windows, zone = rollout["windows"], rollout["time_zone"]
    floor = _Floor(rollout, busy)
    begins: dict[str, float] = {}
    ends = dict(busy)
    first: list[float | None] = [None] * len(rollout["waves"])
    clock, openings = max(now, soaked), set[float]()
    for number, wave in enumerate(rollout["waves"]):
        left = [host for host in wave["hosts"] if host not in over]
        for host in left:
            if host in busy:
                continue
            while not floor.fits(host, wave):
                clock = max(clock, floor.next_end())
            if not calendar.fits_ever(windows, zone, clock, seconds[host]):
                return Course(begins, ends, first, max([now, *ends.values()]), len(openings), [host])
            clock = _next_fitting(windows, zone, clock, seconds[host])
            openings.add(calendar.closes(windows, zone, clock))
            begins[host], ends[host] = clock, clock + seconds[host]
            floor.take(host, ends[host])
            first[number] = clock if first[number] is None else first[number]
        if left:  # the next wave waits for all of this one
            clock = max(clock, *(ends[host] for host in left)) + wave["soak"]
    return Course(begins, ends, first, max([now, *ends.values()]), len(openings), [])


def _next_fitting(windows: Sequence[Any], zone: str, clock: float, seconds: float) -> float:
    """When the next window that is long enough opens."""
    while not calendar.fits(windows, zone, clock, seconds):
        clock = calendar.opens(windows, zone, max(clock, calendar.closes(windows, zone, clock)))
    return clock
