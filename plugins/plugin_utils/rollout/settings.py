# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site says of how a rollout goes: its variables, checked all at once. Pure.

A share is a text such as ``10%``. It is rounded down; to at least 1, since nothing would ever move otherwise, but for
the failure budget, of which 0 is the strictest. Of what it is a share, each variable says below.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import ZONES, plain
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import calendar

AUTO = "auto"
PREFIX = "fleetops_"
# The defaults. They are the careful choice, and small enough to be right for three nodes:
DEFAULTS: Mapping[str, Any] = {
    # The first nodes, one at a time: `auto`, one for each kind of hardware and kernel, since breakage follows these; a
    # number, so many kinds of them, the largest first; or names. 0: none.
    "fleetops_canaries": AUTO,
    # Which groups of the inventory are zones: a regular expression for their whole name.
    "fleetops_zone_groups": ZONES,
    # How many nodes are under way at once in all; or a share of the planned ones.
    "fleetops_in_flight": 1,
    # The same for one zone, or a share of its nodes in this play. Nothing: no limit but the one above.
    "fleetops_in_flight_per_zone": "",
    # Seconds of looking on after the canaries and between zones: what breaks late shall break few.
    "fleetops_soak": 300,
    # Waves instead of those made here. "1, 5, 100%": sizes, as `serial` has them; or a list of
    # {hosts: number | share of the planned | [names], in_flight, soak}. They are cut where a zone ends.
    "fleetops_waves": "",
    # How many failed nodes are tolerated; or a share of the planned ones. 0: the first failure stops.
    "fleetops_failure_budget": 0,
    # How many nodes of a zone may be without work at once, dark, unhealthy and failed ones with them; or a share of
    # the zone's nodes in this play. Nothing: no limit.
    "fleetops_max_unavailable": "",
    # When nodes may be touched: [{days: [mon], from: "22:00", to: "05:00"}]. Nothing: always.
    "fleetops_windows": [],
    "fleetops_time_zone": "UTC",
    # Seconds that a node is thought to need where nothing was measured yet: install, reboot of a large server, gates.
    "fleetops_node_seconds": 900,
    # Seconds that a paused run waits before it refuses the rest. 0: it does not wait.
    "fleetops_pause_timeout": 3600,
    # How often in all a node that does not come back may be power-cycled by the hook.
    "fleetops_power_cycles": 0,
    # Task files of the site, before a node is touched and after it passed its gates.
    "fleetops_before_node": "",
    "fleetops_after_node": "",
}
# Other variables of the collection whose names are close to those above.
OTHERS = ("fleetops_wave", "fleetops_zone", "fleetops_zones")
# How alike two names are of which one is thought to be a slip of the pen, without their prefix (difflib's ratio).
ALIKE = 0.85
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%\Z", re.ASCII)


class Amount(NamedTuple):
    """A number of nodes, or a share of them in percent."""

    number: Fraction
    share: bool = False

    @classmethod
    def nodes(cls, number: int) -> Amount:
        """That many."""
        return cls(Fraction(number))

    def of(self, total: int, least: int = 1) -> int:
        """How many that is of *total*: a share is rounded down, to at least *least*."""
        return max(least, int(self.number * total / 100)) if self.share else int(self.number)

    def __str__(self) -> str:
        return f"{float(self.number):g}{'%' if self.share else ''}"


class WaveWanted(TypedDict):
    """A wave as the site wants it. ``in_flight`` and ``soak`` of None: as elsewhere."""

    hosts: Amount | list[str]
    in_flight: Amount | None
    soak: int | None


class Settings(TypedDict):
    """The variables of the same names without their prefix; ``budget`` is the failure budget. Seconds, unless said."""

    canaries: str | int | list[str]  # auto, a number, or names
    zone_groups: str
    in_flight: Amount
    per_zone: Amount | None
    soak: int
    waves: list[WaveWanted]
    budget: Amount
    max_unavailable: Amount | None
    windows: list[dict[str, Any]]  # {days, from, to}
    time_zone: str
    node_seconds: int
    pause_timeout: int
    power_cycles: int
    before_node: str
    after_node: str


def settings(variables: Mapping[str, Any]) -> Settings:
    """The settings among *variables*; one that is missing, null or empty has its default.

    Raises FleetopsError with every problem in one message: variable, value, what was expected.
    """
    problems = _misspelt(variables)
    found: dict[str, Any] = {}
    for name, (key, read) in _READ.items():
        value = plain(variables.get(name))
        value = DEFAULTS[name] if value is None or (isinstance(value, str) and not value.strip()) else value
        try:
            found[key] = read(value)
        except FleetopsError as error:
            problems.append(f"{name} is '{value}': {error.msg}")
    if problems:
        raise FleetopsError("; ".join(problems), problems=problems)
    read_all: Any = found
    settled: Settings = read_all
    return settled


def check_same(of_hosts: Mapping[str, Mapping[str, Any]], play: Mapping[str, Any]) -> None:
    """Raise FleetopsError for settings that hosts of one rollout have differently: it can only keep one of them.

    *of_hosts*: the variables of each host; *play*: those of the task, in which a variable of the play comes first.
    """
    problems = []
    for name in DEFAULTS:
        if name == "fleetops_zone_groups":  # which each host's own zone is read by
            continue
        seen: dict[str, str] = {}
        for host, variables in of_hosts.items():
            seen.setdefault(repr(plain(variables.get(name))), host)
        if len(seen) > 1 and repr(plain(play.get(name))) in seen:
            problems.append(f"{name} is " + ", ".join(f"{value} on {host}" for value, host in seen.items()))
    if problems:
        raise FleetopsError(
            f"{'; '.join(problems)}: expected the same for all hosts of a rollout, since it is one",
            problems=problems,
        )


def _misspelt(variables: Mapping[str, Any]) -> list[str]:
    """Names that nobody reads and that are nearly one of ours: a window that is not kept would be no small slip."""
    found = []
    for name in sorted(str(name) for name in variables if str(name).startswith(PREFIX)):
        if name in DEFAULTS or name in OTHERS:
            continue
        words = [known.removeprefix(PREFIX) for known in DEFAULTS]
        near = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=ALIKE)
        if near:
            found.append(f"{name} is no variable of a rollout: {PREFIX}{near[0]} was probably meant")
    return found


# --- one value ---------------------------------------------------------------------------------------


def amount(value: Any, least: int = 1) -> Amount:
    """A number of nodes from *least* on, or a share of more than 0%. Raises FleetopsError."""
    number = _number(value)
    if number is not None and number >= least:
        return Amount(Fraction(number))
    share = _SHARE.match(value.strip()) if isinstance(value, str) else None
    if share and (least == 0 or Fraction(share[1]) > 0) and Fraction(share[1]) <= 100:
        return Amount(Fraction(share[1]), True)
    raise FleetopsError(f"expected a number from {least} on, or a share such as 10%")


def _number(value: Any) -> int | None:
    """With -e, a number is a text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,9}", value.strip()) else None
    return int(value) if isinstance(value, int) else None


def _seconds(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = _number(value)
        if number is None or number < least:
            raise FleetopsError(f"expected seconds, a number from {least} on")
        return number

    return read


def _count(value: Any) -> int:
    number = _number(value)
    if number is None or number < 0:
        raise FleetopsError("expected a number from 0 on")
    return number


def _limit(value: Any) -> Amount | None:
    return None if value == "" else amount(value)


def _none_is_fine(value: Any) -> Amount:
    return amount(value, 0)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise FleetopsError("expected the path of a task file")
    return str(value)


def _pattern(value: Any) -> str:
    if not isinstance(value, str):
        raise FleetopsError("expected a regular expression")
    try:
        re.compile(value)
    except re.error as error:
        raise FleetopsError(f"expected a regular expression ({error})") from error
    return str(value)


def _time_zone(value: Any) -> str:
    calendar.time_zone_of(value)
    return str(value)


def _windows(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise FleetopsError(f"expected a list of windows such as {calendar.EXAMPLE}")
    return [calendar.written(calendar.parse(window)) for window in value]


def _names(value: Sequence[Any]) -> list[str]:
    names = [str(name).strip() for name in value]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or not all(names) or any(isinstance(name, (Mapping, list)) for name in value):
        raise FleetopsError("expected names of hosts")
    if twice:
        raise FleetopsError(f"expected each host once: {', '.join(twice)} stands there twice")
    return names


def _canaries(value: Any) -> str | int | list[str]:
    number = _number(value)
    if number is not None and number >= 0:
        return number
    if value == AUTO:
        return AUTO
    if isinstance(value, str) and not value.strip().startswith("-") and "%" not in value:
        return _names(value.split(","))
    if isinstance(value, (list, tuple)):
        return _names(value) if value else 0
    raise FleetopsError("expected auto, a number from 0 on, or a list of hosts")


def _waves(value: Any) -> list[WaveWanted]:
    if value in ("", []):
        return []
    given = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
    if isinstance(given, Mapping) or not isinstance(given, Sequence):
        raise FleetopsError("expected sizes such as '1, 5, 100%', or a list of {hosts, in_flight, soak}")
    return [_wave(number, wave) for number, wave in enumerate(given, 1)]


def _wave(number: int, given: Any) -> WaveWanted:
    wave = given if isinstance(given, Mapping) else {"hosts": given}
    odd = sorted(set(wave) - {"hosts", "in_flight", "soak"})
    try:
        if odd or "hosts" not in wave:
            raise FleetopsError(f"expected hosts, in_flight and soak{f', not {odd[0]}' if odd else ''}")
        hosts, in_flight, soak = wave["hosts"], wave.get("in_flight"), wave.get("soak")
        return {
            "hosts": _names(hosts) if isinstance(hosts, (list, tuple)) else amount(hosts),
            "in_flight": None if in_flight in (None, "") else amount(in_flight),
            "soak": None if soak in (None, "") else _seconds(0)(soak),
        }
    except FleetopsError as error:
        raise FleetopsError(f"wave {number}, '{given}': {error.msg}") from error


_READ: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "fleetops_canaries": ("canaries", _canaries),
    "fleetops_zone_groups": ("zone_groups", _pattern),
    "fleetops_in_flight": ("in_flight", amount),
    "fleetops_in_flight_per_zone": ("per_zone", _limit),
    "fleetops_soak": ("soak", _seconds(0)),
    "fleetops_waves": ("waves", _waves),
    "fleetops_failure_budget": ("budget", _none_is_fine),
    "fleetops_max_unavailable": ("max_unavailable", _limit),
    "fleetops_windows": ("windows", _windows),
    "fleetops_time_zone": ("time_zone", _time_zone),
    "fleetops_node_seconds": ("node_seconds", _seconds(1)),
    "fleetops_pause_timeout": ("pause_timeout", _seconds(0)),
    "fleetops_power_cycles": ("power_cycles", _count),
    "fleetops_before_node": ("before_node", _text),
    "fleetops_after_node": ("after_node", _text),
}
