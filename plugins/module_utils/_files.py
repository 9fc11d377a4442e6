# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Files as the operating system gives them: what `_host`, `_live` and `_tree` stand on."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import BinaryIO, Callable, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)

# Bytes. The largest that is read whole is a grub.cfg or modules.dep: some MiB.
LARGEST = 32 << 20
PIECE = 64 << 10


def absolute(path: str) -> str:
    """The same path. Raises FleetopsError when it is none of a node."""
    if not path.startswith("/"):
        raise FleetopsError(f"Not an absolute path: '{path}'", path=path)
    return path


def followed(path: str, root: str, closed: Callable[[str], Optional[str]]) -> str:
    """The path behind symbolic links, none of which leads out of *root* (``""``: the running machine).

    *closed* says why a place on the way must not even be looked at.
    """
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


def opened(path: str) -> BinaryIO:
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


def read(handle: BinaryIO, path: str, offset: int = 0, size: int = -1) -> bytes:
    """A part of a file, as `Host.read_bytes` says it."""
    if offset:
        handle.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
    data = handle.read(size) if size >= 0 else _all_of(handle)
    if size < 0 and len(data) > LARGEST:
        raise FleetopsError(f"'{path}' is larger than the {LARGEST} bytes that are read at most", path=path)
    return data


def _all_of(handle: BinaryIO) -> bytes:
    """All bytes, or one more than LARGEST. In pieces: /proc/sys has no memory for a reader with so large a buffer."""
    pieces, total = [], 0
    for piece in iter(lambda: handle.read(PIECE), b""):
        pieces.append(piece)
        total += len(piece)
        if total > LARGEST:
            break
    return b"".join(pieces)


def text(path: str, real: str) -> str:
    """All of a file, undecodable bytes replaced. *real* is where *path* of the node lies for this process."""
    try:
        with opened(real) as handle:
            return read(handle, path).decode("utf-8", errors="replace")
    except OSError as error:
        raise why(path, error) from error


def why(path: str, error: OSError) -> FleetopsError:
    """What an error of the operating system says of a path."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return Missing(f"'{path}' does not exist", path=path)
    hint = " (needs root)" if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0 else ""
    return Unreadable(f"Cannot read '{path}': {error.strerror}{hint}", path=path)
