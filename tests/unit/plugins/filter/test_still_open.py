# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops the roll right after a node was cured: a lost node, or a fault that is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.filter.still_open import still_open
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump, kernel, links

HOSTS = Path(__file__).resolve().parents[2] / "fixtures" / "hosts"
PLANNED = ["crashkernel-too-small:crashkernel", "capture-may-hang:capture"]


def looked_at(name: str) -> dict[str, Any]:
    host = Host(str(HOSTS / name))
    facts = {
        "fleetops_kernel": kernel.read(host),
        "fleetops_kdump": kdump.read(host),
        "fleetops_links": links.read(host),
    }
    look = {"ansible_facts": facts, "changed": False}
    return {"inventory_hostname": "n1", "ansible_facts": facts, "assess_look": look}


def test_a_cured_node_lets_the_next_one_begin() -> None:
    assert still_open(looked_at("debian-6.1-clean"), PLANNED) == []


def test_a_fault_that_is_left_is_named_and_others_do_not_count() -> None:
    left = still_open(looked_at("debian-6.1-incident"), PLANNED[:1])
    assert len(left) == 1
    assert "crashkernel-too-small:crashkernel is left: 80 MiB are reserved" in left[0]


@pytest.mark.parametrize(
    "look", [{"unreachable": True, "msg": "no route"}, {"failed": True, "msg": "no python"}, {}]
)
def test_a_node_that_was_lost_after_its_cure_is_not_done(look: dict[str, Any]) -> None:
    (sentence,) = still_open({"inventory_hostname": "n1", "assess_look": look}, PLANNED)
    assert "n1 could not be looked at after its cure" in sentence
