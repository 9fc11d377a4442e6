# SPDX-License-Identifier: GPL-3.0-or-later
"""Each tree of fixtures/hosts: what is wrong with it, by the catalogue and the rules, and nothing else.

The captured ones hold one fault each (tests/capture/fixtures.py), the composed ones what they were composed for.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import actors, kdump, kernel, links
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, findings, plan

HOSTS = Path(__file__).resolve().parents[2] / "fixtures" / "hosts"
READERS: dict[str, Any] = {"kernel": kernel, "kdump": kdump, "links": links, "actors": actors}
HANGS = "affected capture-may-hang:capture"
NEWER = "affected newer-kernel-not-running:kernel"
STALE = {"affected stale-link:kube-ipvs0", "affected stale-link:flannel.1"}
DOUBT = "unknown crashkernel-too-small:crashkernel"  # between what was seen to hang and what surely fits

FOUND: dict[str, set[str]] = {
    "debian-6.1-clean": set(),
    "debian-6.1-dumps": {"affected dumps-waiting:target"},
    "debian-6.1-generic-watchdog": {HANGS, "affected packages-held:packages"},  # a pin
    "debian-6.1-incident": {HANGS, "affected crashkernel-too-small:crashkernel", *STALE},
    "debian-6.1-two-kernels": {NEWER},
    "debian-6.1-once": {NEWER, "affected next-boot-differs:boot"},
    "debian-6.1-by-number": {"affected boot-entry-by-position:boot"},
    "debian-6.1-held": {"affected packages-held:packages"},
    "debian-6.1-half-configured": {"affected packages-broken:packages"},
    "debian-6.1-auto-reboot": {"affected reboot-by-others:unattended-upgrades"},
    "debian-6.1-cilium-networkd": {"affected foreign-routes-flushed:networkd"},
    "debian-6.1-kured": {"affected reboot-by-others:kured"},
    "debian-5.10-clean": set(),
    "debian-5.10-new": set(),
    "debian-6.12-clean": set(),
    "debian-6.12-new": set(),
    "ubuntu-22.04-incident": {
        HANGS,
        DOUBT,
        "affected kernel-known-bad:ubuntu-5.15.0-91",
        "affected kernel-known-bad:lp2089318",  # its condition, BPF in use, is met
        "affected kernel-known-bad:lp2153556",  # a module of bonding is loaded
        *STALE,
    },
    "ubuntu-24.04": {
        HANGS,
        "affected kernel-known-bad:lp2158377",
        "affected module-missing:6.17.0-38-generic",
        "affected next-boot-differs:boot",
    },
    # Its packages have named the kernel before the newest one.
    "rocky-9": {NEWER, DOUBT, "affected default-pinned:boot", "affected kernel-known-bad:rhel-108138"},
    "openeuler-22.03": {NEWER, "unknown kernel-known-bad:advisories"},  # of which no source was found
}
LINKS = {"cilium_migration_cleanup_links": ["flannel.1", "kube-ipvs0"]}
WORD = {"crashkernel_capture_panic": 10}
# What is planned for them; for all others nothing.
PLANNED: dict[str, dict[str, Any]] = {
    "debian-6.1-generic-watchdog": {"crashkernel": WORD},
    "debian-6.1-incident": {
        "cilium_migration_cleanup": LINKS,
        "crashkernel": {"crashkernel_size": "224M", **WORD},
    },
    "ubuntu-22.04-incident": {
        "cilium_migration_cleanup": LINKS,
        "crashkernel": WORD,
        "kernel_upgrade": {"kernel_upgrade_release": "5.15.0-204-generic"},
    },
    "ubuntu-24.04": {"crashkernel": WORD},  # a newer kernel of another source stands above the good one
}
# Not everything is there to be read: without root, and in a container's sandbox.
IN_PART = {"debian-6.1-incident-noroot", "debian-6.18-no-kdump"}
# What no machine of the family can tell.
RED_HAT = {"kernel": {"flavour", "reboot_required", "upstream"}}
# Plain Debian has nothing that would write the marker.
DEBIAN = {"kernel": {"reboot_required"}}
UNKNOWN: dict[str, dict[str, set[str]]] = {
    "rocky-9": RED_HAT,
    "openeuler-22.03": RED_HAT,
    "debian-6.1-auto-reboot": {},  # unattended-upgrades would
    "debian-6.1-kured": {},
}


@cache
def facts_of(name: str) -> Any:
    host = Host(str(HOSTS / name))
    return {part: reader.read(host) for part, reader in READERS.items()}


def opened(name: str) -> set[str]:
    found = findings.judge(facts_of(name), advisories.load(), {})
    return {f"{one['status']} {one['id']}:{one['subject']}" for one in found if one["status"] != "ok"}


def test_every_tree_is_here() -> None:
    assert {path.name for path in HOSTS.iterdir()} == FOUND.keys() | IN_PART


@pytest.mark.parametrize("name", FOUND)
def test_a_tree_shows_its_fault_and_no_other(name: str) -> None:
    assert opened(name) == FOUND[name]


@pytest.mark.parametrize("name", FOUND)
def test_what_is_planned_for_a_tree(name: str) -> None:
    found = findings.judge(facts_of(name), advisories.load(), {})
    record: Any = {"host": name, "zone": "", "findings": found, "unreachable": None, "unreadable": None}
    planned = plan.make({name: record})
    assert [step["roles"] for step in planned["steps"]] == ([PLANNED[name]] if name in PLANNED else [])
    assert planned["held_back"] == {}


def test_a_tree_whose_next_kernel_lacks_a_driver_is_not_rebooted() -> None:
    """The same, with something to cure that needs a reboot: it is held back, and what needs none is cured."""
    facts = copy.deepcopy(facts_of("ubuntu-24.04"))
    facts["kdump"]["reservation"]["bytes"] = 64 << 20
    found = findings.judge(facts, advisories.load(), {})
    record: Any = {"host": "n1", "zone": "", "findings": found, "unreachable": None, "unreadable": None}
    planned = plan.make({"n1": record})
    assert [(step["roles"], step["reboot"]) for step in planned["steps"]] == [({"crashkernel": WORD}, False)]
    assert "lacks a module loaded now: bnxt_en" in planned["held_back"]["n1"]


@pytest.mark.parametrize("name", FOUND)
def test_a_tree_tells_all_that_its_machine_could(name: str) -> None:
    unknown = {part: set(facts["unknown"]) for part, facts in facts_of(name).items() if facts["unknown"]}
    assert unknown == UNKNOWN.get(name, DEBIAN)


def test_without_root_the_same_faults_are_found_or_unknown() -> None:
    """Never fine: what root sees to be wrong, another user sees as well, or cannot tell."""
    seen = {one.partition(" ")[2] for one in opened("debian-6.1-incident-noroot")}
    assert {one.partition(" ")[2] for one in opened("debian-6.1-incident")} <= seen


@pytest.mark.parametrize("name", FOUND)
def test_a_composed_tree_says_so(name: str) -> None:
    composed = (HOSTS / name / "COMPOSED.md").exists()
    assert composed == (not name.startswith("debian-"))
    assert ('"composed": true' in (HOSTS / name / ".fleetops.json").read_text()) == composed
