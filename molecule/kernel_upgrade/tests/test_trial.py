# SPDX-License-Identifier: GPL-3.0-or-later
"""A new kernel on trial, on clones of one machine: it is kept when it holds, and left again when it does not.

After each, the node answers, its packages are whole, and the default entry is the right one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from lab import plant
from lab.client import snapshots

AS_IT_IS, INSTALLED = SNAPSHOTS = "kernel-upgrade-as-it-is", "kernel-upgrade-installed"
# Seconds. A boot takes 40 here, and up to twice that on a busy machine.
QUICK = {"node_maintenance_gate_timeout": 240, "node_maintenance_gate_interval": 5}
LOOK = """
uname -r
dpkg --audit | wc -l
ls /etc/systemd/system/fleetops-trial-guard.service /etc/default/grub.d/zz-fleetops-default.cfg 2>/dev/null | wc -l
grub-editenv list | grep -c '^next_entry=.' || true
apt-mark showhold | grep -c "^linux-image-{new}$" || true
"""
# An archive behind the others: what is in it replaces what they brought (initramfs buffer format).
INIT = """
set -e
mkdir -p /root/over && cd /root/over
printf '#!/bin/sh\\n{command}\\n' > init && chmod +x init
echo init | cpio -o -H newc --quiet >> /boot/initrd.img-{new}
"""
TRUNCATED = "truncate -s 3000000 /boot/initrd.img-{new}"
# What happens under the new kernel alone.
UNIT = """
set -e
cat > /etc/systemd/system/breaks.service <<END
[Unit]
ConditionKernelVersion={new}
After=multi-user.target kdump-tools.service
[Service]
ExecStart={command}
[Install]
WantedBy=multi-user.target
END
systemctl enable breaks.service
"""


@pytest.fixture(scope="module", autouse=True)
def _frozen(scenario: Any) -> Iterator[None]:
    """The machine as it is, and with the new kernel installed: a clone takes seconds, an installation minutes."""
    scenario.node.snapshot(AS_IT_IS)
    with scenario.clone(AS_IT_IS) as clone:
        plant.plant(clone.node, plant.new_kernel)
        clone.node.snapshot(INSTALLED)
    yield
    for name in SNAPSHOTS:
        shutil.rmtree(snapshots() / name, ignore_errors=True)


@pytest.fixture(scope="module")
def old(scenario: Any) -> str:
    return str(scenario.node.ssh("uname -r").stdout.strip())


@pytest.fixture(scope="module")
def new(scenario: Any) -> str:
    return str(scenario.lab.manifest()["new"]["release"])


def ended(clone: Any, new: str) -> dict[str, Any]:
    """Where a node stands."""
    release, audit, traces, once, held = clone.node.ssh(LOOK.format(new=new), timeout=120).stdout.split()
    kernel = json.loads(
        re.search(  # type: ignore[union-attr]
            r"=> (\{.*\})", clone.module("fleetops.kernel.kernel_facts", "gather_subset=boot"), re.DOTALL
        ).group(1)
    )["ansible_facts"]["fleetops_kernel"]
    return {
        "runs": release,
        "boots": kernel["next_boot"]["release"],
        "whole": audit == "0",
        "traces": int(traces),
        "once": once != "0",
        "held": held != "0",
    }


def kept(new: str) -> dict[str, Any]:
    return {"runs": new, "boots": new, "whole": True, "traces": 0, "once": False, "held": False}


def left(old: str) -> dict[str, Any]:
    """The old kernel runs and stays the default, by our pin; nothing is for one boot only, and the new one is held."""
    return {"runs": old, "boots": old, "whole": True, "traces": 1, "once": False, "held": True}


def test_a_clean_upgrade_and_the_second_run(scenario: Any, new: str) -> None:
    with scenario.clone(AS_IT_IS) as clone:
        announced = clone.converge("--check", "--diff", kernel_upgrade_release=new)
        assert announced.rc == 0, announced.text
        boots = clone.node.boots()
        run = clone.converge(kernel_upgrade_release=new, **QUICK)
        assert run.rc == 0, run.text
        assert ended(clone, new) == kept(new)
        assert clone.node.boots() == boots + 1
        again = clone.converge(kernel_upgrade_release=new)
        assert (again.rc, again.changed, clone.node.boots()) == (0, 0, boots + 1), again.text
        print(f"runs {new} after one boot, and it is the default; the second run changed nothing")


@pytest.mark.parametrize("way", ["once", "kexec"])
@pytest.mark.parametrize(
    ("breaks", "variables"),
    [
        (TRUNCATED, {}),
        (INIT.replace("{command}", "exit 1"), {}),
    ],
    ids=["truncated-initrd", "init-exits"],
)
def test_a_kernel_that_panics_falls_back_by_itself(
    scenario: Any, old: str, new: str, breaks: str, variables: dict[str, Any], way: str
) -> None:
    with scenario.clone(INSTALLED) as clone:
        clone.node.ssh(breaks.format(new=new), timeout=120)
        run = clone.converge(kernel_upgrade_release=new, kernel_upgrade_trial=way, **QUICK, **variables)
        assert run.rc == 2, run.text
        words = f"fell_back: {new} was tried, and {old} runs again without anybody's help"
        assert run.says(words), run.text
        assert ended(clone, new) == left(old)
        (line, *_more) = [one for one in clone.node.console_text().splitlines() if "Kernel panic" in one]
        print(line.strip(), "|", words)


def test_a_gate_that_stays_closed_is_an_ordered_return(scenario: Any, old: str, new: str) -> None:
    with scenario.clone(INSTALLED) as clone:
        clone.node.ssh(UNIT.format(new=new, command="/usr/sbin/kdump-config unload"), timeout=120)
        quick = {"node_maintenance_gate_timeout": 60, "node_maintenance_gate_interval": 5}
        run = clone.converge(kernel_upgrade_release=new, **quick)
        assert run.rc == 2, run.text
        words = f"fell_back: {new} was tried and did not hold, and one reboot brought {old} back"
        assert run.says(words), run.text
        assert ended(clone, new) == left(old)
        print(words)


def test_a_dead_network_ends_with_the_guard(scenario: Any, old: str, new: str) -> None:
    with scenario.clone(INSTALLED) as clone:
        clone.node.ssh(UNIT.format(new=new, command="/usr/sbin/ip link set eth0 down"), timeout=120)
        run = clone.converge(kernel_upgrade_release=new, kernel_upgrade_guard=400, **QUICK)
        assert run.rc == 2, run.text
        words = f"fell_back: {new} was tried, and {old} runs again without anybody's help"
        assert run.says(words), run.text
        assert ended(clone, new) == left(old)
        print(words)


def test_a_hang_before_anything_is_armed_is_lost_and_a_reset_brings_the_old_kernel(
    scenario: Any, old: str, new: str
) -> None:
    with scenario.clone(INSTALLED) as clone:
        clone.node.ssh(INIT.format(new=new, command="while :; do sleep 1000; done"), timeout=120)
        run = clone.converge(
            kernel_upgrade_release=new, node_maintenance_reboot_timeout=120, kernel_upgrade_guard=0
        )
        assert run.rc != 0, run.text
        # Before the run began, the role had named it.
        assert run.says("NOT covered: a hang before"), run.text
        clone.node.power("reset")
        clone.node.wait_ssh(240)
        found = ended(clone, new)
        assert (found["runs"], found["boots"], found["once"]) == (old, old, False), found
        print(f"lost, as announced; after a reset from outside {old} runs")


def test_a_clean_trial_by_kexec(scenario: Any, new: str) -> None:
    with scenario.clone(INSTALLED) as clone:
        run = clone.converge(kernel_upgrade_release=new, kernel_upgrade_trial="kexec", **QUICK)
        assert run.rc == 0, run.text
        assert ended(clone, new) == kept(new)
        print(f"runs {new}, tried by kexec, and it is the default")


def test_rollback_and_cleanup(scenario: Any, old: str, new: str) -> None:
    with scenario.clone(INSTALLED) as clone:
        assert clone.converge(kernel_upgrade_release=new, **QUICK).rc == 0
        back = clone.entry_point("rollback", **QUICK)
        assert back.rc == 0, back.text
        found = ended(clone, new)
        assert (found["runs"], found["boots"], found["held"]) == (old, old, True), found
        again = clone.entry_point("rollback")
        assert (again.rc, again.changed) == (0, 0), again.text
        swept = clone.entry_point("cleanup")
        assert (swept.rc, swept.changed) == (0, 0), swept.text
        print(f"{old} runs again, {new} is held; the second rollback and the cleanup changed nothing")
