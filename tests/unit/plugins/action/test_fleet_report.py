# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from ansible.playbook.task import Task
from ansible.template import Templar
from ansible.utils.display import Display
from ansible_collections.fleetops.kernel.plugins.action import fleet_report
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import actors, kdump, kernel, links
from ansible_collections.fleetops.kernel.plugins.modules import fleet_report as documentation

DARK = {"assess_look": {"unreachable": True, "msg": "no route"}}


HOSTS = Path(__file__).resolve().parents[2] / "fixtures" / "hosts"


def facts(loaded: bool) -> dict[str, Any]:
    """Those of a captured machine without a fault; without *loaded*, with one: a panic hangs it."""
    host = Host(str(HOSTS / "debian-6.1-clean"))
    parts: Any = {
        part.__name__.rpartition(".")[2]: part.read(host) for part in (kernel, kdump, links, actors)
    }
    parts["kernel"].update(boot_id="one", uptime=1.0 + loaded)
    if not loaded:
        parts["kernel"]["panic_sysctls"]["kernel.panic"] = 0
        parts["kdump"]["capture"].update(loaded=False, cmdline=None, panic=None)
    return {"ansible_facts": {f"fleetops_{part}": value for part, value in parts.items()}}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the terminal."""
    lines: list[str] = []
    monkeypatch.setattr(Display, "display", lambda _self, message, *_rest, **_more: lines.append(message))
    return lines


def run(
    arguments: dict[str, Any], hostvars: dict[str, Any], check: bool = False, **variables: Any
) -> dict[str, Any]:
    task = mock.MagicMock(spec=Task, args=arguments, check_mode=check, async_val=0, diff=False)
    task.name = task.action = "fleet_report"
    templar = Templar(loader=None)
    action = fleet_report.ActionModule(
        task, mock.MagicMock(), mock.MagicMock(), mock.MagicMock(), templar, mock.MagicMock()
    )
    done: dict[str, Any] = action.run(task_vars={"hostvars": hostvars, **variables})
    return done


def arguments(folder: Path, hosts: list[str], **more: Any) -> dict[str, Any]:
    return {"dir": str(folder), "hosts": hosts, **more}


@pytest.mark.parametrize("check", [False, True])
def test_it_judges_writes_and_prints(tmp_path: Path, shown: list[str], check: bool) -> None:
    folder = tmp_path / "a" / "b"
    done = run(arguments(folder, ["n1"]), {"n1": facts(loaded=True)}, check=check)
    assert not done.get("failed")
    assert not done["changed"]
    assert done["path"] == str(folder / "assess.json")
    assert (done["clean"], done["affected"], done["unknown"]) == (True, 0, 0)
    written = json.loads((folder / "assess.json").read_text())
    assert written["hosts"]["n1"]["on_panic"]["outcome"] == "dumps"
    assert written["summary"] == done["summary"]
    assert "n1: if this node panics now, it DUMPS" in shown[0]
    assert shown[0].endswith(f"Report: {folder}/assess.json")


def test_each_host_is_a_line(tmp_path: Path, shown: list[str]) -> None:
    hosts = {name: facts(loaded=True) for name in ("n1", 'n"2: null', "n10")}
    done = run(arguments(tmp_path, list(hosts)), hosts)
    text = (tmp_path / "assess.json").read_text()
    written = json.loads(text)
    assert (set(written["hosts"]), written["summary"]) == (set(hosts), done["summary"])
    for name in hosts:
        start = f"  {json.dumps(name)}: "
        (line,) = [one for one in text.splitlines() if one.startswith(start)]
        assert json.loads(line[len(start) :].rstrip(",")) == written["hosts"][name]


@pytest.mark.parametrize("old", [None, 0o644])
def test_only_its_owner_can_read_it(tmp_path: Path, shown: list[str], old: int | None) -> None:
    path = tmp_path / "assess.json"
    if old is not None:
        path.touch(mode=old)
    run(arguments(tmp_path, ["n1"]), {"n1": facts(loaded=True)})
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_beside_the_report(tmp_path: Path, shown: list[str]) -> None:
    run(arguments(tmp_path, ["n1"]), {"n1": facts(loaded=True)})
    assert [path.name for path in tmp_path.iterdir()] == ["assess.json"]


def test_a_dark_host_fails_the_task_after_all_was_written(tmp_path: Path, shown: list[str]) -> None:
    done = run(arguments(tmp_path, ["n1", "n2"]), {"n1": facts(loaded=True), "n2": DARK})
    assert done["failed"]
    assert done["msg"] == f"1 of 2 hosts could not be reached (n2). See {tmp_path}/assess.json"
    assert json.loads((tmp_path / "assess.json").read_text())["hosts"]["n2"]["unreachable"] == "no route"
    assert shown


def test_fail_on_fails_it(tmp_path: Path, shown: list[str]) -> None:
    hostvars = {"n1": facts(loaded=False)}
    assert not run(arguments(tmp_path, ["n1"]), hostvars).get("failed")
    done = run(arguments(tmp_path, ["n1"], fail_on="high"), hostvars)
    assert done["failed"]
    assert "1 finding of severity high or worse (n1)" in done["msg"]


def planned(folder: Path, *hosts: str) -> None:
    """What the action rollout leaves."""
    steps = [
        {"host": host, "zone": "a", "wave": 0, "roles": {}, "because": [], "reboot": True} for host in hosts
    ]
    (folder / "plan.json").write_text(json.dumps({"schema": 1, "steps": steps, "held_back": {}}))


def test_before_and_after_a_cure(tmp_path: Path, shown: list[str]) -> None:
    before = arguments(tmp_path, ["n1", "n2"], name="remediate", stage="before")
    done = run(before, {"n1": facts(loaded=False), "n2": DARK})
    assert not done.get("failed"), "a dark host must not keep the others from their cure"
    planned(tmp_path, "n1")
    after = {"n1": facts(loaded=True), "n2": DARK}
    outcomes = {"n1": {"status": "done", "why": ""}}
    done = run({**before, "stage": "after", "outcomes": outcomes}, after)
    assert done["msg"].startswith("1 of 2 hosts could not be reached (n2).")
    written = json.loads((tmp_path / "remediate.json").read_text())
    assert written["hosts"]["n1"]["outcome"]["status"] == "done"
    assert written["hosts"]["n1"]["difference"]["cured"] == ["kdump-not-armed:kdump"]
    assert written["hosts"]["n1"]["before"]["on_panic"]["outcome"] == "hangs"


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (None, "remediate.json' is missing: what was before the change"),
        ("{", "is not valid JSON"),
        ("{}", "expected schema '1', got 'None'"),
        (
            '{"schema": 1, "report": "remediate", "stage": "before", "hosts": {}}',
            "does not hold the host 'n1'",
        ),
    ],
)
def test_without_what_was_before_there_is_no_after(
    tmp_path: Path, shown: list[str], kept: str | None, words: str
) -> None:
    if kept is not None:
        (tmp_path / "remediate.json").write_text(kept)
    planned(tmp_path, "n1")
    done = run(arguments(tmp_path, ["n1"], name="remediate"), {"n1": facts(loaded=True)})
    assert done["failed"]
    assert words in done["msg"]
    assert not shown


def test_without_the_plan_there_is_no_after(tmp_path: Path, shown: list[str]) -> None:
    before = arguments(tmp_path, ["n1"], name="remediate", stage="before")
    run(before, {"n1": facts(loaded=False)})
    done = run({**before, "stage": "after"}, {"n1": facts(loaded=True)})
    assert "plan.json' is missing" in done["msg"]


def test_check_mode_and_a_mere_plan_need_no_cure(tmp_path: Path, shown: list[str]) -> None:
    before = arguments(tmp_path, ["n1"], name="remediate", stage="before")
    planned(tmp_path, "n1")
    for check, variables in ((True, {}), (False, {"fleetops_plan_only": True})):
        run(before, {"n1": facts(loaded=False)})
        done = run({**before, "stage": "after"}, {"n1": facts(loaded=False)}, check=check, **variables)
        assert not done.get("failed"), done
    run(before, {"n1": facts(loaded=False)})
    done = run({**before, "stage": "after"}, {"n1": facts(loaded=False)})
    assert "1 node not attempted (n1)" in done["msg"]


def test_no_host_is_an_error(tmp_path: Path, shown: list[str]) -> None:
    done = run(arguments(tmp_path, []), {})
    assert done["failed"]
    assert "no host to report on" in done["msg"]
    assert not list(tmp_path.iterdir())


def test_a_site_s_advisory_that_is_wrong_is_named(tmp_path: Path, shown: list[str]) -> None:
    (tmp_path / "x.yml").write_text("id: x\n")
    done = run(
        arguments(tmp_path / "out", ["n1"], advisories_dirs=[str(tmp_path)]), {"n1": facts(loaded=True)}
    )
    assert done["failed"]
    assert "x.yml' is not valid: key 'title' is missing" in done["msg"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, shown: list[str]) -> None:
    (tmp_path / "file").write_text("")
    done = run(arguments(tmp_path / "file", ["n1"]), {"n1": facts(loaded=True)})
    assert done["failed"]
    assert f"Cannot write '{tmp_path}/file/assess.json'" in done["msg"]


def test_the_documentation_is_of_these_arguments() -> None:
    options = yaml.safe_load(documentation.DOCUMENTATION)["options"]
    assert {
        name: {key: value for key, value in one.items() if key != "description"}
        for name, one in options.items()
    } == (fleet_report.ARGUMENTS)


def test_what_is_returned_is_what_is_documented(tmp_path: Path, shown: list[str]) -> None:
    documented = yaml.safe_load(documentation.RETURN)
    done = run(arguments(tmp_path, ["n1", "n2"]), {"n1": facts(loaded=True), "n2": DARK})
    assert set(done) == {*documented, "changed", "failed", "msg"}
    assert set(done["summary"]) == set(documented["summary"]["sample"])
