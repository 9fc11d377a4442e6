# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine of a running lab, as a test or a person uses it."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import LabError
from .host import tail
from .image import ssh_key
from .qemu import NodeSpec

if TYPE_CHECKING:
    from .client import Lab

Progress = Callable[[str], None]
_TERMINAL = re.compile(r"\r|\x1b[\[(][0-9;?]*[A-Za-z]")


def silent(line: str) -> None:
    """The progress callback of those who do not watch."""


@dataclass(frozen=True)
class Completed:
    """The end of a command in the guest."""

    code: int
    stdout: str
    stderr: str


class Node:
    """A node of a lab. Times are in seconds; every wait has a limit and ends in LabError with the console's tail."""

    def __init__(self, lab: Lab, spec: NodeSpec) -> None:
        self.lab = lab
        self.spec = spec
        self._boot = -1

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.spec.name

    @property
    def port(self) -> int:
        """The port of its sshd on 127.0.0.1."""
        return self.spec.port

    @property
    def console(self) -> Path:
        """The file with the serial console of all its boots."""
        return self.spec.console

    def console_size(self) -> int:
        """Bytes on the console so far: a place to read on from."""
        return self.console.stat().st_size if self.console.exists() else 0

    def console_text(self, since: int = 0) -> str:
        """The console's text from a place (a byte) on, without carriage returns and a terminal's orders."""
        if not self.console.exists():
            return ""
        with self.console.open("rb") as handle:
            handle.seek(since)
            return _TERMINAL.sub("", handle.read().decode(errors="replace"))

    def status(self) -> dict[str, Any]:
        """As the supervisor sees it: state (running, off), boots, pid, link, and the specification."""
        for node in self.lab.status()["nodes"]:
            if node["name"] == self.name:
                return dict(node)
        raise LabError(f"{self.name} is no longer in lab {self.lab.name}")

    def events(self, since_boot: int = 0) -> list[dict[str, Any]]:
        """start, resume, reset, watchdog, off, net, snapshot: with time, reason, boot number, console size."""
        if not self.spec.events.exists():
            return []
        lines = [json.loads(line) for line in self.spec.events.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["boot"] >= since_boot]

    def boots(self) -> int:
        """How often the machine was started, resets included."""
        return int(self.status()["boots"])

    # power and network

    def power(self, action: str) -> None:
        """on, cut (pull the plug), cycle (cut and on), reset (the button)."""
        self.lab.call("power", node=self.name, action=action)

    def net(self, up: bool) -> None:
        """Plug the network cable in or out."""
        self.lab.call("net", node=self.name, up=up)

    def snapshot(self, name: str) -> None:
        """Keep this moment, memory and disk, under a name for Lab.clone; this node goes on."""
        self.lab.snapshot(self.name, name)

    # ssh

    def ssh(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        timeout: float = 60,
        check: bool = True,
        stdin: str | None = None,
        fresh: bool = False,
    ) -> Completed:
        """Run a command in the guest (a string goes to its shell, a list is quoted).

        LabError when it cannot be reached or ends later than `timeout`; also for a code other than 0 when `check`.
        `fresh` makes a connection of its own instead of sharing one.
        """
        text = command if isinstance(command, str) else shlex.join(command)
        argv = [*self.ssh_argv(user=user, fresh=fresh), text]
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LabError(
                f"{self.name}: no end of `{_short(text)}` within {timeout:.0f} s",
                tail(self.console_text(), 20),
            ) from None
        if check and done.returncode != 0:
            raise LabError(
                f"{self.name}: `{_short(text)}` ended with {done.returncode}", tail(done.stdout + done.stderr)
            )
        return Completed(done.returncode, done.stdout, done.stderr)

    def ssh_argv(self, *, user: str = "root", fresh: bool = False) -> list[str]:
        """The ssh command line up to the host name."""
        argv = ["ssh", "-F", str(self.lab.ssh_config), "-l", user]
        # A shared connection is named after the boot it belongs to: one that was left hanging by a crash
        # is never met again.
        path = (
            "none"
            if fresh
            else str(self.lab.sockets / f"{self.name}-{self.spec.port}-{self._boot_number()}-{user}")
        )
        return [*argv, "-o", f"ControlPath={path}", self.name]

    def _boot_number(self) -> int:
        self._boot = self.boots()
        return self._boot

    def banner(self) -> bool:
        """Whether sshd itself answers (the user network accepts every connection, so a connect proves nothing)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.settimeout(3)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait_ssh(self, limit: float = 240, progress: Progress = silent) -> float:
        """Wait until a command runs over ssh; returns the seconds it took."""
        start = time.monotonic()
        told = start
        while True:
            if self.banner():
                try:
                    self.ssh("true", timeout=30, fresh=True)
                    return time.monotonic() - start
                except LabError:
                    pass
            now = time.monotonic()
            if now - start > limit:
                raise LabError(
                    f"{self.name} is not reachable after {limit:.0f} s", tail(self.console_text(), 25)
                )
            if self.status()["state"] == "off":
                raise LabError(f"{self.name} is off while waited for", tail(self.console_text(), 25))
            if now - told >= 5:
                told = now
                text = self.console_text(max(0, self.console_size() - 2000))
                progress(f"{self.name}: {now - start:.0f} s, {last_line(text)}")
            time.sleep(0.2)

    def wait_kdump(self, limit: float = 240) -> float:
        """Wait until a capture kernel is loaded (the first boot of a new kernel builds its capture initrd first)."""
        start = time.monotonic()
        loop = 'until [ "$(cat /sys/kernel/kexec_crash_loaded)" = 1 ]; do sleep 0.3; done'
        self.ssh(loop, timeout=limit)
        return time.monotonic() - start

    def boot_id(self, timeout: float = 30) -> str:
        """/proc/sys/kernel/random/boot_id."""
        return self.ssh("cat /proc/sys/kernel/random/boot_id", timeout=timeout, fresh=True).stdout.strip()

    def reboot(self, limit: float = 300, progress: Progress = silent) -> float:
        """An orderly reboot; returns the seconds until ssh answers from a new boot."""
        start, boots = time.monotonic(), self.boots()
        self.ssh("systemctl reboot", timeout=30, check=False, fresh=True)
        while self.boots() == boots:
            if time.monotonic() - start > limit:
                raise LabError(
                    f"{self.name} did not go down within {limit:.0f} s", tail(self.console_text(), 25)
                )
            time.sleep(0.3)
        self.wait_ssh(limit, progress)
        return time.monotonic() - start


def last_line(text: str) -> str:
    """The last line with something on it, for progress."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-110:] if lines else "(nothing on the console yet)"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) < 80 else line[:77] + "..."


def private_key() -> Path:
    """The key that root and operator of every node accept."""
    return ssh_key()
