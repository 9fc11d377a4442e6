# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules have in common: gather_subset, against the function that ansible.builtin.setup chooses by, and root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible.module_utils.facts.collector import get_collector_names
from ansible_collections.fleetops.kernel.plugins.module_utils import _module
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, chosen, machine_of

PARTS, MINIMUM = ("running", "packages", "boot", "modules"), ("running",)


def of_setup(subset: list[str]) -> list[str]:
    names = get_collector_names(frozenset(PARTS), frozenset(MINIMUM), subset)
    return [part for part in PARTS if part in names]


@given(st.lists(st.sampled_from([f"{mark}{name}" for mark in ("", "!") for name in (*PARTS, "all", "min")])))
def test_a_minimum_is_handled_as_setup_handles_it(subset: list[str]) -> None:
    named = {name for name in subset if not name.startswith("!")}
    # Where the two differ: what is both named and left out, and nothing but exclusions of single parts.
    assume(not any(f"!{name}" in subset for name in named.intersection(PARTS)))
    assume(named or not subset or "!all" in subset)
    wanted = of_setup(subset)
    if wanted:
        assert chosen(subset, PARTS, MINIMUM) == wanted
    else:
        with pytest.raises(FleetopsError, match="nothing is left to read"):
            chosen(subset, PARTS, MINIMUM)


@pytest.mark.parametrize(
    ("subset", "parts"),
    [
        (["!boot"], ["running", "packages", "modules"]),
        (["!min"], ["packages", "boot", "modules"]),
        (["boot", "!boot"], ["running"]),
    ],
)
def test_what_differs_from_setup(subset: list[str], parts: list[str]) -> None:
    assert chosen(subset, PARTS, MINIMUM) == parts
    assert of_setup(subset) != parts


def test_min_is_no_word_where_there_is_no_minimum() -> None:
    with pytest.raises(FleetopsError, match="'min' is unknown, expected all, running"):
        chosen(["min"], PARTS)
    with pytest.raises(FleetopsError, match="'!x' is unknown, expected all, min, running"):
        chosen(["!x"], PARTS, MINIMUM)


def test_without_a_root_the_running_machine_is_read() -> None:
    assert machine_of(None).live


@pytest.mark.parametrize("root", ["", " ", "/", "//", "/usr/..", "link"])
def test_a_root_that_is_none_is_refused(root: str, tmp_path: Path) -> None:
    """A variable that came out empty would else be answered by the controller."""
    os.symlink("/", tmp_path / "link")
    with pytest.raises(FleetopsError, match=r"root is (empty|'.+', which is the running machine itself)"):
        machine_of(str(tmp_path / root) if root == "link" else root)


@pytest.mark.parametrize(("check_mode", "order"), [(True, ["run"]), (False, ["prepare", "run", "apply"])])
def test_check_mode_only_reads(check_mode: bool, order: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []
    left: list[dict[str, Any]] = []

    class Fake:
        def __init__(self, **_options: Any) -> None:
            self.params: dict[str, Any] = {}
            self.check_mode = check_mode

        def exit_json(self, **returned: Any) -> None:
            left.append(returned)

    def run(_host: Any, _params: Any) -> Result:
        did.append("run")
        return Result(plan=["something"])

    def apply(_host: Any, _params: Any, _result: Result) -> None:
        did.append("apply")

    monkeypatch.setattr(_module, "AnsibleModule", Fake)
    _module.execute({}, run, apply, prepare=lambda _host, _params: did.append("prepare"))
    assert did == order
    assert left == [{"changed": True}]
