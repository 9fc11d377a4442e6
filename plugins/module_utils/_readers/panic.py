# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads when the kernel panics, what it does then, and what would bring the machine back."""

from __future__ import annotations

from typing import Dict, List, Optional, cast

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import _systemd
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking, unless_missing
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline, systemd
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.settings import Setting, shown
from ansible_collections.fleetops.kernel.plugins.module_utils._types import SystemdWatchdog, Watchdog

# What decides whether, and into what, a kernel panics (domain.md A.3).
PANIC_SYSCTLS = (
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.oops_limit",
    "kernel.warn_limit",
    "kernel.panic_on_warn",
    "kernel.panic_on_io_nmi",
    "kernel.panic_on_unrecovered_nmi",
    "kernel.unknown_nmi_panic",
    "kernel.panic_on_rcu_stall",
    "kernel.max_rcu_stall_to_panic",
    "kernel.panic_print",
    "kernel.hung_task_panic",
    "kernel.hung_task_timeout_secs",
    "kernel.hung_task_warnings",
    "kernel.softlockup_panic",
    "kernel.hardlockup_panic",
    "kernel.nmi_watchdog",
    "kernel.watchdog",
    "kernel.soft_watchdog",
    "kernel.watchdog_thresh",
    "kernel.sysrq",
    "kernel.kexec_load_disabled",
    "kernel.kexec_load_limit_panic",
    "vm.panic_on_oom",
)
WATCHDOGS = "/sys/class/watchdog"
# drivers/char/ipmi/ipmi_watchdog.c: this identity, and in many kernels only /dev/watchdog, no device of the class.
IPMI_WATCHDOG = "ipmi_watchdog"
IPMI_IDENTITY = "IPMI"
SOFT_WATCHDOG = "Software Watchdog"  # drivers/watchdog/softdog.c
# /sys/kernel/<name>_count: of 6.2, the last three of 6.16 (Documentation/ABI/testing/sysfs-kernel-...).
FAULTS = ("oops", "warn", "hardlockup", "softlockup", "rcu_stall")
SYS_INFO = "/proc/sys/kernel/panic_sys_info"
POST_NOTIFIERS = "/sys/module/kernel/parameters/crash_kexec_post_notifiers"
# What a watchdog says beyond what every one does, where its driver can (ABI/testing/sysfs-class-watchdog).
TOLD_NUMBERS = ("bootstatus", "timeleft", "pretimeout", "min_timeout", "max_timeout")
# systemd-system.conf(5): the setting, its older name, the word for it on the kernel's command line, and the default.
SYSTEMD_WATCHDOGS = {
    "runtime": (("RuntimeWatchdogSec",), "systemd.watchdog_sec", 0.0),
    "reboot": (("RebootWatchdogSec", "ShutdownWatchdogSec"), None, 600.0),
    "kexec": (("KExecWatchdogSec",), None, 0.0),
}


def _fault_counts(shared: Shared) -> Dict[str, Optional[int]]:
    """Those that this kernel counts; one that is there and cannot be read is None."""
    host, found = shared.host, {}
    for name in FAULTS:
        path = f"/sys/kernel/{name}_count"
        if shared.asking.ask(f"fault_counts.{name}", host.exists, path) is not False:
            found[name] = shared.asking.number(f"fault_counts.{name}", path)
    if not found:
        host.listdir("/sys/kernel")  # Missing: no running machine, and not one that counts nothing
    return found


def _panic_sys_info(shared: Shared) -> List[str]:
    """What a panic prints beside its trace, by name; nothing on a kernel without this setting (before 6.19)."""
    text = unless_missing(shared.host.read, SYS_INFO)
    if text is None:
        shared.host.listdir("/proc/sys/kernel")
    return (text or "").replace(",", " ").split()


def _post_notifiers(shared: Shared) -> bool:
    try:
        word = shared.host.read(POST_NOTIFIERS).strip()
    except Missing as error:
        raise Missing(f"this kernel has no '{POST_NOTIFIERS}'") from error
    if word not in ("Y", "N"):
        raise Unreadable(f"'{POST_NOTIFIERS}' says {word[:40]!r}, and Y or N was expected")
    return word == "Y"


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
        found.append(
            {
                "name": name,
                "identity": identity or "",
                # One that does not say what it is has not proved that it outlives its kernel.
                "hardware": bool(identity) and identity != SOFT_WATCHDOG,
                "active": asking.ask(f"{path}.active", _active, asking.host, f"{WATCHDOGS}/{name}/state"),
                "timeout": asking.number(f"{path}.timeout", f"{WATCHDOGS}/{name}/timeout"),
                **cast(Watchdog, _told(asking, name)),
            }
        )
    return found


def _active(host: Host, path: str) -> bool:
    word = host.read(path).strip()
    if word not in ("active", "inactive"):
        raise Unreadable(f"'{path}' says {word[:40]!r}, and active or inactive was expected")
    return word == "active"


def _told(asking: Asking, name: str) -> Dict[str, object]:
    """What this driver says of its device beside what all do."""
    path, folder = f"watchdogs.{name}", f"{WATCHDOGS}/{name}"
    there = asking.ask(path, asking.host.listdir, folder) or []
    found: Dict[str, object] = {
        part: asking.number(f"{path}.{part}", f"{folder}/{part}") for part in TOLD_NUMBERS if part in there
    }
    if "nowayout" in there:
        number = asking.number(f"{path}.nowayout", f"{folder}/nowayout")
        found["nowayout"] = None if number is None else number == 1
    if "status" in there:
        found["status"] = asking.text(f"{path}.status", f"{folder}/status")
    if "pretimeout_governor" in there:
        found["pretimeout_governor"] = asking.text(
            f"{path}.pretimeout_governor", f"{folder}/pretimeout_governor"
        )
    return found


# --- systemd's ---------------------------------------------------------------------------------------


def _systemd_watchdog(shared: Shared) -> SystemdWatchdog:
    """As it is set up. Whether a device ticks, and how fast, is the device's own word (`watchdogs`)."""
    settings = _systemd.settings(shared.host, "system.conf")
    if not settings and not shared.host.exists("/etc/systemd"):
        raise Missing("there is no '/etc/systemd'")
    words = cmdline.parse(shared.host.read("/proc/cmdline"))["tokens"]
    lines = []
    found: Dict[str, Optional[float]] = {}
    for name, (keys, word, default) in SYSTEMD_WATCHDOGS.items():
        ours = [one for one in settings if one.path[0] == "Manager" and one.path[1] in keys]
        ours += [
            Setting(("Manager", keys[0]), cmdline.value(token) or "", "/proc/cmdline", token)
            for token in (cmdline.of_key(words, word) if word else [])
        ]
        # systemd passes over what it cannot read, with a warning.
        valid = [
            (one, _seconds(one.value))
            for one in ours
            if one.value in _WORDS or systemd.span(one.value) is not None
        ]
        setting, seconds = valid[-1] if valid else (None, default)
        found[name] = seconds
        lines += shown(setting)
        if seconds is None:
            shared.asking.say(f"systemd_watchdog.{name}", "it is the device's own default: see its timeout")
    device = [one for one in settings if one.path == ("Manager", "WatchdogDevice")]
    return {
        "runtime": found["runtime"],
        "reboot": found["reboot"],
        "kexec": found["kexec"],
        "device": device[-1].value if device else "",
        "lines": lines + shown(*device[-1:]),
    }


# load-fragment.c, config_parse_watchdog_sec: to leave the device's own time-out, and never to arm it.
_WORDS = {"default": None, "infinity": None, "off": 0.0}


def _seconds(value: str) -> Optional[float]:
    return _WORDS[value] if value in _WORDS else systemd.span(value)


FACTS: Facts = {
    "fault_counts": _fault_counts,
    "panic_sysctls": _panic_sysctls,
    "panic_sys_info": _panic_sys_info,
    "crash_kexec_post_notifiers": _post_notifiers,
    "watchdogs": _watchdogs,
    "systemd_watchdog": _systemd_watchdog,
}
