# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report for a terminal: what an operator reads at night. Pure.

At most 100 columns, ASCII only: what a node says of itself is escaped, so that it cannot move the cursor. Up to FEW
hosts are told one by one; more are grouped by what they have in common, so that 300 nodes stay a page.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings, matching
from ansible_collections.fleetops.kernel.plugins.plugin_utils import plan as planning
from ansible_collections.fleetops.kernel.plugins.plugin_utils.records import natural

WIDTH = 100
FEW = 6
# Of a long list, what is still read.
MOST_VARIANTS = 3
MOST_STEPS = 12
EVIDENCE_LINES = 3
MOST_EVIDENCE = 6
# Rules that speak of several things on one node: there, the name alone does not say which.
SEVERAL = (
    "kernel-known-bad",
    "kernel-policy",
    "module-missing",
    "dkms-missing",
    "vendor-module-missing",
    "reboot-by-others",
    "fallback-may-be-removed",
    "stale-link",
)

# Worst first.
OUTCOMES = ("hangs", "unknown", "reboots", "dumps")
VERDICTS = {
    "hangs": "it HANGS",
    "unknown": "it is UNKNOWN what happens",
    "reboots": "it REBOOTS",
    "dumps": "it DUMPS and reboots",
}
WORDS = {
    "hangs": "HANGS",
    "unknown": "UNKNOWN",
    "reboots": "REBOOTS",
    "dumps": "DUMPS",
}
# Why a host is no clean one whatever was found on it, by the key of the summary.
DARK = {
    "unreachable": "could not be reached",
    "unreadable": "could not be read",
    "bad_variables": "have a bad variable",
}
STATUSES = ("failed", "not attempted", "done", "planned", "nothing to do")

_SIZE = re.compile(r"\d+(?:\.\d+)? MiB")
_COLORS = {
    "HANGS": "1;31", "UNKNOWN": "1;35", "REBOOTS": "33", "DUMPS": "32",
    "critical": "1;31", "high": "31", "medium": "33", "low": "36",
    "FAILED": "1;31", "NOT ATTEMPTED": "35", "DONE": "32", "CLEAN": "32", "NOT CLEAN": "1;31",
}  # fmt: skip

Entry = Mapping[str, Any]
Hosts = Mapping[str, Entry]


def render(report: Mapping[str, Any], color: bool) -> str:
    """The whole text, without a newline at its end."""
    paint = _Paint(color)
    hosts: Hosts = report["hosts"]
    lines = [_title(report), ""]
    if report["report"] == "remediate" and report["stage"] == "after":
        lines += [*_outcomes(hosts, paint), ""]
    lines += _verdicts(hosts, paint)
    lines += _findings(hosts, paint)
    if report["stage"] == "before":
        lines += _plan(hosts)
    lines += ["", *_conclusion(report, paint)]
    return "\n".join(line.rstrip() for line in lines)


def abbreviate(hosts: Iterable[str], width: int = 60) -> str:
    """Host names as ranges, in at most *width* columns: ``node-a[1-40,42], db1 and 3 more``."""
    families: dict[tuple[str, str], list[tuple[str, int]]] = {}
    names = sorted(map(_ascii, hosts), key=natural)
    for name in names:
        found = re.match(r"([^.]*?)(\d+)([^.\d]*(?:\..*)?)\Z", name)
        before, number, after = found.groups() if found else (name, "", "")
        ranges = families.setdefault((before, after), [])
        if ranges and _follows(number, ranges[-1][0]):
            ranges[-1] = (f"{ranges[-1][0].partition('-')[0]}-{number}", ranges[-1][1] + 1)
        else:
            ranges.append((number, 1))
    shown: dict[tuple[str, str], list[str]] = {}
    left, words = len(names), ""
    for family, ranges in families.items():
        for numbers, size in ranges:
            shown.setdefault(family, []).append(numbers)
            longer = ", ".join(_family(*key, of) for key, of in shown.items())
            tail = f" and {left - size} more" if left > size else ""
            if words and len(longer + tail) > width:
                return f"{words} and {left} more"
            words, left = longer, left - size
    return words


def count(number: int, what: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


# --- parts -------------------------------------------------------------------------------------------


def _title(report: Mapping[str, Any]) -> str:
    zones = {entry["zone"] for entry in report["hosts"].values() if entry["zone"]}
    where = f" in {count(len(zones), 'zone')}" if zones else ""
    what = f"{report['report']}{', before the cure' if report['stage'] == 'before' else ''}"
    what += " of what dead nodes left behind" if _dead(report["hosts"]) else ""
    return f"fleetops.kernel {what}: {count(len(report['hosts']), 'node')}{where}, {_moment(report['time'])}"


def _verdicts(hosts: Hosts, paint: _Paint) -> list[str]:
    """What each would do if it panicked now, worst first."""
    ordered = sorted(
        hosts, key=lambda host: (OUTCOMES.index(hosts[host]["on_panic"]["outcome"]), natural(host))
    )
    if len(hosts) <= FEW:
        lines: list[str] = []
        for host in ordered:
            verdict = hosts[host]["on_panic"]
            when = _as_of(hosts[host]) or "if this node panics now"
            say = f"{_name(host, hosts[host])}: {when}, {VERDICTS[verdict['outcome']]}, because "
            lines += paint(_wrap(say + verdict["because"] + ".", "", "    "), WORDS[verdict["outcome"]])
        return lines
    lines = ["ON A PANIC AS EACH WAS WHEN IT WAS LAST READ" if _dead(hosts) else "IF A NODE PANICS NOW"]
    for outcome in OUTCOMES:
        those = [host for host in ordered if hosts[host]["on_panic"]["outcome"] == outcome]
        if those:
            head = f"  {WORDS[outcome]:<8} {count(len(those), 'node')}: "
            head += abbreviate(those, WIDTH - len(head))
            lines += paint([head], WORDS[outcome])
            lines += _variants("because", {host: hosts[host]["on_panic"]["because"] for host in those})
    return lines


def _findings(hosts: Hosts, paint: _Paint) -> list[str]:
    return _one_by_one(hosts, paint) if len(hosts) <= FEW else _grouped(hosts, paint)


def _one_by_one(hosts: Hosts, paint: _Paint) -> list[str]:
    lines: list[str] = []
    for host, entry in hosts.items():
        if entry["facts"] is None:
            continue
        lines += ["", f"{_name(host, entry)}{_about(entry)}", *_source(entry)]
        for those in _alike(entry["findings"]):
            first = those[0]
            lines += paint(_wrap(_head(*those), "  ", "      "), first["severity"])
            lines += _wrap(first["reason"], "      what  ", "            ")
            lines += _seen(first)
            lines += _cure(first)
        ok = Counter(finding["id"] for finding in entry["findings"] if finding["status"] == "ok")
        fine = [id_ if number == 1 else f"{id_} ({number})" for id_, number in sorted(ok.items())]
        if fine:
            lines += _wrap(", ".join(fine), "  checked, not found: ", "      ")
    return lines


def _grouped(hosts: Hosts, paint: _Paint) -> list[str]:
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    fine: Counter[str] = Counter()
    for host, entry in hosts.items():
        fine.update({finding["id"] for finding in entry["findings"] if finding["status"] == "ok"})
        for alike in _alike(entry["findings"]):
            first = alike[0]
            names = tuple(f"{finding['id']}:{finding['subject']}" for finding in alike)
            groups.setdefault((first["status"], first["severity"], names, _head(*alike)), {})[host] = first
    lines: list[str] = ["", "FINDINGS"] if groups else []
    for key in sorted(groups, key=lambda key: (key[0] != "affected", *_rank(key[1]), key[2])):
        those = groups[key]
        first_host, first = next(iter(those.items()))
        lines += paint(_wrap(key[3], "  ", "      "), first["severity"])
        head = f"      {count(len(those), 'node')}: "
        lines.append(head + abbreviate(those, WIDTH - len(head)))
        lines += _variants("what", {host: finding["reason"] for host, finding in those.items()}, "      ")
        lines += _seen(first, first_host if len(those) > 1 else "")
        cures = Counter(_remedy(finding) for finding in those.values() if _cure(finding))
        for cure, number in cures.most_common(MOST_VARIANTS):
            many = f" ({count(number, 'node')})" if len(cures) > 1 else ""
            lines += _wrap(cure + many, "      cure  ", "            ")
    if fine:
        words = [f"{name} ({number})" for name, number in sorted(fine.items())]
        shown = words[:8] + ([f"{len(words) - 8} more"] if len(words) > 8 else [])
        lines += ["", *_wrap(", ".join(shown), "Checked, not found (nodes): ", "    ")]
    return lines


def _plan(hosts: Hosts) -> list[str]:
    steps = sorted((e["step"] for e in hosts.values() if e.get("step")), key=lambda step: step["wave"])
    held = _held_back(hosts)
    if not steps:
        return ["", "PLAN: nothing to cure", *held]
    reboots = sum(step["reboot"] for step in steps)
    lines = ["", f"PLAN: {count(len(steps), 'node')}, one at a time, {reboots} of them with one reboot"]
    if len(steps) <= FEW:
        for step in steps:
            name = _name(step["host"], {"zone": step["zone"]})
            lines += _cures(f"  {step['wave'] + 1:>3}. {name}{_reboot(step)}", step)
        return lines + held
    zones: dict[str, list[str]] = {}
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for step in steps:
        zones.setdefault(step["zone"] or "no zone", []).append(step["host"])
        alike.setdefault((step["reboot"], repr(step["roles"])), []).append(step)
    for zone, names in zones.items():
        head = f"  {zone}, {count(len(names), 'node')}: "
        lines.append(_ascii(head).ljust(len(head)) + abbreviate(names, WIDTH - len(head)))
    for those in sorted(alike.values(), key=len, reverse=True)[:MOST_STEPS]:
        lines += _cures(f"  {count(len(those), 'node')}, as {those[0]['host']}{_reboot(those[0])}", those[0])
    if len(alike) > MOST_STEPS:
        lines.append(f"  and {len(alike) - MOST_STEPS} more kinds of steps, in the JSON")
    return lines + held


def _held_back(hosts: Hosts) -> list[str]:
    """What is not planned, since a reboot would do harm."""
    whys = {host: entry["held_back"] for host, entry in hosts.items() if entry.get("held_back")}
    lines: list[str] = []
    groups = _by_reason(whys)
    for why, those in groups[:MOST_STEPS]:
        lines += _wrap(f"{abbreviate(those)}: {why}", "  HELD BACK  ", "      ")
    if len(groups) > MOST_STEPS:
        lines.append(f"  HELD BACK  {len(groups) - MOST_STEPS} more kinds of reasons, in the JSON")
    return lines


def _cures(head: str, step: Mapping[str, Any]) -> list[str]:
    lines = [_ascii(head).rjust(len(head))]
    for role, variables in step["roles"].items():
        lines += _wrap(f"{role}{_variables(variables)}", "         ", "             ")
    return lines


def _reboot(step: Mapping[str, Any]) -> str:
    return ", with one reboot" if step["reboot"] else ", without a reboot"


def _outcomes(hosts: Hosts, paint: _Paint) -> list[str]:
    """What became of each node, and what changed."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for host, entry in hosts.items():
        status, why = entry["outcome"]["status"], entry["outcome"]["why"]
        change: Any = host if len(hosts) <= FEW else _change(entry) if _tells(entry) else ()
        groups.setdefault((status, why, change, entry["held_back"]), []).append(host)
    lines: list[str] = []
    for key in sorted(groups, key=lambda key: (STATUSES.index(key[0]), natural(groups[key][0]))):
        status, why = key[0], key[1]
        those = groups[key]
        entry = hosts[those[0]]
        who = _name(those[0], entry) if len(those) == 1 else f"{len(those)} nodes, {abbreviate(those, 70)}"
        lines += paint(
            _wrap(f"{status.upper()}: {who}{f': {why}' if why else ''}", "", "    "), status.upper()
        )
        if _tells(entry):
            lines += _changes(those, hosts)
        if entry["held_back"] not in ("", why):
            lines += _wrap(entry["held_back"], "    held back   ", "                ")
    return lines


def _changes(those: Sequence[str], hosts: Hosts) -> list[str]:
    entry = hosts[those[0]]
    before, was, now = entry["before"], entry["before"]["on_panic"]["outcome"], entry["on_panic"]["outcome"]
    kernel = _fact(entry, "kernel")
    boots = ""
    if before["boot_id"] and kernel.get("boot_id"):
        boots = ", rebooted" if before["boot_id"] != kernel["boot_id"] else ", not rebooted"
    then, today = before["release"] or "unknown", kernel.get("release") or "unknown"
    lines = [f"    on a panic  {WORDS[was]} -> {WORDS[now]}"]
    lines += _wrap(f"{then} -> {today}{boots}", "    kernel      ", "                ")
    for name in ("cured", "left", "new"):
        keys = Counter(key for host in those for key in (hosts[host]["difference"] or {}).get(name, []))
        words = [f"{_key(key)}{f' ({number})' if len(those) > 1 else ''}" for key, number in keys.items()]
        if words:
            lines += _wrap(", ".join(words), f"    {name:<12}", "                ")
    return lines


def _conclusion(report: Mapping[str, Any], paint: _Paint) -> list[str]:
    summary = report["summary"]
    hosts: Hosts = report["hosts"]
    lines: list[str] = []
    for key, words in DARK.items():
        words = words.upper()
        for why, those in _by_reason({host: hosts[host][key] for host in summary[key]}):
            lines += paint(_wrap(f"{words}: {abbreviate(those)}: {why}", "", "    "), words, "1;31")
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
    return lines + paint(_wrap(f"{word}: {', '.join(what)}{tally}.", "", "    "), word)


# --- lines -------------------------------------------------------------------------------------------


class _Paint:
    """Colours the first occurrence of a word, once the lines have been broken."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, lines: list[str], word: str, code: str = "") -> list[str]:
        code = code or _COLORS.get(word, "")
        if not (self.color and code):
            return lines
        for number, line in enumerate(lines):
            if word in line:
                lines[number] = line.replace(word, f"\033[{code}m{word}\033[0m", 1)
                break
        return lines


def _wrap(words: str, first: str, later: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(
        _ascii(words), width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    ) or [first]


def _ascii(words: str) -> str:
    """One line of printable ASCII; the rest escaped."""
    safe = " ".join(str(words).split()).encode("ascii", "backslashreplace").decode("ascii")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found.group()):02x}", safe)


def _name(host: str, entry: Mapping[str, Any]) -> str:
    return f"{host} ({entry['zone']})" if entry["zone"] else host


def _about(entry: Entry) -> str:
    kernel = _fact(entry, "kernel")
    distro = kernel.get("distro") or {}
    name = " ".join(part for part in (distro.get("id"), distro.get("version_id")) if part)
    return _ascii(f": {name or 'unknown system'}, kernel {kernel.get('release') or 'unknown'}")


def _dead(hosts: Hosts) -> bool:
    """Was what nodes left behind read, and no node? All hosts of a run are alike in this."""
    return any(entry["left_behind"] for entry in hosts.values())


def _as_of(entry: Entry) -> str:
    """When a verdict on a dead node holds; '' for a live one."""
    left = entry["left_behind"]
    if not left:
        return ""
    when = f" of {_moment(left['time'])}" if left["time"] else ""
    return f"if it panicked as it was in its {left['kind']}{when}"


def _source(entry: Entry) -> list[str]:
    left = entry["left_behind"]
    if not left:
        return []
    when = _moment(left["time"]) if left["time"] else "nothing in it says when"
    return _wrap(f"{left['root']} ({left['kind']}, {when})", "  read from ", "    ")


def _moment(time: str) -> str:
    return time.replace("T", " ")


def _fact(entry: Entry, part: str) -> Mapping[str, Any]:
    return (entry["facts"] or {}).get(f"fleetops_{part}") or {}


def _alike(found: Sequence[Entry]) -> list[list[Entry]]:
    """The open findings, in their order; those that are unknown for one and the same reason are told at once."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for finding in found:
        if finding["status"] != "ok":
            doubt = finding["status"] == "unknown" and not finding["remedy"]
            key = ("unknown", finding["reason"]) if doubt else (finding["id"], finding["subject"])
            groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _head(*found: Mapping[str, Any]) -> str:
    doubt = ", unknown" if found[0]["status"] == "unknown" else ""
    return _ascii(f"[{found[0]['severity']}{doubt}] {', '.join(map(_short, found))}")


def _short(finding: Mapping[str, Any]) -> str:
    if finding["subject"] in findings.ALL:
        return str(finding["id"])
    return _key(f"{finding['id']}:{finding['subject']}")


def _key(key: str) -> str:
    """A finding's name, with its subject where there are several."""
    id_, _colon, subject = key.partition(":")
    return f"{id_} {subject}" if id_ in SEVERAL else id_


def _seen(finding: Mapping[str, Any], host: str = "") -> list[str]:
    """The evidence, with the host it is of where there are several; without what the reason says in the same words."""
    lines: list[str] = []
    found = [
        item for item in finding["evidence"] if "/" in item["source"] or item["text"] not in finding["reason"]
    ]
    if found and host:
        lines.append(f"on {_ascii(host)}:")
    for item in found[:MOST_EVIDENCE]:
        words = _ascii(f"{item['source']}: {item['text']}")
        room = EVIDENCE_LINES * (WIDTH - 16)
        if len(words) > room:  # what counts in a command line is mostly at its end
            words = f"{words[: room // 3].rpartition(' ')[0]} ... {words[-room // 2 :].partition(' ')[2]}"
        lines += _wrap(words, "", "  ", WIDTH - 12)
    if len(found) > MOST_EVIDENCE:
        lines.append(f"and {len(found) - MOST_EVIDENCE} more, in the JSON")
    return [f"{'      seen  ' if number == 0 else ' ' * 12}{line}" for number, line in enumerate(lines)]


def _cure(finding: Mapping[str, Any]) -> list[str]:
    if finding["status"] == "unknown" and finding["remedy"] is None:
        return []  # nobody knows yet what there is to cure
    return _wrap(_remedy(finding), "      cure  ", "            ")


def _remedy(finding: Mapping[str, Any]) -> str:
    remedy = finding["remedy"]
    if remedy is None:
        return "none from here"
    reboot = any(name in planning.REBOOT for name in remedy["vars"])
    would = "would be certain with " if finding["status"] == "unknown" else ""
    return f"{would}role {remedy['role']}{_variables(remedy['vars'])}{'; needs a reboot' if reboot else '; no reboot'}"


def _variables(variables: Mapping[str, Any]) -> str:
    words = []
    for name, value in variables.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        words.append(f"{name}: {shown}")
    return f" ({'; '.join(words)})" if words else ""


def _variants(label: str, of_host: Mapping[str, str], indent: str = "           ") -> list[str]:
    """The commonest texts, each with the number of nodes that it is true of. Sizes alone make no other text."""
    groups: dict[str, dict[str, str]] = {}
    for host, words in of_host.items():
        groups.setdefault(_SIZE.sub("# MiB", words), {})[host] = words
    found = sorted(groups.values(), key=len, reverse=True)
    lines: list[str] = []
    later = indent + " " * (len(label) + 2)
    for those in found[:MOST_VARIANTS]:
        host, words = next(iter(those.items()))
        notes = [count(len(those), "node")] if len(found) > 1 else []
        notes += [f"the sizes are those of {host}"] if len(set(those.values())) > 1 else []
        lines += _wrap(words + (f" [{', '.join(notes)}]" if notes else ""), f"{indent}{label}  ", later)
    if len(found) > MOST_VARIANTS:
        rest = sum(map(len, found[MOST_VARIANTS:]))
        lines.append(
            f"{later}and {len(found) - MOST_VARIANTS} more reasons on {count(rest, 'node')}, in the JSON"
        )
    return lines


def _by_reason(of_host: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for host, words in of_host.items():
        groups.setdefault(words, []).append(host)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _tells(entry: Entry) -> bool:
    """Was this node touched, and is it known how it is now?"""
    return entry["outcome"]["status"] in ("done", "failed") and not _dark(entry)


def _change(entry: Entry) -> tuple[Any, ...]:
    """What nodes of one group have in common."""
    before = entry["before"]
    return (
        before["on_panic"]["outcome"],
        entry["on_panic"]["outcome"],
        before["release"],
        _fact(entry, "kernel").get("release"),
    )


def _dark(entry: Entry) -> bool:
    return bool(entry["unreachable"] or entry["unreadable"])


def _rank(severity: str) -> tuple[int]:
    return (matching.SEVERITIES.index(severity),)


def _family(before: str, after: str, ranges: Sequence[str]) -> str:
    body = ",".join(ranges)
    return before + (f"[{body}]" if len(ranges) > 1 or "-" in body else body) + after


def _follows(number: str, ranges: str) -> bool:
    """Does a number come right behind a range, written in the same way? Zeros in front are kept."""
    last = ranges.rpartition("-")[2]
    return (
        bool(number and last) and int(number) == int(last) + 1 and str(int(number)).zfill(len(last)) == number
    )
