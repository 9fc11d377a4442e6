# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the dumps that lie on the disk."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Pattern, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Dump

# Where both implementations put them by default.
FOLDER = "/var/crash"
# Facts are to stay small: the newest dumps tell what there is to tell.
MOST_DUMPS = 10
_MARKER_BYTES = 16


class Layout(NamedTuple):
    """How an implementation names the folder of a crash, with a ``stamp`` that sorts by time, and the dump in it."""

    folder: Pattern[str]
    file: Pattern[str]


# <stamp>/dump.<stamp>, with a remote target <address>-<stamp>/ (kdump-config define_stampdir).
KDUMP_TOOLS = Layout(re.compile(r"(\S+-)?(?P<stamp>\d{12})\Z"), re.compile(r"(dump|vmcore)[.-]"))
# <address>-<stamp>/vmcore (kdump-utils dracut/99kdumpbase/kdump.sh; the date had dots up to RHEL 7).
KDUMPCTL = Layout(
    re.compile(r"\S+-(?P<stamp>\d{4}[-.]\d\d[-.]\d\d-\d\d:\d\d(:\d\d)?)\Z"),
    re.compile(r"vmcore(\.flat|-incomplete)?\Z"),
)


def read(asking: Asking, coredir: str, layout: Layout) -> List[Dump]:
    """The newest dumps below a folder, oldest first."""
    host = asking.host
    host.require_local(coredir)
    try:
        names = host.listdir(coredir)
    except Missing:
        return []
    found: List[Dump] = []
    lost: List[str] = []
    stamps = {name: match.group("stamp") for name in names for match in [layout.folder.match(name)] if match}
    for folder in sorted(stamps, key=lambda name: stamps[name], reverse=True):
        if len(found) >= MOST_DUMPS:
            asking.say("dumps.older", f"only the newest are listed, of {len(stamps)} folders in '{coredir}'")
            break
        path = f"{coredir}/{folder}"
        inside = asking.ask(f"dumps.{path}", _inside, asking, path, layout)
        lost += [path] if inside is None else []
        found += inside or []
    if lost and not found:
        raise Unreadable(asking.unknown[f"dumps.{lost[0]}"])  # and so whether there is any
    return sorted(found, key=lambda dump: (dump["time"], dump["path"]))


def _inside(asking: Asking, folder: str, layout: Layout) -> List[Dump]:
    """The dumps of a crash; none in a file that has the name of such a folder."""
    try:
        names = asking.host.listdir(folder)
    except Missing:
        return []
    return [_dump(asking, f"{folder}/{name}") for name in names if layout.file.match(name)]


def _dump(asking: Asking, path: str) -> Dump:
    host = asking.host
    size = host.size(path)
    complete = None
    if "incomplete" in path.rsplit("/", 1)[1]:
        complete = False  # both implementations rename it once everything was written
    else:
        ends = asking.ask(f"dumps.{path}", _ends, host, path, size)
        if ends is not None:
            complete = rules.dump_complete(*ends)
            if complete is None:
                asking.say(f"dumps.{path}", "it is of a kind that has no end marker")
    return {"path": path, "bytes": size, "time": host.mtime(path), "complete": complete}


def _ends(host: Host, path: str, size: int) -> Tuple[bytes, bytes]:
    head = host.read_bytes(path, 0, _MARKER_BYTES)
    return head, host.read_bytes(path, -_MARKER_BYTES, _MARKER_BYTES) if size >= _MARKER_BYTES else b""
