# SPDX-License-Identifier: GPL-3.0-or-later
"""What the events of a ledger add up to."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import State, replay


def plan(*hosts: str) -> dict[str, Any]:
    wave = {"name": "zone_a", "hosts": list(hosts), "in_flight": 2, "per_zone": 0, "soak": 0}
    return {"kind": "kernel", "goal": "g", "waves": [wave]}


def begin(run: str, *hosts: str, time: float = 0.0) -> list[dict[str, Any]]:
    return [
        {"event": "begin", "time": time, "run": run, "rollout": "r1", "pid": 7, "start": 1, "node": "n"},
        {"event": "plan", "time": time, "run": run, "rollout": plan(*hosts), "dark": {"d": "refused"}},
    ]


def event(kind: str, host: str = "", time: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"event": kind, "time": time, **({"host": host} if host else {}), **more}


def test_nothing_was_written() -> None:
    state = State()
    assert state.run is None
    assert state.planned == []
    assert not state.unfinished
    assert state.node("a").status == "waiting"


def test_a_node_from_acquire_to_done() -> None:
    state = replay(begin("1", "a", "b"))
    replay(
        [event("acquire", "a", 10, run="1", halfway=False), event("stage", "a", 12, stage="reboot")], state
    )
    node = state.node("a")
    assert (node.status, node.stage, node.since, node.acquired) == ("held", "reboot", 12, 10)
    assert state.dark == {"d": "refused"}
    replay([event("done", "a", 30, seconds=20.0)], state)
    assert (state.node("a").status, state.node("a").since) == ("done", 30)
    assert state.durations() == {"a": 20.0}
    assert state.with_status("done", "1") == ["a"]


def test_a_place_of_an_earlier_run_is_halfway_until_it_is_taken_again() -> None:
    state = replay([*begin("1", "a", "b"), event("acquire", "a", run="1")])
    assert state.halfway() == []
    replay(begin("2", "a", "b"), state)
    assert state.halfway() == ["a"]
    assert state.left() == ["a"]
    replay([event("acquire", "a", run="2", halfway=True)], state)
    assert state.halfway() == []
    replay([event("done", "a", seconds=1.0, run="2")], state)
    assert state.durations() == {}


def test_what_was_refused_is_so_for_one_run_and_hides_nothing_of_an_earlier_one() -> None:
    state = replay(
        [*begin("1", "a", "b", "c"), event("acquire", "a", run="1"), event("acquire", "b", run="1")]
    )
    replay([event("failed", "b", why="x", run="1")], state)
    replay(begin("2", "a", "b", "c"), state)
    replay([event("refused", host, why="budget", run="2") for host in "abc"], state)
    assert [state.node(host).status for host in "abc"] == ["held", "failed", "refused"]
    assert [state.node(host).refused for host in "abc"] == ["2"] * 3
    assert state.left() == ["a", "b"]


def test_unfinished_is_what_the_same_command_would_resume() -> None:
    state = replay(begin("1", "a", "b"))
    assert state.unfinished
    replay([event("end", outcome="stopped")], state)
    assert state.unfinished
    replay(
        [
            *begin("2", "b"),
            event("acquire", "b", run="2"),
            event("done", "b"),
            event("end", outcome="finished"),
        ],
        state,
    )
    assert not state.unfinished
    # Half of it was left out by --limit, and one of those was under way.
    state = replay([*begin("1", "a", "b"), event("acquire", "a", run="1")])
    replay(
        [
            *begin("2", "b"),
            event("acquire", "b", run="2"),
            event("done", "b"),
            event("end", outcome="finished"),
        ],
        state,
    )
    assert state.unfinished
    replay([event("abandon", why="w", by="me")], state)
    assert not state.unfinished


def test_pauses_power_and_events_of_a_later_version() -> None:
    state = replay(
        [*begin("1", "a"), event("pause", time=5, by="me", why="lunch"), event("pause", time=6, by="you")]
    )
    assert state.paused is not None
    assert (state.paused.since, state.paused.by, state.paused.why) == (5, "me", "lunch")
    replay(
        [event("resume", by="me"), event("power", "a"), event("power", "a"), event("from the future")], state
    )
    assert state.paused is None
    assert state.node("a").power == 2


def test_in_parts_is_the_same_as_at_once() -> None:
    events = [
        *begin("1", "a", "b"),
        event("acquire", "a", 1, run="1"),
        event("power", "a", 2),
        event("failed", "a", 3, why="x"),
        event("pause", time=4, by="me"),
        *begin("2", "a", "b", time=5),
        event("acquire", "a", 6, run="2"),
        event("done", "a", 8, seconds=2.0),
    ]
    for cut in range(len(events)):
        assert replay(events[cut:], replay(events[:cut])) == replay(events)
