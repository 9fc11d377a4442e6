# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that turns a machine into a fixture."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host

CAPTURE = Path(__file__).parents[1] / "capture"
FIXTURES = Path(__file__).parent / "fixtures" / "hosts"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"capture_{name.strip('_')}", CAPTURE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorder, main = load("recorder"), load("__main__")


def record(tree: Path, into: Path) -> tuple[Any, Path]:
    """Read a tree through a Recorder, and write what it saw."""
    host = recorder.Recorder(str(tree))
    facts = recorder.read(host)
    for name, data in host.tree().items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return facts, into


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_a_capture_of_a_capture_reads_the_same(name: str, tmp_path: Path) -> None:
    facts, again = record(FIXTURES / name, tmp_path / "again")
    assert facts["fleetops_kernel"]["release"]
    assert recorder.read(Host(str(again))) == facts
    assert recorder.read(Host(str(FIXTURES / name))) == facts


def recording(tree: Path) -> Any:
    """A Recorder of a tree that stands for a machine: what is not there was not there."""
    (tree / CAPTURE_FILE).write_text("{}")
    return recorder.Recorder(str(tree))


BUILT = "(gcc 12) #1 SMP Debian 6.1.170-3 (2026-05-08)"
SECRETS = {
    "etc/default/kdump-tools": 'FTP="192.0.2.9"\nFTP_PASSWORD=\'hunter2 hunter2\'\nKDUMP_COREDIR="/var/crash"\n',
    "etc/default/grub": 'GRUB_CMDLINE_LINUX="rd.iscsi.password=hunter2"\n',
    "proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.1.0-47-cloud-amd64 ro api_token=hunter2 -- --key hunter2\n",
    "proc/version": f"Linux version 6.1.0-47-cloud-amd64 (alice@laptop.example) {BUILT}\n",
    "var/crash/kexec_cmd": '/sbin/kexec -p --command-line="ro -- --token hunter2 panic=1" --initrd=/i /k\n',
}


def test_secrets_stay_on_the_machine(tmp_path: Path) -> None:
    _facts, source = record(FIXTURES / "debian-6.1-incident", tmp_path / "source")
    for name, text in SECRETS.items():
        (source / name).write_text(text)
    with (source / "boot/grub/grub.cfg").open("a") as menu:
        menu.write("password_pbkdf2 root grub.pbkdf2.sha512.hunter2\n")
    facts, tree = record(source, tmp_path / "tree")
    said = json.dumps(facts) + "".join(path.read_text() for path in tree.rglob("*") if path.is_file())
    for secret in ("hunter2", "alice", "laptop"):
        assert secret not in said
    assert facts["fleetops_kdump"]["target"]["kind"] == "ftp"
    assert facts["fleetops_kernel"]["package"]["version"] == "6.1.170-3"


ACTORS = {
    "/etc/apt/apt.conf.d/95proxy": (
        'Acquire::http::Proxy "http://alice:hunter2@proxy.example:3128/";\nAcquire::x::Password "hunter2";\n',
        'Acquire::http::Proxy "http://left-out@proxy.example:3128/";\nAcquire::x::Password "left-out";\n',
    ),
    "/proc/77/cmdline": (
        "/usr/bin/kured\0--reboot-sentinel=/sentinel/x\0--notify-url=slack://hunter2\0--period\0001m\0",
        "/usr/bin/kured\0--reboot-sentinel=/sentinel/x\0left-out\0left-out\0left-out\0",
    ),
    "/proc/78/cmdline": (
        "kured\0--reboot-sentinel-command=curl -u a:hunter2 x\0--reboot-sentinel\0/var/run/x\0",
        "kured\0--reboot-sentinel-command=left-out\0--reboot-sentinel\0/var/run/x\0",
    ),
    "/proc/77/mountinfo": (
        "1 0 0:9 / / rw - overlay o rw\n2 1 0:21 / /sentinel ro - tmpfs t rw\n3 1 0:2 /hunter2 /etc/x rw - ext4 d rw\n",
        "1 0 0:9 / / rw - overlay o rw\n2 1 0:21 / /sentinel ro - tmpfs t rw\n",
    ),
    "/proc/self/mountinfo": (
        "1 0 8:3 / / rw - xfs d rw\n2 1 8:1 / /boot rw - xfs d rw\n3 1 8:4 / /boot-hunter2 rw - xfs d rw\n",
        "1 0 8:3 / / rw - xfs d rw\n2 1 8:1 / /boot rw - xfs d rw\n",
    ),
    "/proc/1/mountinfo": (
        "1 0 8:1 / /boot/efi rw - vfat d rw\n2 0 0:9 / /home/alice rw - nfs4 hunter2:/x rw\n",
        "1 0 8:1 / /boot/efi rw - vfat d rw\n",
    ),
    "/etc/systemd/system.conf": (
        "[Manager]\n#DefaultEnvironment=\nDefaultEnvironment=A=hunter2 \\\n  B=hunter2\nRuntimeWatchdogSec=30\n",
        "[Manager]\n#DefaultEnvironment=\nDefaultEnvironment=left-out\nRuntimeWatchdogSec=30\n",
    ),
    "/usr/lib/systemd/system.conf.d/10-proxy.conf": (
        "[Manager]\nManagerEnvironment = hunter2\nKExecWatchdogSec=2min\n",
        "[Manager]\nManagerEnvironment =left-out\nKExecWatchdogSec=2min\n",
    ),
}


@pytest.mark.parametrize("path", ACTORS)
def test_secrets_of_what_else_is_read_stay_there_too(tmp_path: Path, path: str) -> None:
    text, kept = ACTORS[path]
    (tmp_path / path[1:]).parent.mkdir(parents=True)
    (tmp_path / path[1:]).write_text(text)
    assert recording(tmp_path).read(path) == kept


# What a captured file holds, and what of it must not travel: everywhere, whatever the file is called.
LET_IN = {
    "netroot=iscsi:alice:hunter2@192.0.2.1::::iqn.x ro": "netroot=iscsi:left-out@192.0.2.1::::iqn.x ro",
    "inst.ks=https://alice:hunter2@192.0.2.1/ks ro": "inst.ks=https://left-out@192.0.2.1/ks ro",
    "systemd.set_credential=passwd.hashed-password.root:hunter2 ro": "systemd.set_credential=left-out ro",
    "systemd.set_credential_binary=x:aHVudGVyMgo= ro": "systemd.set_credential_binary=left-out ro",
    "rd.luks.key=/hunter2:UUID=1 luks.key=hunter2 ro": "rd.luks.key=left-out luks.key=left-out ro",
    "apikey=hunter2 pw=hunter2 ro": "apikey=left-out pw=left-out ro",
    "rd.iscsi.password=hunter2 ro": "rd.iscsi.password=left-out ro",
    "A='ro rd.iscsi.password=hunter2'": "A='ro rd.iscsi.password=left-out'",
    'A="ro rd.iscsi.password=hunter2"': 'A="ro rd.iscsi.password=left-out"',
    "PASSPHRASE='hunter2 hunter2' ro": "PASSPHRASE=left-out ro",
}
# Settings that only seem to.
KEPT = "iommu.passthrough=1 spec_store_bypass_disable=on root=/dev/vda1 crashkernel=256M panic=10 fpw=1"
ANYWHERE = (
    "/proc/cmdline",
    "/boot/grub2/grub.cfg",
    "/boot/grub2/grubenv",
    "/boot/loader/entries/1.conf",
    "/efi/loader/entries/1.conf",
    "/etc/sysconfig/kdump",
    "/etc/kdump.conf",
    "/etc/default/grub.d/x.cfg",
)


@pytest.mark.parametrize("path", ANYWHERE)
@pytest.mark.parametrize("text", [*LET_IN, KEPT])
def test_what_lets_in_is_left_out_of_every_file(path: str, text: str) -> None:
    assert recorder.scrub(path, f"{text}\n".encode()).decode() == f"{LET_IN.get(text, text)}\n"


def test_hosts_of_pins() -> None:
    text = b"Package: linux-*\nPin: origin mirror.inside.example.com\nPin-Priority: -1\n\nPin: release a=x\n"
    kept = text.replace(b"mirror.inside.example.com", b"packages.example.org")
    assert recorder.scrub("/etc/apt/preferences.d/site", text) == kept


@pytest.mark.parametrize("path", ["/etc/dnf/dnf.conf", "/etc/dnf/automatic.conf"])
def test_passwords_of_dnf(path: str) -> None:
    text = b"[main]\nproxy_password = hunter2 hunter2\nsslclientkey=hunter2\nproxy=http://a:hunter2@p\nreboot = never\n"
    kept = (
        b"[main]\nproxy_password = left-out\nsslclientkey=left-out\nproxy=http://left-out@p\nreboot = never\n"
    )
    assert recorder.scrub(path, text) == kept


def test_the_password_of_a_menu() -> None:
    for path in ("/boot/grub2/grub.cfg", "/boot/grub2/user.cfg", "/etc/grub2-efi.cfg"):
        for line in (
            b"password_pbkdf2 root grub.pbkdf2.sha512.hunter2\n",
            b"GRUB2_PASSWORD=grub.pbkdf2.hunter2\n",
        ):
            assert b"hunter2" not in recorder.scrub(path, line)


def test_a_mount_with_other_white_space_in_its_name() -> None:
    mounts = b"/dev/vdb /mnt/a\rb xfs rw 0 0\n/dev/vda1 / ext4 rw 0 0\n"
    assert recorder.one_of_each_type(mounts) == b"none / ext4 rw 0 0\nnone / xfs rw 0 0\n"


KEYS = (
    "/etc/shadow",
    "/etc/gshadow-",
    "/etc/ssh/ssh_host_ed25519_key",
    "/root/.ssh/id_rsa",
    "/etc/kubernetes/pki/ca.key",
)


@pytest.mark.parametrize("path", KEYS)
def test_keys_and_passwords_are_refused(tmp_path: Path, path: str) -> None:
    file = tmp_path / path.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text("hunter2")
    host = recorder.Recorder(str(tmp_path))
    with pytest.raises(Unreadable, match="not for a capture"):
        host.read(path)
    assert b"hunter2" not in b"".join(host.tree().values())


def test_the_machine_id_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    host = recorder.Recorder(str(tmp_path))
    assert host.read("/etc/machine-id") == "0" * 32 + "\n"
    assert host.tree()["etc/machine-id"] == b"0" * 32 + b"\n"


def test_a_large_file_is_kept_by_its_ends_and_its_size(tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b"HEAD" + b"x" * 2_000_000 + b"TAIL")
    host = recorder.Recorder(str(tmp_path))
    assert (host.read_bytes("/dump", 0, 4), host.read_bytes("/dump", -4, 4)) == (b"HEAD", b"TAIL")
    assert host.size("/dump") == 2_000_008
    tree = host.tree()
    assert tree["dump"] == b"HEADTAIL"
    assert json.loads(tree[CAPTURE_FILE])["sizes"] == {"/dump": 2_000_008}
    with pytest.raises(FleetopsError, match="too large for a capture"):
        host.read("/dump")


INDEX = "/lib/modules/6.1.0-56-amd64/modules.dep"
LONG_INDEX = "".join(f"kernel/drivers/m{number}.ko: kernel/lib/virtio_net.ko\n" for number in range(20_000))
LOADED = "virtio_net 65536 0 - Live 0x0000000000000000\nzfs 1 0 - Live 0x0000000000000000 (PO)\n"
MOUNTS = (
    "192.0.2.1:/secret /mnt nfs4 rw,addr=192.0.2.1 0 0\n/dev/vda1 / ext4 rw 0 0\n/dev/vdb /b ext4 rw 0 0\n"
)


def test_long_files_keep_what_a_reading_takes_from_them(tmp_path: Path) -> None:
    files = {
        "/proc/modules": LOADED,
        INDEX: LONG_INDEX + "kernel/drivers/net/virtio-net.ko.xz: kernel/m1.ko\n",
        "/proc/mounts": MOUNTS,
    }
    for path, text in files.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(text)
    host = recording(tmp_path)
    assert host.read(INDEX) == "kernel/drivers/net/virtio-net.ko.xz:\n"
    assert host.read("/proc/mounts") == "none / ext4 rw 0 0\nnone / nfs4 rw 0 0\n"
    tree = host.tree()
    assert tree[INDEX[1:]] == b"kernel/drivers/net/virtio-net.ko.xz:\n"
    assert set(json.loads(tree[CAPTURE_FILE])["trimmed"]) == {INDEX, "/proc/mounts"}


def test_without_the_loaded_modules_an_index_is_whole_or_too_large(tmp_path: Path) -> None:
    (tmp_path / INDEX[1:]).parent.mkdir(parents=True)
    (tmp_path / INDEX[1:]).write_text("kernel/a.ko: kernel/b.ko\n")
    host = recorder.Recorder(str(tmp_path))
    assert host.read(INDEX) == "kernel/a.ko: kernel/b.ko\n"
    (tmp_path / INDEX[1:]).write_text(LONG_INDEX)
    with pytest.raises(FleetopsError, match="too large for a capture"):
        host.read(INDEX)


def test_where_links_lead_is_kept(tmp_path: Path) -> None:
    """Two versions of a module are built, and the link of DKMS alone says which of them is installed."""
    source, again = tmp_path / "source", tmp_path / "again"
    home = source / "var/lib/dkms/zfs"
    for version in ("2.1", "2.2"):
        built = home / version / "6.1.0-47-amd64/x86_64/module"
        built.mkdir(parents=True)
        (built / "zfs.ko").touch()
        (home / version / "source").mkdir()
    (home / "kernel-6.1.0-47-amd64-x86_64").symlink_to("2.2/6.1.0-47-amd64/x86_64")
    facts, tree = record(source, again)
    states = [module["states"] for module in facts["fleetops_kernel"]["dkms"]]
    assert states == [{"6.1.0-47-amd64": "built"}, {"6.1.0-47-amd64": "installed"}]
    assert not any(path.is_symlink() for path in tree.rglob("*"))
    assert recorder.read(Host(str(tree)))["fleetops_kernel"]["dkms"] == facts["fleetops_kernel"]["dkms"]


def test_kernel_threads_are_left_out_but_for_the_one_that_proves_something(tmp_path: Path) -> None:
    for pid, words in {"1": "/sbin/init", "2": "", "77": "", "4711": "kube-proxy\0"}.items():
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "cmdline").write_text(words)
    (tmp_path / "proc/version").write_text("")
    assert recording(tmp_path).listdir("/proc") == ["1", "2", "4711"]


def test_what_travels_is_module_utils_and_the_recorder() -> None:
    with zipfile.ZipFile(io.BytesIO(main.payload())) as archive:
        names = archive.namelist()
    assert "__main__.py" in names
    assert f"{main.PACKAGE}/_readers/kernel.py" in names
    assert {name.split("/")[0] for name in names} == {"__main__.py", "ansible_collections"}


def test_how_a_machine_is_reached() -> None:
    assert main.command("localhost", None, None)[:2] == ["python3", "-c"]
    assert main.command("web1", None, "ops")[:5] == ["ssh", "-o", "BatchMode=yes", "-l", "ops"]
    lab = main.command("n1", "default", "operator")
    assert lab[0] == sys.executable
    assert lab[2:8] == ["ssh", "--lab", "default", "--user", "operator", "n1"]


def test_differences_are_named_by_their_path() -> None:
    live = {"a": {"b": 1, "c": [1]}, "d": None}
    assert main.differences(live, json.loads(json.dumps(live))) == []
    assert main.differences(live, {"a": {"b": 2, "c": [1]}, "e": 1}) == [
        "a.b: 1 on the machine, 2 in the tree",
        "e: None on the machine, 1 in the tree",
    ]


def test_this_machine(tmp_path: Path) -> None:
    """From the command line to the comparison, on whatever runs these tests."""
    outdir = tmp_path / "tree"
    facts = main.capture([sys.executable, "-c", main.BOOTSTRAP], outdir)
    again = main.replay(outdir)
    assert facts["fleetops_kernel"]["release"] == Host().read("/proc/sys/kernel/osrelease").strip()
    assert main.differences(facts, again) == []
    assert not (outdir / ".live.json").exists()
