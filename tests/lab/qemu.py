# SPDX-License-Identifier: GPL-3.0-or-later
"""One node as QEMU sees it: its specification, its command line, its control protocol."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from .errors import LabError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For preexec_fn: the kernel kills this process when its parent is gone, however that happened."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass(frozen=True)
class NodeSpec:
    """What it takes to start a node again: everything but the running process."""

    name: str
    hostname: str
    zone: str
    flavour: str
    memory: int  # MiB
    smp: int
    accel: str  # "tcg" or "kvm"
    mac: str
    port: int  # of ssh, on 127.0.0.1
    image: str  # folder of the image
    dir: str  # folder of the node
    lineage: str  # one id for a node and all its clones
    timeline: str  # "original", or the name of the snapshot that a clone began from

    @property
    def disk(self) -> Path:
        """The overlay that the node writes to."""
        return Path(self.dir) / "disk.qcow2"

    @property
    def console(self) -> Path:
        """The serial console of all its boots."""
        return Path(self.dir) / "serial.log"

    @property
    def events(self) -> Path:
        """One JSON object per line."""
        return Path(self.dir) / "events.jsonl"

    def as_dict(self) -> dict[str, Any]:
        """For a file or a socket."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NodeSpec:
        """The reverse of as_dict."""
        return cls(**data)


def accel_options(accel: str) -> list[str]:
    """Emulated: qemu64 is by far the cheapest model to emulate (47 against 31 CPU seconds of a boot)."""
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64"]


def command(spec: NodeSpec, qmp: Path, repo_port: int, incoming: Path | None) -> list[str]:
    """The command line. A guest's reset ends in a paused process: a fresh one boots a quarter faster."""
    forward = f"hostfwd=tcp:127.0.0.1:{spec.port}-:22"
    # restrict=on: the guest reaches its package repository and nothing else.
    repo = f"guestfwd=tcp:10.0.2.100:8099-cmd:socat - TCP:127.0.0.1:{repo_port}"
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"]
    argv += [*accel_options(spec.accel), "-name", spec.name, "-m", str(spec.memory), "-smp", str(spec.smp)]
    argv += ["-drive", f"file={_escape(spec.disk)},if=none,id=d0,format=qcow2,cache=unsafe,discard=unmap"]
    argv += ["-device", "virtio-blk-pci,drive=d0"]
    argv += ["-netdev", f"user,id=n0,restrict=on,{forward},{repo}"]
    argv += ["-device", f"virtio-net-pci,netdev=n0,id=nic0,mac={spec.mac},romfile="]
    argv += ["-object", "rng-random,filename=/dev/urandom,id=r0", "-device", "virtio-rng-pci,rng=r0"]
    argv += ["-chardev", f"file,id=c0,path={_escape(spec.console)},append=on", "-serial", "chardev:c0"]
    argv += ["-qmp", f"unix:{qmp},server=on,wait=off"]
    argv += ["-action", "reboot=shutdown,shutdown=pause"]
    if spec.flavour == "generic":
        argv += ["-device", "i6300esb", "-action", "watchdog=reset"]
    if incoming:
        argv += ["-incoming", f"exec:cat {shlex.quote(str(incoming))}"]
    return argv


def _escape(path: Path) -> str:
    return str(path).replace(",", ",,")


class Qmp:
    """A connection to QEMU's control socket. Events go to a callback, in order."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._on_event = on_event
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    async def connect(self, path: Path, seconds: float = 20) -> None:
        """Connect, waiting for the socket to appear."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                self._reader, self._writer = await asyncio.open_unix_connection(str(path), limit=1 << 22)
                break
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    raise LabError("qemu does not open its control socket") from None
                await asyncio.sleep(0.05)
        await self._reader.readline()
        self._task = asyncio.create_task(self._read(self._reader))
        await self.call("qmp_capabilities")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if "event" in message:
                self._on_event(message)
                continue
            future = self._pending.pop(message.get("id", -1), None)
            if future is None or future.done():
                continue
            if "error" in message:
                future.set_exception(LabError(f"qemu: {message['error'].get('desc', 'error')}"))
            else:
                future.set_result(message.get("return"))
        for future in self._pending.values():
            if not future.done():
                future.set_exception(LabError("qemu has ended"))
        self._pending.clear()

    async def call(self, command: str, /, seconds: float = 30, **arguments: Any) -> Any:
        """Run a command and return its result."""
        if self._writer is None or (self._task and self._task.done()):
            raise LabError("qemu is not running")
        self._number += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending[self._number] = future
        message = {"execute": command, "id": self._number, "arguments": arguments}
        self._writer.write(json.dumps(message).encode() + b"\n")
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise LabError(f"qemu does not answer {command} within {seconds:.0f} s") from None

    def close(self) -> None:
        """Give the connection up."""
        if self._writer:
            self._writer.close()


async def spawn(argv: list[str], log: Path) -> asyncio.subprocess.Process:
    """Start a process that dies with this one; its output goes to a file."""
    with log.open("ab") as handle:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            preexec_fn=die_with_parent,
            cwd=os.sep,
        )


async def migrate_to(qmp: Qmp, target: Path, seconds: float = 120) -> None:
    """Write the memory of a stopped guest to a file; afterwards its disk file is complete and at rest."""
    await qmp.call("migrate-set-parameters", **{"max-bandwidth": 8 << 30})
    await qmp.call("migrate", uri=f"exec:cat > {shlex.quote(str(target))}")
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        state = cast(dict[str, Any], await qmp.call("query-migrate")).get("status")
        if state == "completed":
            return
        if state in ("failed", "cancelled") or asyncio.get_running_loop().time() > deadline:
            raise LabError(f"the memory could not be saved: {state}")
        await asyncio.sleep(0.1)
