#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Download, install, remove, hold and release packages of kernels, and say beforehand what stands in the way."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_packages
short_description: Change packages of kernels
version_added: 0.1.0
description:
  - Downloads, installs, removes, holds and releases packages of kernels, on Debian and Ubuntu.
  - Before it changes anything it finds out what the package manager would do, and all that stands in the way of it.
    All of that is returned as RV(problems), each with what cures it. Where there is a problem and something would be
    changed, the module fails, names all of them, and has changed nothing. In check mode it returns them and does not
    fail.
  - While it installs or removes, apt's own timers are stopped, and started again after it. No service is restarted by
    C(needrestart), nothing is removed to install something, and nothing is removed because nobody needs it any more.
  - The packages of the running kernel are marked as installed by hand before another one is installed, so that no
    C(autoremove) takes them. What was marked is written down in C(/var/lib/fleetops/marked-manual), and
    O(state=unprotected) gives it back.
  - When an installation fails, what it brought is removed again, unless something else would have to go with it, such
    as a meta package that no source has in its old version. Then it stays, and the module says so.
options:
  names:
    description:
      - The exact names of packages, such as V(linux-image-5.15.0-112-generic). apt itself takes a name that it does not
        know for a pattern; this module never lets it.
      - An empty list changes nothing, and tells RV(available). With O(state=unprotected) it means all.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) installs them, in the version that apt prefers; one that is installed in an older one is upgraded.
      - V(downloaded) puts them, and what they need, into the package manager's cache, so that installing them later
        needs no network.
      - V(absent) removes them. What would go with them must be named as well, and the packages of the running kernel
        are never removed.
      - V(held) lets no upgrade change them, V(released) takes that back.
      - V(protected) marks those that are installed as installed by hand, so that no C(autoremove) takes them. With the
        image of a kernel, all packages of that kernel are marked. V(unprotected) takes that back for O(names), or for
        all where that is empty, but only what this module has marked, or what apt marked since this module installed
        it. What the site has marked itself stays. So does the running kernel, where no meta package leads to it.
    type: str
    choices: [present, downloaded, absent, held, released, protected, unprotected]
    default: present
  lock_timeout:
    description:
      - How many seconds to wait while somebody else has the package manager's locks.
      - Check mode does not wait. A lock is among RV(problems), of the kind V(locked), and a warning names who has it.
    type: int
    default: 600
  allow_held:
    description:
      - Change those of O(names) that are held nevertheless, and hold them again after it.
      - Those whose hold got lost because an earlier run was killed are held again, too.
    type: bool
    default: false
  update_cache:
    description: Refresh the package lists first. Not in check mode, and it does not count as a change.
    type: bool
    default: false
  repair:
    description:
      - With O(state=present), finish first what C(dpkg) has begun and not finished, such as after a power cut.
      - Without it, a package that is not in order is a problem.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleetops.kernel.attributes
notes:
  - In check mode RV(packages) and the sizes are exact for the package lists as they are.
  - A meta package that was upgraded can only be put back by M(fleetops.kernel.undo) where a source still has its old
    version. Where none has, the module warns.
seealso:
  - module: fleetops.kernel.undo
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Say what stands in the way of a kernel
  fleetops.kernel.kernel_packages:
    names: [linux-image-5.15.0-112-generic, linux-modules-extra-5.15.0-112-generic]
  check_mode: true
  register: look

- name: Name all of it at once
  ansible.builtin.assert:
    that: not look.problems
    fail_msg: "{{ look.problems | map(attribute='problem') | join('; ') }}"

- name: Download it before anything is drained
  fleetops.kernel.kernel_packages:
    names: [linux-image-5.15.0-112-generic, linux-modules-extra-5.15.0-112-generic]
    state: downloaded

- name: Install it, and finish what a power cut has left
  fleetops.kernel.kernel_packages:
    names: [linux-image-5.15.0-112-generic, linux-modules-extra-5.15.0-112-generic]
    repair: true

- name: Never boot this one by an upgrade
  fleetops.kernel.kernel_packages:
    names: [linux-image-5.15.0-91-generic]
    state: held
"""

RETURN = r"""
packages:
  description: The packages of O(names), and all others that the change brings along. In check mode, would bring along.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The package.
      type: str
      sample: linux-image-5.15.0-112-generic
    version:
      description: The version that it will have, or had when it is removed. V(null) when there is no such package.
      type: str
      sample: 5.15.0-112.122
    action:
      description: What is done to it. One of V(install), V(upgrade), V(remove) and V(none).
      type: str
      sample: install
    download_bytes:
      description: What has to be downloaded of it. 0 once it is in the cache.
      type: int
      sample: 11595904
    installed_bytes:
      description: How much more it takes on the disk than now. Less than 0 when it takes less.
      type: int
      sample: 14680064
download_bytes:
  description: The sum over RV(packages).
  returned: success
  type: int
  sample: 11595904
installed_bytes:
  description: The sum over RV(packages).
  returned: success
  type: int
  sample: 14680064
removes:
  description: The packages that the change would remove. With O(state=present), there must be none.
  returned: success
  type: list
  elements: str
  sample: []
metas:
  description: The installed packages that pull in kernels and are upgraded along.
  returned: success
  type: list
  elements: str
  sample: [linux-image-generic]
problems:
  description: All that stands in the way.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description:
        - What kind of thing it is. One of V(no-such-package), V(pinned), V(held), V(unfinished), V(locked),
          V(would-remove), V(would-install), V(no-space), V(unresolved) and V(running-kernel).
        - One that is V(locked) passes by itself, all others do not.
      type: str
      sample: held
    packages:
      description: The packages that it is about. May be empty.
      type: list
      elements: str
      sample: [linux-image-generic]
    problem:
      description: What it is.
      type: str
      sample: "held: linux-image-generic"
    remedy:
      description: What cures it, a sentence or a command.
      type: str
      sample: "'apt-mark unhold linux-image-generic'"
available:
  description:
    - The kernel images of the running kernel's flavour that are to be had, oldest release first. With
      O(state=present) and O(state=downloaded); else empty.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The package.
      type: str
      sample: linux-image-5.15.0-112-generic
    version:
      description: The version that would be installed.
      type: str
      sample: 5.15.0-112.122
    release:
      description: The kernel that it brings.
      type: str
      sample: 5.15.0-112-generic
undo:
  description: The record that M(fleetops.kernel.undo) can put back. V(null) when no package was changed.
  returned: success
  type: str
  sample: 20250102T030405-0001-kernel_packages
"""

from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _marks, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import apt, diff
from ansible_collections.fleetops.kernel.plugins.module_utils._types import PackageChange, Undo

NAME = "kernel_packages"
SPEC: Dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["present", "downloaded", "absent", "held", "released", "protected", "unprotected"],
        "default": "present",
    },
    "lock_timeout": {"type": "int", "default": 600},
    "allow_held": {"type": "bool", "default": False},
    "update_cache": {"type": "bool", "default": False},
    "repair": {"type": "bool", "default": False},
}
ROLE = "kernel_upgrade"
PACKAGES = "packages"
CACHE = "downloaded packages"
TIMERS = "timers"


def prepare(host: Host, params: Mapping[str, Any]) -> None:
    """Refresh the lists, which the reading is about."""
    if params["update_cache"]:
        _guard.require_platform(host, ROLE).CHANGES.update_lists(host, params["lock_timeout"])


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Find out what the package manager would do, and what stands in the way."""
    names = apt.check_names(params["names"])
    if params["lock_timeout"] < 0:
        raise FleetopsError(f"lock_timeout: {params['lock_timeout']} is no time: expected 0 or more seconds")
    platform = _guard.require_platform(host, ROLE)
    if params["state"] in ("held", "released"):
        return _marks.to_mark(host, platform, params, names)
    if params["state"] in ("protected", "unprotected"):
        return _marks.to_protect(host, platform, params, names)
    if params["state"] == "absent":
        return of_change(host, platform, params, platform.CHANGES.to_remove(host, names))
    packages = platform.packages(host)
    change = platform.CHANGES.to_install(
        host, names, params["allow_held"], params["repair"], platform.pins(host, packages)
    )
    return of_change(host, platform, params, change, packages)


def of_change(
    host: Host, platform: Any, params: Mapping[str, Any], change: PackageChange, packages: Any = None
) -> Result:
    """What a change of packages comes to, for the state that is asked for."""
    moved = [package for package in change["packages"] if package["action"] != "none"]
    unknown = [package["name"] for package in moved if package["version"] is None]
    stopped = platform.OTHERS.stopped_timers(host)
    unheld: List[str] = []
    parts = [diff.part(PACKAGES, lines(change["before"]), lines(change["after"]))]
    if params["state"] == "downloaded":
        # What apt cannot resolve it cannot download either.
        unresolved = bool(moved and not change["after"])
        todo = bool(change["files"] or unknown or unresolved)
        parts = [diff.part(CACHE, "", "".join(f"{name}\n" for name in change["files"]))]
    else:
        unheld = lost_holds(host, platform, params)
        todo = bool(moved or stopped or unheld or (params["repair"] and change["broken"]))
        if stopped:
            parts.append(diff.part(TIMERS, "", "".join(f"{name}\n" for name in stopped)))
        if unheld:
            parts.append(diff.part(_marks.HOLDS, "", "".join(f"{name}\n" for name in unheld)))
    metas: List[str] = []
    if packages is not None:
        metas = [meta["name"] for meta in platform.kernel_packages(host, packages)["metas"]]
        metas = [name for name in metas if name in change["after"] and name in change["before"]]
    warnings = [] if params["state"] == "downloaded" or not todo else lost(change)
    warnings += apt.waits(change["problems"], params) if todo else []
    return Result(
        plan=[{"platform": platform, "change": change, "metas": metas, "stopped": stopped, "unheld": unheld}]
        if todo
        else [],
        returned={
            "packages": change["packages"],
            "download_bytes": sum(package["download_bytes"] for package in change["packages"]),
            "installed_bytes": sum(package["installed_bytes"] for package in change["packages"]),
            "removes": change["removes"],
            "metas": metas,
            "problems": change["problems"],
            "available": [] if packages is None else platform.CHANGES.available(host),
            "undo": None,
        },
        diff=parts,
        warnings=warnings,
    )


def lost_holds(host: Host, platform: Any, params: Mapping[str, Any]) -> List[str]:
    """What was held until an installation that was killed, by its record that is still open."""
    if params["state"] != "present" or not params["allow_held"]:
        return []
    taken = [name for name in platform.CHANGES.taken_holds(host) if name in params["names"]]
    if not taken:
        return []
    recorded = {
        name for undo in _undo.records(host) for step in undo["restore"] for name in holds_of(undo, step)
    }
    held, _problems = platform.CHANGES.which_are_held(host, taken)
    return [name for name in taken if name in recorded and name not in held]


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Dict[str, Any]:
    """Wait for others, look again, and do what is to be done."""
    (step,) = result.plan
    others = step["platform"].OTHERS
    if params["state"] in _marks.MARKED:
        others.wait_for_locks(host, params["lock_timeout"])
        return _marks.mark(host, params, run, result)
    if params["state"] == "downloaded":
        others.wait_for_locks(host, params["lock_timeout"])
        return download(host, params, run(host, params), result)
    with others.without_timers(host):
        others.wait_for_locks(host, params["lock_timeout"])
        if params["state"] == "absent":
            return remove(host, params, run(host, params), result)
        return install(host, params, run(host, params), result)


def download(host: Host, params: Mapping[str, Any], now: Result, result: Result) -> Dict[str, Any]:
    """Fill the cache, and look whether it is."""
    apt.refuse(now.returned["problems"], params)
    if not now.plan:
        result.plan.clear()
        return {}
    (step,) = now.plan
    names = [package["name"] for package in step["change"]["packages"] if package["name"] in params["names"]]
    step["platform"].CHANGES.download(host, names, params["lock_timeout"], params["allow_held"])
    left = run(host, params)
    if left.plan:
        files = ", ".join(left.plan[0]["change"]["files"])
        raise FleetopsError(f"apt-get ended well, but these files are not in its cache: {files or 'unknown'}")
    return {}


def remove(host: Host, params: Mapping[str, Any], now: Result, result: Result) -> Dict[str, Any]:
    """Take packages away, with the record of it."""
    apt.refuse(now.returned["problems"], params)
    if not now.returned["removes"]:
        return nothing_left(result)
    (step,) = now.plan
    platform, change = step["platform"], step["change"]
    undo = _undo.record(host, NAME, change["before"], again(host, platform, change["before"]))
    try:
        platform.remove_packages(host, change["removes"])
        left = run(host, params).returned["removes"]
        if left:
            raise FleetopsError(f"apt-get ended well, but {', '.join(left)} is still there", packages=left)
    except FleetopsError as error:
        _restore.after_failure(host, undo, error)
    return {"undo": undo["id"]}


def install(host: Host, params: Mapping[str, Any], now: Result, result: Result) -> Dict[str, Any]:
    """Finish what is begun if that is asked for, then install, with the record of it."""
    apt.refuse(now.returned["problems"], params)
    (first,) = result.plan
    changes = first["platform"].CHANGES
    repaired = bool(now.plan and now.plan[0]["change"]["broken"])
    if repaired:
        changes.repair(host, params["lock_timeout"])
        now = run(host, params)
        apt.refuse(now.returned["problems"], params)
    unheld = now.plan[0]["unheld"] if now.plan else []
    if unheld:
        changes.hold_again(host, unheld)
        now = run(host, params)
        apt.refuse(now.returned["problems"], params)
    if not now.plan or not now.plan[0]["change"]["after"]:
        begun = repaired or unheld
        return {"undo": begun_by(host, params["names"])} if begun else nothing_left(result)
    (step,) = now.plan
    change = step["change"]
    marks = step["platform"].MARKS
    running = changes.automatic(host, running_packages(host, step["platform"]))
    # apt marks what is named to be installed.
    named = [name for name in params["names"] if name not in changes.installed(host, params["names"])]
    named += changes.automatic(host, [name for name in params["names"] if name not in named])
    undo = _undo.record(host, NAME, change["before"], back(host, step, [*running, *named]))
    try:
        marks.protect(host, running)
        marks.note(host, named)
        # Whatever is held and not to be changed is a problem, and was refused.
        changes.install(host, params["names"], params["lock_timeout"], change["held"])
        left = [step["change"] for step in run(host, params).plan]
        names = [name for one in left for name in [*one["after"], *one["broken"]]]
        if names:
            raise FleetopsError(
                f"apt-get ended well, but is not done with {', '.join(names)}", packages=names
            )
    except FleetopsError as error:
        _restore.after_failure(host, undo, error)
    return {"undo": undo["id"]}


def nothing_left(result: Result) -> Dict[str, Any]:
    """Somebody else did it while we waited: then only timers that an earlier run had stopped are a change."""
    if not result.plan[0]["stopped"]:
        result.plan.clear()
    return {}


def begun_by(host: Host, names: List[str]) -> Optional[str]:
    """The open record of the run that began to install these and was cut off."""
    for undo in _undo.newest_first(_undo.records(host)):
        for step in undo["restore"]:
            began = step["names"] if step["do"] == "remove_package" else holds_of(undo, step)
            if undo["module"] == NAME and {*began} & {*names}:
                return undo["id"]
    return None


def holds_of(undo: Undo, step: Mapping[str, Any]) -> List[str]:
    """What was held before an installation. What a task released has no packages before it."""
    held = step["do"] == "run" and step["argv"][:2] == ["apt-mark", "hold"]
    return step["argv"][2:] if held and undo["module"] == NAME and undo["before"] else []


def back(host: Host, step: Mapping[str, Any], marked: List[str]) -> List[Dict[str, Any]]:
    """How an installation is put back: first what was upgraded, since it leads to what was installed."""
    change: PackageChange = step["change"]
    upgraded = {name: version for name, version in change["keeps"].items() if ours(name)}
    new = [name for name in change["after"] if name not in change["before"] and ours(name)]
    steps = again(host, step["platform"], upgraded)
    # What cannot be had again is not to go with them either.
    stays = [name for name in change["before"] if name not in change["keeps"]]
    steps += [{"do": "remove_package", "names": new, "lost": stays}] if new else []
    steps += [{"do": "unprotect_packages", "names": marked}] if marked else []
    steps += [{"do": "run", "argv": ["apt-mark", "hold", *change["held"]]}] if change["held"] else []
    return steps


def again(host: Host, platform: Any, versions: Mapping[str, str]) -> List[Dict[str, Any]]:
    """The step that installs packages in the versions that they had."""
    if not versions:
        return []
    names = [f"{name}={version}" for name, version in versions.items()]
    automatic = platform.CHANGES.automatic(host, list(versions))
    return [{"do": "install_package", "names": names, "auto": automatic}]


def running_packages(host: Host, platform: Any) -> List[str]:
    """The packages of the running kernel, where it is of the distribution."""
    running = host.read(_restore.RELEASE).strip()
    found: List[str] = platform.packages_of(platform.packages(host), running)
    return found


def ours(name: str) -> bool:
    """Is a package one of kernels? What else was upgraded to install one may stay."""
    return name.startswith("linux-")


def lost(change: PackageChange) -> List[str]:
    """What no undo can bring back."""
    return [
        f"No source has {name} {version} any more: an undo cannot bring it back"
        for name, version in change["before"].items()
        if name not in change["keeps"] and ours(name)
    ]


def lines(versions: Mapping[str, str]) -> str:
    """Packages as a diff shows them."""
    return "".join(f"{name} {version}\n" for name, version in sorted(versions.items()))


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply, prepare)


if __name__ == "__main__":
    main()
