# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Who runs on a node: its processes, and the containers that the kubelet knows of."""

from __future__ import annotations

from typing import List, NamedTuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Missing, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import names

PODS = "/var/lib/kubelet/pods"


class Process(NamedTuple):
    """``comm`` is cut to 15 bytes by the kernel (TASK_COMM_LEN)."""

    pid: str
    comm: str


class Container(NamedTuple):
    """A container of a pod that is on the node, whether it runs now or not."""

    pod: str
    name: str


def processes(host: Host) -> List[Process]:
    """All processes of the machine. Raises Unreadable where not all of them are seen."""
    numbers = host.listdir("/proc")
    try:
        seen = host.read("/proc/2/comm").strip() == "kthreadd"
    except Missing:
        seen = False
    if not seen:
        raise Unreadable("not all processes of the machine are seen from here (a container, or hidepid)")
    return [Process(name, _comm(host, name)) for name in numbers if name.isdigit()]


def containers(host: Host) -> List[Container]:
    """The containers of all pods; none without a kubelet."""
    return [
        Container(pod, name) for pod in names(host, PODS) for name in names(host, f"{PODS}/{pod}/containers")
    ]


def _comm(host: Host, pid: str) -> str:
    try:
        return host.read(f"/proc/{pid}/comm").strip()
    except Missing:
        return ""  # it has ended since
    except Unreadable as error:
        if "No such process" in error.msg:  # ended between open and read
            return ""
        raise
