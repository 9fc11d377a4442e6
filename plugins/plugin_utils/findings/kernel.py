# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the running kernel known to be bad, and which one is better? Pure."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, KernelFacts, Remedy
from ansible_collections.fleetops.kernel.plugins.plugin_utils import good, matching, readings, target
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings import boot
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    LOW,
    Case,
    finding,
    not_read,
    remedy_of,
    sentence,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

CHOICES = ("kernel_upgrade_release", "kernel_upgrade_package")
# All that is asked of a node here: what is not in it is not even there for this rule.
ASKED = (
    "release",
    "version",
    "architecture",
    "flavour",
    "distro",
    "container",
    "package",
    "installed",
    "next_boot",
    "boot_loader",
    *(kind.fact for kind in matching.CONDITIONS.values()),
    "unknown",
)


class _Goal(NamedTuple):
    """Where a node is to go, for all of its findings. ``variables``: the role's, None: no cure from here.

    ``words``: where to and why, or what is in the way. ``weighed``: the candidates, where they were looked for.
    """

    variables: dict[str, str] | None
    words: str
    weighed: good.Weighed | None = None


class _Catalogue:
    """Advisories, which are read once: the same if each of them is the very same."""

    def __init__(self, advisories: Sequence[Advisory]) -> None:
        self.advisories = advisories
        self.ids = tuple(map(id, advisories))

    def __hash__(self) -> int:
        return hash(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Catalogue) and self.ids == other.ids


def known_bad(case: Case) -> list[Finding]:
    """A fleet has many nodes and few kinds of them: those that agree in all that is asked are judged once."""
    kernel: Any = case["facts"]["kernel"]
    if kernel is None:
        return [not_read("kernel-known-bad", "advisories", "kernel")]
    asked = {key: kernel[key] for key in ASKED if key in kernel}
    chosen = {name: case["vars"].get(name) for name in (*CHOICES, good.POLICY)}
    found = _known_bad(json.dumps([asked, chosen]), _Catalogue(case["advisories"]))
    return [one.copy() for one in found]


@functools.lru_cache(maxsize=1024)
def _known_bad(asked: str, catalogue: _Catalogue) -> list[Finding]:
    kernel, chosen = json.loads(asked)
    facts: Any = {"kernel": kernel}
    case: Case = {"facts": facts, "advisories": catalogue.advisories, "vars": chosen}
    subject, node = matching.subject_of(kernel), matching.traits_of(kernel)
    said = [(advisory, matching.judge(advisory, subject, node)) for advisory in case["advisories"]]
    named = any(answer.status == matching.AFFECTED for _advisory, answer in said)
    policy = good.policy_of(case["vars"].get(good.POLICY))
    # One search for all findings of a node: they must agree on where to go.
    goal = _goal(case, kernel, policy) if named else None
    findings = [
        _advised(kernel, subject, advisory, answer, goal)
        for advisory, answer in said
        if answer.status != matching.SILENT
    ]
    if not findings:
        findings = [_nothing_said(case, kernel, subject)]
    return findings


def _nothing_said(case: Case, kernel: KernelFacts, subject: matching.Subject) -> Finding:
    """No advisory speaks of this kernel. Where none speaks of its kind at all, that says nothing about it."""
    distro = f"{subject['distro'] or 'an unknown distribution'} {subject['codename'] or ''}".strip()
    source = subject["source"] or "kernels"
    reason = f"cannot tell: the catalogue has nothing on {source} of {distro}"
    status = "unknown"
    if matching.speaks_of(case["advisories"], subject):
        status = "ok"
        reason = f"none of the {len(case['advisories'])} advisories speaks of {kernel['release']} of {distro}"
    return finding("kernel-known-bad", "advisories", status, LOW, reason, readings.running(kernel))


def _advised(
    kernel: KernelFacts,
    subject: matching.Subject,
    advisory: Advisory,
    answer: matching.Answer,
    goal: _Goal | None,
) -> Finding:
    source, version = subject["source"] or "source unknown", subject["version"]
    name = f"{kernel['release']} ({f'{source} {version}' if version else 'package unknown'})"
    title = sentence(advisory["title"])
    evidence = readings.running(kernel)
    if answer.row:
        evidence += [{"source": f"advisory {advisory['id']}", "text": matching.describe(answer.row)}]
    remedy: Remedy | None = None
    severity = LOW if answer.unsourced else advisory["severity"]
    if answer.status == matching.AFFECTED and goal is not None:
        reason = f"{name} is named: {title}"
        if advisory["breaks_kdump"]:
            reason += "; its dump may fail as well"
        remedy, cure = _remedy(kernel, advisory, goal)
        reason += _assumed(answer) + cure
    elif answer.status == matching.UNKNOWN:
        asked = ["distro", "package", "release"]
        asked += ["flavour"] if any(row["flavours"] for row in advisory["affects"]) else []
        whys = [readings.why(kernel, path) for path in asked if kernel[path] is None]  # type: ignore[literal-required]
        why = (
            answer.doubt or "; ".join(dict.fromkeys(whys)) or "its codename or its source package is unknown"
        )
        reason = f"cannot tell whether {name} is meant by: {title} ({why}){_assumed(answer)}"
    elif answer.unmet:
        reason = f"does not concern this node, because {' and '.join(answer.unmet)}: {title}"
    else:
        reason = f"{name} is outside what is named in: {title}"
    return finding("kernel-known-bad", advisory["id"], answer.status, severity, reason, evidence, remedy)


def _assumed(answer: matching.Answer) -> str:
    """Conditions that nobody could judge."""
    return "".join(f"; it is unknown {words}, which counts as so" for words in answer.assumed)


# --- where to ----------------------------------------------------------------------------------------


def _remedy(kernel: KernelFacts, advisory: Advisory, goal: _Goal) -> tuple[Remedy | None, str]:
    """(remedy, what the reason adds)"""
    words = goal.words
    if goal.weighed is not None:
        # The cure that this very advisory names may be named by others.
        out = [
            one for one in good.fixes_of(advisory, goal.weighed, kernel) if one.out not in (None, good.OLDER)
        ]
        words = f"not to {out[0].name}: {out[0].out}; {words}" if out else words
    if goal.variables is None:
        return None, f" ({words})"
    remedy, cure = remedy_of(kernel, "kernel_upgrade", goal.variables)
    return remedy, f" ({words}){cure}"


def _goal(case: Case, kernel: KernelFacts, policy: str) -> _Goal:
    """The site's choice, what boots next, or the best that is known: only what the boot loader would take for good."""
    key = next((key for key in CHOICES if case["vars"].get(key)), None)
    if key is not None:
        return _chosen(case, kernel, key)
    entry = kernel["next_boot"]
    if entry is not None and _pending(case, kernel, entry["release"]):
        return _Goal(
            {"kernel_upgrade_release": entry["release"]}, f"{entry['release']} boots next: a reboot cures it"
        )
    every = good.weigh(kernel, case["advisories"], policy)
    found = good.narrow(every, lambda release: boot.in_the_way(kernel, release))
    if found.chosen is not None:
        return _Goal({"kernel_upgrade_release": found.chosen.release}, f"to {_first(found)}", found)
    if every.chosen is None:
        return _Goal(None, f"{'; '.join(good.because(every))}; set kernel_upgrade_release", every)
    blocked = boot.in_the_way(kernel, every.chosen.release)
    return _Goal(None, f"to {_first(every)}; no cure from here: {blocked}", every)


def _first(found: good.Weighed) -> str:
    """Which kernel is taken, and what it could not be checked against."""
    lines = good.because(found)
    return "; ".join(lines[: 2 if found.chosen and found.chosen.unchecked else 1])


def _chosen(case: Case, kernel: KernelFacts, key: str) -> _Goal:
    """The site's own choice: judged as any other kernel is."""
    choice = case["vars"]
    try:
        release = target.release_wanted(kernel, *(choice.get(name) or "" for name in CHOICES))
    except FleetopsError as error:
        return _Goal(None, f"no cure from here: {error.msg}")
    one = good.judge(kernel, case["advisories"], release, f"which {key} names")
    out = good.strange(kernel, release) or one.out or boot.in_the_way(kernel, release)
    if out is not None:
        return _Goal(None, f"no cure from here: {key} is {choice[key]}, but {out}")
    unsure = f"; whether {', '.join(one.unchecked)} name it as well is unknown" if one.unchecked else ""
    return _Goal({key: choice[key]}, f"to {one.name}, {one.origin}{unsure}")


def _pending(case: Case, kernel: KernelFacts, release: str) -> bool:
    """Would a mere reboot bring a newer kernel of the same flavour and source, with nothing said against it?"""
    disk, running = readings.installed(kernel, release), matching.subject_of(kernel)
    package = disk["package"] if disk else None
    if package is None or boot.in_the_way(kernel, release) is not None:
        return False
    same = matching.source_of(package["source"]) == running["source"]
    if not same or running["flavour"] is None or matching.flavour_of(release) != running["flavour"]:
        return False
    one = good.judge(kernel, case["advisories"], release, good.INSTALLED)
    return one.out is None and not one.unchecked
