# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernels the configured package archive has; all of it asked of apt, no host is named here."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import LabError
from .host import apt_get, cache_root, digest, run
from .recipe import SUITES, Suite

FLAVOURS = ("cloud", "generic")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LISTS_FRESH_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Kernel:
    """One kernel: `uname -r`, the package that carries it, and the package's version."""

    release: str
    package: str
    version: str

    def as_dict(self) -> dict[str, str]:
        """For the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Archive:
    """What apt knows about one release of Debian."""

    suite: str
    sources: str
    old: Kernel
    new: Kernel
    meta: Kernel | None


@dataclass(frozen=True)
class Apt:
    """apt as this machine has it, or (with a folder) one with lists and sources of its own."""

    folder: Path | None = None

    @property
    def lists(self) -> Path:
        """Where its package lists are."""
        return self.folder / "lists" if self.folder else Path("/var/lib/apt/lists")

    @property
    def options(self) -> list[str]:
        """What makes an apt command use it."""
        if self.folder is None:
            return []
        own = {
            "Dir::State::Lists": self.lists,
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::SourceList": self.folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
        }
        return [word for key, value in own.items() for word in ("-o", f"{key}={value}")]

    def indexes(self) -> list[tuple[str, str, str]]:
        """(code name, address, release) of each of Debian's package lists that is there."""
        fields = "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)|$(RELEASE)"
        argv = ["apt-get", *self.options, "indextargets", "--format", fields, "Created-By: Packages"]
        rows = [line.split("|") for line in set(run(argv, timeout=60).splitlines())]
        return sorted(
            (codename, uri, release)
            for origin, component, codename, uri, release in rows
            if origin.startswith("Debian") and component == "main"
        )

    def cache(self, *words: str) -> str:
        """Ask apt-cache."""
        return run(["apt-cache", *self.options, *words], timeout=60)

    def version(self, package: str) -> str:
        """The version that would be installed."""
        out = self.cache("show", "--no-all-versions", package)
        found = re.search(r"^Version: (\S+)$", out, re.MULTILINE)
        if not found:
            raise LabError(f"apt knows no version of {package}")
        return found.group(1)

    def refresh(self) -> None:
        """Fetch lists that are older than half a day."""
        newest = max((path.stat().st_mtime for path in self.lists.glob("*_Packages*")), default=0.0)
        if time.time() - newest < _LISTS_FRESH_SECONDS or os.getuid() != 0:
            return
        try:
            apt_get(*self.options, "update")
        except LabError:
            # A release that has lost its security archive is still a release; with no lists at all there is nothing.
            if not any(self.lists.glob("*_Packages*")):
                raise


def _line(uri: str, release: str) -> str:
    return f"deb [signed-by={_KEYRING}] {uri} {release} main\n"


def apt(suite: Suite) -> Apt:
    """The machine's own apt when its sources have this release of Debian; else another with the machine's mirrors."""
    there = Apt().indexes()
    if any(codename == suite.codename for codename, _uri, _release in there):
        return Apt()
    if not there:
        raise LabError("apt on this machine has no package lists of Debian: the image is built from them")
    own = min((codename for codename, _uri, _release in there), key=len)
    folder = cache_root() / f"apt-{suite.codename}"
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    lines = [
        _line(uri, release.replace(own, suite.codename))
        for codename, uri, release in there
        if suite.security or not codename.endswith("-security")
    ]
    (folder / "sources.list").write_text("".join(lines))
    return Apt(folder)


def look(flavour: str, suite: str) -> Archive:
    """Ask apt for the oldest and the newest kernel of a flavour (`cloud` or `generic`) of a release of Debian."""
    if flavour not in FLAVOURS:
        raise LabError(f"unknown flavour {flavour!r}: {' or '.join(FLAVOURS)}")
    if suite not in SUITES:
        raise LabError(f"unknown suite {suite!r}: {' or '.join(SUITES)}")
    source = apt(SUITES[suite])
    source.refresh()
    # Asking apt takes four seconds; the answer holds until its lists change.
    stamps = sorted(f"{path.name} {path.stat().st_mtime_ns}" for path in source.lists.glob("*_Packages*"))
    known = cache_root() / f"archive-{suite}-{flavour}-{digest(*stamps)}.json"
    try:
        return _from_dict(json.loads(known.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        archive = _ask(source, flavour, SUITES[suite])
    for stale in cache_root().glob(f"archive-{suite}-{flavour}-*.json"):
        stale.unlink(missing_ok=True)
    known.write_text(json.dumps(asdict(archive), indent=1) + "\n")
    return archive


def _from_dict(data: dict[str, Any]) -> Archive:
    meta = Kernel(**data["meta"]) if data["meta"] else None
    return Archive(data["suite"], data["sources"], Kernel(**data["old"]), Kernel(**data["new"]), meta)


def _releases(source: Apt, middle: str, suite: Suite) -> list[str]:
    """All releases of a flavour in the archive, oldest first."""
    names = source.cache("search", "--names-only", r"^linux-image-")
    pattern = re.compile(rf"^linux-image-({suite.kernels}-{middle}amd64) - ", re.MULTILINE)
    found = sorted((tuple(int(n or 0) for n in m.groups()[1:]), m[1]) for m in pattern.finditer(names))
    return [release for _order, release in found]


def _ask(source: Apt, flavour: str, suite: Suite) -> Archive:
    middle = "cloud-" if flavour == "cloud" else ""
    kernels = _releases(source, middle, suite)
    if len(kernels) < 2:
        raise LabError(
            f"the archive has {len(kernels)} kernel(s) of flavour {flavour}; an old and a new one are needed"
        )
    old, new = (
        Kernel(release, f"linux-image-{release}", source.version(f"linux-image-{release}"))
        for release in (kernels[0], kernels[-1])
    )
    meta_name = f"linux-image-{middle}amd64"
    try:
        depends = source.cache("show", "--no-all-versions", meta_name)
        meta = Kernel(new.release, meta_name, source.version(meta_name)) if new.package in depends else None
    except LabError:
        meta = None
    sources = {
        _line(uri, release)
        for codename, uri, release in source.indexes()
        if codename.partition("-")[0] == suite.codename
    }
    return Archive(suite.codename, "".join(sorted(sources)), old, new, meta)


def neighbour(manifest: dict[str, Any]) -> str:
    """The release before the newest of an image's archive, of its flavour; LabError when that is the old one."""
    suite = SUITES[manifest["suite"]]
    middle = "cloud-" if manifest["flavour"] == "cloud" else ""
    releases = _releases(apt(suite), middle, suite)
    if len(releases) < 3:
        raise LabError(
            f"the archive has {len(releases)} kernel(s) of flavour {manifest['flavour']}, and not 3"
        )
    return releases[-2]
