# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to files and commands, over a real file system."""

from __future__ import annotations

import json
import os
import socket
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
from ansible_collections.fleetops.kernel.plugins.module_utils._host import (
    CAPTURE_FILE,
    READING_TIMEOUT,
    WRITING_TIMEOUT,
    Host,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._live import Live, network_mounts
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import dumps
from ansible_collections.fleetops.kernel.plugins.module_utils._readers._asking import Asking

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


def test_links_of_folders_do_not_lead_a_pattern_out_of_the_root(tmp_path: Path) -> None:
    host = tree(tmp_path / "root", {"/real/a.cfg": ""}, machine="x86_64")
    outside = tmp_path / "real"
    outside.mkdir()
    (outside / "b.cfg").write_text("")
    os.symlink(str(outside), tmp_path / "root/direct")
    os.symlink("/real", tmp_path / "root/inside")
    assert host.glob("/inside/*.cfg") == ["/inside/a.cfg"]
    assert host.glob("/direct/*.cfg") == []


@pytest.mark.parametrize("root", ["/", "//", "/usr/..", "/./"])
def test_the_running_machine_has_many_names(root: str, tmp_path: Path) -> None:
    assert Host(root).live
    os.symlink("/", tmp_path / "link")
    assert Host(str(tmp_path / "link")).live


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


def special(path: Path, kind: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        os.symlink("/dev/ptmx", path)  # each one that is opened makes a terminal
    else:
        with socket.socket(socket.AF_UNIX) as one:
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket is short
            one.bind(path.name)
            os.chdir(here)
    return path


@pytest.mark.parametrize("kind", ["FIFO", "device", "socket"])
def test_what_is_no_file_is_unreadable_and_nobody_waits_for_it(tmp_path: Path, kind: str) -> None:
    """In a child, which is ended if it waits after all."""
    special(tmp_path / "etc/odd", kind)
    script = f"""
import os
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
opened, real = [], os.open
os.open = lambda *given: opened.append(given) or real(*given)
places = [(Host(), {str(tmp_path / "etc/odd")!r})]
places += [(Host({str(tmp_path)!r}), "/etc/odd")] if {kind != "device"} else []
for host, path in places:
    try:
        print("BAD", host.read(path))
    except Unreadable as error:
        print(error.msg.partition(": ")[2], opened)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    says = "Not a file, but a FIFO, a device or a socket []"
    assert done.stdout.splitlines() == [says] * (1 if kind == "device" else 2), done.stderr


@pytest.mark.parametrize("name", [CAPTURE_FILE, "etc/fstab"])
def test_a_tree_whose_own_files_are_none_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\n")
    special(tmp_path / name, "FIFO")
    script = f"""
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
try:
    print(Host({str(tmp_path)!r}).exists("/etc/x"))
except FleetopsError as error:
    print(error.msg)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    wanted = "Not a file, but a FIFO" if name == CAPTURE_FILE else "False"
    assert wanted in done.stdout, done.stderr


def test_files_of_the_kernel_are_files() -> None:
    assert Host().read("/proc/self/comm")
    assert Host().read(
        "/sys/kernel/profiling" if os.path.exists("/sys/kernel/profiling") else "/proc/cmdline"
    )


MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
server:/srv/with\\040space /mnt/with\\040space nfs4 rw 0 0
//server/share /mnt/cifs cifs rw 0 0
sshfs /mnt/ssh fuse.sshfs rw 0 0
/dev/vdb1 /mnt/ntfs fuseblk rw 0 0
systemd-1 /mnt/later autofs rw 0 0
/dev/vdc1 /mnt/later ext4 rw 0 0
systemd-1 /mnt/auto autofs rw 0 0
server:/srv/crash {link} nfs rw 0 0
"""


class Mounted(Host):
    """This machine, with other mounts."""

    mounts = MOUNTS

    def __init__(self) -> None:
        super().__init__()
        assert isinstance(self._place, Live)
        self._place.network = network_mounts(self.mounts)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/mnt/with space/crash", "nfs4 at /mnt/with space"),
        ("/mnt/cifs", "cifs at /mnt/cifs"),
        ("/mnt/ssh/a/b", "fuse.sshfs at /mnt/ssh"),
        ("/mnt/auto/x", "autofs at /mnt/auto"),
        ("/mnt/no/../cifs/x", "cifs at /mnt/cifs"),
    ],
)
def test_a_server_that_may_be_gone_is_not_asked(
    path: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(os, "statvfs", asked.append)
    with pytest.raises(Unreadable) as caught:
        Mounted().disk(path)
    assert caught.value.msg == f"'{path}' is not asked: it lies on a server ({where}), which may not answer"
    with pytest.raises(Unreadable):
        Mounted().require_local(path)
    assert asked == []


def test_a_link_to_a_server_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path(os.path.realpath(tmp_path))
    os.symlink(real / "server", real / "crash")
    monkeypatch.setattr(Mounted, "mounts", MOUNTS.format(link=real / "server"))
    looked: list[str] = []
    islink = os.path.islink

    def seen(path: str) -> bool:
        looked.append(path)
        return islink(path)

    monkeypatch.setattr(os.path, "islink", seen)
    with pytest.raises(Unreadable, match="nfs at"):
        Mounted().disk(str(real / "crash/n1"))
    assert str(real / "crash") in looked
    assert str(real / "server") not in looked


@pytest.mark.parametrize("there", [True, False])
def test_dumps_on_a_server_are_not_looked_for(
    tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path(os.path.realpath(tmp_path))
    (real / "crash/202611230405").mkdir(parents=True)
    (real / "crash/202611230405/dump.202611230405").write_text("KDUMP   " * 4)
    link = str(real / "crash") if there else "/mnt/nfs"
    monkeypatch.setattr(Mounted, "mounts", MOUNTS.format(link=link))
    asking = Asking(Mounted())
    found = asking.ask("dumps", dumps.read, asking, str(real / "crash"), dumps.KDUMP_TOOLS)
    if there:
        assert found is None
        assert "lies on a server (nfs at " in asking.unknown["dumps"]
    else:
        assert [dump["bytes"] for dump in found or []] == [32]


@pytest.mark.parametrize("path", ["/", "/mnt/ntfs", "/mnt/later/x", "/mnt", "/mnt/cifs2"])
def test_a_disk_of_the_machine_is_asked(path: str) -> None:
    Mounted().require_local(path)


def test_a_machine_whose_root_lies_on_a_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mounted, "mounts", "server:/root / nfs4 rw 0 0\n")
    # Its size; what is free of it changes under our feet.
    assert Mounted().disk("/")[0] == Host().disk("/")[0]


def test_without_mounts_to_read_the_disk_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for mounts in ("", "odd\n\n", "a b\n"):
        monkeypatch.setattr(Mounted, "mounts", mounts)
        assert Mounted().disk("/")[0] > 0


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


def test_a_command_that_does_not_answer_is_ended() -> None:
    host = Host()
    assert host.patience == READING_TIMEOUT < WRITING_TIMEOUT
    host.patience = 1
    with pytest.raises(FleetopsError, match="'sleep 100' did not end within 1 seconds"):
        host.run(["sleep", "100"])


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


@pytest.mark.parametrize("noted", [{"rc": 0}, {"stdout": "x", "stderr": ""}, {}])
def test_a_command_that_was_noted_in_part_is_unreadable(tmp_path: Path, noted: dict[str, object]) -> None:
    (tmp_path / CAPTURE_FILE).write_text(json.dumps({"commands": {"true": noted}}))
    with pytest.raises(Unreadable, match="'true' said was captured only in part"):
        Host(str(tmp_path)).run(["true"])


def test_a_file_that_is_replaced_keeps_its_mode_and_its_attributes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    # As SELinux keeps a file's label, and the file system its ACL.
    os.setxattr(path, "user.label", b"bootloader_etc_t")
    Host(str(tmp_path)).write_atomic("/file", "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert os.getxattr(path, "user.label") == b"bootloader_etc_t"
