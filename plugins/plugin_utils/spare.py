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
    """``{release, package, hold, reboot}``: the kernel before the running one, or *release*, and what is held then.

    ``package``: of its image, null where no package brought it.

    Where a newer kernel of its kind is held, and none before the running one can boot, a rollback came here: it stays.
    Where one can, a rollback from the running kernel and one that is over look alike: *release* has to say.
    Raises FleetopsError then, when there is no such kernel, and when what is installed is unknown.
    """
    kernel = _known(facts)
    running = kernel["release"]
    mine = kernel_rules.release_key(running)
    newer = [
        one["release"]
        for one in _kin(kernel)
        if kernel_rules.release_key(one["release"]) > mine and _held(one)
    ]
    older = [one["release"] for one in _older(kernel)]
    if release:
        if readings.installed(kernel, release) is None:
            raise FleetopsError(f"'{release}' is not installed: expected one of {_names(kernel)}")
        back = release
    elif newer and older:
        raise FleetopsError(
            f"{', '.join(newer)} {'is' if len(newer) == 1 else 'are'} held and newer than {running}, which runs: "
            "name the kernel to go back to (kernel_upgrade_release), "
            f"one of {', '.join(reversed(older))}, or {running} to stay"
        )
    elif newer:
        back = running
    elif older:
        back = older[-1]
    else:
        raise FleetopsError(
            f"There is no kernel to go back to: {running} runs, and of its kind none that is older and can boot is "
            f"installed ({_names(kernel)})"
        )
    left = readings.installed(kernel, running)
    package = left["package"]["name"] if left and left["package"] and back != running else None
    there = readings.installed(kernel, back)
    return {
        "release": back,
        "package": there["package"]["name"] if there and there["package"] else None,
        "hold": [package] if package else [],
        "reboot": back != running,
    }


def kernel_leftovers(facts: Any, keep: int = 0) -> list[str]:
    """Packages of the kernels that nobody needs: all but the running, the next, the fallback, and *keep* more.

    The fallback is the one that `kernel_previous` would go back to: the newest of its kind before the running one that
    can boot; where there is none, the newest other one that can. One that is held is touched by nobody, and is no
    fallback: a kernel that failed is held. Raises FleetopsError when any of these is unknown.
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
    bootable = [one["release"] for one in others if one["bootable"]]
    older = [one["release"] for one in _older(kernel) if not _held(one)]
    if older:
        fallback = older[-1:]
    elif any(
        one["release"] in needed - {kernel["release"]} and one["bootable"] for one in kernel["installed"]
    ):
        fallback = []
    else:
        fallback = bootable[-1:]
    more = [release for release in bootable if release not in fallback]
    kept = {*fallback, *more[max(0, len(more) - keep) :]}
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


def _older(kernel: KernelFacts) -> list[InstalledKernel]:
    """Those of the kin before the running one, oldest first."""
    mine = kernel_rules.release_key(kernel["release"] or "")
    return [one for one in _kin(kernel) if kernel_rules.release_key(one["release"]) < mine]


def _held(one: InstalledKernel) -> bool:
    return bool(one["package"] and one["package"]["status"].startswith("h"))


def _names(kernel: KernelFacts) -> str:
    return ", ".join(one["release"] for one in kernel["installed"] or []) or "none"
