# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""A setting that a file of configuration holds, whichever program reads that file. Pure."""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence


class Setting(NamedTuple):
    """A value that a file gives to a name, and both written anew: what else is in a line may be a password.

    Of apt.conf, an item of a list has '' as last part.
    """

    path: Tuple[str, ...]
    value: str
    source: str
    line: str


def last(settings: Iterable[Setting], *path: str) -> Optional[Setting]:
    """The setting that is in force: of several, the last one."""
    found = None
    for setting in settings:
        if setting.path == path:
            found = setting
    return found


def shown(*settings: Optional[Setting]) -> List[Evidence]:
    """Settings as evidence, without those that no file has."""
    return [{"source": setting.source, "text": setting.line} for setting in settings if setting is not None]
