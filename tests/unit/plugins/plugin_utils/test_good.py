# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel is good against all advisories that apply to a node? On nodes that are written down here."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, good, matching, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings import kernel as rules
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
    # Up to an upload within the release: the release alone does not tell.
    within = advisory("within", ">= 5.15.0-100.110, <= 5.15.0-130.135")
    chosen = good.choose(node(), [closed, within])
    assert (chosen["release"], chosen["version"]) == ("5.15.0-130-generic", None)
    assert any("was not checked against within" in line for line in chosen["because"])
    known = advisory("known", "<= 5.15.0-100.110", "good: [{version: 5.15.0-140.150}]\n")
    for policy in good.POLICIES:
        chosen = good.choose(node(), [closed, within, known], policy)
        assert chosen["release"] == "5.15.0-140-generic", "known to be good"


@pytest.mark.parametrize(
    ("range_", "why"),
    [
        ("< 5.15.0-131.1", "it is named by range"),
        ("< 5.15.0-130.0", "None"),
        (">= 5.15.0-91.101, < 5.15.0-120.130", "None"),
    ],
)
def test_a_release_of_ubuntu_tells_enough_where_all_its_uploads_are_alike(range_: str, why: str) -> None:
    closed = advisory("closed", "<= 5.15.0-100.110", "good: [{release: 5.15.0-130-generic}]\n")
    found = good.weigh(node(), [closed, advisory("range", range_)])
    assert out(found, "5.15.0-130-generic") == why
    (one,) = [one for one in found.candidates if one.release == "5.15.0-130-generic"]
    assert one.unchecked == ()


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


RUNNING = ("6.1.0-47-amd64", "6.1.170-1")


@pytest.mark.parametrize(
    ("disk", "cure", "newest"),
    [
        ("6.1.170-3", "6.1.170-3", "6.1.170-3"),  # a reboot brings it
        ("6.1.170-1.5", None, "6.1.170-1.5"),  # named as well
        ("6.1.170-1", None, "6.1.170-1"),  # it is what runs
        ("6.1.169-9", None, "6.1.170-1"),  # older, and in no range
    ],
)
def test_what_runs_is_judged_by_what_runs_and_its_newer_package_by_itself(
    disk: str, cure: str | None, newest: str
) -> None:
    upgraded = debian(*RUNNING, **NONE)
    upgraded["installed"] = [installed(RUNNING[0], disk, package=package(disk, "linux-signed-amd64"))]
    bad = advisory("bad", ">= 6.1.170-1, < 6.1.170-2", distro="debian")
    quiet = advisory("quiet", "< 6.1.100-1", distro="debian")
    for policy in good.POLICIES:
        found = good.choose(upgraded, [bad], policy)
        assert (found["release"], found["version"]) == (cure and RUNNING[0], cure)
    # Where nothing names what runs, the policy decides.
    assert good.choose(upgraded, [quiet])["version"] == newest
    assert good.choose(upgraded, [quiet], "nearest-good")["version"] == RUNNING[1]


RUNS_9_2 = "5.14.0-284.64.1.el9_2"


@pytest.mark.parametrize(
    ("running", "chosen"),
    [
        # That it is older than the fix of 9.6 does not say that it has the fault: another branch, with its own fixes.
        (RUNS_9_2, "5.14.0-284.70.1.el9_2"),
        ("5.14.0-570.10.1.el9_6", "5.14.0-570.35.1.el9_6"),
    ],
)
def test_no_minor_release_is_left_for_what_does_not_name_this_kernel(running: str, chosen: str) -> None:
    own = advisory("own", "< 5.14.0-284.70.1.el9_2", distro="rhel", source="kernel")
    other = advisory(
        "other", ">= 5.14.0-570.1.1.el9_6, < 5.14.0-570.35.1.el9_6", distro="rhel", source="kernel"
    )
    calls = advisory(
        "calls",
        "< 5.14.0-100.el9",
        "good: [{version: 5.14.0-503.1.1.el9_5}]\n",
        distro="rhel",
        source="kernel",
    )
    rhel = {"id": "rhel", "version_id": "9", "codename": "", "family": "redhat"}
    kernel = rocky(f"{running}.x86_64", running)
    kernel["distro"] = rhel
    assert good.choose(kernel, [own, other, calls])["release"] == f"{chosen}.x86_64"


def test_what_names_this_kernel_may_lead_to_another_minor_release() -> None:
    kernel = rocky(f"{RUNS_9_2}.x86_64", RUNS_9_2)
    spans = advisory("spans", "< 5.14.0-570.35.1.el9_6", distro="rocky", source="kernel")
    assert good.choose(kernel, [spans])["release"] == "5.14.0-570.35.1.el9_6.x86_64"


def test_what_cannot_be_told_of_a_kernel_on_the_disk_is_out_though_an_advisory_calls_it_good() -> None:
    calls = advisory(
        "calls", "< 5.15.0-100.110", "good: [{release: 5.15.0-130-generic, version: 5.15.0-130.140}]\n"
    )
    for lacks, why in (([], "None"), (None, "it cannot be told whether it has the modules in use")):
        found = good.weigh(
            node(installed=[installed("5.15.0-130-generic", "5.15.0-130.140", lacks=lacks)]), [calls]
        )
        assert out(found, "5.15.0-130-generic") == why


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
        low, high = sorted(draw(st.sets(NUMBERS, min_size=2, max_size=2)))
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
    low, high = sorted(data.draw(st.sets(NUMBERS, min_size=2, max_size=2)))
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


# --- what is proposed to a node ----------------------------------------------------------------------

HWE = installed("6.8.0-50-generic", "6.8.0-50.51", package=package("6.8.0-50.51", "linux-signed-hwe-6.8"))


def abi(release: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", release)))


@st.composite
def machines(draw: st.DrawFn) -> Any:
    """The incident's node with more on its disk, and a boot loader that takes the first or is told what to take."""
    kernel = node(**draw(NODES))
    for number in draw(st.sets(NUMBERS, max_size=4)):
        flavour = draw(st.sampled_from(["generic", "generic", "lowlatency"]))
        source = draw(st.sampled_from(["linux-signed", "linux-signed", "linux-signed-hwe-5.15"]))
        version = f"5.15.0-{number}.{number + 10 + draw(st.integers(0, 1))}"
        can = draw(st.sampled_from([True, True, False, None]))
        lacks = draw(st.sampled_from([[], [], ["bnxt_en"], None]))
        one = installed(f"5.15.0-{number}-{flavour}", version, can, lacks=lacks)
        one["package"] = package(version, source if flavour == "generic" else "linux-signed-lowlatency")
        if one["release"] == kernel["release"]:
            kernel["installed"].clear()
        kernel["installed"].append(one)
    kernel["installed"] += draw(st.sampled_from([*[[]] * 4, [HWE]]))
    releases = sorted((one["release"] for one in kernel["installed"]), key=abi)
    named_by = draw(st.sampled_from([*["first"] * 4, "id", "title", "position"]))
    boots = releases[-1] if named_by == "first" else draw(st.sampled_from(releases))
    entry = {"release": boots, "entry": f"gnulinux-{boots}-advanced-1", "because": "the default"}
    kernel["next_boot"] = {**entry, "once": draw(st.sampled_from([False] * 5 + [True])), "named_by": named_by}
    kernel["boot_loader"] = "grub"
    return kernel


CHOICES = st.one_of(
    st.just({}),
    st.builds(
        lambda number, rest, key, before: {key: f"{before}5.15.0-{number}{rest}"},
        NUMBERS,
        st.sampled_from(["-generic", "-generic", "-lowlatency", ""]),
        st.sampled_from(["kernel_upgrade_release", "kernel_upgrade_package"]),
        st.sampled_from(["", "linux-image-"]),
    ),
    st.just({"kernel_upgrade_release": "5.15.0-120-generic", "kernel_upgrade_package": "linux-image-5"}),
)


def proposed(kernel: Any, catalogue: list[Advisory], **variables: Any) -> list[Any]:
    case: Any = {"facts": {"kernel": kernel}, "advisories": catalogue, "vars": variables}
    return [one["remedy"] for one in rules.known_bad(case) if one["status"] == "affected"]


@settings(max_examples=400)
@given(machines(), catalogues(), CHOICES, st.sampled_from(good.POLICIES))
def test_a_remedy_brings_a_newer_kernel_of_the_kind_that_nothing_names_and_that_will_boot(
    kernel: Any, catalogue: list[Advisory], choice: Facts, policy: str
) -> None:
    catalogue = [BAD, *catalogue]
    remedies = proposed(kernel, catalogue, fleetops_kernel_policy=policy, **choice)
    assert remedies
    assert all(one == remedies[0] for one in remedies), "all findings of a node name one target"
    if remedies[0] is None:
        return
    ((key, value),) = remedies[0]["vars"].items()
    release = value.removeprefix("linux-image-") if key == "kernel_upgrade_package" else value
    assert re.fullmatch(r"5\.15\.0-\d+-generic", release), "of another flavour, another series, or no release"
    disk = next((one for one in kernel["installed"] if one["release"] == release), None)
    number = abi(release)[3]
    uploads = [f"5.15.0-{number}.{one}" for one in (0, number + 10, 9999)]
    if disk:
        assert disk["package"]["source"] == "linux-signed"
        assert disk["bootable"] is True
        assert disk["lacks"] == []
        uploads = [disk["package"]["version"]]
    assert versions.key(uploads[-1]) > versions.key("5.15.0-91.101")
    assert number >= 91
    for one in catalogue:
        subjects: Any = [
            {**matching.subject_of(kernel), "release": release, "version": version} for version in uploads
        ]
        said = {matching.say(one, subject, matching.traits_of(kernel)) for subject in subjects}
        assert said != {"affected"}, "known bad on this node"
    entry = kernel["next_boot"]
    assert not entry["once"], "it would fall back at the boot after the next"
    menu = sorted({release, *(one["release"] for one in kernel["installed"])}, key=abi)
    assert release == (menu[-1] if entry["named_by"] == "first" else entry["release"]), "not taken"


def test_by_contrast_there_is_a_remedy_where_nothing_is_in_the_way() -> None:
    kernel = node(boot_loader="grub")
    entry = {"release": kernel["release"], "entry": "gnulinux-simple-1", "because": "the default"}
    kernel["next_boot"] = {**entry, "once": False, "named_by": "first"}
    for choice, release in (
        ({}, "5.15.0-100-generic"),
        ({"kernel_upgrade_release": "5.15.0-120-generic"}, "5.15.0-120-generic"),
    ):
        assert proposed(kernel, [BAD], **choice) == [
            {"role": "kernel_upgrade", "vars": {"kernel_upgrade_release": release}}
        ]
    kernel["installed"].append(installed("5.15.0-110-generic", "5.15.0-110.120"))
    kernel["next_boot"]["release"] = "5.15.0-110-generic"
    assert proposed(kernel, [BAD])[0]["vars"] == {"kernel_upgrade_release": "5.15.0-110-generic"}
    # Nearest is 100, and 110 stands above it: with something said against 110, nothing is left.
    worse = advisory("worse", ">= 5.15.0-105.115, < 5.15.0-115.125")
    assert proposed(kernel, [BAD, worse], fleetops_kernel_policy="nearest-good")[0]["vars"] == {
        "kernel_upgrade_release": "5.15.0-115-generic"
    }
    kernel["installed"].append(HWE)
    kernel["next_boot"]["release"] = HWE["release"]
    assert proposed(kernel, [BAD, worse]) == [None]
