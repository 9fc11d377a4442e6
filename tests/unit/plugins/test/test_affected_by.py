# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible.errors import AnsibleFilterError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.test import affected_by as plugin

CLEAN = Path(__file__).resolve().parents[2] / "fixtures" / "hosts" / "debian-6.1-clean"
SITE = """\
id: site
title: t
severity: high
symptom: s
confidence: c
affects: [{distro: debian, source: linux, versions: "RANGE"}]
conditions: [{module: cifs}]
"""


@pytest.fixture
def facts() -> dict[str, Any]:
    return {"fleetops_kernel": kernel.read(Host(str(CLEAN)))}


def affected(facts: Any, folder: Path, bounds: str = "< 6.1.192-2", name: str = "site") -> Any:
    (folder / "site.yml").write_text(SITE.replace("RANGE", bounds))
    return plugin.TestModule().tests()["affected_by"](facts, name, advisories_dirs=[str(folder)])


@pytest.mark.parametrize(
    ("modules", "bounds", "answer"),
    [
        (["cifs"], "< 6.1.192-2", True),
        (["cifs"], "< 6.1.170-3", False),
        ([], "< 6.1.192-2", False),
        (None, "< 6.1.192-2", True),  # unknown, and counts as met
    ],
)
def test_there_are_two_answers(
    facts: dict[str, Any], tmp_path: Path, modules: list[str] | None, bounds: str, answer: bool
) -> None:
    loaded = None if modules is None else {"loaded": modules, "out_of_tree": []}
    facts["fleetops_kernel"]["modules"] = loaded
    assert affected(facts, tmp_path, bounds) is answer


def test_a_silent_advisory_affects_nothing(facts: dict[str, Any]) -> None:
    assert plugin.TestModule().tests()["affected_by"](facts, "lp2118407") is False


def test_what_cannot_be_told_is_an_error_with_its_reason(facts: dict[str, Any], tmp_path: Path) -> None:
    facts["fleetops_kernel"].update(package=None, modules=None, unknown={"package": "dpkg is locked"})
    with pytest.raises(AnsibleFilterError, match="unknown whether 'site' affects this node: dpkg is locked"):
        affected(facts, tmp_path)


def test_an_advisory_that_does_not_exist_is_an_error(facts: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="There is no advisory 'lp1'"):
        affected(facts, tmp_path, name="lp1")


@pytest.mark.parametrize("nothing", [{}, {"fleetops_kdump": {"a": 1}}])
def test_a_node_that_was_not_read_is_an_error(nothing: Any, tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="was not read"):
        affected(nothing, tmp_path)
