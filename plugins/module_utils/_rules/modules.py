# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the kernel and depmod's indexes say of modules: which are loaded, which a kernel has. Pure."""

from __future__ import annotations

import re
from typing import AbstractSet, Iterable, List, Optional, Set

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Modules

PROC_MODULES = "/proc/modules"

# What a module's file can be packed with (kmod, libkmod-file.c).
_PACKED = ("", ".gz", ".xz", ".zst")
# proc(5), modules: `zfs 4411392 6 - Live 0x0000000000000000 (POE)`. The letters are the module's own taints, as
# kernel/module/procfs.c writes them; `-` and `+` there stand for one that goes or comes.
_LOADED = re.compile(r"(?P<name>\S+) \d+ \S+ \S+ \w+ \S+(?: \((?P<taints>[A-Z+-]+)\))?\s*\Z")
OUT_OF_TREE = "O"


def normal(name: str) -> str:
    """A module's name as the kernel writes it: dashes are underscores."""
    return name.replace("-", "_")


def loaded(proc_modules: str) -> Modules:
    """The modules that ``/proc/modules`` names. Raises FleetopsError for a line that is none of it."""
    found: Modules = {"loaded": [], "out_of_tree": []}
    for line in sorted(proc_modules.splitlines()):
        match = _LOADED.match(line)
        if not match:
            raise FleetopsError(f"'{PROC_MODULES}' has a line that names no module: {line[:80]!r}")
        found["loaded"].append(match.group("name"))
        if OUT_OF_TREE in (match.group("taints") or ""):
            found["out_of_tree"].append(match.group("name"))
    return found


def name_of(line: str) -> Optional[str]:
    """The module of a file's name, or of a line of depmod's indexes (modules.dep(5)); None when it is none.

    ``zfs.ko.xz`` is ``zfs``, ``kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko`` is ``ext4``.
    """
    file = line.partition(":")[0].rstrip().rpartition("/")[2]
    name, extension, packed = file.partition(".ko")
    return normal(name) if name and extension and packed in _PACKED else None


def names(lines: Iterable[str]) -> Set[str]:
    """The modules of such lines."""
    return {name for name in map(name_of, lines) if name}


def only(index: str, wanted: AbstractSet[str]) -> str:
    """One of depmod's indexes without other modules, and without what those that are left depend on."""
    kept = [line for line in index.splitlines() if name_of(line) in wanted]
    return "".join("".join(line.partition(":")[:2]) + "\n" for line in kept)


def lacking(modules: Modules, available: AbstractSet[str]) -> List[str]:
    """Loaded modules that are not available, without those that were built outside the kernel's tree."""
    return sorted({*modules["loaded"]} - {*modules["out_of_tree"]} - available)
