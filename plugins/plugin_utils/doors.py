# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a pure function becomes a filter or a test: its errors become Ansible's, its name stays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError


def as_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """*function*, with FleetopsError turned into the error that a template shows."""

    @functools.wraps(function)
    def door(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except FleetopsError as error:
            raise AnsibleFilterError(error.msg) from error

    return door


# ansible-core has no error of its own for tests: its tests raise that of the filters, too.
as_test = as_filter
