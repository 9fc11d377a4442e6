# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
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
    assert set(found) == {"kind", "goal", "steps", "skipped", "held_back", "idle"}
    assert (found["kind"], found["goal"], found["idle"]) == ("remediate", "cure what can be cured", {})
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
    assert (found["steps"], found["skipped"], found["held_back"]) == ([], {}, {})
    assert found["idle"] == {
        "n1": "nothing to cure",
        "n2": "no cure from here for kernel-known-bad:s",
        "n3": "nothing to cure",
    }


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
    assert list(found["idle"]) == ["n2"]


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


# --- what an earlier run left ------------------------------------------------------------------------


def test_a_host_that_was_left_half_way_has_a_step_whatever_is_left_to_cure() -> None:
    given: Any = {"n1": record("n1"), "n2": record("n2", small()), "n3": record("n3"), "n4": record("n4")}
    given["n4"]["facts"] = {
        "kernel": {"release": "6.1.0-56", "trial": {"release": "6.1.0-56", "guard_seconds": 1}}
    }
    for one in given.values():
        one.setdefault("facts", None)
    found = plan.make(given, left=dict.fromkeys(["n1", "n2", "n4"], "half-way"))
    steps = {step["host"]: step for step in found["steps"]}
    assert sorted(steps) == ["n1", "n2", "n4"]
    assert (steps["n1"]["roles"], steps["n1"]["because"]) == ({}, ["left:half-way"])
    assert steps["n2"]["because"] == ["crashkernel-too-small:s", "left:half-way"]
    # It runs what it was given on trial, and nobody has confirmed that.
    assert steps["n4"]["roles"] == {"kernel_upgrade": {"kernel_upgrade_release": "6.1.0-56"}}
    assert found["idle"] == {"n3": "nothing to cure"}


# --- a kernel ----------------------------------------------------------------------------------------

NOW, NEW = "6.1.0-47-cloud-amd64", "6.1.0-56-cloud-amd64"


@pytest.fixture
def node(clean: Any) -> Any:
    """A record of a node that runs NOW; its kernel's facts are changed by the arguments."""

    def make_one(host: str, *findings: Any, wanted: Any = None, **changes: Any) -> Any:
        kernel = {**copy.deepcopy(clean["kernel"]), **changes}
        return record(host, *findings, facts={**clean, "kernel": kernel}, wanted=wanted or {})

    return make_one


def kernel_plan(*records: Any, wish: Any = None, **more: Any) -> Any:
    wish = {"kernel_upgrade_release": NEW} if wish is None else wish
    return plan.make_kernel({one["host"]: one for one in records}, wish or None, **more)


def boots(release: str, once: bool = False) -> dict[str, Any]:
    return {"release": release, "entry": "e", "because": "b", "once": once, "named_by": "id"}


RUNS_IT = {"release": NEW, "next_boot": boots(NEW), "package": None}


def test_a_step_for_each_host_that_does_not_run_the_kernel(node: Any) -> None:
    found = kernel_plan(node("n2"), node("n1", **RUNS_IT), record("n3", unreachable="no route"))
    (step,) = found["steps"]
    assert step == {
        "host": "n2",
        "zone": "",
        "wave": 0,
        "roles": {"kernel_upgrade": {"kernel_upgrade_release": NEW}},
        "because": [f"kernel:runs {NOW}, wanted {NEW}"],
        "reboot": True,
    }
    assert found["idle"] == {"n1": f"runs {NEW}, which also boots next"}
    assert found["skipped"] == {"n3": "no route"}
    assert (found["kind"], found["goal"]) == ("kernel", f"kernel {NEW}")


@pytest.mark.parametrize(
    ("changes", "why", "reboot"),
    [
        ({"trial": {"release": NEW, "guard_seconds": 600}}, f"a trial of {NEW} is not finished", False),
        ({"next_boot": boots(NOW)}, f"runs {NEW}, but {NOW} boots next", False),
        ({"next_boot": boots(NOW, True)}, f"runs {NEW}, but {NOW} boots next, for one boot only", False),
    ],
)
def test_a_kernel_that_runs_but_not_for_good_is_not_done(
    node: Any, changes: Any, why: str, reboot: bool
) -> None:
    (step,) = kernel_plan(node("n1", **{**RUNS_IT, **changes}))["steps"]
    assert (step["because"], step["reboot"]) == ([f"kernel:{why}"], reboot)


def test_an_older_upload_of_the_kernel_runs(node: Any) -> None:
    one = node("n1")
    kernel = one["facts"]["kernel"]
    disk = next(installed for installed in kernel["installed"] if installed["release"] == NOW)
    assert kernel_plan(one, wish={"kernel_upgrade_release": NOW})["steps"] == []
    disk["package"] = {**disk["package"], "version": "6.1.999-1"}
    (step,) = kernel_plan(one, wish={"kernel_upgrade_release": NOW})["steps"]
    assert step["because"] == [f"kernel:runs an older upload of {NOW} than is installed"]
    assert step["reboot"] is True


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"release": None, "unknown": {"release": "no /proc"}}, "what runs is unknown: no /proc"),
        (
            {"installed": None, "unknown": {"installed": "no dpkg"}},
            "the installed kernels are unknown: no dpkg",
        ),
        ({"container": True}, "this is a container"),
        (
            {"distro": {"id": "plan9", "version_id": "4", "codename": "", "family": None}},
            "cannot be installed",
        ),
        (
            {**RUNS_IT, "next_boot": None, "unknown": {"next_boot": "no grub.cfg"}},
            "what boots next is unknown: no grub.cfg",
        ),
    ],
)
def test_a_node_that_cannot_be_judged_is_neither_done_nor_planned(
    node: Any, changes: Any, words: str
) -> None:
    found = kernel_plan(node("n1", **changes))
    assert (found["steps"], found["idle"]) == ([], {})
    assert words in found["skipped"]["n1"]


def test_stale_links_go_in_the_same_step(node: Any) -> None:
    (step,) = kernel_plan(node("n1", link("flannel.1"), small(), link("kube-ipvs0")))["steps"]
    assert step["roles"] == {
        "cilium_migration_cleanup": {"cilium_migration_cleanup_links": ["flannel.1", "kube-ipvs0"]},
        "kernel_upgrade": {"kernel_upgrade_release": NEW},
    }
    assert step["because"] == [
        f"kernel:runs {NOW}, wanted {NEW}",
        "stale-link-flannel.1:s",
        "stale-link-kube-ipvs0:s",
    ]
    assert kernel_plan(node("n1", link("flannel.1"), **RUNS_IT))["steps"] == [], "no reboot, no need"


def test_no_reboot_into_a_kernel_that_lacks_modules_in_use(node: Any) -> None:
    found = kernel_plan(node("n1", against("module-missing", subject=NEW)))
    assert found["steps"] == []
    assert "it is harm" in found["held_back"]["n1"]
    assert f"wanted {NEW}" in found["held_back"]["n1"]
    # Against what another kernel lacks, this very step helps.
    assert kernel_plan(node("n1", against("module-missing")))["held_back"] == {}


def test_a_host_that_was_left_is_taken_up_though_it_runs_the_kernel(node: Any) -> None:
    (step,) = kernel_plan(node("n1", **RUNS_IT), left={"n1": "half-way"})["steps"]
    assert step["because"] == ["left:half-way"]
    assert step["roles"] == {"kernel_upgrade": {"kernel_upgrade_release": NEW}}


def test_each_host_s_own_wish(node: Any) -> None:
    found = kernel_plan(
        node("n1", wanted={"kernel_upgrade_package": f"linux-image-{NEW}"}),
        node("n2", wanted={"kernel_upgrade_release": NOW}),
        wish={},
    )
    assert [step["roles"] for step in found["steps"]] == [
        {"kernel_upgrade": {"kernel_upgrade_package": f"linux-image-{NEW}"}}
    ]
    assert list(found["idle"]) == ["n2"]
    assert found["goal"] == f"kernel {NOW} / kernel of the package linux-image-{NEW}"


def test_a_wish_that_cannot_be_meant_names_its_hosts(node: Any) -> None:
    with pytest.raises(FleetopsError, match=r"exactly one of .*: got none of them \(on n1, n2\)"):
        kernel_plan(node("n1"), node("n2"), wish={})
    two = {"kernel_upgrade_release": NEW, "kernel_upgrade_minimum": NEW}
    with pytest.raises(FleetopsError, match=f"kernel_upgrade_minimum: '{NEW}'"):
        kernel_plan(node("n1"), wish=two)
    with pytest.raises(FleetopsError, match=r"kernel_upgrade_minimum is '6\.1': expected a text"):
        kernel_plan(node("n1"), wish={"kernel_upgrade_minimum": 6.1})


@pytest.mark.parametrize(
    ("least", "why"),
    [
        ("6.1.0-47", None),
        ("6.1.0-40-cloud-amd64", None),
        (
            "6.1.0-56",
            f"runs {NOW}, wanted 6.1.0-56 or newer, which the archive is asked for when its turn comes",
        ),
    ],
)
def test_a_minimum(node: Any, least: str, why: str | None) -> None:
    found = kernel_plan(node("n1"), wish={"kernel_upgrade_minimum": least})
    assert [step["because"] for step in found["steps"]] == ([[f"kernel:{why}"]] if why else [])
    assert found["goal"] == f"kernel {least} or newer"


def test_a_newer_kernel_than_the_minimum_may_boot_next(node: Any) -> None:
    wish = {"kernel_upgrade_minimum": "6.1.0-47"}
    assert kernel_plan(node("n1", next_boot=boots(NEW)), wish=wish)["steps"] == []
    (step,) = kernel_plan(node("n1", next_boot=boots("6.1.0-40-cloud-amd64")), wish=wish)["steps"]
    assert step["because"] == [f"kernel:runs {NOW}, but 6.1.0-40-cloud-amd64 boots next"]


def test_a_minimum_of_another_kind_is_no_matter_of_the_archive(node: Any) -> None:
    found = kernel_plan(node("n1"), wish={"kernel_upgrade_minimum": "5.15.0-91-generic"})
    assert found["steps"] == []
    assert "5.15.0-91-generic" in found["skipped"]["n1"]


def test_the_first_good_kernel(node: Any, site: Any) -> None:
    wish = {"kernel_upgrade_first_good": "true"}
    (step,) = kernel_plan(node("n1"), wish=wish, advisories=site)["steps"]
    assert step["roles"]["kernel_upgrade"] == {"kernel_upgrade_first_good": True}
    assert step["because"] == [f"kernel:runs {NOW}, wanted the first good kernel, {NEW}"]
    with pytest.raises(FleetopsError, match="got none of them"):
        kernel_plan(node("n1"), wish={"kernel_upgrade_first_good": "false"})
