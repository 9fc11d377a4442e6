# SPDX-License-Identifier: GPL-3.0-or-later
"""One reboot, proved by the boot_id and by the lab's own count; and a gate that stays shut."""

from __future__ import annotations

from typing import Any

from testinfra.host import Host

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def test_another_boot_answers_and_it_is_exactly_one_later(scenario: Any) -> None:
    assert scenario.now(BOOT_ID) != scenario.before(BOOT_ID)
    assert scenario.node.boots() == 2  # the lab's, and the role's
    print(f"boot_id {scenario.before(BOOT_ID)[:8]} -> {scenario.now(BOOT_ID)[:8]}, boots 1 -> 2")


def test_kdump_is_armed_again(host: Host) -> None:
    assert host.file("/sys/kernel/kexec_crash_loaded").content_string.strip() == "1"


def test_check_mode_reboots_nothing(scenario: Any) -> None:
    boots, boot_id = scenario.node.boots(), scenario.now(BOOT_ID)
    run = scenario.converge("--check")
    assert run.rc == 0, run.text
    assert (scenario.node.boots(), scenario.now(BOOT_ID)) == (boots, boot_id)


def test_a_node_whose_kdump_is_not_armed_does_not_count_as_back(scenario: Any) -> None:
    """The same role on a node that comes back without a capture kernel: red, where it was green."""
    scenario.node.ssh("systemctl disable kdump-tools.service", timeout=120)
    boots = scenario.node.boots()
    run = scenario.converge(node_maintenance_gate_timeout=10, node_maintenance_gate_interval=5)
    assert run.rc != 0, run.text
    assert scenario.node.boots() == boots + 1
    assert scenario.node.ssh("cat /sys/kernel/kexec_crash_loaded").stdout.strip() == "0"
    assert run.says("kdump_armed is closed after")
    print("rebooted, kexec_crash_loaded 0: the role fails at its gate kdump_armed")
