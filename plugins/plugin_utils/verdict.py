# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""If this node panics now, it dumps, reboots, hangs, or it is unknown: by the three nets. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Evidence,
    KdumpFacts,
    KernelFacts,
    OnPanic,
    Watchdog,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings

# Bytes below which no dump is promised to have room: the least that one took here was 20 MB (lab.md 4), with margin.
LEAST_DUMP = 64 << 20
# What a dump without free and user pages takes of the memory: 5 to 15 % by experience (domain.md C.4, Space). In the
# lab it was less (2 %), so that below it nothing is certain either way.
LEAST_SHARE = 0.05

_KDUMP_EVIDENCE = (readings.reserved, readings.loaded, readings.initrd, readings.line, readings.room)


def on_panic(facts: readings.NodeFacts, breaks_kdump: Sequence[str] = ()) -> OnPanic:
    """Does this node dump, reboot or hang if it panics now? By the three nets, and never better than they prove.

    ``reboots`` is what is certain: where the reservation or the dump's target cannot be judged it may dump as well.
    ``hangs`` is said only when each net is known to be missing. *breaks_kdump*: the advisories that name this kernel,
    or may name it, as one whose dump fails; with one of them no dump is promised, however large the reservation is.
    """
    kernel, kdump = facts["kernel"], facts["kdump"]
    if kernel is None or kdump is None:
        return _outcome("unknown", f"the {'kdump' if kernel else 'kernel'} facts were not read", [])
    evidence = [
        *(item for read in _KDUMP_EVIDENCE for item in read(kdump)),
        *readings.watchdogs(kernel),
    ]
    if kernel["container"]:
        return _outcome("unknown", readings.CONTAINER, evidence)
    loaded = kdump["capture"]["loaded"]
    watchdog, dog = _watchdog_net(kernel)
    if loaded is None:
        why = f"whether a capture kernel is loaded is unknown ({readings.why(kdump, 'capture.loaded')})"
        # With an armed watchdog it comes back either way.
        return _outcome("reboots" if watchdog else "unknown", f"{dog}; {why}" if watchdog else why, evidence)
    if not loaded:
        return _without_capture(kernel, watchdog, dog, evidence)
    estimate = crashkernel.estimate(kernel, kdump)
    reboots, words = capture_net(kdump, "it")
    kept, where = target_net(kernel, kdump)
    if estimate["fits"] and not breaks_kdump:
        because = f"a capture kernel is loaded and fits ({estimate['reason']})"
        if not kept:
            because += f"; but {where}: {_REBOOTS if kept is None else _NO_DUMP}"
        if reboots is False and watchdog is False:
            because += f"; but should it fail for another reason, nothing would reboot it: {words}, and {dog}"
        return _outcome("dumps" if kept else "reboots", because + _limits(kernel, kdump), evidence)
    small = estimate["fits"] is False
    if estimate["fits"]:
        doubt = f"and fits, but with this kernel its dump may fail all the same ({', '.join(breaks_kdump)})"
    else:
        doubt = f"but {'does not fit' if small else 'whether it fits is not known'} ({estimate['reason']})"
    because = f"a capture kernel is loaded, {doubt}"
    net = words if reboots else dog if watchdog else None
    if net is not None:
        lost = "" if small or kept is not False else f", and {where}"
        also = _NO_DUMP if small or lost else _REBOOTS
        return _outcome("reboots", f"{because}; {net}{lost}: {also}", evidence)
    provable = small and reboots is False and watchdog is False
    return _outcome("hangs" if provable else "unknown", f"{because}, {words}, and {dog}", evidence)


_NO_DUMP = "there will be no dump"
_REBOOTS = "it reboots at least, and may dump"


def target_net(kernel: KernelFacts, kdump: KdumpFacts) -> tuple[bool | None, str]:
    """Can the dump be kept where it goes? With a clause. What no drill has proved is null."""
    target = kdump["target"]
    if target is None:
        return None, f"where the dump goes is unknown ({readings.why(kdump, 'target')})"
    if target["kind"] != "local":
        return None, f"the dump goes to {target['path']} ({target['kind']}), and no drill has proved it"
    free = target["free_bytes"]
    if free is None:
        return (
            None,
            f"the free space of {target['path']} is unknown ({readings.why(kdump, 'target.free_bytes')})",
        )
    if free < LEAST_DUMP:
        have = f"{target['path']} has {readings.mib(free)} free, of {readings.mib(LEAST_DUMP)} at least"
        return False, f"the dump has no room: {have}"
    memory = kernel["memory_bytes"]
    if memory is None:
        why = readings.why(kernel, "memory_bytes")
        return None, f"how large a dump is to be expected is unknown ({why}; {_free(target['path'], free)})"
    least = round(memory * LEAST_SHARE)
    if free < least:
        usual = f"a dump of {readings.mib(memory)} of memory mostly takes {readings.mib(least)} or more"
        return None, f"whether the dump has room is not known: {usual}, and {_free(target['path'], free)}"
    return True, f"{target['path']} has room for the dump"


def _free(path: str, free: int) -> str:
    return f"{path} has {readings.mib(free)} free"


def _limits(kernel: KernelFacts, kdump: KdumpFacts) -> str:
    """What the verdict on a capture kernel that fits does not hold for; each in a clause."""
    limits = ""
    dog = _armed(kernel)
    if dog is not None and dog["timeout"] is not None:
        limits += (
            f"; the hardware watchdog {dog['name']} ({dog['timeout']} s) may cut a dump that takes longer"
        )
    service = kdump["service"]
    if service is not None and service["enabled"] is False:
        limits += f"; {service['name']} is not enabled for the next boot"
    return limits


def _without_capture(
    kernel: KernelFacts, watchdog: bool | None, dog: str, evidence: list[Evidence]
) -> OnPanic:
    """No image is loaded: the panicking kernel itself reboots after ``kernel.panic`` seconds, or never for 0."""
    seconds = kernel["panic_sysctls"].get("kernel.panic")
    nothing = "no capture kernel is loaded, so there will be no dump"
    if seconds is None:
        why = readings.why(kernel, "panic_sysctls.kernel.panic")
        if watchdog:
            return _outcome("reboots", f"{nothing}; kernel.panic is unknown ({why}), but {dog}", evidence)
        return _outcome("unknown", f"{nothing}, and kernel.panic is unknown ({why})", evidence)
    evidence = [*evidence, {"source": "/proc/sys/kernel/panic", "text": str(seconds)}]
    if seconds != 0:
        return _outcome("reboots", f"{nothing}; kernel.panic={seconds} reboots it", evidence)
    if watchdog:
        return _outcome("reboots", f"{nothing}; kernel.panic=0 waits for ever, but {dog}", evidence)
    return _outcome(
        "hangs" if watchdog is False else "unknown",
        f"{nothing}; kernel.panic=0 waits for ever, and {dog}",
        evidence,
    )


def capture_net(kdump: KdumpFacts, it: str) -> tuple[bool | None, str]:
    """Does a capture kernel that fails reboot by itself? With a clause about *it*. ``panic=0`` is as good as none."""
    capture = kdump["capture"]
    if capture["cmdline"] is None:
        return (
            None,
            f"the capture kernel's command line is unknown ({readings.why(kdump, 'capture.cmdline')})",
        )
    if capture["panic"]:
        return True, f"{it} carries panic={capture['panic']}"
    return False, f"{it} carries {'no panic=' if capture['panic'] is None else 'panic=0'}"


def _watchdog_net(kernel: KernelFacts) -> tuple[bool | None, str]:
    """Does a watchdog reset the machine when its kernel is dead? With a clause.

    Only one in hardware counts: softdog is a timer of the kernel that it watches (domain.md D.4).
    """
    dogs = kernel["watchdogs"]
    if dogs is None:
        return None, f"whether a hardware watchdog is armed is unknown ({readings.why(kernel, 'watchdogs')})"
    armed = _armed(kernel)
    if armed is not None:
        limit = f", {armed['timeout']} s" if armed["timeout"] is not None else ""
        name = f"{armed['name']} ({armed['identity']}{limit})"
        return True, f"the hardware watchdog {name} is armed and resets it"
    for dog in dogs:
        if dog["active"] is None or (dog["active"] and not dog["identity"]):
            path = f"watchdogs.{dog['name']}.{'active' if dog['active'] is None else 'identity'}"
            if dog["hardware"] or not dog["identity"]:
                return (
                    None,
                    f"whether {dog['name']} is an armed hardware watchdog is unknown ({readings.why(kernel, path)})",
                )
    soft = [dog["name"] for dog in dogs if dog["active"] and not dog["hardware"]]
    if soft:
        return False, f"no hardware watchdog is armed ({soft[0]} is software and dies with its kernel)"
    return False, "no hardware watchdog is armed"


def _armed(kernel: KernelFacts) -> Watchdog | None:
    return next((dog for dog in kernel["watchdogs"] or [] if dog["hardware"] and dog["active"]), None)


def _outcome(outcome: str, because: str, evidence: Sequence[Evidence]) -> OnPanic:
    return {"outcome": outcome, "because": because, "evidence": list(evidence)}
