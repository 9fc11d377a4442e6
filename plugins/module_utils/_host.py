# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one door to files and commands of a node.

``Host()`` is the machine that this code runs on. ``Host(root=dir)`` is what a node left behind: a captured tree, an
unpacked sosreport, or the mounted disk: the same readers serve all. What a captured tree cannot hold (the output of
commands, what is in a directory and was left out, free space) stands in ``<root>/.fleetops.json``::

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
`Unreadable` else (:meth:`Host._doubt`):

- captured: it is listed under ``missing``, or a directory that was listed, or a pattern that was asked for, lacks it.
  An older capture file, or one that a person wrote, has no ``missing``: then what is not there was not there.
- sosreport: the report's own manifest says that the directory was copied whole, or a command in the report shows it.
- disk: all of it was mounted: neither /proc and its like, nor the mount points of its fstab that are empty.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob as _glob
import io
import json
import os
import posixpath
import re
import stat
import subprocess
import tempfile
import time
from typing import Any, BinaryIO, Callable, Iterable, Optional, Sequence, Union

from ansible_collections.fleetops.kernel.plugins.module_utils import _sos
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)

CAPTURE_FILE = ".fleetops.json"
# What a Host can be. ``bare``: a directory that nothing shows to be a machine's.
LIVE, CAPTURED, SOSREPORT, DISK, BARE = "live", "captured tree", "sosreport", "disk", "bare"
OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
# File systems of a running machine: none of them is on its disk.
VIRTUAL = ("proc", "sys", "run", "dev")
NOT_CAPTURED = "was not captured"
# Bytes. The largest that is read whole is a grub.cfg or modules.dep: some MiB.
LARGEST = 32 << 20
PIECE = 64 << 10
# Who wrote last to these knows when a machine was last up: the clock that timesyncd keeps, logins, the journal.
LAST_WRITTEN = ("/var/lib/systemd/timesync/clock", "/var/log/wtmp", "/var/log/syslog", "/var/log/messages")
# Seconds. A command that reads answers at once: one that does not is stuck, and others wait for this look.
READING_TIMEOUT = 60
# An update-grub with many kernels, or a kdump initrd, takes minutes.
WRITING_TIMEOUT = 900
# File systems whose server may be gone: whoever asks them then waits for ever. An autofs mounts one when it is asked.
NETWORK = re.compile(r"(nfs4?|cifs|smb3|ceph|fuse|9p|afs|lustre|gfs2|ocfs2|autofs)(\..*)?")
# What a capture file may hold: a mapping of anything to ..., a list of ..., or one of these types.
_NUMBER = (int, float)
_NOTES: dict[str, Any] = {
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


class Host:
    """Files and commands of one node. Paths are absolute, as the node itself sees them."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root)
        self.live = self.root == "/"
        self.kind = LIVE
        # Seconds that a command may take; whoever is about to write sets WRITING_TIMEOUT.
        self.patience = READING_TIMEOUT
        self._network: Optional[dict[str, str]] = None
        self._captured: dict[str, Any] = {}
        self._report: Optional[_sos.Report] = None
        if self.live:
            return
        if not os.path.isdir(self.root):
            raise FleetopsError(f"The root to read from is not a directory: '{root}'", path=root)
        self._follow_one_report()
        self.kind = self._recognised()
        if self.kind == CAPTURED:
            self._captured = self._capture_file()
        elif self.kind == SOSREPORT:
            self._report = _sos.Report(self._text, lambda path: Host.resolve(self, path))
            self._captured = self._report.notes()

    def require_a_machine(self) -> None:
        """Raise FleetopsError when nothing shows that this directory is what a machine left behind."""
        if self.kind == BARE:
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

    def left_behind(self) -> dict[str, Any]:
        """What a tree is, where it lies, and when it was so: what a module returns of one."""
        return {"kind": self.kind, "root": self.root, "time": self.time()}

    def time(self) -> Optional[str]:
        """When a tree was as it is, in ISO 8601 and UTC; None when nothing says so, and for a live machine."""
        if self.live or self._captured.get("time"):
            return self._captured.get("time")
        if self.kind == CAPTURED:
            places: Sequence[str] = (f"/{CAPTURE_FILE}",)
        else:
            places = LAST_WRITTEN if self.kind == DISK else (_sos.VERSION,)
        times = []
        for path in places:
            with contextlib.suppress(FleetopsError):
                times.append(self._stat(path).st_mtime)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(times))) if times else None

    # --- reading -----------------------------------------------------------------------------------

    @property
    def is_root(self) -> bool:
        """May this reading expect to see what only root sees?"""
        if self.live:
            return os.geteuid() == 0
        return bool(self._captured.get("is_root", True))

    def read(self, path: str) -> str:
        """The text of a file, undecodable bytes replaced. Raises Missing or Unreadable."""
        return self.read_bytes(path).decode("utf-8", errors="replace")

    def read_first(self, paths: Sequence[str]) -> Optional[str]:
        """The text of the first of these files that is there, None when none is; Unreadable when nobody can tell."""
        (path, *others) = paths
        try:
            return self.read(path)
        except Missing:
            return self.read_first(others) if others else None
        except Unreadable:
            found = self.read_first(others) if others else None
            if found is None:
                raise
            return found

    def read_bytes(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        """*size* bytes of a file (all by default) from *offset*; a negative offset counts from its end.

        A whole file of more than LARGEST bytes is an error: nothing that is read whole can be so large.
        """
        text = self._captured.get("texts", {}).get(path)
        try:
            with io.BytesIO(text.encode()) if text is not None else _opened(self._real(path)) as handle:
                if offset:
                    handle.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                data: bytes = handle.read(size) if size >= 0 else _all_of(handle)
        except OSError as error:
            raise self._why(path, error) from error
        if size < 0 and len(data) > LARGEST:
            raise FleetopsError(
                f"'{path}' is larger than the {LARGEST} bytes that are read at most", path=path
            )
        return data

    def exists(self, path: str) -> bool:
        """Is there such a path? A directory that may not be searched is Unreadable, not False."""
        real = self._real(path)
        if path in self._captured.get("exists", ()) or any(
            path in self._captured.get(notes, {}) for notes in ("sizes", "listings", "texts")
        ):
            return True
        try:
            os.stat(real)
        except OSError as error:
            why = self._why(path, error)
            if isinstance(why, Missing):
                return False
            raise why from error
        return True

    def size(self, path: str) -> int:
        """The size of a file in bytes."""
        known = self._note_of("sizes", path)
        if known is not None:
            return int(known)
        return self._stat(path).st_size

    def mtime(self, path: str) -> float:
        """When a file was last written, in seconds since the epoch."""
        known = self._note_of("mtimes", path)
        if known is not None:
            return float(known)
        return self._stat(path).st_mtime

    def _note_of(self, what: str, path: str) -> Any:
        """What a capture noted of a path: under the name that is asked for, or the one behind its links."""
        notes = self._captured.get(what, {})
        return notes[path] if path in notes else notes.get(self.resolve(path)) if notes else None

    def mode(self, path: str) -> int:
        """The permission bits of a file."""
        return self._stat(path).st_mode & 0o7777

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted. Raises Missing or Unreadable."""
        real = self._real(path)
        if path in self._captured.get("listings", {}):
            return sorted(self._captured["listings"][path])
        try:
            names = sorted(name for name in os.listdir(real) if name != CAPTURE_FILE)
        except OSError as error:
            raise self._why(path, error) from error
        doubt = self._doubt_of_listing(path, names)
        if doubt:
            raise Unreadable(f"'{path}' {doubt}", path=path)
        return names

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted. A directory that cannot be read looks empty: use listdir to know.

        In a tree that does not hold all that could match, this is Unreadable.
        """
        if self.live:
            return sorted(_glob.glob(pattern))
        if pattern in self._captured.get("globs", {}):
            return sorted(self._captured["globs"][pattern])
        folder = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
        with contextlib.suppress(Missing):
            self.listdir(folder or "/")
        real = self._real(folder or "/")
        found = _glob.glob(_glob.escape(real) + pattern[len(folder) :])
        return sorted(folder + path[len(real) :] for path in found)

    def resolve(self, path: str) -> str:
        """The path behind symbolic links, as the node itself would see it."""
        real = self._real(path)
        known = self._captured.get("links", {}).get(path)
        if known is not None:
            return str(known)
        return real if self.live else "/" + os.path.relpath(real, self.root)

    def disk(self, path: str) -> tuple[int, int]:
        """(total, free to root) bytes of the file system that holds *path*."""
        if not self.live:
            known = self._captured.get("disks", {}).get(path) or self._mount_of(path)
            if known is None:
                raise Unreadable(f"The free space of '{path}' was not captured", path=path)
            return int(known["total"]), int(known["free"])
        self.require_local(path)
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise self._why(path, error) from error
        return found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize

    def require_local(self, path: str) -> None:
        """Raise Unreadable for a path of the running machine that lies on a server, without asking that server.

        The root itself may lie on one: this very program does then.
        """
        if not self.live:
            return
        if self._network is None:
            try:
                self._network = _network_mounts(self._text("/proc/mounts"))
            except FleetopsError:  # nobody can tell: then it is asked as any other
                self._network = {}
        if self._network:
            self._followed(path, self._network.get)

    def machine(self) -> str:
        """The architecture, as ``uname -m`` names it."""
        if self.live:
            return os.uname().machine
        if "machine" not in self._captured:
            raise Unreadable("The architecture was not captured")
        return str(self._captured["machine"])

    # --- commands ----------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: Optional[dict[str, str]] = None) -> str:
        """The standard output of a command in the C locale. Any return code outside *ok* raises."""
        if not self.live:
            outcome = self._captured.get("commands", {}).get(" ".join(argv))
            if outcome is None and self._report is not None:
                outcome = self._report.run(argv)
            if outcome is None:
                lacks = "is not in this sosreport" if self._report is not None else "was not captured"
                raise Unreadable(f"This is not a live machine, and '{' '.join(argv)}' {lacks}")
            if outcome.get("missing"):
                raise Missing(f"The command '{argv[0]}' does not exist on this node", argv=list(argv))
            return self._checked(argv, outcome["rc"], outcome["stdout"], outcome["stderr"], ok)
        environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C", **(env or {})}
        # No empty part: it would mean the current directory.
        path = [environment.get("PATH", "").strip(":"), "/usr/sbin:/sbin:/usr/bin:/bin"]
        environment["PATH"] = ":".join(part for part in path if part)
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=self.patience,
                check=False,
            )
        except FileNotFoundError as error:
            raise Missing(f"The command '{argv[0]}' does not exist on this node", argv=list(argv)) from error
        except subprocess.TimeoutExpired as error:
            raise FleetopsError(
                f"'{' '.join(argv)}' did not end within {self.patience} seconds", argv=list(argv)
            ) from error
        except OSError as error:
            raise Unreadable(f"Cannot run '{argv[0]}': {error.strerror}", argv=list(argv)) from error
        return self._checked(
            argv,
            done.returncode,
            done.stdout.decode("utf-8", "replace"),
            done.stderr.decode("utf-8", "replace"),
            ok,
        )

    @staticmethod
    def _checked(argv: Sequence[str], rc: int, stdout: str, stderr: str, ok: Sequence[int]) -> str:
        if rc in ok:
            return stdout
        words = (stderr.strip() or stdout.strip() or "no output").splitlines()
        raise FleetopsError(
            f"'{' '.join(argv)}' failed with return code {rc}: {words[-1]}",
            argv=list(argv),
            rc=rc,
            stdout=stdout[-4000:],
            stderr=stderr[-4000:],
        )

    # --- writing -----------------------------------------------------------------------------------

    def write_atomic(self, path: str, text: Union[str, Iterable[str]], mode: Optional[int] = None) -> None:
        """Replace a file in one step, or leave it as it was. Keeps owner and mode of an old file.

        A long *text* may come in pieces.
        """
        real = self._real(path)
        directory = os.path.dirname(real)
        try:
            os.makedirs(directory, exist_ok=True)
            try:
                old: Optional[os.stat_result] = os.stat(real)
            except FileNotFoundError:
                old = None
            descriptor, temporary = tempfile.mkstemp(prefix=".fleetops-", dir=directory)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                    handle.writelines([text] if isinstance(text, str) else text)
                    handle.flush()
                    os.fsync(handle.fileno())
                if old is not None:
                    os.chown(temporary, old.st_uid, old.st_gid)
                os.chmod(temporary, mode if mode is not None else (old.st_mode & 0o7777 if old else 0o644))
                os.replace(temporary, real)
            except BaseException:
                os.unlink(temporary)
                raise
            # A power cut must not lose the name either: the undo record lives by this.
            directory_handle = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(directory_handle)
            finally:
                os.close(directory_handle)
        except OSError as error:
            raise FleetopsError(f"Cannot write '{path}': {error.strerror}", path=path) from error

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory (and its parents) if it is not there."""
        try:
            os.makedirs(self._real(path), mode=mode, exist_ok=True)
        except OSError as error:
            raise FleetopsError(f"Cannot make the directory '{path}': {error.strerror}", path=path) from error

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        try:
            os.unlink(self._real(path, follow_last=False))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FleetopsError(f"Cannot remove '{path}': {error.strerror}", path=path) from error

    def rename(self, old: str, new: str) -> None:
        """Move a file within its file system."""
        try:
            os.replace(self._real(old), self._real(new))
        except OSError as error:
            raise FleetopsError(f"Cannot rename '{old}' to '{new}': {error.strerror}", path=old) from error

    # --- the root ----------------------------------------------------------------------------------

    def _real(self, path: str, follow_last: bool = True) -> str:
        """Where *path* lies for this process.

        In a tree, absolute links must stay inside it: `/var/lib/kdump/initrd.img` of a dead node's disk
        would otherwise be answered by the machine that looks at it.
        """
        if not path.startswith("/"):
            raise FleetopsError(f"Not an absolute path: '{path}'", path=path)
        if not follow_last:
            parent, name = posixpath.split(posixpath.normpath(path))
            return os.path.join(self._real(parent), name)
        if self.live:
            return os.path.realpath(path)
        done = self._followed(path, self._closed)
        unreadable = self._captured.get("unreadable", {})
        reason = unreadable.get(path) or unreadable.get(done)
        if reason:
            raise Unreadable(f"Cannot read '{path}': {reason}", path=path)
        return self.root + ("" if done == "/" else done)

    def _followed(self, path: str, closed: Callable[[str], Optional[str]]) -> str:
        """The path behind symbolic links. *closed* says why a place on the way must not even be looked at."""
        root = "" if self.live else self.root
        done = "/"
        todo = [part for part in path.split("/") if part not in ("", ".")]
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            reason = closed(here)
            if reason:
                raise Unreadable(f"'{path}' {reason}", path=path)
            outside = root + here
            if not os.path.islink(outside):
                done = here
                continue
            links += 1
            if links > 40:
                raise Unreadable(f"Too many symbolic links at '{path}'", path=path)
            target = os.readlink(outside)
            if target.startswith("/"):
                done = "/"
            todo = [piece for piece in target.split("/") if piece not in ("", ".")] + todo
        return done

    def _closed(self, here: str) -> Optional[str]:
        """Why a place in this tree is not looked at: whoever mounts a disk for rescue may have bound /proc below it."""
        if self.kind in (DISK, BARE) and here[1:] in VIRTUAL:
            return f"is on no disk: only the running machine had {here}"
        return None

    def _stat(self, path: str) -> os.stat_result:
        try:
            return os.stat(self._real(path))
        except OSError as error:
            raise self._why(path, error) from error

    def _why(self, path: str, error: OSError) -> FleetopsError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            doubt = self._doubt(path)
            if doubt:
                return Unreadable(f"'{path}' {doubt}", path=path)
            return Missing(f"'{path}' does not exist", path=path)
        hint = " (needs root)" if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0 else ""
        return Unreadable(f"Cannot read '{path}': {error.strerror}{hint}", path=path)

    # --- what a node left behind -------------------------------------------------------------------

    def _text(self, path: str) -> str:
        """What `read` gives, whatever a subclass makes of that: for the tree's own files."""
        return Host.read_bytes(self, path).decode("utf-8", errors="replace")

    def _follow_one_report(self) -> None:
        """Step into the one folder that an archive of sos unpacks to."""
        try:
            names = [name for name in os.listdir(self.root) if not name.startswith(".")]
        except OSError:  # what is in it may be open all the same
            return
        if len(names) == 1 and re.match(r"(sosreport|sos)-", names[0]):
            below = os.path.join(self.root, names[0])
            if not os.path.islink(below):  # that would lead out of this tree
                self.root = below

    def _recognised(self) -> str:
        def there(path: str) -> bool:
            return os.path.exists(self._real(path))

        if os.path.lexists(os.path.join(self.root, CAPTURE_FILE)):
            return CAPTURED
        if there(_sos.FOLDER) and there(_sos.VERSION):
            return SOSREPORT
        return DISK if any(map(there, OS_RELEASE)) else BARE

    def _capture_file(self) -> dict[str, Any]:
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

    def _doubt(self, path: str) -> Optional[str]:
        """Why nothing follows from a path that is not in this tree; None when it was not on the machine either."""
        if self.live:
            return None
        if self.kind in (DISK, BARE):
            return self._doubt_of_disk(path)
        if self.kind == CAPTURED and "missing" not in self._captured:
            return None
        places = {posixpath.normpath(path)}
        with contextlib.suppress(FleetopsError):
            places.add(self.resolve(path))
        if any(self._is_proved(place) for place in places):
            return None
        return "is not in this sosreport" if self._report is not None else NOT_CAPTURED

    def _is_proved(self, path: str) -> bool:
        """Do the notes of a tree, or what it holds in whole, prove that there was no such path?"""
        missing, listings = self._captured.get("missing", ()), self._captured.get("listings", {})
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
        for pattern, found in self._captured.get("globs", {}).items():
            if (
                path.count("/") == pattern.count("/")
                and fnmatch.fnmatchcase(path, pattern)
                and path not in found
            ):
                return True
        return self._report is not None and self._report.whole(path)

    def _doubt_of_disk(self, path: str) -> Optional[str]:
        parts = posixpath.normpath(path).split("/")[1:]
        # Every system has these directories: without them, only a part of the disk was kept.
        top = "/" + "/".join(parts[: 2 if parts[0] in ("usr", "var") and len(parts) > 2 else 1])
        if not os.path.isdir(self._real(top)) and (self.kind == BARE or len(parts) > 1):
            return f"was not kept: there is no {top} in this tree"
        for where in self._mount_points():
            if path == where or path.startswith(f"{where}/"):
                real = self._real(where)
                if not os.path.isdir(real) or not os.listdir(real):
                    return f"is not on this disk: {where} is a file system of its own (etc/fstab), and not mounted here"
        return None

    def _mount_points(self) -> list[str]:
        """Where the fstab of a disk mounts other file systems."""
        try:
            with _opened(self._real("/etc/fstab")) as handle:
                text = handle.read(LARGEST).decode("utf-8", errors="replace")
        except (OSError, FleetopsError):
            return []
        return [
            row[1].rstrip("/")
            for row in map(str.split, text.splitlines())
            if len(row) > 2 and not row[0].startswith("#") and row[1].startswith("/") and row[1] != "/"
        ]

    def _doubt_of_listing(self, path: str, names: Sequence[str]) -> Optional[str]:
        """Why a directory of this tree may have held more; None when it did not."""
        if self._report is not None:
            return None if self._report.whole(path) else "is in this sosreport only in part"
        if self.kind == CAPTURED:
            return NOT_CAPTURED if "missing" in self._captured else None
        return None if self.live or names else self._doubt_of_disk(f"{path.rstrip('/')}/any")

    def _mount_of(self, path: str) -> Optional[dict[str, int]]:
        """The file system that holds a path, of those that are noted by their mount points."""
        mounts: dict[str, dict[str, int]] = self._captured.get("mounts", {})
        holds = [where for where in mounts if where == "/" or path == where or path.startswith(f"{where}/")]
        return mounts[max(holds, key=len)] if holds else None


def _opened(path: str) -> BinaryIO:
    """A file to read. What is none is never opened, nor waited for: a FIFO without a writer, a watchdog's device."""
    _must_be_a_file(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _must_be_a_file(os.fstat(descriptor))
        os.set_blocking(descriptor, True)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _must_be_a_file(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a file, but a FIFO, a device or a socket")


def _network_mounts(mounts: str) -> dict[str, str]:
    """Mount point to the reason why what is below it is not asked, of /proc/mounts (proc(5), fstab(5)).

    What was mounted later on the same place counts.
    """
    found = {}
    for line in mounts.split("\n"):
        _device, where, kind = (*line.split(" "), "", "", "")[:3]
        where = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), where)
        found[where] = (
            f"is not asked: it lies on a server ({kind} at {where}), which may not answer"
            if NETWORK.fullmatch(kind)
            else ""
        )
    return {where: reason for where, reason in found.items() if reason and where != "/"}


def _fits(value: Any, shape: Any) -> bool:
    """Is a part of a capture file what `_NOTES` says?"""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_fits(one, shape["*"]) for one in value.values())
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(one, shape[0]) for one in value)
    return isinstance(value, shape)


def _all_of(handle: BinaryIO) -> bytes:
    """All bytes, or one more than LARGEST. In pieces: /proc/sys has no memory for a reader with so large a buffer."""
    pieces, total = [], 0
    for piece in iter(lambda: handle.read(PIECE), b""):
        pieces.append(piece)
        total += len(piece)
        if total > LARGEST:
            break
    return b"".join(pieces)
