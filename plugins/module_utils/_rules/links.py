# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Links that a former CNI or kube-proxy leaves behind: whose they are, and whether they still have a use. Pure.

To teach the collection another kind: one row in STALE_LINK_RULES and one captured ``ip -j -d addr`` with it.
"""

from __future__ import annotations

import ipaddress
from typing import List, Optional, Tuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Link


class LinkRule(TypedDict):
    """Whose a link is, where its use would show, and what it does when it is left behind."""

    name: str
    kind: str  # as `ip -d -j` names it in linkinfo.info_kind
    maker: str
    processes: Tuple[str, ...]  # comm names (15 bytes at most): alive means in use
    containers: Tuple[str, ...]  # names under /var/lib/kubelet/pods/*/containers/
    connections: Optional[str]  # a table under /proc/net with more than its header line means in use
    bridge: Optional[str]  # a bridge whose ports are pods of this maker
    residue: str  # what it does to a node while Cilium does not select it, as a clause; "" for nothing


# They run kube-proxy and flannel as goroutines of their own process: no process or container of the maker shows.
_K3S = ("k3s", "k3s-server", "k3s-agent")
# kubelite (MicroK8s) runs kube-proxy within itself. The pods of both are in a folder of their own, not the kubelet's
# usual one, so that a maker there that is down for the moment would not be seen as a container.
_PODS_ELSEWHERE = ("kubelite", "k0s")

STALE_LINK_RULES: Tuple[LinkRule, ...] = (
    {
        # kube-proxy pkg/proxy/ipvs/proxier.go DefaultDummyDevice; it never sets the link up (kubernetes.md 4.3).
        "name": "kube-ipvs0",
        "kind": "dummy",
        "maker": "kube-proxy",
        # rke2 ran kube-proxy within itself once, now as a static pod.
        "processes": ("kube-proxy", *_K3S, *_PODS_ELSEWHERE, "rke2"),
        "containers": ("kube-proxy",),
        # Not /proc/net/ip_vs: kube-proxy leaves its virtual servers behind as well (kubernetes.md 5.1).
        "connections": "/proc/net/ip_vs_conn",
        "bridge": None,
        "residue": "keeps {addresses} local on this node: traffic to these service addresses never leaves it",
    },
    {
        # flannel pkg/backend/vxlan/vxlan.go: "flannel.<VNI>", VNI 1 by default. Its pods hang on the bridge cni0.
        "name": "flannel.1",
        "kind": "vxlan",
        "maker": "flannel",
        "processes": ("flanneld", *_K3S, *_PODS_ELSEWHERE),
        "containers": ("kube-flannel",),  # Canal calls its own so, too: RKE2 runs flannel nowhere else
        "connections": None,
        "bridge": "cni0",
        "residue": "",
    },
)

# Cilium's device detection since 1.15 (pkg/datapath/linux/devices_controller.go isSelectedDevice; kubernetes.md
# 4.2). A veth counts only with a default route over it, and a reader that finds one says that it is in use.
_NEVER_SELECTED_KINDS = ("veth", "bridge", "openvswitch")
_NEVER_SELECTED_PREFIXES = ("cilium_", "lo", "lxc", "cni", "docker")


class Judgement(TypedDict):
    """``stale`` null: cannot be judged. ``severity`` is what it would weigh if it were stale."""

    stale: Optional[bool]
    severity: str  # high | medium | low
    reason: str
    evidence: List[Evidence]


def match(name: str, kind: str) -> Optional[LinkRule]:
    """The rule for a link: its name and its kind must both fit."""
    for rule in STALE_LINK_RULES:
        if rule["name"] == name and rule["kind"] == kind:
            return rule
    return None


def known_kinds() -> str:
    """What the collection knows, for messages."""
    return ", ".join(f"{rule['name']} ({rule['kind']}, made by {rule['maker']})" for rule in STALE_LINK_RULES)


def judge(link: Link) -> Judgement:
    """Is a link left behind? True only when every place where a use would show was read and showed none."""
    rule = match(link["name"], link["kind"])
    what = f"{link['name']} ({link['kind']}, made by {link['maker']})"
    severity, effect = _effect(link, rule)
    evidence: List[Evidence] = [{"source": "ip -j -d addr", "text": _describe(link)}]
    evidence += [{"source": "use", "text": line} for line in link["users"]]
    evidence += [{"source": "unknown", "text": line} for line in link["users_unknown"]]
    stale: Optional[bool]
    if link["users"]:
        stale, reason = False, f"{what} is in use: {'; '.join(link['users'])}"
    elif rule is None:
        stale, reason = None, f"{what} is of no known kind; known are {known_kinds()}"
    elif link["users_unknown"]:
        stale, reason = None, f"{what} cannot be judged: {'; '.join(link['users_unknown'])}"
    else:
        stale, reason = True, f"{what} is left behind ({_absent(rule)}); {effect}"
        evidence.append({"source": "use", "text": _absent(rule)})
    return {"stale": stale, "severity": severity, "reason": reason, "evidence": evidence}


def selected_by_cilium(link: Link) -> bool:
    """Would Cilium 1.15 or newer, left to its own detection, take this link for a device of the node?"""
    return (
        link["up"]
        and link["master"] is None
        and link["kind"] not in _NEVER_SELECTED_KINDS
        and not link["name"].startswith(_NEVER_SELECTED_PREFIXES)
        and bool(global_addresses(link))
    )


def global_addresses(link: Link) -> List[str]:
    """Addresses that are global unicast in the sense of Go's netip, which Cilium uses: private ones count."""
    found = []
    for address in link["addresses"]:
        ip = ipaddress.ip_address(address["address"])
        if not (ip.is_unspecified or ip.is_loopback or ip.is_multicast or ip.is_link_local):
            found.append(f"{address['address']}/{address['prefixlen']}")
    return found


def _effect(link: Link, rule: Optional[LinkRule]) -> Tuple[str, str]:
    """(severity, clause) of what a link does to a node that has moved on to another CNI."""
    addresses = _some(global_addresses(link), _left_out(link))
    residue = rule["residue"].format(addresses=addresses) if rule and addresses else ""
    if selected_by_cilium(link):
        effect = f"it is UP with {addresses}, so Cilium 1.15 and newer selects it as a device of this node"
        return "high", effect + (f"; it also {residue}" if residue else "")
    why = (
        "DOWN"
        if not link["up"]
        else "without a global address"
        if not addresses
        else "not a kind that it takes"
    )
    effect = f"Cilium does not select it ({why})"
    if residue:
        return "medium", f"{effect}, but it {residue}"
    return "low", effect


def _absent(rule: LinkRule) -> str:
    places = [
        f"no process {' or '.join(rule['processes'])}",
        f"no container {' or '.join(rule['containers'])}",
    ]
    if rule["connections"]:
        places.append(f"no connection in {rule['connections']}")
    if rule["bridge"]:
        places.append(f"no pod on {rule['bridge']}")
    return ", ".join(places)


def _describe(link: Link) -> str:
    words = [f"{address['address']}/{address['prefixlen']}" for address in link["addresses"]]
    addresses = _some(words, _left_out(link))
    state = "UP" if link["up"] else "DOWN"
    return f"{link['name']}: index {link['index']}, {link['kind']}, {state}, {addresses or 'no address'}"


def _left_out(link: Link) -> int:
    """How many addresses facts have left out."""
    return link.get("addresses_total", len(link["addresses"])) - len(link["addresses"])


def _some(words: List[str], left_out: int = 0) -> str:
    """At most three: a kube-ipvs0 can carry thousands of addresses."""
    more = len(words) - 3 + left_out
    return ", ".join(words[:3]) + (f" and {more} more" if len(words) > 3 else "")
