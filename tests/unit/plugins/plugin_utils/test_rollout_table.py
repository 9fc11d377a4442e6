# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tired person reads: the plan, and how it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import hosts as facts
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import progress, state, table, waves
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.settings import settings

OLD, NEW = "6.1.0-47-amd64", "6.1.0-56-amd64"
NOW = datetime(2026, 11, 24, 19, 0, tzinfo=UTC).timestamp()
LINKS = {"cilium_migration_cleanup": {"cilium_migration_cleanup_links": ["flannel.1"]}}
UPGRADE = {"kernel_upgrade": {"kernel_upgrade_release": NEW}}


def host(zone: str, **about: Any) -> Any:
    base = {"hardware": "amd", "release": OLD, "dark": "", "unhealthy": "", "controller": False}
    return {"zones": [zone], **base, **about}


def step(name: str, zone: str, roles: Any = None, because: Any = None, reboot: bool = True) -> Any:
    base = {"host": name, "zone": zone, "wave": 0, "reboot": reboot}
    return {**base, "roles": roles or UPGRADE, "because": because or [f"kernel:runs {OLD}, wanted {NEW}"]}


def planned(
    hosts: dict[str, Any], steps: list[Any] | None = None, plan: Any = None, **site: Any
) -> tuple[str, Any]:
    """(the text of the plan, the rollout)"""
    basis = "a guess"
    if steps is None:
        steps = [step(name, facts.zone_of(about)) for name, about in hosts.items() if not about["dark"]]
    given_ = settings({f"fleetops_{name}": value for name, value in site.items()})
    made = waves.make(steps, hosts, given_, kind="kernel", goal=f"kernel {NEW}")
    rest: Any = {"skipped": {}, "held_back": {}, "idle": {}, **(plan or {})}
    return table.plan_text(made, waves.ordered(steps, made), rest, hosts, NOW, basis), made


def flat(text: str) -> str:
    """Without the ends of lines, which may come anywhere."""
    return " ".join(text.split())


def fleet(size: int, zones: str = "abc") -> dict[str, Any]:
    return {
        f"n-{zone}{number}": host(f"zone_{zone}")
        for zone in zones
        for number in range(1, size // len(zones) + 1)
    }


def test_three_nodes_each_with_its_line() -> None:
    text, _rollout = planned(fleet(3))
    assert (
        text
        == f"""\
PLAN: kernel {NEW}

  Made        Tue 2026-11-24 19:00 UTC
  Nodes       3 of 3, in 3 zones
  At once     at most 1 of 3 nodes (33%); of one zone at most 1 of 1 (zone_a, 100%)
  Stops       at the first failed node: no other begins, those under way finish, the rest is not attempted
  Takes       about 55 min, 10 min of them soak; a node by a guess
  Ends        about Tue 2026-11-24 19:55 UTC, if it begins now and nothing fails

WHAT CHANGES, AND WHY
  A  3 nodes     kernel {NEW}; one reboot
                 because runs {OLD}, wanted {NEW}

WAVE 1 of 3, canaries: 1 node, one at a time, from about Tue 2026-11-24 19:00 UTC; then 5 min of soak
  ORDER  ZONE    HOST  CHANGE  REBOOT  EACH
  1      zone_a  n-a1  A       yes     15 min

WAVE 2 of 3, zone_b: 1 node, one at a time, from about Tue 2026-11-24 19:20 UTC; then 5 min of soak
  ORDER  ZONE    HOST  CHANGE  REBOOT  EACH
  2      zone_b  n-b1  A       yes     15 min

WAVE 3 of 3, zone_c: 1 node, one at a time, from about Tue 2026-11-24 19:40 UTC
  ORDER  ZONE    HOST  CHANGE  REBOOT  EACH
  3      zone_c  n-c1  A       yes     15 min"""
    )


def test_of_a_large_fleet_nodes_alike_share_a_line() -> None:
    hosts = fleet(999)
    steps = [
        step(name, facts.zone_of(about), {**LINKS, **UPGRADE}, [f"kernel:runs {OLD}", "stale-link:flannel.1"])
        if name.endswith("7")
        else step(name, facts.zone_of(about))
        for name, about in hosts.items()
    ]
    text, _rollout = planned(hosts, steps, in_flight=20)
    assert len(text.splitlines()) < 60
    assert "  2..333  zone_a  299 nodes: n-a[2-6,8-16,18-26,28-36,38-46] and 258 more  A " in text
    assert "B  99 nodes    stale links removed: flannel.1; kernel" in text
    assert "because runs 6.1.0-47-amd64; stale-link flannel.1" in text


def test_who_is_not_in_it_and_why() -> None:
    hosts = {
        **fleet(9),
        "dark1": host("zone_a", dark="no route"),
        "sick": host("zone_b", unhealthy="not Ready"),
    }
    rest = {
        "skipped": {"dark1": "no route", "n-c3": "what runs is unknown"},
        "held_back": {"n-c2": "no reboot is planned"},
        "idle": {"n-a3": "runs it", "n-b3": "runs it"},
    }
    out = {*rest["skipped"], *rest["held_back"], *rest["idle"]}
    steps = [step(name, facts.zone_of(about)) for name, about in hosts.items() if name not in out]
    text, _rollout = planned(hosts, steps, rest)
    assert (
        "6 of 11, in 3 zones; 2 with nothing to do; 1 held back; 1 not judged; 1 dark; 1 unhealthy before"
        in flat(text)
    )
    assert "beside 2 unavailable already" in flat(text)
    for lines in (
        "DARK: 1 node\n  dark1: no route",
        "NOT JUDGED: 1 node\n  n-c3: what runs is unknown",
        "HELD BACK: 1 node\n  n-c2: no reboot is planned",
        "UNHEALTHY BEFORE: 1 node\n  sick: not Ready",
        "NOTHING TO DO: 2 nodes\n  n-a3, n-b3: runs it",
    ):
        assert f"\n\n{lines}" in text


def test_nothing_planned() -> None:
    text, _rollout = planned(fleet(3), [], {"idle": dict.fromkeys(fleet(3), "nothing to cure")})
    assert "Nodes       0 of 3; 3 with nothing to do" in text
    assert "NOTHING TO DO: 3 nodes\n  n-a1, n-b1, n-c1: nothing to cure" in text
    assert "WAVE" not in text


def test_the_blast_radius_is_what_the_limits_leave() -> None:
    text, _rollout = planned(fleet(60), in_flight=10, in_flight_per_zone=5)
    assert "at most 5 of 60 nodes (8%); of one zone at most 5 of 20 (zone_a, 25%)" in flat(text)
    text, _rollout = planned(fleet(60), in_flight=10, max_unavailable="10%", failure_budget="5%")
    assert "at most 2 of 60 nodes" in flat(text)
    assert "of one zone at most 2 of 20 (zone_a, 10%); never more than 2 of a zone unavailable" in flat(text)
    assert "when more than 3 nodes failed" in flat(text)


def test_the_end_is_told_against_the_windows() -> None:
    windows = [{"days": ["mon", "tue", "wed"], "from": "22:00", "to": "01:00"}]
    text, _rollout = planned(fleet(18), windows=windows, time_zone="Europe/Berlin")
    assert "mon-wed 22:00-01:00 (Europe/Berlin); closed now, opens Tue 2026-11-24 22:00 CET" in flat(text)
    assert "takes 2 windows" in flat(text)
    assert "about Wed 2026-11-25 23:50 CET, begins Tue 2026-11-24 22:00 CET" in flat(text)
    text, _rollout = planned(fleet(3), windows=[{"from": "22:00", "to": "22:10"}])
    assert "NEVER ENDS no maintenance window is long enough for n-a1, which needs 15 min" in flat(text)
    assert "WAVE 1 of 3, canaries: 1 node, one at a time, never" in flat(text)


def test_what_a_node_says_of_itself_moves_no_cursor() -> None:
    text, _rollout = planned({"n1": host("zone_a"), "n2": host("zone_\x1b[2J")}, canaries=0)
    assert "\x1b" not in text
    assert text.isascii()


@given(
    st.integers(1, 300),
    st.integers(1, 9),
    st.lists(st.text("abc -,", min_size=1, max_size=300), max_size=12),
)
def test_no_line_is_wider_than_the_ticket(size: int, in_flight: int, whys: list[str]) -> None:
    hosts = fleet(max(3, size))
    held = {name: f"{why} x" for name, why in zip(hosts, whys, strict=False)}
    text, _rollout = planned(hosts, None, {"held_back": held}, in_flight=in_flight)
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    ("roles", "what"),
    [
        ({}, "its gates are looked at again"),
        ({"kernel_upgrade": {"kernel_upgrade_package": "linux-image-x"}}, "kernel of linux-image-x"),
        ({"kernel_upgrade": {"kernel_upgrade_minimum": "6.1"}}, "kernel 6.1 or newer"),
        ({"kernel_upgrade": {"kernel_upgrade_first_good": True}}, "the first good kernel"),
        (
            {"crashkernel": {"crashkernel_size": "224M", "crashkernel_capture_panic": 10}},
            "crashkernel=224M, panic=10 for the capture kernel",
        ),
        ({"some_role": {"x": 1}}, "some_role"),
    ],
)
def test_what_changes_in_few_words(roles: Any, what: str) -> None:
    one = {**step("n1", "zone_a"), "roles": roles, "because": ["left:half-way"], "reboot": False}
    text, _rollout = planned({"n1": host("zone_a")}, [one])
    assert f"{what}; no reboot\n" in text
    assert "because an earlier run left it: half-way" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 min"), (1, "1 min"), (60, "1 min"), (3599, "1 h"), (9900, "2 h 45 min"), (200000, "2 d 7 h")],
)  # fmt: skip
def test_seconds_as_one_says_them(seconds: float, words: str) -> None:
    assert table.minutes(seconds) == words


# --- how it stands -----------------------------------------------------------------------------------


def replayed(*events: dict[str, Any], **site: Any) -> state.State:
    _text, made = planned(fleet(9), canaries=0, **site)
    first = [{"event": "begin", "rollout": "r", "time": NOW}, {"event": "plan", "rollout": made, "time": NOW}]
    return state.replay([{"run": "r1", **event} for event in [*first, *events]])


UNDER_WAY = (
    {"event": "acquire", "host": "n-a1", "time": NOW},
    {"event": "done", "host": "n-a1", "seconds": 600.0, "time": NOW + 600},
    {"event": "acquire", "host": "n-a2", "time": NOW + 600},
    {"event": "stage", "host": "n-a2", "stage": "reboot", "time": NOW + 900},
)


def test_it_is_under_way() -> None:
    text = progress.status_text(replayed(*UNDER_WAY), "Rolling: process 7", [], NOW + 1080)
    assert (
        text
        == f"""\
ROLLOUT: kernel {NEW}

  Held by     Rolling: process 7
  Nodes       1 done, 1 under way, 7 waiting, of 9 (11% done)
  Left        about 2 h 2 min, until Tue 2026-11-24 21:20 UTC, if nothing fails

UNDER WAY: 1 node
  HOST  ZONE    STAGE   SINCE  IN ALL
  n-a2  zone_a  reboot  3 min  8 min

WAITING: 7 nodes: n-a3, n-b[1-3], n-c[1-3]

DONE: 1 node: n-a1"""
    )


def test_a_place_that_no_living_process_holds_is_shown_as_such() -> None:
    text = progress.status_text(replayed(*UNDER_WAY), "The last run died", ["n-a2"], NOW + 1080, alive=False)
    assert "n-a2  zone_a  reboot  3 min  8 min   HELD BY NO LIVING PROCESS" in text
    assert "Left" not in text, "nobody brings it to its end"


def test_it_stops() -> None:
    events = (
        *UNDER_WAY,
        {"event": "failed", "host": "n-a2", "why": "Reboot: it did not come back", "time": NOW + 2000},
        {"event": "refused", "host": "n-a3", "why": "n-a2 failed, 0 tolerated", "time": NOW + 2001},
        {"event": "refused", "host": "n-b1", "why": "n-a2 failed, 0 tolerated", "time": NOW + 2001},
    )
    text = progress.status_text(replayed(*events), "Rolling: process 7", [], NOW + 2002)
    assert "STOPPING    1 failed, 0 tolerated: no other node begins" in text
    assert "FAILED: 1 node\n  n-a2: Reboot: it did not come back" in text
    assert "NOT ATTEMPTED: 2 nodes\n  n-a3, n-b1: n-a2 failed, 0 tolerated" in text
    assert "Left" not in text


def test_it_is_paused_or_soaks() -> None:
    paused = replayed(*UNDER_WAY, {"event": "pause", "by": "eva@ctl", "why": "storage", "time": NOW + 960})
    assert "PAUSED      by eva@ctl, for 2 min: storage" in progress.status_text(paused, "x", [], NOW + 1080)
    ends = [{"event": "done", "host": f"n-a{one}", "seconds": 1.0, "time": NOW} for one in (1, 2, 3)]
    text = progress.status_text(replayed(*ends), "x", [], NOW + 60)
    assert "Soak        until Tue 2026-11-24 19:05 UTC, 4 min more" in text


def test_what_an_earlier_run_left_waits_again() -> None:
    earlier = (
        *UNDER_WAY,
        {"event": "acquire", "host": "n-b1", "time": NOW + 700},
        {"event": "failed", "host": "n-b1", "why": "x", "time": NOW + 800},
        {"event": "refused", "host": "n-b2", "why": "x", "time": NOW + 801},
    )
    found = replayed(*earlier)
    again = found.plan
    state.replay(
        [
            {"event": "begin", "run": "r2", "rollout": "r", "time": NOW + 2000},
            {"event": "plan", "run": "r2", "rollout": again, "time": NOW + 2000},
        ],
        found,
    )
    of_host = progress.statuses(found)
    assert {name: of_host[name] for name in ("n-a1", "n-a2", "n-b1", "n-b2", "n-c1")} == {
        "n-a1": "done",
        "n-a2": "held",
        "n-b1": "waiting",
        "n-b2": "waiting",
        "n-c1": "waiting",
    }
    assert "left half-way by run r1" in progress.status_text(found, "x", [], NOW + 2001)


def test_a_ledger_without_a_plan() -> None:
    text = progress.status_text(state.State(), "nobody", [], NOW)
    assert "ROLLOUT: no plan yet" in text
    assert "none planned, of 0" in text
