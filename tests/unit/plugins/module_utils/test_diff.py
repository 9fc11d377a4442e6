# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import diff


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("", "", ("", "")),
        ("a\nb\n", "a\nb\n", ("", "")),
        ("", "a\n", ("", "a\n")),
        ("secret\nb\nend\n", "secret\nc\nend\n", ("b\n", "c\n")),
        ("a\na\n", "a\na\na\n", ("", "a\n")),
        ("a\nb", "a\nb\n", ("b", "b\n")),
    ],
)
def test_only_what_changes_is_shown(before: str, after: str, shown: tuple[str, str]) -> None:
    part = diff.part("file", before, after)
    assert (part["before"], part["after"]) == shown
    assert (part["before_header"], part["after_header"]) == ("file", "file")
