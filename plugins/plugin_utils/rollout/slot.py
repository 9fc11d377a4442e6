# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this node be touched now? One pure decision over the state of the ledger.

*wait* is for what time or another node of this run will change; *refused* for what it will not. So nobody waits for
ever: every rule that answers *wait* names a node that is under way, a node that comes before, or a time. A node under
way whose last task never ended, such as one that a hook took out of the play, is counted as failed by those that wait
for it, once no worker of the run does anything any more (`rollout_slot`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import calendar
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import DONE, FAILED, HELD, State
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.waves import FAILED_BEFORE, HALF_WAY

GRANTED, WAIT, REFUSED = "granted", "wait", "refused"
# Seconds that a free place is kept for the node whose turn it is: its worker may only be starting.
TURN = 10.0
# Seconds that a node waits for an unhealthy one that comes after it, and perhaps never gets a worker beside it.
PATIENCE = 60.0


class Grant(TypedDict):
    """*cause* is one word for *why*, '' when granted; *first*: of those that wait in the wave, it comes first."""

    answer: str
    why: str
    cause: str
    halfway: bool
    first: bool


def decide(state: State, host: str, now: float) -> Grant:
    """What *host* gets that asks at *now* (epoch seconds) in the last run of *state*."""
    node = state.node(host)
    if node.status == DONE:
        return _answer(DONE, "it is done", "done")
    if state.plan is None or host not in state.wave_of:
        return _answer(REFUSED, "it is not in the plan", "plan")
    if node.refused == state.last:
        return _answer(REFUSED, node.why, "again")
    if node.run == state.last and node.status == FAILED:
        return _answer(REFUSED, f"it failed in this run: {node.why}", "again")
    if node.run == state.last and node.status == HELD:
        return _answer(GRANTED, halfway=node.halfway)
    halfway = node.status == HELD
    turn = _Turn(state, host, now)
    for rule in _RULES:
        stop = rule(turn)
        if stop:
            answer, cause, why = stop
            return _answer(answer, why, cause, halfway, first=turn.rank == 0)
    return _answer(GRANTED, halfway=halfway)


def ended(state: State, host: str) -> bool:
    """Whether this run has nothing more to do for *host*."""
    node = state.node(host)
    return (
        node.status == DONE
        or node.refused == state.last
        or (node.run == state.last and node.status == FAILED)
    )


def _answer(answer: str, why: str = "", cause: str = "", halfway: bool = False, first: bool = False) -> Grant:
    return {"answer": answer, "why": why, "cause": cause, "halfway": halfway, "first": first}


class _Turn:
    """One question, and what several rules need to know for it."""

    def __init__(self, state: State, host: str, now: float) -> None:
        self.state, self.host, self.now = state, host, now
        self.plan: Mapping[str, Any] = state.plan or {}
        self.number = state.wave_of[host]
        self.wave: Mapping[str, Any] = self.plan["waves"][self.number]
        self.held = state.with_status(HELD, state.last)
        self.waiting = [
            other for other in self.wave["hosts"] if not ended(state, other) and other not in self.held
        ]
        self.rank = self.waiting.index(host)
        self.zones: Mapping[str, str] = self.plan["zones"]

    @property
    def soaked(self) -> float:
        """When the soak after what came before is over; 0 when there is none to wait for."""
        # A wave that was not touched needs no soak, and hides none of the wave before it.
        ends = [
            max(node.since for node in touched) + wave["soak"]
            for wave in self.plan["waves"][: self.number]
            if (touched := [node for node in map(self.state.node, wave["hosts"]) if _touched(node)])
        ]
        if self.wave["name"] not in (HALF_WAY, FAILED_BEFORE):
            ends.append(self.plan.get("not_before") or 0.0)
        return max(ends, default=0.0)

    def unavailable(self, host: str) -> set[str]:
        """The other nodes of the zone of *host* that serve nobody: under way, half-way, failed, or unhealthy before."""
        zone = self.zones.get(host, "")
        down = {
            other
            for other in (self.plan.get("unavailable") or {}).get(zone, [])
            if not (self.state.node(other).status == DONE and self.state.node(other).run == self.state.last)
        }
        down |= {
            other
            for other, node in self.state.nodes.items()
            if node.status in (HELD, FAILED) and self.zones.get(other, "") == zone
        }
        return down - {host}

    def is_down(self, host: str) -> bool:
        """Whether it serves nobody already, so that taking it makes nothing worse."""
        known = (self.plan.get("unavailable") or {}).get(self.zones.get(host, ""), [])
        return host in known or self.state.node(host).status in (HELD, FAILED)

    def fits(self, host: str, before: list[str]) -> str:
        """Why there is no room for *host* when *before* take places first; '' when there is."""
        under_way = [*self.held, *before]
        if len(under_way) >= self.wave["in_flight"]:
            return f"{_some(under_way)} under way, {self.wave['in_flight']} at once"
        zone = self.zones.get(host, "")
        of_zone = [other for other in under_way if self.zones.get(other, "") == zone]
        if self.wave["per_zone"] and len(of_zone) >= self.wave["per_zone"]:
            return f"{_some(of_zone)} of {zone} under way, {self.wave['per_zone']} at once in a zone"
        limit = (self.plan.get("max_unavailable") or {}).get(zone)
        if limit is not None and not self.is_down(host):
            down = self.unavailable(host) | {other for other in of_zone if other != host}
            if len(down) >= limit:
                return f"{_some(sorted(down))} of {zone} not available, {limit} at once"
        return ""


def _touched(node: Any) -> bool:
    return node.status in (DONE, FAILED)


def _some(hosts: list[str]) -> str:
    return f"{_names(hosts)} {'is' if len(hosts) == 1 else 'are'}"


def _names(hosts: list[str]) -> str:
    return ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")


# --- the rules, in their order: what is refused first, so that nobody waits for it in vain --------------

_Stop = tuple[str, str, str] | None


def _budget(turn: _Turn) -> _Stop:
    # Those of this run: an earlier run's are why there is another one.
    failed = [host for host in turn.state.failures() if host != turn.host]
    if len(failed) > turn.plan["budget"]:
        return REFUSED, "budget", f"{_names(failed)} failed, {turn.plan['budget']} tolerated"
    return None


def _open_wave(turn: _Turn) -> _Stop:
    for wave in turn.plan["waves"][: turn.number]:
        left = [host for host in wave["hosts"] if not ended(turn.state, host)]
        if left:
            return (
                REFUSED,
                "wave",
                f"'{wave['name']}' comes before '{turn.wave['name']}': {_some(left)} not ended",
            )
    return None


def _window(turn: _Turn) -> _Stop:
    windows = turn.plan.get("windows") or []
    if not windows:
        return None
    start = max(turn.now, turn.soaked)
    seconds = (turn.plan.get("seconds") or {}).get(turn.host, 0)
    why = calendar.why_not(windows, turn.plan["time_zone"], start, seconds)
    return (REFUSED, "window", why) if why else None


def _pause(turn: _Turn) -> _Stop:
    pause, run = turn.state.paused, turn.state.run
    if pause is None or run is None:
        return None
    left = max(pause.since, run.since) + turn.plan["pause_timeout"] - turn.now
    why = f"paused by {pause.by or 'somebody'}{f': {pause.why}' if pause.why else ''}"
    if left <= 0:
        return REFUSED, "paused", f"{why}, for longer than {turn.plan['pause_timeout']} s"
    return WAIT, "paused", f"{why}; the rest is refused in {left:.0f} s"


def _soak(turn: _Turn) -> _Stop:
    left = turn.soaked - turn.now
    return (
        (WAIT, "soak", f"the wave before shows what it is like for {left:.0f} s more") if left > 0 else None
    )


def _available(turn: _Turn) -> _Stop:
    """Refused when so many are down for good that no end of another node makes room."""
    zone = turn.zones.get(turn.host, "")
    limit = (turn.plan.get("max_unavailable") or {}).get(zone)
    if limit is None or turn.is_down(turn.host):
        return None
    down = turn.unavailable(turn.host)
    idle = not turn.held and turn.now - max(turn.state.moved, turn.soaked) >= PATIENCE
    coming = turn.waiting[: turn.rank] if idle else turn.waiting
    for_good = down - {*turn.held, *coming}
    if len(for_good) >= limit:
        return REFUSED, "unavailable", f"{_some(sorted(for_good))} of {zone} not available, {limit} tolerated"
    return None


def _room(turn: _Turn) -> _Stop:
    why = turn.fits(turn.host, [])
    if why:
        return WAIT, "room", why
    before: list[str] = []
    for other in turn.waiting[: turn.rank]:
        if len(turn.held) + len(before) >= turn.wave["in_flight"]:
            break
        if not turn.fits(other, before):
            before.append(other)
    why = turn.fits(turn.host, before)
    free_for = turn.now - max(turn.state.moved, turn.soaked)
    if why and free_for < TURN:
        return WAIT, "turn", f"the place is kept for {before[0]}, whose turn it is"
    return None


_RULES = (_budget, _open_wave, _window, _pause, _soak, _available, _room)
