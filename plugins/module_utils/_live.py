# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The machine that this code runs on, as a `Host` asks it. What a node left behind answers the same, in `_tree`."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any, Dict, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _files
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)

LIVE = "live"
# File systems whose server may be gone: whoever asks them then waits for ever. An autofs mounts one when it is asked.
NETWORK = re.compile(r"(nfs4?|cifs|smb3|ceph|fuse|9p|afs|lustre|gfs2|ocfs2|autofs)(\..*)?")


class Live:
    """The running machine, where a `Host` is live. Nothing is noted of it, and nothing that it lacks is in doubt."""

    root, kind = "/", LIVE

    def __init__(self) -> None:
        self.notes: Dict[str, Any] = {}
        self.network: Optional[Dict[str, str]] = None  # what `network_mounts` says, once somebody asks

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    def require_a_machine(self) -> None:
        """The running one is."""

    def time(self) -> None:
        """It is as it is now, whenever that is."""

    def real(self, path: str) -> str:
        return os.path.realpath(_files.absolute(path))

    def resolve(self, path: str) -> str:
        return self.real(path)

    def doubt(self, _path: str) -> None:
        """What is not there is not there."""

    def doubt_of_listing(self, _path: str, _names: Sequence[str]) -> None:
        """A directory holds no more than it shows."""

    def machine(self) -> str:
        return os.uname().machine

    def disk(self, path: str) -> Tuple[int, int]:
        self.require_local(path)
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise _files.why(path, error) from error
        return found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize

    def require_local(self, path: str) -> None:
        if self.network is None:
            try:
                self.network = network_mounts(_files.text("/proc/mounts", "/proc/mounts"))
            except FleetopsError:  # nobody can tell: then it is asked as any other
                self.network = {}
        if self.network:
            _files.followed(path, "", self.network.get)

    def run(
        self, argv: Sequence[str], env: Optional[Dict[str, str]], patience: float
    ) -> Tuple[int, str, str]:
        """(return code, standard output, standard error) of a command that ends within *patience* seconds."""
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
                timeout=patience,
                check=False,
            )
        except FileNotFoundError as error:
            raise Missing(f"The command '{argv[0]}' does not exist on this node", argv=list(argv)) from error
        except subprocess.TimeoutExpired as error:
            raise FleetopsError(
                f"'{' '.join(argv)}' did not end within {patience} seconds", argv=list(argv)
            ) from error
        except OSError as error:
            raise Unreadable(f"Cannot run '{argv[0]}': {error.strerror}", argv=list(argv)) from error
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def network_mounts(mounts: str) -> Dict[str, str]:
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
