# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Pins of apt_preferences(5) that name packages of kernels. Pure."""

from __future__ import annotations

import fnmatch
import re
from typing import Collection, Dict, Iterable, Iterator, List, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Pin

_LEAST = -32768  # a priority is a short


def reads(name: str) -> bool:
    """Does apt read a file of this name in preferences.d? No extension, or ``pref``."""
    return re.match(r"[\w-](?:[\w.-]*\.pref|[\w-]*)\Z", name, re.ASCII) is not None


def pins(files: Iterable[Tuple[str, str]], packages: Collection[str], sources: Collection[str]) -> List[Pin]:
    """The stanzas of (path, text) that name one of these packages or sources, or a kernel that is not installed.

    One for all packages (``*``) says from where apt takes everything: it is no word on kernels. Raises FleetopsError
    for what apt calls an invalid record, and then installs nothing.
    """
    found: List[Pin] = []
    for path, text in files:
        for stanza in _stanzas(text):
            named, pin = stanza.get("package", ""), stanza.get("pin", "")
            if not named:
                raise FleetopsError(f"'{path}' has a record without 'Package:', which apt refuses", path=path)
            if not pin:
                continue  # apt passes over it
            priority = _priority(stanza.get("pin-priority", ""), named)
            if not priority:
                raise FleetopsError(
                    f"'{path}' has a record for '{named}' with a priority that apt refuses", path=path
                )
            if any(_names(one, packages, sources) for one in named.split()):
                found.append({"packages": named, "pin": pin, "priority": priority, "source": path})
    return found


def _priority(text: str, packages: str) -> int:
    """The number that a priority begins with, as apt takes it (strtol); 0 for what it refuses."""
    if text == "never" and packages == "*":
        return _LEAST
    found = re.match(r"[+-]?\d{1,9}", text, re.ASCII)
    number = int(found.group()) if found else 0
    return number if _LEAST <= number < -_LEAST else 0


def _stanzas(text: str) -> Iterator[Dict[str, str]]:
    """Fields by their names in lower case; a line that begins with a blank goes on with the field before it."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stanza: Dict[str, str] = {}
    name = ""
    for line in [*lines, ""]:
        if not line.strip():
            if stanza:
                yield stanza
            stanza, name = {}, ""
        elif line[0] in " \t":
            if name:
                stanza[name] += " " + line.strip()
        else:
            name, _colon, value = line.partition(":")
            name = name.strip().lower()
            stanza[name] = value.strip()


def _names(word: str, packages: Collection[str], sources: Collection[str]) -> bool:
    """Does a word of ``Package:`` mean a package of a kernel? Of ``src:name``, a source package."""
    among = packages
    if word.startswith("src:"):
        word, among = word[4:], sources
    if word == "*":
        return False
    if word.startswith("/"):  # a regular expression, whose dialect is not Python's
        return "linux" in word
    word = word.partition(":")[0]  # of one architecture
    return word.startswith("linux-") or any(fnmatch.fnmatchcase(name, word) for name in among)
