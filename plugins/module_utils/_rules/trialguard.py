# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The unit that ends a trial boot which nobody confirmed, and the file that has systemd start it. Pure.

It belongs to one kernel: under every other one systemd skips it. So a node whose network is dead, or whose controller
is gone, comes back on the kernel that is its default. It fires once: before it reboots, it takes away what starts it.
"""

from __future__ import annotations

import re

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Trial

UNIT = "fleetops-trial-guard.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
# A file, and not what `systemctl enable` makes: it is taken away the same way as it came, whatever was in between.
WANTS_PATH = "/etc/systemd/system/sysinit.target.d/fleetops-trial-guard.conf"
WANTS = f"# Written by the Ansible module fleetops.kernel.next_boot.\n[Unit]\nWants={UNIT}\n"
# Of units that are loaded: a pattern without any is no error, and a unit whose file is gone can still be one.
RUNNING = "fleetops-trial-guard.*"
# Seconds that an orderly shutdown gets: no unit of a kernel that is no good may hold it up for ever.
_ORDERLY = 90
# Seconds for the guard to be taken off the disk, so that it does not fire in a later boot of this kernel.
_FORGET = 10
# What a release may be made of (Debian Policy, package names and versions): nothing that systemd takes for more.
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*\Z")
_SAID = re.compile(
    r"^ConditionKernelVersion=(?P<release>\S+)$[\s\S]*^ExecStart=.*'sleep (?P<seconds>\d{1,9});", re.MULTILINE
)


def unit(release: str, seconds: int) -> str:
    """The text of the unit. Raises FleetopsError for a release that cannot be one, or seconds that cannot be meant."""
    if not _RELEASE.match(release):
        raise FleetopsError(f"'{release}' is no release of a kernel")
    if not 0 < seconds < 10**9:
        raise FleetopsError(f"guard: {seconds} is no time after which a trial could end: expected seconds")
    # In the background, with a while to be done: a file system that hangs must not keep the node from rebooting.
    command = (
        f"sleep {seconds}; (rm -f {WANTS_PATH}; sync) & sleep {_FORGET}; "
        f"timeout 60 systemctl --no-block reboot; sleep {_ORDERLY}; systemctl reboot -ff"
    )
    return f"""\
# Written by the Ansible module fleetops.kernel.next_boot, which takes it away when the trial is confirmed.
[Unit]
Description=Reboot unless the trial of kernel {release} is confirmed within {seconds} seconds
ConditionKernelVersion={release}
ConditionPathExists=!/proc/vmcore
DefaultDependencies=no
IgnoreOnIsolate=yes

[Service]
Type=simple
ExecStart=/bin/sh -c '{command}'
"""


def parse(text: str) -> Trial:
    """The trial that such a unit ends. Raises FleetopsError for one that is not ours, or was changed."""
    found = _SAID.search(text)
    if found:
        release, seconds = found.group("release"), int(found.group("seconds"))
        if _RELEASE.match(release) and seconds and text == unit(release, seconds):
            return {"release": release, "guard_seconds": seconds}
    raise FleetopsError(f"'{UNIT_PATH}' is not as this collection writes it", path=UNIT_PATH)
