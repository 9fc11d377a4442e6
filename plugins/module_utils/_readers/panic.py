# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads when the kernel panics, what it does then, and what would bring the machine back."""

from __future__ import annotations

from typing import Dict, List, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Watchdog

# What decides whether, and into what, a kernel panics (domain.md A.3).
PANIC_SYSCTLS = (
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.panic_on_warn",
    "kernel.panic_on_io_nmi",
    "kernel.panic_on_unrecovered_nmi",
    "kernel.unknown_nmi_panic",
    "kernel.panic_on_rcu_stall",
    "kernel.hung_task_panic",
    "kernel.hung_task_timeout_secs",
    "kernel.softlockup_panic",
    "kernel.hardlockup_panic",
    "kernel.nmi_watchdog",
    "kernel.watchdog_thresh",
    "kernel.sysrq",
    "kernel.kexec_load_disabled",
    "vm.panic_on_oom",
)
WATCHDOGS = "/sys/class/watchdog"
# drivers/char/ipmi/ipmi_watchdog.c: this identity, and in many kernels only /dev/watchdog, no device of the class.
IPMI_WATCHDOG = "ipmi_watchdog"
IPMI_IDENTITY = "IPMI"
SOFT_WATCHDOG = "Software Watchdog"  # drivers/watchdog/softdog.c


def _count(shared: Shared, path: str) -> int:
    try:
        return int(shared.host.read(path))
    except Missing as error:
        raise Missing(f"this kernel has no '{path}'") from error


def _panic_sysctls(shared: Shared) -> Dict[str, Optional[int]]:
    """Those that this kernel has; one that is there and cannot be read is None."""
    asking = shared.asking
    found: Dict[str, Optional[int]] = {}
    for name in PANIC_SYSCTLS:
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            found[name] = int(asking.host.read(path))
        except Missing:
            continue
        except (FleetopsError, ValueError) as error:
            found[name] = None
            asking.say(f"panic_sysctls.{name}", str(error))
    if not found:
        asking.say("panic_sysctls", "'/proc/sys' is empty")
    return found


def _watchdogs(shared: Shared) -> List[Watchdog]:
    asking = shared.asking
    found = _class_watchdogs(asking)
    no_device = all(dog["identity"] != IPMI_IDENTITY for dog in found)
    if no_device and asking.host.exists(f"/sys/module/{IPMI_WATCHDOG}"):
        for part in ("active", "timeout"):
            asking.say(
                f"watchdogs.{IPMI_WATCHDOG}.{part}",
                f"the driver {IPMI_WATCHDOG} is loaded, and has no device in {WATCHDOGS} that would say it",
            )
        found.append(
            {
                "name": IPMI_WATCHDOG,
                "identity": IPMI_IDENTITY,
                "hardware": True,
                "active": None,
                "timeout": None,
            }
        )
    return found


def _class_watchdogs(asking: Asking) -> List[Watchdog]:
    host = asking.host
    try:
        names = host.listdir(WATCHDOGS)
    except Missing:
        host.listdir(
            "/sys/class"
        )  # without it, this is no running machine, and not a machine without watchdogs
        return []
    found: List[Watchdog] = []
    for name in sorted(names, key=rules.release_key):
        path = f"watchdogs.{name}"
        identity = asking.text(f"{path}.identity", f"{WATCHDOGS}/{name}/identity")
        state = asking.text(f"{path}.active", f"{WATCHDOGS}/{name}/state")
        found.append(
            {
                "name": name,
                "identity": identity or "",
                # One that does not say what it is has not proved that it outlives its kernel.
                "hardware": bool(identity) and identity != SOFT_WATCHDOG,
                "active": None if state is None else state == "active",
                "timeout": asking.number(f"{path}.timeout", f"{WATCHDOGS}/{name}/timeout"),
            }
        )
    return found


FACTS: Facts = {
    "oops_count": lambda shared: _count(shared, "/sys/kernel/oops_count"),
    "warn_count": lambda shared: _count(shared, "/sys/kernel/warn_count"),
    "panic_sysctls": _panic_sysctls,
    "watchdogs": _watchdogs,
}
