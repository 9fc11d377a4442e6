# SPDX-License-Identifier: GPL-3.0-or-later
"""Links made, removed and made again by the real kernel, in a network namespace of their own."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _netlink
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

SETUP = """
ip link set lo up
ip link add below type ifb
ip link set below up
ip addr add 192.0.2.5/24 dev below
"""
# What a person would look at. Life times of addresses and the age of entries do not come here.
LOOK = [
    "ip -d -j addr show dev flannel.1",
    "ip -d -j route show table all dev flannel.1",
    "ip -j neigh show nud permanent dev flannel.1",
    "bridge fdb show dev flannel.1",
]
SCRIPT = """
import json, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.fleetops.kernel.plugins.module_utils import _netlink
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError

def look():
    for _ in range(50):  # duplicate address detection of fe80::
        if "tentative" not in subprocess.run(["ip", "addr"], capture_output=True, text=True, check=True).stdout:
            break
        time.sleep(0.1)
    commands = [command.split() for command in json.loads(sys.argv[2])]
    return [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]

before = look()
found = json.loads(before[0])[0]
link = {
    "name": found["ifname"], "index": found["ifindex"], "kind": found["linkinfo"]["info_kind"],
    "up": "UP" in found["flags"], "mac": found["address"], "mtu": found["mtu"],
    "attributes": found["linkinfo"].get("info_data", {}),
}
for changed in ({"index": 4242}, {"kind": "dummy"}, {"name": "below"}, {"name": "nothing"}):
    try:
        _netlink.remove({**link, **changed})
    except FleetopsError as error:
        print(error.msg, file=sys.stderr)
    else:
        raise SystemExit("removed another link")
saved = json.loads(json.dumps(_netlink.save(link)))
_netlink.remove(link)
assert _netlink.present(link["name"]) is None
_netlink.add(link, saved)
_netlink.add(link, saved)  # twice is once
print(json.dumps([before, look()]))
"""
VXLAN = "ip link add flannel.1 address 4e:11:22:33:44:55 mtu 1450 type vxlan id 1"


def can_make_links() -> bool:
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    trial = [
        "unshare",
        "-n",
        "sh",
        "-c",
        SETUP + "ip link add name trial type vxlan id 1 dev below dstport 1",
    ]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_make_links(), reason="needs root, iproute2 and a kernel with vxlan and ifb")
@pytest.mark.parametrize(
    "made",
    [
        # as flannel makes it
        f"""
        {VXLAN} local 192.0.2.5 dev below dstport 8472 nolearning ttl auto
        ip addr add 10.244.0.0/32 dev flannel.1
        ip link set flannel.1 up
        ip route add 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink
        ip neigh add 10.244.1.0 lladdr 4e:11:22:33:44:66 dev flannel.1 nud permanent
        bridge fdb add 4e:11:22:33:44:66 dev flannel.1 dst 192.0.2.9
        """,
        f"""
        {VXLAN} group 239.1.1.1 dev below dstport 4789 ttl inherit tos inherit ageing 77 \\
            maxaddress 10 srcport 100 200 noudpcsum
        ip link set flannel.1 txqueuelen 77 addrgenmode none up
        ip addr add 10.1.0.1/24 brd 10.1.0.255 dev flannel.1
        ip addr add 10.1.0.2/24 dev flannel.1 label flannel.1:x noprefixroute
        ip addr add fd00::1/64 dev flannel.1 nodad
        ip -6 route add fd01::/64 via fd00::2 dev flannel.1 metric 7
        ip route add 10.9.0.0/16 via 10.1.0.9 dev flannel.1 table 77 src 10.1.0.1 proto 99
        """,
        f"{VXLAN} ttl 5 tos 0x10 remote 192.0.2.77 dstport 4789 learning l2miss l3miss rsc proxy df set gbp",
        "ip link add flannel.1 type vxlan dstport 4789 external",
        "ip link add flannel.1 type vxlan id 7 local fd00::5 dstport 4789 udp6zerocsumtx udp6zerocsumrx",
        # a kind without attributes of its own, as dummy is
        "ip link add flannel.1 type ifb",
    ],
)
def test_removed_and_made_again(made: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    tree = next(path for path in sys.path if Path(path, "ansible_collections/fleetops/kernel").is_dir())
    commands = SETUP + textwrap.dedent(made) + f'\nexec {shlex.quote(sys.executable)} {script} "$@"'
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", commands, "sh", tree, json.dumps(LOOK)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after == before
    assert done.stderr.count("is not the link it was a moment ago") == 3
    assert "nothing is gone" in done.stderr


def test_a_node_without_pyroute2_says_so_in_a_way_that_the_action_plugin_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(FleetopsError, match="needs the Python library pyroute2") as caught:
        _netlink.require()
    assert caught.value.as_result()["error"]["missing_library"] == "pyroute2"
