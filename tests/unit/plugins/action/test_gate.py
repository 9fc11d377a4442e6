# SPDX-License-Identifier: GPL-3.0-or-later
"""The action gate as an Ansible user runs it: local connections, a dark host, and a Prometheus on the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from ansible_collections.fleetops.kernel.plugins.action import gate
from ansible_collections.fleetops.kernel.plugins.modules import gate as documentation

LOCAL = "ansible_connection=local"
# Nothing listens on port 1: refused at once.
DARK = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"


class Run:
    """One task on one host, and what it answered."""

    def __init__(self, folder: Path, arguments: dict[str, Any], *words: str, host: str = LOCAL) -> None:
        result = folder / "result.json"
        tasks: list[dict[str, Any]] = [
            {"fleetops.kernel.gate": arguments, "register": "found", "failed_when": False},
            {
                "ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(result)},
                "delegate_to": "localhost",
                "vars": {"ansible_connection": "local"},
                "check_mode": False,
            },
            {"ansible.builtin.fail": {"msg": "closed"}, "when": "not found.passed | default(false)"},
        ]
        (folder / "play.json").write_text(
            json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}])
        )
        (folder / "hosts.ini").write_text(f"n1 {host}\n")
        self.done = subprocess.run(
            ["ansible-playbook", "-i", "hosts.ini", "play.json", *words],
            cwd=folder,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.text = self.done.stdout
        assert result.exists(), self.text
        self.result: dict[str, Any] = json.loads(result.read_text())
        self.gates = {one["name"]: one for one in self.result.get("gates", [])}


def test_the_documentation_has_the_options_of_the_action() -> None:
    documented = yaml.safe_load(documentation.DOCUMENTATION)["options"]
    assert documented.keys() == gate.ARGUMENTS.keys()
    for name, option in gate.ARGUMENTS.items():
        for key in ("type", "default", "elements"):
            assert documented[name].get(key) == option.get(key), name
        assert documented[name].get("required", False) == option.get("required", False)


def test_one_look_opens_all_that_is_open(tmp_path: Path) -> None:
    arguments = {
        "gates": ["kernel_running", "command"],
        "options": {"kernel_running": {"boot_id": "another"}, "command": {"argv": ["echo", "all is well"]}},
    }
    run = Run(tmp_path, arguments)
    assert (run.result["passed"], run.result["answers"], run.result["looks"]) == (True, True, 1), run.text
    assert run.gates["command"]["evidence"] == [{"source": "echo all is well", "text": "all is well"}]
    assert "waits for" not in run.text


def test_a_closed_gate_fails_the_task_once_and_names_each_with_its_reason(tmp_path: Path) -> None:
    arguments = {
        "gates": ["kernel_running", "command"],
        "options": {"kernel_running": {"want": "9.9.9-none"}, "command": {"argv": ["false"]}},
    }
    run = Run(tmp_path, arguments)
    words = run.result["msg"]
    assert words.startswith("n1: kernel_running is closed after ")
    assert re.search(
        r"runs \S+, not 9\.9\.9-none; command is closed after \d+ s: 'false' ended with 1", words
    )
    assert run.result["looks"] == 1


def test_what_is_waited_for_is_said_and_a_gate_that_opens_is_seen(tmp_path: Path) -> None:
    """The command itself brings about what it waits for: closed at the first look, open at the second."""
    flag = tmp_path / "flag"
    script = f"test -e {flag} || {{ touch {flag}; echo not yet; exit 1; }}"
    options = {"command": {"argv": ["sh", "-c", script], "where": "controller"}}
    run = Run(tmp_path, {"gates": ["command"], "options": options, "interval": 0.2})
    assert (run.result["passed"], run.result["looks"]) == (True, 2), run.text
    assert "[n1] waits for command, 0 of 600 s: " in run.text
    assert "ended with 1: not yet" in run.text


def test_a_dark_host_is_waited_for_and_is_no_unreachable_result(tmp_path: Path) -> None:
    arguments = {"gates": ["kdump_armed", "no_stale_links"], "timeout": 1, "interval": 0.3}
    run = Run(tmp_path, arguments, host=DARK)
    assert not run.result["passed"]
    assert not run.result["answers"]
    assert not run.result.get("unreachable")
    assert run.result["looks"] > 1
    assert "kdump_armed and no_stale_links are closed after " in run.result["msg"]
    assert "unreachable: " in run.result["msg"]
    assert "Connection refused" in run.result["msg"]


def test_a_dark_host_is_given_up_after_its_own_time(tmp_path: Path) -> None:
    run = Run(tmp_path, {"gates": ["kdump_armed"], "timeout": 500, "lost_after": 1}, host=DARK)
    assert run.result["msg"].endswith("(it has not answered for 1 s)")


def test_a_look_that_fails_is_a_closed_gate_and_no_lost_node(tmp_path: Path) -> None:
    host = f"{LOCAL} ansible_python_interpreter=/nowhere/python"
    run = Run(tmp_path, {"gates": ["kdump_armed"], "timeout": 0}, host=host)
    assert run.result["answers"], run.text
    assert "the look failed" in run.result["msg"]


def test_check_mode_looks_once_and_fails_nothing_and_runs_no_command(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    options = {"command": {"argv": ["touch", str(flag)], "where": "controller"}}
    run = Run(tmp_path, {"gates": ["command"], "options": options}, "--check")
    assert not run.result.get("failed")
    assert (run.result["passed"], run.result["looks"]) == (False, 1)
    assert "is not run in check mode" in run.result["msg"]
    assert not flag.exists()


def test_a_wrong_option_is_an_error_before_the_first_look(tmp_path: Path) -> None:
    run = Run(tmp_path, {"gates": ["kdump_armed"], "options": {"kdump_armed": {"wait": 1}}}, host=DARK)
    assert "The gate kdump_armed has no option 'wait'" in run.result["msg"]
    assert "gates" not in run.result


@pytest.mark.parametrize("where", ["node", "controller"])
def test_a_command_that_hangs_is_closed_and_ends(tmp_path: Path, where: str) -> None:
    options = {"command": {"argv": ["sleep", "250"], "where": where, "seconds": 1}}
    began = time.monotonic()
    run = Run(tmp_path, {"gates": ["command"], "options": options, "timeout": 0})
    assert "did not end within 1 s" in run.result["msg"], run.text
    assert time.monotonic() - began < 200


def test_a_command_that_is_not_there_is_closed(tmp_path: Path) -> None:
    for where in ("node", "controller"):
        options = {"command": {"argv": ["/nowhere/check"], "where": where}}
        run = Run(tmp_path, {"gates": ["command"], "options": options, "timeout": 0})
        assert not run.result["passed"]
        assert "/nowhere/check" in run.result["msg"]


class Left(BaseException):
    """What leaving the process is in a test."""


def test_a_waiter_leaves_when_its_parent_is_gone_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    gate._sleep(0.01, os.getppid())
    with pytest.raises(Left):
        gate._sleep(0.01, os.getppid() + 1)


# --- Prometheus --------------------------------------------------------------------------------------


class Prometheus(BaseHTTPRequestHandler):
    """Answers as its server's `mood` says."""

    def do_GET(self) -> None:
        server: Any = self.server
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        server.asked.append(query)
        mood = server.mood
        series = [{"metric": {"alertname": "NodeDown", "instance": "n1"}, "value": [1, "1"]}]
        result = series if query.startswith("up") or mood == "firing" else []
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        if mood == "slow":
            server.free.wait(240)
        if mood == "garbage":
            body = b"\\x00<html>"
        self.send_response({"broken": 500, "login": 302}.get(mood, 200))
        if mood == "login":
            self.send_header("Location", "http://127.0.0.1:1/login")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mood == "drip":
            while not server.free.wait(0.2):
                self.wfile.write(b" ")
                self.wfile.flush()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if mood == "torn" else body)

    def log_message(self, *_words: Any) -> None:
        """Silent."""


@contextlib.contextmanager
def prometheus(mood: str) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    server.mood, server.asked, server.free, server.daemon_threads = mood, [], threading.Event(), True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.free.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("mood", "passed", "says"),
    [
        ("quiet", True, "no alert fires that matches"),
        ("firing", False, "firing: NodeDown"),
        ("broken", None, "HTTP 500"),
        ("garbage", None, "no JSON"),
        ("login", None, "HTTP 302, sent on to http://127.0.0.1:1/login"),
        ("slow", None, "no answer"),
        ("drip", None, "no answer"),
        ("torn", None, "no JSON"),
    ],
)
def test_prometheus(tmp_path: Path, mood: str, passed: bool | None, says: str) -> None:
    """The node itself is dark: it is not asked."""
    with prometheus(mood) as server:
        options = {
            "url": f"http://127.0.0.1:{server.server_address[1]}/",
            "alerts": "Node.+",
            "labels": {"instance": "n1"},
            "seconds": 1,
        }
        arguments = {"gates": ["prometheus_quiet"], "options": {"prometheus_quiet": options}, "timeout": 0}
        run = Run(tmp_path, arguments, host=DARK)
    assert run.gates["prometheus_quiet"]["passed"] is passed, run.text
    assert says in run.gates["prometheus_quiet"]["reason"]
    assert server.asked[0] == 'ALERTS{alertstate="firing",alertname=~"Node.+",instance="n1"}'
