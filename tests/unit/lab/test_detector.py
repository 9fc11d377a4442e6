# SPDX-License-Identifier: GPL-3.0-or-later
"""The detector's judgement on consoles of real machines (fixtures/consoles, captured in the incident's replay).

Only the machine is played here, along a clock of its own: what it says, when it is reset, when it answers again.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lab import detector
from lab.detector import Nets, Verdict

CONSOLES = Path(__file__).resolve().parents[1] / "fixtures" / "consoles"
UNARMED = Nets("old", 1, 0, True, None, None, 0, {})
GOOD_RUN = 40.0


class Clock:
    """Time that passes only while the detector sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Machine:
    """A node that says *text* after a second, is reset at *reset* and answers again at *back* (seconds)."""

    name = "n1"
    spec = SimpleNamespace(accel="tcg", flavour="cloud")

    def __init__(
        self, clock: Clock, text: str, reset: float | None = None, back: float = 1e9, boot_id: str = "new"
    ) -> None:
        self.clock, self.text, self.reset, self.back, self.id = clock, text, reset, back, boot_id

    def console_size(self) -> int:
        return len(self.text) if self.clock.now >= 1 else 0

    def console_text(self, since: int = 0) -> str:
        return self.text[since : self.console_size()]

    def events(self, since_boot: int = 0) -> list[dict[str, Any]]:
        assert since_boot <= 1
        if self.reset is None or self.clock.now < self.reset:
            return []
        return [{"event": "reset", "reason": "guest-reset", "console": 1, "boot": 1}]

    def status(self) -> dict[str, str]:
        return {"state": "running"}

    def banner(self) -> bool:
        return self.clock.now >= self.back

    def boot_id(self) -> str:
        return self.id


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(detector, "time", clock)
    monkeypatch.setattr(detector, "good_run", lambda node: GOOD_RUN)
    monkeypatch.setattr(detector, "list_dumps", lambda node: [])
    monkeypatch.setattr(detector, "_remember_good_run", lambda node, seconds: None)
    return clock


def console(name: str) -> str:
    return (CONSOLES / f"{name}.txt").read_text()


def watch(machine: Machine, nets: Nets = UNARMED, limit: float = 400) -> Verdict:
    return detector.watch(machine, nets, limit=limit)  # type: ignore[arg-type]


def test_the_incident_is_called_hung_and_the_console_says_why(clock: Clock) -> None:
    verdict = watch(Machine(clock, console("80M-hung")))
    assert verdict.verdict == "hung"
    assert detector.HANG_MARGIN_SECONDS < verdict.seconds < detector.HANG_MARGIN_SECONDS + 5
    assert any("Kernel panic - not syncing: sysrq triggered crash" in line for line in verdict.evidence)
    assert any("end Kernel panic" in line and "deadlocked on memory" in line for line in verdict.evidence)


def test_an_armed_net_is_given_its_time_before_hung_is_said(clock: Clock) -> None:
    nets = dataclasses.replace(UNARMED, watchdogs={"i6300ESB timer": 30})
    reset_by_it = watch(Machine(clock, console("80M-hung"), reset=31, back=60), nets)
    assert reset_by_it.verdict == "came_back"
    clock.now = 0
    too_late = watch(Machine(clock, console("80M-hung")), nets)
    assert too_late.verdict == "hung"
    assert too_late.seconds > 30 + detector.HANG_MARGIN_SECONDS


def test_a_reset_and_a_new_boot_is_called_came_back(clock: Clock) -> None:
    nets = dataclasses.replace(UNARMED, capture_panic=10)
    verdict = watch(Machine(clock, console("80M-panic10-came-back"), reset=13, back=46), nets)
    assert (verdict.verdict, verdict.dump) == ("came_back", None)
    assert (verdict.boot_id_before, verdict.boot_id_after) == ("old", "new")
    assert any("Rebooting in 10 seconds" in line for line in verdict.evidence)


def test_an_answer_of_the_same_boot_is_not_called_came_back(clock: Clock) -> None:
    machine = Machine(clock, console("80M-panic10-came-back"), reset=13, back=46, boot_id="old")
    assert watch(machine, limit=90).verdict == "slow"


@pytest.mark.parametrize("complete", [True, False])
def test_a_dump_is_judged_by_its_end_and_not_by_being_there(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    dump = {"path": "/var/crash/202611241108/dump.202611241108", "bytes": 28000000, "complete": complete}
    monkeypatch.setattr(detector, "list_dumps", lambda node: [dump])
    verdict = watch(Machine(clock, console("224M-dumped"), reset=27, back=56))
    assert (verdict.verdict, verdict.dump) == ("came_back", dump)
    assert ("a complete dump" in verdict.because) is complete


def test_silence_is_called_hung_only_after_three_good_runs(clock: Clock) -> None:
    # A good capture says nothing for many seconds: the console of one that dumps, cut while makedumpfile runs.
    text = console("224M-dumped").partition("running makedumpfile")[0]
    verdict = watch(Machine(clock, text))
    assert verdict.verdict == "hung"
    assert verdict.seconds > 3 * GOOD_RUN
    assert "silent" in verdict.because
