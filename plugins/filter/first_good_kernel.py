# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.good`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, good, records
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter


def first_good_kernel(
    facts: Mapping[str, Any], policy: str = good.NEWEST, advisories_dirs: str | Sequence[str] = ()
) -> good.Choice:
    """The kernel for a node that was read."""
    kernel = records.facts_read(facts)["kernel"]
    if kernel is None:
        raise FleetopsError("The node's kernel was not read: fleetops_kernel is missing from its facts")
    return good.choose(kernel, advisories.load(advisories_dirs), policy)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"first_good_kernel": as_filter(first_good_kernel)}
