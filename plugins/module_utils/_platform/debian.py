# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Debian and Ubuntu: dpkg, GRUB through update-grub, kdump-tools."""

from __future__ import annotations

import contextlib
import re
from types import ModuleType
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import (
    _apt,
    _aptmarks,
    _aptothers,
    _boot,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import (
    apt,
    aptpins,
    cmdline,
    dpkg,
    grubdefault,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grub import BootEntry
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    BootEnvironment,
    KernelPackages,
    MetaPackage,
    NextBoot,
    Package,
    Pin,
)

FAMILY = "debian"
IDS = frozenset({"debian", "ubuntu"})
# What the package of a kernel image is called.
EXAMPLE = "linux-image-6.1.0-56-amd64"
# What ansible.builtin.package is to use: left to itself, it asks the node again at every call.
PACKAGE_MANAGER = "apt"
# What changes packages of kernels, and says beforehand what would happen.
CHANGES: Optional[ModuleType] = _apt
# What keeps packages from being removed because nothing needs them any more.
MARKS: Optional[ModuleType] = _aptmarks
# Who else is at work on packages.
OTHERS: Optional[ModuleType] = _aptothers
# Roles that were run on machines of this family.
CURES = frozenset({"crashkernel", "kernel_upgrade"})

GRUB_CFG = "/boot/grub/grub.cfg"
GRUB_SETTINGS, GRUB_SETTINGS_MORE = "/etc/default/grub", "/etc/default/grub.d/*.cfg"
CMDLINE_DROPIN = "/etc/default/grub.d/zz-fleetops.cfg"
# Names the entry that boots from now on; sourced after what cloud images bring (50-cloudimg-settings.cfg).
DEFAULT_DROPIN = "/etc/default/grub.d/zz-fleetops-default.cfg"
KDUMP_DEFAULTS = "/etc/default/kdump-tools"
KDUMP_APPEND_KEY = "KDUMP_CMDLINE_APPEND"
KDUMP_CONFIG = "/usr/sbin/kdump-config"
RELEASE = "/proc/sys/kernel/osrelease"

_GRUB = _boot.Grub(configs=(GRUB_CFG,), environment="/boot/grub/grubenv")
_DPKG_STATUS = "/var/lib/dpkg/status"
# What dpkg has changed since it wrote that file, in the order of the names (lib/dpkg/dbmodify.c).
_DPKG_UPDATES = "/var/lib/dpkg/updates"
# Flavours come and go (linux-generic, linux-aws-6.8, linux-image-cloud-amd64 ...): no list of them would stay whole.
_PATTERNS = ("linux-*", "kdump-tools", "kexec-tools", "makedumpfile")
_FIELDS = r"${Package}\t${Version}\t${db:Status-Abbrev}\t${source:Package}\t${source:Version}"
# kdump-config: KDUMP_CMDLINE_APPEND=${KDUMP_CMDLINE_APPEND:="reset_devices ..."} in every version from 1.6.7 to 1.10.9.
_DEFAULT_APPEND = re.compile(
    r"^\s*KDUMP_CMDLINE_APPEND=\$\{KDUMP_CMDLINE_APPEND:=\"([^\"$`]*)\"\}", re.MULTILINE
)
# The other half of a kernel's modules (Ubuntu), and the major version that has them all in one package.
_EXTRA, _WITHOUT_EXTRA = "linux-modules-extra", 7
_BESIDE = (_EXTRA, "linux-headers")
_OF_A_KERNEL = re.compile(
    r"linux-(image|modules|main-modules|headers)-|(kdump-tools|kexec-tools|makedumpfile)\Z"
)
_PREFERENCES = "/etc/apt/preferences"


# --- packages ----------------------------------------------------------------------------------------


def packages(host: Host) -> List[Package]:
    """The packages of kernels and of kdump that dpkg knows, removed ones (``rc``) included.

    All of linux-*, since which of them are meta packages only their dependencies tell.
    """
    try:
        lines = _query(host, rf"{_FIELDS}\t${{Depends}}\n")
    except Unreadable:
        if host.live:
            raise
        return _packages_left_behind(host)
    return [dpkg.package(*line) for line in lines]


def kernel_package(release: str) -> str:
    """The package that brings a release."""
    return f"linux-image-{release}"


def to_install(release: str, beside: Sequence[str] = ()) -> List[str]:
    """What is to be installed for a release: its dependencies bring the rest, but not what another has *beside* it.

    Ubuntu's image pulls in half of its modules: many drivers of network cards and of storage are in
    ``linux-modules-extra``, up to 6.17 (domain.md 0.10, A.4, E.1). DKMS builds nothing without the headers.
    """
    major = int((re.match(r"\d{1,9}", release) or ["0"])[0])
    more = beside if major < _WITHOUT_EXTRA else [name for name in beside if name != _EXTRA]
    return [kernel_package(release), *(f"{name}-{release}" for name in more)]


def to_remove(release: str, beside: Sequence[str] = ()) -> List[str]:
    """All that belongs to a release alone: what depends on its image goes with that, but what that needs does not."""
    return [*to_install(release, beside), f"linux-modules-{release}"]


def beside(packages: Sequence[Package]) -> Dict[str, List[str]]:
    """The packages with more of a kernel of the distribution's own, without the release, by the release."""
    images = {release_of(package) for package in packages}
    found: Dict[str, List[str]] = {}
    for name in _BESIDE:
        for package in packages:
            release = package["name"][len(name) + 1 :]
            if package["name"] == f"{name}-{release}" and release in images and package["status"][1:2] == "i":
                found.setdefault(release, []).append(name)
    return found


def packages_of(packages: Sequence[Package], release: str) -> List[str]:
    """The installed packages of a kernel by name, without those that its image needs, which stay with it."""
    return [
        package["name"]
        for package in packages
        if apt.of_release(package["name"], release)
        and not apt.gone(package["status"])
        and package["name"] != f"linux-modules-{release}"
    ]


def needed(packages: Sequence[Package]) -> List[str]:
    """What meta packages that are installed lead to, one step far."""
    return [
        name for package in packages if not apt.gone(package["status"]) for name in package.get("needs", ())
    ]


def is_part(name: str) -> bool:
    """Is it the exact name of a kernel's image, or of more modules for one kernel?"""
    return release_named(name) is not None or re.match(rf"{_EXTRA}-\d", name) is not None


def exact_name(package: Package) -> str:
    """The name that means this package in this version, to the package manager."""
    return package["name"]


def release_named(name: str) -> Optional[str]:
    """The release of the kernel image that an exact name asks for; None for a meta package and for all others."""
    return dpkg.release_named(name)


def release_of(package: Package) -> Optional[str]:
    """The release that a package of a kernel image brings; None for all other packages."""
    return release_named(package["name"])


def kernel_packages(_host: Host, packages: Sequence[Package]) -> KernelPackages:
    """What stands in the way of new kernels, and what pulls them in. Of pins, see `pins`."""
    there = [package for package in packages if package["status"][1:2] not in ("n", "c")]
    doubtful = [
        package["name"] for package in there if dpkg.may_lead(package["name"]) and "needs" not in package
    ]
    if doubtful:
        raise Unreadable(f"what {doubtful[0]} depends on is unknown, and so which packages pull in kernels")
    needs = {package["name"]: package["needs"] for package in there if "needs" in package}
    metas: List[MetaPackage] = [
        {
            "name": package["name"],
            "version": package["version"],
            "tracks": dpkg.tracks(package["name"], needs),
        }
        for package in there
        if dpkg.leads_to_an_image(package["name"], needs)
    ]
    named = {meta["name"] for meta in metas}
    ours = [
        package for package in packages if _OF_A_KERNEL.match(package["name"]) or package["name"] in named
    ]
    return {
        "held": sorted(package["name"] for package in ours if package["status"].startswith("h")),
        # dpkg's second letter: i is whole, n and c are gone; the third: R, it has to be installed again.
        "broken": [
            dpkg.without_needs(package)
            for package in ours
            if package["status"][1:2] not in ("i", "n", "c") or package["status"][2:] == "R"
        ],
        "pins": [],
        "metas": metas,
    }


def pins(host: Host, packages: Sequence[Package]) -> List[Pin]:
    """The pins of apt that name packages of kernels."""
    ours = [
        package
        for package in packages
        if _OF_A_KERNEL.match(package["name"]) or dpkg.may_lead(package["name"])
    ]
    names = {package["name"] for package in ours}
    return aptpins.pins(
        _preferences(host), names, {package["source"] for package in ours if package["source"]}
    )


def _preferences(host: Host) -> Iterator[Tuple[str, str]]:
    try:
        names = host.listdir(f"{_PREFERENCES}.d")
    except Missing:
        names = []
    for path in (_PREFERENCES, *(f"{_PREFERENCES}.d/{name}" for name in names if aptpins.reads(name))):
        with contextlib.suppress(Missing):
            yield path, host.read(path)


def prebuilt(packages: Sequence[Package]) -> Dict[str, List[str]]:
    """The modules of vendors that packages bring, by the release that they are for: ``nvidia-535``, ``zfs``."""
    found: Dict[str, List[str]] = {}
    for package in packages:
        named = dpkg.vendor_named(package["name"])
        if named and package["status"][1:2] == "i":
            vendor, release = named
            found.setdefault(release, []).append(vendor)
    return {release: sorted(vendors) for release, vendors in found.items()}


def remove_packages(host: Host, names: Sequence[str]) -> None:
    """Remove packages, and nothing else: refuses when others would go along, or the running kernel."""
    remove = ["apt-get", "-y", *_apt.settings(_apt.LOCK_TIMEOUT), "remove", *names]
    found = apt.simulation(host.run([remove[0], "-s", *remove[1:]], env=_apt.QUIET))
    error = _against_removal(host, names, found)
    if error is not None:
        raise error
    if found.remove:
        host.run(remove, env=_apt.QUIET)


def refuses_removal(
    host: Host, names: Sequence[str], gone: Sequence[str] = (), again: Sequence[str] = ()
) -> Optional[FleetopsError]:
    """Why `remove_packages` would refuse, once *gone* are removed and *again*, each name=version, are installed."""
    words = [*again, *(f"{name}-" for name in [*gone, *names])]
    argv = ["apt-get", "-s", *_apt.settings(0), "--allow-downgrades", "--ignore-hold", "install", *words]
    try:
        found = apt.simulation(host.run(argv, env=_apt.QUIET))
    except FleetopsError as error:
        why = apt.impossible(str(error.context.get("stdout", "")), str(error.context.get("stderr", "")))
        return FleetopsError(f"{', '.join(names)} stays installed: apt finds no way: {why}")
    known = {*gone, *(name.partition("=")[0] for name in again)}
    install = [one for one in found.install if one[0] not in known]
    remove = [name for name in found.remove if name not in known]
    return _against_removal(host, names, apt.Simulation(install, [], remove))


def _against_removal(host: Host, names: Sequence[str], found: apt.Simulation) -> Optional[FleetopsError]:
    running = host.read(RELEASE).strip()
    kernels = [name for name in {*names, *found.remove} if apt.of_release(name, running)]
    if kernels:
        return FleetopsError(
            f"Nothing was removed: {', '.join(sorted(kernels))} belongs to the running kernel {running}",
            packages=kernels,
        )
    # What needs the removed one, apt may satisfy in another way: of a meta package, by a newer kernel.
    brought = [name for name, _old, _new in found.install]
    if brought:
        return FleetopsError(
            f"Nothing was removed: to remove {', '.join(names)}, apt would install {', '.join(brought)}",
            packages=brought,
        )
    along = [name for name in found.remove if name not in names]
    if along:
        return FleetopsError(
            f"{', '.join(names)} stays installed: removing it would remove {', '.join(along)} as well",
            along=along,
        )
    return None


# --- boot --------------------------------------------------------------------------------------------


def boot_files(release: str) -> Dict[str, int]:
    """What a kernel needs on the disk to boot, with the size below which it cannot be whole (domain.md A.4)."""
    return {
        f"/boot/vmlinuz-{release}": 1 << 20,
        f"/boot/initrd.img-{release}": 1 << 20,
        f"/lib/modules/{release}/modules.dep": 0,
    }


def boot_image(release: str) -> Tuple[str, str]:
    """(kernel, initrd) of a release."""
    return f"/boot/vmlinuz-{release}", f"/boot/initrd.img-{release}"


def boot_loader(host: Host) -> str:
    """``grub``, ``grub-bls`` or ``systemd-boot``. Raises FleetopsError when that cannot be told."""
    return _boot.kind(host, _GRUB)


def boot_entries(host: Host) -> List[BootEntry]:
    """The entries of the boot loader's menu, in its order."""
    return _boot.entries(host, _GRUB)


def next_boot(host: Host, once: Optional[str] = None) -> NextBoot:
    """The kernel that boots next. Raises FleetopsError when that cannot be told. *once*: see `_boot.next_boot`."""
    return _boot.next_boot(host, _GRUB, once)


def default_of(host: Host, text: str) -> NextBoot:
    """What would boot from now on, by the site's settings and a DEFAULT_DROPIN with this text (empty: without one)."""
    return _boot.boot_of_setting(host, _GRUB, _setting(host, _settings(host), text))


def overruled_by(host: Host, text: str) -> Optional[str]:
    """The file of the site that is read after DEFAULT_DROPIN and takes back what it says with this text."""
    files = _settings(host)
    first = files.index(DEFAULT_DROPIN) + 1
    wanted = _setting(host, files[:first], text)
    for last in range(first, len(files)):
        if _setting(host, files[: last + 1], text) != wanted:
            return files[last]
    return None


def _settings(host: Host) -> List[str]:
    """What grub-mkconfig sources, in its order."""
    return [GRUB_SETTINGS, *sorted({*host.glob(GRUB_SETTINGS_MORE), DEFAULT_DROPIN})]


def _setting(host: Host, files: Sequence[str], text: str) -> str:
    script = grubdefault.evaluator(files, DEFAULT_DROPIN, grubdefault.DEFAULT)
    return grubdefault.value_of(host.run(["/bin/sh", "-c", script, "sh", text]))


def pending_boot(host: Host) -> str:
    """The entry that is for one boot only, as it is set now; empty when none is."""
    return _boot.pending(host, _GRUB)


def boot_once(entry: str) -> List[str]:
    """The command that makes an entry the one for a single boot."""
    return ["grub-reboot", entry]


def edit_environment(host: Host, *change: str) -> List[str]:
    """The command that changes GRUB's environment block."""
    return ["grub-editenv", host.resolve(_GRUB.environment), *change]


def boot_environment(host: Host) -> BootEnvironment:
    """GRUB's environment block. Raises FleetopsError where the boot loader has none."""
    return _boot.environment(host, _GRUB)


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


def _query(host: Host, row: str) -> List[List[str]]:
    """What dpkg-query shows of our packages."""
    argv = ["dpkg-query", "--show", f"--showformat={row}", *_PATTERNS]
    # 1: a pattern matched nothing (dpkg-query(1), EXIT STATUS).
    lines = [line.split("\t") for line in host.run(argv, ok=(0, 1)).splitlines()]
    asked = row.count("${")
    for fields in lines:
        if len(fields) != asked:
            raise FleetopsError(
                f"dpkg-query said {' '.join(fields)[:100]!r}, and {asked} fields were asked for"
            )
    return [
        [name, version, status.strip(), *rest]
        for name, version, status, *rest in lines
        if dpkg.is_known(version, status)
    ]


def _packages_left_behind(host: Host) -> List[Package]:
    """Of a dead node nobody can be asked: its database is read, or what a sosreport shows without dependencies."""
    there = False
    with contextlib.suppress(Unreadable):
        there = host.exists(_DPKG_STATUS)
    if there:
        return dpkg.packages(_status(host))
    return [
        dpkg.package(name, version, status, source, source_version, None)
        for name, version, status, source, source_version in _query(host, rf"{_FIELDS}\n")
    ]


def _status(host: Host) -> List[Dict[str, str]]:
    """Our packages in dpkg's database. Raises Unreadable where it cannot be told what dpkg has not yet merged."""
    found: Dict[Tuple[str, str], Dict[str, str]] = {}
    for path in (_DPKG_STATUS, *_updates(host)):
        text = host.read(path)
        if path != _DPKG_STATUS and not text.startswith("Package: "):
            raise Unreadable(f"'{path}' is not what dpkg writes there: its last changes are lost", path=path)
        # A package that was changed stands there whole.
        found.update(
            {(one["Package"], one.get("Architecture", "")): one for one in dpkg.blocks(text, _PATTERNS)}
        )
    return list(found.values())


def _updates(host: Host) -> List[str]:
    try:
        names = host.listdir(_DPKG_UPDATES)
    except Missing:
        return []
    return [f"{_DPKG_UPDATES}/{name}" for name in sorted(names) if re.match(r"\d+\Z", name, re.ASCII)]
