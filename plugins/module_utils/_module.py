# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one door to AnsibleModule: wiring, check mode, and where errors become ``fail_json``."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, List, Mapping, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host


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


def execute(argument_spec: Dict[str, Any], run: Run, apply: Optional[Apply] = None, **options: Any) -> None:
    """Read and decide with *run*; write with *apply* when there is a plan and this is not check mode.

    What *apply* returns (an undo id, for example) is added to what the module returns.
    """
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **options)
    try:
        host = Host(module.params.get("root") or "/")
        result = run(host, module.params)
        returned = dict(result.returned)
        if result.plan and not module.check_mode:
            if apply is None:
                raise FleetopsError(
                    "A module that only reads came to a plan: this is a defect of the collection"
                )
            returned.update(apply(host, module.params, result) or {})
    except FleetopsError as error:
        module.fail_json(**error.as_result())
        return  # fail_json does not come back: this is for the type checker
    for warning in result.warnings:
        module.warn(warning)
    if result.diff is not None:
        returned["diff"] = result.diff
    module.exit_json(changed=bool(result.plan), **returned)
