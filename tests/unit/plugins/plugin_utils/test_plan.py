# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import plan


def finding(id_: str, role: str | None = None, status: str = "affected", **variables: Any) -> dict[str, Any]:
    remedy = {"role": role, "vars": variables} if role else None
    base = {"id": id_, "subject": "s", "status": status, "severity": "high", "reason": "r", "evidence": []}
    return {**base, "remedy": remedy}


def record(host: str, *findings: dict[str, Any], zone: str = "", **parts: Any) -> dict[str, Any]:
    base = {"host": host, "zone": zone, "findings": list(findings), "unreachable": None, "unreadable": None}
    return {**base, **parts}


def make(*records: dict[str, Any]) -> Any:
    given: Any = {one["host"]: one for one in records}
    return plan.make(given)


def small(size: str = "224M", id_: str = "crashkernel-too-small") -> dict[str, Any]:
    return finding(id_, "crashkernel", crashkernel_size=size)


def word(seconds: int = 10, id_: str = "capture-may-hang") -> dict[str, Any]:
    return finding(id_, "crashkernel", crashkernel_capture_panic=seconds)


def link(*names: str) -> dict[str, Any]:
    return finding(
        "stale-link-" + names[0], "cilium_migration_cleanup", cilium_migration_cleanup_links=list(names)
    )


def bad(release: str, id_: str = "kernel-known-bad") -> dict[str, Any]:
    return finding(id_, "kernel_upgrade", kernel_upgrade_release=release)


def test_the_incident_is_one_step_with_the_roles_in_the_order_of_cure() -> None:
    found = make(
        record("n1", bad("6.1.0-56-cloud-amd64"), word(), small(), link("flannel.1"), link("kube-ipvs0"))
    )
    (step,) = found["steps"]
    assert list(step["roles"]) == ["cilium_migration_cleanup", "crashkernel", "kernel_upgrade"]
    assert step["roles"] == {
        "cilium_migration_cleanup": {"cilium_migration_cleanup_links": ["flannel.1", "kube-ipvs0"]},
        "crashkernel": {"crashkernel_size": "224M", "crashkernel_capture_panic": 10},
        "kernel_upgrade": {"kernel_upgrade_release": "6.1.0-56-cloud-amd64"},
    }
    assert step["reboot"] is True
    assert step["because"][0] == "kernel-known-bad:s"
    assert len(step["because"]) == 5
    assert set(found) == {"steps", "skipped"}
    assert found["skipped"] == {}


@pytest.mark.parametrize(
    ("findings", "reboot"),
    [
        ([word()], False),
        ([link("flannel.1")], False),
        ([finding("kdump-not-armed", "crashkernel")], False),
        ([small()], True),
        ([bad("6.1.0-56-amd64")], True),
        (
            [
                finding(
                    "kernel-known-bad", "kernel_upgrade", kernel_upgrade_package="linux-image-6.1.0-56-amd64"
                )
            ],
            True,
        ),
    ],
)
def test_a_reboot_is_planned_for_what_holds_at_the_next_boot_only(findings: list[Any], reboot: bool) -> None:
    assert make(record("n1", *findings))["steps"][0]["reboot"] is reboot


def test_zone_after_zone_one_node_at_a_time_in_natural_order() -> None:
    hosts = [("n10", "zone_b"), ("n9", "zone_b"), ("m1", "zone_10"), ("n2", "zone_2"), ("n1", "")]
    found = make(*[record(host, word(), zone=zone) for host, zone in hosts])
    assert [step["host"] for step in found["steps"]] == ["n1", "n2", "m1", "n9", "n10"]
    assert [step["wave"] for step in found["steps"]] == [0, 1, 2, 3, 4]


def test_only_what_is_certain_is_cured() -> None:
    unsure = {**small(), "status": "unknown"}
    found = make(
        record("n1", unsure),
        record("n2", finding("kernel-known-bad")),
        record("n3", {**word(), "status": "ok"}),
    )
    assert found == {"steps": [], "skipped": {}}


def test_a_dark_host_is_skipped_with_its_reason_and_takes_no_place() -> None:
    found = make(
        record("n1", word(), unreachable="no route"),
        record("n2", unreadable="no python"),
        record("n3", word()),
    )
    assert [step["host"] for step in found["steps"]] == ["n3"]
    assert found["skipped"] == {"n1": "no route", "n2": "no python"}


@pytest.mark.parametrize(
    ("one", "other", "variables"),
    [
        (small("224M"), small("1G", "b"), {"crashkernel_size": "1G"}),
        (small("256M"), small("224M", "b"), {"crashkernel_size": "256M"}),
        (small("2G-:256M"), small("2G-:256M", "b"), {"crashkernel_size": "2G-:256M"}),
        (word(30), word(10, "b"), {"crashkernel_capture_panic": 10}),
        (word(-1), word(-1, "b"), {"crashkernel_capture_panic": -1}),
        (bad("6.1.0-9-amd64"), bad("6.1.0-56-amd64", "b"), {"kernel_upgrade_release": "6.1.0-56-amd64"}),
        (link("b", "a"), link("a", "c"), {"cilium_migration_cleanup_links": ["a", "b", "c"]}),
    ],
)
def test_of_two_wishes_the_stricter_wins(one: Any, other: Any, variables: dict[str, Any]) -> None:
    for pair in ((one, other), (other, one)):
        (step,) = make(record("n1", *pair))["steps"]
        assert list(step["roles"].values()) == [variables]


def package(name: str) -> dict[str, Any]:
    return finding("by-package", "kernel_upgrade", kernel_upgrade_package=name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (small("2G-:256M"), small("224M", "b")),
        (bad("6.1.0-56-amd64"), bad("6.1.0-56-cloud-amd64", "b")),
        (word(-1), word(10, "b")),
        (bad("6.1.0-56-amd64"), package("linux-image-6.1.0-56-amd64")),
        (package("linux-image-6.1.0-56-amd64"), {**package("linux-image-6.1.0-55-amd64"), "id": "b"}),
        (finding("a", "crashkernel", other=1), finding("b", "crashkernel", other=2)),
    ],
)
def test_what_does_not_go_together_is_an_error_that_names_both(one: Any, other: Any) -> None:
    for first, second in ((one, other), (other, one)):
        with pytest.raises(FleetopsError) as caught:
            make(record("n1", first, second))
        for word_ in ("n1", f"{one['id']}:s", f"{other['id']}:s"):
            assert word_ in caught.value.msg
        for remedy in (one["remedy"], other["remedy"]):
            assert all(str(value) in caught.value.msg for value in remedy["vars"].values())


def test_a_role_that_no_playbook_knows_is_an_error() -> None:
    with pytest.raises(FleetopsError, match="n1: x:s wants the role 'prayer', which no playbook knows"):
        make(record("n1", finding("x", "prayer")))
