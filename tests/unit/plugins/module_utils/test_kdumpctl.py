# SPDX-License-Identifier: GPL-3.0-or-later
"""kdump of RHEL and those like it, on trees that are written as kdump-utils documents its files. Not captured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as rules

RELEASE = "5.14.0-570.35.1.el9_6.x86_64"
BOOTED = 1795000000
INITRD = f"/boot/initramfs-{RELEASE}kdump.img"
# As gen-kdump-sysconfig.sh of kdump-utils writes it for x86_64, in another order and shorter.
SYSCONFIG = """\
# comment
KDUMP_KERNELVER=""
KDUMP_COMMANDLINE=""
KDUMP_COMMANDLINE_REMOVE="hugepages hugepagesz slub_debug quiet log_buf_len swiotlb"
KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1 reset_devices panic=10 novmcoredd"
KEXEC_ARGS="-s"
"""
CONF = """\
# nfs my.server.com:/export/tmp
auto_reset_crashkernel yes
path /var/crash
core_collector makedumpfile -l --message-level 7 -d 31
"""
SHOW = "systemctl show --property=LoadState,ActiveState,UnitFileState kdump.service"
Tree = Callable[..., Any]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Read the tree of a machine that is ready; *files* replace its own, None removes one; *capture* adds to it."""

    def read(files: dict[str, str | None] | None = None, **capture: Any) -> Any:
        held: dict[str, str | None] = {
            "/proc/cmdline": f"BOOT_IMAGE=(hd0,gpt2)/vmlinuz-{RELEASE} root=/dev/mapper/rl-root ro quiet "
            "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M rd.lvm.lv=rl/root console=ttyS0\n",
            "/proc/iomem": "  2b000000-3affffff : Crash kernel\n",
            "/proc/stat": f"cpu  1 2 3\nbtime {BOOTED}\n",
            "/proc/sys/kernel/osrelease": f"{RELEASE}\n",
            "/sys/kernel/kexec_crash_loaded": "1\n",
            "/sys/kernel/kexec_crash_size": str(256 << 20),
            "/sys/kernel/kexec_loaded": "0\n",
            "/sys/kernel/vmcoreinfo": "0x0000000104fd3000 1024\n",
            "/etc/kdump.conf": CONF,
            "/etc/sysconfig/kdump": SYSCONFIG,
            **(files or {}),
        }
        for path, text in held.items():
            if text is not None:
                (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path[1:]).write_text(text)
        known = {
            "exists": ["/usr/bin/kdumpctl"],
            "sizes": {INITRD: 32 << 20},
            "mtimes": {"/etc/sysconfig/kdump": BOOTED - 1000.0},
            "disks": {"/var/crash": {"total": 50 << 30, "free": 40 << 30}},
            "listings": {"/var/crash": []},
            "commands": {
                SHOW: {
                    "rc": 0,
                    "stdout": "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n",
                    "stderr": "",
                }
            },
            **capture,
        }
        (tmp_path / ".fleetops.json").write_text(json.dumps(known))
        return kdump.read(Host(str(tmp_path)))

    return read


def test_a_machine_that_is_ready(tree: Tree) -> None:
    facts = tree()
    assert facts["unknown"] == {}
    assert facts["implementation"] == "kdumpctl"
    assert facts["reservation"]["bytes"] == 256 << 20
    assert facts["service"] == {"name": "kdump.service", "enabled": True, "active": True}
    assert facts["target"] == {
        "path": "/var/crash",
        "kind": "local",
        "free_bytes": 40 << 30,
        "total_bytes": 50 << 30,
    }
    assert facts["dumps"] == []
    assert (facts["kexec_loaded"], facts["vmcoreinfo"]) == (
        False,
        {"address": "0x104fd3000", "bytes": 0x1024},
    )
    capture = facts["capture"]
    assert (capture["loaded"], capture["panic"], capture["source"]) == (True, 10, "/etc/sysconfig/kdump")
    assert (capture["initrd"], capture["initrd_bytes"]) == (INITRD, 32 << 20)
    assert capture["cmdline"]["raw"] == (
        f"BOOT_IMAGE=(hd0,gpt2)/vmlinuz-{RELEASE} ro console=ttyS0 irqpoll nr_cpus=1 reset_devices panic=10 novmcoredd"
    )


def test_the_capture_kernel_s_panic_is_the_last_that_is_given(tree: Tree) -> None:
    files = {"/etc/sysconfig/kdump": SYSCONFIG.replace(" panic=10", "")}
    assert tree(files)["capture"]["panic"] is None
    files["/proc/cmdline"] = "root=/dev/vda1 ro panic=30\n"
    assert tree(files)["capture"]["panic"] == 30
    files["/etc/sysconfig/kdump"] = SYSCONFIG.replace('REMOVE="', 'REMOVE="panic ').replace(" panic=10", "")
    assert tree(files)["capture"]["panic"] is None
    files["/etc/sysconfig/kdump"] = SYSCONFIG
    assert tree(files)["capture"]["panic"] == 10


def test_a_command_line_of_its_own(tree: Tree) -> None:
    text = SYSCONFIG.replace('KDUMP_COMMANDLINE=""', 'KDUMP_COMMANDLINE="ro root=LABEL=/ panic=5"')
    raw = tree({"/etc/sysconfig/kdump": text})["capture"]["cmdline"]["raw"]
    assert raw == "ro panic=5 irqpoll nr_cpus=1 reset_devices panic=10 novmcoredd"


@pytest.mark.parametrize("action", ["shell", "halt", "poweroff"])
@pytest.mark.parametrize("name", ["failure_action", "default"])
def test_an_action_that_does_not_reboot_proves_no_net(tree: Tree, name: str, action: str) -> None:
    facts = tree({"/etc/kdump.conf": f"{CONF}{name} {action}\n"})
    assert facts["capture"]["cmdline"] is None
    assert facts["capture"]["panic"] is None
    assert f"failure_action {action}" in facts["unknown"]["capture.cmdline"]
    assert tree({"/etc/kdump.conf": f"{CONF}{name} reboot\n"})["capture"]["panic"] == 10


def test_settings_that_changed_in_this_boot_do_not_tell_what_is_loaded(tree: Tree) -> None:
    facts = tree(mtimes={"/etc/sysconfig/kdump": BOOTED + 1000.0})
    assert facts["capture"]["cmdline"] is None
    assert "was changed in this boot" in facts["unknown"]["capture.cmdline"]
    facts = tree({"/proc/stat": "cpu  1 2 3\n"})
    assert "does not say when this machine booted" in facts["unknown"]["capture.cmdline"]


def test_settings_that_a_shell_works_out_are_not_guessed(tree: Tree) -> None:
    facts = tree({"/etc/sysconfig/kdump": SYSCONFIG.replace("irqpoll", "$(uname)")})
    assert "worked out by the shell" in facts["unknown"]["capture.cmdline"]


def test_no_image_is_loaded(tree: Tree) -> None:
    facts = tree({"/sys/kernel/kexec_crash_loaded": "0\n"})
    assert facts["capture"]["loaded"] is False
    assert facts["unknown"] == {"capture.cmdline": "no capture kernel is loaded"}
    assert facts["capture"]["initrd_bytes"] == 32 << 20, "what it would be loaded with"


@pytest.mark.parametrize(
    ("line", "kind", "path"),
    [
        ("nfs my.server.com:/export/tmp # theirs", "nfs", "my.server.com:/export/tmp:/var/crash"),
        ("ssh user@my.server.com", "ssh", "user@my.server.com:/var/crash"),
        ("raw /dev/vg/lv_kdump", "local", "/dev/vg/lv_kdump"),
        ("ext4 UUID=03138356", "local", "UUID=03138356:/var/crash"),
        ("xfs /dev/vg/lv", "local", "/dev/vg/lv:/var/crash"),
    ],
)
def test_a_target_that_is_named_is_not_asked(tree: Tree, line: str, kind: str, path: str) -> None:
    facts = tree({"/etc/kdump.conf": f"{CONF}{line}\n"})
    assert facts["target"] == {"path": path, "kind": kind, "free_bytes": None, "total_bytes": None}
    assert facts["dumps"] is None
    assert set(facts["unknown"]) == {"target.free_bytes", "target.total_bytes", "dumps"}


def test_dumps_as_kdumpctl_leaves_them(tree: Tree) -> None:
    first, second = "127.0.0.1-2026-11-19-11:20:03", "127.0.0.1-2026-11-20-03:12:59"
    listings = {
        "/var/crash": [second, first, "lost+found", "202611200312"],
        f"/var/crash/{first}": ["kexec-dmesg.log", "vmcore", "vmcore-dmesg.txt"],
        f"/var/crash/{second}": ["vmcore-dmesg-incomplete.txt", "vmcore-incomplete"],
    }
    paths = [f"/var/crash/{first}/vmcore", f"/var/crash/{second}/vmcore-incomplete"]
    facts = tree(
        {paths[0]: "KDUMP   6" + "x" * 100},
        listings=listings,
        sizes={INITRD: 32 << 20, paths[0]: 108, paths[1]: 7},
        mtimes={"/etc/sysconfig/kdump": 0.0, paths[0]: BOOTED - 200.0, paths[1]: BOOTED - 100.0},
    )
    assert [(dump["path"], dump["bytes"], dump["complete"]) for dump in facts["dumps"]] == [
        (paths[0], 108, None),
        (paths[1], 7, False),
    ]
    assert facts["unknown"] == {f"dumps.{paths[0]}": "it is of a kind that has no end marker"}


def test_what_is_missing_is_unknown_with_its_reason(tree: Tree) -> None:
    facts = tree({"/etc/kdump.conf": None}, sizes={}, commands={})
    for path in ("target", "dumps", "capture.cmdline"):
        assert "'/etc/kdump.conf' does not exist" in facts["unknown"][path]
    assert INITRD in facts["unknown"]["capture.initrd"]
    assert facts["unknown"]["capture.initrd_bytes"] == facts["unknown"]["capture.initrd"]
    assert "was not captured" in facts["unknown"]["service"]
    assert (facts["target"], facts["dumps"], facts["service"]) == (None, None, None)


def test_another_kernel_than_the_running_one_may_capture(tree: Tree) -> None:
    other = "/boot/initramfs-5.14.0-503.el9.x86_64kdump.img"
    text = SYSCONFIG.replace('KERNELVER=""', 'KERNELVER="5.14.0-503.el9.x86_64"')
    assert tree({"/etc/sysconfig/kdump": text}, sizes={other: 5})["capture"]["initrd"] == other


def test_the_first_of_a_directive_counts_and_comments_do_not() -> None:
    assert rules.kdump_conf("path /a # here\n#path /b\npath /c\nforce_rebuild\n\n") == {"path": "/a"}
    assert rules.kdump_conf_target({"path": "/a"}) is None


def test_without_a_setting_kdumpctl_takes_its_own_away() -> None:
    tokens = ["ro", "slub_debug=P", "quiet", "crashkernel=1G"]
    assert rules.kdumpctl_line(tokens, None, "panic=10") == "ro quiet panic=10"
    assert rules.kdumpctl_line(tokens, "quiet", "") == "ro slub_debug=P"
