# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a kernel change that failed: where does the node stand, and what brings it back? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

# The outcomes of a kernel change that did not end well.
REFUSED, UNTRIED, FELL_BACK, KEPT, STRANDED = "refused", "untried", "fell_back", "kept", "stranded"


class Fallback(TypedDict):
    """``reboot``: one ordered reboot brings the old kernel back. ``tried``: take back what was for one boot only.

    ``clear_first``: take it back before that reboot, which would come to the new kernel again: the boot loader did not
    take the entry for one boot back. Where it is false, the order is of no matter.
    ``hold``: packages that must not come back by themselves. ``old``: the release to come back to, '' when unknown.
    ``sentence``: the outcome, for a person.
    """

    outcome: str  # refused | untried | fell_back | kept | stranded
    reboot: bool
    tried: bool
    clear_first: bool
    hold: list[str]
    old: str
    sentence: str


def kernel_fallback(facts: Any, before: Any, want: Any, chosen: Any = None) -> Fallback:
    """What is left of a failed change: *facts* as they are now, *before* as they were, *want* from `kernel_target`.

    *chosen*: the results of the tasks that choose the target to boot, an empty one for a task that was not reached.
    None: it may have been chosen. A boot from before that choice, by a power cut or by somebody else, is no trial.
    A trial that an earlier run had begun, and that ran *before* already, was chosen by that run.

    Raises FleetopsError when the running kernel, or the boot that it runs in, is unknown.
    """
    was, target = _kernel(before), want if isinstance(want, Mapping) else {}
    if not was or not target:
        return _answer(REFUSED, "refused before anything was changed")
    now = _kernel(facts)
    for fact in ("release", "boot_id"):
        if not now.get(fact) or not was.get(fact):
            why = (now if not now.get(fact) else was).get("unknown", {}).get(fact, "it was not read")
            raise FleetopsError(f"It cannot be told whether the node fell back: {fact} is unknown ({why})")
    earlier = _on_trial(was, target.get("release"))
    old = _before_trial(now, was) if earlier else str(was["release"])
    hold = [target["package"]] if target.get("release") != old and target.get("package") else []
    may_be_chosen = earlier or _may_be_chosen(chosen)
    if now["boot_id"] == was["boot_id"] and earlier:
        found = _new_runs(now, old, target.get("release"), hold)
    else:
        found = _compare(now, was, old, target.get("release"), hold, may_be_chosen)
    return {**found, "old": old}


def _on_trial(was: Mapping[str, Any], new: Any) -> bool:
    """Did the target run on trial already? A run that was cut off had begun it, and its guard is armed."""
    return bool(new) and (was.get("trial") or {}).get("release") == was["release"] == new


def _before_trial(now: Mapping[str, Any], was: Mapping[str, Any]) -> str:
    """The release that ran before such a trial: the one that it pinned, else the default; '' for an unknown one."""
    for kernel in (now, was):
        entry = kernel.get("next_boot") or {}
        for one in (kernel.get("pinned") or {}, {} if entry.get("once") else entry):
            if one.get("release") not in (None, was["release"]):
                return str(one["release"])
    return ""


def _compare(
    now: Mapping[str, Any], was: Mapping[str, Any], old: str, new: Any, hold: list[str], may_be_chosen: bool
) -> Fallback:
    """By the boot that the node runs in, and the kernel that runs there."""
    entry = now.get("next_boot") or {}
    if now["boot_id"] == was["boot_id"]:
        return _answer(
            UNTRIED, f"untried: {old} still runs, and {new} was not booted", tried=_ours(now, was, new)
        )
    if now["release"] == old:
        if new == old:
            return _answer(STRANDED, f"stranded: {old} runs, and no other version of it is on the disk")
        if entry.get("once") is True and entry.get("release") == new and not _on_trial(was, new):
            words = (
                f"untried: {old} was booted again, and {new}, which is still set for one boot only, was not"
            )
            return _answer(UNTRIED, words, tried=True)
        if not may_be_chosen:
            words = f"untried: {old} was booted again before {new} was chosen to boot"
            return _answer(UNTRIED, words, tried=_ours(now, was, new))
        words = f"fell_back: {new} was tried, and {old} runs again without anybody's help"
        return _answer(FELL_BACK, words, tried=True, hold=hold)
    if now["release"] != new:
        if not may_be_chosen:
            words = (
                f"stranded: {now['release']} runs, and not {old}, as before; {new} was not chosen to boot yet"
            )
            return _answer(STRANDED, words, tried=_ours(now, was, new))
        words = f"stranded: {now['release']} runs, and neither {new}, which was tried, nor {old}, which ran before"
        return _answer(STRANDED, words, tried=True, hold=hold)
    return _new_runs(now, old, new, hold)


def _new_runs(now: Mapping[str, Any], old: str, new: Any, hold: list[str]) -> Fallback:
    """The new kernel still runs: does a reboot bring the old one back?"""
    entry = now.get("next_boot") or {}
    before = old or "what ran before"
    if entry.get("release") == old and not entry.get("once"):
        words = f"fell_back: {new} was tried and did not hold, and one reboot brought {old} back"
        return _answer(FELL_BACK, words, reboot=True, tried=True, hold=hold)
    if entry.get("release") == new and entry.get("once"):
        if (now.get("pinned") or {}).get("release") == old:
            words = (
                f"fell_back: {new} was tried and did not hold, its entry for one boot only stayed and was taken back, "
                f"and one reboot brought {old} back"
            )
            return _answer(FELL_BACK, words, reboot=True, tried=True, clear_first=True, hold=hold)
        words = (
            f"stranded: {new} runs and did not hold, it is still set for one boot only, and {before} is not "
            "pinned as the default: what a reboot would come to without that entry is unknown"
        )
        return _answer(STRANDED, words)
    if entry.get("release") == new:
        # Its guard would only boot it once more.
        armed = (now.get("trial") or {}).get("release") == new
        words = f"kept: {new} runs and is the default; the entry point rollback goes back to {before}"
        return _answer(KEPT, words, tried=armed)
    default = (
        entry.get("release") or f"unknown ({now.get('unknown', {}).get('next_boot', 'it was not read')})"
    )
    words = (
        f"stranded: {new} runs and did not hold, and a reboot does not bring {before} back: "
        f"the default is {default}"
    )
    return _answer(STRANDED, words)


def _may_be_chosen(chosen: Any) -> bool:
    """A task that failed, or lost its node, may have got that far; one that was skipped, or not reached, has not."""
    return chosen is None or any(one and not one.get("skipped") for one in chosen)


def _ours(now: Mapping[str, Any], was: Mapping[str, Any], new: Any) -> bool:
    """Is something pending for one boot only that is the change's own?

    What is for the target is, be it from a run before that was killed. Of the rest, what was pending before is somebody
    else's, and stays.
    """
    pairs = zip(_pending(now), _pending(was), strict=True)
    return any(one is not None and (one.get("release") == new or other is None) for one, other in pairs)


def _pending(kernel: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """(the entry for one boot, the trial), each None where there is none"""
    entry = kernel.get("next_boot") or {}
    return entry if entry.get("once") is True else None, kernel.get("trial") or None


def _answer(
    outcome: str,
    sentence: str,
    reboot: bool = False,
    tried: bool = False,
    clear_first: bool = False,
    hold: list[str] | None = None,
) -> Fallback:
    return {
        "outcome": outcome,
        "reboot": reboot,
        "tried": tried,
        "clear_first": clear_first,
        "hold": hold or [],
        "old": "",
        "sentence": sentence,
    }


def _kernel(facts: Any) -> Mapping[str, Any]:
    found = facts.get("fleetops_kernel") if isinstance(facts, Mapping) else None
    return found if isinstance(found, Mapping) else {}
