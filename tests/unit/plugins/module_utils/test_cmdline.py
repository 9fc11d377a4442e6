# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import cmdline

KEYS = st.sampled_from(["quiet", "panic", "console", "a.b", "hung-task", "hung_task", "x"])
PLAIN = st.text("abc019,:/.@+-_=", max_size=6)
SPACED = st.text("ab 1;|", max_size=6)
TOKENS = st.one_of(
    KEYS,
    st.builds("{}={}".format, KEYS, PLAIN),
    st.builds('{}="{}"'.format, KEYS, SPACED),
    st.builds('"{}={}"'.format, KEYS, SPACED),
)
LINES = st.lists(TOKENS, max_size=8)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("  \t ", []),
        ("root=UUID=1 ro  quiet\n", ["root=UUID=1", "ro", "quiet"]),
        ('a="b c" d', ['a="b c"', "d"]),
        ('"a=b c"d e', ['"a=b c"d', "e"]),
        ('a=b" "c', ['a=b" "c']),
        ('a="b c d', ['a="b c d']),  # never closed: the kernel takes it all
        ("console=tty0 console=ttyS0 console=tty0", ["console=tty0", "console=ttyS0", "console=tty0"]),
    ],
)
def test_tokenise(text: str, tokens: list[str]) -> None:
    assert cmdline.tokenise(text) == tokens


@settings(deadline=None)
@given(LINES)
def test_tokenise_undoes_join(tokens: list[str]) -> None:
    assert cmdline.tokenise(" ".join(tokens)) == tokens


def test_parse_keeps_what_belongs_to_init_apart() -> None:
    assert cmdline.parse("ro panic=1 -- panic=2 single\n") == {
        "raw": "ro panic=1 -- panic=2 single",
        "tokens": ["ro", "panic=1"],
        "init_args": ["panic=2", "single"],
    }
    assert cmdline.parse("a--b --c")["init_args"] == []


@pytest.mark.parametrize(
    ("token", "key", "value"),
    [
        ("quiet", "quiet", None),
        ("panic=", "panic", ""),
        ("root=UUID=1", "root", "UUID=1"),
        ('a="b c"', "a", '"b c"'),
        ('"a=b c"', "a", '"b c"'),
        ('"a=b"', "a", "b"),
    ],
)
def test_key_and_value(token: str, key: str, value: str | None) -> None:
    assert (cmdline.key(token), cmdline.value(token)) == (key, value)


def test_last() -> None:
    tokens = ["panic=1", "quiet", "hung-task-panic=0", "hung_task_panic=1", "panic=2"]
    assert cmdline.last(tokens, "panic") == "2"
    assert cmdline.last(tokens, "quiet") == ""
    assert cmdline.last(tokens, "hung-task_panic") == "1"
    assert cmdline.last(tokens, "nothing") is None


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("", None),
        ("panic", None),
        ("panic=", None),
        ("panic=10", 10),
        ("panic=-1", -1),
        ("panic=0x10", 16),
        ("panic=010", 8),
        ("panic=0", 0),
        ("panic=10 panic=20", 20),
        ("panic=ten", None),
        ("panic=10s", None),
        ("panic_on_oops=1", None),
    ],
)
def test_panic_timeout(line: str, seconds: int | None) -> None:
    assert cmdline.panic_timeout(cmdline.tokenise(line)) == seconds


def test_merge() -> None:
    tokens = [
        "ro",
        "crashkernel=64M",
        "console=tty0",
        "console=ttyS0",
        'a="b c"',
        "crashkernel=1G,high",
        "quiet",
    ]
    assert cmdline.merge(tokens, ["crashkernel"], ["crashkernel=224M"]) == [
        "ro",
        "console=tty0",
        "console=ttyS0",
        'a="b c"',
        "quiet",
        "crashkernel=224M",
    ]
    assert cmdline.merge(tokens, ["console=tty0", '"a=b c"'], []) == [
        "ro",
        "crashkernel=64M",
        "console=ttyS0",
        "crashkernel=1G,high",
        "quiet",
    ]
    assert cmdline.merge(["quiet", "x"], [], ["quiet", "quiet"]) == ["x", "quiet"]


@settings(deadline=None)
@given(LINES, st.lists(TOKENS, max_size=3), st.lists(TOKENS, max_size=3))
def test_merge_twice_is_merge_once(tokens: list[str], remove: list[str], add: list[str]) -> None:
    once = cmdline.merge(tokens, remove, add)
    assert cmdline.merge(once, remove, add) == once
    assert all(cmdline.has(once, token) for token in add)
    assert not [t for t in once if cmdline.is_removed(t, remove) and not cmdline.has(add, t)]


@settings(deadline=None)
@given(TOKENS)
def test_canonical_says_the_same(token: str) -> None:
    assert cmdline.same(cmdline.canonical(token), token)
    assert cmdline.tokenise(cmdline.canonical(token)) == [cmdline.canonical(token)]


@pytest.mark.parametrize(
    "token", ["quiet", "panic=10", 'dyndbg="file a.c +p; file b.c +p"', "crashkernel=1G-:64M,2G-:128M"]
)
def test_check_token_accepts(token: str) -> None:
    assert cmdline.check_token(token) == token


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "empty string"),
        ("--", "goes to init"),
        ("a b", "one word"),
        (" a", "one word"),
        ("a\nb", r"contains '\n'"),
        ("a=$(reboot)", "contains '$'"),
        ("a=`reboot`", "contains '`'"),
        ("a='b'", 'contains "\'"'),
        ("a=\\", "contains"),
        ('a="b', "not closed"),
        ("a=b;c", "';' must stand in double quotes"),
        ("=5", "expected a key"),
        ("#a", "expected a key"),
        ("a*=1", "expected a key"),
    ],
)
def test_check_token_refuses(token: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=re.escape(says)) as caught:
        cmdline.check_token(token)
    assert not token or f"'{token}'" in caught.value.msg


@pytest.mark.parametrize(
    ("present", "absent", "replace", "says"),
    [
        (["quiet"], ["quiet"], [], "'quiet' is asked for, but 'absent'"),
        ([], ["panic"], ["panic=1"], "'panic=1' is asked for, but 'absent'"),
        (["hung-task=1"], ["hung_task"], [], "but 'absent'"),
        (["panic=2"], [], ["panic=1"], "'replace' leaves only panic=1"),
    ],
)
def test_declaration_refuses_contradictions(
    present: list[str], absent: list[str], replace: list[str], says: str
) -> None:
    with pytest.raises(FleetopsError, match=re.escape(says)):
        cmdline.check_declaration(present, absent, replace)


def test_settle_leaves_what_fits_where_it_stands() -> None:
    wanted = cmdline.check_declaration(["console=tty0", "x"], ["quiet"], ["panic=10", "b=1", "b=2"])
    assert cmdline.settle(["panic=10", "console=tty0", "console=ttyS0", "quiet", "b=2"], wanted) == [
        "panic=10",
        "console=tty0",
        "console=ttyS0",
        "b=1",
        "b=2",
        "x",
    ]


@settings(deadline=None)
@given(LINES, LINES, LINES, LINES)
def test_what_is_settled_has_nothing_unmet(
    tokens: list[str], one: list[str], two: list[str], three: list[str]
) -> None:
    try:
        wanted = cmdline.check_declaration(one, two, three)
    except FleetopsError:
        return
    settled = cmdline.settle(tokens, wanted)
    assert cmdline.unmet(settled, wanted) == []
    assert cmdline.settle(settled, wanted) == settled


def test_unmet_says_what_and_where() -> None:
    wanted = cmdline.check_declaration(["x"], ["quiet"], ["panic=10"])
    assert cmdline.unmet(["quiet", "panic=1", "panic=10"], wanted) == [
        "'x' is missing",
        "'quiet' is there",
        "'panic=10' is wanted alone, but there is panic=1 panic=10",
    ]
