# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as a test or a person uses it: bring it up, find its nodes, snapshot, clone, take it down."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import recipe
from .accel import choose
from .errors import LabError
from .host import TOOLS, ensure_tools, lab_dir, locked, phase, run, socket_dir, state_root, tail
from .image import Image, build, ssh_key
from .inventory import inventory, ssh_config
from .node import Node, Progress, silent
from .qemu import NodeSpec

DEFAULT_MEMORY = 1024
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,30}$")


class Lab:
    """One lab: a supervisor, its nodes, one inventory."""

    def __init__(self, name: str = "default") -> None:
        if not _NAME.match(name):
            raise LabError(f"bad lab name {name!r}: small letters, digits and dashes")
        self.name = name
        self.dir = lab_dir(name)
        self.sockets = socket_dir(name)

    @property
    def inventory(self) -> Path:
        """The Ansible inventory."""
        return self.dir / "inventory.yml"

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`."""
        return self.dir / "ssh_config"

    # the supervisor

    def call(self, op: str, *, seconds: float = 180, **arguments: Any) -> Any:
        """One request to the supervisor; LabError when it says no or is not there."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            try:
                connection.connect(str(self.sockets / "ctl"))
            except OSError:
                raise LabError(f"lab {self.name} is not up") from None
            try:
                connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
                with connection.makefile() as stream:
                    line = stream.readline()
            except OSError as error:
                raise LabError(f"the supervisor of lab {self.name} does not answer {op}: {error}") from None
        if not line:
            raise LabError(f"the supervisor of lab {self.name} ended during {op}", self._supervisor_log())
        answer = json.loads(line)
        if not answer["ok"]:
            raise LabError(answer["error"], answer.get("detail", ""))
        return answer["result"]

    def _supervisor_log(self) -> str:
        log = self.dir / "supervisor.log"
        return tail(log.read_text(errors="replace"), 10) if log.exists() else ""

    def running(self) -> bool:
        """Whether its supervisor answers."""
        try:
            self.call("status", seconds=10)
        except LabError:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """{pid, nodes: [...]} of the supervisor."""
        return dict(self.call("status", seconds=30))

    @property
    def nodes(self) -> dict[str, Node]:
        """The nodes by name, in the order they were added."""
        return {node["name"]: Node(self, _spec(node)) for node in self.status()["nodes"]}

    def node(self, name: str) -> Node:
        """One node by name."""
        nodes = self.nodes
        if name not in nodes:
            raise LabError(f"no node {name} in lab {self.name}: it has {', '.join(nodes) or 'none'}")
        return nodes[name]

    def manifest(self) -> dict[str, Any]:
        """The manifest of the image that the first node was made from."""
        for node in self.status()["nodes"]:
            return dict(json.loads((Path(node["image"]) / "manifest.json").read_text()))
        raise LabError(f"lab {self.name} has no nodes")

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.dir.mkdir(parents=True, exist_ok=True)
        with locked(self.dir / "client.lock", f"lab {self.name}", 900):
            yield

    def _supervise(self, tie: int | None) -> None:
        if self.running():
            if tie:
                self.call("tie", pid=tie)
            return
        shutil.rmtree(self.dir / "nodes", ignore_errors=True)
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.sockets.stat().st_uid != os.getuid():
            raise LabError(f"{self.sockets} belongs to another user")
        argv = [sys.executable, str(Path(__file__).parent), "supervise", str(self.dir), str(self.sockets)]
        if tie:
            argv += ["--tie", str(tie)]
        with (self.dir / "supervisor.log").open("w") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        deadline = time.monotonic() + 20
        while not self.running():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the supervisor of lab {self.name} does not start", self._supervisor_log())
            time.sleep(0.05)

    # up and down

    def up(
        self,
        nodes: Mapping[str, str] | None = None,
        *,
        flavour: str = "cloud",
        crashkernel: str = "128M",
        suite: str = recipe.DEFAULT_SUITE,
        memory: int | None = None,
        smp: int | None = None,
        tie: int | None = None,
        limit: float = 300,
        progress: Progress = silent,
    ) -> dict[str, Node]:
        """Boot the nodes (name -> zone; default one, `n1` in `zone_a`) and wait until ssh answers on each.

        Reuses nodes that run and are as asked for; LabError when one of that name is something else.
        `memory` is in MiB (1024), `smp` is 2 for one node and 1 for several, `limit` in seconds for each node,
        `tie` a pid whose end takes the lab down.
        """
        wanted = dict(nodes or {"n1": "zone_a"})
        for name, zone in wanted.items():
            if not _NAME.match(name) or not re.match(r"^[a-z][a-z0-9_]{0,40}$", zone):
                raise LabError(f"bad node {name!r} or zone {zone!r}: small letters and digits; zones with _")
        with self._exclusive():
            there = self.nodes if self.running() else {}
            for name in wanted.keys() & there.keys():
                asked = {"zone": wanted[name], "flavour": flavour, "memory": memory, "smp": smp}
                self._same(there[name].spec, {**asked, "crashkernel": crashkernel, "suite": suite})
            fresh = [name for name in wanted if name not in there]
            image = build(flavour, crashkernel, suite) if fresh else None
            accel = choose(image.vmlinuz) if image else ""
            self._supervise(tie)
            with phase(f"{len(fresh)} node(s) started, {len(wanted) - len(fresh)} reused"):
                cores = smp or (2 if len(wanted) == 1 else 1)
                for name in fresh:
                    assert image
                    self._create(name, wanted[name], image, accel, memory or DEFAULT_MEMORY, cores)
                for name in wanted:
                    if name in there and there[name].status()["state"] == "off":
                        there[name].power("on")
            self._write_access()
        result = {name: self.node(name) for name in wanted}
        for name, node in result.items():
            with phase(f"{name}: ssh answers"):
                node.wait_ssh(limit, progress)
        return result

    def _same(self, spec: NodeSpec, asked: Mapping[str, Any]) -> None:
        """LabError when a node is not what is asked for; None asks for nothing."""
        manifest = json.loads((Path(spec.image) / "manifest.json").read_text())
        have = {**spec.as_dict(), "crashkernel": manifest["crashkernel"], "suite": manifest["suite"]}
        different = [
            f"its {key} is {have[key]} and not {value}"
            for key, value in asked.items()
            if value is not None and have[key] != value
        ]
        if different:
            reason = " and ".join(different)
            raise LabError(
                f"{spec.name} is in lab {self.name} already, but {reason}: take the lab down first"
            )

    def _create(self, name: str, zone: str, image: Image, accel: str, memory: int, smp: int) -> None:
        folder = self.dir / "nodes" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _own_disk(image, name, folder)
        digest = hashlib.sha256(f"{self.dir}/{name}".encode()).hexdigest()
        mac = "52:54:00:" + ":".join(digest[i : i + 2] for i in (0, 2, 4))
        spec = NodeSpec(
            name=name,
            hostname=name,
            mac=mac,
            port=0,
            dir=str(folder),
            lineage=uuid.uuid4().hex,
            timeline="original",
            zone=zone,
            flavour=image.manifest["flavour"],
            memory=memory,
            smp=smp,
            accel=accel,
            image=str(image.path),
        )
        self._add(spec, None)

    def _add(self, spec: NodeSpec, incoming: Path | None) -> Node:
        """Start it on a free port; another lab may take the port first, then the next one is tried."""
        for port in _free_ports(spec.dir):
            chosen = NodeSpec.from_dict({**spec.as_dict(), "port": port})
            (Path(spec.dir) / "spec.json").write_text(json.dumps(chosen.as_dict(), indent=1) + "\n")
            try:
                self.call("add", spec=chosen.as_dict(), incoming=str(incoming) if incoming else None)
                return Node(self, chosen)
            except LabError as error:
                if "host forwarding" not in error.detail:
                    raise
        raise LabError("no free port on 127.0.0.1")

    def _write_access(self) -> None:
        specs = [node.spec for node in self.nodes.values()]
        key = ssh_key()
        _replace(self.ssh_config, ssh_config(specs, key, self.sockets))
        _replace(self.inventory, inventory(specs, key, self.ssh_config, self.sockets))

    def down(self) -> bool:
        """End all machines and the supervisor; consoles and events stay to be read. False when it was not up."""
        with self._exclusive():
            if not self.running():
                return False
            pid = int(self.status()["pid"])
            self.call("stop", seconds=60)
            deadline = time.monotonic() + 20
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            for disk in self.dir.glob("nodes/*/*.qcow2"):
                disk.unlink()
            for disk in self.dir.glob("nodes/*/*.raw"):
                disk.unlink()
            for path in (self.inventory, self.ssh_config):
                path.unlink(missing_ok=True)
        return True

    def drop(self, name: str) -> None:
        """Take one node out of the lab."""
        with self._exclusive():
            folder = Path(self.node(name).spec.dir)
            self.call("drop", node=name)
            for pattern in ("*.qcow2", "*.raw"):
                for disk in folder.glob(pattern):
                    disk.unlink()
            self._write_access()

    # snapshots

    def snapshot(self, node: str, name: str) -> Path:
        """Memory and disk of a node under a name, for all labs of this checkout; the node goes on."""
        if not _NAME.match(name):
            raise LabError(f"bad snapshot name {name!r}")
        spec = self.node(node).spec
        final = snapshots() / name
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=snapshots()))
        try:
            self.call("snapshot", node=node, folder=str(work))
            # The base of the overlay belongs to the lab and goes with it: a second name for the same file stays.
            os.link(Path(spec.dir) / "base.raw", work / "base.raw")
            _rebase(work / "disk.qcow2", final / "base.raw")
            (work / "spec.json").write_text(json.dumps(spec.as_dict(), indent=1) + "\n")
            shutil.rmtree(final, ignore_errors=True)
            work.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return final

    def clone(
        self, snapshot: str, *, name: str | None = None, tie: int | None = None, limit: float = 60
    ) -> Node:
        """Resume a snapshot in this lab: the same node (host name, keys, MAC, boot_id) on another timeline.

        Refused while the original or another clone of it is in this lab: put it into another lab.
        Its clock is set and its random numbers are its own; returns when ssh answers.
        """
        source = snapshots() / snapshot
        if not (source / "spec.json").exists():
            known = sorted(path.name for path in snapshots().iterdir() if not path.name.startswith("."))
            raise LabError(f"no snapshot {snapshot!r}: there is {', '.join(known) or 'none'}")
        origin = NodeSpec.from_dict(json.loads((source / "spec.json").read_text()))
        name = name or origin.name
        if not _NAME.match(name):
            raise LabError(f"bad node name {name!r}")
        ensure_tools(TOOLS)
        with self._exclusive():
            self._supervise(tie)
            for other in self.nodes.values():
                if other.spec.lineage == origin.lineage:
                    raise LabError(
                        f"{other.name} in lab {self.name} is the same machine on another timeline; "
                        f"put the clone into another lab (--lab)"
                    )
                if other.name == name:
                    raise LabError(f"{name} is in lab {self.name} already")
            folder = self.dir / "nodes" / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            # A hard link as well, so that this timeline outlives the snapshot's replacement.
            for part in ("base.raw", "memory", "disk.qcow2"):
                os.link(source / part, folder / ("frozen.qcow2" if part == "disk.qcow2" else part))
            _overlay(folder / "disk.qcow2", folder / "frozen.qcow2", "qcow2")
            spec = NodeSpec.from_dict(
                {**origin.as_dict(), "name": name, "dir": str(folder), "timeline": snapshot}
            )
            node = self._add(spec, folder / "memory")
            self._write_access()
            (folder / "memory").unlink()
        node.wait_ssh(limit)
        _wake(node)
        return node


def all_labs() -> list[str]:
    """Names of the labs of this checkout that have a folder, up or not."""
    return sorted(path.parent.name for path in state_root().glob("*/supervisor.lock"))


def snapshots() -> Path:
    """Where the snapshots of this checkout are."""
    path = state_root() / "snapshots.d"
    path.mkdir(exist_ok=True)
    return path


def _spec(status: Mapping[str, Any]) -> NodeSpec:
    return NodeSpec.from_dict({key: status[key] for key in NodeSpec.__dataclass_fields__})


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def _free_ports(seed: str) -> Iterator[int]:
    """Ports below the ephemeral range, so that no outgoing connection sits on one between two boots."""
    start = int(hashlib.sha256(seed.encode()).hexdigest()[:6], 16)
    for step in range(200):
        port = 20000 + (start + step * 7) % 10000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def _overlay(path: Path, backing: Path, kind: str) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", kind, str(path)], timeout=30)


def _rebase(path: Path, backing: Path) -> None:
    run(["qemu-img", "rebase", "-u", "-b", str(backing), "-F", "raw", str(path)], timeout=30)


def _own_disk(image: Image, name: str, folder: Path) -> None:
    """A disk that is this node's own before its first boot: host name, machine id and ssh host key written into it."""
    base = folder / "base.raw"
    run(["cp", "--reflink=auto", "--sparse=always", str(image.disk), str(base)], timeout=120)
    files = {
        "/etc/hostname": f"{name}\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n",
        "/etc/machine-id": f"{uuid.uuid4().hex}\n",
    }
    run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / "hostkey")], timeout=30
    )
    files["/etc/ssh/ssh_host_ed25519_key"] = (folder / "hostkey").read_text()
    files["/etc/ssh/ssh_host_ed25519_key.pub"] = (folder / "hostkey.pub").read_text()
    script = []
    with tempfile.TemporaryDirectory() as tmp:
        for number, (path, text) in enumerate(files.items()):
            source = Path(tmp) / str(number)
            source.write_text(text)
            mode = "0100600" if path.endswith("_key") else "0100644"
            script += [f"rm {path}", f"write {source} {path}", f"sif {path} mode {mode}"]
            script += [f"sif {path} uid 0", f"sif {path} gid 0"]
        run(
            ["debugfs", "-w", "-f", "-", f"{base}?offset={recipe.PART_OFFSET}"],
            timeout=60,
            stdin="\n".join(script) + "\n",
        )
        seen = run(
            ["debugfs", "-R", "cat /etc/machine-id", f"{base}?offset={recipe.PART_OFFSET}"], timeout=60
        )
    if files["/etc/machine-id"] not in seen:
        raise LabError(f"the identity of {name} could not be written into its disk")
    base.chmod(0o444)
    _overlay(folder / "disk.qcow2", base, "raw")


def _wake(node: Node) -> None:
    """After a resume: the clock stands at the snapshot's moment, and all clones draw the same random numbers."""
    seed = secrets.token_hex(32)
    reseed = "import fcntl; fcntl.ioctl(open('/dev/urandom', 'wb'), 0x5207)"
    node.ssh(f'hwclock --hctosys; echo {seed} >/dev/urandom; python3 -c "{reseed}"', timeout=30)
