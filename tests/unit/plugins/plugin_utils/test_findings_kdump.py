# SPDX-License-Identifier: GPL-3.0-or-later
"""A reservation that failed, room for a dump, dumps that lie there: the fault, the clean machine, the unreadable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils import verdict

Facts = dict[str, Any]
Judged = Callable[..., dict[str, Any]]
MIB, GIB = 1 << 20, 1 << 30
WHY = "Cannot read it: Permission denied (needs root)"
ARMED, RESERVED = "kdump-not-armed:kdump", "kdump-not-reserved:crashkernel"
ROOM, WAITING = "dump-target-too-small:target", "dumps-waiting:target"


def unreserved(facts: Facts, *requested: str) -> None:
    """As kdump-tools leaves it where nothing was reserved."""
    facts["kdump"]["reservation"].update(requested=list(requested), bytes=0, low_bytes=0, high_bytes=0)
    facts["kdump"]["capture"].update(loaded=False, cmdline=None, panic=None)
    facts["kdump"]["unknown"]["capture.cmdline"] = "no capture kernel is loaded"


def dump(minute: int, complete: bool | None = True) -> Facts:
    stamp = f"20261120031{minute}"
    time = 1795144200.0 + 60 * minute  # 2026-11-20 03:10 UTC
    return {"path": f"/var/crash/{stamp}/dump.{stamp}", "bytes": 27 * MIB, "time": time, "complete": complete}


def test_the_clean_machine_was_looked_at(clean: Facts, judged: Judged) -> None:
    found = judged(clean)
    for key in (ARMED, RESERVED, ROOM, WAITING):
        assert found[key]["status"] == "ok"


# --- the reservation ---------------------------------------------------------------------------------


def test_what_was_asked_for_and_not_reserved(clean: Facts, opened: Judged) -> None:
    unreserved(clean, "512M")
    found = opened(clean)
    assert list(found) == [RESERVED], "kdump-not-armed would say the same thing again"
    finding = found[RESERVED]
    assert (finding["status"], finding["severity"]) == ("affected", "high")
    assert "asks for 512M, and nothing is reserved: the kernel found no room" in finding["reason"]
    assert finding["remedy"]["role"] == "crashkernel"
    assert finding["evidence"] == [
        {"source": "/proc/cmdline", "text": "crashkernel=512M"},
        {"source": "/sys/kernel/kexec_crash_size", "text": "0"},
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [("4G-:512M", "of this much memory it asks for none"), ("auto", "crashkernel=auto is malformed")],
)
def test_why_nothing_was_reserved_where_its_words_tell(
    clean: Facts, opened: Judged, asked: str, words: str
) -> None:
    unreserved(clean, asked)
    assert words in opened(clean)[RESERVED]["reason"]


def test_what_was_not_asked_for_is_not_armed(clean: Facts, judged: Judged, opened: Judged) -> None:
    unreserved(clean)
    assert list(opened(clean)) == [ARMED]
    assert RESERVED not in judged(clean)


def test_reserved_and_not_loaded_is_not_armed(clean: Facts, judged: Judged, opened: Judged) -> None:
    clean["kdump"]["capture"].update(loaded=False, cmdline=None, panic=None)
    assert list(opened(clean)) == [ARMED]
    assert judged(clean)[RESERVED]["status"] == "ok"


def test_without_a_kdump_package_no_reservation_is_a_cure(clean: Facts, opened: Judged) -> None:
    unreserved(clean, "512M")
    clean["kdump"].update(implementation=None, service=None, target=None)
    found = opened(clean)
    assert set(found) == {ARMED, RESERVED}, "two faults: nothing is reserved, nothing is installed"
    assert [finding["remedy"] for finding in found.values()] == [None, None]


@pytest.mark.parametrize(("path", "requested"), [("bytes", ["224M"]), ("requested", [])])
def test_the_reservation_cannot_be_read(
    clean: Facts, opened: Judged, path: str, requested: list[str]
) -> None:
    clean["kdump"]["reservation"].update(requested=requested, bytes=None)
    clean["kdump"]["unknown"][f"reservation.{path}"] = WHY
    finding = opened(clean)[RESERVED]
    assert (finding["status"], finding["severity"], finding["remedy"]) == ("unknown", "high", None)
    assert WHY in finding["reason"]


# --- room for a dump ---------------------------------------------------------------------------------


def test_a_full_target(clean: Facts, opened: Judged) -> None:
    clean["kdump"]["target"]["free_bytes"] = verdict.LEAST_DUMP - 1
    found = opened(clean)
    assert list(found) == [ROOM]
    assert (found[ROOM]["status"], found[ROOM]["severity"], found[ROOM]["remedy"]) == (
        "affected",
        "high",
        None,
    )
    assert "/var/crash has 64 MiB free, of 64 MiB at least" in found[ROOM]["reason"]
    assert found[ROOM]["evidence"][0]["source"] == "/var/crash"
    assert verdict.on_panic(clean)["outcome"] == "reboots"  # type: ignore[arg-type]


@pytest.mark.parametrize(("free", "enough"), [(13 * GIB, True), (12 * GIB, False)])
def test_large_machines_need_more(clean: Facts, opened: Judged, free: int, enough: bool) -> None:
    clean["kernel"]["memory_bytes"] = 256 * GIB
    clean["kdump"]["target"]["free_bytes"] = free
    found = opened(clean)
    assert list(found) == ([] if enough else [ROOM])
    assert verdict.on_panic(clean)["outcome"] == ("dumps" if enough else "reboots")  # type: ignore[arg-type]
    if not enough:
        assert (found[ROOM]["status"], found[ROOM]["severity"]) == ("unknown", "low")
        assert "a dump of 262144 MiB of memory mostly takes 13107.2 MiB or more" in found[ROOM]["reason"]


def test_a_remote_target_is_not_asked(clean: Facts, opened: Judged) -> None:
    clean["kdump"]["target"] = {
        "path": "dumps@10.0.0.9:/srv",
        "kind": "ssh",
        "free_bytes": None,
        "total_bytes": None,
    }
    found = opened(clean)
    assert list(found) == [ROOM]
    assert (found[ROOM]["status"], found[ROOM]["severity"]) == ("unknown", "low")
    assert "no drill has proved it" in found[ROOM]["reason"]


@pytest.mark.parametrize("path", ["target", "target.free_bytes"])
def test_the_room_cannot_be_read(clean: Facts, opened: Judged, path: str) -> None:
    if path == "target":
        clean["kdump"]["target"] = None
    else:
        clean["kdump"]["target"]["free_bytes"] = None
    clean["kdump"]["unknown"][path] = WHY
    found = opened(clean)
    assert list(found) == [ROOM]
    assert (found[ROOM]["status"], found[ROOM]["severity"]) == ("unknown", "high")
    assert WHY in found[ROOM]["reason"]


def test_how_large_a_dump_gets_is_unknown_without_the_memory(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["memory_bytes"] = None
    clean["kernel"]["unknown"]["memory_bytes"] = WHY
    finding = opened(clean)[ROOM]
    assert (finding["status"], finding["severity"]) == ("unknown", "low")
    assert WHY in finding["reason"]


# --- dumps -------------------------------------------------------------------------------------------


def test_a_dump_that_waits(clean: Facts, opened: Judged) -> None:
    clean["kdump"]["dumps"] = [dump(1), dump(2)]
    found = opened(clean)
    assert list(found) == [WAITING]
    assert (found[WAITING]["status"], found[WAITING]["severity"], found[WAITING]["remedy"]) == (
        "affected",
        "low",
        None,
    )
    assert "2 dumps lie on the disk" in found[WAITING]["reason"]
    assert (
        "of 2026-11-20 03:12 UTC, is complete (/var/crash/202611200312/dump.202611200312)"
        in found[WAITING]["reason"]
    )
    assert "incomplete" not in found[WAITING]["reason"].lower()
    assert found[WAITING]["evidence"][0]["source"] == dump(2)["path"]


@pytest.mark.parametrize(
    ("complete", "words"), [(False, "is INCOMPLETE"), (None, "does not tell whether it is complete")]
)
def test_a_newest_dump_that_is_not_complete(
    clean: Facts, opened: Judged, complete: bool | None, words: str
) -> None:
    clean["kdump"]["dumps"] = [dump(1, complete)]
    reason = opened(clean)[WAITING]["reason"]
    assert "a dump lies on the disk" in reason
    assert words in reason
    assert "incomplete as well" not in reason


def test_older_incomplete_dumps_are_named(clean: Facts, opened: Judged) -> None:
    clean["kdump"]["dumps"] = [dump(1, complete=False), dump(2)]
    clean["kdump"]["unknown"]["dumps.older"] = "only the newest are listed, of 12 folders in '/var/crash'"
    reason = opened(clean)[WAITING]["reason"]
    assert f"incomplete as well: {dump(1)['path']}" in reason
    assert "2 or more dumps lie" in reason


def test_dumps_cannot_be_read(clean: Facts, opened: Judged) -> None:
    clean["kdump"]["dumps"] = None
    clean["kdump"]["unknown"]["dumps"] = WHY
    found = opened(clean)
    assert list(found) == [WAITING]
    assert (found[WAITING]["status"], found[WAITING]["severity"]) == ("unknown", "low")
    assert WHY in found[WAITING]["reason"]


def test_the_captured_dumps_are_found(facts_of: Callable[[str], Facts], opened: Judged) -> None:
    facts = facts_of("debian-6.1-dumps")
    (_whole, cut) = facts["kdump"]["dumps"]
    assert f"is INCOMPLETE ({cut['path']})" in opened(facts)[WAITING]["reason"]


def test_a_container_has_no_kdump(clean: Facts, opened: Judged) -> None:
    clean["kernel"]["container"] = True
    for key in (RESERVED, ROOM):
        assert "this is a container" in opened(clean)[key]["reason"]
