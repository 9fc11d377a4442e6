# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""systemd-boot: its entries, their order, and which one it takes. Pure.

Source: src/boot/boot.c of systemd (boot_entry_compare, config_select_default_entry, boot_entry_parse_tries) and its
interface, systemd.io/BOOT_LOADER_INTERFACE. Names are compared in small letters, as there.
"""

from __future__ import annotations

import fnmatch
import functools
import re
import struct
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grub import BootEntry

SAVED = "@saved"
# How much of an image's begin holds its table of sections, and how long a section is that only holds text.
HEAD_BYTES = 4096
MOST_SECTION_BYTES = 64 << 10


class Entry(NamedTuple):
    """An entry. ``release`` is None when nothing in it says it."""

    id: str
    title: str
    release: Optional[str]
    options: str
    sort_key: str
    machine_id: str
    version: str
    tries_left: Optional[int]  # None: boots of it are not counted
    tries_done: int


class Choice(NamedTuple):
    """What boots next, by which rule, for one boot only, and by which kind of name (as in `NextBoot`)."""

    entry: Entry
    because: str
    once: bool
    named_by: str


_TRIES = re.compile(r"\+(?P<left>\d{1,9})(?:-(?P<done>\d{1,9}))?\.(?:conf|efi)\Z", re.IGNORECASE)
_RELEASE_START = r"\d+\.\d+"
# kernel-install puts it as <token>/<release>/linux or <token>-<release>.efi; others as vmlinuz-<release>.
_OF_PATH = re.compile(
    rf"(?:^|/)(?:vmlinu[xz]-(?P<file>\d\S*)|(?P<folder>{_RELEASE_START}[^/\s]*)/(?:linux|vmlinuz))\Z"
)
_OF_IMAGE = re.compile(
    rf"(?:[0-9a-f]{{32}}-|(?:\S*?-)?)(?P<release>{_RELEASE_START}\.\d+\S*?)(?:\+\d+(?:-\d+)?)?\.efi\Z"
)


def key_values(text: str) -> List[Tuple[str, str]]:
    """``key value`` of loader.conf and of an entry: comments and lines without a value left out, quotes taken off."""
    found = []
    for line in text.splitlines():
        parts = re.match(r"[ \t]*(?P<key>[^\s#]\S*)[ \t]+(?P<value>\S.*)", line)
        if parts:
            value = parts.group("value").rstrip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found.append((parts.group("key"), value[1:-1] if quoted else value))
    return found


def variable(raw: bytes) -> str:
    """A text variable of the firmware: four bytes of attributes (efivarfs.rst), then UTF-16 with a zero at its end."""
    return raw[4:].decode("utf-16-le", "replace").partition("\0")[0]


def is_entry(name: str) -> bool:
    """Is this file of loader/entries one that systemd-boot reads?"""
    lowered = name.lower()
    return lowered.endswith(".conf") and not lowered.startswith((".", "auto-"))


def entry(name: str, text: str) -> Optional[Tuple[Entry, str]]:
    """(the entry of a file, the path of what it starts on its file system); None for one that starts nothing."""
    values = dict(key_values(text))  # the last of a kind counts
    path = values.get("linux") or values.get("uki") or values.get("efi")
    if not path:
        return None
    release = _release_of(values["linux"], values.get("version", "")) if "linux" in values else None
    if release is None and "uki" in values:
        release = release_of_image(values["uki"].rpartition("/")[2])
    options = " ".join(value for key, value in key_values(text) if key == "options")
    return (
        _entry(name, values.get("title", ""), release, options, values),
        "/" + path.replace("\\", "/").lstrip("/"),
    )


def image(name: str, sections: Mapping[str, str]) -> Entry:
    """A unified kernel image of EFI/Linux, by its name and its texts (``.uname``, ``.osrel``, ``.cmdline``)."""
    release = sections.get(".uname", "").strip() or release_of_image(name)
    about = dict(re.findall(r"^(\w+)=[\"']?([^\"'\n]*)", sections.get(".osrel", ""), re.MULTILINE))
    values = {
        "sort-key": about.get("IMAGE_ID") or about.get("ID") or "",
        "version": about.get("IMAGE_VERSION") or about.get("VERSION_ID") or about.get("BUILD_ID") or "",
    }
    return _entry(
        name,
        about.get("PRETTY_NAME", ""),
        release or None,
        sections.get(".cmdline", "").strip("\0\n "),
        values,
    )


def sections_of(head: bytes) -> Dict[str, Tuple[int, int]]:
    """Where the sections of a PE image are: name to (offset, size). Raises FleetopsError for anything else."""
    try:
        (start,) = struct.unpack_from("<I", head, 0x3C)
        if head[:2] != b"MZ" or head[start : start + 4] != b"PE\0\0":
            raise FleetopsError("it is no PE image")
        (count,) = struct.unpack_from("<H", head, start + 6)
        (optional,) = struct.unpack_from("<H", head, start + 20)
        found = {}
        for number in range(count):
            at = start + 24 + optional + 40 * number
            name, size, _address, raw_size, offset = struct.unpack_from("<8sIIII", head, at)
            found[name.rstrip(b"\0").decode("ascii", "replace")] = (offset, min(size, raw_size))
        return found
    except struct.error as error:
        raise FleetopsError(f"it is no PE image whose sections can be found ({error})") from error


def release_of_image(name: str) -> Optional[str]:
    """The release that the name of a unified kernel image tells."""
    found = _OF_IMAGE.match(name)
    return found.group("release") if found else None


def ordered(entries: Sequence[Entry]) -> List[Entry]:
    """In the order of the menu: the newest first, those that were tried in vain last."""
    return sorted(entries, key=functools.cmp_to_key(_compare))


def choose(entries: Sequence[Entry], variables: Mapping[str, str], default: str) -> Choice:
    """What systemd-boot takes: LoaderEntryOneShot, LoaderEntryDefault, loader.conf, and else the first.

    *variables* by their names, *default* of loader.conf; empty where there is none. Raises FleetopsError when there
    is no entry at all.
    """
    menu = ordered(entries)
    if not menu:
        raise FleetopsError("systemd-boot has no entry")
    notes = []
    for name, value in (
        ("LoaderEntryOneShot", variables.get("LoaderEntryOneShot", "")),
        ("LoaderEntryDefault", variables.get("LoaderEntryDefault", "")),
        ("default in loader.conf", default),
    ):
        once = name == "LoaderEntryOneShot"
        pattern = value.lower()
        if pattern == SAVED and not once:
            pattern, name = (
                variables.get("LoaderEntryLastBooted", "").lower(),
                f"{name} ({SAVED}), LoaderEntryLastBooted",
            )
        if not pattern:
            continue
        found = next((one for one in menu if fnmatch.fnmatchcase(one.id, pattern)), None)
        if found is not None:
            notes.append(f"{name}: {pattern}" + (", for one boot" if once else ""))
            return Choice(found, "; ".join(notes), once, "first" if set("*?[") & set(pattern) else "id")
        notes.append(f"{name}: '{pattern}' names no entry")
    return Choice(menu[0], "; ".join([*notes, "the first entry"]), False, "first")


def shown(one: Entry) -> BootEntry:
    """An entry, as those of other boot loaders are shown."""
    return {
        "id": one.id,
        "title": one.title,
        "release": one.release,
        "cmdline": cmdline.tokenise(one.options),
        "recovery": False,
    }


def _entry(name: str, title: str, release: Optional[str], options: str, values: Mapping[str, str]) -> Entry:
    tries = _TRIES.search(name)
    return Entry(
        id=name.lower(),
        title=title,
        release=release,
        options=options,
        sort_key=values.get("sort-key", ""),
        machine_id=values.get("machine-id", ""),
        version=values.get("version", ""),
        tries_left=int(tries.group("left")) if tries else None,
        tries_done=int(tries.group("done") or 0) if tries else 0,
    )


def _release_of(path: str, version: str) -> Optional[str]:
    found = _OF_PATH.search(path.replace("\\", "/"))
    if found:
        return found.group("file") or found.group("folder")
    return version if re.match(rf"{_RELEASE_START}\S*\Z", version) else None


# --- the order ---------------------------------------------------------------------------------------


def _compare(one: Entry, other: Entry) -> int:
    """Negative: *one* stands before *other*."""
    found = (one.tries_left == 0) - (other.tries_left == 0) or (not one.sort_key) - (not other.sort_key)
    if not found and one.sort_key:
        found = (
            _order(one.sort_key, other.sort_key)
            or _order(one.machine_id, other.machine_id)
            or -compare_versions(one.version, other.version)
        )
    found = found or -compare_versions(one.id, other.id)
    if found or one.tries_left is None or other.tries_left is None:
        return found
    return _order(other.tries_left, one.tries_left) or _order(one.tries_done, other.tries_done)


def _order(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


# What the comparison sees: runs of digits, runs of letters, and each of the signs by itself.
_SEGMENT = re.compile(r"[0-9]+|[A-Za-z]+|[~\-^.]")
# From the lowest on; between the last two kinds the digits are newer.
_KINDS = ("~", "", "-", "^", ".", "letters", "digits")


def compare_versions(one: str, other: str) -> int:
    """1, 0 or -1: strverscmp_improved, uapi-group.org/specifications/specs/version_format_specification."""
    mine, theirs = _SEGMENT.findall(one), _SEGMENT.findall(other)
    for number in range(max(len(mine), len(theirs))):
        left = mine[number] if number < len(mine) else ""
        right = theirs[number] if number < len(theirs) else ""
        found = _order(_KINDS.index(_kind(left)), _KINDS.index(_kind(right))) or _order(
            _rank(left), _rank(right)
        )
        if found:
            return found
    return 0


def _kind(segment: str) -> str:
    if segment.isdigit():
        return "digits"
    return "letters" if segment.isalpha() else segment


def _rank(segment: str) -> Tuple[int, str]:
    """Among segments of one kind: numbers by their value, letters in ASCII order."""
    if segment.isdigit():
        significant = segment.lstrip("0")
        return len(significant), significant
    return 0, segment
