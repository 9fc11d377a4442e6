# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one door to files and commands of a node.

``Host()`` is the machine that this code runs on (`_live`). ``Host(root=dir)`` is what a node left behind: a captured
tree, an unpacked sosreport, or the mounted disk (`_tree`): the same readers serve all.
"""

from __future__ import annotations

import contextlib
import glob as _glob
import io
import os
import posixpath
import re
import tempfile
from typing import Any, BinaryIO, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ansible_collections.fleetops.kernel.plugins.module_utils import _files
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._files import LARGEST
from ansible_collections.fleetops.kernel.plugins.module_utils._live import LIVE, Live
from ansible_collections.fleetops.kernel.plugins.module_utils._tree import (
    BARE,
    CAPTURE_FILE,
    CAPTURED,
    DISK,
    OS_RELEASE,
    SOSREPORT,
    Tree,
)

__all__ = [
    "BARE",
    "CAPTURED",
    "CAPTURE_FILE",
    "DISK",
    "LARGEST",
    "LIVE",
    "OS_RELEASE",
    "READING_TIMEOUT",
    "SOSREPORT",
    "WRITING_TIMEOUT",
    "Host",
]
# Seconds. A command that reads answers at once: one that does not is stuck, and others wait for this look.
READING_TIMEOUT = 60
# An update-grub with many kernels, or a kdump initrd, takes minutes.
WRITING_TIMEOUT = 900


class Host:
    """Files and commands of one node. Paths are absolute, as the node itself sees them."""

    def __init__(self, root: str = "/") -> None:
        real = os.path.realpath(root)
        self.live = real == "/"
        if not os.path.isdir(real):
            raise FleetopsError(f"The root to read from is not a directory: '{root}'", path=root)
        self._place: Union[Live, Tree] = Live() if self.live else Tree(real)
        self.root, self.kind = self._place.root, self._place.kind
        # Seconds that a command may take; whoever is about to write sets WRITING_TIMEOUT.
        self.patience = READING_TIMEOUT

    def require_a_machine(self) -> None:
        """Raise FleetopsError when nothing shows that this directory is what a machine left behind."""
        self._place.require_a_machine()

    def left_behind(self) -> Dict[str, Any]:
        """What a tree is, where it lies, and when it was so: what a module returns of one."""
        return {"kind": self.kind, "root": self.root, "time": self.time()}

    def time(self) -> Optional[str]:
        """When a tree was as it is, in ISO 8601 and UTC; None when nothing says so, and for a live machine."""
        return self._place.time()

    # --- reading -----------------------------------------------------------------------------------

    @property
    def is_root(self) -> bool:
        """May this reading expect to see what only root sees?"""
        return self._place.is_root

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
        try:
            with self._opened(path) as handle:
                return _files.read(handle, path, offset, size)
        except OSError as error:
            raise self._why(path, error) from error

    def exists(self, path: str) -> bool:
        """Is there such a path? A directory that may not be searched is Unreadable, not False."""
        real = self._real(path)
        if path in self._captured.get("exists", ()) or any(
            self._note(what, path) is not None for what in ("sizes", "listings", "texts")
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
        known = self._note_behind_links("sizes", path)
        return int(known) if known is not None else self._stat(path).st_size

    def mtime(self, path: str) -> float:
        """When a file was last written, in seconds since the epoch."""
        known = self._note_behind_links("mtimes", path)
        return float(known) if known is not None else self._stat(path).st_mtime

    def mode(self, path: str) -> int:
        """The permission bits of a file."""
        return self._stat(path).st_mode & 0o7777

    def listdir(self, path: str) -> List[str]:
        """The names in a directory, sorted. Raises Missing or Unreadable."""
        real = self._real(path)
        known = self._note("listings", path)
        if known is not None:
            return sorted(known)
        try:
            names = sorted(name for name in os.listdir(real) if name != CAPTURE_FILE)
        except OSError as error:
            raise self._why(path, error) from error
        doubt = self._place.doubt_of_listing(path, names)
        if doubt:
            raise Unreadable(f"'{path}' {doubt}", path=path)
        return names

    def glob(self, pattern: str) -> List[str]:
        """Paths that match, sorted. A directory that cannot be read looks empty: use listdir to know.

        In a tree that does not hold all that could match, this is Unreadable.
        """
        if self.live:
            return sorted(_glob.glob(pattern))
        known = self._note("globs", pattern)
        if known is not None:
            return sorted(known)
        folder = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
        with contextlib.suppress(Missing):
            self.listdir(folder or "/")
        real = self._real(folder or "/")
        found = _glob.glob(_glob.escape(real) + pattern[len(folder) :])
        return sorted(folder + path[len(real) :] for path in found)

    def resolve(self, path: str) -> str:
        """The path behind symbolic links, as the node itself would see it."""
        return self._place.resolve(path)

    def disk(self, path: str) -> Tuple[int, int]:
        """(total, free to root) bytes of the file system that holds *path*."""
        return self._place.disk(path)

    def require_local(self, path: str) -> None:
        """Raise Unreadable for a path of the running machine that lies on a server, without asking that server.

        The root itself may lie on one: this very program does then.
        """
        self._place.require_local(path)

    def machine(self) -> str:
        """The architecture, as ``uname -m`` names it."""
        return self._place.machine()

    # --- commands ----------------------------------------------------------------------------------

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: Optional[Dict[str, str]] = None) -> str:
        """The standard output of a command in the C locale. Any return code outside *ok* raises."""
        return self._checked(argv, *self._place.run(argv, env, self.patience), ok)

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
        """Replace a file in one step, or leave it as it was. Keeps owner, mode, SELinux label and ACL of an old file.

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
                    for name in os.listxattr(real):
                        os.setxattr(temporary, name, os.getxattr(real, name))
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
        parent, name = posixpath.split(posixpath.normpath(_files.absolute(path)))
        try:
            os.unlink(os.path.join(self._real(parent), name))  # a link itself, and not where it leads
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

    # --- where it lies, and what was noted of it ---------------------------------------------------

    def _real(self, path: str) -> str:
        """Where *path* lies for this process."""
        return self._place.real(path)

    @property
    def _captured(self) -> Dict[str, Any]:
        """What was noted of a tree, in the shape of a capture file; of the running machine, nothing."""
        return self._place.notes

    def _note(self, what: str, path: str) -> Any:
        return self._captured.get(what, {}).get(path)

    def _note_behind_links(self, what: str, path: str) -> Any:
        """What was noted of a path under the name that is asked for, or under the one behind its links."""
        known = self._note(what, path)
        return self._note(what, self.resolve(path)) if known is None and self._captured.get(what) else known

    def _opened(self, path: str) -> BinaryIO:
        text = self._note("texts", path)
        return io.BytesIO(text.encode()) if text is not None else _files.opened(self._real(path))

    def _stat(self, path: str) -> os.stat_result:
        try:
            return os.stat(self._real(path))
        except OSError as error:
            raise self._why(path, error) from error

    def _why(self, path: str, error: OSError) -> FleetopsError:
        """What an error says of a path. One that a tree lacks is Missing only where that is proved."""
        why = _files.why(path, error)
        doubt = self._place.doubt(path) if isinstance(why, Missing) else None
        return Unreadable(f"'{path}' {doubt}", path=path) if doubt else why
