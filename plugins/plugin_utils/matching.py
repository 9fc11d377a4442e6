# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does an advisory speak of this kernel on this node, and what does it say? Pure.

Nothing is ever compared across distributions, source packages or flavours: an advisory that does not speak of a
kernel is silent about it. What decides whether a kernel is named must be known; a *condition* on the node that cannot
be judged counts as met, because the other way a defect would go unseen.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.versions import Range

SILENT, AFFECTED, OK, UNKNOWN = "silent", "affected", "ok", "unknown"
# Of advisories and of findings, worst first. What cannot be told weighs as much as if it were so.
SEVERITIES = ("critical", "high", "medium", "low")
# Red Hat and those like it have no mark for the kernel that is no variant.
PLAIN = "plain"


class Subject(TypedDict):
    """What tells a kernel from others; null means unknown.

    ``version`` is that of its package, ``distro`` the ID of os-release in lower case: openEuler alone has another.
    """

    distro: str | None
    codename: str | None
    source: str | None
    version: str | None
    release: str | None
    flavour: str | None


class Affects(TypedDict):
    """One row of kernels: all that is not null must fit. ``releases`` are globs, ``flavours`` exact.

    ``perhaps``: versions of which no source tells whether they have it.
    """

    distro: list[str]
    codename: str | None
    source: str | None
    flavours: list[str] | None
    releases: list[str] | None
    versions: str | None
    perhaps: str | None


class Condition(TypedDict):
    """A fact of the node that must hold as well: it has any of *wanted*. *key* is one of `CONDITIONS`."""

    key: str
    wanted: list[str | bool]


class Traits(TypedDict):
    """What conditions are judged by. ``has``: what the node has, by a condition's key; null means unknown.

    ``why``: the reason of each null.
    """

    has: Mapping[str, Collection[str | bool] | None]
    why: Mapping[str, str]


class Good(TypedDict):
    """A kernel to go to: by its release or its package; a mere ``version`` says from where on it is good."""

    distro: list[str] | None
    codename: str | None
    release: str | None
    package: str | None
    version: str | None
    because: str | None


class Vector(TypedDict):
    """A kernel on a node, and what the advisory must say of it. A key that ``facts`` lacks is unknown."""

    distro: str | None
    codename: str | None
    source: str | None
    version: str | None
    release: str | None
    facts: Mapping[str, Any]
    status: str


class Advisory(TypedDict):
    """What is known of bad kernels; see `advisories.schema` for the meaning of each key."""

    id: str
    title: str
    severity: str
    symptom: str
    breaks_kdump: bool
    affects: list[Affects]
    conditions: list[Condition]
    good: list[Good]
    confidence: str
    references: list[str]
    vectors: list[Vector]


class Answer(NamedTuple):
    """What an advisory says. ``row`` names the kernel; ``unmet`` and ``assumed`` are conditions in words.

    ``doubt``: why it is unknown, where it is not for a fact that could not be read; ``unsourced``: no source tells.
    """

    status: str
    row: Affects | None = None
    unmet: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    doubt: str = ""
    unsourced: bool = False


class _Kind(NamedTuple):
    """Where a condition is read in the facts of the kernel, and how it is said."""

    fact: str
    met: str
    unmet: str


CONDITIONS = {
    "module": _Kind("modules", "the module {} is loaded", "the module {} is not loaded"),
    "file_system": _Kind("file_systems", "{} is mounted", "no {} is mounted"),
    "driver": _Kind("drivers", "a device uses the driver {}", "no device uses the driver {}"),
    "cpu_vendor": _Kind("cpu_vendor", "the CPU is {}", "the CPU is not {}"),
    "architecture": _Kind("architecture", "the machine is {}", "the machine is not {}"),
    "iommu": _Kind("iommu", "an IOMMU is in use", "no IOMMU is in use"),
}
NOTHING_KNOWN: Traits = {"has": {}, "why": {}}


def subject_of(kernel: KernelFacts) -> Subject:
    """The running kernel. ``package.version`` of the facts is the version that runs, not the newest on the disk."""
    distro, package, release = kernel["distro"], kernel["package"], kernel["release"]
    return {
        "distro": distro["id"].lower() if distro else None,
        "codename": distro["codename"] if distro else None,
        "source": source_of(package["source"]) if package and package["source"] else None,
        "version": package["version"] if package else None,
        "release": release,
        "flavour": kernel["flavour"] or (flavour_of(release) if release else None),
    }


def flavour_of(release: str) -> str | None:
    """The flavour of a release, ``plain`` where its distribution has no mark for it; None: it cannot be told."""
    parsed = rules.parse_release(release)
    return (parsed.flavour or PLAIN) if parsed else None


def source_of(source: str) -> str:
    """The source package that was compiled: what Secure Boot needs is signed in a package of its own.

    Debian signs per architecture (``linux-signed-amd64``, ``linux-signed-6.12-amd64``), Ubuntu per kernel
    (``linux-signed-aws``).
    """
    return re.sub(r"\Alinux-signed(-\d+\.\d+)?(-amd64|-arm64|-i386)?(?=-|\Z)", r"linux\1", source)


def traits_of(kernel: KernelFacts) -> Traits:
    """What the conditions ask of a node."""
    facts = {kind.fact: kernel.get(kind.fact) for kind in CONDITIONS.values()}
    modules: Any = facts["modules"]
    facts["modules"] = modules["loaded"] if modules else None
    return traits(facts, lambda fact: readings.why(kernel, fact))


def traits(facts: Mapping[str, Any], why: Any = lambda fact: "it is not given") -> Traits:
    """From readings by their names in the facts (``modules`` is the list of those loaded)."""
    has: dict[str, Collection[str | bool] | None] = {}
    for key, kind in CONDITIONS.items():
        value = facts.get(kind.fact)
        found: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
        has[key] = None if value is None else frozenset(plain_name(key, one) for one in found)
    return {
        "has": has,
        "why": {key: why(CONDITIONS[key].fact) for key, value in has.items() if value is None},
    }


def plain_name(key: str, value: str | bool) -> str | bool:
    """Modules and drivers are written with ``-`` in one place and ``_`` in another."""
    return value.replace("-", "_") if key in ("module", "driver") and isinstance(value, str) else value


def judge(advisory: Advisory, subject: Subject, node: Traits | None = None) -> Answer:
    """What an advisory says of a kernel on a node; without *node*, on one of which nothing is known."""
    node = node or NOTHING_KNOWN
    verdicts = [(_row(row, subject), row) for row in advisory["affects"]]
    status, row = next(
        ((status, row) for wanted in (AFFECTED, UNKNOWN, OK) for status, row in verdicts if status == wanted),
        (SILENT, None),
    )
    if status in (SILENT, OK):
        return Answer(status)
    met = [(condition, _met(condition, node)) for condition in advisory["conditions"]]
    unmet = tuple(words(condition, False) for condition, answer in met if answer is False)
    if unmet:
        return Answer(OK, row, unmet)
    assumed = tuple(_assumed(condition, node) for condition, answer in met if answer is None)
    if status == AFFECTED:
        return Answer(status, row, (), assumed)
    doubt, unsourced = _doubt(row, subject) if row else ("", False)
    return Answer(status, None, (), assumed, doubt, unsourced)


def say(advisory: Advisory, subject: Subject, node: Traits | None = None) -> str:
    """What an advisory says of a kernel: silent, affected, ok or unknown."""
    return judge(advisory, subject, node).status


def speaks_of(advisories: Iterable[Advisory], subject: Subject) -> bool:
    """Has any advisory a row for kernels of this source package in this release of the distribution?"""
    return any(
        _scope({**row, "flavours": None}, subject) is not False
        for advisory in advisories
        for row in advisory["affects"]
    )


def rows_for(advisory: Advisory, subject: Subject) -> Iterable[Affects]:
    """The rows that speak of kernels like this one, whether of this version or not."""
    return [row for row in advisory["affects"] if _row(row, subject) != SILENT]


def fits(good: Good, subject: Subject) -> bool:
    """Is this a kernel for a node like this one, as far as the entry itself says?"""
    return (good["distro"] is None or subject["distro"] in good["distro"]) and good["codename"] in (
        None,
        subject["codename"],
    )


def candidate_of(good: Good, subject: Subject) -> Subject | None:
    """The kernel that a ``good`` names, as one that a node like this would run; None when it names none."""
    release = release_of(good)
    if release is None:
        return None
    return {**subject, "release": release, "flavour": flavour_of(release), "version": good["version"]}


def release_of(good: Good) -> str | None:
    """The release that a ``good`` would install."""
    if good["release"]:
        return good["release"]
    found = re.match(r"linux-image-(?:unsigned-)?(\d.*)\Z", good["package"] or "")
    return found.group(1) if found else None


def words(condition: Condition, met: bool) -> str:
    """A condition in words: as it holds, or as it does not."""
    kind, wanted = CONDITIONS[condition["key"]], condition["wanted"]
    if wanted == [False]:
        met = not met
    return (kind.met if met else kind.unmet).format(" or ".join(map(str, wanted)))


def describe(row: Affects) -> str:
    """A row in words, for evidence."""
    scope = " ".join(word for word in (" or ".join(row["distro"]), row["codename"], row["source"]) if word)
    what = [f"version {row['versions']}"] if row["versions"] else []
    what += [f"release {' or '.join(row['releases'])}"] if row["releases"] else []
    what += [f"flavour {' or '.join(row['flavours'])}"] if row["flavours"] else []
    return f"{scope}: {', '.join(what)}"


@functools.lru_cache(maxsize=1024)
def bounds_of(text: str, distro: str) -> Range:
    """The bounds of a row, in the order of its distribution's packages."""
    return versions.parse_range(text, versions.order_of(distro))


# A fleet has many nodes and few kernels: a comparison costs 0.1 ms, asking again nothing.
@functools.lru_cache(maxsize=16384)
def _holds(text: str, distro: str, version: str) -> bool | None:
    """Is a version in a range? None for one that the package manager itself would refuse."""
    try:
        return versions.in_range(version, bounds_of(text, distro), versions.order_of(distro))
    except FleetopsError:
        return None


def _met(condition: Condition, node: Traits) -> bool | None:
    has = node["has"].get(condition["key"])
    return (
        None if has is None else any(plain_name(condition["key"], one) in has for one in condition["wanted"])
    )


def _assumed(condition: Condition, node: Traits) -> str:
    return f"whether {words(condition, True)} ({node['why'].get(condition['key'], 'it was not read')})"


def _scope(row: Affects, subject: Subject) -> bool | None:
    """Is it a kernel of the row's kind, whatever its release and version are?"""
    return _all(
        _equal(subject["distro"], row["distro"]),
        _equal(subject["codename"], [row["codename"]] if row["codename"] else None),
        _equal(subject["source"], [row["source"]] if row["source"] else None),
        _equal(subject["flavour"], row["flavours"]),
    )


def _row(row: Affects, subject: Subject) -> str:
    scope = _scope(row, subject)
    if scope is False:
        return SILENT
    scope = _all(scope, _glob(subject["release"], row["releases"]))
    hit = _all(scope, _in(row["versions"], subject, row))
    if hit is False and row["perhaps"]:
        return OK if _all(scope, _in(row["perhaps"], subject, row)) is False else UNKNOWN
    return UNKNOWN if hit is None else AFFECTED if hit else OK


def _doubt(row: Affects, subject: Subject) -> tuple[str, bool]:
    """(why, whether no source tells) of a row that cannot tell; ('', False): for a fact that was not read."""
    version = subject["version"]
    if not version or _scope(row, subject) is not True:
        return "", False
    order = versions.order_of(row["distro"][0])
    try:
        versions.key(version, order)
    except FleetopsError as error:
        return error.msg, False
    unsourced = row["perhaps"] is not None and _holds(row["perhaps"], row["distro"][0], version) is True
    return (f"no source tells whether {version} has it", True) if unsourced else ("", False)


def _all(*answers: bool | None) -> bool | None:
    """And, of three values."""
    return False if False in answers else None if None in answers else True


def _equal(value: str | None, wanted: Sequence[str] | None) -> bool | None:
    return True if wanted is None else None if not value else value in wanted


def _glob(value: str | None, wanted: Sequence[str] | None) -> bool | None:
    if wanted is None:
        return True
    return None if not value else any(fnmatch.fnmatchcase(value, pattern) for pattern in wanted)


def _in(text: str | None, subject: Subject, row: Affects) -> bool | None:
    """Is the version of a kernel within bounds of a row?"""
    if text is None:
        return True
    distro = row["distro"][0]  # all of a row share one order
    if subject["version"]:
        return _holds(text, distro, subject["version"])
    return False if _outside(subject["release"] or "", bounds_of(text, distro)) else None


def _outside(release: str, bounds: Range) -> bool:
    """Is a kernel whose version nobody knows of another upstream series than a range? Its name says that much."""
    mine = _series(release)
    return mine is not None and any(
        theirs is not None and (mine < theirs if operator in (">", ">=") else mine > theirs)
        for operator, bound in bounds
        for theirs in [_series(bound)]
    )


def _series(text: str) -> tuple[int, ...] | None:
    found = rules.series(text)
    return tuple(map(int, found.split("."))) if found else None
