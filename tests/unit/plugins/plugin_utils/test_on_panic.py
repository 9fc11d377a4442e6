# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens if a node panics now: every combination of the readings, against what they prove."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils import verdict

Facts = dict[str, Any]
MIB = 1 << 20
WHY = "needs root"

LOADED = (True, False, None)
ROOM = ("small", "between", "fits", "nothing known", "initrd unknown", "other architecture")
WORD = (10, -1, 0, "none", "unknown")
DOG = ("armed", "disarmed", "soft", "none", "state unknown", "identity unknown", "unknown")
PANIC = (0, 10, -1, "unknown")
KEEP = ("room", "no room", "room unknown", "remote", "unknown")

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
LINE = {"raw": "nr_cpus=1", "tokens": ["nr_cpus=1"], "init_args": []}
TARGETS: dict[str, Any] = {
    "room": {"path": "/var/crash", "kind": "local", "free_bytes": verdict.LEAST_DUMP},
    "no room": {"path": "/var/crash", "kind": "local", "free_bytes": verdict.LEAST_DUMP - 1},
    "room unknown": {"path": "/var/crash", "kind": "local", "free_bytes": None},
    "remote": {"path": "10.0.0.9:/dumps", "kind": "nfs", "free_bytes": None},
    "unknown": None,
}


def machine(
    clean: Facts,
    loaded: bool | None,
    room: str,
    word: int | str,
    dog: str,
    panic: int | str,
    keep: str = "room",
) -> Facts:
    """A node with these readings: each is set anew, so that one copy serves for all cases."""
    kernel, kdump = clean["kernel"], clean["kdump"]
    capture, unknown = kdump["capture"], kdump["unknown"]
    capture["loaded"] = loaded
    kdump["reservation"]["bytes"] = {"small": 80, "between": 128, "nothing known": None}.get(room, 512)
    if kdump["reservation"]["bytes"] is not None:
        kdump["reservation"]["bytes"] *= MIB
    capture["initrd_bytes"] = None if room == "initrd unknown" else 9 * MIB
    kernel["architecture"] = "aarch64" if room == "other architecture" else "x86_64"
    capture["panic"] = word if isinstance(word, int) else None
    capture["cmdline"] = None if word == "unknown" else LINE
    kdump["target"] = TARGETS[keep]
    kernel["watchdogs"] = DOGS[dog] and [{"name": "watchdog0", "timeout": 30, **one} for one in DOGS[dog]]
    kernel["panic_sysctls"]["kernel.panic"] = None if panic == "unknown" else panic
    kernel["unknown"]["panic_sysctls.kernel.panic"] = kernel["unknown"]["watchdogs"] = WHY
    paths = ("capture.loaded", "capture.cmdline", "reservation.bytes", "capture.initrd_bytes", "target")
    unknown.update(dict.fromkeys(paths, WHY))
    return clean


def proved(loaded: bool | None, room: str, word: int | str, dog: str, panic: int | str, keep: str) -> str:
    """What these readings prove, by the three nets and the room for the dump."""
    if loaded is None:
        return "reboots" if dog == "armed" else "unknown"
    if loaded and room == "fits":
        return "dumps" if keep == "room" else "reboots"
    comes_back = word in (10, -1) if loaded else panic in (10, -1)
    if comes_back or dog == "armed":
        return "reboots"
    stays = word in (0, "none") if loaded else panic == 0
    lost = room == "small" if loaded else True
    return "hangs" if stays and lost and dog in NO_DOG else "unknown"


@pytest.mark.parametrize("loaded", LOADED)
@pytest.mark.parametrize("room", ROOM)
def test_the_verdict_is_what_the_readings_prove(clean: Facts, loaded: bool | None, room: str) -> None:
    for word, dog, panic, keep in itertools.product(WORD, DOG, PANIC, KEEP):
        case: Any = (loaded, room, word, dog, panic, keep)
        found: Any = verdict.on_panic(machine(clean, *case))  # type: ignore[arg-type]
        assert found["outcome"] == proved(*case), (case, found["because"])
        assert found["because"], case
        assert "\n" not in found["because"], case
        # Who may get a dump is told so, and nobody else is.
        may = loaded and (room == "fits" or found["outcome"] == "reboots") and room != "small"
        said = "may dump" in found["because"]
        assert said is bool(may and keep != "no room" and found["outcome"] != "dumps"), (
            case,
            found["because"],
        )


@pytest.mark.parametrize("loaded", LOADED)
def test_a_kernel_whose_dump_may_fail_promises_none(clean: Facts, loaded: bool | None) -> None:
    for room, word, dog, panic, keep in itertools.product(ROOM, WORD, DOG, PANIC, KEEP):
        case: Any = (loaded, room, word, dog, panic, keep)
        doubted: Any = (loaded, "between" if room == "fits" else room, word, dog, panic, keep)
        found: Any = verdict.on_panic(machine(clean, *case), ["lp2163062"])  # type: ignore[arg-type]
        # However much is reserved, it is as if that were not known to be enough.
        assert found["outcome"] == proved(*doubted)
        assert ("lp2163062" in found["because"]) is (loaded is True and room == "fits"), case


def nulls(case: tuple[Any, ...]) -> set[str]:
    loaded, room, word, dog, panic, keep = case
    found = {"loaded"} if loaded is None else set()
    found |= {"room"} if room not in ("small", "fits") else set()
    found |= {"word"} if word == "unknown" else set()
    found |= {"keep"} if keep not in ("room", "no room") else set()
    found |= {"dog"} if dog not in ("armed", *NO_DOG) else set()
    return found | ({"panic"} if panic == "unknown" else set())


def test_the_invariants_hold_for_every_combination(clean: Facts) -> None:
    seen = set()
    for case in itertools.product(LOADED, ROOM, WORD, DOG, PANIC, KEEP):
        found: Any = verdict.on_panic(machine(clean, *case))  # type: ignore[arg-type]
        outcome, missing = found["outcome"], nulls(case)
        seen.add(outcome)
        if outcome == "dumps":
            assert not missing & {"loaded", "room", "keep"}, case
            assert case[-1] == "room", case
        if outcome == "hangs":
            assert not missing & (
                {"loaded", "room", "word", "dog"} if case[0] else {"loaded", "panic", "dog"}
            ), case
        if outcome == "unknown":
            assert missing - {"keep"}, case
    assert seen == {"dumps", "reboots", "hangs", "unknown"}


def test_softdog_never_counts_and_is_said_not_to(clean: Facts) -> None:
    found: Any = verdict.on_panic(machine(clean, True, "small", "none", "soft", 10))  # type: ignore[arg-type]
    assert found["outcome"] == "hangs"
    assert "watchdog0 is software and dies with its kernel" in found["because"]
    assert {"source": "/sys/class/watchdog/watchdog0", "text": "Software Watchdog: active"} in found[
        "evidence"
    ]


def test_between_it_reboots_at_least(clean: Facts) -> None:
    found: Any = verdict.on_panic(machine(clean, True, "between", 10, "none", 0))  # type: ignore[arg-type]
    assert found["outcome"] == "reboots"
    assert "reboots at least, and may dump" in found["because"]
    assert "128 MiB" in found["because"]


def test_a_dump_without_any_other_net_is_said_to_be_alone(clean: Facts) -> None:
    found: Any = verdict.on_panic(machine(clean, True, "fits", "none", "none", 0))  # type: ignore[arg-type]
    assert found["outcome"] == "dumps"
    assert "nothing would reboot it" in found["because"]


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (
            "no room",
            "the dump has no room: /var/crash has 64 MiB free, of 64 MiB at least: there will be no dump",
        ),
        (
            "room unknown",
            f"the free space of /var/crash is unknown ({WHY}): it reboots at least, and may dump",
        ),
        ("remote", "to 10.0.0.9:/dumps (nfs), and no drill has proved it: it reboots at least, and may dump"),
        ("unknown", f"where the dump goes is unknown ({WHY}): it reboots at least, and may dump"),
    ],
)
def test_a_dump_that_may_not_be_kept_is_not_promised(clean: Facts, keep: str, words: str) -> None:
    found: Any = verdict.on_panic(machine(clean, True, "fits", 10, "none", 0, keep))  # type: ignore[arg-type]
    assert found["outcome"] == "reboots"
    assert words in found["because"]


def test_the_room_for_the_dump_is_evidence(clean: Facts) -> None:
    found: Any = verdict.on_panic(machine(clean, True, "fits", 10, "none", 0))  # type: ignore[arg-type]
    assert {"source": "/var/crash", "text": f"local, {64 * MIB} bytes free"} in found["evidence"]


@pytest.mark.parametrize(("enabled", "said"), [(False, True), (True, False), (None, False)])
def test_a_service_that_is_not_enabled_is_told_of(clean: Facts, enabled: bool | None, said: bool) -> None:
    clean["kdump"]["service"]["enabled"] = enabled
    found: Any = verdict.on_panic(clean)  # type: ignore[arg-type]
    assert found["outcome"] == "dumps"
    assert ("kdump-tools.service is not enabled for the next boot" in found["because"]) is said


@pytest.mark.parametrize(("dog", "said"), [("armed", True), ("disarmed", False), ("soft", False)])
def test_an_armed_watchdog_may_cut_the_dump(clean: Facts, dog: str, said: bool) -> None:
    found: Any = verdict.on_panic(machine(clean, True, "fits", 10, dog, 0))  # type: ignore[arg-type]
    assert found["outcome"] == "dumps"
    words = "the hardware watchdog watchdog0 (30 s) may cut a dump that takes longer"
    assert (words in found["because"]) is said


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
    assert verdict.on_panic(facts_of(tree))["outcome"] == outcome


def test_a_captured_watchdog_turns_the_hang_into_a_reboot(facts_of: Any) -> None:
    facts = facts_of("debian-6.1-generic-watchdog")
    facts["kdump"]["reservation"]["bytes"] = 80 * MIB
    found = verdict.on_panic(facts)
    assert found["outcome"] == "reboots"
    assert "i6300ESB timer, 30 s" in found["because"]


@pytest.mark.parametrize("part", ["kernel", "kdump"])
def test_a_reader_that_did_not_run_is_unknown(clean: Facts, part: str) -> None:
    clean[part] = None
    found: Any = verdict.on_panic(clean)  # type: ignore[arg-type]
    assert found["outcome"] == "unknown"
    assert f"the {part} facts were not read" in found["because"]


def test_a_container_has_no_panic_of_its_own(clean: Facts) -> None:
    clean["kernel"]["container"] = True
    found: Any = verdict.on_panic(clean)  # type: ignore[arg-type]
    assert found["outcome"] == "unknown"
    assert "container" in found["because"]
