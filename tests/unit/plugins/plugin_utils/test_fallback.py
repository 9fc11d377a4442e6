# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a node stands after a kernel change that failed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import fallback

OLD, NEW = "6.1.0-47-amd64", "6.1.0-56-amd64"
WANT = {"release": NEW, "package": f"linux-image-{NEW}"}


def facts(
    release: str | None, boot: str, default: str = OLD, once: bool = False, **more: Any
) -> dict[str, Any]:
    entry = {"release": default, "once": once}
    return {
        "fleetops_kernel": {"release": release, "boot_id": boot, "next_boot": entry, "unknown": {}, **more}
    }


BEFORE = facts(OLD, "a")


@pytest.mark.parametrize(
    ("now", "outcome", "reboot", "tried", "hold", "words"),
    [
        (facts(OLD, "a"), "untried", False, False, [], f"{OLD} still runs, and {NEW} was not booted"),
        (facts(OLD, "a", NEW, once=True), "untried", False, True, [], "was not booted"),
        (facts(OLD, "a", trial={"release": NEW}), "untried", False, True, [], "was not booted"),
        # A boot that came to the old kernel, with the entry unused: the new one was never booted.
        (facts(OLD, "b", NEW, once=True), "untried", False, True, [], f"{OLD} was booted again, and {NEW}"),
        (facts(OLD, "b"), "fell_back", False, True, [WANT["package"]], f"{OLD} runs again without"),
        (facts(NEW, "b"), "fell_back", True, True, [WANT["package"]], f"one reboot brought {OLD} back"),
        # A default that was changed at once: another reboot is no way back, and is not ordered.
        (facts(NEW, "b", NEW), "kept", False, False, [], f"rollback goes back to {OLD}"),
        # An entry for one boot that the boot loader did not take back is no default.
        (
            facts(NEW, "b", NEW, once=True, pinned={"release": OLD}),
            "fell_back",
            True,
            True,
            [WANT["package"]],
            f"one reboot brought {OLD} back",
        ),
        (
            facts(NEW, "b", NEW, once=True, pinned={"release": NEW}),
            "stranded",
            False,
            False,
            [],
            "not pinned",
        ),
        (facts(NEW, "b", NEW, once=True), "stranded", False, False, [], "not pinned"),
        (facts(NEW, "b", "6.1.0-1-amd64"), "stranded", False, False, [], "the default is 6.1.0-1-amd64"),
        (
            facts(NEW, "b", next_boot=None),
            "stranded",
            False,
            False,
            [],
            "the default is unknown (it was not read)",
        ),
        (
            facts("6.1.0-1-amd64", "b"),
            "stranded",
            False,
            True,
            [WANT["package"]],
            "6.1.0-1-amd64 runs, and neither",
        ),
    ],
)
def test_where_it_stands(
    now: dict[str, Any], outcome: str, reboot: bool, tried: bool, hold: list[str], words: str
) -> None:
    found = fallback.kernel_fallback(now, BEFORE, WANT)
    assert (found["outcome"], found["reboot"], found["tried"], found["hold"]) == (
        outcome,
        reboot,
        tried,
        hold,
    )
    assert found["sentence"].startswith(f"{outcome}: ")
    assert words in found["sentence"]
    assert found["clear_first"] is ("its entry for one boot only stayed" in found["sentence"])


OTHER = "6.1.0-53-amd64"


@pytest.mark.parametrize(
    ("chosen", "outcome"),
    [
        # A power cut before anything was chosen: tasks that were skipped, or not reached.
        ([], "untried"),
        ([{}, {}], "untried"),
        ([{"changed": False, "skipped": True}, {}], "untried"),
        ([{"changed": True}, {}], "fell_back"),
        ([{"skipped": True}, {"changed": False}], "fell_back"),
        # Cut off in the middle: nobody knows how far it got.
        ([{"failed": True, "msg": "x"}, {}], "fell_back"),
        ([{"unreachable": True, "skip_reason": "x"}, {}], "fell_back"),
        (None, "fell_back"),
    ],
)
def test_a_boot_from_before_the_choice_is_no_trial(chosen: Any, outcome: str) -> None:
    found = fallback.kernel_fallback(facts(OLD, "b"), BEFORE, WANT, chosen=chosen)
    untried = outcome == "untried"
    assert (found["outcome"], found["hold"]) == (outcome, [] if untried else [WANT["package"]])
    assert found["reboot"] is False
    words = f"untried: {OLD} was booted again before {NEW} was chosen to boot"
    assert (found["sentence"] == words) is untried
    # A third kernel that booted then says nothing about the new one either.
    found = fallback.kernel_fallback(facts(OTHER, "b"), BEFORE, WANT, chosen=chosen)
    assert (found["outcome"], found["hold"] == []) == ("stranded", untried)
    assert ("which was tried" in found["sentence"]) is not untried


def test_what_an_earlier_run_left_for_one_boot_is_taken_back_although_nothing_was_chosen() -> None:
    left = facts(OLD, "b", trial={"release": NEW})
    assert fallback.kernel_fallback(left, BEFORE, WANT, chosen=[])["tried"] is True
    somebody_elses = facts(OLD, "b", trial={"release": OTHER})
    before = facts(OLD, "a", trial={"release": OTHER})
    assert fallback.kernel_fallback(somebody_elses, before, WANT, chosen=[])["tried"] is False


@pytest.mark.parametrize("chosen", [[], [{"changed": True}]])
def test_what_runs_or_is_still_to_be_booted_is_judged_by_itself(chosen: Any) -> None:
    for now in (facts(OLD, "a"), facts(OLD, "b", NEW, once=True), facts(NEW, "b"), facts(NEW, "b", NEW)):
        found = fallback.kernel_fallback(now, BEFORE, WANT, chosen=chosen)
        assert found == fallback.kernel_fallback(now, BEFORE, WANT)


@pytest.mark.parametrize(
    ("pending", "tried"),
    [
        # A run that was killed before its reboot left these.
        (facts(OLD, "a", NEW, once=True), True),
        (facts(OLD, "a", trial={"release": NEW}), True),
        (facts(OLD, "a", OTHER, once=True), False),
        (facts(OLD, "a", trial={"release": OTHER}), False),
    ],
)
def test_what_was_for_one_boot_only_before_stays_unless_it_is_for_the_target(
    pending: dict[str, Any], tried: bool
) -> None:
    assert fallback.kernel_fallback(pending, pending, WANT)["tried"] is tried


def test_an_entry_for_the_target_in_the_place_of_somebody_elses_is_ours() -> None:
    before = facts(OLD, "a", OTHER, once=True)
    assert fallback.kernel_fallback(facts(OLD, "a", NEW, once=True), before, WANT)["tried"] is True


TRIAL: dict[str, Any] = {"trial": {"release": NEW, "guard_seconds": 600}}


@pytest.mark.parametrize("boot", ["a", "b"])
@pytest.mark.parametrize(
    ("default", "once", "pin", "outcome", "clear_first", "words"),
    [
        (OLD, False, OLD, "fell_back", False, f"one reboot brought {OLD} back"),
        # By kexec, or by an entry for one boot, and the pin is not to be read: what boots next is what ran before.
        (OLD, False, None, "fell_back", False, f"one reboot brought {OLD} back"),
        (NEW, True, OLD, "fell_back", True, "its entry for one boot only stayed"),
        (NEW, True, None, "stranded", False, "what ran before is not pinned as the default"),
        # It was committed, and the run was cut off before it took the guard back.
        (NEW, False, NEW, "kept", False, "goes back to what ran before"),
    ],
)
def test_a_trial_of_an_earlier_run_that_fails_now_comes_back(
    boot: str, default: str, once: bool, pin: str | None, outcome: str, clear_first: bool, words: str
) -> None:
    pinned = {"release": pin} if pin else None
    before = facts(NEW, "a", default, once=once, pinned=pinned, **TRIAL)
    now = facts(NEW, boot, default, once=once, pinned=pinned, **TRIAL)
    found = fallback.kernel_fallback(now, before, WANT, chosen=[])
    back = outcome == "fell_back"
    assert (found["outcome"], found["reboot"], found["clear_first"]) == (outcome, back, clear_first)
    assert found["hold"] == ([WANT["package"]] if back else [])
    assert words in found["sentence"]
    assert found["old"] == (OLD if back else "")
    # The guard stays only where nothing else is left.
    assert found["tried"] is (outcome != "stranded")


def test_a_trial_of_an_earlier_run_of_which_nothing_is_known_is_no_way_back() -> None:
    before = facts(NEW, "a", next_boot=None, **TRIAL)
    found = fallback.kernel_fallback(before, before, WANT, chosen=[])
    assert (found["outcome"], found["reboot"], found["old"]) == ("stranded", False, "")


def test_a_trial_of_an_earlier_run_that_its_guard_ended_meanwhile_fell_back() -> None:
    before = facts(NEW, "a", pinned={"release": OLD}, **TRIAL)
    found = fallback.kernel_fallback(facts(OLD, "b", pinned={"release": OLD}), before, WANT, chosen=[])
    assert (found["outcome"], found["reboot"], found["hold"]) == ("fell_back", False, [WANT["package"]])
    stuck = facts(OLD, "b", NEW, once=True, pinned={"release": OLD})
    found = fallback.kernel_fallback(stuck, before, WANT, chosen=[])
    assert (found["outcome"], found["tried"], found["hold"]) == ("fell_back", True, [WANT["package"]])
    found = fallback.kernel_fallback(facts(OTHER, "b", pinned={"release": OLD}), before, WANT, chosen=[])
    assert (found["outcome"], found["hold"], found["old"]) == ("stranded", [WANT["package"]], OLD)


@pytest.mark.parametrize("trial", [None, {"release": OTHER}])
def test_a_kernel_that_runs_and_is_on_no_trial_of_ours_is_untried(trial: Any) -> None:
    before = facts(NEW, "a", pinned={"release": OLD}, trial=trial)
    found = fallback.kernel_fallback(before, before, WANT)
    assert (found["outcome"], found["reboot"], found["old"]) == ("untried", False, NEW)


def test_an_upload_that_replaced_the_kernel_has_no_way_back() -> None:
    want = {"release": OLD, "package": f"linux-image-{OLD}"}
    found = fallback.kernel_fallback(facts(OLD, "b"), BEFORE, want)
    assert (found["outcome"], found["reboot"], found["hold"]) == ("stranded", False, [])


@pytest.mark.parametrize(("before", "want"), [({}, WANT), (BEFORE, {}), (None, None)])
def test_what_failed_before_anything_was_known_changed_nothing(before: Any, want: Any) -> None:
    found = fallback.kernel_fallback(facts(OLD, "a"), before, want)
    assert (found["outcome"], found["reboot"], found["tried"]) == ("refused", False, False)


@pytest.mark.parametrize(
    "now",
    [
        {},
        facts(None, "b", unknown={"release": "lost"}),
        {"fleetops_kernel": {"release": NEW, "boot_id": None}},
    ],
)
def test_unknown_is_no_answer(now: dict[str, Any]) -> None:
    with pytest.raises(FleetopsError, match="cannot be told whether the node fell back"):
        fallback.kernel_fallback(now, BEFORE, WANT)
