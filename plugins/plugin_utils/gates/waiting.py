# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long to wait, for which gates, and when it is over: the loop's reason without its clock. Pure.

Time is seconds of a clock that never goes back; whoever looks brings it along.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils import gates
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import gate

# Beside a gate's own, what `options` may hold for each.
OVERRIDES = ("timeout", "stable_for")
SPEAK_EVERY = 60.0
# What gates read that node_facts does not.
ASKED_APART = ("command", "prometheus")


@dataclasses.dataclass
class Awaited:
    """One gate that is waited for.

    ``patience``: seconds for which a plain no is waited on. ``since``: when it began to pass without a break;
    ``refused``: when it began to say no without one; ``seconds``: how long it took.
    """

    name: str
    options: dict[str, Any]
    timeout: float
    stable_for: float
    answer: Gate
    patience: float | None = None
    since: float | None = None
    refused: float | None = None
    seconds: float | None = None

    @property
    def open(self) -> bool:
        return self.seconds is not None and self.answer["passed"] is True


class Waiting:
    """A wait for gates. ``look`` after ``look`` until ``over``."""

    def __init__(
        self,
        names: Sequence[str],
        options: Mapping[str, Any],
        *,
        timeout: float = 600,
        interval: float = 10,
        stable_for: float | None = None,
        lost_after: float = 0,
        now: float = 0,
    ) -> None:
        """Raises FleetopsError, before anything is looked at, for a gate or an option that there is not.

        *stable_for*: None, as each gate says. *lost_after*: seconds in a row without an answer of the node after which
        the wait is over; 0: never before the time-out.
        """
        _check(names, options)
        self.begun, self.interval, self.lost_after = now, interval, lost_after
        self.dark_since: float | None = None
        self.answers = True
        self.looks = 0
        self._boot_id: str | None = None
        self._spoken: float | None = None
        self.gates = [
            self._awaited(name, dict(options.get(name) or {}), timeout, stable_for) for name in names
        ]

    @staticmethod
    def _awaited(name: str, options: dict[str, Any], timeout: float, stable_for: float | None) -> Awaited:
        kind = gates.kind(name)
        own = {key: options.pop(key) for key in OVERRIDES if key in options}
        found = Awaited(
            name=name,
            options=options,
            timeout=_seconds(name, "timeout", own.get("timeout", timeout)),
            patience=None if "timeout" in own else kind.timeout,
            stable_for=_seconds(
                name,
                "stable_for",
                own.get("stable_for", kind.stable_for if stable_for is None else stable_for),
            ),
            answer=gate(name, None, "cannot tell: not looked at yet"),
        )
        gates.judge({}, name, **options)  # raises for options that are none
        return found

    # --- one look --------------------------------------------------------------------------------------

    @property
    def closed(self) -> list[Awaited]:
        return [one for one in self.gates if not one.open]

    def reads(self) -> list[str]:
        """What the next look has to read: the parts that the gates need which are still closed.

        A look at the node tells of which boot it is as well: `kernel` has it, and by itself it is a single file.
        """
        parts = {part for one in self.closed for part in gates.kind(one.name).reads}
        of_node = parts - {*ASKED_APART}
        return sorted(parts if not of_node or "kernel" in of_node else parts | {"boot_id"})

    def answered(
        self, facts: Mapping[str, Any], now: float, own: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """The node was looked at. *own*: what was asked for single gates, by their name.

        What opened in a boot that is over says nothing about this one. This look did not read for it; the next does.
        """
        self.dark_since, self.answers = None, True
        self.looks += 1
        asked = self.closed
        boot_id = (facts.get("fleetops_kernel") or {}).get("boot_id") or facts.get("fleetops_boot_id")
        if boot_id and self._boot_id and boot_id != self._boot_id:
            self._start_anew(f"the node has booted again (boot_id {boot_id})")
        self._boot_id = boot_id or self._boot_id
        for one in asked:
            self._take(
                one, gates.judge({**facts, **((own or {}).get(one.name) or {})}, one.name, **one.options), now
            )

    def _start_anew(self, why: str) -> None:
        """Judge every gate anew."""
        for one in self.gates:
            one.since = one.refused = one.seconds = None
            one.answer = gate(one.name, None, f"cannot tell: {why}")

    def dark(
        self, why: str, now: float, own: Mapping[str, Mapping[str, Any]] | None = None, lost: bool = True
    ) -> None:
        """The node could not be looked at. Gates that do not read it are judged all the same (*own*).

        *lost*: it did not answer; false: it answered, and the look itself failed.
        """
        self.answers = not lost
        self.dark_since = (now if self.dark_since is None else self.dark_since) if lost else None
        self.looks += 1
        for one in self.closed:
            found = (own or {}).get(one.name)
            answer = gates.judge(found, one.name, **one.options) if found else None
            self._take(one, answer or gate(one.name, None, f"cannot tell: {why}"), now)

    def _take(self, one: Awaited, answer: Gate, now: float) -> None:
        one.answer = answer
        if answer["passed"] is not False:
            one.refused = None
        elif one.refused is None:
            one.refused = now
        if answer["passed"] is not True:
            one.since = None
            return
        one.since = now if one.since is None else one.since
        if now - one.since >= one.stable_for:
            one.seconds = now - self.begun

    # --- and then? -------------------------------------------------------------------------------------

    def over(self, now: float) -> str:
        """Why no further look is taken: ``open``, ``final``, ``lost`` or ``time``; empty: go on."""
        closed = self.closed
        if not closed:
            return "open"
        if any(one.answer["passed"] is False and gates.kind(one.name).final for one in closed):
            return "final"
        if self.dark_since is not None and 0 < self.lost_after <= now - self.dark_since:
            return "lost"
        # One whose time is over stays closed whatever becomes of the others.
        return "time" if any(now >= self._end(one) for one in closed) else ""

    def _end(self, one: Awaited) -> float:
        """When its time is over. One that passes and is only not stable yet gets the time to become it."""
        end = self.begun + one.timeout
        if one.since is not None:
            return max(end, one.since + one.stable_for)
        return end if one.patience is None or one.refused is None else min(end, one.refused + one.patience)

    def pause(self, now: float) -> float:
        """Seconds until the next look: the interval, or less when something ends before."""
        ends = [self._end(one) for one in self.closed]
        ends += [one.since + one.stable_for for one in self.closed if one.since is not None]
        if self.dark_since is not None and self.lost_after > 0:
            ends.append(self.dark_since + self.lost_after)
        return max(0.05, min([self.interval, *(end - now for end in ends if end > now)]))

    def says(self, now: float) -> list[str]:
        """What is to be told now: at once, and then each minute, what is still closed and why."""
        if not self.closed or (self._spoken is not None and now - self._spoken < SPEAK_EVERY):
            return []
        self._spoken = now
        limit = max(one.timeout for one in self.closed)
        return [
            f"{', '.join(names)}, {now - self.begun:.0f} of {limit:.0f} s: {why}"
            for why, names in _by_reason((one.name, _why(one, now)) for one in self.closed).items()
        ]

    def outcome(self, now: float) -> list[dict[str, Any]]:
        """Each gate with the seconds that it took, or was waited for. One that passed too briefly did not pass."""
        found = []
        for one in self.gates:
            answer = {
                **one.answer,
                "seconds": round(now - self.begun if one.seconds is None else one.seconds, 1),
            }
            if not one.open and one.answer["passed"] is True:
                answer.update(passed=None, reason=_why(one, now))
            found.append(answer)
        return found


def failures(outcome: Sequence[Mapping[str, Any]]) -> str:
    """Each closed gate with its reason; empty when all are open."""
    closed = [one for one in outcome if one["passed"] is not True]
    return "; ".join(
        f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} closed after "
        f"{max(one['seconds'] for one in closed if one['name'] in names):.0f} s: {why}"
        for why, names in _by_reason((one["name"], one["reason"]) for one in closed).items()
    )


def _by_reason(found: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Names by their reason: a node that is away closes all for the same one."""
    reasons: dict[str, list[str]] = {}
    for name, why in found:
        reasons.setdefault(why, []).append(name)
    return reasons


def _why(one: Awaited, now: float) -> str:
    if one.since is None:
        return one.answer["reason"]
    return f"passes for {now - one.since:.0f} of {one.stable_for:.0f} s: {one.answer['reason']}"


def _check(names: Sequence[str], options: Mapping[str, Any]) -> None:
    for name in [*names, *options]:
        gates.kind(name)
    twice = sorted({name for name in names if [*names].count(name) > 1})
    if twice:
        raise FleetopsError(f"The gate {twice[0]} is named twice: expected each once")
    for name, found in options.items():
        if not isinstance(found, Mapping) and found is not None:
            raise FleetopsError(f"The options of the gate {name} are {found!r}: expected a dictionary")


def _seconds(name: str, option: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = -1.0
    if not 0 <= found < float("inf"):
        raise FleetopsError(f"The gate {name} has {option} {value!r}: expected seconds, 0 or more")
    return found
