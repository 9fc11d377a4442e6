# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads the network links whose maker we know, and every place where a use of theirs would show."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Set

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import _signs
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Link, LinksFacts

COMMAND = ("ip", "-j", "-d", "addr")
# The last field of a line is the device in both (net/ipv4/fib_trie.c, net/ipv6/route.c); in the first it comes first.
ROUTES = "/proc/net/route"
ROUTES6 = "/proc/net/ipv6_route"


def read(host: Host) -> LinksFacts:
    """Read once. Nothing here raises: what cannot be read is None, with its reason in ``unknown``."""
    asking = Asking(host)
    devices = asking.ask("links", _devices, host)
    links = None if devices is None else asking.ask("links", _links, host, devices)
    total = len(devices) if devices is not None else None
    if total is None:
        asking.say("total", asking.unknown["links"])
    return {"links": links, "total": total, "unknown": asking.unknown}


def _devices(host: Host) -> List[Dict[str, Any]]:
    try:
        # iproute2 prints an empty object for what it left out.
        return [device for device in json.loads(host.run(COMMAND)) if device]
    except ValueError as error:
        raise FleetopsError(f"'{' '.join(COMMAND)}' printed no JSON: {error}") from error


def _links(host: Host, devices: List[Dict[str, Any]]) -> List[Link]:
    found = []
    for device in devices:
        rule = rules.match(device["ifname"], _kind(device))
        if rule is not None:
            link = _link(device, rule)
            _look_for_users(host, link, rule, devices)
            found.append(link)
    return found


def _kind(device: Dict[str, Any]) -> str:
    return str(device.get("linkinfo", {}).get("info_kind", ""))


def _link(device: Dict[str, Any], rule: rules.LinkRule) -> Link:
    return {
        "name": device["ifname"],
        "index": device["ifindex"],
        "kind": _kind(device),
        "up": "UP" in device["flags"],
        "mac": device.get("address"),
        "mtu": device["mtu"],
        "master": device.get("master"),
        "addresses": [
            {
                "family": address["family"],
                "address": address["local"],
                "prefixlen": address["prefixlen"],
                "scope": address["scope"],
            }
            for address in device.get("addr_info", [])
            if address
        ],
        "attributes": device.get("linkinfo", {}).get("info_data", {}),
        "maker": rule["maker"],
        "users": [],
        "users_unknown": [],
    }


def _look_for_users(host: Host, link: Link, rule: rules.LinkRule, devices: List[Dict[str, Any]]) -> None:
    """Ask every place for itself: one that cannot be asked leaves a doubt, and never an absence."""
    for where, question, args in (
        ("processes", _processes, (host, rule)),
        ("containers", _containers, (host, rule)),
        ("connections", _connections, (host, rule)),
        ("ports", _ports, (rule, devices)),
        ("routes", _routes, (host, link, devices)),
    ):
        asking = Asking(host)
        users = asking.ask(where, question, *args)
        link["users"] += users or []
        link["users_unknown"] += asking.unknown.values()


def _processes(host: Host, rule: rules.LinkRule) -> List[str]:
    return [
        f"process {process.comm} ({process.pid})"
        for process in _signs.processes(host)
        if process.comm in rule["processes"]
    ]


def _containers(host: Host, rule: rules.LinkRule) -> List[str]:
    return [
        f"container {container.name} of pod {container.pod}"
        for container in _signs.containers(host)
        if container.name in rule["containers"]
    ]


def _connections(host: Host, rule: rules.LinkRule) -> List[str]:
    if rule["connections"] is None:
        return []
    try:
        lines = host.read(rule["connections"]).splitlines()
    except Missing:
        return []  # the table's module is not loaded
    return [f"{len(lines) - 1} connections in {rule['connections']}"] if len(lines) > 1 else []


def _ports(rule: rules.LinkRule, devices: List[Dict[str, Any]]) -> List[str]:
    if rule["bridge"] is None:
        return []
    ports = [device["ifname"] for device in devices if device.get("master") == rule["bridge"]]
    return [f"pods on {rule['bridge']}: {len(ports)} ports, the first is {ports[0]}"] if ports else []


def _routes(host: Host, link: Link, devices: List[Dict[str, Any]]) -> List[str]:
    """Does the node itself reach the world over this link, or under an address that this link has too?"""
    ways = _default_devices(host)
    found = [f"a default route goes over {link['name']}"] if link["name"] in ways else []
    own = {address["address"] for address in link["addresses"]}
    for device in devices:
        if device["ifname"] in ways and device["ifname"] != link["name"]:
            shared = own.intersection(a.get("local", "") for a in device.get("addr_info", []))
            found += [f"it has {address}, an address of {device['ifname']}" for address in sorted(shared)]
    return found


def _default_devices(host: Host) -> Set[str]:
    found = set()
    for line in host.read(ROUTES).splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000" and fields[7] == "00000000":
            found.add(fields[0])
    try:
        lines = host.read(ROUTES6).splitlines()
    except Missing:
        lines = []  # no IPv6
    for line in lines:
        fields = line.split()
        # The kernel keeps a default route that rejects on lo.
        if re.match(r"0{32}\Z", fields[0]) and fields[1] == "00" and fields[-1] != "lo":
            found.add(fields[-1])
    return found
