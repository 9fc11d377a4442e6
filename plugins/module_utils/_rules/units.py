# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Which services of systemd stay, so that they can be compared over a reboot. Pure."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple

# Of `systemctl show` (org.freedesktop.systemd1(5)). ExecMainStartTimestamp and the like would only make it long.
PROPERTIES = (
    "Id",
    "Type",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Transient",
    "TriggeredBy",
    "WantedBy",
    "RequiredBy",
)
# Of logins, not of the machine.
SESSIONS = ("user@", "user-runtime-dir@")
# One per connection or core dump (`sshd@12-10.0.0.1:22-…`, `systemd-coredump@3-4711-0`), or named at random.
RANDOM = re.compile(
    r"@\d+-\d+(-\d+)?\Z|@\d+-.*:\d+-|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-|(?<![0-9a-z])(?=[a-f]*\d)[0-9a-f]{12,}|"
    r"\Arun-(r[0-9a-f]+|u\d+|p\d+-i\d+)\Z",
    re.ASCII,
)
# unit files that a boot starts, by what enables them (systemctl(1), is-enabled).
ENABLED = ("enabled", "enabled-runtime", "generated", "linked", "linked-runtime", "alias")


class Services(NamedTuple):
    """Names without ``.service``, sorted. ``by_hand``: of those that run, the ones that no boot starts."""

    running: List[str]
    finished: List[str]
    starting: List[str]
    failed: List[str]
    by_hand: List[str]


def services(text: str) -> Services:
    """The services of ``systemctl show``, without those that come and go by themselves."""
    found = Services([], [], [], [], [])
    for unit in _blocks(text):
        name = unit["Id"][: -len(".service")]
        if name.startswith(SESSIONS) or unit.get("Transient") == "yes" or RANDOM.search(name):
            continue
        state = unit.get("ActiveState")
        if state == "failed":
            found.failed.append(name)
        elif state == "activating":
            # A oneshot that a timer starts is under way now and then.
            if not (_is_asked_for(unit) or unit.get("Type") == "oneshot"):
                found.starting.append(name)
        elif state in ("active", "reloading"):
            if unit.get("SubState") == "exited":
                found.finished.append(name)
            elif not _is_asked_for(unit):
                found.running.append(name)
                if not _boots(unit):
                    found.by_hand.append(name)
    return Services(*(sorted(names) for names in found))


def _boots(unit: Dict[str, str]) -> bool:
    """Does a boot start it?"""
    pulled = unit.get("WantedBy") or unit.get("RequiredBy")
    return bool(pulled) or unit.get("UnitFileState") in ENABLED


def _is_asked_for(unit: Dict[str, str]) -> bool:
    """Does it start only when somebody asks: by a socket, a timer, a path, or a name on the bus?"""
    return not _boots(unit) and (bool(unit.get("TriggeredBy")) or unit.get("Type") in ("dbus", "oneshot"))


def _blocks(text: str) -> Iterator[Dict[str, str]]:
    """One unit each: ``name=value`` lines, with an empty line between them."""
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if values.get("Id", "").endswith(".service"):
            yield values
