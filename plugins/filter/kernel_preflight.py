# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.preflight`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, preflight
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter
from ansible_collections.fleetops.kernel.plugins.plugin_utils.trial import Problem


def kernel_preflight(
    facts: Mapping[str, Any],
    target: Mapping[str, Any],
    packages: Any = None,
    trial: Any = None,
    *,
    accept_advisories: Sequence[str] | str = (),
    allow_series_change: bool = False,
    release_held: bool = False,
    repair: bool = False,
    advisories_dirs: str | Sequence[str] = (),
) -> list[Problem]:
    """All problems of a change, with the catalogue of the collection and the site's own."""
    return preflight.kernel_preflight(
        facts,
        target,
        packages,
        trial,
        advisories.load(advisories_dirs),
        accept_advisories=accept_advisories,
        allow_series_change=allow_series_change,
        release_held=release_held,
        repair=repair,
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"kernel_preflight": as_filter(kernel_preflight)}
