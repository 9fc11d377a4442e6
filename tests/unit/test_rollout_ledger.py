# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's file: nothing is lost, nothing is counted that was not whole, and damage is named."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.ledger import Ledger


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_a_ledger_that_is_not_there_is_empty_and_is_not_made_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rollout.jsonl"
    assert Ledger(str(path)).read() == ([], 0)
    assert not path.parent.exists()


def test_events_come_back_in_order_with_their_time_from_a_file_of_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rollout.jsonl"
    ledger = Ledger(str(path))
    ledger.append({"event": "one"}, {"event": "two", "why": "line\nbreak"})
    ledger.append({"event": "three", "time": 7})
    events, offset = ledger.read()
    assert names(events) == ["one", "two", "three"]
    assert events[1]["why"] == "line\nbreak"
    assert events[2]["time"] == 7
    assert isinstance(events[0]["time"], float)
    assert offset == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "l"))
    ledger.append({"event": "one"})
    _events, offset = ledger.read()
    assert ledger.read(offset) == ([], offset)
    ledger.append({"event": "two"})
    events, end = ledger.read(offset)
    assert names(events) == ["two"]
    assert ledger.read(end) == ([], end)


@pytest.mark.parametrize("torn", ['{"event": "t', '{"event": "whole", "time": 1}'])
def test_a_line_cut_short_is_not_counted_before_or_after_somebody_writes(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "l"
    ledger = Ledger(str(path))
    ledger.append({"event": "one"})
    with path.open("a") as file:
        file.write(torn)
    events, offset = ledger.read()
    assert names(events) == ["one"]
    ledger.append({"event": "two"})
    assert names(ledger.read()[0]) == ["one", "two"]
    assert names(ledger.read(offset)[0]) == ["two"]
    assert torn in path.read_text()


@given(st.integers(min_value=0, max_value=400), st.integers(min_value=1, max_value=3))
def test_cut_anywhere_whole_lines_stay(
    tmp_path_factory: pytest.TempPathFactory, keep: int, times: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "l"
    ledger = Ledger(str(path))
    for _unused in range(times):
        ledger.append({"event": "a", "n": 1}, {"event": "b", "n": 2})
        with path.open("r+b") as file:
            file.truncate(min(keep, path.stat().st_size))
        whole = [
            json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line and b"torn" not in line
        ]
        read = ledger.read()[0]
        assert len(read) <= len(whole)
        ledger.append({"event": "last"})
        assert names(ledger.read()[0]) == [*names(read), "last"]


@pytest.mark.parametrize(
    "line", ["no json", '["event"]', '{"time": 1}', '{"event": "x"}', '{"event": 1, "time": 2}']
)
def test_a_damaged_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "l"
    ledger = Ledger(str(path))
    ledger.append({"event": "one"})
    offset = ledger.read()[1]
    with path.open("a") as file:
        file.write(line + "\n")
    ledger.append({"event": "two"})
    for begin in (0, offset):
        with pytest.raises(FleetopsError, match=rf"{path}', line 2,"):
            ledger.read(begin)


def test_what_cannot_be_written_or_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetopsError, match=r"cannot be written: (Not a directory|File exists)"):
        Ledger(str(tmp_path / "file" / "l")).append({"event": "one"})
    with pytest.raises(FleetopsError, match="cannot be read: Is a directory"):
        Ledger(str(tmp_path)).read()


def test_a_full_disk_is_an_error_and_counts_nothing(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk: a part of the line fits."""
    path = tmp_path / "l"
    Ledger(str(path)).append({"event": "one"})
    size = path.stat().st_size
    script = (
        "import resource, signal, sys\n"
        "from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.ledger import Ledger\n"
        "from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 20}, {size + 20}))\n"
        "try:\n"
        "    Ledger(sys.argv[1]).append({'event': 'two', 'why': 'x' * 100}, {'event': 'three'})\n"
        "except FleetopsError as error:\n"
        "    print(error.msg)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert "20 of" in run.stdout, run.stderr
    assert path.stat().st_size == size
    Ledger(str(path)).append({"event": "four"})
    assert names(Ledger(str(path)).read()[0]) == ["one", "four"]


def test_many_writers_at_once_mix_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "l"
    script = (
        "import sys\n"
        "from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.ledger import Ledger\n"
        "for n in range(40):\n"
        "    Ledger(sys.argv[1]).append({'event': sys.argv[2], 'n': n}, {'event': sys.argv[2], 'n': n + 0.5})\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    events = Ledger(str(path)).read()[0]
    assert len(events) == 240
    for first, second in zip(events[::2], events[1::2], strict=True):
        assert (first["event"], first["n"] + 0.5) == (second["event"], second["n"])


def test_a_ledger_that_is_put_aside_stays_whole_and_a_new_one_begins(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "rollout.jsonl"))
    ledger.append({"event": "old"})
    aside = ledger.retire("rollout-1.jsonl")
    assert Path(aside).name == "rollout-1.jsonl"
    ledger.append({"event": "new"})
    assert names(Ledger(aside).read()[0]) == ["old"]
    assert names(ledger.read()[0]) == ["new"]
