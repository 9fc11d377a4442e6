# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _boot, redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import rpm

MACHINE = "1c7a1f0b2e34956a1b0c9d8e7f6051d4"  # begins with a digit, and is no number
OLD, NEW = "5.14.0-570.33.1.el9_6.x86_64", "5.14.0-570.35.1.el9_6.x86_64"

# What grub2-mkconfig of RHEL 9 writes, but for what concerns the screen.
GRUB_CFG = """\
### BEGIN /etc/grub.d/00_header ###
set pager=1

if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="${saved_entry}"
fi

if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
### END /etc/grub.d/00_header ###
### BEGIN /etc/grub.d/08_fallback_counting ###
insmod increment
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  if  [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi
### END /etc/grub.d/08_fallback_counting ###
### BEGIN /etc/grub.d/10_linux ###
insmod part_gpt
search --no-floppy --fs-uuid --set=root 7b3f5f3a
insmod blscfg
blscfg
### END /etc/grub.d/10_linux ###
### BEGIN /etc/grub.d/10_reset_boot_success ###
if [ "${boot_success}" = "1" -o "${boot_indeterminate}" = "1" ]; then
  set menu_hide_ok=1
else
  set menu_hide_ok=0
fi
### END /etc/grub.d/10_reset_boot_success ###
### BEGIN /etc/grub.d/30_uefi-firmware ###
if [ "$grub_platform" = "efi" ]; then
        fwsetup --is-supported
        if [ "$?" = 0 ]; then
                menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
                        fwsetup
                }
        fi
fi
### END /etc/grub.d/30_uefi-firmware ###
### BEGIN /etc/grub.d/41_custom ###
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
### END /etc/grub.d/41_custom ###
"""
ROWS = "".join(
    "\t".join([name, "0", "5.14.0", release, "x86_64", f"kernel-5.14.0-{release}.src.rpm", size]) + "\n"
    for release in ("570.33.1.el9_6", "570.35.1.el9_6")
    for name, size in (("kernel-core", "70000000"), ("kernel-modules", "40000000"), ("kernel", "0"))
)


class Machine(Host):
    """A tree that stands for a running machine: what is not there is not there."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        (root / CAPTURE_FILE).write_text("{}")
        super().__init__(str(root))
        self.ran: list[str] = []

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.ran.append(" ".join(argv))
        return ROWS if argv[0] == "rpm" else ""

    def put(self, path: str, content: str | bytes = "") -> None:
        place = Path(self.root + path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)

    def variable(self, name: str, value: str) -> None:
        self.put(
            f"{_boot.EFIVARS}/{name}-{_boot.LOADER_GUID}", b"\6\0\0\0" + f"{value}\0".encode("utf-16-le")
        )

    def environment(self, **values: str) -> None:
        lines = "".join(f"{name}={value}\n" for name, value in values.items())
        self.put(redhat.GRUBENV, f"# GRUB Environment Block\n{lines}".ljust(1024, "#"))

    def entry(self, release: str, machine: str = MACHINE, options: str = "root=/dev/vda1 ro") -> None:
        self.put(
            f"/boot/loader/entries/{machine}-{release}.conf",
            f"title Rocky Linux ({release})\nversion {release}\nlinux /vmlinuz-{release}\n"
            f"initrd /initramfs-{release}.img\noptions {options}\n",
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "root")
    made.put("/etc/os-release", 'ID="rocky"\nVERSION_ID="9.6"\n')
    made.put("/sys/class/net/lo/address")
    made.put("/proc/sys/kernel/osrelease", f"{OLD}\n")
    made.put(redhat.GRUB_CFG, GRUB_CFG)
    made.entry(OLD)
    made.entry(NEW)
    made.put(
        f"/boot/loader/entries/{MACHINE}-0-rescue.conf",
        f"title R\nversion 0\nlinux /vmlinuz-0-rescue-{MACHINE}\n",
    )
    made.environment(saved_entry=f"{MACHINE}-{NEW}")
    return made


@pytest.mark.parametrize("name", ["rhel", "centos", "rocky", "almalinux", "ol", "fedora", "openEuler"])
def test_the_family(name: str) -> None:
    assert _platform.family_of(name) == "redhat"
    assert _platform.select({"id": name, "version_id": "", "codename": "", "family": None}) is redhat


# --- what boots next ---------------------------------------------------------------------------------


def test_next_boot(machine: Machine) -> None:
    assert redhat.boot_loader(machine) == "grub-bls"
    assert redhat.next_boot(machine) == {
        "release": NEW,
        "entry": f"{MACHINE}-{NEW}",
        "because": f"saved_entry in grubenv: {MACHINE}-{NEW}",
        "once": False,
        "named_by": "id",
    }


def test_boot_entries(machine: Machine) -> None:
    assert [(one["release"], one["recovery"], one["title"]) for one in redhat.boot_entries(machine)] == [
        (NEW, False, f"Rocky Linux ({NEW})"),
        (OLD, False, f"Rocky Linux ({OLD})"),
        (f"0-rescue-{MACHINE}", True, "R"),
        (None, False, "UEFI Firmware Settings"),
    ]


@pytest.mark.parametrize(
    ("values", "release", "named_by", "once"),
    [
        ({"saved_entry": f"{MACHINE}-{OLD}"}, OLD, "id", False),
        ({"saved_entry": f"Rocky Linux ({OLD})"}, OLD, "title", False),
        ({"saved_entry": "1"}, OLD, "position", False),
        ({"saved_entry": "0"}, NEW, "first", False),
        ({}, NEW, "first", False),
        ({"saved_entry": f"{MACHINE}-gone"}, NEW, "first", False),
        ({"saved_entry": f"{MACHINE}-{NEW}", "next_entry": f"{MACHINE}-{OLD}"}, OLD, "id", True),
        (
            {"saved_entry": f"{MACHINE}-{NEW}", "boot_counter": "0", "boot_success": "0"},
            OLD,
            "position",
            False,
        ),
        ({"saved_entry": f"{MACHINE}-{OLD}", "boot_counter": "1", "boot_success": "0"}, OLD, "id", False),
    ],
)
def test_the_environment_decides(
    machine: Machine, values: dict[str, str], release: str, named_by: str, once: bool
) -> None:
    machine.environment(**values)
    found = redhat.next_boot(machine)
    assert (found["release"], found["named_by"], found["once"]) == (release, named_by, once)


def test_the_environment_of_rhel_8_lies_behind_a_link(machine: Machine) -> None:
    """There, its menu is on the EFI system partition, and the words of the kernels are in the environment."""
    machine.put("/etc/os-release", 'ID="rhel"\nVERSION_ID="8.10"\n')
    machine.put("/sys/firmware/efi/efivars/Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c")
    root = Path(machine.root)
    (root / "boot/efi/EFI/redhat").mkdir(parents=True)
    (root / "boot/grub2/grub.cfg").rename(root / "boot/efi/EFI/redhat/grub.cfg")
    (root / "boot/grub2/grubenv").unlink()
    (root / "boot/grub2/grubenv").symlink_to("../efi/EFI/redhat/grubenv")
    (root / "etc/grub2-efi.cfg").symlink_to("../boot/efi/EFI/redhat/grub.cfg")
    machine.environment(saved_entry=f"{MACHINE}-{OLD}", kernelopts="root=/dev/sda1 crashkernel=auto")
    machine.entry(OLD, options="$kernelopts $tuned_params")
    assert redhat.next_boot(machine)["release"] == OLD
    entries = {one["release"]: one["cmdline"] for one in redhat.boot_entries(machine)}
    assert entries[OLD] == ["root=/dev/sda1", "crashkernel=auto"]
    machine.put("/boot/efi/EFI/redhat/custom.cfg", "set default=0\n")
    assert redhat.next_boot(machine)["release"] == NEW


def test_two_machines_on_one_disk_are_sorted_as_their_grub_does(machine: Machine) -> None:
    other = "f" * 32
    machine.entry("5.14.0-1.el9.x86_64", machine=other)
    machine.environment()
    assert redhat.next_boot(machine)["entry"] == f"{MACHINE}-{NEW}"  # digits before letters
    machine.entry("5.14.0-999.el9.x86_64", machine="0" * 32)
    assert redhat.next_boot(machine)["entry"] == f"{MACHINE}-{NEW}"
    machine.put("/etc/os-release", 'ID="rocky"\nVERSION_ID="8.10"\n')
    assert redhat.next_boot(machine)["entry"].startswith("0" * 32)


def test_a_menu_without_such_files(machine: Machine) -> None:
    """openEuler with a menu that grub2-mkconfig wrote out."""
    release = "5.10.0-216.0.0.115.oe2203sp4.x86_64"
    machine.put(
        redhat.GRUB_CFG,
        GRUB_CFG.replace(
            "\nblscfg\n",
            f"\nmenuentry 'openEuler' --class os $menuentry_id_option 'gnulinux-{release}-advanced-1' {{\n"
            f"\tlinux\t/vmlinuz-{release} root=/dev/mapper/openeuler-root ro crashkernel=512M\n}}\n",
        ).replace("insmod blscfg", ""),
    )
    machine.environment()
    assert redhat.boot_loader(machine) == "grub"
    assert redhat.next_boot(machine)["release"] == release


@pytest.mark.parametrize(("remove", "error"), [(redhat.GRUB_CFG, Missing), ("/boot/loader/entries", Missing)])
def test_what_is_not_there_is_an_error(machine: Machine, remove: str, error: type[Exception]) -> None:
    Path(machine.root + remove).rename(Path(machine.root + remove + ".away"))
    with pytest.raises(error):
        redhat.next_boot(machine)


# --- systemd-boot ------------------------------------------------------------------------------------


def booted_by_systemd_boot(machine: Machine) -> None:
    machine.variable("LoaderInfo", "systemd-boot 257")
    for release in (OLD, NEW):
        machine.put(f"/efi/{MACHINE}/{release}/linux")
        machine.put(
            f"/efi/loader/entries/{MACHINE}-{release}.conf",
            f"title R\nversion {release}\nsort-key rocky\nmachine-id {MACHINE}\nlinux /{MACHINE}/{release}/linux\n",
        )


def test_systemd_boot(machine: Machine) -> None:
    booted_by_systemd_boot(machine)
    assert redhat.boot_loader(machine) == "systemd-boot"
    assert redhat.next_boot(machine) == {
        "release": NEW,
        "entry": f"{MACHINE}-{NEW}.conf",
        "because": "the first entry",
        "once": False,
        "named_by": "first",
    }
    machine.put("/efi/loader/loader.conf", f"timeout 3\ndefault {MACHINE}-{OLD}.conf\n")
    assert redhat.next_boot(machine)["release"] == OLD
    machine.variable("LoaderEntryOneShot", f"{MACHINE}-{NEW}.conf")
    found = redhat.next_boot(machine)
    assert (found["release"], found["once"], found["named_by"]) == (NEW, True, "id")


def test_an_entry_of_systemd_boot_without_its_kernel_is_none(machine: Machine) -> None:
    booted_by_systemd_boot(machine)
    Path(machine.root, f"efi/{MACHINE}/{NEW}/linux").unlink()
    assert redhat.next_boot(machine)["release"] == OLD
    assert [one["release"] for one in redhat.boot_entries(machine)] == [OLD]


def test_an_image_whose_kernel_nobody_names_is_an_error_only_when_it_boots_next(machine: Machine) -> None:
    booted_by_systemd_boot(machine)
    machine.put("/efi/EFI/Linux/rolling.efi", b"MZ")
    assert redhat.next_boot(machine)["release"] == NEW
    machine.variable("LoaderEntryOneShot", "rolling.efi")
    with pytest.raises(FleetopsError, match=r"'rolling\.efi', does not say which kernel"):
        redhat.next_boot(machine)


# --- which boot loader -------------------------------------------------------------------------------


def test_a_loader_that_nobody_knows_is_an_error(machine: Machine) -> None:
    machine.variable("LoaderInfo", "rEFInd 0.14")
    with pytest.raises(FleetopsError, match=r"booted by rEFInd 0\.14"):
        redhat.boot_loader(machine)


def test_without_any_loader(machine: Machine) -> None:
    Path(machine.root + redhat.GRUB_CFG).unlink()
    with pytest.raises(Missing, match="no boot loader"):
        redhat.boot_loader(machine)


def test_both_loaders_on_the_disk(machine: Machine) -> None:
    """On a machine that runs, systemd-boot would have said so; on its disk alone nobody can."""
    machine.put("/efi/EFI/systemd/systemd-bootx64.efi")
    assert redhat.boot_loader(machine) == "grub-bls"  # a BIOS: there is no /sys/firmware/efi
    machine.put("/sys/firmware/efi/efivars/Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c")
    assert redhat.boot_loader(machine) == "grub-bls"
    Path(machine.root, "sys/firmware/efi/efivars").rename(Path(machine.root, "sys/firmware/efi/away"))
    with pytest.raises(Unreadable, match="Either of two boot loaders"):
        redhat.boot_loader(machine)
    Path(machine.root + redhat.GRUB_CFG).unlink()
    assert redhat.boot_loader(machine) == "systemd-boot"


# --- packages ----------------------------------------------------------------------------------------


def held(machine: Machine) -> list[str]:
    return redhat.kernel_packages(machine, redhat.packages(machine))["held"]


def test_packages(machine: Machine) -> None:
    packages = redhat.packages(machine)
    asked = "kernel kernel-* kexec-tools kdump-utils makedumpfile kmod-*"
    assert machine.ran == [f"rpm -qa --qf {rpm.FORMAT} {asked}"]
    assert [redhat.release_of(package) for package in packages] == [OLD, None, None, NEW, None, None]
    assert dict(redhat.kernel_packages(machine, packages)) == {
        "held": [],
        "broken": [],
        "pins": [],
        "metas": [{"name": "kernel", "version": NEW.rpartition(".")[0], "tracks": NEW}],
    }


class Live(Machine):
    """The same, that runs: nothing but rpm knows what is installed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.live = True

    def exists(self, path: str) -> bool:
        return Path(self.root + path).exists()


@pytest.mark.parametrize(
    "database", ["/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages"]
)
def test_rpm_is_asked_only_where_it_has_a_database(tmp_path: Path, database: str) -> None:
    """Where there is none, `rpm -qa` makes one, and then knows of no package."""
    live = Live(tmp_path / "root")
    with pytest.raises(Unreadable, match="no database of rpm"):
        redhat.packages(live)
    assert live.ran == []
    live.put(database)
    assert redhat.packages(live)


def test_a_distribution_whose_kernels_are_named_in_another_way_is_not_ours() -> None:
    """Amazon Linux: kernel6.12, and a release with amzn2023 in it."""
    assert _platform.family_of("amzn") is None


def test_a_meta_package_whose_kernel_is_gone_tracks_nothing(machine: Machine) -> None:
    packages = [one for one in redhat.packages(machine) if one["name"] != "kernel-core"]
    assert [meta["tracks"] for meta in redhat.kernel_packages(machine, packages)["metas"]] == [None]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (redhat.VERSIONLOCKS[0], "kernel-core-0:5.14.0-570.33.1.el9_6.*\n", ["kernel-core"]),
        (redhat.VERSIONLOCKS[1], "kernel-core-0:5.14.0-570.33.1.el9_6.*\n", ["kernel-core"]),
        (redhat.VERSIONLOCKS[0], "bash-0:5.1-1.el9.*\n", []),
        (redhat.VERSIONLOCK_DNF5, '[[packages]]\nname = "kernel"\n', ["kernel"]),
        (redhat.DNF_CONF, "[main]\nexclude=kernel*\n", ["kernel*"]),
        (redhat.DNF_CONF, "[main]\nexclude=nginx\n", []),
    ],
)
def test_holds(machine: Machine, path: str, text: str, expected: list[str]) -> None:
    machine.put(path, text)
    assert held(machine) == expected


def test_a_plugin_that_is_off_holds_nothing(machine: Machine) -> None:
    machine.put(redhat.VERSIONLOCKS[0], "kernel-core-0:5.14.0-570.33.1.el9_6.*\n")
    machine.put(redhat.VERSIONLOCK_CONF, "[main]\nenabled = 0\n")
    assert held(machine) == []
    machine.put(redhat.VERSIONLOCK_CONF, "[main]\nenabled = 1\n")
    assert held(machine) == ["kernel-core"]


def test_the_list_of_locks_may_lie_elsewhere(machine: Machine) -> None:
    machine.put(redhat.VERSIONLOCK_CONF, "[main]\nenabled = 1\nlocklist = /etc/locks\n")
    machine.put(redhat.VERSIONLOCKS[0], "kernel-core-0:5.14.0-570.33.1.el9_6.*\n")
    assert held(machine) == []
    machine.put("/etc/locks", "kernel-0:5.14.0-570.33.1.el9_6.*\n")
    assert held(machine) == ["kernel"]


@pytest.mark.parametrize("path", [redhat.VERSIONLOCKS[0], redhat.DNF_CONF])
def test_holds_that_cannot_be_read_are_unknown(machine: Machine, path: str) -> None:
    notes: dict[str, Any] = {"unreadable": {path: "permission denied"}}
    Path(machine.root, CAPTURE_FILE).write_text(json.dumps(notes))
    again = Host(machine.root)
    with pytest.raises(Unreadable, match=path):
        redhat.kernel_packages(again, [])


def test_remove_packages(machine: Machine) -> None:
    redhat.remove_packages(machine, [f"kernel-core-{NEW}"])
    assert machine.ran == [f"dnf -y --setopt=clean_requirements_on_remove=False remove kernel-core-{NEW}"]


@pytest.mark.parametrize(
    "name", [f"kernel-core-{OLD}", f"kernel-modules-{OLD}", f"kernel-{OLD.rpartition('.')[0]}"]
)
def test_the_running_kernel_is_never_removed(machine: Machine, name: str) -> None:
    with pytest.raises(FleetopsError, match=f"Nothing was removed: {name} belongs to the running kernel"):
        redhat.remove_packages(machine, [f"kernel-core-{NEW}", name])
    assert machine.ran == []


def test_a_kernel_whose_version_begins_alike_is_another(machine: Machine) -> None:
    machine.put("/proc/sys/kernel/osrelease", "5.14.0-570.33.1.el9.x86_64\n")
    redhat.remove_packages(machine, [f"kernel-core-{OLD}"])
    assert len(machine.ran) == 1


def test_what_a_kernel_needs_to_boot() -> None:
    assert redhat.boot_files(NEW) == {
        f"/boot/vmlinuz-{NEW}": 1 << 20,
        f"/boot/initramfs-{NEW}.img": 1 << 20,
        f"/lib/modules/{NEW}/modules.dep": 0,
    }


@pytest.mark.parametrize("change", [redhat.update_boot_config, redhat.kdump_append, redhat.reload_capture])
def test_what_is_not_built_yet_says_so(machine: Machine, change: Any) -> None:
    with pytest.raises(FleetopsError, match="not on this family yet"):
        change(machine)
    assert machine.ran == []
    assert frozenset() == redhat.CURES
