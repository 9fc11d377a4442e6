# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads kdump: is this node ready to take its own dump?"""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import _systemd, dumps, kdumpctl
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking, said
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import distro_of
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import (
    Capture,
    DumpTarget,
    KdumpFacts,
    Reservation,
)

PROC_CMDLINE = "/proc/cmdline"
IOMEM = "/proc/iomem"
FOUR_GIB = 1 << 32
# Addresses have 64 bits at most.
_RESERVED = r"^\s*([0-9a-f]{1,16})-([0-9a-f]{1,16}) : Crash kernel$"
# The program that tells each implementation.
IMPLEMENTATIONS = (("kdump-tools", "/usr/sbin/kdump-config"), ("kdumpctl", "/usr/bin/kdumpctl"))
DEFAULTS = "/etc/default/kdump-tools"
COREDIR = dumps.FOLDER  # kdump-config: KDUMP_COREDIR=${KDUMP_COREDIR:=/var/crash}
KDUMP_INITRD = "/var/lib/kdump/initrd.img"
SERVICE = "kdump-tools.service"


def read(host: Host) -> KdumpFacts:
    """Read once, files first. Nothing here raises: what cannot be read is None, with its reason in ``unknown``."""
    asking = Asking(host)
    running = asking.ask("reservation.requested", lambda: cmdline.parse(said(host, PROC_CMDLINE))["tokens"])
    implementation = asking.ask("implementation", _implementation, host)
    facts: KdumpFacts = {
        "implementation": implementation,
        "kexec_loaded": asking.ask("kexec_loaded", _kexec.loaded, host),
        "vmcoreinfo": asking.ask("vmcoreinfo", _kexec.vmcoreinfo, host),
        "reservation": _reservation(asking, running),
        "capture": {
            "loaded": asking.ask("capture.loaded", _kexec.crash_loaded, host),
            "cmdline": None,
            "panic": None,
            "initrd": None,
            "initrd_bytes": None,
            "source": None,
            "elfcorehdr_bytes": asking.ask("capture.elfcorehdr_bytes", _kexec.elfcorehdr_size, host),
        },
        "service": None,
        "target": None,
        "dumps": None,
        "unknown": asking.unknown,
    }
    if implementation == "kdump-tools":
        _kdump_tools(asking, facts, running)
    elif implementation == "kdumpctl":
        kdumpctl.read(asking, facts, running)
    elif "implementation" not in asking.unknown:
        _without_tools(asking, facts)
    else:
        why = asking.unknown["implementation"]
        for path in (
            "capture.cmdline",
            "capture.initrd",
            "capture.initrd_bytes",
            "service",
            "target",
            "dumps",
        ):
            asking.say(path, why)
    return facts


def _implementation(host: Host) -> Optional[str]:
    for name, program in IMPLEMENTATIONS:
        if host.exists(program):
            return name
    distro = distro_of(host)
    if distro["family"] is None:
        raise Unreadable(f"how kdump is set up on the distribution '{distro['id']}' cannot be read yet")
    return None


# --- the reservation ---------------------------------------------------------------------------------


def _reservation(asking: Asking, running: Optional[List[str]]) -> Reservation:
    requested = [cmdline.value(token) or "" for token in cmdline.of_key(running or [], "crashkernel")]
    size = asking.ask("reservation.bytes", _kexec.crash_size, asking.host)
    regions: Tuple[Optional[int], Optional[int]]
    if size == 0:
        regions = (0, 0)
    else:
        found = asking.ask("reservation.low_bytes", _regions, asking.host)
        regions = found if found is not None else (None, None)
        if found is None:
            asking.say("reservation.high_bytes", asking.unknown["reservation.low_bytes"])
    return {"requested": requested, "bytes": size, "low_bytes": regions[0], "high_bytes": regions[1]}


def _regions(host: Host) -> Tuple[int, int]:
    """(bytes below 4 GiB, bytes above) of the lines ``start-end : Crash kernel``."""
    lines = re.findall(_RESERVED, host.read(IOMEM), re.MULTILINE)
    regions = [(int(start, 16), int(end, 16)) for start, end in lines]
    if not regions:
        raise Unreadable(f"'{IOMEM}' has no line 'Crash kernel'")
    if any(end == 0 for _start, end in regions):
        raise Unreadable(f"'{IOMEM}' shows its addresses to root only")
    sizes = [(start < FOUR_GIB, end - start + 1) for start, end in regions]
    return sum(size for low, size in sizes if low), sum(size for low, size in sizes if not low)


# --- without a kdump package -------------------------------------------------------------------------


def _without_tools(asking: Asking, facts: KdumpFacts) -> None:
    """A capture kernel can be loaded by hand: then nobody wrote down how."""
    if facts["capture"]["loaded"] is not False:
        why = (
            asking.unknown.get("capture.loaded")
            or "it was loaded by something that wrote down nothing we know"
        )
        for path in ("capture.cmdline", "capture.initrd", "capture.initrd_bytes"):
            asking.say(path, why)
    facts["dumps"] = asking.ask("dumps", dumps.read, asking, COREDIR, dumps.KDUMP_TOOLS)


# --- kdump-tools -------------------------------------------------------------------------------------


def _kdump_tools(asking: Asking, facts: KdumpFacts, running: Optional[List[str]]) -> None:
    host = asking.host
    settings = asking.ask("target", _settings, host)
    coredir = None if settings is None else asking.ask("target", _coredir, settings)
    facts["service"] = asking.ask("service", _systemd.service, host, SERVICE)
    if settings is None or coredir is None:
        for path in ("capture.cmdline", "capture.initrd", "capture.initrd_bytes", "dumps"):
            asking.say(path, asking.unknown["target"])
        return
    _capture(asking, facts["capture"], f"{coredir}/kexec_cmd", running)
    facts["target"] = _target(asking, settings, coredir)
    facts["dumps"] = asking.ask("dumps", dumps.read, asking, coredir, dumps.KDUMP_TOOLS)


def _settings(host: Host) -> Dict[str, str]:
    try:
        return rules.shell_assignments(host.read(DEFAULTS))
    except Missing:
        return {}  # kdump-config goes on with its own defaults


def _coredir(settings: Dict[str, str]) -> str:
    coredir = settings.get("KDUMP_COREDIR") or COREDIR
    if not (rules.is_literal(coredir) and coredir.startswith("/")):
        raise Unreadable(f"KDUMP_COREDIR in '{DEFAULTS}' is worked out by the shell: {coredir}")
    return coredir.rstrip("/") or "/"


def _capture(asking: Asking, capture: Capture, record: str, running: Optional[List[str]]) -> None:
    """Fill in how the capture kernel was loaded, from the line that kdump-config wrote down."""
    if capture["loaded"]:
        command = asking.ask("capture.cmdline", _recorded, asking.host, record, running)
        if command is not None and command["cmdline"] is not None:
            loaded = cmdline.parse(command["cmdline"])
            capture["cmdline"] = loaded
            capture["panic"] = cmdline.panic_timeout(loaded["tokens"])
            capture["source"] = record
            capture["initrd"] = command["initrd"]
        elif command is not None:
            asking.say("capture.cmdline", f"'{record}' has no --command-line")
    else:
        why = asking.unknown.get("capture.loaded") or "no capture kernel is loaded"
        asking.say("capture.cmdline", why)
    if capture["cmdline"] is None:
        # This is what it is, or will be, loaded with by default: an estimate needs its size.
        capture["initrd"] = asking.ask("capture.initrd", _existing, asking.host, KDUMP_INITRD)
    if capture["initrd"] is not None:
        capture["initrd_bytes"] = asking.ask("capture.initrd_bytes", asking.host.size, capture["initrd"])
    else:
        why = asking.unknown.setdefault("capture.initrd", "the capture kernel was loaded without one")
        asking.say("capture.initrd_bytes", why)


def _existing(host: Host, path: str) -> str:
    host.size(path)
    return path


def _recorded(host: Host, record: str, running: Optional[List[str]]) -> rules.KexecCommand:
    command = rules.kexec_command(host.read(record))
    loaded = cmdline.tokenise(command["cmdline"] or "")
    image, booted = cmdline.last(loaded, "BOOT_IMAGE"), cmdline.last(running or [], "BOOT_IMAGE")
    if image and booted and image != booted:
        # kdump-config takes the running command line, so that this line is of an earlier boot.
        raise Unreadable(
            f"'{record}' tells how a capture kernel was loaded under {image}, but {booted} runs now: "
            "the loaded one comes from somewhere else"
        )
    return command


def _target(asking: Asking, settings: Dict[str, str], coredir: str) -> DumpTarget:
    for kind in ("ssh", "ftp", "nfs"):
        where = settings.get(kind.upper())
        if where:
            path = f"{where}:{coredir}" if kind == "ssh" else where
            for part in ("free_bytes", "total_bytes"):
                asking.say(f"target.{part}", f"the target is remote ({kind}), and is not asked")
            return {"path": path, "kind": kind, "free_bytes": None, "total_bytes": None}
    disk = asking.ask("target.free_bytes", asking.host.disk, coredir)
    if disk is None:
        asking.say("target.total_bytes", asking.unknown["target.free_bytes"])
    total, free = disk if disk is not None else (None, None)
    return {"path": coredir, "kind": "local", "free_bytes": free, "total_bytes": total}
