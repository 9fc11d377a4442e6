# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of the role kernel_upgrade, read as they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

TASKS = Path(__file__).parents[2] / "roles/kernel_upgrade/tasks"


def tasks_of(name: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = yaml.safe_load((TASKS / f"{name}.yml").read_text())
    return tasks


@pytest.mark.parametrize("name", [path.stem for path in sorted(TASKS.glob("*.yml")) if path.stem != "main"])
def test_a_node_that_vanishes_does_not_pass_for_one_that_answered(name: str) -> None:
    """With ignore_unreachable, a task of a dark node ends well: each answer is asked whether it is one."""
    tasks = tasks_of(name)
    for number, task in enumerate(tasks):
        if not any(key.startswith("fleetops.kernel.") for key in task):
            continue
        # What is taken back after a failure ends with an error in any case.
        if name == "fall_back" and "register" not in task:
            continue
        assert "register" in task, task["name"]
        asked = f"{task['register']} is not unreachable"
        later = [one for one in tasks[number:] if "ansible.builtin.assert" in one]
        assert any(asked in json.dumps(one) for one in later), task["name"]
