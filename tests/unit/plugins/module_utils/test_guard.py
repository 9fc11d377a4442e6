# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian, redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel


def reading(monkeypatch: pytest.MonkeyPatch, container: bool | None, distro: str | None) -> None:
    facts: dict[str, Any] = {
        "container": container,
        "distro": {"id": distro, "version_id": "9", "codename": "", "family": None} if distro else None,
        "unknown": {"container": "processes of other users are hidden here"},
    }
    monkeypatch.setattr(kernel, "read", lambda host: facts)


def test_a_machine_of_a_known_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("debian", "ubuntu"):
        reading(monkeypatch, False, name)
        assert _guard.require_platform(Host()) is debian


@pytest.mark.parametrize(
    ("container", "distro", "says"),
    [
        (True, "debian", "Nothing was changed: this is a container"),
        (
            None,
            "debian",
            "cannot be told whether this is a container (processes of other users are hidden here)",
        ),
        (
            False,
            "plan9",
            "not supported on the distribution 'plan9 9' (supported: Debian, Ubuntu, RHEL-like)",
        ),
        (False, None, "not supported on the distribution 'unknown'"),
    ],
)
def test_what_is_refused(
    monkeypatch: pytest.MonkeyPatch, container: bool | None, distro: str | None, says: str
) -> None:
    reading(monkeypatch, container, distro)
    with pytest.raises(FleetopsError) as caught:
        _guard.require_platform(Host())
    assert says in caught.value.msg


def test_a_family_on_which_a_role_does_not_work_yet_is_refused_for_that_role_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading(monkeypatch, False, "rocky")
    assert _guard.require_platform(Host()) is redhat
    with pytest.raises(FleetopsError, match="not supported on the distribution 'rocky 9' yet"):
        _guard.require_platform(Host(), "crashkernel")
    reading(monkeypatch, False, "debian")
    assert _guard.require_platform(Host(), "crashkernel") is debian
