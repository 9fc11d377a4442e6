# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a role is to aim at on this node: the kernel's package and release, the size of the reservation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings

# dpkg's status words of a package that is there in full: wanted (i) or held (h), and installed (i).
INSTALLED = ("ii", "hi")


def kernel_target(facts: Mapping[str, Any], release: str = "", package: str = "") -> dict[str, Any]:
    """``{release, package, packages, installed, package_manager}`` of the kernel that one of the two names asks for.

    ``packages``: what is to be installed for it: its ``package``, and what the running kernel has beside its own.

    ``installed``: all of it is there in full. Raises FleetopsError when its package is, and yet cannot boot.
    """
    kernel = _part(facts, "fleetops_kernel")
    release = release_wanted(kernel, release, package)
    platform = _platform.select(kernel.get("distro"))
    if platform is None:
        raise FleetopsError(f"Kernels cannot be installed on this distribution yet: {_name(kernel)}")
    package = platform.kernel_package(release)
    if kernel.get("installed") is None:
        raise FleetopsError(
            f"The installed kernels are unknown: {kernel.get('unknown', {}).get('installed')}"
        )
    found = readings.installed(kernel, release)
    whole = bool(found and found["package"] and found["package"]["status"].strip() in INSTALLED)
    if found and whole and found["bootable"] is False:
        # The package manager would do nothing for a package that is there in full.
        raise FleetopsError(
            f"{package} is installed, but cannot boot; missing: {', '.join(found['missing'])}. Install it again first"
        )
    packages = platform.to_install(release, _beside(kernel, kernel.get("release")))
    if found and whole:
        there = platform.to_install(release, _beside(kernel, release))
        packages = [name for name in packages if name not in there]
    return {
        "release": release,
        "package": package,
        "packages": packages,
        "installed": whole and not packages,
        "package_manager": platform.PACKAGE_MANAGER,
    }


def _beside(kernel: Mapping[str, Any], release: str | None) -> Sequence[str]:
    """What is installed beside the image of a kernel. Raises FleetopsError when that is not known."""
    found = readings.installed(kernel, release)
    if found is not None and found["beside"] is None:
        why = readings.why(kernel, f"installed.{release}.beside")
        raise FleetopsError(f"What is installed beside the image of {release} is unknown: {why}")
    return (found["beside"] or []) if found else []


def release_wanted(kernel: Mapping[str, Any], release: Any = "", package: Any = "") -> str:
    """The release that one of the two names asks for. Raises FleetopsError unless exactly one does."""
    if bool(release) == bool(package):
        raise FleetopsError(
            "Name the kernel by exactly one of kernel_upgrade_release and kernel_upgrade_package: "
            f"got release '{release}' and package '{package}'"
        )
    if not isinstance(release or package, str):
        raise FleetopsError(
            f"kernel_upgrade_{'release' if release else 'package'} is '{release or package}': expected a text"
        )
    if release:
        return str(release)
    platform = _platform.select(kernel.get("distro"))
    if platform is None:
        raise FleetopsError(f"Kernels cannot be installed on this distribution yet: {_name(kernel)}")
    # rpm's names may go without the architecture.
    named = (package, f"{package}.{kernel.get('architecture')}")
    found: str | None = next((found for found in map(platform.release_named, named) if found), None)
    if found is None:
        raise FleetopsError(
            f"Not the package of a kernel image: '{package}', expected one like '{platform.EXAMPLE}'"
        )
    return found


def crashkernel_size(facts: Mapping[str, Any], size: str) -> str:
    """The value to stand after ``crashkernel=``: *size* once checked, or the safe size for ``auto``."""
    if size == "auto":
        return crashkernel.safe_size(_part(facts, "fleetops_kernel"), _part(facts, "fleetops_kdump"))
    return crashkernel.check(size)


def _part(facts: Mapping[str, Any], key: str) -> Any:
    part = facts.get(key) if isinstance(facts, Mapping) else None
    if not part:
        raise FleetopsError(f"The node was not read: {key} is missing from its facts")
    return part


def _name(kernel: Mapping[str, Any]) -> str:
    distro = kernel.get("distro") or {}
    return f"{distro.get('id') or 'unknown'} {distro.get('version_id') or ''}".strip()
