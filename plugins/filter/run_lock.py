# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets one controller roll at a time: a lock that is taken where a play's keywords are evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.utils.display import Display
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock

# Options of ansible-playbook with which nothing runs, or nothing is written.
ONLY_LOOKS = ("syntax", "listhosts", "listtasks", "listtags", "check")


def run_lock(value: Any, path: str, needed: Any = True) -> Any:
    """*value*, as it is, after the lock of the ledger *path* was taken."""
    if boolean(needed) and not any(map(context.CLIARGS.get, ONLY_LOOKS)):
        lock.take(str(path), Display().display)
    return value


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_lock": as_filter(run_lock)}
