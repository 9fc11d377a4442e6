# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What was there before a change, written down before the change, and the way back.

A record is one file, ``/var/lib/fleetops/undo.d/<time>-<number>-<module>.json``, readable by root only.
Its ``restore`` is a list of steps, each a mapping with ``do`` and the arguments of that step:

=================  ==========================================================================
``write_file``     ``path``, ``text``, ``mode``; ``expect``: the SHA-256 of what we left there
``remove_file``    ``path``; ``expect`` as above
``run``            ``argv``
``add_link``       ``link``: a Link of `_types`
``remove_package`` ``names``
=================  ==========================================================================

A file that somebody changed after us is not overwritten: ``expect`` no longer fits, and that is an error.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any, Callable, Dict, List, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

DIRECTORY = "/var/lib/fleetops/undo.d"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

StepRunner = Callable[[Host, Mapping[str, Any]], None]


def digest(text: str) -> str:
    """How ``expect`` names a file's content."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def restore_file(host: Host, path: str, after: str) -> Dict[str, Any]:
    """The step that brings *path* back as it is now, once *after* has been written to it."""
    try:
        before = host.read(path)
    except Missing:
        return {"do": "remove_file", "path": path, "expect": digest(after)}
    return {"do": "write_file", "path": path, "text": before, "mode": host.mode(path), "expect": digest(after)}


def record(host: Host, module: str, before: Any, restore: List[Dict[str, Any]]) -> str:
    """Write a record down and give its id. Call it before the change, never after."""
    host.mkdir(DIRECTORY, 0o700)
    now = datetime.datetime.now(datetime.timezone.utc)
    # The number keeps the order of records that fall into one microsecond, or under a clock set back.
    number = 1 + max([int(undo["id"].split("-")[1]) for undo in records(host, restored=True)] or [0])
    undo: Undo = {
        "id": f"{now.strftime('%Y%m%dT%H%M%S')}-{number:04d}-{module}",
        "module": module,
        "time": now.isoformat(timespec="seconds"),
        "boot_id": host.read(BOOT_ID).strip(),
        "before": before,
        "restore": restore,
    }
    host.write_atomic(f"{DIRECTORY}/{undo['id']}.json", json.dumps(undo, indent=1) + "\n", mode=0o600)
    return undo["id"]


def records(host: Host, restored: bool = False) -> List[Undo]:
    """The records of this node, oldest first; those already put back only when *restored*."""
    found: List[Undo] = []
    for path in host.glob(f"{DIRECTORY}/*.json*"):
        if path.endswith(".json") or (restored and path.endswith(".json.restored")):
            try:
                found.append(json.loads(host.read(path)))
            except ValueError as error:
                raise FleetopsError(f"The undo record '{path}' is not valid JSON: {error}", path=path) from error
    return sorted(found, key=lambda undo: int(undo["id"].split("-")[1]))


def put_back(host: Host, undo: Undo, runners: Mapping[str, StepRunner]) -> None:
    """Run the steps of one record, then mark it as restored. *runners* does what this file cannot."""
    known: Dict[str, StepRunner] = {"write_file": _write_file, "remove_file": _remove_file, "run": _run, **runners}
    for step in undo["restore"]:
        if step.get("do") not in known:
            raise FleetopsError(f"The undo record {undo['id']} has an unknown step '{step.get('do')}'", step=step)
    for step in undo["restore"]:
        known[step["do"]](host, step)
    path = f"{DIRECTORY}/{undo['id']}.json"
    host.rename(path, path + ".restored")


def conflicts(host: Host, undo: Undo) -> List[str]:
    """Files of a record that somebody changed after us: a sentence each."""
    found = []
    for step in undo["restore"]:
        if "expect" not in step:
            continue
        try:
            now = host.read(step["path"])
        except Missing:
            if step["do"] == "write_file":
                found.append(f"'{step['path']}' is gone since")
            continue
        already_back = step["do"] == "write_file" and now == step["text"]
        if digest(now) != step["expect"] and not already_back:
            found.append(f"'{step['path']}' was changed by somebody else since")
    return found


def _write_file(host: Host, step: Mapping[str, Any]) -> None:
    host.write_atomic(step["path"], step["text"], mode=step["mode"])


def _remove_file(host: Host, step: Mapping[str, Any]) -> None:
    host.remove(step["path"])


def _run(host: Host, step: Mapping[str, Any]) -> None:
    host.run(step["argv"])
