# SPDX-License-Identifier: GPL-3.0-or-later
"""Hangs on a machine with a hardware watchdog: which come back by themselves is as the role said before the trial.

The machine runs the generic kernel, which has the driver of QEMU's i6300esb.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from lab import plant
from lab.client import snapshots

INSTALLED = "kernel-upgrade-watchdog"
# Seconds. The guard outlasts the watchdog by far, so that it is the watchdog which is seen.
LONG = {
    "kernel_upgrade_guard": 1200,
    "node_maintenance_gate_timeout": 240,
    "node_maintenance_gate_interval": 5,
}
EARLY = "a hang before systemd arms a watchdog"
LATER = "a hang of the kernel or of PID 1, once systemd has armed the watchdog"


@pytest.fixture(scope="module")
def with_watchdog(scenario: Any) -> Iterator[Any]:
    """A machine with a watchdog; its snapshot has the new kernel installed."""
    with scenario.machine("g", flavour="generic", crashkernel="224M") as machine:
        plant.plant(machine.node, plant.new_kernel)
        machine.node.snapshot(INSTALLED)
        yield machine
    shutil.rmtree(snapshots() / INSTALLED, ignore_errors=True)


def bitten(clone: Any) -> int:
    """How often the watchdog reset the machine."""
    return sum(event["event"] == "watchdog" for event in clone.node.events())


def test_a_hang_before_pid_1_under_a_locked_watchdog_is_covered_by_kexec(
    with_watchdog: Any, kernels_on: Any
) -> None:
    kernels = kernels_on(with_watchdog)
    with with_watchdog.clone(INSTALLED) as clone:
        plant.plant(clone.node, plant.INIT_HANGS.format(new=kernels.new), plant.WATCHDOG_LOCKED)
        # Which way, the role chooses by itself.
        run = clone.converge(kernel_upgrade_release=kernels.new, **LONG)
        assert run.rc == 2, run.text
        assert run.says("kexec: the hardware watchdog", f"comes back by itself: {EARLY}"), run.text
        words = f"fell_back: {kernels.new} was tried, and {kernels.old} runs again without anybody's help"
        assert run.says(words), run.text
        assert bitten(clone) == 1, clone.node.events()
        assert kernels.ended(clone) == kernels.left()
        print(f"covered, as announced: the watchdog reset it. {words}")


def test_a_hang_before_pid_1_is_not_covered_once_and_a_reset_brings_the_old_kernel(
    with_watchdog: Any, kernels_on: Any
) -> None:
    kernels = kernels_on(with_watchdog)
    with with_watchdog.clone(INSTALLED) as clone:
        plant.plant(clone.node, plant.INIT_HANGS.format(new=kernels.new), plant.WATCHDOG_LOCKED)
        # Longer than the watchdog would take.
        run = clone.converge(
            kernel_upgrade_release=kernels.new,
            kernel_upgrade_trial="once",
            kernel_upgrade_guard=0,
            node_maintenance_reboot_timeout=150,
        )
        assert run.rc == 2, run.text
        assert run.says(f"NOT covered: {EARLY}", "is lost: it did not answer after its trial boot"), run.text
        assert bitten(clone) == 0, clone.node.events()
        clone.node.power("reset")
        clone.node.wait_ssh(300)
        found = kernels.ended(clone)
        assert (found["runs"], found["boots"], found["once"], found["whole"]) == (
            kernels.old,
            kernels.old,
            False,
            True,
        ), found
        print(
            f"not covered, as announced: no watchdog in 150 s, lost; after a reset from outside {kernels.old} runs"
        )


def test_a_hang_of_pid_1_ends_with_the_watchdog(with_watchdog: Any, kernels_on: Any) -> None:
    kernels = kernels_on(with_watchdog)
    with with_watchdog.clone(INSTALLED) as clone:
        plant.plant(clone.node, plant.PID1_FROZEN.format(new=kernels.new), plant.WATCHDOG)
        run = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_trial="once", **LONG)
        assert run.rc == 2, run.text
        assert run.says(f"comes back by itself: {LATER}"), run.text
        words = f"fell_back: {kernels.new} was tried, and {kernels.old} runs again without anybody's help"
        assert run.says(words), run.text
        assert bitten(clone) == 1, clone.node.events()
        assert kernels.ended(clone) == kernels.left()
        print(f"covered, as announced: the watchdog reset it. {words}")
