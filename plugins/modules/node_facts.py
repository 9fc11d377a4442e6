#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that the collection wants to know about a node, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_facts
short_description: Read kernel, kdump, network links and other actors of a node in one round trip
version_added: 0.1.0
description:
  - Reads what the collection judges a node by, and has no opinion of its own. Playbooks use this module, so that a look
    at a node is one transfer. M(fleetops.kernel.kernel_facts) and M(fleetops.kernel.kdump_facts) read one part each.
  - What cannot be read is V(null), and the C(unknown) mapping of its part says why, by the dotted path of the fact. One
    thing that cannot be read never hides another.
  - Works without root as far as it goes, in containers and on any distribution.
  - Starts at most three programs on the node (C(dpkg-query) or C(rpm), C(systemctl), C(ip)). All else comes from files.
    For C(units), C(systemctl) runs once more. For C(boot_id), a single file is read.
options:
  gather_subset:
    description:
      - Which parts to read, C(kernel), C(kdump), C(links), C(actors), C(units) and C(boot_id).
      - V(all), or nothing but exclusions, means all of them but C(units) and C(boot_id), which have to be named. A part
        with C(!) before it is left out, and V(!all) leaves out what is not named by itself.
    type: list
    elements: str
    default: [all]
extends_documentation_fragment:
  - fleetops.kernel.attributes
  - fleetops.kernel.attributes.facts
seealso:
  - module: fleetops.kernel.kernel_facts
  - module: fleetops.kernel.kdump_facts
  - module: fleetops.kernel.stale_interfaces
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Read everything
  fleetops.kernel.node_facts:

- name: Say what could not be read
  ansible.builtin.debug:
    msg: "{{ ansible_facts.fleetops_kernel.unknown }}"

- name: Read all but the links
  fleetops.kernel.node_facts:
    gather_subset: ["!links"]

- name: Read the kernels on the disk of a dead machine, on the controller
  fleetops.kernel.node_facts:
    gather_subset: [kernel]
    root: /mnt
  delegate_to: localhost
  register: look
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
      description: What runs, what is installed and what boots next. See M(fleetops.kernel.kernel_facts).
      returned: when O(gather_subset) has C(kernel)
      type: dict
    fleetops_kdump:
      description: Whether the node can take its own dump. See M(fleetops.kernel.kdump_facts).
      returned: when O(gather_subset) has C(kdump)
      type: dict
    fleetops_links:
      description: The network links whose maker is known.
      returned: when O(gather_subset) has C(links)
      type: dict
      contains:
        links:
          description: These links, each with every place where a use of it would show.
          type: list
          elements: dict
          contains:
            name:
              description: Name of the link.
              type: str
              sample: kube-ipvs0
            index:
              description: Its number.
              type: int
              sample: 7
            kind:
              description: Its kind, as C(ip -d) names it.
              type: str
              sample: dummy
            up:
              description: Whether it is set up. A carrier does not matter.
              type: bool
              sample: false
            mac:
              description: Its hardware address.
              type: str
              sample: 5e:2f:7c:00:00:01
            mtu:
              description: Its largest packet in bytes.
              type: int
              sample: 1500
            master:
              description: The bridge or bond that it is a port of.
              type: str
              sample: null
            addresses:
              description: Its addresses, at most 16 of them.
              type: list
              elements: dict
              contains:
                family:
                  description: C(inet) or C(inet6).
                  type: str
                  sample: inet
                address:
                  description: The address.
                  type: str
                  sample: 10.96.0.1
                prefixlen:
                  description: Length of its prefix in bits.
                  type: int
                  sample: 32
                scope:
                  description: How far it is valid.
                  type: str
                  sample: global
            addresses_total:
              description: How many addresses it has.
              returned: when RV(ansible_facts.fleetops_links.links[].addresses) holds only the first of them
              type: int
              sample: 4996
            attributes:
              description: What its kind has of its own, as C(ip -d -j) names it.
              type: dict
              sample: {id: 1, port: 8472}
            maker:
              description: Who makes such links.
              type: str
              sample: kube-proxy
            users:
              description: Signs that it is in use, a line each.
              type: list
              elements: str
              sample: []
            users_unknown:
              description: What could not be asked, a line each with the reason. Then nobody knows whether it is in use.
              type: list
              elements: str
              sample: []
        total:
          description: How many links the node has in all.
          type: int
          sample: 4
        unknown:
          description: What could not be read, and why, by the dotted path of the fact.
          type: dict
          sample: {}
    fleetops_actors:
      description:
        - Who else may reboot the node, remove its kernels or undo its network. Read from files, without a program.
      returned: when O(gather_subset) has C(actors)
      type: dict
      contains:
        upgrades:
          description: Those installed that upgrade by themselves, C(unattended-upgrades) and C(dnf-automatic).
          type: list
          elements: dict
          contains:
            name:
              description: Its name.
              type: str
              sample: unattended-upgrades
            enabled:
              description: Whether it installs upgrades, by its settings and its timer.
              type: bool
              sample: true
            reboots:
              description: Whether it then reboots where it finds that necessary.
              type: bool
              sample: false
            removes_kernels:
              description: Whether it removes older kernels.
              type: bool
              sample: true
            lines:
              description: The settings that say so, and their files. What no file sets has its default.
              type: list
              elements: dict
              sample: [{source: /etc/apt/apt.conf.d/20auto-upgrades, text: 'APT::Periodic::Unattended-Upgrade "1";'}]
        kured:
          description: kured, which reboots a node of Kubernetes when a file is there.
          type: dict
          contains:
            running:
              description: Whether a process or a container of it is on the node.
              type: bool
              sample: true
            sentinel:
              description: The file that it waits for, or the command that it asks.
              type: str
              sample: /var/run/reboot-required
            sentinel_present:
              description: Whether that file is there now.
              type: bool
              sample: false
            lines:
              description: Where this was seen.
              type: list
              elements: dict
              sample: [{source: /proc/4711/comm, text: kured}]
        networkd:
          description: systemd-networkd.
          type: dict
          contains:
            active:
              description: Whether it runs.
              type: bool
              sample: true
            manages_foreign_routes:
              description: Whether it removes routes that it did not make, C(ManageForeignRoutes).
              type: bool
              sample: true
            manages_foreign_rules:
              description: Whether it removes routing rules that it did not make, C(ManageForeignRoutingPolicyRules).
              type: bool
              sample: true
            lines:
              description: Where this was seen. What no file sets is V(true), by the default of systemd.
              type: list
              elements: dict
              sample: [{source: /sys/fs/cgroup/system.slice/systemd-networkd.service/cgroup.procs, text: '412'}]
        cilium:
          description: Whether Cilium is on the node.
          type: bool
          sample: true
        unknown:
          description: What could not be read, and why, by the dotted path of the fact.
          type: dict
          sample: {}
    fleetops_units:
      description:
        - The services of systemd, without C(.service). Left out are those of single sessions, connections and
          C(systemd-run), and those that only start when somebody asks for them.
      returned: when O(gather_subset) has C(units)
      type: dict
      contains:
        running:
          description: Those that run and stay.
          type: list
          elements: str
          sample: [chrony, cron, ssh]
        finished:
          description: Those that are active, and have done their work.
          type: list
          elements: str
          sample: [kdump-tools]
        starting:
          description: Those that are on their way.
          type: list
          elements: str
          sample: []
        failed:
          description: Those that have failed.
          type: list
          elements: str
          sample: []
        by_hand:
          description: Of those that run, the ones that no boot starts.
          type: list
          elements: str
          sample: []
        unknown:
          description: What could not be read, and why, by the dotted path of the fact.
          type: dict
          sample: {}
    fleetops_boot_id:
      description: The boot that the node is in, as C(boot_id) of C(fleetops_kernel) has it. V(null) when it is unknown.
      returned: when O(gather_subset) has C(boot_id)
      type: str
      sample: 6f1c8f0e-3a52-4f0e-9c1e-0d6a1b2c3d4e
"""

from typing import Any, Callable, Dict, Mapping, Optional

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, chosen, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import (
    actors,
    kdump,
    kernel,
    links,
    units,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._types import LinksFacts

SPEC: Dict[str, Any] = {
    "gather_subset": {"type": "list", "elements": "str", "default": ["all"]},
    "root": {"type": "path"},
}
# A kube-ipvs0 has an address per service: thousands, where facts are to stay under 8 KB.
MOST_ADDRESSES = 16
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def few_addresses(host: Host) -> LinksFacts:
    """The links, with no more addresses than facts can hold."""
    facts = links.read(host)
    for link in facts["links"] or []:
        if len(link["addresses"]) > MOST_ADDRESSES:
            link["addresses_total"] = len(link["addresses"])
            link["addresses"] = link["addresses"][:MOST_ADDRESSES]
    return facts


def boot_id(host: Host) -> Optional[str]:
    """Which boot this is, and no more: whoever waits looks every few seconds."""
    try:
        return host.read(BOOT_ID).strip() or None
    except FleetopsError:
        return None


PARTS: Dict[str, Callable[[Host], Any]] = {
    "kernel": kernel.read,
    "kdump": kdump.read,
    "links": few_addresses,
    "actors": actors.read,
    "units": units.read,
    "boot_id": boot_id,
}
# What only a gate asks for.
ON_DEMAND = ("units", "boot_id")


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read the parts that are asked for."""
    asked = chosen(params["gather_subset"], PARTS, on_demand=ON_DEMAND)
    facts = {f"fleetops_{name}": PARTS[name](host) for name in asked}
    returned: Dict[str, Any] = {"ansible_facts": facts}
    if not host.live:
        returned["left_behind"] = host.left_behind()
    return Result(returned=returned)


def main() -> None:
    """Entry point."""
    execute(SPEC, run)


if __name__ == "__main__":
    main()
