# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the kernel: what runs, what is installed, what boots next.

Each part is read in the file of its name; here they are put together.
"""

from __future__ import annotations

from typing import Any, Collection, Dict, cast

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import (
    boot,
    installed,
    machine,
    modules,
    packages,
    panic,
    running,
    security,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts

PARTS: Dict[str, Facts] = {
    "running": running.FACTS,
    "panic": panic.FACTS,
    "machine": machine.FACTS,
    "modules": modules.FACTS,
    "packages": packages.FACTS,
    "installed": installed.FACTS,
    "boot": boot.FACTS,
    "security": security.FACTS,
}
# What costs next to nothing, and without which the rest says little.
MINIMUM = ("running",)
NOT_ASKED = "not asked for (gather_subset)"


def read(host: Host, parts: Collection[str] = tuple(PARTS)) -> KernelFacts:
    """Read once, files first. Nothing here raises: what cannot be read is None, with its reason in ``unknown``.

    So is what belongs to none of the *parts*.
    """
    shared = Shared(host)
    found: Dict[str, Any] = {}
    for part, facts in PARTS.items():
        for fact, question in facts.items():
            found[fact] = shared.asking.ask(fact, question, shared) if part in parts else None
            if part not in parts:
                shared.asking.unknown[fact] = NOT_ASKED
    found["panic_sysctls"] = found["panic_sysctls"] or {}
    found["unknown"] = shared.asking.unknown
    return cast(KernelFacts, found)
