# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads what boots next, by which boot loader, how much room /boot has, and who asks for a reboot."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import (
    names,
    texts,
    unless_missing,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bootpin, trialguard
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    BootPin,
    RebootRequired,
    Space,
    Trial,
)

BOOT = "/boot"
KEXEC_DEFAULTS = "/etc/default/kexec"
# Both are one where /sbin is a link.
KEXEC_TOOLS = ("/usr/sbin/kexec", "/sbin/kexec")
KEXEC_PACKAGE = "kexec-tools"  # on both families
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


def _load_kexec(shared: Shared) -> bool:
    """Does a reboot start the next kernel by kexec, past the firmware and the boot loader?

    Scripts of Debian's kexec-tools do so when they are told to (kexec-load, kexec): whatever is for one boot only, or
    chosen in the boot loader's menu, then never comes to be asked.
    """
    host, value = shared.host, ""
    parts = [f"{KEXEC_DEFAULTS}.d/{name}" for name in names(host, f"{KEXEC_DEFAULTS}.d")]
    found = list(texts(host, [KEXEC_DEFAULTS, *parts]))
    if not found and not host.exists("/etc"):
        raise Missing("there is no '/etc'")  # no machine's disk, and not one without that setting
    for path, text in found:
        value = kdump_rules.shell_assignments(text).get("LOAD_KEXEC", value)
        if not kdump_rules.is_literal(value):
            raise Unreadable(f"LOAD_KEXEC in '{path}' is worked out by the shell")
    return value == "true"


def _kexec_tool(shared: Shared) -> bool:
    """Is the command there that loads a kernel for kexec?"""
    host, unread = shared.host, None
    try:
        if any(host.exists(path) for path in KEXEC_TOOLS):
            return True
    except Unreadable as error:
        unread = error
    # What a machine left behind need not hold its programs; that their package was installed says as much.
    if not host.live:
        if shared.packages is None:
            raise unread or Unreadable(shared.why("package"))
        named = (package for package in shared.packages if package["name"] == KEXEC_PACKAGE)
        if any(package["status"][1:2] == "i" for package in named):
            return True
    if unread is not None:
        raise unread
    return False


def pinned(host: Host, platform: Any) -> Optional[BootPin]:
    """What our own file of the boot loader's settings names; None where there is none."""
    path = platform.DEFAULT_DROPIN
    text = unless_missing(host.read, path) if path else None
    return None if text is None else bootpin.parse(path, text)


def trial(host: Host) -> Optional[Trial]:
    """The kernel on trial that our own unit speaks of; None where there is none."""
    text = unless_missing(host.read, trialguard.UNIT_PATH)
    return None if text is None else trialguard.parse(text)


FACTS: Facts = {
    "next_boot": lambda shared: shared.platform.next_boot(shared.host),
    "boot_loader": lambda shared: shared.platform.boot_loader(shared.host),
    "boot_environment": lambda shared: shared.platform.boot_environment(shared.host),
    "load_kexec": _load_kexec,
    "kexec_tool": _kexec_tool,
    "pinned": lambda shared: pinned(shared.host, shared.platform),
    "trial": lambda shared: trial(shared.host),
    "boot_space": _space,
    "reboot_required": _reboot_required,
}
