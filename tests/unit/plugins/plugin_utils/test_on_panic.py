# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens if a node panics now: every combination of the readings, against what they prove."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings

Facts = dict[str, Any]
MIB = 1 << 20
WHY = "needs root"

LOADED = (True, False, None)
ROOM = ("small", "between", "fits", "nothing known", "initrd unknown", "other architecture")
WORD = (10, -1, 0, "none", "unknown")
DOG = ("armed", "disarmed", "soft", "none", "state unknown", "identity unknown", "unknown")
PANIC = (0, 10, -1, "unknown")

DOGS: dict[str, Any] = {
    "armed": [{"identity": "i6300ESB timer", "hardware": True, "active": True}],
    "disarmed": [{"identity": "i6300ESB timer", "hardware": True, "active": False}],
    "soft": [{"identity": "Software Watchdog", "hardware": False, "active": True}],
    "none": [],
    "state unknown": [{"identity": "i6300ESB timer", "hardware": True, "active": None}],
    "identity unknown": [{"identity": "", "hardware": False, "active": True}],
    "unknown": None,
}
NO_DOG = ("disarmed", "soft", "none")


def machine(
    clean: Facts, loaded: bool | None, room: str, word: int | str, dog: str, panic: int | str
) -> Facts:
    """A node with these readings."""
    kernel, kdump = clean["kernel"], clean["kdump"]
    capture, unknown = kdump["capture"], kdump["unknown"]
    capture["loaded"] = loaded
    kdump["reservation"]["bytes"] = {"small": 80, "between": 128, "nothing known": None}.get(room, 512)
    if kdump["reservation"]["bytes"] is not None:
        kdump["reservation"]["bytes"] *= MIB
    if room == "initrd unknown":
        capture["initrd_bytes"] = None
    kernel["architecture"] = "aarch64" if room == "other architecture" else "x86_64"
    capture["panic"] = word if isinstance(word, int) else None
    if word == "unknown":
        capture["cmdline"] = None
    kernel["watchdogs"] = DOGS[dog] and [{"name": "watchdog0", "timeout": 30, **one} for one in DOGS[dog]]
    kernel["panic_sysctls"]["kernel.panic"] = None if panic == "unknown" else panic
    kernel["unknown"]["panic_sysctls.kernel.panic"] = kernel["unknown"]["watchdogs"] = WHY
    for path in ("capture.loaded", "capture.cmdline", "reservation.bytes", "capture.initrd_bytes"):
        unknown[path] = WHY
    return clean


def proved(loaded: bool | None, room: str, word: int | str, dog: str, panic: int | str) -> str:
    """What these readings prove, by the three nets."""
    if loaded is None:
        return "reboots" if dog == "armed" else "unknown"
    if loaded and room == "fits":
        return "dumps"
    comes_back = word in (10, -1) if loaded else panic in (10, -1)
    if comes_back or dog == "armed":
        return "reboots"
    stays = word in (0, "none") if loaded else panic == 0
    lost = room == "small" if loaded else True
    return "hangs" if stays and lost and dog in NO_DOG else "unknown"


@pytest.mark.parametrize("loaded", LOADED)
@pytest.mark.parametrize("room", ROOM)
def test_the_verdict_is_what_the_readings_prove(facts_of: Any, loaded: bool | None, room: str) -> None:
    for word, dog, panic in itertools.product(WORD, DOG, PANIC):
        case: Any = (loaded, room, word, dog, panic)
        found: Any = findings.on_panic(machine(facts_of("debian-6.1-clean"), *case))  # type: ignore[arg-type]
        assert found["outcome"] == proved(*case), (case, found["because"])
        assert found["because"], case
        assert "\n" not in found["because"], case


def nulls(case: tuple[Any, ...]) -> set[str]:
    loaded, room, word, dog, panic = case
    found = {"loaded"} if loaded is None else set()
    found |= {"room"} if room not in ("small", "fits") else set()
    found |= {"word"} if word == "unknown" else set()
    found |= {"dog"} if dog not in ("armed", *NO_DOG) else set()
    return found | ({"panic"} if panic == "unknown" else set())


def test_the_invariants_hold_for_every_combination(facts_of: Any) -> None:
    seen = set()
    for case in itertools.product(LOADED, ROOM, WORD, DOG, PANIC):
        found: Any = findings.on_panic(machine(facts_of("debian-6.1-clean"), *case))  # type: ignore[arg-type]
        outcome, missing = found["outcome"], nulls(case)
        seen.add(outcome)
        if outcome == "dumps":
            assert not missing & {"loaded", "room"}, case
        if outcome == "hangs":
            assert not missing & (
                {"loaded", "room", "word", "dog"} if case[0] else {"loaded", "panic", "dog"}
            ), case
        if outcome == "unknown":
            assert missing, case
    assert seen == {"dumps", "reboots", "hangs", "unknown"}


def test_softdog_never_counts_and_is_said_not_to(clean: Facts) -> None:
    found: Any = findings.on_panic(machine(clean, True, "small", "none", "soft", 10))  # type: ignore[arg-type]
    assert found["outcome"] == "hangs"
    assert "watchdog0 is software and dies with its kernel" in found["because"]
    assert {"source": "/sys/class/watchdog/watchdog0", "text": "Software Watchdog: active"} in found[
        "evidence"
    ]


def test_between_it_reboots_at_least(clean: Facts) -> None:
    found: Any = findings.on_panic(machine(clean, True, "between", 10, "none", 0))  # type: ignore[arg-type]
    assert found["outcome"] == "reboots"
    assert "reboots at least, and may dump" in found["because"]
    assert "128 MiB" in found["because"]


def test_a_dump_without_any_other_net_is_said_to_be_alone(clean: Facts) -> None:
    found: Any = findings.on_panic(machine(clean, True, "fits", "none", "none", 0))  # type: ignore[arg-type]
    assert found["outcome"] == "dumps"
    assert "nothing would reboot it" in found["because"]


@pytest.mark.parametrize(
    ("tree", "outcome"),
    [
        ("debian-6.1-clean", "dumps"),
        ("debian-6.1-dumps", "dumps"),
        ("debian-6.1-incident", "hangs"),
        ("debian-6.1-incident-noroot", "hangs"),
        ("debian-6.18-no-kdump", "reboots"),
    ],
)
def test_captured_machines(facts_of: Any, tree: str, outcome: str) -> None:
    assert findings.on_panic(facts_of(tree))["outcome"] == outcome


def test_a_captured_watchdog_turns_the_hang_into_a_reboot(facts_of: Any) -> None:
    facts = facts_of("debian-6.1-generic-watchdog")
    facts["kdump"]["reservation"]["bytes"] = 80 * MIB
    found = findings.on_panic(facts)
    assert found["outcome"] == "reboots"
    assert "i6300ESB timer, 30 s" in found["because"]


@pytest.mark.parametrize("part", ["kernel", "kdump"])
def test_a_reader_that_did_not_run_is_unknown(clean: Facts, part: str) -> None:
    clean[part] = None
    found: Any = findings.on_panic(clean)  # type: ignore[arg-type]
    assert found["outcome"] == "unknown"
    assert f"the {part} facts were not read" in found["because"]


def test_a_container_has_no_panic_of_its_own(clean: Facts) -> None:
    clean["kernel"]["container"] = True
    found: Any = findings.on_panic(clean)  # type: ignore[arg-type]
    assert found["outcome"] == "unknown"
    assert "container" in found["because"]
