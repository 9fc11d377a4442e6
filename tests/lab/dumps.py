# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a kernel dump complete? Its end marker decides: kdump-tools gives truncated dumps their final name too.

Stands alone: the detector also runs this file inside a guest, where it prints what is under /var/crash.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

_SIGNATURE = b"makedumpfile\0\0\0\0"
_HEADER_BYTES = 4096
_RECORD = struct.Struct(">qq")  # where the data belongs, how many bytes follow; (-1, -1) is the end
_END = (-1, -1)


def completeness(path: Path) -> bool | None:
    """True or False for a flattened makedumpfile dump, read record by record; None for any other file."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        if handle.read(len(_SIGNATURE)) != _SIGNATURE:
            return None
        position = _HEADER_BYTES
        while True:
            handle.seek(position)
            head = handle.read(_RECORD.size)
            if len(head) < _RECORD.size:
                return False
            position += _RECORD.size
            offset, length = _RECORD.unpack(head)
            if (offset, length) == _END:
                return position == size
            if offset < 0 or length < 0 or position + length > size:
                return False
            position += length


def listing(folder: Path) -> list[dict[str, object]]:
    """Dumps below a crash folder: path, bytes, complete; oldest first."""
    found = [
        path for path in folder.glob("*/*") if path.name.startswith(("dump", "vmcore")) and path.is_file()
    ]
    return [
        {"path": str(path), "bytes": path.stat().st_size, "complete": completeness(path)}
        for path in sorted(found, key=lambda path: path.stat().st_mtime)
    ]


if __name__ == "__main__":
    json.dump(listing(Path(sys.argv[1] if len(sys.argv) > 1 else "/var/crash")), sys.stdout)
