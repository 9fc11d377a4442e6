# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Kernel command lines: take apart, compare, merge. Pure.

The rules are those of the kernel's own parser (``lib/cmdline.c`` next_arg, ``kernel/params.c`` parameq):
double quotes protect spaces wherever they stand in a token, ``-`` and ``_`` are the same in a key, the last
token of a key usually wins, and what follows a lone ``--`` belongs to init.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bounds
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Cmdline

INIT_SEPARATOR = "--"

# Quoted stretches and other characters that are not white space to C, in any mixture. A quote that is never closed
# protects all that follows it, as in the kernel.
_TOKEN = re.compile(r'(?:"[^"]*(?:"|\Z)|[^\s"]+)+', re.ASCII)
# No quoting survives sh, the boot loader's script and the kernel alike for these. White space beyond ASCII is such to
# some of them only.
_NEVER = re.compile(r"[\x00-\x1f\x7f$`'\\]|[^\S ]")
# kstrtoint with base 0: 0x is hexadecimal, another leading 0 octal, and nothing may follow.
_INTEGER = re.compile(
    r"(?P<sign>[+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]{0,9}))\Z"
)
# The boot loader's script language gives these a meaning outside quotes (GRUB manual, "Special characters").
_ONLY_QUOTED = re.compile(r"[;&|<>{}]")
_KEY = re.compile(r"[^\s\"=#*?\[\]/][^\s\"=*?\[\]]*\Z")


def tokenise(text: str) -> List[str]:
    """The tokens of a command line: order, repeats and quotes as they stand there."""
    return _TOKEN.findall(text)


def parse(raw: str) -> Cmdline:
    """A command line, with init's arguments apart. Raises FleetopsError when it is longer than any kernel's."""
    raw = bounds.within(raw.strip("\n\0"), bounds.COMMAND_LINE, "the command line")
    tokens = tokenise(raw)
    cut = tokens.index(INIT_SEPARATOR) if INIT_SEPARATOR in tokens else len(tokens)
    return {"raw": raw, "tokens": tokens[:cut], "init_args": tokens[cut + 1 :]}


def bare(token: str) -> str:
    """A token without its quotes: the boot loader moves them (``a="b c"`` arrives as ``"a=b c"``)."""
    return token.replace('"', "")


def key(token: str) -> str:
    """What stands before the first ``=``, as it was written; the whole token for a flag."""
    return bare(token).partition("=")[0]


def value(token: str) -> Optional[str]:
    """What stands after the first ``=``, quotes kept where they protect a space; None for a flag."""
    name, separator, rest = token.partition("=")
    if not separator:
        return None
    if name.startswith('"'):  # "key=some value": the quotes are around the value's spaces
        return f'"{bare(rest)}"' if re.search(r"\s", rest) else bare(rest)
    return rest


def same_key(one: str, other: str) -> bool:
    """Are two keys the same to the kernel?"""
    return _fold(one) == _fold(other)


def same(one: str, other: str) -> bool:
    """Do two tokens say the same? Quotes and the kind of dash in the key do not matter."""
    return (
        _fold(key(one)) == _fold(key(other))
        and bare(one).partition("=")[1:] == bare(other).partition("=")[1:]
    )


def has(tokens: Sequence[str], wanted: str) -> bool:
    """Is a token among these?"""
    return any(same(token, wanted) for token in tokens)


def of_key(tokens: Sequence[str], wanted: str) -> List[str]:
    """All tokens of a key, in their order."""
    return [token for token in tokens if same_key(key(token), wanted)]


def last(tokens: Sequence[str], wanted: str) -> Optional[str]:
    """The value of the last token of a key: '' for a bare flag, None when the key is absent."""
    found = of_key(tokens, wanted)
    return (value(found[-1]) or "") if found else None


def panic_timeout(tokens: Sequence[str]) -> Optional[int]:
    """The seconds of the last ``panic=`` that is a number; None without one: the kernel passes over the others."""
    numbers = [_integer(bare(value(token) or "")) for token in of_key(tokens, "panic")]
    return next((number for number in reversed(numbers) if number is not None), None)


def _integer(text: str) -> Optional[int]:
    """What the kernel makes of the value of a parameter that is an int; None for what it refuses."""
    found = _INTEGER.match(text) if len(text) <= bounds.PARAMETER else None
    if not found:
        return None
    for name, base in (("hex", 16), ("octal", 8), ("decimal", 10)):
        if found.group(name):
            number = int(found.group("sign") + found.group(name), base)
            return number if -(1 << 31) <= number < 1 << 31 else None
    return None


def is_removed(token: str, remove: Sequence[str]) -> bool:
    """Does one of *remove* take this token out? A bare key takes every token of that key, ``key=value`` only it."""
    return any(
        same(token, item) if "=" in bare(item) else same_key(key(token), bare(item)) for item in remove
    )


def merge(tokens: Sequence[str], remove: Sequence[str], add: Sequence[str]) -> List[str]:
    """Take *remove* out (see :func:`is_removed`), then put *add* at the end, each once."""
    kept = [token for token in tokens if not is_removed(token, remove) and not has(add, token)]
    return kept + unique(add)


def alike(some: Sequence[str], others: Sequence[str]) -> bool:
    """Do two lists of tokens say the same, in the same order?"""
    return len(some) == len(others) and all(same(one, other) for one, other in zip(some, others))


def unique(tokens: Sequence[str]) -> List[str]:
    """Without what was said before."""
    found: List[str] = []
    for token in tokens:
        if not has(found, token):
            found.append(token)
    return found


def by_key(tokens: Sequence[str]) -> Dict[str, List[str]]:
    """The tokens grouped by key (dashes folded), in their order."""
    found: Dict[str, List[str]] = {}
    for token in tokens:
        found.setdefault(_fold(key(token)), []).append(token)
    return found


def check_token(token: str) -> str:
    """Give back a token that one word of a command line can carry; else FleetopsError says what is wrong."""
    what = f"'{token}' is not a kernel command-line token: "
    if not token:
        raise FleetopsError(
            "An empty string is not a kernel command-line token: expected 'flag' or 'key=value'"
        )
    if token == INIT_SEPARATOR:
        raise FleetopsError(what + "what follows '--' goes to init, not to the kernel", token=token)
    bad = _NEVER.search(token)
    if bad:
        raise FleetopsError(
            what + f"it contains {bad.group()!r}, which no quoting brings to the kernel", token=token
        )
    if token.count('"') % 2:
        raise FleetopsError(what + "a double quote is not closed", token=token)
    if tokenise(token) != [token]:
        raise FleetopsError(
            what + 'expected one word; a value with spaces stands in double quotes, as in key="a b"',
            token=token,
        )
    unquoted = _ONLY_QUOTED.search(re.sub(r'"[^"]*"', "", token))
    if unquoted:
        raise FleetopsError(
            what + f"'{unquoted.group()}' must stand in double quotes, as in key=\"a{unquoted.group()}b\"",
            token=token,
        )
    if not _KEY.match(key(token)):
        raise FleetopsError(
            what + "expected a key of printable characters before '=', as in 'panic=10'", token=token
        )
    return token


def canonical(token: str) -> str:
    """A token with quotes only where they protect something, around its value."""
    name, separator, rest = bare(token).partition("=")
    if separator and re.search(r"[\s;&|<>{}]", rest):
        return f'{name}="{rest}"'
    return name + separator + rest


# --- declarations ------------------------------------------------------------------------------------


class Declaration(TypedDict):
    """What a command line must say: tokens there, keys or tokens not there, and tokens alone of their key."""

    present: List[str]
    absent: List[str]
    replace: List[str]


def check_declaration(
    present: Optional[Sequence[str]] = None,
    absent: Optional[Sequence[str]] = None,
    replace: Optional[Sequence[str]] = None,
) -> Declaration:
    """Check every token, and that no two of them contradict each other. Raises FleetopsError."""
    wanted: Declaration = {
        "present": unique([check_token(token) for token in present or []]),
        "absent": unique([check_token(token) for token in absent or []]),
        "replace": unique([check_token(token) for token in replace or []]),
    }
    for token in wanted["present"] + wanted["replace"]:
        if is_removed(token, wanted["absent"]):
            raise FleetopsError(
                f"'{token}' is asked for, but 'absent' takes it out: {', '.join(wanted['absent'])}"
            )
    for token in wanted["present"]:
        others = of_key(wanted["replace"], key(token))
        if others and not has(others, token):
            raise FleetopsError(
                f"'{token}' is asked for, but 'replace' leaves only {', '.join(others)} of its key"
            )
    return wanted


def unmet(tokens: Sequence[str], wanted: Declaration) -> List[str]:
    """What keeps these tokens from saying what was declared: a clause each, none when they do."""
    found = [f"'{token}' is missing" for token in wanted["present"] if not has(tokens, token)]
    found += [f"'{token}' is there" for token in tokens if is_removed(token, wanted["absent"])]
    for group in by_key(wanted["replace"]).values():
        there = of_key(tokens, key(group[0]))
        if not alike(there, group):
            found.append(f"'{' '.join(group)}' is wanted alone, but there is {' '.join(there) or 'none'}")
    return found


def outstanding(lines: Sequence[Sequence[str]], wanted: Declaration) -> Declaration:
    """The part of a declaration that one of these lines, as tokens, does not say yet."""

    def open_(kind: str, items: List[str]) -> bool:
        alone: Any = {"present": [], "absent": [], "replace": [], kind: items}
        return any(unmet(tokens, alone) for tokens in lines)

    groups = [group for group in by_key(wanted["replace"]).values() if open_("replace", group)]
    return {
        "present": [token for token in wanted["present"] if open_("present", [token])],
        "absent": [item for item in wanted["absent"] if open_("absent", [item])],
        "replace": [token for group in groups for token in group],
    }


def stripping(wanted: Declaration) -> Declaration:
    """The part of a declaration that takes tokens out, for a line to which another one adds."""
    keys = [key(group[0]) for group in by_key(wanted["replace"]).values()]
    return {"present": [], "absent": [*wanted["absent"], *keys], "replace": []}


def settle(tokens: Sequence[str], wanted: Declaration) -> List[str]:
    """The tokens changed no more than it takes to say what was declared."""
    result = [token for token in tokens if not is_removed(token, wanted["absent"])]
    for group in by_key(wanted["replace"]).values():
        there = of_key(result, key(group[0]))
        if not alike(there, group):
            result = merge(result, [key(group[0])], group)
    return result + [token for token in unique(wanted["present"]) if not has(result, token)]


def _fold(name: str) -> str:
    return name.replace("-", "_")
