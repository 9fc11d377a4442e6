# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads what boots next, by which boot loader, how much room /boot has, and who asks for a reboot."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._types import RebootRequired, Space

BOOT = "/boot"
# Written by scripts of update-notifier, of unattended-upgrades or of linux-base (domain.md A.6).
REBOOT_REQUIRED = "/run/reboot-required"
MARKERS_WRITERS = (
    "/etc/kernel/postinst.d/update-notifier",
    "/etc/kernel/postinst.d/unattended-upgrades",
    "/usr/share/kernel/postinst.d/touch-reboot-required",
)


def _space(shared: Shared) -> Space:
    total, free = shared.host.disk(BOOT)
    return {"path": BOOT, "total_bytes": total, "free_bytes": free}


def _reboot_required(shared: Shared) -> RebootRequired:
    shared.must_run()
    if shared.platform.FAMILY != "debian":
        raise Unreadable(f"nothing on a system of the family '{shared.platform.FAMILY}' writes a marker")
    if not shared.host.exists(REBOOT_REQUIRED):
        if not any(shared.host.exists(writer) for writer in MARKERS_WRITERS):
            raise Unreadable(f"nothing that would write '{REBOOT_REQUIRED}' is installed")
        return {"required": False, "packages": [], "source": REBOOT_REQUIRED}
    try:
        names = shared.host.read(f"{REBOOT_REQUIRED}.pkgs").split()
    except Missing:
        names = []
    return {"required": True, "packages": sorted({*names}), "source": REBOOT_REQUIRED}


FACTS: Facts = {
    "next_boot": lambda shared: shared.platform.next_boot(shared.host),
    "boot_loader": lambda shared: shared.platform.boot_loader(shared.host),
    "boot_space": _space,
    "reboot_required": _reboot_required,
}
