# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What apt-get, apt-cache and /proc/locks say, and what it means for a change of packages. Pure."""

from __future__ import annotations

import difflib
import fnmatch
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Pin, Problem

# deb-version(7), Debian policy 5.6.1. A name that ends in + or - would be an order to apt-get, and one with * or ?
# a pattern.
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9.]\Z", re.ASCII)

_STEP = re.compile(r"^(Inst|Conf|Remv|Purg) (\S+)(?: \[([^\]\s]+)\])?(?: \((\S+)[^)]*\))?", re.MULTILINE)
_URI = re.compile(r"^'([^']*)' (\S+) (\d+)", re.MULTILINE)
_VERSION = re.compile(r" (?:\*\*\*|   ) (\S+) (-?\d+)\Z")
_SOURCE = re.compile(r" {6,}-?\d+ (\S.*)\Z")
_LOCK = re.compile(r"^\d+: \w+ +\w+ +\w+ (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ", re.MULTILINE)
_OF_A_RELEASE = re.compile(r"(?P<stem>[a-z][a-z-]*?-)(?P<release>\d+\.\d+\.\d+.*)\Z")
# apt gives what it does not want by itself (NotAutomatic: backports, experimental) 100 or 1, and what is newest at
# most 990: what is below or above these is the site's own word (apt_preferences(5)).
_LEAST, _MOST = 1, 990
# The kinds of what stands in the way.
NO_SUCH_PACKAGE = "no-such-package"
PINNED = "pinned"
HELD = "held"
UNFINISHED = "unfinished"  # dpkg has begun it, and not ended
LOCKED = "locked"  # passes by itself
WOULD_REMOVE = "would-remove"
WOULD_INSTALL = "would-install"
NO_SPACE = "no-space"
UNRESOLVED = "unresolved"  # apt finds no way
RUNNING = "running-kernel"


class Simulation(NamedTuple):
    """What apt-get would do: (name, old version, new version) of what it would install, and names."""

    install: List[Tuple[str, Optional[str], str]]
    configure: List[str]
    remove: List[str]


class Policy(NamedTuple):
    """What apt-cache says of a package: ``versions`` are (version, priority, where from), newest first."""

    installed: Optional[str]
    candidate: Optional[str]
    versions: List[Tuple[str, int, List[str]]]


class Holder(NamedTuple):
    """Who has the package manager's locks."""

    pid: int
    command: str
    paths: List[str]


# --- reading -----------------------------------------------------------------------------------------


def check_names(names: Sequence[str]) -> List[str]:
    """The names of packages in a task, each once. Raises FleetopsError for what apt would not take for a name."""
    for name in names:
        if not isinstance(name, str) or not NAME.match(name):
            raise FleetopsError(
                f"names: '{name}' is no exact name of a package: expected one like linux-image-5.15.0-112-generic"
            )
    return list(dict.fromkeys(names))


def simulation(said: str) -> Simulation:
    """What ``apt-get -s`` prints."""
    found = Simulation([], [], [])
    for what, name, old, new in _STEP.findall(said):
        if what == "Inst":
            found.install.append((name, old or None, new))
        elif what == "Conf":
            found.configure.append(name)
        else:
            found.remove.append(name)
    return found


def to_fetch(said: str) -> Dict[str, Tuple[str, int]]:
    """(file, bytes) by the name of the package: what ``apt-get --print-uris`` would download.

    What lies in a directory of this machine (``file:``) is used where it lies.
    """
    return {
        name.partition("_")[0]: (name, int(size))
        for uri, name, size in _URI.findall(said)
        if not uri.startswith("file:")
    }


def policies(said: str) -> Dict[str, Policy]:
    """What ``apt-cache policy`` says of packages; those of which it knows no version are left out."""
    found: Dict[str, Policy] = {}
    for block in re.split(r"^(?=\S+:$)", said, flags=re.MULTILINE):
        lines = block.splitlines()
        if not lines:
            continue
        fields = dict(re.findall(r"^  (Installed|Candidate): (?!\(none\))(\S+)", block, re.MULTILINE))
        versions: List[Tuple[str, int, List[str]]] = []
        for line in lines:
            version, source = _VERSION.match(line), _SOURCE.match(line)
            if version:
                versions.append((version.group(1), int(version.group(2)), []))
            elif source and versions:
                versions[-1][2].append(source.group(1))
        if versions:
            found[lines[0][:-1]] = Policy(fields.get("Installed"), fields.get("Candidate"), versions)
    return found


def installed_sizes(said: str) -> Dict[Tuple[str, str], int]:
    """Bytes on the disk by (name, version), as ``apt-cache show`` tells them."""
    found = {}
    for block in said.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Installed-Size): (\S+)", block, re.MULTILINE))
        if len(fields) == 3 and fields["Installed-Size"].isdigit():
            found[fields["Package"], fields["Version"]] = int(fields["Installed-Size"]) * 1024
    return found


def locks(proc_locks: str) -> List[Tuple[int, int]]:
    """(process, inode) of the locks that are held, without who waits.

    Those of an open file (OFDLCK) name no process, and neither apt nor dpkg takes one.
    """
    return [(int(pid), int(inode)) for pid, inode in _LOCK.findall(proc_locks)]


def can_be_had(policy: Optional[Policy], version: str) -> bool:
    """Is this version to be had from somewhere else than the very machine?"""
    return policy is not None and any(
        one == version and any(not source.endswith("/dpkg/status") for source in sources)
        for one, _priority, sources in policy.versions
    )


def whole(status: str) -> bool:
    """dpkg's letters of a package that is there in full, held or not."""
    return status[1:2] == "i" and status[2:3] != "R"


def gone(status: str) -> bool:
    """dpkg's letters of a package that is not there, or by its settings only."""
    return status[1:2] in ("", "n", "c")


def of_release(name: str, release: str) -> bool:
    """Does a package belong to the kernel of this release?"""
    return re.search(rf"-{re.escape(release)}(-unsigned)?\Z", name) is not None


# --- what stands in the way --------------------------------------------------------------------------


def problem(kind: str, text: str, remedy: str, packages: Iterable[str] = ()) -> Problem:
    """One thing that stands in the way, and what cures it."""
    return {"kind": kind, "problem": text, "remedy": remedy, "packages": list(packages)}


def stem(name: str) -> str:
    """What the names of its like begin with: ``linux-image-`` of linux-image-5.15.0-112-generic."""
    found = _OF_A_RELEASE.match(name)
    return found.group("stem") if found else "-".join(name.split("-")[:2])


def nearest(name: str, names: Iterable[str]) -> List[str]:
    """What comes closest to a name that does not exist.

    Of the same kind and flavour, the release below and the one above; else what is spelt alike.
    """
    there = sorted({*names} - {name})
    wanted = _taken_apart(name)
    if wanted is not None:
        kin = [(one, other) for one, other in ((_taken_apart(other), other) for other in there) if one]
        kin = [(one, other) for one, other in kin if one[:2] == wanted[:2]]
        below = [pair for pair in kin if pair[0][2] < wanted[2]]
        above = [pair for pair in kin if pair[0][2] > wanted[2]]
        found = [max(below)[1]] if below else []
        found += [min(above)[1]] if above else []
        if found:
            return found
    return difflib.get_close_matches(name, there, n=3, cutoff=0.7)


def _taken_apart(name: str) -> Optional[Tuple[str, str, kernel.ReleaseKey]]:
    found = _OF_A_RELEASE.match(name)
    release = kernel.parse_release(found.group("release")) if found else None
    if not found or release is None:
        return None
    return found.group("stem"), release.flavour or "", kernel.release_key(found.group("release"))


def no_such_package(name: str, names: Iterable[str]) -> Problem:
    """apt knows none of this name."""
    near = nearest(name, names)
    return problem(
        NO_SUCH_PACKAGE,
        f"there is no package {name}" + (f"; the nearest: {', '.join(near)}" if near else ""),
        "name one that exists, or refresh the package lists (apt-get update) and look whether this one's source is "
        "among the sources of apt",
        [name],
    )


def not_installed(name: str) -> Problem:
    """There is nothing to be marked."""
    return problem(NO_SUCH_PACKAGE, f"{name} is not installed", "name one that is", [name])


def kept_by_a_pin(name: str, policy: Policy, pins: Sequence[Pin]) -> Optional[Problem]:
    """A pin that keeps a package out, or back at an older version."""
    newest, priority, _sources = policy.versions[0]
    kept = [chosen for version, chosen, _from in policy.versions if version == policy.candidate]
    where = sorted({pin["source"] for pin in pins if _pins(pin, name)})
    by = f"a pin in {' or '.join(where)}" if where else "a pin of apt"
    remedy = f"take the pin away, or choose a kernel that it allows; 'apt-cache policy {name}' shows it"
    if policy.candidate is None:
        return problem(PINNED, f"{name} {newest} is kept out by {by}", remedy, [name])
    if policy.candidate != newest and (priority < _LEAST or (kept and kept[0] > _MOST)):
        text = f"{name} is held at {policy.candidate} by {by}, and {newest} is to be had"
        return problem(PINNED, text, remedy, [name])
    return None


def _pins(pin: Pin, name: str) -> bool:
    return any(word.startswith("/") or fnmatch.fnmatchcase(name, word) for word in pin["packages"].split())


def held(names: Sequence[str], named: Sequence[str]) -> List[Problem]:
    """Packages that dpkg is told to keep as they are, of which a task named some."""
    ours = [name for name in names if name in named]
    others = [name for name in names if name not in named]
    found = []
    if ours:
        found.append(
            problem(
                HELD,
                f"held: {', '.join(ours)}",
                f"'apt-mark unhold {' '.join(ours)}', or let the hold be released for this change only "
                "(allow_held of the module, kernel_upgrade_release_held of the role)",
                ours,
            )
        )
    if others:
        found.append(
            problem(
                HELD,
                f"held, and it would be changed along: {', '.join(others)}",
                f"'apt-mark unhold {' '.join(others)}', or name it as well",
                others,
            )
        )
    return found


def broken(states: Mapping[str, str], interrupted: bool) -> List[Problem]:
    """Packages that dpkg has begun and not finished, as name: letters; or a dpkg that was cut off."""
    remedy = "'dpkg --configure -a', then 'apt-get -f install', or repair: true (kernel_upgrade_repair)"
    found = []
    if states:
        shown = ", ".join(f"{name} ({in_words(status)})" for name, status in sorted(states.items()))
        found.append(problem(UNFINISHED, f"dpkg has not finished {shown}", remedy, sorted(states)))
    if interrupted:
        text = "dpkg was interrupted before it had written down what it did"
        found.append(problem(UNFINISHED, text, remedy))
    return found


def in_words(status: str) -> str:
    """dpkg's letters in dpkg's words."""
    state = {
        "H": "half-installed",
        "U": "unpacked",
        "F": "half-configured",
        "W": "triggers-awaited",
        "t": "triggers-pending",
        "i": "installed",
    }.get(status[1:2], status)
    return f"{state}, must be reinstalled" if status[2:3] == "R" else state


def locked(holders: Sequence[Holder]) -> List[Problem]:
    """Somebody else is at work on packages."""
    return [
        problem(
            LOCKED,
            f"{holder.command} (process {holder.pid}) holds the lock {', '.join(holder.paths)}",
            "wait until it has ended, or look what keeps it; lock_timeout says how long this module waits",
        )
        for holder in holders
    ]


def would_remove(names: Sequence[str]) -> List[Problem]:
    """An installation that is none."""
    if not names:
        return []
    return [
        problem(
            WOULD_REMOVE,
            f"to install it, {', '.join(names)} would be removed",
            "find out what they conflict with ('apt-get -s install'), or remove them yourself first",
            names,
        )
    ]


def too_small(wanted: Sequence[Tuple[str, int]], free: int) -> Problem:
    """(what for, bytes) on one file system that has not so many left."""
    parts = " + ".join(f"{mebi(size)} for {what}" for what, size in wanted)
    need = sum(size for _what, size in wanted)
    return problem(
        NO_SPACE,
        f"not enough space: {parts}{f' = {mebi(need)}' if len(wanted) > 1 else ''}, and {mebi(free)} are free",
        "remove old kernels or 'apt-get clean', or make the file system larger",
    )


def mebi(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / (1 << 20):.1f} MiB"


def impossible(stdout: str, stderr: str) -> str:
    """Why apt could not find a way, in its own words."""
    words = [line[3:].strip() for line in stderr.splitlines() if line.startswith("E: ")]
    unmet = [
        " ".join(line.split())
        for line in stdout.splitlines()
        if re.match(r" .*(Depends|Conflicts|Breaks): ", line)
    ]
    return "; ".join([*words, *unmet]) or "apt-get gave no reason"


def waits(problems: List[Problem], params: Mapping[str, Any]) -> List[str]:
    """What a change waits for; check mode says so, and does not wait."""
    return [
        f"{found['problem']}: the change waits for it, up to {params['lock_timeout']} seconds"
        for found in problems
        if found["kind"] == LOCKED
    ]


def refuse(problems: List[Problem], params: Mapping[str, Any]) -> None:
    """Raise with all that stands in the way."""
    if problems:
        raise FleetopsError(
            "Nothing was changed: "
            + "; ".join(f"{found['problem']} (remedy: {found['remedy']})" for found in problems),
            problems=list(problems),
            state=params["state"],
        )
