# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a node, how do we know, and what cures it. Pure: one file of rules for each subject.

A rule answers with findings. What it could not read is ``unknown`` with the reader's reason, and never ``ok``;
what it checked and found in order is ``ok``, because that is part of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings import (
    actors,
    boot,
    kdump,
    kernel,
    links,
    packages,
    policy,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import Case
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import SEVERITIES, Advisory

# Subjects of findings that speak of all that there are.
ALL = ("advisories", "links", "actors", packages.UNKNOWN_KERNEL)

# A row per rule: to add one is to add it here.
RULES: tuple[Callable[[Case], list[Finding]], ...] = (
    kernel.known_bad,
    policy.minimum,
    policy.flavour,
    boot.next_boot_differs,
    boot.boot_entry_by_position,
    boot.default_pinned,
    boot.newer_kernel_not_running,
    boot.livepatched,
    packages.packages_held,
    packages.packages_broken,
    packages.module_missing,
    packages.dkms_missing,
    packages.vendor_module_missing,
    kdump.crashkernel_too_small,
    kdump.kdump_not_armed,
    kdump.kdump_not_reserved,
    kdump.capture_may_hang,
    kdump.dump_target_too_small,
    kdump.dumps_waiting,
    links.stale_link,
    actors.reboot_by_others,
    actors.fallback_may_be_removed,
    actors.foreign_routes_flushed,
)


def judge(
    facts: readings.NodeFacts, advisories: Sequence[Advisory], variables: Mapping[str, Any]
) -> list[Finding]:
    """All findings about one node, worst first.

    *variables* are the host's: where the site has set ``crashkernel_size``, ``crashkernel_capture_panic``,
    ``kernel_upgrade_release`` or ``kernel_upgrade_package``, that is what the remedies propose;
    ``assess_minimum_kernels`` and ``assess_allowed_flavours`` are its policy. Raises FleetopsError for a value that
    cannot be meant.
    """
    case: Case = {"facts": facts, "advisories": advisories, "vars": variables}
    return sorted((finding for rule in RULES for finding in rule(case)), key=weight)


def weight(finding: Finding) -> tuple[int, int, str, str]:
    """Sort key: affected before unknown before ok, then worst first."""
    status = ("affected", "unknown", "ok").index(finding["status"])
    return status, SEVERITIES.index(finding["severity"]), finding["id"], finding["subject"]


def is_open(finding: Finding) -> bool:
    """Does it keep its node from being clean?"""
    return finding["status"] != "ok"
