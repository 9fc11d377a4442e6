# SPDX-License-Identifier: GPL-3.0-or-later
"""A default that is one and the same kernel's: the fault alone, the clean machine, the unreadable source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Facts = dict[str, Any]
Judged = Callable[..., dict[str, Any]]
PINNED = "default-pinned:boot"
RUNS = "6.1.0-47-cloud-amd64"
OWN_ENTRY = f"gnulinux-advanced-42>gnulinux-{RUNS}-advanced-42"
OURS = {"path": "/etc/default/grub.d/zz-fleetops-default.cfg", "entry": OWN_ENTRY, "release": RUNS}


def named(facts: Facts, by: str, entry: str = OWN_ENTRY, **more: Any) -> None:
    because = f"default in grub.cfg: {entry}"
    facts["kernel"]["next_boot"].update(named_by=by, entry=entry, because=because, **more)


def test_the_clean_machine_was_looked_at(clean: Facts, judged: Judged) -> None:
    found = judged(clean)[PINNED]
    assert (found["status"], found["severity"], found["remedy"]) == ("ok", "low", None)


@pytest.mark.parametrize(
    ("by", "entry", "status"),
    [
        ("id", OWN_ENTRY, "affected"),
        ("title", OWN_ENTRY, "affected"),
        ("first", OWN_ENTRY, "ok"),
        ("position", OWN_ENTRY, "ok"),  # boot-entry-by-position says it
        ("id", "gnulinux-simple-42", "ok"),  # whatever is the newest
        ("title", "gnulinux-simple-42", "ok"),
    ],
)
def test_how_the_entry_is_named(clean: Facts, judged: Judged, by: str, entry: str, status: str) -> None:
    named(clean, by, entry)
    found = judged(clean)[PINNED]
    assert found["status"] == status
    if status == "affected":
        for words in (RUNS, f"by its {by}", f"default in grub.cfg: {entry}", "do not boot by themselves"):
            assert words in found["reason"]
        assert found["evidence"] == [{"source": entry, "text": f"default in grub.cfg: {entry}"}]


def test_it_is_the_only_finding(clean: Facts, opened: Judged) -> None:
    named(clean, "id")
    assert list(opened(clean)) == [PINNED]


@pytest.mark.parametrize(("by", "once"), [("id", False), ("first", False), ("id", True)])
def test_our_own_pin_says_so_even_where_grub_was_not_told_yet(
    clean: Facts, judged: Judged, by: str, once: bool
) -> None:
    named(clean, by, once=once)
    clean["kernel"]["pinned"] = dict(OURS)
    found = judged(clean)[PINNED]
    assert found["status"] == "affected"
    assert f"pinned to {RUNS} by a file of this collection" in found["reason"]
    assert found["evidence"][0] == {"source": OURS["path"], "text": f"GRUB_DEFAULT={OWN_ENTRY}"}


def test_an_entry_for_one_boot_is_no_default(clean: Facts, judged: Judged) -> None:
    named(clean, "id", once=True)
    assert PINNED not in judged(clean)


def test_it_could_not_be_read(clean: Facts, judged: Judged) -> None:
    why = "Cannot read '/boot/grub/grub.cfg': Permission denied (needs root)"
    clean["kernel"]["next_boot"] = None
    clean["kernel"]["unknown"]["next_boot"] = why
    found = judged(clean)[PINNED]
    assert found["status"] == "unknown"
    assert why in found["reason"]


# --- where packages name what they install -----------------------------------------------------------


def test_the_newest_is_named_by_the_packages_of_red_hat(clean: Facts, judged: Judged) -> None:
    named(clean, "id")
    clean["kernel"]["distro"] = {"id": "rocky", "version_id": "9", "codename": "", "family": "redhat"}
    found = judged(clean)[PINNED]
    assert found["status"] == "ok"
    assert "the newest one" in found["reason"]


def test_an_older_one_was_pinned_by_somebody(clean: Facts, judged: Judged, add_kernel: Any) -> None:
    add_kernel(clean, "6.1.0-56-cloud-amd64", "6.1.192-2")
    named(clean, "id")
    clean["kernel"]["distro"]["family"] = "redhat"
    found = judged(clean)[PINNED]
    assert found["status"] == "affected"
    assert "6.1.0-56-cloud-amd64 is newer" in found["reason"]


def test_which_is_the_newest_is_not_known(clean: Facts, judged: Judged) -> None:
    named(clean, "id")
    clean["kernel"]["distro"]["family"] = "redhat"
    clean["kernel"]["installed"] = None
    clean["kernel"]["unknown"]["installed"] = "lost"
    found = judged(clean)[PINNED]
    assert found["status"] == "unknown"
    assert "lost" in found["reason"]
