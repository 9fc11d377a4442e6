# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault alone, on a clone of one clean machine: assess finds it and nothing else; what is hidden is unknown."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from demo.story import PLANT, Story, site_advisory

from lab import Lab, Node, plant
from lab.client import snapshots
from lab.plant import Plant

AS_IT_IS, CLEAN, NEW_KERNEL = SNAPSHOTS = "assess-as-it-is", "assess-clean", "assess-new-kernel"
NEW = "newer-kernel-not-running:kernel"
# What is asked of the kernel that boots next.
NEXT_BOOT = {
    "boot-entry-by-position:boot",
    "default-pinned:boot",
    "dkms-missing:kernels",
    "module-missing:kernels",
    "next-boot-differs:boot",
    "vendor-module-missing:kernels",
}


@dataclass(frozen=True)
class Fault:
    """What is done to the machine, and what assess then has open: all of it affected, or all of it unknown."""

    plants: tuple[Plant, ...]
    found: set[str]
    status: str = "affected"
    snapshot: str = CLEAN
    user: str = "root"
    variables: dict[str, Any] = field(default_factory=dict)


def tmpfs(path: str) -> str:
    """Hide a folder."""
    return f"mount -t tmpfs tmpfs {path}"


FAULTS = {
    "nothing": Fault((), set()),
    # kdump
    "the capture kernel unloaded": Fault((plant.UNLOADED,), {"kdump-not-armed:kdump"}),
    "the reservation given back": Fault((plant.GIVEN_BACK,), {"kdump-not-reserved:crashkernel"}),
    "a reservation that hangs": Fault((plant.SHRUNK,), {"crashkernel-too-small:crashkernel"}),
    "no panic= in the capture kernel": Fault((plant.NO_PANIC_WORD,), {"capture-may-hang:capture"}),
    "a full disk": Fault((plant.FULL_DISK,), {"dump-target-too-small:target"}),
    "a dump of last night": Fault((plant.OLD_DUMP,), {"dumps-waiting:target"}),
    # boot and packages
    "a held kernel": Fault((plant.HELD,), {"packages-held:packages"}),
    "a half-configured kernel": Fault((plant.half_configured,), {"packages-broken:packages"}),
    "a default by number": Fault((plant.BY_NUMBER,), {"boot-entry-by-position:boot"}),
    "a newer kernel": Fault((), {NEW}, snapshot=NEW_KERNEL),
    "a trial that is about to begin": Fault(
        (plant.ONCE,), {NEW, "next-boot-differs:boot"}, snapshot=NEW_KERNEL
    ),
    "a newer kernel without a module": Fault(
        (plant.MODULE_GONE,), {NEW, "module-missing:{new}"}, snapshot=NEW_KERNEL
    ),
    "a newer kernel without DKMS's": Fault((plant.DKMS,), {NEW, "dkms-missing:{new}"}, snapshot=NEW_KERNEL),
    # who else acts on it
    "upgrades that reboot": Fault(
        (plant.unattended_upgrades, plant.AUTO_REBOOT), {"reboot-by-others:unattended-upgrades"}
    ),
    "upgrades that keep the way back": Fault((plant.unattended_upgrades,), {NEW}, snapshot=NEW_KERNEL),
    "kured and its sentinel": Fault((plant.KURED,), {"reboot-by-others:kured"}),
    "Cilium over a networkd with its defaults": Fault((plant.CILIUM,), {"foreign-routes-flushed:networkd"}),
    "links of kube-proxy and flannel": Fault((PLANT,), {"stale-link:kube-ipvs0", "stale-link:flannel.1"}),
    # what the site says
    "a kernel that the site knows to be bad": Fault((), {"kernel-known-bad:site-hangs-at-night"}),
    "a kernel below the site's minimum": Fault(
        (), {"kernel-policy:minimum"}, variables={"assess_minimum_kernels": ["6.1.0-999-cloud-amd64"]}
    ),
    "a flavour that the site does not want": Fault(
        (), {"kernel-policy:flavour"}, variables={"assess_allowed_flavours": ["amd64"]}
    ),
    # what cannot be read
    "dpkg hidden": Fault(
        ("mv /usr/bin/dpkg-query /usr/bin/dpkg-query.hidden",),
        {
            "kernel-known-bad:deb1057843",  # the one whose other conditions are met here
            "newer-kernel-not-running:kernel",
            "packages-broken:packages",
            "packages-held:packages",
        },
        "unknown",
    ),
    "GRUB's menu hidden": Fault((tmpfs("/boot/grub"),), NEXT_BOOT, "unknown"),
    "without root": Fault((), NEXT_BOOT, "unknown", user="operator"),
}


@pytest.fixture(scope="module")
def story(scenario: Any) -> Iterator[Story]:
    """With snapshots of a machine that has no fault, and of the same with the new kernel on its disk."""
    teller = Story(f"{scenario.lab.name}-faults", tie=os.getpid())
    lab = Lab(teller.lab)
    lab.down()
    scenario.node.snapshot(AS_IT_IS)
    node = lab.clone(AS_IT_IS, tie=os.getpid())
    plant.plant(node, plant.PANIC_WORD)
    node.snapshot(CLEAN)
    plant.plant(node, plant.new_kernel)
    node.snapshot(NEW_KERNEL)
    yield teller
    lab.down()
    for name in SNAPSHOTS:
        shutil.rmtree(snapshots() / name)


@pytest.fixture
def machine(story: Story, request: pytest.FixtureRequest) -> Iterator[Node]:
    """A clone with the fault."""
    fault: Fault = FAULTS[request.getfixturevalue("name")]
    lab = Lab(story.lab)
    lab.down()
    node = lab.clone(fault.snapshot, tie=os.getpid())
    plant.plant(node, *fault.plants)
    yield node
    lab.down()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_alone_gives_its_finding_and_no_other(story: Story, machine: Node, name: str) -> None:
    fault, manifest = FAULTS[name], machine.lab.manifest()
    advisories = story.directory / "advisories"
    advisories.mkdir(parents=True, exist_ok=True)
    for path in advisories.iterdir():
        path.unlink()
    if name == "a kernel that the site knows to be bad":
        (advisories / "site-hangs-at-night.yml").write_text(site_advisory(manifest))
    start = time.monotonic()
    seen = story.play("assess", machine, "-e", json.dumps(fault.variables), user=fault.user)
    assert seen.rc == 0, seen.text
    opened = {":".join(key): finding["status"] for key, finding in seen.open().items()}
    wanted = {key.format(new=manifest["new"]["release"]): fault.status for key in fault.found}
    print(f"{name}: {sorted(opened) or 'nothing'} ({time.monotonic() - start:.0f} s)")
    assert opened == wanted, json.dumps([*seen.open().values()], indent=1)
