# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt says, taken apart. The texts are as apt 2.6 writes them; `test_apt_real` asks the real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import apt

SIMULATED = """\
Reading package lists...
The following held packages will be changed:
  linux-image-generic
3 upgraded, 1 newly installed, 1 to remove and 0 not upgraded.
Remv linux-modules-extra-5.15.0-91-generic [5.15.0-91.101]
Purg linux-image-5.15.0-91-generic [5.15.0-91.101]
Inst linux-modules-5.15.0-112-generic (5.15.0-112.122 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])
Inst linux-generic [5.15.0.91.88] (5.15.0.112.109 Ubuntu:22.04/jammy-updates [amd64]) []
Inst libc6:i386 [2.35-0ubuntu3.6] (2.35-0ubuntu3.8 Ubuntu:22.04/jammy-updates [i386])
Conf linux-modules-5.15.0-112-generic (5.15.0-112.122 Ubuntu:22.04/jammy-updates [amd64])
Conf linux-generic (5.15.0.112.109 Ubuntu:22.04/jammy-updates [amd64])
"""
POLICY = """\
linux-image-generic:
  Installed: 5.15.0.91.88
  Candidate: 5.15.0.112.109
  Version table:
     5.15.0.112.109 500
        500 http://archive.ubuntu.com/ubuntu jammy-updates/main amd64 Packages
        500 http://security.ubuntu.com/ubuntu jammy-security/main amd64 Packages
 *** 5.15.0.91.88 100
        100 /var/lib/dpkg/status
     5.15.0.25.27 500
        500 http://archive.ubuntu.com/ubuntu jammy/main amd64 Packages
linux-image-5.15.0-112-generic:
  Installed: (none)
  Candidate: (none)
  Version table:
     5.15.0-112.122 -1
       1001 http://archive.ubuntu.com/ubuntu jammy-updates/main amd64 Packages
linux-image:
  Installed: (none)
  Candidate: (none)
  Version table:
"""
URIS = """\
Need to get 103 kB/255 kB of archives.
'http://mirror/linux-image-6.1.0-49_6.1.192-1_amd64.deb' linux-image-6.1.0-49_6.1.192-1_amd64.deb 69832956 SHA256:e96c
'http://mirror/x_1%3a2-3_all.deb' x_1%3a2-3_all.deb 12 MD5Sum:52c1
'file:/srv/mirror/y_2_all.deb' y_2_all.deb 13 MD5Sum:52c1
"""
LOCKS = """\
1: POSIX  ADVISORY  WRITE 22604 fe:00:2498570 0 EOF
1: -> POSIX  ADVISORY  WRITE 22605 fe:00:2498570 0 EOF
2: OFDLCK ADVISORY  READ -1 fe:00:2482480 203 203
3: FLOCK  ADVISORY  WRITE 7 00:1a:12 0 EOF
"""


def test_a_simulation() -> None:
    found = apt.simulation(SIMULATED)
    assert found.install == [
        ("linux-modules-5.15.0-112-generic", None, "5.15.0-112.122"),
        ("linux-generic", "5.15.0.91.88", "5.15.0.112.109"),
        ("libc6:i386", "2.35-0ubuntu3.6", "2.35-0ubuntu3.8"),
    ]
    assert found.configure == ["linux-modules-5.15.0-112-generic", "linux-generic"]
    assert found.remove == ["linux-modules-extra-5.15.0-91-generic", "linux-image-5.15.0-91-generic"]


def test_policies() -> None:
    found = apt.policies(POLICY)
    assert list(found) == ["linux-image-generic", "linux-image-5.15.0-112-generic"]
    meta = found["linux-image-generic"]
    assert (meta.installed, meta.candidate) == ("5.15.0.91.88", "5.15.0.112.109")
    assert [(version, priority) for version, priority, _sources in meta.versions] == [
        ("5.15.0.112.109", 500),
        ("5.15.0.91.88", 100),
        ("5.15.0.25.27", 500),
    ]
    assert [apt.can_be_had(meta, version) for version, _priority, _sources in meta.versions] == [
        True,
        False,
        True,
    ]
    assert not apt.can_be_had(meta, "1")
    assert not apt.can_be_had(None, "1")
    pinned = found["linux-image-5.15.0-112-generic"]
    assert (pinned.installed, pinned.candidate, len(pinned.versions[0][2])) == (None, None, 1)


def test_what_is_to_be_downloaded() -> None:
    assert apt.to_fetch(URIS) == {
        "linux-image-6.1.0-49": ("linux-image-6.1.0-49_6.1.192-1_amd64.deb", 69832956),
        "x": ("x_1%3a2-3_all.deb", 12),
    }


def test_sizes() -> None:
    text = (
        "Package: a\nVersion: 1\nInstalled-Size: 2\nSize: 9\n\n"
        "Package: b\nVersion: 1\n\nPackage: a\nInstalled-Size: 3\nVersion: 2\n"
    )
    assert apt.installed_sizes(text) == {("a", "1"): 2048, ("a", "2"): 3072}


def test_who_has_locks_and_who_waits() -> None:
    assert apt.locks(LOCKS) == [(22604, 2498570), (7, 12)]


@given(st.text())
def test_what_nobody_expected_is_no_error(text: str) -> None:
    apt.simulation(text)
    apt.policies(text)
    apt.to_fetch(text)
    apt.installed_sizes(text)
    apt.locks(text)
    apt.nearest(text, ["linux-image-5.15.0-91-generic", text])
    apt.impossible(text, text)


@pytest.mark.parametrize(
    "name",
    ["linux-image-6.1.0-47-cloud-amd64", "linux-image-6.12.57+deb13-amd64", "linux-image-generic-hwe-22.04"],
)
def test_a_name(name: str) -> None:
    assert apt.check_names([name, name]) == [name]


@pytest.mark.parametrize(
    "name",
    ["linux-image-*", "linux-image-generic-", "linux-image-generic+", "a=1", "a/b", "", "-o", "A", "a\n"],
)
def test_no_name(name: str) -> None:
    with pytest.raises(FleetopsError, match="is no exact name of a package"):
        apt.check_names([name])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        (
            "linux-image-5.15.0-100-generic",
            ["linux-image-5.15.0-91-generic", "linux-image-5.15.0-112-generic"],
        ),
        (
            "linux-image-5.15.0-113-generic",
            ["linux-image-5.15.0-112-generic", "linux-image-6.8.0-31-generic"],
        ),
        ("linux-image-5.15.0-100-aws", ["linux-image-5.15.0-1041-aws"]),
        ("linux-image-7.0.0-1-generic", ["linux-image-6.8.0-31-generic"]),
        ("linux-image-5.15.0-112-genric", ["linux-image-5.15.0-112-generic"]),
        ("linux-image-6.1.0-48-amd64", ["linux-image-6.1.0-47-amd64", "linux-image-6.1.0-56-amd64"]),
        ("linux-image-gneric", ["linux-image-generic"]),
        ("firefox", []),
    ],
)
def test_the_nearest(name: str, near: list[str]) -> None:
    there = [
        "linux-image-generic",
        "linux-image-5.15.0-91-generic",
        "linux-image-5.15.0-112-generic",
        "linux-image-5.15.0-112-lowlatency",
        "linux-image-5.15.0-1041-aws",
        "linux-image-6.1.0-47-amd64",
        "linux-image-6.1.0-56-amd64",
        "linux-image-6.1.0-56-cloud-amd64",
        "linux-image-6.8.0-31-generic",
        "linux-modules-5.15.0-100-generic",
    ]
    assert apt.nearest(name, there)[: len(near) or 1] == near


@pytest.mark.parametrize(
    ("installed", "candidate", "versions", "said"),
    [
        ("1", "2", [("2", 500), ("1", 100)], None),
        ("1", "1", [("2", 100), ("1", 500)], None),  # backports: apt's own order
        ("1", "1", [("2", 1), ("1", 500)], None),  # experimental
        ("1", "1", [("2", -1), ("1", 500)], "held at 1"),
        ("1", "1", [("2", 500), ("1", 1001)], "held at 1"),
        (None, None, [("2", -1)], "2 is kept out"),
        ("2", "2", [("2", 1001), ("1", 500)], None),
    ],
)
def test_pins(
    installed: str | None, candidate: str | None, versions: list[tuple[str, int]], said: str | None
) -> None:
    policy = apt.Policy(installed, candidate, [(version, number, []) for version, number in versions])
    pin = {"packages": "linux-image-*", "pin": "version *", "priority": -1, "source": "/etc/apt/preferences"}
    other = {**pin, "packages": "linux-headers-*", "source": "/elsewhere"}
    found = apt.kept_by_a_pin("linux-image-generic", policy, [pin, other])  # type: ignore[list-item]
    assert (found is None) == (said is None)
    if found and said:
        assert said in found["problem"]
        assert found["problem"].rpartition(" by a pin in ")[2].startswith("/etc/apt/preferences")
        assert "/elsewhere" not in found["problem"]


@pytest.mark.parametrize(
    ("status", "whole", "gone"),
    [
        ("ii", True, False),
        ("hi", True, False),
        ("iF", False, False),
        ("iHR", False, False),
        ("iiR", False, False),
        ("rc", False, True),
        ("un", False, True),
        ("hn", False, True),
        ("", False, True),
        ("it", False, False),
    ],
)
def test_states(status: str, whole: bool, gone: bool) -> None:
    assert (apt.whole(status), apt.gone(status)) == (whole, gone)


def test_what_belongs_to_a_release() -> None:
    release = "5.15.0-91-generic"
    assert apt.of_release(f"linux-modules-extra-{release}", release)
    assert apt.of_release(f"linux-image-{release}-unsigned", release)
    assert not apt.of_release(f"linux-image-{release}-lpae", release)
    assert not apt.of_release("linux-image-5.15.0-191-generic", release)


def test_space_is_shown_as_a_sum() -> None:
    mib = 1 << 20
    assert apt.too_small([("a", mib), ("b", 2 * mib)], mib)["problem"] == (
        "not enough space: 1.0 MiB for a + 2.0 MiB for b = 3.0 MiB, and 1.0 MiB are free"
    )
    assert (
        apt.too_small([("a", 2 * mib)], mib)["problem"]
        == "not enough space: 2.0 MiB for a, and 1.0 MiB are free"
    )


def test_why_apt_finds_no_way() -> None:
    stdout = (
        "The following packages have unmet dependencies:\n"
        " linux-image-generic : Depends: linux-image-5.15.0-112-generic but it is not installable\n"
        "                       Depends: thermald but it is not going to be installed\n"
    )
    assert apt.impossible(
        stdout, "W: x\nE: Unable to correct problems, you have held broken packages.\n"
    ) == (
        "Unable to correct problems, you have held broken packages.; linux-image-generic : Depends: "
        "linux-image-5.15.0-112-generic but it is not installable; Depends: thermald "
        "but it is not going to be installed"
    )
    assert apt.impossible("", "") == "apt-get gave no reason"
