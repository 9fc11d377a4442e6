# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings, plan, records, report, text
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

Facts = dict[str, Any]
TIME = "2026-11-24T03:00:00Z"
DARK: dict[str, Any] = {"assess_look": {"unreachable": True, "msg": "no route to host"}}


def host(facts: Facts | None, zone: str = "zone_a", **more: Any) -> dict[str, Any]:
    known = {f"fleetops_{part}": value for part, value in (facts or {}).items()}
    return {"group_names": [zone], "assess_look": {"ansible_facts": known}, **more}


def done(facts: Facts, status: str = "done", why: str = "") -> dict[str, Any]:
    return host(facts, outcome={"status": status, "why": why})


@pytest.fixture
def made(site: list[Advisory]) -> Callable[..., Any]:
    """A report of hosts, as the action makes it; with *kept*, of the stage after, by the plan of the one before.

    A host's ``outcome`` is what the ledger says of it.
    """
    last: dict[str, Any] = {}

    def make(hostvars: dict[str, Any], name: str = "assess", kept: Any = None, dry: bool = False) -> Any:
        found = records.collect(hostvars, list(hostvars), site)
        stage = "before" if name == "remediate" and kept is None else "after"
        if stage == "before":
            last["plan"] = {"schema": 1, **plan.make(found)}
        return report.build(
            name,
            stage,
            found,
            time=TIME,
            before=json.loads(json.dumps(kept)) if kept is not None else None,
            planned=report.check_plan(last["plan"], "/plan.json") if kept is not None else None,
            outcomes={one: of["outcome"] for one, of in hostvars.items() if "outcome" in of},
            dry=dry,
        )

    return make


@pytest.fixture
def cured(clean: Facts) -> Facts:
    """The machine of the incident after its cure: another boot, the good kernel."""
    good = "6.1.0-56-cloud-amd64"
    clean["kernel"].update(release=good, boot_id="another", uptime=5.0)
    clean["kernel"]["package"].update(name=f"linux-image-{good}", version="6.1.192-2")
    clean["kernel"]["installed"][0].update(release=good, package=clean["kernel"]["package"])
    clean["kernel"]["next_boot"].update(release=good)
    return clean


# --- as data -----------------------------------------------------------------------------------------


def test_assess_has_the_shape_of_schema_1(made: Callable[..., Any], incident: Facts) -> None:
    found = made({"n1": host(incident), "n2": host(None, **DARK)})
    assert (found["schema"], found["report"], found["stage"], found["time"]) == (1, "assess", "after", TIME)
    one = found["hosts"]["n1"]
    assert set(one) == {
        "zone",
        "facts",
        "findings",
        "on_panic",
        "unreachable",
        "unreadable",
        "bad_variables",
        "left_behind",
    }
    assert set(one["facts"]) == {"fleetops_kernel", "fleetops_kdump", "fleetops_links", "fleetops_actors"}
    assert found["hosts"]["n2"]["unreachable"] == "no route to host"
    assert found["summary"]["on_panic"] == {"hangs": 1, "unknown": 1, "reboots": 0, "dumps": 0}
    assert found["summary"]["unreachable"] == ["n2"]
    json.dumps(found)


def test_a_file_that_is_no_plan_is_refused() -> None:
    documents: list[Any] = [[], {}, {"schema": 2, "steps": [], "held_back": {}}]
    for document in documents:
        with pytest.raises(FleetopsError, match=r"'/plan\.json' is not a plan: expected schema 1"):
            report.check_plan(document, "/plan.json")


def test_after_the_cure_it_says_what_was_what_is_and_what_is_left(
    made: Callable[..., Any], incident: Facts, cured: Facts
) -> None:
    kept = made({"n1": host(incident), "n2": host(cured)}, "remediate")
    found = made({"n1": done(cured), "n2": host(cured)}, "remediate", kept)
    one, two = found["hosts"]["n1"], found["hosts"]["n2"]
    assert (one["step"]["reboot"], two["step"]) == (True, None)
    assert one["outcome"] == {"status": "done", "why": ""}
    assert one["before"]["on_panic"]["outcome"] == "hangs"
    assert one["on_panic"]["outcome"] == "dumps"
    assert one["before"]["release"] == "6.1.0-47-cloud-amd64"
    assert one["before"]["boot_id"] == incident["kernel"]["boot_id"]
    assert sorted(one["difference"]["cured"]) == [
        "capture-may-hang:capture",
        "crashkernel-too-small:crashkernel",
        "kernel-known-bad:site-hangs-at-night",
        "stale-link:flannel.1",
        "stale-link:kube-ipvs0",
    ]
    assert (one["difference"]["new"], one["difference"]["left"]) == ([], [])
    assert two["outcome"]["status"] == "nothing to do"
    assert found["summary"]["outcomes"] == {"done": 1, "nothing to do": 1}
    assert report.failures(found, "low") == []


@pytest.mark.parametrize("number", [1, 40])
@pytest.mark.parametrize("faults", ["all", "reboot only"])
def test_what_is_held_back_is_told_with_its_reason(
    made: Callable[..., Any], incident: Facts, add_kernel: Any, number: int, faults: str
) -> None:
    """What boots next lacks the driver of the network card, and nothing else can take its place."""
    add_kernel(incident, "6.1.0-58-cloud-amd64", "6.1.199-1", boots_next=True, lacks=["ena"])
    if faults == "reboot only":
        incident["kdump"]["capture"]["panic"] = 10
        incident["links"]["links"] = []
    nodes = {f"n{one}": host(incident) for one in range(1, number + 1)}
    kept = made(nodes, "remediate")
    planned = {name: dict(one, assess_look=one["assess_look"]) for name, one in nodes.items()}
    after = made(planned, "remediate", kept, dry=True)
    one = after["hosts"]["n1"]
    assert "crashkernel-too-small:crashkernel would need: module-missing:" in one["held_back"]
    assert one["outcome"]["status"] == ("planned" if faults == "all" else "nothing to do")
    assert "no reboot is planned, which crashkernel-too-small:crashkernel" in " ".join(
        report.render(after).split()
    )


def test_where_nothing_is_held_back_nothing_is_said_of_it(made: Callable[..., Any], incident: Facts) -> None:
    kept = made({"n1": host(incident)}, "remediate")
    after = made({"n1": host(incident)}, "remediate", kept, dry=True)
    assert after["hosts"]["n1"]["held_back"] == ""
    assert "held back" not in report.render(after).lower()


def finding(id_: str, subject: str, status: str) -> Any:
    base = {"id": id_, "subject": subject, "status": status, "severity": "high"}
    return {**base, "reason": "", "evidence": [], "remedy": None}


@pytest.mark.parametrize(
    ("before", "after", "cured", "new", "left"),
    [
        ([("a", "x", "affected")], [("a", "x", "ok")], ["a:x"], [], []),
        ([("a", "x", "affected")], [], ["a:x"], [], []),
        ([("a", "x", "unknown")], [("a", "x", "ok")], ["a:x"], [], []),
        ([("a", "x", "affected")], [("a", "x", "unknown")], [], [], ["a:x"]),
        # The link is not seen any more because no link is: that is no cure.
        ([("a", "x", "affected")], [("a", "links", "unknown")], [], ["a:links"], ["a:x"]),
        # Another link that cannot be judged is no doubt about this one, which is gone.
        ([("a", "x", "affected")], [("a", "y", "unknown")], ["a:x"], ["a:y"], []),
        ([("a", "x", "affected")], [("a", "links", "ok")], ["a:x"], [], []),
        ([("a", "x", "ok")], [("a", "x", "affected")], [], ["a:x"], []),
        ([("a", "x", "affected")], [("a", "y", "affected")], ["a:x"], ["a:y"], []),
    ],
)
def test_the_difference(before: Any, after: Any, cured: list[str], new: list[str], left: list[str]) -> None:
    got = report.difference([finding(*one) for one in before], [finding(*one) for one in after])
    assert got == {"cured": cured, "new": new, "left": left}


# --- what a run must not hide ------------------------------------------------------------------------


def test_a_host_that_was_dark_is_named_whatever_else(made: Callable[..., Any], cured: Facts) -> None:
    found = made(
        {
            "n1": host(cured),
            "n2": host(None, **DARK),
            "n3": host(None, assess_look={"failed": True, "msg": "m"}),
        }
    )
    assert report.failures(found, "never") == [
        "1 of 3 hosts could not be reached (n2)",
        "1 of 3 hosts could not be read (n3)",
    ]


@pytest.mark.parametrize(
    ("fail_on", "number"), [("never", 0), ("low", 5), ("medium", 5), ("high", 4), ("critical", 1)]
)
def test_fail_on(made: Callable[..., Any], incident: Facts, fail_on: str, number: int) -> None:
    why = report.failures(made({"n1": host(incident)}), fail_on)
    assert [int(words.split()[0]) for words in why] == ([number] if number else [])


def test_an_unknown_counts_with_its_severity(made: Callable[..., Any], cured: Facts) -> None:
    cured["links"].update(links=None)
    assert report.failures(made({"n1": host(cured)}), "critical") == []
    assert report.failures(made({"n1": host(cured)}), "high") == ["1 finding of severity high or worse (n1)"]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({"status": "failed", "why": "Reboot: no answer"}, "1 node failed (n1)"),
        ({"status": "not attempted", "why": "an earlier node failed"}, "1 node not attempted (n1)"),
        (None, "1 node not attempted (n1)"),
    ],
)
def test_a_planned_node_that_is_not_done_fails_the_run(
    made: Callable[..., Any], incident: Facts, after: dict[str, str] | None, why: str
) -> None:
    kept = made({"n1": host(incident)}, "remediate")
    again = copy.deepcopy(incident)
    again["kernel"]["uptime"] += 100
    more: Any = {"outcome": after} if after else {}
    found = made({"n1": host(again, **more)}, "remediate", kept)
    assert report.failures(found, "never") == [why]


def test_done_with_a_fault_left_is_failed(made: Callable[..., Any], incident: Facts, cured: Facts) -> None:
    kept = made({"n1": host(incident)}, "remediate")
    cured["kdump"]["capture"]["panic"] = None
    found = made({"n1": done(cured)}, "remediate", kept)
    assert found["hosts"]["n1"]["outcome"] == {
        "status": "failed",
        "why": "done, but 1 of its faults is left: capture-may-hang:capture",
    }
    assert found["summary"]["outcomes"] == {"failed": 1}
    assert report.failures(found, "never") == ["1 node failed (n1)"]
    assert "FAILED: n1 (zone_a): done, but 1 of its faults is left" in report.render(found)


def test_done_with_a_worse_panic_is_failed(made: Callable[..., Any], incident: Facts, cured: Facts) -> None:
    incident["kdump"]["reservation"]["bytes"] = 224 << 20
    kept = made({"n1": host(incident)}, "remediate")
    cured["kdump"]["capture"].update(loaded=False, cmdline=None, panic=None)
    found = made({"n1": done(cured)}, "remediate", kept)
    assert found["hosts"]["n1"]["outcome"]["status"] == "failed"
    assert "done, but what it does on a panic got worse: DUMPS -> " in found["hosts"]["n1"]["outcome"]["why"]
    assert report.failures(found, "never") == ["1 node failed (n1)"]


def test_what_the_plan_left_to_a_person_is_no_failure_of_it(
    made: Callable[..., Any], incident: Facts, cured: Facts
) -> None:
    incident["links"]["links"][0]["users_unknown"] = ["needs root"]
    kept = made({"n1": host(incident)}, "remediate")
    cured["links"]["links"] = incident["links"]["links"][:1]
    found = made({"n1": done(cured)}, "remediate", kept)
    assert len(found["hosts"]["n1"]["difference"]["left"]) == 1
    assert report.failures(found, "never") == []


def test_in_check_mode_a_planned_node_need_not_be_done(made: Callable[..., Any], incident: Facts) -> None:
    kept = made({"n1": host(incident)}, "remediate", dry=True)
    found = made({"n1": done(incident, "planned")}, "remediate", kept, dry=True)
    assert report.failures(found, "never") == []
    found = made({"n1": host(incident)}, "remediate", kept, dry=True)
    assert found["hosts"]["n1"]["outcome"]["status"] == "planned"
    incident["kernel"]["uptime"] += 100
    found = made({"n1": done(incident, "failed", "no such package")}, "remediate", kept, dry=True)
    assert report.failures(found, "never") == ["1 node failed (n1)"]


def test_the_stage_before_never_fails(made: Callable[..., Any], incident: Facts) -> None:
    assert report.failures(made({"n1": host(incident), "n2": host(None, **DARK)}, "remediate"), "low") == []


def test_a_dark_host_was_not_attempted(made: Callable[..., Any], incident: Facts) -> None:
    kept = made({"n1": host(incident), "n2": host(None, **DARK)}, "remediate")
    found = made({"n1": host(incident), "n2": host(None, **DARK)}, "remediate", kept)
    assert found["hosts"]["n2"]["outcome"] == {"status": "not attempted", "why": "no route to host"}
    assert found["hosts"]["n2"]["difference"] is None


def test_old_facts_prove_no_cure(made: Callable[..., Any], incident: Facts) -> None:
    """When the second look did not happen, the facts of the first are still there."""
    kept = made({"n1": host(incident)}, "remediate")
    found = made({"n1": done(incident)}, "remediate", kept)
    assert found["hosts"]["n1"]["unreadable"] == "it was not looked at again after the cure"
    assert found["hosts"]["n1"]["facts"] is None
    assert found["summary"]["unreadable"] == ["n1"]
    assert report.failures(found, "never") == ["1 of 1 hosts could not be read (n1)"]


def test_what_cannot_be_cured_from_here_is_said(
    made: Callable[..., Any], cured: Facts, incident: Facts
) -> None:
    cured["kernel"]["package"].update(version="6.1.170-3")
    cured["kernel"]["flavour"] = "rt-amd64"
    kept = made({"n1": host(cured)}, "remediate")
    found = made({"n1": host(cured)}, "remediate", kept)
    assert found["hosts"]["n1"]["outcome"] == {
        "status": "nothing to do",
        "why": "no cure from here for kernel-known-bad:site-hangs-at-night",
    }


def test_another_run_s_file_is_not_taken_for_this_one_s(made: Callable[..., Any], incident: Facts) -> None:
    kept = made({"n1": host(incident)}, "remediate")
    with pytest.raises(FleetopsError, match="does not hold the host 'n2': it is of another run"):
        made({"n2": host(incident)}, "remediate", kept)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "expected schema '1', got 'None'"),
        ({"schema": 2}, "expected schema '1', got '2'"),
        ({"schema": 1, "report": "assess"}, "expected report 'remediate', got 'assess'"),
        ({"schema": 1, "report": "remediate", "stage": "after"}, "expected stage 'before', got 'after'"),
    ],
)
def test_a_file_that_is_not_of_the_stage_before_is_refused(document: Any, words: str) -> None:
    with pytest.raises(
        FleetopsError, match=re.escape(f"'/r.json' is not what this run wrote before the cure: {words}")
    ):
        report.check_before(document, "remediate", "/r.json")


# --- as text -----------------------------------------------------------------------------------------


def fleet(number: int, incident: Facts, cured: Facts) -> dict[str, Any]:
    """Many hosts, a third of them clean, each with sizes of its own."""
    found = {}
    for index in range(number):
        facts = copy.deepcopy(incident if index % 3 else cured)
        facts["kdump"]["capture"]["initrd_bytes"] += index * 100
        found[f"node-{'abc'[index % 3]}{index}"] = host(facts, f"zone_{'abc'[index % 3]}")
    found["node-x1"] = host(None, **DARK)
    return found


def test_the_verdict_comes_first(made: Callable[..., Any], incident: Facts) -> None:
    lines = report.render(made({"node-a1": host(incident)})).splitlines()
    assert lines[2].startswith("node-a1 (zone_a): if this node panics now, it HANGS, because ")


def test_each_finding_says_what_how_it_is_known_and_what_cures_it(
    made: Callable[..., Any], incident: Facts
) -> None:
    said = " ".join(report.render(made({"n1": host(incident)})).split())
    for words in (
        "[critical] kernel-known-bad site-hangs-at-night what",
        "seen /proc/cmdline: crashkernel=80M",
        "/var/crash/kexec_cmd: BOOT_IMAGE=/boot/vmlinuz-6.1.0-47-cloud-amd64 ...",
        "nr_cpus=1 irqpoll usbcore.nousb cure role crashkernel (crashkernel_capture_panic: 10); no reboot",
        "cure role kernel_upgrade (kernel_upgrade_release: 6.1.0-56-cloud-amd64); needs a reboot",
        "[medium] stale-link kube-ipvs0",
        "checked, not found: ",
        "kdump-not-armed",
        "On a panic now: 1 HANGS.",
        "NOT CLEAN: 0 of 1 node clean, 1 with faults; 5 faults and 0 unknowns in all.",
    ):
        assert words in said


def test_a_clean_fleet_is_called_clean(made: Callable[..., Any], cured: Facts) -> None:
    said = report.render(made({"n1": host(cured)}))
    assert said.splitlines()[-1] == "CLEAN: 1 of 1 node clean."


@pytest.mark.parametrize("number", [2, 6, 300])
@pytest.mark.parametrize("name", ["assess", "remediate"])
def test_lines_are_short_and_ascii(
    made: Callable[..., Any], incident: Facts, cured: Facts, number: int, name: str
) -> None:
    incident["kdump"]["capture"]["cmdline"]["raw"] += " caf\u00e9=\x1b[2Jgone"
    said = report.render(made(fleet(number, incident, cured), name))
    assert said.isascii()
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= text.WIDTH
    assert "\\x1b[2Jgone" in said


def test_300_nodes_are_a_page_or_two(made: Callable[..., Any], incident: Facts, cured: Facts) -> None:
    said = report.render(made(fleet(300, incident, cured), "remediate"))
    assert len(said.splitlines()) < 100
    assert "HANGS    200 nodes: node-b[1]" in said or "HANGS    200 nodes: node-b" in said
    assert "COULD NOT BE REACHED: node-x1: no route to host" in said


def test_after_the_cure_the_outcome_comes_first(
    made: Callable[..., Any], incident: Facts, cured: Facts
) -> None:
    before = {"n1": host(incident), "n2": host(incident), "n3": host(None, **DARK)}
    kept = made(before, "remediate")
    after = {**before, "n1": done(cured), "n2": done(cured, "failed", "Reboot: no answer")}
    said = report.render(made(after, "remediate", kept))
    lines = said.splitlines()
    assert lines[2] == "FAILED: n2 (zone_a): Reboot: no answer"
    assert "NOT ATTEMPTED: n3 (zone_a): no route to host" in lines
    start = lines.index("DONE: n1 (zone_a)")
    assert lines[start + 1 : start + 3] == [
        "    on a panic  HANGS -> DUMPS",
        "    kernel      6.1.0-47-cloud-amd64 -> 6.1.0-56-cloud-amd64, rebooted",
    ]
    assert lines[start + 3].startswith("    cured       kernel-known-bad site-hangs-at-night, ")


def test_colours_are_added_and_nothing_else(made: Callable[..., Any], incident: Facts, cured: Facts) -> None:
    for hostvars in ({"n1": host(incident)}, fleet(20, incident, cured)):
        found = made(hostvars, "remediate")
        plain, coloured = report.render(found), report.render(found, color=True)
        assert "\033[1;31mHANGS\033[0m" in coloured
        assert re.sub(r"\033\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize(
    ("hosts", "width", "words"),
    [
        ([], 60, ""),
        (["n1"], 60, "n1"),
        (["n3", "n1", "n2", "n5"], 60, "n[1-3,5]"),
        (["n9", "n10", "n11"], 60, "n[9-11]"),
        (["n09", "n10", "n8"], 60, "n[8,09-10]"),
        (["n001", "n002"], 60, "n[001-002]"),
        (["a.x1.example", "n1.x1.example", "n2.x1.example"], 60, "a.x1.example, n[1-2].x1.example"),
        (["db", "n1", "web"], 60, "db, n1, web"),
        (["n1a", "n2a", "n1b"], 60, "n[1-2]a, n1b"),
        ([f"n{number}" for number in range(0, 40, 2)], 30, "n[0,2,4,6,8,10,12] and 13 more"),
        (["a-very-long-name-indeed", "b"], 10, "a-very-long-name-indeed and 1 more"),
    ],
)
def test_host_names_are_abbreviated_and_counted(hosts: list[str], width: int, words: str) -> None:
    assert text.abbreviate(hosts, width) == words


# --- size --------------------------------------------------------------------------------------------


def calls(function: Callable[[], Any]) -> int:
    """How many Python functions are called: what it costs, without a clock."""
    count = 0

    def profile(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_a_thousand_hosts_cost_ten_times_a_hundred(
    made: Callable[..., Any], incident: Facts, cured: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    real = findings.judge

    def judge(*given: Any) -> Any:
        judged.append(1)
        return real(*given)

    monkeypatch.setattr(findings, "judge", judge)
    costs = {}
    for number in (100, 1000):
        hostvars = fleet(number, incident, cured)
        judged.clear()
        costs[number] = calls(lambda hostvars=hostvars: report.render(made(hostvars, "remediate")))  # type: ignore[misc]
        assert len(judged) == number, "each host that was read is judged once"
    assert costs[1000] < 10.5 * costs[100]


def test_what_is_unknown_for_one_reason_is_told_at_once(made: Callable[..., Any], clean: Facts) -> None:
    """Twenty rules that ask one source are one thing to a reader."""
    clean["kernel"].update(next_boot=None)
    clean["kernel"]["unknown"]["next_boot"] = "Permission denied (needs root)"
    for hosts in ({"n1": host(clean)}, {f"n{number}": host(clean) for number in range(9)}):
        said = report.render(made(hosts))
        assert said.count("Permission denied (needs root)") == 1
        head = next(line for line in said.splitlines() if "unknown]" in line)
        assert head.startswith("  [high, unknown] ")
        for id_ in ("next-boot-differs", "boot-entry-by-position", "module-missing", "dkms-missing"):
            assert id_ in " ".join(said.split())
        assert "cure  none from here" not in said.partition("[high, unknown]")[2]


def test_what_is_in_order_is_one_line_for_each_rule(made: Callable[..., Any], clean: Facts) -> None:
    lines = report.render(made({"n1": host(clean)})).splitlines()
    (start,) = [number for number, line in enumerate(lines) if "checked, not found: " in line]
    said = " ".join(" ".join(lines[start : lines.index("", start)]).split())
    assert "module-missing" in said
    assert "6.1.0" not in said
    assert said.count("module-missing") == 2, "vendor-module-missing is another one"


def test_long_evidence_is_cut(made: Callable[..., Any], clean: Facts) -> None:
    clean["kernel"]["packages"]["held"] = [f"linux-image-{number}" for number in range(20)]
    said = report.render(made({"n1": host(clean)}))
    assert said.count("held: linux-image-") == 6
    assert "and 14 more, in the JSON" in said


def test_a_finding_without_a_cure_spoils_no_cure(
    made: Callable[..., Any], incident: Facts, cured: Facts
) -> None:
    """What nobody planned for can be there after a cure: it is shown, and the node is done."""
    kept = made({"n1": host(incident)}, "remediate")
    cured["kdump"]["dumps"] = [{"path": "/var/crash/1/dump.1", "bytes": 1, "time": 0.0, "complete": True}]
    cured["kernel"]["packages"]["held"] = ["linux-image-cloud-amd64"]
    found = made({"n1": done(cured)}, "remediate", kept)
    assert found["hosts"]["n1"]["outcome"]["status"] == "done"
    assert set(found["hosts"]["n1"]["difference"]["new"]) == {
        "dumps-waiting:target",
        "packages-held:packages",
    }
    assert report.failures(found, "never") == []
