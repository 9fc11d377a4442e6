# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the installed kernels: what keeps each from booting, and what it would lack of what is in use now."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import modules as module_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import InstalledKernel

BOOT = "/boot"
# Not dpkg's leftovers, and not dracut's rescue image: that is a copy of a kernel under another name.
_IMAGE = re.compile(r"vmlinuz-(?!0-rescue)(?P<release>\d\S*)(?<!\.dpkg-\w{3})\Z")
# depmod's indexes of the modules that are files, and of those that are built in.
INDEXES = ("modules.dep", "modules.builtin")
NO_FILE = -1


def read(shared: Shared) -> List[InstalledKernel]:
    """The kernels on the disk, oldest first."""
    platform = shared.platform
    boot = _names(shared.host, BOOT)
    releases = _releases(shared, boot)
    entries, no_entries = _entries(shared) if releases else ([], "")
    vendors: Optional[Dict[str, List[str]]] = None
    beside: Optional[Dict[str, List[str]]] = None
    if shared.packages is not None:
        vendors = shared.asking.ask("installed.prebuilt", platform.prebuilt, shared.packages)
        beside = shared.asking.ask("installed.beside", platform.beside, shared.packages)
    found: List[InstalledKernel] = []
    for release in sorted(releases, key=rules.release_key):
        path = f"installed.{release}"
        missing = _missing_files(shared, release)
        if entries is not None and release not in entries:
            missing.append("an entry in the boot loader's menu")
        if entries is None:
            # One that lacks something else does not boot, whatever the menu says.
            shared.asking.unknown.setdefault(f"{path}.{'missing' if missing else 'bootable'}", no_entries)
        if missing:
            shared.asking.unknown.pop(f"{path}.bootable", None)
        if shared.packages is None:
            for part in ("package", "prebuilt", "beside"):
                shared.asking.say(f"{path}.{part}", shared.why("package"))
        found.append(
            {
                "release": release,
                "package": shared.image_packages.get(release),
                "bootable": False
                if missing
                else None
                if f"{path}.bootable" in shared.asking.unknown
                else True,
                "missing": missing,
                "lacks": shared.asking.ask(f"{path}.lacks", _lacks, shared, release),
                "prebuilt": (vendors or {}).get(release, []),
                "beside": None if beside is None else beside.get(release, []),
                "bytes": shared.asking.ask(f"{path}.bytes", _bytes, shared, release, boot, releases),
                "initrd_bytes": shared.asking.ask(f"{path}.initrd_bytes", _initrd_bytes, shared, release),
            }
        )
    return found


def _names(host: Host, folder: str) -> List[str]:
    try:
        return host.listdir(folder)
    except Missing:
        return []


def _releases(shared: Shared, boot: Sequence[str]) -> Set[str]:
    """Those with a file in /boot, and those with a package and modules."""
    found = {match.group("release") for match in map(_IMAGE.match, boot) if match}
    # What is in /boot is not asked for again: a sosreport knows the modules of the running kernel alone.
    others = {*shared.image_packages} - found
    return found | {release for release in others if _has_modules(shared, release)}


def _has_modules(shared: Shared, release: str) -> bool:
    """Whether there are any; of a package that is installed yes, where that cannot be seen."""
    there = shared.asking.ask(f"installed.{release}", shared.host.exists, f"/lib/modules/{release}")
    return there is not False


def _entries(shared: Shared) -> Tuple[Optional[List[Optional[str]]], str]:
    """(releases that the boot loader's menu names, or None, and then why)"""
    path = "installed.entries"  # a question of its own: whatever its answer, the files on the disk are there
    entries = shared.asking.ask(path, shared.platform.boot_entries, shared.host)
    if entries is None:
        return None, shared.asking.unknown.pop(path)
    return [entry["release"] for entry in entries], ""


def _missing_files(shared: Shared, release: str) -> List[str]:
    missing = []
    for path, least in shared.platform.boot_files(release).items():
        size = shared.asking.ask(f"installed.{release}.bootable", _size, shared.host, path)
        if size == NO_FILE:
            missing.append(path)
        elif size is not None and size < least:
            missing.append(f"{path} (only {size} bytes)")
    return missing


def _size(host: Host, path: str) -> int:
    try:
        return host.size(path)
    except Missing:
        return NO_FILE


def _lacks(shared: Shared, release: str) -> List[str]:
    """Modules in use that another kernel has neither as a file nor built in."""
    if release == shared.release:
        return []
    if shared.modules is None:
        raise Unreadable(shared.why("modules"))
    available: Set[str] = set()
    for path in (f"/lib/modules/{release}/{index}" for index in INDEXES):
        text = shared.host.read(path)
        found = module_rules.names(text.splitlines())
        if text.strip() and not found:
            raise Unreadable(f"'{path}' names no module, though it is not empty")
        available |= found
    return module_rules.lacking(shared.modules, available)


def _bytes(shared: Shared, release: str, boot: Sequence[str], releases: Set[str]) -> int:
    """The size of a kernel's files in /boot. A name that fits two releases belongs to the longer one."""
    longer = [other for other in releases if len(other) > len(release)]
    return sum(
        max(0, _size(shared.host, f"{BOOT}/{name}"))
        for name in boot
        if f"-{release}" in name and not any(f"-{other}" in name for other in longer)
    )


def _initrd_bytes(shared: Shared, release: str) -> int:
    """The size of its initrd, 0 where it has none."""
    _image, initrd = shared.platform.boot_image(release)
    return max(0, _size(shared.host, initrd))


FACTS: Facts = {"installed": read}
