# SPDX-License-Identifier: GPL-3.0-or-later
"""Did anything change on a machine? Two readings of the whole of it, and the differences.

The comparer is itself put to the test: `selftest` changes one thing at a time and must be told of it.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import LabError
from .host import phase
from .node import Node

State = dict[str, Any]

# What may differ between two readings although nobody did anything: `section:key` pattern -> reason.
EXCLUSIONS: dict[str, str] = {
    "sysctl:fs/dentry-state": "counter of the dentry cache",
    "sysctl:fs/inode-nr": "counter of the inode cache",
    "sysctl:fs/inode-state": "counter of the inode cache",
    "sysctl:fs/file-nr": "counter of open files",
    "sysctl:fs/aio-nr": "counter of running requests",
    "sysctl:fs/quota/*": "counters of the quota code",
    "sysctl:kernel/ns_last_pid": "last process number",
    "sysctl:kernel/pty/nr": "counter of terminals",
    "sysctl:kernel/random/uuid": "a new number at each reading",
    "sysctl:kernel/random/entropy_avail": "level of the pool",
    "sysctl:kernel/perf_event_max_sample_rate": "the kernel lowers it by itself on a slow machine",
    "sysctl:net/netfilter/nf_conntrack_count": "counter of connections",
    "links:*.addr_info.*.tentative": "duplicate address detection ends by itself",
    "links:*.addr_info.*_life_time": "runs down on a leased address",
}

# One change each, how to take it back, and which key must be named.
_PROBES: tuple[tuple[str, str, str, str], ...] = (
    (
        "a touched file",
        "stat -c @%.9Y /etc/issue >/run/lab-mtime; touch /etc/issue",
        'touch -d "$(cat /run/lab-mtime)" /etc/issue; rm /run/lab-mtime',
        "files:/etc/issue.mtime",
    ),
    (
        "a changed sysctl",
        "sysctl -n vm.swappiness >/run/lab-swappiness; echo 17 >/proc/sys/vm/swappiness",
        "cat /run/lab-swappiness >/proc/sys/vm/swappiness; rm /run/lab-swappiness",
        "sysctl:vm/swappiness",
    ),
    (
        "an added link",
        "grep -q '^dummy ' /proc/modules && : >/run/lab-dummy; ip link add lab-probe type dummy",
        "ip link del lab-probe; [ -e /run/lab-dummy ] || rmmod dummy; rm -f /run/lab-dummy",
        "links:lab-probe",
    ),
    ("a held package", "apt-mark hold kdump-tools", "apt-mark unhold kdump-tools", "packages:kdump-tools"),
)


def read_state(node: Node) -> State:
    """One reading, in one ssh call (about five seconds on an emulated machine)."""
    script = Path(__file__).with_name("guest_state.py").read_text()
    state: State = json.loads(node.ssh("python3 -", stdin=script, timeout=180).stdout)
    return state


def compare(before: State, after: State) -> list[str]:
    """The differences, one line each: `section:key: before -> after`. Empty when nothing changed."""
    left, right = _flat(before), _flat(after)
    lines = []
    for key in sorted({*left, *right}):
        old, new = left.get(key), right.get(key)
        if old == new or any(fnmatch.fnmatchcase(key, pattern) for pattern in EXCLUSIONS):
            continue
        lines.append(f"{key}: {_shown(old)} -> {_shown(new)}")
    return lines


def _flat(state: State) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, content in state.items():
        for key, value in content.items():
            _flatten(f"{section}:{key}", value, flat)
    return flat


def _flatten(key: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _flatten(f"{key}.{name}", inner, flat)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, inner in enumerate(value):
            _flatten(f"{key}.{number}", inner, flat)
    else:
        flat[key] = value


def _shown(value: Any) -> str:
    if value is None:
        return "(absent)"
    shown = json.dumps(value)
    return shown if len(shown) < 120 else shown[:117] + "..."


def selftest(node: Node) -> list[str]:
    """Show on a live node that the comparer notices each kind of change and is silent without one.

    Returns one line per probe; LabError when it misses one, or sees what is not there. Leaves the node as it was.
    """
    with phase("two readings with nothing between"):
        base, again = read_state(node), read_state(node)
    _expect(compare(base, again), [], "nothing was done")
    seen = ["equal: two readings with nothing between"]
    for what, change, undo, key in _PROBES:
        with phase(f"the comparer and {what}"):
            node.ssh(change, timeout=60)
            changed = compare(base, read_state(node))
            node.ssh(undo, timeout=60)
            named = [line for line in changed if line.startswith(key)]
            if not named:
                raise LabError(
                    f"the comparer does not notice {what}", "\n".join(changed) or "(it saw no difference)"
                )
            _expect(compare(base, read_state(node)), [], f"{what} was taken back")
            seen.append(f"noticed: {what}: {named[0]} ({len(changed)} difference(s))")
    return seen


def _expect(differences: list[str], wanted: list[str], when: str) -> None:
    if differences != wanted:
        raise LabError(f"the comparer sees differences although {when}", "\n".join(differences[:30]))
