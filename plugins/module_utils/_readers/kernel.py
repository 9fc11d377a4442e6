# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the kernel: what runs, what is installed, what boots next."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec, _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Distro,
    InstalledKernel,
    KernelFacts,
    Package,
    Watchdog,
)

# What decides whether, and into what, a kernel panics (domain.md A.3).
PANIC_SYSCTLS = (
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.panic_on_warn",
    "kernel.panic_on_io_nmi",
    "kernel.panic_on_unrecovered_nmi",
    "kernel.unknown_nmi_panic",
    "kernel.panic_on_rcu_stall",
    "kernel.hung_task_panic",
    "kernel.hung_task_timeout_secs",
    "kernel.softlockup_panic",
    "kernel.hardlockup_panic",
    "kernel.nmi_watchdog",
    "kernel.watchdog_thresh",
    "kernel.sysrq",
    "kernel.kexec_load_disabled",
    "vm.panic_on_oom",
)
OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
# Left by Docker and by Podman in the root of what they make (systemd src/basic/virt.c detect_container_files).
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
WATCHDOGS = "/sys/class/watchdog"
# drivers/char/ipmi/ipmi_watchdog.c: this identity, and in many kernels only /dev/watchdog, no device of the class.
IPMI_WATCHDOG = "ipmi_watchdog"
IPMI_IDENTITY = "IPMI"
SOFT_WATCHDOG = "Software Watchdog"  # drivers/watchdog/softdog.c
NO_FILE = -1
MEMORY_BLOCKS = "/sys/devices/system/memory"


def read(host: Host) -> KernelFacts:
    """Read once, files first. Nothing here raises: what cannot be read is None, with its reason in ``unknown``."""
    asking = Asking(host)
    release = asking.text("release", "/proc/sys/kernel/osrelease")
    distro = asking.ask("distro", _distro, host)
    platform = _platform.select(distro)
    packages = asking.ask("package", _packages, host, platform, distro)
    running = None
    if platform is not None and packages is not None:
        running = asking.ask("package", _running_package, host, platform, packages, release)
    facts: KernelFacts = {
        "release": release,
        "version": asking.text("version", "/proc/sys/kernel/version"),
        "architecture": asking.ask("architecture", host.machine),
        "flavour": rules.flavour(release) if release else None,
        "distro": distro,
        "container": asking.ask("container", _container, host),
        "package": running,
        "installed": None,
        "next_boot": None,
        "cmdline": asking.ask("cmdline", lambda: cmdline.parse(host.read("/proc/cmdline"))),
        "taint": asking.ask("taint", _taint, host),
        "boot_id": asking.text("boot_id", "/proc/sys/kernel/random/boot_id"),
        "uptime": asking.ask("uptime", lambda: float(host.read("/proc/uptime").split()[0])),
        "oops_count": asking.ask("oops_count", _count, host, "/sys/kernel/oops_count"),
        "warn_count": asking.ask("warn_count", _count, host, "/sys/kernel/warn_count"),
        "panic_sysctls": _panic_sysctls(asking),
        "watchdogs": asking.ask("watchdogs", _watchdogs, asking),
        "memory_bytes": asking.ask("memory_bytes", _memory, host),
        "unknown": asking.unknown,
    }
    if facts["flavour"] is None:
        asking.say(
            "flavour", asking.unknown.get("release") or f"'{release}' is spelt as no distribution spells it"
        )
    if platform is None:
        asking.say("installed", _no_platform(distro))
        asking.say("next_boot", _no_platform(distro))
    else:
        facts["installed"] = asking.ask("installed", _installed, asking, platform, packages)
        facts["next_boot"] = asking.ask("next_boot", platform.next_boot, host)
    return facts


def _distro(host: Host) -> Distro:
    text = None
    for path in OS_RELEASE:
        try:
            text = host.read(path)
            break
        except Missing:
            continue
    if text is None:
        raise Missing(f"there is neither '{OS_RELEASE[0]}' nor '{OS_RELEASE[1]}'")
    values = kdump_rules.shell_assignments(text)
    identity = values.get("ID", "linux")  # os-release(5): the default
    return {
        "id": identity,
        "version_id": values.get("VERSION_ID", ""),
        "codename": values.get("VERSION_CODENAME", ""),
        "family": _platform.family_of(identity),
    }


def _no_platform(distro: Optional[Distro]) -> str:
    return f"kernels of the distribution '{distro['id'] if distro else 'unknown'}' cannot be read yet"


def _container(host: Host) -> bool:
    """Is this a container: does its kernel belong to another machine?"""
    if not host.exists("/proc/version"):
        raise Unreadable("'/proc' is empty: this is no running machine")
    if host.exists("/run/systemd/container"):
        return True
    marks = [mark for mark in CONTAINER_MARKS if host.exists(mark)]
    # In the machine's own process namespace number 2 is always the kernel's.
    try:
        own_processes = host.read("/proc/2/comm").strip() == "kthreadd"
    except Missing:
        own_processes = False
        if not marks and not host.exists("/proc/1"):
            raise Unreadable("processes of other users are hidden here") from None
    if not own_processes:
        return True
    if not marks:
        return False
    # A machine whose disk was made from a container's image, or a container that shares the machine's processes:
    # the former has the root of process 1.
    try:
        return _root_mount(host, "/proc/1/mountinfo") != _root_mount(host, "/proc/self/mountinfo")
    except FleetopsError as error:
        raise Unreadable(
            f"'{marks[0]}' is the mark of a container, but all processes of the machine are seen ({error.msg})"
        ) from error


def _root_mount(host: Host, path: str) -> Optional[str]:
    """The id of the mount that is ``/`` (proc(5): the first and the fifth field)."""
    found = None
    for line in host.read(path).splitlines():
        fields = line.split()
        if fields[4] == "/":
            found = fields[0]
    return found


def _taint(host: Host) -> Dict[str, Any]:
    value = int(host.read("/proc/sys/kernel/tainted"))
    return {"value": value, "names": rules.taint_names(value)}


def _count(host: Host, path: str) -> int:
    try:
        return int(host.read(path))
    except Missing as error:
        raise Missing(f"this kernel has no '{path}'") from error


def _panic_sysctls(asking: Asking) -> Dict[str, Optional[int]]:
    """Those that this kernel has; one that is there and cannot be read is None."""
    found: Dict[str, Optional[int]] = {}
    for name in PANIC_SYSCTLS:
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            found[name] = int(asking.host.read(path))
        except Missing:
            continue
        except (FleetopsError, ValueError) as error:
            found[name] = None
            asking.say(f"panic_sysctls.{name}", str(error))
    if not found:
        asking.say("panic_sysctls", "'/proc/sys' is empty")
    return found


def _watchdogs(asking: Asking) -> List[Watchdog]:
    found = _class_watchdogs(asking)
    no_device = all(dog["identity"] != IPMI_IDENTITY for dog in found)
    if no_device and asking.host.exists(f"/sys/module/{IPMI_WATCHDOG}"):
        for part in ("active", "timeout"):
            asking.say(
                f"watchdogs.{IPMI_WATCHDOG}.{part}",
                f"the driver {IPMI_WATCHDOG} is loaded, and has no device in {WATCHDOGS} that would say it",
            )
        found.append(
            {
                "name": IPMI_WATCHDOG,
                "identity": IPMI_IDENTITY,
                "hardware": True,
                "active": None,
                "timeout": None,
            }
        )
    return found


def _class_watchdogs(asking: Asking) -> List[Watchdog]:
    host = asking.host
    try:
        names = host.listdir(WATCHDOGS)
    except Missing:
        host.listdir(
            "/sys/class"
        )  # without it, this is no running machine, and not a machine without watchdogs
        return []
    found: List[Watchdog] = []
    for name in sorted(names, key=rules.release_key):
        path = f"watchdogs.{name}"
        identity = asking.text(f"{path}.identity", f"{WATCHDOGS}/{name}/identity")
        state = asking.text(f"{path}.active", f"{WATCHDOGS}/{name}/state")
        found.append(
            {
                "name": name,
                "identity": identity or "",
                # One that does not say what it is has not proved that it outlives its kernel.
                "hardware": bool(identity) and identity != SOFT_WATCHDOG,
                "active": None if state is None else state == "active",
                "timeout": asking.number(f"{path}.timeout", f"{WATCHDOGS}/{name}/timeout"),
            }
        )
    return found


def _memory(host: Host) -> int:
    """Memory as it was built in, what is reserved for a capture kernel included."""
    try:
        blocks = sum(1 for name in host.listdir(MEMORY_BLOCKS) if re.match(r"memory\d+\Z", name))
        if blocks:
            return blocks * int(host.read(f"{MEMORY_BLOCKS}/block_size_bytes"), 16)
    except Missing:
        pass
    found = re.search(r"^MemTotal:\s+(\d+) kB$", host.read("/proc/meminfo"), re.MULTILINE)
    if not found:
        raise Unreadable("'/proc/meminfo' has no line MemTotal")
    # MemTotal lacks the reservation, and a little that firmware and kernel keep to themselves.
    return int(found.group(1)) * 1024 + _kexec.crash_size(host)


def _packages(host: Host, platform: Optional[ModuleType], distro: Optional[Distro]) -> List[Package]:
    if platform is None:
        raise Unreadable(_no_platform(distro))
    found: List[Package] = platform.packages(host)
    return found


def _package_of(platform: ModuleType, packages: List[Package], release: str) -> Optional[Package]:
    """The installed package that brought a release."""
    for package in packages:
        # dpkg's second letter: n, not installed; c, only its configuration is left.
        if package["status"][1:2] not in ("n", "c") and platform.release_of(package) == release:
            return package
    return None


def _running_package(
    host: Host, platform: ModuleType, packages: List[Package], release: Optional[str]
) -> Optional[Package]:
    """The package of the running kernel, in the version that runs: a newer one may be on the disk."""
    if release is None:
        raise Unreadable("the running release is unknown")
    try:
        version = rules.ubuntu_version_of(host.read("/proc/version_signature"))
    except Missing:
        version = rules.debian_version_of(host.read("/proc/version"))
    package = _package_of(platform, packages, release)
    if version is None:
        raise Unreadable(
            "'/proc/version' names no package version: this kernel is not one of the distribution"
        )
    if package is None:
        name = str(platform.kernel_package(release))
        return {"name": name, "version": version, "source": "", "source_version": "", "status": "un"}
    if package["version"] == version:
        return package
    return {**package, "version": version, "source_version": version}


def _installed(
    asking: Asking, platform: ModuleType, packages: Optional[List[Package]]
) -> List[InstalledKernel]:
    host = asking.host
    try:
        boot = host.listdir("/boot")
    except Missing:
        boot = []
    releases = {
        name[len("vmlinuz-") :] for name in boot if re.match(r"vmlinuz-\d\S*(?<!\.dpkg-\w{3})\Z", name)
    }
    for package in packages or []:
        release = platform.release_of(package)
        if release and package["status"][1:2] not in ("n", "c") and host.exists(f"/lib/modules/{release}"):
            releases.add(release)
    entries, no_entries = _entries(asking, platform) if releases else ([], "")
    found: List[InstalledKernel] = []
    for release in sorted(releases, key=rules.release_key):
        path = f"installed.{release}"
        missing = _missing_files(asking, platform, release)
        if entries is not None and release not in entries:
            missing.append("an entry in the boot loader's menu")
        if entries is None:
            asking.unknown.setdefault(f"{path}.bootable", no_entries)
        if missing:
            asking.unknown.pop(f"{path}.bootable", None)  # whatever else: this one does not boot
        if packages is None:
            asking.say(f"{path}.package", asking.unknown.get("package", "no reason given"))
        found.append(
            {
                "release": release,
                "package": _package_of(platform, packages or [], release),
                "bootable": False if missing else None if f"{path}.bootable" in asking.unknown else True,
                "missing": missing,
            }
        )
    return found


def _entries(asking: Asking, platform: ModuleType) -> Tuple[Optional[List[Optional[str]]], str]:
    """(releases that the boot loader's menu names, or None, and then why)"""
    try:
        return [entry["release"] for entry in platform.boot_entries(asking.host)], ""
    except FleetopsError as error:
        return None, error.msg


def _missing_files(asking: Asking, platform: ModuleType, release: str) -> List[str]:
    missing = []
    for path, least in platform.boot_files(release).items():
        size = asking.ask(f"installed.{release}.bootable", _size, asking.host, path)
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
