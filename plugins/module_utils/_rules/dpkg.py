# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""dpkg's database as text, and what packages depend on. Pure."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, Optional, Sequence, Set

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
_FIELD = re.compile(r"^(Package|Status|Version|Source|Depends): (.*)$", re.MULTILINE)
_SOURCE = re.compile(r"(\S+)(?: \((.*)\))?\Z")
_IMAGE = re.compile(r"linux-image-(?:unsigned-)?(?P<release>\d\S*?)(?:-unsigned)?\Z")


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
            {
                "name": name,
                "version": version,
                "source": source.group(1) if source else name,
                "source_version": (source.group(2) if source else None) or version,
                "status": _WANTS[words[0]] + _STATES[words[2]] + _ERRORS[words[1]],
            }
        )
    return found


def is_known(version: str, want: str) -> bool:
    """Is a package more than a name? One that is not there can be held nevertheless, and then is not installed."""
    return bool(version) or want.startswith("h")


def names(depends: str) -> List[str]:
    """The names in a ``Depends`` field, alternatives one after the other."""
    return [word.split()[0].partition(":")[0] for word in re.split(r"[,|]", depends) if word.strip()]


def release_named(package: str) -> Optional[str]:
    """The release that a package of a kernel image is named after; None for a meta package and for all others."""
    found = _IMAGE.match(package)
    return found.group("release") if found else None


def leads_to_an_image(package: str, depends: Mapping[str, Sequence[str]]) -> bool:
    """Does a package depend on a kernel image, or on a package that does?"""
    return any(needed.startswith("linux-image-") for needed in _needed(package, depends))


def tracks(package: str, depends: Mapping[str, Sequence[str]]) -> Optional[str]:
    """The release that a meta package leads to: linux-generic, linux-image-generic, linux-image-5.15.0-112-generic."""
    releases = (release_named(needed) for needed in _needed(package, depends))
    return next((release for release in releases if release), None)


def _needed(package: str, depends: Mapping[str, Sequence[str]]) -> List[str]:
    """What a package depends on, and what that depends on, in the order of the fields; each once, itself not."""
    found: List[str] = []
    seen: Set[str] = {package}
    todo = list(reversed(depends.get(package, ())))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            found.append(name)
            todo += reversed(depends.get(name, ()))
    return found
