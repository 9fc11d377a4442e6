# SPDX-License-Identifier: GPL-3.0-or-later
"""What the changing modules say in check mode about machines that were captured whole."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.modules import (
    kdump_cmdline,
    kernel_cmdline,
    stale_interfaces,
)

HOSTS = Path(__file__).parents[2] / "fixtures/hosts"


class Captured(Host):
    """Sources the captured files with the /bin/sh of this machine."""

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] == "/bin/sh":
            here = [word.replace("/etc/default/", f"{self.root}/etc/default/") for word in argv]
            return subprocess.run(here, capture_output=True, text=True, check=True).stdout
        return super().run(argv, ok, env)


@pytest.fixture(params=["debian-6.1-incident", "debian-6.1-clean"])
def machine(request: pytest.FixtureRequest) -> Captured:
    return Captured(str(HOSTS / request.param))


def test_kernel_cmdline(machine: Captured) -> None:
    result = kernel_cmdline.run(
        machine, {"replace": ["crashkernel=224M"], "present": ["panic=30"], "absent": ["quiet"]}
    )
    entries, incident = result.returned["entries"], machine.root.endswith("incident")
    assert [entry["title"] for entry in entries] == [
        "Debian GNU/Linux",
        "Debian GNU/Linux, with Linux 6.1.0-47-cloud-amd64",
    ]
    for entry in entries:
        words = entry["cmdline"].split()
        assert words[0].startswith("root=UUID=")
        assert words[1:4] == ["ro", "console=ttyS0", "net.ifnames=0"]
        # The clean one has its 224M in the site's own words: they stay where they are.
        assert words[-2:] == (["crashkernel=224M", "panic=30"] if incident else ["loglevel=4", "panic=30"])
        assert [word for word in words if word.startswith(("crashkernel", "quiet"))] == ["crashkernel=224M"]
    assert result.plan
    assert result.returned["reboot_required"] is True


def test_kdump_cmdline(machine: Captured) -> None:
    result = kdump_cmdline.run(machine, {"panic": 10, "present": [], "absent": []})
    assert result.returned["append"][-1] == "panic=10"
    assert bool(result.plan) is (machine.root.endswith("incident"))
    assert result.returned["reloaded"] is bool(result.plan)


def test_stale_interfaces(machine: Captured) -> None:
    result = stale_interfaces.run(machine, {"state": "absent", "names": None})
    incident = machine.root.endswith("incident")
    assert result.returned["removed"] == (["kube-ipvs0", "flannel.1"] if incident else [])
    assert [link["severity"] for link in result.returned["links"]] == (["medium", "high"] if incident else [])
