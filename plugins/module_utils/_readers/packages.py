# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads what the package manager says of kernels."""

from __future__ import annotations

from typing import Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._readers.running import VERSION_SIGNATURE
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelPackages, Package


def _package(shared: Shared) -> Package:
    """The package of the running kernel, in the version that runs: a newer one may be on the disk."""
    if shared.packages is None:
        raise Unreadable(shared.why("package"))
    if shared.release is None:
        raise Unreadable("the running release is unknown")
    package = shared.image_packages.get(shared.release)
    version = _running_version(shared, package)
    if version is None:
        raise Unreadable(
            "'/proc/version' names no package version: this kernel is not one of the distribution"
        )
    if package is None:
        name = str(shared.platform.kernel_package(shared.release))
        return {"name": name, "version": version, "source": "", "source_version": "", "status": "un"}
    if package["version"] == version:
        return package
    return {**package, "version": version, "source_version": version}


def _running_version(shared: Shared, package: Optional[Package]) -> Optional[str]:
    """The package version of what runs, by the kernel's own word."""
    try:
        return rules.ubuntu_version_of(shared.host.read(VERSION_SIGNATURE))
    except Missing:
        found = rules.debian_version_of(shared.host.read("/proc/version"))
    if found is not None:
        return found
    # Of rpm, the release has the package's version and release in it: one version of a package brings it.
    if package is not None and "release" in package:
        return package["version"]
    spelt = rules.parse_release(shared.release or "")
    return f"{spelt.upstream}-{spelt.abi}" if spelt is not None and spelt.scheme == "rpm" else None


def _kernel_packages(shared: Shared) -> KernelPackages:
    if shared.packages is None:
        raise Unreadable(shared.why("package"))
    found: KernelPackages = shared.platform.kernel_packages(shared.host, shared.packages)
    found["pins"] = shared.asking.ask("packages.pins", shared.platform.pins, shared.host, shared.packages)
    for meta in found["metas"]:
        if meta["tracks"] is None:
            shared.asking.say(f"packages.metas.{meta['name']}.tracks", "it depends on no image of a kernel")
    return found


FACTS: Facts = {"package": _package, "packages": _kernel_packages}
