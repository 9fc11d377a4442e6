# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site can mean by its variables, and what it cannot."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils import sitevars
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import settings

GOOD: dict[str, tuple[Any, ...]] = {
    "crashkernel_size": ("auto", "512M", "2G-64G:256M,64G-:512M"),
    "crashkernel_capture_panic": (10, "10", -1),
    "kernel_upgrade_release": ("6.1.0-56-amd64",),
    "kernel_upgrade_package": ("linux-image-6.1.0-56-amd64",),
    "assess_minimum_kernels": (["6.1.0-56-amd64"], "6.1.0-56-amd64,5.15.0-153-generic"),
    "assess_allowed_flavours": (["generic"], "generic,plain"),
    "fleetops_kernel_policy": ("newest-good", "nearest-good"),
}
BAD: dict[str, tuple[Any, ...]] = {
    "crashkernel_size": ("lots", "512", 512, True, False, 0, ["512M"], {"a": 1}),
    "crashkernel_capture_panic": ("x", 0, "0", 1.5, True, False, [10]),
    "kernel_upgrade_release": (5.15, 0, True, ["6.1.0-56-amd64"]),
    "kernel_upgrade_package": (5.15, ["linux-image-6.1.0-56-amd64"]),
    "assess_minimum_kernels": (5, 0, True, {"a": 1}, ["5.15"], [5.15], [""]),
    "assess_allowed_flavours": (5, 0, True, ["Generic Kernel"], [""]),
    "fleetops_kernel_policy": ("newest", ["newest-good"], True, False, 0, []),
}


def pairs(table: dict[str, tuple[Any, ...]]) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in table.items() for value in values]


def test_all_are_tried() -> None:
    assert set(GOOD) == set(BAD) == set(sitevars.CHECKS)


@pytest.mark.parametrize(
    ("name", "value"), [*pairs(GOOD), *((name, empty) for name in GOOD for empty in (None, ""))]
)
def test_what_can_be_meant(name: str, value: Any) -> None:
    assert sitevars.wrong({name: value}) == {}
    assert sitevars.say({}) is None


@pytest.mark.parametrize(("name", "value"), pairs(BAD))
def test_what_cannot_be_meant_is_named_with_its_value_and_what_was_expected(name: str, value: Any) -> None:
    found = sitevars.wrong(
        {**{other: values[0] for other, values in GOOD.items()}, "kernel_upgrade_package": "", name: value}
    )
    found = {key: words for key, words in found.items() if key == name}
    (words,) = found.values()
    assert name in words
    assert "expected" in words
    shown = value[0] if isinstance(value, list) and name.startswith("assess") else value
    assert f"'{shown}'" in words


def test_each_is_told() -> None:
    found = sitevars.wrong({"crashkernel_size": "lots", "fleetops_kernel_policy": "newest"})
    said = str(sitevars.say(found))
    assert said.index("crashkernel_size") < said.index("fleetops_kernel_policy")


def test_release_and_package_are_not_both_meant() -> None:
    both = {
        "kernel_upgrade_release": "6.1.0-56-amd64",
        "kernel_upgrade_package": "linux-image-6.1.0-56-amd64",
    }
    found = sitevars.wrong(both)
    assert set(found) == set(both)
    assert str(sitevars.say(found)).count("expected one of the two") == 1


def test_the_readme_has_a_table_of_all_of_them() -> None:
    readme = (Path(__file__).resolve().parents[4] / "README.md").read_text()
    section = readme.partition("## What a site asks for")[2]
    table = re.findall(r"\| variable \|.*?\n\n", section, re.DOTALL)[0]
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row))
    assert set(named) == {*sitevars.CHECKS, "assess_fail_on", "fleetops_advisories_dirs"}


def test_the_readme_has_a_table_of_what_says_how_a_rollout_goes() -> None:
    readme = (Path(__file__).resolve().parents[4] / "README.md").read_text()
    section = readme.partition("## Through a fleet")[2]
    table = re.findall(r"\| variable \|.*?\n\n", section, re.DOTALL)[0]
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row))
    assert set(named) == {*settings.DEFAULTS, "fleetops_zone", "node_maintenance_gates"}
