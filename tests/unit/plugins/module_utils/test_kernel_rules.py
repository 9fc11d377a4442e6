# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel releases, versions and taint; the order of releases is measured against the real linux-version."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
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
    found = kernel.parse_release(release)
    assert (found.flavour if found else None, kernel.series(release)) == (flavour, series)


# --- any release of a distribution ------------------------------------------------------------------

NUMBER = st.integers(0, 2000).map(str)
UPSTREAM = st.builds("{}.{}.{}".format, st.integers(3, 7), st.integers(0, 30), st.integers(0, 300))
DEBIAN_FLAVOURS = [
    "amd64",
    "cloud-amd64",
    "rt-amd64",
    "arm64",
    "cloud-arm64",
    "686-pae",
    "armmp",
    "s390x",
    "powerpc64le",
]
UBUNTU_FLAVOURS = [
    *(
        "generic",
        "generic-64k",
        "lowlatency",
        "lowlatency-64k",
        "aws",
        "azure",
        "azure-fde",
        "gcp",
        "gke",
        "kvm",
    ),
    *("oracle", "ibm", "raspi", "oem", "nvidia", "nvidia-64k", "realtime", "hwe"),
]
RPM_FLAVOURS = [None, None, "rt", "64k", "debug", "64k-debug"]
RPM_ARCHITECTURES = ["x86_64", "aarch64", "ppc64le", "s390x"]


@st.composite
def releases(draw: st.DrawFn) -> tuple[str, kernel.Release]:
    """A release, and what it was put together from."""
    upstream, one, other = draw(UPSTREAM), draw(NUMBER), draw(NUMBER)
    series = upstream.rpartition(".")[0]
    scheme = draw(st.sampled_from(["ubuntu", "debian", "suse", "rpm"]))
    branch, architecture = "", None
    kind: str | None
    if scheme == "ubuntu":
        upstream, abi, kind = f"{series}.0", one, draw(st.sampled_from(UBUNTU_FLAVOURS))
        text = f"{upstream}-{abi}-{kind}"
    elif scheme == "debian":
        kind, age = draw(st.sampled_from(DEBIAN_FLAVOURS)), draw(st.integers(10, 15))
        abi, branch = draw(
            st.sampled_from(
                [
                    (one, ""),
                    (f"+deb{age}", f"deb{age}"),
                    (f"+deb{age}.{one}", f"deb{age}"),
                    (f"0.deb{age}.{one}", f"0.deb{age}"),
                    (f"0.bpo.{one}", "0.bpo"),
                    ("+bpo", "bpo"),
                    ("", ""),
                ]
            )
        )
        text = f"{upstream}{'' if abi[:1] in ('', '+') else '-'}{abi}-{kind}"
    elif scheme == "suse":
        kind = draw(st.sampled_from(["default", "azure", "rt", "64kb", "preempt"]))
        branch = draw(st.sampled_from(["150300", "150500", "160000", "122"]))
        abi = f"{branch}.{one}.{other}"
        text = f"{upstream}-{abi}-{kind}"
    else:
        branch, dist = draw(
            st.sampled_from(
                [
                    ("el8", "el8_10"),
                    ("el9", "el9"),
                    ("el9", "el9_6"),
                    ("fc42", "fc42"),
                    ("oe2203", "oe2203sp4"),
                    ("oe1", "oe1"),
                ]
            )
        )
        kind, architecture = draw(st.sampled_from(RPM_FLAVOURS)), draw(st.sampled_from(RPM_ARCHITECTURES))
        abi = (
            draw(st.sampled_from([one, f"{one}.{other}.1", f"{one}.0.0.{other}", f"0.rc{one}"])) + f".{dist}"
        )
        text = f"{upstream}-{abi}.{architecture}{f'+{kind}' if kind else ''}"
    return text, kernel.Release(upstream, abi, series, kind, scheme, branch, architecture)


@settings(max_examples=2000)
@given(releases())
def test_a_release_is_taken_apart_into_what_it_was_made_of(made: tuple[str, kernel.Release]) -> None:
    text, parts = made
    assert kernel.parse_release(text) == parts
    assert kernel.series(text) == parts.series


@given(releases(), st.text(min_size=1, max_size=80))
def test_a_release_with_anything_in_it_is_another_or_none(
    made: tuple[str, kernel.Release], extra: str
) -> None:
    text = made[0]
    for at in (0, len(text) // 2, len(text)):
        assert kernel.parse_release(text[:at] + extra + text[at:]) != made[1]


@given(st.text(max_size=200))
def test_any_text_is_a_release_or_none(text: str) -> None:
    found = kernel.parse_release(text)
    assert found is None or text.startswith(found.upstream)


@pytest.mark.parametrize(
    ("release", "flavour", "branch"),
    [
        ("4.18.0-553.16.1.rt7.357.el8_10.x86_64", "rt", "el8"),
        ("5.14.0-284.11.1.rt14.296.el9_2.x86_64", "rt", "el9"),
        ("5.15.0-206.153.7.1.el9uek.x86_64", "uek", "el9"),
        ("6.4.12-1-default", "default", ""),
        ("6.12.9+bpo-cloud-amd64", "cloud-amd64", "bpo"),
    ],
)
def test_what_is_spelt_in_its_own_way(release: str, flavour: str, branch: str) -> None:
    found = kernel.parse_release(release)
    assert found
    assert (found.flavour, found.branch) == (flavour, branch)


@pytest.mark.parametrize(
    "release",
    [
        "",
        "6.1.0",
        "6.1.0-47",
        "6.18.44-own",
        "6.5.3-060503-generic",  # no package of Ubuntu's archive
        "6.1.0-47-amd64\n",
        "\u0666.1.0-47-amd64",
        "5.14.0-570.el9",
        "5.15.0-112-" + "g" * 60,  # longer than uname can tell
    ],
)
def test_what_no_distribution_spells_so(release: str) -> None:
    assert kernel.parse_release(release) is None


# --- the order of releases --------------------------------------------------------------------------

PIECES = [
    "-rc",
    "-trunk",
    "-",
    ".",
    "+",
    "+deb",
    "~",
    "_",
    "0",
    "7",
    "9",
    "10",
    "47",
    "112",
    "a",
    "rc",
    "amd",
]
ANY = st.one_of(
    releases().map(lambda made: made[0]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join),
    st.builds("{}{}".format, UPSTREAM, st.lists(st.sampled_from(PIECES), max_size=5).map("".join)),
)


def sign(one: str, other: str) -> int:
    first, second = kernel.release_key(one), kernel.release_key(other)
    return int(first > second) - int(first < second)


@settings(max_examples=4000)
@given(one=ANY, other=ANY)
def test_the_order_is_that_of_linux_version(
    linux_version: Callable[[str, str], int], one: str, other: str
) -> None:
    # Perl compares numbers as floating point.
    assume(not re.search(r"\d{16}", f"{one} {other}"))
    assert sign(one, other) == linux_version(one, other)


@settings(max_examples=10)
@given(st.lists(ANY, min_size=100, max_size=300, unique_by=kernel.release_key))
def test_a_list_is_sorted_as_linux_version_sorts_it(some: list[str]) -> None:
    assume(not any(re.search(r"\d{16}", one) for one in some))
    done = subprocess.run(["linux-version", "sort", *some], check=True, capture_output=True, text=True)
    assert sorted(some, key=kernel.release_key) == done.stdout.split()


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


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("Ubuntu 5.15.0-112.122-generic 5.15.149\n", "5.15.149"),
        ("Ubuntu 6.8.0-45.45~22.04.1-generic 6.8.12", "6.8.12"),
        ("Ubuntu 5.15.0-112.122-generic", None),
        ("Ubuntu 5.15.0-112.122-generic 5.15", None),
        ("Debian 6.1.0-47-amd64 6.1.170", None),
        ("", None),
    ],
)
def test_ubuntu_upstream_of(text: str, upstream: str | None) -> None:
    assert kernel.ubuntu_upstream_of(text) == upstream
