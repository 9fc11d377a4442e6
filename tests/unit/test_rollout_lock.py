# SPDX-License-Identifier: GPL-3.0-or-later
"""One controller at a time, among processes that live and die."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible import context
from ansible.errors import AnsibleFilterError
from ansible_collections.fleetops.kernel.plugins.filter import run_lock
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock

# Takes the lock, forks a worker that outlives it, and waits to be killed.
HOLDER = """
import os, sys, time
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock
lock.take(sys.argv[1], print)
lock.take(sys.argv[1], print)
worker = os.fork()
if not worker:
    while not os.path.exists(sys.argv[1] + ".end"):
        time.sleep(0.02)
    os._exit(0)
print("taken", worker, flush=True)
time.sleep(600)
"""


class Held:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.worker = int(self.process.stdout.readline().split()[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end_worker(self) -> None:
        Path(f"{self.path}.end").touch()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    holder = Held(tmp_path / "deep" / "rollout.jsonl")
    yield holder
    holder.kill()
    holder.end_worker()
    if holder.process.stdout:
        holder.process.stdout.close()


def never(message: str) -> None:
    raise AssertionError(message)


def test_a_second_controller_is_refused_and_told_who_is_there(held: Held) -> None:
    with pytest.raises(FleetopsError) as error:
        lock.take(str(held.path), never)
    for word in (f"process {held.process.pid} ", os.uname().nodename, "since 20"):
        assert word in error.value.msg
    taken, who = lock.holder(str(held.path))
    assert taken
    assert who is not None
    assert who.pid == held.process.pid
    assert who.alive()


def test_the_last_steps_of_a_dead_run_are_waited_for(held: Held) -> None:
    held.kill()
    taken, who = lock.holder(str(held.path))
    assert taken
    assert who is not None
    assert who.alive() is False
    said: list[str] = []

    def tell(message: str) -> None:
        said.append(message)
        held.end_worker()

    lock.take(str(held.path), tell)
    assert len(said) == 1
    assert f"process {held.process.pid} " in said[0]
    # It is ours now, and the name in it too.
    taken, who = lock.holder(str(held.path))
    assert taken
    assert who is not None
    assert who.pid == os.getpid()


def test_free_when_nobody_is_left(held: Held) -> None:
    held.end_worker()
    held.kill()
    deadline = time.monotonic() + 30
    while lock.holder(str(held.path))[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lock.holder(str(held.path))[0]
    lock.take(str(held.path), never)


def test_a_command_that_a_worker_starts_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "l"
    script = (
        "import subprocess, sys\n"
        "from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock\n"
        "lock.take(sys.argv[1], print)\n"
        "print(subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    try:
        lock.take(str(path), never)
    finally:
        os.kill(int(run.stdout), signal.SIGKILL)


def test_who_holds_it_and_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held) -> None:
    Path(f"{held.path}.lock").write_text("")
    monkeypatch.setattr(lock, "NAMELESS", 0.1)
    with pytest.raises(FleetopsError, match="does not say who"):
        lock.take(str(held.path), never)


def test_a_lock_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetopsError, match="cannot be opened"):
        lock.take(str(tmp_path / "file" / "l"), never)


def test_nobody_was_ever_there(tmp_path: Path) -> None:
    assert lock.holder(str(tmp_path / "none")) == (False, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(start=it["start"] + 1),  # the number was given to another process
        lambda it: it.update(boot_id="another boot"),
        lambda it: it.update(pid=2**22 + 1),
    ],
)
def test_a_process_is_not_taken_for_another(change: Callable[[dict[str, object]], None]) -> None:
    me = lock.holder_of(os.getpid())
    assert me.alive()
    said = me.as_event()
    assert lock.holder_from(json.loads(json.dumps(said))) is not None
    change(said)
    who = lock.holder_from(said)
    assert who is not None
    assert who.alive() is False


def test_of_another_machine_nobody_knows() -> None:
    who = lock.holder_from({**lock.holder_of(os.getpid()).as_event(), "node": "elsewhere"})
    assert who is not None
    assert who.alive() is None


@pytest.mark.parametrize("said", [None, {}, [], {"pid": "x", "start": 1, "node": "", "boot_id": ""}])
def test_what_is_no_holder(said: object) -> None:
    assert lock.holder_from(said) is None


def test_a_zombie_is_dead() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert lock.start_of(child) == 0
    os.waitpid(child, 0)


def test_workers_that_wait_are_told_from_those_that_work() -> None:
    script = (
        "import os, pathlib, sys, time\n"
        "for name in ('', '', sys.argv[1]):\n"
        "    if not os.fork():\n"
        "        if name: pathlib.Path('/proc/self/comm').write_text(name)\n"
        "        print('ready', flush=True); time.sleep(600); os._exit(0)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, lock.WAITER], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        for _unused in range(3):
            parent.stdout.readline()
        try:
            assert lock.workers(parent.pid) == (1, 2)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)


def test_the_filter_gives_back_what_it_was_given_and_only_looks_where_nothing_runs(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = run_lock.FilterModule().filters()["run_lock"]
    with pytest.raises(AnsibleFilterError, match=re.escape(f"process {held.process.pid}")):
        door(0, str(held.path))
    assert door(0, str(held.path), needed=False) == 0
    for option in run_lock.ONLY_LOOKS:
        monkeypatch.setattr(context, "CLIARGS", {option: True})
        assert door(7, str(held.path)) == 7
