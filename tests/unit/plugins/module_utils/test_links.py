# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Link


def link(name: str = "kube-ipvs0", addresses: tuple[str, ...] = ("10.96.0.1/32",), **changed: Any) -> Link:
    rule = next(rule for rule in links.STALE_LINK_RULES if rule["name"] == name)
    made: dict[str, Any] = {
        "name": name,
        "index": 7,
        "kind": rule["kind"],
        "up": False,
        "mac": "02:00:00:00:00:01",
        "mtu": 1500,
        "master": None,
        "addresses": [
            {
                "family": "inet6" if ":" in text else "inet",
                "address": text.partition("/")[0],
                "prefixlen": int(text.partition("/")[2]),
                "scope": "link" if text.startswith("fe80") else "global",
            }
            for text in addresses
        ],
        "attributes": {},
        "maker": rule["maker"],
        "users": [],
        "users_unknown": [],
        **changed,
    }
    return made  # type: ignore[return-value]


def test_a_rule_needs_name_and_kind() -> None:
    rule = links.match("kube-ipvs0", "dummy")
    assert rule is not None
    assert rule["maker"] == "kube-proxy"
    assert links.match("kube-ipvs0", "veth") is None
    assert links.match("kube-ipvs1", "dummy") is None


def test_rules_can_be_asked_for() -> None:
    for rule in links.STALE_LINK_RULES:
        assert len(rule["name"].encode()) <= 15
        assert all(len(name.encode()) <= 15 for name in rule["processes"])  # TASK_COMM_LEN
        assert rule["residue"].format(addresses="10.0.0.1/32") is not None
        assert rule["name"] in links.known_kinds()


@pytest.mark.parametrize(
    ("made", "severity", "says"),
    [
        # kubernetes.md 4.3: kube-proxy never sets it up, so that Cilium leaves it alone. Its addresses stay local.
        (link(), "medium", "Cilium does not select it (DOWN), but it keeps 10.96.0.1/32 local"),
        (
            link(up=True),
            "high",
            "so Cilium 1.15 and newer selects it as a device of this node; it also keeps",
        ),
        (link(addresses=()), "low", "Cilium does not select it (DOWN)"),
        (
            link(up=True, addresses=("fe80::1/64",)),
            "low",
            "Cilium does not select it (without a global address)",
        ),
        (link("flannel.1", ("10.244.0.0/32",), up=True), "high", "UP with 10.244.0.0/32"),
        (link("flannel.1", ("fd00::1/128",), up=True), "high", "UP with fd00::1/128"),
        (link("flannel.1", ("10.244.0.0/32",)), "low", "(DOWN)"),
        (
            link("flannel.1", ("10.244.0.0/32",), up=True, master="br0"),
            "low",
            "not select it (not a kind that it takes)",
        ),
        (
            link(addresses=tuple(f"10.96.0.{n}/32" for n in range(1, 9))),
            "medium",
            "10.96.0.3/32 and 5 more local",
        ),
    ],
)
def test_severity_is_what_it_does_to_the_node(made: Link, severity: str, says: str) -> None:
    judgement = links.judge(made)
    assert judgement["stale"] is True
    assert judgement["severity"] == severity
    assert says in judgement["reason"]
    assert any(made["name"] in evidence["text"] for evidence in judgement["evidence"])


def test_a_use_wins_over_everything() -> None:
    judgement = links.judge(
        link(users=["process kube-proxy (pid 1)"], users_unknown=["/var/lib/kubelet: needs root"])
    )
    assert judgement["stale"] is False
    assert "in use: process kube-proxy (pid 1)" in judgement["reason"]
    assert {"source": "use", "text": "process kube-proxy (pid 1)"} in judgement["evidence"]


def test_what_could_not_be_asked_is_no_proof() -> None:
    judgement = links.judge(link(users_unknown=["/var/lib/kubelet: needs root"]))
    assert judgement["stale"] is None
    assert "cannot be judged: /var/lib/kubelet: needs root" in judgement["reason"]
    assert judgement["severity"] == "medium"


def test_an_unknown_kind_is_never_stale() -> None:
    judgement = links.judge(link(kind="veth"))
    assert judgement["stale"] is None
    assert "no known kind" in judgement["reason"]
