#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links that a former CNI or kube-proxy left behind: shown, and removed when they are provably unused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stale_interfaces
short_description: Find and remove network links that a former CNI or kube-proxy left behind
version_added: 0.1.0
description:
  - Knows the links C(kube-ipvs0) (dummy, made by kube-proxy in IPVS mode) and C(flannel.1) (vxlan, made by flannel),
    and tells for each on this node whether it is still in use, with the proof.
  - With O(state=absent) it removes those that are provably unused. One whose use cannot be judged stays.
  - What it decided is looked at again in the moment of removal. A link is removed only if its name, its index, its kind
    and the judgement are still the same.
  - Before a removal an undo record is written, with which M(fleetops.kernel.undo) makes the same link again, with its
    addresses, routes, permanent neighbours and forwarding entries.
  - Removing needs the Python library C(pyroute2). A node that does not have it gets the one of the controller, for the
    time of the task only.
options:
  state:
    description:
      - V(gathered) shows the links and removes nothing.
      - V(absent) removes those that are stale.
    type: str
    choices: [gathered, absent]
    default: gathered
  names:
    description:
      - Only these links. One that does not exist is fine.
      - With O(state=absent), one that is in use, that cannot be judged or whose kind is unknown is an error, and
        nothing is removed.
      - Without it, all known links are meant, and those that are in use or cannot be judged stay, see RV(kept).
    type: list
    elements: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleetops.kernel.attributes
requirements:
  - pyroute2 on the node or on the controller, for O(state=absent)
notes:
  - Judging needs root, since it looks at all processes and at the containers of kubelet.
seealso:
  - module: fleetops.kernel.undo
author:
  - fleetops.kernel contributors (@fleetops)
"""

EXAMPLES = r"""
- name: Show what a former CNI or kube-proxy left behind
  fleetops.kernel.stale_interfaces:
  register: found

- name: Remove what is provably unused
  fleetops.kernel.stale_interfaces:
    state: absent

- name: Remove this one, and fail when it is in use
  fleetops.kernel.stale_interfaces:
    state: absent
    names: [kube-ipvs0]
"""

RETURN = r"""
links:
  description: The links of known makers, with the judgement, as they were before anything was removed.
  returned: success
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
      description: Its kind.
      type: str
      sample: dummy
    maker:
      description: Who makes links of this name and kind.
      type: str
      sample: kube-proxy
    up:
      description: Whether it is administratively up.
      type: bool
      sample: false
    addresses:
      description: Its addresses.
      type: list
      elements: str
      sample: [10.96.0.1/32]
    stale:
      description: Whether it is left behind. V(null) when that cannot be judged.
      type: bool
      sample: true
    severity:
      description: What it weighs if it is left behind, V(high), V(medium) or V(low).
      type: str
      sample: medium
    reason:
      description: Why, in a sentence.
      type: str
      sample: kube-ipvs0 (dummy, made by kube-proxy) is left behind (no process kube-proxy, ...)
    evidence:
      description: What was read, and where.
      type: list
      elements: dict
removed:
  description: Names of the links that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [kube-ipvs0]
kept:
  description: With O(state=absent), the links that stay, and why.
  returned: success
  type: list
  elements: dict
  sample: [{name: flannel.1, reason: "flannel.1 (vxlan, made by flannel) is in use: process flanneld (pid 812)"}]
undo:
  description: The record that M(fleetops.kernel.undo) can put back. V(null) when nothing was removed.
  returned: success
  type: str
  sample: 20250102T030405-0003-stale_interfaces
"""

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _netlink, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result, execute
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import links as reader
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import diff
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Link

NAME = "stale_interfaces"
SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["gathered", "absent"], "default": "gathered"},
    "names": {"type": "list", "elements": "str"},
}
# IFNAMSIZ is 16 with the final NUL (include/uapi/linux/if.h); the rest is dev_valid_name of net/core/dev.c.
NAME_BYTES = 15
SYS_NET = "/sys/class/net"


def run(host: Host, params: Mapping[str, Any]) -> Result:
    """Read and judge the links; say which are to be removed."""
    names = check(params["names"])
    remove = params["state"] == "absent"
    if remove:
        _guard.require_machine(host)
    judged = look(host)
    if names is not None:
        refuse_unknown(host, names, judged)
        judged = [(link, judgement) for link, judgement in judged if link["name"] in names]
    stale = [link for link, judgement in judged if remove and judgement["stale"]]
    others = [(link, judgement) for link, judgement in judged if remove and not judgement["stale"]]
    if names is not None and others:
        raise FleetopsError(
            "Nothing was removed: " + "; ".join(judgement["reason"] for _link, judgement in others),
            evidence={link["name"]: judgement["evidence"] for link, judgement in others},
        )
    return Result(
        plan=stale,
        returned={
            "links": [shown(link, judgement) for link, judgement in judged],
            "removed": [link["name"] for link in stale],
            "kept": [{"name": link["name"], "reason": judgement["reason"]} for link, judgement in others],
            "undo": None,
        },
        diff=diff.part(
            "links",
            "".join(described(link) for link, _judgement in judged),
            "".join(described(link) for link, _judgement in judged if link not in stale),
        ),
    )


def apply(host: Host, params: Mapping[str, Any], result: Result) -> Dict[str, Any]:
    """Look again, write down how to make the links again, remove them."""
    _netlink.require()
    planned: List[Link] = result.plan
    now = {link["name"]: (link, judgement) for link, judgement in look(host)}
    for link in planned:
        again, judgement = now.get(link["name"], (None, None))
        if again is None or judgement is None or identity(again) != identity(link):
            raise FleetopsError(
                f"Nothing was removed: {link['name']} is not the link any more that was judged a moment ago",
                link=link["name"],
            )
        if not judgement["stale"]:
            raise FleetopsError(f"Nothing was removed: {judgement['reason']}", evidence=judgement["evidence"])
    current = [now[link["name"]][0] for link in planned]
    steps = [{"do": "add_link", "link": link, "saved": _netlink.save(link)} for link in current]
    undo = _undo.record(host, NAME, [described(link).rstrip("\n") for link in current], steps)
    done: List[str] = []
    for link in current:
        try:
            _netlink.remove(link)
        except FleetopsError as error:
            raise FleetopsError(
                f"{error.msg}. Removed before that: {', '.join(done) or 'nothing'}; the undo record is {undo['id']}",
                **{**error.context, "removed": done, "undo": undo["id"]},
            ) from error
        done.append(link["name"])
    return {"undo": undo["id"]}


def look(host: Host) -> List[Tuple[Link, rules.Judgement]]:
    """The links of known makers, each judged."""
    facts = reader.read(host)
    if facts["links"] is None:
        raise FleetopsError(f"The links cannot be read: {facts['unknown'].get('links', 'no reason given')}")
    return [(link, rules.judge(link)) for link in facts["links"]]


def check(names: Optional[List[str]]) -> Optional[List[str]]:
    """The names of a task, each of them one that a link can have."""
    for name in names or []:
        size = len(name.encode("utf-8"))
        if size > NAME_BYTES:
            raise FleetopsError(
                f"'{name}' cannot be the name of a link: it has {size} bytes, at most {NAME_BYTES} fit"
            )
        if not name or name in (".", "..") or re.search(r"[/:\s]", name):
            raise FleetopsError(
                f"'{name}' cannot be the name of a link: expected 1 to {NAME_BYTES} bytes without /, : or space"
            )
    return names


def refuse_unknown(host: Host, names: List[str], judged: List[Tuple[Link, rules.Judgement]]) -> None:
    """Raise for a name that exists and is of no kind that we can judge."""
    known = {link["name"] for link, _judgement in judged}
    strange = [name for name in names if name not in known and host.exists(f"{SYS_NET}/{name}")]
    if strange:
        raise FleetopsError(
            f"Nothing was removed: {', '.join(strange)} exists, but who made it is not known. Known are "
            f"{rules.known_kinds()}. Another kind is one row in STALE_LINK_RULES of "
            "plugins/module_utils/_rules/links.py",
            links=strange,
        )


def identity(link: Link) -> Tuple[str, int, str]:
    """What makes a link this one and no other."""
    return link["name"], link["index"], link["kind"]


def shown(link: Link, judgement: rules.Judgement) -> Dict[str, Any]:
    """A link as it is returned."""
    return {
        **{name: link[name] for name in ("name", "index", "kind", "maker", "up")},
        "addresses": addresses(link),
        **judgement,
    }


def described(link: Link) -> str:
    """A link as a diff shows it: one line."""
    state = "UP" if link["up"] else "DOWN"
    words = [f"{link['name']}: {link['kind']} {state} mtu {link['mtu']} {link['mac']}", *addresses(link)]
    return " ".join(words) + "\n"


def addresses(link: Link) -> List[str]:
    """Its addresses, as a person writes them."""
    return [f"{address['address']}/{address['prefixlen']}" for address in link["addresses"]]


def main() -> None:
    """Entry point."""
    execute(SPEC, run, apply)


if __name__ == "__main__":
    main()
