# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What files of /proc and /sys say of the machine: processor, file systems, drivers, lockdown. Pure."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Pattern, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

# arch/arm64/include/asm/cputype.h, ARM_CPU_IMP_*
_ARM_IMPLEMENTERS = {
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x50: "APM",
    0x51: "Qualcomm",
    0x61: "Apple",
    0x6D: "Microsoft",
    0x70: "Phytium",
    0xC0: "Ampere",
}
# File systems without a block device that hold data all the same: on a server, in a pool of their own, in another one.
_NODEV_WITH_DATA = frozenset(
    {
        "9p",
        "afs",
        "aufs",
        "ceph",
        "cifs",
        "fuse",
        "lustre",
        "nfs",
        "nfs4",
        "overlay",
        "smb3",
        "ubifs",
        "virtiofs",
        "zfs",
    }
)
# proc(5): `nodev<tab>proc`, and `<tab>ext4` of one that needs a device.
_FILE_SYSTEM = re.compile(r"nodev\t([^ \t\n]+)\Z")
# fstab(5): device, path, type, options and two numbers. Spaces, tabs and ends of lines are escaped in them, no other
# white space (fs/proc_namespace.c, mangle).
_MOUNT = re.compile(r"[^ ]* [^ ]+ ([^ ]+) [^ ]+ \d+ \d+\Z", re.ASCII)
# How the devices of a bus are named (drivers/pci/probe.c, drivers/virtio/virtio.c, drivers/hv/vmbus_drv.c,
# drivers/s390/cio/device.c): in a driver's folder, all other names are its own settings.
BUSES: Dict[str, str] = {
    "pci": r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]+",
    "virtio": r"virtio\d+",
    "vmbus": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "ccw": r"[0-9a-f]{1,2}\.[0-9a-f]\.[0-9a-f]{4}",
}


def cpu_vendor(cpuinfo: str) -> Optional[str]:
    """``GenuineIntel``, ``AuthenticAMD``, ``ARM`` …, None where ``/proc/cpuinfo`` does not tell (as on POWER)."""
    vendor = re.search(r"^vendor_id[ \t]*:[ \t]*(\S+)", cpuinfo, re.MULTILINE)
    if vendor:
        return vendor.group(1)
    arm = re.search(r"^CPU implementer[ \t]*:[ \t]*(0x[0-9a-f]+)", cpuinfo, re.MULTILINE)
    if arm:
        return _ARM_IMPLEMENTERS.get(int(arm.group(1), 16), arm.group(1))
    return None


class Mounted(NamedTuple):
    """A file system: its type, and the device as ``major:minor``."""

    kind: str
    device: str


def mount_of(path: str, mountinfo: str) -> Optional[Mounted]:
    """What a path without links lies on (proc(5), /proc/pid/mountinfo): of several on one place, the last."""
    best, found = "", None
    for line in mountinfo.split("\n"):
        left, _dash, right = line.partition(" - ")
        fields, kind = left.split(" "), right.partition(" ")[0]
        where = (
            re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), fields[4])
            if len(fields) > 4
            else ""
        )
        if kind and (path == where or path.startswith(where.rstrip("/") + "/")) and len(where) >= len(best):
            best, found = where, Mounted(kind, fields[2])
    return found


def hypervisor(cpuinfo: str) -> Optional[bool]:
    """Does a hypervisor run this processor? None where ``/proc/cpuinfo`` has no such flag (all but x86)."""
    flags = re.search(r"^flags[ \t]*:(.*)$", cpuinfo, re.MULTILINE)
    return "hypervisor" in flags.group(1).split() if flags else None


def microcode(cpuinfo: str) -> Optional[str]:
    """The revision of the first processor's microcode, ``0xb000040``; None where ``/proc/cpuinfo`` tells none."""
    found = re.search(r"^microcode[ \t]*:[ \t]*(0x[0-9a-f]{1,16})$", cpuinfo, re.MULTILINE)
    return found.group(1) if found else None


def file_systems(mounts: str, known: str) -> List[str]:
    """The types in ``/proc/mounts`` that have data behind them, by what ``/proc/filesystems`` knows of them.

    ``fuse.sshfs`` is ``fuse``: what follows the dot is the program's own name for it (mount(8)). Raises FleetopsError.
    """
    nodev = {_field(line, _FILE_SYSTEM, "/proc/filesystems") for line in _lines(known) if line[:1] != "\t"}
    types = {_field(line, _MOUNT, "/proc/mounts").partition(".")[0] for line in _lines(mounts)}
    return sorted(types - (nodev - _NODEV_WITH_DATA))


def _lines(text: str) -> List[str]:
    """Lines as the kernel ends them: what else ends one to Python may stand in a path."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _field(line: str, pattern: Pattern[str], source: str) -> str:
    found = pattern.match(line)
    if not found:
        raise FleetopsError(f"'{source}' has a line that cannot be understood: {line[:80]!r}")
    return found.group(1)


def has_device(bus: str, names: Sequence[str]) -> bool:
    """Is a device among the names in the folder of a driver?"""
    return any(re.match(BUSES[bus] + r"\Z", name) for name in names)


def lockdown(text: str) -> Optional[str]:
    """``integrity`` of ``none [integrity] confidentiality``."""
    found = re.search(r"\[(\w+)\]", text)
    return found.group(1) if found else None
