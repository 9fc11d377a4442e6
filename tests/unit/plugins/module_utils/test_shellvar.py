# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import shellvar


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'K="new"\n'),
        ("A=1", 'A=1\nK="new"\n'),
        ("A=1\n", 'A=1\nK="new"\n'),
        ('A=1\n#K="old"\n\nB=2\n', 'A=1\n#K="old"\nK="new"\n\nB=2\n'),
        ("# K= is for\n#K=x", '# K= is for\n#K=x\nK="new"\n'),
        ('A=1\nK="old words"\nB=2', 'A=1\nK="new"\nB=2'),
        ("K=old\t# why\n", 'K="new"\t# why\n'),
        ("K=\n", 'K="new"\n'),
        ("  export K='a b' # why\r\n", '  export K="new" # why\r\n'),
        ("K=1\nK=2\nKK=3\nXK=4\n", 'K=1\nK="new"\nKK=3\nXK=4\n'),
        ('K="a \\\n  b"\nB=2\n', 'K="new"\nB=2\n'),
        ("K=a\\ b'c d'\"e\";B=2\n", 'K="new";B=2\n'),
        ("K=old\n#K=x\n", 'K="new"\n#K=x\n'),
    ],
)
def test_only_the_assignment_changes(before: str, after: str) -> None:
    assert shellvar.assign(before, "K", "new") == after
    assert shellvar.assign(after, "K", "new") == after


@pytest.mark.parametrize(
    "line",
    ['K="$K more"', "K=`uname -r`", "K=$(uname -r)", 'K="open', "K=a make", "K=a&", "K=(a b)", "K=a#b"],
)
def test_what_only_a_shell_could_tell_is_refused(line: str) -> None:
    with pytest.raises(FleetopsError, match="assignment of K in line 2"):
        shellvar.assign(f"A=1\n{line}\n", "K", "new")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text("ab \"'\\$`;#=", max_size=12))
def test_a_shell_reads_back_what_was_assigned(tmp_path: Path, value: str) -> None:
    file = tmp_path / "file"
    file.write_text(shellvar.assign("# a\n#K=x\nA=1\n", "K", value))
    script = '. "$1"; printf "%s|" "$K" "$A"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{value}|1|"


@pytest.mark.parametrize("text", ["A=\\\nB=1\n", "A='\nB=1\n'\n", 'A="\n#B=2\n"\n'])
def test_a_line_of_another_word_is_not_changed(text: str) -> None:
    with pytest.raises(FleetopsError, match="a quote is open or the line before goes on"):
        shellvar.assign(text, "B", "x")
