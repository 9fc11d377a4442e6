# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with the nodes, in words: node by node while they are FEW, else by what they have in common. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.plugin_utils import plan as planning
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings import ALL
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import SEVERITIES
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.lines import (
    FEW,
    MOST_VARIANTS,
    WIDTH,
    Entry,
    Hosts,
    Paint,
    abbreviate,
    count,
    fact,
    moment,
    name_of,
    plain,
    variants,
    wrap,
)

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


def told(hosts: Hosts, paint: Paint) -> list[str]:
    """All findings of all nodes, with what was seen and what cures it."""
    return _one_by_one(hosts, paint) if len(hosts) <= FEW else _grouped(hosts, paint)


def _one_by_one(hosts: Hosts, paint: Paint) -> list[str]:
    lines: list[str] = []
    for host, entry in hosts.items():
        if entry["facts"] is None:
            continue
        lines += ["", f"{name_of(host, entry)}{_about(entry)}", *_source(entry)]
        for those in _alike(entry["findings"]):
            first = those[0]
            lines += paint(wrap(_head(*those), "  ", "      "), first["severity"])
            lines += wrap(first["reason"], "      what  ", "            ")
            lines += _seen(first)
            lines += _cure(first)
        ok = Counter(finding["id"] for finding in entry["findings"] if finding["status"] == "ok")
        fine = [id_ if number == 1 else f"{id_} ({number})" for id_, number in sorted(ok.items())]
        if fine:
            lines += wrap(", ".join(fine), "  checked, not found: ", "      ")
    return lines


def _grouped(hosts: Hosts, paint: Paint) -> list[str]:
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    fine: Counter[str] = Counter()
    for host, entry in hosts.items():
        fine.update({finding["id"] for finding in entry["findings"] if finding["status"] == "ok"})
        for alike in _alike(entry["findings"]):
            first = alike[0]
            names = tuple(f"{finding['id']}:{finding['subject']}" for finding in alike)
            groups.setdefault((first["status"], first["severity"], names, _head(*alike)), {})[host] = first
    lines: list[str] = ["", "FINDINGS"] if groups else []
    for key in sorted(groups, key=lambda key: (key[0] != "affected", SEVERITIES.index(key[1]), key[2])):
        those = groups[key]
        first_host, first = next(iter(those.items()))
        lines += paint(wrap(key[3], "  ", "      "), first["severity"])
        head = f"      {count(len(those), 'node')}: "
        lines.append(head + abbreviate(those, WIDTH - len(head)))
        lines += variants("what", {host: finding["reason"] for host, finding in those.items()}, "      ")
        lines += _seen(first, first_host if len(those) > 1 else "")
        cures = Counter(_remedy(finding) for finding in those.values() if _cure(finding))
        for cure, number in cures.most_common(MOST_VARIANTS):
            many = f" ({count(number, 'node')})" if len(cures) > 1 else ""
            lines += wrap(cure + many, "      cure  ", "            ")
    if fine:
        words = [f"{name} ({number})" for name, number in sorted(fine.items())]
        shown = words[:8] + ([f"{len(words) - 8} more"] if len(words) > 8 else [])
        lines += ["", *wrap(", ".join(shown), "Checked, not found (nodes): ", "    ")]
    return lines


# --- a node ------------------------------------------------------------------------------------------


def _about(entry: Entry) -> str:
    kernel = fact(entry, "kernel")
    distro = kernel.get("distro") or {}
    name = " ".join(part for part in (distro.get("id"), distro.get("version_id")) if part)
    return plain(f": {name or 'unknown system'}, kernel {kernel.get('release') or 'unknown'}")


def _source(entry: Entry) -> list[str]:
    left = entry["left_behind"]
    if not left:
        return []
    when = moment(left["time"]) if left["time"] else "nothing in it says when"
    return wrap(f"{left['root']} ({left['kind']}, {when})", "  read from ", "    ")


# --- a finding ---------------------------------------------------------------------------------------


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
    return plain(f"[{found[0]['severity']}{doubt}] {', '.join(map(_short, found))}")


def _short(finding: Mapping[str, Any]) -> str:
    if finding["subject"] in ALL:
        return str(finding["id"])
    return named(f"{finding['id']}:{finding['subject']}")


def named(key: str) -> str:
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
        lines.append(f"on {plain(host)}:")
    for item in found[:MOST_EVIDENCE]:
        words = plain(f"{item['source']}: {item['text']}")
        room = EVIDENCE_LINES * (WIDTH - 16)
        if len(words) > room:  # what counts in a command line is mostly at its end
            words = f"{words[: room // 3].rpartition(' ')[0]} ... {words[-room // 2 :].partition(' ')[2]}"
        lines += wrap(words, "", "  ", WIDTH - 12)
    if len(found) > MOST_EVIDENCE:
        lines.append(f"and {len(found) - MOST_EVIDENCE} more, in the JSON")
    return [f"{'      seen  ' if number == 0 else ' ' * 12}{line}" for number, line in enumerate(lines)]


def _cure(finding: Mapping[str, Any]) -> list[str]:
    if finding["status"] == "unknown" and finding["remedy"] is None:
        return []  # nobody knows yet what there is to cure
    return wrap(_remedy(finding), "      cure  ", "            ")


def _remedy(finding: Mapping[str, Any]) -> str:
    remedy = finding["remedy"]
    if remedy is None:
        return "none from here"
    reboot = any(name in planning.REBOOT for name in remedy["vars"])
    would = "would be certain with " if finding["status"] == "unknown" else ""
    return f"{would}role {remedy['role']}{variables(remedy['vars'])}{'; needs a reboot' if reboot else '; no reboot'}"


def variables(given: Mapping[str, Any]) -> str:
    """What a role is given, in brackets behind its name; '' when that is nothing."""
    words = []
    for name, value in given.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        words.append(f"{name}: {shown}")
    return f" ({'; '.join(words)})" if words else ""
