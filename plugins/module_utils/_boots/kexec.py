# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Loads a kernel that ``systemctl kexec`` starts, and unloads it."""

from __future__ import annotations

import json
from typing import Any, List, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils import _kexec, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import guard
from ansible_collections.fleetops.kernel.plugins.module_utils._boots.situation import (
    KEXEC_RECORD,
    Loaded,
    Plan,
    entry_of,
    written,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import boot
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts

KEXEC_DISABLED = "/proc/sys/kernel/kexec_load_disabled"


def load(host: Host, params: Mapping[str, Any], facts: KernelFacts, plan: Plan) -> None:
    """This kernel loaded, with the words of its boot entry."""
    release, platform, before = params["release"], plan.platform, plan.before
    if before["once"]:
        raise FleetopsError(
            f"Nothing was changed: '{before['once']}' is for one boot, and a reset after the kexec would take that: "
            "take it back first (state: cleared)",
            entry=before["once"],
        )
    if _kexec.loaded(host) and before["kexec"] is None:
        raise FleetopsError(
            "Nothing was changed: a kernel is loaded for kexec already, and not by this module: kexec -u unloads it"
        )
    if not any(host.exists(path) for path in boot.KEXEC_TOOLS):
        raise FleetopsError(
            f"Nothing was changed: there is no '{boot.KEXEC_TOOLS[-1]}': install the package {boot.KEXEC_PACKAGE}"
        )
    if (_undo.text_of(host, KEXEC_DISABLED) or "0").strip() != "0":
        raise FleetopsError(f"Nothing was changed: '{KEXEC_DISABLED}' keeps kernels from being loaded")
    image, initrd = platform.boot_image(release)
    wanted: Loaded = {
        "release": release,
        "cmdline": line_of(host, platform, release, params["panic"]),
        "files": {path: [host.size(path), host.mtime(path)] for path in (image, initrd)},
    }
    guard.put(host, params, facts, plan)
    if before["kexec"] != wanted:
        tool = kexec_tool(facts)
        text = json.dumps(wanted, sort_keys=True) + "\n"
        old = _undo.text_of(host, KEXEC_RECORD)
        plan.restore[:0] = [
            {"do": "remove_file", "path": KEXEC_RECORD, "expect": _undo.digest(text)},
            {"do": "run", "argv": [*tool, "-u"]},
        ]
        load = [*tool, "-l", image, f"--initrd={initrd}", f"--command-line={wanted['cmdline']}"]
        plan.steps += [written(KEXEC_RECORD, old, text), {"do": "run", "argv": load}]
        plan.after["kexec"] = wanted


def unload(host: Host, facts: KernelFacts, plan: Plan) -> None:
    """Nothing of ours is loaded for kexec."""
    text = _undo.text_of(host, KEXEC_RECORD)
    plan.steps.append({"do": "run", "argv": [*kexec_tool(facts), "-u"]})
    plan.steps.append(written(KEXEC_RECORD, text, None))
    plan.after["kexec"] = None


def kexec_tool(facts: KernelFacts) -> List[str]:
    """The command, told to leave it to the kernel to verify the image where nothing else is let in."""
    sealed = facts["secure_boot"] is True or facts["lockdown"] in ("integrity", "confidentiality")
    return ["kexec", "-s"] if sealed else ["kexec"]


def line_of(host: Host, platform: Any, release: str, panic: int) -> str:
    """The command line of a kernel's boot entry, which reboots when that kernel panics."""
    identity = entry_of(host, platform, release)
    (words,) = [entry["cmdline"] for entry in platform.boot_entries(host) if entry["id"] == identity][:1]
    said = cmdline.parse(" ".join(words))
    tokens, more = said["tokens"], said["init_args"]
    if panic and not cmdline.panic_timeout(tokens):
        tokens = cmdline.merge(tokens, ["panic"], [f"panic={panic}"])
    return " ".join([*tokens, *([cmdline.INIT_SEPARATOR, *more] if more else [])])
