# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the running kernel known to be bad, and which one is better? Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, KernelFacts, Remedy
from ansible_collections.fleetops.kernel.plugins.plugin_utils import good, matching, readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    LOW,
    Case,
    finding,
    not_read,
    remedy_of,
    sentence,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory


def known_bad(case: Case) -> list[Finding]:
    kernel = case["facts"]["kernel"]
    if kernel is None:
        return [not_read("kernel-known-bad", "advisories", "kernel")]
    subject, node = matching.subject_of(kernel), matching.traits_of(kernel)
    said = [(advisory, matching.judge(advisory, subject, node)) for advisory in case["advisories"]]
    named = any(answer.status == matching.AFFECTED for _advisory, answer in said)
    # One search for all findings of a node: they must agree on where to go.
    found = good.weigh(kernel, case["advisories"], case["vars"].get(good.POLICY) or "") if named else None
    findings = [
        _advised(case, kernel, subject, advisory, answer, found)
        for advisory, answer in said
        if answer.status != matching.SILENT
    ]
    if not findings:
        name = f"{subject['distro'] or 'unknown'} {subject['codename'] or ''}".strip()
        reason = f"none of the {len(said)} advisories speaks of {kernel['release']} of {name}"
        findings = [finding("kernel-known-bad", "advisories", "ok", LOW, reason, readings.running(kernel))]
    return findings


def _advised(  # what the rule knows
    case: Case,
    kernel: KernelFacts,
    subject: matching.Subject,
    advisory: Advisory,
    answer: matching.Answer,
    found: good.Weighed | None,
) -> Finding:
    source, version = subject["source"] or "source unknown", subject["version"]
    name = f"{kernel['release']} ({f'{source} {version}' if version else 'package unknown'})"
    title = sentence(advisory["title"])
    evidence = readings.running(kernel)
    if answer.row:
        evidence += [{"source": f"advisory {advisory['id']}", "text": matching.describe(answer.row)}]
    remedy: Remedy | None = None
    if answer.status == matching.AFFECTED and found is not None:
        reason = f"{name} is named: {title}"
        if advisory["breaks_kdump"]:
            reason += "; its dump may fail as well"
        remedy, cure = _kernel_remedy(case, kernel, subject, advisory, found)
        reason += _assumed(answer) + cure
    elif answer.status == matching.UNKNOWN:
        asked = ["distro", "package", "release"]
        asked += ["flavour"] if any(row["flavours"] for row in advisory["affects"]) else []
        whys = [readings.why(kernel, path) for path in asked if kernel[path] is None]  # type: ignore[literal-required]
        why = "; ".join(dict.fromkeys(whys)) or "its codename or its source package is unknown"
        reason = f"cannot tell whether {name} is meant by: {title} ({why}){_assumed(answer)}"
    elif answer.unmet:
        reason = f"does not concern this node, because {' and '.join(answer.unmet)}: {title}"
    else:
        reason = f"{name} is outside what is named in: {title}"
    return finding(
        "kernel-known-bad", advisory["id"], answer.status, advisory["severity"], reason, evidence, remedy
    )


def _assumed(answer: matching.Answer) -> str:
    """Conditions that nobody could judge."""
    return "".join(f"; it is unknown {words}, which counts as so" for words in answer.assumed)


def _kernel_remedy(
    case: Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory, found: good.Weighed
) -> tuple[Remedy | None, str]:
    """(remedy, what the reason adds): none where the boot loader would never take the kernel."""
    wanted, why = _wanted_kernel(case, kernel, subject, advisory, found)
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
    remedy, cure = remedy_of(kernel, "kernel_upgrade", wanted)
    return remedy, cure or why


def _wanted_kernel(
    case: Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory, found: good.Weighed
) -> tuple[dict[str, str] | None, str]:
    """The role's variables, and what the reason adds: the site's choice, what boots next, the best known."""
    for key in ("kernel_upgrade_release", "kernel_upgrade_package"):
        if case["vars"].get(key):
            return {key: case["vars"][key]}, ""
    pending = _pending(case, kernel, subject)
    if pending is not None:
        return {"kernel_upgrade_release": pending}, f" ({pending} boots next: a reboot cures it)"
    lines = good.because(found)
    if found.chosen is None:
        return None, f" ({'; '.join(lines)}; set kernel_upgrade_release)"
    # The cure that this very advisory names may be named by others.
    out = [one for one in good.fixes_of(advisory, found, kernel) if one.out is not None]
    why = f" (not to {out[0].name}: {out[0].out}; to {lines[0]})" if out else f" (to {lines[0]})"
    return {"kernel_upgrade_release": found.chosen.release}, why


def _pending(case: Case, kernel: KernelFacts, subject: matching.Subject) -> str | None:
    """The release that a mere reboot would bring: another one of the same flavour, with nothing said against it."""
    entry = kernel["next_boot"]
    if entry is None or subject["flavour"] is None or entry["release"] == kernel["release"]:
        return None
    release = entry["release"]
    found = next((one for one in kernel["installed"] or [] if one["release"] == release), None)
    if found is None or matching.flavour_of(release) != subject["flavour"]:
        return None
    if (
        not found["bootable"] or found["lacks"] != []
    ):  # not known to boot, or not known to bring all modules in use
        return None
    package = found["package"]
    candidate: matching.Subject = {
        **subject,
        "release": release,
        "version": package["version"] if package else None,
        "source": matching.source_of(package["source"]) if package else None,
    }
    node = matching.traits_of(kernel)
    said = {matching.say(advisory, candidate, node) for advisory in case["advisories"]}
    return None if said & {matching.AFFECTED, matching.UNKNOWN} else release
