# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh and Ansible need to reach a lab's nodes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .qemu import NodeSpec


def ssh_config(specs: Iterable[NodeSpec], key: Path, sockets: Path) -> str:
    """For `ssh -F`. Host keys are not asked for: everything is on loopback and lives for an hour."""
    parts = [
        f"""\
Host {spec.name}
  HostName 127.0.0.1
  Port {spec.port}
"""
        for spec in specs
    ]
    parts.append(
        f"""\
Host *
  User root
  IdentityFile "{key}"
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  LogLevel ERROR
  ConnectTimeout 20
  ServerAliveInterval 15
  ServerAliveCountMax 4
  ControlMaster auto
  ControlPersist 60
  ControlPath {sockets}/c-%n-%p-%r
"""
    )
    return "".join(parts)


def inventory(specs: Iterable[NodeSpec], key: Path, config: Path, sockets: Path) -> str:
    """An Ansible inventory with the zones as groups. JSON strings are YAML strings too."""
    zones: dict[str, list[NodeSpec]] = {}
    for spec in specs:
        zones.setdefault(spec.zone, []).append(spec)
    lines = ["all:", "  vars:"]
    common = {
        "ansible_user": "root",
        "ansible_host": "127.0.0.1",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(key),
        # common_args, because testinfra reads these and not ssh_args; the file carries the rest (no host key prompts)
        "ansible_ssh_common_args": f"-F '{config}'",
        "ansible_ssh_args": f"-o ControlMaster=auto -o ControlPersist=60s -o ControlPath={sockets}/a-%p-%r",
    }
    lines += [f"    {name}: {json.dumps(value)}" for name, value in common.items()]
    lines.append("  children:")
    for zone, members in sorted(zones.items()):
        lines += [f"    {zone}:", "      hosts:"]
        for spec in members:
            lines += [
                f"        {spec.name}:",
                f"          ansible_port: {spec.port}",
                f"          fleetops_zone: {spec.zone}",
            ]
    return "\n".join(lines) + "\n"
