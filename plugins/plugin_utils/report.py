# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was, what is, what is left: the report as data (JSON, ``schema: 1``). Pure.

``render`` makes the text of it, in `text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding, OnPanic, Step
from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings, matching, text
from ansible_collections.fleetops.kernel.plugins.plugin_utils.plan import key_of
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import FACT, Record

SCHEMA = 1
# These compare what was before with what is.
COMPARED = ("remediate", "rolling_kernel_upgrade")
NAMES = ("assess", *COMPARED)
STAGES = ("before", "after")
NEVER = "never"

Report = dict[str, Any]


class Before(TypedDict):
    """What is kept of a host from before the cure."""

    findings: list[Finding]
    on_panic: OnPanic
    release: str | None
    boot_id: str | None
    uptime: float | None


class Outcome(TypedDict):
    """What became of a planned node: done, failed, not attempted, nothing to do; planned in check mode."""

    status: str
    why: str


class Planned(TypedDict):
    """What was to be done: the step of each host that has one, and why of others something is held back."""

    steps: Mapping[str, Step]
    held_back: Mapping[str, str]


class Difference(TypedDict):
    """Findings by their key. ``left`` were open and are, ``new`` were not."""

    cured: list[str]
    new: list[str]
    left: list[str]


def build(
    name: str,
    stage: str,
    records: Mapping[str, Record],
    time: str,
    before: Report | None = None,
    planned: Planned | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
    dry: bool = False,
) -> Report:
    """The report *name*.

    After a change, *before* is the report of that stage, *planned* what was to be done, and *outcomes* what became of
    it. *dry*: check mode, or only planned, so that nothing was to be done. *time* is ISO 8601, in UTC.
    """
    hosts = {host: _host(record) for host, record in records.items()}
    if before is not None and planned is not None:
        for host, entry in hosts.items():
            entry["step"] = planned["steps"].get(host)
            entry["held_back"] = planned["held_back"].get(host, "")
            _compare(host, entry, before, (outcomes or {}).get(host), dry)
    return {
        "schema": SCHEMA,
        "report": name,
        "stage": stage,
        "time": time,
        "dry": dry,
        "hosts": hosts,
        "summary": _summary(hosts),
    }


def check_before(document: Any, name: str, path: str) -> Report:
    """The report of the stage before, as it was read back. Raises FleetopsError when it is not that."""
    expected = {"schema": SCHEMA, "report": name, "stage": "before"}
    for key, value in expected.items():
        got = document.get(key) if isinstance(document, dict) else None
        if got != value:
            raise FleetopsError(
                f"'{path}' is not what this run wrote before the cure: expected {key} '{value}', got '{got}'",
                path=path,
            )
    report: Report = document
    return report


def check_plan(document: Any, path: str) -> Planned:
    """The plan of this run, as it was read back. Raises FleetopsError when it is not that."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise FleetopsError(f"'{path}' is not a plan: expected schema {SCHEMA}", path=path)
    return {
        "steps": {step["host"]: step for step in document["steps"]},
        "held_back": document["held_back"],
    }


def failures(report: Report, fail_on: str) -> list[str]:
    """Why the run must not end with 0, one clause each; empty when it may."""
    if report["stage"] == "before":  # one dark node must not keep the others from their cure
        return []
    summary, found = report["summary"], []
    total = summary["hosts"]
    for key, words in text.DARK.items():
        if summary[key]:
            found.append(f"{len(summary[key])} of {total} hosts {words} ({text.abbreviate(summary[key])})")
    if fail_on != NEVER:
        worst = matching.SEVERITIES[: matching.SEVERITIES.index(fail_on) + 1]
        bad = [
            (host, finding)
            for host, entry in report["hosts"].items()
            for finding in entry["findings"]
            if findings.is_open(finding) and finding["severity"] in worst
        ]
        if bad:
            hosts = list(dict.fromkeys(host for host, _finding in bad))
            wanted = fail_on if fail_on == "critical" else f"{fail_on} or worse"
            found.append(f"{text.count(len(bad), 'finding')} of severity {wanted} ({text.abbreviate(hosts)})")
    for status in ("failed", "not attempted"):
        hosts = [
            host for host, e in report["hosts"].items() if e.get("step") and e["outcome"]["status"] == status
        ]
        if hosts:
            found.append(f"{text.count(len(hosts), 'node')} {status} ({text.abbreviate(hosts)})")
    return found


def render(report: Report, color: bool = False) -> str:
    """The report for a terminal: 100 columns, ASCII."""
    return text.render(report, color)


def difference(before: Sequence[Finding], after: Sequence[Finding]) -> Difference:
    """What the cure changed. A finding whose rule can no longer tell counts as left."""
    was = {key_of(finding): finding for finding in before if findings.is_open(finding)}
    now = {key_of(finding) for finding in after if findings.is_open(finding)}
    judged = {key_of(finding) for finding in after}
    blind = {
        finding["id"]
        for finding in after
        if finding["status"] == "unknown" and finding["subject"] in findings.ALL
    }
    left = [key for key in was if key in now or (key not in judged and was[key]["id"] in blind)]
    return {
        "cured": [key for key in was if key not in left],
        "new": [
            key_of(finding) for finding in after if findings.is_open(finding) and key_of(finding) not in was
        ],
        "left": left,
    }


# --- one host ----------------------------------------------------------------------------------------


def _host(record: Record) -> dict[str, Any]:
    facts: Mapping[str, Any] | None = record["facts"]
    return {
        "zone": record["zone"],
        "facts": None if facts is None else {FACT + part: value for part, value in facts.items()},
        "findings": record["findings"],
        "on_panic": record["on_panic"],
        "unreachable": record["unreachable"],
        "unreadable": record["unreadable"],
        "bad_variables": record["bad_variables"],
        "left_behind": record["left_behind"],
    }


def _kernel(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return (entry["facts"] or {}).get(f"{FACT}kernel") or {}


def _compare(host: str, entry: dict[str, Any], before: Report, outcome: Outcome | None, dry: bool) -> None:
    """Complete the entry of a host by what it was, what became of it, and what changed."""
    was = before["hosts"].get(host)
    if was is None:
        raise FleetopsError(
            f"What was kept before the cure does not hold the host '{host}': it is of another run"
        )
    step: Step | None = entry["step"]
    kernel = _kernel(was)
    kept: Before = {
        "findings": was["findings"],
        "on_panic": was["on_panic"],
        "release": kernel.get("release"),
        "boot_id": kernel.get("boot_id"),
        "uptime": kernel.get("uptime"),
    }
    entry["before"] = kept
    entry["outcome"] = _outcome(entry, was, outcome, dry)
    touched = entry["outcome"]["status"] in ("done", "failed")
    if touched and entry["facts"] is not None and _same_reading(kept, _kernel(entry)):
        # The facts of before are still there when nobody looked again: they prove nothing.
        entry["unreadable"] = "it was not looked at again after the cure"
        entry.update(facts=None, findings=[], bad_variables=None)
        entry["on_panic"] = {"outcome": "unknown", "because": entry["unreadable"], "evidence": []}
    dark = entry["unreachable"] or entry["unreadable"] or was["unreachable"] or was["unreadable"]
    entry["difference"] = None if dark else difference(was["findings"], entry["findings"])
    if step is not None and not dark and entry["outcome"]["status"] == "done":
        why = _not_cured(step, entry)
        if why:
            entry["outcome"] = {"status": "failed", "why": why}


def _not_cured(step: Step, entry: Mapping[str, Any]) -> str:
    """Why a node whose roles all ended well is not cured all the same; '' when it is."""
    left = [key for key in entry["difference"]["left"] if key in step["because"]]
    whys = []
    if left:
        verb = "is" if len(left) == 1 else "are"
        whys.append(f"{len(left)} of its faults {verb} left: {', '.join(left)}")
    was, now = entry["before"]["on_panic"]["outcome"], entry["on_panic"]["outcome"]
    if text.OUTCOMES.index(now) < text.OUTCOMES.index(was):
        whys.append(f"what it does on a panic got worse: {text.WORDS[was]} -> {text.WORDS[now]}")
    return f"done, but {'; '.join(whys)}" if whys else ""


def _outcome(entry: Mapping[str, Any], was: Mapping[str, Any], got: Outcome | None, dry: bool) -> Outcome:
    dark = was["unreachable"] or was["unreadable"]
    if dark:
        return {"status": "not attempted", "why": str(dark)}
    if entry["step"] is None and entry["held_back"]:
        return {"status": "nothing to do", "why": entry["held_back"]}
    if entry["step"] is None:
        stuck = [key_of(finding) for finding in was["findings"] if finding["status"] == "affected"]
        return {
            "status": "nothing to do",
            "why": f"no cure from here for {', '.join(stuck)}" if stuck else "",
        }
    if got is None and dry:
        return {"status": "planned", "why": ""}
    return got or {"status": "not attempted", "why": "the run ended before its turn"}


def _same_reading(before: Before, kernel: Mapping[str, Any]) -> bool:
    same_boot = before["boot_id"] is not None and before["boot_id"] == kernel.get("boot_id")
    return same_boot and before["uptime"] is not None and before["uptime"] == kernel.get("uptime")


# --- all hosts ---------------------------------------------------------------------------------------


def _summary(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    panic = dict.fromkeys(text.OUTCOMES, 0)
    outcomes: dict[str, int] = {}
    statuses = {"affected": 0, "unknown": 0}
    nodes = {"clean": 0, "affected": 0, "unknown": 0}
    for entry in hosts.values():
        panic[entry["on_panic"]["outcome"]] += 1
        if "outcome" in entry:
            status = entry["outcome"]["status"]
            outcomes[status] = outcomes.get(status, 0) + 1
        found = [finding["status"] for finding in entry["findings"]]
        for status in statuses:
            statuses[status] += found.count(status)
        if entry["facts"] is not None and not entry["bad_variables"]:
            nodes["affected" if "affected" in found else "unknown" if "unknown" in found else "clean"] += 1
    return {
        "hosts": len(hosts),
        "nodes": nodes,
        "findings": statuses,
        "on_panic": panic,
        "outcomes": outcomes,
        "unreachable": [host for host, entry in hosts.items() if entry["unreachable"]],
        "unreadable": [
            host for host, entry in hosts.items() if entry["unreadable"] and not entry["bad_variables"]
        ],
        "bad_variables": [host for host, entry in hosts.items() if entry["bad_variables"]],
    }
