# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module of the same name, and lends it pyroute2 when the node has none."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.plugin_utils.carry import CarryingAction


class ActionModule(CarryingAction):
    """See the module."""
