# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.modules import kernel_facts, node_facts

CLEAN = Path(__file__).parents[2] / "fixtures/hosts/debian-6.1-clean"


def test_it_is_the_kernel_part_of_node_facts() -> None:
    one = kernel_facts.run(Host(str(CLEAN)), {"gather_subset": ["all"]}).returned["ansible_facts"]
    whole = node_facts.run(Host(str(CLEAN)), {"gather_subset": ["all"]}).returned["ansible_facts"]
    assert list(one) == ["fleetops_kernel"]
    assert one["fleetops_kernel"] == whole["fleetops_kernel"]
    assert one["fleetops_kernel"]["release"] == "6.1.0-47-cloud-amd64"
