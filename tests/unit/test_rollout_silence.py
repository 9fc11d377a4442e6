# SPDX-License-Identifier: GPL-3.0-or-later
"""When a node that holds a place is given up: a run that is only slow is never taken for one that stands still."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.action import rollout_slot
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock

TICKS = os.sysconf("SC_CLK_TCK")


def given_up(monkeypatch: pytest.MonkeyPatch, change: Any, waits: bool = True) -> bool:
    """Whether it is, within 100 s; *change* gives (offset of the ledger, what the run has used) at a second."""
    place: Any = SimpleNamespace(offset=0, owner=1)
    now = 0.0
    monkeypatch.setattr(rollout_slot, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(lock, "at_rest", lambda _pid: change(now)[1])
    silence = rollout_slot.Silence(place)
    while now < 100:
        now += 1.0
        place.offset = change(now)[0]
        if silence.lasts(waits):
            return True
    return False


def test_only_where_nothing_moves_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_up(monkeypatch, lambda now: (0, (7, int(0.05 * now * TICKS)))) is True
    assert given_up(monkeypatch, lambda now: (0, (7, 0)), waits=False) is False
    # Something is written; a worker is there; one was there between two looks; the main process computes.
    assert given_up(monkeypatch, lambda now: (int(now // 20), (7, 0))) is False
    assert given_up(monkeypatch, lambda now: (0, None if int(now) % 20 < 5 else (7, 0))) is False
    assert given_up(monkeypatch, lambda now: (0, (int(now // 20), 0))) is False
    assert given_up(monkeypatch, lambda now: (0, (7, int(0.9 * now * TICKS)))) is False


# In a process of its own, since the one of pytest may have other children.
CHILDREN = """
import os, subprocess, sys
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock

me, waits = os.getpid(), [sys.executable, "-c", "input()"]
before = lock.at_rest(me)
child = subprocess.Popen(waits, stdin=subprocess.PIPE)
assert lock.at_rest(me) is None, "a child is at work"
child.communicate(b"\\n")
after = lock.at_rest(me)
assert before is not None and after is not None, (before, after)
assert after[0] > before[0], "a child that ended does not show"
child = subprocess.Popen(waits, stdin=subprocess.PIPE)
child.kill()
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
assert lock.at_rest(me) is None, "a child was killed"
"""


def test_a_child_at_work_or_killed_is_no_rest_and_one_that_ended_shows() -> None:
    done = subprocess.run([sys.executable, "-c", CHILDREN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
