# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does an advisory speak of this kernel, and what does it say? Pure.

Nothing is ever compared across distributions, source packages or flavours: an advisory that does not speak of a
kernel is silent about it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.versions import Range

SILENT, AFFECTED, OK, UNKNOWN = "silent", "affected", "ok", "unknown"


class Subject(TypedDict):
    """What tells a kernel from others. ``version`` is that of its package; null means unknown."""

    distro: str | None
    codename: str | None
    source: str | None
    version: str | None
    release: str | None
    flavour: str | None


class Affects(TypedDict):
    """One row of kernels: all that is not null must fit. ``releases`` are globs, ``flavours`` exact."""

    distro: str
    codename: str | None
    source: str | None
    flavours: list[str] | None
    releases: list[str] | None
    versions: str | None


class Good(TypedDict):
    """A kernel to go to: by its release or its package; a mere ``version`` says from where on it is good."""

    distro: str | None
    codename: str | None
    release: str | None
    package: str | None
    version: str | None
    because: str | None


class Vector(TypedDict):
    """A kernel, and what the advisory must say of it."""

    distro: str | None
    codename: str | None
    source: str | None
    version: str | None
    release: str | None
    status: str


class Advisory(TypedDict):
    """What is known of bad kernels; see `advisories` for the meaning of each key."""

    id: str
    title: str
    severity: str
    symptom: str
    breaks_kdump: bool
    affects: list[Affects]
    conditions: list[Mapping[str, object]]
    good: list[Good]
    confidence: str
    references: list[str]
    vectors: list[Vector]


def subject_of(kernel: KernelFacts) -> Subject:
    """The running kernel. ``package.version`` of the facts is the version that runs, not the newest on the disk."""
    distro, package = kernel["distro"], kernel["package"]
    return {
        "distro": distro["id"] if distro else None,
        "codename": distro["codename"] if distro else None,
        "source": source_of(package["source"]) if package and package["source"] else None,
        "version": package["version"] if package else None,
        "release": kernel["release"],
        "flavour": kernel["flavour"],
    }


def source_of(source: str) -> str:
    """The source package that was compiled: what Secure Boot needs is signed in a package of its own.

    Debian signs per architecture (``linux-signed-amd64``), Ubuntu per kernel (``linux-signed-aws``).
    """
    return re.sub(r"\Alinux-signed(-amd64|-arm64|-i386)?", "linux", source)


def say(advisory: Advisory, subject: Subject) -> str:
    """What an advisory says of a kernel: silent, affected, ok or unknown."""
    verdicts = [_row(row, subject) for row in advisory["affects"]]
    for verdict in (AFFECTED, UNKNOWN, OK):
        if verdict in verdicts:
            return verdict
    return SILENT


def row_of(advisory: Advisory, subject: Subject) -> Affects | None:
    """The row that makes a kernel affected."""
    return next((row for row in advisory["affects"] if _row(row, subject) == AFFECTED), None)


def good_for(advisory: Advisory, subject: Subject, others: Iterable[Advisory] = ()) -> Good | None:
    """The first kernel to go to that fits this one's flavour, and that no advisory of *others* names as bad."""
    others = list(others)
    for good in advisory["good"]:
        candidate = candidate_of(good, subject)
        if candidate is None or not _fits(good, subject):
            continue
        if not any(say(other, candidate) == AFFECTED for other in others):
            return good
    return None


def candidate_of(good: Good, subject: Subject) -> Subject | None:
    """The kernel that a ``good`` names, as one that a node like this would run; None when it names none."""
    release = release_of(good)
    if release is None:
        return None
    flavour = rules.flavour(release)
    return {**subject, "release": release, "flavour": flavour, "version": good["version"]}


def release_of(good: Good) -> str | None:
    """The release that a ``good`` would install."""
    if good["release"]:
        return good["release"]
    found = re.match(r"linux-image-(?:unsigned-)?(\d.*)\Z", good["package"] or "")
    return found.group(1) if found else None


def describe(row: Affects) -> str:
    """A row in words, for evidence."""
    scope = " ".join(word for word in (row["distro"], row["codename"], row["source"]) if word)
    what = [f"version {row['versions']}"] if row["versions"] else []
    what += [f"release {' or '.join(row['releases'])}"] if row["releases"] else []
    what += [f"flavour {' or '.join(row['flavours'])}"] if row["flavours"] else []
    return f"{scope}: {', '.join(what)}"


def _fits(good: Good, subject: Subject) -> bool:
    release = release_of(good)
    # A kernel of no known flavour, the site's own for example, is named by its release alone: so is its cure.
    return (
        release is not None
        and subject["flavour"] in (None, rules.flavour(release))
        and good["distro"] in (None, subject["distro"])
        and good["codename"] in (None, subject["codename"])
    )


def _row(row: Affects, subject: Subject) -> str:
    scope = _all(
        _equal(subject["distro"], [row["distro"]]),
        _equal(subject["codename"], [row["codename"]] if row["codename"] else None),
        _equal(subject["source"], [row["source"]] if row["source"] else None),
        _equal(subject["flavour"], row["flavours"]),
    )
    if scope is False:
        return SILENT
    hit = _all(scope, _glob(subject["release"], row["releases"]), _in(subject["version"], row["versions"]))
    return UNKNOWN if hit is None else AFFECTED if hit else OK


def _all(*answers: bool | None) -> bool | None:
    """And, of three values."""
    return False if False in answers else None if None in answers else True


def _equal(value: str | None, wanted: Sequence[str] | None) -> bool | None:
    return True if wanted is None else None if not value else value in wanted


def _glob(value: str | None, wanted: Sequence[str] | None) -> bool | None:
    if wanted is None:
        return True
    return None if not value else any(fnmatch.fnmatchcase(value, pattern) for pattern in wanted)


def _in(value: str | None, wanted: str | None) -> bool | None:
    if wanted is None:
        return True
    bounds: Range = versions.parse_range(wanted)
    try:
        return versions.in_range(value, bounds) if value else None
    except FleetopsError:
        return None  # a version that dpkg itself would refuse
