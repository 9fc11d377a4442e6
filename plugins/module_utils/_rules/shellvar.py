# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""One assignment in a file that a shell sources, changed and nothing else. Pure."""

from __future__ import annotations

import re

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bounds, kdump

# A shell word without expansions: quoted or bare stretches, in any mixture (POSIX sh, 2.2 Quoting).
_WORD = r"""(?:'[^']*'|"[^"\\`$]*(?:\\.[^"\\`$]*)*"|\\.|[^\s"'\\`$;&|<>()#]+)*"""


def assign(text: str, name: str, value: str) -> str:
    """*text* with *name* set to *value*: the last assignment changes, all else stays byte for byte.

    Without one, it comes after the commented default, or at the end. Raises FleetopsError for an assignment whose
    extent only a shell could tell, and for a text that is longer than any such file.
    """
    bounds.within(text, bounds.SHELL_FILE, "a file of shell assignments")
    line = f'{name}="{_escaped(value)}"'
    starts = list(re.finditer(rf"^[ \t]*(?:export[ \t]+)?(?P<name>{re.escape(name)})=", text, re.MULTILINE))
    if starts:
        last = starts[-1]
        word = re.compile(_WORD, re.DOTALL).match(text, last.end())
        end = word.end() if word else last.end()
        if not re.match(r"[ \t]*(?:;|#.*|$)", text[end:].split("\n", 1)[0]) or (
            end < len(text) and text[end] == "#"
        ):
            number = text.count("\n", 0, last.start()) + 1
            raise FleetopsError(
                f"The assignment of {name} in line {number} is more than a plain shell word, and only "
                "a plain one can be changed safely: write its words out"
            )
        return _checked(text[: last.start("name")] + line + text[end:], name, value)
    commented = list(re.finditer(rf"^[ \t]*#[ \t]*{re.escape(name)}=[^\n]*(?:\n|\Z)", text, re.MULTILINE))
    at = commented[-1].end() if commented else len(text)
    before, after = text[:at], text[at:]
    if before and not before.endswith("\n"):
        before += "\n"
    return _checked(f"{before}{line}\n{after}", name, value)


def _checked(text: str, name: str, value: str) -> str:
    """Read again what was written: a line can belong to a word that began before it."""
    if kdump.shell_assignments(text).get(name) != value:
        raise FleetopsError(
            f"Where {name} is to be set, a quote is open or the line before goes on: "
            "close it, then it can be changed safely"
        )
    return text


def _escaped(value: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", value)
