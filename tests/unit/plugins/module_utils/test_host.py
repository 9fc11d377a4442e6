# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to files and commands, over a real file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host

NOBODY = 65534


def tree(root: Path, files: dict[str, str], **captured: Any) -> Host:
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if captured:
        (root / CAPTURE_FILE).write_text(json.dumps(captured))
    return Host(str(root))


# --- the root ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/etc/real",  # absolute: must not leave the tree
        "../etc/real",
        "../../../../../etc/real",  # more steps up than there are
        "/etc/../etc/./real",
        "/usr/lib/hop",  # a link to a link, the second absolute
    ],
)
def test_links_stay_inside_the_root(tmp_path: Path, target: str) -> None:
    host = tree(tmp_path / "root", {"/etc/real": "inside", "/boot/x": "", "/usr/lib/x": ""})
    os.symlink("/etc/real", tmp_path / "root/usr/lib/hop")
    os.symlink(target, tmp_path / "root/boot/link")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real").write_text("outside")
    assert host.read("/boot/link") == "inside"
    assert host.resolve("/boot/link") == "/etc/real"
    assert host.size("/boot/link") == len("inside")


def test_a_linked_directory_stays_inside_the_root(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/usr/lib/modules/1/modules.dep": "dep"})
    os.symlink("/usr/lib", tmp_path / "lib")
    assert host.read("/lib/modules/1/modules.dep") == "dep"
    assert host.listdir("/lib/modules") == ["1"]


def test_links_in_a_circle_are_unreadable(tmp_path: Path) -> None:
    os.symlink("/b", tmp_path / "a")
    os.symlink("/a", tmp_path / "b")
    with pytest.raises(Unreadable, match="Too many symbolic links at '/a'"):
        Host(str(tmp_path)).read("/a")


def test_a_path_must_be_absolute(tmp_path: Path) -> None:
    with pytest.raises(FleetopsError, match="Not an absolute path: 'etc/x'"):
        Host(str(tmp_path)).read("etc/x")


def test_the_root_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetopsError, match=r"not a directory: '.*file'"):
        Host(str(tmp_path / "file"))


# --- reading -----------------------------------------------------------------------------------------


def test_missing_is_not_unreadable(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/etc/file": "x"})
    for path in ("/etc/other", "/etc/no/such/file", "/etc/file/below"):
        with pytest.raises(Missing, match=f"'{path}' does not exist"):
            host.read(path)
        with pytest.raises(Missing):
            host.size(path)
        assert host.exists(path) is False
    with pytest.raises(Missing):
        host.listdir("/etc/no/such")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")
def test_what_another_user_may_not_read_is_unreadable_and_not_missing(tmp_path: Path) -> None:
    """In a child that gave up root, since root can read everything."""
    tree(tmp_path, {"/etc/secret": "x", "/closed/file": "x"})
    (tmp_path / "etc/secret").chmod(0o600)
    (tmp_path / "closed").chmod(0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o7777 == 0o700:
            folder.chmod(0o711)
    script = f"""
import os
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
os.setgid({NOBODY}); os.setuid({NOBODY})
host = Host({str(tmp_path)!r})
for question, path in ((host.read, "/etc/secret"), (host.exists, "/closed/file"), (host.listdir, "/closed"),
                       (host.size, "/closed/file")):
    try:
        print("BAD", question(path))
    except Unreadable as error:
        print(error.msg)
print(Host().is_root)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "Cannot read '/etc/secret': Permission denied (needs root)",
        "Cannot read '/closed/file': Permission denied (needs root)",
        "Cannot read '/closed': Permission denied (needs root)",
        "Cannot read '/closed/file': Permission denied (needs root)",
        "False",
    ]


def test_a_directory_is_unreadable_as_a_file(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/etc/x": ""})
    with pytest.raises(Unreadable, match="Cannot read '/etc': Is a directory"):
        host.read("/etc")


def test_parts_of_a_file(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/dump": "0123456789"})
    assert host.read_bytes("/dump", 0, 4) == b"0123"
    assert host.read_bytes("/dump", -4, 4) == b"6789"
    assert host.read_bytes("/dump", 8) == b"89"


def test_undecodable_bytes_do_not_hide_the_rest(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\xffb")
    assert Host(str(tmp_path)).read("/log") == "a\ufffdb"


def test_glob_is_sorted_and_relative_to_the_root(tmp_path: Path) -> None:
    root = tmp_path / "with [brackets]"
    host = tree(root, {"/boot/vmlinuz-2": "", "/boot/vmlinuz-1": "", "/boot/config-1": ""})
    assert host.glob("/boot/vmlinuz-*") == ["/boot/vmlinuz-1", "/boot/vmlinuz-2"]


# --- what a tree cannot hold -------------------------------------------------------------------------


def test_captured_answers(tmp_path: Path) -> None:
    host = tree(
        tmp_path,
        {"/proc/iomem": "seen", "/etc/x": ""},
        machine="x86_64",
        sizes={"/boot/vmlinuz-1": 7_000_000},
        mtimes={"/dump": 12.5},
        disks={"/var/crash": {"total": 10, "free": 4}},
        listings={"/boot": ["vmlinuz-1"], "/sys/class/watchdog": []},
        globs={"/etc/default/*.cfg": ["/etc/default/a.cfg"]},
        exists=["/usr/sbin/kdump-config"],
        unreadable={"/proc/iomem": "permission denied"},
        is_root=False,
    )
    assert (host.machine(), host.is_root) == ("x86_64", False)
    assert (host.size("/boot/vmlinuz-1"), host.mtime("/dump")) == (7_000_000, 12.5)
    assert host.disk("/var/crash") == (10, 4)
    assert (host.listdir("/boot"), host.listdir("/sys/class/watchdog")) == (["vmlinuz-1"], [])
    assert host.glob("/etc/default/*.cfg") == ["/etc/default/a.cfg"]
    assert host.exists("/usr/sbin/kdump-config")
    assert host.exists("/boot/vmlinuz-1")
    assert not host.exists("/usr/sbin/kdump")
    with pytest.raises(Unreadable, match="Cannot read '/proc/iomem': permission denied"):
        host.read("/proc/iomem")
    with pytest.raises(Unreadable, match="free space of '/' was not captured"):
        host.disk("/")
    assert CAPTURE_FILE not in host.listdir("/")


def test_captured_commands(tmp_path: Path) -> None:
    host = tree(
        tmp_path,
        {},
        commands={
            "ip -j addr": {"rc": 0, "stdout": "[]", "stderr": ""},
            "dpkg-query x": {"rc": 1, "stdout": "some", "stderr": "no match"},
            "systemctl show": {"missing": True},
        },
    )
    assert host.run(["ip", "-j", "addr"]) == "[]"
    assert host.run(["dpkg-query", "x"], ok=(0, 1)) == "some"
    with pytest.raises(FleetopsError, match="'dpkg-query x' failed with return code 1: no match"):
        host.run(["dpkg-query", "x"])
    with pytest.raises(Missing, match="'systemctl' does not exist"):
        host.run(["systemctl", "show"])
    with pytest.raises(Unreadable, match="not a live machine, and 'uname' was not captured"):
        host.run(["uname"])


def test_a_bare_tree_knows_no_architecture(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        Host(str(tmp_path)).machine()
    assert Host().machine() == os.uname().machine


# --- commands ----------------------------------------------------------------------------------------


def test_a_failing_command_is_named_with_its_outcome() -> None:
    argv = ["sh", "-c", "echo first >&2; echo last words >&2; exit 3"]
    with pytest.raises(FleetopsError) as caught:
        Host().run(argv)
    assert caught.value.msg == f"'{' '.join(argv)}' failed with return code 3: last words"
    assert caught.value.context["argv"] == argv
    assert caught.value.context["rc"] == 3
    assert caught.value.context["stderr"] == "first\nlast words\n"


def test_commands_run_in_the_c_locale_with_nothing_to_read() -> None:
    out = Host().run(["sh", "-c", 'echo "$LC_ALL $LANGUAGE $EXTRA"; cat'], env={"EXTRA": "yes"})
    assert out == "C C yes\n"


def test_a_command_in_sbin_is_found_without_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ls").write_text("#!/bin/sh\necho planted\n")
    (tmp_path / "ls").chmod(0o755)
    assert Host().run(["ls", "-d", "/"]) == "/\n"  # and never one of the current directory


def test_a_command_that_does_not_exist_is_missing() -> None:
    with pytest.raises(Missing, match="'no-such-command-here' does not exist"):
        Host().run(["no-such-command-here"])


# --- writing -----------------------------------------------------------------------------------------


def test_write_keeps_the_mode_of_an_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/etc/default/grub": "old"})
    (tmp_path / "etc/default/grub").chmod(0o640)
    host.write_atomic("/etc/default/grub", "new")
    assert host.read("/etc/default/grub") == "new"
    assert host.mode("/etc/default/grub") == 0o640
    assert os.listdir(tmp_path / "etc/default") == ["grub"]
    host.write_atomic("/etc/default/grub", "newer", mode=0o600)
    assert host.mode("/etc/default/grub") == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away, which needs root")
def test_write_keeps_the_owner_of_an_old_file(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/x": "old"})
    os.chown(tmp_path / "x", NOBODY, NOBODY)
    host.write_atomic("/x", "new")
    assert ((tmp_path / "x").stat().st_uid, (tmp_path / "x").stat().st_gid) == (NOBODY, NOBODY)


def test_a_long_text_is_written_in_pieces(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/x": "old"})
    host.write_atomic("/x", iter(["n", "", "ew"]))
    assert (tmp_path / "x").read_text() == "new"

    def broken() -> Iterator[str]:
        yield "n"
        raise ValueError("cut")

    with pytest.raises(ValueError, match="cut"):
        host.write_atomic("/x", broken())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "new")]


def test_write_makes_new_files_and_their_directories(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    host.write_atomic("/etc/default/grub.d/zz.cfg", "text")
    assert host.read("/etc/default/grub.d/zz.cfg") == "text"
    assert host.mode("/etc/default/grub.d/zz.cfg") == 0o644


def test_write_goes_through_a_link_and_not_over_it(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/real": "old"})
    os.symlink("/real", tmp_path / "link")
    host.write_atomic("/link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tree(tmp_path, {"/x": "old"})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FleetopsError, match="Cannot write '/x': No space left on device"):
        host.write_atomic("/x", "new")
    assert host.read("/x") == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_remove_takes_the_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    host = tree(tmp_path, {"/real": "kept"})
    os.symlink("/real", tmp_path / "link")
    host.remove("/link")
    host.remove("/link")  # not there any more: fine
    assert os.listdir(tmp_path) == ["real"]
