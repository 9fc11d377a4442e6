# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Begins, ends, pauses and shows a rollout, on the controller alone: no connection is opened."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host as Files
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Step
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, plan, records, target
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout import (
    estimate,
    hosts,
    ledger,
    lock,
    progress,
    settings,
    table,
    waves,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.rollout.state import (
    DONE,
    FAILED,
    FINISHED,
    HELD,
    State,
    replay,
)

STOPPED = "stopped"
# The group in which the playbook rollout keeps the order of the nodes.
ORDERED = "fleetops_rolling"
# How often, and how many seconds apart, the workers of a run are looked at before it is said that none works.
LOOKS, APART = 5, 0.5
# Ledgers of earlier rollouts, beside the one of today.
ASIDE = "rollout-{}.jsonl"
# So many of them are read for how long nodes take; older ones say less of today's.
MEASURED = 20

ARGUMENTS: dict[str, Any] = {
    "ledger": {"type": "path", "required": True},
    "state": {
        "type": "str",
        "choices": ["planned", "finished", "paused", "resumed", "status", "abandoned"],
        "required": True,
    },
    "kind": {"type": "str", "choices": ["remediate", "kernel"], "default": "remediate"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "steps": {"type": "list", "elements": "dict"},
    "goal": {"type": "str", "default": ""},
    "wish": {"type": "dict"},
    "advisories_dirs": {"type": "list", "elements": "path", "default": []},
    "dir": {"type": "path", "default": "./fleetops-report"},
    "why": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """See the module of the same name."""

    # One rollout for all hosts, whatever the task says.
    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what *state* says; an error fails the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        base: Any = self  # what ansible-core leaves untyped
        _validation, arguments = base.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        dry = bool(self._task.check_mode or boolean(variables.get("fleetops_plan_only", False)))
        result["changed"] = False
        try:
            book = ledger.Ledger(arguments["ledger"])
            doing = _DO[arguments["state"]]
            return {**result, **doing(book, arguments, variables, dry)}
        except FleetopsError as error:
            return {**result, "failed": True, **error.as_result()}


def _state_of(book: ledger.Ledger) -> State:
    return replay(book.read()[0])


def _by() -> str:
    who = lock.holder_of(os.getpid())
    return f"{who.user}@{who.node}"


# --- planned -----------------------------------------------------------------------------------------


def _planned(
    book: ledger.Ledger, arguments: Mapping[str, Any], variables: Mapping[str, Any], dry: bool
) -> dict[str, Any]:
    """Judge, order, show, write down; in check mode the ledger is left as it is."""
    before = _state_of(book)
    wanted = settings.settings(variables)
    _check_inventory(arguments["hosts"], variables)
    _check_hooks(wanted)
    abandoned = before.unfinished and boolean(variables.get("fleetops_abandon", False))
    resumes = before.unfinished and not abandoned
    left = {host: "half-way" if before.node(host).status == HELD else "failed" for host in before.left()}
    if resumes:
        _check_there(left, arguments["hosts"])
    judged, about = _judged(arguments, variables, left if resumes else {})
    if resumes:
        _check_same(before, judged, book)
    expected = _expected(book, before, judged, about, wanted)
    made = waves.make(
        judged["steps"],
        about,
        wanted,
        waves.past_of(before) if resumes else None,
        kind=judged["kind"],
        goal=judged["goal"],
        forks=variables.get("ansible_forks"),
        seconds=expected.seconds,
    )
    steps = waves.ordered(judged["steps"], made)
    dark = {host: one["dark"] for host, one in about.items() if one["dark"]}
    path = _write_plan(arguments["dir"], made, steps, judged, dark)
    if not dry and (steps or dark or resumes):
        _check_lock(book)
        _begin(book, before, made, dark, resumes)
    text = table.plan_text(made, steps, judged, about, time.time(), expected.basis)
    Display().display(f"{text}\n\nPlan: {path}")
    return {
        "steps": steps,
        "serial": [len(wave["hosts"]) for wave in made["waves"]] or [1],
        "planned": [step["host"] for step in steps],
        "dark": dark,
        # Those that do not run the kernel that is wanted, and are not brought to it.
        "left_out": {
            host: why
            for host, why in {**judged["skipped"], **judged["held_back"]}.items()
            if judged["kind"] == plan.KERNEL and host not in dark
        },
        "resumed": resumes,
        "path": path,
    }


def _check_inventory(names: Sequence[str], variables: Mapping[str, Any]) -> None:
    """Raise FleetopsError for what the inventory says, and no rollout can keep."""
    if ORDERED in (variables.get("groups") or {}):
        raise FleetopsError(
            f"There is a group '{ORDERED}' already: it is for the order of a rollout, and one ansible-playbook holds "
            "one rollout"
        )
    # Reading hostvars merges all variables of a host: once, and only what is compared is kept.
    kept = {}
    for host in map(str, names):
        of_host = variables["hostvars"][host]
        kept[host] = {name: of_host.get(name) for name in settings.DEFAULTS}
    settings.check_same(kept, variables)


def _check_hooks(wanted: settings.Settings) -> None:
    """An include of a file that is missing takes a node out of the play, and its failure out of the ledger."""
    hooks = {"fleetops_before_node": wanted["before_node"], "fleetops_after_node": wanted["after_node"]}
    missing = [f"{name}: '{path}'" for name, path in hooks.items() if path and not os.path.isfile(path)]
    if missing:
        raise FleetopsError(f"These task files do not exist on the controller: {', '.join(missing)}")


def _judged(
    arguments: Mapping[str, Any], variables: Mapping[str, Any], left: Mapping[str, str]
) -> tuple[plan.Plan, dict[str, hosts.Host]]:
    """What is to be done, and what the order depends on."""
    names: list[str] = [str(host) for host in arguments["hosts"]]
    if not names:
        raise FleetopsError("There is no host to plan for: the pattern, or --limit, matches none")
    hostvars = variables["hostvars"]
    if arguments["steps"] is not None:
        return _given(arguments, hostvars, names, left)
    catalogue = advisories.load(arguments["advisories_dirs"])
    found = records.collect(hostvars, names, catalogue)
    judged = (
        plan.make_kernel(found, arguments["wish"] or _wish_of_the_play(variables), catalogue, left)
        if arguments["kind"] == plan.KERNEL
        else plan.make(found, left)
    )
    return judged, hosts.hosts_of(found, lock.boot_id())


def _wish_of_the_play(variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """The kernel that variables of the play name, which ``hostvars`` lacks; None where each host has its own."""
    own = variables["hostvars"][variables["inventory_hostname"]]
    wish = {name: variables[name] for name in target.NAMES if variables.get(name) not in (None, "")}
    return wish if any(own.get(name) != value for name, value in wish.items()) else None


def _given(
    arguments: Mapping[str, Any], hostvars: Mapping[str, Any], names: Sequence[str], left: Mapping[str, str]
) -> tuple[plan.Plan, dict[str, hosts.Host]]:
    """Steps that somebody else judged; of the hosts only zone and reachability are known."""
    about: dict[str, hosts.Host] = {}
    for name in sorted(names, key=records.natural):
        of_host = hostvars[name]
        look = records.plain(of_host.get(records.LOOK)) or {}
        dark = str(look.get("msg") or "it could not be reached") if look.get("unreachable") else ""
        about[name] = {
            "zones": records.zones_of(of_host),
            "hardware": "",
            "release": None,
            "dark": dark,
            "unhealthy": "",
            "controller": False,
        }
    steps: list[Step] = []
    wanted = {str(step.get("host")): records.plain(step) for step in arguments["steps"]}
    odd = sorted(set(wanted) - set(names))
    if odd:
        raise FleetopsError(f"steps names hosts that are not among the hosts of this play: {', '.join(odd)}")
    for name, one in about.items():
        if name in wanted or name in left:
            step = wanted.get(name, {})
            steps.append(
                {
                    "host": name,
                    "zone": hosts.zone_of(one),
                    "wave": 0,
                    "roles": step.get("roles") or {},
                    "because": [*(step.get("because") or []), *([left[name]] if name in left else [])],
                    "reboot": bool(step.get("reboot")),
                }
            )
    judged: plan.Plan = {
        "kind": arguments["kind"],
        "goal": arguments["goal"],
        "steps": steps,
        "skipped": {},
        "held_back": {},
        "idle": {},
    }
    return judged, about


def _check_there(left: Mapping[str, str], names: Sequence[str]) -> None:
    """What an earlier run left is taken up first; nobody shall forget it by --limit."""
    away = {host: what for host, what in left.items() if host not in {str(name) for name in names}}
    if away:
        raise FleetopsError(
            f"An earlier run of this rollout left hosts that are not among those of this play: {_list(away)}. Widen "
            "--limit, or put them back into the inventory; or give the rollout up by -e fleetops_abandon=true",
            hosts=sorted(away, key=records.natural),
        )


def _check_same(before: State, judged: plan.Plan, book: ledger.Ledger) -> None:
    known = before.plan or {}
    if (known.get("kind"), known.get("goal")) != (judged["kind"], judged["goal"]):
        raise FleetopsError(
            f"'{book.path}' holds a rollout that is not finished: {known.get('kind')}, '{known.get('goal')}'. "
            f"Now {judged['kind']}, '{judged['goal']}' is wanted. Run the same command again to finish it, or give it "
            "up by -e fleetops_abandon=true",
            path=book.path,
        )


def _check_lock(book: ledger.Ledger) -> None:
    """Raise FleetopsError unless the parent of this worker, ansible-playbook itself, holds the lock of *book*."""
    taken, who = lock.holder(book.path)
    if not taken or who is None or who.pid != os.getppid():
        raise FleetopsError(
            f"This run does not hold the lock of '{book.path}'{f', but {who}' if taken and who else ''}: expected the "
            "filter fleetops.kernel.run_lock in the play's `serial`, with the same path. Variables of the inventory "
            "are not known there: name fleetops_ledger or fleetops_report_dir by -e, or FLEETOPS_LEDGER in the "
            "environment",
            path=book.path,
        )


def _begin(
    book: ledger.Ledger, before: State, made: waves.Rollout, dark: Mapping[str, str], resumes: bool
) -> None:
    """Begin this run in the ledger; a rollout that is over is put aside first."""
    if before.runs and not resumes:
        if before.unfinished:
            book.append({"event": "abandon", "by": _by(), "why": "fleetops_abandon"})
        book.retire(ASIDE.format(before.rollout))
    # So that names sort by time, and two controllers never choose the same.
    run = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    # The parent of this worker is ansible-playbook itself.
    who = lock.holder_of(os.getppid()).as_event()
    book.append(
        {"event": "begin", "run": run, "rollout": before.rollout if resumes else run, **who},
        {"event": "plan", "run": run, "rollout": made, "dark": dark},
    )


def _write_plan(
    folder: str, made: waves.Rollout, steps: Sequence[Step], judged: plan.Plan, dark: Mapping[str, str]
) -> str:
    path = os.path.join(os.path.abspath(folder), "plan.json")
    others = {name: judged[name] for name in ("skipped", "held_back", "idle")}
    document = {"schema": 1, "rollout": made, "steps": steps, "dark": dark, **others}
    Files().write_atomic(path, json.dumps(document, indent=1, sort_keys=True) + "\n", mode=0o600)
    return path


def _expected(
    book: ledger.Ledger,
    before: State,
    judged: plan.Plan,
    about: Mapping[str, hosts.Host],
    wanted: settings.Settings,
) -> estimate.Expected:
    """How long each node may take, from what earlier rollouts took."""
    folder = os.path.dirname(book.path)
    states = [before]
    head, tail = ASIDE.split("{}")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    aside = sorted(name for name in names if name.startswith(head) and name.endswith(tail))
    states += [_old_state(os.path.join(folder, name)) for name in aside[-MEASURED:]]
    hardware = {host: one["hardware"] for host, one in about.items()}
    alike = {
        step["host"]: (hardware[step["host"]], hosts.zone_of(about[step["host"]])) for step in judged["steps"]
    }
    known = estimate.measured(states, hardware)
    return estimate.expected(alike, judged["kind"], known, wanted["node_seconds"])


def _old_state(path: str) -> State:
    """What an earlier ledger says; an old file that is damaged must not stop the run of today."""
    try:
        return _state_of(ledger.Ledger(path))
    except FleetopsError as error:
        Display().warning(f"{error.msg} (its durations are not counted)")
        return State()


# --- finished ----------------------------------------------------------------------------------------


def _finished(
    book: ledger.Ledger, _arguments: Mapping[str, Any], _variables: Mapping[str, Any], dry: bool
) -> dict[str, Any]:
    """Compare what was planned with what is done, as sets; fail unless they are the same."""
    state = _state_of(book)
    run = state.run
    me = os.getppid(), lock.start_of(os.getppid())
    if dry or run is None or (run.holder.get("pid"), run.holder.get("start")) != me:
        nobody: dict[str, Any] = {"done": [], "failed_nodes": {}, "not_attempted": {}, "dark": {}}
        return {"outcome": FINISHED, "outcomes": {}, **nobody}
    planned = state.planned
    nodes = {host: state.node(host) for host in planned}
    failed = {
        host: node.why for host, node in nodes.items() if node.status == FAILED and node.run == state.last
    }
    done = [host for host, node in nodes.items() if node.status == DONE]
    lost = {
        host: "it has its place still: its last task never ended"
        for host, node in nodes.items()
        if node.status == HELD and node.run == state.last
    }
    rest = {host: node.why or "its turn never came" for host, node in nodes.items()}
    rest = {host: why for host, why in rest.items() if host not in {*done, *failed, *lost}}
    outcome = _outcome(state, failed or lost or state.dark, rest)
    book.append({"event": "end", "outcome": outcome, "run": state.last})
    result: dict[str, Any] = {
        "outcome": outcome,
        "outcomes": {
            host: {"status": status, "why": those[host]}
            for status, those in (
                ("done", dict.fromkeys(done, "")),
                ("failed", {**failed, **lost}),
                ("not attempted", rest),
            )
            for host in those
        },
        "done": done,
        "failed_nodes": {**failed, **lost},
        "not_attempted": rest,
        "dark": dict(state.dark),
    }
    said = [
        f"{len(those)} {what}: {_list(those)}"
        for what, those in (
            ("failed", {**failed, **lost}),
            ("not reached when looked at", state.dark),
            ("not attempted", rest),
        )
        if those
    ]
    if said:
        how = {
            "paused": "paused",
            "window": "stopped, since the maintenance window closes",
            STOPPED: "stopped",
        }[outcome]
        result.update(
            failed=True,
            msg=f"The rollout is {how}: {len(done)} of {len(planned)} nodes are done; {'; '.join(said)}. "
            "The same command goes on with it",
        )
    return result


def _outcome(state: State, bad: Mapping[str, Any], rest: Mapping[str, str]) -> str:
    if not bad and not rest:
        return FINISHED
    causes = {state.node(host).cause for host in rest}
    if not bad and causes <= {"paused", "window"}:
        return "paused" if "paused" in causes else "window"
    return STOPPED


def _list(those: Mapping[str, str], most: int = 10) -> str:
    shown = [f"{host} ({why})" for host, why in list(those.items())[:most]]
    return ", ".join(shown) + (f" and {len(those) - most} more" if len(those) > most else "")


# --- from another terminal ---------------------------------------------------------------------------


def _going(book: ledger.Ledger) -> State:
    state = _state_of(book)
    if not state.unfinished:
        raise FleetopsError(f"There is no unfinished rollout in '{book.path}'", path=book.path)
    return state


def _paused(
    book: ledger.Ledger, arguments: Mapping[str, Any], _variables: Mapping[str, Any], dry: bool
) -> dict[str, Any]:
    state = _going(book)
    if not dry and state.paused is None:
        book.append({"event": "pause", "by": _by(), "why": arguments["why"]})
    under_way = state.with_status(HELD, state.last)
    Display().display(
        f"Paused. No other node begins{f'; {len(under_way)} end: {chr(44).join(under_way)}' if under_way else ''}"
    )
    return {"changed": state.paused is None}


def _resumed(
    book: ledger.Ledger, _arguments: Mapping[str, Any], _variables: Mapping[str, Any], dry: bool
) -> dict[str, Any]:
    state = _going(book)
    if not dry and state.paused is not None:
        book.append({"event": "resume", "by": _by()})
    return {"changed": state.paused is not None}


def _abandoned(
    book: ledger.Ledger, arguments: Mapping[str, Any], _variables: Mapping[str, Any], dry: bool
) -> dict[str, Any]:
    state = _going(book)
    taken, who = lock.holder(book.path)
    if taken:
        raise FleetopsError(f"The rollout in '{book.path}' is under way: {who or 'nobody says by whom'}")
    if not dry:
        book.append({"event": "abandon", "by": _by(), "why": arguments["why"] or "no reason given"})
    return {"changed": True, "left": state.left()}


def _status(
    book: ledger.Ledger, _arguments: Mapping[str, Any], _variables: Mapping[str, Any], _dry: bool
) -> dict[str, Any]:
    state = _state_of(book)
    if not state.runs:
        Display().display(f"There is no rollout in '{book.path}'")
        return {"life": "none", "nodes": {}, "gone": []}
    life, sentence, gone = _life(book, state)
    nodes = {}
    for host in dict.fromkeys([*state.planned, *state.nodes]):
        node = state.node(host)
        nodes[host] = {"status": node.status, "stage": node.stage, "since": node.since, "why": node.why}
    alive = life in ("rolling", "ending")
    Display().display(progress.status_text(state, sentence, gone, time.time(), alive))
    return {"life": life, "nodes": nodes, "gone": gone, "outcome": state.run.outcome if state.run else ""}


def _life(book: ledger.Ledger, state: State) -> tuple[str, str, list[str]]:
    """Whether somebody rolls: one word, a sentence, and the nodes whose place no living process holds."""
    run = state.run
    if run is None or run.outcome:
        return "ended", f"The last run ended: {run.outcome if run else '?'}", state.halfway()
    held = state.with_status(HELD)
    taken, who = lock.holder(book.path)
    if not taken:
        return "dead", "The last run died. The same command goes on with it", held
    if who is None or who.alive() is False:
        return "ending", f"The last run died, and its workers still finish their last steps: {who}", []
    mine = state.with_status(HELD, state.last)
    if who.alive() and mine and not any(_works(who.pid) for _look in range(LOOKS)):
        sentence = (
            f"No worker of {who} does anything for the nodes that are under way: one was killed. "
            f"End process {who.pid}, and run the same command again"
        )
        return "stuck", sentence, held
    return "rolling", f"Rolling: {who}", state.halfway()


def _works(pid: int) -> bool:
    working = lock.workers(pid)[1]
    if not working:
        time.sleep(APART)
    return bool(working)


_DO = {
    "planned": _planned,
    "finished": _finished,
    "paused": _paused,
    "resumed": _resumed,
    "status": _status,
    "abandoned": _abandoned,
}
