# SPDX-License-Identifier: GPL-3.0-or-later
"""`make proof`: run scenarios on real machines, and write what they saw to docs/proof/<scenario>.json.

    python tests/proof [scenario ...]      resumes: a row that was seen at this state of the code is not run again

docs/proof/README.md is generated from those files; no row is written by hand. A row that is older than the
code it speaks of is shown as stale.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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

Row = tuple[str, Callable[[], Any]]


def git(*arguments: str) -> str:
    """One git command in the checkout."""
    return subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.strip()


def code_state() -> str:
    """The commit that last touched what the rows speak of, with a mark when the work tree differs from it."""
    dirty = git("status", "--porcelain", "--", *CODE)
    return git("log", "-1", "--format=%h", "--", *CODE) + ("-dirty" if dirty else "")


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


SCENARIOS: dict[str, Callable[[Story], Iterator[Row]]] = {"incident": incident}


def prove(scenario: str) -> bool:
    """Run one scenario, writing after each row; True when every row held."""
    path = DOCS / f"{scenario}.json"
    state = code_state()
    known = json.loads(path.read_text()) if path.exists() else {}
    if (
        known.get("code") == state
        and all(row["outcome"] == "held" for row in known["rows"])
        and known.get("complete")
    ):
        print(f"{scenario}: every row was seen at {state} already")
        return True
    story = Story(f"proof-{scenario}", lambda text: print(f"    ... {text}", flush=True))
    record: dict[str, Any] = {
        "scenario": scenario,
        "code": state,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "complete": False,
        "rows": [],
    }
    try:
        for name, step in SCENARIOS[scenario](story):
            begun = time.monotonic()
            try:
                outcome, lines = "held", lines_of(step())
            except (StoryError, LabError) as error:
                outcome, lines = (
                    "failed",
                    [str(error), *str(getattr(error, "detail", "")).splitlines()[-LINES:]],
                )
            seconds = round(time.monotonic() - begun, 1)
            record["rows"].append({"row": name, "outcome": outcome, "seconds": seconds, "lines": lines})
            print(f"{scenario}: {name}: {outcome} ({seconds} s)", flush=True)
            write(path, record)
            if outcome == "failed":
                return False
        record["complete"] = True
        write(path, record)
        return True
    finally:
        Lab(story.lab).down()


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
    now = code_state()
    for path in sorted(DOCS.glob("*.json")):
        record = json.loads(path.read_text())
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
