# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads what the kernel lets in: Secure Boot and lockdown."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import proc

FIRMWARE = "/sys/firmware"
VARIABLES = f"{FIRMWARE}/efi/efivars"
# UEFI 2.10, 3.3: the variable SecureBoot of the global GUID, one byte. efivarfs puts four bytes of attributes before.
SECURE_BOOT = f"{VARIABLES}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
# Their firmware is no EFI, and verifies kernels in ways of its own.
OTHER_WAYS = ("s390x", "ppc64le", "ppc64")
SECURITY = "/sys/kernel/security"


def _secure_boot(shared: Shared) -> bool:
    host = shared.host
    offers = host.listdir(FIRMWARE)
    if not offers:
        raise Unreadable(f"'{FIRMWARE}' is empty: what the firmware offers is hidden here")
    if "efi" not in offers:
        if host.machine() in OTHER_WAYS:
            raise Unreadable(
                f"how a machine of the architecture {host.machine()} verifies kernels is not read"
            )
        return False
    try:
        data = host.read_bytes(SECURE_BOOT)
    except Missing:
        if not host.listdir(VARIABLES):
            raise Unreadable(
                f"'{VARIABLES}' is empty: the variables of the firmware are not mounted"
            ) from None
        return False  # firmware that has no such variable has no Secure Boot
    if len(data) != 5 or data[4] not in (0, 1):
        raise Unreadable(f"'{SECURE_BOOT}' is {data[:8].hex(' ')}, expected four bytes and then 0 or 1")
    return data[4] == 1


def _lockdown(shared: Shared) -> str:
    source = f"{SECURITY}/lockdown"
    try:
        found = proc.lockdown(shared.host.read(source))
    except Missing:
        if not shared.host.listdir(SECURITY):
            raise Unreadable(f"'{SECURITY}' is empty: securityfs is not mounted") from None
        return "none"  # a kernel that was built without it locks nothing down
    if found is None:
        raise Unreadable(f"'{source}' marks none of its words")
    return found


FACTS: Facts = {"secure_boot": _secure_boot, "lockdown": _lockdown}
