# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of package versions and of kernel releases, and ranges of versions.

Package versions are ordered by the library univers, as dpkg and as rpm order them. Kernel releases are ordered only
where they count the same thing: the same flavour of the same branch of a distribution. All else is an error that says
why, because an answer would be a guess.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.kernel import (
    Release,
    parse_release,
    release_key,
)

try:
    from univers import debian, rpm
except ImportError:
    _PARTS: dict[str, Callable[[str], Any]] = {}
else:
    # Sort keys of one part: of a version, or of what stands behind its hyphen.
    _PARTS = {
        "deb": functools.cmp_to_key(debian.compare_strings),
        "rpm": functools.cmp_to_key(rpm.vercmp),
    }

# (operator, version), all of which must hold.
Range = list[tuple[str, str]]
Key = tuple[Any, ...]

DEB, RPM = "deb", "rpm"
# The IDs of os-release, folded to lower case.
_ORDERS = {
    **dict.fromkeys(("debian", "ubuntu"), DEB),
    **dict.fromkeys(
        (
            "rhel rhcos centos rocky almalinux ol fedora amzn openeuler "
            "sles sle-micro opensuse-leap opensuse-tumbleweed"
        ).split(),
        RPM,
    ),
}

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_BOUND = re.compile(r"(>=|<=|>|<|=)\s*(\S+)\Z")
# No version of a kernel package comes near it; the orders take quadratic time.
LONGEST_VERSION = 255
_VERSIONS = {
    # Debian Policy 5.6.12: a digit first, the revision behind the last hyphen; dpkg refuses an epoch above 2^31 - 1. A
    # colon behind the epoch, which the policy allows and no kernel package has, is unknown to the library.
    DEB: re.compile(
        r"(?:(?P<epoch>[0-9]{1,9}):)?(?P<version>[0-9][A-Za-z0-9.+~-]*?)(?:-(?P<release>[A-Za-z0-9.+~]+))?(?<!-)\Z"
    ),
    # rpm build/parsePreamble.c ALLOWED_CHARS_VERREL; [epoch:]version[-release], no hyphen in either.
    RPM: re.compile(
        r"(?:(?P<epoch>[0-9]{1,9}):)?(?P<version>[A-Za-z0-9._+~^]+)(?:-(?P<release>[A-Za-z0-9._+~^]+))?\Z"
    ),
}
# What `uname -r` adds to the version and release of the package, with the flavour behind it.
_ARCHITECTURE = re.compile(r"\.(?:x86_64|aarch64|ppc64le|s390x|riscv64|loongarch64)(?:\+[\w-]+)?\Z")
_EXAMPLES = {DEB: "5.15.0-112.122 or 1:2.0-1~deb12u1", RPM: "5.14.0-570.33.1.el9_6 or 1:2.0-1.oe2203sp4"}
# The same upload, built again for an older release: `5.15.0-112.122~20.04.1`, `6.12.115-2~deb12u1`,
# `6.12.94-1~bpo12+1`. It sorts below the upload that it is (domain.md A.7, 5).
_TWIN = re.compile(r"~(?:\d\d\.\d\d\.\d+|deb\d+u\d+|bpo\d+\+\d+)\Z")


# --- package versions --------------------------------------------------------------------------------


def order_of(distro_id: str) -> str:
    """``deb`` or ``rpm``, by the ID of os-release. Raises FleetopsError for a distribution that is not known."""
    try:
        return _ORDERS[distro_id.lower()]
    except KeyError:
        raise FleetopsError(
            f"It is not known how '{distro_id}' orders the versions of its packages"
        ) from None


@functools.lru_cache(maxsize=4096)
def key(version: str, order: str = DEB) -> Key:
    """Sort key in the order of ``dpkg --compare-versions`` or of rpm. Raises FleetopsError.

    Of a kernel release of an rpm distribution, the architecture and the flavour behind it do not count.
    """
    if not _PARTS:
        raise FleetopsError(
            "The Python library univers, which orders the versions of packages, is missing on the controller: "
            "pip install univers"
        )
    if order == RPM:
        version = _ARCHITECTURE.sub("", version)
    found = _VERSIONS[order].match(version) if len(version) <= LONGEST_VERSION else None
    if not found:
        raise FleetopsError(
            f"'{version[:LONGEST_VERSION]}' is not a package version of at most {LONGEST_VERSION} characters, "
            f"such as {_EXAMPLES[order]}"
        )
    part, release = _PARTS[order], found.group("release")
    # rpm: no release sorts before any (lib/rpmver.c compare_values). dpkg: no revision is an empty one.
    has_release = order == DEB or release is not None
    return int(found.group("epoch") or 0), part(found.group("version")), has_release, part(release or "")


def parse_range(text: str, order: str = DEB) -> Range:
    """``>= 6.1.170-3, < 6.1.192-2`` taken apart. Raises FleetopsError that says what was expected.

    Bounds that no version can keep are an error as well: nobody means that.
    """
    bounds = []
    for piece in text.split(","):
        found = _BOUND.match(piece.strip())
        if not found:
            raise FleetopsError(
                f"'{text}' is not a version range: expected bounds such as '>= 6.1.170-3, < 6.1.192-2', "
                f"got '{piece.strip()}'"
            )
        key(found.group(2), order)
        bounds.append((found.group(1), found.group(2)))
    if _is_empty(bounds, order):
        raise FleetopsError(f"'{text}' is not a version range: no version keeps all of these bounds")
    return bounds


def in_range(version: str, bounds: Range, order: str = DEB) -> bool:
    """Does a package version keep all bounds? A rebuild for an older release counts as the upload that it is."""
    return all(_keeps(version, name, bound, order) for name, bound in bounds)


# --- kernel releases ---------------------------------------------------------------------------------


def incomparable(one: Release, other: Release) -> str | None:
    """Why two releases must not be ordered; None when they may be."""
    for what, mine, theirs in (
        ("distributions", one.scheme, other.scheme),
        ("flavours", one.flavour or "plain", other.flavour or "plain"),
        ("upstream series", one.series, other.series),
        ("branches", one.branch or "none", other.branch or "none"),
        ("architectures", one.architecture, other.architecture),
    ):
        if mine != theirs:
            return f"their {what} differ, {mine} and {theirs}"
    return None


def newer_kernel_than(release: str, other: str) -> bool:
    """Is a kernel release newer than another of its kind? Raises FleetopsError when they may not be ordered."""
    kernel_sort([release, other])
    return _release_order(release) > _release_order(other)


def kernel_sort(releases: Iterable[str], reverse: bool = False) -> list[str]:
    """Kernel releases, oldest first; *reverse*: newest first. Raises FleetopsError when two may not be ordered."""
    if isinstance(releases, str) or not isinstance(releases, Iterable):
        raise FleetopsError(f"Expected a list of kernel releases, got '{releases}'")
    found = [(release, _parsed(release)) for release in releases]
    for release, parsed in found[1:]:
        reason = incomparable(found[0][1], parsed)
        if reason:
            raise FleetopsError(f"'{found[0][0]}' and '{release}' cannot be ordered: {reason}")
    return sorted((release for release, _parsed_too in found), key=_release_order, reverse=reverse)


def _parsed(release: Any) -> Release:
    found = parse_release(release) if isinstance(release, str) else None
    if found is None:
        raise FleetopsError(
            f"'{release}' cannot be ordered: it is spelt as no distribution spells its kernels"
        )
    return found


def _release_order(release: str) -> Key:
    """rpm counts in an order of its own: 570.el9 comes before 570.1.1.el9."""
    parsed = _parsed(release)
    if parsed.scheme in ("rpm", "suse"):
        return key(f"{parsed.upstream}-{parsed.abi}", RPM)
    return release_key(release)


# --- pieces ------------------------------------------------------------------------------------------


def _is_empty(bounds: Range, order: str) -> bool:
    """Does a lower bound lie above an upper one, or on it while one of the two leaves it out?"""
    return any(
        key(low, order) > key(high, order)
        or (key(low, order) == key(high, order) and not ("=" in lower and "=" in upper))
        for lower, low in bounds
        for upper, high in bounds
        if lower in (">", ">=", "=") and upper in ("<", "<=", "=")
    )


def _keeps(version: str, name: str, bound: str, order: str) -> bool:
    if order == DEB and not _TWIN.search(bound):
        version = _TWIN.sub("", version)
    return _OPERATORS[name](key(version, order), key(bound, order))
