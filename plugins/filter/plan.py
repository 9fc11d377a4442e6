# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, plan, records
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter


def make(
    hostvars: Mapping[str, Any], hosts: Sequence[str], advisories_dirs: str | Sequence[str] = ()
) -> plan.Plan:
    """The plan for *hosts*, from their facts."""
    return plan.make(records.collect(hostvars, hosts, advisories.load(advisories_dirs)))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan": as_filter(make)}
