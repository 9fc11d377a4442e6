# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts of which a folder on the controller holds what they left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter

EXPECTED = "expected a folder that has one folder for each host, named like the host"


def left_behind(folder: Any) -> list[dict[str, str]]:
    """``host`` and ``root`` of each folder below *folder*, sorted. Files and hidden folders are passed over.

    Raises FleetopsError where there is no such folder, where it has no folder in it, and where one is not named as a
    host can be.
    """
    if not isinstance(folder, str) or not folder.strip():
        raise FleetopsError(f"fleetops_assess_from is {folder!r}: {EXPECTED}")
    path = os.path.abspath(os.path.expanduser(folder))
    try:
        with os.scandir(path) as entries:
            names = sorted(
                entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
            )
    except OSError as error:
        raise FleetopsError(
            f"fleetops_assess_from is '{folder}': {error.strerror} ('{path}'); {EXPECTED}"
        ) from error
    if not names:
        raise FleetopsError(f"fleetops_assess_from is '{folder}': there is no folder in '{path}'; {EXPECTED}")
    odd = [name for name in names if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII)]
    if odd:
        raise FleetopsError(
            f"fleetops_assess_from is '{folder}': '{odd[0]}' in it is no name of a host; {EXPECTED}"
        )
    return [{"host": name, "root": os.path.join(path, name)} for name in names]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"left_behind": as_filter(left_behind)}
