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


def package(name: str) -> dict[str, Any]:
    return finding("by-package", "kernel_upgrade", kernel_upgrade_package=name)


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
    assert set(found) == {"steps", "skipped", "held_back"}
    assert (found["skipped"], found["held_back"]) == ({}, {})


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
    assert found == {"steps": [], "skipped": {}, "held_back": {}}


def test_a_dark_host_is_skipped_with_its_reason_and_takes_no_place() -> None:
    found = make(
        record("n1", word(), unreachable="no route"),
        record("n2", unreadable="no python"),
        record("n3", word()),
    )
    assert [step["host"] for step in found["steps"]] == ["n3"]
    assert found["skipped"] == {"n1": "no route", "n2": "no python"}


NEXT, OTHER = "6.1.0-58-amd64", "6.1.0-59-amd64"


def against(
    id_: str, severity: str = "high", status: str = "affected", subject: str = NEXT
) -> dict[str, Any]:
    """A finding about the kernel that boots next."""
    return {**finding(id_, status=status), "severity": severity, "subject": subject, "reason": "it is harm"}


@pytest.mark.parametrize(
    ("harm", "wanted", "held"),
    [
        (against("module-missing"), [small()], True),
        (against("dkms-missing"), [small()], True),
        (against("vendor-module-missing"), [small()], True),
        (against("next-boot-differs", subject="boot"), [small()], True),
        # A newer one, or one of another flavour: told, and no harm.
        (against("next-boot-differs", "medium", subject="boot"), [small()], False),
        (against("next-boot-differs", "low", subject="boot"), [small()], False),
        # What cannot be told blocks.
        (against("module-missing", status="unknown"), [small()], True),
        (against("next-boot-differs", "medium", "unknown", "boot"), [small()], True),
        (against("module-missing", status="ok"), [small()], False),
        (against("packages-broken"), [small()], False),
        # Another kernel takes the place of what boots next.
        (against("module-missing"), [small(), bad(OTHER)], False),
        (against("next-boot-differs", subject="boot"), [small(), bad(OTHER)], False),
        (against("module-missing"), [package(f"linux-image-{OTHER}")], False),
        # It is this very kernel that is to be run.
        (against("dkms-missing"), [small(), bad(NEXT)], True),
        (against("dkms-missing"), [package(f"linux-image-{NEXT}")], True),
    ],
)
def test_no_reboot_is_planned_into_a_kernel_that_would_do_harm(
    harm: dict[str, Any], wanted: list[dict[str, Any]], held: bool
) -> None:
    found = make(record("n1", harm, *wanted, word(), link("flannel.1")))
    (step,) = found["steps"]
    # What needs no reboot is cured all the same, and of nothing else it is asked later whether it was.
    assert step["roles"]["cilium_migration_cleanup"] == {"cilium_migration_cleanup_links": ["flannel.1"]}
    assert step["roles"]["crashkernel"]["crashkernel_capture_panic"] == 10
    assert step["reboot"] is not held
    if not held:
        assert found["held_back"] == {}
        return
    assert step["roles"].keys() == {"cilium_migration_cleanup", "crashkernel"}
    assert "crashkernel_size" not in step["roles"]["crashkernel"]
    assert step["because"] == ["capture-may-hang:s", "stale-link-flannel.1:s"]
    why = found["held_back"]["n1"]
    assert f"{harm['id']}:{harm['subject']}: it is harm" in why
    assert all(f"{one['id']}:s" in why for one in wanted)


def test_a_host_that_needs_nothing_but_a_reboot_has_no_step_and_its_reason() -> None:
    found = make(record("n1", against("module-missing"), small()), record("n2", against("module-missing")))
    assert found["steps"] == []
    assert list(found["held_back"]) == ["n1"], "of n2 nothing was to be cured"


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
