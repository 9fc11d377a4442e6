# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin against a connection that is a list. Over real ssh it is proved by the scenario `incident`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible_collections.fleetops.kernel.plugins.plugin_utils import carry

LACKING = {"failed": True, "msg": "needs pyroute2", "error": {"missing_library": "pyroute2"}}


class Action(carry.CarryingAction):
    """Everything that would touch a node is written down instead."""

    def __init__(self, answers: list[dict[str, Any]], environment: Any = None) -> None:
        self.answers = answers
        self.seen: list[Any] = []
        self.moved: list[tuple[str, str]] = []
        base: Any = self
        base._task = SimpleNamespace(
            environment=environment, async_val=0, check_mode=False, args={}, action="undo"
        )
        base._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None, join_path="{}/{}".format))
        self._cleanup_remote_tmp = False

    def _make_tmp_path(self, remote_user: str | None = None) -> str:
        self._connection._shell.tmpdir = "/remote/tmp"
        return "/remote/tmp"

    def _transfer_file(self, local_path: Any, remote_path: Any) -> None:
        self.moved.append((local_path, remote_path))

    def _fixup_perms2(self, remote_paths: Any, remote_user: Any = None, execute: Any = True) -> None:
        assert execute is False

    def _compute_environment_string(self, raw_environment_out: Any = None) -> None:
        for part in self._task.environment or []:
            raw_environment_out.update(part)

    def _execute_module(self, *_names: Any, **_given: Any) -> Any:
        self.seen.append(self._task.environment)
        return self.answers.pop(0)


@pytest.fixture(autouse=True)
def _local_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def test_a_node_that_lacks_nothing_gets_nothing() -> None:
    for answer in ({"changed": True}, {"failed": True, "msg": "in use"}, {"failed": True, "error": "text"}):
        action = Action([answer])
        assert action.run(task_vars={}) == answer
        assert action.moved == []


def test_the_library_is_on_the_path_for_the_second_call_only(tmp_path: Path) -> None:
    site = [{"HTTP_PROXY": "p", "PYTHONPATH": "/site"}]
    action = Action([LACKING, {"changed": True}], site)
    assert action.run(task_vars={}) == {"changed": True}
    assert action.moved == [(str(tmp_path / "pyroute2.zip"), "/remote/tmp/pyroute2.zip")]
    assert action.seen == [site, [{"HTTP_PROXY": "p", "PYTHONPATH": "/remote/tmp/pyroute2.zip:/site"}]]
    assert action._task.environment is site


def test_on_neither_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    action = Action([LACKING])
    result = action.run(task_vars={})
    assert result["failed"] is True
    assert result["msg"].startswith(
        "Nothing was changed: the Python library pyroute2 is neither on the node nor on"
    )
    assert action.moved == []


def test_a_node_whose_python_cannot_use_it() -> None:
    action = Action([LACKING, {**LACKING, "msg": "invalid syntax"}])
    assert "its Python cannot use it: invalid syntax" in action.run(task_vars={})["msg"]
    assert action._task.environment is None


def test_what_is_packed_can_be_imported(tmp_path: Path) -> None:
    path = carry.packed("pyroute2")
    assert path == str(tmp_path / "pyroute2.zip")
    assert carry.packed("pyroute2") == path
    script = "import sys, pyroute2; pyroute2.IPRoute; assert sys.argv[1] in pyroute2.__file__"
    subprocess.run([sys.executable, "-S", "-c", script, path], env={"PYTHONPATH": path}, check=True)
    assert [left.name for left in tmp_path.iterdir()] == ["pyroute2.zip"]


def test_compiled_parts_are_not_carried(tmp_path: Path) -> None:
    (tmp_path / "fast.so").write_bytes(b"")
    with pytest.raises(AnsibleActionFail, match="has compiled parts"):
        carry.files_of("library", str(tmp_path))


def test_a_library_that_we_do_not_lend() -> None:
    assert carry.missing({"failed": True, "error": {"missing_library": "os"}}) is None
