#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Begin, end, pause or show a rollout
version_added: 0.1.0
description:
  - "A rollout takes a change through a fleet, wave after wave: nodes that an earlier run left half-way, canaries, then
    zone by zone. What it did is kept in the ledger, a file on the controller, so that the same command goes on after
    any end of the run before, kill -9 included."
  - Runs once, on the controller, and opens no connection.
  - "O(state=planned) reads the variables C(fleetops_*) that the README describes, and checks all of them at once."
options:
  ledger:
    description: The ledger, on the controller. Its folder is made if it is not there.
    type: path
    required: true
  state:
    description:
      - V(planned) judges the hosts, makes the plan, shows it, writes it as C(plan.json) below O(dir), and begins this
        run in the ledger. An unfinished rollout is gone on with; one for another goal is an error, unless
        C(fleetops_abandon) is true. A finished one is put aside as C(rollout-<id>.jsonl).
      - V(finished) ends this run in the ledger. It fails unless every planned node is done and every host was reached.
      - V(paused) lets no other node begin, and V(resumed) lets them again. Both may be said at any time.
      - V(status) shows who is done, under way, waiting or failed, and whether the process that rolls is alive.
      - V(abandoned) gives an unfinished rollout up, when nobody rolls.
    type: str
    choices: [planned, finished, paused, resumed, status, abandoned]
    required: true
  kind:
    description: What is planned. V(remediate) cures findings, V(kernel) brings each host to the kernel it is to run.
    type: str
    choices: [remediate, kernel]
    default: remediate
  hosts:
    description: With O(state=planned), the hosts of the play. An empty list is an error.
    type: list
    elements: str
    default: []
  steps:
    description:
      - With O(state=planned), what is to be done, judged by somebody else. Each has C(host), and may have C(roles),
        C(because) and C(reboot). Facts are then not looked at.
    type: list
    elements: dict
  goal:
    description: With O(steps), what they are for. The same words go on with an unfinished rollout.
    type: str
    default: ""
  wish:
    description:
      - With O(kind=kernel), the kernel for all hosts, as a variable of P(fleetops.kernel.kernel_upgrade#role).
    type: dict
  advisories_dirs:
    description: Folders with a site's own advisories.
    type: list
    elements: path
    default: []
  dir:
    description: With O(state=planned), the folder on the controller for C(plan.json).
    type: path
    default: ./fleetops-report
  why:
    description: With O(state=paused) and O(state=abandoned), the reason.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    details: The plan is made, shown and written; the ledger stays as it is. C(fleetops_plan_only) does the same.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: all
    details: Nothing runs on the managed node.
extends_documentation_fragment:
  - fleetops.kernel.attributes
seealso:
  - module: fleetops.kernel.rollout_slot
  - plugin: fleetops.kernel.run_lock
    plugin_type: filter
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Plan
  fleetops.kernel.rollout:
    ledger: "{{ fleetops_ledger }}"
    state: planned
    hosts: "{{ ansible_play_hosts_all }}"
  run_once: true
  delegate_to: localhost
  register: fleetops_plan

- name: Fail unless all is done
  fleetops.kernel.rollout:
    ledger: "{{ fleetops_ledger }}"
    state: finished
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
steps:
  description: Who is touched, in this order, each with what is done and the number of its wave.
  returned: with O(state=planned)
  type: list
  elements: dict
serial:
  description: The sizes of the waves, for C(serial) of the play that rolls.
  returned: with O(state=planned)
  type: list
  elements: int
  sample: [1, 20, 20]
planned:
  description: The hosts of RV(steps).
  returned: with O(state=planned)
  type: list
  elements: str
resumed:
  description: Whether an earlier run is gone on with.
  returned: with O(state=planned)
  type: bool
path:
  description: The plan as JSON.
  returned: with O(state=planned)
  type: str
  sample: /home/ops/fleetops-report/plan.json
dark:
  description: Hosts that were not reached when they were looked at, with the reason. They are not touched.
  returned: with O(state=planned) and O(state=finished)
  type: dict
  sample: {node-b2: "Failed to connect to the host via ssh"}
left_out:
  description: Hosts that do not run the kernel that is wanted and are not brought to it, with the reason.
  returned: with O(state=planned)
  type: dict
  sample: {node-b3: "no reboot is planned: module-missing:6.1.0-56-cloud-amd64: ena is in use"}
outcomes:
  description: By planned host C(status) (V(done), V(failed) or V(not attempted)) and C(why).
  returned: with O(state=finished)
  type: dict
outcome:
  description: V(finished), V(stopped), V(paused) or V(window). In a status '' while the run is not over.
  returned: with O(state=finished) and O(state=status)
  type: str
  sample: finished
done:
  description: The planned hosts that are done.
  returned: with O(state=finished)
  type: list
  elements: str
failed_nodes:
  description: The hosts that failed in this run, with the reason.
  returned: with O(state=finished)
  type: dict
  sample: {node-a2: "Prove the kernel: runs 6.1.0-18-amd64"}
not_attempted:
  description: The planned hosts that were not touched, with the reason.
  returned: with O(state=finished)
  type: dict
  sample: {node-a3: "node-a2 failed, 0 tolerated"}
life:
  description:
    - V(none) when there is no rollout, V(ended) when the last run came to its end, V(rolling) while one is under way.
    - V(ending) when it died and its workers still finish their last steps, V(dead) when nobody is left, V(stuck) when a
      worker was killed and Ansible waits for it for ever.
  returned: with O(state=status)
  type: str
  sample: rolling
nodes:
  description: By host C(status), C(stage), C(since) (epoch seconds) and C(why).
  returned: with O(state=status)
  type: dict
gone:
  description: Hosts whose place no living process holds.
  returned: with O(state=status)
  type: list
  elements: str
left:
  description: Hosts that were left half-way or had failed.
  returned: with O(state=abandoned)
  type: list
  elements: str
"""
