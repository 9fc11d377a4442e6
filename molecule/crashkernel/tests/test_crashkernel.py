# SPDX-License-Identifier: GPL-3.0-or-later
"""What is reserved and what the capture kernel does, against the same files before. The order counts: undo is last."""

from __future__ import annotations

import re
from typing import Any

GRUB = "/boot/grub/grub.cfg"
DROPIN = "/etc/default/grub.d/zz-fleetops.cfg"
TOOLS = "/etc/default/kdump-tools"
CAPTURE = "/var/crash/kexec_cmd"
SIZE = "/sys/kernel/kexec_crash_size"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def entries(grub: str) -> list[str]:
    """What each entry of the boot menu boots. Those for recovery are not the module's business (see its notes)."""
    lines = re.findall(r"^\s*linux\s.*$", grub, re.MULTILINE)
    return [" ".join(line.split()) for line in lines if "single" not in line.split()]


def reservations(grub: str) -> list[list[str]]:
    """All crashkernel= of each entry; the kernel takes the last."""
    return [re.findall(r"\bcrashkernel=(\S+)", line) for line in entries(grub)]


def exists(scenario: Any, path: str) -> bool:
    return bool(scenario.node.ssh(["test", "-e", path], check=False).code == 0)


def test_the_reservation_has_grown(scenario: Any) -> None:
    before, now = int(scenario.before(SIZE)), int(scenario.now(SIZE))
    assert (before, now) == (128 << 20, 256 << 20)
    print(f"kexec_crash_size {before} -> {now}")


def test_it_took_exactly_one_boot(scenario: Any) -> None:
    assert scenario.now(BOOT_ID) != scenario.before(BOOT_ID)
    assert scenario.node.boots() == 2  # the lab's, and the role's; the second run made none


def test_every_boot_entry_carries_it(scenario: Any) -> None:
    before, now = reservations(scenario.before(GRUB)), reservations(scenario.now(GRUB))
    assert len(now) == len(before) > 1
    assert {words[-1] for words in before} == {"128M"}
    assert now == [["256M"]] * len(now)
    print(f"{len(now)} entries of grub.cfg: crashkernel=128M -> 256M")


def test_the_capture_kernel_reboots_when_it_fails(scenario: Any) -> None:
    assert "panic=" not in scenario.before(CAPTURE)
    assert "panic=10" in scenario.now(CAPTURE)
    assert scenario.now("/sys/kernel/kexec_crash_loaded").strip() == "1"
    print("the loaded capture kernel: no panic= -> panic=10")


def test_what_cannot_be_meant_is_refused_and_changes_nothing(scenario: Any) -> None:
    files, boots, records = (
        [scenario.now(path) for path in (GRUB, DROPIN, TOOLS, CAPTURE)],
        scenario.node.boots(),
        scenario.undo_records(),
    )
    for variables in ({"crashkernel_capture_panic": 0}, {"crashkernel_size": "a lot"}):
        run = scenario.converge(**variables)
        assert run.rc != 0, run.text
        assert run.changed == 0, run.text
    assert [scenario.now(path) for path in (GRUB, DROPIN, TOOLS, CAPTURE)] == files
    assert (scenario.node.boots(), scenario.undo_records()) == (boots, records)


def test_undo_brings_the_files_back(scenario: Any) -> None:
    assert scenario.before(TOOLS) != scenario.now(TOOLS)
    assert exists(scenario, DROPIN)
    assert len(scenario.undo_records()) == 2  # capture words, reservation
    run = scenario.playbook("undo", fleetops_undo_last=2)
    assert run.rc == 0, run.text
    assert scenario.now(TOOLS) == scenario.before(TOOLS)
    assert not exists(scenario, DROPIN)
    assert entries(scenario.now(GRUB)) == entries(scenario.before(GRUB))
    assert "panic=" not in scenario.now(CAPTURE)
    assert scenario.undo_records() == []
    print("kdump-tools, the boot entries and the loaded capture kernel are as before; the drop-in is gone")
