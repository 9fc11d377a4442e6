# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the events of a ledger to what they add up to. Pure.

A run is one controller's process; a rollout is what several runs of the same command finish together. A place that was
taken by an earlier run and never given back makes its node *half-way*: nobody knows how far it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

WAITING, HELD, DONE, FAILED, REFUSED = "waiting", "held", "done", "failed", "refused"
FINISHED = "finished"


@dataclass
class Node:
    """One node. *status* is that of the last event of it, in the run *run*; times are epoch seconds."""

    status: str = WAITING
    run: str = ""
    stage: str = ""
    since: float = 0.0  # of the status, or of the stage while it is held
    acquired: float = 0.0
    seconds: float | None = None  # from acquire to the end, when it is done
    why: str = ""
    failing: bool = False  # it failed, and has its place until it is back where it was
    halfway: bool = False  # it was when this place was taken
    power: int = 0  # how often it was power-cycled
    refused: str = ""  # the run that did not attempt it
    cause: str = ""  # why not, in one word: see `slot`


@dataclass
class Run:
    """One controller's run, and who holds it: see `lock.Holder`."""

    run: str
    since: float
    holder: Mapping[str, Any]
    outcome: str = ""
    ended: float | None = None


@dataclass
class Pause:
    """Since when, by whom, why."""

    since: float
    by: str
    why: str


@dataclass
class State:
    """What a ledger says. `apply` brings it up to date by one event."""

    rollout: str = ""
    plan: Mapping[str, Any] | None = None
    dark: Mapping[str, str] = field(
        default_factory=dict
    )  # planned for, but not reached when looked at: host to reason
    runs: dict[str, Run] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    paused: Pause | None = None
    abandoned: str = ""
    moved: float = 0.0  # when a place was last taken, given back, or opened
    # Of the plan, so that a question costs no search.
    wave_of: dict[str, int] = field(default_factory=dict)

    @property
    def run(self) -> Run | None:
        """The last run."""
        return self.runs.get(self.last)

    @property
    def last(self) -> str:
        """The name of the last run; '' when there was none."""
        return next(reversed(self.runs), "")

    @property
    def planned(self) -> list[str]:
        """The hosts of the last plan in their order."""
        return list(self.wave_of)

    def node(self, host: str) -> Node:
        """What is known of *host*; waiting when nothing is."""
        return self.nodes.get(host) or Node()

    def with_status(self, status: str, run: str = "") -> list[str]:
        """The hosts with *status*, of one run or of all."""
        return [host for host, node in self.nodes.items() if node.status == status and run in ("", node.run)]

    def halfway(self) -> list[str]:
        """The hosts whose place was taken by an earlier run than the last one, and never given back."""
        return [host for host, node in self.nodes.items() if node.status == HELD and node.run != self.last]

    def left(self) -> list[str]:
        """The hosts that a next run has to take up first: their place was never given back, or they failed."""
        return [host for host, node in self.nodes.items() if node.status in (HELD, FAILED)]

    @property
    def unfinished(self) -> bool:
        """Whether the same command has something to resume."""
        if not self.runs or self.abandoned:
            return False
        return self.runs[self.last].outcome != FINISHED or bool(self.left())

    def failures(self) -> list[str]:
        """The hosts that failed in the last run, those with them that are still on their way back."""
        return [
            host
            for host, node in self.nodes.items()
            if node.run == self.last and (node.status == FAILED or (node.status == HELD and node.failing))
        ]

    def durations(self) -> dict[str, float]:
        """Measured seconds of the nodes that are done, without those that were done in two halves."""
        return {
            host: node.seconds
            for host, node in self.nodes.items()
            if node.status == DONE and node.seconds is not None and not node.halfway
        }

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in one event. Unknown kinds are left out: a later version may write more."""
        change = _CHANGES.get(event["event"])
        if change:
            change(self, event, float(event["time"]))


def replay(events: Iterable[Mapping[str, Any]], state: State | None = None) -> State:
    """The state after *events*, beginning with *state*, which is brought up to date, or with nothing."""
    state = state or State()
    for event in events:
        state.apply(event)
    return state


# --- what each event changes -------------------------------------------------------------------------


def _begin(state: State, event: Mapping[str, Any], time: float) -> None:
    state.rollout = event["rollout"]
    holder = {key: event.get(key) for key in ("pid", "start", "node", "boot_id", "user", "command")}
    state.runs.pop(event["run"], None)
    state.runs[event["run"]] = Run(event["run"], time, holder)
    state.abandoned = ""
    state.moved = time


def _plan(state: State, event: Mapping[str, Any], time: float) -> None:
    state.plan = event["rollout"]
    state.dark = event.get("dark") or {}
    state.wave_of = {
        host: number for number, wave in enumerate(event["rollout"]["waves"]) for host in wave["hosts"]
    }
    state.moved = time


def _acquire(state: State, event: Mapping[str, Any], time: float) -> None:
    old = state.node(event["host"])
    state.nodes[event["host"]] = Node(
        HELD, event["run"], since=time, acquired=time, halfway=bool(event.get("halfway")), power=old.power
    )
    state.moved = time


def _stage(state: State, event: Mapping[str, Any], time: float) -> None:
    node = state.nodes.setdefault(event["host"], Node())
    node.stage, node.since = event["stage"], time


def _failing(state: State, event: Mapping[str, Any], time: float) -> None:
    node = state.nodes.setdefault(event["host"], Node())
    node.failing, node.why = True, event.get("why", "")
    node.stage, node.since = "failing", time


def _done(state: State, event: Mapping[str, Any], time: float) -> None:
    _end_node(state, event, time, DONE)
    node = state.nodes[event["host"]]
    node.seconds = event.get("seconds")


def _failed(state: State, event: Mapping[str, Any], time: float) -> None:
    _end_node(state, event, time, FAILED)


def _refused(state: State, event: Mapping[str, Any], time: float) -> None:
    node = state.nodes.setdefault(event["host"], Node())
    node.refused, node.cause = event.get("run") or state.last, event.get("cause", "")
    node.why = event.get("why", "")
    # What an earlier run left on it is still so: the next one has to know.
    if node.status in (WAITING, REFUSED):
        node.status, node.run, node.since = REFUSED, node.refused, time
    state.moved = time


def _end_node(state: State, event: Mapping[str, Any], time: float, status: str) -> None:
    node = state.nodes.setdefault(event["host"], Node())
    node.status, node.since, node.why = status, time, event.get("why", "")
    node.run = event.get("run") or state.last
    state.moved = time


def _pause(state: State, event: Mapping[str, Any], time: float) -> None:
    state.paused = state.paused or Pause(time, event.get("by", ""), event.get("why", ""))


def _resume(state: State, event: Mapping[str, Any], time: float) -> None:
    state.paused = None
    state.moved = time


def _power(state: State, event: Mapping[str, Any], time: float) -> None:
    state.nodes.setdefault(event["host"], Node()).power += 1


def _abandon(state: State, event: Mapping[str, Any], time: float) -> None:
    state.abandoned = event.get("why") or "abandoned"


def _end(state: State, event: Mapping[str, Any], time: float) -> None:
    if state.run:
        state.run.outcome, state.run.ended = event["outcome"], time


_CHANGES = {
    "begin": _begin,
    "plan": _plan,
    "acquire": _acquire,
    "stage": _stage,
    "failing": _failing,
    "done": _done,
    "failed": _failed,
    "refused": _refused,
    "pause": _pause,
    "resume": _resume,
    "power": _power,
    "abandon": _abandon,
    "end": _end,
}
