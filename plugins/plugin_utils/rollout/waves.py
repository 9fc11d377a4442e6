# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which order, and how many at once? From steps to waves. Pure.

The order: nodes that an earlier run left half-way, those that failed in it, canaries, then zone by zone. A wave never
begins before the one before it is complete, and one of a zone holds nodes of that zone only. A node that is dark has no
place in any.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Step
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.hosts import Host, zone_of
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.settings import (
    AUTO,
    Amount,
    Settings,
    WaveWanted,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import DONE, FAILED, HELD, State

HALF_WAY, FAILED_BEFORE, CANARIES = "half-way", "failed before", "canaries"
# Of a plan of one node, which needs no zone.
ALONE = "one node"
# Names in a message; the rest is counted.
MOST_NAMES = 20


class Past(TypedDict):
    """What earlier runs of this rollout left. ``canaries``: those of its first plan, None when this is the first.

    ``not_before``: when the soak is over that was cut short; epoch seconds, 0 for none.
    """

    halfway: list[str]
    failed: list[str]
    done: list[str]
    canaries: list[str] | None
    not_before: float


class Wave(TypedDict):
    """``in_flight`` at once at most, ``per_zone`` of one zone (0: no limit), ``soak`` seconds after it."""

    name: str
    hosts: list[str]
    in_flight: int
    per_zone: int
    soak: int


class Rollout(TypedDict):
    """What the ledger keeps of a plan. Another ``goal`` is another rollout. ``seconds``: expected, by host.

    ``canaries``: also those that are done, or stand in another wave by now. ``not_before``: as of `Past`, for waves
    after those of half-way and failed nodes. ``notes``: sentences on what was decided here that a person should know.
    """

    kind: str
    goal: str
    waves: list[Wave]
    canaries: list[str]
    zones: dict[str, str]
    budget: int
    unavailable: dict[str, list[str]]
    max_unavailable: dict[str, int]
    windows: list[dict[str, Any]]
    time_zone: str
    seconds: dict[str, int]
    power_cycles: int
    pause_timeout: int
    not_before: float
    notes: list[str]


FIRST: Past = {"halfway": [], "failed": [], "done": [], "canaries": None, "not_before": 0.0}


def make(
    steps: Sequence[Step],
    hosts: Mapping[str, Host],
    settings: Settings,
    past: Past | None = None,
    *,
    kind: str,
    goal: str,
    forks: int | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Rollout:
    """The rollout of *steps*. *hosts*: all of the play; *past*: None for the first run of a rollout; *forks*: of
    Ansible; *seconds*: expected, by host.

    Hosts that are done or dark are left out. Raises FleetopsError for hosts without a zone or in several, canaries that
    cannot be canaries, more nodes at once than forks, and zones in which nothing could begin; all in one message each.
    """
    past = past or FIRST
    order = _Order(steps, hosts, settings, past)
    waves = order.waves()
    _check_forks(waves, settings, forks)
    planned = [host for wave in waves for host in wave["hosts"]]
    unavailable = order.unavailable()
    limits = order.limits(unavailable)
    away = {host for those in unavailable.values() for host in those}
    known = seconds or {}
    return {
        "kind": kind,
        "goal": goal,
        "waves": waves,
        "canaries": order.canaries,
        "zones": {
            host: order.zone(host) for host in [*planned, *sorted(away.difference(planned), key=natural)]
        },
        "budget": settings["budget"].of(len(planned), 0),
        "unavailable": unavailable,
        "max_unavailable": limits,
        "windows": settings["windows"],
        "time_zone": settings["time_zone"],
        "seconds": {host: math.ceil(known.get(host, settings["node_seconds"])) for host in planned},
        "power_cycles": settings["power_cycles"],
        "pause_timeout": settings["pause_timeout"],
        "not_before": past["not_before"],
        "notes": order.notes,
    }


def ordered(steps: Sequence[Step], rollout: Rollout) -> list[Step]:
    """The steps in the order of the rollout, each with the number of its wave; those without a place are left out."""
    by_host = {step["host"]: step for step in steps}
    found: list[Step] = []
    for number, wave in enumerate(rollout["waves"]):
        found += [{**by_host[host], "wave": number} for host in wave["hosts"]]
    return found


def past_of(state: State) -> Past:
    """What an unfinished rollout left, from its ledger. Ask before the run of today begins in it."""
    if state.plan is None:
        return FIRST
    return {
        "halfway": state.with_status(HELD),
        "failed": state.with_status(FAILED),
        "done": state.with_status(DONE),
        "canaries": list(state.plan.get("canaries") or []),
        "not_before": soaked(state),
    }


def soaked(state: State) -> float:
    """When the soak after the waves that are complete is over, also after those of earlier plans; 0 for none."""
    plan: Mapping[str, Any] = state.plan or {}
    ends = [float(plan.get("not_before") or 0.0)]
    for wave in plan.get("waves") or ():
        nodes = [state.node(host) for host in wave["hosts"]]
        if nodes and all(node.status in (DONE, FAILED) for node in nodes):
            ends.append(max(node.since for node in nodes) + wave["soak"])
    return max(ends)


class _Order:
    """One plan under way. Steps of hosts that are done or dark are not in it."""

    def __init__(
        self, steps: Sequence[Step], hosts: Mapping[str, Host], settings: Settings, past: Past
    ) -> None:
        self.hosts, self.settings, self.past = hosts, settings, past
        self.notes: list[str] = []
        out = {*past["done"], *(host for host, about in hosts.items() if about["dark"])}
        known = {step["host"]: step["zone"] for step in steps if step["host"] not in out}
        self.planned = sorted(known, key=natural)
        if len(self.planned) > 1:
            _check_zones(self.planned, hosts)
        self.sizes = Counter(zone_of(about) for about in hosts.values())
        self.first = {
            HALF_WAY: self._left(past["halfway"], ()),
            FAILED_BEFORE: self._left(past["failed"], past["halfway"]),
        }
        taken = {host for those in self.first.values() for host in those}
        self.fresh = [host for host in self.planned if host not in taken]
        _check_canaries_left(past, self.planned, self.fresh, hosts)
        self.canaries = self._canaries()

    def zone(self, host: str) -> str:
        """The zone of a host of the play; '' when it has none."""
        return zone_of(self.hosts[host])

    def _left(self, names: Sequence[str], taken: Sequence[str]) -> list[str]:
        those = set(names).difference(taken)
        return sorted((host for host in self.planned if host in those), key=self._place)

    def _place(self, host: str) -> tuple[Any, ...]:
        """Zone by zone; the controller's own machine last, since the run ends with it."""
        return natural(self.zone(host)), self.hosts[host]["controller"], natural(host)

    # --- canaries ---

    def _canaries(self) -> list[str]:
        wanted = self.settings["canaries"]
        if self.past["canaries"] is not None:
            return self.past["canaries"]  # chosen once: a rollout that goes on looks for no others
        if isinstance(wanted, list):
            _check_canaries(wanted, self.hosts)
            idle = [host for host in wanted if host not in self.planned]
            if idle:
                self.notes.append(f"nothing is to be done on these canaries: {_some(idle)}")
            return [host for host in wanted if host in self.planned]
        return self._chosen(None if wanted == AUTO else int(wanted))

    def _chosen(self, most: int | None) -> list[str]:
        """One node for each kind of hardware and kernel, the largest kind first; *most*: so many, in turns."""
        kinds: dict[tuple[Any, ...], list[str]] = {}
        for host in self.fresh:
            about = self.hosts[host]
            if not about["controller"]:
                kinds.setdefault((about["hardware"], about["release"] or ""), []).append(host)
        largest = sorted(kinds.values(), key=lambda those: (-len(those), natural(those[0])))
        turns = 1 if most is None else math.ceil(most / max(1, len(largest)))
        used: Counter[str] = Counter()
        found: list[str] = []
        for _turn in range(turns):
            for those in largest:
                left = [host for host in those if host not in found]
                if not left or len(found) == most:
                    continue
                # A healthy one, and of a zone that gave none yet: no zone shall bear it alone.
                best = min(
                    left,
                    key=lambda host: (
                        bool(self.hosts[host]["unhealthy"]), used[self.zone(host)], *self._place(host),
                    ),
                )  # fmt: skip
                used[self.zone(best)] += 1
                found.append(best)
        if most and len(largest) > most:
            self.notes.append(f"{len(largest) - most} of {len(largest)} kinds of nodes have no canary")
        return found

    # --- waves ---

    def waves(self) -> list[Wave]:
        """All waves in their order. The last one needs no soak."""
        found = []
        for name, those in self.first.items():
            if those:
                # They change nothing that was not changed already; but for a canary, which was to be looked on at.
                soak = self.settings["soak"] if set(those) & set(self.canaries) else 0
                found.append(self._wave(name, those, soak=soak))
        canaries = [host for host in self.canaries if host in self.fresh]
        rest = sorted((host for host in self.fresh if host not in set(canaries)), key=self._place)
        if self.settings["waves"]:
            found += self._as_wanted(canaries, rest)
        else:
            found += self._canary_wave(canaries) + self._by_zone(rest)
        if found:
            found[-1]["soak"] = 0
        return found

    def _canary_wave(self, hosts: list[str]) -> list[Wave]:
        # One at a time: what breaks every node shall break one.
        return [self._wave(CANARIES, hosts, Amount.nodes(1))] if hosts else []

    def _by_zone(self, hosts: Sequence[str]) -> list[Wave]:
        zones: dict[str, list[str]] = {}
        for host in hosts:
            zones.setdefault(self.zone(host), []).append(host)
        return [self._wave(zone or ALONE, those) for zone, those in zones.items()]

    def _wave(
        self, name: str, hosts: list[str], in_flight: Amount | None = None, soak: int | None = None
    ) -> Wave:
        settings = self.settings
        at_once = (in_flight or settings["in_flight"]).of(len(self.planned))
        per_zone = 0
        if settings["per_zone"]:
            zones = {self.zone(host) for host in hosts}
            per_zone = min(settings["per_zone"].of(self.sizes[zone]) for zone in zones)
            at_once = min(at_once, per_zone * len(zones))
        return {
            "name": name,
            "hosts": hosts,
            "in_flight": min(at_once, len(hosts)),
            "per_zone": per_zone,
            "soak": settings["soak"] if soak is None else soak,
        }

    def _as_wanted(self, canaries: list[str], rest: list[str]) -> list[Wave]:
        """The site's own waves, cut from canaries and zones in their order; the last size again until none is left."""
        wanted = list(self.settings["waves"])
        _check_named(wanted, self.hosts)
        named = {host for wave in wanted if isinstance(wave["hosts"], list) for host in wave["hosts"]}
        section = {**{host: self.zone(host) for host in rest}, **dict.fromkeys(canaries, CANARIES)}
        queue = [host for host in [*canaries, *rest] if host not in named]
        fresh = set(self.fresh)
        found: list[Wave] = []
        number = 0
        while wanted or queue:
            if wanted:
                wave = wanted.pop(0)
            elif isinstance(wave["hosts"], list):
                return (
                    found
                    + self._canary_wave([host for host in queue if section[host] == CANARIES])
                    + (self._by_zone([host for host in queue if section[host] != CANARIES]))
                )
            if isinstance(wave["hosts"], list):
                parts = [[host for host in wave["hosts"] if host in fresh]]
            else:
                size = wave["hosts"].of(len(self.planned))
                parts, queue = _cut(queue[:size], section), queue[size:]
            number += 1
            for part in parts:
                if part:
                    of = (
                        section.get(part[0], "")
                        if len(parts) > 1 or not isinstance(wave["hosts"], list)
                        else ""
                    )
                    at_once = wave["in_flight"] or (Amount.nodes(1) if of == CANARIES else None)
                    name = f"wave {number}{f', {of}' if of else ''}"
                    found.append(self._wave(name, part, at_once, wave["soak"]))
        return found

    # --- availability ---

    def unavailable(self) -> dict[str, list[str]]:
        """By zone, the hosts that serve nobody before anything began."""
        found: dict[str, list[str]] = {}
        for host, about in self.hosts.items():
            if about["dark"] or about["unhealthy"]:
                found.setdefault(zone_of(about), []).append(host)
        return {zone: sorted(found[zone], key=natural) for zone in sorted(found, key=natural)}

    def limits(self, unavailable: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """By zone, how many may be unavailable. Raises FleetopsError for zones in which no healthy node could begin."""
        limit = self.settings["max_unavailable"]
        if limit is None:
            return {}
        zones = sorted({self.zone(host) for host in self.planned}, key=natural)
        found = {zone: limit.of(self.sizes[zone]) for zone in zones}
        stuck, planned = [], set(self.planned)
        for zone, most in found.items():
            # Those that are planned will serve again.
            gone = [host for host in unavailable.get(zone, ()) if host not in planned]
            down = {*unavailable.get(zone, ()), *(host for those in self.first.values() for host in those)}
            waiting = [host for host in self.planned if self.zone(host) == zone and host not in down]
            if waiting and len(gone) >= most:
                stuck.append(
                    f"{zone or 'no zone'}: {len(gone)} of {self.sizes[zone]} ({_some(gone)}), {most} allowed"
                )
        if stuck:
            raise FleetopsError(
                f"So many nodes are unavailable already that no other may be touched by fleetops_max_unavailable "
                f"({limit}): {'; '.join(stuck)}",
                zones=stuck,
            )
        return found


def _cut(hosts: Sequence[str], section: Mapping[str, str]) -> list[list[str]]:
    """Where a zone ends, or the canaries do, a wave ends."""
    parts: list[list[str]] = []
    for host in hosts:
        if not parts or section[parts[-1][-1]] != section[host]:
            parts.append([])
        parts[-1].append(host)
    return parts


# --- what cannot be --------------------------------------------------------------------------------


def _check_zones(planned: Sequence[str], hosts: Mapping[str, Host]) -> None:
    lost = [host for host in planned if not hosts[host]["zones"]]
    torn = [
        f"{host} ({', '.join(hosts[host]['zones'])})" for host in planned if len(hosts[host]["zones"]) > 1
    ]
    problems = []
    if lost:
        problems.append(f"{len(lost)} planned hosts have no zone: {', '.join(lost)}")
    if torn:
        problems.append(f"{len(torn)} planned hosts are in several: {', '.join(torn)}")
    if problems:
        raise FleetopsError(
            f"{'; '.join(problems)}. A rollout goes zone by zone: set fleetops_zone for each of them, or put each into "
            "one group that fleetops_zone_groups names",
            hosts=[host for host in planned if len(hosts[host]["zones"]) != 1],
        )


def _check_canaries(wanted: Sequence[str], hosts: Mapping[str, Host]) -> None:
    problems = []
    for host in wanted:
        about = hosts.get(host)
        if about is None:
            problems.append(f"{host} is not among the hosts of this play")
        elif about["dark"]:
            problems.append(f"{host} is dark ({about['dark']})")
        elif about["controller"]:
            problems.append(f"{host} is the machine that this run itself is on, which would end with it")
    if problems:
        raise FleetopsError(f"These cannot be canaries (fleetops_canaries): {'; '.join(problems)}")


def _check_canaries_left(
    past: Past, planned: Sequence[str], fresh: Sequence[str], hosts: Mapping[str, Host]
) -> None:
    """A canary that failed or never ended has shown nothing: while it is away, nobody may follow it."""
    left = {**dict.fromkeys(past["failed"], "failed"), **dict.fromkeys(past["halfway"], "half-way")}
    away = []
    for host in past["canaries"] or ():
        if host in left and host not in planned:
            about = hosts.get(host)
            why = (
                "is not among the hosts of this play" if about is None else about["dark"] or "is not planned"
            )
            away.append(f"{host} ({left[host]}; {why})")
    if away and fresh:
        raise FleetopsError(
            f"No other node may begin, since these canaries did not end well and are not in this plan: "
            f"{', '.join(away)}. Bring them back and run the same command again, or give the rollout up by "
            "-e fleetops_abandon=true"
        )


def _check_named(wanted: Sequence[WaveWanted], hosts: Mapping[str, Host]) -> None:
    names = [host for wave in wanted if isinstance(wave["hosts"], list) for host in wave["hosts"]]
    odd = sorted({host for host in names if host not in hosts}, key=natural)
    twice = sorted({host for host, number in Counter(names).items() if number > 1}, key=natural)
    if odd or twice:
        problems = [f"not among the hosts of this play: {', '.join(odd)}"] if odd else []
        problems += [f"in several waves: {', '.join(twice)}"] if twice else []
        raise FleetopsError(f"fleetops_waves names hosts that are {'; '.join(problems)}")


def _check_forks(waves: Sequence[Wave], settings: Settings, forks: int | None) -> None:
    wanted = [settings["in_flight"], *(wave["in_flight"] for wave in settings["waves"] if wave["in_flight"])]
    planned = sum(len(wave["hosts"]) for wave in waves)
    most = max(amount.of(planned) for amount in wanted)
    if forks is not None and most > forks and planned:
        asked = ", ".join(dict.fromkeys(str(amount) for amount in wanted))
        raise FleetopsError(
            f"fleetops_in_flight ({asked}) asks for {most} nodes at once, but Ansible has {forks} forks: run with "
            f"--forks {most}, or set forks in ansible.cfg",
            in_flight=most,
            forks=forks,
        )


def _some(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - MOST_NAMES} more" if len(hosts) > MOST_NAMES else ""
    return ", ".join(hosts[:MOST_NAMES]) + more
