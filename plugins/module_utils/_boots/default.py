# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Plans what boots from now on: by a file of ours that grub-mkconfig reads, or in GRUB's environment."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils import _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import environment
from ansible_collections.fleetops.kernel.plugins.module_utils._boots.situation import (
    Plan,
    entry_of,
    written,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bootpin, grub


def by_file(host: Host, params: Mapping[str, Any], plan: Plan) -> None:
    """The site's settings where they lead to this kernel, and else its entry, named by a file of ours."""
    release, platform = params["release"], plan.platform
    path = platform.DEFAULT_DROPIN
    text = _undo.text_of(host, path)
    site = platform.default_of(host, "")
    wanted = None
    if site["release"] != release or (params["pin"] and not grub.holds(site)):
        wanted = bootpin.render(entry_of(host, platform, release), release)
        _refuse_overruled(host, platform, wanted)
    then = platform.default_of(host, wanted or "") if wanted else site
    now = plan.before["default"]
    if wanted != text or now["release"] != release or (grub.holds(then) and not grub.holds(now)):
        if wanted != text:
            plan.restore += [_undo.restore_file(host, path, wanted), {"do": "update_boot_config"}]
            plan.steps.append(written(path, text, wanted))
        plan.steps.append({"do": "update_boot_config"})
        plan.after["default"] = then
        plan.after["pinned"] = bootpin.parse(path, wanted) if wanted else None


def _refuse_overruled(host: Host, platform: Any, text: str) -> None:
    """A file of the site that is read after ours has the last word."""
    other = platform.overruled_by(host, text)
    if other:
        raise FleetopsError(
            f"Nothing was changed: '{other}' is read after '{platform.DEFAULT_DROPIN}' and sets GRUB_DEFAULT again: "
            "take that line out, or give the file a name that sorts before",
            path=other,
        )


def in_environment(host: Host, params: Mapping[str, Any], plan: Plan) -> None:
    """The kernel's entry, named in GRUB's environment, unless that leads to it already."""
    release, platform, now = params["release"], plan.platform, plan.before["default"]
    if params["pin"] and platform.follows_updates(host):
        raise FleetopsError(
            "Nothing was changed: pin cannot hold, since a kernel that is installed makes itself the default here "
            f"({platform.follows_updates(host)}): set UPDATEDEFAULT=no",
            path=platform.KERNEL_SETTINGS,
        )
    if now["release"] == release and (grub.holds(now) or not params["pin"]):
        return
    entry, old = entry_of(host, platform, release), platform.saved_entry(host)
    then = platform.default_of(host, entry)
    if then["release"] != release or not grub.holds(then):
        raise FleetopsError(
            f"Nothing was changed: GRUB would not boot what its environment names, but {then['release']} "
            f"({then['because']}): set GRUB_DEFAULT=saved in /etc/default/grub, and run grub2-mkconfig"
        )
    name = platform.SAVED_ENTRY
    plan.restore.append(environment.put_back(host, platform, name, old, entry))
    plan.steps.append({"do": "run", "argv": platform.edit_environment(host, "set", f"{name}={entry}")})
    plan.after["default"] = then
