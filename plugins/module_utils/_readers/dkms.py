# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads what DKMS has built, for which kernels, and what of it is installed: from its tree, without its program.

The tree is as the ``dkms`` script itself reads it (dkms 3.0.10: is_module_added, is_module_built,
_is_module_installed, module_status_built, module_status_weak)::

    /var/lib/dkms/NAME/VERSION/source                        it is added
    /var/lib/dkms/NAME/VERSION/RELEASE/ARCH/module/X.ko.xz   built for this release
    /var/lib/dkms/NAME/kernel-RELEASE-ARCH -> VERSION/RELEASE/ARCH      installed there, in this version
    /var/lib/dkms/NAME/original_module/...                   what it replaced

``weak-modules`` (RHEL) lends a module that was built for one release to others, in their ``weak-updates``.
"""

from __future__ import annotations

import re
from typing import Dict, List, Set

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import modules as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import DkmsModule

TREE = "/var/lib/dkms"
# Where dkms puts modules, under the release's folder (override_dest_module_location).
INSTALLED_IN = ("updates/dkms", "updates", "extra")
WEAK = "weak-updates"
BUILT, INSTALLED, INSTALLED_WEAK = "built", "installed", "installed-weak"


def read(shared: Shared) -> List[DkmsModule]:
    """Every module in every version, by name and version."""
    host = shared.host
    try:
        names = host.listdir(TREE)
    except Missing:
        host.listdir("/var/lib")  # Missing: no disk of a system, and not one without DKMS
        return []
    found: List[DkmsModule] = []
    weak: Dict[str, Set[str]] = {}
    for name in names:
        inside = _names(host, f"{TREE}/{name}")
        for version in inside:
            if "source" not in _names(host, f"{TREE}/{name}/{version}"):
                continue
            if not found:
                # What is lent may be unknown, and what dkms itself says is known all the same.
                weak = shared.asking.ask("dkms.lent", _weak, host) or {}
            states = _states(host, name, version, inside, weak)
            found.append({"name": name, "version": version, "states": states})
    return found


def _states(
    host: Host, name: str, version: str, inside: List[str], weak: Dict[str, Set[str]]
) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for release in _names(host, f"{TREE}/{name}/{version}"):
        if not re.match(r"\d+\.", release):  # `source`, `build` and the like
            continue
        for architecture in _names(host, f"{TREE}/{name}/{version}/{release}"):
            home = f"{TREE}/{name}/{version}/{release}/{architecture}"
            built = _modules_in(host, f"{home}/module")
            if not built:
                continue
            link = f"kernel-{release}-{architecture}"
            if link in inside:
                installed = host.resolve(f"{TREE}/{name}/{link}").endswith(
                    f"/{version}/{release}/{architecture}"
                )
            else:
                installed = any(
                    built <= _modules_in(host, f"/lib/modules/{release}/{folder}") for folder in INSTALLED_IN
                )
            found[release] = INSTALLED if installed else found.get(release, BUILT)
            for other, lent in weak.items():
                if other != release and built <= lent:
                    found.setdefault(other, INSTALLED_WEAK)
    return {release: found[release] for release in sorted(found, key=kernel_rules.release_key)}


def _weak(host: Host) -> Dict[str, Set[str]]:
    """What is lent to each release."""
    lent = {
        release: _modules_in(host, f"/lib/modules/{release}/{WEAK}")
        for release in _names(host, "/lib/modules")
    }
    return {release: modules for release, modules in lent.items() if modules}


def _modules_in(host: Host, folder: str) -> Set[str]:
    return rules.names(_names(host, folder))


def _names(host: Host, folder: str) -> List[str]:
    try:
        return host.listdir(folder)
    except Missing:  # not there, or a file
        return []
