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
  - Works without root as far as it goes, in containers and on any distribution. Of a distribution that the collection
    does not know, packages, installed kernels and boot loader are unknown.
  - Starts no program but the package manager's query. All else comes from files.
options:
  gather_subset:
    description:
      - Which parts to read, as in M(ansible.builtin.setup).
      - V(running) is what runs, V(panic) when it panics and what happens then, V(machine) the machine below it,
        V(modules) its modules with live patches and DKMS, V(packages) what the package manager says, V(installed) the
        kernels on the disk, V(boot) what boots next, V(security) Secure Boot and lockdown.
      - V(min) is V(running), which is always read unless V(!min) or V(!running) is there. V(all), or nothing but
        exclusions of single parts, means all of them. V(!all) leaves V(min) and what is named by itself.
      - The facts of a part that is not read are V(null), and RV(ansible_facts.fleetops_kernel.unknown) says that they
        were not asked for. They are there, so that whoever reads them need not know what was asked.
    type: list
    elements: str
    default: [all]
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

- name: Read only what runs and what boots next
  fleetops.kernel.kernel_facts:
    gather_subset: ["!all", boot]

- name: Say which kernel boots next
  ansible.builtin.debug:
    msg: "{{ (kernel.next_boot or {}).release | default(kernel.unknown.next_boot) }}"
  vars:
    kernel: "{{ ansible_facts.fleetops_kernel }}"
"""

RETURN = r"""
left_behind:
  description: What was read instead of a running machine.
  returned: with O(root)
  type: dict
  contains:
    kind:
      description: C(captured tree), C(sosreport) or C(disk).
      type: str
      sample: sosreport
    root:
      description: Where it lies.
      type: str
      sample: /srv/post-mortem/node-a1/sosreport-node-a1-2026-11-24-abcdefg
    time:
      description: The last moment that it tells of, in UTC. Null when nothing in it says so.
      type: str
      sample: "2026-11-24T12:18:40Z"
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
              description: What keeps it from booting.
              type: list
              elements: str
              sample: []
            lacks:
              description:
                - Modules that are loaded now and that this kernel has neither as a file nor built in. Those that were
                  built outside the kernel's tree are not among them, see RV(ansible_facts.fleetops_kernel.dkms).
              type: list
              elements: str
              sample: [i6300esb]
            prebuilt:
              description: Modules of vendors that a package brings for this very release.
              type: list
              elements: str
              sample: [nvidia-535]
            beside:
              description:
                - Packages with more modules of the kernel itself, or with its headers, that are installed for this very
                  release, named without it. V(null) when that is not known.
              type: list
              elements: str
              sample: [linux-modules-extra]
            bytes:
              description: Size of its files in C(/boot).
              type: int
              sample: 41943040
            initrd_bytes:
              description: Of these, the size of its initrd. 0 where it has none.
              type: int
              sample: 31457280
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
            once:
              description: Whether it does so for one boot only.
              type: bool
              sample: false
            named_by:
              description:
                - How that rule names it. V(first), what stands first. V(position), a number that another kernel can
                  come to stand at. V(id) or V(title), this very entry.
              type: str
              sample: first
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
        config_file:
          description: What the running kernel was built with.
          type: str
          sample: /boot/config-6.1.0-47-cloud-amd64
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
        fault_counts:
          description:
            - What the kernel counted since the boot, C(oops), C(warn), C(hardlockup), C(softlockup) and C(rcu_stall).
              Only those that it counts.
          type: dict
          sample: {oops: 0, warn: 0}
        panic_sysctls:
          description: The settings that decide when the kernel panics and what it does then. Only those that it has.
          type: dict
          sample: {kernel.panic: 0, kernel.panic_on_oops: 1}
        panic_sys_info:
          description: What a panic prints beside its trace. Empty on kernels without this setting, before 6.19.
          type: list
          elements: str
          sample: []
        crash_kexec_post_notifiers:
          description: Whether others are told of a panic before the capture kernel starts.
          type: bool
          sample: false
        watchdogs:
          description: The watchdogs. What follows the time-out is there where the driver says it.
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
            status:
              description: The mask of what there was since somebody last looked (WDIOF_*), hexadecimal.
              type: str
              returned: when its driver says it
              sample: '0x8000'
            bootstatus:
              description: The mask of why the last boot ended. 32 means that this watchdog reset the machine.
              type: int
              returned: when its driver says it
              sample: 0
            timeleft:
              description: Seconds until it resets the machine.
              type: int
              returned: when its driver says it
              sample: 29
            nowayout:
              description: Whether nothing stops it, once armed.
              type: bool
              returned: when its driver says it
              sample: false
            pretimeout:
              description: Seconds before the time-out at which it warns. 0 means never.
              type: int
              returned: when its driver says it
              sample: 0
            pretimeout_governor:
              description: What it does then.
              type: str
              returned: when its driver says it
              sample: panic
            min_timeout:
              description: The shortest time-out, in seconds.
              type: int
              returned: when its driver says it
              sample: 1
            max_timeout:
              description: The longest time-out, in seconds. 0 means without limit.
              type: int
              returned: when its driver says it
              sample: 2046
        systemd_watchdog:
          description:
            - Whether systemd is set up to arm a watchdog, by its files and the kernel's command line. In seconds, 0
              when it does not. V(null) when it takes the time-out that the device has.
          type: dict
          contains:
            runtime:
              description: While the machine runs.
              type: float
              sample: 30.0
            reboot:
              description: While it goes down for a reboot.
              type: float
              sample: 600.0
            kexec:
              description: While it goes down for a kexec.
              type: float
              sample: 0.0
            device:
              description: The device. Empty when systemd takes the first.
              type: str
              sample: ''
            lines:
              description: The lines that say so.
              type: list
              elements: dict
              sample: [{source: /etc/systemd/system.conf.d/watchdog.conf, text: RuntimeWatchdogSec=30}]
        memory_bytes:
          description: Memory of the machine.
          type: int
          sample: 1073741824
        upstream:
          description: The upstream version that it was made from, where the kernel says it.
          type: str
          sample: 6.1.170
        cpu_vendor:
          description: Who made the processor.
          type: str
          sample: GenuineIntel
        microcode:
          description: The revision of the processor's microcode, hexadecimal.
          type: str
          sample: '0xb000040'
        virtual:
          description: Whether this is a virtual machine. V(null) on architectures that do not tell.
          type: bool
          sample: true
        file_systems:
          description: Types of the mounted file systems that have a device, a server or other data behind them.
          type: list
          elements: str
          sample: [ext4, nfs4, overlay]
        drivers:
          description: Drivers that a device is bound to, on the buses C(pci), C(virtio), C(vmbus) and C(ccw).
          type: list
          elements: str
          sample: [virtio-pci, virtio_net]
        iommu:
          description: Whether an IOMMU is in use.
          type: bool
          sample: false
        modules:
          description: The loaded modules.
          type: dict
          contains:
            loaded:
              description: Their names.
              type: list
              elements: str
              sample: [ext4, virtio_net, zfs]
            out_of_tree:
              description: Those of them that were built outside the kernel's tree.
              type: list
              elements: str
              sample: [zfs]
        livepatches:
          description: Live patches of the running kernel.
          type: list
          elements: dict
          contains:
            name:
              description: The patch.
              type: str
              sample: lkp_Ubuntu_5_15_0_91_101_generic_104
            enabled:
              description: Whether it is in force.
              type: bool
              sample: true
            transition:
              description: Whether processes are still on their way to or from it.
              type: bool
              sample: false
            level:
              description: How far the kernel is patched, as the maker counts. V(null) where the name does not tell.
              type: str
              sample: '104'
        secure_boot:
          description: Whether the firmware starts only what is signed.
          type: bool
          sample: false
        lockdown:
          description: What the kernel keeps from root, V(none), V(integrity) or V(confidentiality).
          type: str
          sample: none
        packages:
          description: What the package manager says of kernels, beside the installed ones.
          type: dict
          contains:
            held:
              description: Packages that it must not change.
              type: list
              elements: str
              sample: []
            pins:
              description: Pins of apt that name packages of kernels.
              type: list
              elements: dict
              sample:
                - packages: linux-image-*
                  pin: version *
                  priority: -1
                  source: /etc/apt/preferences.d/kernel
            broken:
              description: Packages that are neither installed in full nor gone.
              type: list
              elements: dict
              sample: []
            metas:
              description: Packages that pull in the newest kernel.
              type: list
              elements: dict
              contains:
                name:
                  description: The package.
                  type: str
                  sample: linux-image-cloud-amd64
                version:
                  description: Its version.
                  type: str
                  sample: 6.1.170-3
                tracks:
                  description: The release that it depends on now.
                  type: str
                  sample: 6.1.0-47-cloud-amd64
        dkms:
          description: Modules that DKMS builds.
          type: list
          elements: dict
          contains:
            name:
              description: The module.
              type: str
              sample: zfs
            version:
              description: Its version. Another version has an entry of its own.
              type: str
              sample: 2.1.11
            states:
              description:
                - Its state for each kernel that it was built for, V(built), V(installed), or V(installed-weak) where it
                  is lent from another kernel. Empty when it is added only.
              type: dict
              sample: {6.1.0-47-cloud-amd64: installed}
        boot_loader:
          description: The boot loader, V(grub), V(grub-bls) (with a file for each entry) or V(systemd-boot).
          type: str
          sample: grub
        boot_environment:
          description: GRUB's environment block.
          type: dict
          contains:
            path:
              description: The file.
              type: str
              sample: /boot/grub/grubenv
            writable:
              description: Whether GRUB itself can write it. Without that, no entry is for one boot only.
              type: bool
              sample: true
            because:
              description: By what this was judged.
              type: str
              sample: "'/boot/grub/grubenv' is on ext4, on a plain partition (254:1)"
        load_kexec:
          description: Whether a reboot starts the next kernel by kexec, past the boot loader.
          type: bool
          sample: false
        kexec_tool:
          description:
            - Whether the command C(kexec) is installed, without which no kernel is loaded for kexec. Of what a machine
              left behind, its package tells as well.
          type: bool
          sample: true
        pinned:
          description:
            - The file of this collection that names the entry that boots from now on, whatever is installed later, see
              M(fleetops.kernel.next_boot). V(null) and not in RV(ansible_facts.fleetops_kernel.unknown) when there is
              none.
          type: dict
          contains:
            path:
              description: The file.
              type: str
              sample: /etc/default/grub.d/zz-fleetops-default.cfg
            entry:
              description: The entry, by its id.
              type: str
              sample: gnulinux-advanced-3ee2d1b1>gnulinux-6.1.0-47-cloud-amd64-advanced-3ee2d1b1
            release:
              description: The kernel that it boots.
              type: str
              sample: 6.1.0-47-cloud-amd64
        trial:
          description:
            - The kernel on trial, a boot of which ends in a reboot unless somebody confirms it, see
              M(fleetops.kernel.next_boot). V(null) and not in RV(ansible_facts.fleetops_kernel.unknown) when there is
              none.
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
        boot_space:
          description: The file system that holds C(/boot).
          type: dict
          contains:
            path:
              description: Where it was asked for.
              type: str
              sample: /boot
            total_bytes:
              description: Its size.
              type: int
              sample: 1023303680
            free_bytes:
              description: What root may still use of it.
              type: int
              sample: 734003200
        reboot_required:
          description: Whether a marker on the disk asks for a reboot. Plain Debian writes none.
          type: dict
          contains:
            required:
              description: Whether it is there.
              type: bool
              sample: true
            packages:
              description: The packages that asked.
              type: list
              elements: str
              sample: [linux-image-6.1.0-47-cloud-amd64]
            source:
              description: The marker.
              type: str
              sample: /run/reboot-required
        unknown:
          description: What could not be read, and why, by the dotted path of the fact.
          type: dict
          sample: {}
"""

from typing import Any, Dict, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, chosen, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel

SPEC: Dict[str, Any] = {
    "gather_subset": {"type": "list", "elements": "str", "default": ["all"]},
    "root": {"type": "path"},
}


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read the parts of the kernel that are asked for."""
    parts = chosen(params["gather_subset"], kernel.PARTS, kernel.MINIMUM)
    returned: Dict[str, Any] = {"ansible_facts": {"fleetops_kernel": kernel.read(host, parts)}}
    if not host.live:
        returned["left_behind"] = host.left_behind()
    return Result(returned=returned)


def main() -> None:
    """Entry point."""
    execute(SPEC, run)


if __name__ == "__main__":
    main()
