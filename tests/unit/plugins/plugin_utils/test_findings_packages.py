# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of kernels, and the modules of the one that boots next: the fault alone, the clean one, the unreadable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Facts = dict[str, Any]
Judged = Callable[..., dict[str, Any]]
RUNS, NEXT = "6.1.0-47-cloud-amd64", "6.1.0-56-cloud-amd64"
WHY = "Cannot read it: Permission denied (needs root)"
HELD, BROKEN = "packages-held:packages", "packages-broken:packages"
MODULES, DKMS, VENDOR = f"module-missing:{NEXT}", f"dkms-missing:{NEXT}", f"vendor-module-missing:{NEXT}"
# A newer kernel that boots next is a finding of its own.
WAITS = "newer-kernel-not-running:kernel"


@pytest.fixture
def upgraded(clean: Facts, add_kernel: Any) -> Facts:
    """A clean machine on which a newer kernel boots next."""
    add_kernel(clean, NEXT, "6.1.192-2", boots_next=True)
    return clean


def lose(facts: Facts, key: str) -> None:
    facts["kernel"][key] = None
    facts["kernel"]["unknown"][key] = WHY


def next_kernel(facts: Facts) -> Facts:
    found: Facts = facts["kernel"]["installed"][-1]
    return found


def dkms(name: str, **states: str) -> Facts:
    return {
        "name": name,
        "version": "1.0",
        "states": {{"runs": RUNS, "next": NEXT}[at]: s for at, s in states.items()},
    }


def test_the_clean_machine_was_looked_at(upgraded: Facts, judged: Judged, opened: Judged) -> None:
    assert list(opened(upgraded)) == [WAITS]
    for key in (HELD, BROKEN, MODULES, DKMS, VENDOR):
        assert judged(upgraded)[key]["status"] == "ok"


def test_where_the_running_kernel_boots_again_all_is_said_to_be_well(clean: Facts, judged: Judged) -> None:
    clean["kernel"].update(dkms=[dkms("zfs", runs="installed")])
    clean["kernel"]["installed"][0]["prebuilt"] = ["nvidia-535"]
    found = judged(clean)
    for id_ in ("module-missing", "dkms-missing", "vendor-module-missing"):
        assert found[f"{id_}:{RUNS}"]["status"] == "ok"
        assert "boots again" in found[f"{id_}:{RUNS}"]["reason"]


# --- packages ----------------------------------------------------------------------------------------


def test_packages_that_are_held(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["packages"]["held"] = ["linux-image-cloud-amd64"]
    found = opened(clean)
    assert list(found) == [HELD]
    assert (found[HELD]["status"], found[HELD]["severity"], found[HELD]["remedy"]) == (
        "affected",
        "medium",
        None,
    )
    assert found[HELD]["reason"].startswith("linux-image-cloud-amd64 is held")
    assert found[HELD]["evidence"] == [
        {"source": "dpkg-query --show", "text": "held: linux-image-cloud-amd64"}
    ]


PREFERENCES = "/etc/apt/preferences.d/kernel"


def pin(how: str, priority: int, packages: str = "linux-image-*") -> Facts:
    return {"packages": packages, "pin": how, "priority": priority, "source": PREFERENCES}


@pytest.mark.parametrize(
    ("how", "priority"),
    [
        ("version 6.1.192-2", -1),
        ("release n=bookworm-security", -10),
        ("origin packages.example.org", -1),
        ("version 6.1.170-3", 1001),
        ("Version 6.1.170*", 500),
    ],
)
def test_a_pin_that_keeps_kernels_away(clean: Facts, opened: Judged, how: str, priority: int) -> None:
    clean["kernel"]["packages"]["pins"] = [pin(how, priority)]
    found = opened(clean)
    assert list(found) == [HELD]
    assert (found[HELD]["status"], found[HELD]["remedy"]) == ("affected", None)
    assert f"versions of linux-image-* away ({PREFERENCES})" in found[HELD]["reason"]
    text = f"Package: linux-image-*, Pin: {how}, Pin-Priority: {priority}"
    assert found[HELD]["evidence"] == [{"source": PREFERENCES, "text": text}]


@pytest.mark.parametrize(
    ("how", "priority"),
    [
        ("release a=bookworm-backports", 500),
        ("release o=Debian", 1001),
        ("origin mirror.example", 1),
    ],
)
def test_a_pin_that_says_where_kernels_come_from(
    clean: Facts, judged: Judged, how: str, priority: int
) -> None:
    clean["kernel"]["packages"]["pins"] = [pin(how, priority)]
    assert judged(clean)[HELD]["status"] == "ok"


def test_the_pins_cannot_be_read(clean: Facts, opened: Judged) -> None:
    """Nothing is held, and yet something may be."""
    clean["kernel"]["packages"]["pins"] = None
    clean["kernel"]["unknown"]["packages.pins"] = WHY
    found = opened(clean)
    assert list(found) == [HELD]
    assert found[HELD]["status"] == "unknown"
    assert WHY in found[HELD]["reason"]
    clean["kernel"]["packages"]["held"] = ["linux-image-cloud-amd64"]
    assert opened(clean)[HELD]["status"] == "affected"


def test_packages_that_are_held_and_pinned(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["packages"]["held"] = ["linux-image-cloud-amd64"]
    clean["kernel"]["packages"]["pins"] = [
        pin("version 6.1.192-2", -1),
        pin("release o=Debian", 500, "linux-*"),
        pin("version 6.1.170-3", 1001, "linux-headers-*"),
    ]
    found = opened(clean)[HELD]
    assert found["reason"].startswith("linux-image-cloud-amd64 is held")
    assert f"; a pin keeps versions of linux-headers-*, linux-image-* away ({PREFERENCES})" in found["reason"]
    assert [one["source"] for one in found["evidence"]] == ["dpkg-query --show", PREFERENCES, PREFERENCES]


@pytest.mark.parametrize(
    ("status", "words"),
    [("iF", "half-configured"), ("iU", "unpacked"), ("iHR", "half-installed, and must be installed again")],
)
def test_packages_that_are_broken(clean: Facts, opened: Judged, status: str, words: str) -> None:
    package = {**clean["kernel"]["package"], "status": status}
    clean["kernel"]["packages"]["broken"] = [package]
    found = opened(clean)
    assert list(found) == [BROKEN]
    assert (found[BROKEN]["status"], found[BROKEN]["severity"]) == ("affected", "high")
    assert f"linux-image-{RUNS} 6.1.170-3 is {words}" in found[BROKEN]["reason"]
    assert "dpkg --configure -a" in found[BROKEN]["reason"]
    assert found[BROKEN]["evidence"][0]["text"] == f"linux-image-{RUNS} 6.1.170-3 {status}"


def test_another_package_manager_has_other_words(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["distro"].update(id="rocky", family="redhat")
    clean["kernel"]["packages"]["broken"] = [{**clean["kernel"]["package"], "status": "duplicate"}]
    found = opened(clean)
    assert "in the state 'duplicate'" in found[BROKEN]["reason"]
    assert "dpkg" not in found[BROKEN]["reason"]


def test_the_packages_cannot_be_read(clean: Facts, opened: Judged) -> None:
    lose(clean, "packages")
    found = opened(clean)
    assert set(found) == {HELD, BROKEN}
    for finding in found.values():
        assert finding["status"] == "unknown"
        assert WHY in finding["reason"]


# --- modules in use ----------------------------------------------------------------------------------


def test_modules_in_use_that_the_next_kernel_lacks(upgraded: Facts, opened: Judged) -> None:
    next_kernel(upgraded)["lacks"] = [f"module{number}" for number in range(12)]
    found = opened(upgraded)
    assert set(found) == {MODULES, WAITS}
    assert (found[MODULES]["status"], found[MODULES]["severity"]) == ("affected", "high")
    assert "lacks 12 modules loaded now: module0, " in found[MODULES]["reason"]
    assert "module9 and 2 more" in found[MODULES]["reason"]
    assert "module10" not in found[MODULES]["reason"]
    assert {"/proc/modules", f"/lib/modules/{NEXT}"} == {one["source"] for one in found[MODULES]["evidence"]}


@pytest.mark.parametrize(
    ("distro", "release", "extra"),
    [
        ("ubuntu", "5.15.0-112-generic", True),
        ("ubuntu", "7.0.0-44-generic", False),
        ("debian", "5.15.0-112-generic", False),
    ],
)
def test_ubuntu_has_most_of_them_in_a_package_of_their_own(
    clean: Facts, opened: Judged, add_kernel: Any, distro: str, release: str, extra: bool
) -> None:
    clean["kernel"]["distro"]["id"] = distro
    add_kernel(clean, release, "5.15.0-112.122", boots_next=True, lacks=["bnxt_en"])
    finding = opened(clean)[f"module-missing:{release}"]
    assert "lacks a module loaded now: bnxt_en" in finding["reason"]
    assert (f"install linux-modules-extra-{release}" in finding["reason"]) is extra


def test_what_the_next_kernel_lacks_cannot_be_read(upgraded: Facts, opened: Judged) -> None:
    next_kernel(upgraded)["lacks"] = None
    upgraded["kernel"]["unknown"][f"installed.{NEXT}.lacks"] = WHY
    found = opened(upgraded)
    assert set(found) == {MODULES, WAITS}
    assert (found[MODULES]["status"], found[MODULES]["severity"]) == ("unknown", "high")
    assert WHY in found[MODULES]["reason"]


def test_a_kernel_that_does_not_boot_next_is_not_spoken_of(
    clean: Facts, opened: Judged, add_kernel: Any
) -> None:
    add_kernel(clean, NEXT, "6.1.192-2", lacks=["ext4"])
    clean["kernel"]["dkms"] = [dkms("zfs", runs="installed")]
    assert list(opened(clean)) == [WAITS]


# --- DKMS --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "words"),
    [({"runs": "installed"}, "zfs (not built)"), ({"runs": "installed", "next": "built"}, "zfs (built)")],
)
def test_a_module_of_dkms_that_is_not_there_for_the_next_kernel(
    upgraded: Facts, opened: Judged, states: dict[str, str], words: str
) -> None:
    upgraded["kernel"]["dkms"] = [
        dkms("zfs", **states),
        dkms("wireguard", runs="installed", next="installed"),
    ]
    found = opened(upgraded)
    assert set(found) == {DKMS, WAITS}
    assert (found[DKMS]["status"], found[DKMS]["severity"]) == ("affected", "high")
    assert words in found[DKMS]["reason"]
    assert "wireguard" not in found[DKMS]["reason"]
    assert found[DKMS]["evidence"][0]["source"] == "/var/lib/dkms"


@pytest.mark.parametrize(
    "modules",
    [
        [dkms("zfs", runs="installed", next="installed")],
        [dkms("zfs", runs="installed", next="installed-weak")],
        [dkms("zfs", runs="installed"), {**dkms("zfs", next="installed"), "version": "2.0"}],
        [dkms("zfs", runs="built")],
        [dkms("zfs")],
        [dkms("zfs", next="built")],
    ],
)
def test_what_is_no_lack_of_dkms(upgraded: Facts, opened: Judged, modules: list[Facts]) -> None:
    upgraded["kernel"]["dkms"] = modules
    assert list(opened(upgraded)) == [WAITS]


def test_dkms_cannot_be_read(upgraded: Facts, opened: Judged) -> None:
    lose(upgraded, "dkms")
    found = opened(upgraded)
    assert set(found) == {DKMS, WAITS}
    assert found[DKMS]["status"] == "unknown"
    assert WHY in found[DKMS]["reason"]


# --- modules of vendors ------------------------------------------------------------------------------


def test_a_vendor_s_module_that_no_package_brings_to_the_next_kernel(upgraded: Facts, opened: Judged) -> None:
    upgraded["kernel"]["installed"][0]["prebuilt"] = ["nvidia-535", "zfs"]
    next_kernel(upgraded)["prebuilt"] = ["zfs"]
    upgraded["kernel"]["modules"]["out_of_tree"] = ["nvidia", "nvidia_uvm", "spl", "zfs"]
    found = opened(upgraded)
    assert set(found) == {VENDOR, WAITS}
    assert (found[VENDOR]["status"], found[VENDOR]["severity"]) == ("affected", "high")
    assert "no package brings it nvidia-535" in found[VENDOR]["reason"]
    assert "zfs" not in found[VENDOR]["reason"]
    next_kernel(upgraded)["prebuilt"] = ["nvidia-535", "zfs"]
    assert list(opened(upgraded)) == [WAITS]


@pytest.mark.parametrize(
    ("drivers", "modules"),
    [
        (["mlnx-ofed-kernel"], ["mlx5_core", "mlx_compat", "ib_core", "rdma_cm"]),
        (["nvidia-535-server"], ["nvidia", "nvidia_drm", "nvidia_modeset"]),
        (["zfs"], ["zfs", "spl", "znvpair"]),
        (["r8168"], ["r8168"]),
        (["v4l2loopback"], ["v4l2loopback"]),
    ],
)
def test_modules_from_outside_the_tree_that_somebody_known_brings(
    upgraded: Facts, opened: Judged, drivers: list[str], modules: list[str]
) -> None:
    upgraded["kernel"]["modules"]["out_of_tree"] = modules
    found = opened(upgraded)
    assert (found[VENDOR]["status"], found[VENDOR]["severity"]) == ("unknown", "medium")
    assert all(name in found[VENDOR]["reason"] for name in modules)
    upgraded["kernel"]["dkms"] = [dkms(name, runs="installed", next="installed") for name in drivers]
    assert list(opened(upgraded)) == [WAITS]
    upgraded["kernel"]["dkms"] = []
    for kernel in upgraded["kernel"]["installed"]:
        kernel["prebuilt"] = drivers
    assert list(opened(upgraded)) == [WAITS]


def test_a_driver_explains_no_other_vendor_s_module(upgraded: Facts, opened: Judged) -> None:
    upgraded["kernel"]["modules"]["out_of_tree"] = ["falcon_lsm", "nvidia"]
    upgraded["kernel"]["dkms"] = [dkms("nvidia", runs="installed", next="installed")]
    reason = opened(upgraded)[VENDOR]["reason"]
    assert "has falcon_lsm: built" in reason


def test_ubuntu_s_own_zfs_is_part_of_every_kernel(upgraded: Facts, opened: Judged) -> None:
    upgraded["kernel"]["modules"]["out_of_tree"] = ["zfs", "spl"]
    assert VENDOR in opened(upgraded)
    upgraded["kernel"]["distro"]["id"] = "ubuntu"
    assert VENDOR not in opened(upgraded)


@pytest.mark.parametrize("key", ["packages", "modules", "dkms"])
def test_who_brings_modules_cannot_be_read(upgraded: Facts, opened: Judged, key: str) -> None:
    upgraded["kernel"]["modules"]["out_of_tree"] = ["zfs"]
    lose(upgraded, key)
    found = opened(upgraded)
    assert found[VENDOR]["status"] == "unknown"
    assert WHY in found[VENDOR]["reason"]


def test_what_packages_bring_cannot_be_told(upgraded: Facts, opened: Judged) -> None:
    upgraded["kernel"]["unknown"]["installed.prebuilt"] = WHY
    found = opened(upgraded)
    assert set(found) == {VENDOR, WAITS}
    assert found[VENDOR]["status"] == "unknown"
    assert WHY in found[VENDOR]["reason"]
