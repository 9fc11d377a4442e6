# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a node, one each, as shell commands for a guest or as functions of a node.

Machines are captured with them, and the scenario `assess` shows that each gives its finding and no other.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from .archive import apt
from .errors import LabError
from .host import run
from .node import Node
from .recipe import SUITES

Plant = str | Callable[[Node], None]


def plant(node: Node, *plants: Plant) -> None:
    """Do them in their order."""
    for one in plants:
        if isinstance(one, str):
            node.ssh(one, timeout=300)
        else:
            one(node)


# --- kdump -------------------------------------------------------------------------------------------

# No fault: Debian's own words for the capture kernel, and the one that they lack.
PANIC_WORD = r"""
set -e
words=$(grep -o 'reset_devices[^"]*' /var/crash/kexec_cmd)
echo "KDUMP_CMDLINE_APPEND=\"$words panic=10\"" >> /etc/default/kdump-tools
kdump-config unload
kdump-config load
"""
NO_PANIC_WORD = (
    "sed -i '/^KDUMP_CMDLINE_APPEND/d' /etc/default/kdump-tools; kdump-config unload; kdump-config load"
)
UNLOADED = "kdump-config unload"
# What hung in the incident's replay. A reservation can be made smaller while nothing is loaded.
SHRUNK = "kdump-config unload && echo $((80 << 20)) > /sys/kernel/kexec_crash_size && kdump-config load"
GIVEN_BACK = "kdump-config unload && echo 0 > /sys/kernel/kexec_crash_size"
# But for 40 MiB, those that only root may use included; less ext4 does not give away.
FULL_DISK = "cd /var/crash && fallocate -l $(($(stat -f -c '%f * %S' .) - (40 << 20))) /var/tmp/full"
OLD_DUMP = (
    "mkdir /var/crash/202611230405 && head -c 2000000 /dev/zero > /var/crash/202611230405/dump.202611230405"
)

# --- boot and packages -------------------------------------------------------------------------------

HELD = "apt-mark hold linux-image-$(uname -r)"
BY_NUMBER = "sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=\"1>0\"/' /etc/default/grub && update-grub"
# A hook that fails before any other leaves the package half-configured, as a full /boot does.
FAILING_HOOK = r"""
printf '#!/bin/sh\necho no space left >&2\nexit 1\n' > /etc/kernel/postinst.d/aa-fails
chmod +x /etc/kernel/postinst.d/aa-fails
"""
# With the new kernel installed: for one boot, and the running one otherwise, as when a trial is about to begin.
ONCE = """
set -e
entry() { grep -o "gnulinux-$1advanced-[0-9a-f-]*" /boot/grub/grub.cfg | head -n 1; }
sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/' /etc/default/grub
update-grub
new=$(ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1)
grub-set-default "$(entry)>$(entry "$(uname -r)-")"
grub-reboot "$(entry)>$(entry "$new-")"
"""
# A module that is in use, and that the new kernel does not have.
MODULE_GONE = """
set -e
modprobe dummy
new=$(ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1)
rm /lib/modules/$new/kernel/drivers/net/dummy.ko*
depmod "$new"
"""
# As DKMS lays out a module that it has installed for the running kernel alone.
DKMS = """
set -e
k=$(uname -r); d=/var/lib/dkms/sample
mkdir -p /usr/src/sample-1.0 $d/1.0/$k/x86_64/module /lib/modules/$k/updates/dkms
ln -s /usr/src/sample-1.0 $d/1.0/source
ln -s 1.0/$k/x86_64 $d/kernel-$k-x86_64
touch $d/1.0/$k/x86_64/module/sample.ko /lib/modules/$k/updates/dkms/sample.ko
"""


def new_kernel(node: Node, *, code: int = 0) -> None:
    """Install the new kernel from the lab's repository; apt must end with *code*."""
    node.ssh("apt-get -qq update", timeout=120)
    package = node.lab.manifest()["new"]["package"]
    command = f"DEBIAN_FRONTEND=noninteractive eatmydata apt-get -qq -y install {package}"
    done = node.ssh(command, timeout=900, check=False)
    if done.code != code:
        raise LabError(f"apt ended with {done.code} and not with {code}", done.stdout + done.stderr)


def half_configured(node: Node) -> None:
    """A new kernel whose hooks failed."""
    node.ssh(FAILING_HOOK)
    new_kernel(node, code=100)


# --- a new kernel that is no good: `format(new=release)`, once it is installed ------------------------

TRUNCATED = "truncate -s 3000000 /boot/initrd.img-{new}"
# An archive behind the other: what is in it replaces what that brought (initramfs buffer format). Both within one
# compression, since the kernel's lz4 takes what follows its data for more of it.
_INIT = """
set -e -o pipefail
mkdir -p /root/over && cd /root/over
printf '#!/bin/sh\\n%s\\n' > init && chmod +x init
{{ lz4 -dc /boot/initrd.img-{new}; echo init | cpio -o -H newc --quiet; }} | lz4 -l -1 > whole
mv whole /boot/initrd.img-{new}
"""
INIT_EXITS = _INIT % "exit 1"
# Before PID 1 and before any watchdog is armed.
INIT_HANGS = _INIT % "while :; do sleep 1000; done"
# What happens under the new kernel alone.
_UNIT = """
set -e
cat > /etc/systemd/system/breaks.service <<END
[Unit]
ConditionKernelVersion={new}
%s
[Service]
ExecStart=%s
[Install]
WantedBy=%s
END
systemctl enable breaks.service
"""
_LATE = "After=multi-user.target kdump-tools.service"
KDUMP_UNLOADED = _UNIT % (_LATE, "/usr/sbin/kdump-config unload", "multi-user.target")
NETWORK_DEAD = _UNIT % (_LATE, "/usr/sbin/ip link set eth0 down", "multi-user.target")
# systemd freezes on a fault of its own, with its watchdog armed; that early, no sshd runs yet.
PID1_FROZEN = _UNIT % ("DefaultDependencies=no\nBefore=sysinit.target", "/bin/kill -SEGV 1", "sysinit.target")

# systemd keeps the machine's watchdog ticking, in an ordinary boot and through a kexec (lab.md 10).
WATCHDOG = """
set -e
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\\nRuntimeWatchdogSec=30\\nKExecWatchdogSec=60\\n' > /etc/systemd/system.conf.d/watchdog.conf
systemctl daemon-reexec
until [ "$(cat /sys/class/watchdog/watchdog0/state)" = active ]; do sleep 0.3; done
"""
# The same, with a lock that the device keeps.
WATCHDOG_LOCKED = "rmmod i6300esb && modprobe i6300esb nowayout=1\n" + WATCHDOG

# --- who else acts on the node -----------------------------------------------------------------------

UPGRADES_ON = r"""
set -e
printf 'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n' \
    > /etc/apt/apt.conf.d/20auto-upgrades
systemctl unmask apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service
systemctl enable apt-daily.timer apt-daily-upgrade.timer
"""
AUTO_REBOOT = r"""
printf 'Unattended-Upgrade::Automatic-Reboot "true";\nUnattended-Upgrade::Remove-Unused-Kernel-Packages "false";\n' \
    > /etc/apt/apt.conf.d/52reboot
"""
# networkd with its defaults, and a link of Cilium's.
CILIUM = "modprobe dummy && ip link add cilium_host type dummy && ip link set cilium_host up"
# kured as a node sees it: a process with its options, and the file that it looks for.
KURED = """
set -e
cp "$(readlink -f /usr/bin/python3)" /usr/local/bin/kured
kured -c 'import time; time.sleep(1e6)' --reboot-sentinel=/run/reboot-required </dev/null >/dev/null 2>&1 &
touch /run/reboot-required
echo "linux-image-$(uname -r)" > /run/reboot-required.pkgs
"""


def install(node: Node, package: str) -> None:
    """A package of Debian that the lab's repository does not have, without what it recommends: it goes in by ssh."""
    source = apt(SUITES[node.lab.manifest()["suite"]])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "partial").mkdir()
        Path(folder, "status").write_text(node.ssh("cat /var/lib/dpkg/status").stdout)
        options = [f"Dir::State::status={folder}/status", f"Dir::Cache::archives={folder}"]
        options += ["Debug::NoLocking=true", "APT::Sandbox::User=root", "APT::Install-Recommends=false"]
        words = [word for option in options for word in ("-o", option)]
        run(
            ["apt-get", "-qq", *source.options, *words, "--download-only", "-y", "install", package],
            timeout=300,
        )
        packages = sorted(path.name for path in Path(folder).glob("*.deb"))
        packed = subprocess.run(["tar", "-c", *packages], cwd=folder, capture_output=True, check=True)
    into = (
        "mkdir /root/debs && tar -x -C /root/debs && DEBIAN_FRONTEND=noninteractive dpkg -i /root/debs/*.deb"
    )
    done = subprocess.run(
        [*node.ssh_argv(), into], input=packed.stdout, capture_output=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{package} could not be installed", done.stderr.decode(errors="replace"))


def unattended_upgrades(node: Node) -> None:
    """The real package, on and at its defaults."""
    install(node, "unattended-upgrades")
    node.ssh(UPGRADES_ON)
