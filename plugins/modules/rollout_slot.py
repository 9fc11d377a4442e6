#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_slot
short_description: A node's place in a rollout
version_added: 0.1.0
description:
  - A node takes a place before it is touched and gives it back at its end. All is kept in the ledger, a file on the
    controller, from which a later run resumes.
  - Runs on the controller, once per host, and opens no connection. M(fleetops.kernel.rollout) with C(state=planned) has
    to begin the run before.
  - A wait is told on the terminal, at once and then each minute, by the node that comes first.
options:
  ledger:
    description: The ledger of the rollout, on the controller.
    type: path
    required: true
  state:
    description:
      - V(acquire) waits for a place. It is granted in the order of the plan, as far as the number of nodes at once (in
        all and per zone), the nodes of the zone that are not available, and the soak after the wave before allow it. A
        paused rollout is waited for, too.
      - It is refused, and does not fail, when the failure budget is spent, the rollout is paused for too long, an
        earlier wave has not ended, or the maintenance window would close before the node is done. A refused node is
        not attempted in this run; the next one asks again.
      - V(stage) says what is done to the node now, for who looks at the status.
      - V(failing) counts as a failure at once, and keeps the place, while the node is brought back to where it was.
      - V(done) and V(failed) give the place back.
      - V(power) asks whether the node may be power-cycled, and counts it.
    type: str
    choices: [acquire, stage, failing, done, failed, power]
    required: true
  stage:
    description: With O(state=stage), a word or two.
    type: str
    default: ""
  why:
    description: With O(state=failing) and O(state=failed), the reason. Without one, V(failed) has that of V(failing).
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    details: Every place is granted at once, and nothing is written.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: all
    details: Nothing runs on the managed node.
extends_documentation_fragment:
  - fleetops.kernel.attributes
notes:
  - The block between V(acquire) and V(done) holds static imports only. An C(include_tasks) whose file is missing takes
    a node out of the play for good.
  - After Ctrl-C or a kill nothing gives the place back. The same command, run again, finishes the node.
seealso:
  - module: fleetops.kernel.rollout
  - plugin: fleetops.kernel.run_lock
    plugin_type: filter
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Wait for a place
  fleetops.kernel.rollout_slot:
    ledger: "{{ fleetops_ledger }}"
    state: acquire
  register: place

- name: One node
  when: place.granted
  block:
    - name: Say what comes
      fleetops.kernel.rollout_slot:
        ledger: "{{ fleetops_ledger }}"
        state: stage
        stage: upgrade

    - name: Give the place back
      fleetops.kernel.rollout_slot:
        ledger: "{{ fleetops_ledger }}"
        state: done
  rescue:
    - name: Count the failure
      fleetops.kernel.rollout_slot:
        ledger: "{{ fleetops_ledger }}"
        state: failed
        why: "{{ (ansible_failed_result | default({})).msg | default('no message') }}"
"""

RETURN = r"""
granted:
  description: Whether the node may be touched.
  returned: with O(state=acquire)
  type: bool
  sample: true
halfway:
  description: Whether an earlier run took a place for this node and never gave it back. How far it came is not known.
  returned: with O(state=acquire)
  type: bool
  sample: false
allowed:
  description: Whether the node may be power-cycled.
  returned: with O(state=power)
  type: bool
  sample: false
why:
  description: Why it was refused, or is not allowed.
  returned: with O(state=acquire), O(state=power) and O(state=failed)
  type: str
  sample: "node-a2 failed, 0 tolerated"
seconds:
  description: How long the node had its place.
  returned: with O(state=done)
  type: float
  sample: 412.5
stage:
  description: What was said.
  returned: with O(state=stage)
  type: str
  sample: upgrade
"""
