# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Maintenance windows: is one open, when does it close, when does the next one open? Pure.

A window opens on each of its days when the clock on the wall of its time zone shows ``from``, and closes when that
clock next shows ``to``: on the day after where ``to`` is not later than ``from``. Windows that overlap or touch are
one.

On the days on which the clock is changed: a time that the clock leaves out comes when it jumps over it, and of a time
that it shows twice the first one counts, so that no window closes later than the wall says. Times are epoch seconds.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KEYS = ("days", "from", "to")
# What holds for a week holds for ever, and a window may begin on the day before: so many days are looked at.
BEHIND, AHEAD = 2, 9
FOR_EVER = 8 * 24 * 3600
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\Z", re.ASCII)
_MINUTES = 24 * 60

Span = tuple[float, float]


class Window(NamedTuple):
    """Days as numbers, 0 is Monday; minutes since midnight. *closes* may be on the day after: more than 1440."""

    days: tuple[int, ...]
    opens: int
    closes: int


def is_open(windows: Sequence[Any], time_zone: str, now: float) -> bool:
    """May work be done at *now*? Always, where there is no window."""
    return _around(windows, time_zone, now) is not None


def closes(windows: Sequence[Any], time_zone: str, now: float) -> float:
    """When the window that is open at *now* closes: *now* where none is open, infinity where it never does."""
    span = _around(windows, time_zone, now)
    return span[1] if span else now


def opens(windows: Sequence[Any], time_zone: str, now: float) -> float:
    """When one is open: *now*, or when the next one opens. Raises FleetopsError where none ever does."""
    if is_open(windows, time_zone, now):
        return now
    return _next(windows, time_zone, now)[0]


def fits(windows: Sequence[Any], time_zone: str, now: float, seconds: float) -> bool:
    """Is a window open at *now*, and will it still be in *seconds*?"""
    return closes(windows, time_zone, now) - now >= seconds and is_open(windows, time_zone, now)


def fits_ever(windows: Sequence[Any], time_zone: str, now: float, seconds: float) -> bool:
    """Is there any window within a week that is long enough?"""
    return any(end - start >= seconds for start, end in spans(windows, time_zone, now))


def why_not(windows: Sequence[Any], time_zone: str, now: float, seconds: float) -> str:
    """Why work of *seconds* must not begin at *now*; '' when it may."""
    if fits(windows, time_zone, now, seconds):
        return ""
    span = _around(windows, time_zone, now)
    after = say(_next(windows, time_zone, span[1] if span else now)[0], time_zone)
    if span is None:
        return f"no maintenance window is open, the next one opens {after}"
    left, need = math.floor((span[1] - now) / 60), math.ceil(seconds / 60)
    return (
        f"the maintenance window closes {say(span[1], time_zone)}, in {left} min, and this node needs about "
        f"{need} min; the next one opens {after}"
    )


def say(moment: float, time_zone: str) -> str:
    """A time as a person reads it: ``Tue 2026-11-24 22:00 CET``."""
    if math.isinf(moment):
        return "never"
    return datetime.fromtimestamp(moment, time_zone_of(time_zone)).strftime("%a %Y-%m-%d %H:%M %Z")


def spans(windows: Sequence[Any], time_zone: str, now: float) -> list[Span]:
    """When windows are open from about *now* on, for some more than a week. An end of infinity: it stays open."""
    if not windows:
        return [(-math.inf, math.inf)]
    today = datetime.fromtimestamp(now, time_zone_of(time_zone)).date()
    return _spans(tuple(parse(window) for window in windows), time_zone, today)


# --- what a site says --------------------------------------------------------------------------------


def parse(window: Any) -> Window:
    """One window of the settings. Raises FleetopsError with the value and what was expected."""
    if isinstance(window, Window):
        return window
    if not isinstance(window, Mapping) or set(window) - set(KEYS) or not {"from", "to"} <= set(window):
        raise FleetopsError(f"'{window}': expected days, from and to, such as {EXAMPLE}")
    start, end = _minutes(window, "from"), _minutes(window, "to")
    if start == _MINUTES:
        raise FleetopsError(f"'{window}': from is '{window['from']}', expected a time before 24:00")
    return Window(_days(window), start, end if end > start else end + _MINUTES)


def written(window: Window) -> dict[str, Any]:
    """The window as a site would write it, for JSON."""
    start, end = window.opens, window.closes
    hours = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in (start, (end - 1) % _MINUTES + 1)]
    return {"days": [DAYS[day] for day in window.days], "from": hours[0], "to": hours[1]}


EXAMPLE = "{days: [mon, tue], from: '22:00', to: '05:00'}"


def time_zone_of(name: str) -> tzinfo:
    """The time zone of that name. Raises FleetopsError when there is none."""
    if name == "UTC":
        return timezone.utc  # also where no time zones are installed
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise FleetopsError(f"'{name}' is no time zone here: expected one such as Europe/Berlin") from error


def _minutes(window: Mapping[str, Any], key: str) -> int:
    value = window[key]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MINUTES:
        return value  # YAML reads 22:00 without quotes as a number to the base of 60: 1320
    found = _CLOCK.match(value) if isinstance(value, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else -1
    if found is None or not 0 <= minutes <= _MINUTES or int(found[2]) > 59:
        raise FleetopsError(f"'{window}': {key} is '{value}', expected a time from 00:00 to 24:00")
    return minutes


def _days(window: Mapping[str, Any]) -> tuple[int, ...]:
    given = window.get("days", list(DAYS))
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not names or any(name not in DAYS for name in names):
        raise FleetopsError(f"'{window}': days is '{given}', expected some of {', '.join(DAYS)}")
    return tuple(sorted({DAYS.index(name) for name in names}))


# --- when that is ------------------------------------------------------------------------------------


def _around(windows: Sequence[Any], time_zone: str, now: float) -> Span | None:
    return next((span for span in spans(windows, time_zone, now) if span[0] <= now < span[1]), None)


def _next(windows: Sequence[Any], time_zone: str, now: float) -> Span:
    found = next((span for span in spans(windows, time_zone, now) if span[0] > now), None)
    if found is None:
        raise FleetopsError(f"No maintenance window opens after {say(now, time_zone)}: {list(windows)}")
    return found


@functools.lru_cache(maxsize=512)
def _spans(windows: tuple[Window, ...], time_zone: str, today: date) -> list[Span]:
    zone = time_zone_of(time_zone)
    found: list[Span] = []
    for number in range(-BEHIND, AHEAD + 1):
        day = today + timedelta(days=number)
        found += [
            (_instant(day, window.opens, zone), _instant(day, window.closes, zone))
            for window in windows
            if day.weekday() in window.days
        ]
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:  # a window that lies in what the clock leaves out never opens
            merged.append((start, end))
    return [(start, math.inf if end - start >= FOR_EVER else end) for start, end in merged]


def _instant(day: date, minutes: int, zone: tzinfo) -> float:
    """When the clock on the wall shows that time of that day, or jumps over it."""
    wall = datetime.combine(day, time.min) + timedelta(minutes=minutes)
    first = wall.replace(tzinfo=zone, fold=0).timestamp()
    if datetime.fromtimestamp(first, zone).replace(tzinfo=None) == wall:
        return first
    # Left out: with fold=0 it is read by the offset before the jump, and so lies behind it.
    before, after = wall.replace(tzinfo=zone, fold=1).timestamp(), first
    old = _offset(before, zone)
    while after - before > 1:
        middle = math.floor((before + after) / 2)
        before, after = (middle, after) if _offset(middle, zone) == old else (before, middle)
    return after


def _offset(moment: float, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(moment, timezone.utc).astimezone(zone).utcoffset()
