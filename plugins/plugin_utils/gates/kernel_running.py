# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node runs this kernel. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate, KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import order
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("kernel",)
# Only another boot runs another kernel: waiting does not help.
FINAL = True


def judge(facts: Facts, want: str = "", boot_id: str = "") -> Gate:
    """The node runs exactly the release *want*, and no newer upload of it waits on the disk for a reboot.

    *boot_id*: that of the boot before, which must be over. While it is not, nobody can tell what the next one runs.
    Without *want* any kernel will do, and *boot_id* has to be given.
    """
    name = "kernel_running"
    if not want and not boot_id:
        raise FleetopsError(f"{name}: want is empty, expected a release; or boot_id, that of the boot before")
    kernel: Any = facts.get("fleetops_kernel") or {}
    running, booted = kernel.get("release"), kernel.get("boot_id")
    if running is None:
        return unread(name, facts, "fleetops_kernel", "release")
    evidence: list[Evidence] = [{"source": "/proc/sys/kernel/osrelease", "text": running}]
    if boot_id:
        if booted is None:
            return unread(name, facts, "fleetops_kernel", "boot_id")
        evidence.append({"source": "/proc/sys/kernel/random/boot_id", "text": booted})
        if booted == boot_id:
            words = f"cannot tell yet: the boot of before still runs, with {running} (boot_id {boot_id})"
            return gate(name, None, words, evidence)
    if want and running != want:
        return gate(name, False, f"runs {running}, not {want}", evidence)
    waits = _newer_upload(kernel) if want else ""
    return gate(name, not waits, f"runs {running}{waits}", evidence)


def _newer_upload(kernel: KernelFacts) -> str:
    """Debian replaces a kernel under its own name: what is on the disk now, and does not run; '' for none."""
    known = kernel.get("package") and kernel.get("installed")
    found = order.newer_upload(kernel) if known else None
    if not found or not found["package"] or not kernel["package"]:
        return ""
    return f" in version {kernel['package']['version']}, and {found['package']['version']} is installed since"
