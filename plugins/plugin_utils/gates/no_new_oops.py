# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""This boot has no trouble of the kernel that an earlier one had not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("kernel",)
# What is counted stays counted, until the next boot.
FINAL = True
# The taints that are trouble, as `_rules.kernel` names them, and the word that `allow` has for each.
TAINTS = {
    "MACHINE_CHECK": "machine_check",
    "BAD_PAGE": "bad_page",
    "DIE": "oops",
    "WARN": "warn",
    "SOFTLOCKUP": "softlockup",
}
# The counters of `_readers.panic`.
COUNTS = ("oops", "warn", "hardlockup", "softlockup", "rcu_stall")


def judge(facts: Facts, before: Any = None, allow: Sequence[str] = ()) -> Gate:
    """No oops, warning or lockup in a new boot; in the boot of before, none that was not there before.

    *before*: the ``ansible_facts`` of a look before. *allow*: kinds of trouble that do not count, such as ``warn`` on
    hardware whose driver warns at every boot.
    """
    name = "no_new_oops"
    wrong = sorted({*allow} - {*COUNTS, *TAINTS.values()})
    if wrong:
        known = ", ".join(sorted({*COUNTS, *TAINTS.values()}))
        raise FleetopsError(f"{name}: allow has '{wrong[0]}', expected some of {known}")
    kernel: Any = facts.get("fleetops_kernel") or {}
    for path in ("fault_counts", "taint", "boot_id"):
        if kernel.get(path) is None:
            return unread(name, facts, "fleetops_kernel", path)
    earlier = _earlier(before, kernel["boot_id"])
    if earlier is None:
        return gate(name, None, "cannot tell: it is the boot of before, whose counts were not read then")
    found, evidence = [], []
    for kind, count in kernel["fault_counts"].items():
        if kind in allow:
            continue
        if count is None:
            return unread(name, facts, "fleetops_kernel", f"fault_counts.{kind}")
        more = count - (earlier["counts"].get(kind) or 0)
        if more > 0:
            found.append(f"{kind}: {more}")
            evidence.append(_line(f"/sys/kernel/{kind}_count", str(count)))
    taints = [one for one in kernel["taint"]["names"] if TAINTS.get(one, one) not in allow and one in TAINTS]
    new = [one for one in taints if one not in earlier["taints"]]
    if new:
        found.append(f"taint {', '.join(new)}")
        evidence.append(_line("/proc/sys/kernel/tainted", str(kernel["taint"]["value"])))
    since = "since the look before" if earlier["same"] else "since its boot"
    if found:
        return gate(name, False, f"the kernel had trouble {since}: {'; '.join(found)}", evidence)
    return gate(name, True, f"no trouble of the kernel {since}")


def _earlier(before: Any, boot_id: str) -> dict[str, Any] | None:
    """What there was in this very boot before; nothing, for another boot; None when that was not read."""
    kernel = (before.get("fleetops_kernel") or {}) if isinstance(before, Mapping) else {}
    if kernel.get("boot_id") != boot_id:
        return {"same": False, "counts": {}, "taints": []}
    if kernel.get("fault_counts") is None or kernel.get("taint") is None:
        return None
    return {"same": True, "counts": kernel["fault_counts"], "taints": kernel["taint"]["names"]}


def _line(source: str, text: str) -> Evidence:
    return {"source": source, "text": text}
