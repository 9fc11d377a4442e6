# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings about the running kernel, on the incident's node: Ubuntu 22.04 with 5.15.0-91."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, plan, records
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings import kernel as rules
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

Facts = dict[str, Any]
WHY = "Cannot read /proc/modules: Permission denied"
NONE: Facts = {
    "modules": {"loaded": [], "out_of_tree": []},
    "drivers": [],
    "file_systems": ["xfs"],
    "iommu": False,
    "cpu_vendor": "GenuineIntel",
}
ALL: Facts = {
    "modules": {"loaded": ["bonding", "cifs", "nfsd"], "out_of_tree": []},
    "drivers": ["amdgpu"],
    "file_systems": ["ext4"],
    "iommu": True,
    "cpu_vendor": "AuthenticAMD",
}
# Ranges that hold 5.15.0-91.101, and the condition of each.
NAMED = {
    "ubuntu-5.15.0-91": None,
    "lp2089318": None,
    "lp2103564": "nfsd",
    "lp2112440": "cifs",
    "lp2153556": "bonding",
}


def node(**changes: Any) -> Any:
    release, version = "5.15.0-91-generic", "5.15.0-91.101"
    package = {
        "name": f"linux-image-{release}",
        "version": version,
        "source": "linux-signed",
        "source_version": version,
        "status": "ii",
    }
    running = {"release": release, "package": package, "bootable": True, "missing": [], "lacks": []}
    return {
        "release": release,
        "version": "#101-Ubuntu SMP",
        "architecture": "x86_64",
        "flavour": "generic",
        "container": False,
        "distro": {"id": "ubuntu", "version_id": "22.04", "codename": "jammy", "family": "debian"},
        "package": package,
        "installed": [running],
        "next_boot": None,
        "unknown": {"modules": WHY},
        **dict.fromkeys((*ALL, "modules")),
        **changes,
    }


def found(kernel: Any, catalogue: Sequence[Advisory], **variables: Any) -> dict[str, Any]:
    case: Any = {"facts": {"kernel": kernel}, "advisories": catalogue, "vars": variables}
    return {one["subject"]: one for one in rules.known_bad(case)}


def affected(kernel: Any, catalogue: Sequence[Advisory], **variables: Any) -> dict[str, Any]:
    every = found(kernel, catalogue, **variables)
    return {name: one for name, one in every.items() if one["status"] == "affected"}


@pytest.mark.parametrize("facts", [{}, ALL], ids=["unknown", "all"])
def test_what_holds_and_what_is_unknown_is_affected(ours: list[Advisory], facts: Facts) -> None:
    kernel = node(**facts)
    bad = affected(kernel, ours)
    assert bad.keys() == NAMED.keys()
    for name, module in NAMED.items():
        assumed = f"it is unknown whether the module {module} is loaded ({WHY}), which counts as so"
        assert (assumed in bad[name]["reason"]) is (module is not None and not facts), name


def test_what_does_not_hold_is_ok_and_says_why(ours: list[Advisory]) -> None:
    every = found(node(**NONE), ours)
    assert [name for name, one in every.items() if one["status"] == "affected"] == [
        "lp2089318",
        "ubuntu-5.15.0-91",
    ]
    for name, module in NAMED.items():
        if module:
            assert every[name]["status"] == "ok"
            assert f"because the module {module} is not loaded" in every[name]["reason"]
            assert any(
                "5.15.0-140.150" in item["text"] or name in item["source"] for item in every[name]["evidence"]
            )
    # Of the range that it never was in, nothing of a condition is said.
    assert "outside" in every["lp2118407"]["reason"]


@pytest.mark.parametrize("facts", [{}, ALL, NONE], ids=["unknown", "all", "none"])
@pytest.mark.parametrize(
    ("policy", "target"),
    [("", "5.15.0-204-generic"), ("newest-good", "5.15.0-204-generic"), ("nearest-good", None)],
)
def test_all_findings_of_a_node_name_one_target(
    ours: list[Advisory], facts: Facts, policy: str, target: str | None
) -> None:
    bad = affected(node(**facts), ours, fleetops_kernel_policy=policy)
    target = target or ("5.15.0-140-generic" if facts is NONE else "5.15.0-184-generic")
    for one in bad.values():
        assert one["remedy"] == {"role": "kernel_upgrade", "vars": {"kernel_upgrade_release": target}}
    record: Any = {"host": "n1", "zone": "", "findings": list(bad.values())}
    step = plan.step_of(record)
    assert step is not None
    assert step["roles"] == {"kernel_upgrade": {"kernel_upgrade_release": target}}


def test_the_incident_s_own_cure_is_named_and_a_better_one(ours: list[Advisory]) -> None:
    reason = affected(node(), ours)["ubuntu-5.15.0-91"]["reason"]
    assert "not to 5.15.0-112-generic (5.15.0-112.122): it is named by lp2068738, lp2089318" in reason
    assert "to 5.15.0-204-generic (5.15.0-204.214)" in reason
    assert "its dump may fail as well" in reason
    assert "its dump may fail as well" not in affected(node(), ours)["lp2089318"]["reason"]


def test_where_no_kernel_is_good_the_reason_says_what_was_weighed() -> None:
    text = """\
id: site
title: t
severity: high
symptom: s
confidence: c
affects: [{distro: ubuntu, source: linux-aws, versions: "<= 5.15.0-1060.65"}]
good: [{release: 5.15.0-204-generic}]
"""
    aws = node(release="5.15.0-1052-aws", flavour="aws")
    aws["package"].update(version="5.15.0-1052.57", source="linux-signed-aws")
    aws["installed"] = []
    (one,) = found(aws, [advisories.parse(text, "site.yml")]).values()
    assert (one["status"], one["remedy"]) == ("affected", None)
    assert "no kernel of this kind (source linux-aws, flavour aws) is known to be good" in one["reason"]
    assert "set kernel_upgrade_release" in one["reason"]


def test_the_choice_of_the_site_comes_first(ours: list[Advisory]) -> None:
    for one in affected(node(), ours, kernel_upgrade_release="5.15.0-112-generic").values():
        assert one["remedy"]["vars"] == {"kernel_upgrade_release": "5.15.0-112-generic"}


def test_what_boots_next_is_weighed_against_the_conditions_of_the_node(ours: list[Advisory]) -> None:
    def with_next(lacks: Any = (), **facts: Any) -> Any:
        kernel = node(**facts)
        lacks = lacks if lacks is None else list(lacks)
        one = {**kernel["installed"][0], "release": "5.15.0-140-generic", "lacks": lacks}
        one["package"] = {**kernel["package"], "version": "5.15.0-140.150"}
        kernel["installed"].append(one)
        kernel["next_boot"] = {"release": one["release"], "because": "default in grub.cfg: 0", "entry": "x"}
        return kernel

    for one in affected(with_next(**NONE), ours).values():
        assert one["remedy"]["vars"] == {"kernel_upgrade_release": "5.15.0-140-generic"}
        assert "5.15.0-140-generic boots next: a reboot cures it" in one["reason"]
    for one in affected(with_next(**ALL), ours).values():
        assert one["remedy"]["vars"] == {"kernel_upgrade_release": "5.15.0-204-generic"}
    # A reboot into a kernel without the network driver is no cure.
    for lacks in (["bnxt_en"], None):
        for one in affected(with_next(lacks, **NONE), ours).values():
            assert one["remedy"]["vars"] == {"kernel_upgrade_release": "5.15.0-204-generic"}


def test_a_policy_that_is_not_known_is_the_host_s_error(ours: list[Advisory]) -> None:
    with pytest.raises(
        FleetopsError, match="fleetops_kernel_policy: expected one of newest-good, nearest-good"
    ):
        found(node(), ours, fleetops_kernel_policy="best")
    assert "fleetops_kernel_policy" in records.CHOICES


def test_a_kernel_of_another_series_is_not_doubted(ours: list[Advisory]) -> None:
    """Its package is unknown, and its release tells enough."""
    distro = {"id": "debian", "version_id": "12", "codename": "bookworm", "family": "debian"}
    mine = node(release="6.18.44-mine", flavour=None, package=None, distro=distro, installed=None)
    assert {one["status"] for one in found(mine, ours).values()} == {"ok"}
    near = node(release="6.1.99-mine", flavour=None, package=None, distro=distro, installed=None)
    assert "unknown" in {one["status"] for one in found(near, ours).values()}
