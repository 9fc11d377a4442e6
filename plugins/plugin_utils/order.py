# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is a kernel newer than the one that runs? The one home of that question. Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import InstalledKernel, KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Subject


def newer(running: Subject, release: str, version: str | None) -> tuple[bool | None, str]:
    """Is a kernel of the running one's kind newer than it? None: that cannot be told, with a why.

    By the versions of their packages, which also tell apart two uploads of one release; else by their releases.
    """
    try:
        if running["distro"] and running["source"] and running["version"] and version:
            order = versions.order_of(running["distro"])
            return versions.in_range(version, [(">", running["version"])], order), ""
        return versions.newer_kernel_than(release, running["release"] or ""), ""
    except FleetopsError as error:
        return None, error.msg


def newer_upload(kernel: KernelFacts) -> InstalledKernel | None:
    """The running release as it is on the disk, where its package was replaced by a newer one since it was booted."""
    running = matching.subject_of(kernel)
    for one in kernel["installed"] or []:
        package = one["package"]
        if one["release"] == running["release"] and package:
            return one if newer(running, one["release"], package["version"])[0] else None
    return None
