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
  - What was declared by earlier calls stays declared. Where two calls differ, the later one holds.
  - It decides by what the boot loader's generated configuration says, and by what that configuration would say if
    it were generated now. A run that was killed between the two is noticed and finished.
  - After a change it reads the generated configuration again. When that does not say what was declared, everything
    is put back and the module fails.
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

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import (
    cmdline,
    crashkernel,
    diff,
    grubdefault,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Undo

NAME = "kernel_cmdline"
SPEC: Dict[str, Any] = {
    option: {"type": "list", "elements": "str", "default": []} for option in ("present", "absent", "replace")
}
PROC_CMDLINE = "/proc/cmdline"
BOOT_ENTRIES = "boot entries"
GRUB_DEFAULTS = "/etc/default/grub"
GRUB_DEFAULTS_MORE = "/etc/default/grub.d/*.cfg"
# COMMAND_LINE_SIZE of x86 and arm64 (arch/*/include/uapi/asm/setup.h), with its final NUL: what is longer is cut.
LONGEST = 2047


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read the generated configuration and what it would become; say what is to do."""
    wanted = check(params)
    platform = _guard.require_platform(host, "crashkernel")
    now = entries(host, platform)
    running = cmdline.parse(host.read(PROC_CMDLINE))["tokens"]
    path = platform.CMDLINE_DROPIN
    text = _undo.text_of(host, path) or ""
    variables = evaluate(host, path, text)

    new_text, then = text, predict(now, variables, variables)
    if unmet(then, wanted):
        new_text = grubdefault.render(grubdefault.declare(declared(path, text), outstanding(then, wanted)))
        then = predict(now, variables, evaluate(host, path, new_text))
        complain(then, wanted, "Nothing was changed", "would not say what was declared")
    changes = new_text != text or bool(unmet(now, wanted))
    then = then if changes else now
    plan = {
        "platform": platform,
        "path": path,
        "before": text,
        "text": new_text,
        "now": now,
        "wanted": wanted,
    }
    return Result(
        plan=[plan] if changes else [],
        returned={
            "entries": [shown(entry) for entry in then],
            "reboot_required": bool(cmdline.unmet(running, wanted)),
            "undo": None,
        },
        diff=[diff.part(path, text, new_text), diff.part(BOOT_ENTRIES, described(now), described(then))],
    )


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Dict[str, Any]:
    """Write the drop-in, generate the configuration, and read it again."""
    (step,) = result.plan
    platform, path, text = step["platform"], step["path"], step["text"]
    if (_undo.text_of(host, path) or "") != step["before"]:
        raise FleetopsError(
            f"Nothing was changed: '{path}' was changed by somebody else in this moment", path=path
        )
    undo: Optional[Undo] = None
    if text != step["before"]:
        restore = [_undo.restore_file(host, path, text), {"do": "update_boot_config"}]
        undo = _undo.record(
            host, NAME, {"entries": [shown(entry) for entry in entries(host, platform)]}, restore
        )
    try:
        if undo:
            host.write_atomic(path, text, mode=0o644)
        platform.update_boot_config(host)
        after = entries(host, platform)
        complain(after, step["wanted"], "Generated, but not as declared", "does not say what was declared")
    except FleetopsError as error:
        if undo:
            _restore.after_failure(host, undo, error)
        raise
    if isinstance(result.diff, list):
        result.diff[-1] = diff.part(BOOT_ENTRIES, described(step["now"]), described(after))
    return {
        "entries": [shown(entry) for entry in after],
        "undo": undo["id"] if undo else written_by(host, path, text),
    }


def check(params: Mapping[str, Any]) -> cmdline.Declaration:
    """The declaration of a task, every token checked."""
    wanted = cmdline.check_declaration(params["present"], params["absent"], params["replace"])
    for token in wanted["present"] + wanted["replace"]:
        if cmdline.same_key(cmdline.key(token), "crashkernel"):
            crashkernel.check(cmdline.value(token) or "")
    return wanted


def entries(host: Host, platform: Any) -> List[Dict[str, Any]]:
    """The entries whose command line comes from both variables: made by 10_linux, and not for recovery."""
    try:
        loader = platform.boot_loader(host)
        menu = platform.boot_entries(host) if loader == "grub" else []
    except Missing as error:
        raise FleetopsError(
            f"Nothing was changed: only GRUB is supported, and {error.msg}", **error.context
        ) from error
    if loader != "grub":
        raise FleetopsError(
            f"Nothing was changed: this machine is booted by {loader}, and only GRUB's own menu is supported"
        )
    # gnulinux-simple-<device>, gnulinux-<release>-advanced-<device>, gnulinux-<release>-recovery-<device>
    found = [
        entry for entry in menu if re.match(r"gnulinux-(?!.*-recovery-)", entry["id"].rpartition(">")[2])
    ]
    if not found:
        raise FleetopsError(
            "Nothing was changed: the boot loader's configuration has no entry that update-grub made for a kernel"
        )
    return found


def declared(path: str, text: str) -> grubdefault.Dropin:
    """What the drop-in declares so far."""
    try:
        return grubdefault.parse(text)
    except FleetopsError as error:
        raise FleetopsError(
            f"Nothing was changed: '{path}' is not as this collection writes it. {error.msg}", path=path
        ) from error


def evaluate(host: Host, path: str, text: str) -> List[str]:
    """The tokens that both variables would hold if the drop-in had this text."""
    more = sorted({*host.glob(GRUB_DEFAULTS_MORE), path})
    script = grubdefault.evaluator([GRUB_DEFAULTS, *more], path)
    return grubdefault.evaluated(host.run(["/bin/sh", "-c", script, "sh", text]))


def predict(now: List[Dict[str, Any]], old: List[str], new: List[str]) -> List[Dict[str, Any]]:
    """The entries once the variables hold *new*."""
    return [{**entry, "cmdline": grubdefault.predict(entry["cmdline"], old, new)} for entry in now]


def unmet(found: List[Dict[str, Any]], wanted: cmdline.Declaration) -> List[Tuple[str, str]]:
    """(title, clause) for each entry that does not say what was declared. Words for init do not count."""
    wrong = []
    for entry in found:
        tokens = cmdline.parse(" ".join(entry["cmdline"]))["tokens"]
        wrong += [(entry["title"], clause) for clause in cmdline.unmet(tokens, wanted)]
    return wrong


def outstanding(found: List[Dict[str, Any]], wanted: cmdline.Declaration) -> cmdline.Declaration:
    """What an entry does not say yet. The rest is the site's own doing, and we leave it where it stands."""
    tokens = [cmdline.parse(" ".join(entry["cmdline"]))["tokens"] for entry in found]

    def open_(kind: str, items: List[str]) -> bool:
        alone: Any = {"present": [], "absent": [], "replace": [], kind: items}
        return any(cmdline.unmet(words, alone) for words in tokens)

    groups = [group for group in cmdline.by_key(wanted["replace"]).values() if open_("replace", group)]
    return {
        "present": [token for token in wanted["present"] if open_("present", [token])],
        "absent": [item for item in wanted["absent"] if open_("absent", [item])],
        "replace": [token for group in groups for token in group],
    }


def complain(found: List[Dict[str, Any]], wanted: cmdline.Declaration, prefix: str, what: str) -> None:
    """Raise when an entry does not say what was declared, or is too long for the kernel."""
    wrong = unmet(found, wanted)
    if wrong:
        title, clause = wrong[0]
        raise FleetopsError(
            f"{prefix}: the boot entry '{title}' {what}: {clause}",
            entries=[f"{title}: {clause}" for title, clause in wrong],
        )
    for entry in found:
        length = len(" ".join(entry["cmdline"]).encode("utf-8"))
        if length > LONGEST:
            raise FleetopsError(
                f"{prefix}: the command line of '{entry['title']}' has {length} bytes, and the kernel cuts it "
                f"at {LONGEST}"
            )


def written_by(host: Host, path: str, text: str) -> Optional[str]:
    """The open record of a run that wrote this very text and was killed before it could generate."""
    for undo in _undo.newest_first(_undo.records(host)):
        for step in undo["restore"]:
            if step.get("path") == path and step.get("expect") == _undo.digest(text):
                return undo["id"]
    return None


def shown(entry: Mapping[str, Any]) -> Dict[str, Any]:
    """An entry as it is returned."""
    return {
        "id": entry["id"],
        "title": entry["title"],
        "release": entry["release"],
        "cmdline": " ".join(entry["cmdline"]),
    }


def described(found: List[Dict[str, Any]]) -> str:
    """The entries as a diff shows them."""
    return "".join(f"{entry['title']}: {' '.join(entry['cmdline'])}\n" for entry in found)


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply)


if __name__ == "__main__":
    main()
