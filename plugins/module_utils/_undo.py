# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What was there before a change, written down before the change, and the way back.

A record is one file, ``/var/lib/fleetops/undo.d/<time>-<number>-<module>.json``, readable by root only.
Its ``restore`` is a list of steps, each a mapping with ``do`` and the arguments of that step:

======================  ====================================================================================
``write_file``          ``path``, ``text``, ``mode``; ``expect``: the SHA-256 of what we left there, null: nothing
``remove_file``         ``path``; ``expect`` as above
``run``                 ``argv``
``update_boot_config``  nothing: has the boot loader's configuration generated again
``reload_capture``      ``loaded``: was one loaded then? Loads the capture kernel again, if so or if one is now
``add_link``            ``link``: a Link of `_types`; ``routes``, ``neighbours``: as `_netlink` saved them
``remove_package``      ``names``
``install_package``     ``names``, each name=version; ``auto``: which of them nobody had asked for by name
``protect_packages``    ``names``: no autoremove takes them
``unprotect_packages``  ``names``: those of them that we have marked are as they were
======================  ====================================================================================

A file that somebody changed after us is not overwritten: ``expect`` no longer fits, and that is an error.
The steps that need more than files are in `_restore`. Every step may be run twice: a restore that was killed
is simply started again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

DIRECTORY = "/var/lib/fleetops/undo.d"
RESTORED = ".json.restored"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

StepRunner = Callable[[Host, Mapping[str, Any]], None]


def digest(text: str) -> str:
    """How ``expect`` names a file's content."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def restore_file(host: Host, path: str, after: Optional[str]) -> Dict[str, Any]:
    """The step that brings *path* back as it is now, once *after* has been written to it. None: once it is removed."""
    expect = None if after is None else digest(after)
    try:
        before = host.read(path)
    except Missing:
        return {"do": "remove_file", "path": path, "expect": expect}
    return {
        "do": "write_file",
        "path": path,
        "text": before,
        "mode": host.mode(path),
        "expect": expect,
    }


def record(host: Host, module: str, before: Any, restore: List[Dict[str, Any]]) -> Undo:
    """Write a record down. Call it before the change, never after."""
    host.mkdir(DIRECTORY, 0o700)
    now = datetime.datetime.now(datetime.timezone.utc)
    # The number keeps the order of records that fall into one microsecond, or under a clock set back.
    number = 1 + max([_number_of(name) for name in host.listdir(DIRECTORY)] or [0])
    undo: Undo = {
        "id": f"{now.strftime('%Y%m%dT%H%M%S')}-{number:04d}-{module}",
        "module": module,
        "time": now.isoformat(timespec="seconds"),
        "boot_id": host.read(BOOT_ID).strip(),
        "before": before,
        "restore": restore,
    }
    host.write_atomic(f"{DIRECTORY}/{undo['id']}.json", json.dumps(undo, indent=1) + "\n", mode=0o600)
    return undo


def records(host: Host, restored: bool = False) -> List[Undo]:
    """The records of this node, oldest first; those already put back only when *restored*."""
    try:
        names = host.listdir(DIRECTORY)
    except Missing:
        return []
    found: List[Undo] = []
    for name in names:
        if name.endswith(".json") or (restored and name.endswith(RESTORED)):
            path = f"{DIRECTORY}/{name}"
            try:
                found.append(json.loads(host.read(path)))
            except ValueError as error:
                raise FleetopsError(
                    f"The undo record '{path}' is not valid JSON: {error}", path=path
                ) from error
    return sorted(found, key=_number)


def is_restored(host: Host, identity: str) -> bool:
    """Was this record put back already?"""
    return host.exists(f"{DIRECTORY}/{identity}{RESTORED}")


def put_back(host: Host, undo: Undo, runners: Mapping[str, StepRunner], alone: Sequence[str] = ()) -> None:
    """Run the steps of one record, then mark it as restored. *runners* does what this file cannot.

    A step that fails ends it, unless it is one of those that stand *alone*: then the later ones are run nevertheless.
    Raises FleetopsError then; the record is kept. Its context has ``done`` and ``left``, both steps, and ``ended``: was
    it such a step that ended it?
    """
    known: Dict[str, StepRunner] = {
        "write_file": _write_file,
        "remove_file": _remove_file,
        "run": _run,
        **runners,
    }
    for step in undo["restore"]:
        if step.get("do") not in known:
            raise FleetopsError(
                f"The undo record {undo['id']} has an unknown step '{step.get('do')}'", step=step
            )
    done: List[Mapping[str, Any]] = []
    left: List[Mapping[str, Any]] = []
    errors: List[FleetopsError] = []
    for number, step in enumerate(undo["restore"]):
        error = _error_of(known[step["do"]], host, step)
        if error is None:
            done.append(step)
            continue
        errors.append(error)
        if step["do"] not in alone:
            left += undo["restore"][number:]
            break
        left.append(step)
    if errors:
        context = {name: value for error in reversed(errors) for name, value in error.context.items()}
        context.update(done=done, left=left, ended=len(left) > len(errors) or left[-1]["do"] not in alone)
        raise FleetopsError("; ".join(error.msg for error in errors), **context) from errors[0]
    host.rename(f"{DIRECTORY}/{undo['id']}.json", f"{DIRECTORY}/{undo['id']}{RESTORED}")


def _error_of(runner: StepRunner, host: Host, step: Mapping[str, Any]) -> Optional[FleetopsError]:
    try:
        runner(host, step)
    except FleetopsError as error:
        return error
    return None


def newest_first(undos: Sequence[Undo]) -> List[Undo]:
    """The order in which records are put back."""
    return sorted(undos, key=_number, reverse=True)


def conflicts(host: Host, undos: Sequence[Undo]) -> List[str]:
    """Files that these records cannot put back, one sentence each: changed by somebody else, or by a later record.

    The records are walked in the order in which they would be put back, each on what the one before it leaves.
    """
    now: Dict[str, Optional[str]] = {}
    found: List[str] = []
    chosen = {undo["id"] for undo in undos}
    later = [undo for undo in records(host) if undo["id"] not in chosen]
    for undo in newest_first(undos):
        for step in undo["restore"]:
            if step.get("do") not in ("write_file", "remove_file"):
                continue
            path, after = step["path"], step["text"] if step["do"] == "write_file" else None
            if path not in now:
                now[path] = text_of(host, path)
            text = now[path]
            # Already as it was: a restore, or a change, that was killed in between.
            if text != after and (None if text is None else digest(text)) != step["expect"]:
                found.append(f"{undo['id']}: {_who(path, text, undo, later)}")
            now[path] = after
    return found


def text_of(host: Host, path: str) -> Optional[str]:
    """A file's text, None when there is no such file."""
    try:
        return host.read(path)
    except Missing:
        return None


def _who(path: str, text: Optional[str], undo: Undo, later: Sequence[Undo]) -> str:
    for other in later:
        for step in other["restore"]:
            wrote = step.get("path") == path and text is not None and digest(text) == step.get("expect")
            if wrote and _number(other) > _number(undo):
                return f"'{path}' was changed again by {other['id']}, which must be put back first"
    return f"'{path}' is gone since" if text is None else f"'{path}' was changed by somebody else since"


def _number(undo: Undo) -> int:
    return _number_of(undo["id"])


def _number_of(name: str) -> int:
    found = re.match(r"[^-]+-(\d+)-", name)
    return int(found.group(1)) if found else 0


def _write_file(host: Host, step: Mapping[str, Any]) -> None:
    host.write_atomic(step["path"], step["text"], mode=step["mode"])


def _remove_file(host: Host, step: Mapping[str, Any]) -> None:
    host.remove(step["path"])


def _run(host: Host, step: Mapping[str, Any]) -> None:
    host.run(step["argv"])
