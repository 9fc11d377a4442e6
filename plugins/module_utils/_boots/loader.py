# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Refuses a boot loader that is not written to."""

from __future__ import annotations

from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host

# By the name of `_platform._boot.kind`: what is written to, in words.
_MENUS = {
    "grub": "GRUB's own menu",
    "grub-bls": "a menu that GRUB makes of boot loader specification files (GRUB_ENABLE_BLSCFG=true)",
}
# Others of this family start by zipl (s390x), or may by petitboot (ppc64le), which reads the same files.
_BY_GRUB = ("x86_64", "aarch64")


def require(host: Host, platform: Any) -> None:
    """Raise FleetopsError unless this machine is booted by the one loader that is written to on this family."""
    wanted = "grub" if platform.CMDLINE_DROPIN else "grub-bls"
    if wanted == "grub-bls" and host.machine() not in _BY_GRUB:
        raise FleetopsError(
            f"Nothing was changed: this machine is a {host.machine()}, and GRUB is only known to boot "
            f"{' and '.join(_BY_GRUB)} (others start by zipl or petitboot)"
        )
    try:
        loader = platform.boot_loader(host)
    except Missing as error:
        raise FleetopsError(
            f"Nothing was changed: only GRUB is supported, and {error.msg}", **error.context
        ) from error
    if loader != wanted:
        raise FleetopsError(
            f"Nothing was changed: this machine is booted by {loader}, and only {_MENUS[wanted]} is supported"
        )
