# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Kernel packages as rpm names them, and what keeps dnf from replacing them. Pure.

Source of the names: kernel.spec of RHEL, Fedora and openEuler. ``uname -r`` is VERSION-RELEASE.ARCH, and behind it
``+rt``, ``+64k``, ``+debug`` ... for the variants of ``kernel`` (not for kernel-uek and the like).
"""

from __future__ import annotations

import configparser
import fnmatch
import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Package

# One row a package. SIZE is that of its files: a package without any only pulls in others.
FORMAT = r"%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{SIZE}\n"

_VARIANTS = frozenset({"rt", "64k", "16k", "debug", "zfcpdump"})
# Kernels of their own, which say so in their release: Oracle's, and ELRepo's.
_OTHERS = frozenset({"uek", "ml", "lt"})
_RT = re.compile(r"\.rt\d")
_ARCH = r"(?:x86_64|aarch64|ppc64le|s390x|riscv64|loongarch64)"
_EXACT = re.compile(rf"(?P<name>kernel(?:-[a-z0-9]+)*)-(?P<version>\d[^-\s]*-[^-\s]+\.{_ARCH})\Z")
_RELEASE = re.compile(rf"(?P<version>\d[^-\s]*-[^-+\s]+\.{_ARCH})(?:\+(?P<variant>[a-z0-9-]+))?\Z")
# Those who split nothing: one package has the image and its modules.
_MONOLITHIC = re.compile(r"\.oe\d")
_KMOD = re.compile(r"kmod-(?P<module>[a-z][\w-]*?)(?:-\d[\w.]*)??-(?P<kernel>\d+\.\d+\.\d+-\d[\w.]*)\Z")


_MOST_NAME = 200


class Row(NamedTuple):
    """A package of rpm's database."""

    name: str
    epoch: str
    version: str
    release: str
    arch: str
    source: str
    size: str


def packages(text: str) -> List[Package]:
    """The packages of *text*, which is in the format of FORMAT; those that bring a kernel say which."""
    rows = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != len(Row._fields):
            raise FleetopsError(f"rpm said '{line[:100]}', and {len(Row._fields)} fields were asked for")
        rows.append(Row(*fields))
    return [_package(row) for row in rows]


def _package(row: Row) -> Package:
    version = f"{row.version}-{row.release}"
    source = re.match(r"(?P<name>\S+)-(?P<version>[^-\s]+-[^-\s]+)\.(?:no)?src\.rpm\Z", row.source)
    found: Package = {
        "name": row.name,
        "version": version if row.epoch in ("0", "") else f"{row.epoch}:{version}",
        "source": source.group("name") if source else row.name,
        "source_version": source.group("version") if source else version,
        "status": "ii",  # rpm's database has no package that is there in part
    }
    variant = _variant(row.name)
    if variant is not None and row.size == "0":
        found["needs"] = [f"{row.name}-core"]  # kernel.spec: and the modules, all of its own version
    elif variant is not None:
        found["release"] = _brought(row, variant)
    return found


def _variant(name: str) -> Optional[List[str]]:
    """The parts of the variant (``[]``, ``[rt]``, ``[64k, debug]``) in the name of a kernel or its core; else None."""
    parts = name.split("-")
    if parts[0] != "kernel":
        return None
    variant = parts[1:-1] if parts[-1] == "core" else parts[1:]
    return variant if _VARIANTS.issuperset(variant) or variant[0] in _OTHERS else None


def _brought(row: Row, variant: Sequence[str]) -> str:
    """The release that a package of a kernel image brings."""
    # RHEL 8 has the variant in the release of its real-time kernel: 4.18.0-553.rt7.342.el8_10.x86_64
    parts = [part for part in variant if not (part == "rt" and _RT.search(row.release))]
    suffix = f"+{'-'.join(parts)}" if parts and _VARIANTS.issuperset(parts) else ""
    return f"{row.version}-{row.release}.{row.arch}{suffix}"


def exact_name(package: Package) -> str:
    """The name that means this package in this version."""
    version = package.get("release", package["version"]).partition("+")[0]
    return f"{package['name']}-{version.rpartition(':')[2]}"


def release_named(name: str) -> Optional[str]:
    """The release of the kernel image that an exact name with its architecture asks for."""
    found = _EXACT.match(name)
    if not found:
        return None
    variant = _variant(found.group("name"))
    if variant is None:
        return None
    version, arch = found.group("version").rsplit(".", 1)
    upstream, release = version.split("-")
    return _brought(Row(found.group("name"), "0", upstream, release, arch, "", ""), variant)


def kernel_package(release: str) -> str:
    """The exact name of the package that brings a release."""
    found = _RELEASE.match(release)
    if not found:
        raise FleetopsError(f"'{release}' is not spelt as rpm's kernels are: expected VERSION-RELEASE.ARCH")
    version, variant = found.group("version"), found.group("variant") or ""
    if _MONOLITHIC.search(version):
        return f"kernel-{version}"
    parts = [part for part in (variant,) if part]
    if _RT.search(version):
        parts.insert(0, "rt")
    if re.search(r"el\d+uek\.", version):
        parts.insert(0, "uek")
    return "-".join(["kernel", *parts, "core", version])


def with_modules(release: str) -> List[str]:
    """The exact names of what makes a kernel as its distribution means it: not all of its modules are in the core."""
    core = kernel_package(release)
    found = _EXACT.match(core)
    if found is None or not found.group("name").endswith("-core"):
        return [core]
    return [core, f"{found.group('name')[: -len('core')]}modules-{found.group('version')}"]


def is_modules(name: str) -> bool:
    """Is it the exact name of what `with_modules` adds to an image?"""
    found = _EXACT.match(name)
    return found is not None and found.group("name").endswith("-modules")


def prebuilt(names: Sequence[str], releases: Sequence[str]) -> Dict[str, List[str]]:
    """The modules of kmod packages that are named after one kernel, by its release: ``nvidia-550`` and the like.

    One that is built for all kernels of a series (kABI) says in its name for none of them that it is there.
    """
    found: Dict[str, Set[str]] = {}
    for name in names:
        match = _KMOD.match(name) if len(name) <= _MOST_NAME else None
        for release in releases if match else ():
            if match and f"{release}.".startswith(f"{match.group('kernel')}."):
                found.setdefault(release, set()).add(match.group("module"))
    return {release: sorted(modules) for release, modules in found.items()}


# --- holds -------------------------------------------------------------------------------------------


def locked(text: str) -> List[str]:
    """The entries of a versionlock.list: ``name-epoch:version-release.arch``, ``!`` before those that are kept out."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def locked_by_dnf5(text: str) -> List[str]:
    """The names in a versionlock.toml."""
    return re.findall(r"^\s*name\s*=\s*[\"']([^\"'\n]+)[\"']", text, re.MULTILINE)


def main_section(text: str) -> Dict[str, str]:
    """The settings in ``[main]`` of a file of dnf. Raises FleetopsError for a file that is not in its form."""
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#", ";")
    )
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise FleetopsError(f"it is not in the form of a dnf.conf: {str(error).splitlines()[0]}") from error
    return dict(parser.items("main")) if parser.has_section("main") else {}


def excluded(text: str) -> List[str]:
    """The patterns that a dnf.conf keeps out of every transaction."""
    settings = main_section(text)
    values = [settings.get(key, "") for key in ("exclude", "excludepkgs")]
    return [word for value in values for word in re.split(r"[\s,]+", value) if word]


def named_by(entry: str) -> str:
    """The name in an entry: ``kernel-core`` of ``kernel-core-0:5.14.0-570.33.1.el9_6.*``."""
    return re.split(r"-(?=(?:\d+:)?\d+\.\d)", entry, maxsplit=1)[0]


def holds(entries: Sequence[str], names: Sequence[str]) -> List[str]:
    """Of the entries those that hold one of these packages: the name, or as written what is a pattern or kept out."""
    found = set()
    for entry in entries:
        name = named_by(entry.lstrip("!"))
        if any(fnmatch.fnmatchcase(one, name) for one in names):
            found.add(entry if entry.startswith("!") else name)
    return sorted(found)
