# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines for a terminal, and the words that all parts of the report share. Pure.

At most WIDTH columns, ASCII only: what a node says of itself is escaped, so that it cannot move the cursor.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural

WIDTH = 100
# More hosts than these are grouped.
FEW = 6
# Of many variants, those that are still read.
MOST_VARIANTS = 3
# What a panic comes to, worst first.
OUTCOMES = ("hangs", "unknown", "reboots", "dumps")
WORDS = {
    "hangs": "HANGS",
    "unknown": "UNKNOWN",
    "reboots": "REBOOTS",
    "dumps": "DUMPS",
}
_SIZE = re.compile(r"\d+(?:\.\d+)? MiB")
_COLORS = {
    "HANGS": "1;31", "UNKNOWN": "1;35", "REBOOTS": "33", "DUMPS": "32",
    "critical": "1;31", "high": "31", "medium": "33", "low": "36",
    "FAILED": "1;31", "NOT ATTEMPTED": "35", "DONE": "32", "CLEAN": "32", "NOT CLEAN": "1;31",
}  # fmt: skip

Entry = Mapping[str, Any]
Hosts = Mapping[str, Entry]


class Paint:
    """Colours the first occurrence of a word, once the lines have been broken."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, lines: list[str], word: str, code: str = "") -> list[str]:
        code = code or _COLORS.get(word, "")
        if not (self.color and code):
            return lines
        for number, line in enumerate(lines):
            if word in line:
                lines[number] = line.replace(word, f"\033[{code}m{word}\033[0m", 1)
                break
        return lines


def wrap(words: str, first: str, later: str, width: int = WIDTH) -> list[str]:
    """*words* on as many lines as they need: *first* stands before the first of them, *later* before the others."""
    return textwrap.wrap(
        plain(words), width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    ) or [first]


def plain(words: str) -> str:
    """One line of printable ASCII; the rest escaped."""
    safe = " ".join(str(words).split()).encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found.group()):02x}", safe)


# --- words -------------------------------------------------------------------------------------------


def count(number: int, what: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def moment(time: str) -> str:
    """A time of ISO 8601, as one reads it."""
    return time.replace("T", " ")


def name_of(host: str, entry: Mapping[str, Any]) -> str:
    """A host with its zone."""
    return f"{host} ({entry['zone']})" if entry["zone"] else host


def fact(entry: Entry, part: str) -> Mapping[str, Any]:
    """One part of a node's facts; empty when it was not read."""
    return (entry["facts"] or {}).get(f"fleetops_{part}") or {}


# --- many hosts --------------------------------------------------------------------------------------


def abbreviate(hosts: Iterable[str], width: int = 60) -> str:
    """Host names as ranges, in at most *width* columns: ``node-a[1-40,42], db1 and 3 more``."""
    families: dict[tuple[str, str], list[tuple[str, int]]] = {}
    names = sorted(map(plain, hosts), key=natural)
    for name in names:
        found = re.match(r"([^.]*?)(\d+)([^.\d]*(?:\..*)?)\Z", name)
        before, number, after = found.groups() if found else (name, "", "")
        ranges = families.setdefault((before, after), [])
        if ranges and _follows(number, ranges[-1][0]):
            ranges[-1] = (f"{ranges[-1][0].partition('-')[0]}-{number}", ranges[-1][1] + 1)
        else:
            ranges.append((number, 1))
    shown: dict[tuple[str, str], list[str]] = {}
    left, words = len(names), ""
    for family, ranges in families.items():
        for numbers, size in ranges:
            shown.setdefault(family, []).append(numbers)
            longer = ", ".join(_family(*key, of) for key, of in shown.items())
            tail = f" and {left - size} more" if left > size else ""
            if words and len(longer + tail) > width:
                return f"{words} and {left} more"
            words, left = longer, left - size
    return words


def _family(before: str, after: str, ranges: Sequence[str]) -> str:
    body = ",".join(ranges)
    return before + (f"[{body}]" if len(ranges) > 1 or "-" in body else body) + after


def _follows(number: str, ranges: str) -> bool:
    """Does a number come right behind a range, written in the same way? Zeros in front are kept."""
    last = ranges.rpartition("-")[2]
    return (
        bool(number and last) and int(number) == int(last) + 1 and str(int(number)).zfill(len(last)) == number
    )


def variants(label: str, of_host: Mapping[str, str], indent: str = "           ") -> list[str]:
    """The commonest texts, each with the number of nodes that it is true of. Sizes alone make no other text."""
    groups: dict[str, dict[str, str]] = {}
    for host, words in of_host.items():
        groups.setdefault(_SIZE.sub("# MiB", words), {})[host] = words
    found = sorted(groups.values(), key=len, reverse=True)
    lines: list[str] = []
    later = indent + " " * (len(label) + 2)
    for those in found[:MOST_VARIANTS]:
        host, words = next(iter(those.items()))
        notes = [count(len(those), "node")] if len(found) > 1 else []
        notes += [f"the sizes are those of {host}"] if len(set(those.values())) > 1 else []
        lines += wrap(words + (f" [{', '.join(notes)}]" if notes else ""), f"{indent}{label}  ", later)
    if len(found) > MOST_VARIANTS:
        rest = sum(map(len, found[MOST_VARIANTS:]))
        lines.append(
            f"{later}and {len(found) - MOST_VARIANTS} more reasons on {count(rest, 'node')}, in the JSON"
        )
    return lines


def by_reason(of_host: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """The hosts that share a text, the commonest first."""
    groups: dict[str, list[str]] = {}
    for host, words in of_host.items():
        groups.setdefault(words, []).append(host)
    return sorted(groups.items(), key=lambda group: -len(group[1]))
