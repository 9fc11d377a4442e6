# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which links did a former network leave behind? Pure."""

from __future__ import annotations

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as link_rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Finding
from ansible_collections.fleetops.kernel.plugins.plugin_utils import readings
from ansible_collections.fleetops.kernel.plugins.plugin_utils.findings.case import (
    HIGH,
    LOW,
    Case,
    finding,
    not_read,
    remedy_of,
)


def stale_link(case: Case) -> list[Finding]:
    links, kernel = case["facts"]["links"], case["facts"]["kernel"]
    if links is None:
        return [not_read("stale-link", "links", "links")]
    if links["links"] is None:
        return [
            finding(
                "stale-link", "links", "unknown", HIGH, f"cannot tell: {readings.why(links, 'links')}", []
            )
        ]
    found = []
    for link in links["links"]:
        verdict = link_rules.judge(link)
        status = "unknown" if verdict["stale"] is None else "affected" if verdict["stale"] else "ok"
        remedy, cure = None, ""
        if status == "affected":
            name = "cilium_migration_cleanup"
            remedy, cure = remedy_of(kernel, name, {f"{name}_links": [link["name"]]})
        reason, severity = verdict["reason"] + cure, verdict["severity"]
        found.append(
            finding("stale-link", link["name"], status, severity, reason, verdict["evidence"], remedy)
        )
    if not found:
        reason = f"none of the {links['total']} links is {link_rules.known_kinds()}"
        found = [finding("stale-link", "links", "ok", LOW, reason, [])]
    return found
