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
    """What apt on this machine knows about Debian 12."""

    sources: str
    old: Kernel
    new: Kernel
    meta: Kernel | None


def _refresh_lists() -> None:
    lists = Path("/var/lib/apt/lists")
    newest = max((path.stat().st_mtime for path in lists.glob("*_Packages*")), default=0.0)
    if time.time() - newest < _LISTS_FRESH_SECONDS or os.getuid() != 0:
        return
    try:
        apt_get("update")
    except LabError:
        if not newest:  # with no lists at all there is nothing to go on with
            raise


def _sources() -> str:
    fields = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    out = run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"], timeout=60)
    lines = set()
    for line in out.splitlines():
        origin, codename, uri, release, component = line.split("|")
        wanted = codename in ("bookworm", "bookworm-updates", "bookworm-security")
        if origin.startswith("Debian") and wanted and component == "main":
            lines.add(f"deb [signed-by={_KEYRING}] {uri} {release} {component}\n")
    if not any(" bookworm main" in line for line in lines):
        raise LabError(
            "apt on this machine has no package lists of Debian 12 (bookworm): the image is built from them"
        )
    return "".join(sorted(lines))


def _version(package: str) -> str:
    out = run(["apt-cache", "show", "--no-all-versions", package], timeout=60)
    found = re.search(r"^Version: (\S+)$", out, re.MULTILINE)
    if not found:
        raise LabError(f"apt knows no version of {package}")
    return found.group(1)


def look(flavour: str) -> Archive:
    """Ask apt for the oldest and the newest kernel of a flavour (`cloud` or `generic`)."""
    if flavour not in FLAVOURS:
        raise LabError(f"unknown flavour {flavour!r}: {' or '.join(FLAVOURS)}")
    _refresh_lists()
    lists = Path("/var/lib/apt/lists")
    # Asking apt takes four seconds; the answer holds until its lists change.
    stamps = sorted(f"{path.name} {path.stat().st_mtime_ns}" for path in lists.glob("*_Packages*"))
    known = cache_root() / f"archive-{flavour}-{digest(*stamps)}.json"
    try:
        return _from_dict(json.loads(known.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        archive = _ask(flavour)
    for stale in cache_root().glob(f"archive-{flavour}-*.json"):
        stale.unlink(missing_ok=True)
    known.write_text(json.dumps(asdict(archive), indent=1) + "\n")
    return archive


def _from_dict(data: dict[str, Any]) -> Archive:
    meta = Kernel(**data["meta"]) if data["meta"] else None
    return Archive(data["sources"], Kernel(**data["old"]), Kernel(**data["new"]), meta)


def _ask(flavour: str) -> Archive:
    middle = "cloud-" if flavour == "cloud" else ""
    names = run(["apt-cache", "search", "--names-only", r"^linux-image-6\.1\.0-"], timeout=60)
    pattern = re.compile(rf"^(linux-image-(6\.1\.0-(\d+)-{middle}amd64)) - ", re.MULTILINE)
    kernels = sorted((int(m.group(3)), m.group(2), m.group(1)) for m in pattern.finditer(names))
    if len(kernels) < 2:
        raise LabError(
            f"the archive has {len(kernels)} kernel(s) of flavour {flavour}; an old and a new one are needed"
        )
    old, new = (
        Kernel(release, package, _version(package)) for _key, release, package in (kernels[0], kernels[-1])
    )
    meta_name = f"linux-image-{middle}amd64"
    try:
        depends = run(["apt-cache", "show", "--no-all-versions", meta_name], timeout=60)
        meta = Kernel(new.release, meta_name, _version(meta_name)) if new.package in depends else None
    except LabError:
        meta = None
    return Archive(_sources(), old, new, meta)
