# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Asks systemd about a unit, and reads how systemd is set up."""

from __future__ import annotations

from typing import List

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import names, texts
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import systemd
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.settings import Setting
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Service

# systemd-system.conf(5), most important first.
FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")


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


def settings(host: Host, name: str) -> List[Setting]:
    """What a file such as ``system.conf`` holds: the first main file there is, then the drop-ins."""
    main = next(texts(host, [f"{folder}/{name}" for folder in FOLDERS]), None)
    folders = [f"{folder}/{name}.d" for folder in FOLDERS]
    parts = systemd.drop_ins(folders, [names(host, folder) for folder in folders])
    return systemd.conf([*([main] if main else []), *texts(host, parts)])
