# SPDX-License-Identifier: GPL-3.0-or-later
"""Package versions, measured against the real dpkg."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import versions

# Few letters, so that pairs are often alike for long; every kind that the order tells apart.
TAIL = st.text(alphabet="019ab.+~", max_size=6)
UPSTREAM = st.builds(lambda digit, tail: digit + tail, st.sampled_from("0159"), TAIL)
VERSION = st.builds(
    lambda epoch, upstream, revision: epoch + upstream + revision,
    st.sampled_from(["", "", "", "0:", "1:"]),
    UPSTREAM,
    st.one_of(
        st.just(""), st.builds(lambda text: f"-{text}", st.text(alphabet="019ab.+~", min_size=1, max_size=4))
    ),
)
REAL = [
    "5.15.0-91.101",
    "5.15.0-112.122",
    "5.15.0-112.122~20.04.1",
    "6.1.170-3",
    "6.12.115-2~deb12u1",
    "6.1.192-2",
]


def sign(one: str, other: str) -> int:
    first, second = versions.deb_key(one), versions.deb_key(other)
    return (first > second) - (first < second)


def dpkg(one: str, other: str) -> int:
    """What dpkg itself says, asked in one process for both directions."""
    script = 'dpkg --compare-versions "$1" lt "$2" && exit 10; dpkg --compare-versions "$1" gt "$2" && exit 11; exit 12'
    done = subprocess.run(["sh", "-c", script, "sh", one, other], check=False, capture_output=True)
    return {10: -1, 11: 1, 12: 0}[done.returncode]


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg on this machine")
@settings(max_examples=400)
@given(one=VERSION, other=VERSION)
def test_the_order_is_that_of_dpkg(one: str, other: str) -> None:
    assert sign(one, other) == dpkg(one, other)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg on this machine")
def test_the_order_of_real_versions_is_that_of_dpkg() -> None:
    assert [sign(a, b) for a in REAL for b in REAL] == [dpkg(a, b) for a in REAL for b in REAL]


@given(a=VERSION, b=VERSION)
def test_the_order_is_one(a: str, b: str) -> None:
    assert sign(a, b) == -sign(b, a)
    assert sign(a, a) == 0


@pytest.mark.parametrize("read", [versions.deb_key, versions.parse_range])
@given(text=st.text(max_size=30))
def test_no_text_raises_anything_but_our_error(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(FleetopsError):
        read(text)


@pytest.mark.parametrize(
    ("version", "text", "inside"),
    [
        ("5.15.0-91.101", ">= 5.15.0-91.101, < 5.15.0-112.122", True),
        ("5.15.0-112.122", ">= 5.15.0-91.101, < 5.15.0-112.122", False),
        ("5.15.0-90.100", ">= 5.15.0-91.101, < 5.15.0-112.122", False),
        ("6.1.170-3", "= 6.1.170-3", True),
        ("6.1.170-3", "> 6.1.170-3", False),
        ("6.1.170-3", "<=6.1.170-3", True),
        # A rebuild counts as the upload that it is, unless the bound itself is one.
        ("5.15.0-112.122~20.04.1", "< 5.15.0-112.122", False),
        ("6.12.115-2~deb12u1", ">= 6.12.115-2", True),
        ("6.5.0-14.14~22.04.1", "< 6.5.0-14.14~22.04.2", True),
        ("6.1.0~rc3-1~exp1", "< 6.1.0-1", True),
    ],
)
def test_ranges(version: str, text: str, inside: bool) -> None:
    assert versions.in_range(version, versions.parse_range(text)) is inside


@pytest.mark.parametrize("text", ["", "6.1.170-3", ">= ", ">= x", "~ 6.1", ">= 6.1 < 6.2", ">= 6.1,, < 6.2"])
def test_a_malformed_range_names_what_was_expected(text: str) -> None:
    with pytest.raises(FleetopsError, match=r"expected bounds|is not a package version"):
        versions.parse_range(text)
