# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables by which a site says what it wants, and what can be meant by them. Pure.

The remedies propose them, the policy judges by them (see `findings.judge`). All are looked at before any rule runs: a
slip of the pen is told of each host that has it, and not only of those that a rule happens to need it for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.plugin_utils import good
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings import kdump, policy

UNSET = (None, "")
EITHER = ("kernel_upgrade_release", "kernel_upgrade_package")


def _size(value: Any) -> None:
    if value == "auto":
        return
    try:
        crashkernel.check(str(value))
    except FleetopsError as error:
        raise FleetopsError(f"crashkernel_size is '{value}': {error.msg}") from error


def _name(name: str, expected: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not isinstance(value, str):
            raise FleetopsError(f"{name} is '{value}': expected {expected}")

    return check


# By name; each raises FleetopsError with the variable, its value, and what was expected.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "crashkernel_size": _size,
    "crashkernel_capture_panic": kdump.seconds_of,
    "kernel_upgrade_release": _name("kernel_upgrade_release", "a release as 'uname -r' shows it"),
    "kernel_upgrade_package": _name("kernel_upgrade_package", "the name of a kernel's package"),
    policy.MINIMUM: policy.minimum_kernels,
    policy.FLAVOURS: policy.allowed_flavours,
    good.POLICY: good.policy_of,
}


def wrong(chosen: Mapping[str, Any]) -> dict[str, str]:
    """What cannot be meant, by the variable: its value, and what was expected."""
    found: dict[str, str] = {}
    for name, check in CHECKS.items():
        if chosen.get(name) in UNSET:
            continue
        try:
            check(chosen[name])
        except FleetopsError as error:
            found[name] = error.msg
    if all(chosen.get(name) not in UNSET for name in EITHER) and not found.keys() & set(EITHER):
        both = " and ".join(f"{name} is '{chosen[name]}'" for name in EITHER)
        found.update(dict.fromkeys(EITHER, f"{both}: expected one of the two"))
    return found


def say(found: Mapping[str, str]) -> str | None:
    """All of them in one sentence; None when there is nothing to say."""
    return "; ".join(dict.fromkeys(found.values())) or None
