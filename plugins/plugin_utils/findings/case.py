# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every rule gets, and the pieces that findings are made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Evidence,
    Finding,
    KernelFacts,
    Remedy,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

# Per rule; an advisory and a link bring their own.
HIGH, MEDIUM, LOW = "high", "medium", "low"
# Roles that touch nothing that differs between distributions.
ANYWHERE = ("cilium_migration_cleanup",)
# Names that a reason lists.
MOST_NAMES = 10


class Case(TypedDict):
    """What a rule gets."""

    facts: readings.NodeFacts
    advisories: Sequence[Advisory]
    vars: Mapping[str, Any]


def finding(  # a row's columns
    id_: str,
    subject: str,
    status: str,
    severity: str,
    reason: str,
    evidence: Sequence[Evidence],
    remedy: Remedy | None = None,
) -> Finding:
    return {
        "id": id_,
        "subject": subject,
        "status": status,
        "severity": severity,
        "reason": reason,
        "evidence": list(evidence),
        "remedy": remedy,
    }


def not_read(id_: str, subject: str, part: str, severity: str = HIGH) -> Finding:
    return finding(id_, subject, "unknown", severity, f"cannot tell: the {part} facts were not read", [])


def no_answer(id_: str, subject: str, severity: str, kernel: KernelFacts | None, *paths: str) -> Finding:
    """A rule about the kernel cannot answer: with the reader's reason for the first of *paths* that has one."""
    if kernel is None:
        return not_read(id_, subject, "kernel", severity)
    if kernel["container"]:
        return finding(id_, subject, "unknown", severity, readings.CONTAINER, [])
    whys = (readings.why(kernel, path) for path in paths)
    reason = next((why for why in whys if why != readings.NO_REASON), readings.NO_REASON)
    return finding(id_, subject, "unknown", severity, f"cannot tell: {reason}", [])


def remedy_of(
    kernel: KernelFacts | None, role: str, variables: Mapping[str, Any]
) -> tuple[Remedy | None, str]:
    """(remedy, what the reason adds): none where the role would refuse, so that no plan starts what must fail."""
    if kernel is not None and kernel["container"]:
        return None, " (no cure from here: this is a container)"
    distro = kernel["distro"] if kernel is not None else None
    platform = _platform.select(distro)
    works = role in ANYWHERE or distro is None or (platform is not None and role in platform.CURES)
    if distro is not None and not works:
        return None, f" (no cure from here: {distro['id']} cannot be changed yet by the role {role})"
    return {"role": role, "vars": dict(variables)}, ""


def listed(names: Sequence[str]) -> str:
    """``a, b and 3 more``: what is still read of a long list."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
