# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a node, how do we know, and what cures it. Pure.

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
    Remedy,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, readings, verdict
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

# Worst first. What cannot be told weighs as much as if it were so.
SEVERITIES = ("critical", "high", "medium", "low")
# Per rule; an advisory and a link bring their own.
HIGH, LOW = "high", "low"

# Subjects of findings that speak of all that there are.
ALL = ("advisories", "links")

# Seconds until a failing capture kernel reboots, as the role crashkernel has it by default.
CAPTURE_PANIC = 10


class _Case(TypedDict):
    """What a rule gets."""

    facts: readings.NodeFacts
    advisories: Sequence[Advisory]
    vars: Mapping[str, Any]


def judge(
    facts: readings.NodeFacts, advisories: Sequence[Advisory], variables: Mapping[str, Any]
) -> list[Finding]:
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
        found = [_finding("kernel-known-bad", "advisories", "ok", LOW, reason, readings.running(kernel))]
    return found


def _advised(
    case: _Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory, what: str
) -> Finding:
    source, version = subject["source"] or "source unknown", subject["version"]
    name = f"{kernel['release']} ({f'{source} {version}' if version else 'package unknown'})"
    evidence = readings.running(kernel)
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
        whys = [readings.why(kernel, path) for path in asked if kernel[path] is None]  # type: ignore[literal-required]
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
        return [_finding(*name, "unknown", HIGH, readings.CONTAINER, readings.reserved(kdump))]
    estimate = crashkernel.estimate(kernel, kdump)
    evidence = readings.reserved(kdump) + readings.initrd(kdump)
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
    evidence = readings.reserved(kdump) + readings.loaded(kdump)
    if kernel["container"]:
        return [_finding(*name, "unknown", HIGH, readings.CONTAINER, evidence)]
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
        return [_finding(*name, "unknown", HIGH, readings.CONTAINER, [])]
    reboots, clause = verdict.capture_net(kdump, "the capture kernel")
    evidence = readings.loaded(kdump) + readings.line(kdump)
    if kdump["capture"]["loaded"] is None:
        reason = f"cannot tell: whether a capture kernel is loaded is unknown ({readings.why(kdump, 'capture.loaded')})"
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
        return [
            _finding(
                "stale-link", "links", "unknown", HIGH, f"cannot tell: {readings.why(links, 'links')}", []
            )
        ]
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
    return f"reserves {readings.mib(asked)}, and more than {readings.mib(limit)} are needed"


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


def _sentence(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
