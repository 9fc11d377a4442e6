# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins of apt that name kernels."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import aptpins

PACKAGES, SOURCES = {"linux-image-6.1.0-47-amd64", "kdump-tools"}, {"linux-signed-amd64"}


def stanza(packages: str, priority: str = "-1") -> str:
    return f"Package: {packages}\nPin: version *\nPin-Priority: {priority}\n"


@pytest.mark.parametrize(
    ("packages", "named"),
    [
        ("linux-image-6.1.0-47-amd64", True),
        ("linux-image-6.1.0-99-amd64", True),  # not installed, and that is what the pin is for
        ("linux-*", True),
        ("bash linux-image-amd64", True),
        ("kdump-*", True),
        ("kdump-tools:amd64", True),
        ("src:linux-signed-amd64", True),
        ("src:linux", False),  # a source that none of ours is of ...
        ("src:linux-*", True),
        ("/^linux-(image|headers)-/", True),
        ("/^nginx/", False),
        ("*", False),
        ("nginx", False),
    ],
)
def test_whether_a_stanza_names_a_kernel(packages: str, named: bool) -> None:
    assert bool(aptpins.pins([("/p", stanza(packages))], PACKAGES, SOURCES)) is named


def test_stanzas() -> None:
    text = (
        "# a comment\nExplanation: why\nPackage: linux-image-amd64\n  linux-headers-amd64\nPin: version 6.1.170-3\n"
        "Pin-Priority: 1001\n\n\nPackage: nginx\nPin: version 1\nPin-Priority: 2\n \n"
        "Package: linux-doc\nPin-Priority: -1\n\n"  # no word on which version
        "Package: *\nPin: release o=Other\nPin-Priority: never\n\n"
        "package: linux-base\npin: release a=stable\npin-priority: -1 # comment\n"
    )
    assert aptpins.pins([("/p", text)], PACKAGES, SOURCES) == [
        {
            "packages": "linux-image-amd64 linux-headers-amd64",
            "pin": "version 6.1.170-3",
            "priority": 1001,
            "source": "/p",
        },
        {"packages": "linux-base", "pin": "release a=stable", "priority": -1, "source": "/p"},
    ]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("kernel", True),
        ("99kernel.pref", True),
        ("kernel.bak", False),
        ("kernel.pref~", False),
        (".kernel", False),
    ],
)
def test_which_files_apt_reads(name: str, read: bool) -> None:
    assert aptpins.reads(name) is read


@pytest.mark.parametrize("text", ["Pin: version *\nPin-Priority: 1\n", "what is this?\n", stanza("")])
def test_what_apt_refuses(text: str) -> None:
    with pytest.raises(FleetopsError, match="'/p' has a record without 'Package:'"):
        aptpins.pins([("/p", text)], PACKAGES, SOURCES)


@pytest.mark.parametrize("packages", ["linux-image-amd64", "nginx"])
@pytest.mark.parametrize("priority", ["", "0", "many", "never", "-32769", "32768"])
def test_a_priority_that_apt_refuses(packages: str, priority: str) -> None:
    with pytest.raises(FleetopsError, match=f"'/p' has a record for '{packages}' with a priority"):
        aptpins.pins([("/p", stanza(packages, priority))], PACKAGES, SOURCES)


REAL = (
    stanza("linux-image-amd64"),
    stanza("linux-image-amd64", "-1 # comment"),
    stanza("linux-image-amd64", "-32768"),
    stanza("linux-image-amd64", "-32769"),
    stanza("linux-image-amd64", "0"),
    stanza("linux-image-amd64", "never"),
    stanza("*", "never").replace("version *", "release o=Other"),
    "Package: linux-image-amd64\nPin-Priority: -1\n",
    "Pin: version *\nPin-Priority: -1\n",
    "Package: linux-image-amd64\n",
    "Package: linux-image-amd64\nPin: version *\n",
)


@pytest.mark.parametrize("text", REAL)
def test_what_the_real_apt_says_of_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "preferences").write_text(text)
    (tmp_path / "parts").mkdir()
    options = {"preferences": "preferences", "preferencesparts": "parts"}
    words = [word for key, name in options.items() for word in ("-o", f"Dir::Etc::{key}={tmp_path / name}")]
    done = subprocess.run(["apt-cache", *words, "policy"], capture_output=True, text=True, check=False)
    refused = "E:" in done.stderr
    if refused:
        with pytest.raises(FleetopsError):
            aptpins.pins([("/p", text)], PACKAGES, SOURCES)
    else:
        aptpins.pins([("/p", text)], PACKAGES, SOURCES)
