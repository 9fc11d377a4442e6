# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel through three zones of real machines, one test after the other on the same fleet.

Each counts boots by the lab's own records, and never by the ledger that it judges.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab import Node, plant

NODES = ("n1", "n2", "n3")
CHECKOUT = Path(__file__).resolve().parents[3]
# Seconds. A boot takes 40 here, and up to twice that on a busy machine.
QUICK = {
    "fleetops_soak": 5,
    "fleetops_canaries": ["n1"],
    "node_maintenance_gate_timeout": 240,
    "node_maintenance_gate_interval": 5,
    "kernel_upgrade_update_cache": False,
}
LIMIT = 900
# What a failed trial leaves on purpose, taken back by an operator who mended the kernel.
MENDED = """
set -e
update-initramfs -c -k {new} >/dev/null 2>&1 || update-initramfs -u -k {new}
apt-mark unhold linux-image-{new} >/dev/null
"""


class Fleet:
    """The machines of the scenario."""

    def __init__(self, scenario: Any) -> None:
        self.scenario = scenario
        self.nodes: dict[str, Node] = {name: scenario.lab.node(name) for name in NODES}
        self.old = self.runs("n1")
        self.new = str(scenario.lab.manifest()["new"]["release"])
        self.report = scenario.directory / "report"

    def runs(self, name: str) -> str:
        return str(self.nodes[name].ssh("uname -r").stdout.strip())

    def kernels(self) -> list[str]:
        return [self.runs(name) for name in NODES]

    def boots(self) -> list[int]:
        return [self.nodes[name].boots() for name in NODES]

    def variables(self, release: str, **more: Any) -> dict[str, Any]:
        return {
            "kernel_upgrade_release": release,
            "fleetops_report_dir": str(self.report),
            **QUICK,
            **more,
        }

    def roll(self, release: str, *arguments: str, **more: Any) -> Any:
        return self.scenario.playbook("rolling_kernel_upgrade", *arguments, **self.variables(release, **more))

    def events(self, kind: str) -> list[str]:
        """The hosts of all events of a kind, in their order."""
        path = self.report / "rollout.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [one["host"] for one in map(json.loads, lines) if one["event"] == kind]

    def stage(self, host: str) -> str:
        """What the ledger last said of a host."""
        path = self.report / "rollout.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [one for one in map(json.loads, lines) if one.get("host") == host]
        return str(found[-1].get("stage") or found[-1]["event"]) if found else ""


@pytest.fixture(scope="module")
def fleet(scenario: Any) -> Fleet:
    return Fleet(scenario)


def test_the_plan_is_shown_and_nothing_is_touched(fleet: Fleet) -> None:
    boots = fleet.boots()
    shown = fleet.roll(fleet.new, "-e", "fleetops_plan_only=true")
    assert (shown.rc, shown.changed) == (0, 0), shown.text
    assert shown.says(f"PLAN: kernel {fleet.new}", "canaries", "zone_b", "zone_c"), shown.text
    announced = fleet.roll(fleet.new, "--check", "--diff")
    assert announced.rc == 0, announced.text
    assert not (fleet.report / "rollout.jsonl").exists()
    assert (fleet.boots(), fleet.kernels()) == (boots, [fleet.old] * 3)
    print("plan and check mode: three waves, no node touched, no ledger")


def test_a_canary_that_cannot_boot_it_stops_everything(fleet: Fleet) -> None:
    plant.plant(fleet.nodes["n1"], plant.new_kernel)
    fleet.nodes["n1"].ssh(f"truncate -s 3000000 /boot/initrd.img-{fleet.new}")
    boots = fleet.boots()
    run = fleet.roll(fleet.new)
    assert run.rc == 2, run.text
    words = f"fell_back: {fleet.new} was tried, and {fleet.old} runs again without anybody's help"
    assert run.says(words, "2 nodes not attempted"), run.text
    assert fleet.kernels() == [fleet.old] * 3
    assert (fleet.events("acquire"), fleet.events("failed")) == (["n1"], ["n1"])
    now = fleet.boots()
    assert now[0] > boots[0]
    assert now[1:] == boots[1:]
    print(f"n1: {words}; n2 and n3 were not attempted")
    fleet.nodes["n1"].ssh(MENDED.format(new=fleet.new), timeout=300)


def killed_when(fleet: Fleet, ready: Callable[[], bool], **more: Any) -> None:
    """Roll, and end the controller by SIGKILL at that moment."""
    log = fleet.report / "killed.log"
    with log.open("w") as out:
        running = subprocess.Popen(
            [
                str(CHECKOUT / ".venv/bin/ansible-playbook"),
                *("-i", str(fleet.scenario.inventory), "fleetops.kernel.rolling_kernel_upgrade"),
                *("-e", json.dumps(fleet.variables(fleet.new, **more))),
            ],
            cwd=fleet.scenario.directory,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + LIMIT
        while not ready():
            assert running.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.5)
        running.send_signal(signal.SIGKILL)
        running.wait()


def test_a_controller_that_is_killed_twice_goes_on_where_it_was(fleet: Fleet) -> None:
    boots = fleet.boots()
    killed_when(fleet, lambda: fleet.stage("n1") == "reboot")
    killed_when(fleet, lambda: fleet.stage("n2") == "change")
    run = fleet.roll(fleet.new)
    assert run.rc == 0, run.text
    assert fleet.kernels() == [fleet.new] * 3
    assert sorted(fleet.events("done")) == list(NODES)
    assert [now - then for now, then in zip(fleet.boots(), boots, strict=True)] == [1, 1, 1]
    again = fleet.roll(fleet.new)
    assert (again.rc, again.changed) == (0, 0), again.text
    print("killed while n1 rebooted and while n2 was changed: each node done once, with one reboot")


def test_a_node_that_loses_its_network_is_within_the_budget_of_all_zones(fleet: Fleet) -> None:
    """Back to the old kernel; the canary's cable is pulled when it reboots, and nothing brings it back by itself."""
    n1 = fleet.nodes["n1"]
    more = {"fleetops_failure_budget": 1, "node_maintenance_reboot_timeout": 150, "kernel_upgrade_guard": 0}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(fleet.roll, fleet.old, **more)
        deadline = time.monotonic() + LIMIT
        while fleet.stage("n1") != "reboot":
            assert time.monotonic() < deadline
            assert not running.done(), running.result().text
            time.sleep(0.5)
        n1.net(up=False)
        run = running.result()
    assert run.rc == 2, run.text
    assert run.says("n1 is lost"), run.text
    assert (fleet.events("failed"), sorted(fleet.events("done"))) == (["n1"], ["n2", "n3"])
    assert [fleet.runs(name) for name in ("n2", "n3")] == [fleet.old] * 2
    n1.net(up=True)
    n1.wait_ssh(240)
    again = fleet.roll(fleet.old, **more)
    assert again.rc == 0, again.text
    assert fleet.kernels() == [fleet.old] * 3
    print("n1 was lost, n2 and n3 went on within the budget; the same command finished n1 when it was back")
