# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.modules import kernel_facts, node_facts

CLEAN = Path(__file__).parents[2] / "fixtures/hosts/debian-6.1-clean"


def test_it_is_the_kernel_part_of_node_facts() -> None:
    one = kernel_facts.run(Host(str(CLEAN)), {"gather_subset": ["all"]}).returned["ansible_facts"]
    whole = node_facts.run(Host(str(CLEAN)), {"gather_subset": ["all"]}).returned["ansible_facts"]
    assert list(one) == ["fleetops_kernel"]
    assert one["fleetops_kernel"] == whole["fleetops_kernel"]
    assert one["fleetops_kernel"]["release"] == "6.1.0-47-cloud-amd64"


@pytest.mark.parametrize(
    ("subset", "parts"),
    [
        (["all"], {*kernel.PARTS}),
        (["!boot"], {*kernel.PARTS} - {"boot"}),
        (["!all"], {"running"}),
        (["min"], {"running"}),
        (["boot"], {"running", "boot"}),
        (["!all", "!min", "boot"], {"boot"}),
    ],
)
def test_a_part_that_is_not_asked_for_is_null_and_says_so(subset: list[str], parts: set[str]) -> None:
    result = kernel_facts.run(Host(str(CLEAN)), {"gather_subset": subset})
    facts: dict[str, Any] = result.returned["ansible_facts"]["fleetops_kernel"]
    for part, names in kernel.PARTS.items():
        for name in names:
            not_asked = facts["unknown"].get(name) == kernel.NOT_ASKED
            assert not_asked is (part not in parts), name
            assert not (not_asked and facts[name])


def test_a_part_that_is_not_known_is_an_error() -> None:
    with pytest.raises(
        FleetopsError, match="gather_subset: 'hardware' is unknown, expected all, min, running, panic"
    ):
        kernel_facts.run(Host(str(CLEAN)), {"gather_subset": ["hardware"]})
