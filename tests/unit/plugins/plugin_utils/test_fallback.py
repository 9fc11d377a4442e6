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
