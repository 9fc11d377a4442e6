# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the captured host trees of the unit tests anew, from machines of the lab: `python tests/capture/fixtures.py`.

Names of trees as arguments choose some of them. What a tree shows is its row in TREES; a tree with a COMPOSED.md was
not captured and is left alone. One machine runs at a time. Of one, sos tells as well: `sosreport`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.story import PLANT

from lab import Lab, LabError, Node, detector, plant
from lab.client import snapshots
from lab.host import phase, run
from lab.plant import Plant

CHECKOUT = Path(__file__).resolve().parents[2]
HOSTS = CHECKOUT / "tests/unit/fixtures/hosts"
LAB = "fixtures"

REPORT = "sosreport"
REPORTS = HOSTS.parent / "sos"
# Of sos, the plugins that tell something of kernels, kdump and links.
PLUGINS = (
    "apt,block,boot,date,dpkg,filesys,grub2,hardware,host,ipvs,kdump,kernel,memory,networking,pci,process,processor,"
    "release,services,system,systemd"
)

# One that nothing stops, armed by systemd, and one that dies with its kernel.
WATCHDOG = """
set -e
modprobe -r i6300esb
modprobe i6300esb nowayout=1
modprobe softdog
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\\nRuntimeWatchdogSec=30\\nKExecWatchdogSec=2min\\n' > /etc/systemd/system.conf.d/watchdog.conf
systemctl daemon-reexec
until [ "$(cat /sys/class/watchdog/watchdog0/state)" = active ]; do sleep 0.3; done
"""
PIN = """\
# Hangs on our machines.
Package: linux-image-*
Pin: version {version}
Pin-Priority: -1
"""


def pinned(node: Node) -> None:
    """A version of the kernel that apt is told never to install: without it, nothing is left to install."""
    package = node.lab.manifest()["new"]["package"]
    node.ssh("apt-get -qq update", timeout=120)
    version = node.ssh(f"apt-cache show {package} | sed -n 's/^Version: //p'").stdout.strip()
    node.ssh("cat > /etc/apt/preferences.d/kernel", stdin=PIN.format(version=version))
    said = node.ssh(f"apt-cache policy {package}").stdout
    if "Candidate: (none)" not in said:
        raise LabError(f"apt still installs {package}", said)


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
    plants: tuple[Plant, ...] = ()
    user: str = "root"


CLOUD = Machine()
SMALL = Machine(crashkernel="80M")
BULLSEYE = Machine("bullseye")
TRIXIE = Machine("trixie", crashkernel="288M")  # what its larger initrd surely fits into
TREES = (
    Tree("debian-6.1-clean", CLOUD, (plant.PANIC_WORD,)),
    Tree("debian-6.1-dumps", CLOUD, (plant.PANIC_WORD, dumps)),
    Tree("debian-6.1-generic-watchdog", Machine(flavour="generic"), (WATCHDOG, pinned)),
    Tree("debian-6.1-incident", SMALL, (PLANT,)),
    Tree("debian-6.1-incident-noroot", SMALL, (PLANT,), user="operator"),
    Tree(REPORT, SMALL, (PLANT, lambda node: plant.install(node, "sosreport"))),
    Tree("debian-6.18-no-kdump", None),
    # One fault each, on a machine that has none otherwise.
    Tree("debian-6.1-two-kernels", CLOUD, (plant.PANIC_WORD, plant.new_kernel)),
    Tree("debian-6.1-once", CLOUD, (plant.PANIC_WORD, plant.new_kernel, plant.ONCE)),
    Tree("debian-6.1-by-number", CLOUD, (plant.PANIC_WORD, plant.BY_NUMBER)),
    Tree("debian-6.1-held", CLOUD, (plant.PANIC_WORD, plant.HELD)),
    Tree("debian-6.1-half-configured", CLOUD, (plant.PANIC_WORD, plant.half_configured)),
    Tree("debian-6.1-auto-reboot", CLOUD, (plant.PANIC_WORD, plant.unattended_upgrades, plant.AUTO_REBOOT)),
    Tree("debian-6.1-cilium-networkd", CLOUD, (plant.PANIC_WORD, plant.CILIUM)),
    Tree("debian-6.1-kured", CLOUD, (plant.PANIC_WORD, plant.KURED)),
    # Other releases of Debian, with nothing wrong: first the old kernel alone, then the new one beside it.
    Tree("debian-5.10-clean", BULLSEYE, (plant.PANIC_WORD,)),
    Tree("debian-5.10-new", BULLSEYE, (plant.PANIC_WORD, plant.new_kernel, reboot)),
    Tree("debian-6.12-clean", TRIXIE, (plant.PANIC_WORD,)),
    Tree("debian-6.12-new", TRIXIE, (plant.PANIC_WORD, plant.new_kernel, reboot)),
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
        home = HOSTS / tree.name if tree.name != REPORT else REPORTS / "debian-6.1-incident.live"
        argv = [sys.executable, str(Path(__file__).parent)]
        if tree.machine is None:
            run([*argv, "localhost", str(fresh)], timeout=300)
        else:
            lab = Lab(LAB)
            try:
                node = lab.clone(tree.machine.snapshot, tie=os.getpid())
                plant.plant(node, *tree.plants)
                run([*argv, "n1", str(fresh), "--lab", LAB, "--user", tree.user], timeout=300)
                if tree.name == REPORT:
                    report(node, Path(folder))
            finally:
                lab.down()
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)


def report(node: Node, folder: Path) -> None:
    """What sos tells of a machine, put in the place of the old report when what is kept reads as the whole does."""
    node.ssh(f"sos report --batch --quiet --tmp-dir /var/tmp --only-plugins {PLUGINS}", timeout=900)
    command = [*node.ssh_argv(), "cat /var/tmp/sosreport-*.tar.[gx]z"]
    packed, unpacked = folder / "packed", folder / "unpacked"
    packed.write_bytes(subprocess.run(command, capture_output=True, timeout=300, check=True).stdout)
    unpacked.mkdir()
    run(["tar", "-x", "-f", str(packed), "-C", str(unpacked)], timeout=300)
    (whole,) = unpacked.iterdir()
    fresh, home = folder / "report", REPORTS / "debian-6.1-incident"
    run([sys.executable, str(Path(__file__).with_name("sosreport.py")), str(whole), str(fresh)], timeout=300)
    shutil.rmtree(home, ignore_errors=True)
    fresh.rename(home)


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
        try:
            if machine is not None:
                freeze(machine)
            for tree in wanted:
                if tree.machine == machine:
                    with phase(f"tree {tree.name}"):
                        capture(tree)
        finally:
            if machine is not None:
                shutil.rmtree(snapshots() / machine.snapshot, ignore_errors=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"fixtures: {error}\n{error.detail}", file=sys.stderr)
        sys.exit(1)
