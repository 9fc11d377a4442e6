#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a node can take its own dump when its kernel panics."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kdump_facts
short_description: Read whether a node can take its own kernel dump
version_added: 0.1.0
description:
  - Reads the memory reserved for the capture kernel, the capture kernel that is loaded into it with its command line,
    the service, where a dump would go, and the dumps that are there.
  - What cannot be read is V(null), and RV(ansible_facts.fleetops_kdump.unknown) says why.
  - Works without root as far as it goes. Only kdump-tools (Debian, Ubuntu) is read so far.
extends_documentation_fragment:
  - fleetops.kernel.attributes
  - fleetops.kernel.attributes.facts
seealso:
  - module: fleetops.kernel.node_facts
  - module: fleetops.kernel.kdump_cmdline
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Read kdump
  fleetops.kernel.kdump_facts:

- name: Say whether the capture kernel reboots when it fails
  ansible.builtin.debug:
    msg: "panic= of the capture kernel: {{ ansible_facts.fleetops_kdump.capture.panic | default('none', true) }}"
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
    fleetops_kdump:
      description: The state of kdump. Values are V(null) when they could not be read.
      returned: success
      type: dict
      contains:
        implementation:
          description: C(kdump-tools) or C(kdumpctl). V(null) when neither is installed.
          type: str
          sample: kdump-tools
        kexec_loaded:
          description: Whether a kernel is loaded that the next kexec starts.
          type: bool
          sample: false
        vmcoreinfo:
          description: Where the running kernel keeps what a reader of its memory needs.
          type: dict
          sample: {address: '0x3a8c3000', bytes: 4096}
        reservation:
          description: Memory that is set aside for the capture kernel.
          type: dict
          contains:
            requested:
              description: The values of C(crashkernel=) on the running command line.
              type: list
              elements: str
              sample: [128M]
            bytes:
              description: What is reserved.
              type: int
              sample: 134217728
            low_bytes:
              description: The part below 4 GiB. Needs root.
              type: int
              sample: 134217728
            high_bytes:
              description: The part above. Needs root.
              type: int
              sample: 0
        capture:
          description: The capture kernel, as it is loaded now.
          type: dict
          contains:
            loaded:
              description: Whether one is loaded.
              type: bool
              sample: true
            cmdline:
              description: The command line that it was loaded with.
              type: dict
              contains:
                raw:
                  description: As it is.
                  type: str
                  sample: root=/dev/vda1 ro nr_cpus=1
                tokens:
                  description: Its words, in their order, repeats kept.
                  type: list
                  elements: str
                  sample: [root=/dev/vda1, ro, nr_cpus=1]
                init_args:
                  description: What stands behind C(--) and belongs to init.
                  type: list
                  elements: str
                  sample: []
            panic:
              description: Its C(panic=), the seconds after which it reboots when it panics itself. V(null) without one.
              type: int
              sample: 10
            initrd:
              description: The initrd that it was loaded with, or would be.
              type: str
              sample: /var/lib/kdump/initrd.img
            initrd_bytes:
              description: Its size, as it is on the disk.
              type: int
              sample: 8600000
            source:
              description: Where the command line was read.
              type: str
              sample: /var/crash/kexec_cmd
            elfcorehdr_bytes:
              description:
                - Size of the header that the kernel renews when processors or memory come and go. 0 on kernels that do
                  not.
              type: int
              sample: 0
        service:
          description: The service that loads it at boot.
          type: dict
          sample: {active: true, enabled: true, name: kdump-tools.service}
        target:
          description: Where a dump goes. The sizes of a remote target are not asked for.
          type: dict
          sample: {free_bytes: 3000000000, kind: local, path: /var/crash, total_bytes: 4000000000}
        dumps:
          description: The newest dumps, oldest first.
          type: list
          elements: dict
          contains:
            path:
              description: The file.
              type: str
              sample: /var/crash/202611230405/dump.202611230405
            bytes:
              description: Its size.
              type: int
              sample: 20500000
            time:
              description: When it was written, in seconds since the epoch.
              type: float
              sample: 1795752300.0
            complete:
              description: Whether it has its end marker. V(null) for a kind that has none.
              type: bool
              sample: true
        unknown:
          description: What could not be read, and why, by the dotted path of the fact.
          type: dict
          sample: {}
"""

from typing import Any, Dict, Mapping

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump

SPEC: Dict[str, Any] = {"root": {"type": "path"}}


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read kdump."""
    returned: Dict[str, Any] = {"ansible_facts": {"fleetops_kdump": kdump.read(host)}}
    if not host.live:
        returned["left_behind"] = host.left_behind()
    return Result(returned=returned)


def main() -> None:
    """Entry point."""
    execute(SPEC, run)


if __name__ == "__main__":
    main()
