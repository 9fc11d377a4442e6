# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report for a terminal: what an operator reads at night. Pure.

Up to FEW hosts are told one by one; more are grouped by what they have in common, so that 300 nodes stay a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text import findings, outcomes
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.lines import (
    FEW,
    OUTCOMES,
    WIDTH,
    WORDS,
    Entry,
    Hosts,
    Paint,
    abbreviate,
    by_reason,
    count,
    moment,
    name_of,
    variants,
    wrap,
)

__all__ = ["DARK", "OUTCOMES", "WIDTH", "WORDS", "abbreviate", "count", "render"]

VERDICTS = {
    "hangs": "it HANGS",
    "unknown": "it is UNKNOWN what happens",
    "reboots": "it REBOOTS",
    "dumps": "it DUMPS and reboots",
}
# Why a host is no clean one whatever was found on it, by the key of the summary.
DARK = {
    "unreachable": "could not be reached",
    "unreadable": "could not be read",
    "bad_variables": "have a bad variable",
}


def render(report: Mapping[str, Any], color: bool) -> str:
    """The whole text, without a newline at its end."""
    paint = Paint(color)
    hosts: Hosts = report["hosts"]
    lines = [_title(report), ""]
    if any("outcome" in entry for entry in hosts.values()):
        lines += [*outcomes.told(hosts, paint), ""]
    lines += _verdicts(hosts, paint)
    lines += findings.told(hosts, paint)
    lines += ["", *_conclusion(report, paint)]
    return "\n".join(line.rstrip() for line in lines)


def _title(report: Mapping[str, Any]) -> str:
    zones = {entry["zone"] for entry in report["hosts"].values() if entry["zone"]}
    where = f" in {count(len(zones), 'zone')}" if zones else ""
    what = f"{report['report']}{', before the change' if report['stage'] == 'before' else ''}"
    what += " of what dead nodes left behind" if _dead(report["hosts"]) else ""
    return f"fleetops.kernel {what}: {count(len(report['hosts']), 'node')}{where}, {moment(report['time'])}"


def _verdicts(hosts: Hosts, paint: Paint) -> list[str]:
    """What each would do if it panicked now, worst first."""
    ordered = sorted(
        hosts, key=lambda host: (OUTCOMES.index(hosts[host]["on_panic"]["outcome"]), natural(host))
    )
    if len(hosts) <= FEW:
        lines: list[str] = []
        for host in ordered:
            verdict = hosts[host]["on_panic"]
            when = _as_of(hosts[host]) or "if this node panics now"
            say = f"{name_of(host, hosts[host])}: {when}, {VERDICTS[verdict['outcome']]}, because "
            lines += paint(wrap(say + verdict["because"] + ".", "", "    "), WORDS[verdict["outcome"]])
        return lines
    lines = ["ON A PANIC AS EACH WAS WHEN IT WAS LAST READ" if _dead(hosts) else "IF A NODE PANICS NOW"]
    for outcome in OUTCOMES:
        those = [host for host in ordered if hosts[host]["on_panic"]["outcome"] == outcome]
        if those:
            head = f"  {WORDS[outcome]:<8} {count(len(those), 'node')}: "
            head += abbreviate(those, WIDTH - len(head))
            lines += paint([head], WORDS[outcome])
            lines += variants("because", {host: hosts[host]["on_panic"]["because"] for host in those})
    return lines


def _conclusion(report: Mapping[str, Any], paint: Paint) -> list[str]:
    summary = report["summary"]
    hosts: Hosts = report["hosts"]
    lines: list[str] = []
    for key, words in DARK.items():
        words = words.upper()
        for why, those in by_reason({host: hosts[host][key] for host in summary[key]}):
            lines += paint(wrap(f"{words}: {abbreviate(those)}: {why}", "", "    "), words, "1;31")
    panic = ", ".join(
        f"{summary['on_panic'][key]} {WORDS[key]}" for key in OUTCOMES if summary["on_panic"][key]
    )
    lines.append(f"On a panic {'then' if _dead(hosts) else 'now'}: {panic}.")
    nodes, found = summary["nodes"], summary["findings"]
    clean = nodes["clean"] == summary["hosts"]
    what = [f"{nodes['clean']} of {count(summary['hosts'], 'node')} clean"]
    what += [f"{nodes['affected']} with faults"] if nodes["affected"] else []
    what += [f"{nodes['unknown']} with unknowns only"] if nodes["unknown"] else []
    what += [f"{len(summary['unreachable'])} not reached"] if summary["unreachable"] else []
    what += [f"{len(summary['unreadable'])} not read"] if summary["unreadable"] else []
    what += [f"{len(summary['bad_variables'])} with a bad variable"] if summary["bad_variables"] else []
    tally = (
        f"; {count(found['affected'], 'fault')} and {count(found['unknown'], 'unknown')} in all"
        if not clean
        else ""
    )
    word = "CLEAN" if clean else "NOT CLEAN"
    return lines + paint(wrap(f"{word}: {', '.join(what)}{tally}.", "", "    "), word)


def _dead(hosts: Hosts) -> bool:
    """Was what nodes left behind read, and no node? All hosts of a run are alike in this."""
    return any(entry["left_behind"] for entry in hosts.values())


def _as_of(entry: Entry) -> str:
    """When a verdict on a dead node holds; '' for a live one."""
    left = entry["left_behind"]
    if not left:
        return ""
    when = f" of {moment(left['time'])}" if left["time"] else ""
    return f"if it panicked as it was in its {left['kind']}{when}"
