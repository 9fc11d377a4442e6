# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the kernel and depmod's indexes say of modules: which are loaded, which a kernel has. Pure."""

from __future__ import annotations

import re
from typing import AbstractSet, List, Sequence, Set

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Modules

PROC_MODULES = "/proc/modules"

# depmod's indexes (modules.dep(5)): `kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz`, and of modules.builtin the
# path alone. Only what stands before the colon is a module of the line.
_INDEX_LINE = re.compile(
    r"^(?:[^:\n]*/)?(?P<name>[^:/\n]+?)\.ko(?:\.(?:gz|xz|zst))?(?=[:\s]|$)", re.MULTILINE
)
# proc(5), modules: `zfs 4411392 6 - Live 0x0000000000000000 (POE)`. The letters are the module's own taints, as
# kernel/module/main.c module_flags writes them; `-` and `+` there stand for one that goes or comes.
_TAINTS = re.compile(r"\s\((?P<letters>[A-Z+-]+)\)\s*\Z")
OUT_OF_TREE = "O"


def normal(name: str) -> str:
    """A module's name as the kernel writes it: dashes are underscores."""
    return name.replace("-", "_")


def loaded(proc_modules: str) -> Modules:
    """The modules that ``/proc/modules`` names."""
    found: Modules = {"loaded": [], "out_of_tree": []}
    for line in sorted(proc_modules.splitlines()):
        name = line.split(" ", 1)[0]
        if not name:
            continue
        found["loaded"].append(name)
        taints = _TAINTS.search(line)
        if taints and OUT_OF_TREE in taints.group("letters"):
            found["out_of_tree"].append(name)
    return found


def names(*indexes: str) -> Set[str]:
    """The modules that ``modules.dep`` and ``modules.builtin`` of a kernel name."""
    return {normal(match.group("name")) for text in indexes for match in _INDEX_LINE.finditer(text)}


def only(index: str, wanted: AbstractSet[str]) -> str:
    """An index without the lines of other modules, and without what they depend on."""
    lines = [
        match.group() + match.string[match.end() : match.end() + 1].replace("\n", "") + "\n"
        for match in _INDEX_LINE.finditer(index)
        if normal(match.group("name")) in wanted
    ]
    return "".join(lines)


def lacking(modules: Modules, available: AbstractSet[str]) -> List[str]:
    """Loaded modules that are not available, without those that were built outside the kernel's tree."""
    return sorted({*modules["loaded"]} - {*modules["out_of_tree"]} - available)


def unpacked(files: Sequence[str]) -> Set[str]:
    """The names of modules among a directory's files: ``zfs`` of ``zfs.ko.xz``."""
    return names("\n".join(files))
