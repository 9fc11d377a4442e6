# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the roles' scenarios share: the scenario's machines, and its playbook run again.

A line that a test prints is kept by `make proof` as what decided.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from lab import Lab, Node

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass
class Run:
    """One run of a playbook. ``changed`` is the recap's, over all hosts."""

    rc: int
    text: str
    changed: int

    def says(self, *words: str) -> bool:
        """Is each of *words* in what the terminal showed, however it was broken into lines?"""
        flat = " ".join(self.text.split())
        return all(word in flat for word in words)


class Scenario:
    """The scenario that a test stands in."""

    def __init__(self, name: str, lab: Lab | None = None) -> None:
        self.name = name
        self.lab = lab or Lab(f"molecule-{name}".replace("_", "-")[:31])  # as in shared/vars/lab.yml
        self.directory = CHECKOUT / ".lab" / f"molecule-{name}"
        self.inventory = self.lab.inventory if lab else self.directory / "inventory.yml"

    @property
    def node(self) -> Node:
        return self.lab.node("n1")

    @contextlib.contextmanager
    def clone(self, snapshot: str) -> Iterator[Scenario]:
        """The same scenario on a machine that resumes from a snapshot, on a timeline of its own."""
        lab = Lab(f"{self.lab.name}-c"[-31:])
        lab.down()
        try:
            lab.clone(snapshot, tie=os.getpid())
            yield Scenario(self.name, lab)
        finally:
            lab.down()

    @contextlib.contextmanager
    def machine(self, suffix: str, **options: Any) -> Iterator[Scenario]:
        """The same scenario on a machine of another kind (*options* of `Lab.up`), which is there for as long."""
        lab = Lab(f"{self.lab.name}-{suffix}"[-31:])
        lab.down()
        try:
            node = lab.up(tie=os.getpid(), **options)["n1"]
            node.wait_kdump()
            yield Scenario(self.name, lab)
        finally:
            lab.down()

    def converge(self, *arguments: str, **variables: Any) -> Run:
        """The scenario's own playbook again, with other variables."""
        return self._play(str(CHECKOUT / "molecule" / self.name / "converge.yml"), arguments, variables)

    def entry_point(self, name: str, *arguments: str, **variables: Any) -> Run:
        """An entry point of the role, by the scenario's own playbook for that."""
        path = CHECKOUT / "molecule" / self.name / "entry_point.yml"
        return self._play(str(path), arguments, {**variables, "entry_point": name})

    def playbook(self, name: str, *arguments: str, **variables: Any) -> Run:
        """A playbook of the collection."""
        return self._play(f"fleetops.kernel.{name}", arguments, variables)

    def module(self, name: str, arguments: str) -> str:
        """One module on every node; what the terminal showed."""
        run = self._run("ansible", "all", "-m", name, "-a", arguments)
        assert run.rc == 0, run.text
        return run.text

    def report(self) -> Any:
        """What the newest run wrote."""
        return json.loads((self.directory / "report" / "assess.json").read_text())

    def before(self, path: str) -> str:
        """A file as it was before the role came (see shared/prepare.yml)."""
        return self.node.ssh(["cat", f"/root/before{path}"]).stdout

    def now(self, path: str) -> str:
        """The same file now."""
        return self.node.ssh(["cat", path]).stdout

    def undo_records(self) -> list[str]:
        """The undo records that were not put back yet, oldest first."""
        found = self.node.ssh("ls /var/lib/fleetops/undo.d 2>/dev/null || true").stdout.split()
        return [name for name in found if name.endswith(".json")]

    def _play(self, playbook: str, arguments: tuple[str, ...], variables: dict[str, Any]) -> Run:
        return self._run("ansible-playbook", "-e", json.dumps(variables), *arguments, playbook)

    def _run(self, program: str, *words: str) -> Run:
        done = subprocess.run(
            [str(CHECKOUT / ".venv/bin" / program), "-i", str(self.inventory), *words],
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_FORCE_COLOR": "0",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
            check=False,
        )
        (self.lab.dir / "last-run.txt").write_text(done.stdout)
        recap = done.stdout.partition("PLAY RECAP")[2]
        return Run(done.returncode, done.stdout, sum(map(int, re.findall(r"\bchanged=(\d+)", recap))))


@pytest.fixture(scope="module")
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """By the folder that the test lies in."""
    return Scenario(request.path.parents[1].name)
