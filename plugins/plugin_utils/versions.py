# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Package versions in Debian's order, and ranges of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

# (operator, version), all of which must hold.
Range = list[tuple[str, str]]
Part = tuple[Any, ...]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_BOUND = re.compile(r"(>=|<=|>|<|=)\s*(\S+)\Z")
# Debian Policy 5.6.12; no space, at least one digit in the beginning of the upstream version.
_VERSION = re.compile(r"(?:(\d+):)?(\d[A-Za-z0-9.+:~-]*)\Z")
# The same upload, built again for an older release: `5.15.0-112.122~20.04.1`, `6.12.115-2~deb12u1`. It sorts below
# the upload that it is (domain.md A.7, 5).
_TWIN = re.compile(r"~(?:\d\d\.\d\d\.\d+|deb\d+u\d+)\Z")


def deb_key(version: str) -> tuple[int, Part, Part]:
    """Sort key in the order of ``dpkg --compare-versions`` (dpkg lib/dpkg/version.c). Raises FleetopsError."""
    found = _VERSION.match(version)
    if not found:
        raise FleetopsError(
            f"'{version}' is not a package version, such as 5.15.0-112.122 or 1:2.0-1~deb12u1"
        )
    upstream, dash, revision = found.group(2).rpartition("-")
    if not dash:
        upstream, revision = revision, ""
    return int(found.group(1) or 0), _part(upstream), _part(revision)


def parse_range(text: str) -> Range:
    """``>= 6.1.170-3, < 6.1.192-2`` taken apart. Raises FleetopsError that says what was expected."""
    bounds = []
    for piece in text.split(","):
        found = _BOUND.match(piece.strip())
        if not found:
            raise FleetopsError(
                f"'{text}' is not a version range: expected bounds such as '>= 6.1.170-3, < 6.1.192-2', "
                f"got '{piece.strip()}'"
            )
        deb_key(found.group(2))
        bounds.append((found.group(1), found.group(2)))
    return bounds


def in_range(version: str, bounds: Range) -> bool:
    """Does a package version keep all bounds? A rebuild for an older release counts as the upload that it is."""
    return all(_keeps(version, name, bound) for name, bound in bounds)


def _keeps(version: str, name: str, bound: str) -> bool:
    if not _TWIN.search(bound):
        version = _TWIN.sub("", version)
    return _OPERATORS[name](deb_key(version), deb_key(bound))


def _part(text: str) -> Part:
    """Non-digits and digits in turn: ``~`` sorts before the end, the end before letters, letters before the rest."""
    key: list[Any] = []
    for words, digits in re.findall(r"(\D*)(\d*)", text)[:-1] or [("", "")]:
        key += [(*(_order(letter) for letter in words), 0), int(digits or 0)]
    return (*key, (0,))


def _order(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isalpha() else ord(letter) + 256
