# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Kernel releases, versions and taint: take apart, order, name. Pure."""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

# Kernel-defined names, bit by bit (kernel/panic.c taint_flags; Documentation/admin-guide/tainted-kernels.rst 7.2).
TAINTS = (
    "PROPRIETARY_MODULE",
    "FORCED_MODULE",
    "CPU_OUT_OF_SPEC",
    "FORCED_RMMOD",
    "MACHINE_CHECK",
    "BAD_PAGE",
    "USER",
    "DIE",
    "OVERRIDDEN_ACPI_TABLE",
    "WARN",
    "CRAP",
    "FIRMWARE_WORKAROUND",
    "OOT_MODULE",
    "UNSIGNED_MODULE",
    "SOFTLOCKUP",
    "LIVEPATCH",
    "AUX",
    "RANDSTRUCT",
    "TEST",
    "FWCTL",
)

# domain.md A.7, 4: upstream version, the distribution's own counter, flavour.
_RELEASES = (
    re.compile(r"\d+\.\d+\.\d+-\d+-(?P<flavour>[a-z][\w-]*)\Z"),  # Ubuntu; Debian without +deb or -0.deb
    re.compile(r"\d+\.\d+\.\d+(\+deb\d+(\.\d+)?|-0\.deb\d+\.\d+)-(?P<flavour>(rt-|cloud-)?\w+)\Z"),  # Debian
    re.compile(r"\d+\.\d+\.\d+-[\w.~^]+?\.(el\w+|oe\w+|fc\d+)\.\w+(\+(?P<flavour>\w+))?\Z"),  # EL, openEuler
    re.compile(r"\d+\.\d+\.\d+-[\d.]+-(?P<flavour>\w+)\Z"),  # SUSE
)

# How linux-base splits a release (perl/DebianLinux.pm, version_split).
_ELEMENT = re.compile(r"\d+|-?[^-\d]+|-")

ReleaseKey = Tuple[Tuple[int, int, str], ...]


def flavour(release: str) -> Optional[str]:
    """``cloud-amd64`` of ``6.1.0-47-cloud-amd64``; None for a release that no distribution would spell so."""
    for pattern in _RELEASES:
        found = pattern.match(release)
        if found:
            return found.group("flavour")
    return None


def series(release: str) -> Optional[str]:
    """``6.1`` of ``6.1.0-47-cloud-amd64``."""
    found = re.match(r"(\d+\.\d+)(?!\d)", release)
    return found.group(1) if found else None


def release_key(release: str) -> ReleaseKey:
    """Sort key of releases, in the order of Debian's ``linux-version``: never compare flavours with it.

    Numbers as numbers; ``-rc`` and ``-trunk`` before everything, the end of the string before anything else.
    """
    key: List[Tuple[int, int, str]] = []
    for element in _ELEMENT.findall(release):
        if element.isdigit():
            key.append((2, int(element), ""))
        elif element in ("-rc", "-trunk"):
            key.append((0, 0, element))
        else:
            key.append((3, 0, element))
    return (*key, (1, 0, ""))


def taint_names(value: int) -> List[str]:
    """The kernel's own names of the bits of ``/proc/sys/kernel/tainted``, lowest bit first."""
    bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
    return [TAINTS[bit] if bit < len(TAINTS) else f"BIT_{bit}" for bit in bits]


def debian_version_of(proc_version: str) -> Optional[str]:
    """The package version that ``/proc/version`` tells, in Debian's or in Ubuntu's way; None for another kernel.

    Debian writes it out. Ubuntu gives the release and the number of the upload: ``5.15.0-112-generic`` and
    ``#122-Ubuntu`` are ``5.15.0-112.122``, ``#122~20.04.1-Ubuntu`` is ``5.15.0-112.122~20.04.1``.
    """
    # Only behind the '#': the compiler before it has a Debian version of its own.
    before, _hash, build = proc_version.partition(" #")
    debian = re.search(r"\bDebian (\d\S*) \(\d{4}-\d\d-\d\d\)", build)
    if debian:
        return debian.group(1)
    release = re.match(r"Linux version (\d+\.\d+\.\d+-\d+)-[a-z]", before)
    upload = re.match(r"(\d+(?:~\d[\d.]*)?)-Ubuntu\b", build)
    if release and upload:
        return f"{release.group(1)}.{upload.group(1)}"
    return None


def ubuntu_version_of(signature: str) -> Optional[str]:
    """The package version in ``/proc/version_signature``: ``Ubuntu 5.15.0-112.122-generic 5.15.149``."""
    found = re.match(r"Ubuntu (\d\S*?)-[a-z][a-z0-9-]*(?:\s|\Z)", signature)
    return found.group(1) if found else None
