# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible.errors import AnsibleFilterError
from ansible_collections.fleetops.kernel.plugins.filter.first_good_kernel import FilterModule
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel

CLEAN = Path(__file__).resolve().parents[2] / "fixtures" / "hosts" / "debian-6.1-clean"
SITE = """\
id: site
title: t
severity: high
symptom: s
confidence: c
affects: [{distro: debian, source: linux, versions: "< 6.1.999-1"}]
good: [{release: 6.1.0-99-cloud-amd64, version: 6.1.999-1}]
"""


def chosen(**options: Any) -> Any:
    facts = {"fleetops_kernel": kernel.read(Host(str(CLEAN)))}
    return FilterModule().filters()["first_good_kernel"](facts, **options)


def test_a_captured_node_goes_where_the_policy_says() -> None:
    assert chosen()["release"] == "6.1.0-56-cloud-amd64"
    assert chosen(policy="nearest-good")["release"] == "6.1.0-47-cloud-amd64", "no advisory names it"


def test_an_advisory_of_the_site_counts(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(SITE)
    for policy in ("newest-good", "nearest-good"):
        found = chosen(policy=policy, advisories_dirs=[str(tmp_path)])
        assert (found["release"], found["version"]) == ("6.1.0-99-cloud-amd64", "6.1.999-1")


@pytest.mark.parametrize("facts", [{}, None, "x", {"fleetops_kernel": {}}, {"fleetops_kdump": {"a": 1}}])
def test_a_node_that_was_not_read_is_an_error(facts: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="was not read"):
        FilterModule().filters()["first_good_kernel"](facts)


def test_a_policy_that_is_not_known_is_a_filter_s_error() -> None:
    with pytest.raises(AnsibleFilterError, match="expected one of newest-good, nearest-good, got 'best'"):
        chosen(policy="best")
