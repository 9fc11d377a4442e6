# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Puts the guard of a trial on the node, and takes it away. Its unit's text is `trialguard`'s."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils import _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots.situation import Plan, written
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import trialguard
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts

RELOAD = {"do": "run", "argv": ["systemctl", "daemon-reload"]}
STOP = {"do": "run", "argv": ["systemctl", "stop", trialguard.RUNNING]}


def put(host: Host, params: Mapping[str, Any], facts: KernelFacts, plan: Plan) -> None:
    """The unit that ends this trial, or none; a unit of another trial goes."""
    release, seconds, trial = params["release"], params["guard"], plan.before["trial"]
    if not seconds:
        if trial:
            take_away(host, plan)
        return
    text = trialguard.unit(release, seconds)
    if release == facts["release"]:
        raise FleetopsError(
            f"Nothing was changed: {release} runs now, and a guard for it would reboot this very node in {seconds} "
            "seconds: expected guard: 0, or another kernel"
        )
    files = {trialguard.UNIT_PATH: text, trialguard.WANTS_PATH: trialguard.WANTS}
    old = {path: _undo.text_of(host, path) for path in files}
    if old == files:
        return
    plan.restore += [_undo.restore_file(host, path, text) for path, text in files.items()]
    plan.restore += [RELOAD, STOP]
    plan.steps += [written(path, old[path], text) for path, text in files.items()]
    plan.steps.append(RELOAD)
    plan.after["trial"] = {"release": release, "guard_seconds": seconds}


def take_away(host: Host, plan: Plan) -> None:
    """First what starts it, then what runs, and the unit's file last: until then, a run that was killed is finished.

    What starts it is gone already where it has fired.
    """
    starts, text = (_undo.text_of(host, path) for path in (trialguard.WANTS_PATH, trialguard.UNIT_PATH))
    if starts is not None:
        plan.steps.append(written(trialguard.WANTS_PATH, starts, None))
        # On the disk before anything else is: the boot loader's files may lie on another one.
        plan.steps.append({"do": "run", "argv": ["sync", trialguard.WANTS_PATH.rpartition("/")[0]]})
    plan.steps += [RELOAD, STOP]
    if text is not None:
        plan.steps.append(written(trialguard.UNIT_PATH, text, None))
    plan.after["trial"] = None
