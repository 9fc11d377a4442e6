# SPDX-License-Identifier: GPL-3.0-or-later
"""The one detector of hung, came back and slow. It is never told what to expect.

Beforehand `read_nets` notes what is armed on the node; after a crash `watch` looks at the serial console, at
the resets that the supervisor saw, and at the node itself. The load of the virtual CPU proves nothing: a
panicked guest may spin.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import LabError
from .host import cache_root, tail
from .node import Node, Progress, last_line, silent

HANG_MARGIN_SECONDS = 15.0
_DEFAULT_GOOD_RUN = {"tcg": 45.0, "kvm": 15.0}
_PANIC_END = "end Kernel panic"
_TELLING = re.compile(
    r"Kernel panic|end Kernel panic|sysrq: Trigger|BUG:|Oops|Out of memory|deadlocked on memory|Failed to register"
    r"|Attempted to kill init|kdump-tools\[\d+\]|makedumpfile Completed|The dumpfile|Rebooting in|watchdog|reboot: "
    r"|Unable to mount root|GRUB|Initramfs unpacking failed",
)

_READ_NETS = r"""
import glob, json
def read(path):
    try:
        with open(path) as handle:
            return handle.read().strip()
    except OSError:
        return ""
active = {}
for folder in glob.glob("/sys/class/watchdog/*"):
    if read(folder + "/state") == "active":
        active[read(folder + "/identity") or folder] = int(read(folder + "/timeout") or 0)
print(json.dumps({
    "boot_id": read("/proc/sys/kernel/random/boot_id"),
    "capture_loaded": read("/sys/kernel/kexec_crash_loaded") == "1",
    "capture_line": read("/var/crash/kexec_cmd"),
    "cmdline": read("/proc/cmdline"),
    "sysctl_panic": int(read("/proc/sys/kernel/panic") or 0),
    "watchdogs": active,
}))
"""


@dataclass(frozen=True)
class Nets:
    """What was armed on a node, and where its console and its boots stood, before something is done to it."""

    boot_id: str
    boots: int
    console: int  # bytes
    capture_loaded: bool
    capture_panic: int | None  # seconds of panic= on the capture kernel's command line
    cmdline_panic: int | None  # of panic= on the running kernel's
    sysctl_panic: int
    watchdogs: dict[str, int]  # identity -> seconds, active ones only
    dumps: list[str] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """Seconds until the slowest armed net must have acted; 0 when none is armed or the only one acts at once."""
        panics = [
            self.capture_panic or 0,
            self.cmdline_panic or 0,
            self.sysctl_panic,
            *self.watchdogs.values(),
        ]
        return float(max(0, *panics))

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"capture kernel {'loaded' if self.capture_loaded else 'not loaded'}"]
        for what, value in (("capture panic=", self.capture_panic), ("panic=", self.cmdline_panic)):
            parts.append(f"{what}{value}" if value is not None else f"no {what}")
        parts.append(f"sysctl kernel.panic {self.sysctl_panic}")
        parts += [f"watchdog {name} {seconds} s" for name, seconds in self.watchdogs.items()] or [
            "no watchdog active"
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Verdict:
    """What became of the node. `seconds` counts from the beginning of the watch to the verdict."""

    verdict: Literal["hung", "came_back", "slow"]
    because: str
    seconds: float
    reset_seconds: float | None  # until the first reset
    reset_reason: str | None  # guest-reset, watchdog, ...
    boot_id_before: str
    boot_id_after: str | None
    dump: dict[str, Any] | None  # path, bytes, complete
    evidence: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _panic_word(line: str) -> int | None:
    # The kernel takes the last one.
    words = re.findall(r"(?:^|[\s\"'])panic=(-?\d+)(?=$|[\s\"'])", line)
    return int(words[-1]) if words else None


def read_nets(node: Node) -> Nets:
    """Read what is armed on a reachable node."""
    data = json.loads(node.ssh("python3 -", stdin=_READ_NETS, timeout=60).stdout)
    return Nets(
        boot_id=data["boot_id"],
        boots=node.boots(),
        console=node.console_size(),
        capture_loaded=data["capture_loaded"],
        capture_panic=_panic_word(data["capture_line"]) if data["capture_loaded"] else None,
        cmdline_panic=_panic_word(data["cmdline"]),
        sysctl_panic=data["sysctl_panic"],
        watchdogs=data["watchdogs"],
        dumps=[dump["path"] for dump in list_dumps(node)],
    )


def list_dumps(node: Node) -> list[dict[str, Any]]:
    """Dumps under /var/crash of a reachable node: path, bytes, complete."""
    script = Path(__file__).with_name("dumps.py").read_text()
    return list(json.loads(node.ssh("python3 -", stdin=script, timeout=90).stdout))


def trigger(node: Node) -> None:
    """A real panic: sysrq c, after the disk was synced and the connection is given back."""
    command = "sync; (sleep 0.3; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 & exit 0"
    node.ssh(command, timeout=30, fresh=True)


def crash(node: Node, *, limit: float | None = None, progress: Progress = silent) -> Verdict:
    """Read the armed nets, panic the node, watch what becomes of it."""
    nets = read_nets(node)
    progress(f"{node.name}: {nets}")
    trigger(node)
    progress(f"{node.name}: sysrq c")
    return watch(node, nets, limit=limit, progress=progress)


def watch(node: Node, nets: Nets, *, limit: float | None = None, progress: Progress = silent) -> Verdict:
    """Watch a node from the moment of `nets` on until there is a verdict.

    `limit` is in seconds (default: the longest net and eight good runs); `progress` gets a line every few seconds.
    """
    good = good_run(node)
    end = limit or nets.longest + 8 * good
    return _Watch(node, nets, good, end, progress).run()


class _Watch:
    def __init__(self, node: Node, nets: Nets, good: float, limit: float, progress: Progress) -> None:
        self.node = node
        self.nets = nets
        self.good = good
        self.limit = limit
        self.progress = progress
        self.start = time.monotonic()
        self.size = nets.console
        self.grown = self.start  # when the console last said something
        self.reset: tuple[float, str] | None = None

    def run(self) -> Verdict:
        told = self.start
        while True:
            now = time.monotonic()
            size = self.node.console_size()
            if size != self.size:
                self.size, self.grown = size, now
            self._resets(now)
            verdict = self._came_back(now) or self._hung(now)
            if verdict:
                return verdict
            if now - self.start > self.limit:
                return self._verdict("slow", f"neither hung nor back within {self.limit:.0f} s")
            if self.node.status()["state"] == "off":
                return self._verdict("slow", "the machine is off and was not reset")
            if now - told >= 5:
                told = now
                text = self.node.console_text(max(self.nets.console, size - 2000))
                self.progress(f"{self.node.name}: {now - self.start:.0f} s, {last_line(text)}")
            time.sleep(0.25)

    def _resets(self, now: float) -> None:
        if self.reset:
            return
        for event in self.node.events(self.nets.boots):
            if event["event"] == "reset" and event["console"] >= self.nets.console:
                self.reset = (now - self.start, event["reason"])
                self.grown = now
                self.progress(f"{self.node.name}: {now - self.start:.0f} s, reset ({event['reason']})")
                return

    def _hung(self, now: float) -> Verdict | None:
        text = self.node.console_text(self.nets.console)
        quiet = now - self.grown
        # a straggler on another CPU may say a word after the end
        if any(_PANIC_END in line for line in tail(text, 3).splitlines()):
            allowed = self.nets.longest + HANG_MARGIN_SECONDS
            if quiet > allowed:
                net = (
                    f"the longest armed net is {self.nets.longest:.0f} s"
                    if self.nets.longest
                    else "no net is armed"
                )
                return self._verdict(
                    "hung",
                    f"the console ends in a kernel panic and no reset followed for {quiet:.0f} s ({net})",
                )
            return None
        if not self.reset and quiet > max(3 * self.good, self.nets.longest + HANG_MARGIN_SECONDS):
            return self._verdict(
                "hung", f"silent and no reset for {quiet:.0f} s, three times a good run ({self.good:.0f} s)"
            )
        return None

    def _came_back(self, now: float) -> Verdict | None:
        if not self.reset or not self.node.banner():
            return None
        try:
            boot_id = self.node.boot_id()
            dumps = [dump for dump in list_dumps(self.node) if dump["path"] not in self.nets.dumps]
        except LabError:
            return None
        if boot_id == self.nets.boot_id:
            return None
        dump = dumps[-1] if dumps else None
        if dump and dump["complete"]:
            _remember_good_run(self.node, self.reset[0])
        what = "no dump" if not dump else "a complete dump" if dump["complete"] else "an incomplete dump"
        return self._verdict(
            "came_back", f"reset after {self.reset[0]:.0f} s, then a new boot with {what}", boot_id, dump
        )

    def _verdict(
        self,
        verdict: Literal["hung", "came_back", "slow"],
        because: str,
        boot_id: str | None = None,
        dump: dict[str, Any] | None = None,
    ) -> Verdict:
        text = self.node.console_text(self.nets.console)
        lines = [_readable(line) for line in text.splitlines() if _TELLING.search(line)]
        evidence = lines if len(lines) <= 16 else [*lines[:6], *lines[-10:]]
        return Verdict(
            verdict=verdict,
            because=because,
            seconds=round(time.monotonic() - self.start, 1),
            reset_seconds=round(self.reset[0], 1) if self.reset else None,
            reset_reason=self.reset[1] if self.reset else None,
            boot_id_before=self.nets.boot_id,
            boot_id_after=boot_id,
            dump=dump,
            evidence=evidence or tail(text, 8).splitlines(),
        )


def _readable(line: str) -> str:
    """The end of a line that was overwritten in place (a progress bar), and never a very long one."""
    last = re.split(r"\x08|\s{8,}", line.strip())[-1].strip() if len(line) > 200 else line.strip()
    return last[-200:]


def _good_runs() -> dict[str, float]:
    try:
        return dict(json.loads((cache_root() / "good_runs.json").read_text()))
    except (OSError, ValueError):
        return {}


def _good_key(node: Node) -> str:
    return f"{node.spec.accel} {node.spec.flavour}"


def good_run(node: Node) -> float:
    """Seconds from a panic to the reset after a complete dump, as last measured on this machine (or a default)."""
    return _good_runs().get(_good_key(node), _DEFAULT_GOOD_RUN[node.spec.accel])


def _remember_good_run(node: Node, seconds: float) -> None:
    runs = _good_runs()
    # Never below the default: a run on an idle machine must not make the next one on a busy machine "hung".
    runs[_good_key(node)] = max(round(seconds, 1), _DEFAULT_GOOD_RUN[node.spec.accel])
    path = cache_root() / "good_runs.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(runs, indent=1) + "\n")
    fresh.rename(path)
