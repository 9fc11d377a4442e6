#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel of a node: what runs, what is installed, what boots next."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_facts
short_description: Read which kernel runs, which are installed and which boots next
version_added: 0.1.0
description:
  - Reads the running kernel, the installed ones with what keeps each from booting, and the one that the boot loader
    takes next, with the rule by which it does.
  - What cannot be read is V(null), and RV(ansible_facts.fleetops_kernel.unknown) says why.
  - Works without root as far as it goes. Packages and boot loader are read on Debian and Ubuntu only so far.
extends_documentation_fragment:
  - fleetops.kernel.attributes
  - fleetops.kernel.attributes.facts
seealso:
  - module: fleetops.kernel.node_facts
  - module: fleetops.kernel.kernel_cmdline
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Read the kernel
  fleetops.kernel.kernel_facts:

- name: Say which kernel boots next
  ansible.builtin.debug:
    msg: "{{ (kernel.next_boot or {}).release | default(kernel.unknown.next_boot) }}"
  vars:
    kernel: "{{ ansible_facts.fleetops_kernel }}"
"""

RETURN = r"""
ansible_facts:
  description: What was read.
  returned: success
  type: dict
  contains:
    fleetops_kernel:
      description: The kernel. Every value is V(null) when it could not be read.
      returned: success
      type: dict
      contains:
        release:
          description: The running kernel.
          type: str
          sample: 6.1.0-47-cloud-amd64
        version:
          description: Its build.
          type: str
          sample: '#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-3 (2026-05-08)'
        architecture:
          description: The architecture, as C(uname -m) names it.
          type: str
          sample: x86_64
        flavour:
          description: What the distribution calls this variant of the kernel.
          type: str
          sample: cloud-amd64
        distro:
          description: Who made this system, from os-release.
          type: dict
          sample: {codename: bookworm, family: debian, id: debian, version_id: '12'}
        container:
          description: Whether this is a container, so that the kernel belongs to another machine.
          type: bool
          sample: false
        package:
          description:
            - The package of the running kernel. Its version is the one that runs, even when another one is on the disk.
          type: dict
          sample:
            name: linux-image-6.1.0-47-cloud-amd64
            source: linux-signed-amd64
            source_version: 6.1.170+3
            status: ii
            version: 6.1.170-3
        installed:
          description: The kernels on the disk, oldest first.
          type: list
          elements: dict
          contains:
            release:
              description: The release.
              type: str
              sample: 6.1.0-47-cloud-amd64
            package:
              description: The package that brought it. V(null) when none did.
              type: dict
            bootable:
              description: Whether it has all that it needs to boot. V(null) when that cannot be told.
              type: bool
              sample: true
            missing:
              description: What it lacks.
              type: list
              elements: str
              sample: []
        next_boot:
          description: What the boot loader takes next.
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
              description: The rule by which it takes this one.
              type: str
              sample: 'default in grub.cfg: 0; the first entry'
        cmdline:
          description: The command line of the running kernel.
          type: dict
          contains:
            raw:
              description: As it is.
              type: str
              sample: root=/dev/vda1 ro quiet
            tokens:
              description: Its words, in their order, repeats kept.
              type: list
              elements: str
              sample: [root=/dev/vda1, ro, quiet]
            init_args:
              description: What stands behind C(--) and belongs to init.
              type: list
              elements: str
              sample: []
        taint:
          description: The taint mask, and the kernel's names of its bits.
          type: dict
          sample: {names: [WARN], value: 512}
        boot_id:
          description: Another one after every boot.
          type: str
          sample: 0e1c3bd0-9a5b-4f1c-a0ce-4f4b7f3a6f0e
        uptime:
          description: Seconds since the boot.
          type: float
          sample: 5413.2
        oops_count:
          description: Oopses since the boot.
          type: int
          sample: 0
        warn_count:
          description: Warnings since the boot.
          type: int
          sample: 0
        panic_sysctls:
          description: The settings that decide when the kernel panics and what it does then. Only those that it has.
          type: dict
          sample: {kernel.panic: 0, kernel.panic_on_oops: 1}
        watchdogs:
          description: The watchdogs.
          type: list
          elements: dict
          contains:
            name:
              description: The device.
              type: str
              sample: watchdog0
            identity:
              description: What it says it is.
              type: str
              sample: i6300ESB timer
            hardware:
              description: Whether it goes on when the kernel has stopped.
              type: bool
              sample: true
            active:
              description: Whether it is armed.
              type: bool
              sample: true
            timeout:
              description: Seconds after which it resets the machine.
              type: int
              sample: 30
        memory_bytes:
          description: Memory of the machine.
          type: int
          sample: 1073741824
        unknown:
          description: What could not be read, and why, by the dotted path of the fact.
          type: dict
          sample: {}
"""

from typing import Any, Dict, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel

SPEC: Dict[str, Any] = {"root": {"type": "path"}}


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read the kernel."""
    return Result(returned={"ansible_facts": {"fleetops_kernel": kernel.read(host)}})


def main() -> None:
    """Entry point."""
    execute(SPEC, run)


if __name__ == "__main__":
    main()
