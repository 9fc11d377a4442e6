# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this node return, may the next one start? One pure predicate per gate, over freshly read facts.

A predicate takes the ``ansible_facts`` of the look (``fleetops_kernel``, ``fleetops_kdump``,
``fleetops_links``) and answers with a Gate. ``passed: None`` is *cannot tell*, and counts as closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as link_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate, KernelFacts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import order, readings

Facts = Mapping[str, Any]


def _gate(name: str, passed: bool | None, reason: str, evidence: Sequence[Evidence] = ()) -> Gate:
    return {"name": name, "passed": passed, "reason": reason, "evidence": list(evidence)}


def _unread(name: str, facts: Facts, part: str, path: str) -> Gate:
    """Closed, because the reading is missing; with the reader's own reason where it gave one."""
    reader = facts.get(part) or {}
    why = reader.get("unknown", {}).get(path) or ("it was not read" if not reader else "no reason given")
    return _gate(name, None, f"cannot tell: {part}.{path} is unknown ({why})")


def kernel_running(facts: Facts, want: str) -> Gate:
    """The node runs exactly the release *want*, and no newer upload of it waits on the disk for a reboot."""
    kernel: Any = facts.get("fleetops_kernel") or {}
    running = kernel.get("release")
    if running is None:
        return _unread("kernel_running", facts, "fleetops_kernel", "release")
    evidence: list[Evidence] = [{"source": "/proc/sys/kernel/osrelease", "text": running}]
    if running == want:
        waits = _newer_upload(kernel)
        return _gate("kernel_running", not waits, f"runs {running}{waits}", evidence)
    return _gate("kernel_running", False, f"runs {running}, not {want}", evidence)


def _newer_upload(kernel: KernelFacts) -> str:
    """Debian replaces a kernel under its own name: what is on the disk now, and does not run; '' for none."""
    known = kernel.get("package") and kernel.get("installed")
    found = order.newer_upload(kernel) if known else None
    if not found or not found["package"] or not kernel["package"]:
        return ""
    return f" in version {kernel['package']['version']}, and {found['package']['version']} is installed since"


def kernel_boots_next(facts: Facts, want: str) -> Gate:
    """The boot loader takes the release *want* at the next boot, which can boot, and has the modules in use."""
    name = "kernel_boots_next"
    kernel = facts.get("fleetops_kernel") or {}
    entry = kernel.get("next_boot")
    if entry is None:
        return _unread(name, facts, "fleetops_kernel", "next_boot")
    evidence: list[Evidence] = [{"source": entry["entry"], "text": entry["because"]}]
    if entry["release"] != want:
        reason = f"boots {entry['release']} next, not {want}: {entry['because']}"
        return _gate(name, False, reason, evidence)
    return _can_boot(name, facts, want, f"boots {want} next", evidence)


def kernel_can_boot(facts: Facts, want: str) -> Gate:
    """The release *want* is installed, can boot, and has the modules in use; whatever boots next."""
    return _can_boot("kernel_can_boot", facts, want, f"has {want}", ())


def _can_boot(name: str, facts: Facts, want: str, so_far: str, evidence: Sequence[Evidence]) -> Gate:
    kernel = facts.get("fleetops_kernel") or {}
    if kernel.get("installed") is None:
        return _unread(name, facts, "fleetops_kernel", "installed")
    found = readings.installed(kernel, want)
    if found is None:
        return _gate(
            name,
            None,
            f"{so_far}, but cannot tell whether it can boot: it is not among the installed kernels",
        )
    if found["bootable"] is None:
        why = kernel["unknown"].get(f"installed.{want}.bootable") or "no reason given"
        return _gate(name, None, f"{so_far}, but cannot tell whether it can boot ({why})", evidence)
    if not found["bootable"]:
        missing = ", ".join(found["missing"]) or "the reader does not say what"
        return _gate(name, False, f"{so_far}, but it cannot boot; missing: {missing}", evidence)
    # What runs has what is in use.
    if want != kernel.get("release") and found["lacks"] != []:
        if found["lacks"] is None:
            why = kernel["unknown"].get(f"installed.{want}.lacks") or "no reason given"
            words = f"{so_far}, but cannot tell whether it has the modules in use ({why})"
            return _gate(name, None, words, evidence)
        lacks = ", ".join(found["lacks"])
        return _gate(name, False, f"{so_far}, but it lacks modules in use: {lacks}", evidence)
    return _gate(name, True, so_far, evidence)


def kdump_armed(facts: Facts) -> Gate:
    """Memory is reserved and a capture image is loaded into it."""
    kdump = facts.get("fleetops_kdump")
    if not kdump:
        return _gate("kdump_armed", None, "cannot tell: fleetops_kdump was not read")
    armed, reason = kdump_rules.armed(kdump)
    return _gate("kdump_armed", armed, reason)


def capture_reboots(facts: Facts) -> Gate:
    """The capture kernel reboots by itself when it fails: its command line carries ``panic=``."""
    capture = (facts.get("fleetops_kdump") or {}).get("capture") or {}
    if not capture.get("cmdline"):
        return _unread("capture_reboots", facts, "fleetops_kdump", "capture.cmdline")
    evidence: list[Evidence] = [{"source": str(capture.get("source")), "text": capture["cmdline"]["raw"]}]
    if capture.get("panic"):
        return _gate(
            "capture_reboots", True, f"the capture kernel carries panic={capture['panic']}", evidence
        )
    return _gate("capture_reboots", False, "the capture kernel carries no panic= that reboots", evidence)


def crashkernel_reserved(facts: Facts, want: str) -> Gate:
    """What *want* asks for (as after ``crashkernel=``, or ``auto``) is reserved. Empty: nothing was asked."""
    name = "crashkernel_reserved"
    if not want:
        return _gate(name, True, "no reservation was asked for")
    kernel, kdump = facts.get("fleetops_kernel"), facts.get("fleetops_kdump")
    if not kernel or not kdump:
        return _gate(name, None, "cannot tell: fleetops_kernel or fleetops_kdump was not read")
    reserved = kdump["reservation"]["bytes"]
    if want == "auto":
        estimate = crashkernel.estimate(kernel, kdump)
        return _gate(name, estimate["fits"], estimate["reason"])
    asked = crashkernel.reserved_for(want, kernel["memory_bytes"])
    if reserved is None:
        return _unread(name, facts, "fleetops_kdump", "reservation.bytes")
    if asked is None:
        return _gate(name, None, f"cannot tell how much crashkernel={want} is to reserve")
    evidence: list[Evidence] = [{"source": "/sys/kernel/kexec_crash_size", "text": str(reserved)}]
    reason = f"crashkernel={want} asks for {asked} bytes, {reserved} are reserved"
    return _gate(name, reserved >= asked, reason, evidence)


def no_stale_links(facts: Facts, names: Sequence[str] = ()) -> Gate:
    """None of *names* exists; without names, no link that is provably stale."""
    found = (facts.get("fleetops_links") or {}).get("links")
    if found is None:
        return _unread("no_stale_links", facts, "fleetops_links", "links")
    stale, unsure = [], []
    for link in found:
        if names and link["name"] not in names:
            continue
        verdict = True if names else link_rules.judge(link)["stale"]
        if verdict is None:
            unsure.append(link["name"])
        elif verdict:
            stale.append(link["name"])
    if stale:
        return _gate("no_stale_links", False, f"still there: {', '.join(stale)}")
    if unsure:
        return _gate("no_stale_links", None, f"cannot tell whether these are in use: {', '.join(unsure)}")
    return _gate("no_stale_links", True, "no stale link")


GATES: dict[str, Callable[..., Gate]] = {
    gate.__name__: gate
    for gate in (
        kernel_running,
        kernel_boots_next,
        kernel_can_boot,
        kdump_armed,
        capture_reboots,
        crashkernel_reserved,
        no_stale_links,
    )
}


def judge(facts: Any, name: str, **options: Any) -> Gate:
    """The gate *name* over *facts*. Facts that were not read (an unreachable node) close it."""
    if name not in GATES:
        raise FleetopsError(f"There is no gate '{name}': expected one of {', '.join(sorted(GATES))}")
    return GATES[name](facts if isinstance(facts, Mapping) else {}, **options)
