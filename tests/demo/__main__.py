# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: tells the incident on the terminal as it happens, on a real machine."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.story import STALE, Play, Story, StoryError
from lab import Lab, LabError
from lab.detector import Verdict
from lab.host import listen

# Without a terminal, a line of progress this often (seconds); on one, the line is rewritten as it comes.
PROGRESS_INTERVAL = 20.0
WIDTH = 100


class Narrator:
    """One line per step with its seconds; while it waits, what it waits for."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.start = time.monotonic()
        self.number = 0
        self.lock = threading.Lock()
        self.shown = 0.0
        self.width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)

    def line(self, text: str = "") -> None:
        """A line that stays."""
        with self.lock:
            print(("\r\033[K" if self.terminal else "") + text, flush=True)

    def progress(self, text: str) -> None:
        """What is being waited for."""
        with self.lock:
            now = time.monotonic()
            text = f"      ... {now - self.start:4.0f} s  {' '.join(text.split())}"[: self.width - 1]
            if self.terminal:
                print(f"\r\033[K{text}", end="", flush=True)
            elif now - self.shown > PROGRESS_INTERVAL:
                self.shown = now
                print(text, flush=True)

    def detail(self, *lines: str) -> None:
        """Something that was read, below its step."""
        for text in lines:
            for part in text.splitlines():
                self.line(f"      | {part}")

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step of the story."""
        self.number += 1
        number, begun = self.number, time.monotonic()
        if not self.terminal:
            self.line(f"{number:3}  {text}")
        else:
            self.progress(text)
        yield
        seconds = f"{time.monotonic() - begun:6.1f} s"
        label = text if self.terminal else "done"
        self.line(f"{number:3}  {label} {'.' * max(3, self.width - 8 - len(label) - len(seconds))} {seconds}")

    def pair(self, one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
        """Two machines at a time: more only share the cores."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(one), pool.submit(other)]
            return futures[0].result(), futures[1].result()


def verdict_line(seen: Play, host: str = "n1") -> str:
    """The sentence that operators lack."""
    on_panic = seen.host(host)["on_panic"]
    return f"if this node panics now, it {on_panic['outcome'].upper()}: {on_panic['because']}"


def tell(story: Story, say: Narrator) -> None:
    """The whole story; raises StoryError or LabError where it breaks."""
    with (
        say.step("assess this very machine, while the lab's machine starts"),
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        booting = pool.submit(story.boot)
        say.detail(verdict_line(story.play("assess", None), "localhost"))
        manifest = booting.result()
    say.detail(
        f"n1 runs {manifest['old']['release']}; {manifest['new']['release']} is in its package lists, not on its disk"
    )

    with say.step("plant: kube-ipvs0 and flannel.1 without their makers, an advisory of the site's own"):
        story.plant()
    with say.step("keep this moment, memory and disk: every clone below resumes from it"):
        story.freeze()

    with say.step("BEFORE: a real panic on a throw-away clone; meanwhile: assess, with root and without"):
        crash, (assessed, blind) = say.pair(
            story.before_crash, lambda: (story.before_assess(), story.without_root())
        )
    say.detail(*console(crash))
    say.line("      assess, as the operator sees it:")
    say.detail(*report_of(assessed))
    say.detail(f"without root: {len(blind.open())} of its answers are unknown, each with that reason")

    with say.step("remediate --check --diff on a clone; on another, panic= alone and the same panic"):
        check, alone = say.pair(story.check_mode, story.panic_word_alone)
    say.detail(f"check mode announced {check[0].changed} changes, and the machine is as it was")
    say.detail(*console(alone[1]))

    with say.step("undo on a clone; on another, the control: only a reboot"):
        restored, control = say.pair(story.undo, story.control)
    say.detail(f"undo brought back {', '.join(restored)}, attribute for attribute", control)

    with say.step("remediate: every fault, one reboot"):
        ticking = threading.Event()
        clock = threading.Thread(
            target=tick, args=(say, ticking, "remediate runs (a real kernel is installed)")
        )
        clock.start()
        try:
            cured, reboots = story.cure()
        finally:
            ticking.set()
            clock.join()
    say.detail(*report_of(cured, last=True))
    with say.step("remediate again: nothing to do"):
        story.second_run()
    with say.step("AFTER: assess"):
        after = story.after_assess()
    say.detail(verdict_line(after))
    with say.step("the same panic, the same detector"):
        came_back = story.after_crash()
    say.detail(*console(came_back))
    with say.step("the dump's end marker; the same dump cut by a mebibyte"):
        found = story.cut_dump()
    say.detail(*(f"{path}: {'complete' if whole else 'incomplete'}" for path, whole in sorted(found.items())))
    table(say, assessed, crash, reboots, after, came_back)


def tick(say: Narrator, stop: threading.Event, text: str) -> None:
    """Progress for what has none of its own."""
    while not stop.wait(2):
        say.progress(text)


def console(verdict: Verdict) -> list[str]:
    """What the detector says and the console lines that decided."""
    return [
        f"{verdict.verdict.replace('_', ' ').upper()} ({verdict.seconds:.0f} s): {verdict.because}",
        *verdict.evidence,
    ]


def report_of(seen: Play, last: bool = False) -> list[str]:
    """The first report within a playbook's output, or the last."""
    task = "TASK [fleetops.kernel.fleet_report : Report]"
    start = seen.text.rfind(task) if last else seen.text.find(task)
    body = seen.text[start:].partition("\n")[2].partition("\nReport: ")[0]
    return [line for line in body.splitlines() if line.strip()]


def table(say: Narrator, before: Play, crash: Verdict, reboots: int, after: Play, back: Verdict) -> None:
    """Before and after, side by side."""

    def row(name: str, one: object, other: object) -> None:
        say.line(f"  {name:<22} {one!s:<36} {other!s}")

    def facts(seen: Play) -> dict[str, Any]:
        found: dict[str, Any] = seen.host()["facts"]
        return found

    def links(seen: Play) -> str:
        names = [link["name"] for link in facts(seen)["fleetops_links"]["links"] if link["name"] in STALE]
        return ", ".join(names) or "none"

    say.line()
    row("", "before", "after")
    row("-" * 22, "-" * 36, "-" * 36)
    row("kernel", *(facts(seen)["fleetops_kernel"]["release"] for seen in (before, after)))
    row(
        "reserved",
        *(f"{facts(seen)['fleetops_kdump']['reservation']['bytes'] >> 20} MiB" for seen in (before, after)),
    )
    row(
        "capture kernel panic=",
        *(facts(seen)["fleetops_kdump"]["capture"]["panic"] or "none" for seen in (before, after)),
    )
    row("stale links", links(before), links(after))
    row("open findings", len(before.open()), len(after.open()))
    row("assess: on a panic it", *(seen.host()["on_panic"]["outcome"] for seen in (before, after)))
    row("a real panic", *(verdict.verdict.replace("_", " ") for verdict in (crash, back)))
    row("dump", "none", f"{back.dump['bytes'] >> 20} MiB, complete" if back.dump else "none")
    row("reboots by remediate", "", reboots)


def main() -> int:
    """Run the story; 0 when every claim held."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--lab", default="demo", help="name of the lab")
    parser.add_argument("--keep", action="store_true", help="leave the machine running")
    parser.add_argument(
        "--steps", nargs="+", metavar="STEP", help="only these methods of Story, without the telling"
    )
    options = parser.parse_args()
    say = Narrator()
    listen(lambda text: say.line(f"      {text}"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    story = Story(options.lab, say.progress, None if options.keep else os.getpid())
    if options.steps:
        for step in options.steps:
            with say.step(step):
                getattr(story, step)()
        return 0
    say.line("The incident, replayed on a real virtual machine, and cured.")
    say.line()
    try:
        tell(story, say)
    except (StoryError, LabError) as error:
        say.line(f"STOPPED after {time.monotonic() - say.start:.0f} s: {error}")
        say.detail(getattr(error, "detail", "") or "")
        return 1
    finally:
        if not options.keep:
            Lab(options.lab).down()
    say.line()
    say.line(f"All of it took {time.monotonic() - say.start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
