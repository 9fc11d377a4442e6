# SPDX-License-Identifier: GPL-3.0-or-later
"""The wait for gates, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates import waiting

RELEASE = "6.1.0-56-amd64"
OPTIONS = {"kernel_running": {"want": RELEASE, "boot_id": "one"}}


def facts(release: str = RELEASE, boot_id: str = "two", loaded: bool = True) -> dict[str, Any]:
    reservation = {"bytes": 1 << 28, "requested": ["256M"], "low_bytes": None, "high_bytes": None}
    capture = {"loaded": loaded, "cmdline": None, "panic": None}
    return {
        "fleetops_kernel": {"release": release, "boot_id": boot_id, "unknown": {}},
        "fleetops_kdump": {
            "implementation": "kdump-tools",
            "reservation": reservation,
            "capture": capture,
            "service": None,
            "unknown": {},
        },
    }


def run(wait: waiting.Waiting, look: Callable[[float], dict[str, Any] | str]) -> tuple[str, float, list[str]]:
    """The wait as the action runs it: (why it ended, when, what was said). A look that is a text is a dark node."""
    now = 0.0
    said: list[str] = []
    while True:
        found = look(now)
        if isinstance(found, str):
            wait.dark(found, now)
        else:
            wait.answered(found, now)
        end = wait.over(now)
        if end:
            return end, now, said
        said += wait.says(now)
        now += wait.pause(now)
        assert now < 100_000


def test_all_open_at_the_first_look() -> None:
    wait = waiting.Waiting(["kernel_running"], OPTIONS)
    assert run(wait, lambda _now: facts()) == ("open", 0.0, [])
    assert wait.outcome(0)[0]["passed"] is True


def test_a_gate_that_opens_later_is_waited_for_and_its_seconds_are_kept() -> None:
    wait = waiting.Waiting(["kernel_running", "kdump_armed"], OPTIONS, stable_for=0)
    end, now, said = run(wait, lambda now: facts(loaded=now >= 25))
    assert (end, now) == ("open", 30.0)
    assert [one["seconds"] for one in wait.outcome(now)] == [0.0, 30.0]
    assert len(said) == 1
    assert said[0].startswith("kdump_armed, 0 of 600 s: ")


def test_what_is_closed_is_told_at_once_and_every_minute() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, timeout=130)
    end, now, said = run(wait, lambda _now: facts(loaded=False))
    assert (end, now) == ("time", 130.0)
    assert [line.partition(" of ")[0] for line in said] == [
        "kdump_armed, 0",
        "kdump_armed, 60",
        "kdump_armed, 120",
    ]


def test_only_what_closed_gates_need_is_read_again() -> None:
    wait = waiting.Waiting(["kernel_running", "kdump_armed"], OPTIONS, stable_for=0)
    assert wait.reads() == ["kdump", "kernel"]
    wait.answered(facts(loaded=False), 0)
    assert wait.reads() == ["boot_id", "kdump"]


def test_what_does_not_look_at_the_node_reads_nothing_of_it() -> None:
    wait = waiting.Waiting(["command"], {"command": {"argv": ["true"], "where": "controller"}})
    assert wait.reads() == ["command"]


def boot_only(boot_id: str, loaded: bool) -> dict[str, Any]:
    """A look for the capture kernel alone, as node_facts answers it."""
    return {"fleetops_kdump": facts(loaded=loaded)["fleetops_kdump"], "fleetops_boot_id": boot_id}


@pytest.mark.parametrize("third", [facts(boot_id="three"), boot_only("three", loaded=True)])
def test_a_node_that_boots_again_while_one_is_waited_for_has_to_open_them_all_again(
    third: dict[str, Any],
) -> None:
    """It came up with the new kernel, and a guard, or a panic, brought the old one back before kdump was armed."""
    wait = waiting.Waiting(["kernel_running", "kdump_armed"], OPTIONS, stable_for=0)
    wait.answered(facts(loaded=False), 0)
    wait.dark("unreachable", 5)
    wait.answered(third, 10)
    assert [one.name for one in wait.closed] == ["kernel_running"]
    assert wait.over(10) == ""
    assert "kernel_running is closed after 10 s: cannot tell: the node has booted again" in waiting.failures(
        wait.outcome(10)
    )
    wait.answered(facts(release="6.1.0-47-amd64", boot_id="three"), 20)
    assert wait.over(20) == "final"
    assert "kernel_running is closed after 20 s: runs 6.1.0-47-amd64" in waiting.failures(wait.outcome(20))


def test_what_was_stable_in_another_boot_does_not_count() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, stable_for=15)
    wait.answered(boot_only("two", loaded=True), 0)
    wait.answered(boot_only("three", loaded=True), 14)
    wait.answered(boot_only("three", loaded=True), 28)
    assert wait.over(28) == ""
    wait.answered(boot_only("three", loaded=True), 29)
    assert wait.over(29) == "open"


@pytest.mark.parametrize("unread", [None, {"boot_id": None}])
def test_a_boot_that_is_unknown_reopens_nothing(unread: Any) -> None:
    wait = waiting.Waiting(["kernel_running", "kdump_armed"], OPTIONS, stable_for=0)
    wait.answered(facts(loaded=False), 0)
    wait.answered({"fleetops_kernel": unread, "fleetops_boot_id": None}, 10)
    assert [one.name for one in wait.closed] == ["kdump_armed"]
    wait.answered(boot_only("three", loaded=True), 20)
    assert [one.name for one in wait.closed] == ["kernel_running"]


def test_a_gate_that_passes_has_to_go_on_passing() -> None:
    """Away from 12 to 28: the 15 seconds begin anew with the first look behind that."""
    wait = waiting.Waiting(["kdump_armed"], {}, stable_for=15)
    end, now, _said = run(wait, lambda now: facts(loaded=not 12 <= now < 28))
    assert end == "open"
    assert 28 + 15 <= now <= 28 + 10 + 15


def test_a_dark_node_breaks_what_was_stable() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, stable_for=15)
    end, now, _said = run(wait, lambda now: "unreachable: no route" if 12 <= now < 28 else facts())
    assert end == "open"
    assert now >= 43


def test_stable_at_the_very_end_of_the_time_still_counts() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, timeout=30, stable_for=15)
    assert run(wait, lambda now: facts(loaded=now >= 30))[:2] == ("open", 45.0)


def test_one_that_passed_too_briefly_did_not_pass() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, stable_for=15)
    wait.answered(facts(), 0)
    (gate,) = wait.outcome(5)
    assert gate["passed"] is None
    assert "passes for 5 of 15 s" in gate["reason"]


def test_another_kernel_ends_the_wait_at_once() -> None:
    wait = waiting.Waiting(["kernel_running", "kdump_armed"], OPTIONS)
    end, now, _said = run(wait, lambda _now: facts(release="6.1.0-47-amd64", loaded=False))
    assert (end, now) == ("final", 0.0)
    words = waiting.failures(wait.outcome(now))
    assert "kernel_running is closed after 0 s: runs 6.1.0-47-amd64, not 6.1.0-56-amd64" in words
    assert "kdump_armed is closed" in words


def test_the_boot_of_before_is_waited_out() -> None:
    """Its kernel is another as well, and says nothing of the boot that is to come."""
    wait = waiting.Waiting(["kernel_running"], OPTIONS)
    old = facts(release="6.1.0-47-amd64", boot_id="one")
    assert run(wait, lambda now: facts() if now > 50 else old)[:2] == ("open", 60.0)


def test_a_node_that_does_not_answer_is_waited_for_until_the_time_is_over() -> None:
    wait = waiting.Waiting(["kernel_running", "kdump_armed"], OPTIONS, timeout=100)
    end, now, said = run(wait, lambda _now: "unreachable: no route to host")
    assert (end, now, wait.answers) == ("time", 100.0, False)
    assert (
        said[0] == "kernel_running, kdump_armed, 0 of 100 s: cannot tell: unreachable: no route to host"
    )  # once for both
    words = waiting.failures(wait.outcome(now))
    assert words == (
        "kernel_running and kdump_armed are closed after 100 s: cannot tell: unreachable: no route to host"
    )


def test_lost_after_counts_from_the_last_answer() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, lost_after=35)
    end, now, _said = run(wait, lambda now: facts(loaded=False) if now < 50 else "unreachable")
    assert end == "lost"
    assert 85 <= now <= 86


def test_a_look_that_fails_on_a_node_that_answers_is_no_lost_node() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, timeout=100, lost_after=5)
    now = 0.0
    while not wait.over(now):
        wait.dark("the look failed: no Python", now, lost=False)
        now += wait.pause(now)
    assert (wait.answers, wait.over(now)) == (True, "time")


def test_a_plain_no_of_a_link_is_waited_on_for_a_minute_only_but_a_dark_node_for_all_of_the_time() -> None:
    link = {
        "name": "kube-ipvs0",
        "index": 7,
        "kind": "dummy",
        "up": False,
        "master": None,
        "maker": "kube-proxy",
        "addresses": [],
        "users": [],
        "users_unknown": [],
    }
    look = {"fleetops_links": {"links": [link], "unknown": {}}}
    wait = waiting.Waiting(["no_stale_links"], {})
    assert run(wait, lambda now: "unreachable" if now < 100 else look)[:2] == ("time", 160.0)


def test_a_gate_has_its_own_times() -> None:
    options = {"kdump_armed": {"timeout": 20, "stable_for": 0}}
    wait = waiting.Waiting(["kdump_armed"], options, timeout=600, stable_for=50)
    assert run(wait, lambda _now: facts(loaded=False))[:2] == ("time", 20.0)
    assert options == {"kdump_armed": {"timeout": 20, "stable_for": 0}}


def test_a_time_of_0_is_one_look() -> None:
    wait = waiting.Waiting(["kdump_armed"], {}, timeout=0)
    assert run(wait, lambda _now: facts(loaded=False))[:2] == ("time", 0.0)


def test_a_gate_that_asks_elsewhere_is_judged_while_the_node_is_dark() -> None:
    wait = waiting.Waiting(["command", "kdump_armed"], {"command": {"argv": ["true"], "where": "controller"}})
    wait.dark("unreachable", 0, {"command": {"command": {"rc": 0}}})
    assert [one.name for one in wait.closed] == ["kdump_armed"]


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (["kdump"], {}, "There is no gate 'kdump'"),
        (["kdump_armed"], {"kdump": {}}, "There is no gate 'kdump'"),
        (["kdump_armed", "kdump_armed"], {}, "kdump_armed is named twice"),
        (["kdump_armed"], {"kdump_armed": {"wait": 1}}, "has no option 'wait': expected no option at all"),
        (
            ["kdump_armed"],
            {"kdump_armed": {"timeout": "soon"}},
            "timeout 'soon': expected seconds, 0 or more",
        ),
        (["kdump_armed"], {"kdump_armed": {"stable_for": -1}}, "stable_for -1"),
        (["kdump_armed"], {"kdump_armed": [1]}, r"are \[1\]: expected a dictionary"),
        (["kernel_running"], {}, "want is empty"),
        (["kernel_boots_next"], {}, "lacks its option 'want'"),
        (["no_new_oops"], {"no_new_oops": {"allow": ["wran"]}}, "allow has 'wran'"),
        (["units_running"], {"units_running": {"ignore": ["("]}}, r"ignore has '\('"),
        (["command"], {"command": {"argv": "ls"}}, "argv is 'ls'"),
        (["command"], {"command": {"argv": ["ls"], "where": "there"}}, "where is 'there'"),
        (["command"], {"command": {"argv": ["ls"], "seconds": 0}}, "seconds is 0"),
        (["prometheus_quiet"], {"prometheus_quiet": {"url": "prometheus"}}, "url is 'prometheus'"),
        (
            ["prometheus_quiet"],
            {"prometheus_quiet": {"url": "http://p", "labels": {"a-b": "c"}}},
            "labels has 'a-b'",
        ),
    ],
)
def test_what_is_wrong_is_said_before_the_first_look(
    names: list[str], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(FleetopsError, match=says):
        waiting.Waiting(names, options)
