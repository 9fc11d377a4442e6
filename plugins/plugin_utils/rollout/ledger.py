# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: what a rollout did, one JSON object per line, on the controller.

Safe against kill -9 and a full disk: lines are only ever appended, several events by one write, synced before anybody
acts on them. A line that was cut short ends without a newline and is not counted. The next writer ends it and writes
``{"event": "torn"}`` behind it, which tells every reader to skip that line. Any other line that is not an event is an
error: a ledger that was edited or damaged must not be guessed at.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

TORN = "torn"
Event = Mapping[str, Any]


class Ledger:
    """One ledger file. Making one touches nothing."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def read(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The whole events from *offset* (bytes) on, and the offset of what comes after them.

        A file that does not exist holds no event. Raises FleetopsError for what cannot be read or is no event.
        """
        try:
            with open(self.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # a write is seen whole, or not at all
                return self._events(file.fileno(), offset)
        except FileNotFoundError:
            return [], 0
        except OSError as error:
            raise self._error("cannot be read", error) from error

    def append(self, *events: Event) -> None:
        """Write *events* so that they are on the disk, all or none of them counted. Raises FleetopsError."""
        with self.locked() as held:
            held.append(*events)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Held]:
        """Nobody else writes inside of this block. The file and its folder are made if they are not there."""
        fd = self._open()
        try:
            yield Held(self, fd)
        finally:
            os.close(fd)  # and gives the lock back

    def retire(self, name: str) -> str:
        """Put the file aside under *name*, in the same folder; what is written next begins a new one."""
        aside = os.path.join(os.path.dirname(self.path), name)
        try:
            with self.locked():
                os.rename(self.path, aside)
        except OSError as error:
            raise self._error(f"cannot be renamed to '{aside}'", error) from error
        return aside

    def _open(self) -> int:
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            while True:
                # What failed, and on which machines, is nobody else's business.
                fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
                if _same(fd, self.path):
                    return fd
                os.close(fd)  # it was put aside while we waited
        except OSError as error:
            raise self._error("cannot be written", error) from error

    def _events(self, fd: int, offset: int) -> tuple[list[dict[str, Any]], int]:
        size = os.fstat(fd).st_size
        data = os.pread(fd, size - offset, offset) if size > offset else b""
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].split(b"\n")[:-1]
        found: list[dict[str, Any]] = []
        for number, line in enumerate(lines):
            following = _parse(lines[number + 1]) if number + 1 < len(lines) else None
            if following is not None and following["event"] == TORN:
                continue
            event = _parse(line)
            if event is None:
                at = os.pread(fd, offset, 0).count(b"\n") + number + 1
                raise FleetopsError(
                    f"'{self.path}', line {at}, is no event of a rollout: {line[:80].decode(errors='replace')!r}. "
                    "The file was edited or damaged; put it right, or move it away to begin anew",
                    path=self.path,
                    line=at,
                )
            if event["event"] != TORN:
                found.append(event)
        return found, offset + whole

    def _error(self, what: str, error: OSError) -> FleetopsError:
        return FleetopsError(f"The ledger '{self.path}' {what}: {error.strerror or error}", path=self.path)


class Held:
    """A ledger whose lock is held."""

    def __init__(self, ledger: Ledger, fd: int) -> None:
        self._ledger = ledger
        self._fd = fd

    def read(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """As `Ledger.read`."""
        try:
            return self._ledger._events(self._fd, offset)
        except OSError as error:
            raise self._ledger._error("cannot be read", error) from error

    def append(self, *events: Event) -> None:
        """As `Ledger.append`. An event without ``time`` gets the present."""
        now = time.time()
        try:
            size = os.fstat(self._fd).st_size
            torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
            lines: Sequence[Event] = [{"event": TORN}, *events] if torn else events
            text = "".join(
                json.dumps({"time": round(now, 3), **event}, sort_keys=True) + "\n" for event in lines
            )
            data = ("\n" + text if torn else text).encode()
            written = os.write(self._fd, data)
            os.fsync(self._fd)
        except OSError as error:
            raise self._ledger._error("cannot be written", error) from error
        if written != len(data):
            # Several events are one: a part of them must not be read later.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise FleetopsError(
                f"The ledger '{self._ledger.path}' cannot be written: {written} of {len(data)} bytes were taken",
                path=self._ledger.path,
            )


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    good = (
        isinstance(event, dict)
        and isinstance(event.get("event"), str)
        and isinstance(event.get("time"), (int, float))
    )
    return event if good else None


def _same(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
