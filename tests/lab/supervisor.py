# SPDX-License-Identifier: GPL-3.0-or-later
"""The one process of a lab that owns its machines. They die with it, whatever ends it.

Talks JSON lines over a unix socket: {"op": ..., ...} -> {"ok": true, "result": ...} or {"ok": false, "error": ...}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import functools
import http.server
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .errors import LabError
from .host import tail
from .qemu import NodeSpec, Qmp, command, migrate_to, spawn


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, template: str, *args: Any) -> None:
        """Say nothing: apt in the guest reports what goes wrong."""


def serve_folder(folder: Path) -> int:
    """Serve a folder on 127.0.0.1 from a thread of this process; returns the port."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


class Machine:
    """A node and its life: off, running, and started anew after each reset of the guest."""

    def __init__(self, spec: NodeSpec, sockets: Path, repo_port: int) -> None:
        self.spec = spec
        self.state = "off"
        self.boots = 0
        self.link_up = True
        self.process: asyncio.subprocess.Process | None = None
        self._qmp: Qmp | None = None
        self._socket = sockets / f"{spec.name}.qmp"
        self._repo_port = repo_port
        self._ended: asyncio.Future[str] | None = None
        self._life: asyncio.Task[None] | None = None
        self._wanted = ""
        self._watchdog = False

    def log(self, event: str, reason: str = "") -> None:
        """One line in events.jsonl; `console` is the size of the console at that moment."""
        console = self.spec.console.stat().st_size if self.spec.console.exists() else 0
        line = {
            "time": round(time.time(), 3),
            "event": event,
            "reason": reason,
            "boot": self.boots,
            "console": console,
        }
        with self.spec.events.open("a") as handle:
            handle.write(json.dumps(line) + "\n")

    def status(self) -> dict[str, Any]:
        """For clients."""
        pid = self.process.pid if self.process and self.state == "running" else None
        return {
            **self.spec.as_dict(),
            "state": self.state,
            "boots": self.boots,
            "pid": pid,
            "link": self.link_up,
        }

    @property
    def qmp(self) -> Qmp:
        """The control connection of the running process."""
        if self.state != "running" or self._qmp is None:
            raise LabError(f"{self.spec.name} is {self.state}")
        return self._qmp

    async def on(self, incoming: Path | None = None) -> None:
        """Start it and keep starting it after each reset."""
        if self._life and not self._life.done():
            raise LabError(f"{self.spec.name} is already on")
        self._wanted = ""
        await self._start(incoming)
        self._life = asyncio.create_task(self._live())

    async def cut(self, reason: str = "power cut") -> None:
        """Pull the plug."""
        if not self._life or self._life.done():
            return
        self._wanted = reason
        if self.process and self.process.returncode is None:
            self.process.kill()
        await asyncio.wait([self._life], timeout=20)

    async def reset(self) -> None:
        """Press the reset button; LabError when it is off."""
        if self.state != "running":
            raise LabError(f"{self.spec.name} is {self.state}")
        self._finish("host reset")

    async def _start(self, incoming: Path | None) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._watchdog = False
        self._socket.unlink(missing_ok=True)
        log = Path(self.spec.dir) / "qemu.log"
        self.process = await spawn(command(self.spec, self._socket, self._repo_port, incoming), log)
        (Path(self.spec.dir) / "pid").write_text(f"{self.process.pid}\n")
        self._qmp = Qmp(self._event)
        try:
            await self._first_words(self._qmp, incoming)
        except (LabError, OSError, asyncio.IncompleteReadError) as error:
            self.process.kill()
            await self.process.wait()
            self.state = "off"
            raise LabError(f"{self.spec.name} does not start: {error}", tail(log.read_text(), 5)) from None
        self.boots += 1
        self.state = "running"
        self.log("resume" if incoming else "start")

    async def _first_words(self, qmp: Qmp, incoming: Path | None) -> None:
        assert self.process
        connect = asyncio.create_task(qmp.connect(self._socket))
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait([connect, ended], return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and not connect.done():
            connect.cancel()
            raise LabError("qemu ended at once")
        await connect
        if not self.link_up:
            await qmp.call("set_link", name="nic0", up=False)
        if incoming:
            while (await qmp.call("query-status"))["status"] == "inmigrate":
                await asyncio.sleep(0.05)
            await qmp.call("cont")

    def _event(self, message: dict[str, Any]) -> None:
        name, data = message["event"], message.get("data", {})
        if name == "WATCHDOG":
            self._watchdog = True
            self.log("watchdog", str(data.get("action", "")))
        elif name == "GUEST_PANICKED":
            self.log("panicked", str(data.get("action", "")))
        elif name == "SHUTDOWN":
            self._finish(str(data.get("reason", "")))

    def _finish(self, reason: str) -> None:
        if self._ended and not self._ended.done():
            self._ended.set_result(reason)

    async def _live(self) -> None:
        while True:
            assert self.process
            assert self._ended
            process = self.process
            reaper = asyncio.create_task(self._reap(process))
            reason = await self._ended
            await self._stop_process(process)
            await reaper
            if reason not in ("guest-reset", "host reset", "host-qmp-system-reset"):
                self.state = "off"
                self.log("off", reason)
                return
            self.state = "resetting"
            self.log("reset", "watchdog" if self._watchdog else reason)
            try:
                await self._start(None)
            except LabError as error:
                self.log("off", f"{error}")
                return
            if self._wanted and self.process:  # the plug was pulled between two processes
                self.process.kill()

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._finish(self._wanted or f"qemu ended with {code}")

    async def _stop_process(self, process: asyncio.subprocess.Process) -> None:
        if self._qmp and process.returncode is None:
            with contextlib.suppress(LabError):
                await self._qmp.call("quit", seconds=5)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 5)
        if process.returncode is None:
            process.kill()
        await process.wait()
        if self._qmp:
            self._qmp.close()

    async def net(self, up: bool) -> None:
        """Plug the network cable in or out."""
        await self.qmp.call("set_link", name="nic0", up=up)
        self.link_up = up
        self.log("net", "up" if up else "down")

    async def snapshot(self, folder: Path) -> None:
        """Memory and disk into a folder; the node stands still for about two seconds and then goes on."""
        qmp = self.qmp
        await qmp.call("stop")
        try:
            await migrate_to(qmp, folder / "memory")
            await asyncio.to_thread(shutil.copyfile, self.spec.disk, folder / "disk.qcow2")
        finally:
            await qmp.call("cont")
        self.log("snapshot", folder.name)


class Supervisor:
    """All machines of one lab, and the socket to steer them."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder = folder
        self.sockets = sockets
        self.machines: dict[str, Machine] = {}
        self._repos: dict[str, int] = {}
        self._stop = asyncio.Event()
        self._reason = ""
        self._ops: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "status": self._status,
            "add": self._add,
            "drop": self._drop,
            "power": self._power,
            "net": self._net,
            "snapshot": self._snapshot,
            "qmp": self._raw,
            "tie": self._tie,
            "stop": self._end,
        }

    async def run(self, ties: list[int]) -> None:
        """Until told to stop, signalled, or a tied process is gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.finish, f"signal {number}")
        for pid in ties:
            await self._tie({"pid": pid})
        path = self.sockets / "ctl"
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._client, str(path), limit=1 << 20)
        os.chmod(path, 0o600)
        await self._stop.wait()
        server.close()
        await asyncio.gather(*(machine.cut("lab ends") for machine in self.machines.values()))
        print(f"ended: {self._reason}", flush=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def finish(self, reason: str) -> None:
        """Begin the end."""
        self._reason = self._reason or reason
        self._stop.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    request = json.loads(line)
                    answer = {"ok": True, "result": await self._ops[request["op"]](request)}
                except LabError as error:
                    answer = {"ok": False, "error": str(error), "detail": error.detail}
                except Exception as error:  # the client is told; the supervisor must live on
                    answer = {"ok": False, "error": f"{type(error).__name__}: {error}", "detail": ""}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    def _machine(self, request: dict[str, Any]) -> Machine:
        name = request["node"]
        if name not in self.machines:
            raise LabError(f"no node {name} in this lab: it has {', '.join(self.machines) or 'none'}")
        return self.machines[name]

    async def _status(self, request: dict[str, Any]) -> Any:
        return {"pid": os.getpid(), "nodes": [machine.status() for machine in self.machines.values()]}

    async def _add(self, request: dict[str, Any]) -> Any:
        spec = NodeSpec.from_dict(request["spec"])
        if spec.name in self.machines:
            raise LabError(f"{spec.name} is in this lab already")
        repo = str(Path(spec.image) / "repo")
        if repo not in self._repos:
            self._repos[repo] = serve_folder(Path(repo))
        machine = Machine(spec, self.sockets, self._repos[repo])
        self.machines[spec.name] = machine
        try:
            await machine.on(Path(request["incoming"]) if request.get("incoming") else None)
        except LabError:
            del self.machines[spec.name]
            raise
        return machine.status()

    async def _drop(self, request: dict[str, Any]) -> Any:
        machine = self._machine(request)
        await machine.cut("dropped")
        del self.machines[machine.spec.name]
        return None

    async def _power(self, request: dict[str, Any]) -> Any:
        machine, action = self._machine(request), request["action"]
        if action == "on":
            await machine.on()
        elif action == "cut":
            await machine.cut()
        elif action == "cycle":
            await machine.cut("power cycle")
            await machine.on()
        elif action == "reset":
            await machine.reset()
        else:
            raise LabError(f"unknown power action {action!r}")
        return machine.status()

    async def _net(self, request: dict[str, Any]) -> Any:
        await self._machine(request).net(bool(request["up"]))
        return None

    async def _snapshot(self, request: dict[str, Any]) -> Any:
        await self._machine(request).snapshot(Path(request["folder"]))
        return None

    async def _raw(self, request: dict[str, Any]) -> Any:
        return await self._machine(request).qmp.call(request["command"], **request.get("arguments", {}))

    async def _tie(self, request: dict[str, Any]) -> Any:
        pid = int(request["pid"])
        try:
            watched = os.pidfd_open(pid)
        except OSError:
            self.finish(f"process {pid} is gone")
            return None
        asyncio.get_running_loop().add_reader(watched, self.finish, f"process {pid} is gone")
        return None

    async def _end(self, request: dict[str, Any]) -> Any:
        # Answer only when the machines are gone.
        await asyncio.gather(*(machine.cut("lab ends") for machine in self.machines.values()))
        asyncio.get_running_loop().call_later(0.05, self.finish, "down")
        return None


def main(argv: list[str]) -> int:
    """Entry of the daemon: `supervise DIR SOCKETS [--tie PID]`."""
    parser = argparse.ArgumentParser(prog="lab supervise")
    parser.add_argument("folder", type=Path)
    parser.add_argument("sockets", type=Path)
    parser.add_argument("--tie", type=int, action="append", default=[])
    options = parser.parse_args(argv)
    lock = (options.folder / "supervisor.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("another supervisor runs for this lab", file=sys.stderr)
        return 1

    async def everything() -> None:
        await Supervisor(options.folder, options.sockets).run(options.tie)

    asyncio.run(everything())
    lock.close()
    return 0
