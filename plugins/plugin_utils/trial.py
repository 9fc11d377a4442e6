# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a new kernel is tried before it becomes the default, and what brings the node back if it fails. Pure.

Two ways: one boot through the boot loader (``once``), and a start by kexec (``kexec``). In both the default stays the
kernel that runs, so that whatever resets the machine brings it back (see `coverage`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.plugin_utils import order, readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.coverage import (
    BY_HAND,
    KEXEC,
    ONCE,
    Case,
    cover,
    direct,
    named,
    through_kexec,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.target import kernel_of

AUTO, DIRECT, NONE = "auto", "direct", "none"
WAYS = (AUTO, ONCE, KEXEC, DIRECT)
OPTION = "kernel_upgrade_trial"
# Boot loaders whose default, and whose entry for one boot, can be set by the id of an entry.
LOADERS = ("grub", "grub-bls")
CAN_BOOT, BOOTS_NEXT = "kernel_can_boot", "kernel_boots_next"
NO_TRIAL = f"{OPTION}: direct (no trial: the new kernel is the default from its first boot on)"
# The facts that are read here.
READS = tuple(
    "release distro package installed flavour cmdline boot_loader boot_environment next_boot load_kexec panic_sysctls "
    "watchdogs systemd_watchdog".split()
)
ENVIRONMENT = "/boot/grub/grubenv"
# Seconds from the start of systemd, and so of the guard, to the first gate; those of a boot after the guard's reset.
BEFORE_GATES, AFTER_GUARD = 120, 90


class Problem(TypedDict):
    """What stands in the way, and what takes it out of it. ``sentence``: both."""

    problem: str
    remedy: str
    sentence: str


class Trial(TypedDict):
    """How the target is tried. ``covered``, ``uncovered``: by failure, what brings the node back, or that nothing does.

    The rest is for the role: ``reboot``: there is something to boot into; ``pin``: keep the default on the running
    kernel before anything is installed; ``panic``: the command line needs a ``panic=``; ``gate``: what the installed
    target has to pass; ``default``: what any reset boots; ``reboot_command``: empty for an ordinary reboot;
    ``by_kexec``: the target runs, and kexec started it: the boot loader has not booted it since.
    """

    way: str  # once | kexec | direct | none
    because: str
    covered: list[str]
    uncovered: list[str]
    refusals: list[Problem]
    reboot: bool
    pin: bool
    panic: bool
    gate: str
    default: str
    reboot_command: str
    by_kexec: bool
    sentences: list[str]


def problem(text: str, remedy: str) -> Problem:
    """A problem as roles show it."""
    return {"problem": text, "remedy": remedy, "sentence": f"{text}. Remedy: {remedy}"}


def kernel_trial(
    facts: Mapping[str, Any],
    target: Mapping[str, Any],
    way: str = AUTO,
    guard: int = 600,
    panic: int = 10,
    packages: Any = None,
    gate_timeout: Any = None,
    reboot_timeout: Any = None,
) -> Trial:
    """Choose the way of the trial, or say why the one that is asked for is not open. *target*: of `kernel_target`.

    *packages*: what `kernel_packages` returned, which knows of a newer upload of the very release that runs.
    *gate_timeout*, *reboot_timeout*: how long the role waits, in seconds; of None nothing is asked. The guard has to
    outlast the gates, and the wait for the reboot the guard.
    """
    kernel = kernel_of(facts, *READS)
    if way not in WAYS:
        raise FleetopsError(f"{OPTION} is '{way}': expected one of {', '.join(WAYS)}")
    seconds, guard_seconds = _number("kernel_upgrade_panic", panic), _number("kernel_upgrade_guard", guard)
    new, old = str(target.get("release") or ""), kernel["release"]
    if not new:
        raise FleetopsError(
            "The target names no release: expected what fleetops.kernel.kernel_target returned"
        )
    if old is None:
        why = f"The running kernel is unknown ({readings.why(kernel, 'release')})"
        return _trial(
            NONE, "", default="", refusals=[problem(why, "mend what keeps the node from being read")]
        )
    own = _own_panic(kernel)
    waits = _waits(guard_seconds, gate_timeout, reboot_timeout)
    case = Case(kernel, old, new, guard_seconds, own or seconds)
    if new == old:
        return _same_release(case, target, way, packages, not own and seconds > 0)
    chosen, because, refusals = _choose(case, way, waits)
    if chosen == NONE:
        return _trial(NONE, because, default=old, refusals=refusals)
    covered, uncovered = ([], _untried(case)) if chosen == DIRECT else cover(case, chosen)
    return _trial(
        chosen,
        because,
        default=new if chosen == DIRECT else old,
        covered=covered,
        uncovered=uncovered,
        panic=not own and seconds > 0,
    )


def _trial(
    way: str,
    because: str,
    *,
    default: str,
    covered: Sequence[str] = (),
    uncovered: Sequence[str] = (),
    refusals: Sequence[Problem] = (),
    panic: bool = False,
    by_kexec: bool = False,
) -> Trial:
    return {
        "way": way,
        "because": because,
        "covered": list(covered),
        "uncovered": list(uncovered),
        "refusals": list(refusals),
        "reboot": way != NONE,
        "pin": way in (ONCE, KEXEC),
        "panic": panic,
        "gate": BOOTS_NEXT if way == DIRECT else CAN_BOOT,
        "default": default,
        "reboot_command": "systemctl kexec" if way == KEXEC else "",
        "by_kexec": by_kexec,
        "sentences": [
            *([because] if because else []),
            *(f"comes back by itself: {one}" for one in covered),
            *(f"NOT covered: {one}" for one in uncovered),
        ],
    }


def _number(name: str, value: Any) -> int:
    """Seconds; with ``-e`` a number is a text."""
    digits = str(value).strip()
    if isinstance(value, bool) or not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise FleetopsError(f"{name} is '{value}': expected seconds, 0 or more")
    return int(digits)


def _waits(guard: int, gate_timeout: Any, reboot_timeout: Any) -> list[Problem]:
    """Would the guard reboot a kernel that is still being judged, or the role give up before the guard is over?"""
    gates = 0 if gate_timeout is None else _number("node_maintenance_gate_timeout", gate_timeout)
    reboot = 0 if reboot_timeout is None else _number("node_maintenance_reboot_timeout", reboot_timeout)
    found = []
    if gate_timeout is not None and 0 < guard <= gates + BEFORE_GATES:
        text = (
            f"The guard reboots the trial after {guard} s (kernel_upgrade_guard), while the gates may still wait: "
            f"they have {gates} s (node_maintenance_gate_timeout), and begin up to {BEFORE_GATES} s after systemd"
        )
        remedy = (
            f"kernel_upgrade_guard: {gates + BEFORE_GATES + 1} or more (0: no guard), "
            "or a smaller node_maintenance_gate_timeout"
        )
        found.append(problem(text, remedy))
    if guard > 0 and 0 < reboot <= guard + AFTER_GUARD:
        text = (
            f"The role waits {reboot} s for a reboot (node_maintenance_reboot_timeout), and the guard brings "
            f"the node back only after {guard} s (kernel_upgrade_guard) and a boot of {AFTER_GUARD} s or more"
        )
        remedy = (
            f"node_maintenance_reboot_timeout: {guard + AFTER_GUARD + 1} or more (0: by itself), "
            "or a smaller kernel_upgrade_guard"
        )
        found.append(problem(text, remedy))
    return found


def _own_panic(kernel: Any) -> int:
    """The running command line's own ``panic=``; 0: none that reboots."""
    return (cmdline.panic_timeout(kernel["cmdline"]["tokens"]) or 0) if kernel["cmdline"] else 0


# --- the release that runs ---------------------------------------------------------------------------


def _same_release(case: Case, target: Mapping[str, Any], way: str, packages: Any, panic: bool) -> Trial:
    """A newer upload takes the place of the running one on the disk: there is nothing left to come back on."""
    upload = _upload(case, target, packages)
    if not upload:
        because = f"{case.new} runs, in the version that is installed: nothing is to be booted"
        by_kexec = started_by_kexec(case.kernel)
        if by_kexec:
            because += (
                ". kexec started it: where it became the default since then, the boot through the boot loader that "
                "belongs to that is made up for"
            )
        return _trial(NONE, because, default=case.old, by_kexec=by_kexec)
    runs = case.kernel["package"]["version"] if case.kernel["package"] else "the upload that runs"
    because = (
        f"{case.new} runs in version {runs}, and {upload} takes its place on the disk under the same name: "
        "the two cannot be told apart in the boot loader's menu, so no trial is possible"
    )
    if way in (ONCE, KEXEC):
        refusal = problem(f"{OPTION} is '{way}': {because}", NO_TRIAL)
        return _trial(NONE, because, default=case.old, refusals=[refusal])
    others = [
        one["release"]
        for one in case.kernel["installed"] or []
        if one["bootable"] and one["release"] != case.old
    ]
    gone = f"{case.old} in version {runs} is gone from the disk"
    if others:
        left = f"{gone}: should {upload} fail, {others[-1]} is there to boot"
        by_hand = f"{others[-1]} has to be chosen in the boot loader's menu, at the console"
    else:
        left = f"{gone}, and no other kernel that can boot is installed: there is nothing to go back to"
        by_hand = "only a rescue system helps"
    return _trial(DIRECT, because, default=case.new, uncovered=[left, *direct(case, by_hand)], panic=panic)


def started_by_kexec(kernel: Any) -> bool:
    """Has kexec started the running kernel? GRUB puts its image's name before every command line that it boots.

    grub-core/loader: LINUX_IMAGE, "BOOT_IMAGE=", of all architectures; next_boot and kexec-tools put none.
    """
    if kernel["boot_loader"] not in LOADERS or not kernel["cmdline"]:
        return False
    return not any(word.startswith("BOOT_IMAGE=") for word in kernel["cmdline"]["tokens"])


def _upload(case: Case, target: Mapping[str, Any], packages: Any) -> str:
    """The version that comes, or has come, in the place of the running one; '' for none."""
    known = packages.get("packages") if isinstance(packages, Mapping) else packages
    for one in known or []:
        if one.get("name") == target.get("package") and one.get("action") in ("install", "upgrade"):
            return str(one.get("version") or "a newer upload")
    found = order.newer_upload(case.kernel)
    if found and found["package"]:
        return str(found["package"]["version"])
    return "" if target.get("installed", True) or not target.get("package") else _coming(target)


def _coming(target: Mapping[str, Any]) -> str:
    """Only a missing or newer image is another upload: more modules for what runs are none."""
    return (
        str(target.get("version") or "its package")
        if target["package"] in (target.get("packages") or [])
        else ""
    )


# --- which way ---------------------------------------------------------------------------------------


def _choose(case: Case, way: str, waits: Sequence[Problem]) -> tuple[str, str, list[Problem]]:
    """(way, because, refusals)"""
    if way == DIRECT:
        return DIRECT, f"{OPTION} is 'direct': {case.new} is the default from its first boot on, untried", []
    both = [*waits, *_against_both(case)]
    against = {ONCE: both + _against_once(case), KEXEC: both + _against_kexec(case)}
    if way != AUTO:
        if against[way]:
            return NONE, f"{OPTION} is '{way}', which is not possible here", against[way]
        return way, f"{OPTION} is '{way}'", []
    dog, _why = through_kexec(case.kernel)
    if dog and not against[KEXEC]:
        because = (
            f"kexec: the hardware watchdog {named(dog)} is locked on, and systemd keeps it ticking through a kexec: "
            "even a hang before systemd starts ends in a reset, which a boot through the boot loader does not cover"
        )
        return KEXEC, because, []
    if not against[ONCE]:
        environment = case.kernel["boot_environment"]["because"]
        return ONCE, f"once: GRUB can take back an entry for one boot: {environment}", []
    if not against[KEXEC]:
        whys = "; ".join(one["problem"] for one in against[ONCE])
        return KEXEC, f"kexec, which needs nothing of the boot loader but its default. {whys}", []
    seen = [*against[ONCE], *(one for one in against[KEXEC] if one not in against[ONCE])]
    return NONE, "neither way of a trial is possible here", seen


def _against_both(case: Case) -> list[Problem]:
    """A trial of either kind comes back on the running kernel: it must be the default, and able to boot."""
    kernel, found = case.kernel, []
    loader = kernel["boot_loader"]
    if loader is None:
        why = readings.why(kernel, "boot_loader")
        found.append(problem(f"No trial: the boot loader is unknown ({why})", NO_TRIAL))
    elif loader not in LOADERS:
        text = f"No trial: the boot loader is {loader}, and a default is only set for {' and '.join(LOADERS)} yet"
        found.append(problem(text, NO_TRIAL))
    entry = kernel["next_boot"]
    if entry is None:
        found.append(no_next_boot(kernel))
    elif entry["once"] and entry["release"] != case.new:
        found.append(pending(kernel))
    disk = readings.installed(kernel, case.old)
    back = f"No trial: {case.old}, to come back on, "
    if kernel["installed"] is None:
        why = readings.why(kernel, "installed")
        found.append(
            problem(f"{back}may not be on the disk: the installed kernels are unknown ({why})", NO_TRIAL)
        )
    elif disk is None:
        found.append(problem(f"{back}is not on the disk any more", f"{_again(case)}, or {NO_TRIAL}"))
    elif disk["bootable"] is not True:
        lost = ", ".join(disk["missing"])
        why = readings.why(kernel, f"installed.{case.old}.bootable")
        text = f"cannot boot: {lost} is missing" if lost else f"may not be able to boot ({why})"
        found.append(problem(back + text, f"{_again(case)}, or {NO_TRIAL}"))
    return found


def _again(case: Case) -> str:
    """How the running kernel comes back to the disk. Not by the role: what took it away may do so again."""
    disk = readings.installed(case.kernel, case.old)
    platform = _platform.select(case.kernel["distro"])
    if platform is None or platform.FAMILY != "debian":
        return f"install {case.old} again"
    names = platform.to_install(case.old, (disk["beside"] if disk else None) or ())
    return f"install it again before anything else is changed: apt-get install --reinstall {' '.join(names)}"


def _against_once(case: Case) -> list[Problem]:
    kernel, found = case.kernel, []
    environment = kernel["boot_environment"]
    by_kexec = f"{OPTION}: kexec, or {NO_TRIAL}"
    if environment is None:
        why = readings.why(kernel, "boot_environment")
        text = f"No trial by the boot loader: whether GRUB can write its environment block is unknown ({why})"
        found.append(problem(text, by_kexec))
    elif environment["writable"] is not True:
        text = f"No trial by the boot loader: an entry for one boot would never be taken back: {environment['because']}"
        found.append(problem(text, by_kexec))
    if kernel["load_kexec"] is not False:
        found.append(load_kexec(kernel))
    return found


def _against_kexec(case: Case) -> list[Problem]:
    kernel, found = case.kernel, []
    name = "kernel.kexec_load_disabled"
    entry = kernel["next_boot"]
    if entry and entry["once"] and entry["release"] == case.new:
        # It is no harm to a boot through the boot loader, but the reset of a failed kexec would come to it.
        found.append(pending(kernel))
    # Of no sysctl at all, none was read.
    loads: Any = kernel["panic_sysctls"] or {name: None}
    if name not in loads:
        text = f"No trial by kexec: this kernel has no {name}: it was built without kexec"
        found.append(problem(text, f"{OPTION}: once, or {NO_TRIAL}"))
    elif loads[name] is None:
        why = readings.why(kernel, f"panic_sysctls.{name}")
        text = f"No trial by kexec: whether it may be loaded is unknown: {name} ({why})"
        found.append(problem(text, f"{OPTION}: once, or {NO_TRIAL}"))
    elif loads[name] != 0:
        text = f"No trial by kexec: {name} is {loads[name]}: until the next boot no kernel can be loaded"
        remedy = f"take it out of /etc/sysctl.d and reboot, or {OPTION}: once, or {NO_TRIAL}"
        found.append(problem(text, remedy))
    return found


def pending(kernel: Any) -> Problem:
    """Somebody has set an entry for the next boot only."""
    entry, environment = kernel["next_boot"], kernel["boot_environment"]
    path = environment["path"] if environment else ENVIRONMENT
    text = f"{entry['release']} is set to boot next, for one boot only ({entry['because']}), and any reset comes to it"
    ours = kernel.get("trial")
    if ours and ours["release"] == entry["release"]:
        text += ", set by a trial that was cut short"
    return problem(text, f"let it pass with a reboot, or take it back: grub-editenv {path} unset next_entry")


def no_next_boot(kernel: Any) -> Problem:
    """What any reset comes to is not known."""
    why = readings.why(kernel, "next_boot")
    return problem(
        f"Which kernel boots next is unknown ({why}), and so whether an entry for one boot is pending",
        "mend what keeps the boot loader's configuration from being read",
    )


def load_kexec(kernel: Any) -> Problem:
    """A reboot may not come to the boot loader at all."""
    if kernel["load_kexec"] is None:
        why = readings.why(kernel, "load_kexec")
        text = f"Whether a reboot is a kexec is unknown: LOAD_KEXEC in /etc/default/kexec ({why})"
    else:
        text = "LOAD_KEXEC is true in /etc/default/kexec: a reboot is a kexec, and never comes to the boot loader"
    return problem(text, "set LOAD_KEXEC=false in /etc/default/kexec")


def _untried(case: Case) -> list[str]:
    """A default from its first boot on; perhaps there is not even another kernel to choose."""
    disk = readings.installed(case.kernel, case.old)
    if case.kernel["installed"] is None or (disk and disk["bootable"] is not False):
        return direct(case, BY_HAND)
    gone = f"{case.old} is not on the disk in full: there is nothing to go back to ({_again(case)})"
    return [gone, *direct(case, "only a rescue system helps")]
