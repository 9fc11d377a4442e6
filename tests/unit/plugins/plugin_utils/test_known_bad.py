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
        "boot_loader": "grub",
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


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"kernel_upgrade_release": "5.15.0-210-generic"}, None),
        ({"kernel_upgrade_package": "linux-image-5.15.0-210-generic"}, None),
        ({"kernel_upgrade_release": "5.15.0-112-generic"}, "it is named by lp2068738, lp2089318"),
        ({"kernel_upgrade_package": "linux-image-5.15.0-112-generic"}, "it is named by lp2068738, lp2089318"),
        ({"kernel_upgrade_release": "5.15.0-91-generic"}, "it is what runs"),
        ({"kernel_upgrade_release": "5.15.0-60-generic"}, "it is older than what runs"),
        ({"kernel_upgrade_release": "5.15.0-210-lowlatency"}, "their flavours differ"),
        ({"kernel_upgrade_release": "6.8.0-110-generic"}, "their upstream series differ"),
        ({"kernel_upgrade_release": "6.1.0-56-amd64"}, "their distributions differ"),
        ({"kernel_upgrade_release": "garbage"}, "it is spelt as no distribution spells its kernels"),
        ({"kernel_upgrade_release": 5.15}, "kernel_upgrade_release is '5.15': expected a text"),
        ({"kernel_upgrade_release": ["5.15.0-210-generic"]}, "expected a text"),
        ({"kernel_upgrade_package": "linux-image-generic"}, "Not the package of a kernel image"),
        (
            {"kernel_upgrade_release": "5.15.0-210-generic", "kernel_upgrade_package": "linux-image-x"},
            "exactly one of kernel_upgrade_release and kernel_upgrade_package",
        ),
    ],
)
def test_the_choice_of_the_site_comes_first_and_is_judged_as_any_other(
    ours: list[Advisory], choice: Facts, words: str | None
) -> None:
    for one in affected(node(), ours, **choice).values():
        wanted = {"role": "kernel_upgrade", "vars": choice}
        assert one["remedy"] == (wanted if words is None else None)
        assert (words or "which kernel_upgrade_") in one["reason"]
        assert ("no cure from here" in one["reason"]) is (words is not None)


def test_of_a_choice_that_cannot_be_judged_in_full_that_is_said(ours: list[Advisory]) -> None:
    one = affected(node(**NONE), ours, kernel_upgrade_release="5.15.0-140-generic")["lp2089318"]
    assert one["remedy"]["vars"] == {"kernel_upgrade_release": "5.15.0-140-generic"}
    text = "id: site\ntitle: t\nseverity: low\nsymptom: s\nconfidence: c\n"
    text += "affects: [{distro: ubuntu, source: linux, versions: '<= 5.15.0-210.215'}]\n"
    catalogue = [*ours, advisories.parse(text, "site.yml")]
    one = affected(node(), catalogue, kernel_upgrade_release="5.15.0-210-generic")["lp2089318"]
    assert one["remedy"]["vars"] == {"kernel_upgrade_release": "5.15.0-210-generic"}
    assert "whether site name it as well is unknown" in one["reason"]


def test_a_newer_upload_of_what_runs_needs_a_reboot_only(ours: list[Advisory]) -> None:
    """Debian replaces a kernel under its own name: `remediate` reboots, and proves that nothing names it then."""
    release = "6.1.0-47-amd64"
    distro = {"id": "debian", "version_id": "12", "codename": "bookworm", "family": "debian"}
    text = "id: site\ntitle: t\nseverity: low\nsymptom: s\nconfidence: c\n"
    text += "affects: [{distro: debian, source: linux, versions: '< 6.1.170-2'}]\n"
    for disk, cured in (("6.1.170-3", True), ("6.1.170-1", False), ("6.1.169-1", False)):
        old = {**node()["package"], "version": "6.1.170-1", "source": "linux-signed-amd64"}
        kernel = node(release=release, flavour="amd64", distro=distro, package=old)
        kernel["installed"][0].update(release=release, package={**old, "version": disk})
        kernel["next_boot"] = {"release": release, "because": "0", "entry": "gnulinux-simple-1"}
        kernel["next_boot"].update(once=False, named_by="first")
        one = affected(kernel, [advisories.parse(text, "site.yml")])["site"]
        assert (f"{release} boots next: a reboot cures it" in one["reason"]) is cured
        reboot = {"role": "kernel_upgrade", "vars": {"kernel_upgrade_release": release}}
        assert (one["remedy"] == reboot) is cured


@pytest.mark.parametrize("entry", [{}, {"once": True}])
def test_an_older_kernel_that_boots_next_is_no_cure(ours: list[Advisory], entry: Facts) -> None:
    """5.15.0-143 is in no range of a node without those modules, and older than 5.15.0-144, which is in one."""
    runs, older = "5.15.0-144-generic", "5.15.0-143-generic"
    package = {**node()["package"], "version": "5.15.0-144.157"}
    kernel = node(release=runs, package=package, **NONE)
    kernel["installed"] = [
        {**node()["installed"][0], "release": older, "package": {**package, "version": "5.15.0-143.153"}},
        {**node()["installed"][0], "release": runs, "package": package},
    ]
    kernel["next_boot"] = {
        "release": older,
        "because": "saved_entry",
        "entry": f"gnulinux-{older}-advanced-1",
    }
    kernel["next_boot"].update({"once": False, "named_by": "id", **entry})
    text = "id: site\ntitle: t\nseverity: low\nsymptom: s\nconfidence: c\n"
    text += "affects: [{distro: ubuntu, source: linux, versions: '>= 5.15.0-144.0, < 5.15.0-145.0'}]\n"
    one = affected(kernel, [*ours, advisories.parse(text, "site.yml")])["site"]
    assert one["remedy"] is None
    assert "a reboot cures it" not in one["reason"]
    assert ("for one boot only" if entry else "unpin it first") in one["reason"]


@pytest.mark.parametrize(
    ("source", "release", "flavour", "status"),
    [
        ("linux-signed", "5.15.0-210-generic", "generic", "ok"),
        ("linux-signed-aws", "5.15.0-1052-aws", "aws", "unknown"),
        ("linux-signed-lowlatency", "5.15.0-144-lowlatency", "lowlatency", "unknown"),
    ],
)
def test_a_kind_of_kernel_that_the_catalogue_has_nothing_on_is_not_fine(
    ours: list[Advisory], source: str, release: str, flavour: str, status: str
) -> None:
    kernel = node(release=release, flavour=flavour, installed=[])
    kernel["package"].update(version=release.rpartition("-")[0] + ".1", source=source)
    every = found(kernel, ours)
    assert {one["status"] for one in every.values()} == {status}
    if status == "unknown":
        (one,) = every.values()
        assert (one["severity"], one["remedy"]) == ("low", None)
        assert f"the catalogue has nothing on {source.replace('-signed', '')} of ubuntu" in one["reason"]


def test_a_distribution_that_the_catalogue_has_nothing_on_is_not_fine(ours: list[Advisory]) -> None:
    mint = {"id": "linuxmint", "version_id": "21", "codename": "vera", "family": None}
    (one,) = found(node(distro=mint), ours).values()
    assert (one["status"], one["severity"]) == ("unknown", "low")
    assert "nothing on linux of linuxmint" in one["reason"]


def test_what_boots_next_is_weighed_against_the_conditions_of_the_node(ours: list[Advisory]) -> None:
    def with_next(lacks: Any = (), **facts: Any) -> Any:
        kernel = node(**facts)
        lacks = lacks if lacks is None else list(lacks)
        one = {**kernel["installed"][0], "release": "5.15.0-140-generic", "lacks": lacks}
        one["package"] = {**kernel["package"], "version": "5.15.0-140.150"}
        kernel["installed"].append(one)
        kernel["next_boot"] = {"release": one["release"], "because": "default in grub.cfg: 0", "entry": "x"}
        kernel["next_boot"].update(once=False, named_by="first")
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


def perhaps(perhaps_: str = ">= 5.15.0-90") -> list[Advisory]:
    text = """\
id: x
title: t
severity: critical
symptom: s
confidence: c
affects: [{distro: ubuntu, source: linux, versions: "< 5.15.0-90", perhaps: ">= 5.15.0-90"}]
"""
    return [advisories.parse(text.replace(">= 5.15.0-90", perhaps_), "x.yml")]


def test_what_no_source_tells_is_a_small_doubt_that_says_so() -> None:
    one = found(node(), perhaps())["x"]
    assert (one["status"], one["severity"], one["remedy"]) == ("unknown", "low", None)
    assert "no source tells whether 5.15.0-91.101 has it" in one["reason"]
    assert found(node(), perhaps(">= 5.15.0-92"))["x"]["status"] == "ok"


def test_a_version_that_nobody_would_take_is_the_reason_of_the_doubt() -> None:
    kernel = node()
    kernel["package"]["version"] = "no version"
    one = found(kernel, perhaps())["x"]
    assert (one["status"], one["severity"]) == ("unknown", "critical")
    assert "'no version' is not a package version" in one["reason"]


def test_nodes_that_agree_are_judged_once_and_no_others(ours: list[Advisory]) -> None:
    rules._known_bad.cache_clear()
    first, again = found(node(boot_id="a", **ALL), ours), found(node(boot_id="b", **ALL), ours)
    assert first == again
    assert rules._known_bad.cache_info().misses == 1
    # What a caller does with its own is not seen by others.
    for one in again.values():
        one["remedy"] = None
    assert found(node(boot_id="c", **ALL), ours) == first
    others: list[tuple[Any, Any, Any]] = [
        (node(**NONE), ours, {}),
        (node(**{**ALL, "modules": None}, unknown={"modules": "another reason"}), ours, {}),
        (node(**ALL), ours[:-1], {}),
        (node(**ALL), ours, {"fleetops_kernel_policy": "nearest-good"}),
        (node(**ALL), ours, {"kernel_upgrade_release": "5.15.0-150-generic"}),
    ]
    for kernel, catalogue, variables in others:
        assert found(kernel, catalogue, **variables) != first
