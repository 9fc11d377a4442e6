#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Declare kernel command-line tokens through the boot loader of the platform."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cmdline
short_description: Declare what the kernel command line says
version_added: 0.1.0
description:
  - Declares tokens of the kernel command line, for every kernel of this node that is installed now or later.
  - On Debian and Ubuntu it works through one file of its own, C(/etc/default/grub.d/zz-fleetops.cfg), which
    C(grub-mkconfig) sources last. No other file is touched, so that no later upgrade asks about changed
    configuration files. The file takes tokens out of both C(GRUB_CMDLINE_LINUX) and C(GRUB_CMDLINE_LINUX_DEFAULT),
    wherever the site has put them, and adds the declared ones to C(GRUB_CMDLINE_LINUX_DEFAULT).
  - On RHEL and what is made of it, where GRUB makes its menu of boot loader specification files, it changes the words
    in the file of each entry in C(/boot/loader/entries), or in C(kernelopts) of GRUB's environment where the entries
    name that (release 8), as grubby does. C(/etc/kernel/cmdline) and C(GRUB_CMDLINE_LINUX) in C(/etc/default/grub) are
    changed along where they are there, so that kernels that are installed later get the same. Variables in an entry,
    such as C($tuned_params), stay and count; what they hold is not changed.
  - What was declared by earlier calls stays declared. Where two calls differ, the later one holds.
  - It decides by what the boot loader's configuration says, and by what that configuration would say if it were
    generated now. A run that was killed between the two is noticed and finished.
  - After a change it reads the configuration again. When that does not say what was declared, everything is put back
    and the module fails.
  - The running kernel keeps its command line until the next boot, see RV(reboot_required).
options:
  present:
    description:
      - Tokens that must be there, such as V(panic=30) or V(quiet). Other tokens of the same key may stand beside them.
      - A value with spaces stands in double quotes, as in V(dyndbg="file a.c +p").
    type: list
    elements: str
    default: []
  absent:
    description:
      - Keys or tokens that must not be there. V(quiet) takes out C(quiet) and any C(quiet=...), V(console=tty0) only
        that very token.
    type: list
    elements: str
    default: []
  replace:
    description:
      - Tokens that must be the only ones of their key, such as V(crashkernel=224M). Several tokens of one key are kept
        in the given order.
      - A value of C(crashkernel) is checked against the grammar of the kernel first.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleetops.kernel.attributes
notes:
  - On RHEL and its like this was proved on composed trees with the real grub-editenv. No such machine was booted.
    Refused are there a menu of GRUB's own (openEuler), and machines that are no x86_64 or aarch64 (zipl, petitboot).
  - Recovery entries and hand-written entries of the boot menu are not looked at.
  - C(-) and C(_) are the same in a key, as they are to the kernel.
seealso:
  - module: fleetops.kernel.kdump_cmdline
  - module: fleetops.kernel.undo
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Reserve memory for the capture kernel, and never stay in a panic
  fleetops.kernel.kernel_cmdline:
    replace:
      - crashkernel=224M
    present:
      - panic=30
  register: cmdline

- name: Say whether this node must boot
  ansible.builtin.debug:
    msg: "{{ 'Reboot for: ' ~ cmdline.entries[0].cmdline if cmdline.reboot_required else 'The running kernel has it' }}"

- name: Show every message at boot
  fleetops.kernel.kernel_cmdline:
    absent:
      - quiet
      - splash
"""

RETURN = r"""
entries:
  description:
    - The boot entries that this module looks after, with the command line that each has now. In check mode, the one
      that it would have.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: How the boot loader names the entry.
      type: str
      sample: gnulinux-simple-3ee2d1b1-7ae5-4b53-b8e0-5a6f0c1d2f6e
    title:
      description: How a person sees it.
      type: str
      sample: Debian GNU/Linux
    release:
      description: The kernel that it boots.
      type: str
      sample: 6.1.0-47-cloud-amd64
    cmdline:
      description: The command line.
      type: str
      sample: root=UUID=3ee2d1b1-7ae5-4b53-b8e0-5a6f0c1d2f6e ro quiet crashkernel=224M
reboot_required:
  description: Whether the running kernel was booted with a command line that does not say what was declared.
  returned: success
  type: bool
  sample: true
undo:
  description: The record that M(fleetops.kernel.undo) can put back. V(null) when no file was changed.
  returned: success
  type: str
  sample: 20250102T030405-0001-kernel_cmdline
"""

from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import loader, words
from ansible_collections.fleetops.kernel.plugins.module_utils._boots.words import Change, Entry
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline, crashkernel, diff
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

NAME = "kernel_cmdline"
SPEC: Dict[str, Any] = {
    option: {"type": "list", "elements": "str", "default": []} for option in ("present", "absent", "replace")
}
PROC_CMDLINE = "/proc/cmdline"
BOOT_ENTRIES = "boot entries"
FROM_RUNNING = (
    "There is no '/etc/kernel/cmdline': a kernel that is installed before the next boot gets the words of the running "
    "one, without these"
)


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read what the boot loader reads and what it would become; say what is to do."""
    wanted = check(params)
    platform = _guard.require_platform(host)
    loader.require(host, platform)
    change = words.plan(host, platform, wanted)
    if change.needed:
        words.complain(change.then, wanted, "Nothing was changed", "would not say what was declared")
    pending = bool(cmdline.unmet(cmdline.parse(host.read(PROC_CMDLINE))["tokens"], wanted))
    return Result(
        plan=[{"platform": platform, "change": change, "wanted": wanted}] if change.needed else [],
        returned={
            "entries": [words.shown(entry) for entry in change.then],
            "reboot_required": pending,
            "undo": None,
        },
        diff=differences(change, change.then),
        warnings=[FROM_RUNNING] if change.from_running and pending else [],
    )


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Dict[str, Any]:
    """Write what is to be written, have the menu generated where it has to be, and read it again."""
    (step,) = result.plan
    platform, change = step["platform"], step["change"]
    words.refuse_changed(host, platform, change)
    undo: Optional[Undo] = None
    restore = words.restore(host, platform, change)
    if restore:
        undo = _undo.record(host, NAME, {"entries": [words.shown(entry) for entry in change.now]}, restore)
    try:
        words.take(host, platform, change)
        after = words.verify(host, platform, change, step["wanted"])
    except FleetopsError as error:
        if undo:
            _restore.after_failure(host, undo, error)
        raise
    result.diff = differences(change, after)
    return {
        "entries": [words.shown(entry) for entry in after],
        "undo": undo["id"] if undo else words.written_by(host, change),
    }


def check(params: Mapping[str, Any]) -> cmdline.Declaration:
    """The declaration of a task, every token checked."""
    wanted = cmdline.check_declaration(params["present"], params["absent"], params["replace"])
    for token in wanted["present"] + wanted["replace"]:
        if cmdline.same_key(cmdline.key(token), "crashkernel"):
            crashkernel.check(cmdline.value(token) or "")
    return wanted


def differences(change: Change, after: List[Entry]) -> List[Dict[str, str]]:
    """The files that change, and what the boot entries say."""
    parts = [diff.part(file.path, file.before, file.after) for file in change.files]
    if change.kernelopts:
        parts.append(diff.part(words.KERNELOPTS, *(f"{text}\n" for text in change.kernelopts)))
    return [*parts, diff.part(BOOT_ENTRIES, words.described(change.now), words.described(after))]


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply)


if __name__ == "__main__":
    main()
