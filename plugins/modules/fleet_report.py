#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Say what is known about a fleet, on the terminal and as JSON
version_added: 0.1.0
description:
  - "Judges the facts of all given hosts and says first of all what each would do if it panicked now: dump, reboot,
    hang, or unknown, and why. Then what is wrong, how that is known, and which role cures it."
  - Writes the same as JSON, in one step, in check mode too. Only the user who runs Ansible can read the file, since the
    command lines in it may hold what is nobody else's business.
  - Runs once, on the controller, and opens no connection. It takes the facts that M(fleetops.kernel.node_facts) left
    with each host, and, where the role P(fleetops.kernel.assess#role) looked, why a host could not be reached or read.
  - For what changes nodes it runs twice. V(before) keeps what was found; V(after) adds, from C(plan.json) below O(dir)
    (see M(fleetops.kernel.rollout)) and O(outcomes), what became of each node and what changed.
  - Fails, after it has written and printed, when a host could not be reached or read, when a planned node was not
    cured, and as O(fail_on) says. The exit code of C(ansible-playbook) is then 2.
options:
  name:
    description: Which report. Its file is C(<name>.json) below O(dir).
    type: str
    choices: [assess, remediate, rolling_kernel_upgrade]
    default: assess
  stage:
    description:
      - V(before) keeps what is to be compared with; V(after) completes it.
      - A report O(name=assess) knows V(after) only in effect; nothing is compared.
    type: str
    choices: [before, after]
    default: after
  hosts:
    description: The hosts to report on. An empty list is an error.
    type: list
    elements: str
    required: true
  outcomes:
    description: What became of planned nodes, C(status) and C(why) by host, as M(fleetops.kernel.rollout) returns it.
    type: dict
    default: {}
  advisories_dirs:
    description:
      - Folders with a site's own advisories, read beside those of the collection. One with the id of one of the
        collection's takes its place.
    type: list
    elements: path
    default: []
  dir:
    description: The folder on the controller that the file is written to. It is made if it is not there.
    type: path
    default: ./fleetops-report
  fail_on:
    description:
      - A finding of this severity or worse makes the task fail. An unknown one counts with the severity of its rule.
    type: str
    choices: [never, low, medium, high, critical]
    default: never
attributes:
  check_mode:
    support: full
    details: The file is written in check mode as well.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: all
    details: Nothing runs on the managed node.
extends_documentation_fragment:
  - fleetops.kernel.attributes
seealso:
  - module: fleetops.kernel.node_facts
  - plugin: fleetops.kernel.plan
    plugin_type: filter
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Look at the nodes
  fleetops.kernel.node_facts:

- name: Report, and fail for what is serious
  fleetops.kernel.fleet_report:
    hosts: "{{ ansible_play_hosts_all }}"
    dir: "{{ fleetops_report_dir | default('./fleetops-report') }}"
    fail_on: high
"""

RETURN = r"""
path:
  description: The file that was written.
  returned: always
  type: str
  sample: /home/ops/fleetops-report/assess.json
summary:
  description: Counts of hosts, findings and verdicts, and the names of hosts that could not be reached or read.
  returned: always
  type: dict
  sample:
    hosts: 3
    nodes: {clean: 1, affected: 1, unknown: 0}
    findings: {affected: 5, unknown: 0}
    on_panic: {hangs: 1, unknown: 1, reboots: 0, dumps: 1}
    outcomes: {}
    unreachable: [node-b2]
    unreadable: []
    bad_variables: []
clean:
  description: Whether every host was read and has no finding that is affected or unknown.
  returned: always
  type: bool
affected:
  description: The number of findings that are so.
  returned: always
  type: int
unknown:
  description: The number of findings that could not be told.
  returned: always
  type: int
"""
