#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose the kernel that boots: from now on, once, or by kexec."""

from __future__ import annotations

DOCUMENTATION = r"""
module: next_boot
short_description: Choose the kernel that boots from now on, or once
version_added: 0.1.0
description:
  - Chooses which installed kernel boots from now on (O(state=default)), for one boot only (O(state=once)), or without
    the boot loader when C(systemctl kexec) is called (O(state=kexec)). It does not reboot.
  - An entry is always named by its id, through all submenus. A number means another kernel as soon as one is installed,
    and a title as soon as a distribution words it anew.
  - A kernel for one boot, and one that is loaded for kexec, leave the choice of O(state=default) alone, so that any
    reset comes back to it. With O(guard), so does a boot that nobody confirms.
  - Every choice is looked at again in what the boot loader reads. One that did not come about is put back, and the
    module fails.
options:
  state:
    description:
      - With V(default), O(release) boots from now on. Where the site's own settings lead to it, they are left as they
        are, and a file of this module that says otherwise is taken away. Else the file
        C(/etc/default/grub.d/zz-fleetops-default.cfg) names its entry, and the boot loader's configuration is generated
        anew. While this file is there, no kernel that is installed later boots by itself, which C(assess) tells as
        C(default-pinned).
      - On RHEL and what is made of it, O(state=default) names the entry as C(saved_entry) in GRUB's environment, unless
        that leads to O(release) already. A kernel that is installed later names itself there, unless
        C(/etc/sysconfig/kernel) says C(UPDATEDEFAULT=no), without which O(pin) is refused.
      - V(default) ends a trial as well, whether it confirms it or chooses another kernel. The guard is taken away
        before the default changes, and a boot of the trial that is still to come is taken back when O(release) is
        another one. With O(pin), a trial that runs and is not O(release) goes on.
      - With V(once), O(release) boots the next time only. GRUB must be able to write its environment block, since it
        takes the choice back by itself. It cannot on RAID, LVM, btrfs and ZFS. What takes it back is C(grub.cfg), which
        empties C(next_entry) and saves that before it boots; where it does not do so in every case, this is refused.
      - With V(kexec), O(release) is loaded with the command line of its boot entry, and C(systemctl kexec) starts it.
      - With V(cleared), no kernel is for one boot only, none that this module loaded is loaded for kexec, and no guard
        waits.
    type: str
    choices: [default, once, kexec, cleared]
    required: true
  release:
    description:
      - The release of the kernel, as C(uname -r) will name it. Needed unless O(state=cleared).
    type: str
  pin:
    description:
      - With O(state=default), name the entry even where the site's own settings lead to it today, so that what is
        installed next does not boot by itself.
    type: bool
    default: false
  guard:
    description:
      - With O(state=once) and O(state=kexec), seconds after the start of that boot at which it ends in a reboot unless
        it was confirmed, by O(state=default) or O(state=cleared). V(0) means never.
      - A unit of systemd does so once, which is skipped under every other kernel, and where a crash dump is saved. What
        hangs before systemd runs, it cannot end.
    type: int
    default: 0
  panic:
    description:
      - With O(state=kexec), seconds after which the kernel reboots when it panics. Added to its command line unless
        that says it already. V(0) adds nothing.
    type: int
    default: 0
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
    What counts boots there (C(boot_counter), C(boot_success)) is taken into account; C(menu_auto_hide) and
    C(boot_indeterminate) only hide the menu.
  - What O(state=default) and O(state=cleared) take away of a trial is not put back by M(fleetops.kernel.undo), since a
    guard without its trial would reboot a healthy node.
  - Cloud images of Ubuntu that boot without an initrd (C(GRUB_FORCE_PARTUUID)) try a kernel for one boot a second time,
    with its initrd, when the first time failed.
seealso:
  - module: fleetops.kernel.kernel_cmdline
  - module: fleetops.kernel.kernel_facts
  - module: fleetops.kernel.undo
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Keep booting the kernel that runs, whatever is installed next
  fleetops.kernel.next_boot:
    state: default
    release: "{{ ansible_facts.fleetops_kernel.release }}"
    pin: true

- name: Try a kernel for one boot, and come back after ten minutes unless it is confirmed
  fleetops.kernel.next_boot:
    state: once
    release: 6.1.0-56-cloud-amd64
    guard: 600
  register: trial

- name: Say what happens
  ansible.builtin.debug:
    msg: "Next {{ trial.once }}, and after that {{ trial.default.release }} again"

- name: Confirm it
  fleetops.kernel.next_boot:
    state: default
    release: 6.1.0-56-cloud-amd64

- name: Load a kernel that systemctl kexec starts
  fleetops.kernel.next_boot:
    state: kexec
    release: 6.1.0-56-cloud-amd64
    panic: 10

- name: Call it off
  fleetops.kernel.next_boot:
    state: cleared
"""

RETURN = r"""
default:
  description: What boots from now on, once nothing is for one boot only. In check mode, what would.
  returned: success
  type: dict
  contains:
    release:
      description: The kernel.
      type: str
      sample: 6.1.0-47-cloud-amd64
    entry:
      description: The entry, as the boot loader names it.
      type: str
      sample: gnulinux-simple-3ee2d1b1-7ae5-4b53-b8e0-5a6f0c1d2f6e
    because:
      description: The rule by which it is taken.
      type: str
      sample: 'default in grub.cfg: 0; the first entry'
    once:
      description: Always false here.
      type: bool
      sample: false
    named_by:
      description: How that rule names it, as in M(fleetops.kernel.kernel_facts).
      type: str
      sample: first
once:
  description: The entry that boots the next time only. Empty when none does.
  returned: success
  type: str
  sample: gnulinux-advanced-3ee2d1b1>gnulinux-6.1.0-56-cloud-amd64-advanced-3ee2d1b1
kexec:
  description: What this module loaded for C(systemctl kexec). V(null) when nothing.
  returned: success
  type: dict
  contains:
    release:
      description: The kernel.
      type: str
      sample: 6.1.0-56-cloud-amd64
    cmdline:
      description: Its command line.
      type: str
      sample: root=UUID=3ee2d1b1-7ae5-4b53-b8e0-5a6f0c1d2f6e ro quiet panic=10
pinned:
  description: The file of this module that names what boots from now on. V(null) when there is none.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /etc/default/grub.d/zz-fleetops-default.cfg
    entry:
      description: The entry.
      type: str
      sample: gnulinux-advanced-3ee2d1b1>gnulinux-6.1.0-47-cloud-amd64-advanced-3ee2d1b1
    release:
      description: The kernel.
      type: str
      sample: 6.1.0-47-cloud-amd64
trial:
  description: The kernel whose boots end in a reboot unless they are confirmed. V(null) when there is none.
  returned: success
  type: dict
  contains:
    release:
      description: The kernel.
      type: str
      sample: 6.1.0-56-cloud-amd64
    guard_seconds:
      description: Seconds from the start of that boot to the reboot.
      type: int
      sample: 600
undo:
  description: The record that M(fleetops.kernel.undo) can put back. V(null) when nothing was changed that it can.
  returned: success
  type: str
  sample: 20250102T030405-0003-next_boot
"""

from typing import Any, Dict, Mapping, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _kexec, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import (
    default,
    guard,
    kexec,
    loader,
    situation,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._boots.situation import Plan, Situation
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import grub, trialguard
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts, Undo

NAME = "next_boot"
SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["default", "once", "kexec", "cleared"], "required": True},
    "release": {"type": "str"},
    "pin": {"type": "bool", "default": False},
    "guard": {"type": "int", "default": 0},
    "panic": {"type": "int", "default": 0},
}
NEEDS_RELEASE = [("state", state, ["release"]) for state in ("default", "once", "kexec")]


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read everything that decides what boots; say what is to do."""
    platform = _guard.require_platform(host)
    facts = kernel.read(host, ("running", "security", "boot"))
    before = situation.read(host, platform)
    after: Situation = {**before}
    plan = Plan(platform, [], [], before, after)
    STATES[params["state"]](host, params, facts, plan)
    return Result(
        plan=[plan] if plan.steps else [],
        returned=situation.shown(after),
        diff=situation.differences(plan, after),
    )


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Dict[str, Any]:
    """Take the steps, and look at what boots now."""
    (plan,) = result.plan
    for step in plan.steps:
        if "before" in step and _undo.text_of(host, step["path"]) != step["before"]:
            raise FleetopsError(
                f"Nothing was changed: '{step['path']}' was changed by somebody else in this moment",
                path=step["path"],
            )
    undo: Optional[Undo] = None
    if plan.restore:
        undo = _undo.record(host, NAME, situation.described(plan.before).splitlines(), plan.restore)
    try:
        for step in plan.steps:
            take(host, plan.platform, step)
        after = situation.read(host, plan.platform)
        situation.complain(plan.after, after)
    except FleetopsError as error:
        if undo:
            _restore.after_failure(host, undo, error)
        raise
    result.diff = situation.differences(plan, after)
    return {**situation.shown(after), "undo": undo["id"] if undo else None}


def take(host: Host, platform: Any, step: Mapping[str, Any]) -> None:
    """One step."""
    if step["do"] == "run":
        host.run(step["argv"])
    elif step["do"] == "update_boot_config":
        platform.update_boot_config(host)
    elif step["text"] is None:
        host.remove(step["path"])
    else:
        host.write_atomic(step["path"], step["text"], mode=0o644)


# --- from now on -------------------------------------------------------------------------------------


def plan_default(host: Host, params: Mapping[str, Any], facts: KernelFacts, plan: Plan) -> None:
    """No trial, and this kernel from now on."""
    loader.require(host, plan.platform)
    # Before the default changes: a power cut in between must not leave a guard for what boots from now on.
    end_trial(host, params, facts, plan)
    by_file = plan.platform.DEFAULT_DROPIN
    (default.by_file if by_file else default.in_environment)(host, params, plan)


def end_trial(host: Host, params: Mapping[str, Any], facts: KernelFacts, plan: Plan) -> None:
    """No guard once a default is chosen. A pin leaves it to another kernel that runs and is on trial."""
    release, before, trial = params["release"], plan.before, plan.before["trial"]
    if not trial:
        return
    waits = trial["release"] == facts["release"] != release and host.exists(trialguard.WANTS_PATH)
    if params["pin"] and waits:
        return
    if trial["release"] != release:
        # Its boot would have no guard.
        entry = grub.entry_of(plan.platform.boot_entries(host), trial["release"])
        if before["once"] and entry and entry["id"] == before["once"]:
            forget_once(host, plan)
        if before["kexec"] and before["kexec"]["release"] == trial["release"]:
            kexec.unload(host, facts, plan)
    guard.take_away(host, plan)


# --- for one boot ------------------------------------------------------------------------------------


def plan_once(host: Host, params: Mapping[str, Any], facts: KernelFacts, plan: Plan) -> None:
    """One boot of this kernel, through the boot loader."""
    release, platform, pending = params["release"], plan.platform, plan.before["once"]
    loader.require(host, platform)
    require_writable(facts)
    if facts["load_kexec"] is not False:
        why = facts["unknown"].get("load_kexec", "LOAD_KEXEC is true in /etc/default/kexec")
        raise FleetopsError(
            f"Nothing was changed: a reboot may go past the boot loader, by kexec ({why}): set LOAD_KEXEC=false"
        )
    if _kexec.loaded(host):
        raise FleetopsError(
            "Nothing was changed: a kernel is loaded for kexec, and a reboot may start that one, past the boot loader: "
            "unload it first (state: cleared, or kexec -u)"
        )
    entry = situation.entry_of(host, platform, release)
    if pending and pending != entry:
        raise FleetopsError(
            f"Nothing was changed: another entry is for one boot already, '{pending}': let that boot pass, or take it "
            "back (state: cleared)",
            entry=pending,
        )
    then = platform.next_boot(host, once=entry)
    if not then["once"] or then["release"] != release:
        raise FleetopsError(
            f"Nothing was changed: the boot loader's configuration would not take an entry for one boot: it would "
            f"boot {then['release']} ({then['because']})"
        )
    # The guard first, and on the way back last: no power cut may leave a trial without it.
    guard.put(host, params, facts, plan)
    if pending != entry:
        unset = {"do": "run", "argv": platform.edit_environment(host, "unset", grub.NEXT_ENTRY)}
        plan.restore.insert(0, unset)
        plan.steps.append({"do": "run", "argv": platform.boot_once(entry)})
        plan.after["once"] = entry


def require_writable(facts: KernelFacts) -> None:
    """What GRUB cannot take back by itself would boot for ever."""
    environment = facts["boot_environment"]
    if environment is None or not environment["writable"]:
        because = environment["because"] if environment else facts["unknown"].get("boot_environment")
        raise FleetopsError(
            f"Nothing was changed: GRUB could not take back an entry for one boot: {because} (state: kexec needs none)"
        )


# --- nothing -----------------------------------------------------------------------------------------


def plan_cleared(host: Host, params: Mapping[str, Any], facts: KernelFacts, plan: Plan) -> None:
    """No trial, whichever way it was to be made."""
    before, platform = plan.before, plan.platform
    if before["once"]:
        loader.require(host, platform)
        again = platform.edit_environment(host, "set", f"{grub.NEXT_ENTRY}={before['once']}")
        plan.restore.append({"do": "run", "argv": again})
        forget_once(host, plan)
    if before["kexec"]:
        kexec.unload(host, facts, plan)
    if before["trial"]:
        guard.take_away(host, plan)


def forget_once(host: Host, plan: Plan) -> None:
    """No entry is for one boot."""
    forget = plan.platform.edit_environment(host, "unset", grub.NEXT_ENTRY)
    plan.steps.append({"do": "run", "argv": forget})
    plan.after["once"] = ""


STATES = {"default": plan_default, "once": plan_once, "kexec": kexec.load, "cleared": plan_cleared}


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply, required_if=NEEDS_RELEASE)


if __name__ == "__main__":
    main()
