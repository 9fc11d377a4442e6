# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kernel boots next, and is a newer one waiting? Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import grub
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Evidence,
    Finding,
    InstalledKernel,
    KernelFacts,
    Livepatch,
    NextBoot,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, order, readings, versions
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    HIGH,
    LOW,
    MEDIUM,
    Case,
    finding,
    listed,
    no_answer,
)

LIVEPATCHES = "/sys/kernel/livepatch"


def next_boot_differs(case: Case) -> list[Finding]:
    """Is the kernel that boots next another than the running one, or one that cannot boot?

    A newer one is not told here, but by `newer_kernel_not_running`: unless it boots for once only.
    """
    name = "next-boot-differs", "boot"
    kernel = case["facts"]["kernel"]
    entry = kernel["next_boot"] if kernel else None
    running = kernel["release"] if kernel else None
    if not kernel or kernel["container"] or not entry or not running or kernel["installed"] is None:
        return [no_answer(*name, HIGH, kernel, "release", "next_boot", "installed")]
    release = entry["release"]
    evidence = [*readings.boots_next(entry), *readings.release(kernel)]
    boots = f"boots {release} next{', for one boot only' if entry['once'] else ''} ({entry['because']})"
    can, doubt = _can_boot(kernel, release)
    if can is False:
        return [finding(*name, "affected", HIGH, f"{boots}, but it cannot boot: {doubt}", evidence)]
    if release == running:
        if can is None:
            reason = f"cannot tell: {boots}, as it runs now, but whether it can boot is unknown ({doubt})"
            return [finding(*name, "unknown", HIGH, reason, evidence)]
        return [finding(*name, "ok", HIGH, f"boots {release} again", evidence)]
    if not entry["once"] and release in [one["release"] for one in _newer_kernels(kernel)[0]]:
        return []  # newer-kernel-not-running says it
    newer, why = _next_is_newer(kernel, release)
    severity = MEDIUM if newer is None or (newer and entry["once"]) else LOW if newer else HIGH
    direction = {
        True: f"it is newer than {running}, which runs: a reboot brings it",
        False: f"it is OLDER than {running}, which runs: a reboot falls back to it",
        None: f"{running} runs, and which of the two is newer is not said ({why})",
    }[newer]
    unsure = f"; whether it can boot is unknown ({doubt})" if can is None else ""
    return [finding(*name, "affected", severity, f"{boots}; {direction}{unsure}", evidence)]


def boot_entry_by_position(case: Case) -> list[Finding]:
    """Is the boot entry a mere number, at which another kernel can come to stand?"""
    name = "boot-entry-by-position", "boot"
    kernel = case["facts"]["kernel"]
    entry = kernel["next_boot"] if kernel else None
    if not kernel or kernel["container"] or not entry:
        return [no_answer(*name, MEDIUM, kernel, "next_boot")]
    evidence = readings.boots_next(entry)
    if entry["named_by"] != "position":
        how = "what stands first" if entry["named_by"] == "first" else f"its {entry['named_by']}"
        return [finding(*name, "ok", MEDIUM, f"the boot entry is named by {how}", evidence)]
    reason = (
        f"the boot entry is a position in the menu, now {entry['release']} ({entry['because']}): another kernel comes "
        "to stand there when one is installed or removed (name it by its id)"
    )
    return [finding(*name, "affected", MEDIUM, reason, evidence)]


def default_pinned(case: Case) -> list[Finding]:
    """Is the boot entry one and the same kernel's, so that those that are installed later do not boot by themselves?

    A mere number is told by `boot_entry_by_position`.
    """
    name = "default-pinned", "boot"
    kernel = case["facts"]["kernel"]
    entry = kernel["next_boot"] if kernel else None
    if not kernel or kernel["container"] or not entry:
        return [no_answer(*name, LOW, kernel, "next_boot")]
    ours = kernel["pinned"]
    evidence = readings.boots_next(entry)
    if ours:
        named: Evidence = {"source": ours["path"], "text": f"GRUB_DEFAULT={ours['entry']}"}
        reason = (
            f"the boot entry is pinned to {ours['release']} by a file of this collection, which a kernel change leaves "
            "when it was not finished, or when the site's own settings lead elsewhere: later kernels, fixes of "
            "security among them, do not boot by themselves (finish it, or choose another one with next_boot)"
        )
        return [finding(*name, "affected", LOW, reason, [named, *evidence])]
    if entry["once"]:
        return []  # next-boot-differs says it; what is chosen for good is not read before that boot is over
    if not grub.holds(entry):
        reason = "the boot entry is not pinned to a kernel"
        return [finding(*name, "ok", LOW, reason, evidence)]
    pinned = f"the boot entry is {entry['release']} by its {entry['named_by']} ({entry['because']})"
    if kernel["distro"] and kernel["distro"]["family"] == "redhat":
        return [_named_by_packages(name, kernel, entry, pinned, evidence)]
    reason = f"{pinned}: later kernels, fixes of security among them, do not boot by themselves"
    return [finding(*name, "affected", LOW, reason, evidence)]


def _named_by_packages(
    name: tuple[str, str], kernel: KernelFacts, entry: NextBoot, pinned: str, evidence: list[Evidence]
) -> Finding:
    """Red Hat's packages name the kernel that they install: an entry is pinned when it is not the newest one."""
    newer, doubts = _newer_kernels(kernel)
    newest = newer[-1]["release"] if newer else kernel["release"]
    if kernel["installed"] is None or doubts or newest is None:
        why = listed(doubts) or readings.why(kernel, "installed")
        return finding(*name, "unknown", LOW, f"cannot tell: {pinned}; {why}", evidence)
    if newest == entry["release"]:
        reason = f"{pinned}, the newest one: packages of this family name the kernel that they install"
        return finding(*name, "ok", LOW, reason, evidence)
    return finding(
        *name, "affected", LOW, f"{pinned}, and {newest} is newer: it does not boot by itself", evidence
    )


def newer_kernel_not_running(case: Case) -> list[Finding]:
    """Is a newer kernel of the same flavour and source package installed? Another one is never compared."""
    name = "newer-kernel-not-running", "kernel"
    kernel = case["facts"]["kernel"]
    running = kernel["release"] if kernel else None
    installed = kernel["installed"] if kernel else None
    if not kernel or kernel["container"] or installed is None or not running:
        return [no_answer(*name, MEDIUM, kernel, "release", "installed")]
    newer, doubts = _newer_kernels(kernel)
    evidence = [*readings.running(kernel), *readings.packages(kernel, *(one["package"] for one in newer))]
    if newer:
        severity, reason = _waits(kernel, newer[-1])
        return [finding(*name, "affected", severity, reason, evidence + _marker(kernel))]
    if doubts:
        return [finding(*name, "unknown", MEDIUM, f"cannot tell: {listed(doubts)}", evidence)]
    if kernel["package"] is None or kernel_rules.parse_release(running) is None:
        return [no_answer(*name, MEDIUM, kernel, "package", "flavour")]
    reason = f"no newer kernel of the flavour and source package of {running} is installed"
    return [finding(*name, "ok", MEDIUM, reason, evidence)]


def livepatched(case: Case) -> list[Finding]:
    """Is the running kernel another than its release says?"""
    name = "livepatched", "kernel"
    kernel = case["facts"]["kernel"]
    patches = kernel["livepatches"] if kernel else None
    if not kernel or kernel["container"] or patches is None:
        return [no_answer(*name, LOW, kernel, "livepatches")]
    evidence = [*readings.release(kernel), *(_patch(patch) for patch in patches)]
    pending = [patch["name"] for patch in patches if patch["transition"]]
    if pending:
        reason = f"a live patch is not in force everywhere yet: {listed(pending)} is in transition"
        return [finding(*name, "affected", MEDIUM, reason, evidence)]
    enabled = [patch for patch in patches if patch["enabled"]]
    if enabled:
        levels = [
            patch["name"] + (f" (level {patch['level']})" if patch["level"] else "") for patch in enabled
        ]
        reason = f"{kernel['release']} is patched while it runs: its level is not what uname says, but {listed(levels)}"
        return [finding(*name, "affected", LOW, reason, evidence)]
    unsure = [patch["name"] for patch in patches if patch["enabled"] is None]
    if unsure:
        whys = [readings.why(kernel, f"livepatches.{one}.enabled") for one in unsure]
        reason = f"cannot tell whether {listed(unsure)} is enabled ({'; '.join(dict.fromkeys(whys))})"
        return [finding(*name, "unknown", LOW, reason, evidence)]
    return [finding(*name, "ok", LOW, "no live patch is enabled", evidence)]


def in_the_way(kernel: KernelFacts, release: str) -> str | None:
    """What keeps the boot loader from taking a kernel for good, once it is installed; None: nothing that is known."""
    entry = kernel["next_boot"]
    if entry is None:
        return None
    first, because = entry["release"], entry["because"]
    if entry["once"]:
        return f"{first} boots next, for one boot only ({because}): let that pass first"
    if first == release:
        return None
    installed = readings.installed(kernel, release) is not None
    if entry["named_by"] == "position":
        return f"the boot entry is a position in the menu, now {first} ({because}): name it by its id first"
    if grub.holds(entry):
        # Red Hat's packages name the kernel that they install.
        if kernel["boot_loader"] == "grub-bls" and not installed:
            return None
        return f"the boot entry is pinned to {first} by {because}: unpin it first"
    if _sorts_above(release, first):
        return None
    return f"{first} stands first in the boot loader's menu, above {release}: remove it, or name the entry to boot"


def _sorts_above(release: str, other: str) -> bool:
    """In the menu, where kernels of all flavours stand in one order."""
    try:
        return versions.newer_kernel_than(release, other)
    except FleetopsError:
        return kernel_rules.release_key(release) > kernel_rules.release_key(other)


# --- which is newer ----------------------------------------------------------------------------------


def _newer_kernels(kernel: KernelFacts) -> tuple[list[InstalledKernel], list[str]]:
    """(kernels of the kind that runs that are newer and can boot, oldest first; a clause for each that may be one)."""
    newer: list[InstalledKernel] = []
    doubts: list[str] = []
    for one in kernel["installed"] or []:
        if not _of_its_kind(kernel, one):
            continue
        answer, why = _newer(kernel, one)
        if answer is None:
            doubts.append(f"whether {one['release']} is newer is unknown ({why})")
        elif answer and one["bootable"] is None:
            why = readings.why(kernel, f"installed.{one['release']}.bootable")
            doubts.append(f"{one['release']} is newer, but whether it can boot is unknown ({why})")
        elif answer and one["bootable"]:
            newer.append(one)
    return _oldest_first(kernel, newer), doubts


def _oldest_first(kernel: KernelFacts, found: list[InstalledKernel]) -> list[InstalledKernel]:
    """Kernels of one kind: by their packages, else by their releases."""
    packages = [one["package"] for one in found]
    if len(found) > 1 and kernel["distro"] and all(packages):
        by = versions.order_of(kernel["distro"]["id"])
        return sorted(
            found, key=lambda one: versions.key(one["package"]["version"] if one["package"] else "", by)
        )
    return sorted(found, key=lambda one: kernel_rules.release_key(one["release"]))


def _of_its_kind(kernel: KernelFacts, one: InstalledKernel) -> bool:
    """Is it of the flavour, the scheme and, where both are known, the source package of the running kernel?"""
    here = kernel_rules.parse_release(kernel["release"] or "")
    there = kernel_rules.parse_release(one["release"])
    if here is None or there is None or (here.flavour, here.scheme) != (there.flavour, there.scheme):
        return False
    mine, its = kernel["package"], one["package"]
    if not mine or not its or not mine["source"] or not its["source"]:
        return True
    return matching.source_of(mine["source"]) == matching.source_of(its["source"])


def _newer(kernel: KernelFacts, one: InstalledKernel) -> tuple[bool | None, str]:
    package = one["package"]
    return order.newer(matching.subject_of(kernel), one["release"], package["version"] if package else None)


def _next_is_newer(kernel: KernelFacts, release: str) -> tuple[bool | None, str]:
    found = readings.installed(kernel, release)
    if found is None:
        return None, "it is not among the installed kernels"
    if not _of_its_kind(kernel, found):
        return None, "it is of another flavour or another source package"
    return _newer(kernel, found)


def _can_boot(kernel: KernelFacts, release: str) -> tuple[bool | None, str]:
    """With what it lacks, or why that is not known."""
    found = readings.installed(kernel, release)
    if found is None:
        return None, "it is not among the installed kernels"
    if found["bootable"] is False:
        return False, f"{listed(found['missing']) or 'the reader does not say what'} is missing"
    return found["bootable"], readings.why(kernel, f"installed.{release}.bootable")


def _waits(kernel: KernelFacts, newest: InstalledKernel) -> tuple[str, str]:
    """(severity, reason): what keeps the newest kernel from running."""
    running, release, entry = kernel["package"], newest["release"], kernel["next_boot"]
    if release == kernel["release"]:
        disk = newest["package"]["version"] if newest["package"] else "another"
        was = running["version"] if running else "unknown"
        reason = f"{release} is installed in version {disk}, and runs in version {was}"
    else:
        reason = f"{release} is installed, and {kernel['release']} runs"
    if entry is None:
        return MEDIUM, f"{reason}; which kernel boots next is unknown ({readings.why(kernel, 'next_boot')})"
    if entry["release"] == release:
        return LOW, f"{reason}; it boots next: a reboot brings it"
    return MEDIUM, f"{reason}; a reboot does not bring it: {entry['release']} boots next ({entry['because']})"


def _marker(kernel: KernelFacts) -> list[Evidence]:
    """The marker that asks for a reboot, where there is one."""
    marker = kernel["reboot_required"]
    if marker is None or not marker["required"]:
        return []
    asks = listed(marker["packages"]) or "no package is named"
    return [{"source": marker["source"], "text": f"asks for a reboot: {asks}"}]


def _patch(patch: Livepatch) -> Evidence:
    words = [f"enabled {_digit(patch['enabled'])}", f"transition {_digit(patch['transition'])}"]
    return {"source": f"{LIVEPATCHES}/{patch['name']}", "text": ", ".join(words)}


def _digit(value: bool | None) -> str:
    return "unknown" if value is None else str(int(value))
