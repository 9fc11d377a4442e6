# SPDX-License-Identifier: GPL-3.0-or-later
"""The other releases of Debian, on a machine of their own: a clean upgrade, back again, and a broken initrd."""

from __future__ import annotations

from typing import Any

import pytest

from lab import plant

QUICK = {"node_maintenance_gate_timeout": 240, "node_maintenance_gate_interval": 5}


@pytest.mark.parametrize("suite", ["bullseye", "trixie"])
def test_upgrade_rollback_and_a_broken_initrd(scenario: Any, kernels_on: Any, suite: str) -> None:
    with scenario.machine("d", suite=suite, crashkernel="224M") as there:
        kernels = kernels_on(there)
        run = there.converge(kernel_upgrade_release=kernels.new, **QUICK)
        assert run.rc == 0, run.text
        assert kernels.ended(there) == kernels.kept()
        again = there.converge(kernel_upgrade_release=kernels.new)
        assert (again.rc, again.changed) == (0, 0), again.text
        print(f"{suite}: runs {kernels.new}, and the second run changed nothing")
        back = there.entry_point("rollback", **QUICK)
        assert back.rc == 0, back.text
        assert kernels.ended(there) == kernels.left()
        plant.plant(there.node, plant.TRUNCATED.format(new=kernels.new))
        broken = there.converge(kernel_upgrade_release=kernels.new, kernel_upgrade_release_held=True, **QUICK)
        assert broken.rc == 2, broken.text
        words = f"fell_back: {kernels.new} was tried, and {kernels.old} runs again without anybody's help"
        assert broken.says(words), broken.text
        assert kernels.ended(there) == kernels.left()
        print(f"{suite}: back on {kernels.old} by rollback; with a broken initrd, {words}")
