# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Asks systemd about a unit."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Service


def service(host: Host, unit: str) -> Service:
    """The state of a unit. Raises Missing when there is none of that name."""
    argv = ["systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", unit]
    values = dict(line.partition("=")[::2] for line in host.run(argv).splitlines())
    if values.get("LoadState") == "not-found":
        raise Missing(f"there is no unit '{unit}'")
    for name in ("ActiveState", "UnitFileState"):
        if name not in values:
            raise FleetopsError(f"'{' '.join(argv)}' did not say {name}")
    return {
        "name": unit,
        "enabled": values["UnitFileState"] in ("enabled", "enabled-runtime"),
        "active": values["ActiveState"] == "active",
    }
