# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every gate answers with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._types import Evidence, Gate

Facts = Mapping[str, Any]


def gate(name: str, passed: bool | None, reason: str, evidence: Sequence[Evidence] = ()) -> Gate:
    return {"name": name, "passed": passed, "reason": reason, "evidence": list(evidence)}


def unread(name: str, facts: Facts, part: str, path: str) -> Gate:
    """Closed, because the reading is missing; with the reader's own reason where it gave one."""
    reader = facts.get(part) or {}
    why = reader.get("unknown", {}).get(path) or ("it was not read" if not reader else "no reason given")
    return gate(name, None, f"cannot tell: {part}.{path} is unknown ({why})")
