# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a host the order of a rollout depends on. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import Record

VIRTUAL: Mapping[bool | None, str] = {True: "virtual", False: "bare metal", None: "virtual or not is unknown"}
MIB = 1 << 20


class Host(TypedDict):
    """What the order depends on, of every host of the play.

    ``hardware``: what kernels break by. ``dark``, ``unhealthy``: why it serves nobody, '' when it does. ``controller``:
    this very process runs on it.
    """

    zones: list[str]
    hardware: str
    release: str | None
    dark: str
    unhealthy: str
    controller: bool


def zone_of(host: Host) -> str:
    """Its zone, the first of several; '' when it has none."""
    return host["zones"][0] if host["zones"] else ""


def hosts_of(
    records: Mapping[str, Record], controller: str | None = None, unhealthy: Mapping[str, str] | None = None
) -> dict[str, Host]:
    """*records* as `make` wants them. *controller*: its boot_id; *unhealthy*: why, of hosts that serve nobody."""
    found: dict[str, Host] = {}
    for host, record in records.items():
        facts = record["facts"]
        kernel: Mapping[str, Any] = (facts["kernel"] if facts else None) or {}
        blind = None if record["bad_variables"] else record["unreadable"]
        found[host] = {
            "zones": record["zones"],
            "hardware": hardware_of(kernel),
            "release": kernel.get("release"),
            "dark": record["unreachable"] or blind or "",
            "unhealthy": (unhealthy or {}).get(host, ""),
            "controller": bool(controller) and kernel.get("boot_id") == controller,
        }
    return found


def hardware_of(kernel: Mapping[str, Any]) -> str:
    """What kernels break by, in words: processor, memory, IOMMU, and the drivers that its devices are bound to.

    These say more than the name of a model, of which one comes with several network cards. Memory in powers of two,
    since equal machines differ by some MiB.
    """
    memory = kernel.get("memory_bytes")
    size = f"{2 ** round(math.log2(memory / MIB))} MiB" if memory and memory >= MIB else "memory unknown"
    modules = kernel.get("modules") or {}
    parts = [
        str(kernel.get("architecture") or "architecture unknown"),
        str(kernel.get("cpu_vendor") or "processor unknown"),
        VIRTUAL[kernel.get("virtual")],
        size,
        *(["iommu"] if kernel.get("iommu") else []),
        " ".join(kernel.get("drivers") or ["drivers unknown"]),
        *([f"out of tree: {' '.join(modules['out_of_tree'])}"] if modules.get("out_of_tree") else []),
    ]
    return ", ".join(parts)
