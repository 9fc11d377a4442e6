# SPDX-License-Identifier: GPL-3.0-or-later
"""The action gate as an Ansible user runs it: local connections, a dark host, and a Prometheus on the loopback.

All cases are hosts of one run: starting Ansible for each took minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from ansible_collections.fleetops.kernel.plugins.action import gate
from ansible_collections.fleetops.kernel.plugins.modules import gate as documentation

LOCAL = {"ansible_connection": "local"}
# Nothing listens on port 1: refused at once.
DARK = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
# Seconds: more than any test may take.
HANGS = 400
# Dark when it is asked for the first time.
SSH = """\
#!/bin/sh
case " $* " in *" -O "*) exit 0 ;; esac
for word; do last=$word; done
[ -e @FLAG@ ] || { touch @FLAG@; echo "ssh: connect to host boots port 22: No route to host" >&2; exit 255; }
exec sh -c "$last"
"""
PLAY = """\
---
- hosts: all
  gather_facts: false
  strategy: free
  tasks:
    - fleetops.kernel.gate:
        gates: "{{ given.gates }}"
        options: "{{ given.options | default(omit) }}"
        timeout: "{{ given.timeout | default(omit) }}"
        interval: "{{ given.interval | default(omit) }}"
        lost_after: "{{ given.lost_after | default(omit) }}"
      register: found
      ignore_errors: true
    - ansible.builtin.debug:
        msg: "END {{ inventory_hostname }} {{ found | to_json }}"
"""


class Run:
    """One task on each host, and what it answered. *hosts*: their variables, ``given`` among them."""

    def __init__(self, folder: Path, hosts: Mapping[str, Mapping[str, Any]], *words: str) -> None:
        (folder / "play.yml").write_text(PLAY)
        (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        self.done = subprocess.run(
            ["ansible-playbook", "-i", "hosts.json", "play.yml", "-f", "10", *words],
            cwd=folder,
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Less than what hangs in these tests takes to end by itself.
            timeout=HANGS - 50,
            check=False,
        )
        self.text = self.done.stdout
        told = [json.loads(line) for line in re.findall(r'^ +"msg": ("END .*")$', self.text, re.MULTILINE)]
        self.results: dict[str, dict[str, Any]] = {
            host: json.loads(end) for host, end in (line.split(" ", 2)[1:] for line in told)
        }
        assert self.results.keys() == hosts.keys(), self.text


@dataclass
class Case:
    """What one host is asked. *says*: of its message, ``{host}`` in it is its name; *has*: of its result."""

    why: str
    given: Mapping[str, Any]
    says: tuple[str, ...] = ()
    has: Mapping[str, Any] | None = None
    host: Mapping[str, Any] | None = None


def command(**options: Any) -> dict[str, Any]:
    return {"gates": ["command"], "timeout": 0, "options": {"command": options}}


CASES = {
    "open": Case(
        "one look opens all that is open",
        {
            "gates": ["kernel_running", "command"],
            "options": {
                "kernel_running": {"boot_id": "another"},
                "command": {"argv": ["echo", "all is well"]},
            },
        },
        has={"passed": True, "answers": True, "looks": 1, "failed": False},
    ),
    "closed": Case(
        "a closed gate fails the task once and names each with its reason",
        {
            "gates": ["kernel_running", "command"],
            "options": {"kernel_running": {"want": "9.9.9-none"}, "command": {"argv": ["false"]}},
        },
        says=(
            r"\Aclosed: kernel_running is closed after ",
            r"runs \S+, not 9\.9\.9-none; command is closed after \d+ s: 'false' ended with 1",
        ),
        has={"passed": False, "looks": 1, "failed": True},
    ),
    "dark": Case(
        "a dark host is waited for and is no unreachable result",
        {"gates": ["kdump_armed", "no_stale_links"], "timeout": 1, "interval": 0.3},
        says=(
            "kdump_armed and no_stale_links are closed after ",
            "unreachable: ",
            "Connection refused",
        ),
        has={"passed": False, "answers": False, "unreachable": None},
        host=DARK,
    ),
    "given_up": Case(
        "a dark host is given up after its own time",
        {"gates": ["kdump_armed"], "timeout": HANGS * 2, "lost_after": 1},
        says=(r"\(it has not answered for 1 s\)\Z",),
        host=DARK,
    ),
    "no_python": Case(
        "a look that fails is a closed gate and no lost node",
        {"gates": ["kdump_armed"], "timeout": 0},
        says=("the look failed",),
        has={"answers": True},
        host={**LOCAL, "ansible_python_interpreter": "/nowhere/python"},
    ),
    "wrong_option": Case(
        "a wrong option is an error before the first look",
        {"gates": ["kdump_armed"], "options": {"kdump_armed": {"wait": 1}}},
        says=("The gate kdump_armed has no option 'wait'",),
        has={"gates": None},
        host=DARK,
    ),
    **{
        f"hangs_on_{where}": Case(
            "a command that hangs is closed and ends",
            command(argv=["sleep", str(HANGS)], where=where, seconds=1),
            says=("did not end within 1 s",),
        )
        for where in ("node", "controller")
    },
    **{
        f"no_command_on_{where}": Case(
            "a command that is not there is closed",
            command(argv=["/nowhere/check"], where=where),
            says=("/nowhere/check",),
            has={"passed": False},
        )
        for where in ("node", "controller")
    },
}
# What Prometheus is up to, whether the gate is open then, and its reason.
MOODS: dict[str, tuple[bool | None, str]] = {
    "quiet": (True, "no alert fires that matches"),
    "firing": (False, "firing: NodeDown"),
    "broken": (None, "HTTP 500"),
    "garbage": (None, "no JSON"),
    "login": (None, "HTTP 302, sent on to http://127.0.0.1:1/login"),
    "slow": (None, "no answer"),
    "drip": (None, "no answer"),
    "torn": (None, "no JSON"),
}


def test_the_documentation_has_the_options_of_the_action() -> None:
    documented = yaml.safe_load(documentation.DOCUMENTATION)["options"]
    assert documented.keys() == gate.ARGUMENTS.keys()
    for name, option in gate.ARGUMENTS.items():
        for key in ("type", "default", "elements"):
            assert documented[name].get(key) == option.get(key), name
        assert documented[name].get("required", False) == option.get("required", False)


def test_each_host_has_its_answer(tmp_path: Path, subtests: pytest.Subtests) -> None:
    # The command itself brings about what it waits for: closed at the first look, open at the second.
    flag = tmp_path / "flag"
    script = f"test -e {flag} || {{ touch {flag}; echo not yet; exit 1; }}"
    waits = {**command(argv=["sh", "-c", script], where="controller"), "timeout": 600, "interval": 0.2}
    hosts = {name: {**(case.host or LOCAL), "given": case.given} for name, case in CASES.items()}
    hosts["opens"] = {**LOCAL, "given": waits}
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.replace("@FLAG@", str(tmp_path / "up")))
    ssh.chmod(0o755)
    booted = {
        "gates": ["kernel_running"],
        "options": {"kernel_running": {"boot_id": "another"}},
        "interval": 0.2,
    }
    hosts["boots"] = {"ansible_connection": "ssh", "ansible_ssh_executable": str(ssh), "given": booted}
    with contextlib.ExitStack() as stack:
        servers = {mood: stack.enter_context(prometheus(mood)) for mood in MOODS}
        for mood, server in servers.items():
            options = {
                "url": f"http://127.0.0.1:{server.server_address[1]}/",
                "alerts": "Node.+",
                "labels": {"instance": "n1"},
                # Who answers has time for it, on a machine that is busy, too.
                "seconds": 1 if mood in ("slow", "drip") else 30,
            }
            asked = {"gates": ["prometheus_quiet"], "options": {"prometheus_quiet": options}, "timeout": 0}
            # The node itself is dark: it is not asked.
            hosts[mood] = {**DARK, "given": asked}
        run = Run(tmp_path, hosts)
    # Failures, and no host that was unreachable.
    assert run.done.returncode == 0, run.text

    for name, case in CASES.items():
        with subtests.test(f"{name}: {case.why}"):
            result = run.results[name]
            for words in case.says:
                assert re.search(words, result["msg"])
            for key, value in (case.has or {}).items():
                assert result.get(key) == value, (key, result)
    with subtests.test("an answer is kept as evidence, and nothing is said of what is not waited for"):
        (found,) = [one for one in run.results["open"]["gates"] if one["name"] == "command"]
        assert found["evidence"] == [{"source": "echo all is well", "text": "all is well"}]
        assert "[open] waits for" not in run.text
    with subtests.test("a dark host is looked at again, and seen when it answers"):
        assert (run.results["boots"]["passed"], run.results["boots"]["looks"]) == (True, 2)
        assert "[boots] waits for kernel_running, " in run.text
        assert "No route to host" in run.text
    with subtests.test("what is waited for is said and a gate that opens is seen"):
        assert (run.results["opens"]["passed"], run.results["opens"]["looks"]) == (True, 2)
        assert "[opens] waits for command, 0 of 600 s: " in run.text
        assert "ended with 1: not yet" in run.text
    for mood, (passed, says) in MOODS.items():
        with subtests.test(f"Prometheus, {mood}"):
            (found,) = run.results[mood]["gates"]
            assert found["passed"] is passed, found
            assert says in found["reason"]
            assert servers[mood].asked[0] == 'ALERTS{alertstate="firing",alertname=~"Node.+",instance="n1"}'


def test_check_mode_looks_once_and_fails_nothing_and_runs_no_command(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    given = {
        "gates": ["command"],
        "options": {"command": {"argv": ["touch", str(flag)], "where": "controller"}},
    }
    result = Run(tmp_path, {"n1": {**LOCAL, "given": given}}, "--check").results["n1"]
    assert not result.get("failed")
    assert (result["passed"], result["looks"]) == (False, 1)
    assert "is not run in check mode" in result["msg"]
    assert not flag.exists()


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
            server.free.wait(HANGS)
        if mood == "garbage":
            body = b"\\x00<html>"
        self.send_response({"broken": 500, "login": 302}.get(mood, 200))
        if mood == "login":
            self.send_header("Location", "http://127.0.0.1:1/login")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if mood == "drip":
            with contextlib.suppress(OSError):
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
