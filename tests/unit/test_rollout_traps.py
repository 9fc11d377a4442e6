# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible does to a rolling play, and the cure of each trap: the test shows the trap where the cure is away."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import rolling
from rolling import Fleet

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import lock

ZONES = {"a": ["a1", "a2"], "b": ["b1", "b2"]}
WITHOUT_CURE = rolling.PLAYBOOK.replace("@CURE@", "")


def hosts(fleet: Fleet, kind: str) -> list[str]:
    return sorted(event["host"] for event in fleet.events(kind))


def test_a_hook_that_does_not_exist_is_an_error_of_the_plan(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES, fleetops_before_node=str(tmp_path / "none.yml"))
    code, output = fleet.run()
    assert code == 2, output
    assert f"fleetops_before_node: '{tmp_path}/none.yml'" in output
    assert fleet.events() == []
    assert fleet.attempts() == []


def test_an_include_whose_file_is_missing_stops_by_the_budget_and_the_report_comes(tmp_path: Path) -> None:
    """The hook is there, and includes another that is not."""
    results = {}
    for name, playbook in (("cured", {}), ("not", {"playbook": WITHOUT_CURE})):
        fleet = Fleet(tmp_path / name, ZONES, fleetops_canaries=["a1"], **playbook)  # type: ignore[arg-type]
        hook = tmp_path / name / "hook.yml"
        hook.write_text("- ansible.builtin.include_tasks: nowhere.yml\n")
        fleet.variables["fleetops_before_node"] = str(hook)
        results[name] = (fleet, *fleet.run())
    fleet, code, output = results["cured"]
    assert code == 2, output
    assert hosts(fleet, "failed") == ["a1"]
    assert hosts(fleet, "refused") == ["a2", "b1", "b2"]
    assert "1 failed: a1" in output
    # The trap: most of the fleet was never asked, there is no report, and yet all seems well.
    fleet, code, output = results["not"]
    assert (code, fleet.events("end"), fleet.events("refused")) == (0, [], [])


def test_a_dark_batch_is_planned_around_and_fails_the_run(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES, dark=["a1", "a2"])
    code, output = fleet.run()
    assert code == 2, output
    assert hosts(fleet, "done") == ["b1", "b2"]
    assert hosts(fleet, "acquire") == ["b1", "b2"]
    assert "2 not reached when looked at: a1" in output
    # And is not forgotten: the rollout goes on with them when they are back.
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(inventory.read_text().replace(rolling.DARK, rolling.LOCAL))
    code, output = fleet.run()
    assert code == 0, output
    assert hosts(fleet, "done") == ["a1", "a2", "b1", "b2"]


def test_all_dark_is_no_success(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": ["a1", "a2"]}, dark=["a1", "a2"])
    code, output = fleet.run()
    assert code == 2, output
    assert "2 not reached when looked at" in output


def test_a_node_that_goes_dark_on_the_way_is_a_failure(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    # Looked at it is local; from the rolling play on nobody listens.
    text = (tmp_path / "rolling.yml").read_text()
    (tmp_path / "rolling.yml").write_text(
        text.replace(
            "- name: Roll\n",
            "- name: Cut the cable\n  hosts: a1\n  gather_facts: false\n  tags: [always]\n  tasks:\n"
            "    - ansible.builtin.set_fact:\n"
            "        ansible_connection: ssh\n        ansible_host: 127.0.0.1\n        ansible_port: 1\n\n"
            "- name: Roll\n",
        )
    )
    code, output = fleet.run()
    assert code == 2, output
    assert hosts(fleet, "failed") == ["a1"]
    assert "unreachable" in fleet.events("failed")[0]["why"]
    assert hosts(fleet, "refused") == ["b1", "b2"]


def test_after_a_failure_those_under_way_end_and_nobody_else_begins(tmp_path: Path) -> None:
    zones = {"a": [f"a{number}" for number in range(1, 7)], "b": ["b1"]}
    fleet = Fleet(tmp_path, zones, fleetops_in_flight=2)
    (tmp_path / "fail" / "a1").touch()
    code, output = fleet.run()
    assert code == 2, output
    failed = fleet.events("failed")[0]["time"]
    assert [event["host"] for event in fleet.events("acquire") if event["time"] > failed] == []
    assert len(hosts(fleet, "acquire")) == 2
    assert len(hosts(fleet, "refused")) == 5
    assert "a1 failed, 0 tolerated" in output
    # Mended, the same command goes on, the failed one first.
    (tmp_path / "fail" / "a1").unlink()
    code, output = fleet.run()
    assert code == 0, output
    assert sorted(hosts(fleet, "done")) == sorted(fleet.hosts)
    second = fleet.events("begin")[1]["run"]
    assert next(event["host"] for event in fleet.events("acquire") if event["run"] == second) == "a1"


def test_tags_leave_nothing_out(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    code, output = fleet.run("--tags", "x")
    assert code == 0, output
    assert hosts(fleet, "done") == fleet.hosts
    # The trap: without the tag of the plays nothing runs, and yet all seems well.
    bare = Fleet(tmp_path / "bare", ZONES, playbook=WITHOUT_CURE.replace("  tags: [always]\n", ""))
    assert bare.run("--tags", "x")[0] == 0
    assert bare.attempts() == []


def test_a_limit_plans_what_it_leaves_and_keeps_the_barrier(tmp_path: Path) -> None:
    zones = {"a": ["a1", "a2", "a3"], "b": ["b1", "b2", "b3"]}
    fleet = Fleet(tmp_path, zones)
    code, output = fleet.run("--limit", "a1,a3,b2,b3")
    assert code == 0, output
    assert hosts(fleet, "done") == ["a1", "a3", "b2", "b3"]
    attempts = {one.host: one for one in fleet.attempts()}
    assert max(attempts["a1"].end, attempts["a3"].end) <= min(attempts["b2"].start, attempts["b3"].start)
    code, output = fleet.run("--limit", "nobody")
    assert code != 0


def test_a_batch_that_was_cut_at_the_wrong_place_is_refused_by_the_place(tmp_path: Path) -> None:
    """As when the sizes are those of a plan before --limit: a host of the second zone is in the first batch."""
    text = rolling.PLAYBOOK.replace("@CURE@", rolling.CURE)
    text = re.sub(r"  serial: >-\n    \{\{ hostvars.*\n.*", "  serial: 3", text)
    fleet = Fleet(tmp_path, ZONES, playbook=text, one=1)
    code, output = fleet.run()
    assert code == 2, output
    assert hosts(fleet, "refused") == ["b1"]
    assert "'zone_a' comes before 'zone_b'" in output
    attempts = {one.host: one for one in fleet.attempts()}
    assert max(attempts["a1"].end, attempts["a2"].end) <= attempts["b2"].start


def test_check_mode_writes_and_touches_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    code, output = fleet.run("--check")
    assert code == 0, output
    assert not fleet.ledger.exists()
    assert not Path(f"{fleet.ledger}.lock").exists()
    assert json.loads((tmp_path / "fleetops-report" / "plan.json").read_text())["rollout"]["waves"]


def test_a_limit_does_not_leave_out_what_an_earlier_run_left(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    (tmp_path / "fail" / "a1").touch()
    assert fleet.run()[0] == 2
    before = fleet.events()
    code, output = fleet.run("--limit", "b1,b2")
    assert code == 2, output
    assert "a1 (failed)" in output
    assert "Widen --limit" in output
    assert fleet.events() == before


def test_another_goal_is_refused_until_the_first_is_given_up(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    (tmp_path / "fail" / "a1").touch()
    assert fleet.run()[0] == 2
    (tmp_path / "fail" / "a1").unlink()
    code, output = fleet.run("-e", "goal=another")
    assert code == 2
    assert "remediate, 'test'" in output
    assert "'another' is wanted" in output
    code, output = fleet.run("-e", "goal=another", "-e", "fleetops_abandon=true")
    assert code == 0, output
    assert len(fleet.events("begin")) == 1
    (old,) = tmp_path.glob("rollout-*.jsonl")
    assert '"abandon"' in old.read_text()


# --- two terminals -----------------------------------------------------------------------------------


def test_a_second_controller_is_refused_by_name_while_the_first_rolls_on(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    fleet.hold("a1")
    first = fleet.start()
    fleet.wait_for_step(first)
    code, output = fleet.run()
    assert code != 0
    assert f"process {first.pid} of" in output
    assert fleet.run("--list-hosts")[0] == 0
    assert fleet.run("--syntax-check")[0] == 0
    assert fleet.run("--check")[0] == 0
    fleet.let_go()
    assert first.wait() == 0
    assert len(fleet.events("begin")) == 1
    assert hosts(fleet, "done") == fleet.hosts


def test_a_rerun_right_after_a_kill_waits_for_the_last_steps_and_says_so(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": ["a1", "a2"]}, fleetops_in_flight=1)
    fleet.hold("a1")
    first = fleet.start()
    fleet.wait_for_step(first)
    first.kill()
    first.wait()
    assert "its workers still finish their last steps" in fleet.control("rollout_status")[1]
    output = tmp_path / "second.txt"
    second = fleet.start(output=output)
    deadline = time.monotonic() + 120
    while "Waiting for the last steps" not in output.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"Waiting for the last steps of a run that died: process {first.pid} " in output.read_text()
    assert len(fleet.events("begin")) == 1
    fleet.let_go()
    assert second.wait() == 0, output.read_text()
    assert len([one for one in fleet.attempts() if one.host == "a1"]) == 2
    assert [event["halfway"] for event in fleet.events("acquire")] == [False, True, False]


def test_paused_and_resumed_while_it_rolls(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": ["a1", "a2", "a3"]}, fleetops_in_flight=1)
    fleet.hold("a1")
    rolling_on = fleet.start()
    fleet.wait_for_step(rolling_on)
    assert fleet.control("rollout_pause", "-e", "fleetops_why=storm")[0] == 0
    fleet.let_go()
    fleet.wait_for("done", process=rolling_on)
    status = fleet.control("rollout_status")[1]
    assert "storm" in status
    assert re.search(r"1 done, .*2 waiting", status)
    assert len(fleet.events("acquire")) == 1
    assert rolling_on.poll() is None
    assert fleet.control("rollout_resume")[0] == 0
    assert rolling_on.wait() == 0
    assert "storm" in (tmp_path / "output.txt").read_text()
    paused, resumed = fleet.events("pause")[0]["time"], fleet.events("resume")[0]["time"]
    assert [event for event in fleet.events("acquire") if paused < event["time"] < resumed] == []


def test_paused_for_too_long_the_rest_is_not_attempted(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": ["a1", "a2"]}, fleetops_in_flight=1, fleetops_pause_timeout=0)
    fleet.hold("a1")
    rolling_on = fleet.start()
    fleet.wait_for_step(rolling_on)
    fleet.control("rollout_pause")
    fleet.let_go()
    assert rolling_on.wait() == 2
    assert fleet.events("end")[0]["outcome"] == "paused"
    assert "The rollout is paused" in (tmp_path / "output.txt").read_text()
    # A run that begins while it is paused touches nobody.
    assert fleet.run()[0] == 2
    assert len(fleet.events("acquire")) == 1
    fleet.control("rollout_resume")
    assert fleet.run()[0] == 0


def test_the_status_shows_who_is_under_way(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    fleet.hold("a1", "a2")
    rolling_on = fleet.start()
    fleet.wait_for_step(rolling_on)
    code, output = fleet.control("rollout_status")
    fleet.let_go()
    assert code == 0, output
    assert re.search(r"a1.*two", output)
    assert f"process {rolling_on.pid} of" in output
    assert rolling_on.wait() == 0


def working(pid: int) -> list[int]:
    """The workers of a main process that do not wait for a place."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _bracket, rest = entry.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if rest.split()[1] == str(pid) and rest.split()[0] not in ("Z", "X") and name != lock.WAITER:
            found.append(int(entry.parent.name))
    return found


def test_a_killed_worker_hangs_ansible_and_the_status_says_so_and_what_to_do(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": ["a1", "a2", "a3"]}, fleetops_in_flight=1)
    fleet.hold("a1")
    rolling_on = fleet.start()
    fleet.wait_for_step(rolling_on)
    for pid in working(rolling_on.pid):
        os.kill(pid, signal.SIGKILL)
    output = fleet.control("rollout_status")[1]
    assert f"End process {rolling_on.pid}" in output
    assert re.search(r"a1 .*HELD BY NO LIVING PROCESS", output), output
    assert rolling_on.poll() is None
    rolling_on.kill()
    rolling_on.wait()
    # What the killed worker had started is at work on the node still, and nobody can know of it.
    fleet.let_go()
    while not fleet.attempts()[0].steps:
        time.sleep(0.05)
    code, output = fleet.run()
    assert code == 0, output
    assert hosts(fleet, "done") == fleet.hosts


def test_a_node_that_a_hook_takes_out_of_the_play_fails_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"a": ["a1", "a2", "a3"]}, fleetops_in_flight=1)
    hook = tmp_path / "hook.yml"
    hook.write_text("- ansible.builtin.meta: end_host\n  when: inventory_hostname == 'a1'\n")
    fleet.variables["fleetops_before_node"] = str(hook)
    code, output = fleet.run(timeout=150)
    assert code == 2, output
    assert [(event["host"], event["why"]) for event in fleet.events("failed")] == [
        ("a1", "its last task never ended")
    ]
    assert hosts(fleet, "refused") == ["a2", "a3"]


def test_a_ledger_that_is_damaged_fails_with_file_and_line_and_touches_nobody(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, ZONES)
    fleet.ledger.write_text("what is this\n")
    code, output = fleet.run()
    assert code == 2
    assert "rollout.jsonl', line 1," in output
    assert fleet.attempts() == []


def test_a_ledger_that_cannot_be_written_any_more_fails_the_task_and_no_node_is_touched(
    tmp_path: Path,
) -> None:
    fleet = Fleet(tmp_path, ZONES)
    text = (tmp_path / "rolling.yml").read_text()
    breaks: dict[str, Any] = {"hosts": "a1", "gather_facts": False, "tags": ["always"]}
    breaks["tasks"] = [{"ansible.builtin.raw": f"rm {fleet.ledger}; mkdir {fleet.ledger}"}]
    (tmp_path / "rolling.yml").write_text(
        text.replace("- name: Roll\n", f"- {json.dumps(breaks)}\n\n- name: Roll\n")
    )
    code, output = fleet.run()
    assert code == 2, output
    assert "Is a directory" in output
    assert fleet.attempts() == []
