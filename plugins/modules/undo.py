#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The undo records of a node: listed, put back, written for what another module does."""

from __future__ import annotations

DOCUMENTATION = r"""
module: undo
short_description: List what this collection changed on a node, and put it back
version_added: 0.1.0
description:
  - Every changing module of this collection writes down what was there before it changes anything, in
    C(/var/lib/fleetops/undo.d). This module lists these records and puts chosen ones back.
  - Records are put back newest first. When anything stands in the way of one of them, such as a file that somebody
    else changed since, all of it is named and nothing is touched.
  - Where the package manager would take more away than a record names, that removal is refused, all else of these
    records is put back, and the module fails and names it. The record is kept. Check mode names it as a warning.
  - Making a link again needs the Python library C(pyroute2). A node that does not have it gets the one of the
    controller, for the time of the task only.
options:
  state:
    description:
      - V(listed) shows the records that are not put back yet, oldest first.
      - V(restored) puts the records of O(ids), or the O(last) ones, back.
      - V(recorded) writes a record for what a module of another collection is about to do.
    type: str
    choices: [listed, restored, recorded]
    default: listed
  ids:
    description: The records to put back. One that was put back already is fine.
    type: list
    elements: str
  last:
    description: How many records to put back, counted from the newest. Fewer records than that are fine.
    type: int
  name:
    description: With O(state=recorded), who is about to change something. It ends the id of the record.
    type: str
  restore:
    description: With O(state=recorded), how it is put back. An open record that says the same is not written twice.
    type: list
    elements: dict
    suboptions:
      do:
        description:
          - V(remove_package) removes packages that are not installed yet, of kernel images and of more modules for
            them.
        type: str
        choices: [remove_package]
        required: true
      names:
        description: The packages.
        type: list
        elements: str
        required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleetops.kernel.attributes
requirements:
  - pyroute2 on the node or on the controller, to make a link again
seealso:
  - module: fleetops.kernel.kernel_cmdline
  - module: fleetops.kernel.kdump_cmdline
  - module: fleetops.kernel.stale_interfaces
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: List what was changed
  fleetops.kernel.undo:
  register: undo

- name: Put the newest change back
  fleetops.kernel.undo:
    state: restored
    last: 1

- name: Put chosen changes back
  fleetops.kernel.undo:
    state: restored
    ids: "{{ undo.records | selectattr('module', 'eq', 'kernel_cmdline') | map(attribute='id') }}"

- name: Write down how a package is taken back, before it is installed
  fleetops.kernel.undo:
    state: recorded
    name: kernel_upgrade
    restore:
      - do: remove_package
        names: [linux-image-6.1.0-49-cloud-amd64]
"""

RETURN = r"""
records:
  description:
    - With O(state=listed), the records that are not put back yet, oldest first. With O(state=restored), those that were
      put back, in that order. With O(state=recorded), the one that stands for the change.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Names the record. V(null) for one that check mode did not write.
      type: str
      sample: 20250102T030405-0001-kernel_cmdline
    module:
      description: Who changed something.
      type: str
      sample: kernel_cmdline
    time:
      description: When, in UTC.
      type: str
      sample: '2025-01-02T03:04:05+00:00'
    boot_id:
      description: The boot in which it was changed.
      type: str
      sample: 0e1c3bd0-9a5b-4f1c-a0ce-4f4b7f3a6f0e
    this_boot:
      description: Whether that is the running one.
      type: bool
      sample: true
    summary:
      description: What putting it back does, in a line.
      type: str
      sample: "20250102T030405-0001-kernel_cmdline: remove /etc/default/grub.d/zz-fleetops.cfg, then generate ..."
    conflicts:
      description: What stands in the way.
      type: list
      elements: str
      sample: []
refused:
  description: The removals of packages that are refused, a sentence each. With O(state=restored) only.
  returned: when O(state=restored)
  type: list
  elements: str
  sample: []
"""

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _netlink, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import diff
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["listed", "restored", "recorded"], "default": "listed"},
    "ids": {"type": "list", "elements": "str"},
    "last": {"type": "int"},
    "name": {"type": "str"},
    "restore": {
        "type": "list",
        "elements": "dict",
        "options": {
            "do": {"type": "str", "choices": ["remove_package"], "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
    },
}
TOGETHER: Dict[str, Any] = {
    "mutually_exclusive": [("ids", "last")],
    "required_if": [
        ("state", "restored", ("ids", "last"), True),
        ("state", "recorded", ("name", "restore")),
    ],
}
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read the records, and say what is to do."""
    if params["state"] == "recorded":
        return to_record(host, params)
    if params["state"] == "restored":
        return to_restore(host, params)
    return Result(returned={"records": [shown(host, undo) for undo in _undo.records(host)]})


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Optional[Dict[str, Any]]:
    """Write the record, or put records back."""
    if params["state"] == "recorded":
        (step,) = result.plan
        return {"records": [shown(host, _undo.record(host, step["name"], None, step["restore"]))]}
    undos: List[Undo] = result.plan
    if _restore.needs_netlink(undos):
        _netlink.require()
    done: List[str] = []
    kept: List[FleetopsError] = []
    for undo in undos:
        error = error_of(host, undo)
        if error is None:
            done.append(undo["id"])
            continue
        kept.append(error)
        # Of a refused package the older records are no part; what else fails may have left something half done.
        if error.context.pop("ended", True):
            break
    if kept:
        context = {name: value for error in reversed(kept) for name, value in error.context.items()}
        raise FleetopsError(
            f"{'; '.join(error.msg for error in kept)}. Put back: {', '.join(done) or 'nothing'}",
            **{**context, "restored": done},
        )
    return None


def error_of(host: Host, undo: Undo) -> Optional[FleetopsError]:
    """Put a record back; why that did not work."""
    try:
        _restore.put_back(host, undo)
    except FleetopsError as error:
        return FleetopsError(f"{undo['id']} was not put back: {error.msg}", **error.context)
    return None


def to_restore(host: Host, params: Mapping[str, Any]) -> Result:
    """The chosen records, newest first, once nothing stands in their way."""
    undos = choose(host, params)
    wrong = _restore.conflicts(host, undos)
    if wrong:
        raise FleetopsError("Nothing was put back: " + "; ".join(wrong), conflicts=wrong)
    refused = _restore.refused(host, undos)
    skipped = [step for step, _why in refused]
    return Result(
        plan=list(undos),
        returned={
            "records": [shown(host, undo) for undo in undos],
            "refused": [why for _step, why in refused],
        },
        diff=changes(host, undos, skipped),
        warnings=[f"It is refused, and all else is put back: {why}" for _step, why in refused],
    )


def choose(host: Host, params: Mapping[str, Any]) -> List[Undo]:
    """The records that a task names, newest first. Those that were put back already are left out."""
    there = _undo.newest_first(_undo.records(host))
    if params["ids"] is None:
        if params["last"] < 1:
            raise FleetopsError(f"last: {params['last']} names no record: expected a number from 1 on")
        return there[: params["last"]]
    known = {undo["id"] for undo in there}
    unknown = [
        name for name in params["ids"] if name not in known and not _undo.is_restored(host, checked(name))
    ]
    if unknown:
        raise FleetopsError(
            f"Nothing was put back: there is no undo record {', '.join(unknown)} "
            f"(records: {', '.join(undo['id'] for undo in there) or 'none'})",
            ids=unknown,
        )
    return [undo for undo in there if undo["id"] in params["ids"]]


def checked(identity: str) -> str:
    """An id that can name a file of ours."""
    if not re.match(r"[A-Za-z0-9_-]+\Z", identity):
        raise FleetopsError(
            f"'{identity}' is no id of an undo record: expected one like 20250102T030405-0001-kernel_cmdline"
        )
    return identity


def to_record(host: Host, params: Mapping[str, Any]) -> Result:
    """A new record, unless an open one says the same."""
    name, restore = params["name"], [{"do": step["do"], "names": step["names"]} for step in params["restore"]]
    if not _NAME.match(name):
        raise FleetopsError(f"name: '{name}' cannot name a record: expected small letters, digits and _")
    platform = _guard.require_platform(host)
    for package in [package for step in restore for package in step["names"]]:
        if not platform.is_part(package):
            raise FleetopsError(f"Nothing was recorded: '{package}' is not the package of a kernel image")
    for undo in _undo.records(host):
        if undo["module"] == name and undo["restore"] == restore:
            return Result(returned={"records": [shown(host, undo)]})
    installed = {
        platform.exact_name(package) for package in platform.packages(host) if package["status"][1:2] == "i"
    }
    there = sorted(installed.intersection(name for step in restore for name in step["names"]))
    if there:
        raise FleetopsError(
            f"Nothing was recorded: {', '.join(there)} is installed already, so that removing it would not put back "
            "what was"
        )
    empty = {"id": None, "module": name, "time": None, "boot_id": None, "this_boot": True, "conflicts": []}
    summary = f"{name}: {', then '.join(_restore.describe(step) for step in restore)}"
    return Result(
        plan=[{"name": name, "restore": restore}], returned={"records": [{**empty, "summary": summary}]}
    )


def shown(host: Host, undo: Undo) -> Dict[str, Any]:
    """A record as it is returned."""
    steps = ", then ".join(_restore.describe(step) for step in undo["restore"])
    return {
        **{name: undo[name] for name in ("id", "module", "time", "boot_id")},
        "this_boot": undo["boot_id"] == host.read(_undo.BOOT_ID).strip(),
        "summary": f"{undo['id']}: {steps}",
        "conflicts": _undo.conflicts(host, [undo]),
    }


def changes(host: Host, undos: List[Undo], skipped: Sequence[Mapping[str, Any]] = ()) -> List[Dict[str, str]]:
    """What these records change, step by step, as a diff shows it. *skipped*: what is refused."""
    now: Dict[str, str] = {}
    found = []
    for step in [step for undo in undos for step in undo["restore"]]:
        if step["do"] in ("write_file", "remove_file"):
            path, after = step["path"], step["text"] if step["do"] == "write_file" else ""
            before = now.get(path, _undo.text_of(host, path) or "")
            found.append(diff.part(path, before, after))
            now[path] = after
        elif step["do"] == "add_link" and not host.exists(f"/sys/class/net/{step['link']['name']}"):
            link = step["link"]
            state = "UP" if link["up"] else "DOWN"
            addresses = [f"{address['address']}/{address['prefixlen']}" for address in link["addresses"]]
            found.append(
                diff.part(
                    "links", "", " ".join([f"{link['name']}: {link['kind']} {state}", *addresses]) + "\n"
                )
            )
        elif step["do"] == "remove_package" and step not in skipped:
            found.append(diff.part("packages", "".join(f"{name}\n" for name in step["names"]), ""))
        elif step["do"] == "install_package":
            found.append(diff.part("packages", "", "".join(f"{name}\n" for name in step["names"])))
    return found


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply, **TOGETHER)


if __name__ == "__main__":
    main()
