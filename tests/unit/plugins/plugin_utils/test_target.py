# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import target

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
            "unknown": {},
        }
    }


@pytest.mark.parametrize("asked", [{"release": NEW}, {"package": f"linux-image-{NEW}"}])
def test_release_and_package_name_the_same_kernel(asked: dict[str, str]) -> None:
    package = f"linux-image-{NEW}"
    want = {
        "release": NEW,
        "package": package,
        "packages": [package],
        "installed": False,
        "package_manager": "apt",
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


@pytest.mark.parametrize("asked", [{}, {"release": NEW, "package": f"linux-image-{NEW}"}])
def test_exactly_one_name_is_wanted(asked: dict[str, str]) -> None:
    with pytest.raises(
        FleetopsError, match="exactly one of kernel_upgrade_release and kernel_upgrade_package"
    ):
        target.kernel_target(facts(), **asked)


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
def test_a_release_of_rpm_and_its_package_name_the_same_kernel(asked: dict[str, str]) -> None:
    given = facts()
    given["fleetops_kernel"].update(distro={"id": "rocky", "version_id": "9"}, architecture="x86_64")
    assert target.kernel_target(given, **asked) == {
        "release": EL,
        "package": f"kernel-core-{EL}",
        "packages": [f"kernel-core-{EL}", f"kernel-modules-{EL}"],
        "installed": False,
        "package_manager": "dnf",
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
        target.crashkernel_size({}, "12Q")
