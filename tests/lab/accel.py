# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardware virtualisation is used only where a boot shows that it works: /dev/kvm can open and still crawl."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

from .host import cache_root, phase, run, say
from .qemu import accel_options, die_with_parent

_LIMIT_SECONDS = 6.0
# Without a root file system the kernel ends here; real hardware gets to it in about a second.
_REACHED = "Unable to mount root fs"


def choose(vmlinuz: Path) -> str:
    """`kvm` or `tcg`; the answer is kept per host kernel and QEMU version."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    known = cache_root() / "acceleration.json"
    here = f"{platform.release()} {run(['qemu-system-x86_64', '--version'], timeout=20).splitlines()[0]} {_cpu()}"
    try:
        answers = json.loads(known.read_text())
    except (OSError, ValueError):
        answers = {}
    if here not in answers:
        with phase("does /dev/kvm really work? (a boot with a limit)"):
            answers[here] = "kvm" if _boots(vmlinuz) else "tcg"
        known.write_text(json.dumps(answers, indent=1) + "\n")
        say(f"lab: acceleration on this machine: {answers[here]}")
    return str(answers[here])


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "?"


def _boots(vmlinuz: Path) -> bool:
    with tempfile.TemporaryDirectory() as tmp:
        console = Path(tmp) / "serial"
        argv = [
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "pc",
            "-m",
            "512",
        ]
        argv += [*accel_options("kvm"), "-serial", f"file:{console}", "-no-reboot", "-kernel", str(vmlinuz)]
        argv += ["-append", "console=ttyS0 panic=-1"]
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        try:
            deadline = time.monotonic() + _LIMIT_SECONDS
            while time.monotonic() < deadline:
                if console.exists() and _REACHED in console.read_text(errors="replace"):
                    return True
                if process.poll() is not None:
                    break
                time.sleep(0.1)
            return console.exists() and _REACHED in console.read_text(errors="replace")
        finally:
            process.kill()
            process.wait()
