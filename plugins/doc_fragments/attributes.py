# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every module says about check mode, diff mode and platform, in one place.

* ``fleetops.kernel.attributes``: for a module that changes something. It adds ``support:`` to
  ``check_mode`` and ``diff_mode``; the platform is filled in here.
* ``fleetops.kernel.attributes.facts``: beside the first, for a module that returns ``ansible_facts``. It brings the
  option ``root``, which `_module` hands to `Host`.
* ``fleetops.kernel.attributes.info``: beside the first, for a module that only reads and returns no facts.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what it would change without changing it.
  diff_mode:
    description: Returns in diff mode what it changed, or in check mode what it would change.
  platform:
    description: The systems that this module can be used on.
    support: full
    platforms: linux
"""

    FACTS = r"""
options:
  root:
    description:
      - Read below this directory instead of the running machine. A captured tree, an unpacked sosreport, or the mounted
        disk of a machine that does not boot any more. A directory that is none of them is an error.
      - What is not in it is unknown, and above all what only a running machine can tell.
    type: path
attributes:
  check_mode:
    support: full
    details: This module reads only.
  diff_mode:
    support: N/A
    details: This module changes nothing.
  facts:
    description: Returns an C(ansible_facts) dictionary that becomes part of the facts of the host.
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This module reads only.
  diff_mode:
    support: N/A
    details: This module changes nothing.
"""
