# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services of before run again, and none has failed since. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("units",)
# Seconds: a service that dies right after its start is started again and again.
STABLE_FOR = 20
PARTS = ("running", "finished", "starting", "failed")


def judge(facts: Facts, before: Any = None, units: Sequence[str] = (), ignore: Sequence[str] = ()) -> Gate:
    """What ran before runs, what must run does, and nothing has failed that had not before.

    *before*: the ``ansible_facts`` of a look before. *units*: services that must be active, whatever was before, with
    or without ``.service``. *ignore*: regular expressions; a service whose whole name matches one is not looked at.
    """
    name = "units_running"
    passed_over = [_pattern(one) for one in ignore]
    now: Any = facts.get("fleetops_units") or {}
    for part in PARTS:
        if now.get(part) is None:
            return unread(name, facts, "fleetops_units", part)
    then: Any = (before.get("fleetops_units") or {}) if isinstance(before, Mapping) else {}
    for part in ("running", "failed"):
        if before is not None and then.get(part) is None:
            look = before if isinstance(before, Mapping) else {}
            return gate(name, None, f"before: {unread(name, look, 'fleetops_units', part)['reason']}")

    active = {*now["running"], *now["finished"]}
    wanted = {one.removesuffix(".service"): "must be active" for one in units}
    for one in then.get("running") or []:
        wanted.setdefault(one, "ran before")
    found = [
        f"{one} {why}, and {_state(one, now, then)}"
        for one, why in sorted(wanted.items())
        if one not in active
    ]
    new = sorted({*now["failed"]} - {*(then.get("failed") or [])} - {*wanted})
    found += [f"{one} has failed{'' if before is None else ' since'}" for one in new]
    found = [line for line in found if not any(one.fullmatch(line.split(" ")[0]) for one in passed_over)]
    if found:
        evidence = [{"source": "systemctl show", "text": line} for line in found]
        return gate(name, False, "; ".join(found), evidence)  # type: ignore[arg-type]
    return gate(name, True, f"{len(wanted)} services are active that must be, and none has failed")


def _state(unit: str, now: Any, then: Any) -> str:
    if unit in now["failed"]:
        return "has failed"
    if unit in now["starting"]:
        return "is still starting"
    by_hand = " (it is not enabled: no boot starts it)" if unit in (then.get("by_hand") or []) else ""
    return f"does not run{by_hand}"


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise FleetopsError(
            f"units_running: ignore has '{text}', which is no regular expression: {error}"
        ) from error
