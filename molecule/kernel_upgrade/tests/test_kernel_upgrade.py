# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role refuses, each with one clear message and nothing changed. The upgrade itself: scenario incident."""

from __future__ import annotations

from typing import Any

import pytest

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
UNPIN = "cp /root/grub.before /etc/default/grub && update-grub 2>/dev/null"


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
            ("exactly one of kernel_upgrade_release and kernel_upgrade_package",),
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


def test_a_pinned_default_stops_the_role_before_a_reboot(scenario: Any) -> None:
    running = scenario.node.ssh("uname -r").stdout.strip()
    scenario.node.ssh(PIN, timeout=180)
    before = seen(scenario)
    run = scenario.converge()
    assert run.rc == 2, run.text
    reason = f"boots {OTHER} next, not {running}"
    assert run.says(reason), run.text
    assert seen(scenario) == before
    print(reason)
    scenario.node.ssh(UNPIN, timeout=180)
    assert scenario.converge().rc == 0
