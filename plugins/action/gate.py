# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until gates are open: the clock and the looks. Its reason is in `plugin_utils.gates.waiting`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.urls import open_url
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import gates
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates import prometheus_quiet, waiting

ARGUMENTS: dict[str, Any] = {
    "gates": {"type": "list", "elements": "str", "required": True},
    "options": {"type": "dict", "default": {}},
    "before": {"type": "dict"},
    "timeout": {"type": "float", "default": 600},
    "interval": {"type": "float", "default": 10},
    "stable_for": {"type": "float"},
    "lost_after": {"type": "float", "default": 0},
}
# Seconds. A node that dies during a look leaves ssh waiting for a quarter of an hour, and the clock with it.
LONGEST_LOOK = 180
LARGEST_ANSWER = 4 << 20


class _TooLong(BaseException):
    """A look took too long. No Exception: nobody on the way may take it for a failed try, and try again."""


class _Dark(Exception):
    """The node could not be looked at. ``lost``: it did not answer."""

    def __init__(self, why: str, lost: bool) -> None:
        super().__init__(why)
        self.lost = lost


class ActionModule(ActionBase):
    """See the module of the same name."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, until all gates are open, or it is over."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        base: Any = self  # what ansible-core leaves untyped
        _validation, arguments = base.validate_argument_spec(argument_spec=ARGUMENTS)
        self._vars = task_vars or {}
        try:
            wait = self._begin(arguments)
            end = self._until_over(wait)
        except FleetopsError as error:
            return {**result, "failed": True, **error.as_result()}
        now = time.monotonic()
        outcome = wait.outcome(now)
        result["changed"] = False
        result["gates"] = outcome
        result["passed"] = not wait.closed
        result["answers"] = wait.answers
        result["looks"] = wait.looks
        result["seconds"] = round(now - wait.begun, 1)
        why = waiting.failures(outcome)
        if why:
            result["msg"] = f"{self._vars.get('inventory_hostname', 'the node')}: {why}"
            # There is nothing to wait for where nothing was done.
            result["failed"] = not self._task.check_mode
        if end == "lost":
            result["msg"] += f" (it has not answered for {arguments['lost_after']:.0f} s)"
        return result

    def _begin(self, arguments: Mapping[str, Any]) -> waiting.Waiting:
        options = {name: dict(found or {}) for name, found in arguments["options"].items()}
        for name in arguments["gates"]:
            if arguments["before"] is not None and "before" in gates.kind(name).options():
                options.setdefault(name, {}).setdefault("before", arguments["before"])
        return waiting.Waiting(
            arguments["gates"],
            options,
            timeout=arguments["timeout"],
            interval=arguments["interval"],
            stable_for=0 if self._task.check_mode else arguments["stable_for"],
            lost_after=arguments["lost_after"],
            now=time.monotonic(),
        )

    def _until_over(self, wait: waiting.Waiting) -> str:
        parent = os.getppid()
        while True:
            if wait.closed:
                self._look(wait)
            now = time.monotonic()
            end = wait.over(now)
            if end or self._task.check_mode:
                return end
            for line in wait.says(now):
                Display().display(f"[{self._vars.get('inventory_hostname', '?')}] waits for {line}")
            _sleep(wait.pause(now), parent)

    # --- one look --------------------------------------------------------------------------------------

    def _look(self, wait: waiting.Waiting) -> None:
        reads = wait.reads()
        own: dict[str, dict[str, Any]] = {}
        commands = []
        for one in wait.closed:
            asked = gates.kind(one.name).reads
            if "prometheus" in asked:
                own[one.name] = {"prometheus": _ask(one.options)}
            elif "command" in asked and self._task.check_mode:
                own[one.name] = {"command": {"error": "is not run in check mode"}}
            elif "command" in asked and one.options.get("where") == "controller":
                own[one.name] = {"command": _run(one.options)}
            elif "command" in asked:
                commands.append(one)
        parts = [part for part in reads if part not in waiting.ASKED_APART]
        try:
            facts = self._facts(parts) if parts else {}
            for one in commands:
                own[one.name] = {"command": self._command(one.options)}
        except _Dark as dark:
            wait.dark(str(dark), time.monotonic(), own, dark.lost)
            return
        wait.answered(facts, time.monotonic(), own)

    def _facts(self, parts: list[str]) -> Mapping[str, Any]:
        found = self._module("fleetops.kernel.node_facts", {"gather_subset": parts}, LONGEST_LOOK)
        if found.get("failed") or not isinstance(found.get("ansible_facts"), Mapping):
            raise _Dark(f"the look failed: {_words(found)}", lost=False)
        facts: Mapping[str, Any] = found["ansible_facts"]
        return facts

    def _command(self, options: Mapping[str, Any]) -> dict[str, Any]:
        seconds = options.get("seconds", 60)
        try:
            found = self._module("ansible.legacy.command", {"argv": options["argv"]}, seconds)
        except _TooLong:
            return {"error": f"did not end within {seconds:.0f} s"}
        if not isinstance(found.get("rc"), int):
            return {"error": f"could not be run: {_words(found)}"}
        return {name: found.get(name) for name in ("rc", "stdout", "stderr")}

    def _module(self, name: str, arguments: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What a module answers. Raises _Dark for a node that does not."""
        try:
            with _at_most(seconds, self._task.timeout):
                found: dict[str, Any] = self._execute_module(
                    module_name=name, module_args=arguments, task_vars=self._vars
                )
        except _TooLong as error:
            self._forget()
            if name.startswith("ansible."):
                raise
            raise _Dark(f"unreachable: the look did not end within {seconds:.0f} s", lost=True) from error
        except AnsibleConnectionFailure as error:
            self._forget()
            raise _Dark(f"unreachable: {_line(error)}", lost=True) from error
        except AnsibleError as error:
            self._forget()
            raise _Dark(f"the look failed: {_line(error)}", lost=False) from error
        if found.get("unreachable"):
            self._forget()
            raise _Dark(f"unreachable: {_words(found)}", lost=True)
        return found

    def _forget(self) -> None:
        """A connection that broke, and a folder on a node that may have booted since."""
        base: Any = self
        with contextlib.suppress(Exception):
            base._connection.reset()
        base._connection._shell.tmpdir = None


def _words(found: Mapping[str, Any]) -> str:
    return _line(
        found.get("msg") or found.get("module_stderr") or found.get("exception") or "no reason given"
    )


def _line(text: Any) -> str:
    """The last line that says something, without what Ansible puts around it."""
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"


# --- the clock -------------------------------------------------------------------------------------------


def _sleep(seconds: float, parent: int) -> None:
    """Sleep in short pieces. A worker whose parent is gone leaves: nobody will ever hear its answer."""
    end = time.monotonic() + seconds
    while True:
        if os.getppid() != parent:
            os._exit(1)
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(1.0, left))


@contextlib.contextmanager
def _at_most(seconds: float, taken: Any) -> Iterator[None]:
    """Raise _TooLong after so many seconds. A task with a `timeout` has its own alarm, and keeps it."""
    if taken or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: Any) -> None:
        raise _TooLong

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- what is asked from here ---------------------------------------------------------------------------------


def _ask(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers of Prometheus, as they are."""
    place = str(options["url"]).rstrip("/") + "/api/v1/query?"
    return [
        _get(place + urlencode({"query": query}), options) for query in prometheus_quiet.queries(**options)
    ]


def _get(address: str, options: Mapping[str, Any]) -> dict[str, Any]:
    seconds = options.get("seconds", 10)
    try:
        # The time-out of a socket is for each piece: who sends a byte a second would never be done.
        with _at_most(seconds, None):
            answer = open_url(
                address,
                headers=dict(options.get("headers") or {}),
                timeout=seconds,
                ca_path=options.get("ca_path") or None,
                follow_redirects="no",
                http_agent="fleetops.kernel",
            )
            return {"status": answer.code, "body": answer.read(LARGEST_ANSWER).decode("utf-8", "replace")}
    except HTTPError as error:
        body = error.read(LARGEST_ANSWER).decode("utf-8", "replace") if error.fp else ""
        return {"status": error.code, "body": body, "location": error.headers.get("Location")}
    except (_TooLong, TimeoutError):
        return {"error": f"no answer within {seconds:g} s"}
    except URLError as error:
        return {"error": f"no answer: {error.reason}"}
    except (OSError, ValueError, AnsibleError) as error:
        return {"error": f"no answer: {error}"}
    except Exception as error:  # http.client has a dozen of its own, and none may end the wait
        return {"error": f"no answer that can be understood: {type(error).__name__}: {error}"}


def _run(options: Mapping[str, Any]) -> dict[str, Any]:
    """A command on the controller; all that it started ends with its time."""
    seconds = options.get("seconds", 60)
    try:
        process = subprocess.Popen(
            options["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return {"error": f"could not be run: {error}"}
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"error": f"did not end within {seconds:g} s"}
    return {"rc": process.returncode, "stdout": stdout, "stderr": stderr}
