# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one door to AnsibleModule: wiring, check mode, and where errors become ``fail_json``."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import WRITING_TIMEOUT, Host


@dataclasses.dataclass
class Result:
    """What a module found out, before it changes anything.

    ``plan`` empty means that nothing is to do. ``diff`` is what ``--diff`` shows, exact in check mode as
    well. ``returned`` goes to the user.
    """

    plan: List[Any] = dataclasses.field(default_factory=list)
    returned: Dict[str, Any] = dataclasses.field(default_factory=dict)
    diff: Optional[Any] = None
    warnings: List[str] = dataclasses.field(default_factory=list)


Run = Callable[[Host, Mapping[str, Any]], Result]
Apply = Callable[[Host, Mapping[str, Any], Result], Optional[Dict[str, Any]]]
Prepare = Callable[[Host, Mapping[str, Any]], None]


def execute(
    argument_spec: Dict[str, Any],
    run: Run,
    apply: Optional[Apply] = None,
    prepare: Optional[Prepare] = None,
    **options: Any,
) -> None:
    """Read and decide with *run*; write with *apply* when there is a plan and this is not check mode.

    What *apply* returns (an undo id, for example) is added to what the module returns. *prepare* comes before reading,
    and never in check mode: what it does is no change that anybody asked for (package lists are made new).
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **options)
    try:
        host = machine_of(module.params.get("root"))
        if prepare is not None and not module.check_mode:
            prepare(host, module.params)
        result = run(host, module.params)
        returned = dict(result.returned)
        if result.plan and not module.check_mode:
            if apply is None:
                raise FleetopsError(
                    "A module that only reads came to a plan: this is a defect of the collection"
                )
            host.patience = WRITING_TIMEOUT
            returned.update(apply(host, module.params, result) or {})
    except FleetopsError as error:
        module.fail_json(**error.as_result())
        return  # fail_json does not come back: this is for the type checker
    for warning in result.warnings:
        module.warn(warning)
    if result.diff is not None:
        returned["diff"] = result.diff
    module.exit_json(changed=bool(result.plan), **returned)


def machine_of(root: Optional[str]) -> Host:
    """The running machine, or what lies below *root*. Whoever names a root never gets the running machine instead."""
    if root is None:
        return Host()
    if not root.strip():
        raise FleetopsError("root is empty: expected the directory of what a machine left behind")
    host = Host(root)
    if host.live:
        raise FleetopsError(
            f"root is '{root}', which is the running machine itself: expected the directory of what a machine left "
            "behind. Without root, the running machine is read",
            path=root,
        )
    host.require_a_machine()
    return host


def chosen(
    subset: Sequence[str],
    parts: Collection[str],
    minimum: Collection[str] = (),
    on_demand: Collection[str] = (),
) -> List[str]:
    """The *parts* that a ``gather_subset`` names, in their own order. Raises FleetopsError, also when none is left.

    As in ansible.builtin.setup, the *minimum* is read whatever else is named, unless ``!min`` is, and ``!all`` leaves
    it and what is named by itself. Nothing but exclusions of single parts means all the others. What is *on_demand*
    belongs to no group: it has to be named.
    """
    groups = ["all", "min"] if minimum else ["all"]
    wrong = [name for name in subset if name.lstrip("!") not in {*parts, *groups}]
    if wrong:
        names = ", ".join([*groups, *parts])
        raise FleetopsError(
            f"gather_subset: '{wrong[0]}' is unknown, expected {names}, or one of them after a '!'"
        )
    wanted = {name for name in subset if not name.startswith("!")}
    left_out = {name[1:] for name in subset if name.startswith("!")}
    everything = ("all" in wanted or not wanted) and "all" not in left_out

    def takes(part: str) -> bool:
        if part in left_out or part in wanted:
            return part not in left_out
        return "min" not in left_out if part in minimum else everything and part not in on_demand

    found = [part for part in parts if takes(part)]
    if not found:
        raise FleetopsError(f"gather_subset: nothing is left to read of {', '.join(subset)}")
    return found
