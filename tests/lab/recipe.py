# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the image: package lists and configuration, no actions.

Everything here is part of the recipe's hash: a change builds a new image.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """A release of Debian: its code name, `uname -r` up to the flavour (its groups order kernels), its own packages.

    `security`: whether its security archive is whole. That of a release out of support lists packages it no longer has.
    """

    codename: str
    kernels: str
    packages: tuple[str, ...] = ()
    security: bool = True


# Debian 12 is what all scenarios run on; the others are there to be captured.
SUITES = {
    suite.codename: suite
    for suite in (
        Suite("bookworm", r"6\.1\.0-(\d+)", ("util-linux-extra",)),
        Suite("bullseye", r"5\.10\.0-(\d+)", security=False),
        Suite("trixie", r"6\.12\.(\d+)\+deb13(?:\.(\d+))?", ("util-linux-extra",)),
    )
}
DEFAULT_SUITE = "bookworm"

# A fixed file-system UUID, so that GRUB finds its root without a loop device at build time.
ROOT_UUID = "5f1ee700-1ab0-4000-8000-000000000001"
PART_OFFSET = 1048576
DISK_BYTES = 4 << 30

# The only thing a guest can reach: the lab's package repository (guestfwd of the user network).
REPO_HOST = "10.0.2.100:8099"

BASE_PACKAGES = (
    "systemd-sysv udev dbus openssh-server python3 python3-apt kmod iproute2 ipset ipvsadm iptables procps "
    "e2fsprogs busybox lz4 zstd eatmydata ca-certificates debconf"
).split()

BOOT_PACKAGES = "initramfs-tools grub-pc kdump-tools makedumpfile kexec-tools".split()

DEBCONF = """\
kexec-tools kexec-tools/load_kexec boolean false
kdump-tools kdump-tools/use_kdump boolean true
grub-pc grub-pc/install_devices_empty boolean true
grub-pc grub-pc/install_devices multiselect
"""

# Manuals and the drivers of hardware that no guest has: 200 MB less to unpack, also when a kernel is installed inside.
_UNUSED_DRIVERS = (
    "gpu media infiniband staging iio net/wireless net/ethernet scsi usb sound hid input ata mmc mtd nvme isdn "
    "bluetooth comedi firewire hwmon leds thunderbolt edac i2c power soundwire spi rtc video platform target crypto"
).split()
_UNUSED_FS = (
    "xfs btrfs nfs nfsd ceph cifs smb gfs2 ocfs2 jfs f2fs ubifs reiserfs afs coda hfs hfsplus nilfs2 udf"
).split()
DPKG_EXCLUDES = [
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    *[f"/lib/modules/*/kernel/drivers/{name}/*" for name in _UNUSED_DRIVERS],
    *[f"/lib/modules/*/kernel/fs/{name}/*" for name in _UNUSED_FS],
    "/lib/modules/*/kernel/sound/*",
]

# Words that make an emulated boot quick and change nothing that the collection looks at. They stand in
# /etc/default/grub and not in grub.cfg, because installing a kernel in the guest writes grub.cfg anew.
# norandmaps is the largest lever of all: QEMU keeps translated code by its virtual address, and with libraries at
# random places every process is translated anew (update-initramfs: 64 s with, 18 s without).
TUNING = (
    "norandmaps mitigations=off nokaslr tsc=reliable no_timer_check cryptomgr.notests random.trust_cpu=on "
    "clocksource=tsc audit=0 nowatchdog"
)


def default_grub(crashkernel: str) -> str:
    """/etc/default/grub with the given reservation (empty: none)."""
    words = f"console=ttyS0 net.ifnames=0 {TUNING}" + (f" crashkernel={crashkernel}" if crashkernel else "")
    return f"""\
# If you change this file, run 'update-grub' afterwards to update
# /boot/grub/grub.cfg.
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_RECORDFAIL_TIMEOUT=0
GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`
GRUB_CMDLINE_LINUX_DEFAULT="quiet loglevel=4"
GRUB_CMDLINE_LINUX="{words}"
GRUB_TERMINAL=serial
GRUB_DISABLE_OS_PROBER=true
"""


MASKED_UNITS = (
    "apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service e2scrub_all.timer "
    "e2scrub_reap.service fstrim.timer man-db.timer dpkg-db-backup.timer systemd-pstore.service getty@tty1.service "
    "systemd-timesyncd.service kexec.service kexec-load.service proc-sys-fs-binfmt_misc.automount "
    "systemd-binfmt.service ipvsadm.service modprobe@drm.service modprobe@fuse.service modprobe@loop.service "
    "modprobe@dm_mod.service systemd-update-utmp.service sys-kernel-debug.mount sys-kernel-tracing.mount "
    "systemd-networkd-wait-online.service"
).split()

# path in the image -> text. Mode 0644, root.
FILES: dict[str, str] = {
    "/etc/dpkg/dpkg.cfg.d/lab": "".join(f"path-exclude={path}\n" for path in DPKG_EXCLUDES)
    + "force-unsafe-io\n",
    "/etc/apt/apt.conf.d/90lab": 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n',
    "/etc/initramfs-tools/conf.d/lab": "MODULES=list\nCOMPRESS=lz4\nCOMPRESSLEVEL=1\nRESUME=none\nFSTYPE=ext4\n",
    # kdump-tools ships a drop-in here that adds a crashkernel= of its own; in this lab the reservation is
    # what /etc/default/grub says.
    "/etc/default/grub.d/kdump-tools.cfg": "# the reservation stands in /etc/default/grub\n",
    "/etc/fstab": f"UUID={ROOT_UUID} / ext4 errors=remount-ro 0 0\n",
    "/etc/systemd/network/10-lab.network": (
        "[Match]\nName=eth0\n\n[Network]\n"
        "Address=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    ),
    "/etc/ssh/sshd_config.d/lab.conf": (
        "UseDNS no\nUsePAM no\nPasswordAuthentication no\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
    ),
    "/etc/apt/sources.list.d/lab.list": f"deb [trusted=yes] http://{REPO_HOST}/ ./\n",
}

INITRAMFS_MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "ext4"]
