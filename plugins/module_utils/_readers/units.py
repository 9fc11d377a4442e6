# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Reads which services of systemd run, by one call of systemctl."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import units as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import UnitsFacts

# Facts are to stay under 4 KB: a node has 50 to 100 services.
MOST = 150
PARTS = ("running", "finished", "starting", "failed", "by_hand")


def read(host: Host) -> UnitsFacts:
    """Read once. Nothing here raises: what cannot be read is None, with its reason in ``unknown``."""
    asking = Asking(host)
    found = asking.ask("running", _services, host)
    for part in PARTS:
        if found is None:
            asking.say(part, asking.unknown["running"])
    facts: UnitsFacts = {
        "running": None if found is None else found.running,
        "finished": None if found is None else found.finished,
        "starting": None if found is None else found.starting,
        "failed": None if found is None else found.failed,
        "by_hand": None if found is None else found.by_hand,
        "unknown": asking.unknown,
    }
    return facts


def _services(host: Host) -> rules.Services:
    # A pattern shows the units that systemd has in memory, without the inactive ones (systemctl(1)).
    text = host.run(["systemctl", "show", f"--property={','.join(rules.PROPERTIES)}", "*.service"])
    found = rules.services(text)
    if not (found.running or found.finished):
        raise Unreadable("systemctl shows no service that is active")
    total = sum(map(len, found))
    if total > MOST * 2:
        raise Unreadable(f"there are {total} services, more than the {MOST * 2} that facts can hold")
    return found
