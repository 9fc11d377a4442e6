# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""systemd's files of configuration, as systemd.syntax(7) says. Pure."""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._rules.settings import Setting

# systemd.time(7), in seconds.
_UNITS = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604800.0),
    **dict.fromkeys(("months", "month", "M"), 2629800.0),
    **dict.fromkeys(("years", "year", "y"), 31557600.0),
}
_SPAN = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-zµμA-Z]*)")


def conf(files: Iterable[Tuple[str, str]]) -> List[Setting]:
    """The settings of (path, text), in the order in which systemd reads the files: paths are (section, name)."""
    settings: List[Setting] = []
    for source, text in files:
        section = ""
        for line in _continued(text):
            header = re.match(r"\[(.+)\]\Z", line)
            name, equals, value = line.partition("=")
            if header:
                section = header.group(1)
            elif equals:
                settings.append(Setting((section, name.strip()), value.strip(), source, line))
    return settings


def boolean(settings: Iterable[Setting], *path: str) -> Tuple[Optional[bool], Optional[Setting]]:
    """(truth value, its setting): the last one that is a truth value, since systemd passes over others. None: no such.

    The words are those of systemd.syntax(7), whose case does not matter.
    """
    words = {
        **dict.fromkeys(("1", "yes", "y", "true", "t", "on"), True),
        **dict.fromkeys(("0", "no", "n", "false", "f", "off"), False),
    }
    found = [(words.get(one.value.lower()), one) for one in settings if one.path == path]
    return next(((value, one) for value, one in reversed(found) if value is not None), (None, None))


def span(text: str) -> Optional[float]:
    """Seconds of a time span such as ``1min 30s`` or ``90``; None for what is none."""
    at, seconds = 0, 0.0
    while found := _SPAN.match(text, at):
        if found.group(2) not in _UNITS:
            return None
        seconds += float(found.group(1)) * _UNITS[found.group(2)]
        at = found.end()
    return seconds if at and not text[at:].strip() else None


def drop_ins(directories: Sequence[str], listings: Sequence[Sequence[str]]) -> List[str]:
    """Paths of drop-ins in the order in which systemd reads them. *directories* and their names, most important first.

    By name across all directories; of one name, the most important directory's file alone counts.
    """
    chosen: Dict[str, str] = {}
    for directory, names in zip(directories, listings):
        for name in names:
            if name.endswith(".conf") and not name.startswith("."):
                chosen.setdefault(name, f"{directory}/{name}")
    return [chosen[name] for name in sorted(chosen)]


def _continued(text: str) -> Iterator[str]:
    """Lines without comments, those joined that a backslash continues; comments between them do not end them."""
    pending = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if line.startswith(("#", ";")):
            continue
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        yield (pending + line).strip()
        pending = ""
    if pending:
        yield pending.strip()
