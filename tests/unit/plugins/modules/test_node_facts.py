# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import chosen
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.links import judge
from ansible_collections.fleetops.kernel.plugins.modules import kdump_facts, kernel_facts, node_facts

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hosts"
INCIDENT = FIXTURES / "debian-6.1-incident"
ALL = ["kernel", "kdump", "links", "actors"]


class Counting(Host):
    """Counts the programs that a reading starts."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.started: list[str] = []

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.started.append(argv[0])
        return super().run(argv, ok, env)


def facts(root: Path, **params: Any) -> dict[str, Any]:
    result = node_facts.run(Host(str(root)), {"gather_subset": ["all"], **params})
    assert (result.plan, result.diff) == ([], None)  # a module that only reads
    return dict(result.returned["ansible_facts"])


@pytest.mark.parametrize(
    ("subset", "parts"),
    [
        (["all"], ALL),
        ([], ALL),
        (["links", "kernel"], ["kernel", "links"]),
        (["!links"], ["kernel", "kdump", "actors"]),
        (["all", "!kernel", "!links", "!actors"], ["kdump"]),
        (["kernel", "kdump", "!kdump"], ["kernel"]),
        (["!all", "kdump"], ["kdump"]),
        (["units"], ["units"]),
        (["all", "units"], [*ALL, "units"]),
        (["kdump", "boot_id"], ["kdump", "boot_id"]),
    ],
)
def test_gather_subset(subset: list[str], parts: list[str]) -> None:
    assert chosen(subset, node_facts.PARTS, on_demand=node_facts.ON_DEMAND) == parts
    assert list(facts(INCIDENT, gather_subset=subset)) == [f"fleetops_{part}" for part in parts]


@pytest.mark.parametrize(
    ("subset", "says"),
    [
        (
            ["kernle"],
            "gather_subset: 'kernle' is unknown, expected all, kernel, kdump, links, actors, units, boot_id",
        ),
        (["!x"], "'!x' is unknown"),
        (["!all"], "nothing is left to read of !all"),
        (["kernel", "!kernel"], "nothing is left"),
    ],
)
def test_a_wrong_gather_subset_is_named(subset: list[str], says: str) -> None:
    with pytest.raises(FleetopsError, match=says):
        chosen(subset, node_facts.PARTS, on_demand=node_facts.ON_DEMAND)


@pytest.mark.parametrize("name", ["debian-6.1-incident", "debian-6.1-clean", "debian-6.18-no-kdump"])
def test_at_most_three_programs_are_started(name: str) -> None:
    host = Counting(str(FIXTURES / name))
    node_facts.run(host, {"gather_subset": ["all"]})
    assert len(host.started) <= 3
    assert sorted(host.started) == sorted(set(host.started))


def test_the_running_machine_is_read_with_as_few() -> None:
    host = Counting("/")
    node_facts.run(host, {"gather_subset": ["all"]})
    assert len(host.started) <= 3


def test_thousands_of_addresses_stay_small_facts(tmp_path: Path) -> None:
    root = Path(shutil.copytree(INCIDENT, tmp_path / "tree"))
    capture = json.loads((root / CAPTURE_FILE).read_text())
    devices = json.loads(capture["commands"]["ip -j -d addr"]["stdout"])
    ipvs = next(device for device in devices if device["ifname"] == "kube-ipvs0")
    ipvs["addr_info"] = [
        {
            "family": "inet",
            "local": f"10.{96 + n // 65536}.{n // 256 % 256}.{n % 256}",
            "prefixlen": 32,
            "scope": "global",
        }
        for n in range(5000)
    ]
    capture["commands"]["ip -j -d addr"]["stdout"] = json.dumps(devices)
    (root / CAPTURE_FILE).write_text(json.dumps(capture))
    found = facts(root)
    assert len(json.dumps(found)) < 8192
    links = {link["name"]: link for link in found["fleetops_links"]["links"]}
    assert links["kube-ipvs0"]["addresses_total"] == 5000
    assert len(links["kube-ipvs0"]["addresses"]) == node_facts.MOST_ADDRESSES
    assert "addresses_total" not in links["flannel.1"]
    assert "10.96.0.2/32 and 4997 more local on this node" in judge(links["kube-ipvs0"])["reason"]


# --- documentation -----------------------------------------------------------------------------------


def differences(documented: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    """Where a value and its documentation name other keys."""
    if "contains" not in documented or value is None:
        return
    for item in value if isinstance(value, list) else [value]:
        optional = {key for key, doc in documented["contains"].items() if "when" in doc.get("returned", "")}
        for key in {*documented["contains"], *item}:
            if key not in documented["contains"] or (key not in item and key not in optional):
                yield f"{path}.{key}"
            elif key in item:
                yield from differences(documented["contains"][key], item[key], f"{path}.{key}")


@pytest.mark.parametrize(
    "module", [node_facts, kernel_facts, kdump_facts], ids=lambda module: module.__name__.rpartition(".")[2]
)
@pytest.mark.parametrize("name", ["debian-6.1-incident", "debian-6.1-dumps", "debian-6.1-generic-watchdog"])
def test_every_fact_is_documented_and_every_documented_fact_is_there(module: Any, name: str) -> None:
    returned = module.run(Host(str(FIXTURES / name)), {"gather_subset": ["all"]}).returned
    documented = yaml.safe_load(module.RETURN)
    assert list(differences({"contains": documented}, returned, "")) == []


@pytest.mark.parametrize(
    "module", [node_facts, kernel_facts, kdump_facts], ids=lambda module: module.__name__.rpartition(".")[2]
)
def test_whoever_reads_a_tree_says_so(module: Any) -> None:
    dead = module.run(Host(str(INCIDENT)), {"gather_subset": ["all"]}).returned
    assert dead["left_behind"]["kind"] == "captured tree"
    assert dead["left_behind"]["root"] == str(INCIDENT)
    assert "left_behind" not in module.run(Host(), {"gather_subset": ["all"]}).returned


# --- for real ----------------------------------------------------------------------------------------


def ansible(*arguments: str) -> Any:
    """The module as Ansible runs it: packed, sent, started by itself."""
    done = subprocess.run(
        ["ansible", "localhost", "-c", "local", "-o", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert " => " in done.stdout, done.stderr
    return json.loads(done.stdout.split(" => ", 1)[1])


def test_as_ansible_runs_it() -> None:
    packed = ansible("-m", "fleetops.kernel.node_facts", "-a", json.dumps({"root": str(INCIDENT)}), "--check")
    assert packed["changed"] is False
    assert packed["ansible_facts"] == json.loads(json.dumps(facts(INCIDENT)))


def test_an_error_is_one_message() -> None:
    failed = ansible("-m", "fleetops.kernel.node_facts", "-a", "gather_subset=nothing")
    assert "ansible_facts" not in failed
    assert failed["msg"].startswith("gather_subset: 'nothing' is unknown")


def test_the_boot_by_itself_is_that_of_the_kernel_and_may_be_unknown(tmp_path: Path) -> None:
    found = facts(INCIDENT, gather_subset=["kernel", "boot_id"])
    assert found["fleetops_boot_id"] == found["fleetops_kernel"]["boot_id"]
    assert found["fleetops_boot_id"]
    (tmp_path / "etc").mkdir()
    assert facts(tmp_path, gather_subset=["boot_id"]) == {"fleetops_boot_id": None}
