# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""GRUB's menu as grub-mkconfig writes it, and which entry GRUB takes. Pure.

Nothing of GRUB's script language is run: menu entries are found by their braces, and the default by the one
``set default=`` that 00_header writes. A configuration that does more is an error, not a guess.
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, List, NamedTuple, Optional, Tuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline


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


_HEAD = re.compile(r"(menuentry|submenu)\s")
_LINUX = re.compile(r"linux(?:16|efi)?\s+(?P<rest>\S.*)\Z")
# grub_strtoul: 0x is hexadecimal and no number without a digit behind it; 0 and a digit below 8 is octal.
_NUMBER = re.compile(
    r"[ \t\n\v\f\r]*(?:0x(?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]+)|(?P<decimal>(?!0x)[0-9]+))"
)
_MOST_DIGITS = 32  # more than an unsigned long has in any of these bases: GRUB calls it out of range
_HOLDS_LEAST = ("id", "title", "first", "position")
_SET_DEFAULT = re.compile(r"^\s*set\s+default=(.*?)\s*$", re.MULTILINE)


def menu(text: str) -> List[Node]:
    """The menu of a grub.cfg. Raises FleetopsError when its braces do not match."""
    top: List[Node] = []
    # A block is (node or None, where its children go); functions and the like are blocks without a node.
    blocks: List[Tuple[Optional[Node], List[Node]]] = [(None, top)]
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if _HEAD.match(line):
            node, closed = _head(line, number, blocks[-1][0])
            blocks[-1][1].append(node)
            if not closed:
                blocks.append((node, node.children if node.children is not None else []))
        elif line.endswith("{"):
            blocks.append((None, []))
        elif line == "}":
            if len(blocks) == 1:
                raise FleetopsError(f"line {number} closes a block that was not opened")
            blocks.pop()
        else:
            _body(line, blocks)
    if len(blocks) != 1:
        raise FleetopsError("a block is not closed at the end of the file")
    return top


def entries(nodes: List[Node]) -> List[BootEntry]:
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
                "recovery": "-recovery-" in node.id or "single" in words or "recovery" in words,
            }
        )
    return found


def environment(text: str) -> Dict[str, str]:
    """The variables of a grubenv."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = re.sub(r"\\(.)", r"\1", value)
    return found


def default(text: str, env: Dict[str, str]) -> Tuple[str, str]:
    """(what the default is, where it stands), as 00_header decides it. Raises FleetopsError for any other way."""
    if re.search(r"^\s*blscfg\b", text, re.MULTILINE):
        raise FleetopsError("the menu is made of boot loader specification files")
    known = env if re.search(r"^\s*load_env\b", text, re.MULTILINE) else {}
    values = [value.strip("\"'") for value in _SET_DEFAULT.findall(text)]
    once = [value for value in values if value == "${next_entry}"]
    others = [value for value in values if value != "${next_entry}"]
    if len(others) != 1 or len(once) > 1 or (once and values[0] != once[0]):
        raise FleetopsError(f"the default is set {len(values)} times, which only GRUB itself can follow")
    if once and known.get("next_entry"):
        return known["next_entry"], "next_entry in grubenv, for one boot"
    (value,) = others
    variable = re.match(r"\$\{?(\w+)\}?\Z", value)
    if variable:
        return known.get(variable.group(1), ""), f"{variable.group(1)} in grubenv"
    if "$" in value:
        raise FleetopsError(f"the default is '{value}', which only GRUB itself can work out")
    return value, "default in grub.cfg"


def choose(nodes: List[Node], spec: str) -> Choice:
    """The entry that GRUB takes for a default, as in grub-core/normal/menu.c get_entry_number and menuentry_eq."""
    notes: List[str] = []
    parts = _split(spec)
    level, named_by = nodes, "id"
    while True:
        if not level:
            raise FleetopsError("the menu has no entry")
        part = parts.pop(0) if parts else ""
        position, kind = _position(level, part)
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
        level = node.children


def _head(line: str, number: int, parent: Optional[Node]) -> Tuple[Node, bool]:
    """The node that a ``menuentry`` or ``submenu`` line opens, and whether the line closes it again."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise FleetopsError(f"line {number} cannot be taken apart ({error})") from error
    title, identity = words[1], None
    for word, following in zip(words[2:], words[3:]):
        if word in ("--id", "$menuentry_id_option", "${menuentry_id_option}"):
            identity = following
        elif word.startswith("--id="):
            identity = word[len("--id=") :]
    identity = title if identity is None else identity
    path = identity.replace(">", ">>")
    if parent is not None:
        path = f"{parent.path}>{path}"
    return Node(title, identity, path, None, [] if words[0] == "submenu" else None), line.endswith("}")


def _body(line: str, blocks: List[Tuple[Optional[Node], List[Node]]]) -> None:
    """A line inside a block: only ``linux`` matters. The last one counts, as in Ubuntu's if-else of initrdless boot."""
    node = blocks[-1][0]
    found = _LINUX.match(line)
    if node is None or node.children is not None or not found:
        return
    changed = node._replace(linux=re.sub(r"\s+", " ", found.group("rest"), count=1))
    siblings = blocks[-2][1]
    siblings[-1] = changed
    blocks[-1] = (changed, [])


def _release(kernel: str) -> Optional[str]:
    found = re.search(r"(?:^|/)vmlinu[xz]-(\S+)\Z", kernel)
    return found.group(1) if found else None


def _split(spec: str) -> List[str]:
    """A default's path: ``>`` separates, ``>>`` is a ``>`` of the name."""
    parts = [""]
    for piece in re.findall(r">>|>|[^>]+", spec):
        if piece == ">":
            parts.append("")
        else:
            parts[-1] += piece[0] if piece == ">>" else piece
    return parts


def _position(level: List[Node], part: str) -> Tuple[Optional[int], str]:
    """(where in the level, by which kind of name); (None, "first") where GRUB takes the first in its stead."""
    number = _number(part)
    if number is not None:
        if number >= len(level):
            return None, "first"
        return number, "position" if number else "first"
    for index, node in enumerate(level):
        if part in (node.title, node.id):
            return index, "id" if part == node.id else "title"
    return None, "first"


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
