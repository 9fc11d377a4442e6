# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports on a fleet, on the controller alone: no connection is opened."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.color import ANSIBLE_COLOR
from ansible.utils.display import Display
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.plugin_utils import (
    advisories,
    matching,
    records,
    report,
)

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "choices": list(report.NAMES), "default": "assess"},
    "stage": {"type": "str", "choices": list(report.STAGES), "default": "after"},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "outcomes": {"type": "dict", "default": {}},
    "advisories_dirs": {"type": "list", "elements": "path", "default": []},
    "dir": {"type": "path", "default": "./fleetops-report"},
    "fail_on": {
        "type": "str",
        "choices": [report.NEVER, *reversed(matching.SEVERITIES)],
        "default": report.NEVER,
    },
}


class ActionModule(ActionBase):
    """See the module of the same name."""

    # One report for all hosts, whatever the task says.
    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge, write, print; fail where the run must not end with 0."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        base: Any = self  # what ansible-core leaves untyped
        _validation, arguments = base.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            made, path = self._make(arguments, task_vars or {})
            _write(path, made)
        except FleetopsError as error:
            return {**result, "failed": True, **error.as_result()}
        Display().display(report.render(made, color=bool(ANSIBLE_COLOR)) + f"\n\nReport: {path}")
        summary = made["summary"]
        result.update(
            changed=False,
            path=path,
            summary=summary,
            clean=summary["nodes"]["clean"] == summary["hosts"],
            affected=summary["findings"]["affected"],
            unknown=summary["findings"]["unknown"],
        )
        why = report.failures(made, arguments["fail_on"])
        if why:
            result.update(failed=True, msg=f"{'; '.join(why)}. See {path}")
        return result

    def _make(self, arguments: Mapping[str, Any], task_vars: Mapping[str, Any]) -> tuple[report.Report, str]:
        name, stage, hosts = arguments["name"], arguments["stage"], arguments["hosts"]
        if not hosts:
            raise FleetopsError("There is no host to report on: the pattern, or --limit, matches none")
        folder = os.path.abspath(arguments["dir"])
        path, planned = (os.path.join(folder, f"{kind}.json") for kind in (name, "plan"))
        catalogue = advisories.load(arguments["advisories_dirs"])
        found = records.collect(task_vars["hostvars"], hosts, catalogue)
        compared = name in report.COMPARED and stage == "after"
        made = report.build(
            name,
            stage,
            found,
            time=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            before=report.check_before(_read(path), name, path) if compared else None,
            planned=report.check_plan(_read(planned), planned) if compared else None,
            outcomes=records.plain(arguments["outcomes"]),
            dry=bool(self._task.check_mode or boolean(task_vars.get("fleetops_plan_only", False))),
        )
        return made, path


def _write(path: str, made: report.Report) -> None:
    """A line for each host: so it is written in a tenth of the time, and found again with grep."""
    # Command lines hold what is nobody else's business.
    Host().write_atomic(path, _pieces(made), mode=0o600)


def _pieces(made: report.Report) -> Iterator[str]:
    head, _hosts, tail = json.dumps({**made, "hosts": None}, indent=1, sort_keys=True).partition("null")
    yield head + "{"
    for number, host in enumerate(sorted(made["hosts"])):
        yield f"{',' if number else ''}\n  {json.dumps(host)}: {json.dumps(made['hosts'][host], sort_keys=True)}"
    yield "\n }" + tail + "\n"


def _read(path: str) -> Any:
    try:
        return json.loads(Host().read(path))
    except Missing as error:
        raise FleetopsError(
            f"'{path}' is missing: what was before the change, and what was planned, has to be kept first",
            path=path,
        ) from error
    except ValueError as error:
        raise FleetopsError(
            f"'{path}', kept before the change, is not valid JSON: {error}", path=path
        ) from error
