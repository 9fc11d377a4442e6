# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bls, blsoptions, cmdline

KEYS = st.sampled_from(["quiet", "panic", "console", "crashkernel", "hung-task", "hung_task", "x"])
PLAIN = st.text("abc019,:/.@+-_=", max_size=6)
OURS = st.one_of(
    KEYS,
    st.builds("{}={}".format, KEYS, PLAIN),
    st.builds('{}="{}"'.format, KEYS, st.text("ab 1;", max_size=6)),
)
FOREIGN = st.sampled_from(
    [
        "$tuned_params",
        "$kernelopts",
        "$mine",
        "root=$device",
        "rd.lvm.lv=rl/root",
        "ro",
        "ro",
        "BOOT=\\$x",
        "$a$b",
    ]
)
LINES = st.lists(st.one_of(OURS, FOREIGN), max_size=10)
TAILS = st.sampled_from([[], [], ["--", "single", "panic=1", "$tuned_params"]])


@st.composite
def declarations(draw: st.DrawFn) -> cmdline.Declaration:
    keys = draw(st.lists(KEYS, max_size=4, unique_by=lambda key: key.replace("_", "-")))
    wanted: cmdline.Declaration = {"present": [], "absent": [], "replace": []}
    for key in keys:
        kind = draw(st.sampled_from(sorted(wanted)))
        wanted[kind].append(  # type: ignore[literal-required]
            key if kind == "absent" else f"{key}={draw(st.text('abc019', min_size=1, max_size=3))}"
        )
    return cmdline.check_declaration(**wanted)


def is_foreign(word: str, wanted: cmdline.Declaration) -> bool:
    keys = [cmdline.key(item) for items in wanted.values() for item in items]  # type: ignore[attr-defined]
    return not any(cmdline.same_key(cmdline.key(word), key) for key in keys)


@settings(deadline=None)
@given(LINES, TAILS, declarations())
def test_a_line_says_what_was_declared_keeps_the_rest_and_is_settled_once(
    words: list[str], tail: list[str], wanted: cmdline.Declaration
) -> None:
    line = "  ".join([*words, *tail])
    new = blsoptions.settle(line, wanted)
    settled = cmdline.tokenise(new)
    cut = len(settled) - len(tail)
    assert settled[cut:] == tail
    assert cmdline.unmet(settled[:cut], wanted) == []
    assert [word for word in settled[:cut] if is_foreign(word, wanted)] == [
        word for word in words if is_foreign(word, wanted)
    ]
    assert blsoptions.settle(new, wanted) == new
    assert blsoptions.variables(new) == blsoptions.variables(line)
    if cmdline.unmet(words, wanted) == []:
        assert new == line


@settings(deadline=None)
@given(LINES, declarations())
def test_what_is_outstanding_is_all_that_is_needed(words: list[str], wanted: cmdline.Declaration) -> None:
    open_ = cmdline.outstanding([words], wanted)
    assert any(open_.values()) == bool(cmdline.unmet(words, wanted))
    assert cmdline.unmet(cmdline.settle(words, open_), wanted) == []
    bare = cmdline.settle(words, cmdline.stripping(wanted))
    for item in [*wanted["absent"], *map(cmdline.key, wanted["replace"])]:
        assert not any(cmdline.is_removed(word, [item]) for word in bare)


HEADS = st.sampled_from(
    ["title T\n", "# options no\n", "version 1\n", "  linux\t/vmlinuz-1\n", "initrd /a $b\n"]
)


@settings(deadline=None)
@given(
    st.lists(HEADS, max_size=4), st.sampled_from(["options ", "  options   "]), LINES, LINES, st.lists(HEADS)
)
def test_only_the_words_of_a_file_change(
    head: list[str], key: str, old: list[str], new: list[str], rest: list[str]
) -> None:
    before, after = " ".join(["ro", *old]), " ".join(["rw", *new])
    start, end = "".join(head), "".join(rest)
    text = f"{start}{key}{before}\n{end}"
    assert blsoptions.replace("x.conf", text, after) == f"{start}{key}{after}\n{end}"
    assert bls.entry("x.conf", text).first("options") == before


@pytest.mark.parametrize(
    "text",
    [
        "title T\n",
        "options a\noptions b\n",
        "title\noptions a\n",  # GRUB reads no further than a line without a value
        "options\ta b\n",  # to GRUB, this is a key with a tab in it
        "title\n\noptions a\nlinux /vmlinuz\n",
        "# options a\n",
    ],
)
def test_a_file_without_exactly_one_line_of_words_is_refused(text: str) -> None:
    with pytest.raises(FleetopsError, match="exactly one line 'options' that GRUB reads"):
        blsoptions.replace("x.conf", text, "b")


@pytest.mark.parametrize("word", ["crashkernel=$size", 'crashkernel="a $size"', "crashkernel=\\$size"])
def test_what_grub_works_out_is_never_taken_out(word: str) -> None:
    line = f"ro {word} $tuned_params"
    wanted: cmdline.Declaration = {"present": [], "absent": [], "replace": ["crashkernel=1G"]}
    with pytest.raises(FleetopsError, match="is worked out by GRUB"):
        blsoptions.settle(line, wanted)
    assert blsoptions.settle(line, {**wanted, "replace": ["panic=1"]}) == f"{line} panic=1"


def test_the_variables_of_a_line() -> None:
    assert blsoptions.variables("root=$a $kernelopts \\$no $tuned_params") == {
        "a",
        "kernelopts",
        "tuned_params",
    }
