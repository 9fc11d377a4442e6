# SPDX-License-Identifier: GPL-3.0-or-later
"""What the distribution installs later: it boots after a commit; after a fall-back it does not, and assess says so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lab import Lab, plant
from lab.archive import neighbour
from lab.client import snapshots

QUICK = {"node_maintenance_gate_timeout": 240, "node_maintenance_gate_interval": 5}
INSTALLED = "kernel-upgrade-between"


@pytest.fixture(scope="module")
def between(machine: Any, kernels: Any) -> Any:
    """A change to the kernel before the newest, which is the one that comes later."""
    return replace(kernels, new=neighbour(machine.manifest()))


@pytest.fixture(scope="module")
def with_between(machine: Any, as_it_is: str, between: Any) -> Iterator[str]:
    """A snapshot with that kernel installed."""
    lab = Lab(f"{machine.name}-i")
    lab.down()
    try:
        node = lab.clone(as_it_is, tie=os.getpid())
        plant.install(node, f"linux-image-{between.new}")
        node.snapshot(INSTALLED)
    finally:
        lab.down()
    yield INSTALLED
    shutil.rmtree(snapshots() / INSTALLED, ignore_errors=True)


def later(clone: Any) -> str:
    """The distribution's own way to a newer kernel, and a reboot. What runs then."""
    plant.new_kernel(clone.node)
    clone.node.reboot()
    return str(clone.node.ssh("uname -r").stdout.strip())


def test_after_a_commit_a_kernel_that_comes_later_boots(
    scenario: Any, with_between: str, between: Any, kernels: Any
) -> None:
    with scenario.clone(with_between) as clone:
        run = clone.converge(kernel_upgrade_release=between.new, **QUICK)
        assert run.rc == 0, run.text
        assert between.ended(clone) == between.kept()
        assert later(clone) == kernels.new
        assert kernels.ended(clone) == kernels.kept()
        print(f"{between.new} committed; {kernels.new}, installed by apt, boots")


def test_after_a_fall_back_a_kernel_that_comes_later_does_not_and_assess_says_so(
    scenario: Any, with_between: str, between: Any, kernels: Any
) -> None:
    with scenario.clone(with_between) as clone:
        plant.plant(clone.node, plant.TRUNCATED.format(new=between.new))
        run = clone.converge(kernel_upgrade_release=between.new, **QUICK)
        assert run.rc == 2, run.text
        assert between.ended(clone) == between.left()
        assert later(clone) == kernels.old
        report = clone.directory / "report"
        told = clone.playbook("assess", fleetops_report_dir=str(report))
        assert told.rc == 0, told.text
        (finding,) = (
            one for one in clone.report()["hosts"]["n1"]["findings"] if one["id"] == "default-pinned"
        )
        assert finding["status"] == "affected", finding
        # The way on: a kernel that holds takes the place of the pin.
        again = clone.converge(kernel_upgrade_release=kernels.new, **QUICK)
        assert again.rc == 0, again.text
        assert kernels.ended(clone) == kernels.kept()
        why = finding["reason"].partition(": ")[0]
        print(f"{kernels.old} runs, though {kernels.new} was installed; default-pinned: {why}")
