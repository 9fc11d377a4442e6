# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as a change ticket takes it, plain text of at most WIDTH columns, ASCII. Pure.

What is the same for many nodes is said once: the kinds of changes have letters, and of more than ROWS nodes those of a
wave that are alike share a line, with the first and the last place that they have in the order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Step
from ansible_collections.fleetops.kernel.plugins.plugin_utils import plan as planning
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import calendar, estimate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.hosts import Host, zone_of
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.waves import Rollout, Wave
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text import lines
from ansible_collections.fleetops.kernel.plugins.plugin_utils.text.findings import named

WIDTH = 110
# So many nodes have a line each.
ROWS = 40
# Of reasons why nodes are not in the plan, those that are still read.
MOST = 8
# Columns for the names on a line that several share.
MOST_NAMES = 45
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Kind(NamedTuple):
    """What several nodes have in common: why they are in the plan, what changes, and whether they reboot."""

    why: str
    what: str
    reboot: bool


def plan_text(
    rollout: Rollout,
    steps: Sequence[Step],
    plan: planning.Plan,
    hosts: Mapping[str, Host],
    now: float,
    basis: str = "",
) -> str:
    """The plan. *steps* in their order; *basis*: what the seconds are taken from (see `estimate.expected`)."""
    head = [*lines.wrap(f"PLAN: {rollout['goal']}", "", "      ", WIDTH), ""]
    head += field("Made", calendar.say(now, rollout["time_zone"]))
    if not steps:
        return _text([*head, *field("Nodes", _nodes(rollout, plan, hosts)), *_not_planned(plan, hosts)])
    kinds = {step["host"]: _kind(step) for step in steps}
    letters = _letters(kinds.values())
    course = estimate.course(rollout, now)
    body = [*head, *_summary(rollout, plan, hosts, course, now, basis), *_changes(kinds, letters)]
    number = 1
    for index, wave in enumerate(rollout["waves"]):
        body += [
            "",
            *_heading(rollout, index, course.waves[index]),
            *_rows(rollout, wave, number, kinds, letters),
        ]
        number += len(wave["hosts"])
    return _text([*body, *_not_planned(plan, hosts)])


def minutes(seconds: float) -> str:
    """``8 min``, ``2 h 45 min``, ``3 d 4 h``."""
    whole = max(1, math.ceil(seconds / 60)) if seconds > 0 else 0
    if whole < 60:
        return f"{whole} min"
    hours, rest = divmod(whole, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def because(key: str) -> str:
    """Why a node is in the plan, of one of the keys in its step."""
    id_, _colon, words = key.partition(":")
    if id_ in (planning.WANTED, planning.LEFT):
        return words if id_ == planning.WANTED else f"an earlier run left it: {words}"
    return named(key)


def field(name: str, words: str) -> list[str]:
    """A line with a name before it, and as many more as it needs."""
    return lines.wrap(words, f"  {name:<11} ", " " * 14, WIDTH)


# --- what a person decides by ------------------------------------------------------------------------


def _summary(
    rollout: Rollout,
    plan: planning.Plan,
    hosts: Mapping[str, Host],
    course: estimate.Course,
    now: float,
    basis: str,
) -> list[str]:
    zone = rollout["time_zone"]
    found = [*field("Nodes", _nodes(rollout, plan, hosts)), *field("At once", _at_once(rollout, hosts))]
    budget = rollout["budget"]
    stops = (
        "at the first failed node" if not budget else f"when more than {lines.count(budget, 'node')} failed"
    )
    found += field("Stops", f"{stops}: no other begins, those under way finish, the rest is not attempted")
    begin = min(course.begins.values(), default=now)
    soak = sum(wave["soak"] for wave in rollout["waves"])
    took = f"about {minutes(course.end - begin)}" + (f", {minutes(soak)} of them soak" if soak else "")
    took += ", with the time between windows" if course.parts > 1 else ""
    found += field("Takes", f"{took}; a node by {basis}" if basis else took)
    if rollout["windows"]:
        found += field("Windows", _windows(rollout, course, now))
    if course.never:
        host = course.never[0]
        need = minutes(rollout["seconds"][host])
        found += field("NEVER ENDS", f"no maintenance window is long enough for {host}, which needs {need}")
    else:
        when = "if it begins now and nothing fails" if begin == now else f"begins {calendar.say(begin, zone)}"
        found += field("Ends", f"about {calendar.say(course.end, zone)}, {when}")
    for note in rollout["notes"]:
        found += field("Note", note)
    return found


def _nodes(rollout: Rollout, plan: planning.Plan, hosts: Mapping[str, Host]) -> str:
    planned = sum(len(wave["hosts"]) for wave in rollout["waves"])
    zones = {zone_of(hosts[host]) for wave in rollout["waves"] for host in wave["hosts"]} - {""}
    where = f", in {lines.count(len(zones), 'zone')}" if zones else ""
    dark = sum(bool(about["dark"]) for about in hosts.values())
    blind = sum(not hosts[host]["dark"] for host in plan["skipped"])
    counts = {
        "with nothing to do": len(plan["idle"]),
        "held back": len(plan["held_back"]),
        "not judged": blind,
        "dark": dark,
        "unhealthy before": sum(bool(about["unhealthy"]) for about in hosts.values()),
    }
    rest = "".join(f"; {number} {words}" for words, number in counts.items() if number)
    return f"{planned} of {len(hosts)}{where}{rest}"


def _at_once(rollout: Rollout, hosts: Mapping[str, Host]) -> str:
    """The blast radius: how many nodes are away at once at most, in all and where it hurts most."""
    total, sizes = len(hosts), Counter(zone_of(about) for about in hosts.values())
    most = max(
        min(wave["in_flight"], sum(_in_zone(rollout, wave, zone) for zone in _zones(rollout, wave)))
        for wave in rollout["waves"]
    )
    worst = max(
        (
            (_in_zone(rollout, wave, zone), zone)
            for wave in rollout["waves"]
            for zone in _zones(rollout, wave)
        ),
        key=lambda one: (one[0] / sizes[one[1]], sizes[one[1]]),
    )
    number, zone = worst
    words = f"at most {most} of {total} nodes ({most / total:.0%})"
    if zone:
        words += f"; of one zone at most {number} of {sizes[zone]} ({zone}, {number / sizes[zone]:.0%})"
    limits = rollout["max_unavailable"]
    if limits:
        words += (
            f"; never more than {max(limits.values())} of a zone unavailable, dark and unhealthy ones counted"
        )
    away = sum(map(len, rollout["unavailable"].values()))
    return words + (f"; beside {away} unavailable already" if away else "")


def _zones(rollout: Rollout, wave: Wave) -> Counter[str]:
    return Counter(rollout["zones"][host] for host in wave["hosts"])


def _in_zone(rollout: Rollout, wave: Wave, zone: str) -> int:
    limits = [wave["in_flight"], _zones(rollout, wave)[zone]]
    limits += [wave["per_zone"]] if wave["per_zone"] else []
    limits += [rollout["max_unavailable"][zone]] if zone in rollout["max_unavailable"] else []
    return min(limits)


def _windows(rollout: Rollout, course: estimate.Course, now: float) -> str:
    windows, zone = rollout["windows"], rollout["time_zone"]
    hours = "; ".join(f"{_days(one['days'])} {one['from']}-{one['to']}" for one in windows)
    if calendar.is_open(windows, zone, now):
        state = f"open now, closes {calendar.say(calendar.closes(windows, zone, now), zone)}"
    else:
        state = f"closed now, opens {calendar.say(calendar.opens(windows, zone, now), zone)}"
    several = (
        f"; takes {course.parts} windows: it stops when one closes, and the same command goes on in the next"
        if course.parts > 1
        else ""
    )
    return f"{hours} ({zone}); {state}{several}"


def _days(days: Sequence[str]) -> str:
    numbers = [calendar.DAYS.index(day) for day in days]
    if len(numbers) == len(calendar.DAYS):
        return "daily"
    row = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return f"{days[0]}-{days[-1]}" if row and len(days) > 2 else ",".join(days)


# --- what changes ------------------------------------------------------------------------------------


def _kind(step: Step) -> _Kind:
    what = (
        "; ".join(_change(role, values) for role, values in step["roles"].items())
        or "its gates are looked at again"
    )
    return _Kind("; ".join(map(because, step["because"])), what, step["reboot"])


def _change(role: str, values: Mapping[str, Any]) -> str:
    """What a role is going to do, in as few words as will do."""
    words = [
        _WORDS[name](value) for name, value in values.items() if name in _WORDS and value not in ("", False)
    ]
    return ", ".join(words) or role


_WORDS: Mapping[str, Any] = {
    "kernel_upgrade_release": "kernel {}".format,
    "kernel_upgrade_package": "kernel of {}".format,
    "kernel_upgrade_minimum": "kernel {} or newer".format,
    "kernel_upgrade_first_good": lambda _value: "the first good kernel",
    "crashkernel_size": "crashkernel={}".format,
    "crashkernel_capture_panic": "panic={} for the capture kernel".format,
    "cilium_migration_cleanup_links": lambda links: f"stale links removed: {', '.join(map(str, links))}",
}


def _letters(kinds: Iterable[_Kind]) -> dict[_Kind, str]:
    """The commonest first; after Z comes AA."""
    common = [kind for kind, _number in Counter(kinds).most_common()]
    size = len(LETTERS)
    return {
        kind: (LETTERS[number // size - 1] if number >= size else "") + LETTERS[number % size]
        for number, kind in enumerate(common[: size * (size + 1)])
    }


def _changes(kinds: Mapping[str, _Kind], letters: Mapping[_Kind, str]) -> list[str]:
    counts = Counter(kinds.values())
    found = ["", "WHAT CHANGES, AND WHY"]
    for kind, letter in letters.items():
        head = f"  {letter:<2} {lines.count(counts[kind], 'node'):<11} "
        reboot = "one reboot" if kind.reboot else "no reboot"
        found += lines.wrap(f"{kind.what}; {reboot}", head, " " * len(head), WIDTH)
        found += lines.wrap(f"because {kind.why}", " " * len(head), " " * (len(head) + 2), WIDTH)
    return found


# --- waves -------------------------------------------------------------------------------------------


def _heading(rollout: Rollout, index: int, begins: float | None) -> list[str]:
    wave = rollout["waves"][index]
    size = len(wave["hosts"])
    words = f"WAVE {index + 1} of {len(rollout['waves'])}, {wave['name']}: {lines.count(size, 'node')}, "
    words += "one at a time" if wave["in_flight"] == 1 else f"{wave['in_flight']} at once"
    if wave["per_zone"] and wave["per_zone"] < wave["in_flight"]:
        words += f", {wave['per_zone']} of a zone"
    words += f", from about {calendar.say(begins, rollout['time_zone'])}" if begins is not None else ", never"
    words += f"; then {minutes(wave['soak'])} of soak" if wave["soak"] else ""
    return lines.wrap(words, "", "    ", WIDTH)


def _rows(
    rollout: Rollout,
    wave: Wave,
    first: int,
    kinds: Mapping[str, _Kind],
    letters: Mapping[_Kind, str],
) -> list[str]:
    one_by_one = sum(len(one["hosts"]) for one in rollout["waves"]) <= ROWS
    alike: dict[tuple[Any, ...], list[int]] = {}
    for number, host in enumerate(wave["hosts"]):
        took = minutes(rollout["seconds"][host])
        own = number if one_by_one else 0
        alike.setdefault((own, rollout["zones"][host], kinds[host], took), []).append(number)
    rows = [("ORDER", "ZONE", "HOST", "CHANGE", "REBOOT", "EACH")]
    for (_own, zone, kind, took), numbers in alike.items():
        order, name = str(first + numbers[0]), lines.plain(wave["hosts"][numbers[0]])
        if len(numbers) > 1:
            order += f"..{first + numbers[-1]}"
            names = lines.abbreviate([wave["hosts"][number] for number in numbers], MOST_NAMES)
            name = f"{len(numbers)} nodes: {names}"
        letter = letters.get(kind, "?")
        rows.append((order, lines.plain(zone), name, letter, "yes" if kind.reboot else "no", took))
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows under each other, two spaces apart and two from the edge."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip()
        for row in rows
    ]


# --- who is not in it --------------------------------------------------------------------------------


def _not_planned(plan: planning.Plan, hosts: Mapping[str, Host]) -> list[str]:
    dark = {host: about["dark"] for host, about in hosts.items() if about["dark"]}
    groups = {
        "DARK": dark,
        "NOT JUDGED": {host: why for host, why in plan["skipped"].items() if host not in dark},
        "HELD BACK": plan["held_back"],
        "UNHEALTHY BEFORE": {host: about["unhealthy"] for host, about in hosts.items() if about["unhealthy"]},
        "NOTHING TO DO": plan["idle"],
    }
    found: list[str] = []
    for title, whys in groups.items():
        found += ["", *grouped(title, whys)] if whys else []
    return found


def grouped(title: str, whys: Mapping[str, str]) -> list[str]:
    """Hosts that share a reason, on as few lines as will do."""
    found = [f"{title}: {lines.count(len(whys), 'node')}"]
    groups = lines.by_reason(whys)
    for why, those in groups[:MOST]:
        found += lines.wrap(f"{lines.abbreviate(those)}: {why}", "  ", "      ", WIDTH)
    if len(groups) > MOST:
        rest = sum(len(those) for _why, those in groups[MOST:])
        found.append(f"  and {lines.count(rest, 'node')} for {len(groups) - MOST} more reasons, in the JSON")
    return found


def _text(found: Iterable[str]) -> str:
    return "\n".join(line.rstrip() for line in found)
