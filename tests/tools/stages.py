# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets one after the other, say how long each took, stop at the first that fails and show why.

    python3 tests/tools/stages.py unit lint molecule:incident

`target:name` stands for `make target SCENARIO=name`. Each stage's output goes to .cache/logs/<stage>.log. The last line
adds up what pytest reported in all of them: `N passed, N failed`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

CHECKOUT = Path(__file__).resolve().parents[2]
LOGS = CHECKOUT / ".cache" / "logs"
HEARTBEAT = 60.0
LIMIT = 3000.0  # seconds a stage may take; what CI cuts off from outside would leave no log
LOG_TAIL = 80
CONSOLE_TAIL = 40
CONSOLES = ("console*", "*.console", "*.serial", "serial*")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s(?: \([\d:]+\))?\s*=*$")


def tail(path: Path, lines: int) -> str:
    """The end of a log, without colours and without reading all of a large one."""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 200 * lines - 4096))
        text = log.read().decode(errors="replace")
    return "\n".join(ANSI.sub("", text).replace("\r", "").rstrip().splitlines()[-lines:])


def counts(path: Path) -> dict[str, int]:
    """What the pytest runs in a log add up to; an error counts as a failure."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for line in ANSI.sub("", path.read_text(errors="replace")).splitlines():
        match = SUMMARY.match(line.strip())
        for number, word in re.findall(r"(\d+) ([a-z]+)", match[1]) if match else ():
            word = "failed" if word in ("error", "errors") else word
            if word in total:
                total[word] += int(number)
    return total


def command(stage: str) -> list[str]:
    """The make command behind a stage."""
    target, scenario = stage.partition(":")[::2]
    return ["make", "--no-print-directory", target, *([f"SCENARIO={scenario}"] if scenario else [])]


def run(stage: str, log: Path) -> tuple[int, float]:
    """One stage, its output into the log, a sign of life on the terminal each minute."""
    # The outer make's flags would make the inner one wait for a job server.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    begun = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command(stage),
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while (took := time.monotonic() - begun) < LIMIT:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(HEARTBEAT), time.monotonic() - begun
                print(f"      {stage} {took + HEARTBEAT:.0f} s: {tail(log, 1)[:120]}", flush=True)
            print(f"      {stage} has run into its limit of {LIMIT:.0f} s", flush=True)
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(HEARTBEAT)
            return 124, time.monotonic() - begun
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise


def explain(stage: str, log: Path) -> None:
    """Why it failed: the end of its log, and of every serial console there is."""
    print(f"\n--- {log.relative_to(CHECKOUT)}, last {LOG_TAIL} lines")
    print(tail(log, LOG_TAIL))
    lab = CHECKOUT / ".lab"
    consoles = {path for pattern in CONSOLES for path in lab.rglob(pattern) if path.is_file()}
    for console in sorted(consoles, key=lambda path: path.stat().st_mtime):
        print(f"\n--- serial console {console.relative_to(CHECKOUT)}, last {CONSOLE_TAIL} lines")
        print(tail(console, CONSOLE_TAIL))
    print(f"\nFAILED: {stage}; again: {' '.join(command(stage))}")


def stop(signum: int, _frame: object) -> NoReturn:
    """Let a signal end the stage that runs, too."""
    sys.exit(128 + signum)


def main(stages: list[str]) -> int:
    """Run them; 0 when all passed."""
    signal.signal(signal.SIGTERM, stop)
    LOGS.mkdir(parents=True, exist_ok=True)
    total = {"passed": 0, "failed": 0, "skipped": 0}
    took = 0.0
    failed = False
    for stage in stages:
        log = LOGS / f"{stage.replace(':', '-')}.log"
        code, seconds = run(stage, log)
        took += seconds
        failed = code != 0
        found = counts(log)
        if failed and not found["failed"]:
            found["failed"] = 1  # the stage itself
        total = {word: total[word] + found[word] for word in total}
        tests = ", ".join(f"{number} {word}" for word, number in found.items() if number)
        print(f"{'FAIL' if failed else 'ok':4}  {stage:20} {seconds:6.1f} s  {tests}", flush=True)
        if failed:
            explain(stage, log)
            break
    print(f"      {'all' if not failed else 'stopped after'} {took:20.1f} s")
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
