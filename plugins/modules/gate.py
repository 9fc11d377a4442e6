#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Wait until a node may return to work
version_added: 0.1.0
description:
  - Looks at a node until all gates are open, and fails when they do not open in time, naming each that stays closed and
    why. What cannot be told keeps a gate closed.
  - A look reads the node once for all gates that are still closed (M(fleetops.kernel.node_facts)).
  - A node that does not answer, or a look that fails, keeps the gates closed with that reason, and is waited for.
  - Says at once, and then every minute, what is waited for and why.
options:
  gates:
    description:
      - Which gates. What each asks is said at P(fleetops.kernel.gate#filter).
    type: list
    elements: str
    required: true
  options:
    description:
      - By the name of a gate, its own options, and V(timeout) and V(stable_for) for it alone.
      - An option that the gate does not know is an error before the first look.
    type: dict
    default: {}
  before:
    description:
      - The RV(ignore:ansible_facts) of a look before, for V(no_new_oops) and V(units_running).
    type: dict
  timeout:
    description:
      - Seconds until a gate has to be open. V(0) looks once.
      - The wait ends as soon as one gate cannot open any more, such as V(kernel_running) when another kernel runs, or
        V(no_stale_links), which waits 60 seconds for a link to go.
    type: float
    default: 600
  interval:
    description: Seconds between two looks.
    type: float
    default: 10
  stable_for:
    description:
      - Seconds for which a gate has to pass in a row. By default as each gate needs it, 10 for V(kdump_armed), 20 for
        V(units_running), and otherwise 0.
    type: float
  lost_after:
    description:
      - Seconds in a row without an answer of the node after which the wait is over. V(0) waits until O(timeout).
    type: float
    default: 0
attributes:
  check_mode:
    support: full
    details:
      - Looks once, says what would be waited for, and does not fail. Commands of the gate V(command) are not run.
  diff_mode:
    support: none
  platform:
    support: full
    platforms: posix
extends_documentation_fragment:
  - fleetops.kernel.attributes
notes:
  - A look that takes longer than three minutes counts as a node that does not answer. A task with the keyword
    C(timeout) has only that.
seealso:
  - plugin: fleetops.kernel.gate
    plugin_type: filter
  - module: fleetops.kernel.node_facts
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Wait until the node is fit for work
  fleetops.kernel.gate:
    gates: [kernel_running, kdump_armed, no_stale_links]
    options:
      kernel_running:
        want: 6.1.0-56-amd64
      kdump_armed:
        timeout: 900

- name: Wait until no alert of this node fires, and Ceph is well
  fleetops.kernel.gate:
    gates: [prometheus_quiet, command]
    options:
      prometheus_quiet:
        url: https://prometheus.example.org
        alerts: Node.*|Ceph.*
        labels:
          instance: "{{ inventory_hostname }}:9100"
        stable_for: 120
      command:
        argv: [ceph, health]
        where: controller
"""

RETURN = r"""
gates:
  description:
    - Each gate, with C(name), C(passed), C(reason), C(evidence), and C(seconds), how long it took or was waited for.
  returned: success or failure
  type: list
  elements: dict
  sample:
    - name: kdump_armed
      passed: true
      reason: a capture image is loaded into 224 MiB
      evidence: []
      seconds: 31.4
passed:
  description: Whether all are open.
  returned: success or failure
  type: bool
answers:
  description: Whether the node answered the last look.
  returned: success or failure
  type: bool
looks:
  description: How many looks there were.
  returned: success or failure
  type: int
seconds:
  description: How long it took.
  returned: success or failure
  type: float
"""
