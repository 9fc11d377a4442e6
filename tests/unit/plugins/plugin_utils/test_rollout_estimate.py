# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import estimate, state
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.estimate import Measured


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def wave(*hosts: str, in_flight: int = 1, per_zone: int = 0, soak: int = 0) -> dict[str, Any]:
    return {"name": "w", "hosts": list(hosts), "in_flight": in_flight, "per_zone": per_zone, "soak": soak}


def rollout(*waves: dict[str, Any], seconds: Any = 100, **more: Any) -> dict[str, Any]:
    hosts = [host for one in waves for host in one["hosts"]]
    return {
        "kind": "kernel",
        "waves": list(waves),
        "zones": {host: host[0] for host in hosts},
        "seconds": seconds if isinstance(seconds, dict) else dict.fromkeys(hosts, seconds),
        "windows": [],
        "time_zone": "UTC",
        "unavailable": {},
        "max_unavailable": {},
        "not_before": 0.0,
        **more,
    }


# --- how long one node takes -------------------------------------------------------------------------


def test_nothing_measured_is_the_site_s_guess() -> None:
    found = estimate.expected({"a1": ("amd", "a")}, "kernel", [], 900)
    assert found == ({"a1": 900}, "fleetops_node_seconds (900), since nothing was measured yet")
    other = [Measured("remediate", "amd", "a", 10.0)] * 9
    assert estimate.expected({"a1": ("amd", "a")}, "kernel", other, 900).seconds == {"a1": 900}


def test_the_median_of_nodes_alike() -> None:
    known = [
        *(Measured("kernel", "amd", "a", seconds) for seconds in (100.0, 110.2, 5000.0)),
        *(Measured("kernel", "arm", "b", seconds) for seconds in (300.0, 310.0)),  # too few of a kind
        Measured("kernel", "riscv", "b", 700.0),
    ]
    hosts = {"a1": ("amd", "b"), "b1": ("arm", "b"), "c1": ("arm", "c")}
    found = estimate.expected(hosts, "kernel", known, 900)
    # Of amd 110.2; of zone b 310; of all (300 + 310) / 2.
    assert found.seconds == {"a1": 111, "b1": 310, "c1": 305}
    assert found.basis == "the median of 6 measured nodes"


def replayed(plan: dict[str, Any], *events: dict[str, Any]) -> state.State:
    first = [{"event": "begin", "rollout": "r", "time": 0.0}, {"event": "plan", "rollout": plan, "time": 0.0}]
    return state.replay([{"run": "1", **event} for event in [*first, *events]])


def test_what_earlier_ledgers_measured() -> None:
    ledger = replayed(
        rollout(wave("a1", "a2", "a3", "a4")),
        {"event": "done", "host": "a1", "seconds": 90.0, "time": 90.0},
        {"event": "acquire", "host": "a2", "halfway": True, "time": 100.0},
        {"event": "done", "host": "a2", "seconds": 5.0, "time": 105.0},
        {"event": "failed", "host": "a3", "why": "x", "time": 110.0},
    )
    assert estimate.measured([ledger, state.State()], {"a1": "amd"}) == [Measured("kernel", "amd", "a", 90.0)]


# --- the course --------------------------------------------------------------------------------------


def test_first_in_first_out_with_barriers_and_soak() -> None:
    plan = rollout(
        wave("a1", soak=300),
        wave("a2", "a3", "a4", in_flight=2, soak=50),
        wave("b1"),
        seconds={"a1": 100, "a2": 400, "a3": 100, "a4": 100, "b1": 10},
    )
    found = estimate.course(plan, 1000.0)
    assert found.begins == {"a1": 1000, "a2": 1400, "a3": 1400, "a4": 1500, "b1": 1850}
    assert found.waves == [1000, 1400, 1850]
    assert (found.end, found.parts, found.never) == (1860, 1, [])


def test_limits_of_a_zone_hold_the_window_back() -> None:
    plan = rollout(wave("a1", "a2", "b1", "b2", in_flight=4, per_zone=1))
    assert estimate.course(plan, 0.0).begins == {"a1": 0, "a2": 100, "b1": 100, "b2": 200}
    plan = rollout(wave("a1", "a2", "a3", in_flight=3), max_unavailable={"a": 3}, unavailable={"a": ["a8"]})
    assert estimate.course(plan, 0.0).begins == {"a1": 0, "a2": 0, "a3": 100}


def test_what_does_not_fit_goes_on_in_the_next_window() -> None:
    windows = [{"days": ["tue", "wed"], "from": "22:00", "to": "23:00"}]
    plan = rollout(wave("a1", "a2", "a3"), seconds=1500, windows=windows)
    found = estimate.course(plan, at("2026-11-24T12:00"))
    opens = at("2026-11-24T22:00")
    assert found.begins == {"a1": opens, "a2": opens + 1500, "a3": opens + 24 * 3600}
    assert (found.end, found.parts) == (opens + 24 * 3600 + 1500, 2)


def test_a_soak_that_ends_after_the_window() -> None:
    windows = [{"from": "22:00", "to": "23:00"}]
    plan = rollout(wave("a1", soak=3600), wave("a2"), windows=windows)
    begins = estimate.course(plan, at("2026-11-24T22:30")).begins
    assert begins["a2"] == at("2026-11-25T22:00")


def test_a_node_for_which_no_window_is_long_enough() -> None:
    windows = [{"from": "22:00", "to": "23:00"}]
    seconds = {"a1": 100, "a2": 3601, "a3": 100, "b1": 100}
    plan = rollout(wave("a1", "a2", "a3"), wave("b1"), seconds=seconds, windows=windows)
    found = estimate.course(plan, at("2026-11-24T22:00"))
    assert (found.never, list(found.begins)) == (["a2"], ["a1"])
    assert found.waves == [at("2026-11-24T22:00"), None]


def test_nothing_planned_takes_no_time() -> None:
    assert estimate.course(rollout(), 5.0) == ({}, {}, [], 5.0, 0, [])


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.integers(1, 6))
def test_the_course_is_the_textbook_s(seconds: list[int], in_flight: int) -> None:
    """Never more at once than asked, in order, and within the bounds of list scheduling (Graham)."""
    hosts = [f"a{number}" for number in range(len(seconds))]
    found = estimate.course(
        rollout(wave(*hosts, in_flight=in_flight), seconds=dict(zip(hosts, seconds, strict=True))), 0.0
    )
    times = [found.begins[host] for host in hosts]
    assert times == sorted(times)
    for begun in times:
        assert sum(found.begins[host] <= begun < found.ends[host] for host in hosts) <= in_flight
    bound = max(*seconds, sum(seconds) / in_flight)
    assert bound <= found.end <= sum(seconds) / in_flight + max(seconds)


# --- under way ---------------------------------------------------------------------------------------

PLAN = rollout(wave("a1", "a2", "a3", "a4", in_flight=2), wave("b1", "b2", in_flight=2))


def test_what_is_left_begins_with_those_under_way() -> None:
    found = replayed(
        PLAN,
        {"event": "acquire", "host": "a1", "time": 0.0},
        {"event": "acquire", "host": "a2", "time": 0.0},
        {"event": "done", "host": "a1", "seconds": 60.0, "time": 60.0},
        {"event": "acquire", "host": "a3", "time": 60.0},
        {"event": "refused", "host": "b2", "why": "x", "time": 61.0},
    )
    course = estimate.eta(found, 70.0)
    assert course is not None
    # a2 until 130 (overdue is a minute from now at least), a3 until 160.
    assert course.begins == {"a4": 130.0, "b1": 230.0}
    assert course.end == 330.0
    overdue = estimate.eta(found, 1000.0)
    assert overdue is not None
    assert overdue.begins["a4"] == 1060.0


def test_what_it_measured_itself_corrects_what_was_expected() -> None:
    events = [{"event": "done", "host": host, "seconds": 200.0, "time": 200.0} for host in ("a1", "a2", "a3")]
    course = estimate.eta(replayed(PLAN, *events), 1000.0)
    assert course is not None
    assert course.begins == {"a4": 1000.0, "b1": 1200.0, "b2": 1200.0}


def test_the_soak_counts_from_the_last_node_of_the_wave_before() -> None:
    plan = rollout(wave("a1", soak=300), wave("b1"))
    course = estimate.eta(replayed(plan, {"event": "done", "host": "a1", "seconds": 9.0, "time": 50.0}), 60.0)
    assert course is not None
    assert course.begins == {"b1": 350.0}


def test_without_a_plan_there_is_nothing_to_tell() -> None:
    assert estimate.eta(state.State(), 0.0) is None
