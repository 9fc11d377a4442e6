# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Debian and Ubuntu: dpkg, GRUB through update-grub, kdump-tools."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline, grub
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grub import BootEntry
from ansible_collections.fleetops.kernel.plugins.module_utils._types import NextBoot, Package

FAMILY = "debian"
IDS = frozenset({"debian", "ubuntu"})
# What ansible.builtin.package is to use: left to itself, it asks the node again at every call.
PACKAGE_MANAGER = "apt"

GRUB_CFG = "/boot/grub/grub.cfg"
GRUBENV = "/boot/grub/grubenv"
# systemd-boot says who it is (systemd.io/BOOT_LOADER_INTERFACE); a GRUB left on the disk is not asked then.
LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
CMDLINE_DROPIN = "/etc/default/grub.d/zz-fleetops.cfg"
KDUMP_DEFAULTS = "/etc/default/kdump-tools"
KDUMP_APPEND_KEY = "KDUMP_CMDLINE_APPEND"
KDUMP_CONFIG = "/usr/sbin/kdump-config"
RELEASE = "/proc/sys/kernel/osrelease"

_DPKG_STATUS = "/var/lib/dpkg/status"
_PATTERNS = ("linux-image-*", "linux-modules-*", "kdump-tools", "kexec-tools", "makedumpfile")
_FORMAT = r"${Package}\t${Version}\t${db:Status-Abbrev}\t${source:Package}\t${source:Version}\n"
# kdump-config: KDUMP_CMDLINE_APPEND=${KDUMP_CMDLINE_APPEND:="reset_devices ..."} in every version from 1.6.7 to 1.10.9.
_DEFAULT_APPEND = re.compile(
    r"^\s*KDUMP_CMDLINE_APPEND=\$\{KDUMP_CMDLINE_APPEND:=\"([^\"$`]*)\"\}", re.MULTILINE
)
_IMAGE = re.compile(r"linux-image-(?:unsigned-)?(?P<release>\d\S*?)(?:-unsigned)?\Z")
_LOCK_TIMEOUT = "DPkg::Lock::Timeout=600"


# --- packages ----------------------------------------------------------------------------------------


def packages(host: Host) -> List[Package]:
    """The packages of kernels and of kdump that dpkg knows, removed ones (``rc``) included."""
    argv = ["dpkg-query", "--show", f"--showformat={_FORMAT}", *_PATTERNS]
    try:
        # 1: a pattern matched nothing (dpkg-query(1), EXIT STATUS).
        lines = [line.split("\t") for line in host.run(argv, ok=(0, 1)).splitlines()]
    except Unreadable:
        # The mounted disk of a dead node: nobody can be asked, but the database is there.
        if host.live or not host.exists(_DPKG_STATUS):
            raise
        return _packages_of_status(host.read(_DPKG_STATUS))
    return [
        {
            "name": name,
            "version": version,
            "source": source,
            "source_version": source_version,
            "status": status.strip(),
        }
        for name, version, status, source, source_version in lines
        if version
    ]


def kernel_package(release: str) -> str:
    """The package that brings a release."""
    return f"linux-image-{release}"


def release_of(package: str) -> Optional[str]:
    """The release that a package of a kernel image brings; None for a meta package and for all others."""
    found = _IMAGE.match(package)
    return found.group("release") if found else None


def remove_packages(host: Host, names: Sequence[str]) -> None:
    """Remove packages, and what needs them. Refuses when the running kernel would go with them."""
    running = host.read(RELEASE).strip()
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    remove = ["apt-get", "-y", "-o", _LOCK_TIMEOUT, "remove", *names]
    outcome = host.run([remove[0], "-s", *remove[1:]], env=environment)
    gone = re.findall(r"^Remv (\S+)", outcome, re.MULTILINE)
    kernels = [name for name in {*names, *gone} if re.search(rf"-{re.escape(running)}(-unsigned)?\Z", name)]
    if kernels:
        raise FleetopsError(
            f"Nothing was removed: {', '.join(sorted(kernels))} belongs to the running kernel {running}",
            packages=kernels,
        )
    if gone:
        host.run(remove, env=environment)


# --- boot --------------------------------------------------------------------------------------------


def boot_files(release: str) -> Dict[str, int]:
    """What a kernel needs on the disk to boot, with the size below which it cannot be whole (domain.md A.4)."""
    return {
        f"/boot/vmlinuz-{release}": 1 << 20,
        f"/boot/initrd.img-{release}": 1 << 20,
        f"/lib/modules/{release}/modules.dep": 0,
    }


def boot_loader(host: Host) -> Optional[str]:
    """The boot loader that says that it booted this machine; None when none does, as GRUB before 2.12."""
    try:
        # Four bytes of attributes, then UTF-16 (kernel, Documentation/filesystems/efivarfs.rst).
        return host.read_bytes(LOADER_INFO)[4:].decode("utf-16-le", "replace").rstrip("\0")
    except Missing:
        return None


def boot_entries(host: Host) -> List[BootEntry]:
    """The entries of GRUB's menu, as it was generated last."""
    return grub.entries(_menu(host, host.read(GRUB_CFG)))


def next_boot(host: Host) -> NextBoot:
    """The kernel that GRUB boots next. Raises FleetopsError when that cannot be told."""
    loader = boot_loader(host)
    if loader and not loader.startswith("GRUB"):
        raise FleetopsError(f"This machine was booted by {loader}, which this collection cannot ask yet")
    text = host.read(GRUB_CFG)
    try:
        environment = grub.environment(host.read(GRUBENV))
    except Missing:
        environment = {}
    menu = _menu(host, text)
    try:
        spec, where = grub.default(text, environment)
        node, notes = grub.choose(menu, spec)
    except FleetopsError as error:
        raise FleetopsError(f"'{GRUB_CFG}': {error.msg}", path=GRUB_CFG) from error
    (entry,) = grub.entries([node])
    if entry["release"] is None:
        raise FleetopsError(
            f"'{GRUB_CFG}': the entry that boots next, '{entry['title']}', boots no kernel of this system"
        )
    because = "; ".join([f"{where}: {spec or 'empty, so GRUB takes the first'}", *notes])
    return {"release": entry["release"], "entry": entry["id"], "because": because}


def update_boot_config(host: Host) -> None:
    """Generate GRUB's menu again."""
    host.run(["update-grub"])


# --- kdump -------------------------------------------------------------------------------------------


def kdump_append(host: Host) -> List[str]:
    """The words that kdump-tools appends to the capture kernel's command line when it loads it the next time."""
    try:
        value = kdump_rules.shell_assignments(host.read(KDUMP_DEFAULTS)).get(KDUMP_APPEND_KEY)
    except Missing:
        value = None
    if value:
        if not kdump_rules.is_literal(value):
            raise FleetopsError(
                f"{KDUMP_APPEND_KEY} in '{KDUMP_DEFAULTS}' is worked out by the shell: {value}",
                path=KDUMP_DEFAULTS,
            )
        return cmdline.tokenise(value)
    found = _DEFAULT_APPEND.search(host.read(KDUMP_CONFIG))
    if not found:
        raise FleetopsError(f"'{KDUMP_CONFIG}' does not say what it appends by default", path=KDUMP_CONFIG)
    return cmdline.tokenise(found.group(1))


def reload_capture(host: Host) -> None:
    """Load the capture kernel again, and look whether it is."""
    host.run(["kdump-config", "unload"])
    said = host.run(["kdump-config", "load"])
    # kdump-config can end well without having loaded anything.
    if not _kexec.crash_loaded(host):
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise FleetopsError(f"'kdump-config load' ended well, but no capture kernel is loaded: {last}")


# --- pieces ------------------------------------------------------------------------------------------


def _menu(host: Host, text: str) -> List[grub.Node]:
    try:
        return grub.menu(text)
    except FleetopsError as error:
        raise FleetopsError(f"'{GRUB_CFG}': {error.msg}", path=GRUB_CFG) from error


def _packages_of_status(text: str) -> List[Package]:
    """What dpkg-query would say, from the database itself."""
    found: List[Package] = []
    for block in text.split("\n\n"):
        fields: Dict[str, str] = dict(
            re.findall(r"^(Package|Status|Version|Source): (.*)$", block, re.MULTILINE)
        )
        name = fields.get("Package", "")
        if (
            not (name.startswith(("linux-image-", "linux-modules-")) or name in _PATTERNS)
            or "Version" not in fields
        ):
            continue
        want, error, state = fields["Status"].split()
        source = re.match(r"(\S+)(?: \((.*)\))?\Z", fields.get("Source", name))
        found.append(
            {
                "name": name,
                "version": fields["Version"],
                "source": source.group(1) if source else name,
                "source_version": (source.group(2) if source else None) or fields["Version"],
                "status": _STATUS_LETTERS[want]
                + _STATUS_LETTERS[state]
                + ("R" if error == "reinstreq" else ""),
            }
        )
    return found


# dpkg(1), "db:Status-Abbrev" in dpkg-query(1).
_STATUS_LETTERS = {
    "unknown": "u",
    "install": "i",
    "hold": "h",
    "deinstall": "r",
    "purge": "p",
    "not-installed": "n",
    "config-files": "c",
    "half-installed": "H",
    "unpacked": "U",
    "half-configured": "F",
    "triggers-awaiting": "W",
    "triggers-pending": "t",
    "installed": "i",
}
