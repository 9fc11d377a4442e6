# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Files of the boot loader specification, type 1, as GRUB's blscfg reads, sorts and shows them. Pure.

Source: grub-core/commands/blscfg.c of the GRUB of Fedora and RHEL; uapi-group.org/specifications for the format.
"""

from __future__ import annotations

import functools
import re
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grub import Node

SUFFIX = ".conf"
# What GRUB compares of a version: runs of digits, runs of letters, and the two signs that have a meaning.
_SEGMENT = re.compile(r"[0-9]+|[A-Za-z]+|[~+]")
# expand_val: a variable of GRUB, of which `kernelopts` and `tuned_params` are in use.
VARIABLE = re.compile(r"(?<!\\)\$([A-Za-z0-9_]+) ?")


class Entry(NamedTuple):
    """An entry: its id (the file's name without .conf), and its keys in their order."""

    id: str
    keys: List[Tuple[str, str]]

    def first(self, key: str) -> Optional[str]:
        """The value of a key; of one that stands more than once the first, as GRUB takes it."""
        return next((value for name, value in self.keys if name == key), None)


def entry(name: str, text: str) -> Entry:
    """A file of entries/. A line that has no value ends it: what follows is not read by GRUB."""
    keys: List[Tuple[str, str]] = []
    for raw in text.splitlines():
        line = raw.lstrip(" \t")
        if line.startswith("#"):
            continue
        separator = " " if " " in line else "\t"
        key, found, value = line.partition(separator)
        if not found or not value:
            break
        keys.append((key, value.lstrip(" \t")))
    return Entry(name[: -len(SUFFIX)] if name.endswith(SUFFIX) else name, keys)


def is_entry(name: str) -> bool:
    """Is this file one that GRUB reads?"""
    return name.endswith(SUFFIX) and len(name) > len(SUFFIX) and not name.startswith(".")


def ordered(entries: Sequence[Entry], by_version: bool = False) -> List[Entry]:
    """In the order of the menu, the newest first; those without a kernel are left out.

    *by_version*: as in RHEL 8, where the key ``version`` comes before the name if all entries have it.
    """
    versions = by_version and all(one.first("version") for one in entries)

    def compare(one: Entry, other: Entry) -> int:
        if versions:
            found = _compare_parts(
                _split(one.first("version") or "", named=False),
                _split(other.first("version") or "", named=False),
            )
            if found:
                return found
        return _compare_parts(_split(one.id), _split(other.id))

    # What compares alike is one entry to GRUB: the first that it comes upon.
    found: List[Entry] = []
    for one in sorted(entries, key=functools.cmp_to_key(compare), reverse=True):
        if by_version or not found or compare(found[-1], one):
            found.append(one)
    return [one for one in found if one.first("linux")]


def nodes(entries: Sequence[Entry], variables: Mapping[str, Optional[str]]) -> List[Node]:
    """The entries as those of a menu; *variables* are GRUB's, which the options may name."""
    found = []
    for one in entries:
        linux, options = one.first("linux") or "", one.first("options")
        if options is None:
            options = variables.get("default_kernelopts") or ""
        words = _expand(options, variables)
        path = one.id.replace(">", ">>")
        found.append(Node(one.first("title") or linux, one.id, path, f"{linux} {words}".rstrip(), None))
    return found


def _expand(options: str, variables: Mapping[str, Optional[str]]) -> str:
    def value(found: re.Match[str]) -> str:
        return f"{variables.get(found.group(1)) or ''} "

    return VARIABLE.sub(value, options)


# --- the order ---------------------------------------------------------------------------------------


def _split(text: str, named: bool = True) -> Tuple[str, str, str]:
    """split_package_string: name, version and release, from the right; where there are less, the first of them."""
    parts = text.rsplit("-", 2 if named else 1)
    if not named:
        parts = ["", *parts]
    return (*parts, "", "")[:3]  # type: ignore[return-value]


def _compare_parts(one: Sequence[str], other: Sequence[str]) -> int:
    for mine, theirs in zip(one, other):
        found = compare_versions(mine, theirs)
        if found:
            return found
    return 0


def compare_versions(one: str, other: str) -> int:
    """1, 0 or -1: vercmp, which is rpm's comparison with ``+`` in the place of ``^``."""
    mine, theirs = _SEGMENT.findall(one), _SEGMENT.findall(other)
    for left, right in zip(mine, theirs):
        found = _compare_segments(left, right)
        if found:
            return found
    return _compare_ends(mine[len(theirs) :], theirs[len(mine) :])


def _compare_segments(left: str, right: str) -> int:
    if left == right:
        return 0
    if "~" in (left, right):
        return -1 if left == "~" else 1
    if "+" in (left, right):
        return -1 if left == "+" else 1
    if left.isdigit() != right.isdigit():
        return 1 if left.isdigit() else -1
    if left.isdigit():
        left, right = left.lstrip("0"), right.lstrip("0")
        if len(left) != len(right):
            return 1 if len(left) > len(right) else -1
    return (left > right) - (left < right)


def _compare_ends(mine: Sequence[str], theirs: Sequence[str]) -> int:
    """One has come to its end: what the other has left is newer, but for a ``~``."""
    if mine:
        return -1 if mine[0] == "~" else 1
    if theirs:
        return 1 if theirs[0] == "~" else -1
    return 0
