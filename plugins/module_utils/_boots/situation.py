# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What decides what boots next, read, compared and shown; and the plan to change it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, List, Optional, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import boot
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import diff, grub
from ansible_collections.fleetops.kernel.plugins.module_utils._types import BootPin, NextBoot, Trial

# What was loaded leaves no trace in the kernel. Gone after a boot, as what was loaded is.
KEXEC_RECORD = "/run/fleetops/kexec.json"


class Loaded(TypedDict):
    """What we have loaded for kexec. ``files``: size and time of each, by its path."""

    release: str
    cmdline: str
    files: Dict[str, List[float]]


class Situation(TypedDict):
    """Everything that decides what boots."""

    default: NextBoot
    once: str
    kexec: Optional[Loaded]
    pinned: Optional[BootPin]
    trial: Optional[Trial]


@dataclasses.dataclass
class Plan:
    """Steps as in an undo record, with ``before`` where one writes a file; what takes them back; and what comes out."""

    platform: Any
    steps: List[Dict[str, Any]]
    restore: List[Dict[str, Any]]
    before: Situation
    after: Situation


def read(host: Host, platform: Any) -> Situation:
    """As it is now."""
    return {
        "default": platform.next_boot(host, once=""),
        "once": platform.pending_boot(host),
        "kexec": loaded(host),
        "pinned": boot.pinned(host, platform),
        "trial": boot.trial(host),
    }


def loaded(host: Host) -> Optional[Loaded]:
    """What we have loaded for kexec, None when nothing, or when somebody else has."""
    text = _undo.text_of(host, KEXEC_RECORD) if _kexec.loaded(host) else None
    if text is None:
        return None
    try:
        said = json.loads(text)
        return {
            "release": str(said["release"]),
            "cmdline": str(said["cmdline"]),
            "files": dict(said["files"]),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise FleetopsError(
            f"'{KEXEC_RECORD}' is not as this module writes it: {error}", path=KEXEC_RECORD
        ) from error


def complain(wanted: Situation, found: Situation) -> None:
    """Raise when something else came about than was planned. What the default is called may differ, if it stays put.

    The context has ``boots``, the release that would have been the default.
    """
    for what, value in lines(wanted).items():
        if what == "default":
            ok = wanted["default"]["release"] == found["default"]["release"]
            ok = ok and grub.holds(wanted["default"]) <= grub.holds(found["default"])
        else:
            ok = value == lines(found)[what]
        if not ok:
            raise FleetopsError(
                f"It was set, but did not come about: {what}: {lines(found)[what]}, and not {value}",
                boots=found["default"]["release"],
                wanted=described(wanted).splitlines(),
                found=described(found).splitlines(),
            )


def shown(now: Situation) -> Dict[str, Any]:
    """As it is returned."""
    image = now["kexec"]
    return {
        "default": now["default"],
        "once": now["once"],
        "kexec": image and {"release": image["release"], "cmdline": image["cmdline"]},
        "pinned": now["pinned"],
        "trial": now["trial"],
        "undo": None,
    }


def lines(now: Situation) -> Dict[str, str]:
    """As a diff shows it."""
    image, pin, trial = now["kexec"], now["pinned"], now["trial"]
    return {
        "default": f"{now['default']['release']} ({now['default']['because']})",
        "for one boot": now["once"] or "none",
        "loaded for kexec": f"{image['release']}: {image['cmdline']}" if image else "none",
        "pinned by us": pin["entry"] if pin else "no",
        "on trial": f"{trial['release']}, for {trial['guard_seconds']} seconds" if trial else "none",
    }


def described(now: Situation) -> str:
    """The same as a text."""
    return "".join(f"{what}: {value}\n" for what, value in lines(now).items())


def differences(plan: Plan, after: Situation) -> List[Dict[str, str]]:
    """What boots, and the files that say so."""
    files = [
        diff.part(step["path"], step["before"] or "", step["text"] or "")
        for step in plan.steps
        if "before" in step and step["path"] != KEXEC_RECORD
    ]
    return [diff.part("what boots", described(plan.before), described(after)), *files]


def entry_of(host: Host, platform: Any, release: str) -> str:
    """The id path of a kernel's own entry."""
    entries = platform.boot_entries(host)
    found = grub.entry_of(entries, release)
    if found is None:
        known = sorted({entry["release"] for entry in entries if entry["release"]})
        raise FleetopsError(
            f"Nothing was changed: the boot loader's menu has no entry of its own, with an id, for {release}. It has "
            f"entries for {', '.join(known) or 'no kernel'}",
            releases=known,
        )
    return found["id"]


def written(path: str, before: Optional[str], text: Optional[str]) -> Dict[str, Any]:
    """The step that writes a file, or takes it away where there is no text."""
    return {"do": "write", "path": path, "before": before, "text": text}
