# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Kernel releases, versions and taint: take apart, order, name. Pure."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

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

# What uname(2) can hold of a release (kernel, include/uapi/linux/utsname.h __NEW_UTS_LEN).
LONGEST_RELEASE = 64

# The flavours that tell Debian's kernels from Ubuntu's of the same form (source package linux of Debian 11 to 14,
# debian/config), and SUSE's (kernel-source, config.conf).
_DEBIAN_FLAVOURS = (
    r"(?:rt-|cloud-)?(?:amd64|arm64(?:-16k)?|686(?:-pae)?|armmp(?:-lpae)?|marvell|rpi|powerpc64le(?:-64k)?|riscv64|s390x"
    r"|loong64|loongson-3|octeon|[45]kc-malta|mips(?:32|64)r2el)"
)
_SUSE_FLAVOURS = r"(?:default|longterm|preempt|kvmsmall|vanilla|64kb|pae|lpae|debug)"

# domain.md A.7, 4: upstream version, the distribution's own counter, flavour. ``branch``: the part of the name that
# says within what the counter counts.
_UPSTREAM = r"(?P<upstream>\d+\.\d+\.\d+)"
_RPM_ABI = r"(?P<abi>[\w.~^]+?\.(?P<branch>el\d+|oe\d+|fc\d+)(?:_\d+|sp\d+|a)?(?P<uek>uek)?)"
_RELEASES = tuple(
    (scheme, re.compile(pattern + r"\Z", re.ASCII))
    for scheme, pattern in (
        ("debian", rf"{_UPSTREAM}-(?P<abi>\d+)-(?P<flavour>{_DEBIAN_FLAVOURS})"),
        (
            "debian",
            rf"{_UPSTREAM}(?P<abi>\+(?P<branch>deb\d+|bpo)(?:\.\d+)?)-(?P<flavour>{_DEBIAN_FLAVOURS})",
        ),
        (
            "debian",
            rf"{_UPSTREAM}-(?P<abi>(?P<branch>0\.(?:deb\d+|bpo))\.\d+)-(?P<flavour>{_DEBIAN_FLAVOURS})",
        ),
        # Of testing, before Debian 13: uploads were not counted.
        ("debian", rf"{_UPSTREAM}-(?P<flavour>{_DEBIAN_FLAVOURS})"),
        ("suse", rf"{_UPSTREAM}-(?P<abi>\d+)-(?P<flavour>{_SUSE_FLAVOURS})"),
        ("suse", rf"{_UPSTREAM}-(?P<abi>(?P<branch>\d+)(?:\.\d+)+)-(?P<flavour>\w+)"),
        # Not 6.5.3-060503-generic: the builds of the mainline archive are no package of the distribution.
        ("ubuntu", r"(?P<upstream>\d+\.\d+\.0)-(?P<abi>\d+)-(?P<flavour>[a-z][\w-]*)"),
        # RHEL and those like it, Fedora, openEuler; `el9uek` is Oracle's own kernel.
        ("rpm", rf"{_UPSTREAM}-{_RPM_ABI}\.(?P<architecture>\w+)(?:\+(?P<flavour>[\w-]+))?"),
    )
)
# kernel-rt of RHEL 8 and of RHEL 9.0 to 9.2 has its mark within the counter: 4.18.0-553.16.1.rt7.357.el8_10.
_RT_COUNTER = re.compile(r"\.rt\d+\.\d+\.", re.ASCII)

# How linux-base splits a release (perl/DebianLinux.pm, version_split).
_ELEMENT = re.compile(r"[0-9]+|-?[^-0-9]+|-")

ReleaseKey = Tuple[Tuple[int, int, str], ...]


class Release(NamedTuple):
    """A release taken apart: ``6.1.0``, ``47``, ``6.1``, ``cloud-amd64``, ``debian``.

    ``scheme`` is ubuntu, debian, suse or rpm; of an rpm, ``upstream-abi`` is the package's version and release.
    ``flavour`` None: the distribution's plain kernel, which has no mark (rpm only). ``branch`` is what counters must
    share to be comparable: ``deb13``, ``el9``, ``oe2203``; "" where the name has no such part. ``architecture`` None:
    the name does not tell it.
    """

    upstream: str
    abi: str
    series: str
    flavour: Optional[str]
    scheme: str
    branch: str
    architecture: Optional[str]


def parse_release(release: str) -> Optional[Release]:
    """Take a release apart as its distribution put it together; None for one that no distribution would spell so."""
    if len(release) > LONGEST_RELEASE:
        return None
    for scheme, pattern in _RELEASES:
        found = pattern.match(release)
        if found:
            return _release_of(scheme, found.groupdict())
    return None


def series(release: str) -> Optional[str]:
    """``6.1`` of ``6.1.0-47-cloud-amd64``."""
    found = re.match(r"([0-9]+\.[0-9]+)(?![0-9])", release)
    return found.group(1) if found else None


def release_key(release: str) -> ReleaseKey:
    """Sort key of releases, in the order of Debian's ``linux-version``: never compare flavours with it.

    Numbers as numbers, all else by ASCII; ``-rc`` and ``-trunk`` before everything, the end of the string before
    anything else.
    """
    key: List[Tuple[int, int, str]] = []
    for element in _ELEMENT.findall(release):
        if "0" <= element[0] <= "9":
            # As a number, but without making one: Python refuses those of thousands of digits.
            digits = element.lstrip("0")
            key.append((3, len(digits), digits))
        elif element in ("-rc", "-trunk"):
            key.append((0, 0, element))
        else:
            key.append((2 if element < "0" else 4, 0, element))
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
    found = re.match(r"Ubuntu ([0-9][^\s-]*-[^\s-]+)-[a-z][a-z0-9-]*(?:\s|\Z)", signature)
    return found.group(1) if found else None


def ubuntu_upstream_of(signature: str) -> Optional[str]:
    """The upstream stable release that ``/proc/version_signature`` tells as its third word: ``5.15.149``."""
    words = signature.split()
    if len(words) == 3 and words[0] == "Ubuntu" and re.match(r"\d+\.\d+\.\d+\Z", words[2], re.ASCII):
        return words[2]
    return None


def _release_of(scheme: str, groups: Dict[str, Optional[str]]) -> Release:
    upstream, abi = groups["upstream"] or "", groups.get("abi") or ""
    kind = groups.get("flavour") or groups.get("uek")
    if scheme == "rpm" and not kind and _RT_COUNTER.search(abi):
        kind = "rt"
    return Release(
        upstream,
        abi,
        series(upstream) or "",
        kind,
        scheme,
        groups.get("branch") or "",
        groups.get("architecture"),
    )
