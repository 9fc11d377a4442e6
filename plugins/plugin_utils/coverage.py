# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What brings a node back from a new kernel that fails, by failure, and what nothing covers. Pure.

What resets it for which failure was measured (lab.md 5 and 10); a means that was not proved covers nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.plugin_utils import order, readings

# Two ways of a trial.
ONCE, KEXEC = "once", "kexec"
# Does a watchdog that is locked on (nowayout) stay so through a kexec? The kernel stops it on the way, where its driver
# asked for that: i6300esb keeps the lock in the device (measured), iTCO_wdt does not (lab.md 10). Others: not known.
THROUGH_KEXEC = {"i6300ESB": True, "iTCO_wdt": False}


class Case(NamedTuple):
    """``panic``: what the line of the trial will say; 0: nothing."""

    kernel: Any
    old: str
    new: str
    guard: int
    panic: int


# --- watchdogs ---------------------------------------------------------------------------------------


def named(dog: Any) -> str:
    return f"{dog['name']} ({dog['identity'] or 'identity unknown'})"


def _armed(seconds: float | None) -> bool:
    """systemd's setting: null arms it as well, with the device's own time-out."""
    return seconds is None or seconds > 0


def ticking(kernel: Any) -> tuple[Any, str]:
    """(the hardware watchdog that systemd keeps ticking, or None; why none is)"""
    dogs, systemd = kernel["watchdogs"], kernel["systemd_watchdog"]
    if dogs is None:
        return None, f"whether there is a watchdog is unknown ({readings.why(kernel, 'watchdogs')})"
    if not dogs:
        return None, "this machine has no watchdog"
    wanted = (systemd["device"] if systemd else "").rpartition("/")[2]
    wanted = "watchdog0" if wanted in ("", "watchdog") else wanted
    # A device by another name may be any of them: one that is armed, somebody keeps ticking.
    mine = [dog for dog in dogs if dog["name"] == wanted] or dogs
    hard = [dog for dog in mine if dog["hardware"]]
    if not hard:
        return None, f"{', '.join(map(named, mine))} is no hardware: it dies with its kernel"
    if systemd is None:
        return (
            None,
            f"whether systemd keeps a watchdog ticking is unknown ({readings.why(kernel, 'systemd_watchdog')})",
        )
    if not _armed(systemd["runtime"]):
        return None, f"systemd does not keep {named(hard[0])} ticking (RuntimeWatchdogSec is 0)"
    armed = next((dog for dog in hard if dog["active"]), None)
    if armed:
        return armed, ""
    why = readings.why(kernel, f"watchdogs.{hard[0]['name']}.active")
    off = f"whether it is armed is unknown ({why})" if hard[0]["active"] is None else "it is not armed"
    return None, f"RuntimeWatchdogSec is set, but of {named(hard[0])} {off}"


def through_kexec(kernel: Any) -> tuple[Any, str]:
    """(the watchdog that stays armed from one kernel into the next, or None; why none does)"""
    dog, why = ticking(kernel)
    if dog is None:
        return None, why
    if not _armed(kernel["systemd_watchdog"]["kexec"]):
        return None, f"systemd stops {named(dog)} before a kexec (KExecWatchdogSec is 0)"
    if dog.get("nowayout") is not True:
        told = "unknown" if dog.get("nowayout") is None else "off"
        return None, f"the kernel stops {named(dog)} on the way into a kexec (nowayout is {told})"
    words = kernel["cmdline"]["tokens"] if kernel["cmdline"] else []
    if cmdline.last(words, "watchdog.stop_on_reboot") == "0":
        return dog, ""
    keeps = next((keeps for name, keeps in THROUGH_KEXEC.items() if dog["identity"].startswith(name)), None)
    if keeps:
        return dog, ""
    stops = (
        "the kernel stops it"
        if keeps is False
        else "whether the kernel stops it was not measured with this driver"
    )
    return (
        None,
        f"{named(dog)} is locked on, but on the way into a kexec {stops} (watchdog.stop_on_reboot=0 keeps it)",
    )


# --- what comes back by itself -----------------------------------------------------------------------

PANIC = "a panic of the kernel, in the initrd or of PID 1, and a broken initrd"
GATE = "a gate that does not pass"
NETWORK = "a dead network, or a controller that is gone"
UNIT = "a unit that hangs while the system starts"
LATER = "a hang of the kernel or of PID 1, once systemd has armed the watchdog"
EARLY = "a hang before systemd arms a watchdog"
BY_HAND = "another kernel has to be chosen in the boot loader's menu, at the console"
COMMITTED = (
    "the ordinary boot after the commit: the first boot through the boot loader comes after the commit: what fails in "
    "it, such as an initrd that the loader cannot read, nothing covers"
)
OUTSIDE = "only a power cycle from outside (BMC, hypervisor) helps"


def cover(case: Case, way: str) -> tuple[list[str], list[str]]:
    """(covered, uncovered), a sentence for each failure."""
    old = case.old
    covered, uncovered = [], []
    if case.panic:
        when = f"{case.panic} s after" if case.panic > 0 else "right after"
        covered.append(
            f"{PANIC}: panic={case.panic} on the command line resets the machine {when}, into {old}"
        )
    else:
        uncovered.append(
            f"{PANIC}: without panic= on the command line the machine stands still (kernel_upgrade_panic)"
        )
    covered.append(f"{GATE}: the role orders one reboot, and {old} is still the default")
    if case.guard:
        covered.append(
            f"{NETWORK}: unless the kernel is confirmed, the guard reboots the node {case.guard} s after systemd "
            f"started, into {old}"
        )
        covered.append(f"{UNIT}: the same guard, which waits for no other unit")
    else:
        uncovered.append(f"{NETWORK}: there is no guard (kernel_upgrade_guard is 0); {OUTSIDE}")
        uncovered.append(f"{UNIT}: there is no guard (kernel_upgrade_guard is 0); {OUTSIDE}")
    dog, why = ticking(case.kernel)
    if dog:
        covered.append(f"{LATER}: {named(dog)} resets the machine{_after(dog)}, into {old}")
    else:
        uncovered.append(f"a hang of the kernel or of PID 1: {why}; {OUTSIDE}")
    through, why = through_kexec(case.kernel)
    if way == KEXEC and through:
        covered.append(
            f"{EARLY}: {named(through)} is locked on, and resets the machine{_after(through)}, into {old}"
        )
    elif way == KEXEC:
        uncovered.append(f"{EARLY}: {why}; {OUTSIDE}")
    else:
        uncovered.append(
            f"{EARLY}: the reset before a boot through the boot loader disarms every watchdog; {OUTSIDE}"
        )
    return covered, uncovered + _limits(case, way)


def _after(dog: Any) -> str:
    return f" after {dog['timeout']} s" if dog["timeout"] is not None else ""


def _limits(case: Case, way: str) -> list[str]:
    """What else a person has to know before the trial."""
    found = []
    words = case.kernel["cmdline"]["tokens"] if case.kernel["cmdline"] else []
    root = cmdline.last(words, "root") or ""
    if way == ONCE and root.startswith("PARTUUID=") and cmdline.panic_timeout(words) == -1:
        # GRUB_FORCE_PARTUUID (Ubuntu's cloud images, grub 10_linux): the first try has no initrd, the second has one.
        found.append(
            f"a kernel that needs its initrd: this image boots without one first (root={root}, panic=-1), and the "
            f"second try is {case.old} already: the trial fails though {case.new} could boot"
        )
    if way == KEXEC:
        found.append(COMMITTED)
    upload = order.newer_upload(case.kernel)
    if upload and upload["package"] and case.kernel["package"]:
        found.append(
            f"the way back itself is untried: {case.old} is on the disk in version {upload['package']['version']}, "
            f"and runs in version {case.kernel['package']['version']}"
        )
    return found


def direct(case: Case, by_hand: str) -> list[str]:
    """Nothing comes back by itself."""
    panics = f"the machine resets into {case.new} again" if case.panic else "the machine stands still"
    return [
        f"{PANIC}: {panics}; {by_hand}",
        f"{GATE}: {case.new} is the default already; {by_hand}",
        f"{NETWORK}: nothing goes back by itself; {by_hand}",
        f"{UNIT}: nothing goes back by itself; {by_hand}",
        f"a hang of the kernel or of PID 1, early or late: any reset comes to {case.new} again; {by_hand}",
    ]
