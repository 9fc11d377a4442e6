# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the disk image in three cached layers: base packages, kernel and initrds, GRUB settings and disk.

All of it happens in a temporary folder beside the result and is renamed into place when complete.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import recipe
from .archive import Archive, apt, look
from .errors import LabError
from .host import BUILD_TOOLS, TOOLS, cache_root, digest, ensure_tools, locked, phase, run


@dataclass(frozen=True)
class Image:
    """A finished image: `disk` is a sparse raw file that nobody writes to."""

    path: Path
    manifest: dict[str, Any]

    @property
    def disk(self) -> Path:
        """The disk, raw."""
        return self.path / "disk.raw"

    @property
    def repo(self) -> Path:
        """The folder with the new kernel's packages, served to the guests."""
        return self.path / "repo"

    @property
    def vmlinuz(self) -> Path:
        """The old kernel, for the acceleration test."""
        return self.path / "vmlinuz"

    @property
    def key(self) -> Path:
        """The private ssh key of root and operator."""
        return ssh_key()


def ssh_key() -> Path:
    """The cache's key pair, made at first use; 0600."""
    key = cache_root() / "id_ed25519"
    with locked(cache_root() / "key.lock", "the ssh key", 30):
        if not key.exists():
            with tempfile.TemporaryDirectory(dir=cache_root()) as tmp:
                fresh = Path(tmp) / "id_ed25519"
                run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(fresh)], timeout=30
                )
                fresh.with_suffix(".pub").rename(key.with_suffix(".pub"))
                fresh.rename(key)
    key.chmod(0o600)
    return key


def build(flavour: str = "cloud", crashkernel: str = "128M", suite: str = recipe.DEFAULT_SUITE) -> Image:
    """Return the image of this recipe, building what the cache does not have. Needs root when it builds."""
    if not all(char.isalnum() or char in ":,-@" for char in crashkernel):
        raise LabError(f"malformed crashkernel value {crashkernel!r}")
    ensure_tools(TOOLS)
    archive = look(flavour, suite)
    base_packages = _base_packages(archive)
    public = ssh_key().with_suffix(".pub").read_text()
    base_key = digest(
        "base", archive.sources, repr(base_packages), repr(recipe.DPKG_EXCLUDES), _source("_base")
    )
    tree_key = digest(
        "tree",
        base_key,
        flavour,
        repr(archive.old),
        repr(recipe.FILES),
        repr(recipe.MASKED_UNITS),
        _source("_tree"),
    )
    image_key = digest(
        "image",
        tree_key,
        repr(archive),
        recipe.default_grub(crashkernel),
        public,
        _source("_repo", "_disk", "_raw_disk"),
    )
    final = cache_root() / image_key
    if (final / "manifest.json").exists():
        return _load(final)
    with locked(cache_root() / "build.lock", "building an image", 900):
        if (final / "manifest.json").exists():
            return _load(final)
        if os.getuid() != 0:
            raise LabError(
                f"no image in the cache for {suite}, {flavour}, crashkernel={crashkernel}, and only root can build one"
            )
        ensure_tools(BUILD_TOOLS)
        _prune()
        with (
            phase(f"image {suite}, {flavour}, crashkernel={crashkernel or 'none'}: all together"),
            _scratch() as work,
        ):
            tree_tar = _tree(archive, flavour, base_key, tree_key, work)
            _disk(archive, flavour, crashkernel, public, tree_tar, work)
            final.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(final, ignore_errors=True)
            (work / "image").rename(final)
    return _load(final)


def _base_packages(archive: Archive) -> list[str]:
    return [*recipe.BASE_PACKAGES, *recipe.SUITES[archive.suite].packages]


def _source(*functions: str) -> str:
    """The text of a layer's functions: work on a later layer does not spoil the cache of an earlier one."""
    text = Path(__file__).read_text()
    return "".join(text.split(f"\ndef {name}(")[1].split("\n\n\n")[0] for name in functions)


def _prune() -> None:
    """Under the build lock: what a killed build left, and what was not used for two weeks."""
    for path in cache_root().glob("build-*/"):
        shutil.rmtree(path, ignore_errors=True)
    old = time.time() - 14 * 86400
    for tar in cache_root().glob("*.tar"):
        if tar.stat().st_mtime < old:
            tar.unlink()
    for manifest in cache_root().glob("*/manifest.json"):
        if manifest.stat().st_mtime < old:
            shutil.rmtree(manifest.parent, ignore_errors=True)


def _load(path: Path) -> Image:
    with contextlib.suppress(OSError):
        (path / "manifest.json").touch()
    return Image(path, json.loads((path / "manifest.json").read_text()))


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    work = Path(tempfile.mkdtemp(prefix="build-", dir=cache_root()))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _chroot(root: Path, script: str, *, timeout: float, env: dict[str, str] | None = None) -> str:
    """Run a shell script inside the tree, with proc, sys and dev in a mount namespace of its own."""
    outer = (
        f"set -e; mount -t proc proc {root}/proc; mount -t sysfs sys {root}/sys; mount --bind /dev {root}/dev; "
        f"exec chroot {root} /bin/sh -eu"
    )
    argv = ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", outer]
    return run(argv, timeout=timeout, stdin=script, env={"HOME": "/root", **(env or {})})


def _base(archive: Archive, base_key: str, work: Path) -> Path:
    """Layer 1: Debian without a kernel."""
    tar = cache_root() / f"base-{base_key}.tar"
    if tar.exists():
        tar.touch()
        return tar
    with phase("base packages (mmdebstrap)"):
        sources = work / "sources.list"
        sources.write_text(archive.sources)
        apt_options = run(["apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy"], timeout=30)
        argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=tar"]
        options = [
            'APT::Install-Recommends "false";',
            'Acquire::Languages "none";',
            *apt_options.splitlines(),
        ]
        argv += [f"--aptopt={line.rstrip(';')}" for line in options]
        argv.append("--dpkgopt=force-unsafe-io")
        argv += [f"--dpkgopt=path-exclude={path}" for path in recipe.DPKG_EXCLUDES]
        argv += [
            f"--include={','.join(_base_packages(archive))}",
            archive.suite,
            str(work / "base.tar"),
            str(sources),
        ]
        run(argv, timeout=900)
        (work / "base.tar").rename(tar)
    return tar


def _tree(archive: Archive, flavour: str, base_key: str, tree_key: str, work: Path) -> Path:
    """Layer 2: the old kernel with natively built initrds, kdump-tools, GRUB's packages, the configuration."""
    tar = cache_root() / f"tree-{tree_key}.tar"
    if tar.exists():
        tar.touch()
        return tar
    base = _base(archive, base_key, work)
    root = work / "root"
    root.mkdir()
    run(["tar", "-xpf", str(base), "-C", str(root), "--xattrs", "--numeric-owner"], timeout=300)
    modules = [*recipe.INITRAMFS_MODULES, *(["i6300esb"] if flavour == "generic" else [])]
    release = archive.old.release
    with phase(f"kernel {release}, kdump-tools, GRUB (packages)"):
        for name in (
            "/etc/apt/apt.conf.d/90lab",
            "/etc/dpkg/dpkg.cfg.d/lab",
            "/etc/initramfs-tools/conf.d/lab",
        ):
            _write(root, name, recipe.FILES[name])
        shutil.copy2(Path("/etc/resolv.conf").resolve(), root / "etc/resolv.conf")
        _write(root, "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        _write(root, "/root/debconf", recipe.DEBCONF)
        packages = " ".join([*recipe.BOOT_PACKAGES, archive.old.package])
        # Both kernel hooks (initramfs-tools, kdump-tools) leave out their initrd for INITRD=No: they are
        # built once, below, when everything is configured.
        _chroot(
            root,
            "debconf-set-selections </root/debconf; rm /root/debconf\n"
            "eatmydata apt-get -qq update\n"
            f"INITRD=No eatmydata apt-get -qq -y --no-install-recommends install {packages}\n"
            "apt-get clean; rm -rf /var/lib/apt/lists/*; mkdir -p /var/lib/apt/lists/partial\n",
            timeout=900,
        )
    with phase("configuration"):
        for name, text in recipe.FILES.items():
            _write(root, name, text)
        with (root / "etc/initramfs-tools/modules").open("a") as handle:
            handle.write("".join(f"{name}\n" for name in modules))
        masks = "".join(f"ln -sf /dev/null /etc/systemd/system/{unit}\n" for unit in recipe.MASKED_UNITS)
        _chroot(
            root,
            f"{masks}"
            # Debian has a group of this name already
            "useradd -m -s /bin/bash -g operator operator\n"
            # not '!': sshd without PAM refuses a locked account
            "usermod -p '*' operator; usermod -p '*' root\n"
            "systemctl -q enable systemd-networkd ssh\n"
            "systemctl -q set-default multi-user.target\n"
            # the archive's sources have other names than ours
            "find /etc/apt/sources.list.d -type f ! -name lab.list -delete\n"
            "rm -f /etc/apt/sources.list /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap\n"
            "rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /etc/resolv.conf\n"
            "mkdir -p /var/crash\n",
            timeout=60,
        )
    with phase(f"initrds of {release}, for boot and for capture"):
        _chroot(
            root,
            # kdump-tools 1.10 builds none in a chroot, whose machine may be another; here it is known
            "mkdir /run/lab; ln -s /bin/false /run/lab/ischroot; export PATH=/run/lab:$PATH\n"
            f"eatmydata update-initramfs -c -k {release}\n"
            f"eatmydata /etc/kernel/postinst.d/kdump-tools {release}\n"
            f"test -s /boot/initrd.img-{release}; test -s /var/lib/kdump/initrd.img-{release}\n"
            # Without this file `kdump-config load` takes the capture initrd for stale and builds it anew (50 s).
            f"cp /etc/kdump/sysctl.conf /var/lib/kdump/latest_sysctls-{release}\n"
            "rm -r /run/lab\n",
            timeout=300,
        )
    (root / "usr/sbin/policy-rc.d").unlink()
    with phase("tree to the cache"):
        run(
            ["tar", "-cf", str(work / "tree.tar"), "-C", str(root), "--xattrs", "--numeric-owner", "."],
            timeout=300,
        )
        (work / "tree.tar").rename(tar)
    shutil.rmtree(root)
    return tar


def _write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


_GRUB_PROBE_STUB = f"""\
#!/bin/sh
for word in "$@"; do case "$word" in --target=*) target=${{word#--target=}};; esac; done
case "$target" in
device) echo /dev/vda1;; fs) echo ext2;; fs_uuid) echo {recipe.ROOT_UUID};; partmap) echo msdos;;
abstraction) ;; drive) echo '(hd0,msdos1)';; hints_string) echo "--hint='hd0,msdos1'";;
esac
"""


def _repo(archive: Archive, repo: Path) -> None:
    """The package repository with the new kernel (and its meta package)."""
    repo.mkdir()
    wanted = [archive.new] + ([archive.meta] if archive.meta else [])
    # apt drops its privileges for a download and needs a folder that its own user can write to.
    argv = [
        "apt-get",
        "-qq",
        *apt(recipe.SUITES[archive.suite]).options,
        "-o",
        "APT::Sandbox::User=root",
        "download",
    ]
    run([*argv, *[f"{k.package}={k.version}" for k in wanted]], timeout=600, cwd=repo)
    packages = run(["dpkg-scanpackages", "-m", "."], timeout=120, cwd=repo)
    (repo / "Packages").write_text(packages)
    (repo / "Packages.xz").write_bytes(lzma.compress(packages.encode()))


def _disk(archive: Archive, flavour: str, crashkernel: str, public: str, tree: Path, work: Path) -> None:
    """Layer 3: repository, GRUB settings, grub.cfg by the guest's own update-grub, and the raw disk."""
    root, out = work / "root", work / "image"
    root.mkdir()
    out.mkdir()
    with phase(f"package repository with {archive.new.release}"):
        _repo(archive, out / "repo")
    with phase("tree from the cache, GRUB settings, update-grub"):
        run(["tar", "-xpf", str(tree), "-C", str(root), "--xattrs", "--numeric-owner"], timeout=300)
        listed = root / "var/lib/apt/lists" / f"{recipe.REPO_HOST}_._Packages"
        shutil.copy(out / "repo/Packages", listed)
        for home, owner in (("root", 0), ("home/operator", (root / "home/operator").stat().st_uid)):
            _write(root, f"/{home}/.ssh/authorized_keys", public, 0o600)
            (root / home / ".ssh").chmod(0o700)
            for path in (root / home / ".ssh", root / home / ".ssh/authorized_keys"):
                os.chown(path, owner, owner)
        _write(root, "/etc/default/grub", recipe.default_grub(crashkernel))
        shutil.copytree(root / "usr/lib/grub/i386-pc", root / "boot/grub/i386-pc", dirs_exist_ok=True)
        probe = root / "usr/sbin/grub-probe"
        probe.rename(root / "usr/sbin/grub-probe.real")
        _write(root, "/usr/sbin/grub-probe", _GRUB_PROBE_STUB, 0o755)
        # update-grub writes root=UUID= only when the device node by that UUID exists; /dev here is the host's,
        # so this chroot gets one of its own.
        by_uuid = "/dev/disk/by-uuid"
        mounts = (
            f"mount -t tmpfs dev /dev; mkdir -p {by_uuid}; : >{by_uuid}/{recipe.ROOT_UUID}; : >/dev/null\n"
        )
        _chroot(root, f"{mounts}update-grub\ngrub-editenv /boot/grub/grubenv create\n", timeout=120)
        (root / "usr/sbin/grub-probe.real").replace(probe)
        config = (root / "boot/grub/grub.cfg").read_text()
        if f"root=UUID={recipe.ROOT_UUID}" not in config or (
            crashkernel and f"crashkernel={crashkernel}" not in config
        ):
            raise LabError("update-grub wrote a grub.cfg without the root file system or the reservation")
        # Whoever boots this image gets these from the lab, so that each node is its own from the first boot.
        (root / "etc/machine-id").write_text("uninitialized\n")
        (root / "etc/hostname").write_text("lab\n")
        shutil.copy(root / "boot" / f"vmlinuz-{archive.old.release}", out / "vmlinuz")
    with phase("disk"):
        _raw_disk(root, out / "disk.raw", work)
    manifest = {
        "suite": archive.suite,
        "old": archive.old.as_dict(),
        "new": archive.new.as_dict(),
        "meta": archive.meta.as_dict() if archive.meta else None,
        "flavour": flavour,
        "crashkernel": crashkernel,
        "root_uuid": recipe.ROOT_UUID,
        "repo_url": f"http://{recipe.REPO_HOST}/",
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def _raw_disk(root: Path, disk: Path, work: Path) -> None:
    with disk.open("wb") as handle:
        handle.truncate(recipe.DISK_BYTES)
    run(["sfdisk", "-q", str(disk)], timeout=30, stdin="label: dos\nstart=2048, type=83, bootable\n")
    early = work / "early.cfg"
    early.write_text(f"search.fs_uuid {recipe.ROOT_UUID} root\nset prefix=($root)/boot/grub\n")
    core = work / "core.img"
    # The guest's own: its modules fit no other release's core.
    grub = root / "usr/lib/grub/i386-pc"
    argv = ["grub-mkimage", f"--directory={grub}", "-O", "i386-pc", "-p", "/boot/grub"]
    argv += ["-c", str(early), "-o", str(core)]
    run([*argv, "biosdisk", "part_msdos", "ext2", "search_fs_uuid"], timeout=60)
    with disk.open("r+b") as handle:
        handle.write((grub / "boot.img").read_bytes()[:440])
        handle.seek(512)
        handle.write(core.read_bytes())
    blocks = (recipe.DISK_BYTES - recipe.PART_OFFSET) // 4096
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-U", recipe.ROOT_UUID, "-L", "root", "-m", "1"]
    # what GRUB 2.06 cannot read, and no zeroing of a file that is full of holes
    argv += ["-O", "^metadata_csum_seed,^orphan_file"]
    argv += ["-E", f"offset={recipe.PART_OFFSET},assume_storage_prezeroed=1"]
    run([*argv, "-d", str(root), str(disk), str(blocks)], timeout=300)
