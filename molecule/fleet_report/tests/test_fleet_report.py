# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the JSON file, and what makes the report fail. The order counts: the node is cured last."""

from __future__ import annotations

from typing import Any

LEVELS = ("critical", "high", "medium", "low")


def open_severities(report: Any) -> set[str]:
    """Of the findings that are not ok."""
    found = [finding for host in report["hosts"].values() for finding in host["findings"]]
    return {finding["severity"] for finding in found if finding["status"] != "ok"}


def test_the_shape_of_the_file(scenario: Any) -> None:
    report = scenario.report()
    assert report["schema"] == 1
    assert (report["report"], report["stage"], report["dry"]) == ("assess", "after", False)
    assert set(report) == {"schema", "report", "stage", "time", "dry", "hosts", "summary"}
    assert set(report["hosts"]) == {"n1"}
    host = report["hosts"]["n1"]
    assert set(host) == {"zone", "facts", "findings", "on_panic", "unreachable", "unreadable"}
    for finding in host["findings"]:
        assert set(finding) == {"id", "subject", "status", "severity", "reason", "evidence", "remedy"}
    assert set(host["on_panic"]) == {"outcome", "because", "evidence"}
    assert report["summary"]["hosts"] == 1


def test_fail_on_follows_the_findings(scenario: Any) -> None:
    severities = open_severities(scenario.report())
    assert severities, "Debian's default leaves something to find"
    assert "critical" not in severities, "else nothing below shows a contrast"
    for level in LEVELS:
        run = scenario.converge(fleet_report_fail_on=level)
        worst = LEVELS[: LEVELS.index(level) + 1]
        assert run.rc == (2 if severities & set(worst) else 0), run.text
        print(f"open: {', '.join(sorted(severities))}; fail_on {level}: exit code {run.rc}")


def test_check_mode_writes_the_file_too(scenario: Any) -> None:
    path = scenario.directory / "report" / "assess.json"
    path.unlink()
    run = scenario.converge("--check")
    assert run.rc == 0, run.text
    assert scenario.report()["dry"] is True


def test_a_node_that_nobody_looked_at_is_no_clean_node(scenario: Any) -> None:
    run = scenario.converge(look=False)
    assert run.rc == 2, run.text
    report = scenario.report()
    assert report["summary"]["unreadable"] == ["n1"]
    assert report["summary"]["nodes"]["clean"] == 0


def test_a_wrong_word_is_an_error(scenario: Any) -> None:
    run = scenario.converge(fleet_report_fail_on="serious")
    assert run.rc == 2, run.text
    assert run.says("serious"), run.text


def test_what_was_cured_is_no_longer_a_reason_to_fail(scenario: Any) -> None:
    """The capture kernel's panic= is the cure of the finding, and needs no reboot."""
    assert scenario.converge(fleet_report_fail_on="high").rc == 2
    scenario.module("fleetops.kernel.kdump_cmdline", "panic=10")
    run = scenario.converge(fleet_report_fail_on="high")
    left = [
        finding
        for finding in scenario.report()["hosts"]["n1"]["findings"]
        if finding["status"] != "ok" and finding["severity"] in ("critical", "high")
    ]
    assert "capture-may-hang" not in {finding["id"] for finding in left}
    assert run.rc == (2 if left else 0), run.text
