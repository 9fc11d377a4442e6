# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node has to prove after a reboot, and what is said of one that does not come back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import gates, readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates import waiting

# Lines of evidence that a failure quotes; the whole is in the variable.
QUOTED = 5
WIDTH = 200
BACK = "kernel_running"
REMEDY = "leave it out of node_maintenance_gates"


def after_reboot(
    facts: Any,
    names: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    release: str = "",
    command: str = "",
) -> dict[str, Any]:
    """The gates to hold after a reboot, from the *facts* of a look before it.

    *names*, *options*: as the site wants them. *release*: the kernel that is expected; empty for what boots next.
    *command*: what reboots the node; a command of its own may start any kernel. Returned:

    - ``gates``, ``options``: for the action `gate`. That another boot runs is always one of them.
    - ``waived``: gates that are not held, and why.
    - ``problems``: why the node cannot be judged after a reboot, each with what to do: known before it, not after.
    - ``boot_id``, ``release`` (empty: any): what is before, and what is expected.
    """
    kernel: Any = (facts or {}).get("fleetops_kernel") or {"unknown": {}}
    held = list(dict.fromkeys([BACK, *names]))
    asked = {name: dict(found or {}) for name, found in (options or {}).items()}
    problems: list[str] = []
    waived: list[str] = []

    boot_id = kernel.get("boot_id") or ""
    if not boot_id:
        problems.append(
            f"no reboot could be proved: the boot_id is unknown ({readings.why(kernel, 'boot_id')})"
        )
    expected = release or asked.get(BACK, {}).get("want") or ""
    if BACK in names and not expected and not command and kernel.get("load_kexec") is not True:
        entry = kernel.get("next_boot")
        if entry is None:
            problems.append(
                f"cannot tell which kernel boots next ({readings.why(kernel, 'next_boot')}): name it in "
                f"node_maintenance_release, or for {BACK}, {REMEDY}"
            )
        else:
            expected = entry["release"]
    asked[BACK] = {**asked.get(BACK, {}), "want": expected, "boot_id": boot_id or "unknown"}

    if "kdump_armed" in held:
        before = gates.judge(facts, "kdump_armed")
        if before["passed"] is False:
            held.remove("kdump_armed")
            waived.append(f"kdump_armed is not held: before the reboot, {before['reason']}")
    if "units_running" in held:
        found = gates.judge(facts, "units_running", before=facts)
        if found["passed"] is None:
            problems.append(f"units_running: {found['reason']}; {REMEDY}")
    try:
        waiting.Waiting(held, asked)
    except FleetopsError as error:
        problems.append(error.msg)
    return {
        "gates": held,
        "options": asked,
        "waived": waived,
        "problems": problems,
        "boot_id": boot_id,
        "release": expected,
    }


def lost(
    plan: Mapping[str, Any],
    facts: Any = None,
    reboot: Any = None,
    look: Any = None,
    evidence: Any = (),
    power: str = "",
) -> str:
    """The sentence on a node that does not answer: the last that is known, and the end of the *evidence*.

    *plan*: of `after_reboot`. *facts*: of the look before. *reboot*, *look*: what the reboot and the last gates
    answered. *power*: what became of the power cycle.
    """
    kernel: Any = (facts or {}).get("fleetops_kernel") or {}
    known = (
        f"last known: boot_id {plan.get('boot_id') or 'unknown'}, kernel {kernel.get('release') or 'unknown'}, "
        f"expected {plan.get('release') or 'any kernel of another boot'}"
    )
    said = [
        "lost: " + _words(look, "it does not answer"),
        _words(reboot, ""),
        known,
        power,
    ]
    lines = []
    for one in evidence if isinstance(evidence, Sequence) and not isinstance(evidence, str) else []:
        if isinstance(one, Mapping):
            source = str(one.get("source") or "evidence")
            lines += [f"{source}: {line.strip()[:WIDTH]}" for line in str(one.get("text") or "").splitlines()]
    quoted = [line for line in lines if not line.endswith(": ")][-QUOTED:]
    said.append("evidence: " + " | ".join(quoted) if quoted else "there is no evidence")
    return ". ".join(part for part in said if part)


def _words(result: Any, otherwise: str) -> str:
    return (
        str(result.get("msg") or otherwise).strip().rstrip(".") if isinstance(result, Mapping) else otherwise
    )
