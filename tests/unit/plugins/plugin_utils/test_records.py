# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import plan, records, report

if TYPE_CHECKING:
    from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

Facts = dict[str, Any]


def variables(facts: Facts | None = None, **more: Any) -> dict[str, Any]:
    known = {f"fleetops_{part}": value for part, value in (facts or {}).items()}
    look = {"changed": False, "ansible_facts": known}
    return {"ansible_facts": known, "group_names": ["zone_a"], "assess_look": look, **more}


def collect(hostvars: Mapping[str, Any]) -> dict[str, records.Record]:
    return records.collect(hostvars, list(hostvars), [])


class Counting(Mapping[str, Any]):
    """Variables that count how often each key is asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values_, self.asked = values, dict.fromkeys(values, 0)

    def __getitem__(self, key: str) -> Any:
        self.asked[key] += 1
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def test_a_host_is_judged_from_its_facts(incident: Facts) -> None:
    found = collect({"n1": variables(incident)})["n1"]
    assert found["facts"] == incident
    assert found["on_panic"]["outcome"] == "hangs"
    assert found["zone"] == "zone_a"
    assert (found["unreachable"], found["unreadable"]) == (None, None)


def test_each_host_is_looked_up_once(incident: Facts) -> None:
    hostvars = Counting({f"n{number}": variables(incident) for number in range(50)})
    records.collect(hostvars, list(hostvars), [])
    assert set(hostvars.asked.values()) == {1}


@pytest.mark.parametrize(
    ("look", "unreachable", "unreadable"),
    [
        ({"unreachable": True, "msg": "no route\n  to host"}, "no route to host", None),
        ({"unreachable": True, "msg": "Task failed: no route"}, "no route", None),
        ({"unreachable": True}, "no reason given", None),
        ({"failed": True, "msg": "Action failed: no python"}, None, "no python"),
    ],
)
def test_what_was_known_before_does_not_count_for_a_host_that_is_dark_now(
    incident: Facts, look: dict[str, Any], unreachable: str | None, unreadable: str | None
) -> None:
    found = collect({"n1": variables(incident, assess_look=look)})["n1"]
    assert (found["unreachable"], found["unreadable"]) == (unreachable, unreadable)
    assert found["facts"] is None
    assert found["findings"] == []
    assert found["on_panic"]["outcome"] == "unknown"


def test_a_host_that_nobody_looked_at_is_unread() -> None:
    found = collect({"n1": {"group_names": []}})["n1"]
    assert found["unreadable"] == "it was not looked at"


def test_facts_without_a_registered_look_are_enough(incident: Facts) -> None:
    given = variables(incident)
    del given["assess_look"]
    assert collect({"n1": given})["n1"]["facts"] == incident


def test_facts_of_an_older_look_do_not_count(incident: Facts, clean: Facts) -> None:
    given = variables(incident)
    given["assess_look"] = {"ansible_facts": {"fleetops_kernel": clean["kernel"]}}
    assert collect({"n1": given})["n1"]["facts"] == {
        "kernel": clean["kernel"],
        "kdump": None,
        "links": None,
        "actors": None,
    }
    given["assess_look"] = {"skipped": True}
    assert collect({"n1": given})["n1"]["unreadable"] == "it was not looked at"


@pytest.mark.parametrize(
    ("given", "zone"),
    [
        ({"group_names": ["all", "web", "zone_b"]}, "zone_b"),
        ({"group_names": ["zone_10", "zone_9"]}, "zone_9"),
        ({"group_names": ["zone-b", "zones"]}, "zone-b"),
        ({"group_names": ["web"]}, ""),
        ({"group_names": ["zones"]}, ""),  # the parent of zone_a and zone_b
        ({"group_names": ["zone_", "zonefiles"]}, ""),
        ({}, ""),
        ({"fleetops_zone": "north", "group_names": ["zone_b"]}, "north"),
        ({"fleetops_zone": 3}, "3"),
    ],
)
def test_the_zone_is_a_variable_or_a_group(given: dict[str, Any], zone: str) -> None:
    assert records.zones_of(given)[:1] == [zone][: bool(zone)]
    assert records.record("n1", given, [])["zone"] == zone


def test_all_zones_of_a_host_are_told_and_the_pattern_is_the_site_s() -> None:
    groups = ["zone_b", "zone_a", "rack-2", "rack-1"]
    assert records.zones_of({"group_names": groups}) == ["zone_a", "zone_b"]
    assert records.zones_of({"group_names": groups, "fleetops_zone_groups": "rack-[0-9]+"}) == [
        "rack-1",
        "rack-2",
    ]
    assert records.zones_of({"group_names": groups, "fleetops_zone": "north"}) == ["north"]
    with pytest.raises(FleetopsError, match=r"fleetops_zone_groups is '\(': expected a regular expression"):
        records.zones_of({"group_names": groups, "fleetops_zone_groups": "("})


def test_the_kernel_that_a_host_s_own_variables_name() -> None:
    given = {
        "kernel_upgrade_release": "6.1.0-56-amd64",
        "kernel_upgrade_package": "",
        "kernel_upgrade_first_good": False,
    }
    assert records.record("n1", given, [])["wanted"] == {"kernel_upgrade_release": "6.1.0-56-amd64"}


def test_hosts_come_in_natural_order(clean: Facts) -> None:
    hostvars = {name: variables(clean) for name in ("n10", "n9", "m1", "n2.dc10", "n2.dc9")}
    assert list(collect(hostvars)) == ["m1", "n2.dc9", "n2.dc10", "n9", "n10"]


def test_the_site_s_choices_reach_the_remedies(incident: Facts) -> None:
    found = collect({"n1": variables(incident, crashkernel_size="512M")})["n1"]
    assert {"crashkernel_size": "512M", "crashkernel_capture_panic": 10} in [
        one["remedy"]["vars"] for one in found["findings"] if one["remedy"]
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("crashkernel_capture_panic", 0, "crashkernel_capture_panic is '0': expected seconds"),
        ("crashkernel_size", "lots", "crashkernel_size is 'lots': crashkernel=lots is malformed"),
        ("fleetops_kernel_policy", "newest", "expected one of newest-good, nearest-good, got 'newest'"),
        ("assess_minimum_kernels", ["5.15"], "assess_minimum_kernels[0] is '5.15': expected a release"),
    ],
)
def test_a_bad_variable_of_one_host_is_said_of_that_host_alone(
    incident: Facts, clean: Facts, name: str, value: Any, words: str
) -> None:
    given = {"n1": variables(incident, **{name: value}), "n2": variables(incident)}
    # The same slip on a node of which no rule asks for it.
    given["n3"] = variables(clean, **{name: value})
    found = collect(given)
    for host in ("n1", "n3"):
        assert words in str(found[host]["bad_variables"])
        assert found[host]["unreadable"] == f"bad variable: {found[host]['bad_variables']}"
    assert (found["n2"]["unreadable"], found["n2"]["bad_variables"]) == (None, None)
    # What hangs on no variable is judged all the same; nothing is cured by what may not be meant.
    assert found["n1"]["on_panic"]["outcome"] == "hangs"
    told = [[(one["id"], one["status"]) for one in found[host]["findings"]] for host in ("n1", "n2")]
    assert told[0] == told[1]
    assert any(one["remedy"] for one in found["n2"]["findings"])
    assert not any(one["remedy"] for one in found["n1"]["findings"])
    planned = plan.make(found)
    assert [step["host"] for step in planned["steps"]] == ["n2"]
    assert words in planned["skipped"]["n1"]


def test_a_host_with_a_bad_variable_counts_like_one_that_was_not_read(incident: Facts, clean: Facts) -> None:
    hosts = {"n1": variables(clean, fleetops_kernel_policy="newest"), "n2": variables(clean)}
    made = report.build("assess", "after", collect(hosts), "2026-01-01T00:00:00Z")
    assert made["summary"]["bad_variables"] == ["n1"]
    assert made["summary"]["unreadable"] == []
    assert sum(made["summary"]["nodes"].values()) == 1
    assert report.failures(made, "never") == ["1 of 2 hosts have a bad variable (n1)"]
    shown = " ".join(report.render(made).split())
    assert "HAVE A BAD VARIABLE: n1: fleetops_kernel_policy: expected one of" in shown
    assert "1 with a bad variable" in shown
    assert "NOT CLEAN" in shown


def test_an_advisory_that_breaks_kdump_reaches_the_verdict(clean: Facts, site: list[Advisory]) -> None:
    hosts = {"n1": variables(clean)}

    def verdict(versions: str, breaks: bool) -> Any:
        (named,) = copy.deepcopy(site)
        named["affects"][0]["versions"], named["breaks_kdump"] = versions, breaks
        return records.collect(hosts, ["n1"], [named])["n1"]["on_panic"]

    assert verdict(">= 6.1.0-0", False)["outcome"] == "dumps"
    found = verdict(">= 6.1.0-0", True)
    assert found["outcome"] == "reboots"
    assert site[0]["id"] in found["because"]
    # One that does not concern this node, and one that may.
    assert verdict("< 5", True)["outcome"] == "dumps"
    clean["kernel"]["package"] = None
    assert verdict(">= 6.1.0-0", True)["outcome"] == "reboots"


def test_marked_values_become_plain_ones() -> None:
    # As ansible-core 2.17 marks what it does not trust: str() of it gives the same again.
    text: Any = type("Text", (str,), {"__str__": lambda self: self})
    number: Any = type("Number", (int,), {})
    got = records.plain({text("a"): (text("b"), number(3), True, None, 1.5), "m": {"n": {text("s")}}})
    assert [item.__class__ for item in got["a"]] == [str, int, bool, None.__class__, float]
    assert [key.__class__ for key in got] == [str, str]
    json.dumps(got)


@pytest.mark.parametrize("name", ["amzn", "rhcos", "arch"])
def test_a_distribution_of_which_little_is_known_is_judged_all_the_same(
    clean: Facts, add_kernel: Any, name: str
) -> None:
    clean["kernel"]["distro"].update(id=name, family=None)
    for release, version in (("6.1.0-50-cloud-amd64", "6.1.176-1"), ("6.1.0-51-cloud-amd64", "6.1.177-1")):
        add_kernel(clean, release, version)
    found = collect({"n1": variables(clean)})["n1"]
    assert found["unreadable"] is None
    assert found["on_panic"]["outcome"] == "dumps"
    waits = [one["status"] for one in found["findings"] if one["id"] == "newer-kernel-not-running"]
    assert waits == ["unknown" if name == "arch" else "affected"]
