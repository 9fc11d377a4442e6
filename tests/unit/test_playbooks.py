# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as an Ansible user runs them, on local connections: who is named, who is attempted, how it exits.

Nothing here can change this machine: the only cure that is planned asks for a kernel that no archive has.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ADVISORY = """\
---
id: this-very-kernel
title: The kernel of the machine that runs this test
severity: high
symptom: none, this is a test
breaks_kdump: false
affects:
  - distro: debian
    releases: ["{release}"]
conditions: []
good:
  - release: 0.0.0-1-nowhere
confidence: none
references: []
vectors: []
"""
LOCAL = "ansible_connection=local"
# Nothing listens on port 1: refused at once.
DARK = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"


class Run:
    """One run of a playbook in a folder of its own."""

    def __init__(self, folder: Path, playbook: str, inventory: str, *arguments: str, **settings: str) -> None:
        (folder / "hosts.ini").write_text(inventory)
        self.done = subprocess.run(
            [
                "ansible-playbook",
                playbook if "." in playbook else f"fleetops.kernel.{playbook}",
                "-i",
                "hosts.ini",
                *arguments,
            ],
            cwd=folder,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
                **settings,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.rc, self.text = self.done.returncode, self.done.stdout
        written = folder / "fleetops-report" / f"{playbook}.json"
        self.report: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {}

    def host(self, name: str) -> dict[str, Any]:
        host: dict[str, Any] = self.report["hosts"][name]
        return host


@pytest.fixture
def advisories(tmp_path: Path) -> str:
    """Extra variables with which this very machine is found to be bad."""
    folder = tmp_path / "advisories"
    folder.mkdir()
    release = platform.release()
    (folder / "this-very-kernel.yml").write_text(ADVISORY.format(release=release))
    return json.dumps({"fleetops_advisories_dirs": [str(folder)], "kernel_upgrade_update_cache": False})


def test_assess_ends_with_0_and_writes_what_it_saw(tmp_path: Path) -> None:
    run = Run(tmp_path, "assess", f"a {LOCAL}\n")
    assert run.rc == 0, run.text
    assert run.report["schema"] == 1
    assert run.host("a")["facts"]["fleetops_kernel"]["release"] == platform.release()
    assert run.host("a")["on_panic"]["outcome"] in ("dumps", "reboots", "hangs", "unknown")


def test_assess_makes_three_tasks_per_host_at_most(tmp_path: Path) -> None:
    run = Run(tmp_path, "assess", f"a {LOCAL}\nb {LOCAL}\n")
    per_host = [
        line
        for line in run.text.splitlines()
        if line.startswith(("ok: [b]", "skipping: [b]", "changed: [b]"))
    ]
    assert 1 <= len(per_host) <= 3, run.text


def test_a_finding_can_fail_a_pipeline(tmp_path: Path, advisories: str) -> None:
    assert Run(tmp_path, "assess", f"a {LOCAL}\n", "-e", advisories).rc == 0
    run = Run(tmp_path, "assess", f"a {LOCAL}\n", "-e", advisories, "-e", "assess_fail_on=high")
    assert run.rc == 2, run.text
    assert Run(tmp_path, "assess", f"a {LOCAL}\n", "-e", advisories, "-e", "assess_fail_on=critical").rc == 0


def test_a_dark_host_is_named_and_fails_the_run_and_the_others_are_assessed(tmp_path: Path) -> None:
    run = Run(tmp_path, "assess", f"a {LOCAL}\nb {DARK}\n")
    assert run.rc == 2, run.text
    assert run.host("b")["unreachable"]
    assert run.host("b")["on_panic"]["outcome"] == "unknown"
    assert run.host("a")["facts"]
    assert "b" in run.text.partition("COULD NOT BE REACHED")[2]


def test_a_host_whose_reading_fails_is_named_as_well(tmp_path: Path) -> None:
    run = Run(tmp_path, "assess", f"a {LOCAL}\nb {LOCAL} ansible_python_interpreter=/nowhere/python\n")
    assert run.rc == 2, run.text
    assert run.host("b")["facts"] is None
    assert run.host("a")["facts"]


@pytest.mark.parametrize("playbook", ["assess", "remediate"])
@pytest.mark.parametrize(
    ("inventory", "arguments"),
    [
        ("", ()),
        (f"[web]\na {LOCAL}\n", ("-e", "fleetops_targets=nobody")),
        (f"[web]\na {LOCAL}\n[db]\nb {LOCAL}\n", ("-e", "fleetops_targets=web", "--limit", "db")),
        (f"a {LOCAL}\n", ("--limit", "nobody")),
    ],
)
def test_a_play_that_matches_no_host_is_an_error(
    tmp_path: Path, playbook: str, inventory: str, arguments: tuple[str, ...]
) -> None:
    run = Run(tmp_path, playbook, inventory, *arguments)
    assert run.rc != 0, run.text


def test_after_a_failure_the_later_nodes_are_not_attempted_and_the_report_comes(
    tmp_path: Path, advisories: str
) -> None:
    inventory = f"[zone_b]\nb1 {LOCAL}\n[zone_a]\na2 {LOCAL}\na1 {LOCAL}\n[zone_c]\nc1 {DARK}\n"
    run = Run(tmp_path, "remediate", inventory, "-e", advisories)
    assert run.rc == 2, run.text
    assert {
        name: host["outcome"]["status"] for name, host in run.report["hosts"].items() if host["outcome"]
    } == {
        "a1": "failed",
        "a2": "not attempted",
        "b1": "not attempted",
    } | ({"c1": run.host("c1")["outcome"]["status"]} if run.host("c1")["outcome"] else {})
    assert run.host("c1")["unreachable"]
    assert "0.0.0-1-nowhere" in run.host("a1")["outcome"]["why"] or "apt" in run.host("a1")["outcome"]["why"]
    assert not Path("/var/lib/fleetops").exists()


def test_a_hook_that_cannot_be_reached_ends_the_node_before_it_is_touched(
    tmp_path: Path, advisories: str
) -> None:
    (tmp_path / "before.yml").write_text(
        "- name: Take it out of the load balancer\n  ansible.builtin.raw: 'true'\n  delegate_to: balancer\n"
    )
    (tmp_path / "ansible.cfg").write_text("[defaults]\nany_errors_fatal = true\n")
    inventory = f"[zone_a]\na {LOCAL}\nb {LOCAL}\n[others]\nbalancer {DARK}\n"
    hook = ["-e", "fleetops_before_node=before.yml", "-e", "fleetops_targets=zone_a"]
    run = Run(tmp_path, "remediate", inventory, "-e", advisories, *hook)
    assert run.rc != 0, run.text
    assert "Read the node" not in run.text, "it was touched all the same"


def test_limit_plans_only_what_it_leaves(tmp_path: Path, advisories: str) -> None:
    run = Run(tmp_path, "remediate", f"a {LOCAL}\nb {LOCAL}\n", "-e", advisories, "--limit", "b")
    assert list(run.report["hosts"]) == ["b"]
    assert run.host("b")["outcome"]["status"] == "failed"


def test_plan_only_cures_nobody_and_ends_with_0(tmp_path: Path, advisories: str) -> None:
    run = Run(tmp_path, "remediate", f"a {LOCAL}\n", "-e", advisories, "-e", "fleetops_plan_only=true")
    assert run.rc == 0, run.text
    assert "0.0.0-1-nowhere" in run.text


def test_a_kernel_is_planned_for_zone_by_zone_and_a_dark_node_is_no_good_end(tmp_path: Path) -> None:
    inventory = f"[zone_a]\na1 {LOCAL}\na2 {LOCAL}\n[zone_b]\nb1 {LOCAL}\n"
    wanted = ["-e", "kernel_upgrade_release=6.99.0-1-amd64", "-e", "fleetops_plan_only=true"]
    run = Run(tmp_path, "rolling_kernel_upgrade", inventory, *wanted)
    assert run.rc == 0, run.text
    plan = json.loads((tmp_path / "fleetops-report/plan.json").read_text())
    assert [wave["hosts"] for wave in plan["rollout"]["waves"]] == [["a1", "a2"], ["b1"]]
    assert "WAVE 1 of 2, zone_a: 2 nodes, one at a time" in run.text
    assert not (tmp_path / "fleetops-report/rollout.jsonl").exists()
    run = Run(tmp_path, "rolling_kernel_upgrade", f"{inventory}b2 {DARK}\n", *wanted)
    assert run.rc == 2, run.text
    assert "1 of 4 hosts could not be planned for: b2" in run.text


def test_a_kernel_may_be_named_by_the_playbook_that_imports_it(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(
        "- ansible.builtin.import_playbook: fleetops.kernel.rolling_kernel_upgrade\n"
        "  vars: {kernel_upgrade_release: 6.99.0-1-amd64, fleetops_plan_only: true}\n"
    )
    run = Run(tmp_path, "site.yml", f"[zone_a]\na {LOCAL}\n")
    assert run.rc == 0, run.text
    assert "PLAN: kernel 6.99.0-1-amd64" in run.text


def test_what_no_rollout_can_keep_is_an_error(tmp_path: Path) -> None:
    wanted = ["-e", "kernel_upgrade_release=6.99.0-1-amd64", "-e", "fleetops_plan_only=true"]
    inventory = f"[zone_a]\na {LOCAL}\n[zone_b]\nb {LOCAL} fleetops_soak=7\n"
    run = Run(tmp_path, "rolling_kernel_upgrade", inventory, *wanted)
    assert run.rc == 2, run.text
    assert "fleetops_soak is None on a, 7 on b: expected the same for all hosts" in run.text
    assert Run(tmp_path, "rolling_kernel_upgrade", inventory, *wanted, "-e", "fleetops_soak=9").rc == 0
    run = Run(tmp_path, "rolling_kernel_upgrade", f"{inventory}[fleetops_rolling]\na\n", *wanted)
    assert run.rc != 0, run.text
    assert "There is a group 'fleetops_rolling' already" in run.text


def test_a_rollout_without_a_kernel_or_a_zone_is_an_error(tmp_path: Path) -> None:
    run = Run(tmp_path, "rolling_kernel_upgrade", f"[zone_a]\na {LOCAL}\n")
    assert run.rc == 2, run.text
    assert "kernel_upgrade_release" in run.text
    run = Run(
        tmp_path,
        "rolling_kernel_upgrade",
        f"a {LOCAL}\nb {LOCAL}\n",
        "-e",
        "kernel_upgrade_release=6.99.0-1-amd64",
    )
    assert run.rc == 2, run.text
    assert "fleetops_zone" in run.text


@pytest.mark.parametrize("tags", ["--tags", "--skip-tags"])
def test_tags_do_not_make_an_empty_run_look_like_a_good_one(tmp_path: Path, tags: str) -> None:
    run = Run(tmp_path, "assess", f"a {LOCAL}\n", tags, "whatever")
    assert run.rc == 0, run.text
    assert run.report["hosts"]["a"]["facts"]


@pytest.mark.parametrize("playbook", ["assess", "remediate"])
@pytest.mark.parametrize(
    "settings",
    [
        {"ANSIBLE_STRATEGY": "free"},
        {"ANSIBLE_STRATEGY": "host_pinned"},
        {"ANSIBLE_HOST_PATTERN_MISMATCH": "error"},
    ],
    ids=lambda settings: "-".join(settings.values()),
)
def test_settings_of_the_user_do_not_break_a_run(
    tmp_path: Path, playbook: str, settings: dict[str, str]
) -> None:
    """With nothing to cure, an empty plan is a success, and the report comes."""
    run = Run(tmp_path, playbook, f"a {LOCAL}\nb {LOCAL}\n", **settings)
    assert run.rc == 0, run.text
    assert list(run.report["hosts"]) == ["a", "b"]


CAPTURED = Path(__file__).parent / "fixtures" / "hosts" / "debian-6.1-incident"


@pytest.mark.parametrize("playbook", ["assess", "remediate"])
def test_a_node_is_looked_at_itself_whatever_its_variables_say(tmp_path: Path, playbook: str) -> None:
    """A cure that was planned from what another node left behind would be done to this one."""
    run = Run(tmp_path, playbook, f"a {LOCAL} fleetops_root='{CAPTURED}'\n", "-e", "fleetops_plan_only=true")
    assert run.rc == 0, run.text
    assert run.host("a")["facts"]["fleetops_kernel"]["release"] == platform.release()
    assert run.host("a")["left_behind"] is None


@pytest.mark.parametrize("root", ["", "/", "//"])
def test_a_dead_node_whose_folder_is_none_is_not_the_controller(tmp_path: Path, root: str) -> None:
    (tmp_path / "dead/a").mkdir(parents=True)
    given = json.dumps({"fleetops_assess_from": "dead", "fleetops_root": root})
    run = Run(tmp_path, "assess", "", "-e", given)
    assert run.rc == 2, run.text
    assert run.host("a")["facts"] is None
    assert "root is " in run.host("a")["unreadable"]


@pytest.mark.parametrize("playbook", ["remediate", "undo", "cilium_cleanup"])
def test_what_changes_nodes_refuses_what_dead_ones_left_behind(tmp_path: Path, playbook: str) -> None:
    run = Run(tmp_path, playbook, f"a {LOCAL}\nb {LOCAL}\n", "--check", "-e", "fleetops_assess_from=dead")
    assert run.rc == 2, run.text
    assert "fleetops_assess_from is 'dead': nothing can be cured on what a dead node left behind" in run.text
    assert len([line for line in run.text.splitlines() if line.startswith("TASK [")]) == 1, run.text


def test_a_node_that_does_not_answer_is_named_and_the_others_are_assessed(tmp_path: Path) -> None:
    """Its `ip` sleeps, which all the others' does not: without an end to the look it would be read after that."""
    stuck = tmp_path / "stuck"
    stuck.write_text(
        f'#!/bin/sh\nPATH="{tmp_path}/bin:$PATH" exec "{os.path.realpath(sys.executable)}" "$@"\n'
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ip").write_text("#!/bin/sh\nexec sleep 30\n")
    for program in (stuck, tmp_path / "bin/ip"):
        program.chmod(0o755)
    inventory = f"a {LOCAL}\nb {LOCAL} ansible_python_interpreter={stuck} assess_timeout=8\n"
    run = Run(tmp_path, "assess", inventory)
    assert run.rc == 2, run.text
    assert run.host("b")["facts"] is None
    assert re.search(r"\b8\b", run.host("b")["unreadable"])
    assert run.host("a")["facts"]
