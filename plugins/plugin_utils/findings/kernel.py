# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the running kernel known to be bad, and which one is better? Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as kernel_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, KernelFacts, Remedy
from ansible_collections.fleetops.kernel.plugins.plugin_utils import matching, readings
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
    subject = matching.subject_of(kernel)
    said = [(advisory, matching.say(advisory, subject)) for advisory in case["advisories"]]
    found = [
        _advised(case, kernel, subject, advisory, what) for advisory, what in said if what != matching.SILENT
    ]
    if not found:
        name = f"{subject['distro'] or 'unknown'} {subject['codename'] or ''}".strip()
        reason = f"none of the {len(said)} advisories speaks of {kernel['release']} of {name}"
        found = [finding("kernel-known-bad", "advisories", "ok", LOW, reason, readings.running(kernel))]
    return found


def _advised(
    case: Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory, what: str
) -> Finding:
    source, version = subject["source"] or "source unknown", subject["version"]
    name = f"{kernel['release']} ({f'{source} {version}' if version else 'package unknown'})"
    evidence = readings.running(kernel)
    remedy: Remedy | None = None
    if what == matching.AFFECTED:
        row = matching.row_of(advisory, subject)
        evidence += [{"source": f"advisory {advisory['id']}", "text": matching.describe(row)}] if row else []
        reason = f"{name} is named: {sentence(advisory['title'])}"
        if advisory["breaks_kdump"]:
            reason += "; its dump may fail as well"
        remedy, cure = _kernel_remedy(case, kernel, subject, advisory)
        reason += cure
    elif what == matching.UNKNOWN:
        asked = ["distro", "package", "release"]
        asked += ["flavour"] if any(row["flavours"] for row in advisory["affects"]) else []
        whys = [readings.why(kernel, path) for path in asked if kernel[path] is None]  # type: ignore[literal-required]
        why = "; ".join(dict.fromkeys(whys)) or "its codename or its source package is unknown"
        reason = f"cannot tell whether {name} is meant by: {sentence(advisory['title'])} ({why})"
    else:
        reason = f"{name} is outside what is named in: {sentence(advisory['title'])}"
    return finding("kernel-known-bad", advisory["id"], what, advisory["severity"], reason, evidence, remedy)


def _kernel_remedy(
    case: Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory
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
    remedy, cure = remedy_of(kernel, "kernel_upgrade", wanted)
    return remedy, cure or why


def _wanted_kernel(
    case: Case, kernel: KernelFacts, subject: matching.Subject, advisory: Advisory
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


def _pending(case: Case, kernel: KernelFacts, subject: matching.Subject) -> str | None:
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
