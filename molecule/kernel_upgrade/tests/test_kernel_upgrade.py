# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role refuses, each with one clear message and nothing changed. The upgrade itself: scenario incident."""

from __future__ import annotations

from typing import Any

import pytest

from lab import plant

WATCHED = "dpkg-query -W; md5sum /boot/grub/grub.cfg /boot/vmlinuz-* /boot/initrd.img-*"
OTHER = "6.1.0-1-cloud-amd64"
# A second kernel on the disk (the running one under another name), and the boot loader pinned to it.
PIN = f"""
set -e
cp /boot/vmlinuz-$(uname -r) /boot/vmlinuz-{OTHER}
cp /boot/initrd.img-$(uname -r) /boot/initrd.img-{OTHER}
cp /etc/default/grub /root/grub.before
update-grub 2>/dev/null
menu=$(sed -n "s/^submenu .*menuentry_id_option '\\([^']*\\)'.*/\\1/p" /boot/grub/grub.cfg)
entry=$(sed -n "s/.*menuentry_id_option '\\(gnulinux-{OTHER}-advanced-[^']*\\)'.*/\\1/p" /boot/grub/grub.cfg)
test -n "$menu" && test -n "$entry"
sed -i "s/^GRUB_DEFAULT=.*/GRUB_DEFAULT=\\"$menu>$entry\\"/" /etc/default/grub
update-grub 2>/dev/null
"""
UNPIN = f"cp /root/grub.before /etc/default/grub && rm /boot/*-{OTHER} && update-grub 2>/dev/null"


def seen(scenario: Any) -> tuple[str, int, list[str]]:
    """Packages and boot files, boots, undo records."""
    return scenario.node.ssh(WATCHED).stdout, scenario.node.boots(), scenario.undo_records()


def test_a_node_that_runs_it_already_is_left_alone(scenario: Any) -> None:
    assert scenario.node.boots() == 1
    assert scenario.undo_records() == []


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"kernel_upgrade_release": "6.1.0-9999-cloud-amd64"},
            ("linux-image-6.1.0-9999-cloud-amd64",),
        ),
        (
            {"kernel_upgrade_package": "linux-image-6.1.0-1-cloud-amd64"},
            ("exactly one of kernel_upgrade_release, kernel_upgrade_package",),
        ),
        ({"kernel_upgrade_release": "", "kernel_upgrade_package": "bash"}, ("Not the package of a kernel",)),
    ],
    ids=["no-such-package", "release-and-package", "not-a-kernel"],
)
def test_refused_with_one_message(scenario: Any, variables: dict[str, str], words: tuple[str, ...]) -> None:
    before = seen(scenario)
    run = scenario.converge(**variables)
    assert run.rc == 2, run.text
    assert run.changed == 0, run.text
    assert run.says(*words), run.text
    assert seen(scenario) == before
    print(next(line.strip() for line in run.text.splitlines() if words[0] in line))


def test_by_contrast_a_package_that_exists_is_announced(scenario: Any) -> None:
    before = seen(scenario)
    run = scenario.converge("--check", kernel_upgrade_release=scenario.lab.manifest()["new"]["release"])
    assert run.rc == 0, run.text
    assert run.changed > 0, run.text
    assert seen(scenario) == before


def test_a_site_that_pins_another_kernel_is_overruled_by_id_and_the_second_run_changes_nothing(
    scenario: Any,
) -> None:
    running = scenario.node.ssh("uname -r").stdout.strip()
    scenario.node.ssh(PIN, timeout=180)
    boots = scenario.node.boots()
    run = scenario.converge()
    assert run.rc == 0, run.text
    assert run.changed == 1, run.text
    drop_in = scenario.node.ssh("cat /etc/default/grub.d/zz-fleetops-default.cfg").stdout
    assert f"gnulinux-{running}-advanced-" in drop_in, drop_in
    again = scenario.converge()
    assert (again.rc, again.changed, scenario.node.boots()) == (0, 0, boots), again.text
    # The site's own default leads to it again: then ours goes.
    scenario.node.ssh(UNPIN, timeout=180)
    assert scenario.converge().changed == 1
    assert scenario.converge().changed == 0
    assert "zz-fleetops-default" not in scenario.node.ssh("ls /etc/default/grub.d").stdout
    print(f"{OTHER} pinned by the site: {running} is pinned by id, until the site's default leads to it")


LOCK = """
import fcntl, sys, time
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "apt-mark hold {package}",
            "apt-mark unhold {package}",
            ("{package}", "held", "kernel_upgrade_release_held"),
        ),
        (
            "python3 -c '{lock}' >/dev/null 2>&1 & echo $! > /root/locker; sleep 1",
            "kill $(cat /root/locker)",
            ("lock", "python3"),
        ),
        (
            f"cp /etc/default/grub /root/g && {plant.BY_NUMBER}",
            "cp /root/g /etc/default/grub && update-grub",
            ("a position in the boot loader's menu",),
        ),
        ("echo LOAD_KEXEC=true >> /etc/default/kexec", "sed -i '$d' /etc/default/kexec", ("LOAD_KEXEC",)),
        (
            "grub-editenv /boot/grub/grubenv set next_entry=0",
            "grub-editenv /boot/grub/grubenv unset next_entry",
            ("for one boot",),
        ),
    ],
    ids=["held", "locked", "by-number", "load-kexec", "one-shot-pending"],
)
def test_preflight_refuses_and_names_the_remedy(
    scenario: Any, before: str, after: str, words: tuple[str, ...]
) -> None:
    new = scenario.lab.manifest()["new"]
    names = {"package": new["package"], "lock": LOCK}
    scenario.node.ssh(before.replace("{lock}", LOCK).replace("{package}", new["package"]), timeout=180)
    try:
        was = seen(scenario)
        run = scenario.converge(kernel_upgrade_release=new["release"], kernel_upgrade_lock_timeout=5)
        assert run.rc == 2, run.text
        assert run.changed == 0, run.text
        assert run.says(
            "refused:", "Remedy:", *(word.replace("{package}", names["package"]) for word in words)
        ), run.text
        assert seen(scenario) == was
        print(next(line.strip() for line in run.text.splitlines() if "refused:" in line)[:300])
    finally:
        scenario.node.ssh(after.replace("{package}", new["package"]), timeout=180)


# /boot on a file system of its own, with no more than its files and 20 MiB (those that only root may use included).
SMALL_BOOT = """
set -e
modprobe loop
size=$(du -sk /boot | cut -f 1)
truncate -s $((size + 30000))K /root/boot.img
mkfs.ext4 -q -m 0 -O ^has_journal /root/boot.img
mount -o loop /root/boot.img /mnt
cp -a /boot/. /mnt
umount /mnt
mount -o loop /root/boot.img /boot
free=$(($(stat -f -c '%f * %S' /boot)))
fallocate -l $((free - (20 << 20))) /boot/full
"""


def test_boot_too_small_is_refused_with_the_arithmetic(scenario: Any, as_it_is: str, kernels: Any) -> None:
    with scenario.clone(as_it_is) as clone:
        plant.plant(clone.node, SMALL_BOOT)
        before = seen(clone)
        run = clone.converge(kernel_upgrade_release=kernels.new)
        assert (run.rc, run.changed) == (2, 0), run.text
        assert run.says("refused:", "/boot", "MiB", "Remedy:"), run.text
        assert seen(clone) == before
        print(next(line.strip() for line in run.text.splitlines() if "refused:" in line)[:500])
