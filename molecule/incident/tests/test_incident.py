# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cured machine shows, and what clones of the moment before the cure show by contrast.

The order counts: the machine itself is crashed last.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from demo.story import STALE, Story

from lab import Lab


@pytest.fixture(scope="module")
def story() -> Story:
    return Story("molecule-incident", print, None)


def test_the_new_kernel_runs_and_the_old_one_stays_as_the_way_back(host: Host, story: Story) -> None:
    manifest = Lab(story.lab).manifest()
    assert host.check_output("uname -r") == manifest["new"]["release"]
    assert host.package(manifest["new"]["package"]).is_installed
    assert host.package(manifest["old"]["package"]).is_installed


def test_kdump_is_armed_with_more_memory_and_a_capture_kernel_that_reboots(host: Host) -> None:
    assert host.file("/sys/kernel/kexec_crash_loaded").content_string.strip() == "1"
    assert int(host.file("/sys/kernel/kexec_crash_size").content_string) >= 192 << 20
    assert host.file("/var/crash/kexec_cmd").contains("panic=10")
    assert host.check_output("grep -o 'crashkernel=[^ ]*' /proc/cmdline").count("\n") == 0


def test_the_links_are_gone(host: Host) -> None:
    for name in STALE:
        assert not host.file(f"/sys/class/net/{name}").exists


def test_one_boot_lies_between_and_the_links_were_gone_before_it(story: Story) -> None:
    story.cured()


def test_the_undo_records_are_readable_by_root_only(host: Host) -> None:
    records = host.check_output("ls /var/lib/fleetops/undo.d").split()
    # Links, capture words and reservation; then the kernel: the default kept, packages, panic=, the trial, the commit.
    assert len(records) == 8
    for name in records:
        record = host.file(f"/var/lib/fleetops/undo.d/{name}")
        assert record.mode == 0o600
        assert record.user == "root"


def test_before_the_panic_hangs(story: Story) -> None:
    story.before_crash()


def test_before_assess_finds_each_fault_and_nothing_else(story: Story) -> None:
    with story.clone("assess") as node:
        story.before_assess(node)
        story.without_root(node)


def test_check_mode_announces_and_changes_nothing(story: Story) -> None:
    story.check_mode()


def test_the_comparer_behind_that_notices_each_kind_of_change(story: Story) -> None:
    noticed = story.comparer()
    for what in ("touched file", "sysctl", "link", "held package"):
        assert any(what in line for line in noticed), noticed


def test_the_word_panic_alone_turns_the_hang_into_a_reboot(story: Story) -> None:
    story.panic_word_alone()


def test_undo_brings_the_links_back(story: Story) -> None:
    story.undo()


def test_a_reboot_alone_does_not_pass_for_the_cure(story: Story) -> None:
    story.control()


def test_a_kernel_whose_initrd_is_broken_is_left_again_by_itself(story: Story) -> None:
    story.fall_back()


def test_after_assess_says_dumps(story: Story) -> None:
    story.after_assess()


def test_after_the_same_panic_dumps_and_the_node_comes_back(story: Story) -> None:
    story.after_crash()
    story.cut_dump()
