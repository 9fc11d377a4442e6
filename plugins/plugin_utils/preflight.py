# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands in the way of a kernel change: all of it at once, each with its remedy. Pure.

Nothing has been changed when this is asked. What a check needs and could not be read is a problem as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import apt, dpkg
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.plugin_utils import coverage, readings, target, trial
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory
from ansible_collections.fleetops.kernel.plugins.plugin_utils.trial import Problem, problem

# The facts that are read here, beside those that a trial reads.
READS = tuple("container packages dkms boot_space secure_boot modules".split())
READ_IT = "mend what keeps it from being read, and run this again"
# domain.md A.6: the next kernel's files are a little larger. An initrd that is made again (by a trigger of dpkg, right
# after the first time) is written beside the one that is there; the kernel's other files are not.
GROWTH = 1.2
# Debian and Ubuntu sign kernels in source packages of their own.
SIGNED = "linux-signed"
HEADERS = ("linux-headers-", "kernel-devel-")
EXTRA = "linux-modules-extra-"
# From here on, Ubuntu has all modules of a kernel in one package.
WITHOUT_EXTRA = 7
UNSIGNED = "-unsigned"
# Of dpkg's status, the second letter.
_STATES = {
    "H": "half-installed",
    "U": "unpacked",
    "F": "half-configured",
    "W": "waiting for triggers",
    "t": "triggers pending",
}


class _Case(NamedTuple):
    """``new``: the release of the target; ``disk``: what is on the disk of it, ``runs``: of the running kernel."""

    kernel: Any
    target: Mapping[str, Any]
    way: str
    old: str
    new: str
    runs: Any
    disk: Any
    said: Mapping[str, Any]
    advisories: Sequence[Advisory]
    accept_advisories: Sequence[str]
    allow_series_change: bool
    release_held: bool
    repair: bool

    @property
    def todo(self) -> list[str]:
        """The packages that are still to be installed."""
        return list(self.target.get("packages") or [])

    @property
    def whole(self) -> bool:
        """Is the target's image there in full?"""
        return bool(
            self.disk and self.disk["package"] and self.disk["package"]["status"].strip() in target.INSTALLED
        )


def kernel_preflight(
    facts: Mapping[str, Any],
    want: Mapping[str, Any],
    packages: Any = None,
    way: Any = None,
    advisories: Sequence[Advisory] = (),
    accept_advisories: Sequence[str] | str = (),
    allow_series_change: bool = False,
    release_held: bool = False,
    repair: bool = False,
) -> list[Problem]:
    """All problems of a change to *want* (of `kernel_target`), tried as *way* (of `kernel_trial`) says.

    *packages*: what the module kernel_packages returned in check mode; its problems but for a lock (``kind``: locked),
    and the refusals of the trial, are among them. *repair*: packages that are there in part are mended first.
    """
    kernel = target.kernel_of(facts, *trial.READS, *READS)
    if kernel["container"]:
        text = "This is a container, whose kernel is that of the machine it runs on"
        return [problem(text, "run this against that machine")]
    found: list[Problem] = []
    if kernel["container"] is None:
        found.append(_unknown(kernel, "container", "Whether this is a container"))
    said = {**packages} if isinstance(packages, Mapping) else {}
    # A lock passes: the download waits for it, and nothing has been changed until then.
    said["problems"] = [one for one in said.get("problems") or () if one.get("kind") != apt.LOCKED]
    chosen = way if isinstance(way, Mapping) else {}
    new, old = str(want["release"]), kernel["release"] or ""
    case = _Case(
        kernel=kernel,
        target=want,
        way=str(chosen.get("way") or ""),
        old=old,
        new=new,
        runs=readings.installed(kernel, old),
        disk=readings.installed(kernel, new),
        said=said,
        advisories=advisories,
        accept_advisories=accept_advisories.replace(",", " ").split()
        if isinstance(accept_advisories, str)
        else accept_advisories,
        allow_series_change=target.truth("kernel_upgrade_allow_series_change", allow_series_change),
        release_held=target.truth("kernel_upgrade_release_held", release_held),
        repair=target.truth("repair", repair),
    )
    others = (*said["problems"], *(chosen.get("refusals") or ()))
    found += [problem(str(one["problem"]), str(one["remedy"])) for one in others]
    for check in CHECKS:
        found += check(case)
    return list({one["problem"]: one for one in found}.values())


def _unknown(kernel: Any, path: str, what: str) -> Problem:
    return problem(f"{what} is unknown ({readings.why(kernel, path)})", READ_IT)


# --- the target --------------------------------------------------------------------------------------


def known_bad(case: _Case) -> Iterator[Problem]:
    """Is the target itself named by an advisory?"""
    version = _offered(case) or case.target.get("version")
    bad, doubtful = target.advisories_on(case.kernel, case.advisories, case.new, version)
    name = f"{case.new} ({version})" if version else case.new
    for one in bad:
        if one["id"] not in case.accept_advisories:
            text = f"{name} is itself named by the advisory {one['id']} ({one['severity']}): {one['title']}"
            yield problem(text, _accept(one))
    open_ = [(one, why) for one, why in doubtful if one["id"] not in case.accept_advisories]
    for why in dict.fromkeys(why for _one, why in open_):
        may = [one for one, because in open_ if because == why]
        which = ", ".join(f"{one['id']} ({one['severity']}: {one['title']})" for one in may)
        text = f"Whether {name} is itself named is unknown ({why}), by {len(may)} of the advisories: {which}"
        yield problem(text, f"refresh the package lists, so that it can be told; {_accept(*may)}")


def _accept(*those: Advisory) -> str:
    return (
        "kernel_upgrade_first_good: true takes one that no advisory names; "
        f"or accept it: kernel_upgrade_accept_advisories: [{', '.join(one['id'] for one in those)}]"
    )


def _offered(case: _Case) -> str | None:
    """The version that the package manager would install."""
    named = (one for one in case.said.get("packages") or [] if one.get("name") == case.target.get("package"))
    return next((str(one["version"]) for one in named if one.get("version")), None)


def series(case: _Case) -> Iterator[Problem]:
    """Is the target of another series than what runs, or would the boot loader prefer one of another series?"""
    if case.kernel["release"] is None:
        yield _unknown(case.kernel, "release", "The running kernel")
        return
    if case.allow_series_change:
        return
    mine, its = rules.series(case.old), rules.series(case.new)
    allow = "kernel_upgrade_allow_series_change: true"
    if mine is None or its is None:
        strange = case.new if its is None else case.old
        text = (
            f"Whether {case.new} is of the series of {case.old}, which runs, is unknown: {strange} names none"
        )
        yield problem(text, f"if that is meant: {allow}")
    elif mine != its:
        text = f"{case.new} is of the series {its}, and {case.old}, which runs, of the series {mine}"
        yield problem(text, f"choose a target of {mine}, or, if that is meant: {allow}")
    entry = case.kernel["next_boot"]
    if entry is None or entry["named_by"] in ("id", "title"):
        return
    above = [
        one["release"]
        for one in case.kernel["installed"] or []
        if one["bootable"] is not False
        and one["release"] not in (case.old, case.new)
        and rules.series(one["release"]) != its
        and rules.release_key(one["release"]) > rules.release_key(case.new)
    ]
    if above:
        first = max(above, key=rules.release_key)
        text = (
            f"{first}, of the series {rules.series(first)}, is installed too, and stands above {case.new} in the boot "
            "loader's menu: it would be the default, and the target only if it is pinned"
        )
        yield problem(
            text, f"remove {_image(case, first)}, choose a target of that series, or pin the target: {allow}"
        )


def _image(case: _Case, release: str) -> str:
    found = readings.installed(case.kernel, release)
    return str(found["package"]["name"]) if found and found["package"] else release


def signature(case: _Case) -> Iterator[Problem]:
    """With Secure Boot, would the firmware, or kexec, take the target?"""
    why = _unsigned(case)
    if not why:
        return
    signed = (
        "install the signed package of this release (without -unsigned in its name), or choose another target"
    )
    if case.kernel["secure_boot"]:
        yield problem(f"Secure Boot is on, and {case.new} is not signed: {why}", signed)
    elif case.kernel["secure_boot"] is None:
        because = readings.why(case.kernel, "secure_boot")
        yield problem(
            f"{case.new} is not signed ({why}), and whether Secure Boot is on is unknown ({because})", signed
        )
    elif case.way == coverage.KEXEC and case.kernel.get("lockdown") not in (None, "none"):
        text = (
            f"The kernel is locked down ({case.kernel['lockdown']}), and kexec takes no unsigned one: {why}"
        )
        yield problem(text, f"{signed}, or {trial.OPTION}: {coverage.ONCE}")


def _unsigned(case: _Case) -> str:
    """Why the target is not known to be signed; '' when it is."""
    package = case.disk["package"] if case.disk else None
    for name in (str(case.target.get("package") or ""), package["name"] if package else ""):
        if UNSIGNED in name:
            return f"its package is {name}"
    if case.disk and package is None:
        return "it is on the disk, and no package brought it"
    if rules.parse_release(case.new) is None:
        return "no distribution spells a kernel so, and who built it is unknown"
    family = (case.kernel["distro"] or {}).get("family")
    if family == "debian" and package and package["source"] and not package["source"].startswith(SIGNED):
        return f"its package {package['name']} is made from {package['source']}, not from {SIGNED}…"
    return ""


# --- room --------------------------------------------------------------------------------------------


def boot_space(case: _Case) -> Iterator[Problem]:
    """Is there room in /boot for the target's image and initrd?"""
    if case.whole and case.target.get("package") not in case.todo:
        return
    there = {one["release"]: one for one in case.kernel["installed"] or [] if one["bytes"]}
    sizes = {release: one["bytes"] for release, one in there.items()}
    if not sizes:
        yield _unknown(case.kernel, f"installed.{case.old}.bytes", "How much room a kernel needs in /boot")
        return
    space = case.kernel["boot_space"]
    if space is None:
        yield _unknown(case.kernel, "boot_space", "How much room /boot has")
        return
    like = case.old if case.old in sizes else max(sizes, key=lambda release: sizes[release])
    # Of one whose initrd was not measured, all may be initrd.
    initrd = there[like].get("initrd_bytes")
    initrd = sizes[like] if initrd is None else initrd
    need = round((sizes[like] + initrd) * GROWTH)
    if need <= space["free_bytes"]:
        return
    again = (
        f"{readings.mib(initrd)} for its initrd, which is written beside the old one when it is made again"
    )
    text = (
        f"{space['path']} is too small for {case.new}: it has {readings.mib(space['free_bytes'])} free, and "
        f"{readings.mib(need)} are needed: {readings.mib(sizes[like])} for the files of {like} and "
        f"{again}, times {GROWTH:g} for growth"
    )
    yield problem(text, _room(case, sizes))


def _room(case: _Case, sizes: Mapping[str, int]) -> str:
    """Kernels that nobody needs: never the running one, the next one and the target."""
    entry = case.kernel["next_boot"]
    kept = {case.old, case.new, entry["release"] if entry else ""}
    spare = [one for one in case.kernel["installed"] or [] if one["release"] not in kept and one["package"]]
    if not spare or entry is None:
        return f"enlarge {case.kernel['boot_space']['path']}, or take out of it what belongs to no kernel"
    family = (case.kernel["distro"] or {}).get("family")
    command = {"debian": "apt-get purge", "redhat": "dnf remove"}.get(family or "", "remove")
    names = " ".join(one["package"]["name"] for one in spare)
    freed = sum(sizes.get(one["release"], 0) for one in spare)
    return f"remove what neither runs nor boots next: {command} {names} (about {readings.mib(freed)})"


# --- modules -----------------------------------------------------------------------------------------


def dkms(case: _Case) -> Iterator[Problem]:
    """Will the target have what DKMS has built for the running kernel?"""
    if case.new == case.old:
        return
    if case.kernel["dkms"] is None:
        yield _unknown(case.kernel, "dkms", "Which modules DKMS builds")
        return
    its = [name for name, state in _states(case.kernel, case.old).items() if state.startswith("installed")]
    if not its or any(name.startswith(HEADERS) for name in case.todo):
        return
    names = ", ".join(its)
    if not case.whole:
        text = (
            f"DKMS has built {names} for {case.old}, which runs, and cannot for {case.new}: its headers are not among "
            "the packages to install, since those of the running kernel are not installed either"
        )
        yield problem(text, f"apt-get install linux-headers-{case.old}: those of the target then come along")
        return
    there = _states(case.kernel, case.new)
    missing = [name for name in its if not there.get(name, "").startswith("installed")]
    if missing:
        states = ", ".join(f"{name} ({there.get(name) or 'not built'})" for name in missing)
        text = f"{case.new} lacks what DKMS has installed for {case.old}, which runs: {states}"
        yield problem(text, f"apt-get install linux-headers-{case.new}; dkms autoinstall -k {case.new}")


def _states(kernel: Any, release: str) -> dict[str, str]:
    """The state of each of DKMS's modules for a kernel: the best of its versions."""
    found: dict[str, str] = {}
    for module in kernel["dkms"]:
        state = module["states"].get(release)
        if state and not found.get(module["name"], "").startswith("installed"):
            found[module["name"]] = state
    return found


def vendors(case: _Case) -> Iterator[Problem]:
    """Will the target have the vendors' modules that packages bring to the running kernel?"""
    if case.new == case.old or not case.runs:
        return
    # What is to be installed, the package manager itself finds or misses.
    there = [*(case.disk["prebuilt"] if case.disk else []), *_coming(case)]
    for vendor in case.runs["prebuilt"]:
        if vendor not in there and (case.whole or not dpkg.brings_vendor(case.new, vendor)):
            text = f"No package brings the modules of {vendor} to {case.new}, as one does to {case.old}, which runs"
            yield problem(
                text, f"install {dpkg.vendor_package(vendor, case.new)}, or choose a target that has it"
            )


def _coming(case: _Case) -> Iterator[str]:
    for found in map(dpkg.vendor_named, case.todo):
        if found and found[1] == case.new:
            yield found[0]


def modules(case: _Case) -> Iterator[Problem]:
    """Has the target the modules that are in use? Of one that is not there yet, the gate behind the install asks."""
    if case.new == case.old or not case.whole or any(name.startswith(EXTRA) for name in case.todo):
        return
    lacks = case.disk["lacks"]
    if lacks is None:
        path = f"installed.{case.new}.lacks"
        yield _unknown(case.kernel, path, f"Whether {case.new} has the modules in use")
    elif lacks:
        distro = (case.kernel["distro"] or {}).get("id")
        extra = distro == "ubuntu" and _major(case.new) < WITHOUT_EXTRA
        cure = f"apt-get install {EXTRA}{case.new}" if extra else "choose a target that has them"
        text = f"{case.new} lacks modules that are loaded now: {', '.join(lacks)} (/lib/modules/{case.new})"
        yield problem(text, cure)


def _major(release: str) -> int:
    return int((re.match(r"\d{1,9}", release) or ["0"])[0])


# --- the boot loader ---------------------------------------------------------------------------------


def boot_loader(case: _Case) -> Iterator[Problem]:
    """Would what is chosen be what boots?"""
    entry = case.kernel["next_boot"]
    if entry is None:
        yield trial.no_next_boot(case.kernel)
    else:
        # One for the target itself was left by a run that was cut short.
        if entry["once"] and not (entry["release"] == case.new and case.way == coverage.ONCE):
            yield trial.pending(case.kernel)
        if entry["named_by"] == "position":
            text = (
                f"The default is a position in the boot loader's menu, now {entry['release']} ({entry['because']}): "
                "another kernel comes to stand there as soon as one is installed"
            )
            yield problem(
                text,
                "set GRUB_DEFAULT=0 (the newest), or the id of an entry, in /etc/default/grub; update-grub",
            )
    if case.kernel["load_kexec"] is not False:
        yield trial.load_kexec(case.kernel)
    ours = case.kernel.get("trial")
    if ours and ours["release"] == case.old != case.new:
        text = (
            f"{case.old}, which runs, is itself on trial and was not confirmed: its guard reboots this node "
            f"{ours['guard_seconds']} s after its boot, in the midst of the change"
        )
        yield problem(text, f"confirm it first: run this with kernel_upgrade_release: {case.old}; or reboot")


# --- packages ----------------------------------------------------------------------------------------


def packages(case: _Case) -> Iterator[Problem]:
    """What the facts know of packages in the way, as far as kernel_packages did not say it already."""
    if case.kernel["packages"] is None:
        yield _unknown(case.kernel, "packages", "Whether packages of kernels are held or broken")
        return
    names = {*case.todo, str(case.target.get("package"))}
    if case.new == case.old and case.whole and not case.todo:
        names = set()
    held = sorted(names.intersection(case.kernel["packages"]["held"]) - _named(case, apt.HELD))
    if held and not case.release_held:
        text = f"{', '.join(held)} {'is' if len(held) == 1 else 'are'} held ({readings.asked(case.kernel)})"
        remedy = (
            f"apt-mark unhold {' '.join(held)}, or kernel_upgrade_release_held: true, which holds again after"
        )
        yield problem(text, remedy)
    known = _named(case, apt.UNFINISHED)
    broken = [one for one in case.kernel["packages"]["broken"] if one["name"] not in known]
    if broken and not case.repair:
        words = ", ".join(f"{one['name']} {one['version']} is {_state(one['status'])}" for one in broken)
        yield problem(f"{words} ({readings.asked(case.kernel)})", "dpkg --configure -a; apt-get -f install")


def _named(case: _Case, kind: str) -> set[str]:
    """The packages of which kernel_packages has said this already."""
    return {
        name for one in case.said["problems"] if one.get("kind") == kind for name in one.get("packages") or ()
    }


def _state(status: str) -> str:
    again = ", and must be installed again" if status[2:3] == "R" else ""
    return _STATES.get(status[1:2], f"in the state '{status}'") + again


CHECKS = (known_bad, series, signature, boot_space, dkms, vendors, modules, boot_loader, packages)
