# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was read of a node, as evidence: the very words, and where they stand. Pure."""

from __future__ import annotations

from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    ActorsFacts,
    Evidence,
    InstalledKernel,
    KdumpFacts,
    KernelFacts,
    LinksFacts,
    NextBoot,
    Package,
)


class NodeFacts(TypedDict):
    """What the readers of one node returned; null for a reader that did not run."""

    kernel: KernelFacts | None
    kdump: KdumpFacts | None
    links: LinksFacts | None
    actors: ActorsFacts | None


NO_REASON = "no reason given"
CONTAINER = (
    "this is a container: kernel and kdump are those of the machine that it runs on, so assess that one"
)


def release(kernel: KernelFacts) -> list[Evidence]:
    if kernel["release"] is None:
        return []
    return [{"source": "/proc/sys/kernel/osrelease", "text": kernel["release"]}]


def running(kernel: KernelFacts) -> list[Evidence]:
    found = release(kernel)
    if kernel["version"] is not None:
        found.append({"source": "/proc/sys/kernel/version", "text": kernel["version"]})
    return found


def boots_next(entry: NextBoot) -> list[Evidence]:
    return [{"source": entry["entry"], "text": entry["because"]}]


# Who was asked about packages, by family.
_ASKED = {"debian": "dpkg-query --show", "redhat": "rpm --query"}


def packages(kernel: KernelFacts, *found: Package | None) -> list[Evidence]:
    """A line for each package: its name, its version, and the package manager's word on it."""
    return [
        {
            "source": asked(kernel),
            "text": f"{package['name']} {package['version']} {package['status']}".strip(),
        }
        for package in found
        if package is not None
    ]


def asked(kernel: KernelFacts) -> str:
    """Who answers for the packages of this distribution."""
    distro = kernel["distro"]
    return _ASKED.get((distro["family"] if distro else None) or "", "the package manager")


def reserved(kdump: KdumpFacts) -> list[Evidence]:
    reservation = kdump["reservation"]
    asked = " ".join(f"crashkernel={value}" for value in reservation["requested"] or [])
    found: list[Evidence] = [{"source": "/proc/cmdline", "text": asked}] if asked else []
    if reservation["bytes"] is not None:
        found.append({"source": "/sys/kernel/kexec_crash_size", "text": str(reservation["bytes"])})
    return found


def loaded(kdump: KdumpFacts) -> list[Evidence]:
    loaded = kdump["capture"]["loaded"]
    return [] if loaded is None else [{"source": "/sys/kernel/kexec_crash_loaded", "text": str(int(loaded))}]


def initrd(kdump: KdumpFacts) -> list[Evidence]:
    capture = kdump["capture"]
    if capture["initrd"] is None or capture["initrd_bytes"] is None:
        return []
    return [{"source": capture["initrd"], "text": f"{capture['initrd_bytes']} bytes"}]


def line(kdump: KdumpFacts) -> list[Evidence]:
    capture = kdump["capture"]
    if capture["cmdline"] is None:
        return []
    return [{"source": capture["source"] or "the capture kernel", "text": capture["cmdline"]["raw"]}]


def room(kdump: KdumpFacts) -> list[Evidence]:
    target = kdump["target"]
    if target is None:
        return []
    free = "free space unknown" if target["free_bytes"] is None else f"{target['free_bytes']} bytes free"
    return [{"source": target["path"], "text": f"{target['kind']}, {free}"}]


def watchdogs(kernel: KernelFacts) -> list[Evidence]:
    states = {True: "active", False: "inactive", None: "state unknown"}
    return [
        {
            # ipmi_watchdog of older kernels has no class device.
            "source": f"/sys/{'class/watchdog' if dog['name'].startswith('watchdog') else 'module'}/{dog['name']}",
            "text": f"{dog['identity'] or 'identity unknown'}: {states[dog['active']]}",
        }
        for dog in kernel["watchdogs"] or []
    ]


def installed(kernel: Any, release: str | None) -> InstalledKernel | None:
    """The kernel of that release on the disk."""
    return next((one for one in kernel["installed"] or [] if one["release"] == release), None)


def why(facts: Any, path: str) -> str:
    """The reader's reason for a null reading: of the path itself, or of the nearest part that holds it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        reason = facts["unknown"].get(".".join(parts[:length]))
        if reason:
            return str(reason)
    return NO_REASON


def mib(size: float) -> str:
    return f"{round(size / crashkernel.MIB, 1):g} MiB"
