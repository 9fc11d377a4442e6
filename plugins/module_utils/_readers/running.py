# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads what runs: the kernel of this boot, and on what system."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import said
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._shared import Facts, Shared
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kernel as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Cmdline

# Left by Docker and by Podman in the root of what they make (systemd src/basic/virt.c detect_container_files).
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
VERSION_SIGNATURE = "/proc/version_signature"


def _flavour(shared: Shared) -> str:
    if shared.release is None:
        raise Unreadable(shared.why("release"))
    spelt = rules.parse_release(shared.release)
    if spelt is None:
        raise Unreadable(f"'{shared.release}' is spelt as no distribution spells it")
    if spelt.flavour is None:
        raise Unreadable(
            f"'{shared.release}' is its distribution's plain kernel, which has no mark in its name"
        )
    return spelt.flavour


def _upstream(shared: Shared) -> str:
    host, found = shared.host, None
    try:
        found = rules.ubuntu_upstream_of(host.read(VERSION_SIGNATURE))
    except Missing:
        debian = re.match(r"\d+\.\d+\.\d+(?=-)", rules.debian_version_of(host.read("/proc/version")) or "")
        if debian and not debian.group().endswith(".0"):
            found = debian.group()
        elif shared.release:
            # One that counts its own updates in the third number is upstream's; distributions leave a 0 there.
            own = re.match(r"\d+\.\d+\.[1-9]\d*(?!\d)", shared.release)
            found = own.group() if own else None
    if found is None:
        raise Unreadable("this kernel does not say which upstream version it was made from")
    return found


def _container(shared: Shared) -> bool:
    """Is this a container: does its kernel belong to another machine?"""
    host = shared.host
    shared.must_run()
    if host.exists("/run/systemd/container"):
        return True
    marks = [mark for mark in CONTAINER_MARKS if host.exists(mark)]
    # In the machine's own process namespace number 2 is always the kernel's.
    try:
        own_processes = host.read("/proc/2/comm").strip() == "kthreadd"
    except Missing:
        own_processes = False
        if not host.exists("/proc/1"):
            raise Unreadable("processes of other users are hidden here") from None
    if not own_processes:
        return True
    if not marks:
        return False
    # A machine whose disk was made from a container's image, or a container that shares the machine's processes:
    # the former has the root of process 1.
    try:
        return _root_mount(host, "/proc/1/mountinfo") != _root_mount(host, "/proc/self/mountinfo")
    except FleetopsError as error:
        raise Unreadable(
            f"'{marks[0]}' is the mark of a container, but all processes of the machine are seen ({error.msg})"
        ) from error


def _root_mount(host: Host, path: str) -> Optional[str]:
    """The id of the mount that is ``/`` (proc(5): the first and the fifth field)."""
    found = None
    for line in host.read(path).split("\n"):
        fields = line.split(" ")
        if fields[4:5] == ["/"]:
            found = fields[0]
    return found


def _cmdline(shared: Shared) -> Cmdline:
    return cmdline.parse(said(shared.host, "/proc/cmdline"))


def _taint(shared: Shared) -> Dict[str, Any]:
    value = int(shared.host.read("/proc/sys/kernel/tainted"))
    return {"value": value, "names": rules.taint_names(value)}


def _uptime(shared: Shared) -> float:
    seconds = shared.host.read("/proc/uptime").split()[0]
    if not re.match(r"\d{1,12}\.\d+\Z", seconds, re.ASCII):
        raise Unreadable(f"'/proc/uptime' gives no seconds: {seconds[:40]!r}")
    return float(seconds)


def _config_file(shared: Shared) -> str:
    places = (
        [f"/boot/config-{shared.release}", f"/lib/modules/{shared.release}/config"] if shared.release else []
    )
    for path in (*places, "/proc/config.gz"):
        if shared.host.exists(path):
            return path
    raise Missing(
        "what this kernel was built with stands neither in /boot, nor beside its modules, nor in /proc"
    )


FACTS: Facts = {
    "release": lambda shared: shared.release,
    "version": lambda shared: shared.host.read("/proc/sys/kernel/version").strip(),
    "architecture": lambda shared: shared.host.machine(),
    "flavour": _flavour,
    "upstream": _upstream,
    "distro": lambda shared: shared.distro,
    "container": _container,
    "cmdline": _cmdline,
    "config_file": _config_file,
    "boot_id": lambda shared: shared.host.read("/proc/sys/kernel/random/boot_id").strip(),
    "uptime": _uptime,
    "taint": _taint,
}
