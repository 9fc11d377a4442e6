# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import hosts as facts
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import state, waves
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.settings import settings


def host(*zones: str, **about: Any) -> Any:
    base = {"hardware": "amd", "release": "6.1.0-47", "dark": "", "unhealthy": "", "controller": False}
    return {"zones": list(zones), **base, **about}


def step(name: str, zone: str = "") -> Any:
    return {"host": name, "zone": zone, "wave": 0, "roles": {}, "because": ["a:b"], "reboot": True}


def make(
    hosts: dict[str, Any],
    planned: Any = None,
    past: Any = None,
    forks: int | None = None,
    seconds: Any = None,
    **site: Any,
) -> Any:
    steps = [step(name, facts.zone_of(hosts[name])) for name in (hosts if planned is None else planned)]
    given_ = settings({f"fleetops_{name}": value for name, value in site.items()})
    left = {**waves.FIRST, **(past or {})}
    return waves.make(
        steps, hosts, given_, left, kind="kernel", goal="kernel 6.1.0-56", forks=forks, seconds=seconds  # type: ignore[arg-type]
    )  # fmt: skip


def fleet(**sizes: int) -> dict[str, Any]:
    """Zones by their last letter, with so many nodes: a=3 makes n-a1, n-a2, n-a3."""
    return {
        f"n-{zone}{number}": host(f"zone_{zone}")
        for zone, size in sizes.items()
        for number in range(1, size + 1)
    }


def shape(rollout: Any) -> list[tuple[str, list[str]]]:
    return [(wave["name"], wave["hosts"]) for wave in rollout["waves"]]


# --- order -------------------------------------------------------------------------------------------


def test_one_canary_for_one_kind_then_zone_by_zone() -> None:
    found = make(fleet(b=2, a=3))
    assert shape(found) == [
        ("canaries", ["n-a1"]),
        ("zone_a", ["n-a2", "n-a3"]),
        ("zone_b", ["n-b1", "n-b2"]),
    ]
    assert [wave["soak"] for wave in found["waves"]] == [300, 300, 0], "nothing comes after the last"
    assert found["seconds"] == dict.fromkeys(fleet(a=3, b=2), 900)
    assert json.loads(json.dumps(found)) == found


def test_zones_and_hosts_in_natural_order() -> None:
    hosts = {"n10": host("zone_10"), "n9": host("zone_10"), "n2": host("zone_9"), "n1": host("zone_9")}
    assert shape(make(hosts, canaries=0)) == [("zone_9", ["n1", "n2"]), ("zone_10", ["n9", "n10"])]


def test_a_canary_for_each_kind_of_hardware_and_kernel_the_largest_first_and_each_of_another_zone() -> None:
    hosts = fleet(a=6, b=4)
    for name in ("n-a1", "n-b1"):
        hosts[name]["hardware"] = "arm"
    hosts["n-a6"]["release"] = "5.10.0-30"
    found = make(hosts)
    # Seven of the common kind, two of arm, one with an older kernel, which is in zone_a only.
    assert shape(found)[0] == ("canaries", ["n-a2", "n-b1", "n-a6"])
    assert found["waves"][0]["in_flight"] == 1, "what breaks every node breaks one"
    assert make(hosts, in_flight=5)["waves"][0]["in_flight"] == 1


def test_a_number_of_canaries_goes_round_the_kinds() -> None:
    hosts = fleet(a=4, b=4)
    hosts["n-b4"]["hardware"] = "arm"
    assert shape(make(hosts, canaries=1))[0] == ("canaries", ["n-a1"])
    assert make(hosts, canaries=1)["notes"] == ["1 of 2 kinds of nodes have no canary"]
    assert shape(make(hosts, canaries=3))[0] == ("canaries", ["n-a1", "n-b4", "n-a2"])
    assert shape(make(hosts, canaries=0))[0][0] == "zone_a"
    assert len(shape(make(hosts, canaries=99))[0][1]) == 8


def test_a_healthy_node_is_the_canary() -> None:
    hosts = fleet(a=2)
    hosts["n-a1"]["unhealthy"] = "not Ready"
    assert shape(make(hosts))[0] == ("canaries", ["n-a2"])
    assert make(hosts)["unavailable"] == {"zone_a": ["n-a1"]}


def test_the_controller_s_own_machine_is_no_canary_and_last_in_its_zone() -> None:
    hosts = fleet(a=3, b=1)
    hosts["n-a1"]["controller"] = True
    assert shape(make(hosts)) == [
        ("canaries", ["n-a2"]),
        ("zone_a", ["n-a3", "n-a1"]),
        ("zone_b", ["n-b1"]),
    ]
    hosts["n-a1"]["hardware"] = "the only one of its kind"
    assert shape(make(hosts))[0] == ("canaries", ["n-a2"])
    with pytest.raises(FleetopsError, match="n-a1 is the machine that this run itself is on"):
        make(hosts, canaries=["n-a1"])


def test_named_canaries_go_in_the_order_in_which_they_are_named() -> None:
    hosts = fleet(a=2, b=2)
    found = make(hosts, canaries=["n-b2", "n-a1"])
    assert shape(found)[0] == ("canaries", ["n-b2", "n-a1"])
    found = make(hosts, planned=["n-a1", "n-a2", "n-b1"], canaries=["n-b2", "n-a1"])
    assert shape(found)[0] == ("canaries", ["n-a1"])
    assert found["notes"] == ["nothing is to be done on these canaries: n-b2"]


def test_canaries_that_cannot_be_canaries_are_all_told() -> None:
    hosts = fleet(a=3)
    hosts["n-a1"]["dark"] = "no route"
    with pytest.raises(
        FleetopsError, match=r"n-a1 is dark \(no route\); n-x is not among the hosts of this play"
    ):
        make(hosts, canaries=["n-a1", "n-x"])


def test_a_dark_host_has_no_place() -> None:
    hosts = fleet(a=2, b=1)
    hosts["n-b1"]["dark"] = hosts["n-a1"]["dark"] = "no route"
    found = make(hosts)
    assert shape(found) == [("canaries", ["n-a2"])]
    assert found["unavailable"] == {"zone_a": ["n-a1"], "zone_b": ["n-b1"]}
    assert found["zones"] == {"n-a2": "zone_a", "n-a1": "zone_a", "n-b1": "zone_b"}
    assert list(found["seconds"]) == ["n-a2"]


def test_nothing_planned_is_no_wave() -> None:
    found = make(fleet(a=2), planned=[], in_flight=50, forks=5)
    assert (found["waves"], found["budget"], found["seconds"]) == ([], 0, {})


# --- a rollout that goes on --------------------------------------------------------------------------


def test_half_way_first_then_failed_then_what_is_left_of_the_canaries() -> None:
    hosts = fleet(a=4, b=3)
    past = {"halfway": ["n-b1"], "failed": ["n-a2", "n-b2"], "done": ["n-a1"], "canaries": ["n-a1", "n-a4"]}
    found = make(hosts, past=past)
    assert shape(found) == [
        ("half-way", ["n-b1"]),
        ("failed before", ["n-a2", "n-b2"]),
        ("canaries", ["n-a4"]),
        ("zone_a", ["n-a3"]),
        ("zone_b", ["n-b3"]),
    ]
    assert [wave["soak"] for wave in found["waves"]] == [0, 0, 300, 300, 0]
    assert found["canaries"] == ["n-a1", "n-a4"]


def test_a_canary_that_was_left_half_way_is_looked_on_at_before_others_begin() -> None:
    past = {"halfway": ["n-a1"], "canaries": ["n-a1"]}
    found = make(fleet(a=3), past=past)
    assert shape(found) == [("half-way", ["n-a1"]), ("zone_a", ["n-a2", "n-a3"])]
    assert [wave["soak"] for wave in found["waves"]] == [300, 0]


@pytest.mark.parametrize("what", ["halfway", "failed"])
@pytest.mark.parametrize("away", ["dark", "limit"])
def test_nobody_begins_while_a_canary_that_did_not_end_well_is_away(what: str, away: str) -> None:
    hosts, past = fleet(a=3), {what: ["n-a1"], "canaries": ["n-a1"]}
    if away == "dark":
        hosts["n-a1"]["dark"] = "timed out"
    else:
        del hosts["n-a1"]
    with pytest.raises(FleetopsError, match=r"n-a1 \(.*again, or .*fleetops_abandon=true"):
        make(hosts, past=past)
    assert shape(make(hosts, planned=[], past=past)) == [], "nobody is to begin"


def test_canaries_are_not_chosen_again() -> None:
    hosts = fleet(a=3)
    hosts["n-a1"]["release"] = "6.1.0-56"  # as it is once it is done
    found = make(hosts, past={"done": ["n-a1"], "canaries": ["n-a1"]})
    assert shape(found) == [("zone_a", ["n-a2", "n-a3"])]


def test_what_is_done_or_has_nothing_to_do_is_not_planned_again_whatever_is_left_of_it() -> None:
    past = {"halfway": ["n-a1"], "failed": ["n-a2"], "done": ["n-a3"], "canaries": []}
    found = make(fleet(a=4), planned=["n-a2", "n-a3", "n-a4"], past=past)
    assert shape(found) == [("failed before", ["n-a2"]), ("zone_a", ["n-a4"])]


def events(*more: dict[str, Any]) -> Any:
    plan = make(fleet(a=3, b=1))
    first = [{"event": "begin", "rollout": "r", "run": "1", "time": 0.0}, {"event": "plan", "rollout": plan}]
    return state.replay([{"time": 1.0, "run": "1", **event} for event in [*first, *more]])


def test_the_past_is_read_from_the_ledger() -> None:
    assert waves.past_of(state.State()) == waves.FIRST
    found = waves.past_of(
        events(
            {"event": "acquire", "host": "n-a1", "time": 10.0},
            {"event": "done", "host": "n-a1", "time": 100.0, "seconds": 90.0},
            {"event": "acquire", "host": "n-a2", "time": 400.0},
            {"event": "acquire", "host": "n-a3", "time": 400.0},
            {"event": "failed", "host": "n-a3", "why": "x", "time": 500.0},
        )
    )
    assert found == {
        "halfway": ["n-a2"],
        "failed": ["n-a3"],
        "done": ["n-a1"],
        "canaries": ["n-a1"],
        "not_before": 400.0,
    }
    assert make(fleet(a=3, b=1), past=found)["not_before"] == 400.0


# --- how many at once --------------------------------------------------------------------------------


def test_shares_are_of_the_planned_and_of_the_zone_s_nodes() -> None:
    hosts = fleet(a=40, b=20)
    found = make(
        hosts,
        in_flight="10%",
        in_flight_per_zone="10%",
        failure_budget="5%",
        max_unavailable="25%",
        canaries=0,
    )
    assert [(wave["in_flight"], wave["per_zone"]) for wave in found["waves"]] == [(4, 4), (2, 2)]
    assert (found["budget"], found["max_unavailable"]) == (3, {"zone_a": 10, "zone_b": 5})
    few = make(fleet(a=3), in_flight="10%", failure_budget="10%", canaries=0)
    assert (few["waves"][0]["in_flight"], few["budget"]) == (1, 0)


def test_a_wave_of_several_zones_keeps_to_the_smallest_zone_s_share() -> None:
    past = {"failed": ["n-a1", "n-b1", "n-a2", "n-b2"], "canaries": []}
    (first, *_rest) = make(fleet(a=40, b=20), past=past, in_flight=10, in_flight_per_zone="5%")["waves"]
    assert (first["name"], first["per_zone"], first["in_flight"]) == ("failed before", 1, 2)


def test_more_at_once_than_forks_names_both() -> None:
    with pytest.raises(FleetopsError, match=r"\(50%\) asks for 10 nodes at once, but Ansible has 5 forks"):
        make(fleet(a=20), in_flight="50%", forks=5)
    with pytest.raises(FleetopsError, match="asks for 6 nodes at once, but Ansible has 5 forks"):
        make(fleet(a=2), in_flight=6, forks=5)
    with pytest.raises(FleetopsError, match="asks for 7 nodes"):
        make(fleet(a=20), waves=[{"hosts": 1}, {"hosts": "100%", "in_flight": 7}], forks=5)
    assert make(fleet(a=20), in_flight=5, forks=5)["waves"][1]["in_flight"] == 5


def test_all_hosts_without_a_zone_or_in_two_are_told_at_once() -> None:
    hosts = {**fleet(a=1), "lost2": host(), "lost1": host(), "torn": host("zone_a", "zone_b")}
    with pytest.raises(FleetopsError) as caught:
        make(hosts)
    assert (
        "2 planned hosts have no zone: lost1, lost2; 1 planned hosts are in several: torn (zone_a, zone_b)"
        in (caught.value.msg)
    )
    assert "set fleetops_zone" in caught.value.msg
    assert make(hosts, planned=["n-a1"])["waves"], "what is not planned needs no zone"


def test_one_node_needs_no_zone() -> None:
    assert shape(make({"n1": host()}, canaries=0)) == [("one node", ["n1"])]
    assert shape(make({"n1": host()})) == [("canaries", ["n1"])]


def test_a_zone_with_no_room_for_another_node_is_told_before_anything_begins() -> None:
    hosts = fleet(a=10, b=10)
    hosts["n-b1"]["dark"] = hosts["n-b2"]["dark"] = "no route"
    with pytest.raises(FleetopsError, match=r"zone_b: 2 of 10 \(n-b1, n-b2\), 2 allowed"):
        make(hosts, max_unavailable="20%")
    assert make(hosts, max_unavailable=3)["max_unavailable"] == {"zone_a": 3, "zone_b": 3}
    # One that is unhealthy and planned will serve again.
    hosts["n-b2"].update(dark="", unhealthy="not Ready")
    assert make(hosts, max_unavailable=2)["unavailable"] == {"zone_b": ["n-b1", "n-b2"]}


# --- the site's own waves ----------------------------------------------------------------------------


def test_sizes_are_cut_where_a_zone_ends() -> None:
    found = make(fleet(a=8, b=3), waves="1, 5, 100%", in_flight=3)
    assert shape(found) == [
        ("wave 1, canaries", ["n-a1"]),
        ("wave 2, zone_a", [f"n-a{number}" for number in range(2, 7)]),
        ("wave 3, zone_a", ["n-a7", "n-a8"]),
        ("wave 3, zone_b", ["n-b1", "n-b2", "n-b3"]),
    ]
    assert [wave["in_flight"] for wave in found["waves"]] == [1, 3, 2, 3]
    assert [wave["soak"] for wave in found["waves"]] == [300, 300, 300, 0]


def test_the_last_size_holds_until_none_is_left() -> None:
    found = make(fleet(a=7), waves=[1, 2])
    assert [len(wave["hosts"]) for wave in found["waves"]] == [1, 2, 2, 2]


def test_a_wave_of_names_is_taken_as_it_is() -> None:
    wanted = [{"hosts": ["n-b1", "n-a3", "n-a4"], "in_flight": 2, "soak": 60}]
    found = make(fleet(a=4, b=2), planned=["n-a1", "n-a2", "n-a3", "n-b1", "n-b2"], waves=wanted, canaries=0)
    assert shape(found) == [
        ("wave 1", ["n-b1", "n-a3"]),
        ("zone_a", ["n-a1", "n-a2"]),
        ("zone_b", ["n-b2"]),
    ]
    assert found["waves"][0]["in_flight"] == 2
    assert found["waves"][0]["soak"] == 60
    with pytest.raises(FleetopsError, match="not among the hosts of this play: x; in several waves: n-a1"):
        make(fleet(a=2), waves=[{"hosts": ["n-a1", "x"]}, {"hosts": ["n-a1"]}])


# --- of any fleet ------------------------------------------------------------------------------------

NAMES = [f"n{number}" for number in range(40)]


@st.composite
def fleets(draw: Any) -> tuple[dict[str, Any], list[str], Any, dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, unique=True))
    some = st.lists(st.sampled_from(names), unique=True)
    dark, controller = draw(some), draw(st.sampled_from([*names, ""]))
    hosts = {
        name: host(
            draw(st.sampled_from(["zone_a", "zone_b", "zone_c"])),
            hardware=draw(st.sampled_from(["amd", "arm"])),
            release=draw(st.sampled_from(["1", "2", None])),
            dark="no route" if name in dark else "",
            controller=name == controller,
        )
        for name in names
    }
    past = {"halfway": draw(some), "failed": draw(some), "done": draw(some)}
    past["canaries"] = draw(st.none() | some)
    site = {
        "in_flight": draw(st.integers(1, 9) | st.sampled_from(["1%", "30%", "100%"])),
        "in_flight_per_zone": draw(st.sampled_from(["", 1, 2, "20%"])),
        "canaries": draw(st.sampled_from(["auto", 0, 1, 5])),
        "waves": draw(st.sampled_from(["", "1, 5, 100%", "30%", [2, 1], [{"hosts": names[:2]}, 3]])),
    }
    planned = draw(some)
    # Canaries that are left and away are an error, see above.
    there = {name for name in planned if not hosts[name]["dark"] and name not in past["done"]}
    away = {*past["halfway"], *past["failed"]} - there
    if past["canaries"] is not None:
        past["canaries"] = [name for name in past["canaries"] if name not in away]
    return hosts, planned, past, site


@given(fleets())
def test_every_planned_host_has_one_place_and_no_zone_begins_before_the_one_before_it_ends(case: Any) -> None:
    hosts, planned, past, site = case
    found = make(hosts, planned, past, **site)
    order = [name for wave in found["waves"] for name in wave["hosts"]]
    expected = {name for name in planned if not hosts[name]["dark"] and name not in past["done"]}
    assert sorted(order) == sorted(expected), "each once"
    assert all(wave["hosts"] for wave in found["waves"])

    left = [name for name in order if name in past["halfway"]]
    failed = [name for name in order if name in past["failed"] and name not in past["halfway"]]
    assert order[: len(left)] == left
    assert order[len(left) : len(left) + len(failed)] == failed

    canaries, named = set(found["canaries"]), set()
    if isinstance(site["waves"], list) and isinstance(site["waves"][0], dict):
        named = set(site["waves"][0]["hosts"])
    rest = [name for name in order if name not in {*left, *failed, *canaries, *named}]
    zones = [hosts[name]["zones"][0] for name in rest]
    assert zones == sorted(zones), "zone by zone"
    for wave in found["waves"]:
        of = {hosts[name]["zones"][0] for name in wave["hosts"] if name in rest}
        assert len(of) <= 1, "and never two in one wave"
        place = [(hosts[name]["controller"], natural(name)) for name in wave["hosts"] if name in rest]
        assert place == sorted(place)
    if past["canaries"] is None:
        assert not any(hosts[name]["controller"] for name in canaries)


@given(fleets())
def test_never_more_at_once_than_asked(case: Any) -> None:
    hosts, planned, past, site = case
    found = make(hosts, planned, past, **site)
    total = sum(len(wave["hosts"]) for wave in found["waves"])
    asked = site["in_flight"]
    most = max(1, total * int(asked[:-1]) // 100) if isinstance(asked, str) else asked
    for wave in found["waves"]:
        assert 1 <= wave["in_flight"] <= min(most, len(wave["hosts"]))
        if site["in_flight_per_zone"] in (1, 2):
            assert wave["per_zone"] == site["in_flight_per_zone"]
        assert wave["soak"] >= 0
    assert all(wave["soak"] == 0 for wave in found["waves"][-1:])


@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_that_of_the_inventory(case: Any, random: Any) -> None:
    hosts, planned, past, site = case
    shuffled = list(hosts)
    random.shuffle(shuffled)
    random.shuffle(planned)
    again = make({name: hosts[name] for name in shuffled}, planned, past, **site)
    assert again == make(hosts, sorted(planned), past, **site)


# --- what the order depends on -----------------------------------------------------------------------


def record(zones: list[str], kernel: Any, **about: Any) -> Any:
    base = {"zones": zones, "unreachable": None, "unreadable": None, "bad_variables": None}
    return {**base, "facts": kernel and {"kernel": kernel}, **about}


def test_hosts_are_made_from_records(facts_of: Any) -> None:
    kernel = facts_of("debian-6.1-clean")["kernel"]
    kernel["boot_id"] = "b-1"
    found = facts.hosts_of(
        {
            "n1": record(["zone_a"], kernel),
            "n2": record([], None, unreachable="no route"),
            "n3": record([], None, unreadable="no python"),
            "n4": record([], kernel, unreadable="bad variable: x", bad_variables="x"),
        },
        controller="b-1",
        unhealthy={"n4": "not Ready"},
    )
    assert found["n1"] == host(
        "zone_a",
        hardware="x86_64, AuthenticAMD, virtual, 1024 MiB, virtio-pci virtio_blk virtio_net virtio_rng",
        release="6.1.0-47-cloud-amd64",
        controller=True,
    )
    assert [found[name]["dark"] for name in ("n2", "n3", "n4")] == ["no route", "no python", ""]
    assert (found["n4"]["unhealthy"], found["n2"]["controller"]) == ("not Ready", False)
    assert not any(about["controller"] for about in facts.hosts_of({"n2": record([], None)}).values())


@pytest.mark.parametrize(
    ("change", "another"),
    [
        ({"memory_bytes": (1 << 30) - (30 << 20)}, False),
        ({"memory_bytes": 1 << 35}, True),
        ({"drivers": ["i40e", "nvme"]}, True),
        ({"cpu_vendor": "GenuineIntel"}, True),
        ({"virtual": False}, True),
        ({"iommu": True}, True),
        ({"architecture": "aarch64"}, True),
        ({"modules": {"loaded": [], "out_of_tree": ["nvidia"]}}, True),
        ({"microcode": "0x1"}, False),
        ({"drivers": None, "memory_bytes": None, "virtual": None, "modules": None}, True),
    ],
)
def test_what_makes_another_kind_of_hardware(facts_of: Any, change: Any, another: bool) -> None:
    kernel = facts_of("debian-6.1-clean")["kernel"]
    kernel["memory_bytes"] = 1 << 30
    assert (facts.hardware_of({**kernel, **change}) != facts.hardware_of(kernel)) is another


def test_steps_are_put_in_the_order_of_the_rollout() -> None:
    hosts = fleet(a=2, b=2)
    hosts["n-b2"]["dark"] = "no route"
    steps = [step(name) for name in hosts]
    found = waves.ordered(steps, make(hosts))
    assert [(one["host"], one["wave"]) for one in found] == [("n-a1", 0), ("n-a2", 1), ("n-b1", 2)]
