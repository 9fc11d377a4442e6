# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform on a system that the real rpm and dnf made, of stub kernels from a repository of our own.

The stubs are built by rpmbuild with the names, the dependencies and the provisions of kernel.spec; what kernel-install
does at the end of a transaction is done by their scripts. Nothing is downloaded, and nothing is booted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.plugin_utils import target

MACHINE = "d4c7a1f0b2e34956a1b0c9d8e7f60512"
RELEASES = ("570.33.1.el9_6", "570.35.1.el9_6")
OLD, NEW = (f"5.14.0-{release}.x86_64" for release in RELEASES)

SPEC = f"""\
%define kverrel %{{version}}-%{{release}}.%{{_target_cpu}}
%define _build_id_links none
Name: kernel
Version: 5.14.0
Release: %{{rel}}
Summary: stub
License: GPL
Provides: installonlypkg(kernel)
Requires: kernel-core-uname-r = %{{kverrel}}
Requires: kernel-modules-uname-r = %{{kverrel}}
%description
stub
%package core
Summary: stub
Provides: installonlypkg(kernel)
Provides: kernel-core-uname-r = %{{kverrel}}
%description core
stub
%package modules
Summary: stub
Provides: installonlypkg(kernel-module)
Provides: kernel-modules-uname-r = %{{kverrel}}
Requires: kernel-core-uname-r = %{{kverrel}}
%description modules
stub
%install
mkdir -p %{{buildroot}}/lib/modules/%{{kverrel}}/kernel %{{buildroot}}/boot/loader/entries
touch %{{buildroot}}/lib/modules/%{{kverrel}}/modules.dep %{{buildroot}}/lib/modules/%{{kverrel}}/modules.builtin
echo stub >%{{buildroot}}/lib/modules/%{{kverrel}}/kernel/stub.ko
truncate -s 2M %{{buildroot}}/boot/vmlinuz-%{{kverrel}}
%posttrans core -p <lua>
local image = io.open("/boot/initramfs-%{{kverrel}}.img", "w")
image:write(string.rep("0", 2097152))
image:close()
local entry = io.open("/boot/loader/entries/{MACHINE}-%{{kverrel}}.conf", "w")
entry:write("title Stub (%{{kverrel}})\\nversion %{{kverrel}}\\nlinux /vmlinuz-%{{kverrel}}\\n")
entry:write("initrd /initramfs-%{{kverrel}}.img\\noptions root=/dev/vda1 ro $tuned_params\\n")
entry:close()
local environment = io.open("/boot/grub2/grubenv", "w")
environment:write("# GRUB Environment Block\\nsaved_entry={MACHINE}-%{{kverrel}}\\n")
environment:close()
%files
%files core
%dir /boot/loader/entries
/boot/vmlinuz-*
/lib/modules/*/modules.*
%files modules
/lib/modules/*/kernel
"""
GRUB_CFG = """\
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
insmod blscfg
blscfg
"""


# Both want to be root: where the tests are not, they are that in a user namespace of their own.
AS_ROOT = () if os.geteuid() == 0 else ("unshare", "--map-root-user")


class Root(Host):
    """A system in a folder: rpm and dnf work on it, nothing else runs."""

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] == "rpm":
            real = [
                "rpm",
                "--root",
                self.root,
                *argv[1:],
            ]  # its database where dnf, of the same machine, has it
        elif argv[0] == "dnf":
            real = ["dnf", *self.of_dnf(), *argv[1:]]
        else:
            return super().run(argv, ok, env)
        done = subprocess.run([*AS_ROOT, *real], capture_output=True, text=True, check=False)
        return self._checked(argv, done.returncode, done.stdout, done.stderr, ok)

    def of_dnf(self) -> list[str]:
        return [
            f"--installroot={self.root}",
            f"--config={self.root}/etc/dnf/dnf.conf",
            "--releasever=9",
            f"--setopt=reposdir={self.root}/etc/yum.repos.d",
            f"--setopt=pluginconfpath={Path(self.root).parent}/plugins",
        ]

    def dnf(self, *words: str) -> str:
        return self.run(["dnf", "-y", *words])

    def names(self) -> set[str]:
        return {redhat.exact_name(package) for package in redhat.packages(self)}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    (folder / "kernel.spec").write_text(SPEC)
    for release in RELEASES:
        subprocess.run(
            [
                *("rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", f"_topdir {folder}"),
                *("--define", f"rel {release}", f"{folder}/kernel.spec"),
            ],
            check=True,
            capture_output=True,
        )
    subprocess.run(["createrepo_c", "-q", f"{folder}/RPMS"], check=True)
    return folder / "RPMS"


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with the old kernel, which runs."""
    root = tmp_path_factory.mktemp("installed") / "root"
    files = {
        "etc/os-release": 'ID="rocky"\nVERSION_ID="9.6"\n',
        "etc/yum.repos.d/stub.repo": f"[stub]\nname=stub\nbaseurl=file://{repository}\n",
        "boot/grub2/grub.cfg": GRUB_CFG,
        "proc/sys/kernel/osrelease": f"{OLD}\n",
        "proc/version": f"Linux version {OLD} (mockbuild@stub) (gcc (GCC) 11.5.0) #1 SMP PREEMPT_DYNAMIC\n",
        "sys/class/net/lo/address": "",
        "var/lib/none": "",
        CAPTURE_FILE: "{}",  # it stands for a machine that runs, /proc and all
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    settings(root)
    Root(str(root)).dnf("install", f"kernel-{OLD}")
    return root


def settings(root: Path) -> None:
    """dnf's settings as the system has them, and beside it where a dnf outside of it finds the list of locks."""
    locks = "etc/dnf/plugins/versionlock.list"
    for plugins, path in (
        (root / "etc/dnf/plugins", f"/{locks}"),
        (root.parent / "plugins", f"{root}/{locks}"),
    ):
        plugins.mkdir(parents=True, exist_ok=True)
        (plugins / "versionlock.conf").write_text(f"[main]\nenabled = 1\nlocklist = {path}\n")
    (root / locks).write_text("")
    (root / "etc/dnf/dnf.conf").write_text("[main]\ngpgcheck=0\ninstallonly_limit=3\n")


@pytest.fixture
def system(installed: Path, tmp_path: Path) -> Root:
    """A copy of it, to be changed."""
    shutil.copytree(installed, tmp_path / "root", symlinks=True)
    settings(tmp_path / "root")
    return Root(str(tmp_path / "root"))


def test_what_rpm_says_of_a_kernel(system: Root) -> None:
    found = {package["name"]: package for package in redhat.packages(system)}
    assert dict(found["kernel-core"]) == {
        "name": "kernel-core",
        "version": f"5.14.0-{RELEASES[0]}",
        "source": "kernel",
        "source_version": f"5.14.0-{RELEASES[0]}",
        "status": "ii",
        "release": OLD,
    }
    assert [redhat.release_of(found[name]) for name in ("kernel", "kernel-modules")] == [None, None]
    assert dict(redhat.kernel_packages(system, redhat.packages(system))) == {
        "held": [],
        "broken": [],
        "pins": [],
        "metas": [{"name": "kernel", "version": f"5.14.0-{RELEASES[0]}", "tracks": OLD}],
    }


def test_a_new_kernel_by_its_exact_name_comes_beside_the_old_one_and_boots_next(system: Root) -> None:
    before = kernel.read(system)
    assert before["next_boot"] is not None, before["unknown"]["next_boot"]
    assert (before["next_boot"]["release"], before["boot_loader"]) == (OLD, "grub-bls")
    want = target.kernel_target({"fleetops_kernel": before}, release=NEW)
    assert (want["package"], want["installed"], want["package_manager"]) == (
        f"kernel-core-{NEW}",
        False,
        "dnf",
    )
    system.dnf("install", *want["packages"])
    assert {f"kernel-core-{OLD}", f"kernel-core-{NEW}", f"kernel-modules-{NEW}"} <= {
        name if name.endswith(".x86_64") else f"{name}.x86_64" for name in system.names()
    }
    after = kernel.read(system)
    assert [(one["release"], one["bootable"], one["missing"]) for one in after["installed"] or []] == [
        (OLD, True, []),
        (NEW, True, []),
    ]
    assert after["next_boot"] == {
        "release": NEW,
        "entry": f"{MACHINE}-{NEW}",
        "because": f"saved_entry in grubenv: {MACHINE}-{NEW}",
        "once": False,
        "named_by": "id",
    }
    packages = [one["package"] for one in after["installed"] or []]
    assert [package and package["version"] for package in packages] == [f"5.14.0-{one}" for one in RELEASES]
    assert target.kernel_target({"fleetops_kernel": after}, package=want["package"])["installed"] is True


def test_the_meta_package_that_is_upgraded_tracks_the_new_kernel(system: Root) -> None:
    system.dnf("upgrade", "kernel")
    (meta,) = redhat.kernel_packages(system, redhat.packages(system))["metas"]
    assert (meta["version"], meta["tracks"]) == (f"5.14.0-{RELEASES[1]}", NEW)


@pytest.mark.parametrize("how", ["versionlock", "exclude"])
def test_a_hold_is_seen_where_dnf_heeds_it(system: Root, how: str) -> None:
    if how == "versionlock":
        system.dnf("versionlock", "add", "kernel-core")
    else:
        with Path(f"{system.root}/etc/dnf/dnf.conf").open("a") as handle:
            handle.write("exclude=kernel-core* other\n")
    held = redhat.kernel_packages(system, redhat.packages(system))["held"]
    assert held == (["kernel-core"] if how == "versionlock" else ["kernel-core*"])
    with pytest.raises(FleetopsError):
        system.dnf("install", f"kernel-core-{NEW}")
    assert f"kernel-core-{NEW}" not in system.names()


def test_a_hold_of_something_else_is_none_of_a_kernel(system: Root) -> None:
    Path(f"{system.root}/etc/dnf/plugins/versionlock.list").write_text("bash-0:5.1-1.el9.*\n")
    assert redhat.kernel_packages(system, redhat.packages(system))["held"] == []
    system.dnf("install", f"kernel-core-{NEW}")
    assert f"kernel-core-{NEW}" in system.names()


def test_the_running_kernel_is_never_removed_and_another_one_is(system: Root) -> None:
    system.dnf("install", *redhat.to_install(NEW))
    for name in (f"kernel-core-{OLD}", f"kernel-modules-{OLD}", f"kernel-core-{OLD.rpartition('.')[0]}"):
        with pytest.raises(FleetopsError, match=f"belongs to the running kernel {OLD}"):
            redhat.remove_packages(system, [f"kernel-core-{NEW}", name])
    assert f"kernel-core-{NEW}" in system.names()
    redhat.remove_packages(system, [f"kernel-core-{NEW}"])
    assert not any(RELEASES[1] in name for name in system.names())  # what needs it is gone as well
    assert f"kernel-core-{OLD}" in system.names()


def test_half_of_a_kernel_is_not_bootable(system: Root) -> None:
    Path(f"{system.root}/boot/initramfs-{OLD}.img").unlink()
    (one,) = kernel.read(system)["installed"] or []
    assert (one["bootable"], one["missing"]) == (False, [f"/boot/initramfs-{OLD}.img"])
