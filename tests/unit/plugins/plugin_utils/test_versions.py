# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of package versions, measured against the real dpkg and rpm; the order of releases, and what has none."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian, redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.kernel import parse_release
from ansible_collections.fleetops.kernel.plugins.plugin_utils import versions

Ask = Callable[[str, str], int]

MANY = settings(max_examples=2000)


def form(text: str) -> st.SearchStrategy[str]:
    """Strings of a regular expression, whole and in ASCII."""
    return st.from_regex(re.compile(rf"\A(?:{text})\Z", re.ASCII), fullmatch=True)


N = r"(?:[0-9]|[1-9][0-9]|[1-9][0-9]{2})"
KERNEL = rf"[3-7]\.{N}\.{N}"
DEB_FORMS = (
    rf"[3-7]\.{N}\.0-{N}\.{N}(?:~2[0246]\.04\.[1-3])?",  # linux of Ubuntu, and its twin for an older release
    rf"{KERNEL}-[1-9](?:~deb1[123]u[1-9]|~bpo1[123]\+[1-9]|\+deb1[123]u[1-9])?",
    rf"[3-7]\.{N}~rc[1-9]-1~exp[1-9]",
    rf"[3-7]\.{N}\.0\.{N}\.{N}",  # linux-meta of Ubuntu
    rf"(?:[01]:)?{N}\.{N}(?:\+dfsg)?-{N}(?:ubuntu{N}(?:\.{N})?)?",
)
DEB_ANY = r"(?:[012]:)?[0-9][0-9abzAZ.+~-]{0,12}(?:-[0-9abzAZ.+~]{1,6})?(?<!-)"
RPM_FORMS = (
    rf"[345]\.{N}\.0-{N}(?:\.{N}\.{N})?\.el[789](?:_{N})?",
    rf"5\.10\.0-{N}\.0\.0\.{N}\.oe2203sp[1-4]",
    rf"{KERNEL}-[123]00\.fc[34][0-9]",
    rf"{KERNEL}-150[345]00\.{N}\.{N}(?:\.{N})?",
    rf"(?:[01]:)?{N}\.{N}(?:~rc{N}|\^[0-9]{{8}}git[0-9a-f]{{7}})?-0?\.?{N}\.oe1",
)
RPM_ANY = r"(?:[012]:)?[0-9abzAZ._+~^]{1,12}(?:-[0-9abzAZ._+~^]{1,6})?"
DEB = st.one_of(*map(form, DEB_FORMS), form(DEB_ANY), form(DEB_ANY))
RPM = st.one_of(*map(form, RPM_FORMS), form(RPM_ANY), form(RPM_ANY))


@st.composite
def alike(draw: st.DrawFn, of: st.SearchStrategy[str], letters: str, valid: str) -> tuple[str, str]:
    """Two versions that differ in one place only: where orders go wrong."""
    one = draw(of)
    at = draw(st.integers(0, len(one)))
    other = one[:at] + draw(st.text(letters, max_size=2)) + one[at + draw(st.integers(0, 2)) :]
    return one, other if re.fullmatch(valid, other) else one


DEB_PAIRS = st.one_of(st.tuples(DEB, DEB), alike(DEB, "019azZ.+~-", DEB_ANY))
RPM_PAIRS = st.one_of(st.tuples(RPM, RPM), alike(RPM, "019azZ._+~^", RPM_ANY))


def sign(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


def by_key(pair: tuple[str, str], order: str) -> int:
    return sign(versions.key(pair[0], order), versions.key(pair[1], order))


@MANY
@example(pair=("0:0--0", "0:0-0-0"))  # the last hyphen parts, whatever stands before it
@given(pair=DEB_PAIRS)
def test_the_order_of_deb_is_that_of_dpkg(dpkg: Ask, pair: tuple[str, str]) -> None:
    assert by_key(pair, "deb") == dpkg(*pair)


@MANY
@given(pair=RPM_PAIRS)
def test_the_order_of_rpm_is_that_of_rpm(rpm: Ask, pair: tuple[str, str]) -> None:
    assert by_key(pair, "rpm") == rpm(*pair)


def test_the_judges_tell_all_three_answers(dpkg: Ask, rpm: Ask, linux_version: Ask) -> None:
    """And are the tools that they are called after: no two of them agree on all of these."""
    pairs = [("1.0-1", "1.0-2"), ("1.0-2", "1.0-1"), ("1.0", "1.0"), ("1.a", "1.1"), ("1.0-rc1", "1.0")]
    assert [dpkg(*pair) for pair in pairs] == [-1, 1, 0, 1, 1]
    assert [rpm(*pair) for pair in pairs] == [-1, 1, 0, -1, 1]
    assert [linux_version(*pair) for pair in pairs] == [-1, 1, 0, 1, -1]


@given(DEB, DEB, DEB)
def test_the_order_is_one(a: str, b: str, c: str) -> None:
    assert by_key((a, b), "deb") == -by_key((b, a), "deb")
    ordered = sorted((a, b, c), key=versions.key)
    assert all(by_key(pair, "deb") <= 0 for pair in itertools.combinations(ordered, 2))


@pytest.mark.parametrize("read", [versions.key, versions.parse_range])
@pytest.mark.parametrize("order", ["deb", "rpm"])
@given(text=st.one_of(st.text(max_size=30), DEB, RPM))
def test_no_text_raises_anything_but_our_error(read: Callable[..., object], order: str, text: str) -> None:
    with contextlib.suppress(FleetopsError):
        read(text, order)
    with contextlib.suppress(FleetopsError):
        read(f">= {text}", order)


@pytest.mark.parametrize("order", ["deb", "rpm"])
@pytest.mark.parametrize(
    "version", ["", "1.0-", "1 0", "1.0\n", "9999999999:1", "1:2:3", "\u0661.0", "1" * 256]
)
def test_what_is_no_version_is_said_to_be_none(order: str, version: str) -> None:
    with pytest.raises(FleetopsError, match="is not a package version of at most 255 characters, such as"):
        versions.key(version, order)


@pytest.mark.parametrize(
    ("release", "package"),
    [
        ("5.14.0-570.33.1.el9_6.x86_64", "5.14.0-570.33.1.el9_6"),
        ("5.14.0-570.33.1.el9_6.aarch64+64k", "5.14.0-570.33.1.el9_6"),
        ("5.10.0-216.0.0.115.oe2203sp4.x86_64", "5.10.0-216.0.0.115.oe2203sp4"),
    ],
)
def test_the_release_of_an_rpm_kernel_is_its_package_s_version(release: str, package: str) -> None:
    assert versions.key(release, "rpm") == versions.key(package, "rpm")
    assert versions.key(release, "rpm") < versions.key(package + ".1", "rpm")


@pytest.mark.parametrize(
    ("version", "text", "order", "inside"),
    [
        ("5.15.0-91.101", ">= 5.15.0-91.101, < 5.15.0-112.122", "deb", True),
        ("5.15.0-112.122", ">= 5.15.0-91.101, < 5.15.0-112.122", "deb", False),
        ("5.15.0-90.100", ">= 5.15.0-91.101, < 5.15.0-112.122", "deb", False),
        ("6.1.170-3", "= 6.1.170-3", "deb", True),
        ("6.1.170-3", "> 6.1.170-3", "deb", False),
        ("6.1.170-3", "<=6.1.170-3", "deb", True),
        # A rebuild counts as the upload that it is, unless the bound itself is one.
        ("5.15.0-112.122~20.04.1", "< 5.15.0-112.122", "deb", False),
        ("6.12.115-2~deb12u1", ">= 6.12.115-2", "deb", True),
        ("6.12.94-1~bpo12+1", ">= 6.12.94-1", "deb", True),
        ("6.5.0-14.14~22.04.1", "< 6.5.0-14.14~22.04.2", "deb", True),
        ("6.1.0~rc3-1~exp1", "< 6.1.0-1", "deb", True),
        ("5.14.0-570.33.1.el9_6.x86_64", ">= 5.14.0-570.el9, < 5.14.0-570.33.1.el9_6", "rpm", False),
        ("5.14.0-570.32.1.el9_6.x86_64+rt", ">= 5.14.0-570.el9, < 5.14.0-570.33.1.el9_6", "rpm", True),
        ("4.18.0-553.5.1.el8_10", "< 4.18.0-553.50.1.el8_10", "rpm", True),
    ],
)
def test_ranges(version: str, text: str, order: str, inside: bool) -> None:
    assert versions.in_range(version, versions.parse_range(text, order), order) is inside


def test_debian_s_order_is_the_default() -> None:
    assert versions.in_range("1.a-1", versions.parse_range("> 1.1-1"))
    assert not versions.in_range("1.a-1", versions.parse_range("> 1.1-1", "rpm"), "rpm")


@pytest.mark.parametrize(
    "text", ["", "6.1.170-3", ">= ", ">= x y", "~ 6.1", ">= 6.1 < 6.2", ">= 6.1,, < 6.2"]
)
@pytest.mark.parametrize("order", ["deb", "rpm"])
def test_a_malformed_range_names_what_was_expected(text: str, order: str) -> None:
    with pytest.raises(FleetopsError, match=r"expected bounds|is not a package version"):
        versions.parse_range(text, order)


@pytest.mark.parametrize(
    "text",
    [">= 86.96, < 85.95", "> 2, < 2", ">= 2, < 2", "> 2, <= 2", "= 2, < 2", "= 2, = 3", "< 9, >= 4, < 3"],
)
@pytest.mark.parametrize("order", ["deb", "rpm"])
def test_a_range_that_holds_no_version_is_an_error(text: str, order: str) -> None:
    with pytest.raises(FleetopsError, match="no version keeps all of these bounds"):
        versions.parse_range(text, order)


@pytest.mark.parametrize("text", [">= 2, <= 2", "= 2", "> 1, < 3", ">= 2, < 3, < 4", "= 2, <= 2", "< 3, < 4"])
@pytest.mark.parametrize("order", ["deb", "rpm"])
def test_a_range_of_one_version_is_one(text: str, order: str) -> None:
    assert versions.in_range("2", versions.parse_range(text, order), order)


@pytest.mark.parametrize("platform", [debian, redhat])
def test_whatever_is_read_has_an_order(platform: Any) -> None:
    assert {versions.order_of(name) for name in platform.IDS} in ({"deb"}, {"rpm"})


@pytest.mark.parametrize(
    ("distro", "order"),
    [("ubuntu", "deb"), ("debian", "deb"), ("rocky", "rpm"), ("openEuler", "rpm"), ("sles", "rpm")],
)
def test_a_distribution_has_one_order(distro: str, order: str) -> None:
    assert versions.order_of(distro) == order


def test_the_order_of_another_distribution_is_not_guessed() -> None:
    with pytest.raises(FleetopsError, match="It is not known how 'arch' orders"):
        versions.order_of("arch")


# --- kernel releases ---------------------------------------------------------------------------------

# Each is one row of kernels, oldest first; no two rows may be mixed.
ROWS = (
    ["5.15.0-91-generic", "5.15.0-112-generic", "5.15.0-1000-generic"],
    ["5.15.0-91-lowlatency", "5.15.0-112-lowlatency"],
    ["6.8.0-45-generic", "6.8.0-100-generic"],
    ["6.8.0-1009-aws", "6.8.0-1012-aws"],
    ["6.1.0-9-amd64", "6.1.0-47-amd64"],
    ["6.1.0-9-cloud-amd64", "6.1.0-47-cloud-amd64"],
    ["6.1.0-0.deb11.9-amd64", "6.1.0-0.deb11.52-amd64"],
    ["6.12.94+deb12-amd64", "6.12.115+deb12-amd64"],
    ["6.12.94+deb13-amd64", "6.12.115+deb13-amd64", "6.12.115+deb13.1-amd64", "6.12.117+deb13-amd64"],
    # rpm: numbers are newer than letters, where linux-version has it the other way round.
    ["5.14.0-570.el9.x86_64", "5.14.0-570.33.1.el9_6.x86_64", "5.14.0-570.35.1.el9_6.x86_64"],
    ["5.14.0-570.33.1.el9_6.x86_64+rt", "5.14.0-570.35.1.el9_6.x86_64+rt"],
    ["5.14.0-570.33.1.el9_6.aarch64", "5.14.0-570.35.1.el9_6.aarch64"],
    ["4.18.0-553.5.1.el8_10.x86_64", "4.18.0-553.50.1.el8_10.x86_64"],
    ["5.10.0-99.0.0.115.oe2203sp3.x86_64", "5.10.0-216.0.0.115.oe2203sp4.x86_64"],
    ["5.14.21-150500.55.7-default", "5.14.21-150500.55.68-default"],
    ["5.14.21-150400.24.63-default", "5.14.21-150400.24.100-default"],
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_releases_of_one_kind_are_ordered(row: list[str]) -> None:
    for shuffled in itertools.permutations(row):
        assert versions.kernel_sort(shuffled) == row
        assert versions.kernel_sort(shuffled, reverse=True) == row[::-1]
    for older, newer in itertools.combinations(row, 2):
        assert versions.newer_kernel_than(newer, older) is True
        assert versions.newer_kernel_than(older, newer) is False
        assert versions.newer_kernel_than(older, older) is False


@pytest.mark.parametrize(("row", "others"), [*itertools.permutations(ROWS, 2)], ids=lambda row: row[0])
def test_releases_of_two_kinds_are_not(row: list[str], others: list[str]) -> None:
    for one, other in itertools.product(row, others):
        for ask in (versions.newer_kernel_than, lambda *pair: versions.kernel_sort(pair)):
            with pytest.raises(FleetopsError) as said:
                ask(one, other)
            assert f"'{one}' and '{other}' cannot be ordered: their " in said.value.msg


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("5.15.0-112-generic", "5.15.0-112-lowlatency", "their flavours differ, generic and lowlatency"),
        ("5.15.0-112-generic", "6.8.0-45-generic", "their upstream series differ, 5.15 and 6.8"),
        ("5.15.0-112-generic", "5.15.0-112-amd64", "their distributions differ, ubuntu and debian"),
        ("6.12.94+deb12-amd64", "6.12.94+deb13-amd64", "their branches differ, deb12 and deb13"),
        ("6.1.0-9-amd64", "6.1.0-0.deb11.9-amd64", "their branches differ, none and 0.deb11"),
        ("5.14.0-1.el9.x86_64", "5.14.0-1.el9.x86_64+rt", "their flavours differ, plain and rt"),
        ("5.14.0-1.el9.x86_64", "5.14.0-1.el9.s390x", "their architectures differ, x86_64 and s390x"),
        ("5.15.0-112-generic", "5.15.0-91-generic", None),
    ],
)
def test_the_reason_is_the_first_difference(one: str, other: str, reason: str | None) -> None:
    first, second = parse_release(one), parse_release(other)
    assert first
    assert second
    assert versions.incomparable(first, second) == reason


@pytest.mark.parametrize("release", ["6.18.44-own", "", None, 5, "6.5.3-060503-generic"])
def test_a_release_of_nobody_has_no_order(release: Any) -> None:
    with pytest.raises(
        FleetopsError, match="cannot be ordered: it is spelt as no distribution spells its kernels"
    ):
        versions.newer_kernel_than("5.15.0-112-generic", release)


@pytest.mark.parametrize("releases", ["5.15.0-112-generic", None, 5])
def test_what_is_no_list_cannot_be_sorted(releases: Any) -> None:
    with pytest.raises(FleetopsError, match="Expected a list of kernel releases, got"):
        versions.kernel_sort(releases)


def test_nothing_is_sorted_at_once() -> None:
    assert versions.kernel_sort([]) == []


def test_without_the_library_it_is_named() -> None:
    """Importing is fine, and so is the order of releases of Debian's kind; asking for a version is not."""
    code = (
        "import sys; sys.modules['univers'] = None\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from ansible_collections.fleetops.kernel.plugins.plugin_utils import versions\n"
        "print(versions.kernel_sort(['6.1.0-47-amd64', '6.1.0-9-amd64']))\n"
        "try: versions.key('1-1')\n"
        "except Exception as error: print(type(error).__name__, error.msg)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "['6.1.0-9-amd64', '6.1.0-47-amd64']"
    assert "FleetopsError" in done.stdout
    assert "pip install univers" in done.stdout
