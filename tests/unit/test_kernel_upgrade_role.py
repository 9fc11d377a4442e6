# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of the role kernel_upgrade, read as they are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from ansible.module_utils.parsing.convert_bool import boolean

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


def positions(name: str, state: str) -> list[int]:
    return [
        number
        for number, task in enumerate(tasks_of(name))
        for key, given in task.items()
        if key.startswith("fleetops.kernel.") and given and given.get("state") == state
    ]


def test_the_way_back_is_kept_from_being_removed_before_anything_is_pinned_or_installed() -> None:
    (protected,) = positions("apply", "protected")
    assert protected < min([*positions("apply", "present"), *positions("apply", "default")])
    # Whatever is left to install: a trial of a kernel that is there needs its way back as well.
    conditions = tasks_of("apply")[protected]["when"]
    assert "__kernel_upgrade_trial.pin" in conditions
    assert not any("installed" in condition for condition in conditions)
    (protected,) = positions("rollback", "protected")
    assert protected < min(positions("rollback", "default"))


def test_the_marks_are_given_back_after_the_last_boot_and_never_after_a_failure() -> None:
    tasks = tasks_of("verify")
    (given_back,) = positions("verify", "unprotected")
    roles = [json.dumps(task.get("ansible.builtin.import_role", {})) for task in tasks]
    reboots = [number for number, role in enumerate(roles) if "reboot" in role]
    assert reboots
    assert max([*reboots, *positions("verify", "default")]) < given_back
    for name in ("apply", "fall_back", "rollback"):
        assert positions(name, "unprotected") == []


@pytest.mark.parametrize(
    ("way", "by_kexec", "records", "wanted"),
    [
        ("kexec", False, None, True),
        ("once", False, None, False),
        ("none", False, None, False),
        # Interrupted after the commit, or before it and committed by this run.
        ("none", True, [("next_boot", False), ("next_boot", True)], True),
        # A boot by kexec that no change of this collection belongs to.
        ("none", True, [("next_boot", False), ("kernel_packages", True)], False),
        ("none", True, [], False),
    ],
)
def test_the_boot_behind_a_commit_by_kexec_is_made_up_for_once(
    way: str, by_kexec: bool, records: list[tuple[str, bool]] | None, wanted: bool
) -> None:
    """Once: it has another boot_id and a command line by GRUB, so that neither half holds after it."""
    (fact,) = [
        task["ansible.builtin.set_fact"]["__kernel_upgrade_confirm"]
        for task in tasks_of("verify")
        if "__kernel_upgrade_confirm" in task.get("ansible.builtin.set_fact", {})
    ]
    given: dict[str, Any] = {"__kernel_upgrade_trial": {"way": way, "by_kexec": by_kexec}}
    given["__kernel_upgrade_records"] = {}
    if records is not None:
        rows = [{"module": module, "this_boot": this_boot} for module, this_boot in records]
        given["__kernel_upgrade_records"] = {"records": rows}
    assert Environment(autoescape=False).from_string(fact).render(given) == str(wanted)


@pytest.mark.parametrize(
    ("reboot", "held", "armed", "interrupted", "gates", "wanted"),
    [
        # reboot.yml of this run has waited for it.
        (True, "before", True, False, None, False),
        # Somebody else rebooted, or it was an earlier boot that reboot.yml left.
        (True, None, True, False, None, True),
        (True, "long ago", True, False, None, True),
        (True, None, None, False, None, True),
        (True, None, False, False, None, False),
        # Nothing was to be booted.
        (False, None, True, False, None, False),
        (False, None, False, True, None, True),
        (False, "before", True, True, None, False),
        # A site that does not want it.
        (False, None, True, True, ["units_running"], False),
        (False, None, True, True, ["kdump_armed"], True),
    ],
)
def test_kdump_is_waited_for_where_no_reboot_of_this_run_has_done_so(
    reboot: bool,
    held: str | None,
    armed: bool | None,
    interrupted: bool,
    gates: list[str] | None,
    wanted: bool,
) -> None:
    (fact,) = [
        task["ansible.builtin.set_fact"]["__kernel_upgrade_unseen"]
        for task in tasks_of("verify")
        if "__kernel_upgrade_unseen" in task.get("ansible.builtin.set_fact", {})
    ]
    given: dict[str, Any] = {
        "__kernel_upgrade_before": {"ansible_facts": {"fleetops_kernel": {"boot_id": "before"}}},
        "__kernel_upgrade_trial": {"reboot": reboot},
        "__kernel_upgrade_armed": armed,
        "__kernel_upgrade_interrupted": interrupted,
    }
    if held:
        given["__node_maintenance_held"] = {"after": held, "gates": []}
    if gates:
        given["node_maintenance_gates"] = gates
    assert Environment(autoescape=False).from_string(fact).render(given) == str(wanted)


@pytest.mark.parametrize(
    ("installed", "repair", "wanted"),
    [(False, "false", True), (False, "true", False), (False, True, False), (True, "false", False)],
)
def test_what_dpkg_has_left_half_done_is_finished_where_that_is_asked_for(
    installed: bool, repair: bool | str, wanted: bool
) -> None:
    """The module refuses what is half done unless it is told to finish it, and apt downloads nothing over it."""
    (asked,) = [task for task in tasks_of("check") if task.get("register") == "__kernel_upgrade_possible"]
    (install,) = [tasks_of("apply")[number] for number in positions("apply", "present")]
    for task in (asked, install):
        assert task["fleetops.kernel.kernel_packages"]["repair"] == "{{ kernel_upgrade_repair }}", task[
            "name"
        ]
    (download,) = [tasks_of("apply")[number] for number in positions("apply", "downloaded")]
    house = Environment(autoescape=False)
    house.filters["bool"] = boolean
    given = {"__kernel_upgrade_want": {"installed": installed}, "kernel_upgrade_repair": repair}
    assert house.compile_expression(download["when"])(**given) is wanted


# As next_boot answers: `boots` and `undo` are of its error.
ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "taken-back": ({"changed": True}, "first"),
    "unfinished": (
        {"failed": True, "msg": "did not come about", "error": {"boots": "new"}},
        "first. old stays pinned as the default: else the unfinished new would be the default",
    ),
    "another-kernel": (
        {"failed": True, "msg": "did not come about", "error": {"boots": "third"}},
        "first. The pin of old as the default was not taken back: did not come about",
    ),
    "not-put-back": (
        {"failed": True, "msg": "failed as well", "error": {"boots": "new", "undo": "1"}},
        "first. The pin of old as the default was not taken back: failed as well",
    ),
    "no-context": (
        {"failed": True, "msg": "no space"},
        "first. The pin of old as the default was not taken back: no space",
    ),
    "dark": ({}, "first. old stays pinned as the default: the node is unreachable: "),
}
STUB = """#!/usr/bin/python
import json, sys
given = json.load(open(sys.argv[1]))  # WANT_JSON
print(json.dumps(given["answer"]))
"""


def test_whatever_becomes_of_the_pin_the_report_is_reached_and_says_it(tmp_path: Path) -> None:
    (block,) = [task for task in tasks_of("fall_back") if task["name"].startswith("Take back the pin")]
    (task, *_rest) = block["block"]
    assert task.pop("fleetops.kernel.next_boot")["state"] == "default"
    task["stub"] = {"answer": "{{ answer }}"}
    given = {
        "__kernel_upgrade_left": {"outcome": "untried"},
        "__kernel_upgrade_trial": {"pin": True},
        "__kernel_upgrade_pin": {"changed": True},
        "__kernel_upgrade_before": {"ansible_facts": {"fleetops_kernel": {"release": "old"}}},
        "__kernel_upgrade_want": {"release": "new"},
        "__kernel_upgrade_failure": "first",
    }
    report = {"name": "Report", "ansible.builtin.debug": {"msg": "END {{ __kernel_upgrade_failure }} END"}}
    play = {"hosts": "all", "gather_facts": False, "vars": given, "tasks": [block, report]}
    (tmp_path / "library").mkdir()
    (tmp_path / "library/stub.py").write_text(STUB)
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    here = {"ansible_connection": "local"}
    away = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
    hosts = {
        host: {"answer": answer, **(away if host == "dark" else here)}
        for host, (answer, _says) in ANSWERS.items()
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    done = subprocess.run(
        ["ansible-playbook", "-i", "hosts.json", "play.yml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = dict(re.findall(r'^ok: \[(\S+)\] => \{\n +"msg": "END (.*) END"$', done.stdout, re.MULTILINE))
    for host, (_answer, says) in ANSWERS.items():
        assert host in told, done.stdout
        assert told[host].startswith(says) if host == "dark" else told[host] == says


def test_the_kernel_to_come_back_to_is_the_one_that_the_judgement_names() -> None:
    """What ran when this run began may be the trial of a run before."""
    (task,) = [one for one in tasks_of("fall_back") if one["name"] == "Stop unless the old kernel runs again"]
    assert "want=__kernel_upgrade_left.old" in task["vars"]["__kernel_upgrade_gate"]
