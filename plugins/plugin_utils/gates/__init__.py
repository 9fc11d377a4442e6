# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this node return, may the next one start? One pure predicate per gate, and one file for each.

The file of a gate has its name and two things: ``READS``, the parts that it needs, and ``judge(facts, **options)``,
which takes the ``ansible_facts`` of the look (``fleetops_kernel``, ``fleetops_kdump``, ``fleetops_links``) and answers
with a Gate. ``passed: None`` is *cannot tell*, and counts as closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates import (
    capture_reboots,
    crashkernel_reserved,
    kdump_armed,
    kernel_boots_next,
    kernel_can_boot,
    kernel_running,
    no_stale_links,
)

GATES: dict[str, Any] = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        kernel_running,
        kernel_boots_next,
        kernel_can_boot,
        kdump_armed,
        capture_reboots,
        crashkernel_reserved,
        no_stale_links,
    )
}


def judge(facts: Any, name: str, **options: Any) -> Gate:
    """The gate *name* over *facts*. Facts that were not read (an unreachable node) close it."""
    if name not in GATES:
        raise FleetopsError(f"There is no gate '{name}': expected one of {', '.join(sorted(GATES))}")
    answer: Gate = GATES[name].judge(facts if isinstance(facts, Mapping) else {}, **options)
    return answer
