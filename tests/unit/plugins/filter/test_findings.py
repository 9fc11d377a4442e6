# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible.errors import AnsibleFilterError
from ansible_collections.fleetops.kernel.plugins.filter.findings import FilterModule
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump, kernel, links

HOSTS = Path(__file__).resolve().parents[2] / "fixtures" / "hosts"


def found(tree: str, **options: Any) -> dict[str, Any]:
    host = Host(str(HOSTS / tree))
    facts = {
        "fleetops_kernel": kernel.read(host),
        "fleetops_kdump": kdump.read(host),
        "fleetops_links": links.read(host),
    }
    return {one["id"]: one for one in FilterModule().filters()["findings"](facts, **options)}


def test_a_fault_is_found_on_the_machine_that_has_it() -> None:
    assert found("debian-6.1-incident")["crashkernel-too-small"]["status"] == "affected"
    assert found("debian-6.1-clean")["crashkernel-too-small"]["status"] == "ok"


def test_the_choices_of_a_site_are_proposed() -> None:
    cure = found("debian-6.1-incident", choices={"crashkernel_size": "512M"})["crashkernel-too-small"]
    assert cure["remedy"]["vars"]["crashkernel_size"] == "512M"


def test_a_choice_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="'crashkernel' is no choice: expected crashkernel_size"):
        found("debian-6.1-clean", choices={"crashkernel": "512M"})


def test_a_node_that_was_not_read_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="The node was not read"):
        FilterModule().filters()["findings"]({})
