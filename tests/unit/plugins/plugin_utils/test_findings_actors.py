# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else acts on a node, by contrast: the fault alone, the quiet machine, the reading that is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils import records, report, text

Facts = dict[str, Any]
Found = Callable[..., dict[str, Any]]
IDS = ("reboot-by-others", "fallback-may-be-removed", "foreign-routes-flushed")
APT, DNF = "unattended-upgrades", "dnf-automatic"
WHY = "Cannot read it: Permission denied (needs root)"
LINE = {"source": "/etc/apt/apt.conf.d/52x", "text": 'Unattended-Upgrade::Automatic-Reboot "true";'}
RUNNING, NEW, NEWER = "6.1.0-47-cloud-amd64", "6.1.0-50-cloud-amd64", "6.1.0-56-cloud-amd64"


@pytest.fixture
def ours(judged: Found) -> Found:
    """All findings of these rules."""
    return lambda facts: {
        key: finding for key, finding in judged(facts).items() if key.partition(":")[0] in IDS
    }


@pytest.fixture
def open_ones(ours: Found) -> Found:
    """Those that are not ok, with (status, severity)."""
    return lambda facts: {
        key: (finding["status"], finding["severity"])
        for key, finding in ours(facts).items()
        if finding["status"] != "ok"
    }


def upgrades(facts: Facts, name: str, enabled: Any, reboots: Any, removes: Any) -> None:
    facts["actors"]["upgrades"].append(
        {"name": name, "enabled": enabled, "reboots": reboots, "removes_kernels": removes, "lines": [LINE]}
    )
    for key, value in (("enabled", enabled), ("reboots", reboots), ("removes_kernels", removes)):
        if value is None:
            facts["actors"]["unknown"][f"upgrades.{name}.{key}"] = WHY


def kured(facts: Facts, running: Any, present: Any) -> None:
    facts["actors"]["kured"].update(
        running=running, sentinel_present=present, lines=[{"source": "/proc/77/comm", "text": "kured"}]
    )
    for key, value in (("running", running), ("sentinel_present", present)):
        if value is None:
            facts["actors"]["unknown"][f"kured.{key}"] = WHY


def test_a_quiet_machine_is_ok_in_three_short_answers(clean: Facts, ours: Found) -> None:
    clean["actors"].update(upgrades=[], cilium=False)
    assert {key: (one["status"], one["reason"]) for key, one in ours(clean).items()} == {
        "reboot-by-others:actors": ("ok", "nobody else reboots it: kured does not run"),
        "fallback-may-be-removed:actors": ("ok", "nobody removes its kernels by itself"),
        "foreign-routes-flushed:networkd": ("ok", "no Cilium on this node"),
    }


# --- who reboots -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "enabled", "reboots", "status"),
    [
        (APT, True, True, "affected"),
        (APT, True, False, None),
        (APT, False, True, None),
        (APT, True, None, "unknown"),
        (APT, None, True, "unknown"),
        (APT, None, False, None),
        (APT, False, None, None),
        (DNF, True, True, "affected"),
        (DNF, True, False, None),
        (DNF, None, None, "unknown"),
    ],
)
def test_upgrades_that_reboot(
    clean: Facts, ours: Found, open_ones: Found, name: str, enabled: Any, reboots: Any, status: str | None
) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, name, enabled, reboots, False)
    key = f"reboot-by-others:{name}"
    assert open_ones(clean) == ({key: (status, "medium")} if status else {})
    if status == "unknown":
        assert WHY in ours(clean)[key]["reason"]
    elif status:
        assert ours(clean)[key]["evidence"] == [LINE]
        assert ("Automatic-Reboot" if name == APT else "reboot = never") in ours(clean)[key]["reason"]
    else:
        assert f"{name} does not" in ours(clean)["reboot-by-others:actors"]["reason"]


def test_a_reboot_that_is_pending_makes_it_worse(clean: Facts, ours: Found, open_ones: Found) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, True, True, False)
    clean["kernel"]["reboot_required"] = {"required": True, "packages": [], "source": "/run/reboot-required"}
    key = f"reboot-by-others:{APT}"
    assert open_ones(clean)[key] == ("affected", "high")
    assert {"source": "/run/reboot-required", "text": "it is there"} in ours(clean)[key]["evidence"]
    upgrades(clean, DNF, True, True, False)
    assert open_ones(clean)[f"reboot-by-others:{DNF}"] == ("affected", "medium")


@pytest.mark.parametrize(
    ("running", "present", "wanted", "says"),
    [
        (True, False, ("affected", "low"), "once /var/run/reboot-required is there; it is not"),
        (True, True, ("affected", "high"), "now: /var/run/reboot-required is there"),
        (True, None, ("affected", "high"), WHY),
        (None, None, ("unknown", "high"), WHY),
        (False, True, None, ""),
    ],
)
def test_kured(
    clean: Facts, ours: Found, open_ones: Found, running: Any, present: Any, wanted: Any, says: str
) -> None:
    clean["actors"]["upgrades"] = []
    kured(clean, running, present)
    key = "reboot-by-others:kured"
    assert open_ones(clean) == ({key: wanted} if wanted else {})
    if wanted:
        assert says in ours(clean)[key]["reason"]


def test_each_of_them_is_told(clean: Facts, open_ones: Found) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, True, True, False)
    upgrades(clean, DNF, True, None, False)
    kured(clean, True, True)
    assert list(open_ones(clean)) == [
        "reboot-by-others:kured",
        f"reboot-by-others:{APT}",
        f"reboot-by-others:{DNF}",
    ]


# --- which kernel goes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enabled", "removes", "status"),
    [
        (True, True, "affected"),
        (True, False, None),
        (False, True, None),
        (True, None, "unknown"),
        (None, True, "unknown"),
    ],
)
def test_upgrades_that_remove_kernels(
    clean: Facts,
    ours: Found,
    open_ones: Found,
    add_kernel: Callable[..., Facts],
    enabled: Any,
    removes: Any,
    status: str | None,
) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, enabled, False, removes)
    key = f"fallback-may-be-removed:{APT}"
    assert open_ones(clean) == {}, "the way back is kept, whoever removes the others"
    add_kernel(clean, NEW, None)
    add_kernel(clean, NEWER, None, boots_next=True)
    now = open_ones(clean)
    assert now.get(key) == ((status, "medium") if status else None)
    if status:
        assert (WHY if status == "unknown" else "may go") in ours(clean)[key]["reason"]


def test_dnf_keeps_the_booted_one(clean: Facts, ours: Found) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, DNF, True, False, True)
    assert ours(clean)[f"fallback-may-be-removed:{DNF}"]["status"] == "ok"


@pytest.mark.parametrize(
    ("others", "next_boot", "status", "says"),
    [
        ([], None, "ok", "which runs now, is one of them"),
        ([NEW], NEW, "ok", "which runs now, is one of them"),
        ([NEW, NEWER], NEWER, "affected", f"once {NEWER} has booted, {RUNNING} may go"),
        ([NEW, NEWER], NEW, "affected", f"once {NEW} has booted, {RUNNING} may go"),
        ([NEW, NEWER], RUNNING, "ok", f"{RUNNING}, which runs now, is one of them"),
        (["6.1.0-40-cloud-amd64"], None, "ok", "which runs now, is one of them"),
        (["6.1.0-40-cloud-amd64", "6.1.0-41-cloud-amd64"], None, "ok", "which runs now, is one of them"),
        (["6.1.0-56-amd64"], None, "ok", "which runs now, is one of them"),
        (["6.1.0-56-amd64", "6.12.9-amd64"], "6.12.9-amd64", "affected", f"{RUNNING} may go"),
        (["own_build"], None, "unknown", "cannot be told"),
    ],
)
def test_which_kernel_goes(
    clean: Facts,
    ours: Found,
    add_kernel: Callable[..., Facts],
    others: list[str],
    next_boot: str | None,
    status: str,
    says: str,
) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, True, False, True)
    for release in others:
        add_kernel(clean, release, None)
    if next_boot:
        clean["kernel"]["next_boot"]["release"] = next_boot
    found = ours(clean)[f"fallback-may-be-removed:{APT}"]
    assert (found["status"], found["severity"]) == (status, "medium")
    assert says in found["reason"]
    assert found["remedy"] is None


def test_a_default_and_a_line_are_told_apart(clean: Facts, ours: Found) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, True, False, True)
    key = f"fallback-may-be-removed:{APT}"
    default = {"source": APT, "text": "Remove-Unused-Kernel-Packages is true by default, no file sets it"}
    assert ours(clean)[key]["evidence"] == [default, LINE]
    said = {**LINE, "text": 'Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";'}
    clean["actors"]["upgrades"][0]["lines"] = [said]
    assert ours(clean)[key]["evidence"] == [said]


@pytest.mark.parametrize("lost", ["installed", "release"])
def test_which_one_is_not_told_where_the_kernels_are_unknown(clean: Facts, ours: Found, lost: str) -> None:
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, True, False, True)
    clean["kernel"][lost] = None
    found = ours(clean)[f"fallback-may-be-removed:{APT}"]
    assert (found["severity"], found["status"]) == ("medium", "unknown")
    assert "cannot be told" in found["reason"]


# --- networkd ----------------------------------------------------------------------------------------

NAMES = ("cilium", "active", "routes", "rules")


@pytest.mark.parametrize(
    ("cilium", "active", "routes", "rules", "wanted"),
    [
        (True, True, True, True, "affected"),
        (True, True, True, False, "affected"),
        (True, True, False, True, "affected"),
        (True, True, False, False, "ok"),
        (False, True, True, True, "ok"),
        (True, False, True, True, "ok"),
        (None, True, True, True, "unknown"),
        (None, False, True, True, "ok"),
        (None, True, False, False, "ok"),
        (True, None, True, True, "unknown"),
        (False, None, None, None, "ok"),
        (True, True, None, None, "unknown"),
        (None, None, None, None, "unknown"),
    ],
)
def test_networkd_on_a_node_of_cilium(
    clean: Facts, ours: Found, cilium: Any, active: Any, routes: Any, rules: Any, wanted: str
) -> None:
    actors = clean["actors"]
    lines = [{"source": "/etc/systemd/networkd.conf", "text": "ManageForeignRoutes = yes"}]
    actors["cilium"] = cilium
    actors["networkd"] = {
        "active": active,
        "manages_foreign_routes": routes,
        "manages_foreign_rules": rules,
        "lines": lines,
    }
    for path in (
        "cilium",
        "networkd.active",
        "networkd.manages_foreign_routes",
        "networkd.manages_foreign_rules",
    ):
        actors["unknown"][path] = WHY
    found = ours(clean)["foreign-routes-flushed:networkd"]
    assert found["status"] == wanted
    assert found["remedy"] is None
    if wanted == "affected":
        assert found["severity"] == "medium"
        assert "newer Cilium" in found["reason"]
        assert "spared" in found["reason"]
        assert ("ManageForeignRoutes=no" in found["reason"]) is routes
        assert ("ManageForeignRoutingPolicyRules=no" in found["reason"]) is rules
        default = {
            "source": "networkd.conf",
            "text": "ManageForeignRoutingPolicyRules=yes is systemd's default, no file sets it",
        }
        assert found["evidence"] == lines + ([default] if rules else [])
    elif wanted == "unknown":
        assert WHY in found["reason"]


# --- what was not read, and where nothing can be told ------------------------------------------------


def test_a_reader_that_did_not_run_is_unknown(clean: Facts, ours: Found) -> None:
    clean["actors"] = None
    found = ours(clean)
    assert sorted(found) == sorted(f"{id_}:actors" for id_ in IDS)
    for finding in found.values():
        assert (finding["status"], finding["reason"]) == (
            "unknown",
            "cannot tell: the actors facts were not read",
        )


def test_without_the_kernel_they_are_judged_all_the_same(clean: Facts, open_ones: Found) -> None:
    clean["kernel"] = None
    clean["actors"]["upgrades"] = []
    upgrades(clean, APT, True, True, False)
    assert open_ones(clean) == {f"reboot-by-others:{APT}": ("affected", "medium")}


def test_a_container_is_unknown(clean: Facts, ours: Found) -> None:
    clean["kernel"]["container"] = True
    for finding in ours(clean).values():
        assert finding["status"] == "unknown"
        assert "this is a container" in finding["reason"]


def test_upgrades_that_are_unknown(clean: Facts, open_ones: Found) -> None:
    clean["actors"]["upgrades"] = None
    clean["actors"]["unknown"]["upgrades"] = WHY
    assert open_ones(clean) == {
        "reboot-by-others:upgrades": ("unknown", "medium"),
        "fallback-may-be-removed:upgrades": ("unknown", "medium"),
    }


# --- in the report -----------------------------------------------------------------------------------


def test_how_they_read_in_the_report(clean: Facts) -> None:
    clean["actors"].update(upgrades=[], cilium=False)
    quiet = " ".join(_rendered(clean).split())
    for id_ in IDS:
        assert id_ in quiet.partition("checked, not found:")[2]
    kured(clean, True, True)
    loud = _rendered(clean)
    assert "[high] reboot-by-others kured" in loud
    assert "/proc/77/comm: kured" in loud
    assert all(len(line) <= text.WIDTH for line in loud.splitlines())


def _rendered(facts: Facts) -> str:
    known = {f"fleetops_{part}": value for part, value in facts.items()}
    found = records.collect({"n1": {"ansible_facts": known}}, ["n1"], [])
    return report.render(report.build("assess", "after", found, "2026-01-01T00:00:00Z"))
