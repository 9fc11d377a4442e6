# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows, above all on the two days on which the clock is changed."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import calendar

BERLIN = "Europe/Berlin"


def at(text: str, offset: int) -> float:
    """A time of the wall with its offset to UTC in hours."""
    return datetime.fromisoformat(f"{text}{offset:+03d}:00").timestamp()


def window(start: Any, end: Any, *days: str) -> dict[str, Any]:
    return {"days": list(days or calendar.DAYS), "from": start, "to": end}


def test_without_windows_work_is_always_allowed() -> None:
    assert calendar.is_open([], "UTC", 0.0)
    assert math.isinf(calendar.closes([], "UTC", 0.0))
    assert calendar.opens([], "UTC", 5.0) == 5.0
    assert calendar.why_not([], "UTC", 0.0, 1e9) == ""


# 2026-11-24 is a Tuesday; Berlin is an hour ahead of UTC.
@pytest.mark.parametrize(
    ("now", "is_open", "opens", "closes"),
    [
        ("2026-11-24T21:59", False, "2026-11-24T22:00", None),
        ("2026-11-24T22:00", True, None, "2026-11-25T05:00"),
        ("2026-11-25T04:59", True, None, "2026-11-25T05:00"),
        ("2026-11-25T05:00", False, "2026-12-01T22:00", None),
        ("2026-11-25T22:00", False, "2026-12-01T22:00", None),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(
    now: str, is_open: bool, opens: str | None, closes: str | None
) -> None:
    windows = [window("22:00", "05:00", "tue")]
    moment = at(now, 1)
    assert calendar.is_open(windows, BERLIN, moment) is is_open
    assert calendar.opens(windows, BERLIN, moment) == (at(opens, 1) if opens else moment)
    assert calendar.closes(windows, BERLIN, moment) == (at(closes, 1) if closes else moment)


def test_windows_that_touch_are_one() -> None:
    windows = [
        window("22:00", "24:00", "mon"),
        window("00:00", "05:00", "tue"),
        window("04:00", "06:00", "tue"),
    ]
    assert calendar.closes(windows, "UTC", at("2026-11-23T23:00", 0)) == at("2026-11-24T06:00", 0)


def test_a_window_that_never_closes() -> None:
    assert math.isinf(calendar.closes([window("00:00", "24:00")], BERLIN, at("2026-03-28T12:00", 1)))
    assert math.isinf(calendar.closes([window("07:00", "07:00")], BERLIN, at("2026-10-24T12:00", 2)))


def test_one_that_is_open_all_week_but_for_an_hour_closes() -> None:
    windows = [window("00:00", "24:00", *calendar.DAYS[:6]), window("00:00", "23:00", "sun")]
    assert calendar.closes(windows, "UTC", at("2026-11-23T12:00", 0)) == at("2026-11-29T23:00", 0)


# On 2026-03-29 the clock of Berlin jumps from 02:00 (+1) to 03:00 (+2), at 01:00 UTC.
@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        ("01:00", "04:00", ("2026-03-29T01:00", 1), ("2026-03-29T04:00", 2)),  # two hours long
        ("02:30", "05:00", ("2026-03-29T03:00", 2), ("2026-03-29T05:00", 2)),
        ("01:00", "02:30", ("2026-03-29T01:00", 1), ("2026-03-29T03:00", 2)),
        ("02:00", "03:00", None, None),
        ("02:10", "02:50", None, None),
    ],
)
def test_a_time_that_the_clock_leaves_out_comes_when_it_jumps(
    start: str, end: str, opens: Any, closes: Any
) -> None:
    windows = [window(start, end, "sun")]
    before = at("2026-03-29T00:00", 1)
    if opens is None:  # it does not open on that day at all
        assert calendar.opens(windows, BERLIN, before) == at(f"2026-04-05T{start}", 2)
        return
    assert calendar.opens(windows, BERLIN, before) == at(*opens)
    assert calendar.closes(windows, BERLIN, at(*opens)) == at(*closes)


# On 2026-10-25 it goes back from 03:00 (+2) to 02:00 (+1), at 01:00 UTC: 02:30 is shown twice.
@pytest.mark.parametrize(
    ("start", "end", "opens", "closes"),
    [
        ("01:00", "04:00", ("2026-10-25T01:00", 2), ("2026-10-25T04:00", 1)),  # four hours long
        ("02:30", "05:00", ("2026-10-25T02:30", 2), ("2026-10-25T05:00", 1)),
        ("01:00", "02:30", ("2026-10-25T01:00", 2), ("2026-10-25T02:30", 2)),  # and not an hour later
        ("02:10", "02:50", ("2026-10-25T02:10", 2), ("2026-10-25T02:50", 2)),
        ("02:30", "03:00", ("2026-10-25T02:30", 2), ("2026-10-25T03:00", 1)),
    ],
)
def test_of_a_time_that_the_clock_shows_twice_the_first_counts(
    start: str, end: str, opens: Any, closes: Any
) -> None:
    windows = [window(start, end, "sun")]
    before = at("2026-10-25T00:00", 2)
    assert calendar.opens(windows, BERLIN, before) == at(*opens)
    assert calendar.closes(windows, BERLIN, at(*opens)) == at(*closes)


def test_over_midnight_into_the_change_of_the_clock() -> None:
    windows = [window("22:00", "05:00", "sat")]
    spring, autumn = at("2026-03-28T22:00", 1), at("2026-10-24T22:00", 2)
    assert calendar.closes(windows, BERLIN, spring) - spring == 6 * 3600
    assert calendar.closes(windows, BERLIN, autumn) - autumn == 8 * 3600


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 7 * 24 * 60),
    st.sampled_from([BERLIN, "UTC", "America/St_Johns", "Australia/Lord_Howe"]),
)
def test_the_wall_tells_the_same(start: int, end: int, minutes: int, zone: str) -> None:
    """On days without a change of the clock, a window is open exactly while the wall says so."""
    windows = [window(start, end)]
    now = datetime(2026, 6, 1, tzinfo=ZoneInfo(zone)) + timedelta(minutes=minutes)
    wall = now.hour * 60 + now.minute
    told = start <= wall < end if start < end else wall >= start or wall < end
    assert calendar.is_open(windows, zone, now.timestamp()) is told


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(-3 * 24 * 60, 3 * 24 * 60), st.booleans())
def test_opening_and_closing_agree_with_being_open(start: int, end: int, minutes: int, spring: bool) -> None:
    """Also around the changes of the clock."""
    windows = [window(start, end)]
    now = at("2026-03-29T03:00", 2) if spring else at("2026-10-25T03:00", 1)
    now += minutes * 60
    opens = calendar.opens(windows, BERLIN, now)
    closes = calendar.closes(windows, BERLIN, opens)
    assert calendar.is_open(windows, BERLIN, opens)
    assert opens == now or not calendar.is_open(windows, BERLIN, opens - 1)
    assert closes > opens
    if not math.isinf(closes):
        assert calendar.is_open(windows, BERLIN, closes - 1)
        assert not calendar.is_open(windows, BERLIN, closes)
        assert calendar.fits(windows, BERLIN, opens, closes - opens)
        assert not calendar.fits(windows, BERLIN, opens, closes - opens + 1)


def test_why_a_node_does_not_begin() -> None:
    windows = [window("22:00", "05:00", "tue")]
    assert calendar.why_not(windows, BERLIN, at("2026-11-25T04:00", 1), 3600) == ""
    late = calendar.why_not(windows, BERLIN, at("2026-11-25T04:50", 1), 900)
    assert late == (
        "the maintenance window closes Wed 2026-11-25 05:00 CET, in 10 min, and this node needs about 15 min; "
        "the next one opens Tue 2026-12-01 22:00 CET"
    )
    closed = calendar.why_not(windows, BERLIN, at("2026-11-25T12:00", 1), 900)
    assert closed == "no maintenance window is open, the next one opens Tue 2026-12-01 22:00 CET"


def test_what_no_window_is_long_enough_for() -> None:
    windows = [window("22:00", "23:00")]
    assert calendar.fits_ever(windows, "UTC", 0.0, 3600)
    assert not calendar.fits_ever(windows, "UTC", 0.0, 3601)


def test_hours_that_yaml_took_for_a_number() -> None:
    assert calendar.parse({"from": 1320, "to": "05:00"}) == calendar.Window(tuple(range(7)), 1320, 1740)


@given(st.integers(0, 1439), st.integers(0, 1440), st.sets(st.sampled_from(calendar.DAYS), min_size=1))
def test_a_window_is_written_as_it_is_read(start: int, end: int, days: set[str]) -> None:
    found = calendar.parse({"days": sorted(days), "from": start, "to": end})
    assert calendar.parse(calendar.written(found)) == found
    assert calendar.written(found)["from"] == f"{start // 60:02d}:{start % 60:02d}"


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ("nights", "expected days, from and to"),
        ({"from": "22:00"}, "expected days, from and to"),
        ({"from": "22:00", "to": "05:00", "day": "mon"}, "expected days, from and to"),
        ({"from": "25:00", "to": "05:00"}, "from is '25:00'"),
        ({"from": "22:60", "to": "05:00"}, "from is '22:60'"),
        ({"from": "22:00", "to": "24:01"}, "to is '24:01'"),
        ({"from": "24:00", "to": "05:00"}, "expected a time before 24:00"),
        ({"from": 22.5, "to": "05:00"}, "from is '22.5'"),
        ({"from": "22:00", "to": "05:00", "days": ["monday"]}, "days is"),
        ({"from": "22:00", "to": "05:00", "days": []}, "days is"),
    ],
)
def test_a_window_that_cannot_be_meant(given_: Any, words: str) -> None:
    with pytest.raises(FleetopsError, match=words):
        calendar.parse(given_)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", 3])
def test_a_time_zone_that_there_is_not(name: Any) -> None:
    with pytest.raises(FleetopsError, match="is no time zone here"):
        calendar.time_zone_of(name)
