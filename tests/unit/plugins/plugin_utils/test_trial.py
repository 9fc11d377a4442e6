# SPDX-License-Identifier: GPL-3.0-or-later
"""How a kernel is tried, and what is promised of it: never more than a reading proves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import coverage, target, trial

Facts = dict[str, Any]
OLD, NEW = "6.1.0-47-cloud-amd64", "6.1.0-56-cloud-amd64"
PLAIN = "'/boot/grub/grubenv' is on ext4, on a plain partition (254:1)"
RAID = "'/boot/grub/grubenv' is on a RAID of the kernel's (md), through which GRUB does not write"
ESB = "i6300ESB timer"


@pytest.fixture
def node(clean: Facts) -> Facts:
    """A machine on which a boot through the boot loader can be tried, without a watchdog."""
    kernel = clean["kernel"]
    kernel.update(
        boot_environment={"path": "/boot/grub/grubenv", "writable": True, "because": PLAIN},
        load_kexec=False,
        watchdogs=[],
        systemd_watchdog={"runtime": 0.0, "reboot": 600.0, "kexec": 0.0, "device": "", "lines": []},
    )
    kernel["panic_sysctls"]["kernel.kexec_load_disabled"] = 0
    return {"fleetops_kernel": kernel}


def watched(
    node: Facts,
    identity: str = ESB,
    runtime: float | None = 30.0,
    kexec: float | None = 60.0,
    word: str = "",
    device: str = "",
    **more: Any,
) -> Facts:
    """With a watchdog that is locked on, and that systemd keeps ticking."""
    dog = {
        "name": "watchdog0",
        "identity": identity,
        "hardware": True,
        "active": True,
        "timeout": 30,
        "nowayout": True,
    }
    kernel = node["fleetops_kernel"]
    kernel["watchdogs"] = [{**dog, **more}]
    kernel["systemd_watchdog"].update(runtime=runtime, kexec=kexec, device=device)
    kernel["cmdline"]["tokens"] += [word] if word else []
    return node


def unwritable(node: Facts) -> Facts:
    node["fleetops_kernel"]["boot_environment"].update(writable=False, because=RAID)
    return node


def lose(node: Facts, name: str) -> Facts:
    node["fleetops_kernel"][name] = None
    node["fleetops_kernel"]["unknown"][name] = "needs root"
    return node


def tried(node: Facts, release: str = NEW, **options: Any) -> trial.Trial:
    found = trial.kernel_trial(node, target.kernel_target(node, release=release), **options)
    for text in (found["because"], *found["covered"], *found["uncovered"], *found["sentences"]):
        assert "\n" not in text
    assert len(found["sentences"]) == bool(found["because"]) + len(found["covered"]) + len(found["uncovered"])
    assert (found["way"] != "none") is found["reboot"]
    return found


def said(sentences: list[str], beginning: str) -> str:
    (found,) = [one for one in sentences if one.startswith(beginning)]
    return found


# --- which way ---------------------------------------------------------------------------------------


def test_a_writable_environment_block_is_taken(node: Facts) -> None:
    found = tried(node)
    assert found["way"] == "once"
    assert PLAIN in found["because"]
    assert found["refusals"] == []
    assert (found["pin"], found["gate"], found["default"]) == (True, "kernel_can_boot", OLD)
    assert found["reboot_command"] == ""


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (unwritable, RAID),
        (lambda node: lose(node, "boot_environment"), "unknown (needs root)"),
        (lambda node: node["fleetops_kernel"].update(load_kexec=True), "LOAD_KEXEC is true"),
        (lambda node: lose(node, "load_kexec"), "(needs root)"),
    ],
)
def test_what_once_needs_and_is_not_there_or_not_known_leads_to_kexec(
    node: Facts, spoil: Callable[[Facts], Any], why: str
) -> None:
    spoil(node)
    found = tried(node)
    assert found["way"] == "kexec"
    assert why in found["because"]
    assert (found["reboot_command"], found["pin"], found["default"]) == ("systemctl kexec", True, OLD)
    asked = tried(node, way="once")
    assert (asked["way"], asked["reboot"]) == ("none", False)
    (refusal,) = asked["refusals"]
    assert why in refusal["problem"]
    assert refusal["sentence"] == f"{refusal['problem']}. Remedy: {refusal['remedy']}"


def test_a_locked_watchdog_makes_kexec_the_better_way(node: Facts) -> None:
    found = tried(watched(node))
    assert found["way"] == "kexec"
    assert f"watchdog0 ({ESB}) is locked on" in found["because"]
    assert "30 s" in said(found["covered"], coverage.EARLY)
    # The reset before a boot through the boot loader disarms it.
    asked = tried(node, way="once")
    assert asked["way"] == "once"
    assert "disarms every watchdog" in said(asked["uncovered"], coverage.EARLY)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"nowayout": False}, "nowayout is off"),
        ({"nowayout": None}, "nowayout is unknown"),
        ({"kexec": 0.0}, "KExecWatchdogSec is 0"),
        ({"runtime": 0.0}, "RuntimeWatchdogSec is 0"),
        ({"active": False}, "it is not armed"),
        ({"active": None}, "whether it is armed is unknown"),
        ({"hardware": False, "identity": "Software Watchdog"}, "is no hardware"),
        ({"identity": "iTCO_wdt"}, "the kernel stops it"),
        ({"identity": "HPE iLO2+ HW Watchdog Timer"}, "was not measured"),
    ],
)
def test_a_watchdog_that_does_not_last_through_a_kexec_promises_nothing(
    node: Facts, options: dict[str, Any], why: str
) -> None:
    assert tried(watched(node, **options))["way"] == "once"
    assert why in said(tried(node, way="kexec")["uncovered"], coverage.EARLY)


@pytest.mark.parametrize(
    "options",
    [
        {"runtime": None},  # armed, with the device's own time-out
        {"kexec": None},
        {"timeout": None},
        {"device": "/dev/watchdog0"},
        {"device": "/dev/watchdog"},
        {"device": "/dev/disk/by-nothing"},
        {"identity": "iTCO_wdt", "word": "watchdog.stop_on_reboot=0"},
        {"identity": "HPE iLO2+ HW Watchdog Timer", "word": "watchdog.stop_on_reboot=0"},
    ],
)
def test_a_watchdog_that_does_is_used(node: Facts, options: dict[str, Any]) -> None:
    found = tried(watched(node, **options))
    assert found["way"] == "kexec"
    assert said(found["covered"], coverage.EARLY)
    assert said(found["covered"], coverage.LATER)


def test_the_watchdog_that_systemd_takes_counts_and_no_other(node: Facts) -> None:
    kernel = watched(node)["fleetops_kernel"]
    kernel["watchdogs"].append(
        {**kernel["watchdogs"][0], "name": "watchdog1", "identity": "Software Watchdog", "hardware": False}
    )
    assert tried(node)["way"] == "kexec"
    kernel["systemd_watchdog"]["device"] = "/dev/watchdog1"
    assert tried(node)["way"] == "once"


@pytest.mark.parametrize("name", ["watchdogs", "systemd_watchdog"])
def test_an_unknown_watchdog_covers_nothing(node: Facts, name: str) -> None:
    found = tried(lose(watched(node), name))
    assert found["way"] == "once"
    assert "needs root" in said(found["uncovered"], "a hang of the kernel or of PID 1")


@pytest.mark.parametrize(
    ("loads", "why"),
    [
        ({"kernel.kexec_load_disabled": 1}, "kernel.kexec_load_disabled is 1"),
        ({"kernel.kexec_load_disabled": None}, "unknown"),
        ({"kernel.panic": 0}, "built without kexec"),
        ({}, "unknown"),
    ],
)
def test_with_neither_way_the_trial_is_refused_and_direct_named(
    node: Facts, loads: dict[str, Any], why: str
) -> None:
    unwritable(node)["fleetops_kernel"]["panic_sysctls"] = loads
    found = tried(node)
    assert (found["way"], found["reboot"], found["pin"]) == ("none", False, False)
    assert [RAID in one["problem"] for one in found["refusals"]] == [True, False]
    assert why in found["refusals"][1]["problem"]
    assert all("kernel_upgrade_trial: direct" in one["remedy"] for one in found["refusals"])
    assert tried(node, way="kexec")["refusals"] == found["refusals"][1:]
    assert tried(node, way="direct")["way"] == "direct"


def systemd_boot(node: Facts) -> None:
    node["fleetops_kernel"]["boot_loader"] = "systemd-boot"


def gone(node: Facts) -> None:
    node["fleetops_kernel"]["installed"] = []


def broken(node: Facts) -> None:
    node["fleetops_kernel"]["installed"][0].update(bootable=False, missing=[f"/boot/initrd.img-{OLD}"])


def doubtful(node: Facts) -> None:
    node["fleetops_kernel"]["installed"][0].update(bootable=None)
    node["fleetops_kernel"]["unknown"][f"installed.{OLD}.bootable"] = "needs root"


def other_pending(node: Facts) -> None:
    node["fleetops_kernel"]["next_boot"].update(once=True, because="next_entry in grubenv: x")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (systemd_boot, "the boot loader is systemd-boot"),
        (lambda node: lose(node, "boot_loader"), "the boot loader is unknown (needs root)"),
        (lambda node: lose(node, "next_boot"), "Which kernel boots next is unknown (needs root)"),
        (other_pending, "for one boot only (next_entry in grubenv: x)"),
        (gone, f"{OLD}, to come back on, is not on the disk any more"),
        (broken, f"cannot boot: /boot/initrd.img-{OLD} is missing"),
        (doubtful, "may not be able to boot (needs root)"),
    ],
)
@pytest.mark.parametrize("way", ["auto", "once", "kexec"])
def test_without_a_sure_way_back_no_trial_is_made(
    node: Facts, spoil: Callable[[Facts], Any], why: str, way: str
) -> None:
    spoil(node)
    found = tried(node, way=way)
    assert found["way"] == "none"
    assert why in found["refusals"][0]["problem"]
    assert len(found["refusals"]) == 1


def test_an_entry_that_a_cut_short_run_left_for_the_target_is_no_obstacle_to_once(node: Facts) -> None:
    kernel = node["fleetops_kernel"]
    kernel["next_boot"].update(once=True, release=NEW, because="next_entry in grubenv: x")
    kernel["trial"] = {"release": NEW, "guard_seconds": 600}
    assert tried(node)["way"] == "once"
    (refusal,) = tried(node, way="kexec")["refusals"]
    assert "set by a trial that was cut short" in refusal["problem"]
    assert "grub-editenv /boot/grub/grubenv unset next_entry" in refusal["remedy"]


# --- what brings it back -----------------------------------------------------------------------------


def test_every_failure_is_either_covered_or_named_uncovered(node: Facts) -> None:
    for given in (node, watched(node)):
        for way in ("once", "kexec"):
            for guard in (0, 600):
                found = tried(given, way=way, guard=guard)
                assert len(found["covered"]) + len(found["uncovered"]) == 6 + (way == "kexec")


def test_after_a_kexec_the_first_boot_through_the_boot_loader_is_covered_by_nothing(node: Facts) -> None:
    assert "initrd that the loader cannot read, nothing covers" in said(
        tried(node, way="kexec")["uncovered"], "the ordinary boot after the commit: the first boot through"
    )
    assert not any("after the commit" in one for one in tried(node, way="once")["uncovered"])


@pytest.mark.parametrize(
    ("word", "asked", "says", "adds"),
    [
        ("", 10, "panic=10 on the command line resets the machine 10 s after", True),
        ("panic=0", 10, "panic=10", True),
        ("panic=30", 10, "panic=30 on the command line resets the machine 30 s after", False),
        ("panic=-1", 10, "panic=-1 on the command line resets the machine right after", False),
        ("", "10", "panic=10", True),
    ],
)
def test_a_panic_comes_back_by_the_word_on_the_command_line(
    node: Facts, word: str, asked: Any, says: str, adds: bool
) -> None:
    node["fleetops_kernel"]["cmdline"]["tokens"] += [word] if word else []
    found = tried(node, panic=asked)
    assert says in said(found["covered"], coverage.PANIC)
    assert found["panic"] is adds


def test_without_a_word_a_panic_stands_still_and_without_a_guard_nobody_goes_back(node: Facts) -> None:
    found = tried(node, panic=0, guard=0)
    assert "kernel_upgrade_panic" in said(found["uncovered"], coverage.PANIC)
    assert "kernel_upgrade_guard is 0" in said(found["uncovered"], coverage.NETWORK)
    assert "kernel_upgrade_guard is 0" in said(found["uncovered"], coverage.UNIT)
    assert found["panic"] is False


def test_the_guard_says_its_seconds(node: Facts) -> None:
    assert "600 s" in said(tried(node)["covered"], coverage.NETWORK)
    assert f"into {OLD}" in said(tried(node, guard=90)["covered"], coverage.NETWORK)


def test_an_image_that_boots_without_its_initrd_first_is_known(node: Facts) -> None:
    words = node["fleetops_kernel"]["cmdline"]["tokens"]
    words[:] = ["root=PARTUUID=1-2" if word.startswith("root=") else word for word in words] + ["panic=-1"]
    assert "boots without one first" in said(tried(node)["uncovered"], "a kernel that needs its initrd")
    assert not any("needs its initrd" in one for one in tried(node, way="kexec")["uncovered"])


def test_a_way_back_that_was_replaced_on_the_disk_is_said_to_be_untried(node: Facts) -> None:
    node["fleetops_kernel"]["installed"][0]["package"] = {
        **node["fleetops_kernel"]["package"],
        "version": "6.1.174-1",
    }
    assert "6.1.174-1, and runs in version 6.1.170-3" in said(tried(node)["uncovered"], "the way back itself")


def test_direct_covers_nothing(node: Facts) -> None:
    found = tried(watched(node), way="direct")
    assert (found["way"], found["covered"]) == ("direct", [])
    assert len(found["uncovered"]) == 5
    assert (found["pin"], found["gate"], found["default"]) == (False, "kernel_boots_next", NEW)


# --- the release that runs ---------------------------------------------------------------------------


def test_what_runs_needs_no_trial(node: Facts) -> None:
    for way in trial.WAYS:
        found = tried(node, OLD, way=way)
        assert (found["way"], found["reboot"], found["panic"], found["refusals"]) == (
            "none",
            False,
            False,
            [],
        )


def replaced(node: Facts) -> Any:
    node["fleetops_kernel"]["installed"][0]["package"] = {
        **node["fleetops_kernel"]["package"],
        "version": "6.1.174-1",
    }


UPGRADE = {"packages": [{"name": f"linux-image-{OLD}", "version": "6.1.174-1", "action": "upgrade"}]}


@pytest.mark.parametrize(
    ("spoil", "packages"), [(replaced, None), (None, UPGRADE), (None, UPGRADE["packages"])]
)
def test_a_newer_upload_of_what_runs_leaves_nothing_to_come_back_on(
    node: Facts, spoil: Callable[[Facts], Any] | None, packages: Any, add_kernel: Callable[..., Facts]
) -> None:
    if spoil:
        spoil(node)
    found = tried(node, OLD, packages=packages)
    assert (found["way"], found["reboot"], found["pin"]) == ("direct", True, False)
    assert found["uncovered"][0].startswith(f"{OLD} in version 6.1.170-3 is gone from the disk")
    assert "nothing to go back to" in found["uncovered"][0]
    add_kernel({"kernel": node["fleetops_kernel"]}, "6.1.0-44-cloud-amd64", "6.1.160-1")
    assert "6.1.0-44-cloud-amd64 is there" in tried(node, OLD, packages=packages)["uncovered"][0]
    asked = tried(node, OLD, packages=packages, way="once")
    assert asked["way"] == "none"
    assert "kernel_upgrade_trial: direct" in asked["refusals"][0]["remedy"]


def test_nothing_of_the_packages_to_do_is_no_newer_upload(node: Facts) -> None:
    for packages in ({"skipped": True}, {"packages": [{**UPGRADE["packages"][0], "action": "none"}]}):
        assert tried(node, OLD, packages=packages)["way"] == "none"


# --- the guard and those who wait ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"guard": 720, "gate_timeout": 600}, ["node_maintenance_gate_timeout"]),
        ({"guard": "720", "gate_timeout": "600"}, ["node_maintenance_gate_timeout"]),
        ({"guard": 90, "gate_timeout": 0}, ["node_maintenance_gate_timeout"]),
        ({"guard": 600, "reboot_timeout": 690}, ["node_maintenance_reboot_timeout"]),
        (
            {"guard": 600, "gate_timeout": 600, "reboot_timeout": 300},
            ["node_maintenance_gate_timeout", "node_maintenance_reboot_timeout"],
        ),
        ({"guard": 721, "gate_timeout": 600}, []),
        ({"guard": 600, "reboot_timeout": 691}, []),
        ({"guard": 600, "reboot_timeout": 0}, []),
        ({"guard": 0, "gate_timeout": 600, "reboot_timeout": 30}, []),
        ({"guard": 600}, []),
    ],
)
@pytest.mark.parametrize("way", ["auto", "once", "kexec"])
def test_the_guard_outlasts_the_gates_and_is_waited_for(
    node: Facts, way: str, options: dict[str, Any], names: list[str]
) -> None:
    found = tried(node, way=way, **options)
    assert found["reboot"] is (names == [])
    assert len(found["refusals"]) == len(names)
    for refusal, name in zip(found["refusals"], names, strict=True):
        for text in (refusal["problem"], refusal["remedy"]):
            assert name in text
            assert "kernel_upgrade_guard" in text


def test_without_a_trial_there_is_no_guard_to_ask_about(node: Facts) -> None:
    waits: dict[str, Any] = {"guard": 600, "gate_timeout": 600, "reboot_timeout": 300}
    assert tried(node, way="direct", **waits)["way"] == "direct"
    assert tried(node, OLD, **waits)["refusals"] == []


# --- what is given -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"way": "twice"}, "kernel_upgrade_trial is 'twice': expected one of auto, once, kexec, direct"),
        ({"guard": -1}, "kernel_upgrade_guard is '-1': expected seconds"),
        ({"guard": "soon"}, "kernel_upgrade_guard is 'soon'"),
        ({"gate_timeout": "soon"}, "node_maintenance_gate_timeout is 'soon': expected seconds"),
        ({"reboot_timeout": -1}, "node_maintenance_reboot_timeout is '-1'"),
        ({"panic": True}, "kernel_upgrade_panic is 'True'"),
        ({"panic": 1.5}, "kernel_upgrade_panic is '1.5'"),
    ],
)
def test_what_is_no_way_and_no_number_is_refused_by_value(
    node: Facts, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(FleetopsError, match=match):
        tried(node, **options)


def test_a_target_without_a_release_and_a_node_without_facts_are_refused(node: Facts) -> None:
    with pytest.raises(FleetopsError, match="names no release"):
        trial.kernel_trial(node, {})
    with pytest.raises(FleetopsError, match="fleetops_kernel is missing"):
        trial.kernel_trial({}, {"release": NEW})


def test_facts_that_were_not_gathered_are_unknown_and_close_every_way() -> None:
    facts = {"fleetops_kernel": {"release": OLD, "unknown": {}}}
    found = trial.kernel_trial(facts, {"release": NEW})
    assert found["way"] == "none"
    assert all("it was not gathered" in one["problem"] for one in found["refusals"])
    found = trial.kernel_trial({"fleetops_kernel": {"unknown": {}}}, {"release": NEW})
    assert "The running kernel is unknown (it was not gathered)" in found["refusals"][0]["problem"]


def test_a_kernel_that_kexec_started_is_told_from_one_that_the_boot_loader_took(node: Facts) -> None:
    kernel = node["fleetops_kernel"]
    assert any(word.startswith("BOOT_IMAGE=") for word in kernel["cmdline"]["tokens"])
    assert tried(node, OLD)["by_kexec"] is False
    kernel["cmdline"]["tokens"] = [
        word for word in kernel["cmdline"]["tokens"] if not word.startswith("BOOT_IMAGE=")
    ]
    found = tried(node, OLD)
    assert (found["way"], found["by_kexec"]) == ("none", True)
    assert "kexec started it" in found["because"]
    # The words of other boot loaders are not known to be theirs, and one that is to be booted is another one.
    assert tried(node, NEW)["by_kexec"] is False
    kernel["boot_loader"] = "systemd-boot"
    assert tried(node, OLD)["by_kexec"] is False
    kernel.update(boot_loader="grub", cmdline=None)
    assert tried(node, OLD)["by_kexec"] is False


@pytest.mark.parametrize("gone", ["package", "modules"])
def test_without_the_running_kernel_on_the_disk_nothing_is_tried(node: Facts, gone: str) -> None:
    kernel = node["fleetops_kernel"]
    (mine,) = [one for one in kernel["installed"] if one["release"] == OLD]
    if gone == "package":
        kernel["installed"] = [one for one in kernel["installed"] if one is not mine]
    else:
        mine.update(bootable=False, missing=[f"/lib/modules/{OLD}/modules.dep"], beside=["linux-headers"])
    want = {"release": NEW, "package": f"linux-image-{NEW}", "packages": [f"linux-image-{NEW}"]}
    found = trial.kernel_trial(node, want)
    assert found["way"] == "none"
    (refusal,) = found["refusals"]
    assert OLD in refusal["problem"]
    names = f"linux-image-{OLD}" + (f" linux-headers-{OLD}" if gone == "modules" else "")
    assert refusal["remedy"].startswith(
        f"install it again before anything else is changed: apt-get install --reinstall {names}, or "
    )
    # Who wants no trial is told that there is no way back.
    found = trial.kernel_trial(node, want, way="direct")
    assert found["uncovered"][0].startswith(
        f"{OLD} is not on the disk in full: there is nothing to go back to"
    )
    assert not any("menu" in one for one in found["uncovered"])
