# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads kdump as RHEL, Fedora and openEuler have it (kdumpctl of kexec-tools, later kdump-utils)."""

from __future__ import annotations

import re
from typing import Dict, List, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import _systemd, dumps
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Capture, DumpTarget, KdumpFacts

CONF = "/etc/kdump.conf"
SYSCONFIG = "/etc/sysconfig/kdump"
SERVICE = "kdump.service"
RELEASE = "/proc/sys/kernel/osrelease"
PROC_STAT = "/proc/stat"
# Beside the kernel, or here where that place cannot be written (kdump-lib.sh prepare_kdump_bootinfo).
INITRDS = ("/boot/initramfs-{}kdump.img", "/var/lib/kdump/initramfs-{}kdump.img")


def read(asking: Asking, facts: KdumpFacts, running: Optional[List[str]]) -> None:
    """Fill in what kdumpctl's files tell."""
    host = asking.host
    conf = asking.ask("target", lambda: rules.kdump_conf(host.read(CONF)))
    facts["service"] = asking.ask("service", _systemd.service, host, SERVICE)
    _initrd(asking, facts["capture"])
    if conf is None:
        for path in ("capture.cmdline", "dumps"):
            asking.say(path, asking.unknown["target"])
        return
    _capture(asking, facts["capture"], conf, running)
    facts["target"] = asking.ask("target", _target, asking, conf)
    if rules.kdump_conf_target(conf) is None:
        path = conf.get("path") or dumps.FOLDER
        facts["dumps"] = asking.ask("dumps", dumps.read, asking, path, dumps.KDUMPCTL)
    else:
        asking.say("dumps", asking.unknown["target.free_bytes"])


def _initrd(asking: Asking, capture: Capture) -> None:
    capture["initrd"] = asking.ask("capture.initrd", _found_initrd, asking.host)
    if capture["initrd"] is None:
        asking.say("capture.initrd_bytes", asking.unknown["capture.initrd"])
    else:
        capture["initrd_bytes"] = asking.ask("capture.initrd_bytes", asking.host.size, capture["initrd"])


def _found_initrd(host: Host) -> str:
    release = _settings(host).get("KDUMP_KERNELVER") or host.read(RELEASE).strip()
    places = [place.format(release) for place in INITRDS]
    for place in places:
        if host.exists(place):
            return place
    raise Missing(f"there is neither '{places[0]}' nor '{places[1]}'")


def _settings(host: Host) -> Dict[str, str]:
    try:
        return rules.shell_assignments(host.read(SYSCONFIG))
    except Missing:
        return {}  # kdumpctl goes on with its own defaults


def _capture(asking: Asking, capture: Capture, conf: Dict[str, str], running: Optional[List[str]]) -> None:
    """How the capture kernel was loaded. Nothing writes that down, so that it is told from the settings."""
    if not capture["loaded"]:
        asking.say("capture.cmdline", asking.unknown.get("capture.loaded") or "no capture kernel is loaded")
        return
    line = asking.ask("capture.cmdline", _line, asking.host, conf, running)
    if line is not None:
        loaded = cmdline.parse(line)
        capture["cmdline"] = loaded
        capture["panic"] = cmdline.panic_timeout(loaded["tokens"])
        capture["source"] = SYSCONFIG


def _line(host: Host, conf: Dict[str, str], running: Optional[List[str]]) -> str:
    """The command line that kdumpctl makes of the settings, if they are those that it found when it loaded."""
    action = conf.get("failure_action") or conf.get("default") or "reboot"
    if action in ("shell", "halt", "poweroff"):
        raise Unreadable(f"'{CONF}' says 'failure_action {action}': where a dump fails, no reboot follows")
    settings = _settings(host)
    for name in ("KDUMP_COMMANDLINE", "KDUMP_COMMANDLINE_REMOVE", "KDUMP_COMMANDLINE_APPEND"):
        if not rules.is_literal(settings.get(name, "")):
            raise Unreadable(f"{name} in '{SYSCONFIG}' is worked out by the shell: {settings[name]}")
    _unchanged(host)
    base = settings.get("KDUMP_COMMANDLINE", "")
    if not base and running is None:
        raise Unreadable("it is made from the running one's, which is unknown")
    tokens = cmdline.tokenise(base) if base else list(running or [])
    return rules.kdumpctl_line(
        tokens, settings.get("KDUMP_COMMANDLINE_REMOVE"), settings.get("KDUMP_COMMANDLINE_APPEND", "")
    )


def _unchanged(host: Host) -> None:
    """Raises Unreadable unless the settings are older than this boot, and with it than the loaded image."""
    booted = re.search(r"^btime (\d+)$", host.read(PROC_STAT), re.MULTILINE)
    if not booted:
        raise Unreadable(f"'{PROC_STAT}' does not say when this machine booted")
    try:
        changed = host.mtime(SYSCONFIG)
    except Missing:
        return
    if changed > int(booted.group(1)):
        raise Unreadable(
            f"'{SYSCONFIG}' was changed in this boot: what the loaded image was given is unknown"
        )


def _target(asking: Asking, conf: Dict[str, str]) -> DumpTarget:
    path = conf.get("path") or dumps.FOLDER
    named = rules.kdump_conf_target(conf)
    if named is not None:
        kind, where = named
        local = kind not in ("nfs", "ssh")
        why = f"'{where}' is not asked" if local else f"the target is remote ({kind}), and is not asked"
        for part in ("free_bytes", "total_bytes"):
            asking.say(f"target.{part}", why)
        place = where if kind == "raw" else f"{where}:{path}"
        return {
            "path": place,
            "kind": "local" if local else kind,
            "free_bytes": None,
            "total_bytes": None,
        }
    disk = asking.ask("target.free_bytes", asking.host.disk, path)
    if disk is None:
        asking.say("target.total_bytes", asking.unknown["target.free_bytes"])
    total, free = disk if disk is not None else (None, None)
    return {"path": path, "kind": "local", "free_bytes": free, "total_bytes": total}
