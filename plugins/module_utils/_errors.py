# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one exception of the collection: a sentence with its subject, and the data behind it."""

from __future__ import annotations

from typing import Any


class FleetopsError(Exception):
    """Raised anywhere, turned into ``fail_json`` in one place (:func:`_module.run`).

    *msg* names the value, what was expected and where. *context* holds what a machine may want to
    read as well, for example ``path``, ``argv``, ``rc``, ``stderr``.
    """

    def __init__(self, msg: str, **context: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.context = context

    def as_result(self) -> dict[str, Any]:
        """The arguments of ``AnsibleModule.fail_json``."""
        result: dict[str, Any] = {"msg": self.msg}
        if self.context:
            result["error"] = self.context
        return result


class Unreadable(FleetopsError):
    """A source exists but this user cannot read it, or it cannot be asked: the answer is unknown."""


class Missing(FleetopsError):
    """A source does not exist on this node: for most readings an answer, and not an error."""
