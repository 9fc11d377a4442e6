# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

FILE = "/etc/default/file"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    boot_id = tmp_path / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text("11111111-2222-3333-4444-555555555555\n")
    (tmp_path / CAPTURE_FILE).write_text("{}")  # what is not in this tree is not there
    return Host(str(tmp_path))


def change(host: Host, text: str, module: str = "test") -> Undo:
    undo = _undo.record(host, module, None, [_undo.restore_file(host, FILE, text)])
    host.write_atomic(FILE, text)
    return undo


def test_a_record_is_root_s_alone_and_says_when(host: Host, tmp_path: Path) -> None:
    undo = change(host, "one\n")
    directory = tmp_path / "var/lib/fleetops/undo.d"
    assert directory.stat().st_mode & 0o777 == 0o700
    (path,) = directory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.name == f"{undo['id']}.json"
    assert json.loads(path.read_text()) == undo
    assert undo["boot_id"] == "11111111-2222-3333-4444-555555555555"
    assert undo["id"].endswith("-0001-test")


def test_back_to_no_file_and_back_to_the_old_one(host: Host, tmp_path: Path) -> None:
    first, second = change(host, "one\n"), change(host, "two\n")
    (tmp_path / FILE[1:]).chmod(0o600)
    assert [undo["id"] for undo in _undo.records(host)] == [first["id"], second["id"]]
    _undo.put_back(host, second, {})
    assert host.read(FILE) == "one\n"
    assert host.mode(FILE) == 0o644
    _undo.put_back(host, first, {})
    assert not host.exists(FILE)
    assert _undo.records(host) == []
    assert [undo["id"] for undo in _undo.records(host, restored=True)] == [first["id"], second["id"]]
    assert _undo.is_restored(host, first["id"])


def test_numbers_go_on_after_a_restore_and_under_a_clock_set_back(host: Host) -> None:
    _undo.put_back(host, change(host, "one\n"), {})
    directory = host._real(_undo.DIRECTORY)
    Path(directory, "20990101T000000-0007-other.json").write_text(
        json.dumps(
            {"id": "20990101T000000-0007-other", "module": "other", "time": "", "boot_id": "", "restore": []}
        )
    )
    later = change(host, "two\n")
    assert "-0008-" in later["id"]
    assert _undo.newest_first(_undo.records(host))[0]["id"] == later["id"]


def test_no_record_at_all(host: Host) -> None:
    assert _undo.records(host) == []


def test_a_file_of_somebody_else_is_a_conflict(host: Host) -> None:
    undo = change(host, "one\n")
    assert _undo.conflicts(host, [undo]) == []
    host.write_atomic(FILE, "theirs\n")
    assert _undo.conflicts(host, [undo]) == [f"{undo['id']}: '{FILE}' was changed by somebody else since"]


def test_a_file_that_is_gone(host: Host) -> None:
    host.write_atomic(FILE, "zero\n")
    undo = change(host, "one\n")
    host.remove(FILE)
    assert _undo.conflicts(host, [undo]) == [f"{undo['id']}: '{FILE}' is gone since"]


def test_several_records_of_one_file(host: Host) -> None:
    first, second, third = change(host, "one\n"), change(host, "two\n"), change(host, "three\n")
    assert _undo.conflicts(host, [first, second, third]) == []
    assert _undo.conflicts(host, [third, second]) == []
    assert _undo.conflicts(host, [second]) == [
        f"{second['id']}: '{FILE}' was changed again by {third['id']}, which must be put back first"
    ]
    # not the one in between
    assert len(_undo.conflicts(host, [first, third])) == 1


@pytest.mark.parametrize("written", [False, True])
def test_a_change_that_was_killed_can_be_put_back(host: Host, written: bool) -> None:
    host.write_atomic(FILE, "zero\n")
    undo = _undo.record(host, "test", None, [_undo.restore_file(host, FILE, "one\n")])
    if written:
        host.write_atomic(FILE, "one\n")
    assert _undo.conflicts(host, [undo]) == []
    _undo.put_back(host, undo, {})
    assert host.read(FILE) == "zero\n"


def test_a_restore_that_failed_can_be_started_again(host: Host) -> None:
    host.write_atomic(FILE, "zero\n")
    steps = [_undo.restore_file(host, FILE, "one\n"), {"do": "regenerate"}]
    undo = _undo.record(host, "test", None, steps)
    host.write_atomic(FILE, "one\n")
    fails = [True]

    def regenerate(_host: Host, _step: Mapping[str, Any]) -> None:
        if fails.pop():
            fails.append(False)
            raise FleetopsError("no space")

    with pytest.raises(FleetopsError, match="no space"):
        _undo.put_back(host, undo, {"regenerate": regenerate})
    assert host.read(FILE) == "zero\n"
    assert [left["id"] for left in _undo.records(host)] == [undo["id"]]
    assert _undo.conflicts(host, [undo]) == []
    _undo.put_back(host, undo, {"regenerate": regenerate})
    assert _undo.records(host) == []


def test_an_unknown_step_is_found_before_the_first_one_runs(host: Host) -> None:
    host.write_atomic(FILE, "zero\n")
    undo = _undo.record(host, "test", None, [_undo.restore_file(host, FILE, "one\n"), {"do": "dance"}])
    host.write_atomic(FILE, "one\n")
    with pytest.raises(FleetopsError, match="unknown step 'dance'"):
        _undo.put_back(host, undo, {})
    assert host.read(FILE) == "one\n"


def test_a_broken_record_is_named(host: Host, tmp_path: Path) -> None:
    undo = change(host, "one\n")
    (tmp_path / _undo.DIRECTORY[1:] / f"{undo['id']}.json").write_text("{")
    with pytest.raises(FleetopsError, match=f"{undo['id']}.json' is not valid JSON"):
        _undo.records(host)
