# SPDX-License-Identifier: GPL-3.0-or-later
"""assess over what dead nodes left behind, as an operator runs it: no node is there, and none is looked for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parent / "fixtures" / "sos"
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
# Whoever dials this is refused at once, whoever becomes root so, or starts this Python, fails.
NOBODY_THERE = (
    "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_become=true "
    "ansible_become_exe=/nowhere/sudo ansible_python_interpreter=/nowhere/python"
)


class Run:
    """One run of a playbook in a folder of its own."""

    def __init__(self, folder: Path, playbook: str, *arguments: str) -> None:
        done = subprocess.run(
            ["ansible-playbook", f"fleetops.kernel.{playbook}", *arguments],
            cwd=folder,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        self.rc, self.text = done.returncode, done.stdout
        written = folder / "fleetops-report" / f"{playbook}.json"
        self.report: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One of each kind, and one of none, in ``dead``."""
    dead = tmp_path / "dead"
    shutil.copytree(FIXTURES / "debian-6.1-incident.live", dead / "captured", symlinks=True)
    report = dead / "reported" / "sosreport-n1-2026-11-24-rahhvsl"
    shutil.copytree(FIXTURES / "debian-6.1-incident", report, symlinks=True)
    for name in (
        "proc",
        "sys",
        "run",
        "dev",
        "boot",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "var/lib",
        "var/log",
        "etc",
    ):
        (dead / "disk" / name).mkdir(parents=True)
    (dead / "disk/etc/os-release").write_text(OS_RELEASE)
    (dead / "disk/etc/fstab").write_text("UUID=1 / ext4 ro 0 1\nUUID=2 /boot ext4 ro 0 2\n")
    (dead / "disk/var/log/wtmp").write_text("")
    os.utime(dead / "disk/var/log/wtmp", (0, 1_795_000_000))
    (dead / "junk").mkdir()
    (dead / "junk/holiday.txt").write_text("")
    (dead / "README").write_text("a file is no host")
    (dead / ".snapshot").mkdir()
    return tmp_path


@pytest.mark.parametrize("arguments", [("-i", "localhost,"), (), ("-i", "localhost,", "--check")], ids=str)
def test_one_of_each_kind_and_one_of_none(folder: Path, arguments: tuple[str, ...]) -> None:
    run = Run(folder, "assess", *arguments, "-e", "fleetops_assess_from=dead")
    assert run.rc == 2, run.text
    hosts = run.report["hosts"]
    assert list(hosts) == ["captured", "disk", "junk", "reported"]
    assert {name: (host["left_behind"] or {})["kind"] for name, host in hosts.items()} == {
        "captured": "captured tree",
        "disk": "disk",
        "junk": "folder",
        "reported": "sosreport",
    }
    assert [name for name, host in hosts.items() if host["unreadable"]] == ["junk"]
    assert "is nothing that a machine left behind" in hosts["junk"]["unreadable"]
    assert [hosts[name]["on_panic"]["outcome"] for name in ("captured", "disk", "reported")] == [
        "hangs",
        "unknown",
        "unknown",
    ]
    named = {finding["id"] for finding in hosts["reported"]["findings"] if finding["status"] == "affected"}
    assert "capture-may-hang" in named
    words = " ".join(run.text.split())
    for line in (
        "fleetops.kernel assess of what dead nodes left behind: 4 nodes",
        "captured: if it panicked as it was in its captured tree of 2026-11-24 16:35:25Z, it HANGS",
        "disk: if it panicked as it was in its disk of 2026-11-18 11:06:40Z, it is UNKNOWN what happens",
        "reported: if it panicked as it was in its sosreport of 2026-11-24 16:35:35Z, it is UNKNOWN what happens",
        "On a panic then: 1 HANGS, 3 UNKNOWN.",
    ):
        assert line in words, run.text
    assert "if this node panics now" not in words


def test_a_site_s_inventory_gives_the_zones_and_dials_nobody(folder: Path) -> None:
    shutil.rmtree(folder / "dead/junk")
    (folder / "hosts.ini").write_text(
        f"[zone_a]\ncaptured {NOBODY_THERE}\nalive {NOBODY_THERE}\n[zone_b]\nreported {NOBODY_THERE}\n"
    )
    (folder / "host_vars").mkdir()
    (folder / "host_vars/captured.yml").write_text(
        "---\nansible_connection: ssh\nansible_become: true\nansible_python_interpreter: /nowhere/python\n"
    )
    run = Run(folder, "assess", "-i", "hosts.ini", "-b", "-e", "fleetops_assess_from=dead")
    assert run.rc == 0, run.text
    assert {name: host["zone"] for name, host in run.report["hosts"].items()} == {
        "captured": "zone_a",
        "disk": "",
        "reported": "zone_b",
    }
    assert all(host["facts"] for host in run.report["hosts"].values())
    limited = Run(folder, "assess", "-i", "hosts.ini", "--limit", "zone_b", "-e", "fleetops_assess_from=dead")
    assert limited.rc == 0, limited.text
    assert list(limited.report["hosts"]) == ["reported"]
    aimed = ("-e", "fleetops_assess_from=dead", "-e", "fleetops_targets=zone_a")
    assert list(Run(folder, "assess", "-i", "hosts.ini", *aimed).report["hosts"]) == ["captured"]


def test_a_limit_that_leaves_no_dead_node_is_an_error(folder: Path) -> None:
    (folder / "hosts.ini").write_text(f"alive {NOBODY_THERE}\n")
    run = Run(folder, "assess", "-i", "hosts.ini", "--limit", "alive", "-e", "fleetops_assess_from=dead")
    assert run.rc != 0, run.text
    assert "No host matches" in run.text
    assert not run.report


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("nowhere", r"fleetops_assess_from is 'nowhere': No such file or directory \('/.*/nowhere'\)"),
        ("dead/README", "fleetops_assess_from is 'dead/README': Not a directory"),
        ("dead/.snapshot", r"fleetops_assess_from is 'dead/\.snapshot': there is no folder in"),
        ("''", "fleetops_assess_from is ''"),
    ],
)
def test_a_folder_that_cannot_be_meant_is_one_clear_error(folder: Path, value: str, says: str) -> None:
    run = Run(folder, "assess", "-i", "localhost,", "-e", f"fleetops_assess_from={value}")
    assert run.rc != 0, run.text
    (fatal,) = re.findall(r"^fatal: .*", run.text, re.MULTILINE)
    assert re.search(says, fatal), run.text
    assert "expected a folder that has one folder for each host, named like the host" in fatal
    assert not run.report


def test_a_folder_that_is_named_like_no_host_is_named(folder: Path) -> None:
    (folder / "dead/a b").mkdir()
    run = Run(folder, "assess", "-i", "localhost,", "-e", "fleetops_assess_from=dead")
    assert run.rc != 0, run.text
    assert "'a b' in it is no name of a host" in run.text


def test_nothing_is_cured_on_a_report(folder: Path) -> None:
    (folder / "hosts.ini").write_text(
        "captured ansible_connection=local\nreported ansible_connection=local\n"
    )
    run = Run(folder, "remediate", "-i", "hosts.ini", "-e", "fleetops_assess_from=dead")
    assert run.rc == 2, run.text
    assert "nothing can be cured on what a dead node left behind" in run.text
    assert "PLAY [Cure]" not in run.text
    assert not run.report


def test_without_a_folder_nothing_of_this_is_seen(folder: Path) -> None:
    (folder / "hosts.ini").write_text(
        f"a ansible_connection=local ansible_python_interpreter={os.path.realpath(sys.executable)}\n"
    )
    run = Run(folder, "assess", "-i", "hosts.ini")
    assert run.rc == 0, run.text
    assert run.report["hosts"]["a"]["left_behind"] is None
    assert "if this node panics now" in run.text
    assert "left behind" not in run.text.partition("PLAY [Assess]")[2]
