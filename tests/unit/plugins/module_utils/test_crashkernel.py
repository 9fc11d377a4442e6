# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.crashkernel import MIB

GIB = 1 << 30
# domain.md C.2: what distributions write
UBUNTU_24 = "2G-4G:320M,4G-32G:512M,32G-64G:1024M,64G-128G:2048M,128G-:4096M"
RHEL_9 = "1G-4G:192M,4G-64G:256M,64G-:512M"

NUMBERS = st.integers(1, 4096)
SIZES = st.one_of(
    st.builds(lambda number: (f"{number}M", number << 20), NUMBERS),
    st.builds(lambda number: (f"{number}G", number << 30), NUMBERS),
)


def facts(
    reserved: int | None, initrd: int | None, architecture: str | None = "x86_64", **unknown: str
) -> tuple[Any, Any]:
    kernel: dict[str, Any] = {
        "architecture": architecture,
        "release": "6.1.0-47-cloud-amd64",
        "memory_bytes": None,
        "unknown": {},
    }
    kdump = {
        "reservation": {"requested": [], "bytes": reserved, "low_bytes": None, "high_bytes": None},
        "capture": {"initrd": "/var/lib/kdump/initrd.img", "initrd_bytes": initrd},
        "unknown": {path.replace("__", "."): reason for path, reason in unknown.items()},
    }
    return kernel, kdump


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("80M", 80 * MIB), ("1g", GIB), ("64K", 65536), ("0x1000000", 16 * MIB), ("3T", 3 << 40)],
)
def test_parse_size(text: str, size: int) -> None:
    assert crashkernel.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "80MB", "8 0M", "-1M", "080M", "1.5G", "auto", "80M\n"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(FleetopsError, match="is not a size"):
        crashkernel.parse_size(text)


@pytest.mark.parametrize(
    "value",
    [
        *("224M", "256M@64M", "512M,high", "72M,low", "0,low", "1G,cma"),
        *("384M-:128M", "2G-4G:320M@16M", UBUNTU_24, RHEL_9),
    ],
)
def test_check_gives_back_what_is_right(value: str) -> None:
    assert crashkernel.check(value) == value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "'' is not a size"),
        ("80", "80 bytes cannot hold a kernel"),
        ("0M", "0 bytes cannot hold a kernel"),
        ("0,high", "0 bytes cannot hold a kernel"),
        ("auto", "RHEL 8"),
        ("80MB", "'80MB' is not a size"),
        ("224M,", "'' is not a range|'224M,' is not a size"),
        ("224M 1G", "'224M 1G' is not a size"),
        ("1G,hi", "'1G,hi' is not a size"),
        ("10M@", "'' is not a size"),
        ("4G-2G:100M", "ends before it begins"),
        ("2G-2G:100M", "ends before it begins"),
        ("2G:100M", "'2G:100M' is not a range"),
        ("-2G:100M", "'' is not a size"),
        ("2G-4G:320M,4G-", "'4G-' is not a range"),
        ("2G-4G:320M,high", "'2G-4G:320M' is not a size"),
    ],
)
def test_check_names_the_value_and_what_was_expected(value: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=says) as caught:
        crashkernel.check(value)
    assert f"crashkernel={value} is malformed" in caught.value.msg
    assert "such as 224M" in caught.value.msg


@given(SIZES, st.one_of(st.none(), SIZES), st.sampled_from(["", "high", "low", "cma"]))
def test_a_plain_value_is_read_as_it_was_written(
    size: tuple[str, int], offset: tuple[str, int] | None, kind: str
) -> None:
    at = offset if not kind else None
    value = size[0] + (f"@{at[0]}" if at else "") + (f",{kind}" if kind else "")
    assert crashkernel.parse(value) == {
        "ranges": [(0, None, size[1])],
        "offset": at[1] if at else None,
        "kind": kind,
    }


@given(st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=5))
def test_ranges_are_read_as_they_were_written(parts: list[tuple[tuple[str, int], tuple[str, int]]]) -> None:
    starts = sorted({start: text for (text, start), _size in parts}.items())
    sizes = [size for _start, size in parts][: len(starts)]
    ends = [*starts[1:], None]
    value = ",".join(
        f"{text}-{end[1] if end else ''}:{size[0]}"
        for (_start, text), end, size in zip(starts, ends, sizes, strict=True)
    )
    assert crashkernel.parse(value)["ranges"] == [
        (start, end[0] if end else None, size[1])
        for (start, _text), end, size in zip(starts, ends, sizes, strict=True)
    ]


@given(st.text("0123456789MGK-:,@highlowcma ", max_size=24))
def test_what_check_lets_through_reserves_something_somewhere(value: str) -> None:
    try:
        crashkernel.check(value)
    except FleetopsError:
        return
    if not value.endswith((",low", ",cma")):
        request = crashkernel.parse(value)
        memory = request["ranges"][0][0] + MIB
        got = crashkernel.reserved_for(value, memory)
        # the first range may be narrower than the grain that the kernel rounds memory to
        assert got is not None
        assert got == 0 or got >= MIB


@pytest.mark.parametrize(
    ("value", "memory", "reserved"),
    [
        ("80M", None, 80 * MIB),
        ("512M,high", None, 512 * MIB),
        ("0,low", 8 * GIB, None),
        ("1G,cma", 8 * GIB, None),
        ("384M-:128M", GIB, 128 * MIB),
        ("384M-:128M", 256 * MIB, 0),
        ("384M-:128M", None, None),
        (UBUNTU_24, GIB, 0),
        (UBUNTU_24, 2 * GIB, 320 * MIB),
        (UBUNTU_24, 4 * GIB, 512 * MIB),  # the end of a range is not in it
        (UBUNTU_24, 4 * GIB - 20 * MIB, 512 * MIB),  # rounded up to 128 MiB, as current kernels do
        (UBUNTU_24, 4 * GIB - 129 * MIB, 320 * MIB),
        (RHEL_9, 1 << 40, 512 * MIB),
    ],
)
def test_reserved_for(value: str, memory: int | None, reserved: int | None) -> None:
    assert crashkernel.reserved_for(value, memory) == reserved


# --- the estimate ------------------------------------------------------------------------------------

LAB_INITRD = int(8.6 * MIB)


@pytest.mark.parametrize(
    ("reserved", "fits"),
    [
        # lab.md 4: seen on a real machine
        (64 * MIB, False),
        (80 * MIB, False),
        (96 * MIB, False),
        (112 * MIB, None),  # dumped, but without margin
        (128 * MIB, None),
        (192 * MIB, None),
        (224 * MIB, True),
        (0, False),
    ],
)
def test_estimate_on_the_lab_machine(reserved: int, fits: bool | None) -> None:
    assert crashkernel.estimate(*facts(reserved, LAB_INITRD))["fits"] is fits


def test_estimate_never_calls_too_small_what_a_larger_initrd_was_not_seen_to_need() -> None:
    """domain.md C.8: every size at which a bare kernel booted, with the initrd it had, packed."""
    for packed, boots in ((28.1, 200), (9.8, 112), (21.0, 224), (28.1, 216)):
        got = crashkernel.estimate(*facts(boots * MIB, int(packed * MIB)))
        assert got["fits"] is not False, (packed, boots)


def test_estimate_names_its_terms() -> None:
    got = crashkernel.estimate(*facts(80 * MIB, LAB_INITRD))
    assert sum(term["bytes"] for term in got["terms"]) == got["fits_from"]
    assert all(term["source"] for term in got["terms"])
    assert "80 MiB are reserved; up to 96 MiB" in got["reason"]


@pytest.mark.parametrize(
    ("given_facts", "reason"),
    [
        (facts(None, LAB_INITRD, reservation__bytes="not for you"), "not for you"),
        (facts(128 * MIB, None, capture__initrd_bytes="it is gone"), "it is gone"),
        (facts(128 * MIB, LAB_INITRD, "aarch64"), "nothing was measured on aarch64"),
        (facts(128 * MIB, LAB_INITRD, None), "unknown architecture"),
    ],
)
def test_estimate_says_why_it_cannot_tell(given_facts: tuple[Any, Any], reason: str) -> None:
    got = crashkernel.estimate(*given_facts)
    assert got["fits"] is None
    assert reason in got["reason"]


def test_nothing_reserved_fits_nowhere() -> None:
    got = crashkernel.estimate(*facts(0, None, "aarch64"))
    assert (got["fits"], got["reason"]) == (False, "nothing is reserved")


@given(st.integers(1, 200 * MIB), st.integers(1, GIB))
def test_estimate_is_monotonous_and_its_limits_do_not_cross(initrd: int, reserved: int) -> None:
    got = crashkernel.estimate(*facts(reserved, initrd))
    assert 0 < got["too_small_up_to"] < got["fits_from"]
    order: dict[bool | None, int] = {False: 0, None: 1, True: 2}
    more = crashkernel.estimate(*facts(reserved + MIB, initrd))
    assert order[more["fits"]] >= order[got["fits"]]


@given(st.integers(1, 400 * MIB))
def test_the_safe_size_fits(initrd: int) -> None:
    value = crashkernel.safe_size(*facts(80 * MIB, initrd))
    assert crashkernel.check(value) == value
    size = crashkernel.parse_size(value)
    assert size % (32 * MIB) == 0
    assert size >= 192 * MIB
    assert crashkernel.estimate(*facts(size, initrd))["fits"] is True


def test_safe_size() -> None:
    assert crashkernel.safe_size(*facts(80 * MIB, LAB_INITRD)) == "224M"
    assert crashkernel.safe_size(*facts(80 * MIB, MIB)) == "192M"
    assert crashkernel.safe_size(*facts(0, None)) == "256M"
    with pytest.raises(
        FleetopsError, match="No safe crashkernel size is known for the architecture 'aarch64'"
    ):
        crashkernel.safe_size(*facts(0, LAB_INITRD, "aarch64"))


@pytest.mark.parametrize(
    ("memory", "initrd", "value"),
    [
        (GIB, LAB_INITRD, "224M"),  # the lab machine: its memory blocks, what is reserved included
        (768 * MIB, MIB, "192M"),  # a quarter to the byte
        (768 * MIB - 1, MIB, None),
        (512 * MIB, LAB_INITRD, None),
        (512 * MIB, None, None),  # nothing known about the initrd: 256M, which is half of it
        (None, LAB_INITRD, "224M"),
    ],
)
def test_the_safe_size_leaves_the_machine_its_memory(
    memory: int | None, initrd: int | None, value: str | None
) -> None:
    kernel, kdump = facts(80 * MIB, initrd)
    kernel["memory_bytes"] = memory
    if value:
        assert crashkernel.safe_size(kernel, kdump) == value
    else:
        with pytest.raises(FleetopsError, match=r"\d+M.* a quarter of .* \d+(\.\d)? MiB"):
            crashkernel.safe_size(kernel, kdump)


def test_the_refusal_names_both_numbers() -> None:
    kernel, kdump = facts(0, LAB_INITRD)
    kernel["memory_bytes"] = 512 * MIB
    with pytest.raises(FleetopsError) as caught:
        crashkernel.safe_size(kernel, kdump)
    assert caught.value.msg == (
        "The safe crashkernel size here is 224M, more than a quarter of this machine's 512 MiB of memory: name a size"
    )


@pytest.mark.parametrize(
    ("reserved", "initrd", "release", "says"),
    [
        (
            80,
            LAB_INITRD,
            "6.1.0-47-cloud-amd64",
            "up to 96 MiB the capture kernel was seen to run out of memory",
        ),
        # what hung with a smaller initrd hangs with a larger one
        (
            80,
            12 * MIB,
            "6.1.0-47-cloud-amd64",
            "up to 96 MiB the capture kernel was seen to run out of memory",
        ),
        # nobody measured these
        (
            98,
            12 * MIB,
            "6.1.0-47-cloud-amd64",
            "up to 99.4 MiB the capture kernel is estimated to run out of",
        ),
        (
            50,
            MIB,
            "6.1.0-47-cloud-amd64",
            "up to 58 MiB the capture kernel is estimated to run out of memory",
        ),
        (
            80,
            LAB_INITRD,
            "6.12.1-1-amd64",
            "up to 96 MiB the capture kernel is estimated to run out of memory",
        ),
        (80, LAB_INITRD, None, "is estimated to run out of memory"),
    ],
)
def test_too_small_says_whether_it_was_seen(
    reserved: int, initrd: int, release: str | None, says: str
) -> None:
    kernel, kdump = facts(reserved * MIB, initrd)
    kernel["release"] = release
    got = crashkernel.estimate(kernel, kdump)
    assert got["fits"] is False
    assert says in got["reason"]


def test_a_smaller_initrd_than_the_measured_one_is_not_called_too_small_at_what_hung() -> None:
    kernel, kdump = facts(96 * MIB, 4 * MIB)
    assert crashkernel.estimate(kernel, kdump)["fits"] is None


@pytest.mark.parametrize(
    ("reserved", "requested", "value"),
    [
        (512 * MIB, ["512M"], "512M"),
        (GIB, ["1G"], "1G"),  # in the words of the site
        (GIB, ["128M", "1G"], "1G"),
        (220 * MIB, ["220M"], "220M"),  # it fits, with less margin than a new one would get
        (512 * MIB, [UBUNTU_24], "512M"),
        (512 * MIB, ["512M,high", "72M,low"], "512M"),
        (256 * MIB, ["512M"], "256M"),  # shrunk since
        (256 * MIB, ["nonsense"], "256M"),
        (256 * MIB + 1, [], "257M"),
        (200 * MIB, ["200M"], "224M"),  # not sure to fit
        (80 * MIB, ["80M"], "224M"),
    ],
)
def test_the_safe_size_never_takes_away(reserved: int, requested: list[str], value: str) -> None:
    kernel, kdump = facts(reserved, LAB_INITRD)
    kdump["reservation"]["requested"] = requested
    kernel["memory_bytes"] = 900 * MIB  # what is there stays, even if it is more than a quarter
    assert crashkernel.safe_size(kernel, kdump) == value


def test_the_safe_size_takes_away_nothing_when_it_is_a_guess() -> None:
    kernel, kdump = facts(512 * MIB, None)
    kdump["reservation"]["requested"] = ["512M"]
    assert crashkernel.safe_size(kernel, kdump) == "512M"
