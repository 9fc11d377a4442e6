# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a node, how do we know, what cures it; and what happens if it panics now. Pure.

A rule answers with findings. What it could not read is ``unknown`` with the reader's reason, and never ``ok``;
what it checked and found in order is ``ok``, because that is part of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as link_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Evidence,
    Finding,
    KdumpFacts,
    KernelFacts,
    LinksFacts,
    OnPanic,
    Remedy,
    Watchdog,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

# Worst first. What cannot be told weighs as much as if it were so.
SEVERITIES = ("critical", "high", "medium", "low")
# Per rule; an advisory and a link bring their own.
HIGH, LOW = "high", "low"

# Subjects of findings that speak of all that there are.
ALL = ("advisories", "links")

# Seconds until a failing capture kernel reboots, as the role crashkernel has it by default.
CAPTURE_PANIC = 10

# Bytes below which no dump is promised to have room: the least that one took here was 20 MB (lab.md 4), with margin.
LEAST_DUMP = 64 << 20


class NodeFacts(TypedDict):
    """What the readers of one node returned; null for a reader that did not run."""

    kernel: KernelFacts | None
    kdump: KdumpFacts | None
    links: LinksFacts | None


class _Case(TypedDict):
    """What a rule gets."""

    facts: NodeFacts
    advisories: Sequence[Advisory]
    vars: Mapping[str, Any]


def judge(facts: NodeFacts, advisories: Sequence[Advisory], variables: Mapping[str, Any]) -> list[Finding]:
    """All findings about one node, worst first.

    *variables* are the host's: where the site has set ``crashkernel_size``, ``crashkernel_capture_panic``,
    ``kernel_upgrade_release`` or ``kernel_upgrade_package``, that is what the remedies propose.
    """
    case: _Case = {"facts": facts, "advisories": advisories, "vars": variables}
    return sorted((finding for rule in RULES for finding in rule(case)), key=weight)


def weight(finding: Finding) -> tuple[int, int, str, str]:
    """Sort key: affected before unknown before ok, then worst first."""
    status = ("affected", "unknown", "ok").index(finding["status"])
    return status, SEVERITIES.index(finding["severity"]), finding["id"], finding["subject"]


def is_open(finding: Finding) -> bool:
    """Does it keep its node from being clean?"""
    return finding["status"] != "ok"


# --- the rules ---------------------------------------------------------------------------------------


def _kernel_known_bad(case: _Case) -> list[Finding]:
    kernel = case["facts"]["kernel"]
    if kernel is None:
        return [_not_read("kernel-known-bad", "advisories", "kernel")]
    subject = matching.subject_of(kernel)
    said = [(advisory, matching.say(advisory, subject)) for advisory in case["advisories"]]
    found = [
        _advised(case, kernel, subject, advisory, what) for advisory, what in said if what != matching.SILENT
    ]
    if not found:
        name = f"{subject['distro'] or 'unknown'} {subject['codename'] or ''}".strip()
        reason = f"none of the {len(said)} advisories speaks of {kernel['release']} of {name}"
        found = [_finding("kernel-known-bad", "advisories", "ok", LOW, reason, _running(kernel))]
    return found


def _advised(
    case: _Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory, what: str
) -> Finding:
    source, version = subject["source"] or "source unknown", subject["version"]
    name = f"{kernel['release']} ({f'{source} {version}' if version else 'package unknown'})"
    evidence = _running(kernel)
    remedy: Remedy | None = None
    if what == matching.AFFECTED:
        row = matching.row_of(advisory, subject)
        evidence += [{"source": f"advisory {advisory['id']}", "text": matching.describe(row)}] if row else []
        reason = f"{name} is named: {_sentence(advisory['title'])}"
        if advisory["breaks_kdump"]:
            reason += "; its dump may fail as well"
        remedy, cure = _kernel_remedy(case, kernel, subject, advisory)
        reason += cure
    elif what == matching.UNKNOWN:
        asked = ["distro", "package", "release"]
        asked += ["flavour"] if any(row["flavours"] for row in advisory["affects"]) else []
        whys = [_why(kernel, path) for path in asked if kernel[path] is None]  # type: ignore[literal-required]
        why = "; ".join(dict.fromkeys(whys)) or "its codename or its source package is unknown"
        reason = f"cannot tell whether {name} is meant by: {_sentence(advisory['title'])} ({why})"
    else:
        reason = f"{name} is outside what is named in: {_sentence(advisory['title'])}"
    return _finding("kernel-known-bad", advisory["id"], what, advisory["severity"], reason, evidence, remedy)


def _kernel_remedy(
    case: _Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory
) -> tuple[Remedy | None, str]:
    """(remedy, what the reason adds): none where the boot loader would never take the kernel."""
    wanted, why = _wanted_kernel(case, kernel, subject, advisory)
    if wanted is None:
        return None, why
    entry = kernel["next_boot"]
    # An entry that is named by its release stays, whatever is installed beside it.
    pinned = entry is not None and entry["release"] in entry["because"] and "no entry" not in entry["because"]
    if entry is not None and pinned and not str(*wanted.values()).endswith(entry["release"]):
        return None, (
            f" (no cure from here: the boot entry is pinned to {entry['release']} by {entry['because']}: "
            "unpin it first)"
        )
    remedy, cure = _remedy(kernel, "kernel_upgrade", wanted)
    return remedy, cure or why


def _wanted_kernel(
    case: _Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory
) -> tuple[dict[str, str] | None, str]:
    """The role's variables, and what the reason adds: the site's own choice, what boots next, the advisory's kernel."""
    for key in ("kernel_upgrade_release", "kernel_upgrade_package"):
        if case["vars"].get(key):
            return {key: case["vars"][key]}, ""
    pending = _pending(case, kernel, subject)
    if pending is not None:
        return {"kernel_upgrade_release": pending}, f" ({pending} boots next: a reboot cures it)"
    good = matching.good_for(advisory, subject, case["advisories"])
    if good is not None:
        key = "release" if good["release"] else "package"
        return {f"kernel_upgrade_{key}": good[key]}, ""  # type: ignore[literal-required]
    named = [
        matching.release_of(entry) or f"version {entry['version']} and newer" for entry in advisory["good"]
    ]
    if not named:
        return None, " (the advisory names no good kernel: set kernel_upgrade_release)"
    flavour = subject["flavour"] or "unknown"
    return None, (
        f" (of the good kernels {', '.join(named)} none is of the flavour '{flavour}' and free of other advisories: "
        "set kernel_upgrade_release)"
    )


def _pending(case: _Case, kernel: KernelFacts, subject: matching.Subject) -> str | None:
    """The release that a mere reboot would bring: another one of the same flavour, with nothing said against it."""
    entry = kernel["next_boot"]
    if entry is None or subject["flavour"] is None or entry["release"] == kernel["release"]:
        return None
    release = entry["release"]
    found = next((one for one in kernel["installed"] or [] if one["release"] == release), None)
    if found is None or not found["bootable"] or kernel_rules.flavour(release) != subject["flavour"]:
        return None
    package = found["package"]
    candidate: matching.Subject = {
        **subject,
        "release": release,
        "version": package["version"] if package else None,
        "source": matching.source_of(package["source"]) if package else None,
    }
    said = {matching.say(advisory, candidate) for advisory in case["advisories"]}
    return None if said & {matching.AFFECTED, matching.UNKNOWN} else release


def _crashkernel_too_small(case: _Case) -> list[Finding]:
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "crashkernel-too-small", "crashkernel"
    if kernel is None or kdump is None:
        return [_not_read(*name, "kdump" if kdump is None else "kernel")]
    reserved = kdump["reservation"]["bytes"]
    if reserved == 0 or _nothing_to_fit(kdump):
        return []  # kdump-not-armed says it
    if kernel["container"]:
        return [_finding(*name, "unknown", HIGH, _CONTAINER, _reserved(kdump))]
    estimate = crashkernel.estimate(kernel, kdump)
    evidence = _reserved(kdump) + _initrd(kdump)
    if estimate["fits"]:
        return [_finding(*name, "ok", HIGH, estimate["reason"], evidence)]
    if reserved is None or kdump["capture"]["initrd_bytes"] is None:
        return [_finding(*name, "unknown", HIGH, f"cannot tell: {estimate['reason']}", evidence)]
    remedy, cure = _size_remedy(case, kernel, kdump)
    if estimate["fits"] is False:
        return [_finding(*name, "affected", HIGH, estimate["reason"] + cure, evidence, remedy)]
    # Nothing says that it fails: a doubt of little weight, with the size that would end it.
    return [_finding(*name, "unknown", LOW, f"cannot tell: {estimate['reason']}{cure}", evidence, remedy)]


def _kdump_not_armed(case: _Case) -> list[Finding]:
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "kdump-not-armed", "kdump"
    if kernel is None or kdump is None:
        return [_not_read(*name, "kdump" if kdump is None else "kernel")]
    evidence = _reserved(kdump) + _loaded(kdump)
    if kernel["container"]:
        return [_finding(*name, "unknown", HIGH, _CONTAINER, evidence)]
    armed, reason = kdump_rules.armed(kdump)
    if kdump["capture"]["loaded"]:
        return [_finding(*name, "ok", HIGH, "a capture kernel is loaded", evidence)]
    if kdump["implementation"] is None and "implementation" not in kdump["unknown"]:
        # The role makes no node a kdump node: a plan must not start what is bound to fail.
        reason = f"no kdump package is installed; {reason} (no cure from here: install kdump-tools first)"
        return [_finding(*name, "affected", HIGH, reason, evidence)]
    if armed is None:
        return [_finding(*name, "unknown", HIGH, f"cannot tell: {reason}", evidence)]
    if kdump["reservation"]["bytes"] == 0:
        remedy, cure = _size_remedy(case, kernel, kdump)
    else:
        remedy, cure = _crashkernel_remedy(case, kernel, kdump)
    return [_finding(*name, "affected", HIGH, reason + cure, evidence, remedy)]


def _capture_may_hang(case: _Case) -> list[Finding]:
    kernel, kdump = case["facts"]["kernel"], case["facts"]["kdump"]
    name = "capture-may-hang", "capture"
    if kernel is None or kdump is None:
        return [_not_read(*name, "kdump" if kdump is None else "kernel")]
    if kdump["capture"]["loaded"] is False:
        return []  # kdump-not-armed says it
    if kernel["container"]:
        return [_finding(*name, "unknown", HIGH, _CONTAINER, [])]
    reboots, clause = _capture_net(kdump, "the capture kernel")
    evidence = _loaded(kdump) + _line(kdump)
    if kdump["capture"]["loaded"] is None:
        reason = (
            f"cannot tell: whether a capture kernel is loaded is unknown ({_why(kdump, 'capture.loaded')})"
        )
        return [_finding(*name, "unknown", HIGH, reason, evidence)]
    if reboots is None:
        return [_finding(*name, "unknown", HIGH, f"cannot tell: {clause}", evidence)]
    if reboots:
        return [_finding(*name, "ok", HIGH, f"{clause}: should it fail, it reboots", evidence)]
    remedy, cure = _crashkernel_remedy(case, kernel, kdump)
    return [
        _finding(
            *name,
            "affected",
            HIGH,
            f"{clause}: should it fail, it stays there for ever{cure}",
            evidence,
            remedy,
        )
    ]


def _stale_link(case: _Case) -> list[Finding]:
    links, kernel = case["facts"]["links"], case["facts"]["kernel"]
    if links is None:
        return [_not_read("stale-link", "links", "links")]
    if links["links"] is None:
        return [_finding("stale-link", "links", "unknown", HIGH, f"cannot tell: {_why(links, 'links')}", [])]
    found = []
    for link in links["links"]:
        verdict = link_rules.judge(link)
        status = "unknown" if verdict["stale"] is None else "affected" if verdict["stale"] else "ok"
        remedy, cure = None, ""
        if status == "affected":
            name = "cilium_migration_cleanup"
            remedy, cure = _remedy(kernel, name, {f"{name}_links": [link["name"]]})
        reason, severity = verdict["reason"] + cure, verdict["severity"]
        found.append(
            _finding("stale-link", link["name"], status, severity, reason, verdict["evidence"], remedy)
        )
    if not found:
        reason = f"none of the {links['total']} links is {link_rules.known_kinds()}"
        found = [_finding("stale-link", "links", "ok", LOW, reason, [])]
    return found


# A row per rule: to add one is to add it here.
RULES: tuple[Callable[[_Case], list[Finding]], ...] = (
    _kernel_known_bad,
    _crashkernel_too_small,
    _kdump_not_armed,
    _capture_may_hang,
    _stale_link,
)


# --- if it panics now --------------------------------------------------------------------------------


def on_panic(facts: NodeFacts) -> OnPanic:
    """Does this node dump, reboot or hang if it panics now? By the three nets, and never better than they prove.

    ``reboots`` is what is certain: where the reservation or the dump's target cannot be judged it may dump as well.
    ``hangs`` is said only when each net is known to be missing.
    """
    kernel, kdump = facts["kernel"], facts["kdump"]
    if kernel is None or kdump is None:
        return _outcome("unknown", f"the {'kdump' if kernel else 'kernel'} facts were not read", [])
    evidence = (
        _reserved(kdump) + _loaded(kdump) + _initrd(kdump) + _line(kdump) + _room(kdump) + _watchdogs(kernel)
    )
    if kernel["container"]:
        return _outcome("unknown", _CONTAINER, evidence)
    loaded = kdump["capture"]["loaded"]
    watchdog, dog = _watchdog_net(kernel)
    if loaded is None:
        why = f"whether a capture kernel is loaded is unknown ({_why(kdump, 'capture.loaded')})"
        # With an armed watchdog it comes back either way.
        return _outcome("reboots" if watchdog else "unknown", f"{dog}; {why}" if watchdog else why, evidence)
    if not loaded:
        return _without_capture(kernel, watchdog, dog, evidence)
    estimate = crashkernel.estimate(kernel, kdump)
    reboots, words = _capture_net(kdump, "it")
    kept, where = _target_net(kdump)
    if estimate["fits"]:
        because = f"a capture kernel is loaded and fits ({estimate['reason']})"
        if not kept:
            because += f"; but {where}: {_REBOOTS if kept is None else _NO_DUMP}"
        if reboots is False and watchdog is False:
            because += f"; but should it fail for another reason, nothing would reboot it: {words}, and {dog}"
        return _outcome("dumps" if kept else "reboots", because + _limits(kernel, kdump), evidence)
    small = estimate["fits"] is False
    because = (
        f"a capture kernel is loaded, but {'does not fit' if small else 'whether it fits is not known'} "
    )
    because += f"({estimate['reason']})"
    net = words if reboots else dog if watchdog else None
    if net is not None:
        lost = "" if small or kept is not False else f", and {where}"
        also = _NO_DUMP if small or lost else _REBOOTS
        return _outcome("reboots", f"{because}; {net}{lost}: {also}", evidence)
    provable = small and reboots is False and watchdog is False
    return _outcome("hangs" if provable else "unknown", f"{because}, {words}, and {dog}", evidence)


_NO_DUMP = "there will be no dump"
_REBOOTS = "it reboots at least, and may dump"


def _target_net(kdump: KdumpFacts) -> tuple[bool | None, str]:
    """Can the dump be kept where it goes? With a clause. What no drill has proved is null."""
    target = kdump["target"]
    if target is None:
        return None, f"where the dump goes is unknown ({_why(kdump, 'target')})"
    if target["kind"] != "local":
        return None, f"the dump goes to {target['path']} ({target['kind']}), and no drill has proved it"
    free = target["free_bytes"]
    if free is None:
        return None, f"the free space of {target['path']} is unknown ({_why(kdump, 'target.free_bytes')})"
    if free < LEAST_DUMP:
        return (
            False,
            f"the dump has no room: {target['path']} has {_mib(free)} free, of {_mib(LEAST_DUMP)} at least",
        )
    return True, f"{target['path']} has room for the dump"


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
        why = _why(kernel, "panic_sysctls.kernel.panic")
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


def _capture_net(kdump: KdumpFacts, it: str) -> tuple[bool | None, str]:
    """Does a capture kernel that fails reboot by itself? With a clause about *it*. ``panic=0`` is as good as none."""
    capture = kdump["capture"]
    if capture["cmdline"] is None:
        return None, f"the capture kernel's command line is unknown ({_why(kdump, 'capture.cmdline')})"
    if capture["panic"]:
        return True, f"{it} carries panic={capture['panic']}"
    return False, f"{it} carries {'no panic=' if capture['panic'] is None else 'panic=0'}"


def _watchdog_net(kernel: KernelFacts) -> tuple[bool | None, str]:
    """Does a watchdog reset the machine when its kernel is dead? With a clause.

    Only one in hardware counts: softdog is a timer of the kernel that it watches (domain.md D.4).
    """
    dogs = kernel["watchdogs"]
    if dogs is None:
        return None, f"whether a hardware watchdog is armed is unknown ({_why(kernel, 'watchdogs')})"
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
                    f"whether {dog['name']} is an armed hardware watchdog is unknown ({_why(kernel, path)})",
                )
    soft = [dog["name"] for dog in dogs if dog["active"] and not dog["hardware"]]
    if soft:
        return False, f"no hardware watchdog is armed ({soft[0]} is software and dies with its kernel)"
    return False, "no hardware watchdog is armed"


def _armed(kernel: KernelFacts) -> Watchdog | None:
    return next((dog for dog in kernel["watchdogs"] or [] if dog["hardware"] and dog["active"]), None)


def _outcome(outcome: str, because: str, evidence: Sequence[Evidence]) -> OnPanic:
    return {"outcome": outcome, "because": because, "evidence": list(evidence)}


# --- the very words that were read -------------------------------------------------------------------

_CONTAINER = (
    "this is a container: kernel and kdump are those of the machine that it runs on, so assess that one"
)


def _running(kernel: KernelFacts) -> list[Evidence]:
    found: list[Evidence] = []
    if kernel["release"] is not None:
        found.append({"source": "/proc/sys/kernel/osrelease", "text": kernel["release"]})
    if kernel["version"] is not None:
        found.append({"source": "/proc/sys/kernel/version", "text": kernel["version"]})
    return found


def _reserved(kdump: KdumpFacts) -> list[Evidence]:
    reservation = kdump["reservation"]
    asked = " ".join(f"crashkernel={value}" for value in reservation["requested"] or [])
    found: list[Evidence] = [{"source": "/proc/cmdline", "text": asked}] if asked else []
    if reservation["bytes"] is not None:
        found.append({"source": "/sys/kernel/kexec_crash_size", "text": str(reservation["bytes"])})
    return found


def _loaded(kdump: KdumpFacts) -> list[Evidence]:
    loaded = kdump["capture"]["loaded"]
    return [] if loaded is None else [{"source": "/sys/kernel/kexec_crash_loaded", "text": str(int(loaded))}]


def _initrd(kdump: KdumpFacts) -> list[Evidence]:
    capture = kdump["capture"]
    if capture["initrd"] is None or capture["initrd_bytes"] is None:
        return []
    return [{"source": capture["initrd"], "text": f"{capture['initrd_bytes']} bytes"}]


def _line(kdump: KdumpFacts) -> list[Evidence]:
    capture = kdump["capture"]
    if capture["cmdline"] is None:
        return []
    return [{"source": capture["source"] or "the capture kernel", "text": capture["cmdline"]["raw"]}]


def _room(kdump: KdumpFacts) -> list[Evidence]:
    target = kdump["target"]
    if target is None:
        return []
    free = "free space unknown" if target["free_bytes"] is None else f"{target['free_bytes']} bytes free"
    return [{"source": target["path"], "text": f"{target['kind']}, {free}"}]


def _watchdogs(kernel: KernelFacts) -> list[Evidence]:
    states = {True: "active", False: "inactive", None: "state unknown"}
    return [
        {
            # ipmi_watchdog of older kernels has no class device.
            "source": f"/sys/{'class/watchdog' if dog['name'].startswith('watchdog') else 'module'}/{dog['name']}",
            "text": f"{dog['identity'] or 'identity unknown'}: {states[dog['active']]}",
        }
        for dog in kernel["watchdogs"] or []
    ]


# --- small tools -------------------------------------------------------------------------------------


def _finding(  # a row's columns
    id_: str,
    subject: str,
    status: str,
    severity: str,
    reason: str,
    evidence: Sequence[Evidence],
    remedy: Remedy | None = None,
) -> Finding:
    return {
        "id": id_,
        "subject": subject,
        "status": status,
        "severity": severity,
        "reason": reason,
        "evidence": list(evidence),
        "remedy": remedy,
    }


def _not_read(id_: str, subject: str, part: str) -> Finding:
    return _finding(id_, subject, "unknown", HIGH, f"cannot tell: the {part} facts were not read", [])


def _why(facts: Any, path: str) -> str:
    """The reader's reason for a null reading: of the path itself, or of the nearest part that holds it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        reason = facts["unknown"].get(".".join(parts[:length]))
        if reason:
            return str(reason)
    return "no reason given"


def _remedy(kernel: KernelFacts | None, role: str, variables: Mapping[str, Any]) -> tuple[Remedy | None, str]:
    """(remedy, what the reason adds): none where the role would refuse, so that no plan starts what must fail."""
    if kernel is not None and kernel["container"]:
        return None, " (no cure from here: this is a container)"
    distro = kernel["distro"] if kernel is not None else None
    if role != "cilium_migration_cleanup" and distro is not None and distro["family"] is None:
        return None, f" (no cure from here: {distro['id']} cannot be changed yet)"
    return {"role": role, "vars": dict(variables)}, ""


def _size_remedy(case: _Case, kernel: KernelFacts, kdump: KdumpFacts) -> tuple[Remedy | None, str]:
    """The remedy of a larger reservation: the site's own size where it cures, or the safe one."""
    size = str(case["vars"].get("crashkernel_size") or "auto")
    if size != "auto":
        vain = _in_vain(crashkernel.check(size), kernel, kdump)
        if vain:
            return None, f" (no cure from here: the chosen crashkernel_size {size} {vain})"
    else:
        try:
            size = crashkernel.safe_size(kernel, kdump)
        except FleetopsError as error:
            return None, f" ({error.msg})"
    return _crashkernel_remedy(case, kernel, kdump, crashkernel_size=size)


def _in_vain(size: str, kernel: KernelFacts, kdump: KdumpFacts) -> str:
    """Why the reboot for a reservation of *size* would cure nothing; '' when it may."""
    asked = crashkernel.reserved_for(size, kernel["memory_bytes"])
    if asked is None:
        return "does not tell how much it reserves on this node"
    # Nothing was measured elsewhere: there, only what reserves nothing is known to be in vain.
    measured = kernel["architecture"] == "x86_64"
    limit = crashkernel.estimate(kernel, kdump)["too_small_up_to"] if measured else 0
    if asked > limit:
        return ""
    return f"reserves {_mib(asked)}, and more than {_mib(limit)} are needed"


def _crashkernel_remedy(
    case: _Case, kernel: KernelFacts, kdump: KdumpFacts, **variables: Any
) -> tuple[Remedy | None, str]:
    """The role sets both: without the seconds in force, its default would take the place of a good value."""
    seconds = {"crashkernel_capture_panic": _seconds(case, kdump)}
    return _remedy(kernel, "crashkernel", {**variables, **seconds})


def _seconds(case: _Case, kdump: KdumpFacts) -> int:
    """Until a failing capture kernel reboots: the site's own, else what it carries now, else the role's default."""
    chosen = case["vars"].get("crashkernel_capture_panic")
    if chosen in (None, ""):
        return kdump["capture"]["panic"] or CAPTURE_PANIC
    try:
        seconds = int(str(chosen))
    except ValueError:
        seconds = 0
    if not seconds:
        raise FleetopsError(
            f"crashkernel_capture_panic is '{chosen}': expected seconds, or a negative number for at once"
        )
    return seconds


def _nothing_to_fit(kdump: KdumpFacts) -> bool:
    """Is there neither a capture kernel nor a package that would load one?"""
    missing = kdump["implementation"] is None and "implementation" not in kdump["unknown"]
    return missing and kdump["capture"]["loaded"] is False


def _mib(size: float) -> str:
    return f"{round(size / crashkernel.MIB, 1):g} MiB"


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
