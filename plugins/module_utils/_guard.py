# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Where a change is refused before it begins: containers, and distributions that we do not know."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts


def require_machine(host: Host) -> KernelFacts:
    """Refuse a container: kernel, boot loader and host links are not its own."""
    facts = kernel.read(host)
    if facts["container"] is None:
        raise FleetopsError(
            "Nothing was changed: it cannot be told whether this is a container "
            f"({facts['unknown'].get('container', 'no reason given')})"
        )
    if facts["container"]:
        raise FleetopsError(
            "Nothing was changed: this is a container, and its kernel, boot loader and links "
            "belong to the machine that runs it"
        )
    return facts


def require_platform(host: Host, role: str = "") -> Any:
    """The `_platform` of this machine. Refuses a container, and a distribution that none of them knows.

    With *role*: refuses as well a family on which that role of the collection does not work yet.
    """
    distro = require_machine(host)["distro"]
    platform = _platform.select(distro)
    if platform is None or (role and role not in platform.CURES):
        name = f"{distro['id']} {distro['version_id']}".strip() if distro else "unknown"
        supported = "Debian, Ubuntu" if role else "Debian, Ubuntu, RHEL-like"
        raise FleetopsError(
            f"Nothing was changed: this is not supported on the distribution '{name}'"
            f"{' yet' if platform else ''} (supported: {supported})",
            distribution=name,
        )
    return platform
