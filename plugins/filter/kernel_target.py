# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.target`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, good, target
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter


def kernel_target(
    facts: Mapping[str, Any],
    release: str = "",
    package: str = "",
    minimum: str = "",
    first_good: bool = False,
    *,
    available: Any = (),
    policy: str = good.NEWEST,
    advisories_dirs: str | Sequence[str] = (),
) -> target.Target:
    """The target for a node that was read; the catalogue is only read for a target that it has a word in."""
    catalogue = advisories.load(advisories_dirs) if minimum or first_good else []
    return target.kernel_target(facts, release, package, minimum, first_good, available, catalogue, policy)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kernel_target": as_filter(kernel_target)}
