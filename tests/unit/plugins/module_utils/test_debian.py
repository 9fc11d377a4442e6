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
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _boot, debian, redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KernelPackages, Package

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
    assert distro("rocky") is redhat
    assert distro("plan9") is None
    assert _platform.select(None) is None
    assert (_platform.family_of("ubuntu"), _platform.family_of("plan9")) == ("debian", None)


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


def test_a_machine_without_a_kernel_package_has_none() -> None:
    host = Host(str(FIXTURES / "debian-6.18-no-kdump"))
    packages = debian.packages(host)
    assert [package for package in packages if debian.release_of(package)] == []
    assert dict(debian.kernel_packages(host, packages)) == {"held": [], "broken": [], "pins": [], "metas": []}


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


def dead(tmp_path: Path, updates: dict[str, str]) -> Host:
    """A machine that died in an upgrade: dpkg had these files still to merge."""
    folder = tmp_path / "var/lib/dpkg/updates"
    folder.mkdir(parents=True)
    (folder.parent / "status").write_text(STATUS)
    for name, text in updates.items():
        (folder / name).write_text(text)
    return Host(str(tmp_path))


def changed(state: str, name: str = "linux-image-6.1.0-47-amd64") -> str:
    return f"Package: {name}\nStatus: install ok {state}\nVersion: 6.1.176-1\n"


@pytest.mark.parametrize(
    ("updates", "status"),
    [
        ({}, "ii"),
        ({"0000": changed("half-configured")}, "iF"),
        ({"0001": changed("unpacked"), "0000": changed("half-installed")}, "iU"),
        ({"0000": changed("unpacked"), "0001": changed("installed", "bash")}, "iU"),
        ({"tmp.i": changed("unpacked")}, "ii"),  # dpkg itself does not count it
    ],
)
def test_what_dpkg_had_still_to_merge_counts(tmp_path: Path, updates: dict[str, str], status: str) -> None:
    found = debian.packages(dead(tmp_path, updates))
    assert [one["name"] for one in found] == [
        "linux-image-6.1.0-47-amd64",
        "linux-image-6.1.0-46-amd64",
        "kdump-tools",
    ]
    assert (found[0]["status"], found[0]["version"]) == (
        status,
        "6.1.176-1" if updates and status != "ii" else "6.1.170-3",
    )


@pytest.mark.parametrize("text", ["", "\0" * 40])
def test_what_dpkg_had_still_to_merge_and_is_lost_is_unknown(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unreadable, match="updates/0000"):
        debian.packages(dead(tmp_path, {"0000": text}))


def test_one_name_for_two_architectures_is_two_packages(tmp_path: Path) -> None:
    host = dead(tmp_path, {})
    two = "".join(
        f"Package: kexec-tools\nStatus: install ok installed\nArchitecture: {arch}\nVersion: 1\n\n"
        for arch in ("amd64", "i386")
    )
    (tmp_path / "var/lib/dpkg/status").write_text(two)
    assert len(debian.packages(host)) == 2


@pytest.mark.parametrize("row", ["linux-image-amd64", "a\tb\tc\td\te\tf\tg"])
def test_a_row_that_was_not_asked_for_names_who_said_it(tmp_path: Path, row: str) -> None:
    host = Scripted(tmp_path, dpkg_query=lambda _host, _argv: f"{row}\n")
    with pytest.raises(FleetopsError, match=r"dpkg-query said .* and 6 fields were asked for"):
        debian.packages(host)


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
        ("linux-image-6.1.0-47-amd64-dbg", None),
        ("linux-image-unsigned-5.15.0-112-generic-dbgsym", None),
        ("linux-modules-5.15.0-112-generic", None),
    ],
)
def test_release_of(package: str, release: str | None) -> None:
    assert debian.release_named(package) == release
    assert debian.release_of(package_named(package)) == release


def package_named(name: str, status: str = "ii") -> Package:
    return {"name": name, "version": "1", "source": name, "source_version": "1", "status": status}


def apt(simulation: str) -> Answer:
    return lambda _host, argv: simulation if "-s" in argv else ""


OTHER = "linux-image-6.1.0-56-cloud-amd64"


def test_remove_packages(tmp_path: Path) -> None:
    host = Scripted(copy("debian-6.1-clean", tmp_path), apt_get=apt(f"Remv {OTHER} [6.1.192-2]\n"))
    debian.remove_packages(host, [OTHER])
    simulated, done = host.ran
    assert simulated.replace("apt-get -s", "apt-get", 1) == done  # what was announced is what is done
    assert done.endswith(f"-o APT::Get::AutomaticRemove=false remove {OTHER}")
    assert "-o DPkg::Lock::Timeout=600" in done


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


# --- kernel packages ---------------------------------------------------------------------------------

NEW = "5.15.0-112-generic"
# An Ubuntu machine: what pulls in kernels, what is pulled in, and neighbours that have nothing to do with it.
UBUNTU = f"""\
Package: linux-generic
Status: install ok installed
Source: linux-meta
Version: 5.15.0.91.88
Depends: linux-image-generic (= 5.15.0.91.88), linux-headers-generic (= 5.15.0.91.88)

Package: linux-image-generic
Status: install ok installed
Source: linux-meta
Version: 5.15.0.91.88
Depends: linux-image-{NEW}, linux-modules-extra-{NEW}, linux-firmware, intel-microcode, amd64-microcode

Package: linux-image-{NEW}
Status: install ok installed
Source: linux-signed (5.15.0-112.122)
Version: 5.15.0-112.122
Depends: kmod, linux-base (>= 4.5ubuntu1~16.04.1), linux-modules-{NEW}

Package: linux-modules-{NEW}
Status: install ok installed
Source: linux
Version: 5.15.0-112.122

Package: linux-modules-extra-{NEW}
Status: install ok installed
Source: linux
Version: 5.15.0-112.122
Depends: linux-image-{NEW} | linux-image-unsigned-{NEW}

Package: linux-modules-nvidia-535-server-{NEW}
Status: install ok installed
Version: 5.15.0-112.122+1
Depends: linux-image-{NEW} | linux-image-unsigned-{NEW}

Package: linux-modules-nvidia-535-server-generic
Status: install ok installed
Version: 5.15.0-112.122+1
Depends: linux-modules-nvidia-535-server-{NEW} (= 5.15.0-112.122+1)

Package: linux-main-modules-zfs-7.0.0-43-generic
Status: install ok installed
Version: 7.0.0-43.43

Package: linux-modules-nvidia-470-5.15.0-91-generic
Status: deinstall ok config-files
Version: 5.15.0-91.101

Package: linux-headers-generic
Status: install ok installed
Version: 5.15.0.91.88
Depends: linux-headers-{NEW}

Package: linux-firmware
Status: hold ok installed
Version: 20220329

Package: linux-base
Status: install ok installed
Version: 4.5ubuntu9

"""


def ubuntu(tmp_path: Path, *changes: tuple[str, str]) -> Host:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(UBUNTU)
    rewrite(tmp_path, "var/lib/dpkg/status", *changes)
    return Host(str(tmp_path))


def kernels(host: Host) -> KernelPackages:
    return debian.kernel_packages(host, debian.packages(host))


def test_meta_packages_track_what_they_depend_on_and_not_what_their_version_says(tmp_path: Path) -> None:
    assert dict(kernels(ubuntu(tmp_path))) == {
        "held": [],
        "broken": [],
        "pins": [],
        "metas": [
            {"name": "linux-generic", "version": "5.15.0.91.88", "tracks": NEW},
            {"name": "linux-image-generic", "version": "5.15.0.91.88", "tracks": NEW},
        ],
    }


@pytest.mark.parametrize(
    ("depends", "tracks"),
    [
        ("linux-image-6.1.0-56-amd64 (= 6.1.192-2)", "6.1.0-56-amd64"),
        ("linux-image-6.12.115+deb13.1-amd64", "6.12.115+deb13.1-amd64"),
        ("linux-image-6.8.0-45-generic | linux-image-unsigned-6.8.0-45-generic", "6.8.0-45-generic"),
        ("linux-image-unsigned-6.8.0-45-generic:amd64", "6.8.0-45-generic"),
        ("linux-generic", None),  # each depends on the other
        ("linux-image-virtual", None),  # which is not there
    ],
)
def test_what_a_meta_package_tracks(tmp_path: Path, depends: str, tracks: str | None) -> None:
    old = f"linux-image-{NEW}, linux-modules-extra-{NEW}, linux-firmware, intel-microcode, amd64-microcode"
    found = {meta["name"]: meta["tracks"] for meta in kernels(ubuntu(tmp_path, (old, depends)))["metas"]}
    assert found["linux-generic"] == tracks


def test_debug_symbols_pull_in_no_kernel(tmp_path: Path) -> None:
    symbols = f"linux-image-{NEW}-dbg"
    host = ubuntu(
        tmp_path,
        ("Depends: linux-headers-5", f"Depends: {symbols}, linux-headers-5"),
    )
    assert [meta["name"] for meta in kernels(host)["metas"]] == ["linux-generic", "linux-image-generic"]


@pytest.mark.parametrize(
    "name", ["linux-generic", "linux-image-generic", f"linux-image-{NEW}", f"linux-modules-extra-{NEW}"]
)
def test_held(tmp_path: Path, name: str) -> None:
    host = ubuntu(
        tmp_path,
        (f"Package: {name}\nStatus: install ok", f"Package: {name}\nStatus: hold ok"),
    )
    assert kernels(host)["held"] == [name]


def test_a_kernel_that_is_not_there_can_be_held(tmp_path: Path) -> None:
    name = "linux-image-5.15.0-119-generic"
    host = ubuntu(
        tmp_path,
        ("Package: linux-base\n", f"Package: {name}\nStatus: hold ok not-installed\n\nPackage: linux-base\n"),
    )
    assert kernels(host)["held"] == [name]
    assert kernels(host)["broken"] == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("ok half-installed", "iH"),
        ("ok unpacked", "iU"),
        ("ok half-configured", "iF"),
        ("ok triggers-awaiting", "iW"),
        ("ok triggers-pending", "it"),
        ("reinstreq installed", "iiR"),
        ("reinstreq half-installed", "iHR"),
    ],
)
@pytest.mark.parametrize("name", [f"linux-image-{NEW}", "linux-generic"])
def test_broken(tmp_path: Path, name: str, state: str, status: str) -> None:
    host = ubuntu(
        tmp_path,
        (f"Package: {name}\nStatus: install ok installed", f"Package: {name}\nStatus: install {state}"),
    )
    (broken,) = kernels(host)["broken"]
    assert (broken["name"], broken["status"], "needs" in broken) == (name, status, False)
    assert kernels(host)["held"] == []


def test_what_was_removed_is_not_broken_and_pulls_nothing_in(tmp_path: Path) -> None:
    host = ubuntu(
        tmp_path,
        (
            "Package: linux-generic\nStatus: install ok installed",
            "Package: linux-generic\nStatus: deinstall ok config-files",
        ),
    )
    found = kernels(host)
    assert (found["broken"], [meta["name"] for meta in found["metas"]]) == ([], ["linux-image-generic"])


def test_a_machine_that_runs_is_asked_once_and_its_database_is_not_read(tmp_path: Path) -> None:
    def answer(_host: Scripted, argv: Sequence[str]) -> str:
        rows = [
            ("kdump-tools", "1:1.8.1", "ii ", "kdump-tools", "1:1.8.1", "kexec-tools"),
            (
                "linux-generic",
                "5.15.0.91.88",
                "hi ",
                "linux-meta",
                "5.15.0.91.88",
                "linux-image-generic (= 1)",
            ),
            (
                "linux-image-generic",
                "5.15.0.91.88",
                "ii ",
                "linux-meta",
                "5.15.0.91.88",
                f"linux-image-{NEW}",
            ),
            (
                f"linux-image-{NEW}",
                "5.15.0-112.122",
                "iF ",
                "linux-signed",
                "5.15.0-112.122",
                "kmod, linux-base",
            ),
            ("linux-image", "", "un ", "linux-image", "", ""),
        ]
        return "".join("\t".join(row) + "\n" for row in rows)

    host = Scripted(tmp_path, dpkg_query=answer)
    packages = debian.packages(host)
    assert [package["name"] for package in packages if "needs" in package] == [
        "linux-generic",
        "linux-image-generic",
    ]
    found = debian.kernel_packages(host, packages)
    assert [(meta["name"], meta["tracks"]) for meta in found["metas"]] == [
        ("linux-generic", NEW),
        ("linux-image-generic", NEW),
    ]
    assert found["held"] == ["linux-generic"]
    assert [(package["name"], package["status"]) for package in found["broken"]] == [
        (f"linux-image-{NEW}", "iF")
    ]
    assert len(host.ran) == 1


def test_modules_of_vendors(tmp_path: Path) -> None:
    assert debian.prebuilt(debian.packages(ubuntu(tmp_path))) == {
        NEW: ["nvidia-535-server"],
        "7.0.0-43-generic": ["zfs"],
    }


def test_what_a_kernel_has_beside_its_image(tmp_path: Path) -> None:
    found = debian.packages(ubuntu(tmp_path))
    assert debian.beside(found) == {NEW: ["linux-modules-extra"]}
    gone = [{**one, "status": "rc"} if "extra" in one["name"] else one for one in found]
    assert debian.beside(gone) == {}  # type: ignore[arg-type]


def test_the_headers_of_a_kernel_are_beside_it(tmp_path: Path) -> None:
    """And not those that all flavours share, of no kernel, or of one whose image is not there."""
    names = (
        f"linux-headers-{NEW}",
        "linux-headers-5.15.0-112",
        "linux-headers-generic",
        "linux-headers-5.15.0-91-generic",
    )
    found = [*debian.packages(ubuntu(tmp_path)), *map(package_named, names)]
    assert debian.beside(found) == {NEW: ["linux-modules-extra", "linux-headers"]}
    assert debian.beside([package_named(IMAGE), package_named(f"linux-headers-{RUNNING}")]) == {
        RUNNING: ["linux-headers"]
    }
    assert debian.beside([package_named(IMAGE), package_named(f"linux-headers-{RUNNING}", "rc")]) == {}


@pytest.mark.parametrize(
    ("release", "beside", "names"),
    [
        ("5.15.0-204-generic", [], []),
        ("5.15.0-204-generic", ["linux-modules-extra"], ["linux-modules-extra-5.15.0-204-generic"]),
        ("6.17.0-38-generic", ["linux-modules-extra"], ["linux-modules-extra-6.17.0-38-generic"]),
        ("7.0.0-43-generic", ["linux-modules-extra"], []),
        ("6.1.0-56-amd64", ["linux-headers"], ["linux-headers-6.1.0-56-amd64"]),
        ("7.0.0-43-generic", ["linux-modules-extra", "linux-headers"], ["linux-headers-7.0.0-43-generic"]),
    ],
)
def test_what_is_installed_for_a_release(release: str, beside: list[str], names: list[str]) -> None:
    assert debian.to_install(release, beside) == [f"linux-image-{release}", *names]


@pytest.mark.parametrize("status", ["install ok", "", "install ok sleeping", "want ok installed"])
def test_a_status_that_dpkg_does_not_write_is_an_error(tmp_path: Path, status: str) -> None:
    host = ubuntu(
        tmp_path,
        ("Package: linux-base\nStatus: install ok installed", f"Package: linux-base\nStatus: {status}"),
    )
    with pytest.raises(FleetopsError, match="gives linux-base the status"):
        debian.packages(host)


def test_a_database_of_any_size_is_not_swallowed(tmp_path: Path) -> None:
    host = ubuntu(tmp_path)
    with (tmp_path / "var/lib/dpkg/status").open("r+b") as handle:
        handle.truncate(1 << 30)  # sparse
    with pytest.raises(
        FleetopsError, match="status' is larger than the 33554432 bytes that are read at most"
    ):
        debian.packages(host)


# --- boot --------------------------------------------------------------------------------------------


def rewrite(root: Path, path: str, *changes: tuple[str, str]) -> None:
    text = (root / path).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (root / path).write_text(text)


def note(root: Path, kind: str, path: str) -> None:
    """Add a path to the notes of a captured tree."""
    notes = json.loads((root / CAPTURE_FILE).read_text())
    notes.setdefault(kind, []).append(path)
    (root / CAPTURE_FILE).write_text(json.dumps(notes))


def test_next_boot_of_a_real_machine() -> None:
    got = debian.next_boot(Host(str(FIXTURES / "debian-6.1-clean")))
    assert got["release"] == RUNNING
    assert got["entry"].startswith("gnulinux-simple-")
    assert got["because"] == "default in grub.cfg: 0; the first entry"
    assert (got["once"], got["named_by"]) == (False, "first")


def test_next_boot_names_the_environment(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    entry = debian.boot_entries(Host(str(root)))[1]["id"]
    (root / "boot/grub/grubenv").write_text(f"# GRUB Environment Block\nnext_entry={entry}\n####")
    got = debian.next_boot(Host(str(root)))
    assert (got["entry"], got["because"]) == (entry, f"next_entry in grubenv, for one boot: {entry}")
    assert (got["once"], got["named_by"]) == (True, "id")
    (root / "boot/grub/grubenv").unlink()
    with pytest.raises(Unreadable):  # it may have been there: nobody noted that it was not
        debian.next_boot(Host(str(root)))
    note(root, "missing", "/boot/grub/grubenv")
    assert debian.next_boot(Host(str(root)))["entry"].startswith("gnulinux-simple-")


def test_a_saved_entry_that_is_gone_is_named(tmp_path: Path) -> None:
    root = copy("debian-6.1-clean", tmp_path)
    rewrite(root, "boot/grub/grub.cfg", ('set default="0"', 'set default="${saved_entry}"'))
    assert "saved_entry in grubenv: empty" in debian.next_boot(Host(str(root)))["because"]
    (root / "boot/grub/grubenv").write_text("# GRUB Environment Block\nsaved_entry=gnulinux-removed\n")
    assert "'gnulinux-removed' names no entry" in debian.next_boot(Host(str(root)))["because"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            [("linux\t/boot/vmlinuz", "chainloader\t/boot/vmlinuz")],
            "'Debian GNU/Linux', boots no kernel of this system",
        ),
        ([("function savedefault {", "function savedefault (")], "closes a block"),
        (
            [("### BEGIN /etc/grub.d/40_custom", "set default=$root\n###")],
            "the default depends on what only GRUB",
        ),
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
    info = root / _boot.LOADER_INFO.lstrip("/")
    info.parent.mkdir(parents=True)
    info.write_bytes(b"\x06\0\0\0" + "systemd-boot 252.1\0".encode("utf-16-le"))
    assert debian.boot_loader(Host(str(root))) == "systemd-boot"
    with pytest.raises(Unreadable, match="'/efi'"):
        debian.next_boot(Host(str(root)))
    info.write_bytes(b"\x06\0\0\0" + "GRUB 2.14\0".encode("utf-16-le"))
    assert debian.boot_loader(Host(str(root))) == "grub"
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
    note(root, "missing", "/etc/default/kdump-tools")
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
