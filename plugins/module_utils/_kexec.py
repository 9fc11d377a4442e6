# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the kernel says about its capture kernel.

The files moved in 6.19 (Documentation/ABI/testing/sysfs-kernel-kexec-kdump).
"""

from __future__ import annotations

from typing import Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host

CRASH_LOADED = ("/sys/kernel/kexec/crash_loaded", "/sys/kernel/kexec_crash_loaded")
CRASH_SIZE = ("/sys/kernel/kexec/crash_size", "/sys/kernel/kexec_crash_size")


def crash_loaded(host: Host) -> bool:
    """Is a capture kernel loaded? On a kernel that cannot load one, none is."""
    text = _read(host, CRASH_LOADED)
    return text is not None and text.strip() == "1"


def crash_size(host: Host) -> int:
    """Bytes that are reserved for a capture kernel; 0 when none are."""
    return int(_read(host, CRASH_SIZE) or 0)


def _read(host: Host, places: Tuple[str, ...]) -> Optional[str]:
    """The file in its new or its old place; None when the kernel was built without kexec."""
    text = host.read_first(places)
    if text is None:
        host.listdir("/sys/kernel")  # Missing: not a running machine, so that nothing is known
    return text
