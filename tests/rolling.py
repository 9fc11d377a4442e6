# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of local connections whose steps are timed by the nodes themselves, and rollouts of it.

A step is a shell script that writes when it starts and ends to a file of its node, so nothing here is taken from the
ledger that is to be proved. The playbook has the shape of playbooks/rollout.yml, with these steps in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.qemu import die_with_parent

STEP = """\
# HOST NAME SECONDS: one step on one node
now() { date +%s.%N; }
log=nodes/$1.log
echo "start $2 $(now)" >> "$log"
sleep "$3"
# Nobody lets it go any more when the tests are gone.
while [ -e "hold/$1" ] && kill -0 "${ROLLING_OWNER:-$$}" 2>/dev/null; do sleep 0.05; done
echo "end $2 $(now)" >> "$log"
[ ! -e "fail/$1" ] || { echo "step $2 fails on $1" >&2; exit 1; }
"""

# What the tests of the traps take away again.
CURE = """
    - name: Go on to the next wave
      ansible.builtin.meta: clear_host_errors
"""

PLAYBOOK = """\
---
- name: Look and plan
  hosts: all
  gather_facts: false
  serial: "{{ 0 | fleetops.kernel.run_lock(fleetops_ledger) }}"
  ignore_unreachable: true
  tags: [always]
  tasks:
    - name: Look
      ansible.builtin.raw: "true"
      register: assess_look
      check_mode: false
      changed_when: false
    - name: Plan
      fleetops.kernel.rollout:
        ledger: "{{ fleetops_ledger }}"
        state: planned
        goal: "{{ goal | default('test') }}"
        hosts: "{{ ansible_play_hosts_all }}"
        steps: >-
          {{ dict(ansible_play_hosts_all | zip([['test']] * ansible_play_hosts_all | length)) |
          dict2items(key_name='host', value_name='because') }}
      run_once: true
      delegate_to: localhost
      register: fleetops_plan
    - name: Order
      ansible.builtin.add_host:
        name: "{{ item.host }}"
        groups: fleetops_rollout
      loop: "{{ fleetops_plan.steps }}"
      loop_control:
        label: "{{ item.host }}"
      changed_when: false

- name: Roll
  hosts: "{{ 'fleetops_rollout' if groups['fleetops_rollout'] | default([]) else 'all:!all' }}"
  gather_facts: false
  strategy: host_pinned
  serial: >-
    {{ hostvars[groups['fleetops_rollout'][0]].fleetops_plan.serial
    if groups['fleetops_rollout'] | default([]) else [1] }}
  ignore_unreachable: true
  tags: [always]
  tasks:
    - name: Take a place
      fleetops.kernel.rollout_slot:
        ledger: "{{ fleetops_ledger }}"
        state: acquire
      register: place
    - name: One node
      when: place.granted
      block:
        - name: Site's hook
          ansible.builtin.include_tasks: "{{ fleetops_before_node }}"
          when: fleetops_before_node | default('') != ''
        - name: Stage
          fleetops.kernel.rollout_slot:
            ledger: "{{ fleetops_ledger }}"
            state: stage
            stage: two
        - name: Step one
          ansible.builtin.raw: "sh step.sh {{ inventory_hostname }} one {{ one | default(0.2) }}"
          register: step
        - name: It was reached
          ansible.builtin.assert:
            that: step is not unreachable
            fail_msg: unreachable
            quiet: true
        - name: Step two
          ansible.builtin.raw: "sh step.sh {{ inventory_hostname }} two {{ two | default(0.2) }}"
        - name: Give the place back
          fleetops.kernel.rollout_slot:
            ledger: "{{ fleetops_ledger }}"
            state: done
      rescue:
        - name: Count the failure
          fleetops.kernel.rollout_slot:
            ledger: "{{ fleetops_ledger }}"
            state: failed
            why: >-
              {{ (ansible_failed_task | default({})).name | default('include') }}:
              {{ (ansible_failed_result | default({})).msg | default('?') }}
@CURE@
- name: Report
  hosts: all
  gather_facts: false
  tags: [always]
  tasks:
    - name: Report
      fleetops.kernel.rollout:
        ledger: "{{ fleetops_ledger }}"
        state: finished
      run_once: true
      delegate_to: localhost
"""
LOCAL = "ansible_connection=local"
# Nothing listens on port 1: refused at once.
DARK = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"


@dataclass
class Attempt:
    """One time that a node was taken in hand, by its own clock. ``end`` is that of its last step so far."""

    host: str
    start: float
    end: float
    steps: list[tuple[str, float, float]] = field(default_factory=list)


class Fleet:
    """Nodes in a folder, and the command that rolls through them."""

    def __init__(
        self,
        folder: Path,
        zones: Mapping[str, Iterable[str]],
        *,
        dark: Iterable[str] = (),
        forks: int = 5,
        playbook: str = PLAYBOOK.replace("@CURE@", CURE),
        of_host: Mapping[str, str] | None = None,
        **variables: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.forks = folder, forks
        self.ledger = folder / "rollout.jsonl"
        self.hosts = [host for hosts in zones.values() for host in hosts]
        self.variables = {
            "fleetops_ledger": str(self.ledger),
            "fleetops_soak": 0,
            "fleetops_canaries": 0,
            "fleetops_in_flight": 3,
            **variables,
        }
        for name in ("nodes", "fail", "hold"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "step.sh").write_text(STEP)
        (folder / "rolling.yml").write_text(playbook)
        lines = [
            line
            for zone, hosts in zones.items()
            for line in (
                f"[zone_{zone}]",
                *(
                    f"{host} {DARK if host in set(dark) else LOCAL} {(of_host or {}).get(host, '')}"
                    for host in hosts
                ),
            )
        ]
        (folder / "hosts.ini").write_text("\n".join(lines) + "\n")

    def command(self, *arguments: str) -> list[str]:
        extra = json.dumps(self.variables)
        return [
            "ansible-playbook",
            "rolling.yml",
            "-i",
            "hosts.ini",
            "-f",
            str(self.forks),
            "-e",
            extra,
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ROLLING_OWNER": str(os.getpid()),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOST_KEY_CHECKING": "0",
            "ANSIBLE_SSH_RETRIES": "0",
            "ANSIBLE_PYTHON_INTERPRETER": os.path.realpath(sys.executable),
        }

    def start(self, *arguments: str, output: Path | None = None) -> subprocess.Popen[str]:
        """The command, under way; its output goes to a file, since orphans of a killed one keep a pipe open."""
        with (output or self.folder / "output.txt").open("a") as file:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=die_with_parent,
            )

    def run(self, *arguments: str, timeout: float | None = 600) -> tuple[int, str]:
        """The command to its end: exit code and output. *timeout* in seconds, None: as long as it takes."""
        return self.play(self.command(*arguments), timeout)

    def play(self, command: Sequence[str], timeout: float | None = 600) -> tuple[int, str]:
        """Any command to its end, in the folder of the fleet."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            preexec_fn=die_with_parent,
        )
        return done.returncode, done.stdout

    def control(self, playbook: str, *arguments: str) -> tuple[int, str]:
        """rollout_status, rollout_pause or rollout_resume, as from another terminal."""
        return self.play(
            [
                "ansible-playbook",
                f"fleetops.kernel.{playbook}",
                "-e",
                f"fleetops_ledger={self.ledger}",
                *arguments,
            ]
        )

    def hold(self, *hosts: str) -> None:
        """Let no step of these nodes end until they are let go: what happens meanwhile needs no clock."""
        for host in hosts:
            (self.folder / "hold" / host).touch()

    def let_go(self) -> None:
        """Steps end again."""
        for path in (self.folder / "hold").iterdir():
            path.unlink()

    # --- what happened ---

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The whole lines of the ledger."""
        if not self.ledger.exists():
            return []
        lines = self.ledger.read_text().split("\n")[:-1]
        events = [json.loads(line) for line in lines if line]
        return [event for event in events if kind in ("", event["event"])]

    def attempts(self) -> list[Attempt]:
        """What the nodes say."""
        found: list[Attempt] = []
        for path in sorted((self.folder / "nodes").glob("*.log")):
            begun: tuple[str, float] | None = None
            for line in path.read_text().splitlines():
                kind, name, at = line.split()
                if kind == "start":
                    assert begun is None, f"{path.stem}: step {name} began while {begun} was under way"
                    begun = name, float(at)
                    if name == "one":
                        found.append(Attempt(path.stem, float(at), float(at)))
                else:
                    assert begun is not None, f"{path.stem}: step {name} ended twice"
                    assert begun[0] == name, f"{path.stem}: step {name} ended during {begun[0]}"
                    found[-1].steps.append((name, begun[1], float(at)))
                    found[-1].end = float(at)
                    begun = None
        return found

    def most_in_flight(self) -> int:
        """The most nodes that were between start and end at any moment."""
        moments = [(one.start, 1) for one in self.attempts()] + [(one.end, -1) for one in self.attempts()]
        under_way = most = 0
        for _time, change in sorted(moments):
            under_way += change
            most = max(most, under_way)
        return most

    def wait_for_step(self, process: subprocess.Popen[str]) -> None:
        """Until a node is in hand."""
        deadline = time.monotonic() + 120
        while not self.attempts():
            assert process.poll() is None, (self.folder / "output.txt").read_text()
            assert time.monotonic() < deadline, "no step began"
            time.sleep(0.05)

    def wait_for(self, what: str, count: int = 1, process: subprocess.Popen[str] | None = None) -> None:
        """Until so many events of a kind are in the ledger."""
        deadline = time.monotonic() + 120
        while len(self.events(what)) < count:
            assert process is None or process.poll() is None, (self.folder / "output.txt").read_text()
            assert time.monotonic() < deadline, f"no {count} {what}: {self.events()}"
            time.sleep(0.05)
