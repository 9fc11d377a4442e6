# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernels that a node has beside the one that runs: which one to go back to, and which are left over. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import InstalledKernel, KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings


def kernel_previous(facts: Any, release: str = "") -> dict[str, Any]:
    """``{release, hold, reboot}``: the kernel before the running one, or *release*, and what is held when it runs.

    Where a newer kernel of its kind is held already, the running one is what a rollback came to: it stays. Raises
    FleetopsError when there is no such kernel, or what is installed is unknown.
    """
    kernel = _known(facts)
    running = kernel["release"]
    kin = _kin(kernel)
    newer = [
        one for one in kin if kernel_rules.release_key(one["release"]) > kernel_rules.release_key(running)
    ]
    older = [
        one for one in kin if kernel_rules.release_key(one["release"]) < kernel_rules.release_key(running)
    ]
    if release:
        if readings.installed(kernel, release) is None:
            raise FleetopsError(f"'{release}' is not installed: expected one of {_names(kernel)}")
        back = release
    elif any(_held(one) for one in newer):
        back = running
    elif older:
        back = older[-1]["release"]
    else:
        raise FleetopsError(
            f"There is no kernel to go back to: {running} runs, and of its kind none that is older and can boot is "
            f"installed ({_names(kernel)})"
        )
    left = readings.installed(kernel, running)
    package = left["package"]["name"] if left and left["package"] and back != running else None
    return {"release": back, "hold": [package] if package else [], "reboot": back != running}


def kernel_leftovers(facts: Any, keep: int = 0) -> list[str]:
    """Packages of the kernels that nobody needs: all but the running, the next, the fallback, and *keep* more.

    The fallback is the newest other one that can boot. One that is held is touched by nobody, and is no fallback: a
    kernel that failed is held. Raises FleetopsError when any of these is unknown.
    """
    kernel = _known(facts)
    if kernel["next_boot"] is None:
        raise FleetopsError(f"Which kernel boots next is unknown: {readings.why(kernel, 'next_boot')}")
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
        raise FleetopsError(f"kernel_upgrade_keep is '{keep}': expected a whole number, 0 or more")
    needed = {kernel["release"], kernel["next_boot"]["release"]}
    others = [one for one in kernel["installed"] if one["release"] not in needed and not _held(one)]
    if any(one["bootable"] is None for one in others):
        raise FleetopsError("Whether the other kernels can boot is unknown, and so which one is the fallback")
    # The list is in order, oldest first. A kernel that cannot boot is nobody's fallback.
    bootable = [one for one in others if one["bootable"]]
    fallback = 0 if len(needed) > 1 else 1
    kept = (
        {one["release"] for one in bootable[len(bootable) - fallback - keep :]} if fallback + keep else set()
    )
    platform = _platform.select(kernel["distro"])
    if platform is None:
        raise FleetopsError("Kernels cannot be removed on this distribution yet")
    return [
        name
        for one in others
        if one["release"] not in kept and one["package"]
        for name in platform.to_remove(one["release"], one["beside"] or [])
    ]


def _known(facts: Any) -> Any:
    kernel = facts.get("fleetops_kernel") if isinstance(facts, Mapping) else None
    if not kernel:
        raise FleetopsError("The node was not read: fleetops_kernel is missing from its facts")
    for fact in ("release", "installed"):
        if kernel[fact] is None:
            raise FleetopsError(f"{fact} is unknown: {readings.why(kernel, fact)}")
    return kernel


def _kin(kernel: KernelFacts) -> list[InstalledKernel]:
    """Those of the running one's flavour that can boot, oldest first."""
    mine = kernel_rules.parse_release(kernel["release"] or "")
    return [
        one
        for one in kernel["installed"] or []
        for its in [kernel_rules.parse_release(one["release"])]
        if mine is not None and its is not None and its.flavour == mine.flavour and one["bootable"]
    ]


def _held(one: InstalledKernel) -> bool:
    return bool(one["package"] and one["package"]["status"].startswith("h"))


def _names(kernel: KernelFacts) -> str:
    return ", ".join(one["release"] for one in kernel["installed"] or []) or "none"
