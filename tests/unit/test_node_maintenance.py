# SPDX-License-Identifier: GPL-3.0-or-later
"""The role node_maintenance as an Ansible user runs it, over an ssh that is a script: it boots, dies and comes back.

The script runs what it is asked here, under the boot_id that the test wrote down, and refuses while the node is dead.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

FIRST = "11111111-1111-4111-8111-111111111111"
SECOND = "22222222-2222-4222-8222-222222222222"
THIRD = "33333333-3333-4333-8333-333333333333"

SSH = """\
#!/bin/sh
case " $* " in *" -O "*) exit 0 ;; esac
for word; do last=$word; done
if [ -e "$STATE/dead" ]; then
  echo "ssh: connect to host n1 port 22: No route to host" >&2
  exit 255
fi
PATH="$STATE/bin:$PATH"
export PATH
{ sh -c "$last"; echo $? > "$STATE/rc.$$"; } | sed "s/$(cat /proc/sys/kernel/random/boot_id)/$(cat "$STATE/boot_id")/g"
exit "$(cat "$STATE/rc.$$")"
"""
REBOOT = """\
#!/bin/sh
echo boot >> "$STATE/boots"
[ -e "$STATE/refuses" ] && { echo "not now" >&2; exit 1; }
[ -e "$STATE/same" ] || cp "$STATE/next_boot_id" "$STATE/boot_id"
[ -e "$STATE/hangs" ] && : > "$STATE/dead"
[ -e "$STATE/loses" ] && : > "$STATE/without_cron"
exit 0
"""
SYSTEMCTL = """\
#!/bin/sh
show() {
  printf 'Type=simple\\nActiveState=%s\\nSubState=%s\\nId=%s.service\\n' "$2" "$3" "$1"
  printf 'UnitFileState=enabled\\nWantedBy=multi-user.target\\n\\n'
}
show ssh active running
if [ -e "$STATE/without_cron" ]; then show cron failed failed; else show cron active running; fi
"""
PLAY = """\
---
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: fleetops.kernel.node_maintenance
"""


class Node:
    """A machine that is a folder with its state."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        (self.state / "bin").mkdir(parents=True)
        for path, text in (
            (folder / "ssh", SSH),
            (folder / "reboot", REBOOT),
            (self.state / "bin" / "systemctl", SYSTEMCTL),
        ):
            path.write_text(text)
            path.chmod(0o755)
        (self.state / "boot_id").write_text(FIRST)
        (self.state / "next_boot_id").write_text(SECOND)
        (folder / "play.yml").write_text(PLAY)
        (folder / "hosts.ini").write_text(f"n1 ansible_ssh_executable={folder / 'ssh'}\n")

    def set(self, *names: str) -> None:
        for name in names:
            (self.state / name).touch()

    def boots(self) -> int:
        found = self.state / "boots"
        return len(found.read_text().split()) if found.exists() else 0

    def comes_back(self, boot_id: str = THIRD) -> None:
        """As after a power cycle."""
        (self.state / "boot_id").write_text(boot_id)
        (self.state / "dead").unlink(missing_ok=True)

    def run(self, *arguments: str, **variables: Any) -> tuple[int, str]:
        given = {
            "node_maintenance_reboot_command": str(self.folder / "reboot"),
            "node_maintenance_release": platform.release(),
            "node_maintenance_gates": ["kernel_running", "units_running"],
            "node_maintenance_gate_options": {"units_running": {"stable_for": 0}},
            "node_maintenance_gate_timeout": 3,
            "node_maintenance_gate_interval": 1,
            "node_maintenance_reboot_timeout": 3,
            **variables,
        }
        done = subprocess.run(
            ["ansible-playbook", "-i", "hosts.ini", "play.yml", "-e", json.dumps(given), *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "STATE": str(self.state),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, " ".join(done.stdout.split())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def hook(node: Node, name: str, task: dict[str, Any]) -> str:
    (node.folder / name).write_text(json.dumps([{"name": "Hook", **task}]))
    return name


def touches(node: Node, name: str) -> dict[str, Any]:
    return {
        "ansible.builtin.command": {"argv": ["touch", str(node.state / name)]},
        "delegate_to": "localhost",
        "vars": {"ansible_connection": "local"},
    }


def test_another_boot_answers_and_its_gates_are_open(node: Node) -> None:
    before = hook(node, "before.yml", touches(node, "before"))
    after = hook(node, "after.yml", touches(node, "after"))
    code, text = node.run(node_maintenance_before_tasks=before, node_maintenance_after_tasks=after)
    assert code == 0, text
    assert node.boots() == 1
    assert (node.state / "before").exists()
    assert (node.state / "after").exists()


def test_check_mode_reboots_nothing_and_waits_for_nothing(node: Node) -> None:
    code, text = node.run("--check")
    assert code == 0, text
    assert node.boots() == 0


@pytest.mark.parametrize(
    "name", ["before_tasks", "after_tasks", "evidence_tasks", "power_tasks"], ids=lambda name: str(name)
)
def test_a_hook_that_is_not_there_is_known_before_anything_happens(node: Node, name: str) -> None:
    code, text = node.run(**{f"node_maintenance_{name}": "missing.yml"})
    assert code == 2, text
    assert f"node_maintenance_{name}=missing.yml" in text
    assert node.boots() == 0


def test_a_gate_that_there_is_not_is_known_before_the_reboot(node: Node) -> None:
    code, text = node.run(node_maintenance_gates=["kernel_runs"])
    assert code == 2, text
    assert "n1 is not rebooted: There is no gate 'kernel_runs'" in text
    assert node.boots() == 0


def test_a_failing_hook_keeps_the_node_from_its_reboot(node: Node) -> None:
    name = hook(node, "before.yml", {"ansible.builtin.fail": {"msg": "Ceph is not well"}})
    code, text = node.run(node_maintenance_before_tasks=name)
    assert code == 2, text
    assert "Ceph is not well" in text
    assert node.boots() == 0


def test_another_kernel_than_the_expected_one_is_no_return(node: Node) -> None:
    after = hook(node, "after.yml", touches(node, "after"))
    code, text = node.run(
        node_maintenance_release="9.9.9-none",
        node_maintenance_after_tasks=after,
        node_maintenance_gate_timeout=600,
    )
    assert code == 2, text
    assert f"runs {platform.release()}, not 9.9.9-none" in text
    assert not (node.state / "after").exists()


def test_a_service_that_does_not_come_back_is_named(node: Node) -> None:
    node.set("loses")
    code, text = node.run()
    assert code == 2, text
    assert "units_running is closed" in text
    assert "cron ran before, and has failed" in text


def test_a_reboot_that_did_not_begin_is_no_lost_node(node: Node) -> None:
    node.set("refuses")
    power = hook(node, "power.yml", touches(node, "power"))
    code, text = node.run(node_maintenance_power_tasks=power, node_maintenance_power_cycle=True)
    assert code == 2, text
    assert "n1 was not rebooted" in text
    assert "not now" in text
    assert not (node.state / "power").exists()


def test_a_node_that_still_runs_the_boot_of_before_was_not_lost_and_is_not_power_cycled(node: Node) -> None:
    node.set("same")
    power = hook(node, "power.yml", touches(node, "power"))
    code, text = node.run(node_maintenance_power_tasks=power, node_maintenance_power_cycle=True)
    assert code == 2, text
    assert "the boot of before still runs" in text
    assert "n1 is lost" not in text
    assert not (node.state / "power").exists()


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "it is not power-cycled: node_maintenance_power_cycle is false"),
        (
            {"node_maintenance_power_cycle": True, "node_maintenance_power_allowed": "{{ 1 > 2 }}"},
            "it is not power-cycled: no power cycle is left",
        ),
    ],
)
def test_a_node_that_does_not_come_back_is_lost_with_the_last_that_is_known(
    node: Node, variables: dict[str, Any], says: str
) -> None:
    node.set("hangs")
    line = "Kernel panic - not syncing: VFS: Unable to mount root fs"
    evidence = hook(
        node,
        "evidence.yml",
        {"ansible.builtin.set_fact": {"node_maintenance_evidence": [{"source": "console", "text": line}]}},
    )
    power = hook(node, "power.yml", touches(node, "power"))
    code, text = node.run(
        node_maintenance_evidence_tasks=evidence, node_maintenance_power_tasks=power, **variables
    )
    assert code == 2, text
    for words in (
        "n1 is lost",
        f"boot_id {FIRST}",
        f"expected {platform.release()}",
        says,
        f"console: {line}",
    ):
        assert words in text
    assert not (node.state / "power").exists()


def test_evidence_that_cannot_be_had_stops_nothing(node: Node) -> None:
    node.set("hangs")
    evidence = hook(node, "evidence.yml", {"ansible.builtin.fail": {"msg": "the BMC is away"}})
    code, text = node.run(node_maintenance_evidence_tasks=evidence)
    assert code == 2, text
    assert "evidence could not be collected: Hook: the BMC is away" in text
    assert "there is no evidence" in text


def test_a_power_cycle_that_fails_is_said(node: Node) -> None:
    node.set("hangs")
    power = hook(node, "power.yml", {"ansible.builtin.fail": {"msg": "no such outlet"}})
    code, text = node.run(node_maintenance_power_tasks=power, node_maintenance_power_cycle=True)
    assert code == 2, text
    assert "it could not be power-cycled: Hook: no such outlet" in text


# --- Redfish -----------------------------------------------------------------------------------------


class Bmc(BaseHTTPRequestHandler):
    """As much of a BMC as the example asks for."""

    node: Node
    state: str
    posted: list[Any]

    def answer(self, code: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self) -> bool:
        wanted = "Basic " + base64.b64encode(b"ops:secret").decode()
        if self.headers.get("Authorization") == wanted:
            return True
        self.answer(401, {"error": "no"})
        return False

    def do_GET(self) -> None:
        system = "/redfish/v1/Systems/1"
        reset = {"#ComputerSystem.Reset": {"target": f"{system}/Actions/ComputerSystem.Reset"}}
        entries = [
            {"Created": "2026-11-24T12:00:02Z", "Severity": "Critical", "Message": "OS stop: panic"},
            {"Created": "2026-11-24T12:00:01Z", "Severity": "OK", "Message": "OS boot began"},
        ]
        pages: dict[str, Any] = {
            "/redfish/v1/Systems": {"Members": [{"@odata.id": system}]},
            system: {
                "PowerState": self.state,
                "Actions": reset,
                "LogServices": {"@odata.id": f"{system}/LogServices"},
            },
            f"{system}/LogServices": {"Members": [{"@odata.id": f"{system}/LogServices/SEL"}]},
            f"{system}/LogServices/SEL/Entries": {"Members": entries},
        }
        if self.allowed():
            self.answer(200 if self.path in pages else 404, pages.get(self.path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.allowed():
            self.posted.append((self.path, body))
            self.node.comes_back()
            self.answer(200, {})

    def log_message(self, *_words: Any) -> None:
        """Silent."""


@contextlib.contextmanager
def bmc(node: Node, state: str) -> Iterator[tuple[str, list[Any]]]:
    posted: list[Any] = []
    handler = type("Handler", (Bmc,), {"node": node, "state": state, "posted": posted})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", posted
    finally:
        server.shutdown()
        server.server_close()


def cycled(node: Node, state: str = "On", **variables: Any) -> tuple[int, str, list[Any]]:
    node.set("hangs")
    with bmc(node, state) as (url, posted):
        code, text = node.run(
            node_maintenance_bmc={"url": url, "user": "ops", "password": "secret"},
            node_maintenance_evidence_tasks="redfish",
            node_maintenance_power_tasks="redfish",
            **variables,
        )
    assert "secret" not in text
    return code, text, posted


@pytest.mark.parametrize(("state", "reset"), [("On", "ForceRestart"), ("Off", "On")])
def test_redfish_brings_a_node_back_which_the_gates_then_judge(node: Node, state: str, reset: str) -> None:
    code, text, posted = cycled(node, state, node_maintenance_power_cycle=True)
    assert code == 0, text
    assert posted == [("/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", {"ResetType": reset})]


def test_a_node_that_power_brought_back_on_another_kernel_has_failed(node: Node) -> None:
    code, text, posted = cycled(
        node, node_maintenance_power_cycle=True, node_maintenance_release="9.9.9-none"
    )
    assert code == 2, text
    assert len(posted) == 1
    assert f"runs {platform.release()}, not 9.9.9-none" in text
    assert "n1 is lost" not in text


def test_redfish_tells_what_the_event_log_holds_in_order(node: Node) -> None:
    code, text, posted = cycled(node)
    assert (code, posted) == (2, []), text
    told = text.partition("evidence: ")[2]
    assert told.index("OS boot began") < told.index("Critical OS stop: panic")
