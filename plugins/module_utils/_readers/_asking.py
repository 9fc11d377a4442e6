# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""How a reader reads: each part for itself, and what could not be read leaves None and a reason."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host

T = TypeVar("T")


def said(host: Host, path: str) -> str:
    """The text of a file that the kernel never leaves empty. Raises Unreadable for what a copy lost."""
    text = host.read(path)
    if not text.strip("\0"):
        raise Unreadable(f"'{path}' is empty, which the kernel's own never is", path=path)
    return text


def names(host: Host, folder: str) -> List[str]:
    """What is in a directory, or nothing where there is none."""
    return unless_missing(host.listdir, folder) or []


def texts(host: Host, paths: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """(path, text) of the files that there are. One that a link to /dev/null masks is empty, or missing."""
    for path in paths:
        text = unless_missing(host.read, path)
        if text is not None:
            yield path, text


def unless_missing(reading: Callable[[str], T], path: str) -> Optional[T]:
    """What is read of a path, None where it is not there."""
    try:
        return reading(path)
    except Missing:
        return None


class Asking:
    """Collects the reasons of one reader, by the dotted path of the fact."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.unknown: Dict[str, str] = {}

    def ask(self, path: str, question: Callable[..., T], *args: Any) -> Optional[T]:
        """The answer to a question, or None and its reason under *path*."""
        try:
            return question(*args)
        except FleetopsError as error:
            self.unknown[path] = error.msg
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            # A source that is not as it was ever seen must not hide what the other sources say.
            self.unknown[path] = f"cannot be understood: {type(error).__name__}: {error}"
        return None

    def text(self, path: str, source: str) -> Optional[str]:
        """A file of one line."""
        return self.ask(path, lambda: self.host.read(source).strip())

    def number(self, path: str, source: str) -> Optional[int]:
        """A file that holds one number."""
        return self.ask(path, lambda: int(self.host.read(source)))

    def say(self, path: str, reason: str) -> None:
        """Something is unknown for a reason that is no error."""
        self.unknown[path] = reason
