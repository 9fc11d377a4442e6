# SPDX-License-Identifier: GPL-3.0-or-later
"""A host tree while it is composed, and what is the same in all distributions."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOSTS = Path(__file__).resolve().parents[2] / "unit/fixtures/hosts"
NOTES = ".fleetops.json"
UUID = "5f1ee700-1ab0-4000-8000-000000000001"  # of the root file system, as in the lab
MACHINE_ID = "0" * 32


@dataclass
class Tree:
    """A host tree while it is changed: files by absolute path, and the notes of its .fleetops.json."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str) -> Tree:
        """A captured one."""
        root = HOSTS / name
        paths = [path for path in root.rglob("*") if path.is_file() and path.name != NOTES]
        files = {f"/{path.relative_to(root)}": path.read_bytes() for path in paths}
        notes = json.loads((root / NOTES).read_text())
        for part in ("missing", "trimmed"):
            notes.pop(part, None)
        return cls(files, {**notes, "composed": True})

    def spell(self, old: str, new: str) -> None:
        """Replace a text everywhere: in paths, in files, in the notes."""
        self.files = {
            path.replace(old, new): data.replace(old.encode(), new.encode())
            for path, data in self.files.items()
        }
        self.notes = json.loads(json.dumps(self.notes).replace(old, new))

    def put(self, path: str, text: str) -> None:
        """A file, which a listing of its folder has as well."""
        self.files[path] = textwrap.dedent(text).lstrip("\n").encode()
        self.listed(path)

    def sized(self, path: str, size: int) -> None:
        """A file that is known by its size."""
        self.notes["sizes"][path] = size
        self.listed(path)

    def exists(self, *paths: str) -> None:
        """Paths that are there."""
        self.notes["exists"] = sorted({*self.notes["exists"], *paths})

    def listed(self, path: str) -> None:
        """The name in the listing of its folder, and that folder in the one above."""
        folder, _slash, name = path.rpartition("/")
        names = self.notes["listings"].get(folder)
        if names is not None and name not in names:
            names.append(name)
            names.sort()

    def drop(self, start: str) -> None:
        """Everything whose path begins so."""
        self.files = {path: data for path, data in self.files.items() if not path.startswith(start)}
        for part in ("exists", "listings", "sizes", "links", "globs", "disks"):
            kept = self.notes.get(part, {})
            if isinstance(kept, list):
                self.notes[part] = [path for path in kept if not path.startswith(start)]
            else:
                self.notes[part] = {path: value for path, value in kept.items() if not path.startswith(start)}
        for folder, names in self.notes["listings"].items():
            self.notes["listings"][folder] = [
                name for name in names if not f"{folder}/{name}".startswith(start)
            ]

    def forget(self, command: str) -> None:
        """What commands that begin so answered."""
        commands = self.notes["commands"]
        self.notes["commands"] = {
            argv: answer for argv, answer in commands.items() if not argv.startswith(command)
        }

    def answer(self, command: str, stdout: str, rc: int = 0) -> None:
        """What a command answers."""
        self.notes["commands"][command] = {"rc": rc, "stdout": stdout, "stderr": ""}

    def save(self, name: str, story: str) -> None:
        """Write it, in the place of an older one."""
        root = HOSTS / name
        shutil.rmtree(root, ignore_errors=True)
        self.put("/COMPOSED.md", f"# {name}: composed, not captured\n\n{textwrap.dedent(story).strip()}\n")
        for path, data in self.files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        notes = {key: value for key, value in self.notes.items() if value not in ({}, [], None)}
        (root / NOTES).write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")


def os_release(**values: str) -> str:
    """os-release(5), without the addresses."""
    return "".join(f'{key}="{value}"\n' for key, value in values.items())


def modules(tree: Tree, names: str, others: Mapping[str, str]) -> None:
    """Loaded modules; *others* are releases and what of these they lack."""
    loaded = names.split()
    tree.put("/proc/modules", "".join(f"{name} 16384 0 - Live 0xffffffffc0000000\n" for name in loaded))
    for release, lacks in others.items():
        folder = f"/lib/modules/{release}"
        has = [name for name in loaded if name not in lacks.split()]
        tree.put(f"{folder}/modules.dep", "".join(f"kernel/{name}.ko:\n" for name in has))
        tree.put(f"{folder}/modules.builtin", "")
        tree.exists(folder)


# A Kubernetes node with Cilium and what kube-proxy and flannel left, as lsmod shows it.
NODE_MODULES = (
    "br_netfilter bridge stp llc overlay vxlan ip6_udp_tunnel udp_tunnel dummy ip_vs ip_vs_rr nf_conntrack nf_nat "
    "nf_defrag_ipv4 nf_defrag_ipv6 nf_tables nfnetlink ip_set ip_set_hash_ip iptable_nat iptable_filter ip_tables "
    "x_tables xt_conntrack xt_MASQUERADE xt_comment xt_mark xt_set sch_fq_codel cls_bpf sch_ingress autofs4 libcrc32c"
)


def memory(tree: Tree, gib: int, reserved_mib: int) -> None:
    """So much memory, in blocks of 2 GiB, and a reservation below 4 GiB."""
    folder = "/sys/devices/system/memory"
    tree.notes["listings"][folder] = sorted(["block_size_bytes", *(f"memory{n}" for n in range(gib // 2))])
    tree.put(f"{folder}/block_size_bytes", "80000000\n")
    size = reserved_mib << 20
    tree.put("/sys/kernel/kexec_crash_size", f"{size}\n")
    start = 0x60000000
    lines = f"00001000-0009fbff : System RAM\n{start:08x}-{start + size - 1:08x} : Crash kernel\n"
    tree.put("/proc/iomem", lines)


def boot_partition(tree: Tree, kind: str, root: str, boot: str) -> None:
    """/boot on a partition of the first disk, the root in a volume of LVM; *root* and *boot* are their devices."""
    number = boot[-1]
    mounts = f"25 1 253:0 / / rw,relatime shared:1 - {kind} {root} rw\n"
    mounts += f"94 25 8:{number} / /boot rw,relatime shared:40 - {kind} {boot} rw\n"
    tree.put("/proc/self/mountinfo", mounts)
    # A partition is the same directory everywhere.
    tree.notes["listings"][f"/sys/dev/block/8:{number}"] = tree.notes["listings"].pop("/sys/dev/block/254:1")


def systemd(tree: Tree, off: str) -> None:
    """system.conf as it comes: comments with the defaults. *off*: how this systemd spells what it does not do."""
    tree.put(
        "/etc/systemd/system.conf",
        f"""
        [Manager]
        #RuntimeWatchdogSec={off}
        #RebootWatchdogSec=10min
        #KExecWatchdogSec={off}
        #WatchdogDevice=
        """,
    )
