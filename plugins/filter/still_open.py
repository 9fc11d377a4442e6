# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.records` and `findings`: what a node was to be cured of, and is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, findings, plan, records
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter


def still_open(
    variables: Mapping[str, Any], keys: Sequence[str], advisories_dirs: str | Sequence[str] = ()
) -> list[str]:
    """A sentence for each of *keys* that is still open after the last look, or for a look that failed."""
    host = str(variables["inventory_hostname"])
    record = records.record(host, variables, advisories.load(advisories_dirs))
    lost = record["unreachable"] or record["unreadable"]
    if lost:
        return [f"{host} could not be looked at after its cure: {lost}"]
    return [
        f"{host}: {plan.key_of(finding)} is left: {finding['reason']}"
        for finding in record["findings"]
        if findings.is_open(finding) and plan.key_of(finding) in keys
    ]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"still_open": as_filter(still_open)}
