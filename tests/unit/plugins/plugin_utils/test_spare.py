# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel to go back to, and which are left over."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import spare

A, B, C, D = (f"6.1.0-{number}-amd64" for number in (40, 47, 53, 56))


def kernel(release: str, status: str = "ii", bootable: bool | None = True) -> dict[str, Any]:
    package = {"name": f"linux-image-{release}", "version": "1", "status": status}
    return {"release": release, "package": package, "bootable": bootable, "beside": []}


def node(running: str, *installed: dict[str, Any], boots: str | None = None, **more: Any) -> dict[str, Any]:
    facts = {
        "release": running,
        "installed": list(installed),
        "next_boot": {"release": boots or running},
        "distro": {"id": "debian", "version_id": "12", "codename": "bookworm", "family": "debian"},
        "unknown": {},
        **more,
    }
    return {"fleetops_kernel": facts}


@pytest.mark.parametrize(
    ("facts", "release", "back", "held"),
    [
        (node(C, kernel(A), kernel(B), kernel(C)), "", B, [C]),
        (node(C, kernel(A), kernel(B), kernel(C)), A, A, [C]),
        # A broken one, and one of another flavour, are none to go back to.
        (node(C, kernel(A), kernel(B, bootable=False), kernel(C)), "", A, [C]),
        (node(C, kernel(A), kernel("6.1.0-47-cloud-amd64"), kernel(C)), "", A, [C]),
        # Newer ones that wait for a reboot do not matter; a held one is what a rollback left, where nothing is older.
        (node(C, kernel(B), kernel(C), kernel(D)), "", B, [C]),
        (node(C, kernel(C), kernel(D, "hi")), "", C, []),
        (node(C, kernel(B, bootable=False), kernel(C), kernel(D, "hi")), "", C, []),
        # What is named is gone to, and is stayed with.
        (node(C, kernel(B), kernel(C), kernel(D, "hi")), B, B, [C]),
        (node(C, kernel(B), kernel(C), kernel(D, "hi")), C, C, []),
        (node(C, kernel(B), kernel(C)), C, C, []),
    ],
)
def test_the_kernel_to_go_back_to(facts: dict[str, Any], release: str, back: str, held: list[str]) -> None:
    found = spare.kernel_previous(facts, release)
    running = facts["fleetops_kernel"]["release"]
    assert found == {
        "release": back,
        "package": f"linux-image-{back}",
        "hold": [f"linux-image-{one}" for one in held],
        "reboot": back != running,
    }


@pytest.mark.parametrize(
    ("facts", "release", "words"),
    [
        (node(B, kernel(B), kernel(C)), "", f"no kernel to go back to: {B} runs.*{B}, {C}"),
        (
            node(C, kernel(A), kernel(B), kernel(C), kernel(D, "hi")),
            "",
            rf"{D} is held and newer than {C}, .* \(kernel_upgrade_release\), one of {B}, {A}, or {C} to stay",
        ),
        (node(B, kernel(B)), A, f"'{A}' is not installed: expected one of {B}"),
        (node(B, installed=None, unknown={"installed": "lost"}), "", "installed is unknown: lost"),
        ({}, "", "was not read"),
    ],
)
def test_no_kernel_to_go_back_to(facts: dict[str, Any], release: str, words: str) -> None:
    with pytest.raises(FleetopsError, match=words):
        spare.kernel_previous(facts, release)


@pytest.mark.parametrize(
    ("facts", "keep", "gone"),
    [
        (node(D, *map(kernel, (A, B, C, D))), 0, [A, B]),
        (node(D, *map(kernel, (A, B, C, D))), 1, [A]),
        (node(D, *map(kernel, (A, B, C, D))), 9, []),
        # The fallback is what a rollback goes back to, not the newest one.
        (node(B, *map(kernel, (A, B, C, D)), boots=D), 0, [C]),
        (node(B, *map(kernel, (A, B, C))), 0, [C]),
        (node(B, *map(kernel, (A, B, C, D))), 1, [C]),
        (node(B, kernel(A), kernel(B), kernel(C, "hi")), 0, []),
        (node(B, kernel(A, bootable=False), kernel(B), kernel(C), kernel(D)), 0, [A, C]),
        (node(C, kernel(A), kernel("6.1.0-47-cloud-amd64"), kernel(C)), 0, ["6.1.0-47-cloud-amd64"]),
        # Where nothing is older, what boots next is the fallback already, if it can boot.
        (node(B, *map(kernel, (B, C, D)), boots=D), 0, [C]),
        (node(B, kernel(B), kernel(C), kernel(D, bootable=False), boots=D), 0, []),
        (node(D, *map(kernel, (A, B, C, D)), boots=C), 0, [A, B]),
        (node(D, *map(kernel, (A, B, C, D)), boots=A), 0, [B]),
        # One that cannot boot is nobody's fallback, and goes.
        (node(D, kernel(A), kernel(B), kernel(C, bootable=False), kernel(D)), 0, [A, C]),
        (node(D, kernel(D)), 0, []),
        # A kernel that failed is held: it stays, and is no fallback.
        (node(C, kernel(A), kernel(B), kernel(C), kernel(D, "hi")), 0, [A]),
        (node(D, {**kernel(A), "package": None}, kernel(B), kernel(D)), 0, []),
    ],
)
def test_what_is_left_over(facts: dict[str, Any], keep: int, gone: list[str]) -> None:
    wanted = [name for one in gone for name in (f"linux-image-{one}", f"linux-modules-{one}")]
    assert spare.kernel_leftovers(facts, keep) == wanted


@pytest.mark.parametrize("running", [B, C, D])
def test_what_a_rollback_goes_back_to_is_never_left_over(running: str) -> None:
    for next_boot in (A, B, C, D):
        facts = node(running, *map(kernel, (A, B, C, D)), boots=next_boot)
        back = spare.kernel_previous(facts)["release"]
        assert f"linux-image-{back}" not in spare.kernel_leftovers(facts)


@pytest.mark.parametrize(
    ("facts", "keep", "words"),
    [
        (node(D, kernel(A, bootable=None), kernel(D)), 0, "can boot is unknown"),
        (node(D, kernel(D), next_boot=None, unknown={"next_boot": "lost"}), 0, "boots next is unknown: lost"),
        (node(D, kernel(D)), -1, "kernel_upgrade_keep is '-1'"),
        (node(D, kernel(D)), True, "kernel_upgrade_keep is 'True'"),
    ],
)
def test_unknown_removes_nothing(facts: dict[str, Any], keep: int, words: str) -> None:
    with pytest.raises(FleetopsError, match=words):
        spare.kernel_leftovers(facts, keep)
