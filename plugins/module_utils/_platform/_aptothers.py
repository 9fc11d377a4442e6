# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Others who are at work on packages: who has the locks of apt and dpkg, and the timers that begin by themselves."""

from __future__ import annotations

import contextlib
import time
from typing import Dict, Iterator, List, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import apt

LISTS = ("/var/lib/apt/lists/lock",)
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", *LISTS, "/var/cache/apt/archives/lock")
# What begins by itself to install or to download.
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")
# Which of them we have stopped: a run that was killed leaves this to the next one, and a boot starts them anyway.
STOPPED = "/run/fleetops/stopped-timers"


def holders(host: Host, paths: Sequence[str] = LOCKS) -> List[apt.Holder]:
    """Who has one of the locks of dpkg and apt."""
    try:
        rows = apt.locks(host.read("/proc/locks"))
    except FleetopsError:
        return []  # then apt waits for itself
    found: Dict[int, List[str]] = {}
    for path in paths if rows else ():
        if not host.exists(path):
            continue
        inode = int(host.run(["stat", "-L", "-c", "%i", path]).strip())
        for pid in sorted({pid for pid, number in rows if number == inode}):
            if _has_open(host, pid, path):
                found.setdefault(pid, []).append(path)
    return [apt.Holder(pid, _command(host, pid), theirs) for pid, theirs in found.items()]


def wait_for_locks(host: Host, seconds: int, paths: Sequence[str] = LOCKS) -> None:
    """Until nobody has one of these locks, or the time is over."""
    until = time.monotonic() + seconds
    while holders(host, paths) and time.monotonic() < until:
        time.sleep(1)


def _has_open(host: Host, pid: int, path: str) -> bool:
    """Each file system counts its inodes, and /proc/locks may name another device than stat: the file decides."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(
            host.resolve(f"{folder}/{number}") == host.resolve(path) for number in host.listdir(folder)
        )
    except Missing:
        return False  # it has ended
    except FleetopsError:
        return True


def _command(host: Host, pid: int) -> str:
    try:
        return host.read(f"/proc/{pid}/comm").strip()
    except FleetopsError:
        return "a process without a name"


def stopped_timers(host: Host) -> List[str]:
    """The timers that an earlier run has stopped and not started again."""
    try:
        return [name for name in host.read(STOPPED).split() if name in TIMERS]
    except Missing:
        return []


@contextlib.contextmanager
def without_timers(host: Host) -> Iterator[None]:
    """Nothing else begins to install in the meantime."""
    names = stopped_timers(host)
    with contextlib.suppress(Missing):  # a machine without systemd has none
        # 3 and 4: not active, no such unit; 1: systemd does not run here.
        names += [
            name
            for name in TIMERS
            if name not in names
            and host.run(["systemctl", "is-active", name], ok=(0, 1, 3, 4)).strip() == "active"
        ]
    if not names:
        yield
        return
    host.write_atomic(STOPPED, "".join(f"{name}\n" for name in names), mode=0o600)
    try:
        host.run(["systemctl", "stop", *names])
        yield
    except BaseException:
        # What went wrong first is what is told; timers that do not start are left to the next run.
        with contextlib.suppress(FleetopsError):
            _start(host, names)
        raise
    _start(host, names)


def _start(host: Host, names: Sequence[str]) -> None:
    host.run(["systemctl", "start", *names])
    host.remove(STOPPED)
