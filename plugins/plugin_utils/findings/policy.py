# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does the running kernel keep what the site asks for? Pure. Without a policy there is nothing to say."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Finding
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    HIGH,
    LOW,
    MEDIUM,
    Case,
    finding,
    listed,
    no_answer,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import PLAIN

MINIMUM, FLAVOURS = "assess_minimum_kernels", "assess_allowed_flavours"
_FLAVOUR = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")


def minimum(case: Case) -> list[Finding]:
    """Is the running kernel at least the one of its kind that the site asks for?"""
    name = "kernel-policy", "minimum"
    wanted = minimum_kernels(case["vars"].get(MINIMUM))
    if not wanted:
        return []
    kernel = case["facts"]["kernel"]
    release = kernel["release"] if kernel else None
    running = kernel_rules.parse_release(release) if release else None
    if not kernel or not release or not running:
        return [no_answer(*name, HIGH, kernel, "release", "flavour")]
    evidence = readings.release(kernel)
    apart = {
        one: versions.incomparable(running, parsed)
        for one in wanted
        if (parsed := kernel_rules.parse_release(one)) is not None
    }
    its = [one for one, why in apart.items() if why is None]
    if not its:
        whys = [f"{one}: {why}" for one, why in apart.items()]
        reason = f"cannot tell: no entry of {MINIMUM} speaks of {release} ({listed(whys)})"
        # A fleet of several kinds may well ask something of some of them only.
        return [finding(*name, "unknown", LOW, reason, evidence)]
    least = versions.kernel_sort(its)[-1]
    asked: Evidence = {"source": MINIMUM, "text": least}
    if versions.newer_kernel_than(least, release):
        reason = f"{release} runs, and {MINIMUM} asks for {least} at least"
        return [finding(*name, "affected", HIGH, reason, [*evidence, asked])]
    return [finding(*name, "ok", HIGH, f"{release} is not older than {least}", [*evidence, asked])]


def flavour(case: Case) -> list[Finding]:
    """Is the running kernel of a flavour that the site allows?"""
    name = "kernel-policy", "flavour"
    allowed = allowed_flavours(case["vars"].get(FLAVOURS))
    if not allowed:
        return []
    kernel = case["facts"]["kernel"]
    running = kernel_rules.parse_release(kernel["release"]) if kernel and kernel["release"] else None
    if not kernel or not running:
        return [no_answer(*name, MEDIUM, kernel, "release", "flavour")]
    its = running.flavour or PLAIN
    evidence: list[Evidence] = [*readings.release(kernel), {"source": FLAVOURS, "text": ", ".join(allowed)}]
    if its in allowed:
        return [finding(*name, "ok", MEDIUM, f"the flavour '{its}' is allowed", evidence)]
    reason = f"{kernel['release']} is of the flavour '{its}', and {FLAVOURS} allows {listed(allowed)}"
    return [finding(*name, "affected", MEDIUM, reason, evidence)]


# --- what the site wrote -----------------------------------------------------------------------------


def minimum_kernels(value: Any) -> list[str]:
    """Raises FleetopsError for what is no release."""
    wanted = _texts(MINIMUM, value, "a release as 'uname -r' shows it, such as 5.15.0-112-generic")
    for number, one in enumerate(wanted):
        if kernel_rules.parse_release(one) is None:
            raise _wrong(
                f"{MINIMUM}[{number}]", one, "a release as 'uname -r' shows it, such as 5.15.0-112-generic"
            )
    return wanted


def allowed_flavours(value: Any) -> list[str]:
    """Raises FleetopsError for what can be no flavour."""
    expected = f"a flavour such as generic, cloud-amd64 or {PLAIN} (that of Red Hat's plain kernel)"
    allowed = _texts(FLAVOURS, value, expected)
    for number, one in enumerate(allowed):
        if not _FLAVOUR.match(one) or kernel_rules.parse_release(one):
            raise _wrong(f"{FLAVOURS}[{number}]", one, expected)
    return allowed


def _texts(name: str, value: Any, expected: str) -> list[str]:
    """A list of texts; one text, as the command line gives it, is split at its commas as Ansible would."""
    if value in (None, ""):
        return []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        raise _wrong(name, value, f"a list, each of it {expected}")
    for number, one in enumerate(value):
        if not isinstance(one, str):
            raise _wrong(f"{name}[{number}]", one, expected)
    return [one.strip() for one in value]


def _wrong(where: str, value: Any, expected: str) -> FleetopsError:
    return FleetopsError(f"{where} is '{value}': expected {expected}")
