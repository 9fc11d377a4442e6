# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.matching`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, matching, readings, records
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_test


def affected_by(facts: Mapping[str, Any], name: str, advisories_dirs: str | Sequence[str] = ()) -> bool:
    """Does an advisory name the kernel that runs? Raises FleetopsError when that cannot be told."""
    advisory = next((one for one in advisories.load(advisories_dirs) if one["id"] == name), None)
    if advisory is None:
        raise FleetopsError(f"There is no advisory '{name}'")
    kernel = records.facts_read(facts)["kernel"]
    if kernel is None:
        raise FleetopsError(f"It is unknown whether '{name}' affects this node: its kernel was not read")
    answer = matching.judge(advisory, matching.subject_of(kernel), matching.traits_of(kernel))
    if answer.status == matching.UNKNOWN:
        whys = [
            readings.why(kernel, path) for path in ("distro", "package", "release") if not kernel.get(path)
        ]
        why = answer.doubt or "; ".join(whys) or "its codename, its flavour or its source package is unknown"
        raise FleetopsError(f"It is unknown whether '{name}' affects this node: {why}")
    return answer.status == matching.AFFECTED


class TestModule:
    def tests(self) -> dict[str, Callable[..., Any]]:
        return {"affected_by": as_test(affected_by)}
