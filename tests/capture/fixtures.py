# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the captured host trees of the unit tests anew, from machines of the lab: `python tests/capture/fixtures.py`.

Names of trees as arguments choose some of them. What a tree shows is its row in TREES; a tree with a COMPOSED.md was
not captured and is left alone. One machine runs at a time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.story import PLANT

from lab import Lab, LabError, Node, detector
from lab.archive import apt
from lab.client import snapshots
from lab.host import phase, run
from lab.recipe import SUITES

CHECKOUT = Path(__file__).resolve().parents[2]
HOSTS = CHECKOUT / "tests/unit/fixtures/hosts"
LAB = "fixtures"
Do = str | Callable[[Node], None]

# Debian's own words for the capture kernel, and the one that they lack.
PANIC_WORD = r"""
set -e
words=$(grep -o 'reset_devices[^"]*' /var/crash/kexec_cmd)
echo "KDUMP_CMDLINE_APPEND=\"$words panic=10\"" >> /etc/default/kdump-tools
kdump-config unload
kdump-config load
"""
WATCHDOG = """
set -e
modprobe softdog
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\\nRuntimeWatchdogSec=30\\n' > /etc/systemd/system.conf.d/watchdog.conf
systemctl daemon-reexec
"""
# A hook that fails before any other leaves the package half-configured, as a full /boot does.
FAILING_HOOK = """
printf '#!/bin/sh\\necho no space left >&2\\nexit 1\\n' > /etc/kernel/postinst.d/aa-fails
chmod +x /etc/kernel/postinst.d/aa-fails
"""
BY_NUMBER = "sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=\"1>0\"/' /etc/default/grub && update-grub"
# The new kernel for one boot, the running one otherwise: a trial that is about to begin.
ONCE = """
set -e
entry() { grep -o "gnulinux-$1advanced-[0-9a-f-]*" /boot/grub/grub.cfg | head -n 1; }
sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/' /etc/default/grub
update-grub
new=$(ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1)
grub-set-default "$(entry)>$(entry "$(uname -r)-")"
grub-reboot "$(entry)>$(entry "$new-")"
"""
AUTO_REBOOT = """
echo 'Unattended-Upgrade::Automatic-Reboot "true";' > /etc/apt/apt.conf.d/52reboot
printf 'APT::Periodic::Update-Package-Lists "1";\\nAPT::Periodic::Unattended-Upgrade "1";\\n' \
    > /etc/apt/apt.conf.d/20auto-upgrades
systemctl unmask apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service
systemctl enable --now apt-daily.timer apt-daily-upgrade.timer
"""
CILIUM = "modprobe dummy && ip link add cilium_host type dummy && ip link set cilium_host up"
# kured as a node sees it: a process with its options, and the file that it looks for.
KURED = """
bash -c 'exec -a /usr/bin/kured python3 -c "import time; time.sleep(1e6)" --reboot-sentinel=/run/reboot-required' \
    </dev/null >/dev/null 2>&1 &
touch /run/reboot-required
echo linux-image-6.1.0-56-cloud-amd64 > /run/reboot-required.pkgs
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


def reboot(node: Node) -> None:
    """Into what the boot loader takes, until kdump is armed again."""
    node.reboot(600)
    node.wait_kdump(600)


def dumps(node: Node) -> None:
    """A real panic and its dump, and the same dump without its end."""
    verdict = detector.crash(node)
    if not (verdict.dump or {}).get("complete"):
        raise LabError(f"the panic left no complete dump: {verdict.because}")
    node.wait_kdump()
    node.ssh(
        "set -e; cd /var/crash; whole=$(ls -d 2*/dump.*); stamp=$(($(dirname $whole) + 1)); mkdir $stamp; "
        "head -c -1048576 $whole > $stamp/dump.$stamp"
    )


def unattended_upgrades(node: Node) -> None:
    """The real package, which the lab's repository does not have: it goes in by ssh."""
    source = apt(SUITES[node.lab.manifest()["suite"]])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "partial").mkdir()
        Path(folder, "status").write_text(node.ssh("cat /var/lib/dpkg/status").stdout)
        options = [f"Dir::State::status={folder}/status", f"Dir::Cache::archives={folder}"]
        options += ["Debug::NoLocking=true", "APT::Sandbox::User=root", "APT::Install-Recommends=false"]
        words = [word for option in options for word in ("-o", option)]
        argv = ["apt-get", "-qq", *source.options, *words, "--download-only", "-y", "install"]
        run([*argv, "unattended-upgrades"], timeout=300)
        packages = sorted(path.name for path in Path(folder).glob("*.deb"))
        packed = subprocess.run(["tar", "-c", *packages], cwd=folder, capture_output=True, check=True)
        into = "mkdir /root/debs && tar -x -C /root/debs && DEBIAN_FRONTEND=noninteractive dpkg -i /root/debs/*.deb"
        subprocess.run(
            [*node.ssh_argv(), into], input=packed.stdout, capture_output=True, timeout=300, check=True
        )
    node.ssh(AUTO_REBOOT)


@dataclass(frozen=True)
class Machine:
    """What a tree begins with: one boot for all that share it."""

    suite: str = "bookworm"
    flavour: str = "cloud"
    crashkernel: str = "224M"

    @property
    def snapshot(self) -> str:
        """The name that its memory and disk are kept under."""
        return f"fixtures-{self.suite}-{self.flavour}-{self.crashkernel}".lower()


@dataclass(frozen=True)
class Tree:
    """A captured tree: the machine, what is done to it, and who looks. No machine: the one that this runs on."""

    name: str
    machine: Machine | None
    do: tuple[Do, ...] = ()
    user: str = "root"


CLOUD = Machine()
TREES = (
    Tree("debian-6.1-clean", CLOUD, (PANIC_WORD,)),
    Tree("debian-6.1-dumps", CLOUD, (PANIC_WORD, dumps)),
    Tree("debian-6.1-generic-watchdog", Machine(flavour="generic"), (WATCHDOG,)),
    Tree("debian-6.1-incident", Machine(crashkernel="80M"), (PLANT,)),
    Tree("debian-6.1-incident-noroot", Machine(crashkernel="80M"), (PLANT,), user="operator"),
    Tree("debian-6.18-no-kdump", None),
    # One fault each, on a machine that has none otherwise.
    Tree("debian-6.1-two-kernels", CLOUD, (PANIC_WORD, new_kernel)),
    Tree("debian-6.1-once", CLOUD, (PANIC_WORD, new_kernel, ONCE)),
    Tree("debian-6.1-by-number", CLOUD, (PANIC_WORD, BY_NUMBER)),
    Tree("debian-6.1-held", CLOUD, (PANIC_WORD, "apt-mark hold linux-image-$(uname -r)")),
    Tree("debian-6.1-half-configured", CLOUD, (PANIC_WORD, half_configured)),
    Tree("debian-6.1-auto-reboot", CLOUD, (PANIC_WORD, unattended_upgrades)),
    Tree("debian-6.1-cilium-networkd", CLOUD, (PANIC_WORD, CILIUM)),
    Tree("debian-6.1-kured", CLOUD, (PANIC_WORD, KURED)),
    # Other releases of Debian, with nothing wrong: first the old kernel alone, then the new one beside it.
    Tree("debian-5.10-clean", Machine("bullseye"), (PANIC_WORD,)),
    Tree("debian-5.10-new", Machine("bullseye"), (PANIC_WORD, new_kernel, reboot)),
    Tree("debian-6.12-clean", Machine("trixie"), (PANIC_WORD,)),
    Tree("debian-6.12-new", Machine("trixie"), (PANIC_WORD, new_kernel, reboot)),
)


def freeze(machine: Machine) -> None:
    """Boot it and keep the moment at which kdump is armed."""
    lab = Lab(LAB)
    lab.down()
    try:
        node = lab.up(
            flavour=machine.flavour,
            crashkernel=machine.crashkernel,
            suite=machine.suite,
            smp=1,
            tie=os.getpid(),
        )["n1"]
        node.wait_kdump()
        node.ssh("systemctl is-system-running --wait", timeout=120, check=False)
        node.snapshot(machine.snapshot)
    finally:
        lab.down()


def capture(tree: Tree) -> None:
    """One tree, put in the place of the old one when it reads as the machine did."""
    with tempfile.TemporaryDirectory(dir=HOSTS.parent) as folder:
        fresh = Path(folder) / tree.name
        argv = [sys.executable, str(Path(__file__).parent)]
        if tree.machine is None:
            run([*argv, "localhost", str(fresh)], timeout=300)
        else:
            lab = Lab(LAB)
            try:
                node = lab.clone(tree.machine.snapshot, tie=os.getpid())
                for do in tree.do:
                    if isinstance(do, str):
                        node.ssh(do, timeout=300)
                    else:
                        do(node)
                run([*argv, "n1", str(fresh), "--lab", LAB, "--user", tree.user], timeout=300)
            finally:
                lab.down()
        shutil.rmtree(HOSTS / tree.name, ignore_errors=True)
        fresh.rename(HOSTS / tree.name)


def main() -> int:
    """Every tree, or those that are named."""
    parser = argparse.ArgumentParser(
        prog="fixtures", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("names", nargs="*", metavar="TREE", help=", ".join(tree.name for tree in TREES))
    names = set(parser.parse_args().names)
    if unknown := names - {tree.name for tree in TREES}:
        parser.error(f"no such tree: {', '.join(sorted(unknown))}")
    wanted = [tree for tree in TREES if not names or tree.name in names]
    for machine in dict.fromkeys(tree.machine for tree in wanted):
        if machine is not None:
            freeze(machine)
        for tree in wanted:
            if tree.machine == machine:
                with phase(f"tree {tree.name}"):
                    capture(tree)
        if machine is not None:
            shutil.rmtree(snapshots() / machine.snapshot)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"fixtures: {error}\n{error.detail}", file=sys.stderr)
        sys.exit(1)
