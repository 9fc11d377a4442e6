# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.settings import (
    DEFAULTS,
    Amount,
    amount,
    settings,
)


def one(name: str, value: Any) -> Any:
    key = {"in_flight_per_zone": "per_zone", "failure_budget": "budget"}.get(name, name)
    found: Any = settings({f"fleetops_{name}": value})
    return found[key]


def test_the_defaults_are_careful() -> None:
    assert settings({}) == {
        "canaries": "auto",
        "zone_groups": "zone[_-].+",
        "in_flight": Amount(Fraction(1)),
        "per_zone": None,
        "soak": 300,
        "waves": [],
        "budget": Amount(Fraction(0)),
        "max_unavailable": None,
        "windows": [],
        "time_zone": "UTC",
        "node_seconds": 900,
        "pause_timeout": 3600,
        "power_cycles": 0,
        "before_node": "",
        "after_node": "",
    }


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_nothing_is_the_default(nothing: Any) -> None:
    assert settings(dict.fromkeys(DEFAULTS, nothing)) == settings({})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("canaries", "auto", "auto"),
        ("canaries", 0, 0),
        ("canaries", [], 0),
        ("canaries", "3", 3),
        ("canaries", "n1, n2", ["n1", "n2"]),
        ("canaries", ["n2", "n1"], ["n2", "n1"]),
        ("in_flight", "10%", Amount(Fraction(10), True)),
        ("in_flight", "2.5 %", Amount(Fraction(5, 2), True)),
        ("in_flight", "7", Amount(Fraction(7))),
        ("in_flight_per_zone", 2, Amount(Fraction(2))),
        ("failure_budget", "0", Amount(Fraction(0))),
        ("failure_budget", "5%", Amount(Fraction(5), True)),
        ("soak", "0", 0),
        ("pause_timeout", 0, 0),
        ("time_zone", "Europe/Berlin", "Europe/Berlin"),
        ("windows", [{"from": 1320, "to": "5:00", "days": "sat,sun"}],
         [{"days": ["sat", "sun"], "from": "22:00", "to": "05:00"}]),
        ("before_node", "hooks/noout.yml", "hooks/noout.yml"),
    ],
)  # fmt: skip
def test_what_can_be_said(name: str, value: Any, expected: Any) -> None:
    assert one(name, value) == expected


def test_waves_are_sizes_or_more() -> None:
    plain: dict[str, Any] = {"in_flight": None, "soak": None}
    sizes = [{"hosts": Amount(Fraction(1)), **plain}, {"hosts": Amount(Fraction(100), True), **plain}]
    assert one("waves", "1, 100%") == one("waves", [1, "100%"]) == sizes
    assert one("waves", 1) == sizes[:1]
    assert one("waves", [{"hosts": ["n1"], "in_flight": "2", "soak": 0}]) == [
        {"hosts": ["n1"], "in_flight": Amount(Fraction(2)), "soak": 0}
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("canaries", -1), ("canaries", True), ("canaries", "10%"), ("canaries", ["n1", "n1"]), ("canaries", {"a": 1}),
        ("in_flight", 0), ("in_flight", "0%"), ("in_flight", "101%"), ("in_flight", "many"), ("in_flight", 1.5),
        ("in_flight_per_zone", 0), ("max_unavailable", -1), ("failure_budget", -1), ("failure_budget", "x"),
        ("soak", -1), ("soak", True), ("soak", "5 min"), ("node_seconds", 0), ("power_cycles", -1),
        ("zone_groups", "("), ("zone_groups", ["a"]), ("time_zone", "Mars/Olympus"),
        ("windows", "22:00-05:00"), ("windows", {"from": "22:00", "to": "05:00"}), ("windows", [{"from": "22:00"}]),
        ("waves", "1, 0"), ("waves", {"hosts": 1}), ("waves", [{"in_flight": 1}]),
        ("waves", [{"hosts": 1, "soaks": 1}]),
        ("waves", [{"hosts": []}]), ("before_node", ["a.yml"]),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named_with_its_value(name: str, value: Any) -> None:
    with pytest.raises(FleetopsError) as caught:
        one(name, value)
    assert f"fleetops_{name} is '{value}': " in caught.value.msg
    assert "expected" in caught.value.msg


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(FleetopsError) as caught:
        settings(
            {"fleetops_in_flight": 0, "fleetops_soak": "x", "fleetops_windows": [3], "fleetops_canary": 1}
        )
    for words in ("fleetops_in_flight is '0'", "fleetops_soak is 'x'", "fleetops_windows is '[3]'"):
        assert words in caught.value.msg
    assert len(caught.value.context["problems"]) == 3


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fleetops_window", "fleetops_windows"),
        ("fleetops_failures_budget", "fleetops_failure_budget"),
        ("fleetops_max_unavailble", "fleetops_max_unavailable"),
        ("fleetops_inflight", "fleetops_in_flight"),
    ],
)
def test_a_slip_of_the_pen_is_no_setting_that_is_not_kept(name: str, meant: str) -> None:
    with pytest.raises(
        FleetopsError, match=f"{name} is no variable of a rollout: {meant} was probably meant"
    ):
        settings({name: 1})


def test_other_variables_of_ours_are_no_slips() -> None:
    names = "zone wave waves step plan_only targets ledger report_dir kernel rollout outcome stopped first left units"
    assert settings(dict.fromkeys((f"fleetops_{name}" for name in names.split()), "")) == settings({})


@given(st.integers(1, 100), st.integers(1, 5000))
def test_a_share_is_rounded_down_to_at_least_one(percent: int, total: int) -> None:
    found = amount(f"{percent}%").of(total)
    assert found == max(1, total * percent // 100)
    assert found <= total
    assert amount(f"{percent}%", 0).of(total, 0) == total * percent // 100


def test_windows_are_json() -> None:
    found = one("windows", [{"from": "00:00", "to": "24:00"}])
    assert json.loads(json.dumps(found)) == found
