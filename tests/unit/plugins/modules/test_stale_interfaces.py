# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader is the real one on a tree; the kernel that removes and makes links is a list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _netlink, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.modules import stale_interfaces


def device(
    name: str, index: int, kind: str, address: str, flags: Sequence[str] = ("BROADCAST",)
) -> dict[str, Any]:
    return {
        "ifindex": index,
        "ifname": name,
        "flags": list(flags),
        "mtu": 1450,
        "address": "02:00:00:00:00:01",
        "linkinfo": {"info_kind": kind, "info_data": {"id": 1} if kind == "vxlan" else {}},
        "addr_info": [{"family": "inet", "local": address, "prefixlen": 32, "scope": "global"}],
    }


IPVS = device("kube-ipvs0", 7, "dummy", "10.96.0.1")
FLANNEL = device("flannel.1", 8, "vxlan", "10.244.0.0", ["BROADCAST", "UP", "LOWER_UP"])
ETH0 = device("eth0", 2, "", "192.0.2.5", ["UP"])


class Machine(Host):
    """A tree with links."""

    def __init__(self, root: Path) -> None:
        (root / CAPTURE_FILE).write_text("{}")  # what is not in this tree is not there
        super().__init__(str(root))
        self.devices = [ETH0, IPVS, FLANNEL]
        self.removed: list[str] = []

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] == "ip":
            return json.dumps(self.devices)
        return super().run(argv, ok, env)

    def process(self, pid: int, comm: str) -> None:
        path = Path(self.root, f"proc/{pid}/comm")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{comm}\n")

    def save(self, link: Mapping[str, Any]) -> dict[str, Any]:
        return {"of": link["name"]}

    def remove_link(self, link: Mapping[str, Any]) -> None:
        self.devices = [there for there in self.devices if there["ifname"] != link["name"]]
        self.removed.append(link["name"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    made.process(1, "systemd")
    made.process(2, "kthreadd")
    files = {
        "proc/version": "Linux version 6.1.0\n",
        "proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
        "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
        "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
        "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("eth0", "kube-ipvs0", "flannel.1", "veth0"):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
    monkeypatch.setattr(_netlink, "save", made.save)
    monkeypatch.setattr(_netlink, "remove", made.remove_link)
    return made


def play(host: Host, check_mode: bool = False, **given: Any) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    params = {"state": "absent", "names": None, **given}
    result = stale_interfaces.run(host, params)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(stale_interfaces.apply(host, params, result))
    return bool(result.plan), returned, result


def test_gathered_says_what_it_knows(machine: Machine) -> None:
    changed, returned, result = play(machine, state="gathered")
    assert not changed
    assert [(link["name"], link["stale"], link["severity"]) for link in returned["links"]] == [
        ("kube-ipvs0", True, "medium"),
        ("flannel.1", True, "high"),
    ]
    assert returned["links"][0]["addresses"] == ["10.96.0.1/32"]
    assert (returned["removed"], returned["kept"]) == ([], [])
    assert (result.diff or {})["before"] == (result.diff or {})["after"]


def test_absent_removes_what_is_stale_and_keeps_the_rest(machine: Machine) -> None:
    machine.process(812, "flanneld")
    changed, predicted, result = play(machine, check_mode=True)
    assert changed
    assert machine.removed == []
    assert not machine.exists(_undo.DIRECTORY)
    changed, returned, again = play(machine)
    assert machine.removed == ["kube-ipvs0"]
    assert {**returned, "undo": None} == predicted
    assert returned["removed"] == ["kube-ipvs0"]
    assert returned["kept"] == [
        {
            "name": "flannel.1",
            "reason": "flannel.1 (vxlan, made by flannel) is in use: process flanneld (812)",
        }
    ]
    assert result.diff == again.diff
    assert (result.diff or {})["before"].splitlines()[
        0
    ] == "kube-ipvs0: dummy DOWN mtu 1450 02:00:00:00:00:01 10.96.0.1/32"
    assert "kube-ipvs0" not in (result.diff or {})["after"]
    (undo,) = _undo.records(machine)
    assert undo["id"] == returned["undo"]
    (step,) = undo["restore"]
    assert (step["do"], step["link"]["name"], step["saved"]) == (
        "add_link",
        "kube-ipvs0",
        {"of": "kube-ipvs0"},
    )
    assert play(machine)[0] is False


def test_a_named_link_in_use_stops_everything(machine: Machine) -> None:
    machine.process(812, "flanneld")
    with pytest.raises(
        FleetopsError, match=r"Nothing was removed: .*in use: process flanneld \(812\)"
    ) as caught:
        play(machine, names=["kube-ipvs0", "flannel.1"])
    assert caught.value.context["evidence"]["flannel.1"]
    assert machine.removed == []
    assert play(machine, names=["kube-ipvs0", "gone"])[1]["removed"] == ["kube-ipvs0"]


def test_what_cannot_be_judged_stays(machine: Machine) -> None:
    Path(machine.root, "proc/2/comm").write_text("somebody\n")
    Path(machine.root, "proc/2/comm").unlink()
    with pytest.raises(FleetopsError, match=r"cannot be told whether|this is a container"):
        play(machine)


def test_a_doubt_is_no_proof(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_guard, "require_machine", lambda host: None)
    Path(machine.root, "proc/2/comm").unlink()
    changed, returned, _result = play(machine)
    assert not changed
    assert [kept["name"] for kept in returned["kept"]] == ["kube-ipvs0", "flannel.1"]
    assert "cannot be judged" in returned["kept"][0]["reason"]
    with pytest.raises(FleetopsError, match="cannot be judged"):
        play(machine, names=["kube-ipvs0"])


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a" * 16], "it has 16 bytes, at most 15 fit"),
        (["ä" * 8], "it has 16 bytes"),
        ([""], "'' cannot be the name of a link"),
        (["a/b"], "'a/b' cannot be the name of a link"),
        (["a b"], "'a b' cannot be the name of a link"),
        ([".."], "'..' cannot be the name of a link"),
        (
            ["veth0"],
            "veth0 exists, but who made it is not known. Known are kube-ipvs0 (dummy, made by kube-proxy), flannel.1",
        ),
        (["eth0", "kube-ipvs0"], "STALE_LINK_RULES"),
    ],
)
@pytest.mark.parametrize("state", ["gathered", "absent"])
def test_bad_names_change_nothing(machine: Machine, names: list[str], says: str, state: str) -> None:
    with pytest.raises(FleetopsError) as caught:
        play(machine, names=names, state=state)
    assert says in caught.value.msg
    assert machine.removed == []


def test_another_kind_under_a_known_name(machine: Machine) -> None:
    machine.devices = [ETH0, device("kube-ipvs0", 7, "veth", "10.96.0.1")]
    with pytest.raises(FleetopsError, match="kube-ipvs0 exists, but who made it is not known"):
        play(machine, names=["kube-ipvs0"])
    assert play(machine)[0] is False


@pytest.mark.parametrize(
    "later",
    [
        [ETH0, FLANNEL],
        [ETH0, {**IPVS, "ifindex": 9}, FLANNEL],
        [ETH0, device("kube-ipvs0", 7, "veth", "10.96.0.1"), FLANNEL],
    ],
)
def test_a_link_that_is_another_one_now_is_left_alone(machine: Machine, later: list[dict[str, Any]]) -> None:
    result = stale_interfaces.run(machine, {"state": "absent", "names": None})
    machine.devices = later
    with pytest.raises(FleetopsError, match="Nothing was removed: kube-ipvs0 is not the link any more"):
        stale_interfaces.apply(machine, {"state": "absent", "names": None}, result)
    assert machine.removed == []
    assert not machine.exists(_undo.DIRECTORY)


def test_a_use_that_begins_in_between_is_seen(machine: Machine) -> None:
    result = stale_interfaces.run(machine, {"state": "absent", "names": None})
    machine.process(99, "kube-proxy")
    with pytest.raises(
        FleetopsError, match=r"Nothing was removed: kube-ipvs0 .* in use: process kube-proxy \(99\)"
    ):
        stale_interfaces.apply(machine, {"state": "absent", "names": None}, result)
    assert machine.removed == []


def test_a_removal_that_fails_says_what_was_done_before(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(link: Mapping[str, Any]) -> None:
        if link["name"] == "flannel.1":
            raise FleetopsError("Cannot remove flannel.1: busy")
        machine.remove_link(link)

    monkeypatch.setattr(_netlink, "remove", remove)
    with pytest.raises(
        FleetopsError, match=r"busy. Removed before that: kube-ipvs0; the undo record is \S+-0001-"
    ) as caught:
        play(machine)
    assert caught.value.context["removed"] == ["kube-ipvs0"]


def test_without_pyroute2_nothing_is_written(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def require() -> None:
        raise FleetopsError("needs pyroute2", missing_library="pyroute2")

    monkeypatch.setattr(_netlink, "require", require)
    with pytest.raises(FleetopsError, match="needs pyroute2"):
        play(machine)
    assert not machine.exists(_undo.DIRECTORY)
    # reading and check mode do without
    assert play(machine, check_mode=True)[0] is True
