# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's time spans, against systemd itself where it is there."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import systemd


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("90s", 90.0),
        ("1min 30s", 90.0),
        ("1min30s", 90.0),
        (" 2 h ", 7200.0),
        ("1.5min", 90.0),
        ("1M", 2629800.0),
        ("1m", 60.0),
        ("500ms", 0.5),
        ("0", 0.0),
        ("", None),
        ("   ", None),
        ("soon", None),
        ("10x", None),
        ("-5", None),
        ("5 5 x", None),
        ("7" * 5000 + "!", None),
    ],
)
def test_a_span(text: str, seconds: float | None) -> None:
    assert systemd.span(text) == seconds


UNITS = (
    "",
    "s",
    "sec",
    "seconds",
    "min",
    "m",
    "minute",
    "h",
    "hr",
    "hours",
    "d",
    "day",
    "w",
    "weeks",
    "M",
    "month",
    "y",
)
PIECES = st.tuples(st.integers(0, 999), st.sampled_from(["", " "]), st.sampled_from(UNITS))


@given(st.lists(PIECES, min_size=1, max_size=4))
def test_spans_are_what_systemd_makes_of_them(pieces: list[tuple[int, str, str]]) -> None:
    analyze = shutil.which("systemd-analyze")
    text = " ".join(f"{number}{blank}{unit}" for number, blank, unit in pieces)
    ours = systemd.span(text)
    assert ours is not None
    if analyze is None:  # the sum, by hand
        assert ours == sum(number * (systemd.span(f"1{unit}") or 0) for number, _blank, unit in pieces)
        return
    done = subprocess.run([analyze, "timespan", text], capture_output=True, text=True, check=True)
    (microseconds,) = [
        line.split(":")[1] for line in done.stdout.splitlines() if "s:" in line and "Orig" not in line
    ][:1]
    assert round(ours * 1e6) == int(microseconds)
