# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes, names and gives back a node's place in a rollout, on the controller alone: no connection is opened."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import ledger, lock, slot
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import HELD, State, replay

# Seconds between two looks at the ledger (one stat), and between two decisions when nothing was written.
LOOK, POLL = 0.2, 1.0
# Seconds between two messages about the same wait.
TELL = 60.0
# Seconds that no worker of this run does anything, and nothing is written, until a node that holds a place is given up:
# between two tasks of a node there are parts of one. And seconds between two looks, each of which reads all of /proc.
SILENCE, APART = 30.0, 5.0
NEVER_ENDED = "its last task never ended"

STATES = ("acquire", "stage", "failing", "done", "failed", "power")
ARGUMENTS: dict[str, Any] = {
    "ledger": {"type": "path", "required": True},
    "state": {"type": "str", "choices": list(STATES), "required": True},
    "stage": {"type": "str", "default": ""},
    "why": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See the module of the same name."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Answer for one host; an error of the ledger fails the task, and never ends the worker."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        base: Any = self  # what ansible-core leaves untyped
        _validation, arguments = base.validate_argument_spec(argument_spec=ARGUMENTS)
        result["changed"] = False
        host = str((task_vars or {})["inventory_hostname"])
        acting = {"acquire": _acquire, "power": _power}.get(arguments["state"], _note)
        if self._task.check_mode:
            # Nothing is taken, so nothing has to be waited for.
            allowed = {"granted": True, "halfway": False, "allowed": True, "why": "check mode"}
            return {**result, **allowed}
        try:
            return {**result, **acting(Place(arguments["ledger"], host), arguments)}
        except FleetopsError as error:
            return {**result, "failed": True, "granted": False, "allowed": False, **error.as_result()}


class Place:
    """The place of one host in the run of this worker's parent."""

    def __init__(self, path: str, host: str) -> None:
        self.ledger = ledger.Ledger(path)
        self.host = host
        self.owner = os.getppid()
        self.state = State()
        self._offset = 0
        self._size = -1

    def look(self) -> bool:
        """Bring the state up to date; whether anything was written since the last look."""
        try:
            size = os.stat(self.ledger.path).st_size
        except OSError:
            size = 0
        if size == self._size:
            return False
        self._size = size
        self._take(self.ledger.read)
        return True

    def check_run(self) -> None:
        """Raise FleetopsError unless the last run of the ledger is that of this worker's parent."""
        run = self.state.run
        mine = lock.Holder(self.owner, lock.start_of(self.owner), os.uname().nodename, lock.boot_id())
        holder = lock.holder_from(run.holder) if run else None
        if holder is None or (holder.pid, holder.start, holder.node, holder.boot_id) != (
            mine.pid,
            mine.start,
            mine.node,
            mine.boot_id,
        ):
            raise FleetopsError(
                f"The ledger '{self.ledger.path}' holds no run of this ansible-playbook ({self.owner}), "
                f"but {f'one of {holder}' if holder else 'none'}. fleetops.kernel.rollout (state: planned) begins it",
                path=self.ledger.path,
            )

    def write(self, choose: Callable[[], Mapping[str, Any] | None]) -> None:
        """Append the event that *choose* returns after a last look; nobody else writes in between."""
        with self.ledger.locked() as held:
            self._take(held.read)
            # An orphan must not take what its dead parent's next run will give to others.
            self.leave_with_parent()
            event = choose()
            if event is not None:
                held.append({"run": self.state.last, "host": self.host, **event})

    @property
    def offset(self) -> int:
        """How far the ledger was read."""
        return self._offset

    def give_up(self) -> None:
        """Count what this run holds as failed, unless something was written meanwhile."""
        before = self._offset
        with self.ledger.locked() as held:
            self._take(held.read)
            self.leave_with_parent()
            if self._offset == before:
                for host in self.state.with_status(HELD, self.state.last):
                    why = self.state.node(host).why or NEVER_ENDED
                    held.append({"run": self.state.last, "host": host, "event": "failed", "why": why})

    def leave_with_parent(self) -> None:
        """End this worker, if its parent is gone: only then, since a dead worker would hang the play."""
        if os.getppid() != self.owner:
            os._exit(1)

    def _take(self, read: Callable[[int], tuple[list[dict[str, Any]], int]]) -> None:
        events, self._offset = read(self._offset)
        replay(events, self.state)


def _acquire(place: Place, _arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Wait until the place is granted or refused."""
    place.look()
    place.check_run()
    named = _name_worker(lock.WAITER)
    try:
        grant = _wait(place)
    finally:
        _name_worker(named)
    return {
        "granted": grant["answer"] == slot.GRANTED,
        "halfway": grant["halfway"],
        "why": grant["why"] or ("half-way: an earlier run did not end it" if grant["halfway"] else ""),
    }


def _wait(place: Place) -> slot.Grant:
    told = decided = 0.0
    said = ""
    silence = Silence(place)
    while True:
        place.leave_with_parent()
        now = time.time()
        if place.look() or now - decided >= POLL or now < decided:
            decided = now
            grant = slot.decide(place.state, place.host, now)
            if silence.lasts(grant["cause"] == "room"):
                place.give_up()
                continue
            if grant["answer"] != slot.WAIT:
                grant = _settle(place)
                if grant["answer"] != slot.WAIT:
                    return grant
            # Another reason is news, but for whose turn it is, which changes all the time.
            elif grant["first"] and (now - told >= TELL or grant["cause"] not in (said, "turn")):
                told, said = now, grant["cause"]
                Display().display(f"{place.host} waits: {grant['why']}")
        time.sleep(LOOK)


class Silence:
    """How long nothing has moved in this run while a node waits for those that hold a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._since = self._looked = time.monotonic()
        self._seen: tuple[int, tuple[int, int] | None] = (-1, None)

    def lasts(self, waits: bool) -> bool:
        """Whether no worker did anything and nothing was written for `SILENCE`; *waits*: for what others hold."""
        now = time.monotonic()
        if waits and now - self._looked < APART:
            return False
        seen = (self._place.offset, lock.at_rest(self._place.owner) if waits else None)
        if not self._same(seen, now - self._looked):
            self._since = now
        self._seen, self._looked = seen, now
        return now - self._since >= SILENCE

    def _same(self, seen: tuple[int, tuple[int, int] | None], seconds: float) -> bool:
        before, after = self._seen[1], seen[1]
        if before is None or after is None or self._seen[0] != seen[0] or before[0] != after[0]:
            return False
        # A main process that computes has not come to the next task yet.
        return (after[1] - before[1]) / os.sysconf("SC_CLK_TCK") < seconds / 2


def _settle(place: Place) -> slot.Grant:
    """Decide once more where nobody else writes, and write it down."""
    settled: list[slot.Grant] = []

    def choose() -> Mapping[str, Any] | None:
        grant = slot.decide(place.state, place.host, time.time())
        settled.append(grant)
        if grant["answer"] == slot.GRANTED:
            me = {"pid": place.owner, "start": lock.start_of(place.owner)}
            return {"event": "acquire", "halfway": grant["halfway"], **me}
        if grant["answer"] == slot.REFUSED and grant["cause"] not in ("again", "plan"):
            return {"event": "refused", "why": grant["why"], "cause": grant["cause"]}
        return None

    place.write(choose)
    return settled[0]


def _note(place: Place, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """stage, failing, done, failed: of a place that this run holds."""
    kind = arguments["state"]
    place.look()
    node = place.state.node(place.host)
    if node.status != HELD or node.run != place.state.last:
        raise FleetopsError(
            f"'{place.host}' has no place in this run that '{kind}' could be said of: it is {node.status}",
            path=place.ledger.path,
        )
    said = {
        "stage": {"stage": arguments["stage"]},
        "done": {"seconds": round(time.time() - node.acquired, 1)},
        "failing": {"why": arguments["why"] or "no reason given"},
        "failed": {"why": arguments["why"] or node.why or "no reason given"},
    }[kind]
    # What happened has happened: it is written even when the parent is gone, whose lock this worker still holds.
    place.ledger.append({"event": kind, "run": node.run, "host": place.host, **said})
    return said


def _power(place: Place, _arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the node may be power-cycled now; it is counted at once."""
    place.look()
    place.check_run()
    answer: dict[str, Any] = {}

    def choose() -> Mapping[str, Any] | None:
        allowed = (place.state.plan or {}).get("power_cycles", 0)
        used = sum(node.power for node in place.state.nodes.values())
        answer.update(allowed=used < allowed, why=f"{used} of {allowed} power cycles were used before")
        return {"event": "power"} if answer["allowed"] else None

    place.write(choose)
    return answer


def _name_worker(name: str) -> str:
    """Call this process *name* in the process table, and return what it was called; '' where that cannot be done."""
    comm = pathlib.Path("/proc/self/comm")
    try:
        before = comm.read_text().strip()
        if name:
            comm.write_text(name)
    except (OSError, ValueError):
        return ""
    return before
