# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fact of the kernel on small made trees: there, not there, and not to be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import livepatch, modules, proc
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelFacts

FIXTURES = Path(__file__).parents[2] / "fixtures"
RUNNING, NEXT = "6.1.0-47-amd64", "6.1.0-56-amd64"
MIB = 1 << 20

Files = dict[str, "str | bytes | None"]

STATUS = """\
Package: linux-image-{release}
Status: install ok installed
Source: linux-signed-amd64 ({version})
Version: {version}

"""
DPKG_STATUS = STATUS.format(release=RUNNING, version="6.1.170-3") + STATUS.format(
    release=NEXT, version="6.1.192-2"
)
CPUS = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmicrocode\t: 0xb000040\nflags\t\t: fpu hypervisor\n"
ARM_CPU = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: {}\nCPU architecture: 8\n"
POWER_CPU = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n"
MOUNTS = (
    "proc /proc proc rw 0 0\n/dev/vda1 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n"
    "192.0.2.1:/a\\040b /mnt nfs4 rw 0 0\nops@a:/ /s fuse.sshfs rw 0 0\nnone /x tmpfs rw 0 0\n"
)
FILE_SYSTEMS = "nodev\tproc\nnodev\ttmpfs\n\text4\n\tvfat\nnodev\tnfs4\nnodev\tfuse\n"
LOADED = (
    "virtio_net 65536 0 - Live 0x0000000000000000 (E)\n"
    "i6300esb 16384 0 - Live 0x0000000000000000\n"
    "zfs 4411392 6 - Live 0x0000000000000000 (POE)\n"
    "e1000e 1 0 - Loading 0x0000000000000000\n"
)
DEP = (
    "kernel/drivers/net/virtio-net.ko.xz: kernel/net/net_failover.ko.xz\nkernel/drivers/net/e1000e.ko.zst:\n"
)
BUILTIN = "kernel/drivers/watchdog/i6300esb.ko\n"
EFI = "/sys/firmware/efi/efivars"
SECURE_BOOT = f"{EFI}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
PATCHES = "/sys/kernel/livepatch"
MOUNTINFO = "22 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n24 22 0:20 / /sys rw - sysfs sysfs rw\n"
PINS = """\
Explanation: known to hang
Package: linux-image-6.1.0-50-amd64
Pin: version *
Pin-Priority: -1

Package: *
Pin: release a=bookworm-backports
Pin-Priority: 100
"""
MENU = f"""\
set default="0"
menuentry 'Debian' --class os $menuentry_id_option 'gnulinux-simple-1' {{
  linux /boot/vmlinuz-{NEXT} root=/dev/vda1 ro
  initrd /boot/initrd.img-{NEXT}
}}
menuentry 'Debian old' --class os $menuentry_id_option 'gnulinux-{RUNNING}-advanced-1' {{
  linux /boot/vmlinuz-{RUNNING} root=/dev/vda1 ro
  initrd /boot/initrd.img-{RUNNING}
}}
"""
BASE: Files = {
    "/etc/os-release": "ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n",
    "/var/lib/dpkg/status": DPKG_STATUS,
    "/boot/grub/grub.cfg": MENU,
    "/proc/version": f"Linux version {RUNNING} (builder@host) (gcc-12) #1 SMP Debian 6.1.170-3 (2026-05-08)\n",
    "/proc/cmdline": "root=/dev/vda1 ro\n",
    "/proc/cpuinfo": CPUS,
    "/proc/mounts": MOUNTS,
    "/proc/filesystems": FILE_SYSTEMS,
    "/proc/modules": LOADED,
    "/proc/uptime": "12.5 10.0\n",
    "/proc/2/comm": "kthreadd\n",
    "/proc/sys/kernel/osrelease": f"{RUNNING}\n",
    "/proc/sys/kernel/version": "#1 SMP Debian 6.1.170-3 (2026-05-08)\n",
    "/proc/sys/kernel/modules_disabled": "0\n",
    "/proc/sys/kernel/panic": "0\n",
    "/proc/sys/kernel/tainted": "4096\n",
    "/proc/sys/kernel/random/boot_id": "0e1c3bd0-9a5b-4f1c-a0ce-4f4b7f3a6f0e\n",
    "/proc/self/mountinfo": MOUNTINFO,
    "/boot/grub/grubenv": "# GRUB Environment Block\n".ljust(1024, "#"),
    "/etc/apt/preferences.d/kernel": PINS,
    "/etc/systemd/system.conf": "[Manager]\n#RuntimeWatchdogSec=off\n",
    "/etc/systemd/system.conf.d/watchdog.conf": "[Manager]\nRuntimeWatchdogSec=1min 30s\nKExecWatchdogSec=1min\n",
    "/sys/class/watchdog/watchdog0/identity": "i6300ESB timer\n",
    "/sys/class/watchdog/watchdog0/state": "active\n",
    "/sys/class/watchdog/watchdog0/timeout": "30\n",
    "/sys/class/watchdog/watchdog0/nowayout": "1\n",
    "/sys/class/watchdog/watchdog0/bootstatus": "32\n",
    "/sys/class/watchdog/watchdog0/status": "0x8000\n",
    "/sys/kernel/oops_count": "0\n",
    "/sys/kernel/warn_count": "3\n",
    "/sys/module/kernel/parameters/crash_kexec_post_notifiers": "N\n",
    "/sys/kernel/kexec_crash_size": "0\n",
    "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
    f"{PATCHES}/lkp_Ubuntu_5_15_0_91_101_generic_104/enabled": "1\n",
    f"{PATCHES}/lkp_Ubuntu_5_15_0_91_101_generic_104/transition": "0\n",
    "/sys/devices/system/memory/block_size_bytes": "8000000\n",
    SECURE_BOOT: b"\x06\0\0\0\x01",
    f"/lib/modules/{RUNNING}/modules.dep": DEP,
    f"/lib/modules/{NEXT}/modules.dep": DEP,
    f"/lib/modules/{NEXT}/modules.builtin": BUILTIN,
    "/run/reboot-required": "*** System restart required ***\n",
    "/run/reboot-required.pkgs": "linux-base\nlinux-image-amd64\nlinux-base\n",
    "/var/lib/dkms/zfs/2.1.11/source/dkms.conf": "",
    f"/var/lib/dkms/zfs/2.1.11/{RUNNING}/x86_64/module/zfs.ko.xz": "",
}
NOTES: dict[str, Any] = {
    "machine": "x86_64",
    "disks": {"/boot": {"total": 1000 * MIB, "free": 700 * MIB}},
    "listings": {
        "/boot": [
            f"{what}-{release}" for what in ("vmlinuz", "initrd.img", "config") for release in (RUNNING, NEXT)
        ],
        "/sys/bus": ["cpu", "pci", "virtio"],
        "/sys/bus/pci/drivers": ["ahci", "megaraid_sas", "virtio-pci"],
        "/sys/bus/pci/drivers/ahci": [
            "0000:00:1f.2",
            "bind",
            "module",
            "new_id",
            "remove_id",
            "uevent",
            "unbind",
        ],
        "/sys/bus/pci/drivers/megaraid_sas": ["bind", "dbg_lvl", "module", "version"],
        "/sys/bus/pci/drivers/virtio-pci": ["0000:00:03.0", "bind"],
        "/sys/bus/virtio/drivers": ["virtio_blk", "virtio_net"],
        "/sys/bus/virtio/drivers/virtio_blk": ["bind", "module"],
        "/sys/bus/virtio/drivers/virtio_net": ["bind", "virtio1"],
        "/sys/class": ["iommu", "net"],
        "/sys/dev/block/254:1": ["dev", "partition", "size"],
        "/sys/class/iommu": ["dmar0"],
        "/sys/devices/system/memory": ["memory0", "memory1"],
    },
    "sizes": {
        f"/boot/{what}-{release}": size
        for what, size in (("vmlinuz", 8 * MIB), ("initrd.img", 30 * MIB), ("config", 1000))
        for release in (RUNNING, NEXT)
    },
}


def made(root: Path, files: Files | None = None, **notes: Any) -> Host:
    """A machine of a few files, with some changed (None: not there) and notes added."""
    for path, content in {**BASE, **(files or {})}.items():
        file = root / path.lstrip("/")
        if content is None:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    merged = {
        key: {
            name: value for name, value in {**NOTES.get(key, {}), **notes[key]}.items() if value is not None
        }
        if isinstance(notes.get(key), dict)
        else notes.get(key, NOTES.get(key))
        for key in {*NOTES, *notes}
    }
    (root / CAPTURE_FILE).write_text(json.dumps(merged))
    return Host(str(root))


def test_the_whole_machine_is_known(tmp_path: Path) -> None:
    facts = kernel.read(made(tmp_path))
    assert facts["unknown"] == {}
    assert {*facts} == {*KernelFacts.__annotations__}


PATCH = f"{PATCHES}/lkp_Ubuntu_5_15_0_91_101_generic_104"
PATCHED = {
    "name": "lkp_Ubuntu_5_15_0_91_101_generic_104",
    "enabled": True,
    "transition": False,
    "level": "104",
}


WRITERS = (
    "/etc/kernel/postinst.d/update-notifier",
    "/etc/kernel/postinst.d/unattended-upgrades",
    "/usr/share/kernel/postinst.d/touch-reboot-required",
)
UNASKED: Files = {"/run/reboot-required": None, "/run/reboot-required.pkgs": None}
NOT_REQUIRED = {"required": False, "packages": [], "source": "/run/reboot-required"}


PARAMETERS = "/sys/module/kernel/parameters"
SYSTEM = "/etc/systemd/system.conf"
ARMED = {"source": f"{SYSTEM}.d/watchdog.conf", "text": "RuntimeWatchdogSec=1min 30s"}
BY_KEXEC = {"source": f"{SYSTEM}.d/watchdog.conf", "text": "KExecWatchdogSec=1min"}
SYSTEMD_WATCHDOG = {
    "runtime": 90.0,
    "reboot": 600.0,
    "kexec": 60.0,
    "device": "",
    "lines": [ARMED, BY_KEXEC],
}


def later(text: str) -> tuple[Files, list[dict[str, str]]]:
    """A drop-in that is read after the others, and its lines."""
    path = f"{SYSTEM}.d/zz.conf"
    return {path: f"[Manager]\n{text}\n"}, [{"source": path, "text": line} for line in text.split("\n")]


SYSTEMD_WATCHDOGS: list[tuple[Files, dict[str, Any]]] = [
    ({}, {}),
    (
        later("RuntimeWatchdogSec=off")[0],
        {"runtime": 0.0, "lines": [*later("RuntimeWatchdogSec=off")[1], BY_KEXEC]},
    ),
    # What systemd cannot read it passes over, and so the line before it stays in force.
    (later("RuntimeWatchdogSec=soon")[0], {}),
    (later("RuntimeWatchdogSec=")[0], {}),
    (
        later("ShutdownWatchdogSec=120")[0],
        {"reboot": 120.0, "lines": [ARMED, *later("ShutdownWatchdogSec=120")[1], BY_KEXEC]},
    ),
    (
        later("WatchdogDevice=/dev/watchdog1")[0],
        {"device": "/dev/watchdog1", "lines": [ARMED, BY_KEXEC, *later("WatchdogDevice=/dev/watchdog1")[1]]},
    ),
    # The kernel's command line is read after all files.
    (
        {"/proc/cmdline": "root=/dev/vda1 systemd.watchdog_sec=20s\n"},
        {
            "runtime": 20.0,
            "lines": [{"source": "/proc/cmdline", "text": "systemd.watchdog_sec=20s"}, BY_KEXEC],
        },
    ),
    # A file of one name in a more important folder masks the other.
    (
        {"/usr/lib/systemd/system.conf.d/watchdog.conf": "[Manager]\nRuntimeWatchdogSec=7\n"},
        {},
    ),
]
GRUBENV = "/boot/grub/grubenv"


def environment(writable: bool | None, because: str) -> dict[str, Any]:
    return (
        {"path": GRUBENV, "writable": writable, "because": because}
        if writable is not None
        else {"why": because}
    )


def on(kind: str) -> Files:
    return {"/proc/self/mountinfo": MOUNTINFO.replace("ext4", kind)}


def layered(folder: str) -> dict[str, Any]:
    return {"listings": {"/sys/dev/block/254:1": ["dev", folder, "size"]}}


def mapped(uuid: str) -> Files:
    return {"/sys/dev/block/254:1/dm/uuid": f"{uuid}\n"}


PLAIN = f"'{GRUBENV}' is on ext4, on a plain partition (254:1)"
THROUGH = "through which GRUB does not write"
ENVIRONMENTS: list[tuple[Files, dict[str, Any], dict[str, Any]]] = [
    ({}, {}, environment(True, PLAIN)),
    (on("vfat"), {}, environment(True, PLAIN.replace("ext4", "vfat"))),
    (on("btrfs"), {}, environment(False, f"'{GRUBENV}' is on btrfs, which GRUB does not write")),
    (
        on("bcachefs"),
        {},
        environment(None, f"'{GRUBENV}' is on bcachefs, of which it is not known whether GRUB writes it"),
    ),
    ({GRUBENV: "short"}, {}, environment(False, f"'{GRUBENV}' has 5 bytes, and GRUB writes one of 1024")),
    ({}, layered("md"), environment(False, f"'{GRUBENV}' is on a RAID of the kernel's (md), {THROUGH}")),
    (
        mapped("LVM-abc"),
        layered("dm"),
        environment(False, f"'{GRUBENV}' is on the device mapper (LVM), {THROUGH}"),
    ),
    (
        mapped("CRYPT-LUKS2-abc"),
        layered("dm"),
        environment(False, f"'{GRUBENV}' is on the device mapper (CRYPT), {THROUGH}"),
    ),
    (mapped("part1-mpath-3600"), layered("dm"), environment(True, PLAIN)),
    ({}, layered("dm"), environment(None, "'/sys/dev/block/254:1/dm/uuid' does not exist")),
    (
        {"/proc/self/mountinfo": MOUNTINFO + "30 22 9:0 / /boot rw - ext4 /dev/md0 rw\n"},
        {"listings": {"/sys/dev/block/9:0": ["md"]}},
        environment(False, f"'{GRUBENV}' is on a RAID of the kernel's (md), {THROUGH}"),
    ),
    ({"/proc/self/mountinfo": None}, {}, environment(None, "'/proc/self/mountinfo' does not exist")),
]


@pytest.mark.parametrize(
    ("fact", "files", "notes", "value"),
    [
        ("upstream", {}, {}, "6.1.170"),
        ("upstream", {"/proc/version_signature": "Ubuntu 5.15.0-112.122-generic 5.15.149\n"}, {}, "5.15.149"),
        (
            "upstream",
            {
                "/proc/sys/kernel/osrelease": "6.18.44-fc\n",
                "/proc/version": "Linux version 6.18.44-fc (a@b) #1 SMP\n",
            },
            {},
            "6.18.44",
        ),
        ("flavour", {}, {}, "amd64"),
        ("flavour", {"/proc/sys/kernel/osrelease": "5.14.0-570.33.1.el9_6.x86_64+rt\n"}, {}, "rt"),
        ("cpu_vendor", {}, {}, "GenuineIntel"),
        ("cpu_vendor", {"/proc/cpuinfo": ARM_CPU.format("0x41")}, {}, "ARM"),
        ("cpu_vendor", {"/proc/cpuinfo": ARM_CPU.format("0xc0")}, {}, "Ampere"),
        ("cpu_vendor", {"/proc/cpuinfo": ARM_CPU.format("0x99")}, {}, "0x99"),
        ("file_systems", {}, {}, ["ext4", "fuse", "nfs4"]),
        ("file_systems", {"/proc/mounts": "proc /proc proc rw 0 0\n"}, {}, []),
        ("drivers", {}, {}, ["ahci", "virtio-pci", "virtio_net"]),
        (
            "drivers",
            {},
            {
                "listings": {
                    "/sys/bus": ["ccw", "vmbus"],
                    "/sys/bus/vmbus/drivers": ["hv_netvsc", "hv_storvsc"],
                    "/sys/bus/vmbus/drivers/hv_netvsc": ["000d3a6b-1b2c-4d5e-8f90-123456789abc", "bind"],
                    "/sys/bus/vmbus/drivers/hv_storvsc": ["bind"],
                    "/sys/bus/ccw/drivers": ["qeth"],
                    "/sys/bus/ccw/drivers/qeth": ["0.0.f5f0", "uevent"],
                }
            },
            ["hv_netvsc", "qeth"],
        ),
        ("iommu", {}, {}, True),
        ("iommu", {}, {"listings": {"/sys/class/iommu": []}}, False),
        ("modules", {}, {}, {"loaded": ["e1000e", "i6300esb", "virtio_net", "zfs"], "out_of_tree": ["zfs"]}),
        # built without loadable modules
        (
            "modules",
            {"/proc/modules": None, "/proc/sys/kernel/modules_disabled": None},
            {},
            {"loaded": [], "out_of_tree": []},
        ),
        ("livepatches", {}, {}, [PATCHED]),
        ("livepatches", {f"{PATCH}/enabled": "0\n"}, {}, [{**PATCHED, "enabled": False}]),
        ("livepatches", {f"{PATCH}/transition": "1\n"}, {}, [{**PATCHED, "transition": True}]),
        ("livepatches", {}, {"listings": {PATCHES: []}}, []),
        ("livepatches", {f"{PATCH}/enabled": None, f"{PATCH}/transition": None}, {}, []),
        ("secure_boot", {}, {}, True),
        ("secure_boot", {SECURE_BOOT: b"\x06\0\0\0\0"}, {}, False),
        ("secure_boot", {SECURE_BOOT: None, f"{EFI}/BootOrder-1": b"1"}, {}, False),  # firmware without it
        ("secure_boot", {SECURE_BOOT: None, "/sys/firmware/acpi/x": ""}, {}, False),  # no EFI machine
        ("lockdown", {}, {}, "integrity"),
        ("lockdown", {"/sys/kernel/security/lockdown": "[none] integrity confidentiality\n"}, {}, "none"),
        (
            "lockdown",
            {"/sys/kernel/security/lockdown": None, "/sys/kernel/security/lsm": "apparmor"},
            {},
            "none",
        ),
        ("boot_space", {}, {}, {"path": "/boot", "total_bytes": 1000 * MIB, "free_bytes": 700 * MIB}),
        (
            "reboot_required",
            {},
            {},
            {
                "required": True,
                "packages": ["linux-base", "linux-image-amd64"],
                "source": "/run/reboot-required",
            },
        ),
        (
            "reboot_required",
            {"/run/reboot-required.pkgs": None},
            {},
            {"required": True, "packages": [], "source": "/run/reboot-required"},
        ),
        *(("reboot_required", {**UNASKED, writer: ""}, {}, NOT_REQUIRED) for writer in WRITERS),
        ("fault_counts", {}, {}, {"oops": 0, "warn": 3}),
        ("fault_counts", {"/sys/kernel/rcu_stall_count": "1\n"}, {}, {"oops": 0, "warn": 3, "rcu_stall": 1}),
        ("panic_sys_info", {}, {}, []),
        ("panic_sys_info", {"/proc/sys/kernel/panic_sys_info": "tasks,mem\n"}, {}, ["tasks", "mem"]),
        ("crash_kexec_post_notifiers", {}, {}, False),
        ("crash_kexec_post_notifiers", {f"{PARAMETERS}/crash_kexec_post_notifiers": "Y\n"}, {}, True),
        ("config_file", {}, {}, f"/boot/config-{RUNNING}"),
        (
            "config_file",
            {"/proc/config.gz": ""},
            {"sizes": {f"/boot/config-{RUNNING}": None}, "listings": {"/boot": []}},
            "/proc/config.gz",
        ),
        ("microcode", {}, {}, "0xb000040"),
        ("virtual", {}, {}, True),
        ("virtual", {"/proc/cpuinfo": CPUS.replace(" hypervisor", "")}, {}, False),
        ("load_kexec", {}, {}, False),
        ("load_kexec", {"/etc/default/kexec": "LOAD_KEXEC=true\nUSE_GRUB_CONFIG=false\n"}, {}, True),
        (
            "load_kexec",
            {"/etc/default/kexec": "LOAD_KEXEC=true\n", "/etc/default/kexec.d/a": "LOAD_KEXEC=false"},
            {},
            False,
        ),
        (
            "watchdogs",
            {},
            {},
            [
                {
                    "name": "watchdog0",
                    "identity": "i6300ESB timer",
                    "hardware": True,
                    "active": True,
                    "timeout": 30,
                    "status": "0x8000",
                    "bootstatus": 32,
                    "nowayout": True,
                }
            ],
        ),
        *(
            ("systemd_watchdog", files, {}, {**SYSTEMD_WATCHDOG, **changed})
            for files, changed in SYSTEMD_WATCHDOGS
        ),
        ("dkms", {}, {}, [{"name": "zfs", "version": "2.1.11", "states": {RUNNING: "built"}}]),
        ("dkms", {}, {"listings": {"/var/lib/dkms": []}}, []),
    ],
)
def test_a_fact(tmp_path: Path, fact: str, files: Files, notes: dict[str, Any], value: Any) -> None:
    facts: dict[str, Any] = {**kernel.read(made(tmp_path, files, **notes))}
    assert facts[fact] == value
    assert [path for path in facts["unknown"] if path.split(".")[0] == fact] == []


@pytest.mark.parametrize(("files", "notes", "value"), ENVIRONMENTS)
def test_the_environment_block(
    tmp_path: Path, files: Files, notes: dict[str, Any], value: dict[str, Any]
) -> None:
    facts = kernel.read(made(tmp_path, files, **notes))
    unknown = "why" in value
    assert facts["boot_environment"] == (None if unknown else value)
    assert facts["unknown"].get("boot_environment") == (value["why"] if unknown else None)


@pytest.mark.parametrize(
    ("fact", "part", "files", "reason"),
    [
        ("fault_counts", "oops", {"/sys/kernel/oops_count": "many\n"}, "cannot be understood"),
        ("systemd_watchdog", "runtime", later("RuntimeWatchdogSec=default")[0], "the device's own default"),
        ("systemd_watchdog", "kexec", later("KExecWatchdogSec=infinity")[0], "the device's own default"),
    ],
)
def test_a_part_of_a_fact_that_cannot_be_told(
    tmp_path: Path, fact: str, part: str, files: Files, reason: str
) -> None:
    facts: dict[str, Any] = {**kernel.read(made(tmp_path, files))}
    assert facts[fact][part] is None
    assert reason in facts["unknown"][f"{fact}.{part}"]
    assert [name for name, value in facts[fact].items() if value is None] == [part]


@pytest.mark.parametrize(
    ("fact", "files", "notes", "reason"),
    [
        (
            "upstream",
            {
                "/proc/version": "Linux version 5.14.0-1.el9.x86_64 #1 SMP\n",
                "/proc/sys/kernel/osrelease": "5.14.0-1.el9.x86_64",
            },
            {},
            "does not say which upstream version",
        ),
        (
            "flavour",
            {"/proc/sys/kernel/osrelease": "6.18.44-fc-v782\n"},
            {},
            "spelt as no distribution spells it",
        ),
        ("flavour", {"/proc/sys/kernel/osrelease": "5.14.0-570.33.1.el9_6.x86_64\n"}, {}, "plain kernel"),
        ("cpu_vendor", {"/proc/cpuinfo": POWER_CPU}, {}, "names no vendor"),
        ("microcode", {"/proc/cpuinfo": POWER_CPU}, {}, "names no microcode"),
        ("virtual", {"/proc/cpuinfo": POWER_CPU}, {}, "has no flags"),
        ("load_kexec", {"/etc/default/kexec": "LOAD_KEXEC=$(x)\n"}, {}, "worked out by the shell"),
        (
            "config_file",
            {},
            {"sizes": {f"/boot/config-{RUNNING}": None}, "listings": {"/boot": []}},
            "stands neither",
        ),
        (
            "crash_kexec_post_notifiers",
            {f"{PARAMETERS}/crash_kexec_post_notifiers": "?"},
            {},
            "Y or N was expected",
        ),
        ("file_systems", {"/proc/filesystems": None}, {}, "'/proc/filesystems' does not exist"),
        (
            "file_systems",
            {"/proc/mounts": "half a li"},
            {},
            "'/proc/mounts' has a line that cannot be understood",
        ),
        ("file_systems", {"/proc/filesystems": "ext4\n"}, {}, "'/proc/filesystems' has a line"),
        # A hand-copied tree: no bus that could hold a driver proves nothing.
        ("drivers", {}, {"listings": {"/sys/bus": ["scsi"]}}, "'/sys/bus' has none of"),
        (
            "drivers",
            {},
            {"unreadable": {"/sys/bus/pci/drivers/ahci": "lost"}},
            "'/sys/bus/pci/drivers/ahci': lost",
        ),
        ("iommu", {}, {"unreadable": {"/sys/class/iommu": "lost"}}, "lost"),
        ("modules", {"/proc/modules": None}, {}, "'/proc/modules' does not exist"),
        ("modules", {"/proc/modules": "zfs\n"}, {}, "names no module: 'zfs'"),
        ("livepatches", {}, {"unreadable": {PATCHES: "lost"}}, "lost"),
        (
            "secure_boot",
            {SECURE_BOOT: None},
            {"listings": {"/sys/firmware": ["efi"], EFI: []}},
            "not mounted",
        ),
        ("secure_boot", {SECURE_BOOT: b"\x06\0\0\0"}, {}, "expected four bytes and then 0 or 1"),
        (
            "secure_boot",
            {SECURE_BOOT: None, "/sys/firmware/x": ""},
            {"machine": "s390x"},
            "architecture s390x",
        ),
        (
            "lockdown",
            {"/sys/kernel/security/lockdown": None},
            {"listings": {"/sys/kernel/security": []}},
            "not mounted",
        ),
        ("lockdown", {"/sys/kernel/security/lockdown": "integrity\n"}, {}, "marks none"),
        ("boot_space", {}, {"unreadable": {"/boot": "lost"}, "disks": {"/boot": None}}, "was not captured"),
        ("modules", {"/proc/modules": ""}, {}, "'/proc/modules' is empty"),
        ("release", {"/proc/sys/kernel/osrelease": ""}, {}, "'/proc/sys/kernel/osrelease' is empty"),
        ("cmdline", {"/proc/cmdline": ""}, {}, "'/proc/cmdline' is empty"),
        ("secure_boot", {SECURE_BOOT: None}, {"listings": {"/sys/firmware": []}}, "hidden here"),
        ("reboot_required", {"/proc/version": None}, {}, "no running machine"),
        ("reboot_required", UNASKED, {}, "nothing that would write '/run/reboot-required' is installed"),
        ("reboot_required", UNASKED, {"unreadable": {WRITERS[1]: "lost"}}, "lost"),
        ("reboot_required", {}, {"unreadable": {"/run/reboot-required": "lost"}}, "lost"),
        ("dkms", {}, {"unreadable": {"/var/lib/dkms/zfs": "lost"}}, "lost"),
    ],
)
def test_what_cannot_be_told_is_unknown(
    tmp_path: Path, fact: str, files: Files, notes: dict[str, Any], reason: str
) -> None:
    facts: dict[str, Any] = {**kernel.read(made(tmp_path, files, **notes))}
    assert facts[fact] is None
    assert reason in facts["unknown"][fact]


# --- parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", list(kernel.PARTS))
def test_a_part_alone_reads_as_it_does_among_all(tmp_path: Path, part: str) -> None:
    host = made(tmp_path)
    whole: dict[str, Any] = {**kernel.read(host)}
    alone: dict[str, Any] = {**kernel.read(host, [part])}
    for name, facts in kernel.PARTS.items():
        for fact in facts:
            if name == part:
                assert alone[fact] == whole[fact]
                assert fact not in alone["unknown"]
            else:
                assert alone[fact] is None or alone[fact] == {}
                assert alone["unknown"][fact] == "not asked for (gather_subset)"


class Noting(Host):
    """Notes what it was asked."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.asked: list[str] = []
        self.started: list[str] = []

    def read_bytes(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        self.asked.append(path)
        return super().read_bytes(path, offset, size)

    def listdir(self, path: str) -> list[str]:
        self.asked.append(path)
        return super().listdir(path)

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.started.append(argv[0])
        return super().run(argv, ok, env)


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    host = Noting(made(tmp_path).root)
    kernel.read(host, ["running", "security"])
    assert host.started == []
    assert [path for path in host.asked if path.startswith(("/boot", "/lib", "/var", "/sys/bus"))] == []
    assert "/sys/kernel/security/lockdown" in host.asked


def test_no_program_but_the_package_manager_is_started(tmp_path: Path) -> None:
    for root in (made(tmp_path).root, "/"):
        host = Noting(root)
        kernel.read(host)
        assert {*host.started} <= {"dpkg-query", "rpm"}


# --- installed kernels -------------------------------------------------------------------------------


def installed(host: Host) -> dict[str, Any]:
    return {found["release"]: found for found in kernel.read(host)["installed"] or []}


@pytest.mark.parametrize(
    ("files", "lacks"),
    [
        ({}, []),
        ({f"/lib/modules/{NEXT}/modules.builtin": ""}, ["i6300esb"]),
        ({f"/lib/modules/{NEXT}/modules.dep": "kernel/x.ko:\n"}, ["e1000e", "virtio_net"]),
        ({f"/lib/modules/{NEXT}/modules.dep": ""}, ["e1000e", "virtio_net"]),
        # what only depends on a module does not bring it
        (
            {f"/lib/modules/{NEXT}/modules.dep": "kernel/x.ko: kernel/virtio_net.ko kernel/e1000e.ko\n"},
            ["e1000e", "virtio_net"],
        ),
        ({f"/lib/modules/{NEXT}/modules.dep": "e1000e.ko.gz:\nupdates/dkms/virtio_net.ko:\n"}, []),
    ],
)
def test_modules_in_use_that_another_kernel_has_not(tmp_path: Path, files: Files, lacks: list[str]) -> None:
    found = installed(made(tmp_path, files))
    assert found[NEXT]["lacks"] == lacks
    assert found[RUNNING]["lacks"] == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({f"/lib/modules/{NEXT}/modules.dep": None}, f"'/lib/modules/{NEXT}/modules.dep' does not exist"),
        (
            {f"/lib/modules/{NEXT}/modules.builtin": None},
            f"'/lib/modules/{NEXT}/modules.builtin' does not exist",
        ),
        ({f"/lib/modules/{NEXT}/modules.dep": "\0\0\0\n"}, "names no module, though it is not empty"),
        ({"/proc/modules": None}, "'/proc/modules' does not exist"),
    ],
)
def test_without_an_index_nobody_knows_what_a_kernel_lacks(tmp_path: Path, files: Files, reason: str) -> None:
    host = made(tmp_path, files)
    assert installed(host)[NEXT]["lacks"] is None
    assert reason in kernel.read(host)["unknown"][f"installed.{NEXT}.lacks"]


def test_bytes_of_a_kernel_in_boot(tmp_path: Path) -> None:
    debug = f"{RUNNING}+debug"
    names = [*NOTES["listings"]["/boot"], f"vmlinuz-{debug}", "grub", "vmlinuz"]
    host = made(tmp_path, listings={"/boot": names}, sizes={f"/boot/vmlinuz-{debug}": 5, "/boot/vmlinuz": 9})
    found = installed(host)
    assert {release: kernel["bytes"] for release, kernel in found.items()} == {
        RUNNING: 38 * MIB + 1000,
        debug: 5,
        NEXT: 38 * MIB + 1000,
    }


def test_one_kernel_whose_modules_cannot_be_seen_hides_no_other(tmp_path: Path) -> None:
    """Its package is there, and its file in /boot is not: as far as anybody can tell, a kernel that does not boot."""
    other = "6.1.0-50-amd64"
    status = DPKG_STATUS + STATUS.format(release=other, version="6.1.180-1")
    host = made(tmp_path, {"/var/lib/dpkg/status": status}, unreadable={f"/lib/modules/{other}": "lost"})
    facts = kernel.read(host)
    found = {one["release"]: one["bootable"] for one in facts["installed"] or []}
    assert found == {RUNNING: True, other: False, NEXT: True}
    assert "lost" in facts["unknown"][f"installed.{other}"]


def test_debug_symbols_are_no_kernel(tmp_path: Path) -> None:
    status = DPKG_STATUS + STATUS.format(release=f"{NEXT}-dbg", version="6.1.192-2")
    host = made(tmp_path, {"/var/lib/dpkg/status": status, f"/lib/modules/{NEXT}-dbg/modules.dep": ""})
    assert list(installed(host)) == [RUNNING, NEXT]


def test_a_rescue_image_is_no_kernel_of_its_own(tmp_path: Path) -> None:
    names = [*NOTES["listings"]["/boot"], "vmlinuz-0-rescue-0123456789abcdef0123456789abcdef"]
    assert list(installed(made(tmp_path, listings={"/boot": names}))) == [RUNNING, NEXT]


def test_modules_of_vendors_are_for_one_release(tmp_path: Path) -> None:
    vendor = STATUS.format(release="x", version="1").replace(
        "linux-image-x", f"linux-modules-nvidia-535-{NEXT}"
    )
    found = installed(made(tmp_path, {"/var/lib/dpkg/status": DPKG_STATUS + vendor}))
    assert (found[RUNNING]["prebuilt"], found[NEXT]["prebuilt"]) == ([], ["nvidia-535"])


ROCKY = "5.14.0-570.33.1.el9_6.x86_64"


class Rpm(Host):
    """A machine whose rpm answers with these rows; composed after rpm's own query format."""

    rows = ""

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        assert argv[0] == "rpm"
        return self.rows


def rocky(root: Path, release: str, rows: str) -> Host:
    files: Files = {
        "/etc/os-release": "ID=rocky\nVERSION_ID=9.6\n",
        "/proc/version": f"Linux version {release} (builder@host) (gcc 11) #1 SMP PREEMPT_DYNAMIC Thu Aug 7\n",
        "/proc/sys/kernel/osrelease": f"{release}\n",
    }
    host = Rpm(made(root, files).root)
    host.rows = rows
    return host


def test_what_runs_of_rpm(tmp_path: Path) -> None:
    source = "kernel-5.14.0-570.33.1.el9_6.src.rpm"
    rows = f"kernel-core\t0\t5.14.0\t570.33.1.el9_6\tx86_64\t{source}\t1000\n"
    package = kernel.read(rocky(tmp_path / "there", ROCKY, rows))["package"]
    assert package is not None
    assert (package["name"], package["version"], package["source"]) == (
        "kernel-core",
        "5.14.0-570.33.1.el9_6",
        "kernel",
    )
    removed = kernel.read(rocky(tmp_path / "removed", ROCKY, ""))["package"]
    assert removed is not None
    assert (removed["version"], removed["status"]) == ("5.14.0-570.33.1.el9_6", "un")
    facts = kernel.read(rocky(tmp_path / "own", "6.9.1-own", rows))
    assert facts["package"] is None
    assert "not one of the distribution" in facts["unknown"]["package"]


# --- DKMS --------------------------------------------------------------------------------------------

# Trees and `dkms status` of the real dkms, after add, build, install, a second version, uninstall.
DKMS = json.loads((FIXTURES / "dkms" / "3.0.10.json").read_text())


def plant(root: Path, paths: list[str]) -> None:
    for line in paths:
        path, arrow, target = line.partition(" -> ")
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            place.symlink_to(target)
        elif path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.touch()


def status(facts: KernelFacts) -> Iterator[str]:
    """As `dkms status` says it."""
    for module in facts["dkms"] or []:
        name = f"{module['name']}/{module['version']}"
        if not module["states"]:
            yield f"{name}: added"
        for release, state in module["states"].items():
            yield f"{name}, {release}, x86_64: {state}"


@pytest.mark.parametrize("name", list(DKMS))
def test_dkms_says_the_same(tmp_path: Path, name: str) -> None:
    plant(tmp_path, DKMS[name]["tree"])
    assert list(status(kernel.read(Host(str(tmp_path)), ["modules"]))) == DKMS[name]["status"]


def test_a_module_that_another_kernel_lends(tmp_path: Path) -> None:
    """As weak-modules of RHEL leaves it; composed after dkms's own module_status_weak, not captured."""
    plant(tmp_path, DKMS["installed"]["tree"])
    lent = tmp_path / f"lib/modules/{NEXT}/weak-updates"
    lent.mkdir(parents=True)
    (lent / "trivial-mod.ko").touch()
    (module,) = kernel.read(Host(str(tmp_path)), ["modules"])["dkms"] or []
    assert module["states"] == {"6.1.0-47-cloud-amd64": "installed", NEXT: "installed-weak"}


def test_what_is_lent_may_be_unknown_alone(tmp_path: Path) -> None:
    facts = kernel.read(made(tmp_path, unreadable={f"/lib/modules/{NEXT}/weak-updates": "lost"}))
    assert facts["dkms"] == [{"name": "zfs", "version": "2.1.11", "states": {RUNNING: "built"}}]
    assert "lost" in facts["unknown"]["dkms.lent"]


def test_a_file_in_place_is_installed_without_the_link(tmp_path: Path) -> None:
    plant(tmp_path, [line for line in DKMS["installed"]["tree"] if "kernel-" not in line])
    (module,) = kernel.read(Host(str(tmp_path)), ["modules"])["dkms"] or []
    assert module["states"] == {"6.1.0-47-cloud-amd64": "installed"}


def test_what_dkms_keeps_beside_is_no_kernel(tmp_path: Path) -> None:
    home = "/var/lib/dkms/trivial"
    beside = [
        f"{home}/original_module/6.1.0-47-cloud-amd64/x86_64/trivial-mod.ko",
        f"{home}/1.0/build/x86_64/module/trivial-mod.ko",
        "/var/lib/dkms/dkms_dbversion",
        "/var/lib/dkms/mok.pub",
    ]
    plant(tmp_path, [*DKMS["added"]["tree"], *beside])
    facts = kernel.read(Host(str(tmp_path)), ["modules"])
    assert facts["dkms"] == [{"name": "trivial", "version": "1.0", "states": {}}]


# --- size, and sources that are lost or spoilt -------------------------------------------------------


def test_many_modules_are_small_facts(tmp_path: Path) -> None:
    """A name of this length is longer than most; the next kernel lacks a few of them."""
    names = [f"a_module_with_name_{number:03}" for number in range(150)]
    files: Files = {
        "/proc/modules": "".join(f"{name} 16384 0 - Live 0x0000000000000000\n" for name in names),
        f"/lib/modules/{NEXT}/modules.dep": "".join(f"kernel/{name}.ko:\n" for name in names[10:]),
    }
    facts = kernel.read(made(tmp_path, files))
    assert facts["modules"] is not None
    assert len(facts["modules"]["loaded"]) == 150
    assert [len(found["lacks"] or []) for found in facts["installed"] or []] == [0, 10]
    assert len(json.dumps(facts)) < 8192


class Spoilt(Host):
    """A machine of which one file holds something else."""

    def __init__(self, root: str, path: str, content: bytes) -> None:
        super().__init__(root)
        self.path, self.content = path, content

    def read_bytes(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        data = super().read_bytes(path, offset, size)
        return self.content if path == self.path else data


def explained(path: str, unknown: dict[str, str]) -> bool:
    """Does a reason stand at the path, above it or below it?"""
    return any(f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}.") for key in unknown)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of facts by its dotted path; what is in a list goes by its name or release."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "unknown":
                yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and {"release", "name"}.intersection(value[0]):
        for inner in value:
            yield from leaves(inner, f"{path}.{inner.get('release') or inner['name']}")
    else:
        yield path, value


# What a file holds is the answer, whatever it says: one word, names, or nothing.
FREE_TEXT = {
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/version",
    "/proc/sys/kernel/random/boot_id",
    "/proc/cmdline",
    "/proc/2/comm",
    "/run/reboot-required.pkgs",
    "/etc/os-release",
    "/var/lib/dpkg/status",
    "/boot/grub/grub.cfg",
    "/etc/systemd/system.conf",
    "/etc/systemd/system.conf.d/watchdog.conf",
    "/sys/class/watchdog/watchdog0/identity",
    "/sys/class/watchdog/watchdog0/status",
}
# Nothing in it: nothing loaded, mounted, known; a kernel without modules.
EMPTY_IS_AN_ANSWER = {
    "/proc/mounts",
    "/proc/filesystems",
    f"/lib/modules/{NEXT}/modules.dep",
    f"/lib/modules/{NEXT}/modules.builtin",
    "/etc/apt/preferences.d/kernel",
}
# Empty, and no hardware, where nothing proves more (see `Watchdog`).
UNPROVED = {"watchdogs.watchdog0.identity", "watchdogs.watchdog0.hardware"}

SPOILT = {
    "noise": b"\xff\xfe\0 what is this?\n",
    "empty": b"",
    "zeros": b"\0" * 64,
    "digits": b"7" * 5000,
    "lost": None,
}


@pytest.mark.parametrize("content", list(SPOILT.values()), ids=list(SPOILT))
def test_a_file_that_is_lost_or_spoilt_takes_nothing_with_it(tmp_path: Path, content: bytes | None) -> None:
    """One after the other: nothing raises, and what is not known any more has its reason."""
    before = dict(leaves(kernel.read(made(tmp_path))))
    noticed = set()
    for path in BASE:
        if content is None:
            facts = kernel.read(made(tmp_path, unreadable={path: "lost"}))
        else:
            facts = kernel.read(Spoilt(made(tmp_path).root, path, content))
        json.dumps(facts, allow_nan=False)
        if content is not None and (path in FREE_TEXT or (not content and path in EMPTY_IS_AN_ANSWER)):
            continue
        for fact, value in leaves(facts):
            if before.get(fact) == value or fact in UNPROVED:
                continue
            noticed.add(path)
            assert value is None, (path, fact, value)
            assert explained(fact, facts["unknown"]), (path, fact)
    assert {"/proc/cpuinfo", "/proc/uptime", SECURE_BOOT, "/sys/kernel/security/lockdown"} <= noticed


# --- pure --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "release", "level"),
    [
        ("lkp_Ubuntu_5_15_0_91_101_generic_104", "5.15.0-91-generic", "104"),
        ("lkp_Ubuntu_5_15_0_1050_55_aws_7", None, "7"),
        ("lkp_Ubuntu_5_15_0_91_101_generic", "5.15.0-91-generic", None),
        ("kpatch_5_14_0_570_33_1_1_2", "5.14.0-570.33.1.el9_6.x86_64", "1-2"),
        ("kpatch_5_14_0_570_33_1_1_2", "5.14.0-570.35.1.el9_6.x86_64", None),  # of another kernel
        ("kpatch_5_14_0_570_33_1_1_2", None, None),
        ("kpatch_livepatch_cve_2024_1", "5.14.0-570.33.1.el9_6.x86_64", None),
        ("livepatch_sample", "6.1.0-47-amd64", None),
    ],
)
def test_the_level_of_a_live_patch(name: str, release: str | None, level: str | None) -> None:
    assert livepatch.level(name, release) == level


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko", "ext4"),
        ("kernel/net/nf-tables.ko.zst:", "nf_tables"),
        ("kernel/drivers/watchdog/i6300esb.ko", "i6300esb"),
        ("zfs.ko.xz", "zfs"),
        ("zfs.ko.gz\n", "zfs"),
        ("zfs.ko.bak", None),
        ("zfs", None),
        (".ko", None),
        ("", None),
    ],
)
def test_the_module_of_a_line(line: str, name: str | None) -> None:
    assert modules.name_of(line) == name


def test_an_index_cut_to_what_is_loaded_says_the_same_of_it() -> None:
    kept = modules.only(DEP + BUILTIN, {"virtio_net", "i6300esb"})
    assert kept == "kernel/drivers/net/virtio-net.ko.xz:\nkernel/drivers/watchdog/i6300esb.ko\n"
    assert modules.names(kept.splitlines()) == {"virtio_net", "i6300esb"}


@pytest.mark.parametrize(
    "point", ["/mnt/a\u00a0b", "/mnt/a\u2028b", "/mnt/a\x85b", "/mnt/a\x0bb", "/mnt/a\rb"]
)
def test_a_mount_whose_name_has_white_space_of_another_kind(point: str) -> None:
    assert proc.file_systems(f"{MOUNTS}/dev/vdb {point} xfs rw 0 0\n", FILE_SYSTEMS) == [
        "ext4",
        "fuse",
        "nfs4",
        "xfs",
    ]


@pytest.mark.parametrize(
    ("bus", "names", "bound"),
    [
        ("pci", ["10000:e1:00.0"], True),
        ("pci", ["0000:00:1f.2", "bind"], True),
        ("pci", ["bind", "new_id", "version", "0000"], False),
        ("virtio", ["virtio12"], True),
        ("virtio", ["virtio"], False),
        ("ccw", ["0.0.0190"], True),
        ("vmbus", ["000d3a6b-1b2c-4d5e-8f90-123456789abc"], True),
        ("vmbus", ["module"], False),
    ],
)
def test_a_driver_with_a_device(bus: str, names: list[str], bound: bool) -> None:
    assert proc.has_device(bus, names) is bound
