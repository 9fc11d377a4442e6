#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words that the capture kernel gets, and a reload so that they hold at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdump_cmdline
short_description: Make the capture kernel reboot when it fails
version_added: 0.1.0
description:
  - When a kernel panics, kdump boots a second one, the capture kernel, that saves the dump. When that one panics as
    well, for want of memory for example, it stays there for ever, unless its own command line carries C(panic=).
    Neither Debian's nor Ubuntu's default does.
  - Changes the words that kdump appends to the capture kernel's command line. Those of the site stay, in their order.
    On Debian and Ubuntu that is C(KDUMP_CMDLINE_APPEND) in C(/etc/default/kdump-tools); no other line of the file
    changes.
  - Loads the capture kernel again, so that the words hold at once, without a reboot. A capture kernel that was loaded
    without them, though the file has them, is loaded again as well.
  - Loads one where memory is reserved and none is loaded. Where no memory is reserved, the words hold from the next
    time that one is loaded.
  - When loading fails, the old file is put back and, where one was loaded before, loaded again, and the module fails.
options:
  panic:
    description:
      - Seconds after which a capture kernel that panics reboots. A negative number reboots at once.
      - V(0) would mean to stay there for ever, and is refused.
    type: int
    default: 10
  present:
    description:
      - Further words that must be there.
    type: list
    elements: str
    default: []
  absent:
    description:
      - Keys or words that must not be there, as in M(fleetops.kernel.kernel_cmdline).
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
seealso:
  - module: fleetops.kernel.kernel_cmdline
  - module: fleetops.kernel.undo
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Make the capture kernel reboot when it fails
  fleetops.kernel.kdump_cmdline:
    panic: 10
  register: capture

- name: Say whether it holds already
  ansible.builtin.debug:
    msg: "{{ 'Loaded: ' if capture.reloaded else 'Not loaded again: ' }}{{ capture.reloaded_because }}"

- name: Save memory in the capture kernel
  fleetops.kernel.kdump_cmdline:
    present:
      - cgroup_disable=memory
      - transparent_hugepage=never
    absent:
      - irqpoll
"""

RETURN = r"""
append:
  description:
    - The words that kdump appends to the capture kernel's command line now. In check mode, those it would append.
  returned: success
  type: list
  elements: str
  sample: [reset_devices, systemd.unit=kdump-tools-dump.service, nr_cpus=1, irqpoll, usbcore.nousb, panic=10]
reloaded:
  description: Whether the capture kernel was loaded, again or because none was. In check mode, whether it would be.
  returned: success
  type: bool
  sample: true
reloaded_because:
  description: Why it was, or was not.
  returned: success
  type: str
  sample: the words that it was loaded with were others
undo:
  description: The record that M(fleetops.kernel.undo) can put back. V(null) when the file was not changed.
  returned: success
  type: str
  sample: 20250102T030405-0002-kdump_cmdline
"""

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _kexec, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline, diff, shellvar
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KdumpFacts, Undo

NAME = "kdump_cmdline"
SPEC: Dict[str, Any] = {
    "panic": {"type": "int", "default": 10},
    "present": {"type": "list", "elements": "str", "default": []},
    "absent": {"type": "list", "elements": "str", "default": []},
}


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read the words in the file and those that are loaded; say what is to do."""
    wanted = check(params)
    platform = _guard.require_platform(host, "crashkernel")
    path, variable = platform.KDUMP_DEFAULTS, platform.KDUMP_APPEND_KEY
    text = _undo.text_of(host, path)
    if text is None:
        raise FleetopsError(
            f"Nothing was changed: kdump is not installed here, there is no '{path}'", path=path
        )
    words = platform.kdump_append(host)
    append = cmdline.settle(words, wanted)
    new_text = text if append == words else shellvar.assign(text, variable, " ".join(append))
    facts = kdump.read(host)
    reload_, because = decide(facts, append)
    result = Result(
        returned={"append": append, "reloaded": reload_, "reloaded_because": because, "undo": None}
    )
    if new_text != text or reload_:
        result.plan = [
            {
                "platform": platform,
                "path": path,
                "before": text,
                "text": new_text,
                "append": append,
                "reload": reload_,
                "loaded": facts["capture"]["loaded"],
            }
        ]
    result.diff = diff.part(path, text, new_text)
    return result


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Dict[str, Any]:
    """Write the file, load the capture kernel again, and look at what is loaded."""
    (step,) = result.plan
    platform, path, text = step["platform"], step["path"], step["text"]
    if host.read(path) != step["before"]:
        raise FleetopsError(
            f"Nothing was changed: '{path}' was changed by somebody else in this moment", path=path
        )
    undo: Optional[Undo] = None
    if text != step["before"]:
        reload_step = {"do": "reload_capture", "loaded": step["loaded"]}
        restore = [_undo.restore_file(host, path, text), reload_step]
        undo = _undo.record(host, NAME, {"append": platform.kdump_append(host)}, restore)
    try:
        if undo:
            host.write_atomic(path, text)
        append = platform.kdump_append(host)
        if append != step["append"]:
            raise FleetopsError(
                f"'{path}' was written, but kdump would still append '{' '.join(append)}'", path=path
            )
        if step["reload"]:
            refused = load(host, platform, append, step["loaded"])
            if refused:
                result.warnings.append(refused)
                return {"undo": undo["id"] if undo else None, "reloaded": False, "reloaded_because": refused}
    except FleetopsError as error:
        if undo:
            _restore.after_failure(host, undo, error)
        left = "" if _kexec.crash_loaded(host) else ". No capture kernel is loaded now"
        raise FleetopsError(error.msg + left, **error.context) from error
    return {"undo": undo["id"] if undo else None}


def load(host: Host, platform: Any, append: List[str], loaded: Optional[bool]) -> Optional[str]:
    """Load the capture kernel with these words. Where none was loaded before, a refusal is told and not raised.

    Nothing is lost then: what is too small to load into is cured by a larger reservation, and not by taking the
    words back.
    """
    try:
        platform.reload_capture(host)
        verify(host, append)
    except FleetopsError as error:
        if loaded is not False:
            raise
        return f"{error.msg}: the words hold from the next time that it is loaded"
    return None


def check(params: Mapping[str, Any]) -> cmdline.Declaration:
    """The declaration of a task, every word checked."""
    if params["panic"] == 0:
        raise FleetopsError(
            "panic: 0 would leave a capture kernel that panics there for ever: expected seconds, or a negative number "
            "to reboot at once"
        )
    wanted = cmdline.check_declaration(params["present"], params["absent"], [f"panic={params['panic']}"])
    for word in wanted["present"]:
        if '"' in word:
            raise FleetopsError(
                f"'{word}' cannot be given to the capture kernel: kdump's own shell removes its quotes"
            )
        if cmdline.same_key(cmdline.key(word), "panic"):
            raise FleetopsError(f"'{word}' belongs into the option 'panic', not into 'present'")
    return wanted


def decide(facts: KdumpFacts, append: List[str]) -> Tuple[bool, str]:
    """Must the capture kernel be loaded, or loaded again, for these words to hold? With the reason."""
    if not facts["reservation"]["bytes"]:
        why = facts["unknown"].get("reservation.bytes", "no memory is reserved for a capture kernel")
        return False, f"{why}: the words hold from the next time that it is loaded"
    if facts["capture"]["loaded"] is False and facts["implementation"] is not None:
        return True, "memory is reserved and no capture kernel is loaded"
    if not facts["capture"]["loaded"]:
        why = facts["unknown"].get("capture.loaded", "no capture kernel is loaded")
        return False, f"{why}: the words hold from the next time that it is loaded"
    loaded = facts["capture"]["cmdline"]
    if loaded is None:
        why = facts["unknown"].get("capture.cmdline", "no record of it")
        return True, f"it is unknown which words it was loaded with ({why})"
    if loaded["tokens"][-len(append) :] != append:
        return True, "the words that it was loaded with were others"
    return False, "it was loaded with these words"


def verify(host: Host, append: List[str]) -> None:
    """Raise unless a capture kernel is loaded with these words."""
    facts = kdump.read(host)
    again, because = decide(facts, append)
    if again or not facts["capture"]["loaded"]:
        raise FleetopsError(f"The capture kernel was loaded, but not with '{' '.join(append)}': {because}")


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply)


if __name__ == "__main__":
    main()
