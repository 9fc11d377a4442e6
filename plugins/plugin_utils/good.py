# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one kernel that is good against all advisories that apply to a node. Pure.

Candidates are the kernels on the node's disk, those that an advisory calls good, and the ends of the ranges (the
first version that has a fix). A candidate must be of the running kernel's kind (source package, flavour, series), not
older than it, and in no range that applies to this node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import InstalledKernel, KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, order, readings, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory, Subject

# Who wants the newest gets most fixes; who wants the nearest changes least.
NEWEST, NEAREST = "newest-good", "nearest-good"
POLICIES = (NEWEST, NEAREST)
POLICY = "fleetops_kernel_policy"
# Lines about candidates that are out, and names within a line.
MOST_LINES = 3
MOST_NAMES = 3
RUNS, INSTALLED = "which runs", "which is installed"
OLDER, SAME = "it is older than what runs", "it is what runs"
# The minor release of Red Hat and of those like it, and the service pack of openEuler: each gets updates of its own.
_MINOR = re.compile(r"\.((?:el|oe|fc)\d\w*)")
# No distribution builds one release so often.
_LAST_UPLOAD = 999999


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

    @property
    def pool(self) -> list[Candidate]:
        """Those that nothing speaks against."""
        return [one for one in self.candidates if one.out is None]


class _Named(NamedTuple):
    """A kernel that an advisory brings. ``called_good``: by its own words, and not by the end of a range only."""

    release: str
    version: str | None
    called_good: bool


def policy_of(value: Any) -> str:
    """The policy that a site has set. Raises FleetopsError for one that is not known."""
    if value in (None, ""):
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
    on = _scales(kernel, advisories)
    return _taken([_judged(one, on) for one in _candidates(on)], _kind(on.subject), policy)


def narrow(found: Weighed, why_not: Callable[[str], str | None]) -> Weighed:
    """The same, with a further reason (or None) against each release."""
    left = [one._replace(out=one.out or why_not(one.release)) for one in found.candidates]
    return _taken(left, found.kind, found.policy)


def judge(kernel: KernelFacts, advisories: Sequence[Advisory], release: str, origin: str) -> Candidate:
    """Judge one kernel that somebody else has chosen; *origin* is a clause: ``which ... names``.

    Whether it is of the running one's kind is not asked: see `strange`.
    """
    on = _scales(kernel, advisories)
    disk = readings.installed(kernel, release)
    known = [one.version for one in _candidates(on) if one.release == release and one.origin != RUNS]
    version = disk["package"]["version"] if disk and disk["package"] else next(iter(known), None)
    if release == on.subject["release"]:
        version = version or on.subject["version"]
    return _judged(Candidate(release, version, origin), on)


def strange(kernel: KernelFacts, release: str) -> str | None:
    """Why a release is of another kind than what runs, or of none; None when it is of the same."""
    subject, disk = matching.subject_of(kernel), readings.installed(kernel, release)
    running, other = rules.parse_release(subject["release"] or ""), rules.parse_release(release)
    if other is None:
        return "it is spelt as no distribution spells its kernels"
    why = versions.incomparable(running, other) if running else None
    if why is not None:
        return f"it is of another kind than {subject['release']}, which runs: {why}"
    source = _source_of(disk) if disk else None
    if source and subject["source"] and source != subject["source"]:
        return f"it is made from {source}, and what runs from {subject['source']}"
    return None


def because(found: Weighed) -> list[str]:
    """The reasoning in a few lines: what is taken, and what is not."""
    lines = []
    pool = found.pool
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
    releases = {one.release for one in _named_by(advisory, matching.subject_of(kernel), True)}
    return [one for one in found.candidates if one.release in releases]


# --- candidates --------------------------------------------------------------------------------------


class _Scales(NamedTuple):
    """What candidates are judged by. ``named``: the kernels that each advisory brings."""

    kernel: KernelFacts
    subject: Subject
    node: matching.Traits
    speaking: Sequence[Advisory]
    named: Mapping[str, Sequence[_Named]]


def _scales(kernel: KernelFacts, advisories: Sequence[Advisory]) -> _Scales:
    subject, node = matching.subject_of(kernel), matching.traits_of(kernel)
    said = [(one, matching.say(one, subject, node)) for one in advisories]
    # What is silent about this kernel is so about all of its kind.
    speaking = [(one, what) for one, what in said if what != matching.SILENT]
    named = {
        one["id"]: list(_named_by(one, subject, what == matching.AFFECTED))
        for one, what in speaking
        # Of a kernel that no distribution spells, only those can name a better one that name this very one as bad.
        if what == matching.AFFECTED or rules.parse_release(subject["release"] or "") is not None
    }
    return _Scales(kernel, subject, node, [one for one, _what in speaking], named)


def _taken(candidates: list[Candidate], kind: str, policy: str) -> Weighed:
    """Take one by the policy; what was checked against everything comes first."""
    found = Weighed(None, candidates, kind, policy)
    pool = [one for one in found.pool if not one.unchecked] or found.pool
    return found._replace(chosen=(pool[-1] if policy == NEWEST else pool[0]) if pool else None)


def _candidates(on: _Scales) -> list[Candidate]:
    """All kernels of the running one's kind, oldest first."""
    subject, found = on.subject, dict[str, Candidate]()
    for id_, kernels in on.named.items():
        for one in kernels:
            origin = f"which {id_} calls good" if one.called_good else f"where the range of {id_} ends"
            known = found.get(one.release)
            # An advisory's own word counts more than the end of a range, and a version more than none.
            if known is None or (known.version is None and one.version) or one.called_good:
                version = one.version or (known.version if known else None)
                found[one.release] = Candidate(one.release, version, origin)
    for installed in on.kernel["installed"] or []:
        package = installed["package"]
        if package and _source_of(installed) == subject["source"]:
            found[installed["release"]] = Candidate(installed["release"], package["version"], INSTALLED)
    both: list[Candidate] = []
    if subject["release"]:
        # What runs is not what its package has become on the disk since: a reboot would bring that.
        upload = order.newer_upload(on.kernel)
        both = [found[upload["release"]]] if upload and upload["release"] in found else []
        found[subject["release"]] = Candidate(subject["release"], subject["version"], RUNS)
    return _sorted([one for one in (*found.values(), *both) if _alike(one.release, subject)])


def _named_by(advisory: Advisory, subject: Subject, names_it: bool) -> Iterator[_Named]:
    """What an advisory that speaks of such kernels calls good, and the first versions behind its ranges.

    *names_it*: it names this very kernel. From one that does not, no version of another minor release is taken.
    """
    rows = matching.rows_for(advisory, subject)
    for good in advisory["good"] if rows else []:
        release = matching.release_of(good) or _release_of(good["version"], subject, names_it)
        if release and matching.fits(good, subject):
            yield _Named(release, good["version"], True)
    for row in rows:
        bounds = matching.bounds_of(row["versions"], row["distro"][0]) if row["versions"] else []
        for operator, version in bounds:
            release = _release_of(version, subject, names_it) if operator == "<" else None
            if release:
                yield _Named(release, version, False)


def _release_of(version: str | None, subject: Subject, any_minor: bool) -> str | None:
    """The release of a package version, where the version tells it: Ubuntu's and rpm's do, Debian's do not."""
    running = rules.parse_release(subject["release"] or "")
    if not version or running is None:
        return None
    if running.scheme == "ubuntu":
        found = re.match(r"(\d+\.\d+\.\d+-\d+)\.\d", version)
        return f"{found.group(1)}-{running.flavour}" if found else None
    base = f"{running.upstream}-{running.abi}"
    minor = _MINOR.search(version)
    if running.scheme == "rpm" and minor and (any_minor or minor.groups() == _minor_of(running.abi)):
        return version + (subject["release"] or "")[len(base) :]
    return None


def _minor_of(abi: str) -> tuple[str | None, ...]:
    """``el9_6`` of ``570.33.1.el9_6``."""
    found = _MINOR.search(abi)
    return found.groups() if found else ()


def _alike(release: str, subject: Subject) -> bool:
    """May it be ordered with the running kernel? One that no distribution spells is of no kind."""
    running, other = rules.parse_release(subject["release"] or ""), rules.parse_release(release)
    if running is None or release == subject["release"]:
        return True
    return other is not None and versions.incomparable(running, other) is None


def _sorted(candidates: list[Candidate]) -> list[Candidate]:
    """Of two uploads of one release, which runs comes first: the other is newer (see `_candidates`)."""
    try:
        ordered = versions.kernel_sort([one.release for one in candidates])
    except FleetopsError:  # the running kernel is of no known kind
        ordered = sorted((one.release for one in candidates), key=rules.release_key)
    return sorted(candidates, key=lambda one: ordered.index(one.release))


def _source_of(installed: InstalledKernel) -> str | None:
    package = installed["package"]
    return matching.source_of(package["source"]) if package and package["source"] else None


# --- judgement ---------------------------------------------------------------------------------------


def _judged(candidate: Candidate, on: _Scales) -> Candidate:
    said = {one["id"]: _said(one, candidate, on) for one in on.speaking}
    bad = [id_ for id_, what in said.items() if what == matching.AFFECTED]
    vouched = [
        id_
        for id_, kernels in on.named.items()
        if any(one.called_good and one.release == candidate.release for one in kernels)
    ]
    unchecked = tuple(id_ for id_, what in said.items() if what == matching.UNKNOWN and id_ not in vouched)
    out = None if candidate.origin == RUNS else _not_newer(candidate, on.subject)
    if out is None and bad:
        out = f"it is named by {_some(bad)}"
    return candidate._replace(out=out or _unfit(candidate, on.kernel), unchecked=unchecked)


def _said(advisory: Advisory, candidate: Candidate, on: _Scales) -> str:
    """What an advisory says of a candidate, in whichever upload of its release."""
    versions_ = [candidate.version] if candidate.version else _uploads_of(candidate.release)
    said = {
        matching.say(advisory, {**on.subject, "release": candidate.release, "version": version}, on.node)
        for version in versions_
    }
    return said.pop() if len(said) == 1 else matching.UNKNOWN


def _uploads_of(release: str) -> Sequence[str | None]:
    """The first and the last version that a release can have, where it tells that."""
    parsed = rules.parse_release(release)
    base = f"{parsed.upstream}-{parsed.abi}" if parsed else ""
    if parsed and parsed.scheme == "ubuntu":
        return (f"{base}.0", f"{base}.{_LAST_UPLOAD}")
    return (base if parsed and parsed.scheme == "rpm" else None,)


def _not_newer(candidate: Candidate, running: Subject) -> str | None:
    """What cannot be told counts as newer."""
    answer, _why = order.newer(running, candidate.release, candidate.version)
    if answer is not False:
        return None
    same = candidate.release == running["release"] and candidate.version in (None, running["version"])
    return SAME if same else OLDER


def _unfit(candidate: Candidate, kernel: KernelFacts) -> str | None:
    """What is on the disk, and would not serve, or nobody can tell."""
    found = readings.installed(kernel, candidate.release)
    if found is None or candidate.origin == RUNS:
        return None
    other = strange(kernel, candidate.release)
    if other is not None:
        return other
    if found["bootable"] is False:
        return f"it cannot boot, missing: {', '.join(found['missing'])}"
    if found["lacks"]:
        return f"it lacks modules that are in use: {_some(found['lacks'])}"
    if found["bootable"] and found["lacks"] is not None:
        return None
    return f"it cannot be told whether it {'has the modules in use' if found['bootable'] else 'can boot'}"


def _kind(subject: Subject) -> str:
    return f"source {subject['source'] or 'unknown'}, flavour {subject['flavour'] or 'unknown'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
