# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this node return, may the next one start? One pure predicate per gate, and one file for each.

The file of a gate has its name, and says:

- ``READS``: what it needs; parts that the module node_facts reads, ``command`` or ``prometheus``.
- ``judge(facts, **options)``: takes the look and answers with a Gate. The look is the ``ansible_facts`` of node_facts;
  what was asked beside it stands under ``command`` or ``prometheus``. ``passed: None`` is *cannot tell*, and counts as
  closed. Raises FleetopsError for an option that is none.
- ``FINAL`` (false): waiting opens it no more once it says no.
- ``TIMEOUT`` (the task's): seconds for which a plain no is waited on. ``STABLE_FOR`` (0): seconds that it has to pass
  in a row.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates import (
    capture_reboots,
    command,
    crashkernel_reserved,
    kdump_armed,
    kernel_boots_next,
    kernel_can_boot,
    kernel_running,
    no_new_oops,
    no_stale_links,
    prometheus_quiet,
    units_running,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A gate as its file says it."""

    reads: tuple[str, ...]
    judge: Callable[..., Gate]
    final: bool
    timeout: float | None
    stable_for: float

    def options(self) -> dict[str, inspect.Parameter]:
        """What judge() takes beside the facts."""
        return dict(list(inspect.signature(self.judge).parameters.items())[1:])


def _kind(module: Any) -> Kind:
    return Kind(
        reads=module.READS,
        judge=module.judge,
        final=getattr(module, "FINAL", False),
        timeout=getattr(module, "TIMEOUT", None),
        stable_for=getattr(module, "STABLE_FOR", 0),
    )


GATES: dict[str, Kind] = {
    module.__name__.rpartition(".")[2]: _kind(module)
    for module in (
        kernel_running,
        kernel_boots_next,
        kernel_can_boot,
        no_new_oops,
        units_running,
        kdump_armed,
        capture_reboots,
        crashkernel_reserved,
        no_stale_links,
        prometheus_quiet,
        command,
    )
}


def kind(name: str) -> Kind:
    """The gate of that name. Raises FleetopsError, with all names, when there is none."""
    if name not in GATES:
        raise FleetopsError(f"There is no gate '{name}': expected one of {', '.join(sorted(GATES))}")
    return GATES[name]


def judge(facts: Any, name: str, **options: Any) -> Gate:
    """The gate *name* over *facts*. Facts that were not read (an unreachable node) close it."""
    found = kind(name)
    known = found.options()
    wrong = sorted({*options} - {*known})
    if wrong:
        expected = ", ".join(known) or "no option at all"
        raise FleetopsError(f"The gate {name} has no option '{wrong[0]}': expected {expected}")
    missing = [
        one for one, spec in known.items() if spec.default is inspect.Parameter.empty and one not in options
    ]
    if missing:
        raise FleetopsError(f"The gate {name} lacks its option '{missing[0]}'")
    return found.judge(facts if isinstance(facts, Mapping) else {}, **options)
