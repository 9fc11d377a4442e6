# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible.errors import AnsibleFilterError
from ansible_collections.fleetops.kernel.plugins.filter.plan import FilterModule

HOSTVARS: Any = {
    "n1": {"assess_look": {"unreachable": True, "msg": "no route"}},
    "n2": {"group_names": []},
}


def test_a_plan_is_made_from_hostvars() -> None:
    make = FilterModule().filters()["plan"]
    assert make(HOSTVARS, ["n1", "n2"]) == {
        "kind": "remediate",
        "goal": "cure what can be cured",
        "steps": [],
        "skipped": {"n1": "no route", "n2": "it was not looked at"},
        "held_back": {},
        "idle": {},
    }


def test_only_the_named_hosts_are_planned() -> None:
    assert list(FilterModule().filters()["plan"](HOSTVARS, ["n2"])["skipped"]) == ["n2"]


def test_a_folder_that_is_not_there_is_a_filter_s_error(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="nowhere' cannot be read"):
        FilterModule().filters()["plan"](HOSTVARS, ["n1"], advisories_dirs=[str(tmp_path / "nowhere")])
