# SPDX-License-Identifier: GPL-3.0-or-later
"""The same link in use and unused. The order counts."""

from __future__ import annotations

from typing import Any

from testinfra.host import Host


def exists(host: Host, name: str) -> bool:
    return bool(host.file(f"/sys/class/net/{name}").exists)


def test_the_unused_link_is_gone_and_the_one_in_use_stays(host: Host) -> None:
    assert not exists(host, "kube-ipvs0")
    assert exists(host, "flannel.1")
    assert host.service("flanneld").is_running


def test_asked_for_by_name_the_link_in_use_is_refused_with_the_proof(scenario: Any, host: Host) -> None:
    records = scenario.undo_records()
    run = scenario.converge(cilium_migration_cleanup_links=["flannel.1"])
    assert run.rc == 2, run.text
    assert run.changed == 0, run.text
    assert run.says("Nothing was removed: flannel.1", "is in use", "flanneld"), run.text
    assert exists(host, "flannel.1")
    assert scenario.undo_records() == records
    print(next(line.strip() for line in run.text.splitlines() if "Nothing was removed" in line))


def test_a_name_that_no_link_can_have_is_refused(scenario: Any, host: Host) -> None:
    name = "flannel.0123456789"
    run = scenario.converge(cilium_migration_cleanup_links=["flannel.1", name])
    assert run.rc == 2, run.text
    assert run.says(f"'{name}' cannot be the name of a link", "at most 15"), run.text
    assert exists(host, "flannel.1")


def test_a_link_that_nobody_knows_is_refused(scenario: Any, host: Host) -> None:
    run = scenario.converge(cilium_migration_cleanup_links=["eth0"])
    assert run.rc == 2, run.text
    assert run.says("eth0 exists, but who made it is not known"), run.text
    assert exists(host, "eth0")


def test_once_unused_it_is_removed_and_undo_makes_it_again(scenario: Any, host: Host) -> None:
    address = "ip -o addr show dev flannel.1 | grep -o 'inet [^ ]*'"
    before = host.check_output(address)
    host.check_output("systemctl stop flanneld")
    run = scenario.converge(cilium_migration_cleanup_links=["flannel.1"])
    assert run.rc == 0, run.text
    assert run.changed == 1, run.text
    assert not exists(host, "flannel.1")
    back = scenario.playbook("undo", fleetops_undo_last=1)
    assert back.rc == 0, back.text
    assert host.check_output(address) == before
    assert not exists(host, "kube-ipvs0")  # of an earlier record
    print("flannel.1: in use, refused; flanneld ended, removed; undo, there again with its address")
