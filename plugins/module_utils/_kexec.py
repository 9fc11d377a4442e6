# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the kernel says about its capture kernel.

The files moved in 6.19 (Documentation/ABI/testing/sysfs-kernel-kexec-kdump).
"""

from __future__ import annotations

import re
from typing import Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Vmcoreinfo

CRASH_LOADED = ("/sys/kernel/kexec/crash_loaded", "/sys/kernel/kexec_crash_loaded")
LOADED = ("/sys/kernel/kexec/loaded", "/sys/kernel/kexec_loaded")
ELFCOREHDR_SIZE = ("/sys/kernel/kexec/crash_elfcorehdr_size", "/sys/kernel/crash_elfcorehdr_size")
VMCOREINFO = "/sys/kernel/vmcoreinfo"
CRASH_SIZE = ("/sys/kernel/kexec/crash_size", "/sys/kernel/kexec_crash_size")


def crash_loaded(host: Host) -> bool:
    """Is a capture kernel loaded? On a kernel that cannot load one, none is."""
    return _number(host, CRASH_LOADED, "[01]") == 1


def crash_size(host: Host) -> int:
    """Bytes that are reserved for a capture kernel; 0 when none are."""
    return _number(host, CRASH_SIZE, r"\d{1,20}")  # of 64 bits


def loaded(host: Host) -> bool:
    """Is a kernel loaded that the next kexec starts, as in ``systemctl kexec``?"""
    return _number(host, LOADED, "[01]") == 1


def elfcorehdr_size(host: Host) -> int:
    """Bytes of the header that this kernel renews when processors or memory come and go; 0 when it does not."""
    return _number(host, ELFCOREHDR_SIZE, r"\d{1,20}")


def vmcoreinfo(host: Host) -> Vmcoreinfo:
    """Where the kernel keeps what a reader of its memory needs. Raises Missing on one without kexec."""
    text = host.read(VMCOREINFO)
    found = re.match(r"(?:0x)?([0-9a-f]{1,16}) ([0-9a-f]{1,16})\n?\Z", text, re.ASCII)
    if not found:
        raise Unreadable(f"'{VMCOREINFO}' says {text[:40]!r}, and an address and a size were expected")
    return {"address": f"{int(found.group(1), 16):#x}", "bytes": int(found.group(2), 16)}


def _number(host: Host, places: Tuple[str, ...], pattern: str) -> int:
    """What the file says, in its new or its old place; 0 when the kernel was built without kexec."""
    text = host.read_first(places)
    if text is None:
        host.listdir("/sys/kernel")  # Missing: not a running machine, so that nothing is known
        return 0
    if not re.match(rf"{pattern}\n?\Z", text, re.ASCII):
        raise Unreadable(f"'{places[-1]}' says {text[:40]!r}, and a number was expected")
    return int(text)
