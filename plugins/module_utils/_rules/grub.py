# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""GRUB's menu, and which entry GRUB takes. Pure.

The menu stands in grub.cfg, or there the command ``blscfg`` stands for files that are read elsewhere (`bls`).
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline, grubscript
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.grubscript import (
    Command,
    Files,
    Statement,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._types import NextBoot

# include/grub/lib/envblk.h, as grub-editenv makes it.
ENVIRONMENT_BYTES = 1024
# Written through the blocks of a file that is there (GRUB manual, "Environment block"); ext4 and ext3 are GRUB's ext2.
WRITABLE = frozenset({"ext2", "ext3", "ext4", "xfs", "vfat"})
# util/grub.d/00_header.in has this list under the names of GRUB's own drivers.
NEVER_WRITABLE = frozenset({"btrfs", "zfs", "squashfs", "romfs"})


class BootEntry(TypedDict):
    """A menu entry that boots a Linux kernel, or anything else (``release`` null). ``id`` is a path ``a>b``."""

    id: str
    title: str
    release: Optional[str]
    cmdline: List[str]
    recovery: bool


class Node(NamedTuple):
    """An entry or a submenu."""

    title: str
    id: str
    path: str
    linux: Optional[str]  # what follows `linux`
    children: Optional[List[Node]]  # None: an entry


class Choice(NamedTuple):
    """What a default comes to, by which kind of name, and what GRUB had to make up for on the way.

    ``named_by``: as in `NextBoot`; of a path through submenus the part that holds least.
    """

    node: Node
    notes: List[str]
    named_by: str


class Default(NamedTuple):
    """The name that GRUB looks for in its menu, where it stands, and whether it is for one boot only."""

    spec: str
    where: str
    once: bool


# The entries for an emergency of grub-mkconfig, and of dracut's rescue image.
_RECOVERY = re.compile(r"-recovery-|-0-rescue\b")
_LINUX = frozenset({"linux", "linux16", "linuxefi"})
# Options of `menuentry` and `submenu` that have an argument (grub-core/commands/menuentry.c).
_WITH_ARGUMENT = frozenset({"--class", "--users", "--hotkey", "--source", "--id", "-s", "-u", "-h", "-c"})
# grub_strtoul: 0x is hexadecimal and no number without a digit behind it; 0 and a digit below 8 is octal.
_NUMBER = re.compile(
    r"[ \t\n\v\f\r]*(?:0x(?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]+)|(?P<decimal>(?!0x)[0-9]+))"
)
# The entry above all others that GRUB's scripts make: it boots the newest, whichever that is.
TOP_ENTRY = "gnulinux-simple-"
_MOST_DIGITS = 32  # more than an unsigned long has in any of these bases: GRUB calls it out of range
_HOLDS_LEAST = ("id", "title", "first", "position")
_ENVIRONMENT_HEAD = "# GRUB Environment Block\n"  # GRUB takes no other file for an environment
_ASSIGNMENT = re.compile(r"^(?P<name>[^#=\n][^=\n]*)=(?P<value>(?:[^\\\n]|\\[\s\S])*)$", re.MULTILINE)
NEXT_ENTRY = "next_entry"  # of the environment: what is for one boot only
CUSTOM = "custom.cfg"  # what 41_custom takes in, beside grub.cfg
ALONE: Files = MappingProxyType({CUSTOM: None})


def menu(text: str, files: Files = ALONE, blscfg: Sequence[Node] = ()) -> List[Node]:
    """The menu of a grub.cfg; *blscfg* are the entries that this command adds, in their order.

    What stands in a branch counts: of the menu's own conditions only those of the firmware's setup are not met.
    Raises FleetopsError when its blocks do not match.
    """
    return _level(grubscript.parse(text), None, files, blscfg)


def has_blscfg(text: str) -> bool:
    """Does the menu come from files of the boot loader specification?"""
    return any(command.words[:1] == ["blscfg"] for command in grubscript.walk(grubscript.parse(text)))


def entries(nodes: Sequence[Node]) -> List[BootEntry]:
    """All entries, in the order of the menu, those of submenus included."""
    found: List[BootEntry] = []
    for node in nodes:
        if node.children is not None:
            found += entries(node.children)
            continue
        kernel, _space, rest = (node.linux or "").partition(" ")
        # Variables of the menu itself, such as Ubuntu's $vt_handoff, are no words of the kernel.
        words = [word for word in cmdline.tokenise(rest) if not word.startswith("$")]
        found.append(
            {
                "id": node.path,
                "title": node.title,
                "release": _release(kernel),
                "cmdline": words,
                "recovery": bool(_RECOVERY.search(node.id)) or "single" in words or "recovery" in words,
            }
        )
    return found


def entry_of(found: Sequence[BootEntry], release: str) -> Optional[BootEntry]:
    """The entry that boots this very release, and goes on to when another is installed: by an id of its own.

    Neither one for recovery, nor the one on top of the menu, nor one without an id, whose title stands for it.
    """
    own = [
        entry
        for entry in found
        if entry["release"] == release
        and not entry["recovery"]
        and release in _last_part(entry["id"])
        and _last_part(entry["id"]) != entry["title"]
    ]
    # Others of 10_linux are for another init; those of os-prober belong to another system.
    ours = [entry for entry in own if not _last_part(entry["id"]).startswith("osprober-")]
    best = [entry for entry in ours if "-advanced-" in _last_part(entry["id"])]
    return next(iter(best or ours), None)


def holds(choice: NextBoot) -> bool:
    """Does this rule stay with its kernel, whatever else is installed?"""
    return choice["named_by"] in ("id", "title") and not _last_part(choice["entry"]).startswith(TOP_ENTRY)


def _last_part(path: str) -> str:
    return re.split(r"(?<!>)>(?!>)", path)[-1].replace(">>", ">")


def environment(text: str) -> Dict[str, str]:
    """The variables of a grubenv; none where GRUB would find none (grub-core/lib/envblk.c)."""
    if not text.startswith(_ENVIRONMENT_HEAD):
        return {}
    return {
        found.group("name"): re.sub(r"\\([\s\S])", r"\1", found.group("value"))
        for found in _ASSIGNMENT.finditer(text)
    }


def variables(text: str, env: Mapping[str, str], files: Files = ALONE) -> grubscript.Outcome:
    """What the variables hold once the menu stands; *env* is what GRUB finds in its environment."""
    return grubscript.run(grubscript.parse(text), env, files)


def default(outcome: grubscript.Outcome) -> Default:
    """The default among these variables. Raises FleetopsError where only GRUB can know it."""
    value, written = outcome.values.get("default", ""), outcome.written.get("default")
    if value is None:
        raise FleetopsError("the default depends on what only GRUB sees while it starts")
    variable = re.match(r'"?\$\{?(\w+)\}?"?\Z', written or "")
    if not variable:
        return Default(value, "default in grub.cfg", False)
    where = f"{variable.group(1)} in grubenv"
    if variable.group(1) != NEXT_ENTRY:
        return Default(value, where, False)
    # It is for one boot because the script empties it, and writes that down, before it boots.
    once = outcome.values.get(NEXT_ENTRY) == "" and NEXT_ENTRY in outcome.saved
    return Default(value, where + (", for one boot" if once else ", which nothing takes back"), once)


def of_setting(setting: str) -> str:
    """What grub-mkconfig writes for a value of GRUB_DEFAULT (util/grub.d/00_header.in)."""
    value = "${saved_entry}" if setting == "saved" else setting or "0"
    return f'load_env\nset default="{value}"\n'


def choose(nodes: Sequence[Node], spec: str, whole_names: bool = False) -> Choice:
    """The entry that GRUB takes for a default, as in grub-core/normal/menu.c get_entry_number and menuentry_eq.

    *whole_names*: as Fedora and its family have changed it, where names come before numbers, and a number is one
    only when nothing follows it.
    """
    notes: List[str] = []
    level, rest, named_by = nodes, spec, "id"
    while True:
        if not level:
            raise FleetopsError("the menu has no entry")
        part, following = _first_part(rest)
        find = _position_by_names if whole_names else _position
        position, kind = find(level, part, rest)
        if position is None:
            if part:
                notes.append(f"'{part}' names no entry, so GRUB takes the first")
            position = 0
        elif kind == "first":
            notes.append("the first entry")
        elif kind == "position":
            notes.append(f"entry {position}: another kernel can take its place")
        named_by = max(named_by, kind, key=_HOLDS_LEAST.index)
        node = level[position]
        if node.children is None:
            return Choice(node, notes, named_by)
        level, rest = node.children, following


def _level(
    script: Sequence[Statement], parent: Optional[Node], files: Files, blscfg: Sequence[Node]
) -> List[Node]:
    found: List[Node] = []
    for command in _commands(script, files):
        name = command.words[0] if command.words else ""
        if name in ("menuentry", "submenu"):
            found.append(_node(command, parent, files))
        elif name == "blscfg":
            found += blscfg
    return found


def _commands(script: Sequence[Statement], files: Files) -> Iterator[Command]:
    """The commands, and those of the files that they take in; a file that takes in itself is taken in once."""
    for command in grubscript.walk(script):
        yield command
        if command.words[:1] == ["source"] and len(command.words) > 1:
            name = grubscript.file_name(command.words[1])
            text = files.get(name)
            if text is not None:
                yield from _commands(grubscript.parse(text), {**files, name: None})


def _node(command: Command, parent: Optional[Node], files: Files) -> Node:
    """The node that a ``menuentry`` or ``submenu`` makes."""
    title, identity, waits = "", None, ""
    for word in grubscript.words(command)[1:]:
        if waits:
            identity = word if waits == "--id" else identity
            waits = ""
        elif word in _WITH_ARGUMENT:
            waits = word
        elif word.startswith("--id="):
            identity = word[len("--id=") :]
        elif not word.startswith("--") and not title:
            title = word
    identity = title if identity is None else identity
    path = identity.replace(">", ">>")
    node = Node(title, identity, f"{parent.path}>{path}" if parent else path, None, None)
    body = command.body or []
    if command.words[0] == "submenu":
        return node._replace(children=_level(body, node, files, ()))
    # The last one counts, as in Ubuntu's if-else of a boot without an initrd.
    linux = [inner.words for inner in grubscript.walk(body) if inner.words[:1] and inner.words[0] in _LINUX]
    return node._replace(linux=" ".join(linux[-1][1:]) if linux else None)


def _release(kernel: str) -> Optional[str]:
    found = re.search(r"(?:^|/)vmlinu[xz]-(\S+)\Z", kernel)
    return found.group(1) if found else None


def _first_part(spec: str) -> Tuple[str, str]:
    """(a default's name on this level, what is for the submenu): ``>`` separates, ``>>`` is a ``>`` of the name."""
    pieces: List[str] = []
    for piece in re.finditer(r">>|>|[^>]+", spec):
        if piece.group() == ">":
            return "".join(pieces), spec[piece.end() :]
        pieces.append(">" if piece.group() == ">>" else piece.group())
    return "".join(pieces), ""


def _position(level: Sequence[Node], part: str, rest: str) -> Tuple[Optional[int], str]:
    """(where in the level, by which kind of name); (None, "first") where GRUB takes the first in its stead."""
    number = _number(rest)
    if number is not None:
        return _by_number(level, number)
    for index, node in enumerate(level):
        if part in (node.title, node.id):
            return index, "id" if part == node.id else "title"
    return None, "first"


def _position_by_names(level: Sequence[Node], part: str, rest: str) -> Tuple[Optional[int], str]:
    """The same where ids come before titles and both before numbers. White space ends an id, and spoils the default."""
    spoilt = re.search(r"\s", rest)
    identity = _first_part(rest[: spoilt.start()])[0] if spoilt else part
    for index, node in enumerate(level):
        if identity and node.id == identity:
            return (None, "first") if spoilt else (index, "id")
    for index, node in enumerate(level):
        if part and node.title == part:
            return index, "title"
    number = _NUMBER.match(rest)
    if number and number.end() == len(rest):
        return _by_number(level, _number(rest) or 0)
    return None, "first"


def _by_number(level: Sequence[Node], number: int) -> Tuple[Optional[int], str]:
    if number >= len(level):
        return None, "first"
    return number, "position" if number else "first"


def _number(part: str) -> Optional[int]:
    """What grub_strtoul (grub-core/kern/misc.c) makes of a name: digits count, whatever follows; None: no number."""
    found = _NUMBER.match(part)
    if not found:
        return None
    for name, base in (("hex", 16), ("octal", 8), ("decimal", 10)):
        digits = found.group(name)
        if digits:
            significant = digits.lstrip("0") or "0"
            return int(significant, base) if len(significant) <= _MOST_DIGITS else 1 << 64
    return None
