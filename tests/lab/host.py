# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine the lab runs on: its tools, its folders, its clock, its apt."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]

# tool -> the Debian package that brings it. A path is looked for as a file.
TOOLS: Mapping[str, str] = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "socat": "socat",
    "ssh": "openssh-client",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
}
BUILD_TOOLS: Mapping[str, str] = {
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
    "zstd": "zstd",
    "lz4": "lz4",
    "dpkg-scanpackages": "dpkg-dev",
    "grub-mkimage": "grub-common",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


def cache_root() -> Path:
    """Where images are kept; may be deleted at any time, only time is lost."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "fleetops-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def state_root() -> Path:
    """Where labs keep their state: `.lab/` of the checkout, which ignores itself in git."""
    path = CHECKOUT / ".lab"
    path.mkdir(exist_ok=True)
    ignore = path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return path


def lab_dir(name: str) -> Path:
    """The folder of one lab (it may not exist yet)."""
    return state_root() / name


def socket_dir(name: str) -> Path:
    """A short folder for sockets: a unix socket's path may have 107 characters, a checkout's more."""
    digest = hashlib.sha256(str(lab_dir(name)).encode()).hexdigest()[:10]
    # not TMPDIR: every client of a lab must look in the same place
    return Path("/tmp") / f"flab-{os.getuid()}-{digest}"


def digest(*parts: str) -> str:
    """A short stable hash of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_listener: list[Callable[[str], None]] = [_to_stderr]


def say(text: str) -> None:
    """One line for the person who watches."""
    _listener[-1](text)


def listen(listener: Callable[[str], None]) -> None:
    """Have the lines of the lab told by *listener* from now on, who may be drawing on the same terminal."""
    _listener.append(listener)


@contextlib.contextmanager
def phase(title: str) -> Iterator[None]:
    """Print one line with the seconds when the block ends well."""
    start = time.monotonic()
    yield
    say(f"lab: {title:<58} {time.monotonic() - start:6.1f} s")


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a command and return its standard output; LabError with the tail of its output otherwise.

    `timeout` is in seconds; `env` is added to the environment.
    """
    merged = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **(env or {})}
    path = merged.get("PATH", "")
    if "/usr/sbin" not in path.split(":"):
        merged["PATH"] = f"{path}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=merged,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
        text = out.decode(errors="replace") if isinstance(out, bytes) else out
        raise LabError(f"{argv[0]} took longer than {timeout:.0f} s", tail(text)) from None
    except OSError as error:
        raise LabError(f"cannot run {argv[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise LabError(f"{argv[0]} failed with code {done.returncode}", tail(done.stdout + done.stderr))
    return done.stdout


def tail(text: str, lines: int = 25) -> str:
    """The last lines of a text."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def missing(tools: Mapping[str, str]) -> list[str]:
    """Packages of the tools that are not there."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {
        tool: Path(tool).exists() if tool.startswith("/") else shutil.which(tool, path=search) is not None
        for tool in tools
    }
    return sorted({tools[tool] for tool, there in found.items() if not there})


def ensure_tools(tools: Mapping[str, str]) -> None:
    """Install what is missing with apt-get, as root, saying so in one line."""
    packages = missing(tools)
    if not packages:
        return
    if os.getuid() != 0:
        raise LabError(
            f"missing packages, and only root can install them: apt-get install {' '.join(packages)}"
        )
    with phase(f"installing {' '.join(packages)}"):
        apt_get("update")
        apt_get("install", "-y", "--no-install-recommends", *packages)


def apt_get(*args: str) -> None:
    """apt-get, waiting up to five minutes for another apt to give the lock back."""
    base = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", *args]
    deadline = time.monotonic() + 300
    while True:
        try:
            run(base, timeout=900)
            return
        except LabError as error:
            # DPkg::Lock::Timeout does not cover the lock of the package lists.
            if "lock" not in error.detail.lower() or time.monotonic() > deadline:
                raise
            time.sleep(3)


@contextlib.contextmanager
def locked(path: Path, what: str, timeout: float) -> Iterator[None]:
    """Hold an exclusive lock on a file; LabError when another process keeps it for `timeout` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        deadline = time.monotonic() + timeout
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise LabError(f"another process is still busy with {what}") from None
                if not told:
                    say(f"lab: waiting for another process that is busy with {what}")
                    told = True
                time.sleep(0.5)
        yield
