# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""apt and dpkg where they change packages: what a change would be, all that stands in its way, and the change."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _aptothers
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import apt
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    AvailableKernel,
    ChangedPackage,
    PackageChange,
    Pin,
    Problem,
)

RELEASE = "/proc/sys/kernel/osrelease"
IMAGE = "linux-image-"
UPDATES = "/var/lib/dpkg/updates"
ARCHIVES, SYSTEM = "/var/cache/apt/archives", "/usr"
# Holds that an installation takes for itself and gives back: one that was killed leaves them here, over boots too.
TAKEN = "/var/lib/fleetops/released-holds"
# Nobody is asked, no service is restarted in the middle of it, no file that the site has changed is replaced.
QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",
    "APT_LISTCHANGES_FRONTEND": "none",
}
LOCK_TIMEOUT = 600
# An apt-get that is killed leaves dpkg half-way: DKMS builds modules for minutes, and slow machines for longer.
PATIENCE = 3 * 3600
_OPTIONS = (
    "Dpkg::Options::=--force-confdef",
    "Dpkg::Options::=--force-confold",
    "APT::Get::Always-Include-Phased-Updates=true",
    "APT::Get::AutomaticRemove=false",
)
# A look at what would be: apt is to say what it would do if nothing was held, for all holds to be named at once.
_FREELY = ("--ignore-hold", "--allow-change-held-packages")


# --- what a change would be --------------------------------------------------------------------------


def to_install(
    host: Host, names: Sequence[str], allow_held: bool, repair: bool, pins: Sequence[Pin]
) -> PackageChange:
    """What installing these would do, and everything that stands in the way of it."""
    states = _states(host)
    policies = _policies(host, names)
    problems: List[Problem] = []
    for name in names:
        policy = policies.get(name)
        kept = apt.kept_by_a_pin(name, policy, pins) if policy else None
        if policy is None:
            problems.append(
                apt.no_such_package(name, host.run(["apt-cache", "pkgnames", apt.stem(name)]).split())
            )
        elif kept is not None:
            problems.append(kept)
    # apt-get takes a name that it does not know for a regular expression, and installs what it matches.
    known = [name for name in names if name in policies and policies[name].candidate]
    unfinished = _unfinished(states)
    nothing: Tuple[apt.Simulation, Optional[str]] = (apt.Simulation([], [], []), None)
    found, why = _simulated(host, ["install", *known]) if known else nothing
    interrupted = _interrupted(host)
    if why and not unfinished and not interrupted:
        problems.append(
            apt.problem(
                apt.UNRESOLVED,
                f"apt finds no way: {why}",
                f"'apt-get -s install {' '.join(known)}' shows it whole",
                known,
            )
        )
    if not repair:
        problems += apt.broken(unfinished, interrupted)
    # One that stays as it is may be held.
    held = [name for name, _old, _new in found.install if _is_held(states, name)]
    problems += apt.held([name for name in held if not (allow_held and name in names)], names)
    problems += apt.would_remove(found.remove)
    files = _to_fetch(host, known) if known and not why else {}
    fetched = {name: size for name, (_file, size) in files.items()}
    sizes = _sizes(host, found.install)
    problems += _space(
        host, sum(fetched.values()), sum(sizes.get((name, new), 0) for name, _old, new in found.install)
    )
    problems += apt.locked(_aptothers.holders(host))
    after = {name: new for name, _old, new in found.install}
    before = {name: old for name, old, _new in found.install if old}
    packages: List[ChangedPackage] = [
        {
            "name": name,
            "version": after.get(name) or _version_of(name, states, policies),
            "action": _action(name, before, after, states),
            "download_bytes": fetched.get(name, 0),
            "installed_bytes": sizes.get((name, after.get(name, "")), 0)
            - (sizes.get((name, before[name]), 0) if name in before else 0),
        }
        for name in dict.fromkeys([*names, *after])
    ]
    return {
        "packages": packages,
        "removes": sorted(found.remove),
        "problems": problems,
        "before": before,
        "after": after,
        "keeps": _keeps(host, before),
        "files": sorted(file for file, _size in files.values()),
        "held": held,
        "broken": sorted(unfinished) or (["dpkg"] if interrupted else []),
    }


def to_remove(host: Host, names: Sequence[str]) -> PackageChange:
    """What removing these would do, and everything that stands in the way of it."""
    states = _states(host)
    there = [name for name in names if not apt.gone(states.get(name, ("", ""))[0])]
    nothing: Tuple[apt.Simulation, Optional[str]] = (apt.Simulation([], [], []), None)
    found, why = _simulated(host, ["remove", *there]) if there else nothing
    running = host.read(RELEASE).strip()
    removed = sorted({*there, *found.remove})
    problems: List[Problem] = []
    ours = [name for name in removed if apt.of_release(name, running)]
    if ours:
        problems.append(
            apt.problem(
                apt.RUNNING,
                f"{', '.join(ours)} belongs to the running kernel {running}",
                "boot another one first",
                ours,
            )
        )
    others = [name for name in removed if name not in names]
    if others:
        problems.append(
            apt.problem(
                apt.WOULD_REMOVE,
                f"{', '.join(others)} would be removed as well",
                "name it too, if that is meant",
                others,
            )
        )
    if found.install:
        # apt satisfies what needs the removed one in another way, such as by a newer kernel.
        brought = ", ".join(f"{name} {new}" for name, _old, new in found.install)
        problems.append(
            apt.problem(
                apt.WOULD_INSTALL,
                f"to remove it, apt would install {brought}",
                "name what needs it, to be removed too",
                [name for name, _old, _new in found.install],
            )
        )
    if why:
        problems.append(
            apt.problem(
                apt.UNRESOLVED,
                f"apt finds no way: {why}",
                f"'apt-get -s remove {' '.join(there)}' shows it whole",
                there,
            )
        )
    unfinished = {name: letters for name, letters in _unfinished(states).items() if name not in removed}
    problems += apt.broken(unfinished, _interrupted(host))
    held = [name for name in removed if _is_held(states, name)]
    problems += apt.held(held, names)
    problems += apt.locked(_aptothers.holders(host))
    before = {name: states[name][1] for name in removed if name in states}
    sizes = _sizes(host, [(name, None, version) for name, version in before.items()])
    packages: List[ChangedPackage] = [
        {
            "name": name,
            "version": before.get(name),
            "action": "remove" if name in before else "none",
            "download_bytes": 0,
            "installed_bytes": -sizes.get((name, before.get(name, "")), 0),
        }
        for name in dict.fromkeys([*names, *removed])
    ]
    return {
        "packages": packages,
        "removes": removed,
        "problems": problems,
        "before": before,
        "after": {},
        "keeps": _keeps(host, before),
        "files": [],
        "held": held,
        "broken": [],
    }


def which_are_held(host: Host, names: Sequence[str]) -> Tuple[List[str], List[Problem]]:
    """Which of these are held, and those that there are none of."""
    states = _states(host)
    # Of what others depend on, dpkg knows the names only: u.
    known = {*_policies(host, names), *(name for name in states if not states[name][0].startswith("u"))}
    problems = [
        apt.no_such_package(name, host.run(["apt-cache", "pkgnames", apt.stem(name)]).split())
        for name in names
        if name not in known
    ]
    return [name for name in names if _is_held(states, name)], problems + apt.locked(_aptothers.holders(host))


def available(host: Host) -> List[AvailableKernel]:
    """The kernel images of the running kernel's flavour that are to be had, oldest release first."""
    running = kernel_rules.parse_release(host.read(RELEASE).strip())
    if running is None:
        return []
    found = []
    for name in host.run(["apt-cache", "pkgnames", IMAGE]).split():
        release = kernel_rules.parse_release(name[len(IMAGE) :])
        if release is not None and release.flavour == running.flavour and release.scheme == running.scheme:
            found.append(name)
    candidates = {name: policy.candidate for name, policy in _policies(host, found).items()}
    return [
        {"name": name, "version": version, "release": name[len(IMAGE) :]}
        for name, version in sorted(
            candidates.items(), key=lambda item: kernel_rules.release_key(item[0][len(IMAGE) :])
        )
        if version is not None
    ]


def cannot_be_had(host: Host, names: Sequence[str]) -> List[str]:
    """Of name=version, those that are neither installed nor to be had."""
    wanted = [name.partition("=")[::2] for name in names]
    policies = _policies(host, [name for name, _version in wanted])
    return [
        f"{name}={version}"
        for name, version in wanted
        if not (name in policies and policies[name].installed == version)
        and not apt.can_be_had(policies.get(name), version)
    ]


# --- the change --------------------------------------------------------------------------------------


def update_lists(host: Host, timeout: int) -> None:
    """Ask the sources what they have."""
    host.patience = max(host.patience, PATIENCE)
    # Of all locks, this takes only one, and does not wait for it by itself.
    _aptothers.wait_for_locks(host, timeout, _aptothers.LISTS)
    in_the_way = apt.locked(_aptothers.holders(host, _aptothers.LISTS))
    if in_the_way:
        raise FleetopsError(
            "The package lists were not refreshed: "
            + "; ".join(f"{one['problem']} (remedy: {one['remedy']})" for one in in_the_way),
            problems=in_the_way,
        )
    host.run(["apt-get", "-q", "-y", *settings(timeout), "update"], env=QUIET)


def download(host: Host, names: Sequence[str], timeout: int, allow_held: bool) -> None:
    """Put packages, and what they need, into apt's cache. Nothing is installed."""
    host.patience = max(host.patience, PATIENCE)
    options = ["--no-remove", "--download-only", *(_FREELY if allow_held else ())]
    host.run(["apt-get", "-q", "-y", *settings(timeout), *options, "install", *names], env=QUIET)


def install(
    host: Host,
    names: Sequence[str],
    timeout: int = LOCK_TIMEOUT,
    held: Sequence[str] = (),
    downgrade: bool = False,
) -> None:
    """Install packages, by name or as name=version. Those *held* are held again after it."""
    options = ["--no-remove", *(_FREELY if held else ()), *(["--allow-downgrades"] if downgrade else [])]
    host.patience = max(host.patience, PATIENCE)
    if held:
        _write_taken(host, [*taken_holds(host), *held])
    try:
        host.run(["apt-get", "-q", "-y", *settings(timeout), *options, "install", *names], env=QUIET)
    finally:
        # dpkg forgets the hold of what it installs.
        if held:
            hold_again(host, held)


def taken_holds(host: Host) -> List[str]:
    """What an installation that was killed found held, and has not held again."""
    try:
        return host.read(TAKEN).split()
    except Missing:
        return []


def hold_again(host: Host, names: Sequence[str]) -> None:
    """Give back the holds that an installation took."""
    hold(host, names)
    _write_taken(host, [name for name in taken_holds(host) if name not in names])


def _write_taken(host: Host, names: Sequence[str]) -> None:
    if names:
        host.write_atomic(TAKEN, "".join(f"{name}\n" for name in dict.fromkeys(names)), mode=0o600)
    elif host.exists(TAKEN):
        host.remove(TAKEN)


def hold(host: Host, names: Sequence[str]) -> None:
    """Let nothing change these."""
    host.run(["apt-mark", "hold", *names])


def release(host: Host, names: Sequence[str]) -> None:
    """Let them be changed again."""
    host.run(["apt-mark", "unhold", *names])


def repair(host: Host, timeout: int) -> None:
    """Finish what a dpkg that was cut off has left. Removes nothing."""
    host.patience = max(host.patience, PATIENCE)
    # 1: some could not be configured yet, for want of what the next command installs.
    host.run(["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"], ok=(0, 1), env=QUIET)
    fix = ["apt-get", "-q", "-y", *settings(timeout), "--no-remove"]
    host.run([*fix, "-f", "install"], env=QUIET)
    again = [name for name, (letters, _version) in _states(host).items() if letters[2:3] == "R"]
    if again:
        host.run([*fix, "--reinstall", "install", *again], env=QUIET)
    left = _unfinished(_states(host))
    if left or _interrupted(host):
        (first, *_others) = apt.broken(left, _interrupted(host))
        raise FleetopsError(f"The repair did not help: {first['problem']}", packages=sorted(left))


def automatic(host: Host, names: Sequence[str]) -> List[str]:
    """Which of these were installed for the sake of others only, and may be removed without them."""
    return host.run(["apt-mark", "showauto", *names]).split() if names else []


def installed(host: Host, names: Sequence[str]) -> List[str]:
    """Those of them that are there, in full or in part."""
    states = _states(host) if names else {}
    return [name for name in names if not apt.gone(states.get(name, ("", ""))[0])]


def mark(host: Host, names: Sequence[str], how: str) -> None:
    """``manual``: never to be removed unasked. ``auto``: once nothing needs them."""
    if names:
        host.run(["apt-mark", how, *names])


# --- pieces ------------------------------------------------------------------------------------------


def settings(timeout: int) -> List[str]:
    """What every call of apt-get is told, a look as well as the change that it announces."""
    return [word for option in (f"DPkg::Lock::Timeout={timeout}", *_OPTIONS) for word in ("-o", option)]


def _states(host: Host) -> Dict[str, Tuple[str, str]]:
    """(dpkg's letters, version) of every package that it knows."""
    row = r"${Package}\t${db:Status-Abbrev}\t${Version}\n"
    # With a pattern, those as well that are held and not there. 1: it knows no package at all.
    shown = host.run(["dpkg-query", "--show", f"--showformat={row}", "*"], ok=(0, 1))
    found: Dict[str, Tuple[str, str]] = {}
    for line in shown.splitlines():
        name, letters, version = line.split("\t")
        # Of one that is there for several architectures, the one that is not in order counts.
        if name not in found or apt.whole(found[name][0]) or apt.gone(found[name][0]):
            found[name] = (letters.strip(), version)
    return found


def _unfinished(states: Dict[str, Tuple[str, str]]) -> Dict[str, str]:
    """The letters of what dpkg has begun and not ended."""
    return {
        name: letters
        for name, (letters, _version) in states.items()
        if not apt.whole(letters) and not apt.gone(letters)
    }


def _is_held(states: Dict[str, Tuple[str, str]], name: str) -> bool:
    return states.get(name, ("", ""))[0].startswith("h")


def _interrupted(host: Host) -> bool:
    """dpkg's journal is empty between two of its runs."""
    try:
        return any(re.match(r"\d+\Z", name, re.ASCII) for name in host.listdir(UPDATES))
    except Missing:
        return False


def _policies(host: Host, names: Sequence[str]) -> Dict[str, apt.Policy]:
    said = host.run(["apt-cache", "policy", *names]) if names else ""
    return {name: policy for name, policy in apt.policies(said).items() if name in names}


def _simulated(host: Host, words: Sequence[str]) -> Tuple[apt.Simulation, Optional[str]]:
    """What apt-get would do, or why it would not."""
    try:
        return apt.simulation(host.run(["apt-get", "-s", *settings(0), *_FREELY, *words], env=QUIET)), None
    except Missing:
        raise
    except FleetopsError as error:
        why = apt.impossible(str(error.context.get("stdout", "")), str(error.context.get("stderr", "")))
        return apt.Simulation([], [], []), why


def _to_fetch(host: Host, names: Sequence[str]) -> Dict[str, Tuple[str, int]]:
    argv = [
        "apt-get",
        "-q",
        "-y",
        *settings(0),
        *_FREELY,
        "--print-uris",
        "--download-only",
        "install",
        *names,
    ]
    return apt.to_fetch(host.run(argv, env=QUIET))


def _sizes(host: Host, changed: Sequence[Tuple[str, Optional[str], str]]) -> Dict[Tuple[str, str], int]:
    wanted = [
        f"{name}={version}" for name, old, new in changed for version in (old, new) if version is not None
    ]
    # 100: it knows nothing of some of them.
    return apt.installed_sizes(host.run(["apt-cache", "show", *wanted], ok=(0, 100))) if wanted else {}


def _keeps(host: Host, before: Dict[str, str]) -> Dict[str, str]:
    policies = _policies(host, list(before))
    return {name: version for name, version in before.items() if apt.can_be_had(policies.get(name), version)}


def _version_of(
    name: str, states: Dict[str, Tuple[str, str]], policies: Dict[str, apt.Policy]
) -> Optional[str]:
    letters, version = states.get(name, ("", ""))
    if not apt.gone(letters):
        return version
    return policies[name].candidate if name in policies else None


def _action(
    name: str, before: Dict[str, str], after: Dict[str, str], states: Dict[str, Tuple[str, str]]
) -> str:
    if name in after:
        return "upgrade" if name in before else "install"
    return "none" if apt.whole(states.get(name, ("", ""))[0]) else "install"


def _space(host: Host, download: int, unpacked: int) -> List[Problem]:
    """What is to be downloaded and unpacked, against the file systems that hold it."""
    wanted: Dict[str, List[Tuple[str, int]]] = {}
    places: Dict[str, str] = {}
    for path, what, size in (
        (ARCHIVES, f"the download to {ARCHIVES}", download),
        (SYSTEM, f"what is unpacked below {SYSTEM}", unpacked),
    ):
        if size:
            device = host.run(["stat", "-L", "-c", "%d", path]).strip()
            wanted.setdefault(device, []).append((what, size))
            places[device] = path
    found = []
    for device, parts in wanted.items():
        _total, free = host.disk(places[device])
        if sum(size for _what, size in parts) > free:
            found.append(apt.too_small(parts, free))
    return found
