# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The door to pyroute2: links removed and made again. Readers never come here: its import alone costs 150 ms.

What a removal takes away is saved as the kernel itself names it (netlink attributes), and not in a vocabulary of
ours. Tried with dummy, ifb and vxlan. A kind that reports what it does not take when it is made (a bridge does)
needs a line here before it gets a row in `_rules/links.py`.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Mapping, Optional, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._types import Link

# The action plugins look for this in a failure's `error.missing_library`, and then carry the library over.
LIBRARY = "pyroute2"

# include/uapi/linux/{if.h,rtnetlink.h,neighbour.h,if_addr.h}
_IFF_UP = 0x1
_RTPROT_KERNEL = 2
_RTN_UNICAST = 1
_RT_SCOPE_LINK = 253
_NUD_PERMANENT = 0x80
_AF_BRIDGE = 7
# What the kernel sets by itself and would refuse, or not need, to be told: tentative, permanent, dadfailed ...
_IFA_F_SETTABLE = 0x02 | 0x20 | 0x100 | 0x200  # nodad, deprecated, managetempaddr, noprefixroute

_ADDRESS_PARTS = ("IFA_ADDRESS", "IFA_LOCAL", "IFA_BROADCAST", "IFA_LABEL")
_ROUTE_PARTS = ("RTA_DST", "RTA_GATEWAY", "RTA_PREFSRC", "RTA_PRIORITY", "RTA_TABLE")
_NEIGHBOUR_PARTS = ("NDA_DST", "NDA_LLADDR", "NDA_PORT", "NDA_VNI", "NDA_SRC_VNI")


class Saved(TypedDict):
    """Of a link, what `_types.Link` does not say and what the kernel needs to make the same one again."""

    info: Dict[str, Any]  # IFLA_INFO_DATA, without the prefix IFLA_, in lower case
    on: Optional[str]  # the name of the device it stands on
    txqlen: Optional[int]
    addr_gen_mode: Optional[int]
    addresses: List[Dict[str, Any]]
    routes: List[Dict[str, Any]]
    neighbours: List[Dict[str, Any]]  # permanent ones, and the forwarding entries of a vxlan


def require() -> Any:
    """The pyroute2 module. Its absence is an error that the action plugin recognises."""
    try:
        import pyroute2
    except Exception as error:  # absent, or made for a newer Python: 0.9 fails on 3.8 with a TypeError
        raise FleetopsError(
            f"Changing links needs the Python library {LIBRARY}, which cannot be used here ({error})",
            missing_library=LIBRARY,
        ) from error
    return pyroute2


def save(link: Link) -> Saved:
    """Read what a removal of this link takes with it. Raises FleetopsError when it is not that link any more."""
    with _netlink() as netlink:
        message = _find(netlink, link)
        index = link["index"]
        info = _info(message)
        if link["kind"] == "vxlan" and "ttl" in link["attributes"]:
            # The kernel dumps a byte where it takes a flag, so that pyroute2 reads a 0 as set. iproute2's JSON
            # leaves `ttl` out when it is inherited.
            info.pop("vxlan_ttl_inherit", None)
        on = None
        for name in [name for name in info if name.endswith("_link")]:
            below = info.pop(name)
            on = _name_of(netlink, below) if below else on
        return {
            "info": info,
            "on": on,
            "txqlen": message.get_attr("IFLA_TXQLEN"),
            "addr_gen_mode": _addr_gen_mode(message),
            "addresses": [
                {
                    "family": address["family"],
                    "prefixlen": address["prefixlen"],
                    "scope": address["scope"],
                    "flags": (address.get_attr("IFA_FLAGS") or address["flags"]) & _IFA_F_SETTABLE,
                    **_parts(address, _ADDRESS_PARTS),
                }
                for address in _tuple(netlink.get_addr(index=index))
            ],
            "routes": [
                {
                    **{name: route[name] for name in ("family", "dst_len", "tos", "scope", "proto", "flags")},
                    **_parts(route, _ROUTE_PARTS),
                }
                for route in _tuple(netlink.get_routes(oif=index))
                if route["proto"] != _RTPROT_KERNEL and route["type"] == _RTN_UNICAST
            ],
            "neighbours": [
                {
                    **{name: neighbour[name] for name in ("family", "state", "flags")},
                    **_parts(neighbour, _NEIGHBOUR_PARTS),
                }
                for neighbour in [
                    *_tuple(netlink.get_neighbours(ifindex=index)),
                    *(_tuple(netlink.fdb("dump", ifindex=index)) if link["kind"] == "vxlan" else ()),
                ]
                if neighbour["ifindex"] == index and neighbour["state"] & _NUD_PERMANENT
            ],
        }


def remove(link: Link) -> None:
    """Remove a link, if name, index and kind are still those of *link*."""
    with _netlink() as netlink:
        _find(netlink, link)
        with _errors(f"Cannot remove {link['name']}"):
            netlink.link("del", index=link["index"])


def present(name: str) -> Optional[Dict[str, Any]]:
    """The index and kind of the link that has this name now, None when there is none."""
    with _netlink() as netlink:
        message = _lookup(netlink, name)
        return None if message is None else {"index": message["index"], "kind": _kind(message)}


def add(link: Link, saved: Saved) -> None:
    """Make a link again as it was. One of the same name and kind is completed, as after a killed attempt."""
    with _netlink() as netlink, _errors(f"Cannot make {link['name']} again"):
        message = _lookup(netlink, link["name"])
        if message is None:
            _create(netlink, link, saved)
            message = _lookup(netlink, link["name"])
        if message is None or _kind(message) != link["kind"]:
            raise FleetopsError(
                f"There is another link of the name {link['name']}, which is no {link['kind']}"
            )
        index = message["index"]
        mode = saved["addr_gen_mode"]
        if mode is not None and _addr_gen_mode(message) != mode:
            netlink.link("set", index=index, IFLA_AF_SPEC=_inet6_spec(mode))
        # The kernel makes a link-local address itself when the link goes up, and marks it as its own.
        _addresses(netlink, index, [a for a in saved["addresses"] if a["scope"] != _RT_SCOPE_LINK])
        netlink.link("set", index=index, state="up" if link["up"] else "down")
        _addresses(netlink, index, saved["addresses"], only=True)
        for neighbour in saved["neighbours"]:
            _neighbour(netlink, index, neighbour)
        for route in saved["routes"]:
            netlink.route("replace", oif=index, **_lower(route, "RTA_"))


# --- pieces ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _netlink() -> Iterator[Any]:
    pyroute2 = require()
    with _errors("Cannot talk to the kernel over netlink"):
        connection = pyroute2.IPRoute()
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn pyroute2's errors into ours, saying what was tried."""
    try:
        yield
    except FleetopsError:
        raise
    except (
        Exception
    ) as error:  # pyroute2 raises NetlinkError, OSError, and ValueError or KeyError for its own input
        raise FleetopsError(f"{what}: {error}", kind=type(error).__name__) from error


def _lookup(netlink: Any, name: str) -> Any:
    found = _tuple(netlink.link_lookup(ifname=name))
    return _tuple(netlink.get_links(found[0]))[0] if found else None


def _find(netlink: Any, link: Link) -> Any:
    """The link's message, if name, index and kind agree: an index may have been given to another one."""
    with _errors(f"Cannot read {link['name']}"):
        message = _lookup(netlink, link["name"])
        if message is None:
            raise FleetopsError(f"{link['name']} is gone: it was there a moment ago", link=link["name"])
        if message["index"] != link["index"] or _kind(message) != link["kind"]:
            raise FleetopsError(
                f"{link['name']} is not the link it was a moment ago: index {message['index']} and kind "
                f"{_kind(message)} instead of {link['index']} and {link['kind']}",
                link=link["name"],
            )
        return message


def _name_of(netlink: Any, index: int) -> Optional[str]:
    for message in _tuple(netlink.get_links(index)):
        return str(message.get_attr("IFLA_IFNAME"))
    return None


def _kind(message: Any) -> Optional[str]:
    kind = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return None if kind is None else str(kind)


def _info(message: Any) -> Dict[str, Any]:
    data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    if not data:
        return {}
    pairs = {name[len("IFLA_") :].lower(): value for name, value in data["attrs"] if name.startswith("IFLA_")}
    return {name: value for name, value in pairs.items() if isinstance(value, (str, int, dict))}


def _addr_gen_mode(message: Any) -> Optional[int]:
    mode = message.get_nested("IFLA_AF_SPEC", "AF_INET6", "IFLA_INET6_ADDR_GEN_MODE")
    return None if mode is None else int(mode)


def _inet6_spec(mode: int) -> Dict[str, Any]:
    return {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", mode)]})]}


def _create(netlink: Any, link: Link, saved: Saved) -> None:
    arguments: Dict[str, Any] = {
        "ifname": link["name"],
        "kind": link["kind"],
        "mtu": link["mtu"],
        **saved["info"],
    }
    if link["mac"]:
        arguments["address"] = link["mac"]
    if saved["txqlen"] is not None:
        arguments["txqlen"] = saved["txqlen"]
    if saved["on"]:
        below = _tuple(netlink.link_lookup(ifname=saved["on"]))
        if not below:
            raise FleetopsError(
                f"Cannot make {link['name']} again: '{saved['on']}', on which it stood, is gone"
            )
        arguments[f"{link['kind']}_link"] = below[0]
    # The old index, where it is free: whoever remembers the link by it finds it again.
    if all(message["index"] != link["index"] for message in _tuple(netlink.get_links())):
        arguments["index"] = link["index"]
    netlink.link("add", **arguments)


def _addresses(netlink: Any, index: int, wanted: List[Dict[str, Any]], only: bool = False) -> None:
    """Add what is missing; with *only*, also take away what was not asked for."""
    there = {
        _identity(message["family"], message["prefixlen"], _parts(message, _ADDRESS_PARTS))
        for message in _tuple(netlink.get_addr(index=index))
    }
    asked = {_identity(address["family"], address["prefixlen"], address): address for address in wanted}
    for key, address in asked.items():
        if key not in there:
            netlink.addr("add", index=index, **_lower(address, "IFA_"))
    for family, prefixlen, local in there if only else ():
        if (family, prefixlen, local) not in asked:
            netlink.addr("del", index=index, family=family, address=local, prefixlen=prefixlen)


def _identity(family: int, prefixlen: int, parts: Mapping[str, Any]) -> tuple[int, int, Any]:
    return family, prefixlen, parts.get("IFA_LOCAL") or parts.get("IFA_ADDRESS")


def _neighbour(netlink: Any, index: int, saved: Mapping[str, Any]) -> None:
    arguments = _lower(saved, "NDA_")
    if saved["family"] == _AF_BRIDGE:
        netlink.fdb("append", ifindex=index, **arguments)
    else:
        netlink.neigh("replace", ifindex=index, **arguments)


def _parts(message: Any, names: Any) -> Dict[str, Any]:
    found = {name: message.get_attr(name) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, (str, int))}


def _lower(saved: Mapping[str, Any], prefix: str) -> Dict[str, Any]:
    """Saved attributes as the keyword arguments of pyroute2."""
    return {
        (key[len(prefix) :].lower() if key.startswith(prefix) else key): value for key, value in saved.items()
    }


def _tuple(answer: Any) -> tuple[Any, ...]:
    """pyroute2 gives tuples, lists or generators, depending on its version."""
    return tuple(answer)
