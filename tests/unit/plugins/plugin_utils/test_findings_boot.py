# SPDX-License-Identifier: GPL-3.0-or-later
"""What boots next, and what waits to run: the fault alone, the clean machine, the unreadable source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Facts = dict[str, Any]
Judged = Callable[..., dict[str, Any]]
RUNS = "6.1.0-47-cloud-amd64"
OLDER, NEWER = ("6.1.0-40-cloud-amd64", "6.1.150-1"), ("6.1.0-56-cloud-amd64", "6.1.192-2")
WHY = "Cannot read it: Permission denied (needs root)"
DIFFERS, POSITION = "next-boot-differs:boot", "boot-entry-by-position:boot"
WAITS, PATCHED = "newer-kernel-not-running:kernel", "livepatched:kernel"
PATCH = {"name": "lkp_Ubuntu_5_15_0_112", "enabled": True, "transition": False, "level": "103.1"}


def lose(facts: Facts, key: str) -> None:
    facts["kernel"][key] = None
    facts["kernel"]["unknown"][key] = WHY


def test_the_clean_machine_was_looked_at(clean: Facts, judged: Judged) -> None:
    found = judged(clean)
    for key in (DIFFERS, POSITION, WAITS, PATCHED):
        assert (found[key]["status"], found[key]["remedy"]) == ("ok", None)


# --- which kernel boots next -------------------------------------------------------------------------


def test_an_older_kernel_that_boots_next(clean: Facts, opened: Judged, add_kernel: Any) -> None:
    add_kernel(clean, *OLDER, boots_next=True)
    found = opened(clean)
    assert list(found) == [DIFFERS]
    assert (found[DIFFERS]["status"], found[DIFFERS]["severity"]) == ("affected", "high")
    for words in (OLDER[0], RUNS, "OLDER", "default in grub.cfg: 0"):
        assert words in found[DIFFERS]["reason"]
    assert {"source": "/proc/sys/kernel/osrelease", "text": RUNS} in found[DIFFERS]["evidence"]


@pytest.mark.parametrize("again", [True, False])
def test_a_kernel_that_cannot_boot(clean: Facts, opened: Judged, add_kernel: Any, again: bool) -> None:
    if again:
        clean["kernel"]["installed"][0].update(bootable=False, missing=["/boot/initrd.img-x"])
    else:
        add_kernel(clean, *NEWER, boots_next=True, bootable=False, missing=["/boot/initrd.img-x"])
    found = opened(clean)
    assert list(found) == [DIFFERS]
    assert found[DIFFERS]["severity"] == "high"
    assert "cannot boot: /boot/initrd.img-x is missing" in found[DIFFERS]["reason"]


def test_a_newer_kernel_for_one_boot(clean: Facts, opened: Judged, add_kernel: Any) -> None:
    add_kernel(clean, *NEWER, boots_next=True)
    clean["kernel"]["next_boot"]["once"] = True
    found = opened(clean)
    assert set(found) == {DIFFERS, WAITS}, "it waits, and it comes for one boot: these are two things"
    assert found[DIFFERS]["severity"] == "medium"
    assert "for one boot only" in found[DIFFERS]["reason"]


@pytest.mark.parametrize(
    ("release", "source", "words"),
    [
        ("6.1.0-56-amd64", "linux-signed-amd64", "another flavour"),
        ("6.1.0-56-cloud-amd64", "linux-site", "another source package"),
    ],
)
def test_which_is_newer_is_not_said_across_kinds(
    clean: Facts, opened: Judged, add_kernel: Any, release: str, source: str, words: str
) -> None:
    one = add_kernel(clean, release, NEWER[1], boots_next=True)
    one["package"]["source"] = source
    found = opened(clean)
    assert list(found) == [DIFFERS], "nothing is ordered across flavours and source packages"
    assert (found[DIFFERS]["severity"], found[DIFFERS]["status"]) == ("medium", "affected")
    assert words in found[DIFFERS]["reason"]
    assert "OLDER" not in found[DIFFERS]["reason"]


def test_what_boots_next_and_is_not_on_the_disk(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["next_boot"].update(release=NEWER[0])
    found = opened(clean)
    assert found[DIFFERS]["severity"] == "medium"
    assert "not among the installed kernels" in found[DIFFERS]["reason"]
    for id_ in ("module-missing", "dkms-missing", "vendor-module-missing"):
        finding = found.pop(f"{id_}:{NEWER[0]}")
        assert finding["status"] == "unknown"
        assert "not among the installed kernels" in finding["reason"]
    assert list(found) == [DIFFERS]


def test_whether_it_can_boot_again_is_unknown(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["installed"][0]["bootable"] = None
    clean["kernel"]["unknown"][f"installed.{RUNS}.bootable"] = WHY
    found = opened(clean)
    assert list(found) == [DIFFERS]
    assert (found[DIFFERS]["status"], found[DIFFERS]["severity"]) == ("unknown", "high")
    assert WHY in found[DIFFERS]["reason"]


def test_the_next_boot_cannot_be_read(clean: Facts, opened: Judged) -> None:
    lose(clean, "next_boot")
    found = opened(clean)
    assert set(found) == {
        DIFFERS,
        POSITION,
        "default-pinned:boot",
        *(f"{id_}:kernels" for id_ in ("module-missing", "dkms-missing", "vendor-module-missing")),
    }
    for finding in found.values():
        assert finding["status"] == "unknown"
        assert WHY in finding["reason"]


# --- by position -------------------------------------------------------------------------------------


def test_an_entry_that_is_a_position(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["next_boot"].update(named_by="position", because="default in grub.cfg: 1>2")
    found = opened(clean)
    assert list(found) == [POSITION]
    assert found[POSITION]["severity"] == "medium"
    assert "1>2" in found[POSITION]["reason"]


@pytest.mark.parametrize("named_by", ["first", "id", "title"])
def test_an_entry_that_is_none(clean: Facts, opened: Judged, named_by: str) -> None:
    clean["kernel"]["next_boot"]["named_by"] = named_by
    assert opened(clean) == {}


# --- a newer one waits -------------------------------------------------------------------------------


def test_a_newer_kernel_that_a_reboot_brings(clean: Facts, opened: Judged, add_kernel: Any) -> None:
    add_kernel(clean, *NEWER, boots_next=True)
    asked = {"required": True, "packages": ["linux-image-x"], "source": "/run/reboot-required.pkgs"}
    clean["kernel"]["reboot_required"] = asked
    found = opened(clean)
    assert list(found) == [WAITS]
    assert (found[WAITS]["severity"], found[WAITS]["remedy"]) == ("low", None)
    assert "it boots next: a reboot brings it" in found[WAITS]["reason"]
    seen = {item["source"]: item["text"] for item in found[WAITS]["evidence"]}
    assert seen["/proc/sys/kernel/osrelease"] == RUNS
    assert seen["dpkg-query --show"] == f"linux-image-{NEWER[0]} {NEWER[1]} ii"
    assert "linux-image-x" in seen["/run/reboot-required.pkgs"]


def test_a_newer_kernel_that_a_reboot_does_not_bring(clean: Facts, opened: Judged, add_kernel: Any) -> None:
    add_kernel(clean, *NEWER)
    found = opened(clean)
    assert list(found) == [WAITS]
    assert found[WAITS]["severity"] == "medium"
    assert f"a reboot does not bring it: {RUNS} boots next" in found[WAITS]["reason"]


@pytest.mark.parametrize("packaged", [True, False])
def test_of_several_newer_ones_the_newest_is_told(
    clean: Facts, opened: Judged, add_kernel: Any, packaged: bool
) -> None:
    add_kernel(clean, NEWER[0], NEWER[1] if packaged else None)
    add_kernel(clean, "6.1.0-50-cloud-amd64", "6.1.176-1" if packaged else None, boots_next=True)
    found = opened(clean)
    assert list(found) == [WAITS]
    assert found[WAITS]["reason"].startswith(f"{NEWER[0]} is installed")
    assert "a reboot does not bring it: 6.1.0-50-cloud-amd64 boots next" in found[WAITS]["reason"]


def test_a_newer_upload_of_the_running_release(clean: Facts, opened: Judged) -> None:
    one = clean["kernel"]["installed"][0]
    one["package"] = {**one["package"], "version": "6.1.170-4"}
    found = opened(clean)
    assert list(found) == [WAITS]
    assert (
        f"{RUNS} is installed in version 6.1.170-4, and runs in version 6.1.170-3" in found[WAITS]["reason"]
    )


def test_an_older_upload_of_the_running_release_is_not_newer(clean: Facts, opened: Judged) -> None:
    one = clean["kernel"]["installed"][0]
    one["package"] = {**one["package"], "version": "6.1.170-2"}
    assert opened(clean) == {}


@pytest.mark.parametrize(
    ("release", "more"),
    [
        (OLDER[0], {}),
        ("6.1.0-56-amd64", {}),
        ("6.1.0-56-rt-amd64", {}),
        (NEWER[0], {"bootable": False, "missing": ["/boot/initrd.img-x"]}),
    ],
)
def test_what_is_no_newer_kernel(
    clean: Facts, opened: Judged, add_kernel: Any, release: str, more: Facts
) -> None:
    add_kernel(clean, release, OLDER[1] if release == OLDER[0] else NEWER[1], **more)
    assert opened(clean) == {}


def test_of_another_source_package_there_is_no_statement(
    clean: Facts, opened: Judged, add_kernel: Any
) -> None:
    add_kernel(clean, *NEWER)["package"]["source"] = "linux-hwe-6.1"
    assert opened(clean) == {}


def test_a_newer_kernel_of_which_it_is_unknown_whether_it_can_boot(
    clean: Facts, opened: Judged, add_kernel: Any
) -> None:
    add_kernel(clean, *NEWER, bootable=None)
    clean["kernel"]["unknown"][f"installed.{NEWER[0]}.bootable"] = WHY
    found = opened(clean)
    assert list(found) == [WAITS]
    assert found[WAITS]["status"] == "unknown"
    assert WHY in found[WAITS]["reason"]


def test_without_packages_the_releases_tell(clean: Facts, opened: Judged, add_kernel: Any) -> None:
    add_kernel(clean, NEWER[0], None)
    add_kernel(clean, OLDER[0], None)
    found = opened(clean)
    assert list(found) == [WAITS]
    assert NEWER[0] in found[WAITS]["reason"]


def test_the_running_one_s_package_cannot_be_read(clean: Facts, opened: Judged) -> None:
    lose(clean, "package")
    found = opened(clean)
    assert list(found) == [WAITS]
    assert (found[WAITS]["status"], found[WAITS]["severity"]) == ("unknown", "medium")
    assert WHY in found[WAITS]["reason"]


def test_versions_are_ordered_as_the_distribution_does(clean: Facts, opened: Judged, add_kernel: Any) -> None:
    """rpm and dpkg disagree: for rpm 570.el9 is older than 570.1.1.el9, for dpkg it is newer."""
    running = "5.14.0-570.el9.x86_64"
    package = {"name": "kernel-core", "version": "5.14.0-570.el9", "source": "kernel", "status": "ii"}
    package["source_version"] = package["version"]
    clean["kernel"].update(release=running, package=package, flavour=None)
    clean["kernel"]["distro"].update(id="rocky", family="redhat")
    clean["kernel"]["installed"][0].update(release=running, package=package)
    clean["kernel"]["next_boot"].update(release=running)
    add_kernel(clean, "5.14.0-570.1.1.el9.x86_64", "5.14.0-570.1.1.el9")
    assert list(opened(clean)) == [WAITS]
    clean["kernel"]["installed"].pop()
    add_kernel(clean, "5.14.0-570.1.1.el9.x86_64+rt", "5.14.0-570.1.1.el9")
    assert opened(clean) == {}, "another flavour"


# --- live patches ------------------------------------------------------------------------------------


def test_a_live_patch(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["livepatches"] = [PATCH]
    found = opened(clean)
    assert list(found) == [PATCHED]
    assert (found[PATCHED]["status"], found[PATCHED]["severity"]) == ("affected", "low")
    assert f"{PATCH['name']} (level 103.1)" in found[PATCHED]["reason"]
    assert {
        "source": f"/sys/kernel/livepatch/{PATCH['name']}",
        "text": "enabled 1, transition 0",
    } in found[PATCHED]["evidence"]


def test_a_live_patch_in_transition(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["livepatches"] = [{**PATCH, "transition": True}]
    found = opened(clean)
    assert list(found) == [PATCHED]
    assert found[PATCHED]["severity"] == "medium"


def test_a_live_patch_that_is_not_in_force(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["livepatches"] = [{**PATCH, "enabled": False}]
    assert opened(clean) == {}
    clean["kernel"]["livepatches"] = [{**PATCH, "enabled": None, "transition": None}]
    clean["kernel"]["unknown"][f"livepatches.{PATCH['name']}.enabled"] = WHY
    found = opened(clean)
    assert found[PATCHED]["status"] == "unknown"
    assert WHY in found[PATCHED]["reason"]


@pytest.mark.parametrize("key", ["livepatches", "installed", "release"])
def test_an_unreadable_source_is_unknown(clean: Facts, opened: Judged, key: str) -> None:
    lose(clean, key)
    if key == "release":
        lose(clean, "flavour")
    found = opened(clean)
    wanted = {"livepatches": {PATCHED}, "installed": {WAITS, DIFFERS}, "release": {WAITS, DIFFERS}}[key]
    assert wanted <= set(found)
    for finding in found.values():
        assert finding["status"] == "unknown"
        assert WHY in finding["reason"]


def test_a_container_has_no_next_boot(clean: Facts, judged: Judged) -> None:
    clean["kernel"]["container"] = True
    found = judged(clean)
    for key in (DIFFERS, POSITION, WAITS, PATCHED):
        assert found[key]["status"] == "unknown"
        assert "this is a container" in found[key]["reason"]
