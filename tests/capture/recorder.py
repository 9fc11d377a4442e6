# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the machine that is captured: reads it with the collection's own readers, and keeps what they saw.

Everything goes through one `Recorder`. What it hands to the readers is already without secrets, so that the tree it
writes reads exactly as the machine did. Python 3.8 and the standard library only.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import actors, kdump, kernel, links
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import modules

LIVE_FACTS = ".live.json"
# A file above this is known by its size only.
LARGEST = 256 * 1024
# Long files of which a reading takes only what concerns it (see `Recorder.trim`).
INDEX = re.compile(r"/lib/modules/[^/]+/modules\.(dep|builtin)")
MOUNTS = "/proc/mounts"

# What must never leave a machine, whoever asks for it.
FORBIDDEN = re.compile(r"/etc/(shadow|gshadow)|/etc/ssh/ssh_host|/\.ssh/|/etc/(ssl/private|kubernetes/pki)/")
# Boot lines can carry what lets in, and those of a sandbox a lot about where it runs.
BOOT_FILES = r"/boot/grub2?/.*|/boot/efi/EFI/.*|/etc/grub2.*|/etc/default/grub.*"
# What stands for a value: in quotation marks, or up to white space, a closing mark left where it is.
VALUE = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s"]+?(?='?(?:[\s"]|\Z)))"""
# Words that name what lets in. `bypass` and `passthrough` are settings.
NAME = r"(?:(?<!by)pass(?!thr|ive)|passw|secret|token|credential|psk)"
# (path, what, instead)
SCRUBS: tuple[tuple[str, str, str], ...] = (
    (r"/etc/machine-id|/var/lib/dbus/machine-id", r"[0-9a-f]{32}", "0" * 32),
    (r"/etc/default/kdump-tools", r"(FTP_PASSWORD=).+", r'\1"left-out"'),
    (r"/proc/cmdline|.*/kexec_cmd", r"(?<= -- )[^\n\"]+", "init-arguments-left-out"),
    (r".*", rf"(?i)((?:{NAME}[\w.-]{{0,99}}|key|(?<![a-z])pwd?)=){VALUE}", r"\1left-out"),
    (r".*", r"(?<=://)[^/@\s\"']+(?=@)", "left-out"),
    # dracut.cmdline(7): netroot=iscsi:USER:PASSWORD@SERVER
    (r".*", r"(?<=\biscsi:)[^@\s\"']+(?=@)", "left-out"),
    (r"/etc/(dnf|yum)/.*|/etc/yum.conf", rf"(?i)((?:{NAME}|key)\w{{0,99}}[ \t]*=[ \t]*)\S.*", r"\1left-out"),
    (BOOT_FILES, r"(password(?:_pbkdf2)?[ \t]+\S+)[ \t]+\S+", r"\1 left-out"),
    # All but the root, what the boot loader reads, and where kured's sentinel is for the machine and for its container.
    (
        r"/proc/(\d+|self)/mountinfo",
        r"(?m)^\S+ \S+ \S+ \S+ /(?!(?:run|var/run|sentinel|boot|boot/\S+) )\S.*\n",
        "",
    ),
    # systemd-system.conf(5): what systemd hands to all services may be anything.
    (
        r".*/systemd/\w+\.conf(\.d/.*)?",
        r"(?m)^([ \t]*(?:Default|Manager)Environment[ \t]*=)(?:.*\\\n)*.*",
        r"\1left-out",
    ),
    # Of kured's options, what it tells of reboots to the outside has a password in it.
    (r"/proc/\d+/cmdline", r"(?<=\x00--reboot-sentinel-command=)[^\x00]+", "left-out"),
    (
        r"/proc/\d+/cmdline",
        r"(?<=\x00)(?<!\x00--reboot-sentinel\x00)(?!--reboot-sentinel)[^\x00]+",
        "left-out",
    ),
    # apt_preferences(5): from which host packages come is the site's own affair.
    (r"/etc/apt/preferences.*", r"(?m)^(Pin:[ \t]*origin[ \t]+)\S.*", r"\1packages.example.org"),
    (r"/etc/apt/apt\.conf.*", r"(?i)(password\S*[ \t]+)\S+", r'\1"left-out";'),
    (r"/proc/version", r"(?<=\()[\w.-]+@[\w.-]+(?=\))", "builder@host"),
)


def scrub(path: str, data: bytes) -> bytes:
    """A file's content without what identifies or lets in."""
    for where, what, instead in SCRUBS:
        if re.fullmatch(where, path):
            data = re.sub(what.encode(), instead.encode(), data)
    return data


def one_of_each_type(mounts: bytes) -> bytes:
    """What is mounted, by type alone: the rest of /proc/mounts names servers, volumes and containers."""
    types = sorted({line.split(b" ")[2] for line in mounts.split(b"\n") if line.strip()})
    return b"".join(b"none / " + kind + b" rw 0 0\n" for kind in types)


class Recorder(Host):
    """A Host that remembers what it was asked and what it answered."""

    def __init__(self, root: str = "/") -> None:
        super().__init__(root)
        self.files: dict[str, bytes] = {}
        self.notes: dict[str, Any] = {
            "machine": None,
            "is_root": self.is_root,
            "commands": {},
            "listings": {},
            "globs": {},
            "exists": [],
            "sizes": {},
            "mtimes": {},
            "disks": {},
            "links": {},
            "trimmed": {},
            "unreadable": {},
            "missing": [],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def read_bytes(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        if FORBIDDEN.search(path):
            raise Unreadable(f"'{path}' is not for a capture", path=path)
        data = self.trim(path, scrub(path, self._noted(path, super().read_bytes, path, offset, size)))
        if offset == 0 and size == -1:
            if len(data) > LARGEST:
                raise FleetopsError(f"'{path}' is read whole, but too large for a capture: {len(data)} bytes")
            self.files[path] = data
        else:
            # A head and a tail: side by side in a small file, they read as the ends of the large one.
            kept = self.files.get(path, b"")
            self.files[path] = kept + data if offset < 0 else data + kept
        return data

    def trim(self, path: str, data: bytes) -> bytes:
        """A long file without what no reading takes from it. What is left reads as the whole does."""
        kept, what = data, ""
        if INDEX.fullmatch(path):
            kept, what = self._loaded_only(data), "only modules that are loaded, without what they depend on"
        elif path == MOUNTS:
            kept, what = (
                one_of_each_type(data),
                "one line for each type of file system, without devices and paths",
            )
        if kept != data:
            self.notes["trimmed"][path] = what
        return kept

    def _loaded_only(self, index: bytes) -> bytes:
        try:
            loaded = modules.loaded(super().read_bytes(modules.PROC_MODULES).decode("utf-8", "replace"))
        except FleetopsError:
            return index
        return modules.only(index.decode("utf-8", "replace"), {*loaded["loaded"]}).encode()

    def resolve(self, path: str) -> str:
        found = super().resolve(path)
        if found != path:
            self.notes["links"][path] = found
        return found

    def exists(self, path: str) -> bool:
        found = bool(self._noted(path, super().exists, path))
        self.notes["exists" if found else "missing"].append(path)
        return found

    def size(self, path: str) -> int:
        found = int(self._noted(path, super().size, path))
        self.notes["sizes"][path] = found
        return found

    def mtime(self, path: str) -> float:
        found = float(self._noted(path, super().mtime, path))
        self.notes["mtimes"][path] = found
        return found

    def listdir(self, path: str) -> list[str]:
        names: list[str] = self._noted(path, super().listdir, path)
        if path == "/proc":
            # Kernel threads are a hundred files that tell nothing, but for the one that proves whose /proc it is.
            names = [
                name for name in names if name.isdigit() and (name in ("1", "2") or self._is_program(name))
            ]
        self.notes["listings"][path] = names
        return names

    def glob(self, pattern: str) -> list[str]:
        found = super().glob(pattern)
        self.notes["globs"][pattern] = found
        return found

    def disk(self, path: str) -> tuple[int, int]:
        # Of a tree, what is not noted is unreadable: the path itself need not be.
        total, free = super().disk(path)
        self.notes["disks"][path] = {"total": total, "free": free}
        return total, free

    def machine(self) -> str:
        self.notes["machine"] = super().machine()
        return str(self.notes["machine"])

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        try:
            return super().run(argv, ok, env)
        except Missing:
            self.notes["commands"][" ".join(argv)] = {"missing": True}
            raise

    def _checked(  # type: ignore[override]
        self, argv: Sequence[str], rc: int, stdout: str, stderr: str, ok: Sequence[int]
    ) -> str:
        self.notes["commands"][" ".join(argv)] = {"rc": rc, "stdout": stdout, "stderr": stderr}
        return Host._checked(argv, rc, stdout, stderr, ok)

    def _is_program(self, pid: str) -> bool:
        try:
            return bool(super().read_bytes(f"/proc/{pid}/cmdline"))
        except FleetopsError:
            return False

    def _noted(self, path: str, question: Callable[..., Any], *args: Any) -> Any:
        try:
            return question(*args)
        except Unreadable as error:
            # Of a tree, what was not captured is in doubt again when the copy lacks it as well.
            before, _colon, reason = error.msg.partition(": ")
            if before == f"Cannot read '{path}'":
                self.notes["unreadable"][path] = reason
            raise
        except Missing:
            self.notes["missing"].append(path)
            raise

    def tree(self) -> dict[str, bytes]:
        """The files to write, the notes among them."""
        found = {path.lstrip("/"): data for path, data in self.files.items()}
        self.notes["exists"] = sorted({path for path in self.notes["exists"] if path not in self.files})
        self.notes["missing"] = sorted({*self.notes["missing"]})
        # Without this key, nobody knows that all else was not asked for (see `_tree`).
        notes = {
            key: value for key, value in self.notes.items() if key == "missing" or value not in ({}, [], None)
        }
        found[CAPTURE_FILE] = json.dumps(notes, indent=1, sort_keys=True).encode() + b"\n"
        return found


def read(host: Host) -> dict[str, Any]:
    """What the modules of the collection read, those that change something included."""
    facts: dict[str, Any] = {
        "fleetops_kernel": kernel.read(host),
        "fleetops_kdump": kdump.read(host),
        "fleetops_links": links.read(host),
        "fleetops_actors": actors.read(host),
    }
    platform = _platform.select(facts["fleetops_kernel"]["distro"])
    if platform is not None:
        for question in (platform.kdump_append, _grub_defaults):
            with contextlib.suppress(FleetopsError):
                question(host)
    return facts


def _grub_defaults(host: Host) -> None:
    host.exists(_platform.debian.CMDLINE_DROPIN)
    for path in ["/etc/default/grub", *host.glob("/etc/default/grub.d/*.cfg")]:
        host.read(path)


def main() -> None:
    """Write the tree as a tar archive to the standard output."""
    recorder = Recorder()
    facts = read(recorder)
    entries = recorder.tree()
    entries[LIVE_FACTS] = json.dumps(facts).encode()
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name, data in sorted(entries.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main()
