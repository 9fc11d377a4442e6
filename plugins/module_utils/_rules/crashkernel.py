# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The ``crashkernel=`` parameter: its grammar, what it reserves, and whether a capture kernel fits. Pure.

Sizes are bytes. Grammar and meaning: Documentation/admin-guide/kdump/kdump.rst (domain.md C.1).
"""

from __future__ import annotations

import re
from typing import List, Optional, Tuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bounds
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.kernel import series
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KdumpFacts, KernelFacts

MIB = 1 << 20
# What kernels since 5.16 or so round System RAM up to before they look for its range (kernel/crash_core.c
# parse_crashkernel_mem); older ones do not, so that there a machine just below a limit falls into the range before.
RAM_GRAIN = 128 * MIB

# With an initrd of this size, 64, 80 and 96 MiB hung on 6.1 and 112 and 128 MiB dumped (lab.md 4; x86_64, no PCI
# drivers); bare kernels 5.15 to 7.0 need no less (domain.md C.8).
SEEN_SERIES = "6.1"
SEEN_INITRD = int(8.6 * MIB)
SEEN_HANGING = 96 * MIB
# The most that a kernel alone took in domain.md C.8: 100 MiB for 6.1 with a zstd initrd, and one step above it.
KERNEL_AT_MOST = 104 * MIB
# Unpacked size by packed size when the former is not known (domain.md C.7).
UNPACKED_RATIO = 4
# systemd, udev and makedumpfile from the real root: at 112 MiB a dump was seen, so this is margin, not need.
USER_SPACE = 64 * MIB

# The next kernel's initrd is not this one's: a tenth more keeps the verdict when it grows a little.
SAFE_GROWTH = 10
SAFE_GRAIN = 32 * MIB
SAFE_AT_LEAST = 192 * MIB
SAFE_WITHOUT_INITRD = 256 * MIB
# What is reserved is lost to the machine: more than this part of its memory is a decision, and not a default.
SAFE_PART = 4

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
# At most what 64 bits hold, which is what memparse (lib/cmdline.c) counts in.
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18}|0X[0-9A-F]{1,16})([KMGTPE]?)\Z", re.IGNORECASE | re.ASCII)
_EXPECTED = (
    "expected a size such as 224M, 256M@64M, 512M,high or 72M,low, or ranges such as 2G-4G:320M,4G-:512M"
)


class Request(TypedDict):
    """A parsed value. ``ranges`` are (from, up to but without, size); a plain size is one range without end."""

    ranges: List[Tuple[int, Optional[int], int]]
    offset: Optional[int]
    kind: str  # "" | high | low | cma


class Term(TypedDict):
    name: str
    bytes: int
    source: str


class Estimate(TypedDict):
    """``fits`` null: between the two limits nothing was measured, or an input is unknown."""

    fits: Optional[bool]
    reserved: Optional[int]
    too_small_up_to: int
    fits_from: int
    terms: List[Term]
    reason: str


def parse_size(text: str) -> int:
    """``80M`` in bytes. Units K to E are powers of 1024, as in the kernel's memparse."""
    found = _SIZE.match(text)
    if not found:
        raise FleetopsError(f"'{text}' is not a size with a unit K, M, G or T")
    return (
        int(found.group(1), 16 if found.group(1)[:2] in ("0x", "0X") else 10)
        << _UNITS[found.group(2).upper()]
    )


def parse(value: str) -> Request:
    """Take a value apart. Raises FleetopsError for what the kernel would not understand."""
    try:
        return _parse(bounds.within(value, bounds.PARAMETER, "it"))
    except FleetopsError as error:
        raise FleetopsError(
            f"crashkernel={value[: bounds.PARAMETER]} is malformed: {error.msg}; {_EXPECTED}", value=value
        ) from error


def check(value: str) -> str:
    """Give back a value that the kernel understands and that reserves something, else raise FleetopsError."""
    request = parse(value)
    for _low, _high, size in request["ranges"]:
        if size < MIB and not (
            request["kind"] == "low" and size == 0
        ):  # "0,low": none below 4 GiB, on purpose
            raise FleetopsError(
                f"crashkernel={value} is malformed: {size} bytes cannot hold a kernel; {_EXPECTED}",
                value=value,
            )
    return value


def reserved_for(value: str, memory_bytes: Optional[int]) -> Optional[int]:
    """What a current kernel sets aside for *value* on a machine with this memory; 0 when no range fits it.

    None when it depends on memory that is unknown, and for the ``,low`` and ``,cma`` parts, which are no
    reservation by themselves. For ``,high`` the part below 4 GiB, which the kernel adds, is not counted.
    """
    request = parse(value)
    if request["kind"] in ("low", "cma"):
        return None
    ranges = request["ranges"]
    if len(ranges) == 1 and ranges[0][:2] == (0, None):
        return ranges[0][2]
    if memory_bytes is None:
        return None
    memory = _round_up(memory_bytes, RAM_GRAIN)
    for start, end, size in ranges:
        if start <= memory and (end is None or memory < end):
            return size
    return 0


def estimate(kernel: KernelFacts, kdump: KdumpFacts) -> Estimate:
    """Does the capture kernel fit into what is reserved? True only with margin, False only below what was seen to fail.

    Measured on x86_64 only, with one CPU in the capture kernel and no PCI drivers to speak of.
    """
    reserved = kdump["reservation"]["bytes"]
    initrd = kdump["capture"]["initrd_bytes"]
    packed = initrd if initrd is not None else SEEN_INITRD
    source = kdump["capture"]["initrd"] if initrd is not None else "not known: the size seen in the lab"
    terms: List[Term] = [
        {"name": "kernel", "bytes": KERNEL_AT_MOST, "source": "the most measured on kernels 5.15 to 7.0"},
        {"name": "initrd, packed", "bytes": packed, "source": str(source)},
        {
            "name": "initrd, unpacked",
            "bytes": UNPACKED_RATIO * packed,
            "source": f"{UNPACKED_RATIO} times its packed size",
        },
        {"name": "user space", "bytes": USER_SPACE, "source": "margin for systemd, udev and makedumpfile"},
    ]
    # A larger initrd needs at least its own size more; a smaller one saves its packed and its unpacked size.
    more = packed - SEEN_INITRD
    too_small = max(0, SEEN_HANGING + (more if more > 0 else (1 + UNPACKED_RATIO) * more))
    enough = sum(term["bytes"] for term in terms)
    fits, reason = _fits(kernel, kdump, too_small, enough)
    return {
        "fits": fits,
        "reserved": reserved,
        "too_small_up_to": too_small,
        "fits_from": enough,
        "terms": terms,
        "reason": reason,
    }


def safe_size(kernel: KernelFacts, kdump: KdumpFacts) -> str:
    """A value for ``crashkernel=`` with which :func:`estimate` says that it fits, such as ``224M``.

    What is reserved now stays when it is enough: a default takes nothing away that a site has set aside.
    Raises FleetopsError when none is known, or when a new one would take more than a quarter of the memory.
    """
    architecture = kernel["architecture"]
    if architecture != "x86_64":
        raise FleetopsError(
            f"No safe crashkernel size is known for the architecture '{architecture or 'unknown'}', only for x86_64: "
            "name one"
        )
    size = _safe_bytes(kernel, kdump)
    reserved = kdump["reservation"]["bytes"]
    if reserved is not None and (reserved >= size or estimate(kernel, kdump)["fits"]):
        return _as_requested(kdump["reservation"]["requested"], reserved)
    memory = kernel["memory_bytes"]  # what is reserved now included
    if memory is not None and size * SAFE_PART > memory:
        raise FleetopsError(
            f"The safe crashkernel size here is {size // MIB}M, more than a quarter of this machine's {_mib(memory)} "
            "of memory: name a size"
        )
    return f"{size // MIB}M"


def _safe_bytes(kernel: KernelFacts, kdump: KdumpFacts) -> int:
    initrd = kdump["capture"]["initrd_bytes"]
    if initrd is None:
        return SAFE_WITHOUT_INITRD
    grown = (1 + UNPACKED_RATIO) * initrd // SAFE_GROWTH
    return max(SAFE_AT_LEAST, _round_up(estimate(kernel, kdump)["fits_from"] + grown, SAFE_GRAIN))


def _as_requested(requested: List[str], reserved: int) -> str:
    """What is reserved, in the words that asked for it if they are a plain size, else in MiB."""
    if requested and _SIZE.match(requested[-1]) and parse_size(requested[-1]) == reserved:
        return requested[-1]
    return f"{_round_up(reserved, MIB) // MIB}M"


def _fits(kernel: KernelFacts, kdump: KdumpFacts, too_small: int, enough: int) -> Tuple[Optional[bool], str]:
    reserved = kdump["reservation"]["bytes"]
    if reserved is None:
        why = kdump["unknown"].get("reservation.bytes", "no reason given")
        return None, f"how much is reserved is unknown ({why})"
    if reserved == 0:
        return False, "nothing is reserved"
    if kernel["architecture"] != "x86_64":
        return (
            None,
            f"nothing was measured on {kernel['architecture'] or 'an unknown architecture'}, only on x86_64",
        )
    if kdump["capture"]["initrd_bytes"] is None:
        why = kdump["unknown"].get("capture.initrd_bytes", "no reason given")
        return None, f"the size of the capture kernel's initrd is unknown ({why})"
    have = f"{_mib(reserved)} are reserved"
    if reserved <= too_small:
        # What hung with a smaller initrd hangs with a larger one.
        seen = (
            reserved <= SEEN_HANGING
            and kdump["capture"]["initrd_bytes"] >= SEEN_INITRD
            and series(kernel["release"] or "") == SEEN_SERIES
        )
        limit, how = (SEEN_HANGING, "was seen") if seen else (too_small, "is estimated")
        return False, f"{have}; up to {_mib(limit)} the capture kernel {how} to run out of memory"
    if reserved >= enough:
        return True, f"{have}; from {_mib(enough)} on it fits with margin"
    return (
        None,
        f"{have}; nothing was measured between {_mib(too_small)} (too small) and {_mib(enough)} (fits)",
    )


def _mib(size: int) -> str:
    return f"{size / MIB:.1f}".rstrip("0").rstrip(".") + " MiB"


def _round_up(size: int, grain: int) -> int:
    return -(-size // grain) * grain


def _parse(value: str) -> Request:
    if value.lower() == "auto":
        raise FleetopsError("'auto' is known to kernels of RHEL 8 and older only")
    body, comma, kind = value.rpartition(",")
    if comma and kind in ("high", "low", "cma"):
        return {"ranges": [(0, None, parse_size(body))], "offset": None, "kind": kind}
    body, at, offset = value.partition("@")
    start_at = parse_size(offset) if at else None
    if ":" not in body:
        return {"ranges": [(0, None, parse_size(body))], "offset": start_at, "kind": ""}
    return {"ranges": [_range(part) for part in body.split(",")], "offset": start_at, "kind": ""}


def _range(text: str) -> Tuple[int, Optional[int], int]:
    limits, colon, size = text.partition(":")
    start, dash, end = limits.partition("-")
    if not (colon and dash):
        raise FleetopsError(f"'{text}' is not a range")
    first, last = parse_size(start), parse_size(end) if end else None
    if last is not None and last <= first:
        raise FleetopsError(f"the range '{text}' ends before it begins")
    return first, last, parse_size(size)
