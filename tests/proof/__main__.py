# SPDX-License-Identifier: GPL-3.0-or-later
"""`make proof`: run scenarios on real machines, and write what they saw to docs/proof/<scenario>.json.

    python tests/proof [scenario ...]      resumes: a row that was seen at this state of the code is not run again

Scenarios are the story of the incident, told row by row, and every scenario of a role under molecule/, which is run as
`molecule test` and gives one row per stage and one per test.

docs/proof/README.md is generated from those files; no row is written by hand. A row that is older than the
code it speaks of is shown as stale.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.story import CHECKOUT, Play, Story, StoryError

from lab import Lab, LabError
from lab.detector import Verdict

# What a row speaks of: a later commit that touches one of these makes it stale.
CODE = ("plugins", "roles", "playbooks", "tests/lab", "tests/demo")
DOCS = CHECKOUT / "docs" / "proof"
LINES = 6
# The longest that one molecule scenario may take, in seconds. A trial of a kernel takes two to eight minutes.
LIMIT = 1800
LIMITS = {"kernel_upgrade": 4 * 3600}

Row = tuple[str, Callable[[], Any]]
# Keeps a row: its name, its outcome (held or failed), seconds, the lines that decided.
Note = Callable[[str, str, float, list[str]], None]


def git(*arguments: str) -> str:
    """One git command in the checkout."""
    return subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.strip()


def code_state(scenario: str) -> str:
    """The commit that last touched what the rows speak of, with a mark when the work tree differs from it."""
    paths = [*CODE]
    if scenario in MOLECULE:
        paths += ["molecule/conftest.py", "molecule/shared", f"molecule/{scenario}"]
    dirty = git("status", "--porcelain", "--", *paths)
    return git("log", "-1", "--format=%h", "--", *paths) + ("-dirty" if dirty else "")


def machine() -> str:
    """The machine that the rows were seen on, in a few words."""
    return f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def lines_of(seen: Any) -> list[str]:
    """The lines that decided."""
    if isinstance(seen, Verdict):
        return [f"{seen.verdict}: {seen.because}", *seen.evidence[-LINES:]]
    if isinstance(seen, Play):
        host = next(iter(seen.report.get("hosts", {}).values()), None)
        verdict = (
            [f"{host['on_panic']['outcome']}: {host['on_panic']['because']}"]
            if host and host["on_panic"]
            else []
        )
        return [f"exit code {seen.rc}, changed {seen.changed}", *verdict]
    if isinstance(seen, tuple):
        return [line for part in seen for line in lines_of(part)]
    return [] if seen is None else [str(seen)]


def incident(story: Story) -> Iterator[Row]:
    """The incident of the mission; each row stands on the ones before it."""
    yield "a machine with the incident in it", story.boot
    yield "two stale links and a site's own advisory", story.plant
    yield "the moment that clones resume from", story.freeze
    yield "before: the panic hangs", story.before_crash
    yield "before: assess finds each fault", story.before_assess
    yield "without root: unknown, never fine", story.without_root
    yield "remediate --check --diff changes nothing", story.check_mode
    yield "the comparer behind that notices each kind of change", story.comparer
    yield "panic= alone: the same panic comes back", story.panic_word_alone
    yield "undo brings the links back", story.undo
    yield "control: a reboot alone does not pass for the cure", story.control
    yield "remediate cures all with one reboot", story.cure
    yield "a second run changes nothing", story.second_run
    yield "after: assess says dumps", story.after_assess
    yield "after: the same panic dumps and comes back", story.after_crash
    yield "a dump that was cut is called incomplete", story.cut_dump


TOLD: dict[str, Callable[[Story], Iterator[Row]]] = {"incident": incident}
MOLECULE = sorted({path.parent.name for path in CHECKOUT.glob("molecule/*/molecule.yml")} - set(TOLD))
SCENARIOS = [*TOLD, *MOLECULE]


def prove(scenario: str) -> bool:
    """Run one scenario, writing after each row; True when every row held."""
    path = DOCS / f"{scenario}.json"
    state = code_state(scenario)
    known = json.loads(path.read_text()) if path.exists() else {}
    if (
        known.get("code") == state
        and all(row["outcome"] == "held" for row in known["rows"])
        and known.get("complete")
    ):
        print(f"{scenario}: every row was seen at {state} already")
        return True
    record: dict[str, Any] = {
        "scenario": scenario,
        "code": state,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "complete": False,
        "rows": [],
    }

    def note(name: str, outcome: str, seconds: float, lines: list[str]) -> None:
        seconds = round(seconds, 1)
        lines = [line.replace(f"{CHECKOUT}/", "") for line in lines]  # where it lies is nobody's business
        record["rows"].append({"row": name, "outcome": outcome, "seconds": seconds, "lines": lines})
        print(f"{scenario}: {name}: {outcome} ({seconds} s)", flush=True)
        write(path, record)

    if not (tell if scenario in TOLD else run_molecule)(scenario, note):
        return False
    record["complete"] = True
    write(path, record)
    return True


def tell(scenario: str, note: Note) -> bool:
    """The rows of a story, up to the first that fails."""
    story = Story(f"proof-{scenario}", lambda text: print(f"    ... {text}", flush=True))
    try:
        for name, step in TOLD[scenario](story):
            begun = time.monotonic()
            try:
                outcome, lines = "held", lines_of(step())
            except (StoryError, LabError) as error:
                outcome, lines = (
                    "failed",
                    [str(error), *str(getattr(error, "detail", "")).splitlines()[-LINES:]],
                )
            note(name, outcome, time.monotonic() - begun, lines)
            if outcome == "failed":
                return False
        return True
    finally:
        Lab(story.lab).down()


def run_molecule(scenario: str, note: Note) -> bool:
    """`molecule test` of one scenario: a row for each stage, and for `verify` one for each test."""
    programs = Path(sys.executable).parent
    log = CHECKOUT / ".lab" / f"proof-{scenario}.log"
    log.parent.mkdir(exist_ok=True)
    junit = log.with_suffix(".xml")
    junit.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "MOLECULE_COMMAND_BORDERS": "false",
        "PYTEST_ADDOPTS": f"--color=no --junitxml={junit} -o junit_logging=system-out",
    }
    process = subprocess.Popen(
        [str(programs / "molecule"), "test", "-s", scenario],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(LIMITS.get(scenario, LIMIT), os.killpg, (process.pid, signal.SIGTERM))
    watchdog.start()
    held, tested, begun, ended = True, False, time.monotonic(), False
    try:
        assert process.stdout
        for stage in stages(kept(process.stdout, log), scenario):
            if stage.name == "verify" and junit.exists():
                rows = list(tests(junit))
                tested = bool(rows)
            elif stage.name == "destroy" and stage.outcome == "held":
                rows = []
            else:
                rows = [(stage.name, stage.outcome, stage.seconds, stage.lines)]
            for row in rows:
                held = held and row[1] == "held"
                note(*row)
        ended = process.wait() >= 0
        if held and (process.returncode or not tested):  # outside of its stages, or nothing was proved
            held = False
            note("molecule", "failed", time.monotonic() - begun, log.read_text().splitlines()[-LINES:])
        return held
    finally:
        watchdog.cancel()
        if not ended:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            destroy = [str(programs / "molecule"), "destroy", "-s", scenario]
            subprocess.run(destroy, cwd=CHECKOUT, env=environment, check=False, timeout=300)


def kept(output: Iterable[str], log: Path) -> Iterator[str]:
    """The lines of a program without colours, kept in a file as they come."""
    with log.open("w") as file:
        for raw in output:
            line = re.sub(r"\x1b\[[0-9;]*m", "", raw).rstrip()
            print(line, file=file, flush=True)
            yield line


@dataclass
class Stage:
    """One stage of `molecule test`, as its output shows it."""

    name: str
    outcome: str
    seconds: float
    lines: list[str]


def stages(output: Iterable[str], scenario: str) -> Iterator[Stage]:
    """The stages, each when its end is announced. What decided: Ansible's recap, or the lines before a failure."""
    marker = re.compile(rf"\b{re.escape(scenario)} \S+ (\w+)[\]:]+ (Executing$|Executed: )(.*)")
    running, begun = "", 0.0
    seen: list[str] = []
    for line in output:
        found = marker.search(line)
        if found is None:
            seen.append(line)
        elif found[2] == "Executing":
            running, begun, seen = found[1], time.monotonic(), []
        elif found[1] == running:  # molecule says it all again at its end
            running = ""
            if not found[3].startswith("Missing playbook"):
                held = found[3].startswith("Successful")
                recap = [text for text in seen if re.match(r"\S+ +: ok=\d", text)]
                lines = recap if held else [text for text in seen if text][-LINES:]
                yield Stage(
                    found[1],
                    "held" if held else "failed",
                    time.monotonic() - begun,
                    [re.sub(r" +", " ", text) for text in lines],
                )


def tests(junit: Path) -> Iterator[tuple[str, str, float, list[str]]]:
    """A row for each test: what it printed, or why it failed."""
    for case in ET.parse(junit).iter("testcase"):
        bad = next(
            (case.find(tag) for tag in ("failure", "error", "skipped") if case.find(tag) is not None), None
        )
        text = bad.get("message", "") if bad is not None else case.findtext("system-out", "")
        lines = [line for line in text.splitlines() if line.strip() and not re.match(r"-+ .* -+$", line)]
        name = re.sub(r"\[(?:ansible|paramiko|ssh)://[^\]-]*-?([^\]]*)\]$", r"[\1]", case.get("name", "?"))
        words = name.removeprefix("test_").removesuffix("[]").replace("_", " ")
        yield words, "held" if bad is None else "failed", float(case.get("time", "0")), lines[:LINES]


def write(path: Path, record: dict[str, Any]) -> None:
    """A scenario's file, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(record, indent=1) + "\n")
    fresh.rename(path)


def table() -> str:
    """The table of all scenarios, generated from their files."""
    parts = [
        "# Proof\n\nGenerated by `make proof` from the JSON files beside it; no row is written by hand.\n"
    ]
    for path in sorted(DOCS.glob("*.json")):
        record = json.loads(path.read_text())
        now = code_state(record["scenario"])
        stale = "" if record["code"] == now else f" **Stale:** the code is at {now} by now."
        parts.append(f"\n## {record['scenario']}\n")
        parts.append(f"Seen on {record['date']} at {record['code']}, on {record['machine']}.{stale}\n")
        parts.append("| row | outcome | seconds | what decided |\n|---|---|---|---|")
        for row in record["rows"]:
            what = "<br>".join(line.replace("|", "\\|") for line in row["lines"])
            parts.append(f"| {row['row']} | {row['outcome']} | {row['seconds']} | {what} |")
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    """Run the scenarios that are named, or all of them."""
    wrong = [name for name in arguments if name not in SCENARIOS]
    if wrong:
        print(f"no scenario {', '.join(wrong)}: there is {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    held = [prove(name) for name in arguments or SCENARIOS]
    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "README.md").write_text(table())
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
