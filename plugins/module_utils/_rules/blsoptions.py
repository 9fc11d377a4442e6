# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The words of a kernel in a file of the boot loader specification, changed and nothing else. Pure.

Variables of GRUB among them (``$tuned_params``) stay where they stand: what sets them is not ours. ``kernelopts``, in
which RHEL 8 keeps the words of all entries, is changed in GRUB's environment block.
"""

from __future__ import annotations

import re
from typing import Set

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bls, cmdline

KEY = "options"
KERNELOPTS = "kernelopts"
_OPTIONS = re.compile(rf"^(?P<head>[ \t]*{KEY}[ \t]+)(?P<value>[^\n]*)$", re.MULTILINE)
# What GRUB works out, or takes for another sign.
_WORKED_OUT = re.compile(r"[$\\]")


def variables(line: str) -> Set[str]:
    """The variables of GRUB that a line names."""
    return {found.group(1) for found in bls.VARIABLE.finditer(line)}


def settle(line: str, wanted: cmdline.Declaration) -> str:
    """A line changed no more than it takes for its own words to say what was declared; as it stands when they do.

    What is added stands at the end, but before what belongs to init. Raises FleetopsError where a word would be taken
    out that GRUB works out.
    """
    words = cmdline.tokenise(line)
    cut = words.index(cmdline.INIT_SEPARATOR) if cmdline.INIT_SEPARATOR in words else len(words)
    before = words[:cut]
    after = cmdline.settle(before, wanted)
    if after == before:
        return line
    for word in before:
        if _WORKED_OUT.search(word) and after.count(word) < before.count(word):
            raise FleetopsError(
                f"'{word}' would have to go, and what it comes to is worked out by GRUB: write it out, or take it out "
                "yourself"
            )
    return " ".join([*after, *words[cut:]])


def replace(name: str, text: str, line: str) -> str:
    """The text of an entry's file with *line* as its words; all else stays byte for byte.

    Raises FleetopsError where the file has not exactly one such line that GRUB reads.
    """
    entry = bls.entry(name, text)
    new = _OPTIONS.sub(lambda found: found.group("head") + line, text, count=1)
    changed = [(key, line if key == KEY else value) for key, value in entry.keys]
    if [key for key, _value in entry.keys].count(KEY) != 1 or bls.entry(name, new).keys != changed:
        raise FleetopsError(f"expected exactly one line '{KEY}' that GRUB reads")
    return new
