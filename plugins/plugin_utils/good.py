# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one kernel that is good against all advisories that apply to a node. Pure.

Candidates are the kernels on the node's disk, those that an advisory calls good, and the ends of the ranges (the
first version that has a fix). A candidate must be of the running kernel's kind (source package, flavour, series), not
older than it, and in no range that applies to this node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory, Subject

# Who wants the newest gets most fixes; who wants the nearest changes least.
NEWEST, NEAREST = "newest-good", "nearest-good"
POLICIES = (NEWEST, NEAREST)
POLICY = "fleetops_kernel_policy"
# Lines about candidates that are out, and names within a line.
MOST_LINES = 3
MOST_NAMES = 3
RUNS, INSTALLED = "which runs", "which is installed"
OLDER = "it is older than what runs"


class Choice(TypedDict):
    """The kernel to run, or nulls; ``because`` are sentences. ``package`` is null where its name is not known."""

    release: str | None
    package: str | None
    version: str | None
    policy: str
    because: list[str]


class Candidate(NamedTuple):
    """A kernel that the node could run. ``out``: why it must not; ``unchecked``: advisories that cannot tell."""

    release: str
    version: str | None
    origin: str
    out: str | None = None
    unchecked: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.release} ({self.version})" if self.version else self.release


class Weighed(NamedTuple):
    """All candidates, oldest first, and the one to take."""

    chosen: Candidate | None
    candidates: list[Candidate]
    kind: str
    policy: str


class _Named(NamedTuple):
    """A kernel that an advisory brings. ``called_good``: by its own words, and not by the end of a range only."""

    release: str
    version: str | None
    called_good: bool


def policy_of(value: Any) -> str:
    """The policy that a site has set. Raises FleetopsError for one that is not known."""
    if not value:
        return NEWEST
    if value not in POLICIES:
        raise FleetopsError(f"{POLICY}: expected one of {', '.join(POLICIES)}, got '{value}'")
    return str(value)


def choose(kernel: KernelFacts, advisories: Sequence[Advisory], policy: str = NEWEST) -> Choice:
    """The kernel to run on a node; the one that runs, where no advisory names it and none is better by the policy."""
    found = weigh(kernel, advisories, policy)
    chosen, platform = found.chosen, _platform.select(kernel["distro"])
    return {
        "release": chosen.release if chosen else None,
        "package": platform.kernel_package(chosen.release) if chosen and platform else None,
        "version": chosen.version if chosen else None,
        "policy": found.policy,
        "because": because(found),
    }


def weigh(kernel: KernelFacts, advisories: Sequence[Advisory], policy: str = NEWEST) -> Weighed:
    """Judge each candidate, and take one."""
    policy = policy_of(policy)
    subject, node = matching.subject_of(kernel), matching.traits_of(kernel)
    # What is silent about this kernel is so about all of its kind.
    speaking = [one for one in advisories if matching.say(one, subject, node) != matching.SILENT]
    named = {one["id"]: list(_named_by(one, subject)) for one in speaking if _may_name(one, subject, node)}
    found = [
        _judged(one, kernel, subject, node, speaking, named) for one in _candidates(kernel, subject, named)
    ]
    pool = [one for one in found if one.out is None]
    pool = [one for one in pool if not one.unchecked] or pool
    chosen = (pool[-1] if policy == NEWEST else pool[0]) if pool else None
    return Weighed(chosen, found, _kind(subject), policy)


def because(found: Weighed) -> list[str]:
    """The reasoning in a few lines: what is taken, and what is not."""
    lines = []
    pool = [one for one in found.candidates if one.out is None]
    if found.chosen is None:
        lines.append(f"no kernel of this kind ({found.kind}) is known to be good")
    else:
        which = "newest" if found.policy == NEWEST else "nearest"
        of = f"the {which} of {len(pool)} kernels" if len(pool) > 1 else "the only kernel"
        lines.append(f"{found.chosen.name}, {found.chosen.origin}: {of} that no advisory names on this node")
        if found.chosen.unchecked:
            lines.append(
                f"its version is not known: it was not checked against {_some(found.chosen.unchecked)}"
            )
    out = [one for one in found.candidates if one.out not in (None, OLDER) and one.origin != RUNS]
    lines += [f"not {one.name}, {one.origin}: {one.out}" for one in out[:MOST_LINES]]
    if len(out) > MOST_LINES:
        lines.append(f"nor {_some([one.name for one in out[MOST_LINES:]])}, for like reasons")
    return lines


def fixes_of(advisory: Advisory, found: Weighed, kernel: KernelFacts) -> list[Candidate]:
    """The candidates that an advisory itself brings, oldest first."""
    releases = {one.release for one in _named_by(advisory, matching.subject_of(kernel))}
    return [one for one in found.candidates if one.release in releases]


# --- candidates --------------------------------------------------------------------------------------


def _candidates(
    kernel: KernelFacts, subject: Subject, named: Mapping[str, Sequence[_Named]]
) -> list[Candidate]:
    """All kernels of the running one's kind, oldest first."""
    found: dict[str, Candidate] = {}
    for id_, kernels in named.items():
        for one in kernels:
            origin = f"which {id_} calls good" if one.called_good else f"where the range of {id_} ends"
            known = found.get(one.release)
            # An advisory's own word counts more than the end of a range, and a version more than none.
            if known is None or (known.version is None and one.version) or one.called_good:
                version = one.version or (known.version if known else None)
                found[one.release] = Candidate(one.release, version, origin)
    for installed in kernel["installed"] or []:
        package = installed["package"]
        if package and package["source"] and matching.source_of(package["source"]) == subject["source"]:
            version = package["version"]
            found[installed["release"]] = Candidate(installed["release"], version, INSTALLED)
    if subject["release"]:
        # What runs is not what its package has become on the disk since.
        found[subject["release"]] = Candidate(subject["release"], subject["version"], RUNS)
    return _sorted([one for one in found.values() if _alike(one.release, subject)])


def _named_by(advisory: Advisory, subject: Subject) -> Iterator[_Named]:
    """What an advisory that speaks of such kernels calls good, and the first versions behind its ranges."""
    rows = matching.rows_for(advisory, subject)
    for good in advisory["good"] if rows else []:
        release = matching.release_of(good) or _release_of(good["version"], subject)
        if release and matching.fits(good, subject):
            yield _Named(release, good["version"], True)
    for row in rows:
        bounds = matching.bounds_of(row["versions"], row["distro"][0]) if row["versions"] else []
        for operator, version in bounds:
            release = _release_of(version, subject) if operator == "<" else None
            if release:
                yield _Named(release, version, False)


def _release_of(version: str | None, subject: Subject) -> str | None:
    """The release of a package version, where the version tells it: Ubuntu's and rpm's do, Debian's do not."""
    running = rules.parse_release(subject["release"] or "")
    if not version or running is None:
        return None
    if running.scheme == "ubuntu":
        found = re.match(r"(\d+\.\d+\.\d+-\d+)\.\d", version)
        return f"{found.group(1)}-{running.flavour}" if found else None
    base = f"{running.upstream}-{running.abi}"
    if running.scheme == "rpm" and re.search(r"\.(el|oe|fc)\d", version):
        return version + (subject["release"] or "")[len(base) :]
    return None


def _may_name(advisory: Advisory, subject: Subject, node: matching.Traits) -> bool:
    """Of a kernel that no distribution spells, only those can name a better one that name this very one as bad."""
    if rules.parse_release(subject["release"] or "") is not None:
        return True
    return matching.say(advisory, subject, node) == matching.AFFECTED


def _alike(release: str, subject: Subject) -> bool:
    """May it be ordered with the running kernel? One that no distribution spells is of no kind: see `_may_name`."""
    running, other = rules.parse_release(subject["release"] or ""), rules.parse_release(release)
    if running is None or release == subject["release"]:
        return True
    return other is not None and versions.incomparable(running, other) is None


def _sorted(candidates: list[Candidate]) -> list[Candidate]:
    try:
        order = versions.kernel_sort([one.release for one in candidates])
    except FleetopsError:  # the running kernel is of no known kind
        order = sorted((one.release for one in candidates), key=rules.release_key)
    return sorted(candidates, key=lambda one: order.index(one.release))


# --- judgement ---------------------------------------------------------------------------------------


def _judged(
    candidate: Candidate,
    kernel: KernelFacts,
    subject: Subject,
    node: matching.Traits,
    advisories: Sequence[Advisory],
    named: Mapping[str, Sequence[_Named]],
) -> Candidate:
    itself: Subject = {**subject, "release": candidate.release, "version": candidate.version}
    said = {one["id"]: matching.say(one, itself, node) for one in advisories}
    bad = [id_ for id_, what in said.items() if what == matching.AFFECTED]
    vouched = [
        id_
        for id_, kernels in named.items()
        if any(one.called_good and one.release == candidate.release for one in kernels)
    ]
    unchecked = tuple(id_ for id_, what in said.items() if what == matching.UNKNOWN and id_ not in vouched)
    out = _older(candidate, subject)
    if out is None and bad:
        out = f"it is named by {_some(bad)}"
    return candidate._replace(out=out or _unfit(candidate, kernel, bool(vouched)), unchecked=unchecked)


def _older(candidate: Candidate, subject: Subject) -> str | None:
    running = subject["release"]
    if running is None or candidate.release == running or rules.parse_release(running) is None:
        return None
    older = versions.newer_kernel_than(running, candidate.release)
    if not older and candidate.version and subject["version"] and subject["distro"]:
        bound = [("<", subject["version"])]
        try:
            older = versions.in_range(candidate.version, bound, versions.order_of(subject["distro"]))
        except FleetopsError:  # a version that the package manager itself would refuse
            older = False
    return OLDER if older else None


def _unfit(candidate: Candidate, kernel: KernelFacts, vouched: bool) -> str | None:
    """What is on the disk, and would not serve. What cannot be told is out as well, unless an advisory names it."""
    found = next((one for one in kernel["installed"] or [] if one["release"] == candidate.release), None)
    if found is None or candidate.origin == RUNS:
        return None
    if found["bootable"] is False:
        return f"it cannot boot, missing: {', '.join(found['missing'])}"
    if found["lacks"]:
        return f"it lacks modules that are in use: {_some(found['lacks'])}"
    if vouched or (found["bootable"] and found["lacks"] is not None):
        return None
    return f"it cannot be told whether it {'has the modules in use' if found['bootable'] else 'can boot'}"


def _kind(subject: Subject) -> str:
    return f"source {subject['source'] or 'unknown'}, flavour {subject['flavour'] or 'unknown'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
