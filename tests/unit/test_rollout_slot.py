# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may start now: each rule by itself, then all of them in simulated rollouts."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import slot
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.slot import decide
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import State, replay

Event = dict[str, Any]


def wave(
    name: str, hosts: Iterable[str], in_flight: int = 1, per_zone: int = 0, soak: int = 0
) -> dict[str, Any]:
    return {"name": name, "hosts": list(hosts), "in_flight": in_flight, "per_zone": per_zone, "soak": soak}


def begun(
    *waves: dict[str, Any], state: State | None = None, time: float = 0, run: str = "1", **options: Any
) -> State:
    hosts = [host for each in waves for host in each["hosts"]]
    rollout = {
        "kind": "kernel",
        "goal": "g",
        "waves": list(waves),
        "zones": {host: host[0] for host in hosts},
        "budget": 0,
        "unavailable": {},
        "max_unavailable": {},
        "windows": [],
        "time_zone": "UTC",
        "seconds": dict.fromkeys(hosts, 600),
        "power_cycles": 0,
        "pause_timeout": 100,
        **options,
    }
    events = [
        {"event": "begin", "time": time, "run": run, "rollout": "r"},
        {"event": "plan", "time": time, "run": run, "rollout": rollout},
    ]
    return replay(events, state)


def did(state: State, *steps: str, time: float = 0) -> State:
    """Steps like "acquire a1"."""
    for step in steps:
        kind, _blank, host = step.partition(" ")
        replay(
            [{"event": kind, "time": time, "host": host, "run": state.last, "why": "x", "seconds": 1.0}],
            state,
        )
    return state


def answers(state: State, now: float, *hosts: str) -> list[str]:
    return [decide(state, host, now)["answer"] for host in hosts]


def test_places_go_to_the_first_of_the_plan() -> None:
    state = begun(wave("a", ["a1", "a2", "a3"], in_flight=2))
    assert answers(state, 1, "a1", "a2", "a3") == ["granted", "granted", "wait"]
    assert [decide(state, host, 1)["first"] for host in ("a1", "a3")] == [False, False]
    did(state, "acquire a1", "acquire a2", time=2)
    grant = decide(state, "a3", 3)
    assert (grant["answer"], grant["why"], grant["first"]) == (
        "wait",
        "a1, a2 are under way, 2 at once",
        True,
    )
    did(state, "done a1", time=4)
    assert answers(state, 4, "a1", "a2", "a3") == ["done", "granted", "granted"]


def test_a_place_is_kept_for_whose_turn_it_is_for_a_while_only() -> None:
    state = begun(wave("a", ["a1", "a2"]), time=100)
    grant = decide(state, "a2", 109.9)
    assert (grant["answer"], "a1" in grant["why"]) == ("wait", True)
    assert answers(state, 110, "a2", "a1") == ["granted", "granted"]
    # And from the moment on that it became free, not from the start.
    did(state, "acquire a2", time=110)
    did(state, "done a2", time=200)
    assert answers(begun(wave("a", ["a1", "a3"]), state=state, run="2", time=205), 211, "a3") == ["wait"]


def test_a_node_on_its_way_back_counts_at_once_and_keeps_its_place() -> None:
    state = did(begun(wave("a", ["a1", "a2"]), budget=1), "acquire a1", "failing a1")
    grant = decide(state, "a2", 1)
    assert (grant["answer"], grant["cause"]) == ("wait", "room")
    state = did(begun(wave("a", ["a1", "a2"], in_flight=2)), "acquire a1", "failing a1")
    grant = decide(state, "a2", 1)
    assert (grant["answer"], grant["cause"]) == ("refused", "budget")
    assert did(state, "failed a1").node("a1").why == "x"


def test_the_budget_counts_this_run_and_is_global_over_zones() -> None:
    waves = wave("a", ["a1", "a2"]), wave("b", ["b1", "b2"])
    state = did(begun(*waves, budget=1), "acquire a1", "failed a1", "acquire a2", "done a2", "acquire b1")
    assert answers(state, 1000, "b2") == ["wait"]
    did(state, "failed b1")
    grant = decide(state, "b2", 1000)
    assert (grant["answer"], grant["cause"]) == ("refused", "budget")
    assert "a1, b1 failed, 1 tolerated" in grant["why"]
    # In the next run, both have another chance, and the rest as well.
    begun(*waves, budget=1, state=state, run="2", time=2000)
    assert answers(state, 2001, "a1", "a2") == ["granted", "done"]


def test_what_was_decided_stays_so_in_a_run() -> None:
    state = did(begun(wave("a", ["a1", "a2", "a3"])), "refused a1", "acquire a2", "failed a2")
    assert answers(state, 1, "a1", "a2", "nobody") == ["refused", "refused", "refused"]
    begun(wave("a", ["a1", "a2", "a3"]), state=state, run="2")
    assert answers(state, 1, "a1") == ["granted"]


def test_asked_twice_for_its_own_place_it_keeps_it() -> None:
    state = did(begun(wave("a", ["a1", "a2"])), "acquire a1")
    assert answers(state, 1, "a1") == ["granted"]


def test_a_halfway_node_is_known_as_such_and_takes_no_place_of_others() -> None:
    state = did(begun(wave("a", ["a1", "a2"])), "acquire a1")
    begun(wave("a", ["a1", "a2"]), state=state, run="2")
    grant = decide(state, "a1", 1)
    assert (grant["answer"], grant["halfway"]) == ("granted", True)
    # Left out by --limit: the others do not wait for it.
    begun(wave("a", ["a2"]), state=state, run="3")
    assert answers(state, 1, "a2") == ["granted"]


def test_a_wave_opens_when_all_of_the_earlier_have_ended() -> None:
    state = begun(wave("canaries", ["a1"]), wave("a", ["a2"]), wave("b", ["b1"]))
    grant = decide(state, "a2", 99)
    assert (grant["answer"], grant["cause"]) == ("refused", "wave")
    did(state, "acquire a1")
    assert answers(state, 99, "a2") == ["refused"]
    did(state, "done a1")
    assert answers(state, 99, "a2", "b1") == ["granted", "refused"]
    did(state, "refused a2")
    assert answers(state, 99, "b1") == ["granted"]


def test_soak_begins_with_the_end_of_the_wave_before() -> None:
    state = begun(wave("canaries", ["a1"], soak=300), wave("a", ["a2"], soak=50), wave("b", ["b1"]))
    did(state, "acquire a1", time=10)
    did(state, "done a1", time=20)
    assert answers(state, 319, "a2") == ["wait"]
    assert "1 s more" in decide(state, "a2", 319)["why"]
    assert answers(state, 320, "a2") == ["granted"]
    # A wave that was not touched needs none, and does not shorten that of the one before.
    did(state, "refused a2", time=30)
    assert answers(state, 319, "b1") == ["wait"]
    assert answers(state, 320, "b1") == ["granted"]


def test_a_paused_rollout_is_waited_for_and_then_refused() -> None:
    state = begun(wave("a", ["a1", "a2"]), time=50)
    replay([{"event": "pause", "time": 10, "by": "ann", "why": "storm"}], state)
    grant = decide(state, "a1", 149)
    assert (grant["answer"], "ann: storm" in grant["why"]) == ("wait", True)
    grant = decide(state, "a1", 150)  # 100 s after the run began, though the pause is older
    assert (grant["answer"], grant["cause"]) == ("refused", "paused")
    replay([{"event": "resume", "time": 140, "by": "ann"}], state)
    assert answers(state, 151, "a1") == ["granted"]
    state = begun(wave("a", ["a1"]), pause_timeout=0)
    replay([{"event": "pause", "time": 1, "by": "ann"}], state)
    assert answers(state, 1, "a1") == ["refused"]


def test_per_zone_holds_beside_the_number_in_all() -> None:
    state = begun(wave("all", ["a1", "a2", "b1", "b2"], in_flight=3, per_zone=1))
    assert answers(state, 1, "a1", "a2", "b1", "b2") == ["granted", "wait", "granted", "wait"]
    did(state, "acquire a1")
    assert "of a under way" in decide(state, "a2", 1)["why"]


def test_availability_counts_what_is_down_for_any_reason() -> None:
    hosts = ["a1", "a2", "a3"]
    options: dict[str, Any] = {"max_unavailable": {"a": 2}, "unavailable": {"a": ["a9"]}, "budget": 9}
    state = begun(wave("a", hosts, in_flight=3), **options)
    assert answers(state, 1, "a1", "a2") == ["granted", "wait"]
    did(state, "acquire a1")
    assert "a1, a9 are of a not available, 2 at once" in decide(state, "a2", 1)["why"]
    assert answers(state, 1, "a2") == ["wait"]
    did(state, "failed a1")
    grant = decide(state, "a2", 1)
    assert (grant["answer"], grant["cause"]) == ("refused", "unavailable")
    # One that is down already makes nothing worse.
    begun(wave("a", hosts, in_flight=3), state=state, run="2", **options)
    assert answers(state, 1, "a1") == ["granted"]
    assert answers(state, 1, "a2") == ["wait"]


def test_one_worker_does_not_wait_for_an_unhealthy_node_that_comes_later_and_never_gets_a_worker() -> None:
    limits: dict[str, Any] = {"max_unavailable": {"a": 1}, "unavailable": {"a": ["a2"]}}
    run = Fleet(1, begun(wave("a", ["a1", "a2"]), time=1000, **limits), 1, 0.0)
    run.roll()
    assert ("refused", "a1") in run.log
    assert ("done", "a2") in run.log
    # With a worker for each, the unhealthy one goes first, and makes room.
    run = Fleet(1, begun(wave("a", ["a1", "a2"]), time=1000, **limits), 2, 0.0)
    run.roll()
    assert [host for kind, host in run.log if kind == "done"] == ["a2", "a1"]


def test_a_worker_that_died_while_it_waited_holds_nobody_up() -> None:
    run = Fleet(1, begun(wave("a", ["a1", "a2", "a3"]), time=1000), 3, 0.0)
    run.dead = ["a1"]
    run.roll()
    assert sorted(host for kind, host in run.log if kind == "done") == ["a2", "a3"]


def test_a_window_that_closes_before_the_end_is_not_begun() -> None:
    windows = [{"days": ["mon"], "from": "22:00", "to": "23:00"}]
    monday = 1_700_517_600.0  # 2023-11-20 22:00 UTC
    state = begun(wave("a", ["a1"]), windows=windows, time=monday)
    assert answers(state, monday + 2900, "a1") == ["granted"]
    grant = decide(state, "a1", monday + 3100)
    assert (grant["answer"], grant["cause"]) == ("refused", "window")
    assert "2023-11-27" in grant["why"]


# --- all rules at once -------------------------------------------------------------------------------


class Fleet:
    """Simulated workers: they take hosts in order, wave after wave, as host_pinned with `serial` does."""

    def __init__(self, seed: int, state: State, forks: int, fails: float) -> None:
        self.random = random.Random(seed)
        self.state, self.forks, self.fails = state, forks, fails
        self.now = 1000.0
        self.log: list[tuple[str, str]] = []
        self.highest = 0
        self.dead: list[str] = []  # whose workers never ask

    def write(self, kind: str, host: str, **more: Any) -> None:
        self.log.append((kind, host))
        replay([{"event": kind, "time": self.now, "host": host, "run": self.state.last, **more}], self.state)

    def roll(self, kill_after: int | None = None) -> None:
        """One run, to its end or to a number of events."""
        plan = self.state.plan or {}
        for each in plan["waves"]:
            todo = [host for host in each["hosts"] if self.state.node(host).status != "done"]
            todo = [host for host in todo if host not in self.dead]
            waiting: list[str] = []
            running: dict[str, float] = {}
            idle = 0
            while todo or waiting or running:
                while todo and len(waiting) + len(running) < self.forks:
                    waiting.append(todo.pop(0))
                idle += 1
                assert idle < 2000, f"nobody moves any more: {waiting} wait, {running} are under way"
                for host in self.random.sample(waiting, len(waiting)):
                    grant = decide(self.state, host, self.now)
                    if grant["answer"] == "wait":
                        continue
                    waiting.remove(host)
                    idle = 0
                    if grant["answer"] == "granted":
                        failed = self.state.with_status("failed", self.state.last)
                        assert len(failed) <= plan["budget"], f"{host} started after {failed} failed"
                        self.write("acquire", host, halfway=grant["halfway"])
                        running[host] = self.now + self.random.uniform(0, 60)
                        self.check(each, running)
                    elif grant["answer"] == "refused":
                        self.write("refused", host, why=grant["why"])
                    if kill_after is not None and len(self.log) >= kill_after:
                        return
                for host, end in list(running.items()):
                    if end <= self.now:
                        del running[host]
                        idle = 0
                        self.write(
                            "failed" if self.random.random() < self.fails else "done",
                            host,
                            why="x",
                            seconds=1.0,
                        )
                        if kill_after is not None and len(self.log) >= kill_after:
                            return
                self.pause()
                self.now += self.random.uniform(0.1, 3)

    def pause(self) -> None:
        lot = self.random.random()
        if lot < 0.02:
            replay([{"event": "pause", "time": self.now, "by": "x"}], self.state)
        elif lot < 0.1:
            replay([{"event": "resume", "time": self.now, "by": "x"}], self.state)

    def check(self, each: dict[str, Any], running: dict[str, float]) -> None:
        plan = self.state.plan or {}
        assert len(running) <= each["in_flight"]
        for zone in {plan["zones"][host] for host in running}:
            of_zone = [host for host in running if plan["zones"][host] == zone]
            assert not each["per_zone"] or len(of_zone) <= each["per_zone"]
            limit = plan["max_unavailable"].get(zone)
            healthy = [host for host in of_zone if host not in plan["unavailable"].get(zone, [])]
            assert limit is None or len(healthy) <= max(limit, 1)
        self.highest = max(self.highest, len(running))


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    zones = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    waves = [
        wave(
            "abc"[number],
            [f"{'abc'[number]}{n}" for n in range(count)],
            in_flight=draw(st.integers(1, 4)),
            per_zone=draw(st.integers(0, 3)),
            soak=draw(st.sampled_from([0, 30])),
        )
        for number, count in enumerate(zones)
    ]
    if draw(st.booleans()):  # one wave over all zones
        waves = [{**waves[0], "hosts": [host for each in waves for host in each["hosts"]]}]
    limits = {"abc"[n]: draw(st.integers(1, 3)) for n in range(len(zones)) if draw(st.booleans())}
    unhealthy = {
        "abc"[n]: [f"{'abc'[n]}{draw(st.integers(0, 9))}"] for n in range(len(zones)) if draw(st.booleans())
    }
    options = {"budget": draw(st.integers(0, 3)), "max_unavailable": limits, "unavailable": unhealthy}
    return waves, options


@settings(max_examples=150)
@given(fleets(), st.integers(0, 2**32), st.integers(0, 6), st.sampled_from([0.0, 0.2, 1.0]))
def test_a_run_ends_within_its_limits(
    fleet: tuple[list[dict[str, Any]], dict[str, Any]], seed: int, spare: int, fails: float
) -> None:
    waves, options = fleet
    forks = max(each["in_flight"] for each in waves) + spare
    run = Fleet(seed, begun(*waves, **options, time=1000), forks, fails)
    run.roll()
    for each in waves:
        for host in each["hosts"]:
            assert slot.ended(run.state, host), f"{host} is left {run.state.node(host)}"
    if fails == 1.0:
        assert len([1 for kind, _host in run.log if kind == "failed"]) <= options["budget"] + max(
            each["in_flight"] for each in waves
        )
    started = [host for kind, host in run.log if kind == "acquire"]
    assert len(started) == len(set(started))


@settings(max_examples=100)
@given(fleets(), st.integers(0, 2**32), st.lists(st.integers(1, 30), max_size=3))
def test_killed_and_run_again_every_node_is_done_once(
    fleet: tuple[list[dict[str, Any]], dict[str, Any]], seed: int, kills: list[int]
) -> None:
    waves, options = fleet
    options = {**options, "max_unavailable": {}}
    state = State()
    done: list[str] = []
    for number, kill in enumerate([*kills, None]):
        left = [host for host, node in state.nodes.items() if node.status in ("held", "failed")]
        order = [
            {**each, "hosts": sorted(each["hosts"], key=lambda host: host not in left)} for each in waves
        ]
        begun(*order, **options, state=state, run=str(number), time=1000)
        run = Fleet(seed + number, state, 6, 0.0)
        # The rest would be refused, which is another story.
        run.pause = lambda: None  # type: ignore[method-assign]
        run.roll(kill)
        done += [host for kind, host in run.log if kind == "done"]
    hosts = [host for each in waves for host in each["hosts"]]
    assert sorted(done) == sorted(hosts)
    assert state.left() == []


@pytest.mark.parametrize("seed", range(5))
def test_the_window_is_used(seed: int) -> None:
    """Were it never filled, every limit above would hold as well."""
    run = Fleet(seed, begun(wave("a", [f"a{n:02}" for n in range(30)], in_flight=3), time=1000), 6, 0.0)
    run.pause = lambda: None  # type: ignore[method-assign]
    run.roll()
    assert run.highest == 3
    # In the order of the plan, but for those to whom a place is free at the same time.
    order = [host for kind, host in run.log if kind == "acquire"]
    assert all(abs(order.index(host) - place) < 3 for place, host in enumerate(sorted(order)))
