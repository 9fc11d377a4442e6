# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates that compare a boot with what was before, and those that ask elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils import gates, maintenance
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates import prometheus_quiet

URL = "https://prometheus.example.org/"


def kernel(boot_id: str = "two", taint: list[str] | None = None, **counts: int | None) -> dict[str, Any]:
    return {
        "fleetops_kernel": {
            "release": "6.1.0-56-amd64",
            "boot_id": boot_id,
            "fault_counts": counts,
            "taint": {"value": 1, "names": taint or []},
            "next_boot": {"release": "6.1.0-57-amd64"},
            "unknown": {},
        }
    }


# --- kernel_running ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "options", "passed"),
    [
        ("two", {"boot_id": "one"}, True),
        ("one", {"boot_id": "one"}, None),
        ("two", {"boot_id": "one", "want": "6.1.0-56-amd64"}, True),
        ("one", {"boot_id": "one", "want": "6.1.0-56-amd64"}, None),
        ("two", {"boot_id": "one", "want": "6.1.0-57-amd64"}, False),
    ],
)
def test_a_kernel_counts_in_another_boot_only(now: str, options: dict[str, str], passed: bool | None) -> None:
    assert gates.judge(kernel(now), "kernel_running", **options)["passed"] is passed


# --- no_new_oops -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "before", "passed"),
    [
        (kernel(oops=0, warn=0), None, True),
        (kernel(oops=1, warn=0), None, False),
        # What an earlier boot had is no excuse of this one.
        (kernel(oops=1), kernel("one", oops=1), False),
        (kernel(taint=["WARN"]), kernel("one", taint=["WARN"]), False),
        (kernel(oops=0), kernel("one", oops=7), True),
        # The same boot: not more than before.
        (kernel(oops=1, taint=["DIE"]), kernel(oops=1, taint=["DIE"]), True),
        (kernel(oops=2, taint=["DIE"]), kernel(oops=1, taint=["DIE"]), False),
        (kernel(oops=1, taint=["DIE", "SOFTLOCKUP"]), kernel(oops=1, taint=["DIE"]), False),
        # A kernel that counts nothing (before 6.2) has its taint.
        (kernel(taint=["DIE"]), None, False),
        (kernel(taint=["PROPRIETARY_MODULE", "OOT_MODULE"]), None, True),
        (kernel(oops=None), None, None),
    ],
)
def test_no_new_oops(now: dict[str, Any], before: Any, passed: bool | None) -> None:
    assert gates.judge(now, "no_new_oops", before=before)["passed"] is passed


@pytest.mark.parametrize("part", ["fault_counts", "taint", "boot_id"])
def test_no_new_oops_is_closed_when_its_source_is_unreadable(part: str) -> None:
    look = kernel(oops=0)
    look["fleetops_kernel"].update({part: None, "unknown": {part: "needs root"}})
    verdict = gates.judge(look, "no_new_oops")
    assert verdict["passed"] is None
    assert "needs root" in verdict["reason"]


def test_the_same_boot_without_the_counts_of_before_cannot_be_told() -> None:
    before = kernel()
    before["fleetops_kernel"]["fault_counts"] = None
    assert gates.judge(kernel(oops=0), "no_new_oops", before=before)["passed"] is None


def test_hardware_that_warns_at_every_boot_can_be_allowed_to() -> None:
    look = kernel(warn=1, oops=0, taint=["WARN"])
    assert gates.judge(look, "no_new_oops")["passed"] is False
    assert gates.judge(look, "no_new_oops", allow=["warn"])["passed"] is True
    assert gates.judge(kernel(warn=1, oops=1), "no_new_oops", allow=["warn"])["passed"] is False


# --- units_running -----------------------------------------------------------------------------------


def units(
    running: str = "", failed: str = "", finished: str = "", starting: str = "", by_hand: str = ""
) -> Any:
    return {
        "fleetops_units": {
            "running": running.split(),
            "failed": failed.split(),
            "finished": finished.split(),
            "starting": starting.split(),
            "by_hand": by_hand.split(),
            "unknown": {},
        }
    }


@pytest.mark.parametrize(
    ("before", "now", "passed", "words"),
    [
        (units("ssh cron"), units("ssh cron"), True, "2 services"),
        (units("ssh cron"), units("ssh cron new"), True, ""),
        (units("ssh cron"), units("ssh"), False, "cron ran before, and does not run"),
        (units("ssh cron"), units("ssh", failed="cron"), False, "cron ran before, and has failed"),
        (units("ssh cron"), units("ssh", starting="cron"), False, "cron ran before, and is still starting"),
        (units("ssh cron", by_hand="cron"), units("ssh"), False, "it is not enabled: no boot starts it"),
        (units("ssh", failed="lvm"), units("ssh", failed="lvm"), True, ""),
        (units("ssh"), units("ssh", failed="lvm"), False, "lvm has failed since"),
        (None, units("ssh", failed="lvm"), False, "lvm has failed"),
        (None, units("ssh"), True, ""),
        (
            units("ssh"),
            {"fleetops_units": {"running": None, "unknown": {"running": "no bus"}}},
            None,
            "no bus",
        ),
        (
            {"fleetops_units": {"running": None, "unknown": {"running": "no bus"}}},
            units("ssh"),
            None,
            "no bus",
        ),
        ({}, units("ssh"), None, "before: cannot tell"),
    ],
)
def test_units_running(before: Any, now: Any, passed: bool | None, words: str) -> None:
    verdict = gates.judge(now, "units_running", before=before)
    assert verdict["passed"] is passed
    assert words in verdict["reason"]


def test_what_a_site_names_must_be_active_whatever_was_before() -> None:
    wanted = {"units": ["kubelet.service", "kdump-tools"], "before": units("ssh")}
    assert (
        gates.judge(units("ssh kubelet", finished="kdump-tools"), "units_running", **wanted)["passed"] is True
    )
    verdict = gates.judge(units("ssh", finished="kdump-tools"), "units_running", **wanted)
    assert verdict["passed"] is False
    assert "kubelet must be active, and does not run" in verdict["reason"]


def test_what_a_site_ignores_is_ignored_by_its_whole_name() -> None:
    options = {"before": units("ssh backup-a"), "ignore": ["backup-.*"]}
    assert gates.judge(units("ssh"), "units_running", **options)["passed"] is True
    assert gates.judge(units("ssh", failed="my-backup-a"), "units_running", **options)["passed"] is False


# --- command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ran", "passed", "words"),
    [
        ({"rc": 0, "stdout": "HEALTH_OK\n"}, True, "'ceph health' ended with 0: HEALTH_OK"),
        ({"rc": 1, "stdout": "", "stderr": "a\nno quorum\n"}, False, "ended with 1: no quorum"),
        ({"error": "did not end within 5 s"}, None, "'ceph health' did not end within 5 s"),
        (None, None, "was not run"),
    ],
)
def test_command(ran: Any, passed: bool | None, words: str) -> None:
    verdict = gates.judge({"command": ran}, "command", argv=["ceph", "health"])
    assert verdict["passed"] is passed
    assert words in verdict["reason"]
    assert len(verdict["evidence"]) <= 5


# --- prometheus_quiet --------------------------------------------------------------------------------


def vector(*metrics: dict[str, str], **more: Any) -> dict[str, Any]:
    result = [{"metric": metric, "value": [1, "1"]} for metric in metrics]
    document = {"status": "success", "data": {"resultType": "vector", "result": result}, **more}
    return {"status": 200, "body": json.dumps(document)}


UP = vector({"__name__": "up"})
FIRES = {"alertname": "NodeDown", "alertstate": "firing", "instance": "n1"}


@pytest.mark.parametrize(
    ("answers", "passed", "words"),
    [
        ([vector(), UP], True, "no alert fires that matches"),
        ([vector(FIRES), UP], False, "firing: NodeDown"),
        ([vector(), vector()], None, "gives no sample for the proof"),
        # Whoever does not see the node does not see it fire, either.
        ([vector(FIRES), vector()], None, "gives no sample for the proof"),
        ([{"status": 500, "body": "oops"}, UP], None, "HTTP 500, and no JSON: 'oops'"),
        (
            [{"status": 422, "body": '{"status": "error", "error": "bad query"}'}, UP],
            None,
            "HTTP 422: bad query",
        ),
        ([{"status": 302, "body": "", "location": "https://sso/"}, UP], None, "sent on to https://sso/"),
        ([{"status": 200, "body": "<html>login</html>"}, UP], None, "no JSON"),
        ([{"status": 200, "body": "[]"}, UP], None, "JSON of another shape"),
        ([{"status": 200, "body": '{"status": "success"}'}, UP], None, "another shape than a vector"),
        (
            [{"status": 200, "body": '{"status": "success", "data": {"resultType": "vector"}}'}, UP],
            None,
            "shape",
        ),
        ([vector(warnings=["a store is away"]), UP], None, "the answer is not whole"),
        ([{"error": "no answer within 1 s"}, UP], None, "no answer within 1 s"),
        ([vector()], None, "was not asked"),
        (None, None, "was not asked"),
    ],
)
def test_prometheus_quiet(answers: Any, passed: bool | None, words: str) -> None:
    look = {"prometheus": answers}
    verdict = gates.judge(look, "prometheus_quiet", url=URL, labels={"instance": "n1:9100"})
    assert verdict["passed"] is passed, verdict
    assert words in verdict["reason"]


def test_the_queries_select_this_node_and_nothing_gets_out_of_a_string() -> None:
    asked = prometheus_quiet.queries(url=URL, alerts="Node.*", labels={"node": 'n"1\\'})
    assert asked == [
        'ALERTS{alertstate="firing",alertname=~"Node.*",node="n\\"1\\\\"}',
        'up{node="n\\"1\\\\"} == 1',
    ]
    assert len(prometheus_quiet.queries(url=URL)) == 1
    assert len(prometheus_quiet.queries(url=URL, labels={"a": "b"}, proof="")) == 1
    assert prometheus_quiet.queries(url=URL, proof="vector(1)")[1] == "vector(1)"


# --- what has to hold after a reboot -----------------------------------------------------------------


def before(**changes: Any) -> dict[str, Any]:
    look = {**kernel("one", oops=0), **units("ssh"), **changes.pop("more", {})}
    look["fleetops_kernel"].update(changes)
    return look


DISARMED = {
    "fleetops_kdump": {
        "implementation": "kdump-tools",
        "reservation": {"bytes": 0, "requested": []},
        "capture": {"loaded": False},
        "service": None,
        "unknown": {},
    }
}


def test_what_boots_next_is_what_is_expected() -> None:
    plan = maintenance.after_reboot(before(), ["kernel_running"])
    assert plan["options"]["kernel_running"] == {"want": "6.1.0-57-amd64", "boot_id": "one"}
    assert plan["problems"] == []


@pytest.mark.parametrize(
    ("changes", "options", "want"),
    [
        ({}, {"release": "6.1.0-99-amd64"}, "6.1.0-99-amd64"),
        ({}, {"options": {"kernel_running": {"want": "6.1.0-98-amd64"}}}, "6.1.0-98-amd64"),
        # What a site has for all its nodes is no answer to the role that wants one kernel on this node.
        (
            {},
            {"release": "6.1.0-99-amd64", "options": {"kernel_running": {"want": "6.1.0-98-amd64"}}},
            "6.1.0-99-amd64",
        ),
        # What kexec starts nobody knows here.
        ({}, {"command": "systemctl kexec"}, ""),
        ({}, {"command": "systemctl kexec", "release": "6.1.0-99-amd64"}, "6.1.0-99-amd64"),
        ({"load_kexec": True}, {}, ""),
    ],
)
def test_who_says_which_kernel(changes: dict[str, Any], options: dict[str, Any], want: str) -> None:
    plan = maintenance.after_reboot(before(**changes), ["kernel_running"], **options)
    assert plan["options"]["kernel_running"] == {"want": want, "boot_id": "one"}
    assert plan["problems"] == []


def test_another_boot_is_proved_even_without_any_gate() -> None:
    plan = maintenance.after_reboot(before(next_boot=None), [])
    assert plan["gates"] == ["kernel_running"]
    assert plan["options"]["kernel_running"] == {"want": "", "boot_id": "one"}
    assert plan["problems"] == []


@pytest.mark.parametrize(
    ("look", "names", "says"),
    [
        (
            before(next_boot=None, unknown={"next_boot": "needs root"}),
            ["kernel_running"],
            r"which kernel boots next \(needs root\): name it in node_maintenance_release",
        ),
        (before(boot_id=None), [], "no reboot could be proved"),
        (before(more={"fleetops_units": {"unknown": {"running": "no bus"}}}), ["units_running"], "no bus"),
        (before(), ["kdump"], "There is no gate 'kdump'"),
    ],
)
def test_what_could_not_be_judged_is_known_before(look: dict[str, Any], names: list[str], says: str) -> None:
    problems = maintenance.after_reboot(look, names)["problems"]
    assert len(problems) == 1, problems
    assert re.search(says, problems[0])


def test_kdump_that_was_not_armed_is_not_held_against_the_node() -> None:
    plan = maintenance.after_reboot(before(more=DISARMED), ["kdump_armed", "no_stale_links"])
    assert plan["gates"] == ["kernel_running", "no_stale_links"]
    assert plan["waived"][0].startswith("kdump_armed is not held: before the reboot, ")
    unread = maintenance.after_reboot(before(), ["kdump_armed"])
    assert "kdump_armed" in unread["gates"]
