# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the machine that the kernel runs on: memory, processor, devices, file systems in use."""

from __future__ import annotations

import re
from typing import List

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import proc

MEMORY_BLOCKS = "/sys/devices/system/memory"
CPUINFO = "/proc/cpuinfo"
# The first processor is enough: with hundreds of them the file is long, and slow to read.
CPUINFO_HEAD = 4096
MOUNTS, FILE_SYSTEMS = "/proc/mounts", "/proc/filesystems"
IOMMUS = "/sys/class/iommu"


def _memory(shared: Shared) -> int:
    """Memory as it was built in, what is reserved for a capture kernel included."""
    host = shared.host
    try:
        blocks = sum(1 for name in host.listdir(MEMORY_BLOCKS) if re.match(r"memory\d+\Z", name))
        if blocks:
            size = re.match(r"[0-9a-f]{1,16}\s*\Z", host.read(f"{MEMORY_BLOCKS}/block_size_bytes"))
            if not size:
                raise Unreadable(f"'{MEMORY_BLOCKS}/block_size_bytes' is no size")
            return blocks * int(size.group(), 16)
    except Missing:
        pass
    found = re.search(r"^MemTotal:\s+(\d+) kB$", host.read("/proc/meminfo"), re.MULTILINE)
    if not found:
        raise Unreadable("'/proc/meminfo' has no line MemTotal")
    # MemTotal lacks the reservation, and a little that firmware and kernel keep to themselves.
    return int(found.group(1)) * 1024 + _kexec.crash_size(host)


def _cpuinfo(shared: Shared) -> str:
    return shared.host.read_bytes(CPUINFO, 0, CPUINFO_HEAD).decode("utf-8", "replace")


def _microcode(shared: Shared) -> str:
    found = proc.microcode(_cpuinfo(shared))
    if found is None:
        raise Unreadable(f"'{CPUINFO}' names no microcode")
    return found


def _virtual(shared: Shared) -> bool:
    found = proc.hypervisor(_cpuinfo(shared))
    if found is None:
        raise Unreadable(f"'{CPUINFO}' has no flags that would tell")
    return found


def _cpu_vendor(shared: Shared) -> str:
    found = proc.cpu_vendor(_cpuinfo(shared))
    if found is None:
        raise Unreadable(f"'{CPUINFO}' names no vendor")
    return found


def _file_systems(shared: Shared) -> List[str]:
    return proc.file_systems(shared.host.read(MOUNTS), shared.host.read(FILE_SYSTEMS))


def _drivers(shared: Shared) -> List[str]:
    """A driver's folder names the devices that are bound to it: a listing for each driver, none for each device."""
    host = shared.host
    found = set()
    there = set(proc.BUSES).intersection(host.listdir("/sys/bus"))
    if not there:
        raise Unreadable(f"'/sys/bus' has none of {', '.join(proc.BUSES)}")
    for bus in sorted(there):
        for driver in host.listdir(f"/sys/bus/{bus}/drivers"):
            try:
                devices = host.listdir(f"/sys/bus/{bus}/drivers/{driver}")
            except Missing:  # unloaded in this very moment
                continue
            if proc.has_device(bus, devices):
                found.add(driver)
    return sorted(found)


def _iommu(shared: Shared) -> bool:
    try:
        return bool(shared.host.listdir(IOMMUS))
    except Missing:
        shared.host.listdir("/sys/class")  # Missing: no running machine, and not one without an IOMMU
        return False


FACTS: Facts = {
    "memory_bytes": _memory,
    "cpu_vendor": _cpu_vendor,
    "microcode": _microcode,
    "virtual": _virtual,
    "file_systems": _file_systems,
    "drivers": _drivers,
    "iommu": _iommu,
}
