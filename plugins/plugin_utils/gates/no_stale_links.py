# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a former CNI left is gone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Gate
from ansible_collections.fleetops.kernel.plugins.plugin_utils.gates.answer import Facts, gate, unread

READS = ("links",)
# Seconds. No link outlives its kernel: one that is there after a boot was made again, and nothing takes it away.
TIMEOUT = 60
REMEDY = "the role cilium_migration_cleanup removes what is stale; who made it again has to be stopped first"


def judge(facts: Facts, names: Sequence[str] = ()) -> Gate:
    """None of *names* exists; without names, no link that is provably stale."""
    found = (facts.get("fleetops_links") or {}).get("links")
    if found is None:
        return unread("no_stale_links", facts, "fleetops_links", "links")
    stale, unsure = [], []
    for link in found:
        if names and link["name"] not in names:
            continue
        verdict = True if names else rules.judge(link)["stale"]
        if verdict is None:
            unsure.append(link["name"])
        elif verdict:
            stale.append(link["name"])
    if stale:
        return gate("no_stale_links", False, f"still there: {', '.join(stale)}; {REMEDY}")
    if unsure:
        return gate("no_stale_links", None, f"cannot tell whether these are in use: {', '.join(unsure)}")
    return gate("no_stale_links", True, "no stale link")
