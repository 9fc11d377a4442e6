# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Asks the boot loader, whichever of GRUB, GRUB with boot loader specification files and systemd-boot it is."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import (
    bls,
    grub,
    grubscript,
    proc,
    systemd_boot,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grub import BootEntry
from ansible_collections.fleetops.kernel.plugins.module_utils._types import BootEnvironment, NextBoot

T = TypeVar("T")

GRUB, GRUB_BLS, SYSTEMD_BOOT = "grub", "grub-bls", "systemd-boot"
EFI = "/sys/firmware/efi"
EFIVARS = f"{EFI}/efivars"
# The vendor of the loader interface (systemd.io/BOOT_LOADER_INTERFACE). A loader says there who it is, GRUB from 2.12.
LOADER_GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
LOADER_INFO = f"{EFIVARS}/LoaderInfo-{LOADER_GUID}"
# Where the EFI system partition is mounted, and the partition beside it that may hold kernels (file-hierarchy(7)).
PARTITIONS = ("/efi", "/boot/efi", "/boot")
BLS_ENTRIES = "/boot/loader/entries"
_ASKED = ("LoaderEntryOneShot", "LoaderEntryDefault", "LoaderEntryLastBooted")


class Grub(NamedTuple):
    """Where a family's GRUB has its files, and how it differs. ``configs``: the first that is there counts."""

    configs: Sequence[str]
    environment: str
    whole_names: bool = False  # see `grub.choose`
    by_version: bool = False  # see `bls.ordered`


class Changes(NamedTuple):
    """What is to be looked at as if it were so: texts of entries' files by their names, and GRUB's environment.

    A variable that is None is not set.
    """

    texts: Mapping[str, str]
    environment: Mapping[str, Optional[str]]


class _Config(NamedTuple):
    path: str
    text: str
    files: Dict[str, Optional[str]]
    environment: Dict[str, str]
    texts: Mapping[str, str]  # of entries' files, instead of those that are there


# --- which one ---------------------------------------------------------------------------------------


def kind(host: Host, where: Grub) -> str:
    """``grub``, ``grub-bls`` or ``systemd-boot``. Raises FleetopsError when that cannot be told."""
    try:
        said = loader_info(host)
        silent = said is None and _silence_means_grub(host)
    except Unreadable:
        # A disk without its machine: what is on it has to tell.
        said, silent = None, False
    if said is not None and said.startswith("systemd-boot"):
        return SYSTEMD_BOOT
    if said is not None and not said.startswith("GRUB"):
        raise FleetopsError(
            f"This machine was booted by {said or 'a nameless loader'}, which cannot be asked"
        )
    config = _grub_config(host, where.configs)
    other = None
    if config is None or (said is None and not silent):
        other = next((path for path in _partitions(host) if host.exists(f"{path}/EFI/systemd")), None)
    if config is None and other is None:
        raise Missing(
            f"there is no boot loader that can be asked: neither '{where.configs[-1]}' nor systemd-boot"
        )
    if config is None:
        return SYSTEMD_BOOT
    if other is not None:
        raise Unreadable(
            f"Either of two boot loaders may be in use: '{config[0]}' and systemd-boot on '{other}' are there"
        )
    return GRUB_BLS if _parsed(config[0], grub.has_blscfg, config[1]) else GRUB


def loader_info(host: Host) -> Optional[str]:
    """The boot loader that says that it booted this machine; None when none does, as GRUB before 2.12."""
    return _variable(host, "LoaderInfo")


def _silence_means_grub(host: Host) -> bool:
    """systemd-boot always says who it is: has this machine what it would say it in, or was it booted without EFI?"""
    if not host.exists(EFI):
        return host.exists("/sys/class")
    return EFIVARS.rpartition("/")[2] in host.listdir(EFI) and bool(host.listdir(EFIVARS))


def _variable(host: Host, name: str) -> Optional[str]:
    try:
        return systemd_boot.variable(host.read_bytes(f"{EFIVARS}/{name}-{LOADER_GUID}"))
    except Missing:
        return None


# --- what it boots -----------------------------------------------------------------------------------


def entries(host: Host, where: Grub, changes: Optional[Changes] = None) -> List[BootEntry]:
    """The entries of the menu, in its order."""
    if kind(host, where) == SYSTEMD_BOOT:
        return [systemd_boot.shown(one) for one in systemd_boot.ordered(_systemd_boot_entries(host))]
    config = _config(host, where, changes)
    outcome = _parsed(config.path, grub.variables, config.text, config.environment, config.files)
    return grub.entries(_menu(host, where, config, outcome.values))


def known_to_grub_alone(host: Host, where: Grub) -> List[str]:
    """The variables that hold, when the menu is made, what cannot be told from its files."""
    config = _config(host, where)
    outcome = _parsed(config.path, grub.variables, config.text, config.environment, config.files)
    return [name for name, value in outcome.values.items() if value is None]


def entry_files(host: Host) -> Dict[str, str]:
    """The files of the boot loader specification that GRUB reads: name to text."""
    return {
        name: host.read(f"{BLS_ENTRIES}/{name}") for name in filter(bls.is_entry, host.listdir(BLS_ENTRIES))
    }


def next_boot(
    host: Host, where: Grub, once: Optional[str] = None, changes: Optional[Changes] = None
) -> NextBoot:
    """The kernel that boots next. Raises FleetopsError when that cannot be told.

    *once*: what would boot next if this entry were the one for a single boot; ``""``: if there were none.
    """
    if kind(host, where) == SYSTEMD_BOOT:
        return _next_of_systemd_boot(host, once)
    config = _config(host, where, changes)
    environment = dict(config.environment)
    if once is not None:
        environment[grub.NEXT_ENTRY] = once
    if once == "":
        # What Ubuntu's menu for images without an initrd keeps of an entry for one boot, to try it once more.
        environment.pop("prev_entry", None)
    outcome = _parsed(config.path, grub.variables, config.text, environment, config.files)
    return _taken(host, where, config, outcome, _parsed(config.path, grub.default, outcome))


def boot_of_setting(host: Host, where: Grub, setting: str) -> NextBoot:
    """What the menu that is there would boot from now on, if grub-mkconfig were given this as GRUB_DEFAULT."""
    config = _config(host, where)
    outcome = _parsed(config.path, grub.variables, config.text, config.environment, config.files)
    script = grub.of_setting(setting)
    told = _parsed(config.path, grub.variables, script, config.environment, config.files)
    return _taken(host, where, config, outcome, _parsed(config.path, grub.default, told))


def pending(host: Host, where: Grub) -> str:
    """The entry that is for one boot only, as it is set now; empty when none is."""
    if kind(host, where) == SYSTEMD_BOOT:
        return _variable(host, "LoaderEntryOneShot") or ""
    return saved(host, where).get(grub.NEXT_ENTRY, "")


def saved(host: Host, where: Grub) -> Dict[str, str]:
    """What GRUB's environment block holds; nothing where there is none."""
    return grub.environment(_optional(host, where.environment) or "")


def _taken(
    host: Host, where: Grub, config: _Config, outcome: grubscript.Outcome, default: grub.Default
) -> NextBoot:
    menu = _menu(host, where, config, outcome.values)
    choice = _parsed(config.path, grub.choose, menu, default.spec, where.whole_names)
    (entry,) = grub.entries([choice.node])
    if entry["release"] is None:
        raise FleetopsError(
            f"'{config.path}': the entry that boots next, '{entry['title']}', boots no kernel of this system"
        )
    because = "; ".join(
        [f"{default.where}: {default.spec or 'empty, so GRUB takes the first'}", *choice.notes]
    )
    return {
        "release": entry["release"],
        "entry": entry["id"],
        "because": because,
        "once": default.once,
        "named_by": choice.named_by,
    }


# --- GRUB's environment block ------------------------------------------------------------------------


def environment(host: Host, where: Grub) -> BootEnvironment:
    """Can GRUB itself write its environment block? Raises FleetopsError where that cannot be told, or there is none.

    It writes through the firmware, block by block, and so only where the file's blocks lie plainly on a disk. Where it
    cannot, an entry for one boot is never taken back: `grub-reboot` warns and sets it all the same (domain.md E.3).
    """
    if kind(host, where) == SYSTEMD_BOOT:
        raise Unreadable(
            "systemd-boot has no environment block: it keeps what is for one boot in the firmware"
        )
    path = host.resolve(where.environment)
    mount = proc.mount_of(path, host.read("/proc/self/mountinfo"))
    if mount is None:
        raise Unreadable(f"'/proc/self/mountinfo' does not say where '{path}' lies")
    size = host.size(path)
    layer = _layer(host, mount.device) if mount.kind in grub.WRITABLE else None
    because = f"'{path}' is on {mount.kind}, on a plain partition ({mount.device})"
    if size != grub.ENVIRONMENT_BYTES:
        because = f"'{path}' has {size} bytes, and GRUB writes one of {grub.ENVIRONMENT_BYTES}"
    elif mount.kind in grub.NEVER_WRITABLE:
        because = f"'{path}' is on {mount.kind}, which GRUB does not write"
    elif layer is not None:
        because = f"'{path}' is on {layer}, through which GRUB does not write"
    elif mount.kind in grub.WRITABLE:
        return {"path": path, "writable": True, "because": because}
    else:
        raise Unreadable(f"'{path}' is on {mount.kind}, of which it is not known whether GRUB writes it")
    return {"path": path, "writable": False, "because": because}


def _layer(host: Host, device: str) -> Optional[str]:
    """What lies between a block device (``major:minor``) and the disks, where GRUB would have to know of it."""
    folder = f"/sys/dev/block/{device}"
    names = host.listdir(folder)
    if "md" in names:
        return "a RAID of the kernel's (md)"
    if "bcache" in names:
        return "bcache"
    if "dm" not in names:
        return None
    # The name of its maker stands first (libdevmapper, dm_build_dm_uuid). Of a disk with several paths the firmware
    # sees the disk, and of its partitions too.
    maker = re.sub(r"part\d+-", "", host.read(f"{folder}/dm/uuid").strip()).partition("-")[0]
    return None if maker == "mpath" else f"the device mapper ({maker or 'of a maker unknown'})"


# --- GRUB --------------------------------------------------------------------------------------------


def _grub_config(host: Host, paths: Sequence[str]) -> Optional[Tuple[str, str]]:
    """(path, text) of the first of the paths that is there."""
    for path in paths:
        text = _optional(host, path)
        if text is not None:
            return path, text
    return None


def _config(host: Host, where: Grub, changes: Optional[Changes] = None) -> _Config:
    found = _grub_config(host, where.configs)
    if found is None:
        raise Missing(f"'{where.configs[-1]}' does not exist", path=where.configs[-1])
    path, text = found
    environment = _optional(host, where.environment)
    files = {where.environment.rpartition("/")[2]: environment}
    # Few have such a file. Where it cannot be told whether there is one, the script says that it takes it in.
    with contextlib.suppress(Unreadable):
        files[grub.CUSTOM] = _optional(host, f"{host.resolve(path).rpartition('/')[0]}/{grub.CUSTOM}")
    variables: Dict[str, Optional[str]] = {**grub.environment(environment or "")}
    variables.update(changes.environment if changes else {})
    known = {name: value for name, value in variables.items() if value is not None}
    return _Config(path, text, files, known, changes.texts if changes else {})


def _menu(
    host: Host, where: Grub, config: _Config, variables: Mapping[str, Optional[str]]
) -> List[grub.Node]:
    shown: List[grub.Node] = []
    if _parsed(config.path, grub.has_blscfg, config.text):
        texts = {**entry_files(host), **config.texts}
        found = [bls.entry(name, text) for name, text in texts.items()]
        shown = bls.nodes(bls.ordered(found, where.by_version), variables)
    return _parsed(config.path, grub.menu, config.text, config.files, shown)


def _optional(host: Host, path: str) -> Optional[str]:
    try:
        return host.read(path)
    except Missing:
        return None


def _parsed(path: str, question: Callable[..., T], *args: Any) -> T:
    """The answer to a question about a file, which an error names."""
    try:
        return question(*args)
    except FleetopsError as error:
        raise FleetopsError(f"'{path}': {error.msg}", path=path) from error


# --- systemd-boot ------------------------------------------------------------------------------------


def _next_of_systemd_boot(host: Host, once: Optional[str] = None) -> NextBoot:
    variables = {name: _variable(host, name) or "" for name in _ASKED}
    if once is not None:
        variables["LoaderEntryOneShot"] = once
    default = ""
    for partition in _partitions(host):
        text = _optional(host, f"{partition}/loader/loader.conf")
        if text is not None:
            default = dict(systemd_boot.key_values(text)).get("default", "")
            break
    choice = systemd_boot.choose(_systemd_boot_entries(host), variables, default)
    if choice.entry.release is None:
        raise FleetopsError(
            f"The entry that systemd-boot takes next, '{choice.entry.id}', does not say which kernel it boots"
        )
    return {
        "release": choice.entry.release,
        "entry": choice.entry.id,
        "because": choice.because,
        "once": choice.once,
        "named_by": choice.named_by,
    }


def _systemd_boot_entries(host: Host) -> List[systemd_boot.Entry]:
    """The entries of both partitions. An entry whose kernel is not there is none to systemd-boot either."""
    found: Dict[str, systemd_boot.Entry] = {}
    for partition in _partitions(host):
        for name in filter(systemd_boot.is_entry, _names(host, f"{partition}/loader/entries")):
            one = systemd_boot.entry(name, host.read(f"{partition}/loader/entries/{name}"))
            if one is not None and host.exists(f"{partition}{one[1]}"):
                found.setdefault(one[0].id, one[0])
        for name in _names(host, f"{partition}/EFI/Linux"):
            if name.lower().endswith(".efi"):
                one_image = _image(host, f"{partition}/EFI/Linux", name)
                found.setdefault(one_image.id, one_image)
    return list(found.values())


def _image(host: Host, folder: str, name: str) -> systemd_boot.Entry:
    path = f"{folder}/{name}"
    texts: Dict[str, str] = {}
    try:
        sections = systemd_boot.sections_of(host.read_bytes(path, 0, systemd_boot.HEAD_BYTES))
        for section in (".uname", ".osrel", ".cmdline"):
            if section in sections:
                offset, size = sections[section]
                raw = host.read_bytes(path, offset, min(size, systemd_boot.MOST_SECTION_BYTES))
                texts[section] = raw.decode("utf-8", "replace").rstrip("\0")
    except FleetopsError:
        pass  # a captured tree has no images: their names are there
    return systemd_boot.image(name, texts)


def _partitions(host: Host) -> List[str]:
    return [path for path in PARTITIONS if host.exists(path)]


def _names(host: Host, folder: str) -> List[str]:
    try:
        return host.listdir(folder)
    except Missing:
        return []
