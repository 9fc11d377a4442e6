# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does a node run the kernel that it is to run, and will it after the next reboot? From its facts alone. Pure.

The archive is not asked here: where only it knows the kernel, the role does so when the node's turn comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import (
    good,
    matching,
    order,
    readings,
    target,
    versions,
)
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

RELEASE, PACKAGE, MINIMUM, FIRST_GOOD = target.NAMES


class Wanted(NamedTuple):
    """By which variable the role kernel_upgrade is told its kernel. ``policy``: for the first good one."""

    name: str
    value: Any
    policy: str = good.NEWEST

    @property
    def words(self) -> str:
        """The same words for the same wish."""
        return {
            RELEASE: f"kernel {self.value}",
            PACKAGE: f"kernel of the package {self.value}",
            MINIMUM: f"kernel {self.value} or newer",
            FIRST_GOOD: f"the first good kernel ({self.policy})",
        }[self.name]


class Need(NamedTuple):
    """``why``: clauses on what is not as wanted, none when all is. ``reboot``: another kernel, or upload, has to start.

    ``release``: the one that is wanted, '' where only the archive knows; ``runs``: the one that runs.
    """

    why: list[str]
    reboot: bool
    release: str
    runs: str


def wanted_of(variables: Mapping[str, Any]) -> Wanted:
    """The one wish among the role's variables. Raises FleetopsError unless there is exactly one."""
    given = {name: variables.get(name) for name in target.NAMES if variables.get(name) not in (None, "")}
    if FIRST_GOOD in given and not target.truth(FIRST_GOOD, given[FIRST_GOOD]):
        del given[FIRST_GOOD]
    if len(given) != 1:
        said = ", ".join(f"{name}: '{value}'" for name, value in given.items()) or "none of them"
        raise FleetopsError(
            f"Name the kernel by exactly one of {', '.join(target.NAMES[:-1])} and {FIRST_GOOD}: got {said}"
        )
    name, value = next(iter(given.items()))
    if name != FIRST_GOOD and not isinstance(value, str):
        raise FleetopsError(f"{name} is '{value}': expected a text")
    policy = good.policy_of(variables.get(good.POLICY) or good.NEWEST)
    return Wanted(name, True if name == FIRST_GOOD else value, policy)


def judge(kernel: Any, wanted: Wanted, advisories: Sequence[Advisory] = ()) -> Need:
    """What of a node is not as *wanted*. Raises FleetopsError, with the reason, where its facts do not tell."""
    runs = _readable(kernel)
    release, why = _aim(kernel, runs, wanted, advisories)
    if why:
        return Need([why], True, release, runs)
    upload = order.newer_upload(kernel) if wanted.name != MINIMUM else None
    found = [f"runs an older upload of {runs} than is installed"] if upload else []
    trial, entry = kernel["trial"], kernel["next_boot"]
    if trial:
        found.append(f"a trial of {trial['release']} is not finished")
    if entry is None:
        if not found:
            raise FleetopsError(
                f"{runs} runs, but what boots next is unknown: {readings.why(kernel, 'next_boot')}"
            )
    elif entry["once"]:
        found.append(f"runs {runs}, but {entry['release']} boots next, for one boot only")
    elif not _will_do(entry["release"], runs, wanted):
        found.append(f"runs {runs}, but {entry['release']} boots next")
    return Need(found, bool(upload), release, runs)


def _readable(kernel: Any) -> str:
    """The release that runs. Raises FleetopsError for a node on which no kernel can be planned."""
    if kernel is None:
        raise FleetopsError("its kernel was not read")
    if kernel["container"]:
        raise FleetopsError(readings.CONTAINER)
    if kernel["release"] is None:
        raise FleetopsError(f"what runs is unknown: {readings.why(kernel, 'release')}")
    if _platform.select(kernel["distro"]) is None:
        raise FleetopsError("kernels cannot be installed on its distribution yet")
    if kernel["installed"] is None:
        raise FleetopsError(f"the installed kernels are unknown: {readings.why(kernel, 'installed')}")
    return str(kernel["release"])


def _aim(kernel: Any, runs: str, wanted: Wanted, advisories: Sequence[Advisory]) -> tuple[str, str]:
    """(the release wanted, or ''; why what runs is not it, or '')"""
    if wanted.name in (RELEASE, PACKAGE):
        release = target.release_wanted(kernel, **{wanted.name.rpartition("_")[2]: wanted.value})
        return release, "" if release == runs else f"runs {runs}, wanted {release}"
    facts = {"fleetops_kernel": kernel}
    short = f"runs {runs}, wanted "
    if wanted.name == MINIMUM:
        # What cannot be compared will not be comparable later either: that is no matter of the archive.
        older = versions.newer_kernel_than(_least(runs, wanted.value), runs)
        short += f"{wanted.value} or newer" + ("" if older else ", whole and named by no advisory")
    else:
        versions.newer_kernel_than(runs, runs)
        short += "the first good kernel"
    try:
        found = target.kernel_target(
            facts,
            minimum=wanted.value if wanted.name == MINIMUM else "",
            first_good=wanted.name == FIRST_GOOD,
            advisories=advisories,
            policy=wanted.policy,
        )
    except FleetopsError:  # none on its disk
        return "", f"{short}, which the archive is asked for when its turn comes"
    if found["release"] == runs:
        return runs, ""
    if wanted.name == MINIMUM:
        return "", short  # a newer one than this may be in the archive
    return found["release"], f"{short}, {found['release']}"


def _least(runs: str, minimum: str) -> str:
    """A minimum may come without the flavour: it is the running one's."""
    try:
        versions.newer_kernel_than(minimum, minimum)
    except FleetopsError:
        return f"{minimum}-{matching.flavour_of(runs)}"
    return minimum


def _will_do(boots: str, runs: str, wanted: Wanted) -> bool:
    if boots == runs or wanted.name != MINIMUM:
        return boots == runs
    try:
        return not versions.newer_kernel_than(_least(runs, wanted.value), boots)
    except FleetopsError:
        return False
