# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The one file of ours that names the entry that boots from now on, sourced by grub-mkconfig. Pure."""

from __future__ import annotations

import json
import re

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import BootPin

_MARK = "# fleetops-boots: "
# grub-mkconfig puts it between double quotes, in which GRUB expands variables, and a shell reads it before.
_PLAIN = re.compile(r"[\w.>+~@%:/=,()-]+\Z")


def render(entry: str, release: str) -> str:
    """The text of the file. Raises FleetopsError for an id that the shell or GRUB would not take as it stands."""
    if not _PLAIN.match(entry):
        raise FleetopsError(
            f"The boot entry '{entry}' cannot be named in a shell's file: only letters, digits and .>+~@%:/=,()- can"
        )
    said = json.dumps({"entry": entry, "release": release}, sort_keys=True)
    return (
        "# Written by the Ansible module fleetops.kernel.next_boot, which takes it away again. While it is here, no\n"
        "# kernel that is installed later boots by itself.\n"
        f"{_MARK}{said}\nGRUB_DEFAULT='{entry}'\n"
    )


def parse(path: str, text: str) -> BootPin:
    """What such a file names. Raises FleetopsError for one that is not ours, or was changed."""
    for line in text.splitlines():
        if line.startswith(_MARK):
            try:
                said = json.loads(line[len(_MARK) :])
                entry, release = str(said["entry"]), str(said["release"])
            except (ValueError, KeyError, TypeError):
                break
            if text == render(entry, release):
                return {"path": path, "entry": entry, "release": release}
    raise FleetopsError(f"'{path}' is not as this collection writes it", path=path)
