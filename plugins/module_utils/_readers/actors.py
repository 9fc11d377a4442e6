# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads who else acts on a node: may reboot it, remove its kernels, or undo its network. From files alone."""

from __future__ import annotations

import re
from typing import Callable, List, Optional, Sequence, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import _signs, _systemd
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import (
    Asking,
    names,
    texts,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import actors as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import systemd
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.settings import Setting, last, shown
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    ActorsFacts,
    Evidence,
    Kured,
    Networkd,
    UnattendedUpgrades,
)

APT_MAIN = "/etc/apt/apt.conf"
APT_PARTS = "/etc/apt/apt.conf.d"
APT_UPGRADES = "unattended-upgrades"
DNF_UPGRADES = "dnf-automatic"
# The second is in force where the first says nothing: dnf5-automatic(8).
DNF_SETTINGS = ("/usr/share/dnf5/dnf5-plugins/automatic.conf", "/etc/dnf/automatic.conf")
DNF_CONF = "/etc/dnf/dnf.conf"
# What tells that each is installed.
PROGRAMS = {
    APT_UPGRADES: ("/usr/bin/unattended-upgrade",),
    DNF_UPGRADES: ("/usr/bin/dnf-automatic", "/usr/lib/systemd/system/dnf5-automatic.timer"),
}
# Where `systemctl enable` puts what starts with the timers, and where masks are (systemd.unit(5)).
TIMERS = "/etc/systemd/system/timers.target.wants"
MASKS = ("/etc/systemd/system", "/run/systemd/system")
DNF_REBOOTS = {"never": False, "when-changed": True, "when-needed": True}
DNF_KERNELS = "3"  # dnf.conf(5), installonly_limit; 0: any number

KURED = "kured"
HIDDEN = "a command (not shown)"
SENTINEL = "/var/run/reboot-required"  # kured, --reboot-sentinel

NETWORKD = "systemd-networkd.service"
# Where systemd keeps the processes of services: of cgroup v2, and of v1 and both together.
SLICES = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")

LINKS = "/sys/class/net"
CILIUM_LINKS = ("cilium_host", "cilium_net")
CILIUM_PID = "/run/cilium/cilium.pid"


def read(host: Host) -> ActorsFacts:
    """Read once. Nothing here raises: what cannot be read is None, with its reason in ``unknown``."""
    asking, running = Asking(host), _Running(host)
    return {
        "upgrades": asking.ask("upgrades", _upgrades, asking),
        "kured": _kured(asking, running),
        "networkd": _networkd(asking),
        "cilium": asking.ask("cilium", _cilium, host, running),
        "unknown": asking.unknown,
    }


# --- who upgrades ------------------------------------------------------------------------------------


def _upgrades(asking: Asking) -> List[UnattendedUpgrades]:
    """Those that are installed, and those of which that cannot be told."""
    ways = {APT_UPGRADES: _apt_upgrades, DNF_UPGRADES: _dnf_upgrades}
    found: List[UnattendedUpgrades] = []
    for name, way in ways.items():
        there = asking.ask(f"upgrades.{name}", _is_there, asking.host, PROGRAMS[name])
        if there is None:
            found.append(_nothing_known(name))
        elif there:
            found.append(way(asking))
    return found


def _is_there(host: Host, programs: Sequence[str]) -> bool:
    return any(host.exists(program) for program in programs)


def _apt_upgrades(asking: Asking) -> UnattendedUpgrades:
    facts = _nothing_known(APT_UPGRADES)
    settings = asking.ask(f"upgrades.{APT_UPGRADES}", lambda: rules.apt_conf(_apt_files(asking.host)))
    if settings is None:
        return facts
    ours = "unattended-upgrade"
    reboots = last(settings, ours, "automatic-reboot")
    kernels = last(settings, ours, "remove-unused-kernel-packages")
    unused = last(settings, ours, "remove-unused-dependencies")
    facts["reboots"] = rules.apt_bool(reboots, False)
    facts["removes_kernels"] = rules.apt_bool(kernels, True) or rules.apt_bool(unused, False)
    facts["lines"] = shown(reboots, kernels, unused)
    _enabled(asking, facts, _apt_enabled, settings)
    return facts


def _apt_files(host: Host) -> List[Tuple[str, str]]:
    """apt.conf(5): the parts by their names, then the main file."""
    parts = [f"{APT_PARTS}/{name}" for name in names(host, APT_PARTS) if rules.apt_reads(name)]
    return list(texts(host, [*parts, APT_MAIN]))


def _apt_enabled(host: Host, settings: Sequence[Setting]) -> Tuple[bool, List[Evidence]]:
    """As /usr/lib/apt/apt.systemd.daily asks: a period of days, and a switch that only the number 0 turns off."""
    period = last(settings, "apt", "periodic", "unattended-upgrade")
    switch = last(settings, "apt", "periodic", "enable")
    lines = shown(period, switch)
    if period is None or period.value in ("", "0") or (switch and re.match(r"\s*[+-]?0+\s*\Z", switch.value)):
        return False, lines
    enabled, timer = _timer(host, "apt-daily-upgrade")
    return enabled, lines + timer


def _dnf_upgrades(asking: Asking) -> UnattendedUpgrades:
    facts, host, path = _nothing_known(DNF_UPGRADES), asking.host, f"upgrades.{DNF_UPGRADES}"
    settings = asking.ask(path, _ini, host, DNF_SETTINGS)
    if settings is not None:
        reboots = last(settings, "commands", "reboot")
        facts["reboots"] = asking.ask(f"{path}.reboots", _dnf_reboots, reboots)
        facts["lines"] += shown(reboots)
        _enabled(asking, facts, _dnf_enabled, settings)
    limit = asking.ask(f"{path}.removes_kernels", _ini, host, [DNF_CONF])
    if limit is not None:
        kept = last(limit, "main", "installonly_limit")
        facts["removes_kernels"] = (kept.value if kept else DNF_KERNELS) != "0"
        facts["lines"] += shown(kept)
    return facts


def _ini(host: Host, paths: Sequence[str]) -> List[Setting]:
    return [setting for path, text in texts(host, paths) for setting in rules.ini(path, text)]


def _dnf_reboots(setting: Optional[Setting]) -> bool:
    word = setting.value if setting else "never"
    if word not in DNF_REBOOTS:
        raise FleetopsError(f"reboot is none of {', '.join(DNF_REBOOTS)}")
    return DNF_REBOOTS[word]


def _dnf_enabled(host: Host, settings: Sequence[Setting]) -> Tuple[bool, List[Evidence]]:
    """dnf-automatic(8): of its timers, one always installs, and one asks the file."""
    always, line = _timer(host, "dnf-automatic-install")
    if always:
        return True, line
    apply = last(settings, "commands", "apply_updates")
    lines = shown(apply)
    if not rules.dnf_bool(apply, False):
        return False, lines
    for name in ("dnf-automatic", "dnf5-automatic"):
        enabled, line = _timer(host, name)
        if enabled:
            return True, lines + line
    return False, lines


def _nothing_known(name: str) -> UnattendedUpgrades:
    return {"name": name, "enabled": None, "reboots": None, "removes_kernels": None, "lines": []}


def _enabled(
    asking: Asking,
    facts: UnattendedUpgrades,
    question: Callable[[Host, Sequence[Setting]], Tuple[bool, List[Evidence]]],
    settings: Sequence[Setting],
) -> None:
    found = asking.ask(f"upgrades.{facts['name']}.enabled", question, asking.host, settings)
    if found is not None:
        facts["enabled"], lines = found
        facts["lines"] = facts["lines"] + lines


def _timer(host: Host, name: str) -> Tuple[bool, List[Evidence]]:
    """Does the timer start at boot, and its service with it? And the link that says so, or the mask that says no."""
    for unit in (f"{name}.timer", f"{name}.service"):
        for folder in MASKS:
            path = f"{folder}/{unit}"
            if host.resolve(path) == "/dev/null":
                return False, [{"source": path, "text": "masked: it leads to /dev/null"}]
    if f"{name}.timer" in names(host, TIMERS):
        return True, [{"source": TIMERS, "text": f"{name}.timer"}]
    return False, []


# --- kured -------------------------------------------------------------------------------------------


class _Running:
    """Processes and containers of the node, each None with a reason where they cannot be seen."""

    def __init__(self, host: Host) -> None:
        self.asking = Asking(host)
        self.processes = self.asking.ask("processes", _signs.processes, host)
        self.containers = self.asking.ask("containers", _signs.containers, host)

    def pids(self, name: str) -> List[str]:
        return [process.pid for process in self.processes or [] if process.comm == name]

    def signs(self, name: str) -> List[Evidence]:
        """Where a program shows that runs in a container; none when it runs nowhere. Raises when that is unknown."""
        found: List[Evidence] = [{"source": f"/proc/{pid}/comm", "text": name} for pid in self.pids(name)]
        found += [
            {"source": f"{_signs.PODS}/{one.pod}/containers", "text": name}
            for one in self.containers or []
            if one.name == name
        ]
        if not found and self.asking.unknown:
            raise Unreadable("; ".join(self.asking.unknown.values()))
        return found


def _kured(asking: Asking, running: _Running) -> Kured:
    host = asking.host
    signs = asking.ask("kured.running", running.signs, KURED)
    kured: Kured = {
        "running": None if signs is None else bool(signs),
        "sentinel": SENTINEL,
        "sentinel_present": None,
        "lines": signs or [],
    }
    pids = running.pids(KURED)
    if pids:
        asking.ask("kured.sentinel_present", _sentinel, host, pids[0], kured)
    elif kured["running"] is not False:
        asking.say("kured.sentinel_present", "no process of kured is seen, and so not what it waits for")
    if "kured.sentinel_present" not in asking.unknown:
        present = asking.ask("kured.sentinel_present", host.exists, kured["sentinel"])
        kured["sentinel_present"] = present
        kured["lines"] += [{"source": kured["sentinel"], "text": "it is there"}] if present else []
    return kured


def _sentinel(host: Host, pid: str, kured: Kured) -> None:
    """Fill in which file it waits for. Of the whole command line nothing else is kept: it may hold a password."""
    source = f"/proc/{pid}/cmdline"
    argv = host.read(source).split("\0")
    for name in ("reboot-sentinel-command", "reboot-sentinel"):
        value = rules.option(argv, name)
        if value:
            if name.endswith("command"):  # it may hold a password as well
                kured["sentinel"] = HIDDEN
                kured["lines"].append({"source": source, "text": f"--{name} (not shown)"})
                raise Unreadable(f"kured asks {HIDDEN}")
            kured["sentinel"] = value
            kured["lines"].append({"source": source, "text": f"--{name}={value}"})
            kured["sentinel"] = _on_the_machine(host, pid, value)


def _on_the_machine(host: Host, pid: str, path: str) -> str:
    """Where kured's file is for the machine: a folder of it is mounted in the container, by its manifest as /sentinel.

    Without such a mount, kured asks the machine itself, by its own path.
    """
    mounts = [rules.mounts(host.read(f"/proc/{one}/mountinfo")) for one in (pid, "1")]
    found = rules.outside(path, *mounts)
    if found is None:
        raise Unreadable(f"where '{path}' of kured's container is on the machine cannot be seen")
    return found


# --- networkd and Cilium -----------------------------------------------------------------------------


def _networkd(asking: Asking) -> Networkd:
    host = asking.host
    networkd: Networkd = {
        "active": None,
        "manages_foreign_routes": None,
        "manages_foreign_rules": None,
        "lines": [],
    }
    found = asking.ask("networkd.active", _processes_of, host, NETWORKD)
    if found is not None:
        networkd["active"], networkd["lines"] = bool(found), found
    settings = asking.ask("networkd.manages_foreign_routes", _systemd.settings, host, "networkd.conf")
    if settings is None:
        asking.say("networkd.manages_foreign_rules", asking.unknown["networkd.manages_foreign_routes"])
        return networkd
    # networkd.conf(5): the former is of systemd 246, the latter of 249.
    routes, line = systemd.boolean(settings, "Network", "ManageForeignRoutes")
    policy, other = systemd.boolean(settings, "Network", "ManageForeignRoutingPolicyRules")
    networkd["manages_foreign_routes"] = routes is not False  # systemd's default
    networkd["manages_foreign_rules"] = policy is not False
    networkd["lines"] += shown(line, other)
    return networkd


def _processes_of(host: Host, service: str) -> List[Evidence]:
    """The processes of a service as systemd keeps them; none when it does not run. Raises when that is unknown."""
    seen = False
    for folder in SLICES:
        path = f"{folder}/{service}/cgroup.procs"
        try:
            pids = host.read(path).split()
        except Missing:
            seen = seen or host.exists(folder)
            continue
        return [{"source": path, "text": " ".join(pids)}] if pids else []
    if not seen:
        raise Unreadable(f"whether {service} runs cannot be seen: there is no '{SLICES[0]}'")
    return []


def _cilium(host: Host, running: _Running) -> bool:
    """Cilium's agent makes these links, and keeps them until somebody removes them."""
    try:
        links = host.listdir(LINKS)
    except Missing as error:
        raise Unreadable(error.msg) from error
    return bool(
        set(links).intersection(CILIUM_LINKS) or host.exists(CILIUM_PID) or running.signs("cilium-agent")
    )
