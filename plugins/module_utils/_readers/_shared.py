# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What more than one part of the kernel's facts is read from: each source once, when it is first needed."""

from __future__ import annotations

from functools import cached_property
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import OS_RELEASE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking, said
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import modules as module_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Distro, Modules, Package

RELEASE = "/proc/sys/kernel/osrelease"


class Shared:
    """The sources of one reading. One that cannot be read is None, with its reason in ``asking.unknown``."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.asking = Asking(host)

    @cached_property
    def release(self) -> Optional[str]:
        """The running release."""
        return self.asking.ask("release", lambda: said(self.host, RELEASE).strip())

    @cached_property
    def distro(self) -> Optional[Distro]:
        """Who made this system."""
        return self.asking.ask("distro", distro_of, self.host)

    @cached_property
    def family(self) -> Optional[ModuleType]:
        """What `_platform` has for this distribution."""
        return _platform.select(self.distro)

    @property
    def platform(self) -> ModuleType:
        """The same, for a question that cannot do without. Raises Unreadable."""
        if self.family is None:
            name = self.distro["id"] if self.distro else "unknown"
            raise Unreadable(f"kernels of the distribution '{name}' cannot be read yet")
        return self.family

    @cached_property
    def packages(self) -> Optional[List[Package]]:
        """The installed packages of kernels and of kdump."""
        return self.asking.ask("package", lambda: self.platform.packages(self.host))

    @cached_property
    def image_packages(self) -> Dict[str, Package]:
        """The installed packages that brought a kernel, by its release. Empty also when the packages are unknown."""
        found: Dict[str, Package] = {}
        for package in self.packages or []:
            # The second letter: n, not installed; c, only its configuration is left.
            release = None if package["status"][1:2] in ("n", "c") else self.platform.release_of(package)
            if release:
                found.setdefault(release, package)
        return found

    @cached_property
    def modules(self) -> Optional[Modules]:
        """The loaded modules."""
        return self.asking.ask("modules", _modules, self.host)

    def why(self, path: str) -> str:
        """Why a fact is unknown."""
        return self.asking.unknown.get(path, "no reason given")

    def must_run(self) -> None:
        """Raises Unreadable for the disk of a machine that does not run: its empty /proc and /run prove nothing."""
        if not self.host.exists("/proc/version"):
            raise Unreadable("'/proc' is empty: this is no running machine")


# How a fact is read. Any error in it makes this fact unknown, and no other.
Question = Callable[[Shared], Any]
Facts = Dict[str, Question]


def distro_of(host: Host) -> Distro:
    """Who made a system, from os-release. Raises Missing where there is none."""
    text = host.read_first(OS_RELEASE)
    if text is None:
        raise Missing(f"there is neither '{OS_RELEASE[0]}' nor '{OS_RELEASE[1]}'")
    values = kdump_rules.shell_assignments(text)
    identity = values.get("ID", "linux")  # os-release(5): the default
    return {
        "id": identity,
        "version_id": values.get("VERSION_ID", ""),
        "codename": values.get("VERSION_CODENAME", ""),
        "family": _platform.family_of(identity),
    }


def _modules(host: Host) -> Modules:
    try:
        text = host.read(module_rules.PROC_MODULES)
        if not (text or host.live):
            raise Unreadable(f"'{module_rules.PROC_MODULES}' is empty: nothing loaded, or lost in copying")
        return module_rules.loaded(text)
    except Missing:
        # A kernel that can load modules has this setting, whether any is loaded or not (kernel/module/main.c).
        host.listdir("/proc/sys/kernel")
        if host.exists("/proc/sys/kernel/modules_disabled"):
            raise
        return {"loaded": [], "out_of_tree": []}
