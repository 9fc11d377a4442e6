# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A door to `plugin_utils.maintenance`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import maintenance
from ansible_collections.fleetops.kernel.plugins.plugin_utils.doors import as_filter


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"gates_after_reboot": as_filter(maintenance.after_reboot)}
