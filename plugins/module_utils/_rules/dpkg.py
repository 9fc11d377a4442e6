# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""dpkg's database as text, and what packages depend on. Pure."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Package

# dpkg(1), PACKAGE STATES and PACKAGE SELECTION STATES; the letters: dpkg-query(1), db:Status-Abbrev.
_WANTS = {"unknown": "u", "install": "i", "hold": "h", "deinstall": "r", "purge": "p"}
_STATES = {
    "not-installed": "n",
    "config-files": "c",
    "half-installed": "H",
    "unpacked": "U",
    "half-configured": "F",
    "triggers-awaiting": "W",
    "triggers-pending": "t",
    "installed": "i",
}
_ERRORS = {"ok": "", "reinstreq": "R"}
_FIELD = re.compile(r"^(Package|Architecture|Status|Version|Source|Depends): (.*)$", re.MULTILINE)
_SOURCE = re.compile(r"(\S+)(?: \((.*)\))?\Z")
RELEASE = r"\d+\.\d+\.\d+[-+]\S+?"
_OF_A_RELEASE = re.compile(rf"linux-\S+-{RELEASE}\Z")
# Packages of debug symbols, -dbg and -dbgsym, bring no kernel.
_IMAGE = re.compile(r"linux-image-(?:unsigned-)?(?P<release>\d\S*?)(?:-unsigned)?(?<!-dbg)(?<!-dbgsym)\Z")
# Modules of a vendor for one release (Ubuntu): linux-modules-nvidia-535-server-R, linux-main-modules-zfs-R.
_VENDOR = re.compile(rf"linux-(?:main-)?modules-(?P<vendor>[a-z]\S*?)-(?P<release>{RELEASE})\Z")
# Parts of the kernel itself.
_OWN_MODULES = frozenset({"extra", "unsigned"})
# From here on, Ubuntu's image brings the modules of ZFS itself.
_WITH_ZFS = 7
_DEBUG = re.compile(r"-dbg(?:sym)?\Z")


def blocks(text: str, patterns: Sequence[str]) -> List[Dict[str, str]]:
    """The fields of the packages that the patterns (names, or ``name*``) mean, in the order of the database."""
    # dpkg writes the name first, so that most of some thousand blocks are passed over at a glance.
    heads = tuple(
        f"Package: {pattern[:-1]}" if pattern.endswith("*") else f"Package: {pattern}\n"
        for pattern in patterns
    )
    found = [block for block in text.split("\n\n") if block.lstrip("\n").startswith(heads)]
    return [dict(_FIELD.findall(block)) for block in found]


def packages(fields_of: Sequence[Mapping[str, str]]) -> List[Package]:
    """What dpkg-query shows of them. Raises FleetopsError for a block that dpkg would not have written."""
    found: List[Package] = []
    for fields in fields_of:
        name, status, version = fields["Package"], fields.get("Status", ""), fields.get("Version", "")
        words = status.split()
        if len(words) != 3 or words[0] not in _WANTS or words[1] not in _ERRORS or words[2] not in _STATES:
            raise FleetopsError(f"dpkg's database gives {name} the status '{status}', which is none")
        if not is_known(version, words[0]):
            continue
        source = _SOURCE.match(fields.get("Source", name))
        found.append(
            package(
                name,
                version,
                _WANTS[words[0]] + _STATES[words[2]] + _ERRORS[words[1]],
                source.group(1) if source else name,
                (source.group(2) if source else None) or version,
                fields.get("Depends", ""),
            )
        )
    return found


def may_lead(name: str) -> bool:
    """May this be a meta package? They are named after no release."""
    return name.startswith("linux-") and not _OF_A_RELEASE.match(name)


def package(
    name: str, version: str, status: str, source: str, source_version: str, depends: Optional[str]
) -> Package:
    """A package; what it depends on (None: unknown) only where it may be a meta package."""
    found: Package = {
        "name": name,
        "version": version,
        "source": source,
        "source_version": source_version,
        "status": status,
    }
    if depends is not None and may_lead(name):
        found["needs"] = names(depends)
    return found


def without_needs(one: Package) -> Package:
    """A package as it is shown."""
    shown = one.copy()
    shown.pop("needs", None)
    return shown


def is_known(version: str, want: str) -> bool:
    """Is a package more than a name? One that is not there can be held nevertheless, and then is not installed."""
    return bool(version) or want.startswith("h")


def names(depends: str) -> List[str]:
    """The names in a ``Depends`` field, alternatives one after the other."""
    return [word.split()[0].partition(":")[0] for word in re.split(r"[,|]", depends) if word.strip()]


def release_named(name: str) -> Optional[str]:
    """The release that a package of a kernel image is named after; None for a meta package and for all others."""
    found = _IMAGE.match(name)
    return found.group("release") if found else None


def vendor_named(name: str) -> Optional[Tuple[str, str]]:
    """(vendor, release) of a package with a vendor's modules for one kernel: ``nvidia-535``; None for all others."""
    found = _VENDOR.match(name)
    if not found or found.group("vendor") in _OWN_MODULES:
        return None
    return found.group("vendor"), found.group("release")


def vendor_package(vendor: str, release: str) -> str:
    """The package with the modules of a vendor for a kernel."""
    return f"linux-modules-{vendor}-{release}"


def brings_vendor(release: str, vendor: str) -> bool:
    """Does the image of a kernel depend on the modules of this vendor itself?"""
    major = int((re.match(r"\d{1,9}", release) or ["0"])[0])
    return vendor == "zfs" and major >= _WITH_ZFS


def leads_to_an_image(name: str, needs: Mapping[str, Sequence[str]]) -> bool:
    """Does a package depend on a kernel image, or on a package that does?"""
    needed = _needed(name, needs)
    return any(one.startswith("linux-image-") and not _DEBUG.search(one) for one in needed)


def tracks(name: str, needs: Mapping[str, Sequence[str]]) -> Optional[str]:
    """The release that a meta package leads to: linux-generic, linux-image-generic, linux-image-5.15.0-112-generic."""
    releases = (release_named(needed) for needed in _needed(name, needs))
    return next((release for release in releases if release), None)


def _needed(name: str, needs: Mapping[str, Sequence[str]]) -> List[str]:
    """What a package depends on, and what that depends on, in the order of the fields; each once, itself not."""
    found: List[str] = []
    seen: Set[str] = {name}
    todo = list(reversed(needs.get(name, ())))
    while todo:
        needed = todo.pop()
        if needed not in seen:
            seen.add(needed)
            found.append(needed)
            todo += reversed(needs.get(needed, ()))
    return found
