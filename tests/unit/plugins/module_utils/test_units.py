# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services count as running. The blocks are written by hand, in the order of the one captured block there is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import units as reader
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import units

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
HOSTS = FIXTURES / "hosts"
# `systemctl show kdump-tools.service --all` of a node, with all properties.
CAPTURED = FIXTURES / "sos/debian-6.1-incident/sos_commands/systemd/systemctl_show_service_--all"


def block(name: str, state: str = "active/running", **more: str) -> str:
    active, sub = state.split("/")
    values = {
        "Type": "simple",
        "Id": f"{name}.service",
        "RequiredBy": "",
        "WantedBy": "multi-user.target",
        "TriggeredBy": "",
        "ActiveState": active,
        "SubState": sub,
        "UnitFileState": "enabled",
        "Transient": "no",
        **more,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def services(*blocks: str) -> units.Services:
    return units.services("\n".join(blocks))


def test_what_a_node_printed_is_read_and_has_the_form_of_what_is_written_here() -> None:
    text = CAPTURED.read_text()
    assert units.services(text) == ([], ["kdump-tools"], [], [], [])
    names = [line.partition("=")[0] for line in text.splitlines()]
    written = [line.partition("=")[0] for line in block("ssh").splitlines()]
    assert [name for name in names if name in units.PROPERTIES] == written
    assert sorted(written) == sorted(units.PROPERTIES)


ASKED = {"WantedBy": "", "UnitFileState": "static"}


def test_each_state_has_its_place() -> None:
    found = services(
        block("ssh"),
        block("cron", "reloading/reload"),
        block("kdump-tools", "active/exited", Type="oneshot"),
        block("kubelet", "activating/auto-restart"),
        block("lvm", "failed/failed"),
        block("gone", "inactive/dead"),
        block("going", "deactivating/stop-sigterm"),
    )
    assert found == (["cron", "ssh"], ["kdump-tools"], ["kubelet"], ["lvm"], [])


@pytest.mark.parametrize(
    "name",
    [
        "user@1000",
        "user-runtime-dir@0",
        "sshd@12-10.0.0.1:22-10.0.0.2:51234",
        "ssh@3-127.0.0.1:22-127.0.0.1:4000",
        "systemd-coredump@3-4711-0",
        "run-u123",
        "run-r0123456789abcdef0123456789abcdef",
        "run-p4711-i4712",
        "docker-0123456789abcdef0123",
        "pod-0f8fad5b-d9cb-469f-a165-70867728950e",
    ],
)
def test_what_has_a_new_name_each_time_is_left_out(name: str) -> None:
    assert not any(services(block(name), block(name, "failed/failed")))


@pytest.mark.parametrize(
    "name", ["postgresql@14-main", "ceph-osd@12", "getty@tty1", "deadbeef", "systemd-udevd", "k3s-agent"]
)
def test_what_keeps_its_name_is_not(name: str) -> None:
    assert services(block(name)).running == [name]


def test_what_systemd_run_started_is_left_out_whatever_its_name() -> None:
    assert services(block("backup", Transient="yes")).running == []


def test_what_only_starts_when_somebody_asks_was_not_running() -> None:
    found = services(
        block("systemd-hostnamed", Type="dbus", **ASKED),
        block("packagekit", TriggeredBy="packagekit.timer", **ASKED),
        block("apt-daily", "activating/start", Type="oneshot", TriggeredBy="apt-daily.timer", **ASKED),
    )
    assert not any(found)


def test_what_fails_counts_even_when_somebody_asked_for_it() -> None:
    assert services(block("apt-daily", "failed/failed", Type="oneshot", **ASKED)).failed == ["apt-daily"]


def test_what_no_boot_starts_is_named() -> None:
    found = services(block("mine", UnitFileState="disabled", WantedBy=""))
    assert (found.running, found.by_hand) == (["mine"], ["mine"])


class Machine(Host):
    """Answers systemctl, and counts."""

    def __init__(self, text: str | FleetopsError) -> None:
        super().__init__(str(HOSTS / "debian-6.1-clean"))
        self.text, self.started = text, 0

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.started += 1
        assert list(argv[:2]) == ["systemctl", "show"]
        if isinstance(self.text, FleetopsError):
            raise self.text
        return self.text


def test_one_call_and_less_than_4_kb_for_100_services() -> None:
    machine = Machine("\n".join(block(f"a-service-of-some-length-{number}") for number in range(100)))
    facts = reader.read(machine)
    assert machine.started == 1
    assert len(facts["running"] or []) == 100
    assert len(json.dumps(facts)) < 4096


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FleetopsError("'systemctl' failed: no bus"), "no bus"),
        ("", "no service that is active"),
        ("\n".join(block(f"s{number}") for number in range(301)), "301 services, more than the 300"),
    ],
)
def test_what_cannot_be_read_is_unknown_in_each_part(text: str | FleetopsError, says: str) -> None:
    facts = reader.read(Machine(text))
    for part in reader.PARTS:
        assert facts[part] is None  # type: ignore[literal-required]
        assert says in facts["unknown"][part]
