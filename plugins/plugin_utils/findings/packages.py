# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Are the packages of kernels whole, and does the kernel that boots next have the modules that are in use? Pure.

A kernel that a remedy proposes and that is not installed yet has nothing to look at: these rules do not speak of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Evidence,
    Finding,
    InstalledKernel,
    KernelFacts,
    Pin,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    HIGH,
    MEDIUM,
    Case,
    finding,
    listed,
    no_answer,
)

# Of dpkg's status, the second letter (dpkg-query(1), db:Status-Abbrev).
_STATES = {
    "H": "half-installed",
    "U": "unpacked",
    "F": "half-configured",
    "W": "waiting for triggers",
    "t": "triggers pending",
}
_MEND = {
    "debian": "; apt and dpkg refuse other work until 'dpkg --configure -a' and 'apt-get -f install' are through",
    "redhat": "; see 'dnf check'",
}
_RELEASE_BY = {"debian": "apt-mark unhold", "redhat": "dnf versionlock delete"}
# Modules that one driver brings beside the one of its name: a row for each vendor, by the beginnings of the names.
_BRINGS = {
    "nvidia": ("nvidia", "gdrdrv"),
    "zfs": ("zfs", "spl", "znvpair", "zcommon", "zunicode", "zavl", "zlua", "zzstd", "icp"),
    "mlnx": ("mlx", "ib_", "rdma_", "iw_cm", "auxiliary", "memtrack", "knem", "xpmem", "mst_"),
    "virtualbox": ("vbox",),
}
# Built outside the tree, and yet part of every kernel of the distribution (Ubuntu's linux-modules, up to 6.17).
_OF_THE_DISTRIBUTION = {"ubuntu": ("zfs",)}
_SAME = {"ofed": "mlnx", "mlx": "mlnx", "spl": "zfs", "doca": "mlnx"}
PROC_MODULES = "/proc/modules"
# When it is not known which kernel boots next, the rules about it have nobody to speak of.
UNKNOWN_KERNEL = "kernels"


def packages_held(case: Case) -> list[Finding]:
    name = "packages-held", "packages"
    kernel = case["facts"]["kernel"]
    packages = kernel["packages"] if kernel else None
    if not kernel or kernel["container"] or packages is None:
        return [no_answer(*name, MEDIUM, kernel, "packages")]
    held, pins = packages["held"], [pin for pin in packages["pins"] or [] if _holds(pin)]
    if not held and packages["pins"] is None:
        return [no_answer(*name, MEDIUM, kernel, "packages.pins")]
    if not held and not pins:
        return [finding(*name, "ok", MEDIUM, "no package of a kernel is held", [])]
    pinned: list[Evidence] = [
        {
            "source": pin["source"],
            "text": f"Package: {pin['packages']}, Pin: {pin['pin']}, Pin-Priority: {pin['priority']}",
        }
        for pin in pins
    ]
    names, files = ([pin[part] for pin in pins] for part in ("packages", "source"))
    by_pin = f"a pin keeps versions of {listed(sorted({*names}))} away ({listed(sorted({*files}))})"
    if not held:
        return [finding(*name, "affected", MEDIUM, by_pin, pinned)]
    release_by = _RELEASE_BY.get((kernel["distro"]["family"] if kernel["distro"] else None) or "")
    reason = f"{listed(held)} {'is' if len(held) == 1 else 'are'} held: no update changes what is held"
    reason += f" ({release_by} lets it go)" if release_by else ""
    reason += f"; {by_pin}" if pins else ""
    evidence: list[Evidence] = [{"source": readings.asked(kernel), "text": f"held: {one}"} for one in held]
    return [finding(*name, "affected", MEDIUM, reason, evidence + pinned)]


def _holds(pin: Pin) -> bool:
    """Does a pin keep versions away? A negative priority: they are never installed; one version: no other is.

    Any other only says from where they come (apt_preferences(5)).
    """
    return pin["priority"] < 0 or pin["pin"].lower().startswith("version")


def packages_broken(case: Case) -> list[Finding]:
    name = "packages-broken", "packages"
    kernel = case["facts"]["kernel"]
    packages = kernel["packages"] if kernel else None
    if not kernel or kernel["container"] or packages is None:
        return [no_answer(*name, HIGH, kernel, "packages")]
    broken = packages["broken"]
    if not broken:
        return [finding(*name, "ok", HIGH, "every package of a kernel is there in full, or gone", [])]
    words = [f"{one['name']} {one['version']} is {_state(one['status'])}" for one in broken]
    family = kernel["distro"]["family"] if kernel["distro"] else None
    reason = listed(words) + _MEND.get(family or "", "")
    return [finding(*name, "affected", HIGH, reason, readings.packages(kernel, *broken))]


def module_missing(case: Case) -> list[Finding]:
    """Does the kernel that boots next lack modules that are loaded now?"""
    kernel = case["facts"]["kernel"]
    name, boots = _next("module-missing", kernel)
    if _boots_again(kernel):
        return [_again(name)]
    if not kernel or boots is None or boots["lacks"] is None:
        return [_no_next(name, HIGH, kernel, "lacks")]
    lacks, release = boots["lacks"], boots["release"]
    if not lacks:
        return [finding(*name, "ok", HIGH, f"{release} boots next, and has all modules that are loaded", [])]
    reason = f"{release} boots next, and lacks {_count(lacks)} loaded now: {listed(lacks)}"
    evidence: list[Evidence] = [
        {"source": PROC_MODULES, "text": listed(lacks)},
        {"source": f"/lib/modules/{release}", "text": "has none of these, neither as a file nor built in"},
    ]
    return [finding(*name, "affected", HIGH, reason + _extra(kernel, release), evidence)]


def dkms_missing(case: Case) -> list[Finding]:
    """Is a module that DKMS installed for the running kernel not installed for the one that boots next?"""
    kernel = case["facts"]["kernel"]
    name, boots = _next("dkms-missing", kernel)
    if _boots_again(kernel):
        return [_again(name)]
    if not kernel or boots is None or kernel["dkms"] is None or kernel["release"] is None:
        return [_no_next(name, HIGH, kernel, "dkms", "release")]
    running, release = kernel["release"], boots["release"]
    here, there = _dkms(kernel, running), _dkms(kernel, release)
    its = [one for one, state in here.items() if _installed(state)]
    missing = [one for one in its if not _installed(there.get(one, ""))]
    if not missing:
        reason = (
            f"{release} boots next, and has what DKMS installed for {running}: {listed(its) or 'nothing'}"
        )
        return [finding(*name, "ok", HIGH, reason, [])]
    states = [f"{one} ({there.get(one) or 'not built'})" for one in missing]
    reason = (
        f"{release} boots next, and DKMS has not installed for it what it has for {running}: {listed(states)} "
        f"(dkms autoinstall -k {release}, with that kernel's headers)"
    )
    evidence: list[Evidence] = [
        {
            "source": "/var/lib/dkms",
            "text": f"{one}: {here[one]} for {running}, {there.get(one) or 'not built'} for {release}",
        }
        for one in missing
    ]
    return [finding(*name, "affected", HIGH, reason, evidence)]


def vendor_module_missing(case: Case) -> list[Finding]:
    """Does the kernel that boots next lack a vendor's module that a package, or nobody known, brought to this one?"""
    kernel = case["facts"]["kernel"]
    name, boots = _next("vendor-module-missing", kernel)
    if _boots_again(kernel):
        return [_again(name)]
    prebuilt = kernel and readings.why(kernel, "installed.prebuilt") == readings.NO_REASON
    if not kernel or boots is None or kernel["packages"] is None or not prebuilt:
        return [_no_next(name, HIGH, kernel, "packages", "installed.prebuilt")]
    release, running = boots["release"], kernel["release"] or ""
    runs = readings.installed(kernel, running)
    its = runs["prebuilt"] if runs else []
    missing = [one for one in its if one not in boots["prebuilt"]]
    if missing:
        reason = (
            f"{release} boots next, and no package brings it {listed(missing)}, as one does for {running} "
            f"(install the packages of {listed(missing)} for {release})"
        )
        evidence: list[Evidence] = [
            {"source": readings.asked(kernel), "text": f"{one}: for {running}, not for {release}"}
            for one in missing
        ]
        return [finding(*name, "affected", HIGH, reason, evidence)]
    if kernel["modules"] is None or (kernel["modules"]["out_of_tree"] and kernel["dkms"] is None):
        return [_no_next(name, HIGH, kernel, "modules", "dkms")]
    always = _OF_THE_DISTRIBUTION.get(kernel["distro"]["id"] if kernel["distro"] else "", ())
    drivers = [*its, *always, *(one for one, state in _dkms(kernel, running).items() if _installed(state))]
    strange = [one for one in kernel["modules"]["out_of_tree"] if not _brought(one, drivers)]
    if strange:
        # Somebody's installer put them there: it may or may not have served the next kernel as well.
        reason = (
            f"cannot tell whether {release}, which boots next, has {listed(strange)}: built outside the "
            "kernel's tree, by neither DKMS nor a package that is known"
        )
        evidence = [{"source": PROC_MODULES, "text": f"{one}: out of tree"} for one in strange]
        return [finding(*name, "unknown", MEDIUM, reason, evidence)]
    reason = f"{release} boots next, and has the vendors' modules that packages bring to {running}"
    return [finding(*name, "ok", HIGH, f"{reason}: {listed(its) or 'none'}", [])]


# --- the kernel that boots next ----------------------------------------------------------------------


def _next(id_: str, kernel: KernelFacts | None) -> tuple[tuple[str, str], InstalledKernel | None]:
    """((id, subject), the kernel that boots next): None when it is unknown or not on the disk, and in a container."""
    entry = kernel["next_boot"] if kernel and not kernel["container"] else None
    if kernel is None or entry is None:
        return (id_, UNKNOWN_KERNEL), None
    return (id_, entry["release"]), readings.installed(kernel, entry["release"])


def _no_next(name: tuple[str, str], severity: str, kernel: KernelFacts | None, *paths: str) -> Finding:
    """What a rule about it says when it cannot answer; *paths* are of the facts, `lacks` of that kernel."""
    release = name[1]
    absent = kernel and kernel["installed"] is not None and not readings.installed(kernel, release)
    if absent and release != UNKNOWN_KERNEL:
        reason = f"cannot tell: {release}, which boots next, is not among the installed kernels"
        return finding(*name, "unknown", severity, reason, [])
    of_it = [f"installed.{release}.{path}" if path == "lacks" else path for path in paths]
    return no_answer(*name, severity, kernel, "next_boot", "installed", *of_it)


def _boots_again(kernel: KernelFacts | None) -> bool:
    """Does the running kernel boot next? Then it has what is in use."""
    entry = kernel["next_boot"] if kernel and not kernel["container"] else None
    return bool(kernel and entry and entry["release"] == kernel["release"])


def _again(name: tuple[str, str]) -> Finding:
    return finding(*name, "ok", HIGH, f"{name[1]} boots again, with the modules that it has", [])


def _extra(kernel: KernelFacts, release: str) -> str:
    """Where modules that a kernel lacks mostly are (domain.md 0.10, E.1): Ubuntu 7.0 and newer have them all in one."""
    distro = kernel["distro"]["id"] if kernel["distro"] else ""
    major = int((re.match(r"\d+", release) or ["0"])[0])
    package = f"linux-modules-extra-{release}" if distro == "ubuntu" and major < 7 else ""
    return f" (install {package} before the reboot)" if package else ""


def _dkms(kernel: KernelFacts, release: str) -> dict[str, str]:
    """The state of each of DKMS's modules for a kernel: the best of its versions."""
    states: dict[str, str] = {}
    for module in kernel["dkms"] or []:
        state = module["states"].get(release)
        if state and not _installed(states.get(module["name"], "")):
            states[module["name"]] = state
    return states


def _installed(state: str) -> bool:
    return state.startswith("installed")


def _brought(module: str, drivers: Iterable[str]) -> bool:
    """Does one of the drivers bring a module, as far as their names tell?"""
    return any(module.startswith(beginning) for driver in drivers for beginning in _beginnings(driver))


def _beginnings(driver: str) -> tuple[str, ...]:
    """``nvidia-535-server`` brings what begins with ``nvidia``; ``mlnx-ofed-kernel`` what begins with ``mlx``."""
    first = re.split(r"[-_.\d]", driver.lower(), maxsplit=1)[0]
    vendor = _SAME.get(first, first)
    whole = re.sub(r"[-.]", "_", driver.lower())
    return (*_BRINGS.get(vendor, ()), whole)


def _state(status: str) -> str:
    """dpkg's word in words; that of another package manager as it is."""
    return _STATES.get(status[1:2], f"in the state '{status}'") + (
        ", and must be installed again" if status[2:3] == "R" else ""
    )


def _count(names: list[str]) -> str:
    return "a module" if len(names) == 1 else f"{len(names)} modules"
