# SPDX-License-Identifier: GPL-3.0-or-later
"""The plug is pulled in the middle, and put back: the node boots the old kernel, and the same command finishes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

QUICK = {"node_maintenance_gate_timeout": 240, "node_maintenance_gate_interval": 5}
# Seconds until the moment of the cut: on a busy machine, an installation alone takes five minutes.
LIMIT = 900
# The lab has dpkg unpack without flushing, which no real machine does.
FLUSHED = "sed -i /force-unsafe-io/d /etc/dpkg/dpkg.cfg.d/lab"


def until_dpkg_says(state: str) -> Callable[[Any, Any], None]:
    """Wait for a state of the new kernel's package, as dpkg(1) has them."""

    def wait(node: Any, kernels: Any) -> None:
        # Woken by its log: a loop that asks would take half of an emulated machine.
        log = "<(exec tail -n 0 -F /var/log/dpkg.log </dev/null 2>/dev/null)"
        node.ssh(f"grep -q 'status {state} linux-image-{kernels.new}:' {log}", timeout=LIMIT)

    return wait


def until_chosen(node: Any, kernels: Any) -> None:
    """Wait until the next boot is the trial."""
    seen = f"grep -aq '^next_entry=.*{kernels.new}' /boot/grub/grubenv"
    node.ssh(f"until {seen}; do sleep 0.3; done", timeout=LIMIT)


def until_booting(node: Any, kernels: Any) -> None:
    """Wait until the boot loader has started the new kernel."""
    deadline = time.monotonic() + LIMIT
    while f"Loading Linux {kernels.new}" not in node.console_text():
        assert time.monotonic() < deadline, node.console_text()[-2000:]
        time.sleep(0.2)
    time.sleep(3)


def cut(clone: Any, kernels: Any, wait: Callable[[Any, Any], None]) -> Any:
    """Pull the plug at that moment, and put it back; what the run said that was under way."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(clone.converge, kernel_upgrade_release=kernels.new, **QUICK)
        wait(clone.node, kernels)
        clone.node.power("cycle")
        return running.result()


def untried(kernels: Any) -> str:
    """What the role says of a node that was booted before the new kernel was chosen."""
    return f"untried: {kernels.old} was booted again before {kernels.new} was chosen to boot"


@pytest.mark.parametrize("state", ["half-installed", "half-configured"])
def test_power_cut_while_dpkg_works(scenario: Any, as_it_is: str, kernels: Any, state: str) -> None:
    with scenario.clone(as_it_is) as clone:
        clone.node.ssh(FLUSHED)
        first = cut(clone, kernels, until_dpkg_says(state))
        assert first.rc == 2, first.text
        assert first.says(untried(kernels)), first.text
        found = kernels.ended(clone)
        assert (found["runs"], found["boots"], found["whole"], found["held"]) == (
            kernels.old,
            kernels.old,
            False,
            False,
        ), found
        refused = clone.converge(kernel_upgrade_release=kernels.new, **QUICK)
        assert (refused.rc, refused.changed) == (2, 0), refused.text
        assert refused.says("refused:", "dpkg has not finished", "repair: true"), refused.text
        again = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_repair=True, **QUICK)
        assert again.rc == 0, again.text
        assert kernels.ended(clone) == kernels.kept()
        print(f"dpkg {state}: {kernels.old} booted; refused until kernel_upgrade_repair; then finished")


def test_power_cut_between_install_and_reboot(scenario: Any, as_it_is: str, kernels: Any) -> None:
    with scenario.clone(as_it_is) as clone:
        clone.node.ssh(FLUSHED)
        first = cut(clone, kernels, until_dpkg_says("installed"))
        assert first.rc == 2, first.text
        assert first.says(untried(kernels)), first.text
        found = kernels.ended(clone)
        assert (found["runs"], found["boots"], found["once"]) == (kernels.old, kernels.old, False), found
        again = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_repair=True, **QUICK)
        assert again.rc == 0, again.text
        assert kernels.ended(clone) == kernels.kept()
        print("installed, and not yet chosen for the next boot: the same command finished")


@pytest.mark.parametrize("wait", [until_chosen, until_booting], ids=["before-its-reboot", "while-it-boots"])
def test_power_cut_around_the_trial_boot(
    scenario: Any, installed: str, kernels: Any, wait: Callable[[Any, Any], None]
) -> None:
    with scenario.clone(installed) as clone:
        first = cut(clone, kernels, wait)
        assert first.rc == 2, first.text
        assert first.says(f"fell_back: {kernels.new} was tried"), first.text
        assert kernels.ended(clone) == kernels.left()
        again = clone.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_release_held=True, **QUICK)
        assert again.rc == 0, again.text
        found = kernels.ended(clone)
        assert (found["runs"], found["boots"], found["whole"], found["once"]) == (
            kernels.new,
            kernels.new,
            True,
            False,
        ), found
        print(
            f"{kernels.old} runs again, and {kernels.new} is held; with its hold released, the same command finished"
        )
