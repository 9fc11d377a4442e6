# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel

# The compilers are of a distribution too.
DEBIAN = (
    "Linux version {} (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, "
    "GNU ld (GNU Binutils for Debian) 2.40) {}"
)
UBUNTU = (
    "Linux version {} (buildd@host) (gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, "
    "GNU ld (GNU Binutils for Ubuntu) 2.38) {}"
)
DATE = "SMP Thu May 23 07:48:21 UTC 2024"


@pytest.mark.parametrize(
    ("release", "flavour", "series"),
    [
        ("6.1.0-47-cloud-amd64", "cloud-amd64", "6.1"),
        ("6.1.0-47-amd64", "amd64", "6.1"),
        ("6.1.0-47-rt-amd64", "rt-amd64", "6.1"),
        ("6.12.115+deb13-amd64", "amd64", "6.12"),
        ("6.12.115+deb13.1-cloud-amd64", "cloud-amd64", "6.12"),
        ("6.1.0-0.deb11.52-amd64", "amd64", "6.1"),
        ("5.15.0-112-generic", "generic", "5.15"),
        ("6.8.0-1012-aws", "aws", "6.8"),
        ("5.15.0-91-lowlatency-64k", "lowlatency-64k", "5.15"),
        ("5.14.0-570.35.1.el9_6.x86_64", None, "5.14"),
        ("5.14.0-570.35.1.el9_6.aarch64+64k", "64k", "5.14"),
        ("5.10.0-216.0.0.115.oe2203sp4.x86_64", None, "5.10"),
        ("6.4.0-150600.23.53-default", "default", "6.4"),
        ("6.18.44-fc-v782", None, "6.18"),
        ("linux", None, None),
    ],
)
def test_flavour_and_series(release: str, flavour: str | None, series: str | None) -> None:
    assert (kernel.flavour(release), kernel.series(release)) == (flavour, series)


def test_order_of_releases() -> None:
    ordered = [
        "5.15.0-91-generic",
        "5.15.0-112-generic",
        "6.1.0-rc7",
        "6.1.0",
        "6.1.0-9-amd64",
        "6.1.0-47-amd64",
        "6.12.94+deb13-amd64",
        "6.12.115+deb13-amd64",
        "6.12.115+deb13.1-amd64",
        "6.12.117+deb13-amd64",
    ]
    for earlier, later in itertools.combinations(ordered, 2):
        assert kernel.release_key(earlier) < kernel.release_key(later), (earlier, later)


@given(st.integers(0, 999), st.integers(0, 999))
def test_numbers_are_compared_as_numbers(one: int, other: int) -> None:
    keys = [kernel.release_key(f"6.1.0-{number}-amd64") for number in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)


@given(st.text("0123456789.-+rcdebtrunkamd", max_size=20), st.text("0123456789.-+rcdebtrunkamd", max_size=20))
def test_any_two_strings_can_be_ordered(one: str, other: str) -> None:
    first, second = kernel.release_key(one), kernel.release_key(other)
    assert (first < second) + (first == second) + (first > second) == 1


def test_taint_names() -> None:
    assert kernel.taint_names(0) == []
    assert kernel.taint_names(1 << 7 | 1 << 9) == ["DIE", "WARN"]
    assert kernel.taint_names(4097) == ["PROPRIETARY_MODULE", "OOT_MODULE"]
    assert kernel.taint_names(1 << 30) == ["BIT_30"]


@given(st.integers(0, (1 << 20) - 1))
def test_taint_names_are_as_many_as_bits(value: int) -> None:
    names = kernel.taint_names(value)
    assert sum(1 << kernel.TAINTS.index(name) for name in names) == value


@pytest.mark.parametrize(
    ("form", "release", "build", "version"),
    [
        (DEBIAN, "6.1.0-47-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-3 (2026-05-08)", "6.1.170-3"),
        (DEBIAN, "6.12.94+deb12-amd64", "#1 SMP Debian 6.12.94-1~bpo12+1 (2026-01-02)", "6.12.94-1~bpo12+1"),
        (UBUNTU, "5.15.0-112-generic", f"#122-Ubuntu {DATE}", "5.15.0-112.122"),
        (UBUNTU, "5.15.0-112-generic", f"#122~20.04.1-Ubuntu {DATE}", "5.15.0-112.122~20.04.1"),
        (UBUNTU, "6.8.0-1012-aws", f"#13-Ubuntu {DATE}", "6.8.0-1012.13"),
        (DEBIAN, "6.18.44-own", "#1 SMP PREEMPT_DYNAMIC @0", None),
        (UBUNTU, "6.18.44-own", f"#7 {DATE}", None),
    ],
)
def test_debian_version_of(form: str, release: str, build: str, version: str | None) -> None:
    assert kernel.debian_version_of(form.format(release, build)) == version
    assert kernel.debian_version_of("") is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Ubuntu 5.15.0-112.122-generic 5.15.149\n", "5.15.0-112.122"),
        ("Ubuntu 5.15.0-112.122~20.04.1-generic 5.15.149\n", "5.15.0-112.122~20.04.1"),
        ("Ubuntu 5.15.0-91.101-lowlatency-64k 5.15.131\n", "5.15.0-91.101"),
        ("something else", None),
    ],
)
def test_ubuntu_version_of(text: str, version: str | None) -> None:
    assert kernel.ubuntu_version_of(text) == version
