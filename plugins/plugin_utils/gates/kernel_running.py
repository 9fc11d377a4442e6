# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node runs this kernel. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate, KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import order
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("kernel",)


def judge(facts: Facts, want: str) -> Gate:
    """The node runs exactly the release *want*, and no newer upload of it waits on the disk for a reboot."""
    kernel: Any = facts.get("fleetops_kernel") or {}
    running = kernel.get("release")
    if running is None:
        return unread("kernel_running", facts, "fleetops_kernel", "release")
    evidence: list[Evidence] = [{"source": "/proc/sys/kernel/osrelease", "text": running}]
    if running == want:
        waits = _newer_upload(kernel)
        return gate("kernel_running", not waits, f"runs {running}{waits}", evidence)
    return gate("kernel_running", False, f"runs {running}, not {want}", evidence)


def _newer_upload(kernel: KernelFacts) -> str:
    """Debian replaces a kernel under its own name: what is on the disk now, and does not run; '' for none."""
    known = kernel.get("package") and kernel.get("installed")
    found = order.newer_upload(kernel) if known else None
    if not found or not found["package"] or not kernel["package"]:
        return ""
    return f" in version {kernel['package']['version']}, and {found['package']['version']} is installed since"
