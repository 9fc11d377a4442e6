# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.findings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, findings, records, sitevars
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter


def judge(
    facts: Mapping[str, Any],
    choices: Mapping[str, Any] | None = None,
    advisories_dirs: str | Sequence[str] = (),
) -> list[Finding]:
    """All findings about a node that was read, worst first."""
    chosen = records.plain(choices or {})
    for name in chosen:
        if name not in records.CHOICES:
            raise FleetopsError(f"'{name}' is no choice: expected {', '.join(records.CHOICES)}")
    bad = sitevars.say(sitevars.wrong(chosen))
    if bad:
        raise FleetopsError(bad)
    return findings.judge(records.facts_read(facts), advisories.load(advisories_dirs), chosen)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"findings": as_filter(judge)}
