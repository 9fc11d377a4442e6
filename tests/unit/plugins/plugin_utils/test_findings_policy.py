# SPDX-License-Identifier: GPL-3.0-or-later
"""What the site asks of the running kernel, and what it cannot have meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings, records

Facts = dict[str, Any]
Judged = Callable[..., dict[str, Any]]
RUNS = "6.1.0-47-cloud-amd64"
MINIMUM, FLAVOUR = "kernel-policy:minimum", "kernel-policy:flavour"
KERNELS, FLAVOURS = "assess_minimum_kernels", "assess_allowed_flavours"


@pytest.mark.parametrize("empty", [None, "", []])
def test_without_a_policy_there_is_nothing_to_say(clean: Facts, judged: Judged, empty: Any) -> None:
    assert not {MINIMUM, FLAVOUR} & set(judged(clean, **{KERNELS: empty, FLAVOURS: empty}))


# --- the minimum -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ([RUNS], "ok"),
        (["6.1.0-9-cloud-amd64"], "ok"),
        (["6.1.0-48-cloud-amd64"], "affected"),
        (["6.1.0-100-cloud-amd64"], "affected"),
        (["6.1.0-99-amd64", "6.1.0-40-cloud-amd64"], "ok"),  # each of its own kind
        (["6.1.0-40-cloud-amd64", "6.1.0-50-cloud-amd64"], "affected"),  # the stricter one
        ("6.1.0-40-cloud-amd64,6.1.0-50-cloud-amd64", "affected"),  # as -e gives it
    ],
)
def test_the_minimum(clean: Facts, judged: Judged, opened: Judged, wanted: Any, status: str) -> None:
    finding = judged(clean, **{KERNELS: wanted})[MINIMUM]
    assert (finding["status"], finding["severity"], finding["remedy"]) == (status, "high", None)
    assert list(opened(clean, **{KERNELS: wanted})) == ([MINIMUM] if status == "affected" else [])
    assert RUNS in finding["reason"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("6.1.0-99-amd64", "flavours differ"),
        ("6.12.115+deb13-cloud-amd64", "upstream series differ"),
        ("5.15.0-112-generic", "distributions differ"),
        ("5.14.0-570.35.1.el9_6.x86_64", "distributions differ"),
    ],
)
def test_a_kernel_that_no_entry_speaks_of_is_unknown(
    clean: Facts, opened: Judged, wanted: str, words: str
) -> None:
    found = opened(clean, **{KERNELS: [wanted]})
    assert list(found) == [MINIMUM]
    assert (found[MINIMUM]["status"], found[MINIMUM]["severity"]) == ("unknown", "low")
    assert f"no entry of {KERNELS} speaks of {RUNS}" in found[MINIMUM]["reason"]
    assert words in found[MINIMUM]["reason"]


def test_a_plain_kernel_is_compared_with_a_plain_one(clean: Facts, judged: Judged) -> None:
    clean["kernel"]["release"] = "5.14.0-570.el9.x86_64"
    wanted = ["5.14.0-570.33.1.el9_6.x86_64+rt", "5.14.0-570.1.1.el9.x86_64"]
    assert judged(clean, **{KERNELS: wanted})[MINIMUM]["status"] == "affected"
    clean["kernel"]["release"] = "5.14.0-570.2.1.el9_6.x86_64"
    assert judged(clean, **{KERNELS: wanted})[MINIMUM]["status"] == "ok"


# --- flavours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "allowed", "status"),
    [
        (RUNS, ["cloud-amd64", "amd64"], "ok"),
        (RUNS, ["amd64"], "affected"),
        ("5.14.0-570.el9.x86_64", ["plain"], "ok"),
        ("5.14.0-570.el9.x86_64+rt", ["plain"], "affected"),
    ],
)
def test_the_flavour(clean: Facts, judged: Judged, release: str, allowed: list[str], status: str) -> None:
    clean["kernel"]["release"] = release
    finding = judged(clean, **{FLAVOURS: allowed})[FLAVOUR]
    assert (finding["status"], finding["severity"], finding["remedy"]) == (status, "medium", None)


@pytest.mark.parametrize("release", [None, "6.18.44-fc-v782"])
def test_a_release_that_tells_nothing_is_unknown(clean: Facts, judged: Judged, release: str | None) -> None:
    clean["kernel"].update(release=release, flavour=None)
    clean["kernel"]["unknown"]["flavour"] = "spelt as no distribution spells it"
    found = judged(clean, **{KERNELS: [RUNS], FLAVOURS: ["amd64"]})
    for key in (MINIMUM, FLAVOUR):
        assert found[key]["status"] == "unknown"
        assert "spelt as no distribution" in found[key]["reason"]


def test_facts_that_were_not_read_are_unknown(clean: Facts, judged: Judged) -> None:
    clean["kernel"] = None
    found = judged(clean, **{KERNELS: [RUNS], FLAVOURS: ["amd64"]})
    assert {found[MINIMUM]["status"], found[FLAVOUR]["status"]} == {"unknown"}


# --- what cannot be meant ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (KERNELS, ["5.15"], f"{KERNELS}[0] is '5.15': expected a release"),
        (KERNELS, [RUNS, "newest"], f"{KERNELS}[1] is 'newest': expected a release"),
        (KERNELS, [5.15], f"{KERNELS}[0] is '5.15': expected a release"),
        (KERNELS, {"generic": RUNS}, "expected a list, each of it a release"),
        (KERNELS, 7, f"{KERNELS} is '7': expected a list"),
        (KERNELS, [""], f"{KERNELS}[0] is '': expected a release"),
        (FLAVOURS, [RUNS], f"{FLAVOURS}[0] is '{RUNS}': expected a flavour"),
        (FLAVOURS, ["Generic Kernel"], f"{FLAVOURS}[0] is 'Generic Kernel': expected a flavour"),
        (FLAVOURS, [""], f"{FLAVOURS}[0] is '': expected a flavour"),
        (FLAVOURS, True, f"{FLAVOURS} is 'True': expected a list"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_an_error(clean: Facts, name: str, value: Any, words: str) -> None:
    with pytest.raises(FleetopsError, match=re.escape(words)):
        findings.judge(clean, [], {name: value})  # type: ignore[arg-type]


def test_a_host_s_variables_reach_the_policy(clean: Facts) -> None:
    known = {f"fleetops_{part}": value for part, value in clean.items()}
    variables = {"assess_look": {"ansible_facts": known}, KERNELS: ["6.1.0-99-cloud-amd64"]}
    found = records.record("n1", variables, [])
    assert [one["id"] for one in found["findings"] if one["status"] == "affected"] == ["kernel-policy"]
    found = records.record("n1", {**variables, KERNELS: ["newest"]}, [])
    assert found["unreadable"]
    assert f"{KERNELS}[0] is 'newest': expected" in found["unreadable"]
