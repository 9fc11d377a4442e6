# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The capture kernel comes back by itself. Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("kdump",)


def judge(facts: Facts) -> Gate:
    """The capture kernel reboots by itself when it fails: its command line carries ``panic=``."""
    capture = (facts.get("fleetops_kdump") or {}).get("capture") or {}
    if not capture.get("cmdline"):
        return unread("capture_reboots", facts, "fleetops_kdump", "capture.cmdline")
    evidence: list[Evidence] = [{"source": str(capture.get("source")), "text": capture["cmdline"]["raw"]}]
    if capture.get("panic"):
        return gate("capture_reboots", True, f"the capture kernel carries panic={capture['panic']}", evidence)
    return gate("capture_reboots", False, "the capture kernel carries no panic= that reboots", evidence)
