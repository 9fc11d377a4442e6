# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the modules of the running kernel, its live patches, and what DKMS builds."""

from __future__ import annotations

from typing import List, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import dkms
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import livepatch
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Livepatch

LIVEPATCHES = "/sys/kernel/livepatch"


def _livepatches(shared: Shared) -> List[Livepatch]:
    host, asking = shared.host, shared.asking
    try:
        names = host.listdir(LIVEPATCHES)
    except Missing:
        host.listdir("/sys/kernel")  # Missing: no running machine, and not one without patches
        return []
    found: List[Livepatch] = []
    for name in names:
        path = f"livepatches.{name}"
        found.append(
            {
                "name": name,
                "enabled": _switch(shared, f"{path}.enabled", f"{LIVEPATCHES}/{name}/enabled"),
                "transition": _switch(shared, f"{path}.transition", f"{LIVEPATCHES}/{name}/transition"),
                "level": asking.ask(f"{path}.level", _level, name, shared.release),
            }
        )
    return found


def _switch(shared: Shared, path: str, source: str) -> Optional[bool]:
    number = shared.asking.number(path, source)
    return None if number is None else number != 0


def _level(name: str, release: Optional[str]) -> str:
    found = livepatch.level(name, release)
    if found is None:
        raise Unreadable(f"the name '{name}' does not tell it")
    return found


FACTS: Facts = {
    "modules": lambda shared: shared.modules,
    "livepatches": _livepatches,
    "dkms": dkms.read,
}
