# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bls, grub

MACHINE = "d4c7a1f0b2e34956a1b0c9d8e7f60512"
OLD, NEW = "5.14.0-570.33.1.el9_6.x86_64", "5.14.0-570.35.1.el9_6.x86_64"


def entry(release: str, machine: str = MACHINE, extra: str = "") -> bls.Entry:
    text = f"title Rocky ({release})\nversion {release}\nlinux /vmlinuz-{release}\noptions root=/dev/vda1 ro\n{extra}"
    return bls.entry(f"{machine}-{release}.conf", text)


def ids(*entries: bls.Entry, by_version: bool = False) -> list[str]:
    return [one.id for one in bls.ordered(entries, by_version)]


def test_an_entry() -> None:
    text = (
        "# a comment\n  title  Rocky Linux (5.14) 9.6\nversion\t5.14\nlinux /vmlinuz-5.14\n"
        "initrd /a.img\ninitrd /b.img\noptions root=/dev/vda1  ro $tuned_params\ngrub_arg --unrestricted\n"
    )
    assert bls.entry("x-5.14.conf", text) == bls.Entry(
        "x-5.14",
        [
            ("title", "Rocky Linux (5.14) 9.6"),
            ("version", "5.14"),
            ("linux", "/vmlinuz-5.14"),
            ("initrd", "/a.img"),
            ("initrd", "/b.img"),
            ("options", "root=/dev/vda1  ro $tuned_params"),
            ("grub_arg", "--unrestricted"),
        ],
    )


@pytest.mark.parametrize("stop", ["", "linux", "linux "])
def test_a_line_without_a_value_ends_an_entry_as_it_does_for_grub(stop: str) -> None:
    found = bls.entry("x.conf", f"title T\n{stop}\nlinux /vmlinuz-1\n")
    assert found.keys == [("title", "T")]
    assert bls.ordered([found]) == []  # without a kernel it is not shown


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.conf", True), (".a.conf", False), (".conf", False), ("a.conf.bak", False), ("a", False)],
)
def test_which_files_are_entries(name: str, is_one: bool) -> None:
    assert bls.is_entry(name) is is_one


def test_the_newest_comes_first_and_the_rescue_image_last() -> None:
    rescue = bls.entry(
        f"{MACHINE}-0-rescue.conf",
        f"title R\nversion 0-rescue-{MACHINE}\nlinux /vmlinuz-0-rescue-{MACHINE}\n",
    )
    releases = ["5.14.0-70.13.1.el9_0.x86_64", NEW, "5.14.0-427.el9.x86_64", OLD, "6.1.0-1.el9.x86_64"]
    expected = [f"{MACHINE}-{one}" for one in (releases[4], NEW, OLD, releases[2], releases[0])] + [rescue.id]
    for by_version in (False, True):
        assert ids(*map(entry, releases), rescue, by_version=by_version) == expected
        assert ids(rescue, *map(entry, reversed(releases)), by_version=by_version) == expected


def test_the_machine_comes_before_the_version_but_in_rhel_8() -> None:
    """A disk that was cloned has entries of two machines."""
    new, old = entry(NEW, "a" * 32), entry(OLD, "f" * 32)
    assert ids(new, old) == [old.id, new.id]
    assert ids(new, old, by_version=True) == [new.id, old.id]
    # there, one without a version sorts all of them by their names
    without = bls.entry(f"{'c' * 32}-1.conf", "linux /vmlinuz-1\n")
    assert ids(new, without, old, by_version=True) == [old.id, without.id, new.id]


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        ("5.14.0", "5.14.0", 0),
        ("570.33.1.el9_6", "570.35.1.el9_6", -1),
        ("553.5.1.el8_10", "553.50.1.el8_10", -1),
        ("1.0", "1.0~rc1", 1),
        ("1.0", "1.0+rt", -1),
        ("1.0+rt", "1.0.1", -1),
        ("1.0+a", "1.0~a", 1),
        ("1.05", "1.5", 0),
        ("1.a", "1.1", -1),
        ("a", "b", -1),
        ("", "1", -1),
        ("", "~", 1),
        ("1__2", "1.2", 0),
    ],
)
def test_versions(one: str, other: str, order: int) -> None:
    for left, right, wanted in ((one, other, order), (other, one, -order)):
        assert bls.compare_versions(left, right) == wanted


# Of what rpm knows, GRUB's copy knows all but the caret.
VERSIONS = st.text("0129abz.~_", min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(VERSIONS, VERSIONS), min_size=20, max_size=20))
def test_versions_have_the_order_of_the_real_rpm(pairs: list[tuple[str, str]]) -> None:
    assert shutil.which("rpm"), "rpm is needed: make unit installs it"
    script = " ".join(f"print(rpm.vercmp('{one}', '{other}') .. ' ')" for one, other in pairs)
    done = subprocess.run(["rpm", "--eval", f"%{{lua:{script}}}"], capture_output=True, text=True, check=True)
    assert [bls.compare_versions(one, other) for one, other in pairs] == [
        int(line) for line in done.stdout.split()
    ]


def test_nodes_are_named_by_the_file_and_the_title() -> None:
    (node,) = bls.nodes([entry(NEW)], {})
    assert (node.title, node.id, node.linux) == (
        f"Rocky ({NEW})",
        f"{MACHINE}-{NEW}",
        f"/vmlinuz-{NEW} root=/dev/vda1 ro",
    )
    untitled = bls.nodes([bls.entry("a.conf", "linux /vmlinuz-1\n")], {})
    assert (untitled[0].title, untitled[0].linux) == ("/vmlinuz-1", "/vmlinuz-1")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("$kernelopts $tuned_params", "root=/dev/sda1 ro isolcpus=1"),  # RHEL 8
        ("root=/dev/vda1 $nobody quiet", "root=/dev/vda1 quiet"),
        ("a=\\$x", "a=\\$x"),
        (None, "root=/dev/sdb1"),
    ],
)
def test_options_may_name_variables_of_grub(options: str | None, line: str) -> None:
    text = "linux /vmlinuz-1\n" + (f"options {options}\n" if options else "")
    variables = {
        "kernelopts": "root=/dev/sda1 ro",
        "tuned_params": "isolcpus=1",
        "default_kernelopts": "root=/dev/sdb1",
        "unknown": None,
    }
    (found,) = grub.entries(bls.nodes([bls.entry("a.conf", text)], variables))
    assert " ".join(found["cmdline"]) == line
    assert found["release"] == "1"
