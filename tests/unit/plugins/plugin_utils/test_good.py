# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel is good against all advisories that apply to a node? On nodes that are written down here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, good, matching, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

Facts = dict[str, Any]
ALL: Facts = {
    "modules": {"loaded": ["bonding", "cifs", "kvm", "nfsd", "raid10"], "out_of_tree": []},
    "file_systems": ["ext4"],
    "drivers": ["ahci", "amdgpu"],
    "cpu_vendor": "AuthenticAMD",
    "architecture": "x86_64",
    "iommu": True,
}
NONE: Facts = {
    "modules": {"loaded": [], "out_of_tree": []},
    "file_systems": ["xfs"],
    "drivers": ["virtio_net"],
    "cpu_vendor": "GenuineIntel",
    "architecture": "x86_64",
    "iommu": False,
}
UNKNOWN: Facts = dict.fromkeys(ALL)


def package(version: str, source: str = "linux-signed", name: str = "linux-image") -> Facts:
    return {"name": name, "version": version, "source": source, "source_version": version, "status": "ii"}


def installed(release: str, version: str, bootable: bool | None = True, **more: Any) -> Facts:
    one = {"release": release, "package": package(version), "bootable": bootable, "missing": ["initrd"]}
    return {**one, "lacks": [], "prebuilt": [], "bytes": None, **more}


def node(release: str = "5.15.0-91-generic", version: str = "5.15.0-91.101", **more: Any) -> Any:
    """The incident's node: Ubuntu 22.04, with the kernel that runs as the only one on the disk."""
    return {
        "release": release,
        "version": "#101-Ubuntu SMP",
        "flavour": matching.flavour_of(release),
        "container": False,
        "distro": {"id": "ubuntu", "version_id": "22.04", "codename": "jammy", "family": "debian"},
        "package": package(version),
        "installed": [installed(release, version)],
        "next_boot": None,
        "unknown": {},
        **UNKNOWN,
        **more,
    }


def debian(release: str, version: str, **more: Any) -> Any:
    distro = {"id": "debian", "version_id": "12", "codename": "bookworm", "family": "debian"}
    source = package(version, "linux-signed-amd64")
    return node(release, version, **{"distro": distro, "package": source, "installed": [], **more})


def rocky(release: str, version: str, **more: Any) -> Any:
    distro = {"id": "rocky", "version_id": "9.6", "codename": "", "family": None}
    return node(
        release,
        version,
        distro=distro,
        package=package(version, "kernel", "kernel-core"),
        installed=[],
        **more,
    )


def advisory(
    name: str, versions_: str, rest: str = "", distro: str = "ubuntu", source: str = "linux"
) -> Advisory:
    text = f"id: {name}\ntitle: t\nseverity: high\nsymptom: s\nconfidence: c\n"
    row = f'affects:\n  - {{distro: {distro}, source: {source}, versions: "{versions_}"}}\n'
    return advisories.parse(text + row + rest, f"{name}.yml")


def out(found: good.Weighed, release: str) -> str:
    """Why a candidate is none."""
    (one,) = [one for one in found.candidates if one.release == release]
    return str(one.out)


# --- the incident's node, and our catalogue ----------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "policy", "version"),
    [
        (UNKNOWN, "newest-good", "5.15.0-204.214"),
        (ALL, "newest-good", "5.15.0-204.214"),
        (NONE, "newest-good", "5.15.0-204.214"),
        # Until 184.194, one range follows another; without a bond, NFS, CIFS, RAID 10 there is a gap at 140.150.
        (UNKNOWN, "nearest-good", "5.15.0-184.194"),
        (ALL, "nearest-good", "5.15.0-184.194"),
        (NONE, "nearest-good", "5.15.0-140.150"),
        ({**NONE, "modules": {"loaded": ["cifs"], "out_of_tree": []}}, "nearest-good", "5.15.0-153.163"),
        ({**NONE, "modules": None}, "nearest-good", "5.15.0-184.194"),
    ],
)
def test_the_incident_goes_to_a_kernel_that_all_advisories_let_pass(
    ours: list[Advisory], facts: Facts, policy: str, version: str
) -> None:
    kernel = node(**facts)
    chosen = good.choose(kernel, ours, policy)
    release = version.rpartition(".")[0] + "-generic"
    assert (chosen["release"], chosen["version"]) == (release, version)
    assert chosen["package"] == f"linux-image-{release}"
    assert chosen["policy"] == policy
    assert version in chosen["because"][0]
    itself = {**matching.subject_of(kernel), "release": release, "version": version}
    for one in ours:
        assert matching.say(one, itself, matching.traits_of(kernel)) != "affected"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "named_by"),
    [
        (UNKNOWN, {"lp2068738", "lp2089318", "lp2103564", "lp2112440", "lp2153556"}),
        (ALL, {"lp2068738", "lp2089318", "lp2103564", "lp2112440", "lp2153556"}),
        (NONE, {"lp2089318"}),
        ({**NONE, "drivers": ["amdgpu"], "iommu": True}, {"lp2068738", "lp2089318"}),
    ],
)
def test_the_cure_of_the_incident_is_itself_named(
    ours: list[Advisory], facts: Facts, named_by: set[str]
) -> None:
    kernel = node(**facts)
    itself: Any = {
        **matching.subject_of(kernel),
        "release": "5.15.0-112-generic",
        "version": "5.15.0-112.122",
    }
    said = {one["id"] for one in ours if matching.say(one, itself, matching.traits_of(kernel)) == "affected"}
    assert said == named_by
    why = out(good.weigh(kernel, ours), "5.15.0-112-generic")
    assert "it is named by" in why
    assert min(named_by) in why


def test_the_reasoning_is_a_few_lines(ours: list[Advisory]) -> None:
    lines = good.choose(node(), ours)["because"]
    assert 2 <= len(lines) <= 2 + good.MOST_LINES
    assert any("5.15.0-112.122" in line and "named by" in line for line in lines)
    assert not any("older" in line for line in lines)


def test_the_rebuild_for_an_older_release_has_its_own_source(ours: list[Advisory]) -> None:
    distro = {"id": "ubuntu", "version_id": "20.04", "codename": "focal", "family": "debian"}
    built = package("5.15.0-91.101~20.04.1", "linux-signed-hwe-5.15")
    chosen = good.choose(node(distro=distro, package=built, installed=[], **NONE), ours, "nearest-good")
    assert chosen["release"] == "5.15.0-140-generic"
    # What is published for 22.04 only is no candidate.
    newest = good.weigh(node(distro=distro, package=built, installed=[]), ours)
    assert "5.15.0-204-generic" not in [one.release for one in newest.candidates]


def test_a_flavour_that_no_advisory_speaks_of_has_no_other_kernel(ours: list[Advisory]) -> None:
    aws = node("5.15.0-1052-aws", "5.15.0-1052.57", package=package("5.15.0-1052.57", "linux-signed-aws"))
    aws["installed"] = []
    assert good.choose(aws, ours)["release"] == "5.15.0-1052-aws", "none names it"
    named = advisory(
        "site", "< 5.15.0-1060.65", "good: [{release: 5.15.0-204-generic}]\n", source="linux-aws"
    )
    bad = good.choose(aws, [*ours, named])
    # The end of the range is one, of this very flavour.
    assert bad["release"] == "5.15.0-1060-aws"
    closed = advisory(
        "site", "<= 5.15.0-1060.65", "good: [{release: 5.15.0-204-generic}]\n", source="linux-aws"
    )
    none = good.choose(aws, [*ours, closed])
    assert (none["release"], none["package"], none["version"]) == (None, None, None)
    assert "source linux-aws, flavour aws" in none["because"][0]


# --- other distributions -----------------------------------------------------------------------------


def test_debian_goes_to_the_kernels_that_are_known_by_name(ours: list[Advisory]) -> None:
    kernel = debian("6.1.0-14-cloud-amd64", "6.1.64-1")
    assert good.choose(kernel, ours)["release"] == "6.1.0-56-cloud-amd64"
    assert good.choose(kernel, ours, "nearest-good")["release"] == "6.1.0-47-cloud-amd64"


def test_rhel_like_goes_to_the_end_of_the_range_in_rpm_s_order(ours: list[Advisory]) -> None:
    kernel = rocky("5.14.0-570.33.1.el9_6.x86_64", "5.14.0-570.33.1.el9_6")
    chosen = good.choose(kernel, ours)
    assert (chosen["release"], chosen["version"]) == (
        "5.14.0-570.35.1.el9_6.x86_64",
        "5.14.0-570.35.1.el9_6",
    )
    later = rocky("5.14.0-570.39.1.el9_6.x86_64", "5.14.0-570.39.1.el9_6")
    assert good.choose(later, ours)["release"] == "5.14.0-570.39.1.el9_6.x86_64"


# --- candidates --------------------------------------------------------------------------------------

BAD = advisory("bad", "< 5.15.0-100.110")
WORSE = advisory("worse", ">= 5.15.0-100.110, < 5.15.0-120.130")


def test_a_candidate_inside_another_range_is_out() -> None:
    found = good.weigh(node(), [BAD, WORSE])
    assert out(found, "5.15.0-100-generic") == "it is named by worse"
    assert found.chosen is not None
    assert found.chosen.release == "5.15.0-120-generic"
    alone = good.weigh(node(), [BAD])
    assert alone.chosen is not None
    assert alone.chosen.release == "5.15.0-100-generic"


def test_policies_choose_the_ends_of_what_is_good() -> None:
    more = advisory(
        "more", "< 5.15.0-50.1", "good: [{version: 5.15.0-150.160}, {release: 5.15.0-140-generic}]\n"
    )
    assert good.choose(node(), [BAD, more])["release"] == "5.15.0-150-generic"
    nearest = good.choose(node(), [BAD, more], "nearest-good")
    assert nearest["release"] == "5.15.0-100-generic"


def test_a_kernel_that_is_not_named_may_stay() -> None:
    assert good.choose(node(), [WORSE], "nearest-good")["release"] == "5.15.0-91-generic"
    assert good.choose(node(), [WORSE])["release"] == "5.15.0-120-generic"
    assert good.choose(node(), [])["release"] == "5.15.0-91-generic"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "None"),
        ({"bootable": False}, "it cannot boot, missing: initrd"),
        ({"bootable": None}, "it cannot be told whether it can boot"),
        ({"lacks": ["bnxt_en"]}, "it lacks modules that are in use: bnxt_en"),
        ({"lacks": None}, "it cannot be told whether it has the modules in use"),
        ({"version": "5.15.0-90.1"}, "it is older than what runs"),
    ],
)
def test_an_installed_kernel_must_serve(change: Facts, why: str) -> None:
    one = installed("5.15.0-130-generic", **{"version": "5.15.0-130.140", **change})
    found = good.weigh(node(installed=[one]), [BAD])
    assert out(found, "5.15.0-130-generic") == why
    assert found.chosen is not None
    assert (found.chosen.release == "5.15.0-130-generic") is (why == "None")


@pytest.mark.parametrize(
    ("release", "source"),
    [
        ("5.15.0-130-lowlatency", "linux-signed-lowlatency"),
        ("5.15.0-130-generic", "linux-signed-hwe-5.15"),
        ("6.8.0-130-generic", "linux-signed"),
        ("6.1.0-47-amd64", "linux-signed"),
    ],
)
def test_a_kernel_of_another_kind_is_no_candidate(release: str, source: str) -> None:
    other = installed(release, "5.15.0-130.140", package=package("5.15.0-130.140", source))
    calls = advisory("calls", "< 5.15.0-1", f"good: [{{release: {release}, version: 5.15.0-130.140}}]\n")
    brought = [BAD] if source != "linux-signed" else [BAD, calls]
    found = good.weigh(node(installed=[other]), brought)
    assert [one.release for one in found.candidates] == ["5.15.0-91-generic", "5.15.0-100-generic"]


def test_a_good_kernel_without_a_version_is_taken_where_nothing_better_is_known() -> None:
    closed = advisory("closed", "<= 5.15.0-100.110", "good: [{release: 5.15.0-130-generic}]\n")
    chosen = good.choose(node(), [closed, WORSE])
    assert chosen["release"] == "5.15.0-120-generic", "known to be good"
    closed_too = advisory("worse", ">= 5.15.0-100.110, <= 5.15.0-120.130")
    chosen = good.choose(node(), [closed, closed_too])
    assert (chosen["release"], chosen["version"]) == ("5.15.0-130-generic", None)
    assert any("was not checked against worse" in line for line in chosen["because"])


def test_a_fix_level_needs_no_range() -> None:
    text = """\
id: site
title: t
severity: high
symptom: s
confidence: c
affects: [{distro: ubuntu, releases: ["5.15.0-91-*"]}]
good: [{version: 5.15.0-130.140}]
"""
    chosen = good.choose(node(), [advisories.parse(text, "site.yml")])
    assert chosen["release"] == "5.15.0-130-generic"


def test_a_kernel_of_no_distribution_is_cured_by_what_names_it() -> None:
    mine = node("5.15.99-mine", "", flavour=None, package=None, installed=None)
    text = """\
id: site
title: t
severity: high
symptom: s
confidence: c
affects: [{distro: ubuntu, releases: ["5.15.99-mine"]}]
good: [{release: 5.15.0-130-generic}]
"""
    site = advisories.parse(text, "site.yml")
    assert good.choose(mine, [site])["release"] == "5.15.0-130-generic"
    elsewhere = advisories.parse(text.replace("99-mine", "98-mine"), "site.yml")
    for policy in good.POLICIES:
        assert good.choose(mine, [elsewhere], policy)["release"] == "5.15.99-mine"


def test_what_runs_is_judged_by_what_runs_and_not_by_its_newer_package() -> None:
    upgraded = debian("6.1.0-47-amd64", "6.1.170-1", **NONE)
    upgraded["installed"] = [installed("6.1.0-47-amd64", "6.1.170-3", package=package("6.1.170-3"))]
    bad = advisory("bad", ">= 6.1.170-1, < 6.1.170-2", distro="debian")
    assert good.weigh(upgraded, [bad]).chosen is None


def test_nothing_is_chosen_for_a_node_of_which_nothing_is_known(ours: list[Advisory]) -> None:
    nothing = {**node(), **dict.fromkeys(("release", "distro", "package", "installed", "flavour"))}
    chosen = good.choose(nothing, ours)  # type: ignore[arg-type]
    assert chosen["release"] is None
    assert "source unknown, flavour unknown" in chosen["because"][0]


@pytest.mark.parametrize(
    ("value", "policy"), [("", "newest-good"), (None, "newest-good"), ("nearest-good", "nearest-good")]
)
def test_the_policy_of_a_site(value: Any, policy: str) -> None:
    assert good.policy_of(value) == policy


def test_a_policy_that_is_not_known_is_an_error() -> None:
    with pytest.raises(
        FleetopsError, match="fleetops_kernel_policy: expected one of newest-good, nearest-good, got 'x'"
    ):
        good.choose(node(), [], "x")


# --- any catalogue -----------------------------------------------------------------------------------

NUMBERS = st.integers(80, 130)


@st.composite
def catalogues(draw: st.DrawFn) -> list[Advisory]:
    """Ranges around the running kernel, some with conditions, some with a good kernel of their own."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        low, high = sorted(draw(st.tuples(NUMBERS, NUMBERS)))
        rest = draw(
            st.sampled_from(["", "conditions: [{module: cifs}]\n", "conditions: [{driver: amdgpu}]\n"])
        )
        if draw(st.booleans()):
            fine = draw(st.sampled_from([one for one in range(80, 131) if not low <= one < high]))
            rest += f"good: [{{version: 5.15.0-{fine}.{fine + 10}}}]\n"
        lower, upper = f">= 5.15.0-{low}.{low + 10}", f"< 5.15.0-{high}.{high + 10}"
        found.append(advisory(f"a{number}", f"{lower}, {upper}", rest))
    return found


NODES = st.sampled_from([ALL, NONE, UNKNOWN, {**NONE, "modules": ALL["modules"]}])


@given(catalogues(), NODES, st.sampled_from(good.POLICIES), st.sets(NUMBERS, max_size=3))
def test_the_chosen_kernel_is_in_no_range_and_not_older(
    catalogue: list[Advisory], facts: Facts, policy: str, disk: set[int]
) -> None:
    kernel = node(**facts)
    kernel["installed"] += [
        installed(f"5.15.0-{one}-generic", f"5.15.0-{one}.{one + 10}") for one in disk if one != 91
    ]
    chosen = good.choose(kernel, catalogue, policy)
    found = good.weigh(kernel, catalogue, policy)
    fine = [one for one in found.candidates if one.out is None]
    assert (chosen["release"] is None) == (not fine)
    assert len(chosen["because"]) <= 2 + good.MOST_LINES
    if chosen["release"] is None:
        return
    assert chosen["version"] is not None
    assert versions.key(chosen["version"]) >= versions.key("5.15.0-91.101")
    itself: Any = {**matching.subject_of(kernel), "release": chosen["release"], "version": chosen["version"]}
    for one in catalogue:
        assert matching.say(one, itself, matching.traits_of(kernel)) != "affected"
    # What was passed over is on the other side.
    for other in fine:
        newer = versions.key(str(other.version)) > versions.key(chosen["version"])
        assert not newer if policy == "newest-good" else newer or other.version == chosen["version"]


@given(catalogues(), NODES)
def test_both_policies_agree_where_one_kernel_is_good(catalogue: list[Advisory], facts: Facts) -> None:
    kernel = node(**facts)
    fine = [one for one in good.weigh(kernel, catalogue).candidates if one.out is None]
    newest, nearest = (good.choose(kernel, catalogue, policy) for policy in good.POLICIES)
    if len(fine) <= 1:
        assert newest["release"] == nearest["release"]
    elif newest["version"] and nearest["version"]:
        assert versions.key(newest["version"]) > versions.key(nearest["version"])


@given(catalogues(), NODES, st.data())
def test_one_more_advisory_makes_nothing_good_that_was_not(
    catalogue: list[Advisory], facts: Facts, data: st.DataObject
) -> None:
    kernel = node(**facts)
    before = {one.release: one.out for one in good.weigh(kernel, catalogue).candidates}
    low, high = sorted(data.draw(st.tuples(NUMBERS, NUMBERS)))
    more = advisory("more", f">= 5.15.0-{low}.{low + 10}, < 5.15.0-{high}.{high + 10}")
    for policy in good.POLICIES:
        chosen = good.choose(kernel, [*catalogue, more], policy)["release"]
        assert before.get(chosen or "") is None


@given(catalogues(), NODES)
def test_knowing_more_of_a_node_never_takes_a_good_kernel_away(
    catalogue: list[Advisory], facts: Facts
) -> None:
    """An unknown condition counts as met: what is good all the same stays good."""
    blind = {one.release: one.out for one in good.weigh(node(**UNKNOWN), catalogue).candidates}
    seen = {one.release: one.out for one in good.weigh(node(**facts), catalogue).candidates}
    assert seen.keys() == blind.keys()
    assert all(seen[release] is None for release, why in blind.items() if why is None)
