# SPDX-License-Identifier: GPL-3.0-or-later
"""The parsers of those who act on a node, against apt itself where it is there."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import actors as rules
from ansible_collections.fleetops.kernel.plugins.module_utils._rules.settings import Setting, last, shown

Known = dict[str, list[str]]


def conf(text: str) -> list[Setting]:
    return rules.apt_conf([("/x", text)])


def value(found: Sequence[Setting], name: str) -> str | None:
    setting = last(found, *name.lower().split("::"))
    return None if setting is None else setting.value


# --- apt.conf, by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "wanted"),
    [
        ('A::B "x";', "A::B", "x"),
        ('A { B "x"; };', "a::b", "x"),
        ('A { B "x" }', "A::B", "x"),
        ('A {\n  B\n  {\n\tC "x";\n  };\n};\nA::D "y";', "A::B::C", "x"),
        ('A "v" { B "x"; };', "A", "v"),
        ('A::B "x"; a::b "y";', "A::B", "y"),
        ("A bare;", "A", "bare"),
        ('A\n "x"\n;', "A", "x"),
        ('A ""; ', "A", ""),
        ('"A::B" "x";', "A::B", "x"),
        ('A "x"; // B "y";', "B", None),
        ('// A "x";', "A", None),
        ('# A "x";', "A", None),
        ('A "x"; # A "y";', "A", "x"),
        ('/* A "x"; */ A "y"; /* A "z";\n A "z"; */', "A", "y"),
        ('/* see http://x */ A "lost";\n A "lost"; */ B "y";', "A", None),
        ('/* see http://x */ A "lost";\n A "lost"; */ B "y";', "B", "y"),
        ('A "http://x/#y"; B "/* z";', "A", "http://x/#y"),
        ('A "http://x/#y"; B "/* z";', "B", "/* z"),
        ('A::B "x"; #clear A;', "A::B", None),
        ('A::B "x"; AB "y";\n#clear A;\nA::C "z";', "A::C", "z"),
        ('A::B "x"; AB "y";\n#clear A;\nA::C "z";', "AB", "y"),
        ("};;", "A", None),
    ],
)
def test_apt_conf(text: str, name: str, wanted: str | None) -> None:
    assert value(conf(text), name) == wanted


def test_lists_and_lines() -> None:
    found = rules.apt_conf([("/a", 'A { "x"; "y z"; }; // two\nA:: "w";'), ("/b", '  B  "1";  // why')])
    assert [(one.path, one.value, one.source) for one in found] == [
        (("a", ""), "x", "/a"),
        (("a", ""), "y z", "/a"),
        (("a", ""), "w", "/a"),
        (("b",), "1", "/b"),
    ]
    assert shown(last(found, "b"), None) == [{"source": "/b", "text": 'B "1";'}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('A "x"', "ends in the middle"),
        ('A "x;', "line 1: a quotation mark is missing"),
        ('\n{ "x"; };', "line 2: a block has no name"),
        ('A "x" "y" "z";', "more than a name and a value"),
        ('A "x" "y";', "more than a name and a value"),
        ('A"x";', "side by side"),
        ('A "x""y";', "side by side"),
        ('#include "/y";', "a directive that is not understood"),
        ("#clear;", "not understood"),
        ("A { #clear B; };", "not understood"),
        ("#clear A::;", "cannot be cleared"),
        ("A%41 x;", "encoded"),
        ('A { :: "x"; };', "more than '::' between"),
        ('A::::B "x";', "more than '::' between"),
        ('A: { B "x"; };', "more than '::' between"),
    ],
)
def test_what_is_no_apt_conf(text: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=says) as raised:
        conf(text)
    assert "'/x'" in raised.value.msg


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        *((word, True) for word in ("true", "YES", "1", "enable")),
        *((word, False) for word in ("false", "Off", "0", "without")),
        *((word, None) for word in ("", "2", "maybe")),
    ],
)
def test_truth_values_of_apt(word: str, wanted: bool | None) -> None:
    setting = Setting(("a",), word, "", "")
    assert [rules.apt_bool(setting, default) for default in (True, False)] == (
        [True, False] if wanted is None else [wanted, wanted]
    )
    assert rules.apt_bool(None, True) is True


@given(st.text(alphabet=st.sampled_from('AB:"{};#/*\n\\% clear[]'), max_size=200))
def test_no_text_is_more_than_our_own_error(text: str) -> None:
    with contextlib.suppress(FleetopsError):
        conf(text)


# --- apt.conf, against apt ---------------------------------------------------------------------------


def dumped(*arguments: str, env: dict[str, str] | None = None) -> Known | None:
    """Names in lower case with their values, a list's under ``name::``, as apt itself read them; None for its error."""
    done = subprocess.run(
        ["apt-config", *arguments, "dump"], capture_output=True, text=True, env=env, check=False
    )
    if done.returncode or "E:" in done.stderr:
        return None
    found: Known = {}
    for name, text in re.findall(r'^(\S+) "(.*)";$', done.stdout, re.MULTILINE):
        found.setdefault(name.lower(), []).append(text)
    return found


def known(found: Sequence[Setting]) -> Known:
    said: Known = {}
    for setting in found:
        name = "::".join(setting.path)
        if name.endswith("::"):
            said.setdefault(name, []).append(setting.value)
        else:
            said[name] = [setting.value]
    return said


def below(found: Known, *roots: str) -> Known:
    """What is said below some names; an empty value is what apt shows for a name without any."""
    return {
        name: values
        for name, values in found.items()
        if name.split("::")[0] in roots and (values != [""] or name.endswith("::"))
    }


ROOTS = ("fl", "fleet", "unattended-upgrade")
NAMES = st.sampled_from(
    ["fl", "Fl::A", "fl::a::B", "Fleet::Reboot", "Unattended-Upgrade::Automatic-Reboot", "FL::C"]
)
INNER = st.sampled_from(["A", "b::C", "Reboot", "c"])
VALUES = st.text(alphabet=st.sampled_from("abc 01/*#:;{}.-"), max_size=8)
SPACE = st.sampled_from(["", " ", "\n", "  \n\t"])
GAP = st.sampled_from([" ", "\t", " \n "])
COMMENT = st.sampled_from(
    ['// x "y" z', "# x; {", "/* a { */", '/* a\n "b"; */', "/* // */\n*/", "// /*", '/* "*/', "/* # */\n*/"]
)


@st.composite
def statement(draw: st.DrawFn, depth: int = 0) -> str:
    kind = draw(st.sampled_from(["value", "value", "bare", "item", "comment", "clear", "block", "list"]))
    name = draw(INNER if depth else NAMES)
    if kind == "clear" and not depth:
        return f"#clear {name};\n"
    if kind == "comment":
        return f"{draw(COMMENT)}\n"
    if kind == "bare":
        return f"{name} {draw(st.sampled_from(['1', 'true', 'x-y.z']))}{draw(SPACE)};{draw(SPACE)}"
    if kind == "item":
        return f'{name}::{draw(GAP)}"{draw(VALUES)}";{draw(SPACE)}'
    if kind == "list":
        items = "".join(
            f'{draw(SPACE)}"{text}";' for text in draw(st.lists(VALUES, max_size=3)) if text.strip()
        )
        return f"{name}{draw(SPACE)}{{{items}{draw(SPACE)}}}{draw(st.sampled_from(['', ';']))}\n"
    if kind == "block" and depth < 3:
        inner = "".join(draw(st.lists(statement(depth + 1), max_size=4)))
        return f"{name}{draw(GAP)}{{{draw(SPACE)}{inner}\n}}{draw(st.sampled_from(['', ';']))}\n"
    return f'{name}{draw(GAP)}"{draw(VALUES)}"{draw(SPACE)};{draw(SPACE)}'


@given(st.lists(statement(), min_size=5, max_size=60))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_apt_reads_it(tmp_path: Path, statements: list[str]) -> None:
    file = tmp_path / "x.conf"
    text = "\n".join(statements)
    file.write_text(text)
    wanted = dumped("-c", str(file))
    assert wanted is not None, text
    assert below(known(conf(text)), *ROOTS) == below(wanted, *ROOTS)


@given(st.text(alphabet=st.sampled_from('Fl:"{}; #/*\n'), max_size=40))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_never_another_reading_than_apt_has(tmp_path: Path, text: str) -> None:
    """Of any text: where we read it, apt does, and the same."""
    try:
        found = known(conf(f"{text}\n"))
    except FleetopsError:
        assume(False)
        return
    file = tmp_path / "x.conf"
    file.write_text(f"{text}\n")
    wanted = dumped("-c", str(file))
    assert wanted is not None
    assert below(found, *ROOTS) == below(wanted, *ROOTS)


def test_apt_reads_the_same_files_in_the_same_order(tmp_path: Path) -> None:
    parts = tmp_path / "etc" / "apt" / "apt.conf.d"
    parts.mkdir(parents=True)
    names = [
        "20a",
        "10b.conf",
        "a.conf",
        "B",
        "x.dpkg-dist",
        "y~",
        ".z",
        "z.conf.bak",
        "a_b-c",
        "a.b",
        "a.b.conf",
    ]
    names += ["é", "a b", "30.conf", "_u", "-m", "x.ucf-old", "x.CONF", "conf", "a."]
    for name in names:
        (parts / name).write_text(f'Fl:: "{name}";\nFl::Last "{name}";\n')
    (tmp_path / "etc" / "apt" / "apt.conf").write_text('Fl:: "main";\n')
    (tmp_path / "start").write_text(f'Dir "{tmp_path}";\n')
    wanted = dumped(env={"APT_CONFIG": str(tmp_path / "start"), "PATH": "/usr/bin:/bin"})
    assert wanted is not None
    ours = sorted(name for name in names if rules.apt_reads(name))
    assert wanted["fl::"] == [*ours, "main"]
    assert wanted["fl::last"] == [ours[-1]]


def test_the_files_of_this_machine() -> None:
    folder = Path("/etc/apt/apt.conf.d")
    files = [(str(path), path.read_text()) for path in sorted(folder.iterdir()) if rules.apt_reads(path.name)]
    main = Path("/etc/apt/apt.conf")
    files += [(str(main), main.read_text())] if main.exists() else []
    wanted = dumped()
    assert wanted is not None
    for name, values in known(rules.apt_conf(files)).items():
        if not name.endswith("::") and name != "acquire::languages":  # apt makes a list of that one
            assert wanted[name] == values
