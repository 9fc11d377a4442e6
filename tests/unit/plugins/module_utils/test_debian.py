# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _platform
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hosts"
RUNNING = "6.1.0-47-cloud-amd64"
IMAGE = f"linux-image-{RUNNING}"

Answer = Callable[["Scripted", Sequence[str]], str]


class Scripted(Host):
    """A tree in which commands do what a test says; remembers them in their order."""

    def __init__(self, root: Path, **answers: Answer) -> None:
        super().__init__(str(root))
        self.answers = answers
        self.ran: list[str] = []

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.ran.append(" ".join(argv))
        if argv[0] == "apt-get":
            assert env is not None
            assert env["DEBIAN_FRONTEND"] == "noninteractive"
        return self.answers[re.sub(r"\W", "_", argv[0])](self, argv)


def copy(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / name, tmp_path / "tree"))


def test_platforms() -> None:
    def distro(name: str) -> object:
        return _platform.select({"id": name, "version_id": "", "codename": "", "family": None})

    assert distro("debian") is debian
    assert distro("ubuntu") is debian
    assert distro("rocky") is None
    assert _platform.select(None) is None
    assert (_platform.family_of("ubuntu"), _platform.family_of("rocky")) == ("debian", None)


# --- packages ----------------------------------------------------------------------------------------


def test_packages_of_a_real_machine() -> None:
    found = {
        package["name"]: package for package in debian.packages(Host(str(FIXTURES / "debian-6.1-clean")))
    }
    assert found[IMAGE] == {
        "name": IMAGE,
        "version": "6.1.170-3",
        "source": "linux-signed-amd64",
        "source_version": "6.1.170+3",
        "status": "ii",
    }
    assert found["kdump-tools"]["source"] == "kdump-tools"


def test_a_machine_without_any_of_them_has_no_packages() -> None:
    assert debian.packages(Host(str(FIXTURES / "debian-6.18-no-kdump"))) == []


STATUS = """\
Package: linux-image-6.1.0-47-amd64
Status: install ok installed
Priority: optional
Source: linux-signed-amd64 (6.1.170+3)
Version: 6.1.170-3
Description: Linux 6.1
 Version: 9 is not its version
 .

Package: linux-image-6.1.0-46-amd64
Status: deinstall ok config-files
Source: linux-signed-amd64 (6.1.169+1)
Version: 6.1.169-1

Package: kdump-tools
Status: hold ok half-configured
Version: 1:1.8.1

Package: linux-image-6.1.0-45-amd64
Status: unknown ok not-installed

Package: bash
Status: install ok installed
Version: 5.2
"""


def test_packages_on_the_disk_of_a_dead_machine(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    found = debian.packages(Host(str(tmp_path)))
    assert [(p["name"], p["version"], p["status"], p["source"], p["source_version"]) for p in found] == [
        ("linux-image-6.1.0-47-amd64", "6.1.170-3", "ii", "linux-signed-amd64", "6.1.170+3"),
        ("linux-image-6.1.0-46-amd64", "6.1.169-1", "rc", "linux-signed-amd64", "6.1.169+1"),
        ("kdump-tools", "1:1.8.1", "hF", "kdump-tools", "1:1.8.1"),
    ]


def test_a_captured_tree_without_packages_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        debian.packages(Host(str(tmp_path)))


@pytest.mark.parametrize(
    ("package", "release"),
    [
        (IMAGE, RUNNING),
        ("linux-image-unsigned-5.15.0-112-generic", "5.15.0-112-generic"),
        ("linux-image-6.1.0-47-amd64-unsigned", "6.1.0-47-amd64"),
        ("linux-image-amd64", None),
        ("linux-image-generic-hwe-22.04", None),
        ("linux-modules-5.15.0-112-generic", None),
    ],
)
def test_release_of(package: str, release: str | None) -> None:
    assert debian.release_of(package) == release


def apt(simulation: str) -> Answer:
    return lambda _host, argv: simulation if "-s" in argv else ""


OTHER = "linux-image-6.1.0-56-cloud-amd64"


def test_remove_packages(tmp_path: Path) -> None:
    host = Scripted(copy("debian-6.1-clean", tmp_path), apt_get=apt(f"Remv {OTHER} [6.1.192-2]\n"))
    debian.remove_packages(host, [OTHER])
    assert host.ran == [
        f"apt-get -s -y -o DPkg::Lock::Timeout=600 remove {OTHER}",
        f"apt-get -y -o DPkg::Lock::Timeout=600 remove {OTHER}",
    ]


def test_remove_packages_that_are_gone_does_nothing(tmp_path: Path) -> None:
    host = Scripted(copy("debian-6.1-clean", tmp_path), apt_get=apt(""))
    debian.remove_packages(host, [OTHER])
    assert len(host.ran) == 1  # the simulation


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ([IMAGE], ""),
        ([OTHER, f"{IMAGE}-unsigned"], ""),
        (["linux-base"], f"Remv linux-base [4.9]\nRemv {IMAGE} [6.1.170-3]\n"),  # it needs what is asked for
        (["linux-base"], f"Remv linux-modules-{RUNNING} [6.1.170-3]\n"),
    ],
)
def test_the_running_kernel_is_never_removed(tmp_path: Path, names: list[str], gone: str) -> None:
    host = Scripted(copy("debian-6.1-clean", tmp_path), apt_get=apt(gone))
    with pytest.raises(
        FleetopsError, match=rf"Nothing was removed: linux-\S+ belongs to the running kernel {RUNNING}"
    ):
        debian.remove_packages(host, names)
    assert all(" -s " in command for command in host.ran)


# --- boot --------------------------------------------------------------------------------------------


def rewrite(root: Path, path: str, *changes: tuple[str, str]) -> None:
    text = (root / path).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (root / path).write_text(text)


def test_next_boot_of_a_real_machine() -> None:
    got = debian.next_boot(Host(str(FIXTURES / "debian-6.1-clean")))
    assert got["release"] == RUNNING
    assert got["entry"].startswith("gnulinux-simple-")
    assert got["because"] == "default in grub.cfg: 0; the first entry"


def test_next_boot_names_the_environment(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    entry = debian.boot_entries(Host(str(root)))[1]["id"]
    (root / "boot/grub/grubenv").write_text(f"# GRUB Environment Block\nnext_entry={entry}\n####")
    got = debian.next_boot(Host(str(root)))
    assert (got["entry"], got["because"]) == (entry, f"next_entry in grubenv, for one boot: {entry}")
    (root / "boot/grub/grubenv").unlink()
    assert debian.next_boot(Host(str(root)))["entry"].startswith("gnulinux-simple-")


def test_a_saved_entry_that_is_gone_is_named(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    rewrite(root, "boot/grub/grub.cfg", ('set default="0"', 'set default="${saved_entry}"'))
    assert "saved_entry in grubenv: empty" in debian.next_boot(Host(str(root)))["because"]
    (root / "boot/grub/grubenv").write_text("saved_entry=gnulinux-removed\n")
    assert "'gnulinux-removed' names no entry" in debian.next_boot(Host(str(root)))["because"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            [("linux\t/boot/vmlinuz", "chainloader\t/boot/vmlinuz")],
            "'Debian GNU/Linux', boots no kernel of this system",
        ),
        ([("function savedefault {", "function savedefault (")], "closes a block"),
        ([("### BEGIN /etc/grub.d/40_custom", "set default=3\n###")], "the default is set 3 times"),
    ],
)
def test_next_boot_says_when_it_cannot_tell(
    tmp_path: Path, changes: list[tuple[str, str]], says: str
) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    rewrite(root, "boot/grub/grub.cfg", *changes)
    with pytest.raises(FleetopsError, match=rf"'/boot/grub/grub.cfg'.*{says}"):
        debian.next_boot(Host(str(root)))


def test_a_machine_that_systemd_boot_booted_is_not_told_by_a_grub_left_behind(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    info = root / debian.LOADER_INFO.lstrip("/")
    info.parent.mkdir(parents=True)
    info.write_bytes(b"\x06\0\0\0" + "systemd-boot 252.1\0".encode("utf-16-le"))
    with pytest.raises(FleetopsError, match=r"booted by systemd-boot 252\.1"):
        debian.next_boot(Host(str(root)))
    info.write_bytes(b"\x06\0\0\0" + "GRUB 2.14\0".encode("utf-16-le"))
    assert debian.next_boot(Host(str(root)))["release"] == RUNNING


def test_boot_entries_tell_a_broken_menu(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    (root / "boot/grub/grub.cfg").write_text("menuentry 'x' {\n")
    with pytest.raises(FleetopsError, match=r"'/boot/grub/grub.cfg': a block is not closed"):
        debian.boot_entries(Host(str(root)))


def test_update_boot_config(tmp_path: Path) -> None:
    host = Scripted(tmp_path, update_grub=lambda _host, _argv: "")
    debian.update_boot_config(host)
    assert host.ran == ["update-grub"]


# --- kdump -------------------------------------------------------------------------------------------

DEFAULT_WORDS = [
    "reset_devices",
    "systemd.unit=kdump-tools-dump.service",
    "nr_cpus=1",
    "irqpoll",
    "usbcore.nousb",
]


def test_the_words_of_the_package_when_the_site_says_nothing() -> None:
    assert debian.kdump_append(Host(str(FIXTURES / "debian-6.1-incident"))) == DEFAULT_WORDS


def test_the_words_of_the_site() -> None:
    assert debian.kdump_append(Host(str(FIXTURES / "debian-6.1-clean"))) == [*DEFAULT_WORDS, "panic=10"]


@pytest.mark.parametrize("text", [None, "", 'KDUMP_CMDLINE_APPEND=""\n', "#KDUMP_CMDLINE_APPEND=x\n"])
def test_an_empty_word_list_is_the_default_to_the_shell(tmp_path: Path, text: str | None) -> None:
    root = copy("debian-6.1-incident", tmp_path)
    (root / "etc/default/kdump-tools").unlink()
    if text is not None:
        (root / "etc/default/kdump-tools").write_text(text)
    assert debian.kdump_append(Host(str(root))) == DEFAULT_WORDS


def test_words_that_only_a_shell_knows_are_an_error(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    (root / "etc/default/kdump-tools").write_text('KDUMP_CMDLINE_APPEND="$BASE panic=10"\n')
    with pytest.raises(FleetopsError, match="worked out by the shell"):
        debian.kdump_append(Host(str(root)))


def test_a_kdump_config_without_a_default_is_an_error(tmp_path: Path) -> None:
    root = copy("debian-6.1-incident", tmp_path)
    (root / "usr/sbin/kdump-config").write_text("#!/bin/sh\n")
    with pytest.raises(FleetopsError, match="does not say what it appends by default"):
        debian.kdump_append(Host(str(root)))


def loads(value: str) -> Answer:
    def answer(host: Scripted, argv: Sequence[str]) -> str:
        state = Path(host.root) / "sys/kernel/kexec_crash_loaded"
        state.write_text(value if argv[1] == "load" else "0\n")
        return "Creating symlink\nno crashkernel= parameter in the kernel cmdline ... failed!\n"

    return answer


def test_reload_capture_looks_whether_it_is_loaded(tmp_path: Path) -> None:
    host = Scripted(copy("debian-6.1-incident", tmp_path), kdump_config=loads("1\n"))
    debian.reload_capture(host)
    assert host.ran == ["kdump-config unload", "kdump-config load"]
    host = Scripted(tmp_path / "tree", kdump_config=loads("0\n"))
    with pytest.raises(FleetopsError, match=r"no capture kernel is loaded: no crashkernel= parameter"):
        debian.reload_capture(host)


def test_the_fixtures_are_captured_and_not_written_by_hand() -> None:
    trees = sorted(path for path in FIXTURES.iterdir() if path.is_dir())
    assert len(trees) >= 6
    for tree in trees:
        notes = json.loads((tree / CAPTURE_FILE).read_text())
        assert {"commands", "listings", "machine", "is_root"} <= set(notes), tree.name
