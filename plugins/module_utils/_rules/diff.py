# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What ``--diff`` shows. Pure."""

from __future__ import annotations

from typing import Dict


def part(what: str, before: str, after: str) -> Dict[str, str]:
    """One changed thing, cut down to the lines that change.

    The rest of a file is nobody's business here: ``/etc/default/kdump-tools`` can hold a password.
    """
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return {
        "before_header": what,
        "after_header": what,
        "before": "".join(old[head : len(old) - tail]),
        "after": "".join(new[head : len(new) - tail]),
    }
