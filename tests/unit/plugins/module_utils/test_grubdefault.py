# SPDX-License-Identifier: GPL-3.0-or-later
"""The drop-in is run by this machine's /bin/sh, as grub-mkconfig would."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline, grubdefault

NOTHING: grubdefault.Dropin = {"remove": [], "add": []}
WORDS = st.sampled_from(
    [
        "quiet",
        "panic=1",
        "panic=30",
        "panic",
        '"panic=1 2"',
        'foo="a panic=1 b"',
        "a.b=1",
        "axb=1",
        "a-b=1",
        "a_b=1",
    ]
)
LINES = st.lists(WORDS, max_size=5)


def declare(
    old: grubdefault.Dropin, present: str = "", absent: str = "", replace: str = ""
) -> grubdefault.Dropin:
    words = [cmdline.tokenise(text) for text in (present, absent, replace)]
    return grubdefault.declare(old, cmdline.check_declaration(*words))


def sourced(
    tmp_path: Path, linux: str, default: str, dropin: grubdefault.Dropin
) -> tuple[list[str], list[str]]:
    """Both variables after /bin/sh has sourced a site's file and then ours."""
    site = tmp_path / "grub"
    site.write_text(f"GRUB_CMDLINE_LINUX='{linux}'\nGRUB_CMDLINE_LINUX_DEFAULT='{default}'\n")
    ours = tmp_path / "zz-fleetops.cfg"
    ours.write_text(grubdefault.render(dropin))
    script = f'set -e; . {site}; . {ours}; printf "%s\\n" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    one, two = done.stdout.split("\n")[:2]
    assert one == one.strip()
    assert two == two.strip()
    return cmdline.tokenise(one), cmdline.tokenise(two)


@pytest.mark.parametrize(
    ("linux", "default", "present", "absent", "replace", "expected"),
    [
        ("", "", "", "", "crashkernel=224M", ([], ["crashkernel=224M"])),
        ("", "quiet", "panic=30", "", "", ([], ["quiet", "panic=30"])),
        (
            "crashkernel=64M net.ifnames=0",
            "quiet crashkernel=512M-:192M crashkernel=80M",
            "",
            "",
            "crashkernel=224M",
            (["net.ifnames=0"], ["quiet", "crashkernel=224M"]),
        ),
        # A key is a word, not a pattern, and not a part of one.
        ("a.b=1 axb=1 a.bc=1 xa.b=1", "", "", "a.b", "", (["axb=1", "a.bc=1", "xa.b=1"], [])),
        ("hung-task-panic=0", "hung_task_panic", "", "hung_task_panic", "", ([], [])),
        # What stands in quotes is one value.
        (
            'a="b panic=1 c" panic=2',
            '"panic=3 4" d=x"panic=1 "y',
            "",
            "panic",
            "",
            (['a="b panic=1 c"'], ['d=x"panic=1 "y']),
        ),
        ('dyndbg="file a.c +p" x', "", "", "dyndbg", "", (["x"], [])),
        ('"foo=a b" foo="a c"', "foo=a", "", 'foo="a b"', "", (['foo="a c"'], ["foo=a"])),
        # Only that very token.
        ("con=tty0 con=ttyS0 con=tty01", "", "", "con=tty0", "", (["con=ttyS0", "con=tty01"], [])),
        ("", "a=/dev/x|y", "", "b", "", ([], ["a=/dev/x|y"])),
        (
            "a=/x/y b=1+1 c=(1)",
            "e=[3] f=4*4",
            'c="(1)"',
            "a=/x/y b=1+1",
            'd="{2}"',
            ([], ["e=[3]", "f=4*4", 'd="{2}"', "c=(1)"]),
        ),
        # Said once, at the end.
        ("panic=30 quiet", "panic=30 x", "panic=30", "", "", (["quiet"], ["x", "panic=30"])),
        ("quiet quiet=1 quietly", "quiet", "", "quiet", "", (["quietly"], [])),
    ],
)
def test_sh_does_what_was_declared(
    tmp_path: Path,
    linux: str,
    default: str,
    present: str,
    absent: str,
    replace: str,
    expected: tuple[list[str], list[str]],
) -> None:
    assert sourced(tmp_path, linux, default, declare(NOTHING, present, absent, replace)) == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES, LINES, LINES, LINES)
def test_sh_and_python_agree(
    tmp_path: Path, linux: list[str], default: list[str], add: list[str], remove: list[str]
) -> None:
    try:
        dropin = grubdefault.declare(NOTHING, cmdline.check_declaration(add, remove))
    except FleetopsError:
        return
    one, two = sourced(tmp_path, " ".join(linux), " ".join(default), dropin)
    away = [*dropin["remove"], *dropin["add"]]

    def without(words: list[str]) -> list[str]:
        # A flag that is added takes out only itself, where one in `remove` takes out its whole key.
        return [
            word
            for word in words
            if not cmdline.is_removed(word, dropin["remove"]) and not cmdline.has(dropin["add"], word)
        ]

    assert one == without(linux), away
    assert two == [*without(default), *dropin["add"]], away


def test_an_unset_variable_is_an_empty_one(tmp_path: Path) -> None:
    text = grubdefault.render(declare(NOTHING, replace="crashkernel=224M"))
    script = grubdefault.evaluator([str(tmp_path / "no-such-file"), "/zz"], "/zz")
    done = subprocess.run(["/bin/sh", "-c", script, "sh", text], capture_output=True, text=True, check=True)
    assert grubdefault.evaluated(done.stdout) == ["crashkernel=224M"]


def test_evaluator_takes_the_files_in_order_and_ignores_what_they_print(tmp_path: Path) -> None:
    (tmp_path / "grub").write_text('echo noise; GRUB_CMDLINE_LINUX="a b"\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\n')
    (tmp_path / "50-cloud.cfg").write_text('GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0"\n')
    (tmp_path / "zzz.cfg").write_text('GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT last"\n')
    files = [str(tmp_path / name) for name in ("grub", "50-cloud.cfg", "zz.cfg", "zzz.cfg")]
    script = grubdefault.evaluator(files, files[2])
    text = grubdefault.render(declare(NOTHING, present="panic=1", absent="b"))
    done = subprocess.run(["/bin/sh", "-c", script, "sh", text], capture_output=True, text=True, check=True)
    assert grubdefault.evaluated(done.stdout) == ["a", "console=ttyS0", "panic=1", "last"]


def test_evaluator_fails_where_grub_mkconfig_would(tmp_path: Path) -> None:
    (tmp_path / "grub").write_text("false\n")
    script = grubdefault.evaluator([str(tmp_path / "grub")], "/zz")
    assert subprocess.run(["/bin/sh", "-c", script, "sh", ""], check=False).returncode != 0


def test_a_second_declaration_joins_the_first() -> None:
    first = declare(NOTHING, replace="crashkernel=80M")
    second = declare(first, present="panic=30", absent="quiet")
    third = declare(second, replace="crashkernel=224M")
    assert third == {"remove": ["crashkernel", "quiet"], "add": ["panic=30", "crashkernel=224M"]}
    fourth = declare(third, present="quiet", absent="panic")
    assert fourth == {"remove": ["crashkernel", "panic"], "add": ["crashkernel=224M", "quiet"]}


@settings(deadline=None)
@given(LINES, LINES, LINES, LINES, LINES)
def test_declare_twice_is_declare_once(
    one: list[str], two: list[str], three: list[str], four: list[str], five: list[str]
) -> None:
    try:
        old = grubdefault.declare(NOTHING, cmdline.check_declaration(one, two))
        wanted = cmdline.check_declaration(three, four, five)
    except FleetopsError:
        return
    once = grubdefault.declare(old, wanted)
    assert grubdefault.declare(once, wanted) == once
    assert grubdefault.parse(grubdefault.render(once)) == once


@pytest.mark.parametrize(
    "text", ["GRUB_TIMEOUT=1\n", "# fleetops-declares: {}\n", "# fleetops-declares: [1\n"]
)
def test_a_file_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(FleetopsError):
        grubdefault.parse(text)
    assert grubdefault.parse("") == NOTHING


@pytest.mark.parametrize(
    ("entry", "old", "new", "expected"),
    [
        (
            "root=/dev/vda1 ro quiet crashkernel=80M",
            "quiet crashkernel=80M",
            "quiet x",
            "root=/dev/vda1 ro quiet x",
        ),
        ("root=/dev/vda1 ro a quiet init=/sbin/init", "a quiet", "a", "root=/dev/vda1 ro a init=/sbin/init"),
        (
            "root=/dev/vda1 ro quiet splash",
            "quiet splash",
            "splash",
            "root=/dev/vda1 ro splash",
        ),
        ("root=/dev/vda1 ro", "", "x", "root=/dev/vda1 ro x"),
        # generated before the site changed its variables
        (
            "root=/dev/vda1 ro old words",
            "other",
            "other x",
            "root=/dev/vda1 ro other x",
        ),
    ],
)
def test_predict(entry: str, old: str, new: str, expected: str) -> None:
    found = grubdefault.predict(entry.split(), old.split(), new.split())
    assert " ".join(found) == expected
