# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What kernel_packages marks, and neither installs nor removes: holds, and what no autoremove may take."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils import _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, Run
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import apt, diff
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Problem

# Whose record it is.
MODULE = "kernel_packages"
HOLDS = "held packages"
MARKS = "packages protected for the time of a change"


def to_mark(host: Host, platform: Any, params: Mapping[str, Any], names: List[str]) -> Result:
    """Which of them are to be held, or released."""
    held, problems = platform.CHANGES.which_are_held(host, names)
    hold = params["state"] == "held"
    todo = [name for name in names if (name not in held) == hold]
    before = "".join(f"{name}\n" for name in names if name in held)
    after = "".join(f"{name}\n" for name in names) if hold else ""
    # To release what there is no package of is no work.
    todo = todo if hold else [name for name in todo if name in held]
    return Result(
        plan=[{"platform": platform, "names": todo, "problems": problems}] if todo else [],
        returned=nothing_of(problems),
        diff=[diff.part(HOLDS, before, after)],
        warnings=apt.waits(problems, params) if todo else [],
    )


def to_protect(host: Host, platform: Any, params: Mapping[str, Any], names: List[str]) -> Result:
    """Which of them are to be marked as installed by hand, or given back."""
    packages = platform.packages(host)
    wanted = list(names)
    for name in names:
        release = platform.release_named(name)
        wanted += platform.packages_of(packages, release) if release else []
    wanted = list(dict.fromkeys(wanted))
    changes, marks = platform.CHANGES, platform.MARKS
    unknown: List[Problem] = []
    problems, before = apt.locked(platform.OTHERS.holders(host)), marks.protected(host)
    if params["state"] == "protected":
        there = changes.installed(host, wanted)
        unknown = [apt.not_installed(name) for name in names if name not in there]
        todo = sorted(changes.automatic(host, there))
        after = [*before, *(name for name in todo if name not in before)]
    else:
        running, needed = host.read(_restore.RELEASE).strip(), platform.needed(packages)
        stays = [name for name in before if apt.of_release(name, running) and name not in needed]
        todo = [name for name in before if name not in stays and (not names or name in wanted)]
        after = [name for name in before if name not in todo]
    problems += unknown
    return Result(
        plan=[{"platform": platform, "names": todo, "problems": problems}] if todo or unknown else [],
        returned=nothing_of(problems),
        diff=[
            diff.part(MARKS, "".join(f"{name}\n" for name in before), "".join(f"{name}\n" for name in after))
        ]
        if todo
        else [],
        warnings=apt.waits(problems, params) if todo else [],
    )


def nothing_of(problems: List[Problem]) -> Dict[str, Any]:
    """What is returned of a change that installs and removes nothing."""
    return {
        "packages": [],
        "download_bytes": 0,
        "installed_bytes": 0,
        "removes": [],
        "metas": [],
        "problems": problems,
        "available": [],
        "undo": None,
    }


# How each of these states is reached, and how it is put back.
MARKED: Dict[str, Any] = {
    "held": (
        lambda host, platform, names: platform.CHANGES.hold(host, names),
        lambda names: {"do": "run", "argv": ["apt-mark", "unhold", *names]},
    ),
    "released": (
        lambda host, platform, names: platform.CHANGES.release(host, names),
        lambda names: {"do": "run", "argv": ["apt-mark", "hold", *names]},
    ),
    "protected": (
        lambda host, platform, names: platform.MARKS.protect(host, names),
        lambda names: {"do": "unprotect_packages", "names": names},
    ),
    "unprotected": (
        lambda host, platform, names: platform.MARKS.unprotect(host, names),
        lambda names: {"do": "protect_packages", "names": names},
    ),
}


def mark(host: Host, params: Mapping[str, Any], run: Run, result: Result) -> Dict[str, Any]:
    """Hold, release, protect or give back, with the record of it. *run*: what finds out how it is now."""
    now = run(host, params)
    apt.refuse(now.returned["problems"], params)
    if not now.plan:
        result.plan.clear()  # somebody else did, in the meantime
        return {}
    (step,) = now.plan
    there, back_again = MARKED[params["state"]]
    undo = _undo.record(host, MODULE, None, [back_again(step["names"])])
    there(host, step["platform"], step["names"])
    if run(host, params).plan:
        raise FleetopsError(f"The packages are not {params['state']}, although apt-mark ended well")
    return {"undo": undo["id"]}
