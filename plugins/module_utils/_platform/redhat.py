# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""RHEL and what is made of it, Fedora, openEuler: rpm and dnf, GRUB with or without boot loader specification files.

Read on composed trees and through the real rpm, dnf and grub-editenv; no such machine was booted. Written is what the
boot loader reads, where its entries are files. What changes kdump's words (/etc/sysconfig/kdump) is not built yet, and
says so.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Dict, List, NoReturn, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import OS_RELEASE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _boot, _entries
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bls, cmdline, rpm
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grub import NEXT_ENTRY, BootEntry
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    BootEnvironment,
    KernelPackages,
    MetaPackage,
    NextBoot,
    Package,
    Pin,
)

FAMILY = "redhat"
IDS = frozenset({"rhel", "centos", "rocky", "almalinux", "ol", "fedora", "openEuler", "openeuler"})
# What the package of a kernel image is called.
EXAMPLE = "kernel-core-5.14.0-570.35.1.el9_6.x86_64"
# What ansible.builtin.package is to use: left to itself, it asks the node again at every call.
PACKAGE_MANAGER = "dnf"
# What changes packages of kernels, and says beforehand what would happen: not built yet.
CHANGES: Optional[ModuleType] = None
MARKS: Optional[ModuleType] = None
OTHERS: Optional[ModuleType] = None
# None of the roles was run on a machine of this family.
CURES: frozenset[str] = frozenset()

RELEASE = "/proc/sys/kernel/osrelease"
# Where grub2-mkconfig writes: RHEL 8 keeps it on the EFI system partition, to which the link leads.
GRUB_CFG, GRUB_CFG_EFI = "/boot/grub2/grub.cfg", "/etc/grub2-efi.cfg"
GRUBENV = "/boot/grub2/grubenv"
EDITENV = "grub2-editenv"
SAVED_ENTRY, PREVIOUS_ENTRY = "saved_entry", "prev_saved_entry"
# What boots from now on, and the kernels' words, are kept in GRUB's environment and in the entries: in no file of ours.
DEFAULT_DROPIN = CMDLINE_DROPIN = ""
# Whether a kernel that is installed makes itself the default.
KERNEL_SETTINGS = "/etc/sysconfig/kernel"
VERSIONLOCKS = ("/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list")
VERSIONLOCK_DNF5 = "/etc/dnf/versionlock.toml"
VERSIONLOCK_CONF = "/etc/dnf/plugins/versionlock.conf"
DNF_CONF = "/etc/dnf/dnf.conf"

# Where rpm has its database, and in which of its formats (rpm macros _dbpath, _db_backend).
_DATABASES = tuple(
    f"{folder}/{name}"
    for name in ("rpmdb.sqlite", "Packages", "Packages.db")
    for folder in ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
)
_PATTERNS = ("kernel", "kernel-*", "kexec-tools", "kdump-utils", "makedumpfile", "kmod-*")


# --- packages ----------------------------------------------------------------------------------------


def packages(host: Host) -> List[Package]:
    """The packages of kernels, of modules for them and of kdump that rpm knows."""
    if host.live and not any(host.exists(path) for path in _DATABASES):
        # rpm would make one: a reading changes nothing.
        raise Unreadable(
            f"there is no database of rpm: neither '{_DATABASES[0]}' nor '{_DATABASES[1]}' has one"
        )
    return rpm.packages(host.run(["rpm", "-qa", "--qf", rpm.FORMAT, *_PATTERNS]))


def kernel_package(release: str) -> str:
    """The package that brings a release, as its manager is asked for it."""
    return rpm.kernel_package(release)


def to_install(release: str, _beside: Sequence[str] = ()) -> List[str]:
    """What is to be installed for a release: the image, and the modules that it comes with."""
    return rpm.with_modules(release)


def to_remove(release: str, beside: Sequence[str] = ()) -> List[str]:
    """All that belongs to a release alone."""
    return to_install(release, beside)


def beside(_packages: Sequence[Package]) -> Dict[str, List[str]]:
    """As for Debian; what comes with an image here, `to_install` knows without looking."""
    return {}


def is_part(name: str) -> bool:
    """Is it the exact name of a kernel's image, or of more modules for one kernel?"""
    return release_named(name) is not None or rpm.is_modules(name)


def exact_name(package: Package) -> str:
    """The name that means this package in this version, to the package manager."""
    return rpm.exact_name(package)


def release_named(name: str) -> Optional[str]:
    """The release of the kernel image that an exact name asks for; None for all others."""
    return rpm.release_named(name)


def release_of(package: Package) -> Optional[str]:
    """The release that a package of a kernel image brings; None for all other packages."""
    return package.get("release")


def kernel_packages(host: Host, packages: Sequence[Package]) -> KernelPackages:
    """What keeps dnf from replacing kernels, and what pulls them in.

    Of the packages that stand in rpm's database none is there in part: a kernel whose scripts did not end well is one
    that lacks a file or an entry.
    """
    ours = [package for package in packages if package["name"].partition("-")[0] == "kernel"]
    names = [package["name"] for package in ours]
    locks = rpm.holds(_locks(host), names)
    excludes = host.read_first([DNF_CONF])
    held = [*locks, *rpm.holds(rpm.excluded(excludes or ""), names)]
    return {"held": sorted({*held}), "broken": [], "pins": [], "metas": _metas(ours)}


def pins(_host: Host, _packages: Sequence[Package]) -> List[Pin]:
    """dnf has no pins: its locks and excludes are ``held``."""
    return []


def _metas(packages: Sequence[Package]) -> List[MetaPackage]:
    """Of each name the newest: rpm keeps as many of them as there are kernels."""
    brought = {
        (package["name"], package["version"]): package["release"]
        for package in packages
        if "release" in package
    }
    newest: Dict[str, Package] = {}
    for package in packages:
        there = newest.get(package["name"])
        if "needs" in package and (
            there is None or bls.compare_versions(package["version"], there["version"]) > 0
        ):
            newest[package["name"]] = package
    return [
        {
            "name": package["name"],
            "version": package["version"],
            "tracks": brought.get((package["needs"][0], package["version"])),
        }
        for package in newest.values()
    ]


def _locks(host: Host) -> List[str]:
    found = rpm.locked_by_dnf5(host.read_first([VERSIONLOCK_DNF5]) or "")
    settings = rpm.main_section(host.read_first([VERSIONLOCK_CONF]) or "")
    if settings.get("enabled", "1").lower() in ("0", "false", "no", "off"):
        return found
    paths = [settings["locklist"]] if settings.get("locklist", "").startswith("/") else VERSIONLOCKS
    return [*found, *rpm.locked(host.read_first(paths) or "")]


def prebuilt(packages: Sequence[Package]) -> Dict[str, List[str]]:
    """The modules of vendors that packages bring, by the release that they are for."""
    releases = [package["release"] for package in packages if "release" in package]
    return rpm.prebuilt([package["name"] for package in packages], releases)


def remove_packages(host: Host, names: Sequence[str]) -> None:
    """Remove packages, and what needs them. Refuses when the running kernel would go with them."""
    error = refuses_removal(host, names)
    if error is not None:
        raise error
    # dnf itself refuses where what is named would take the running kernel with it (protect_running_kernel).
    host.run(["dnf", "-y", "--setopt=clean_requirements_on_remove=False", "remove", *names])


def refuses_removal(
    host: Host, names: Sequence[str], gone: Sequence[str] = (), again: Sequence[str] = ()
) -> Optional[FleetopsError]:
    """Why `remove_packages` would refuse. What else is removed or installed before it is of no matter."""
    running = host.read(RELEASE).strip()
    version = running.partition("+")[0].rpartition(".")[0]
    kernels = [name for name in names if re.search(rf"-{re.escape(version)}(?!\w)", name)]
    if not kernels:
        return None
    return FleetopsError(
        f"Nothing was removed: {', '.join(sorted(kernels))} belongs to the running kernel {running}",
        packages=kernels,
    )


# --- boot --------------------------------------------------------------------------------------------


def boot_files(release: str) -> Dict[str, int]:
    """What a kernel needs on the disk to boot, with the size below which it cannot be whole (domain.md A.4)."""
    return {
        f"/boot/vmlinuz-{release}": 1 << 20,
        f"/boot/initramfs-{release}.img": 1 << 20,
        f"/lib/modules/{release}/modules.dep": 0,
    }


def boot_image(release: str) -> Tuple[str, str]:
    """(kernel, initrd) of a release."""
    return f"/boot/vmlinuz-{release}", f"/boot/initramfs-{release}.img"


def boot_loader(host: Host) -> str:
    """``grub``, ``grub-bls`` or ``systemd-boot``. Raises FleetopsError when that cannot be told."""
    return _boot.kind(host, _grub(host))


def boot_entries(host: Host) -> List[BootEntry]:
    """The entries of the boot loader's menu, in its order."""
    return _boot.entries(host, _grub(host))


def next_boot(host: Host, once: Optional[str] = None) -> NextBoot:
    """The kernel that boots next. Raises FleetopsError when that cannot be told. *once*: see `_boot.next_boot`."""
    return _boot.next_boot(host, _grub(host), once)


def default_of(host: Host, entry: str) -> NextBoot:
    """What would boot from now on, if GRUB's environment named this entry (empty: none)."""
    changes = _boot.Changes({}, {SAVED_ENTRY: entry or None})
    return _boot.next_boot(host, _grub(host), "", changes)


def saved_entry(host: Host) -> Optional[str]:
    """The entry that GRUB's environment names, None when it names none.

    Raises FleetopsError where GRUB will put another one in its place.
    """
    values = _boot.saved(host, _grub(host))
    if values.get(PREVIOUS_ENTRY):
        raise FleetopsError(
            f"Nothing was changed: the next boot puts '{values[PREVIOUS_ENTRY]}' in the place of {SAVED_ENTRY} "
            f"({PREVIOUS_ENTRY} in '{GRUBENV}'): let that boot pass, or unset it"
        )
    return values.get(SAVED_ENTRY)


def follows_updates(host: Host) -> Optional[str]:
    """What has a kernel that is installed later boot by itself; None when nothing does."""
    values = kdump_rules.shell_assignments(host.read_first([KERNEL_SETTINGS]) or "")
    said = values.get("UPDATEDEFAULT")
    return None if said == "no" else f"UPDATEDEFAULT={said or ''} in '{KERNEL_SETTINGS}'"


def entries_with_words(host: Host) -> List[BootEntry]:
    """The entries whose words are declared."""
    return _entries.normal(host, _grub(host))


def declare_words(host: Host, wanted: cmdline.Declaration) -> _entries.Change:
    """What to change for all boot entries to say what is declared."""
    return _entries.declare(host, _grub(host), wanted)


def overruled_by(_host: Host, _text: str) -> Optional[str]:
    """As for Debian; there is no file of ours."""
    return None


def pending_boot(host: Host) -> str:
    """The entry that is for one boot only, as it is set now; empty when none is."""
    return _boot.pending(host, _grub(host))


def boot_once(entry: str) -> List[str]:
    """The command that makes an entry the one for a single boot: what grub2-reboot does."""
    return [EDITENV, GRUBENV, "set", f"{NEXT_ENTRY}={entry}"]


def edit_environment(host: Host, *change: str) -> List[str]:
    """The command that changes GRUB's environment block."""
    return [EDITENV, host.resolve(GRUBENV), *change]


def boot_environment(host: Host) -> BootEnvironment:
    """GRUB's environment block. Raises FleetopsError where the boot loader has none."""
    return _boot.environment(host, _grub(host))


def _grub(host: Host) -> _boot.Grub:
    try:
        efi = host.exists(_boot.EFI)
    except FleetopsError:
        efi = False  # a tree without /sys: then what the machine was booted by says where its menu is
    return _boot.Grub(
        configs=(GRUB_CFG_EFI, GRUB_CFG) if efi else (GRUB_CFG, GRUB_CFG_EFI),
        environment=GRUBENV,
        whole_names=True,
        by_version=_major(host) == "8",
    )


def _major(host: Host) -> str:
    values = kdump_rules.shell_assignments(host.read_first(OS_RELEASE) or "")
    return values.get("VERSION_ID", "").partition(".")[0]


def update_boot_config(_host: Host) -> None:
    """Generate the menu again. What is written here, GRUB reads without that."""
    _not_yet("grub2-mkconfig is not run")


# --- kdump -------------------------------------------------------------------------------------------


def kdump_append(_host: Host) -> List[str]:
    """The words that are appended to the capture kernel's command line when it is loaded the next time."""
    _not_yet("the words in /etc/sysconfig/kdump are not changed")


def reload_capture(_host: Host) -> None:
    """Load the capture kernel again, and look whether it is."""
    _not_yet("kdumpctl is not run")


def _not_yet(what: str) -> NoReturn:
    raise FleetopsError(f"Nothing was changed: not on this family yet: {what} on {FAMILY}")
