# SPDX-License-Identifier: GPL-3.0-or-later
"""The role node_maintenance as an Ansible user runs it, over an ssh that is a script: it boots, dies and comes back.

The script runs what it is asked here, under the boot_id that the test wrote down, and refuses while the node is dead.
All cases are nodes of one run: starting Ansible for each took minutes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import ledger, lock

FIRST = "11111111-1111-4111-8111-111111111111"
SECOND = "22222222-2222-4222-8222-222222222222"
THIRD = "33333333-3333-4333-8333-333333333333"
PANIC = "Kernel panic - not syncing: VFS: Unable to mount root fs"

SSH = """\
#!/bin/sh
STATE=@STATE@
export STATE
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
# As rollout.yml runs the role: what it ends with has to be a failure that a rescue sees, never an unreachable node.
PLAY = """\
---
- hosts: all
  gather_facts: false
  strategy: free
  ignore_unreachable: true
  tasks:
    - block:
        - ansible.builtin.import_role:
            name: fleetops.kernel.node_maintenance
        - ansible.builtin.set_fact:
            end: {back: true, held: "{{ __node_maintenance_held | default({}) }}", msg: ""}
      rescue:
        - ansible.builtin.set_fact:
            end: {back: false, held: {}, msg: "{{ ansible_failed_result.msg | default('no message') }}"}
    - ansible.builtin.debug:
        msg: "END {{ inventory_hostname }} {{ end | to_json }}"
"""
# Task files of a site, as the hooks name them.
LOCAL = {"delegate_to": "localhost", "vars": {"ansible_connection": "local"}}
STATE = "{{ playbook_dir }}/{{ inventory_hostname }}"
HOOKS: dict[str, dict[str, Any]] = {
    "evidence.yml": {
        "ansible.builtin.set_fact": {"node_maintenance_evidence": [{"source": "console", "text": PANIC}]}
    },
    "no_evidence.yml": {"ansible.builtin.fail": {"msg": "the BMC is away"}},
    "power.yml": {
        "ansible.builtin.command": f"sh -c 'touch {STATE}/power; echo {THIRD} > {STATE}/boot_id; rm {STATE}/dead'",
        **LOCAL,
    },
    "no_power.yml": {"ansible.builtin.fail": {"msg": "no such outlet"}},
}


@dataclass
class Case:
    """A node, and how it has to end. *says*: words of its failure; none: it is back."""

    why: str
    flags: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    boots: int = 1
    power: bool = False
    # Of Redfish: the state of its power, and what is posted.
    bmc: str = ""
    posted: tuple[str, ...] = ()


POWER = {"node_maintenance_power_tasks": "power.yml", "node_maintenance_power_cycle": True}
REDFISH = {"node_maintenance_evidence_tasks": "redfish", "node_maintenance_power_tasks": "redfish"}
PATIENT = {"node_maintenance_gate_timeout": 200, "node_maintenance_reboot_timeout": 200}
# Where what is waited for comes by power, not by time.
LATE = {"node_maintenance_gate_timeout": 200}
CASES = {
    "back": Case("another boot answers and its gates are open", variables=PATIENT),
    "no_evidence_file": Case(
        "a hook that is not there is known before anything happens",
        variables={"node_maintenance_evidence_tasks": "missing.yml"},
        says=("node_maintenance_evidence_tasks=missing.yml",),
        boots=0,
    ),
    "no_power_file": Case(
        "a hook that is not there is known before anything happens",
        variables={**POWER, "node_maintenance_power_tasks": "missing.yml"},
        says=("node_maintenance_power_tasks=missing.yml",),
        boots=0,
    ),
    "no_power_hook": Case(
        "who wants power cycles says how",
        variables={"node_maintenance_power_cycle": True},
        says=("node_maintenance_power_cycle needs node_maintenance_power_tasks",),
        boots=0,
    ),
    "no_such_gate": Case(
        "a gate that there is not is known before the reboot",
        variables={"node_maintenance_gates": ["kernel_runs"]},
        says=("no_such_gate is not rebooted: There is no gate 'kernel_runs'",),
        boots=0,
    ),
    "other_kernel": Case(
        "another kernel than the expected one is no return, and is not waited for",
        variables={
            **PATIENT,
            "node_maintenance_release": "9.9.9-none",
            "node_maintenance_gate_timeout": 9999,
        },
        says=(f"runs {platform.release()}, not 9.9.9-none",),
    ),
    "lost_service": Case(
        "a service that does not come back is named",
        ("loses",),
        {"node_maintenance_reboot_timeout": 200},
        says=("units_running is closed", "cron ran before, and has failed"),
    ),
    "refuses": Case(
        "a reboot that did not begin is no lost node",
        ("refuses",),
        POWER,
        says=("refuses was not rebooted", "not now"),
    ),
    "same_boot": Case(
        "a node that still runs the boot of before was not lost and is not power-cycled",
        ("same",),
        POWER,
        says=("the boot of before still runs",),
        never=("is lost",),
    ),
    "lost": Case(
        "a node that does not come back is lost with the last that is known; the event log stands in its order",
        ("hangs",),
        REDFISH,
        says=(
            "lost is lost",
            f"boot_id {FIRST}",
            f"expected {platform.release()}",
            "it is not power-cycled: node_maintenance_power_cycle is false",
            "OK OS boot began | /redfish/v1/Systems/1/LogServices/SEL: 2026-11-24T12:00:02Z Critical OS stop: panic",
        ),
        bmc="On",
    ),
    "no_power": Case(
        "evidence that cannot be had stops nothing, and a power cycle that fails is said",
        ("hangs",),
        {
            "node_maintenance_evidence_tasks": "no_evidence.yml",
            "node_maintenance_power_tasks": "no_power.yml",
            "node_maintenance_power_cycle": True,
        },
        says=("there is no evidence", "it could not be power-cycled: Hook: no such outlet"),
    ),
    "power_other_kernel": Case(
        "a node that power brought back on another kernel has failed; without a ledger nobody counts",
        ("hangs",),
        {**POWER, **LATE, "node_maintenance_release": "9.9.9-none"},
        says=(f"runs {platform.release()}, not 9.9.9-none",),
        never=("is lost",),
        power=True,
    ),
    "redfish_on": Case(
        "redfish brings a node back, which the gates then judge",
        ("hangs",),
        {**REDFISH, **LATE, "node_maintenance_power_cycle": True},
        bmc="On",
        posted=("ForceRestart",),
    ),
    "redfish_off": Case(
        "one that is off is switched on",
        ("hangs",),
        {**REDFISH, **LATE, "node_maintenance_power_cycle": True, "node_maintenance_evidence_tasks": ""},
        bmc="Off",
        posted=("On",),
    ),
    "no_run": Case(
        "a ledger without a run allows nothing",
        ("hangs",),
        {**POWER, "node_maintenance_ledger": "{{ playbook_dir }}/empty.jsonl"},
        says=(
            "no_run is lost",
            "it is not power-cycled: The ledger",
            "holds no run of this ansible-playbook",
        ),
    ),
}
# Both hang, and the rollout of their ledger has one power cycle left.
COUNTED = {
    **POWER,
    **LATE,
    "node_maintenance_evidence_tasks": "evidence.yml",
    "node_maintenance_ledger": "{{ playbook_dir }}/rollout.jsonl",
}


class Node:
    """A machine that is a folder with its state."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.state = folder
        (self.state / "bin").mkdir(parents=True)
        for path, text in (("ssh", SSH), ("reboot", REBOOT), ("bin/systemctl", SYSTEMCTL)):
            (folder / path).write_text(text.replace("@STATE@", str(self.state)))
            (folder / path).chmod(0o755)
        (self.state / "boot_id").write_text(FIRST)
        (self.state / "next_boot_id").write_text(SECOND)
        for flag in flags:
            (self.state / flag).touch()

    def has(self, flag: str) -> bool:
        return (self.state / flag).exists()

    def boots(self) -> int:
        return len((self.state / "boots").read_text().split()) if self.has("boots") else 0

    def comes_back(self) -> None:
        """As after a power cycle."""
        (self.state / "boot_id").write_text(THIRD)
        (self.state / "dead").unlink(missing_ok=True)


class Run:
    """Nodes, each with its variables, and what became of them."""

    def __init__(self, folder: Path, nodes: Mapping[str, Mapping[str, Any]], *arguments: str) -> None:
        given = {
            "node_maintenance_release": platform.release(),
            "node_maintenance_gates": ["kernel_running", "units_running"],
            "node_maintenance_gate_options": {"units_running": {"stable_for": 0}},
            "node_maintenance_gate_timeout": 3,
            "node_maintenance_gate_interval": 1,
            "node_maintenance_reboot_timeout": 3,
        }
        hosts = {
            name: {
                **given,
                "ansible_ssh_executable": str(folder / name / "ssh"),
                "node_maintenance_reboot_command": str(folder / name / "reboot"),
                **variables,
            }
            for name, variables in nodes.items()
        }
        (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        (folder / "play.yml").write_text(PLAY)
        for name, task in HOOKS.items():
            (folder / name).write_text(json.dumps([{"name": "Hook", **task}]))
        with (folder / "output.txt").open("w") as output:
            process = subprocess.Popen(
                ["ansible-playbook", "-i", "hosts.json", "play.yml", "-f", "8", *arguments],
                cwd=folder,
                env={
                    **os.environ,
                    "ANSIBLE_NOCOLOR": "1",
                    "ANSIBLE_PIPELINING": "1",
                    "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
                    "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            begin_rollout(folder / "rollout.jsonl", process.pid)
            try:
                self.code = process.wait(timeout=580)
            finally:
                process.kill()
        self.text = (folder / "output.txt").read_text()
        told = [json.loads(line) for line in re.findall(r'^ +"msg": ("END .*")$', self.text, re.MULTILINE)]
        self.ends: dict[str, dict[str, Any]] = {
            host: json.loads(end) for host, end in (line.split(" ", 2)[1:] for line in told)
        }


def begin_rollout(path: Path, pid: int) -> None:
    """A rollout with one power cycle, of the ansible-playbook *pid*, which needs longer than this to get anywhere."""
    run = {"run": "r", "rollout": "r"}
    plan = {"run": "r", "rollout": {"kind": "kernel", "goal": "g", "waves": [], "power_cycles": 1}}
    begin = {"event": "begin", **run, **lock.holder_of(pid).as_event()}
    ledger.Ledger(str(path)).append(begin, {"event": "plan", **plan})


def test_check_mode_reboots_nothing_and_waits_for_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path / "n1")
    run = Run(tmp_path, {"n1": {}}, "--check")
    assert run.code == 0, run.text
    assert run.ends["n1"]["back"], run.text
    assert node.boots() == 0


def test_each_node_ends_as_it_has_to(tmp_path: Path, subtests: pytest.Subtests) -> None:
    nodes = {name: Node(tmp_path / name, *case.flags) for name, case in CASES.items()}
    counted = {name: Node(tmp_path / name, "hangs") for name in ("counted_one", "counted_two")}
    variables = {name: dict(case.variables) for name, case in CASES.items()}
    variables.update(dict.fromkeys(counted, COUNTED))
    with contextlib.ExitStack() as stack:
        posted: dict[str, list[Any]] = {}
        for name, case in CASES.items():
            if case.bmc:
                url, posted[name] = stack.enter_context(bmc(nodes[name], case.bmc))
                secret = {"url": url, "user": "ops", "password": "secret"}
                variables[name]["node_maintenance_bmc"] = secret
        run = Run(tmp_path, variables)
    assert run.code == 0, run.text
    assert run.ends.keys() == {*CASES, *counted}, run.text
    assert "secret" not in run.text

    for name, case in CASES.items():
        with subtests.test(f"{name}: {case.why}"):
            end, node = run.ends[name], nodes[name]
            assert end["back"] is not bool(case.says), end
            for words in case.says:
                assert words in end["msg"]
            for words in case.never:
                assert words not in end["msg"]
            assert node.boots() == case.boots
            assert node.has("power") is case.power
            wanted = [
                ("/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", {"ResetType": kind})
                for kind in case.posted
            ]
            assert posted.get(name, []) == wanted
    with subtests.test("what was held is told to who comes after"):
        assert run.ends["back"]["held"] == {"after": FIRST, "gates": ["kernel_running", "units_running"]}
    with subtests.test("evidence that could not be had is said"):
        assert "no_power: evidence could not be collected: Hook: the BMC is away" in run.text
    with subtests.test("the ledger's one power cycle is for one of two nodes"):
        (back,) = [name for name in counted if run.ends[name]["back"]]
        (lost,) = {*counted} - {back}
        words = "it is not power-cycled: 1 of 1 power cycles were used before"
        assert words in run.ends[lost]["msg"]
        assert f"evidence: console: {PANIC}" in run.ends[lost]["msg"]
        assert (counted[back].has("power"), counted[lost].has("power")) == (True, False)
        events, _offset = ledger.Ledger(str(tmp_path / "rollout.jsonl")).read()
        assert [event["host"] for event in events if event["event"] == "power"] == [back]


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
