# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, reservation, target

OLD, NEW = "6.1.0-47-cloud-amd64", "6.1.0-56-cloud-amd64"


def facts(status: str = "ii", family: str | None = "debian") -> dict[str, Any]:
    package = {
        "name": f"linux-image-{OLD}",
        "version": "6.1.170-3",
        "source": "",
        "source_version": "",
        "status": status,
    }
    return {
        "fleetops_kernel": {
            "distro": {"id": family or "plan9", "version_id": "12", "codename": "bookworm", "family": family},
            "release": OLD,
            "installed": [
                {"release": OLD, "package": package, "bootable": True, "missing": [], "beside": []}
            ],
            "packages": {"held": [], "pins": [], "broken": [], "metas": []},
            "unknown": {},
        }
    }


@pytest.mark.parametrize("asked", [{"release": NEW}, {"package": f"linux-image-{NEW}"}])
def test_release_and_package_name_the_same_kernel(asked: dict[str, Any]) -> None:
    package = f"linux-image-{NEW}"
    want = {
        "release": NEW,
        "package": package,
        "version": None,
        "packages": [package],
        "metas": [],
        "installed": False,
        "package_manager": "apt",
        "because": [],
    }
    assert target.kernel_target(facts(), **asked) == want


@pytest.mark.parametrize(
    ("status", "installed"), [("ii ", True), ("hi ", True), ("rc ", False), ("iF ", False)]
)
def test_only_a_whole_package_counts_as_installed(status: str, installed: bool) -> None:
    assert target.kernel_target(facts(status), release=OLD)["installed"] is installed


@pytest.mark.parametrize(
    ("status", "bootable", "installed"), [("ii", True, True), ("ii", None, True), ("iF", False, False)]
)
def test_what_cannot_boot_is_not_installed(status: str, bootable: bool | None, installed: bool) -> None:
    given = facts(status)
    given["fleetops_kernel"]["installed"][0].update(bootable=bootable, missing=["/boot/initrd.img-x"])
    assert target.kernel_target(given, release=OLD)["installed"] is installed


@pytest.mark.parametrize("status", ["ii", "hi"])
def test_a_whole_package_that_cannot_boot_is_refused_since_its_manager_would_do_nothing(status: str) -> None:
    given = facts(status)
    given["fleetops_kernel"]["installed"][0].update(bootable=False, missing=["/boot/initrd.img-x"])
    with pytest.raises(FleetopsError, match=r"cannot boot; missing: /boot/initrd\.img-x"):
        target.kernel_target(given, release=OLD)


def ubuntu(running: list[str] | None, wanted: list[str] | None, release: str) -> dict[str, Any]:
    """5.15.0-91 runs; with *wanted*, the image of *release* is installed as well. Each with what is beside it."""
    given = facts()
    kernel = given["fleetops_kernel"]
    old = kernel["installed"][0]
    kernel["installed"] = [{**old, "release": "5.15.0-91-generic", "beside": running}]
    if wanted is not None:
        kernel["installed"].append({**old, "release": release, "beside": wanted})
    kernel.update(
        release="5.15.0-91-generic", distro={"id": "ubuntu", "version_id": "22.04", "family": "debian"}
    )
    return given


EXTRA = ["linux-modules-extra"]


@pytest.mark.parametrize(
    ("running", "wanted", "release", "packages"),
    [
        # Drivers of many network cards and of storage are in the other half: without it, the node would not come back.
        (EXTRA, None, "5.15.0-204-generic", ["image", "modules-extra"]),
        ([], None, "5.15.0-204-generic", ["image"]),
        (EXTRA, None, "7.0.0-43-generic", ["image"]),
        (EXTRA, [], "5.15.0-204-generic", ["modules-extra"]),
        (EXTRA, EXTRA, "5.15.0-204-generic", []),
        ([], EXTRA, "5.15.0-204-generic", []),
        ([], [], "5.15.0-204-generic", []),
    ],
)
def test_a_kernel_comes_with_what_the_running_one_has_beside_its_image(
    running: list[str], wanted: list[str] | None, release: str, packages: list[str]
) -> None:
    found = target.kernel_target(ubuntu(running, wanted, release), release=release)
    assert found["packages"] == [f"linux-{name}-{release}" for name in packages]
    assert found["installed"] is (packages == [])


def test_what_is_beside_the_running_kernel_must_be_known() -> None:
    given = ubuntu(None, None, "5.15.0-204-generic")
    given["fleetops_kernel"]["unknown"]["installed.5.15.0-91-generic.beside"] = "dpkg-query is missing"
    with pytest.raises(FleetopsError, match=r"5\.15\.0-91-generic is unknown: dpkg-query is missing"):
        target.kernel_target(given, release="5.15.0-204-generic")


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ({}, "none of them"),
        ({"first_good": "false"}, "none of them"),
        (
            {"release": NEW, "package": f"linux-image-{NEW}"},
            f"kernel_upgrade_release: '{NEW}', kernel_upgrade_package",
        ),
        (
            {"minimum": NEW, "first_good": True},
            f"kernel_upgrade_minimum: '{NEW}', kernel_upgrade_first_good: 'True'",
        ),
    ],
)
def test_exactly_one_name_is_wanted(asked: dict[str, Any], got: str) -> None:
    with pytest.raises(
        FleetopsError, match="exactly one of kernel_upgrade_release, .*first_good: got " + got
    ):
        target.kernel_target(facts(), **asked)


def test_whether_the_first_good_is_wanted_is_yes_or_no() -> None:
    with pytest.raises(FleetopsError, match="kernel_upgrade_first_good is 'maybe': expected true or false"):
        target.kernel_target(facts(), first_good="maybe")  # type: ignore[arg-type]


def test_of_two_names_the_older_question_is_still_answered() -> None:
    kernel = facts()["fleetops_kernel"]
    assert target.release_wanted(kernel, "", f"linux-image-{NEW}") == NEW
    with pytest.raises(
        FleetopsError, match="exactly one of kernel_upgrade_release and kernel_upgrade_package"
    ):
        target.release_wanted(kernel)


@pytest.mark.parametrize("package", ["linux-headers-6.1.0-56-cloud-amd64", "linux-image-", "bash"])
def test_a_package_that_is_no_kernel_image_is_refused_by_name(package: str) -> None:
    with pytest.raises(FleetopsError, match=package):
        target.kernel_target(facts(), package=package)


EL = "5.14.0-570.35.1.el9_6.x86_64"


@pytest.mark.parametrize(
    "asked",
    [
        {"release": EL},
        {"package": f"kernel-core-{EL}"},
        {"package": "kernel-core-5.14.0-570.35.1.el9_6"},  # as dnf takes it as well
    ],
)
def test_a_release_of_rpm_and_its_package_name_the_same_kernel(asked: dict[str, Any]) -> None:
    given = facts()
    given["fleetops_kernel"].update(distro={"id": "rocky", "version_id": "9"}, architecture="x86_64")
    assert target.kernel_target(given, **asked) == {
        "release": EL,
        "package": f"kernel-core-{EL}",
        "version": None,
        "packages": [f"kernel-core-{EL}", f"kernel-modules-{EL}"],
        "metas": [],
        "installed": False,
        "package_manager": "dnf",
        "because": [],
    }


@pytest.mark.parametrize("package", [f"kernel-modules-{EL}", f"kernel-devel-{EL}", "kernel-core", "bash"])
def test_a_package_of_rpm_that_is_no_kernel_image_is_refused_by_name(package: str) -> None:
    given = facts()
    given["fleetops_kernel"].update(distro={"id": "rocky", "version_id": "9"}, architecture="x86_64")
    with pytest.raises(FleetopsError, match=f"'{package}', expected one like 'kernel-core-"):
        target.kernel_target(given, package=package)


def test_an_unknown_distribution_is_refused_by_name() -> None:
    with pytest.raises(FleetopsError, match="plan9 12"):
        target.kernel_target(facts(family=None), release=NEW)


def test_a_node_that_was_not_read_has_no_target() -> None:
    with pytest.raises(FleetopsError, match="fleetops_kernel is missing"):
        target.kernel_target({}, release=NEW)


def test_a_malformed_size_is_refused_by_value() -> None:
    with pytest.raises(FleetopsError, match="12Q"):
        reservation.crashkernel_size({}, "12Q")


# --- from the archive --------------------------------------------------------------------------------

RUNS = "5.15.0-91-generic"
BAD = """\
---
id: bad
title: t
severity: high
symptom: s
affects:
  - {distro: ubuntu, codename: jammy, source: linux, versions: "VERSIONS"}
GOODconfidence: c
"""


@pytest.fixture
def jammy(facts_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Ubuntu 22.04 with 5.15.0-91-generic and its meta packages."""
    return {"fleetops_kernel": facts_of("ubuntu-22.04-incident")["kernel"]}


def bad(versions: str, good: str = "") -> list[Any]:
    text = BAD.replace("VERSIONS", versions).replace("GOOD", f"good: [{{release: {good}}}]\n" if good else "")
    return [advisories.parse(text, "bad.yml")]


def archive(
    *abis: int, meta: str = "", series: str = "5.15.0", flavour: str = "generic"
) -> list[dict[str, Any]]:
    """Images, and a meta package in one version."""
    images = [
        {"name": f"linux-image-{series}-{abi}-{flavour}", "version": f"{series}-{abi}.{abi + 10}"}
        for abi in abis
    ]
    metas = [{"name": name, "version": meta} for name in ("linux-generic", "linux-image-generic") if meta]
    return [
        *images,
        *metas,
        {"name": "bash", "version": "5.1"},
        {"name": "linux-headers-generic", "version": "1"},
    ]


@pytest.mark.parametrize("minimum", ["5.15.0-100-generic", "5.15.0-100", "5.15.0-112-generic"])
def test_a_minimum_is_the_newest_from_there_on(jammy: dict[str, Any], minimum: str) -> None:
    found = target.kernel_target(jammy, minimum=minimum, available=archive(94, 153, 112))
    assert (found["release"], found["version"]) == ("5.15.0-153-generic", "5.15.0-153.163")
    assert found["because"][0].startswith("5.15.0-153-generic (5.15.0-153.163) is the newest from 5.15.0-1")
    assert found["packages"] == [
        f"linux-{part}-5.15.0-153-generic" for part in ("image", "modules-extra", "headers")
    ]


def test_of_a_minimum_an_advisory_takes_the_worst_away(jammy: dict[str, Any]) -> None:
    options: dict[str, Any] = {"minimum": "5.15.0-100", "available": archive(112, 153)}
    found = target.kernel_target(jammy, **options, advisories=bad(">= 5.15.0-150.0"))
    assert found["release"] == "5.15.0-112-generic"
    assert "not 5.15.0-153-generic (5.15.0-153.163): bad names it" in found["because"]
    with pytest.raises(
        FleetopsError, match=r"is named by an advisory: not 5\.15\.0-112-generic .*: bad names it; not"
    ):
        target.kernel_target(jammy, **options, advisories=bad(">= 5.15.0-1.0"))


def test_what_runs_is_enough_when_it_is_the_newest(jammy: dict[str, Any]) -> None:
    found = target.kernel_target(jammy, minimum="5.15.0-88")
    assert (found["release"], found["installed"], found["packages"]) == (RUNS, True, [])


NEWER_UPLOAD = {"name": f"linux-image-{RUNS}", "version": "5.15.0-91.999"}


@pytest.mark.parametrize("minimum", ["5.15.0-88", "5.15.0-91", RUNS])
def test_what_runs_is_enough_though_newer_ones_are_to_be_had(jammy: dict[str, Any], minimum: str) -> None:
    offers = [*archive(112, 153, meta="5.15.0.91.88"), NEWER_UPLOAD]
    for meta in jammy["fleetops_kernel"]["packages"]["metas"]:
        meta["tracks"] = "5.15.0-88-generic"
    found = target.kernel_target(jammy, minimum=minimum, available=offers, advisories=bad(">= 5.15.0-112.0"))
    assert (found["release"], found["installed"]) == (RUNS, True)
    assert (found["packages"], found["metas"]) == ([], [])
    (because,) = found["because"]
    assert "runs, is not older than 5.15.0-" in because


def test_what_runs_is_not_enough_once_an_advisory_names_or_may_name_it(jammy: dict[str, Any]) -> None:
    options: dict[str, Any] = {"minimum": "5.15.0-88", "available": archive(112)}
    found = target.kernel_target(jammy, **options, advisories=bad("< 5.15.0-112.0"))
    assert found["release"] == "5.15.0-112-generic"
    assert any(line.startswith(f"not {RUNS}") for line in found["because"])


@pytest.mark.parametrize("spoil", [{"bootable": False}, {"package": None}])
def test_what_runs_and_is_gone_from_the_disk_is_not_enough(
    jammy: dict[str, Any], spoil: dict[str, Any]
) -> None:
    for one in jammy["fleetops_kernel"]["installed"]:
        if one["release"] == RUNS:
            one.update(spoil)
    found = target.kernel_target(jammy, minimum="5.15.0-91", available=archive(112))
    assert found["release"] == "5.15.0-112-generic"


@pytest.mark.parametrize(
    ("minimum", "match"),
    [
        (
            "5.15.0-200",
            r"No kernel from 5\.15\.0-200-generic on is installed or .* there is 5\.15\.0-88-generic",
        ),
        (
            "6.8.0-40-generic",
            "kernel_upgrade_minimum is '6.8.0-40-generic', which cannot be compared .* series differ",
        ),
        ("5.15.0-1040-aws", "their flavours differ"),
        ("newest", "no distribution spells a kernel so"),
        (5.15, "kernel_upgrade_minimum is '5.15': expected a text such as '5.15.0-91-generic'"),
    ],
)
def test_a_minimum_that_cannot_be_had_says_why(jammy: dict[str, Any], minimum: Any, match: str) -> None:
    other = archive(40, series="6.8.0") + archive(1040, flavour="aws")
    with pytest.raises(FleetopsError, match=match):
        target.kernel_target(jammy, minimum=minimum, available=other)


def test_a_kernel_of_no_kind_can_only_be_left_by_name(jammy: dict[str, Any]) -> None:
    jammy["fleetops_kernel"]["release"] = "5.15.131-custom"
    with pytest.raises(
        FleetopsError, match="name the target by kernel_upgrade_release or kernel_upgrade_package"
    ):
        target.kernel_target(jammy, minimum="5.15.0-100-generic", available=archive(112))


def test_the_first_good_is_what_the_advisories_lead_to(jammy: dict[str, Any]) -> None:
    wants: dict[str, Any] = {"first_good": True, "advisories": bad("< 5.15.0-112.122", "5.15.0-140-generic")}
    assert target.kernel_target(jammy, **wants)["release"] == "5.15.0-140-generic"
    found = target.kernel_target(jammy, **wants, available=archive(112, 153))
    assert found["release"] == "5.15.0-112-generic", "the other is not to be had"
    assert any("5.15.0-140-generic" in line and "nor in the archive" in line for line in found["because"])
    assert (
        target.kernel_target(jammy, **wants, available=archive(112, 140))["release"] == "5.15.0-140-generic"
    )


def test_of_an_archive_without_these_the_first_that_no_advisory_names_is_taken(jammy: dict[str, Any]) -> None:
    wants: dict[str, Any] = {
        "first_good": True,
        "advisories": bad("< 5.15.0-112.122"),
        "available": archive(105, 130, 153),
    }
    assert target.kernel_target(jammy, **wants)["release"] == "5.15.0-153-generic"
    found = target.kernel_target(jammy, **wants, policy="nearest-good")
    assert found["release"] == "5.15.0-130-generic"
    assert "5.15.0-130-generic (5.15.0-130.140) is to be had, and no advisory names it" in found["because"]
    with pytest.raises(FleetopsError, match=r"is known to be good: .*not 5\.15\.0-105-generic"):
        target.kernel_target(jammy, **{**wants, "available": archive(105)})


def test_what_no_advisory_names_stays(jammy: dict[str, Any]) -> None:
    found = target.kernel_target(jammy, first_good=True, available=archive(112))
    assert (found["release"], found["installed"]) == (RUNS, True)


def test_a_newer_upload_of_what_is_installed_is_still_to_be_installed(jammy: dict[str, Any]) -> None:
    offers = [{"name": f"linux-image-{RUNS}", "version": "5.15.0-91.102"}]
    found = target.kernel_target(jammy, release=RUNS, available=offers)
    assert (found["installed"], found["version"]) == (False, "5.15.0-91.102")
    assert found["packages"] == [f"linux-image-{RUNS}"]
    assert found["because"] == [
        f"linux-image-{RUNS} is installed in version 5.15.0-91.101, and 5.15.0-91.102 is to be had"
    ]
    same = [{"name": f"linux-image-{RUNS}", "version": "5.15.0-91.101"}]
    assert target.kernel_target(jammy, release=RUNS, available=same)["installed"] is True


@pytest.mark.parametrize("available", [{"name": "x"}, "linux-image", ["linux-image"]])
def test_what_is_available_is_a_list_of_packages(jammy: dict[str, Any], available: Any) -> None:
    with pytest.raises(FleetopsError, match=r"expected \[{name, version}\]"):
        target.kernel_target(jammy, release=RUNS, available=available)


def test_what_the_module_returned_is_taken_as_it_is(jammy: dict[str, Any]) -> None:
    said = {"available": archive(112, 153), "packages": archive(meta="5.15.0.153.149"), "problems": []}
    found = target.kernel_target(jammy, minimum="5.15.0-100", available=said)
    assert (found["release"], found["metas"]) == ("5.15.0-153-generic", METAS)
    assert target.kernel_target(jammy, release=RUNS, available={"skipped": True})["installed"] is True


# --- meta packages -----------------------------------------------------------------------------------

METAS = ["linux-generic", "linux-image-generic"]


def test_meta_packages_that_lead_to_the_target_go_along(jammy: dict[str, Any]) -> None:
    found = target.kernel_target(
        jammy, release="5.15.0-112-generic", available=archive(112, meta="5.15.0.112.110")
    )
    assert found["metas"] == METAS
    assert found["packages"][-2:] == METAS
    assert found["because"] == []


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ("5.15.0.153.149", "its version 5.15.0.153.149 does not lead to 5.15.0-112-generic"),
        ("", "which version of it is to be had is unknown"),
    ],
)
def test_those_that_lead_elsewhere_or_nobody_knows_where_are_left(
    jammy: dict[str, Any], meta: str, why: str
) -> None:
    found = target.kernel_target(jammy, release="5.15.0-112-generic", available=archive(112, meta=meta))
    assert (found["metas"], len(found["packages"])) == ([], 3)
    assert found["because"] == [f"{name} is left as it is: {why}" for name in METAS]


def test_the_newest_of_two_offers_counts_and_the_archives_own_word(jammy: dict[str, Any]) -> None:
    two = archive(112, meta="5.15.0.112.110") + archive(meta="5.15.0.153.149")
    assert target.kernel_target(jammy, release="5.15.0-112-generic", available=two)["metas"] == []
    told = [{"name": "linux-generic", "version": "9", "tracks": "5.15.0-112-generic"}]
    assert target.kernel_target(jammy, release="5.15.0-112-generic", available=told)["metas"] == [
        "linux-generic"
    ]


def test_those_of_another_flavour_or_series_and_those_that_are_there_are_not_spoken_of(
    jammy: dict[str, Any],
) -> None:
    metas = jammy["fleetops_kernel"]["packages"]["metas"]
    metas[0]["tracks"], metas[1]["tracks"] = "6.8.0-40-generic", "5.15.0-112-generic"
    metas.append({"name": "linux-aws", "version": "1", "tracks": "5.15.0-1040-aws"})
    metas.append({"name": "linux-odd", "version": "1", "tracks": None})
    found = target.kernel_target(jammy, release="5.15.0-112-generic")
    assert (found["metas"], found["because"]) == ([], [])


def test_debians_meta_package_has_the_version_of_its_kernel() -> None:
    given = facts()
    name = "linux-image-cloud-amd64"
    given["fleetops_kernel"]["packages"]["metas"] = [{"name": name, "version": "6.1.170-3", "tracks": OLD}]
    offers = [{"name": f"linux-image-{NEW}", "version": "6.1.192-2"}, {"name": name, "version": "6.1.192-2"}]
    assert target.kernel_target(given, release=NEW, available=offers)["metas"] == [name]
    offers[1]["version"] = "6.1.200-1"
    assert target.kernel_target(given, release=NEW, available=offers)["metas"] == []


def test_unknown_meta_packages_are_left_and_said() -> None:
    given = facts()
    given["fleetops_kernel"].update(packages=None, unknown={"packages": "dpkg-query is missing"})
    (said,) = target.kernel_target(given, release=NEW)["because"]
    assert said.endswith("which are installed is unknown (dpkg-query is missing)")


def test_the_modules_of_a_vendor_come_with_the_target(jammy: dict[str, Any]) -> None:
    jammy["fleetops_kernel"]["installed"][1]["prebuilt"] = ["nvidia-535", "zfs"]
    found = target.kernel_target(jammy, release="5.15.0-112-generic")
    assert found["packages"][-2:] == [
        f"linux-modules-{one}-5.15.0-112-generic" for one in ("nvidia-535", "zfs")
    ]
    assert target.kernel_target(jammy, release=RUNS)["installed"] is True
    found = target.kernel_target(jammy, release="7.0.0-43-generic")
    assert found["packages"][-1] == "linux-modules-nvidia-535-7.0.0-43-generic"
