# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario share: the machine at two moments, and where a node stands after a change."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import Lab, plant
from lab.client import snapshots

LOOK = """
uname -r
dpkg --audit | wc -l
ls /etc/systemd/system/fleetops-trial-guard.service /etc/default/grub.d/zz-fleetops-default.cfg 2>/dev/null | wc -l
grub-editenv list | grep -c '^next_entry=.' || true
apt-mark showhold | grep -cx "linux-image-{new}" || true
"""


@dataclass(frozen=True)
class Kernels:
    """The kernel that a machine came with, and the one it is to have."""

    old: str
    new: str

    def ended(self, scenario: Any) -> dict[str, Any]:
        """Where a node stands. It answers, or this fails."""
        look = LOOK.format(new=self.new)
        release, audit, traces, once, held = scenario.node.ssh(look, timeout=120).stdout.split()
        said = scenario.module("fleetops.kernel.kernel_facts", "gather_subset=boot")
        found = re.search(r"=> (\{.*\})", said, re.DOTALL)
        assert found, said
        kernel = json.loads(found.group(1))["ansible_facts"]["fleetops_kernel"]
        return {
            "runs": release,
            "boots": kernel["next_boot"]["release"],
            "whole": audit == "0",
            "traces": int(traces),
            "once": once != "0",
            "held": held != "0",
        }

    def kept(self) -> dict[str, Any]:
        """The new one runs, and boots from now on, as the site's own default: nothing of ours is left."""
        return {
            "runs": self.new,
            "boots": self.new,
            "whole": True,
            "traces": 0,
            "once": False,
            "held": False,
        }

    def left(self) -> dict[str, Any]:
        """The old one runs and stays the default, by our pin; nothing is for one boot only; the new one is held."""
        return {"runs": self.old, "boots": self.old, "whole": True, "traces": 1, "once": False, "held": True}


def kernels_of(lab: Lab) -> Kernels:
    """By the image that a lab's machines were made from."""
    manifest = lab.manifest()
    return Kernels(manifest["old"]["release"], manifest["new"]["release"])


@pytest.fixture
def kernels_on() -> Callable[[Any], Kernels]:
    """For a scenario on a machine of another kind."""
    return lambda scenario: kernels_of(scenario.lab)


@pytest.fixture(scope="session")
def machine() -> Lab:
    """The scenario's lab, as ../../conftest.py names it."""
    return Lab(f"molecule-{Path(__file__).parents[1].name}".replace("_", "-")[:31])


@pytest.fixture(scope="session")
def kernels(machine: Lab) -> Kernels:
    return kernels_of(machine)


@pytest.fixture(scope="session")
def as_it_is(machine: Lab) -> Iterator[str]:
    """A snapshot of the machine."""
    name = "kernel-upgrade-as-it-is"
    machine.node("n1").snapshot(name)
    yield name
    shutil.rmtree(snapshots() / name, ignore_errors=True)


@pytest.fixture(scope="session")
def installed(machine: Lab, as_it_is: str) -> Iterator[str]:
    """The same with the new kernel installed: a clone takes seconds, an installation minutes."""
    name = "kernel-upgrade-installed"
    lab = Lab(f"{machine.name}-i")
    lab.down()
    try:
        node = lab.clone(as_it_is, tie=os.getpid())
        plant.plant(node, plant.new_kernel)
        node.snapshot(name)
    finally:
        lab.down()
    yield name
    shutil.rmtree(snapshots() / name, ignore_errors=True)
