# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The steps of an undo record that need the platform or netlink, and what stands in their way."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _kexec, _netlink, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

RELEASE = "/proc/sys/kernel/osrelease"


def put_back(host: Host, undo: Undo) -> None:
    """Put one record back, with all the steps that there are. Raises FleetopsError that says which were taken."""
    try:
        _undo.put_back(host, undo, RUNNERS, ALONE)
    except FleetopsError as error:
        if "left" not in error.context:
            raise
        done, left = (
            ", ".join(map(describe, error.context.pop(name))) or "nothing" for name in ("done", "left")
        )
        raise FleetopsError(
            f"{error.msg}. Of {undo['id']}, done: {done}; not done: {left}", **error.context
        ) from error


def after_failure(host: Host, undo: Undo, error: FleetopsError) -> NoReturn:
    """Put back what a failing change has done so far, and raise its error with what became of that."""
    try:
        put_back(host, undo)
    except FleetopsError as second:
        raise FleetopsError(
            f"{error.msg}. Putting back how it was failed as well: {second.msg}. The undo record {undo['id']} is kept",
            **{**second.context, **error.context, "undo": undo["id"]},
        ) from error
    raise FleetopsError(f"{error.msg}. Everything was put back as it was", **error.context) from error


def conflicts(host: Host, undos: Sequence[Undo]) -> List[str]:
    """Everything that keeps these records from being put back, a sentence each."""
    found = _undo.conflicts(host, undos)
    for undo in _undo.newest_first(undos):
        for step in undo["restore"]:
            if step.get("do") == "add_link":
                found += [f"{undo['id']}: {clause}" for clause in _link_conflicts(host, step)]
            elif step.get("do") == "remove_package":
                found += [f"{undo['id']}: {clause}" for clause in _package_conflicts(host, step)]
            elif step.get("do") == "install_package":
                found += [f"{undo['id']}: {clause}" for clause in _version_conflicts(host, step)]
            elif step.get("do") not in _FILE_STEPS and step.get("do") not in RUNNERS:
                found.append(
                    f"{undo['id']}: its step '{step.get('do')}' is unknown to this version of the collection"
                )
    return found


def refused(host: Host, undos: Sequence[Undo]) -> List[Tuple[Mapping[str, Any], str]]:
    """(step, why) of the removals of packages that would be refused, in the order in which these are put back."""
    found: List[Tuple[Mapping[str, Any], str]] = []
    platform = None
    again: Dict[str, str] = {}
    gone: List[str] = []
    released: List[str] = []
    for undo in _undo.newest_first(undos):
        for step in undo["restore"]:
            if step.get("do") == "install_package":
                again.update({name.partition("=")[0]: name for name in step["names"]})
            elif step.get("do") == "remove_package":
                platform = platform or _guard.require_platform(host)
                there = _there(host, platform, step)
                names = list(there)
                why = _held({name: letters for name, letters in there.items() if name not in released})
                if names and why is None:
                    why = platform.refuses_removal(host, names, gone, list(again.values()))
                if why is not None:
                    found.append((step, f"{undo['id']}: {_and_lost(why, step).msg}"))
                else:
                    gone += names
            elif step.get("do") == "run" and step["argv"][:2] == ["apt-mark", "unhold"]:
                released += step["argv"][2:]
    return found


def describe(step: Mapping[str, Any]) -> str:
    """One step in a few words."""
    do = step.get("do")
    if do == "write_file":
        return f"put back {step['path']}"
    if do == "remove_file":
        return f"remove {step['path']}"
    if do == "run":
        return f"run {' '.join(step['argv'])}"
    if do == "add_link":
        return f"make the link {step['link']['name']} again"
    if do == "remove_package":
        return f"remove {', '.join(step['names'])}"
    if do == "install_package":
        return f"install {', '.join(step['names'])} again"
    if do in ("protect_packages", "unprotect_packages"):
        how = "by hand" if do == "protect_packages" else "for another's sake, as it was"
        return f"count {', '.join(step['names'])} as installed {how}"
    return {
        "update_boot_config": "generate the boot loader's configuration again",
        "reload_capture": "load the capture kernel again",
    }.get(str(do), f"{do} (unknown)")


def needs_netlink(undos: Sequence[Undo]) -> bool:
    """Does one of these records act on links?"""
    return any(step.get("do") == "add_link" for undo in undos for step in undo["restore"])


# --- steps -------------------------------------------------------------------------------------------


def _update_boot_config(host: Host, step: Mapping[str, Any]) -> None:
    _guard.require_platform(host).update_boot_config(host)


def _reload_capture(host: Host, step: Mapping[str, Any]) -> None:
    # One that was not loaded takes its words from the file when it is; without memory for it nothing can be loaded.
    if (step["loaded"] or _kexec.crash_loaded(host)) and _kexec.crash_size(host):
        _guard.require_platform(host).reload_capture(host)


def _add_link(host: Host, step: Mapping[str, Any]) -> None:
    _netlink.add(step["link"], step["saved"])


def _remove_package(host: Host, step: Mapping[str, Any]) -> None:
    platform = _guard.require_platform(host)
    there = _there(host, platform, step)
    if not there:
        return
    held = _held(there)
    if held is not None:
        raise held
    try:
        platform.remove_packages(host, list(there))
    except FleetopsError as error:
        raise _and_lost(error, step) from error


def _there(host: Host, platform: Any, step: Mapping[str, Any]) -> Dict[str, str]:
    """The status of those that are installed: of others, a package manager may not even know the name."""
    there = {
        platform.exact_name(package): package["status"]
        for package in platform.packages(host)
        if package["status"][1:2] not in ("n", "c")
    }
    return {name: there[name] for name in step["names"] if name in there}


def _held(there: Mapping[str, str]) -> Optional[FleetopsError]:
    """A package manager does not remove what is held, unless somebody is there to say yes."""
    held = [name for name, status in there.items() if status.startswith("h")]
    if not held:
        return None
    return FleetopsError(
        f"{', '.join(held)} is held, and stays installed: 'apt-mark unhold {' '.join(held)}'", held=held
    )


def _and_lost(error: FleetopsError, step: Mapping[str, Any]) -> FleetopsError:
    """Why a removal was refused, and which of those that would go along nobody could bring back."""
    along = error.context.get("along", [])
    lost = [name for name in along if name in step.get("lost", [])]
    if not lost:
        return error
    which = "which" if lost == along else f"and {', '.join(lost)}"
    return FleetopsError(f"{error.msg}, {which} no source has in its old version", **error.context)


def _install_package(host: Host, step: Mapping[str, Any]) -> None:
    changes = _changes(host)
    names = [name.partition("=")[0] for name in step["names"]]
    held, _unknown = changes.which_are_held(host, names)
    changes.install(host, step["names"], held=held, downgrade=True)
    changes.mark(host, step["auto"], "auto")


def _protect_packages(host: Host, step: Mapping[str, Any]) -> None:
    changes = _changes(host)
    names = changes.automatic(host, changes.installed(host, step["names"]))
    _guard.require_platform(host).MARKS.protect(host, names)


def _unprotect_packages(host: Host, step: Mapping[str, Any]) -> None:
    _changes(host)
    _guard.require_platform(host).MARKS.unprotect(host, step["names"])


def _changes(host: Host) -> Any:
    platform = _guard.require_platform(host)
    if platform.CHANGES is None:
        raise FleetopsError(f"Nothing was changed: packages are not installed on {platform.FAMILY} yet")
    return platform.CHANGES


RUNNERS: Dict[str, _undo.StepRunner] = {
    "update_boot_config": _update_boot_config,
    "reload_capture": _reload_capture,
    "add_link": _add_link,
    "remove_package": _remove_package,
    "install_package": _install_package,
    "protect_packages": _protect_packages,
    "unprotect_packages": _unprotect_packages,
}
_FILE_STEPS = ("write_file", "remove_file", "run")
# What a package manager refuses, it leaves as it was: no later step builds on it.
ALONE = ("remove_package", "install_package")


def _link_conflicts(host: Host, step: Mapping[str, Any]) -> List[str]:
    link = step["link"]
    found = []
    below = step["saved"]["on"]
    if below and not host.exists(f"/sys/class/net/{below}"):
        found.append(f"'{below}', on which {link['name']} stood, is gone")
    # A link of the same name and kind is one that an earlier, killed attempt has made: it is completed.
    if host.exists(f"/sys/class/net/{link['name']}"):
        there = _netlink.present(link["name"])
        if there is not None and there["kind"] != link["kind"]:
            found.append(f"there is another link of the name {link['name']}, of the kind {there['kind']}")
    return found


def _package_conflicts(host: Host, step: Mapping[str, Any]) -> List[str]:
    running = host.read(RELEASE).strip()
    package = _guard.require_platform(host).kernel_package(running)
    return [f"{name} is the kernel that runs now" for name in step["names"] if name == package]


def _version_conflicts(host: Host, step: Mapping[str, Any]) -> List[str]:
    return [
        f"{name} is not to be had any more: no source of this node has that version"
        for name in _changes(host).cannot_be_had(host, step["names"])
    ]
