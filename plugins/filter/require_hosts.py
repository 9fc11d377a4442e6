# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a play that matches no host an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible import context
from ansible.constants import LOCALHOST
from ansible.inventory.manager import split_host_pattern
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter

# Options of ansible-playbook with which nothing runs.
ONLY_SHOWS = ("syntax", "listhosts", "listtasks", "listtags")


def require_hosts(
    hosts: Sequence[str], matched: Sequence[str], pattern: str | Sequence[str] = "all", limit: str = ""
) -> int:
    """0, which is Ansible's word for all hosts at once; FleetopsError when none of *matched* is among *hosts*."""
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    # The implicit localhost is in no inventory, and yet such a play runs on it, unless a limit leaves it out.
    named = [patterns, split_host_pattern(limit)] if limit else [patterns]
    implicit = all(set(LOCALHOST) & set(names) for names in named)
    if set(hosts) & set(matched) or implicit or any(map(context.CLIARGS.get, ONLY_SHOWS)):
        return 0
    within = f" within --limit '{limit}'" if limit else ""
    raise FleetopsError(
        f"No host matches the pattern '{','.join(patterns)}'{within}: nothing was read and nothing was changed"
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"require_hosts": as_filter(require_hosts)}
