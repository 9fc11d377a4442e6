# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One controller at a time: a lock that the main process takes, and that all it ever forked hold with it.

A play's ``serial`` is evaluated in the main process, so a filter there can lock a file and keep it open. Forked workers
inherit what is open; commands that they start do not. So the lock is free only when the main process **and all its
workers** are gone, and a rerun after kill -9 waits for the last steps of the dead run.
"""

from __future__ import annotations

import dataclasses
import fcntl
import getpass
import json
import os
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

SUFFIX = ".lock"
# Seconds between two looks at a lock that somebody holds, and between two messages about it.
LOOK, TELL = 0.2, 60.0
# Seconds that a holder may take to write its name.
NAMELESS = 5.0
# The name of a worker that waits for a place, as `ps` shows it (/proc/PID/comm, 15 characters).
WAITER = "fleetops-wait"

# The locks of this process, by path: never closed, since closing one would give it back.
_TAKEN: dict[str, int] = {}


@dataclasses.dataclass(frozen=True)
class Holder:
    """A main process, so that no other can be taken for it: *start* in ticks after boot (/proc/PID/stat, field 22)."""

    pid: int
    start: int
    node: str
    boot_id: str
    user: str = ""
    command: str = ""
    since: float = 0.0

    def as_event(self) -> dict[str, Any]:
        """What the ledger's ``begin`` says of it."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "since"}

    def alive(self) -> bool | None:
        """Whether it lives; None when it is another machine's."""
        if self.node != os.uname().nodename:
            return None
        return self.boot_id == boot_id() and start_of(self.pid) == self.start

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since)) if self.since else "?"
        return f"process {self.pid} of {self.user or '?'} on {self.node}, since {when}"


def holder_of(pid: int) -> Holder:
    """The process *pid* of this machine, which lives."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    words = _read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    return Holder(
        pid, start_of(pid), os.uname().nodename, boot_id(), user, " ".join(words)[:500], round(time.time(), 3)
    )


def holder_from(said: Any) -> Holder | None:
    """What a lock file or a ``begin`` says; None when it says no such thing."""
    try:
        return Holder(
            int(said["pid"]),
            int(said["start"]),
            str(said["node"]),
            str(said["boot_id"]),
            str(said.get("user") or ""),
            str(said.get("command") or ""),
            float(said.get("since") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def boot_id() -> str:
    """Of this boot of this machine; '' where there is no such thing."""
    return _read("/proc/sys/kernel/random/boot_id").strip()


def start_of(pid: int) -> int:
    """When the process began; 0 when it is dead, or not to be seen."""
    # The name, in brackets, may hold blanks and brackets.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in ("Z", "X") else 0


def workers(pid: int) -> tuple[int, int]:
    """How many living children *pid* has that wait for a place, and how many that do something else."""
    waiting = working = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        stat = _read(f"/proc/{name}/stat")
        fields = stat.rpartition(")")[2].split()
        if len(fields) > 1 and fields[1] == str(pid) and fields[0] not in ("Z", "X"):
            if stat.partition("(")[2].rpartition(")")[0] == WAITER:
                waiting += 1
            else:
                working += 1
    return waiting, working


def at_rest(pid: int) -> tuple[int, int] | None:
    """What *pid* has used, to compare: page faults of children that it has seen end, and its own processor time.

    None while a child does something else than to wait for a place, or was killed, which hangs ansible: the end of what
    it had begun on a node is not known, and the status says so. A worker between two looks changes the first number.
    """
    if workers(pid)[1] or any(
        _was_killed(name)
        for name in filter(str.isdigit, os.listdir("/proc"))
        if _fields(name)[1:2] == [str(pid)]
    ):
        return None
    fields = _fields(str(pid))
    return (int(fields[8]), int(fields[11]) + int(fields[12])) if len(fields) > 12 else None


def _fields(name: str) -> list[str]:
    """Of /proc/PID/stat, from the third one on (proc_pid_stat(5))."""
    return _read(f"/proc/{name}/stat").rpartition(")")[2].split()


def _was_killed(name: str) -> bool:
    # Field 52, as of wait(2): the signal is in the lower seven bits.
    fields = _fields(name)
    return len(fields) > 49 and fields[0] in ("Z", "X") and int(fields[49]) & 0x7F != 0


def take(path: str, tell: Callable[[str], None]) -> None:
    """Hold the lock of the ledger *path* until this process and all that it forks are gone.

    Waits for the last steps of a dead run, and says so with *tell*. Raises FleetopsError, which names the holder, when
    another process that lives has it. The same process may take it again.
    """
    where = os.path.realpath(path) + SUFFIX
    if where in _TAKEN:
        return
    try:
        os.makedirs(os.path.dirname(where), exist_ok=True)
        fd = os.open(where, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FleetopsError(f"The lock '{where}' cannot be opened: {error.strerror}", path=where) from error
    try:
        _wait(fd, where, tell)
        _sign(fd, where)
    except BaseException:
        os.close(fd)
        raise
    _TAKEN[where] = fd


def holder(path: str) -> tuple[bool, Holder | None]:
    """Whether somebody holds the lock of the ledger *path*, and who took it last."""
    where = os.path.realpath(path) + SUFFIX
    try:
        fd = os.open(where, os.O_RDONLY)
    except OSError:
        return False, None
    try:
        return not _free(fd, fcntl.LOCK_SH), _signed(fd)
    finally:
        os.close(fd)


def _wait(fd: int, where: str, tell: Callable[[str], None]) -> None:
    begun = time.monotonic()
    told = 0.0
    while not _free(fd, fcntl.LOCK_EX):
        now = time.monotonic()
        who = _signed(fd)
        alive = who.alive() if who else None
        if who and alive is not False:
            raise FleetopsError(
                f"Another controller rolls here: {who}{f' ({who.command})' if who.command else ''}. "
                "Wait for it, or look at it with the playbook rollout_status",
                holder=dataclasses.asdict(who),
                path=where,
            )
        if who is None and now - begun > NAMELESS:
            raise FleetopsError(f"Somebody holds the lock '{where}' and does not say who", path=where)
        if who and (not told or now - told >= TELL):
            told = now
            tell(f"Waiting for the last steps of a run that died: {who}. Its workers still hold '{where}'")
        time.sleep(LOOK)


def _free(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(fd: int, where: str) -> None:
    """Write who holds it."""
    data = json.dumps(dataclasses.asdict(holder_of(os.getpid()))).encode()
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)
        os.fsync(fd)
    except OSError as error:
        raise FleetopsError(f"The lock '{where}' cannot be written: {error.strerror}", path=where) from error


def _signed(fd: int) -> Holder | None:
    try:
        return holder_from(json.loads(os.pread(fd, 65536, 0)))
    except (OSError, ValueError):
        return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
