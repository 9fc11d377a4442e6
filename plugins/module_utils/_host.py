# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one door to files and commands of a node.

``Host()`` is the machine that this code runs on. ``Host(root=dir)`` is a captured directory tree, or the
mounted disk of a dead node: the same readers serve both. What a tree cannot hold (the output of commands,
what is in a directory and was left out, free space) stands in ``<root>/.fleetops.json``::

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
     "is_root": true}
"""

from __future__ import annotations

import errno
import glob as _glob
import json
import os
import posixpath
import subprocess
import tempfile
from typing import Any, Optional, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)

CAPTURE_FILE = ".fleetops.json"
# Longer than any reading needs; an update-grub with many kernels, or a kdump initrd, takes minutes.
COMMAND_TIMEOUT = 900


class Host:
    """Files and commands of one node. Paths are absolute, as the node itself sees them."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.abspath(root)
        self.live = self.root == "/"
        self._captured: dict[str, Any] = {}
        if not self.live:
            if not os.path.isdir(self.root):
                raise FleetopsError(f"The root to read from is not a directory: '{root}'", path=root)
            capture = os.path.join(self.root, CAPTURE_FILE)
            if os.path.exists(capture):
                with open(capture, encoding="utf-8") as handle:
                    self._captured = json.load(handle)

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

    def read_bytes(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        """*size* bytes of a file (all by default) from *offset*; a negative offset counts from its end."""
        try:
            with open(self._real(path), "rb") as handle:
                if offset:
                    handle.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                return handle.read(size)
        except OSError as error:
            raise self._why(path, error) from error

    def exists(self, path: str) -> bool:
        """Is there such a path? A directory that may not be searched is Unreadable, not False."""
        real = self._real(path)
        if path in self._captured.get("exists", ()) or path in self._captured.get("sizes", {}):
            return True
        try:
            os.stat(real)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                return False
            raise self._why(path, error) from error
        return True

    def size(self, path: str) -> int:
        """The size of a file in bytes."""
        known = self._captured.get("sizes", {}).get(self.resolve(path))
        if known is not None:
            return int(known)
        return self._stat(path).st_size

    def mtime(self, path: str) -> float:
        """When a file was last written, in seconds since the epoch."""
        known = self._captured.get("mtimes", {}).get(self.resolve(path))
        if known is not None:
            return float(known)
        return self._stat(path).st_mtime

    def mode(self, path: str) -> int:
        """The permission bits of a file."""
        return self._stat(path).st_mode & 0o7777

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted. Raises Missing or Unreadable."""
        real = self._real(path)
        if path in self._captured.get("listings", {}):
            return sorted(self._captured["listings"][path])
        try:
            return sorted(name for name in os.listdir(real) if name != CAPTURE_FILE)
        except OSError as error:
            raise self._why(path, error) from error

    def glob(self, pattern: str) -> list[str]:
        """Paths that match, sorted. A directory that cannot be read looks empty: use listdir to know."""
        if self.live:
            return sorted(_glob.glob(pattern))
        if pattern in self._captured.get("globs", {}):
            return sorted(self._captured["globs"][pattern])
        found = _glob.glob(_glob.escape(self.root) + pattern)
        return sorted(path[len(self.root) :] for path in found)

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
            known = self._captured.get("disks", {}).get(path)
            if known is None:
                raise Unreadable(f"The free space of '{path}' was not captured", path=path)
            return int(known["total"]), int(known["free"])
        try:
            stat = os.statvfs(path)
        except OSError as error:
            raise self._why(path, error) from error
        return stat.f_blocks * stat.f_frsize, stat.f_bfree * stat.f_frsize

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
            if outcome is None:
                raise Unreadable(f"This is not a live machine, and '{' '.join(argv)}' was not captured")
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
                timeout=COMMAND_TIMEOUT,
                check=False,
            )
        except FileNotFoundError as error:
            raise Missing(f"The command '{argv[0]}' does not exist on this node", argv=list(argv)) from error
        except subprocess.TimeoutExpired as error:
            raise FleetopsError(
                f"'{' '.join(argv)}' did not end within {COMMAND_TIMEOUT} seconds", argv=list(argv)
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

    def write_atomic(self, path: str, text: str, mode: Optional[int] = None) -> None:
        """Replace a file in one step, or leave it as it was. Keeps owner and mode of an old file."""
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
                    handle.write(text)
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
        done = "/"
        todo = [part for part in path.split("/") if part not in ("", ".")]
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            outside = self.root + here
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
        reason = self._captured.get("unreadable", {}).get(path) or self._captured.get("unreadable", {}).get(
            done
        )
        if reason:
            raise Unreadable(f"Cannot read '{path}': {reason}", path=path)
        return self.root + ("" if done == "/" else done)

    def _stat(self, path: str) -> os.stat_result:
        try:
            return os.stat(self._real(path))
        except OSError as error:
            raise self._why(path, error) from error

    @staticmethod
    def _why(path: str, error: OSError) -> FleetopsError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return Missing(f"'{path}' does not exist", path=path)
        hint = " (needs root)" if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0 else ""
        return Unreadable(f"Cannot read '{path}': {error.strerror}{hint}", path=path)
