# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site's own check: a command whose return code is the answer. Pure; who looks has run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate

READS = ("command",)
LINES = 5  # of the output that are kept, each of at most WIDTH characters
WIDTH = 200


def judge(facts: Facts, argv: Sequence[str] = (), where: str = "node", seconds: float = 60) -> Gate:
    """*argv* ends with 0. *where* it runs: ``node`` or ``controller``. *seconds*: how long one run may take.

    What it printed last is the evidence.
    """
    if not argv or isinstance(argv, str) or not all(isinstance(word, str) for word in argv):
        raise FleetopsError(f"command: argv is {argv!r}, expected a list of words, the program first")
    if where not in ("node", "controller"):
        raise FleetopsError(f"command: where is '{where}', expected node or controller")
    if not isinstance(seconds, (int, float)) or seconds <= 0:
        raise FleetopsError(f"command: seconds is {seconds!r}, expected a number greater than 0")
    name, source = "command", " ".join(argv)
    ran: Any = facts.get("command")
    if not isinstance(ran, dict) or not isinstance(ran.get("rc"), int):
        why = (ran or {}).get("error") if isinstance(ran, dict) else None
        return gate(name, None, f"cannot tell: '{source}' {why or 'was not run'}")
    lines = [line.rstrip() for key in ("stdout", "stderr") for line in str(ran.get(key) or "").splitlines()]
    last = [line[:WIDTH] for line in lines if line][-LINES:]
    evidence: list[Evidence] = [{"source": source, "text": line} for line in last]
    said = f": {last[-1]}" if last else ""
    if ran["rc"] == 0:
        return gate(name, True, f"'{source}' ended with 0{said}", evidence)
    return gate(name, False, f"'{source}' ended with {ran['rc']}{said}", evidence)
