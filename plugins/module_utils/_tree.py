# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What a node left behind: a captured tree, an unpacked sosreport, or the mounted disk. One `Host` reads all three.

What a captured tree cannot hold (the output of commands, what is in a directory and was left out, free space) stands
in ``<root>/.fleetops.json``::

    {"commands": {"ip -j -d addr": {"rc": 0, "stdout": "...", "stderr": ""}, "systemctl ...": {"missing": true}},
     "machine": "x86_64",
     "sizes": {"/boot/vmlinuz-6.1.0-47-cloud-amd64": 6789120},
     "mtimes": {"/var/crash/202611230405/dump.202611230405": 1795752300.0},
     "listings": {"/sys/class/watchdog": ["watchdog0"]},
     "globs": {"/etc/default/grub.d/*.cfg": ["/etc/default/grub.d/kdump-tools.cfg"]},
     "exists": ["/usr/sbin/kdump-config"],
     "links": {"/var/lib/dkms/zfs/kernel-6.1.0-47-amd64-x86_64": "/var/lib/dkms/zfs/2.1.11/6.1.0-47-amd64/x86_64"},
     "disks": {"/var/crash": {"total": 4000000000, "free": 3000000000}},
     "unreadable": {"/proc/iomem": "permission denied"},
     "missing": ["/run/systemd/container"],
     "time": "2026-11-24T11:01:21Z",
     "is_root": true}

A path that is not there was not there on a live machine only. Elsewhere it is `Missing` where that is proved, and
`Unreadable` else (:meth:`Tree.doubt`):

- captured: it is listed under ``missing``, or a directory that was listed, or a pattern that was asked for, lacks it.
  An older capture file, or one that a person wrote, has no ``missing``: then what is not there was not there.
- sosreport: the report's own manifest says that the directory was copied whole, or a command in the report shows it.
- disk: all of it was mounted: neither /proc and its like, nor the mount points of its fstab that are empty.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import posixpath
import re
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _files, _sos
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)

CAPTURE_FILE = ".fleetops.json"
# What a tree can be. ``bare``: a directory that nothing shows to be a machine's.
CAPTURED, SOSREPORT, DISK, BARE = "captured tree", "sosreport", "disk", "bare"
OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
# File systems of a running machine: none of them is on its disk.
VIRTUAL = ("proc", "sys", "run", "dev")
NOT_CAPTURED = "was not captured"
# Who wrote last to these knows when a machine was last up: the clock that timesyncd keeps, logins, the journal.
LAST_WRITTEN = ("/var/lib/systemd/timesync/clock", "/var/log/wtmp", "/var/log/syslog", "/var/log/messages")
# Of a tree that does not say when it was so, the files whose age does.
_DATED = {CAPTURED: (f"/{CAPTURE_FILE}",), DISK: LAST_WRITTEN}
# What a capture file may hold: a mapping of anything to ..., a list of ..., or one of these types.
_NUMBER = (int, float)
_NOTES: Dict[str, Any] = {
    "commands": {"*": {"*": (str, int)}},
    "machine": str,
    "sizes": {"*": _NUMBER},
    "mtimes": {"*": _NUMBER},
    "listings": {"*": [str]},
    "globs": {"*": [str]},
    "exists": [str],
    "links": {"*": str},
    "disks": {"*": {"*": _NUMBER}},
    "mounts": {"*": {"*": _NUMBER}},
    "texts": {"*": str},
    "unreadable": {"*": str},
    "missing": [str],
    "time": str,
    "is_root": bool,
}


class Tree:
    """What is below *root*, where a `Host` is not live. Paths are absolute, as the node itself saw them."""

    def __init__(self, root: str) -> None:
        self.root = _one_report(root)
        self.kind = ""  # until it is recognised, nothing of it is closed
        self.notes: Dict[str, Any] = {}
        self.report: Optional[_sos.Report] = None
        self.kind = self._recognised()
        if self.kind == CAPTURED:
            self.notes = self._capture_file()
        elif self.kind == SOSREPORT:
            self.report = _sos.Report(self._text, self.resolve)
            self.notes = self.report.notes()

    @property
    def is_root(self) -> bool:
        return bool(self.notes.get("is_root", True))

    def require_a_machine(self) -> None:
        """Raise FleetopsError when nothing shows that this directory is what a machine left behind."""
        if self.kind != BARE:
            return
        try:
            os.listdir(self.root)
        except OSError as error:
            raise Unreadable(f"Cannot read '{self.root}': {error.strerror}", path=self.root) from error
        raise FleetopsError(
            f"'{self.root}' is nothing that a machine left behind: expected a captured tree (with {CAPTURE_FILE}), "
            f"an unpacked sosreport (with {_sos.FOLDER[1:]} and {_sos.VERSION[1:]}), or a mounted disk (with "
            f"{OS_RELEASE[0][1:]})",
            path=self.root,
        )

    def time(self) -> Optional[str]:
        if self.notes.get("time"):
            return str(self.notes["time"])
        times = []
        for path in _DATED.get(self.kind, (_sos.VERSION,)):
            with contextlib.suppress(OSError, FleetopsError):
                times.append(os.stat(self.real(path)).st_mtime)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(times))) if times else None

    def machine(self) -> str:
        if "machine" not in self.notes:
            raise Unreadable("The architecture was not captured")
        return str(self.notes["machine"])

    def disk(self, path: str) -> Tuple[int, int]:
        known = self.notes.get("disks", {}).get(path) or self._mount_of(path)
        if known is None:
            raise Unreadable(f"The free space of '{path}' was not captured", path=path)
        return int(known["total"]), int(known["free"])

    def require_local(self, _path: str) -> None:
        """Nothing in a tree lies on a server of the node."""

    def run(
        self, argv: Sequence[str], _env: Optional[Dict[str, str]], _patience: float
    ) -> Tuple[int, str, str]:
        """What a command answered on the machine: nothing is run now."""
        outcome = self.notes.get("commands", {}).get(" ".join(argv))
        if outcome is None and self.report is not None:
            outcome = self.report.run(argv)
        if outcome is None:
            raise Unreadable(f"This is not a live machine, and '{' '.join(argv)}' {self._lacks}")
        if outcome.get("missing"):
            raise Missing(f"The command '{argv[0]}' does not exist on this node", argv=list(argv))
        if not {"rc", "stdout", "stderr"}.issubset(outcome):
            raise Unreadable(f"What '{' '.join(argv)}' said was captured only in part")
        return outcome["rc"], outcome["stdout"], outcome["stderr"]

    # --- where it lies -----------------------------------------------------------------------------

    def real(self, path: str) -> str:
        """Where *path* lies for this process.

        Absolute links must stay inside the tree: `/var/lib/kdump/initrd.img` of a dead node's disk would otherwise be
        answered by the machine that looks at it.
        """
        done = _files.followed(_files.absolute(path), self.root, self._closed)
        unreadable = self.notes.get("unreadable", {})
        reason = unreadable.get(path) or unreadable.get(done)
        if reason:
            raise Unreadable(f"Cannot read '{path}': {reason}", path=path)
        return self.root + ("" if done == "/" else done)

    def resolve(self, path: str) -> str:
        """The path behind symbolic links, as the node itself would see it."""
        real = self.real(path)
        known = self.notes.get("links", {}).get(path)
        return str(known) if known is not None else "/" + os.path.relpath(real, self.root)

    def _closed(self, here: str) -> Optional[str]:
        """Why a place in this tree is not looked at: whoever mounts a disk for rescue may have bound /proc below it."""
        if self.kind in (DISK, BARE) and here[1:] in VIRTUAL:
            return f"is on no disk: only the running machine had {here}"
        return None

    def _text(self, path: str) -> str:
        return _files.text(path, self.real(path))

    # --- what it is --------------------------------------------------------------------------------

    def _recognised(self) -> str:
        def there(path: str) -> bool:
            return os.path.exists(self.real(path))

        if os.path.lexists(os.path.join(self.root, CAPTURE_FILE)):
            return CAPTURED
        if there(_sos.FOLDER) and there(_sos.VERSION):
            return SOSREPORT
        return DISK if any(map(there, OS_RELEASE)) else BARE

    def _capture_file(self) -> Dict[str, Any]:
        where = os.path.join(self.root, CAPTURE_FILE)
        try:
            notes = json.loads(self._text(f"/{CAPTURE_FILE}"))
        except (ValueError, RecursionError) as error:
            raise FleetopsError(f"'{where}' is not valid JSON: {error}", path=where) from error
        if not isinstance(notes, dict):
            raise FleetopsError(f"'{where}': expected a mapping, got {type(notes).__name__}", path=where)
        notes = {key: value for key, value in notes.items() if value is not None}
        for key, shape in _NOTES.items():
            if key in notes and not _fits(notes[key], shape):
                raise FleetopsError(f"'{where}': '{key}' is not what a capture notes there", path=where)
        return notes

    # --- what is not there -------------------------------------------------------------------------

    @property
    def _lacks(self) -> str:
        return "is not in this sosreport" if self.kind == SOSREPORT else NOT_CAPTURED

    def doubt(self, path: str) -> Optional[str]:
        """Why nothing follows from a path that is not in this tree; None when it was not on the machine either."""
        if self.kind in (DISK, BARE):
            return self._doubt_of_disk(path)
        if self.kind == CAPTURED and "missing" not in self.notes:
            return None
        places = {posixpath.normpath(path)}
        with contextlib.suppress(FleetopsError):
            places.add(self.resolve(path))
        return None if any(map(self._is_proved, places)) else self._lacks

    def doubt_of_listing(self, path: str, names: Sequence[str]) -> Optional[str]:
        """Why a directory of this tree may have held more; None when it did not."""
        if self.report is not None:
            return None if self.report.whole(path) else "is in this sosreport only in part"
        if self.kind == CAPTURED:
            return NOT_CAPTURED if "missing" in self.notes else None
        return None if names else self._doubt_of_disk(f"{path.rstrip('/')}/any")

    def _is_proved(self, path: str) -> bool:
        """Do the notes of a tree, or what it holds in whole, prove that there was no such path?"""
        missing, listings = self.notes.get("missing", ()), self.notes.get("listings", {})
        here = path
        while here != "/":
            parent, name = posixpath.split(here)
            # Of /proc only the processes are listed.
            unlisted = name not in listings.get(parent, (name,)) and (parent != "/proc" or name.isdigit())
            if here in missing or unlisted:
                return True
            if os.path.isfile(os.path.join(self.root, parent[1:])):
                return True
            here = parent
        for pattern, found in self.notes.get("globs", {}).items():
            if (
                path.count("/") == pattern.count("/")
                and fnmatch.fnmatchcase(path, pattern)
                and path not in found
            ):
                return True
        return self.report is not None and self.report.whole(path)

    def _doubt_of_disk(self, path: str) -> Optional[str]:
        parts = posixpath.normpath(path).split("/")[1:]
        # Every system has these directories: without them, only a part of the disk was kept.
        top = "/" + "/".join(parts[: 2 if parts[0] in ("usr", "var") and len(parts) > 2 else 1])
        if not os.path.isdir(self.real(top)) and (self.kind == BARE or len(parts) > 1):
            return f"was not kept: there is no {top} in this tree"
        for where in self._mount_points():
            if path == where or path.startswith(f"{where}/"):
                real = self.real(where)
                if not os.path.isdir(real) or not os.listdir(real):
                    return f"is not on this disk: {where} is a file system of its own (etc/fstab), and not mounted here"
        return None

    def _mount_points(self) -> List[str]:
        """Where the fstab of a disk mounts other file systems."""
        try:
            with _files.opened(self.real("/etc/fstab")) as handle:
                text = handle.read(_files.LARGEST).decode("utf-8", errors="replace")
        except (OSError, FleetopsError):
            return []
        return [
            row[1].rstrip("/")
            for row in map(str.split, text.splitlines())
            if len(row) > 2 and not row[0].startswith("#") and row[1].startswith("/") and row[1] != "/"
        ]

    def _mount_of(self, path: str) -> Optional[Dict[str, int]]:
        """The file system that holds a path, of those that are noted by their mount points."""
        mounts: Dict[str, Dict[str, int]] = self.notes.get("mounts", {})
        holds = [where for where in mounts if where == "/" or path == where or path.startswith(f"{where}/")]
        return mounts[max(holds, key=len)] if holds else None


def _one_report(root: str) -> str:
    """*root*, or the one folder in it that an archive of sos unpacked to."""
    try:
        names = [name for name in os.listdir(root) if not name.startswith(".")]
    except OSError:  # what is in it may be open all the same
        return root
    if len(names) != 1 or not re.match(r"(sosreport|sos)-", names[0]):
        return root
    below = os.path.join(root, names[0])
    return root if os.path.islink(below) else below  # a link would lead out of this tree


def _fits(value: Any, shape: Any) -> bool:
    """Is a part of a capture file what `_NOTES` says?"""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_fits(one, shape["*"]) for one in value.values())
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(one, shape[0]) for one in value)
    return isinstance(value, shape)
