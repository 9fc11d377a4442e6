# SPDX-License-Identifier: GPL-3.0-or-later
"""Two nodes in two zones, with one of them cut off and not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# A connection of its own, which does not outlive the cable.
CONNECTION = {"ansible_ssh_args": "-o ControlPath=none -o ConnectTimeout=10"}


@pytest.fixture
def n2_cut_off(scenario: Any) -> Iterator[None]:
    node = scenario.lab.node("n2")
    node.net(up=False)
    yield
    node.net(up=True)
    node.wait_ssh(120)


def test_both_nodes_are_read_and_judged(scenario: Any) -> None:
    hosts = scenario.report()["hosts"]
    assert {name: host["zone"] for name, host in hosts.items()} == {"n1": "zone_a", "n2": "zone_b"}
    for host in hosts.values():
        assert set(host["facts"]) == {
            "fleetops_kernel",
            "fleetops_kdump",
            "fleetops_links",
            "fleetops_actors",
        }
        assert host["unreachable"] is host["unreadable"] is None
        assert "capture-may-hang" in {f["id"] for f in host["findings"] if f["status"] == "affected"}
    print({name: host["on_panic"]["outcome"] for name, host in hosts.items()})


@pytest.mark.usefixtures("n2_cut_off")
def test_a_node_that_is_cut_off_is_named_and_the_other_is_assessed(scenario: Any) -> None:
    run = scenario.converge(**CONNECTION)
    assert run.rc == 2, run.text
    assert run.changed == 0
    report = scenario.report()
    assert report["summary"]["unreachable"] == ["n2"]
    n1, n2 = report["hosts"]["n1"], report["hosts"]["n2"]
    assert (n2["facts"], n2["findings"], n2["on_panic"]["outcome"]) == (None, [], "unknown")
    assert n1["unreachable"] is None
    assert (
        n1["facts"]["fleetops_kernel"]["boot_id"] == scenario.now("/proc/sys/kernel/random/boot_id").strip()
    )
    assert run.says("1 of 2 hosts could not be reached (n2)"), run.text
    print(f"exit code {run.rc}; n2: {n2['unreachable']}")


def test_with_the_cable_in_again_it_is_0_and_nothing_was_changed(scenario: Any) -> None:
    run = scenario.converge(**CONNECTION)
    assert (run.rc, run.changed) == (0, 0), run.text
    for name in ("n1", "n2"):
        node = scenario.lab.node(name)
        assert node.boots() == 1
        assert node.ssh("ls /var/lib/fleetops 2>/dev/null || true").stdout == ""


def test_a_reader_can_be_left_out(scenario: Any) -> None:
    run = scenario.converge("--limit", "n1", assess_gather_subset=["!links"])
    assert run.rc == 0, run.text
    facts = scenario.report()["hosts"]["n1"]["facts"]
    assert facts["fleetops_kernel"]
    assert facts["fleetops_kdump"]
    assert not facts.get("fleetops_links")
