# SPDX-License-Identifier: GPL-3.0-or-later
"""A new kernel on trial, on clones of one machine: it is kept when it holds, and left again when it does not.

After each, the node answers, its packages are whole, and the default entry is the right one.
"""

from __future__ import annotations

from typing import Any

import pytest

from lab import plant

# Seconds. A boot takes 40 here, and up to twice that on a busy machine.
QUICK = {"node_maintenance_gate_timeout": 240, "node_maintenance_gate_interval": 5}


def by_itself(kernels: Any) -> str:
    """What the role says of a trial that nobody had to end."""
    return f"fell_back: {kernels.new} was tried, and {kernels.old} runs again without anybody's help"


def test_a_clean_upgrade_and_the_second_run(scenario: Any, as_it_is: str, kernels: Any) -> None:
    with scenario.clone(as_it_is) as clone:
        announced = clone.converge("--check", "--diff", kernel_upgrade_release=kernels.new)
        assert announced.rc == 0, announced.text
        boots = clone.node.boots()
        run = clone.converge(kernel_upgrade_release=kernels.new, **QUICK)
        assert run.rc == 0, run.text
        assert kernels.ended(clone) == kernels.kept()
        assert clone.node.boots() == boots + 1
        again = clone.converge(kernel_upgrade_release=kernels.new)
        assert (again.rc, again.changed, clone.node.boots()) == (0, 0, boots + 1), again.text
        print(f"runs {kernels.new} after one boot, and it is the default; the second run changed nothing")


@pytest.mark.parametrize("way", ["once", "kexec"])
@pytest.mark.parametrize(
    "breaks", [plant.TRUNCATED, plant.INIT_EXITS], ids=["truncated-initrd", "init-exits"]
)
def test_a_kernel_that_panics_falls_back_by_itself(
    scenario: Any, installed: str, kernels: Any, breaks: str, way: str
) -> None:
    with scenario.clone(installed) as clone:
        plant.plant(clone.node, breaks.format(new=kernels.new))
        run = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_trial=way, **QUICK)
        assert run.rc == 2, run.text
        words = by_itself(kernels)
        assert run.says(words), run.text
        assert kernels.ended(clone) == kernels.left()
        (line, *_more) = [one for one in clone.node.console_text().splitlines() if "Kernel panic" in one]
        print(line.strip(), "|", words)


def test_a_gate_that_stays_closed_is_an_ordered_return(scenario: Any, installed: str, kernels: Any) -> None:
    with scenario.clone(installed) as clone:
        plant.plant(clone.node, plant.KDUMP_UNLOADED.format(new=kernels.new))
        quick = {"node_maintenance_gate_timeout": 60, "node_maintenance_gate_interval": 5}
        run = clone.converge(kernel_upgrade_release=kernels.new, **quick)
        assert run.rc == 2, run.text
        words = (
            f"fell_back: {kernels.new} was tried and did not hold, and one reboot brought {kernels.old} back"
        )
        assert run.says(words), run.text
        assert kernels.ended(clone) == kernels.left()
        print(words)


def test_a_dead_network_ends_with_the_guard(scenario: Any, installed: str, kernels: Any) -> None:
    with scenario.clone(installed) as clone:
        plant.plant(clone.node, plant.NETWORK_DEAD.format(new=kernels.new))
        run = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_guard=400, **QUICK)
        assert run.rc == 2, run.text
        words = by_itself(kernels)
        assert run.says(words), run.text
        assert kernels.ended(clone) == kernels.left()
        print(words)


def test_a_hang_before_anything_is_armed_is_lost_and_a_reset_brings_the_old_kernel(
    scenario: Any, installed: str, kernels: Any
) -> None:
    with scenario.clone(installed) as clone:
        plant.plant(clone.node, plant.INIT_HANGS.format(new=kernels.new))
        run = clone.converge(
            kernel_upgrade_release=kernels.new, node_maintenance_reboot_timeout=120, kernel_upgrade_guard=0
        )
        assert run.rc != 0, run.text
        # Before the run began, the role had named it.
        assert run.says("NOT covered: a hang before"), run.text
        clone.node.power("reset")
        clone.node.wait_ssh(240)
        found = kernels.ended(clone)
        assert (found["runs"], found["boots"], found["once"]) == (kernels.old, kernels.old, False), found
        print(f"lost, as announced; after a reset from outside {kernels.old} runs")


def test_a_clean_trial_by_kexec(scenario: Any, installed: str, kernels: Any) -> None:
    with scenario.clone(installed) as clone:
        run = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_trial="kexec", **QUICK)
        assert run.rc == 0, run.text
        assert kernels.ended(clone) == kernels.kept()
        print(f"runs {kernels.new}, tried by kexec, and it is the default")


def test_rollback_and_cleanup(scenario: Any, installed: str, kernels: Any) -> None:
    with scenario.clone(installed) as clone:
        assert clone.converge(kernel_upgrade_release=kernels.new, **QUICK).rc == 0
        back = clone.entry_point("rollback", **QUICK)
        assert back.rc == 0, back.text
        found = kernels.ended(clone)
        assert (found["runs"], found["boots"], found["held"]) == (kernels.old, kernels.old, True), found
        again = clone.entry_point("rollback")
        assert (again.rc, again.changed) == (0, 0), again.text
        swept = clone.entry_point("cleanup")
        assert (swept.rc, swept.changed) == (0, 0), swept.text
        print(
            f"{kernels.old} runs again, {kernels.new} is held; the second rollback and the cleanup changed nothing"
        )
