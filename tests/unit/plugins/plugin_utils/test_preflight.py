# SPDX-License-Identifier: GPL-3.0-or-later
"""Each obstacle alone, then all at once; a machine without one; what is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, preflight, target, trial

Facts = dict[str, Any]
OLD, OLDER, NEW, HWE = "5.15.0-91-generic", "5.15.0-88-generic", "5.15.0-112-generic", "6.8.0-40-generic"
MIB = 1 << 20
BAD = """\
---
id: site-bad-112
title: Nodes with 5.15.0-112 lose their disks
severity: critical
symptom: s
affects:
  - {distro: ubuntu, codename: jammy, source: linux, versions: ">= 5.15.0-112.0, < 5.15.0-113.0"}
  - {distro: ubuntu, codename: jammy, source: linux-hwe-6.8, versions: ">= 6.8.0-40.0, < 6.8.0-41.0"}
confidence: c
"""


@pytest.fixture
def node(facts_of: Callable[[str], Facts]) -> Facts:
    """Ubuntu 22.04 with nothing in the way of another kernel."""
    kernel = facts_of("ubuntu-22.04-incident")["kernel"]
    kernel.update(
        boot_environment={"path": "/boot/grub/grubenv", "writable": True, "because": "it is on ext4"},
        load_kexec=False,
        dkms=[],
        secure_boot=True,
        lockdown="integrity",
        boot_space={"path": "/boot", "total_bytes": 2000 * MIB, "free_bytes": 1500 * MIB},
        watchdogs=[],
        trial=None,
    )
    return {"fleetops_kernel": kernel}


def install(node: Facts, release: str = NEW, **more: Any) -> Any:
    """Install another kernel in full, with what is beside the running one."""
    package = {
        **node["fleetops_kernel"]["package"],
        "name": f"linux-image-{release}",
        "version": release.removesuffix("-generic") + ".122",
    }
    one = {
        **node["fleetops_kernel"]["installed"][-1],
        "release": release,
        "package": package,
        "lacks": [],
        "prebuilt": [],
        **more,
    }
    node["fleetops_kernel"]["installed"].append(one)
    return one


def judged(
    node: Facts,
    release: str = NEW,
    said: Any = None,
    way: str = "auto",
    packages: list[str] | None = None,
    catalogue: Any = (),
    **options: Any,
) -> list[trial.Problem]:
    """All problems; none says nothing, or the same twice."""
    want = target.kernel_target(node, release=release)
    if packages is not None:
        want["packages"] = packages
    chosen = trial.kernel_trial(node, want, way=way)
    found = preflight.kernel_preflight(node, want, said, chosen, catalogue, **options)
    for one in found:
        assert one["problem"]
        assert one["remedy"]
        assert one["sentence"] == f"{one['problem']}. Remedy: {one['remedy']}"
        assert "\n" not in one["sentence"]
    assert len({one["problem"] for one in found}) == len(found)
    return found


def only(node: Facts, release: str = NEW, **options: Any) -> trial.Problem:
    (found,) = judged(node, release, **options)
    return found


def change(node: Facts, name: str, value: Any) -> None:
    node["fleetops_kernel"][name] = value


def lose(node: Facts, name: str) -> None:
    node["fleetops_kernel"][name] = None
    node["fleetops_kernel"]["unknown"][name] = "needs root"


def test_nothing_is_in_the_way_of_a_kernel_on_a_clean_machine(node: Facts) -> None:
    assert judged(node) == []
    install(node)
    assert judged(node) == []
    assert judged(node, OLD) == []
    assert judged(node, said={"skipped": True, "changed": False}) == []


# --- the target --------------------------------------------------------------------------------------


@pytest.fixture
def bad() -> list[Any]:
    return [advisories.parse(BAD, "site-bad-112.yml")]


def offer(version: str, release: str = NEW, **more: Any) -> dict[str, Any]:
    return {"packages": [{"name": f"linux-image-{release}", "version": version, "action": "install"}], **more}


def test_a_target_that_an_advisory_names_needs_the_advisory_named(node: Facts, bad: list[Any]) -> None:
    found = only(node, said=offer("5.15.0-112.122"), catalogue=bad)
    assert found["problem"] == (
        f"{NEW} (5.15.0-112.122) is itself named by the advisory site-bad-112 (critical): "
        "Nodes with 5.15.0-112 lose their disks"
    )
    assert "kernel_upgrade_accept_advisories: [site-bad-112]" in found["remedy"]
    for accepted in (["site-bad-112"], "site-bad-112", "other, site-bad-112"):
        assert judged(node, said=offer("5.15.0-112.122"), catalogue=bad, accept_advisories=accepted) == []
    assert judged(node, said=offer("5.15.0-112.122"), catalogue=bad, accept_advisories=["another"])
    assert judged(node, said=offer("5.15.0-113.123"), catalogue=bad) == []


def test_a_release_that_tells_its_version_is_judged_before_the_archive_is_asked(
    node: Facts, bad: list[Any]
) -> None:
    assert only(node, catalogue=bad)["problem"].startswith(
        f"{NEW} is itself named by the advisory site-bad-112"
    )
    assert judged(node, "5.15.0-113-generic", catalogue=bad) == []


def test_a_target_of_which_the_version_decides_and_is_not_known_may_be_named(node: Facts) -> None:
    text = BAD.replace(">= 5.15.0-112.0, < 5.15.0-113.0", "< 5.15.0-112.122")
    catalogue = [
        advisories.parse(text.replace("site-bad-112", name), f"{name}.yml") for name in ("site-a", "site-b")
    ]
    found = only(node, catalogue=catalogue)
    assert found["problem"].startswith(
        f"Whether {NEW} is itself named is unknown (its version is not known), by 2 of"
    )
    assert "[site-a, site-b]" in found["remedy"]
    assert "site-a" not in only(node, catalogue=catalogue, accept_advisories=["site-a"])["problem"]
    assert judged(node, catalogue=catalogue, said=offer("5.15.0-112.122")) == []


def test_a_kernel_of_another_source_is_judged_by_its_own(node: Facts, bad: list[Any]) -> None:
    options: dict[str, Any] = {"allow_series_change": True, "catalogue": bad}
    install(node, HWE)["package"].update(source="linux-signed-hwe-6.8", version="6.8.0-40.40~22.04.3")
    assert "is itself named" in only(node, HWE, **options)["problem"]
    node["fleetops_kernel"]["installed"].pop()
    # What it is made from is not known before it is there.
    assert "its source is not known" in only(node, HWE, said=offer("6.8.0-40.40", HWE), **options)["problem"]
    assert judged(node, HWE, said=offer("6.8.0-45.45", HWE), **options) == []


def test_a_change_of_series_is_only_made_when_it_is_meant(node: Facts) -> None:
    found = only(node, HWE)
    assert found["problem"] == f"{HWE} is of the series 6.8, and {OLD}, which runs, of the series 5.15"
    assert "kernel_upgrade_allow_series_change: true" in found["remedy"]
    assert judged(node, HWE, allow_series_change=True) == []
    assert judged(node, HWE, allow_series_change="false")
    with pytest.raises(FleetopsError, match="kernel_upgrade_allow_series_change is 'perhaps'"):
        judged(node, HWE, allow_series_change="perhaps")


def test_another_series_that_stands_above_the_target_would_be_the_default(node: Facts) -> None:
    install(node, HWE)
    found = only(node)
    assert found["problem"].startswith(f"{HWE}, of the series 6.8, is installed too, and stands above {NEW}")
    assert f"linux-image-{HWE}" in found["remedy"]
    assert judged(node, allow_series_change=True) == []
    node["fleetops_kernel"]["next_boot"]["named_by"] = "id"
    assert judged(node) == []


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ({"name": f"linux-image-unsigned-{NEW}"}, f"its package is linux-image-unsigned-{NEW}"),
        ({"source": "linux"}, "is made from linux, not from linux-signed"),
        (None, "no package brought it"),
    ],
)
def test_secure_boot_takes_no_kernel_that_is_not_signed(
    node: Facts, package: dict[str, str] | None, why: str
) -> None:
    one = install(node)
    one["package"] = {**one["package"], **package} if package else None
    found = only(node)
    assert found["problem"].startswith(f"Secure Boot is on, and {NEW} is not signed: ")
    assert why in found["problem"]
    lose(node, "secure_boot")
    assert "whether Secure Boot is on is unknown (needs root)" in only(node)["problem"]
    change(node, "secure_boot", False)
    assert judged(node) == []
    # kexec asks as well, where the kernel is locked down.
    assert "locked down (integrity)" in only(node, way="kexec")["problem"]
    change(node, "lockdown", "none")
    assert judged(node, way="kexec") == []


# --- room --------------------------------------------------------------------------------------------


def test_room_in_boot_is_counted_and_the_count_is_shown(node: Facts) -> None:
    change(node, "boot_space", {"path": "/boot", "total_bytes": 500 * MIB, "free_bytes": 200 * MIB})
    node["fleetops_kernel"]["installed"][1].update(bytes=130 * MIB, initrd_bytes=100 * MIB)
    found = only(node)
    # Of 130, the image and its map are no initrd, and are needed once.
    assert found["problem"] == (
        f"/boot is too small for {NEW}: it has 200 MiB free, and 276 MiB are needed: 130 MiB for the files of "
        f"{OLD} and 100 MiB for its initrd, which is written beside the old one when it is made again, "
        "times 1.2 for growth"
    )
    assert (
        found["remedy"]
        == f"remove what neither runs nor boots next: apt-get purge linux-image-{OLDER} (about 120.7 MiB)"
    )
    install(node)
    assert judged(node) == [], "it is there already"


def test_of_room_nothing_is_proposed_that_is_needed(node: Facts) -> None:
    change(node, "boot_space", {"path": "/boot", "total_bytes": 500 * MIB, "free_bytes": 0})
    node["fleetops_kernel"]["next_boot"]["release"] = OLDER
    assert only(node)["remedy"].startswith("enlarge /boot")


def test_room_is_enough_at_the_very_byte(node: Facts) -> None:
    one = node["fleetops_kernel"]["installed"][1]
    assert 0 < one["initrd_bytes"] < one["bytes"]
    need = round((one["bytes"] + one["initrd_bytes"]) * 1.2)
    space = {"path": "/boot", "total_bytes": 500 * MIB, "free_bytes": need}
    change(node, "boot_space", space)
    assert judged(node) == []
    change(node, "boot_space", {**space, "free_bytes": need - 1})
    assert judged(node)


def test_an_initrd_that_was_not_measured_may_be_all_of_it(node: Facts) -> None:
    one = node["fleetops_kernel"]["installed"][1]
    one["initrd_bytes"] = None
    space = {"path": "/boot", "total_bytes": 500 * MIB, "free_bytes": round(one["bytes"] * 2.4)}
    change(node, "boot_space", space)
    assert judged(node) == []
    change(node, "boot_space", {**space, "free_bytes": space["free_bytes"] - 1})
    assert judged(node)


def test_a_newer_upload_of_what_is_there_needs_room_as_well(node: Facts) -> None:
    install(node)
    change(node, "boot_space", {"path": "/boot", "total_bytes": 500 * MIB, "free_bytes": 0})
    assert judged(node) == []
    assert "/boot is too small" in only(node, packages=[f"linux-image-{NEW}"])["problem"]


def test_the_largest_kernel_counts_where_the_running_one_was_not_measured(node: Facts) -> None:
    change(node, "boot_space", {"path": "/boot", "total_bytes": 500 * MIB, "free_bytes": 0})
    node["fleetops_kernel"]["installed"][1]["bytes"] = None
    assert f"for the files of {OLDER}" in only(node)["problem"]
    node["fleetops_kernel"]["installed"][0]["bytes"] = None
    node["fleetops_kernel"]["unknown"][f"installed.{OLD}.bytes"] = "needs root"
    assert only(node)["problem"] == "How much room a kernel needs in /boot is unknown (needs root)"


# --- modules -----------------------------------------------------------------------------------------

DKMS = {"name": "nvidia", "version": "535.1", "states": {OLD: "installed"}}


def test_dkms_needs_the_headers_of_a_kernel_that_is_not_there_yet(node: Facts) -> None:
    change(node, "dkms", [DKMS])
    assert judged(node) == [], "the running kernel has its headers, and so will the target"
    node["fleetops_kernel"]["installed"][1]["beside"] = []
    found = only(node)
    assert f"DKMS has built nvidia for {OLD}" in found["problem"]
    assert f"apt-get install linux-headers-{OLD}" in found["remedy"]
    change(node, "dkms", [{**DKMS, "states": {OLD: "built"}}])
    assert judged(node) == [], "what is not installed is not in use"


def test_what_dkms_has_not_built_for_a_kernel_that_is_there_is_missing(node: Facts) -> None:
    change(node, "dkms", [DKMS, {**DKMS, "version": "470.1", "states": {NEW: "built"}}])
    install(node)
    found = only(node)
    assert found["problem"].endswith(f"{OLD}, which runs: nvidia (built)")
    assert f"dkms autoinstall -k {NEW}" in found["remedy"]
    change(node, "dkms", [{**DKMS, "states": {OLD: "installed", NEW: "installed-weak"}}])
    assert judged(node) == []


def test_the_modules_of_vendors_come_along_or_are_missing(node: Facts) -> None:
    node["fleetops_kernel"]["installed"][1]["prebuilt"] = ["nvidia-535"]
    assert judged(node) == [], "its package is among those to install"
    assert "linux-modules-nvidia-535-5.15.0-112-generic" in only(node, packages=[])["remedy"]
    install(node)
    assert judged(node) == []
    found = only(node, packages=[])
    assert found["problem"].startswith(f"No package brings the modules of nvidia-535 to {NEW}")
    node["fleetops_kernel"]["installed"][-1]["prebuilt"] = ["nvidia-535"]
    assert judged(node, packages=[]) == []


def test_zfs_is_part_of_ubuntus_newer_images(node: Facts) -> None:
    node["fleetops_kernel"]["installed"][1]["prebuilt"] = ["zfs"]
    assert judged(node, "7.0.0-43-generic", allow_series_change=True) == []


def test_modules_in_use_that_the_target_lacks_are_named(node: Facts) -> None:
    one = install(node, lacks=["bnxt_en", "ice"])
    found = only(node)
    assert found["problem"].startswith(f"{NEW} lacks modules that are loaded now: bnxt_en, ice")
    assert found["remedy"] == f"apt-get install linux-modules-extra-{NEW}"
    one["beside"] = []
    assert judged(node) == [], "the package that has them is among those to install"
    one.update(lacks=None, beside=["linux-modules-extra", "linux-headers"])
    node["fleetops_kernel"]["unknown"][f"installed.{NEW}.lacks"] = "needs root"
    assert only(node)["problem"] == f"Whether {NEW} has the modules in use is unknown (needs root)"


# --- the boot loader ---------------------------------------------------------------------------------


def test_an_entry_for_one_boot_only_is_said_once(node: Facts) -> None:
    node["fleetops_kernel"]["next_boot"].update(once=True, release=OLDER, because="next_entry in grubenv: x")
    found = only(node)
    assert found["problem"].startswith(f"{OLDER} is set to boot next, for one boot only")
    assert found["remedy"].endswith("grub-editenv /boot/grub/grubenv unset next_entry")


def test_one_that_a_cut_short_run_left_for_the_target_is_none(node: Facts) -> None:
    install(node)
    node["fleetops_kernel"]["next_boot"].update(once=True, release=NEW)
    assert judged(node) == []
    assert judged(node, way="kexec")
    assert judged(node, way="direct")


def test_a_default_by_position_and_load_kexec_are_refused(node: Facts) -> None:
    node["fleetops_kernel"]["next_boot"].update(named_by="position", because="default in grub.cfg: 2")
    assert "(default in grub.cfg: 2)" in only(node)["problem"]
    change(node, "load_kexec", True)
    found = judged(node)
    assert [one["remedy"].partition(" in ")[0] for one in found] == [
        "set GRUB_DEFAULT=0 (the newest), or the id of an entry,",
        "set LOAD_KEXEC=false",
    ]


def test_a_running_kernel_on_trial_is_confirmed_first(node: Facts) -> None:
    change(node, "trial", {"release": OLD, "guard_seconds": 600})
    found = only(node)
    assert "600 s after its boot" in found["problem"]
    assert f"kernel_upgrade_release: {OLD}" in found["remedy"]
    assert judged(node, OLD) == []


# --- packages ----------------------------------------------------------------------------------------


def test_a_held_package_of_the_target_is_refused_unless_it_is_to_be_released(node: Facts) -> None:
    node["fleetops_kernel"]["packages"]["held"] = [f"linux-headers-{NEW}", f"linux-image-{OLD}"]
    found = only(node)
    assert found["problem"] == f"linux-headers-{NEW} is held (dpkg-query --show)"
    assert f"apt-mark unhold linux-headers-{NEW}" in found["remedy"]
    assert "kernel_upgrade_release_held: true" in found["remedy"]
    assert judged(node, release_held=True) == []
    problem = {"problem": "held: one", "remedy": "unhold it", "kind": "held"}
    said = {"problems": [{**problem, "packages": [f"linux-headers-{NEW}"]}]}
    assert only(node, said=said)["remedy"] == "unhold it"
    # What it is is told by its kind: words that name the package are none.
    said = {"problems": [{**problem, "kind": "pinned", "packages": [f"linux-headers-{NEW}"]}]}
    assert len(judged(node, said=said)) == 2
    assert judged(node, OLD) == [], "nothing is to be done to it"


def test_a_kernel_that_fell_back_and_is_held_is_not_tried_again_by_itself(node: Facts) -> None:
    install(node)["package"]["status"] = "hi"
    node["fleetops_kernel"]["packages"]["held"] = [f"linux-image-{NEW}"]
    assert "is held" in only(node)["problem"]


def test_packages_that_are_there_in_part_are_refused_unless_they_are_to_be_mended(node: Facts) -> None:
    package = {**node["fleetops_kernel"]["package"], "status": "iF"}
    node["fleetops_kernel"]["packages"]["broken"] = [package]
    found = only(node)
    assert found["problem"] == f"linux-image-{OLD} 5.15.0-91.101 is half-configured (dpkg-query --show)"
    assert found["remedy"] == "dpkg --configure -a; apt-get -f install"
    assert judged(node, repair=True) == []
    package["status"] = "iHR"
    assert "half-installed, and must be installed again" in only(node)["problem"]


def test_what_the_package_manager_says_is_part_of_the_answer(node: Facts) -> None:
    said = {
        "problems": [
            {
                "kind": "no-such-package",
                "problem": f"no package linux-image-{NEW}; nearest: -113",
                "remedy": "name that one",
                "packages": [f"linux-image-{NEW}"],
            }
        ],
        "removes": [],
        "packages": [],
    }
    assert [one["remedy"] for one in judged(node, said=said)] == ["name that one"]


def test_a_lock_passes_and_refuses_nothing(node: Facts) -> None:
    lock = {"problem": "the lock of dpkg is taken by apt-get (pid 7)", "remedy": "wait for it"}
    assert judged(node, said={"problems": [{**lock, "kind": "locked"}]}) == judged(node)
    assert [one["remedy"] for one in judged(node, said={"problems": [lock]})][:1] == ["wait for it"]
    assert [one["remedy"] for one in judged(node, said={"problems": [{**lock, "kind": "held"}]})][:1] == [
        "wait for it"
    ]


def test_a_lock_hides_no_other_problem(node: Facts) -> None:
    node["fleetops_kernel"]["packages"]["held"] = [f"linux-image-{NEW}"]
    lock = {"problem": f"linux-image-{NEW} is being installed", "remedy": "wait for it", "kind": "locked"}
    assert any("held" in one["problem"] for one in judged(node, said={"problems": [lock]}))


# --- all at once -------------------------------------------------------------------------------------


def test_all_reasons_come_at_once(node: Facts, bad: list[Any]) -> None:
    kernel = node["fleetops_kernel"]
    kernel.update(
        load_kexec=True,
        boot_space={"path": "/boot", "total_bytes": 1, "free_bytes": 0},
        dkms=[DKMS],
        boot_environment={"path": "/x", "writable": False, "because": "'/x' is on btrfs"},
    )
    kernel["panic_sysctls"]["kernel.kexec_load_disabled"] = 1
    kernel["installed"][1].update(beside=["linux-modules-extra"])
    kernel["next_boot"]["named_by"] = "position"
    kernel["packages"]["held"] = [f"linux-image-{HWE}"]
    kernel["packages"]["broken"] = [{**kernel["package"], "status": "iF"}]
    found = judged(node, HWE, catalogue=bad, said=offer("6.8.0-40.40", HWE))
    words = " | ".join(one["problem"] for one in found)
    for piece in (
        "is on btrfs",
        "kexec_load_disabled is 1",
        "site-bad-112",
        "series 6.8",
        "/boot is too small",
        "DKMS has built nvidia",
        "position in the boot loader's menu",
        "LOAD_KEXEC is true",
        "is held",
        "half-configured",
    ):
        assert piece in words
    assert len(found) == 10


def test_a_container_has_no_kernel_of_its_own(node: Facts) -> None:
    change(node, "container", True)
    change(node, "load_kexec", True)
    assert only(node)["problem"].startswith("This is a container")


@pytest.mark.parametrize("name", ["container", "boot_space", "dkms", "next_boot", "load_kexec", "packages"])
def test_what_is_needed_and_not_known_is_a_problem(node: Facts, name: str) -> None:
    lose(node, name)
    found = judged(node, way="direct")
    assert len(found) == 1
    assert "unknown" in found[0]["problem"]
    assert "needs root" in found[0]["problem"]


def test_facts_that_were_not_gathered_are_problems_and_no_crash(node: Facts) -> None:
    facts = {"fleetops_kernel": {"release": OLD, "unknown": {}}}
    want = target.kernel_target(node, release=NEW)
    found = preflight.kernel_preflight(facts, want)
    assert all(
        "it was not gathered" in one["problem"] or "no reason given" in one["problem"] for one in found
    )
    assert len(found) >= 6
