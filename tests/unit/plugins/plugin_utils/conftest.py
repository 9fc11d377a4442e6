# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts as the readers return them, from captured machines, and the site's advisory of the incident.

The collection is imported within the fixtures: this file can be read before the tree of the root conftest stands.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

HOSTS = Path(__file__).resolve().parents[2] / "fixtures" / "hosts"
SITE = """\
---
id: site-hangs-at-night
title: Nodes with 6.1.0-47 hang at night
severity: critical
symptom: The node stops answering.
affects:
  - {distro: debian, codename: bookworm, source: linux, versions: ">= 6.1.170-3, < 6.1.192-2"}
good:
  - release: 6.1.0-56-cloud-amd64
  - release: 6.1.0-56-amd64
confidence: seen by the site's own operators
"""

# It speaks of the machines here, and of no kernel that they run.
QUIET = """\
---
id: quiet
title: t
severity: low
symptom: s
affects:
  - {distro: [debian, ubuntu], flavours: [none-such], versions: "< 1"}
  - {distro: [rhel, rocky, openeuler], flavours: [none-such], versions: "< 1"}
confidence: c
"""

Facts = dict[str, Any]


@functools.cache
def _read(name: str) -> Facts:
    from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
    from ansible_collections.fleetops.kernel.plugins.module_utils._readers import actors, kdump, kernel, links

    host = Host(str(HOSTS / name))
    return {
        "kernel": dict(kernel.read(host)),
        "kdump": dict(kdump.read(host)),
        "links": dict(links.read(host)),
        "actors": dict(actors.read(host)),
    }


@pytest.fixture
def facts_of() -> Callable[[str], Facts]:
    """The facts of a captured machine; a copy, to be changed at will."""
    return lambda name: copy.deepcopy(_read(name))


@pytest.fixture
def clean(facts_of: Callable[[str], Facts]) -> Facts:
    """A machine without a fault, as long as no advisory names its kernel."""
    return facts_of("debian-6.1-clean")


@pytest.fixture
def incident(facts_of: Callable[[str], Facts]) -> Facts:
    """The machine of the incident."""
    return facts_of("debian-6.1-incident")


@pytest.fixture
def judged() -> Callable[..., dict[str, Any]]:
    """All findings about facts, by ``id:subject``; *variables* are the host's."""
    from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, findings, plan

    quiet = [advisories.parse(QUIET, "quiet.yml")]

    def judge(facts: Facts, **variables: Any) -> dict[str, Any]:
        found: Any = findings.judge(facts, quiet, variables)  # type: ignore[arg-type]
        named = {plan.key_of(finding): finding for finding in found}
        assert len(named) == len(found), "a key stands for one finding"
        for finding in found:
            assert finding["reason"]
            assert "\n" not in finding["reason"]
            assert all(item["source"] and item["text"] for item in finding["evidence"])
            assert (
                finding["status"] == "affected" or finding["remedy"] is None or finding["severity"] == "low"
            )
        return named

    return judge


@pytest.fixture
def opened(judged: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The findings that are not ok, by ``id:subject``."""
    return lambda facts, **variables: {
        key: finding for key, finding in judged(facts, **variables).items() if finding["status"] != "ok"
    }


@pytest.fixture
def add_kernel() -> Callable[..., Facts]:
    """Install another kernel, whose package is made from the source of the running one's."""

    def add(facts: Facts, release: str, version: str | None, boots_next: bool = False, **more: Any) -> Facts:
        package = {**facts["kernel"]["installed"][0]["package"], "name": f"linux-image-{release}"}
        one = {
            "release": release,
            "package": {**package, "version": version} if version else None,
            "bootable": True,
            "missing": [],
            "lacks": [],
            "prebuilt": [],
            "bytes": 1 << 25,
            "initrd_bytes": 1 << 24,
            **more,
        }
        facts["kernel"]["installed"].append(one)
        if boots_next:
            facts["kernel"]["next_boot"].update(release=release, because="default in grub.cfg: 0")
        return one

    return add


@pytest.fixture(scope="session")
def ours() -> list[Advisory]:
    """The catalogue of the collection."""
    from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories

    return advisories.load()


@pytest.fixture(scope="session")
def site() -> list[Advisory]:
    """The site's own advisory alone, which names the kernel of the captured machines."""
    from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories

    return [advisories.parse(SITE, "site-hangs-at-night.yml")]
