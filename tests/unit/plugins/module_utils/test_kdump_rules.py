# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hosts"

SAFE = st.text("aZ0_./:=@,+- #;|&<>()*?[]{}~!%^'\"\\$`\t", max_size=12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("# KDUMP_COREDIR=/no\nKDUMP_COREDIR=/a\n", {"KDUMP_COREDIR": "/a"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=1 # comment\n", {"A": "1"}),
        ("  export A='b c'\n", {"A": "b c"}),
        ('A="b \\"c\\" \\$d" B=x\n', {"A": 'b "c" $d'}),
        ("A=\nB=''\n", {"A": "", "B": ""}),
        ("A=\"b\"'c'd\\ e\n", {"A": "bcd e"}),
        ('A="two\\\nlines"\n', {"A": "twolines"}),
        ("A=b#c\n", {"A": "b#c"}),
        ('if true; then\n\tA="in"\nfi\n', {"A": "in"}),
        ('A="$B/x"\n', {"A": "$B/x"}),
    ],
)
def test_shell_assignments(text: str, found: dict[str, str]) -> None:
    assert kdump.shell_assignments(text) == found


@given(st.dictionaries(st.sampled_from(["A", "KDUMP_X", "SSH"]), SAFE, max_size=3))
def test_quoted_assignments_are_read_back(values: dict[str, str]) -> None:
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    assert kdump.shell_assignments(text) == values


WORDS = st.text("aZ/ #'\"\\-", max_size=8)


@settings(max_examples=60, deadline=None)
@given(WORDS)
def test_a_word_means_what_it_means_to_the_shell(word: str) -> None:
    """Whatever /bin/sh accepts as one assignment has the value that sh gives it."""
    script = f'A={word}\nprintf "<%s>" "$A"\n'
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    plain = (
        done.returncode == 0 and not done.stderr and done.stdout.startswith("<") and "\n" not in done.stdout
    )
    # "A=x y" runs the command y with A in its environment, and A stays unset: that is no assignment
    if plain and (done.stdout != "<>" or not word.strip()):
        assert kdump.shell_assignments(script).get("A") == done.stdout[1:-1]


def test_the_package_s_own_defaults() -> None:
    text = (FIXTURES / "debian-6.1-incident/etc/default/kdump-tools").read_text()
    found = kdump.shell_assignments(text)
    assert found["USE_KDUMP"] == "1"
    assert found["KDUMP_COREDIR"] == "/var/crash"
    assert "KDUMP_CMDLINE_APPEND" not in found  # it stands in a comment


@pytest.mark.parametrize(("value", "literal"), [("/var/crash", True), ("$HOME/x", False), ("`date`", False)])
def test_is_literal(value: str, literal: bool) -> None:
    assert kdump.is_literal(value) is literal


# --- the recorded command ----------------------------------------------------------------------------


def test_the_recorded_command_of_a_real_machine() -> None:
    line = (FIXTURES / "debian-6.1-incident/var/crash/kexec_cmd").read_text()
    found = kdump.kexec_command(line)
    assert found["initrd"] == "/var/lib/kdump/initrd.img"
    assert found["kernel"] == "/var/lib/kdump/vmlinuz"
    assert found["cmdline"] is not None
    assert found["cmdline"].startswith("BOOT_IMAGE=/boot/vmlinuz-6.1.0-47-cloud-amd64 root=UUID=")
    assert found["cmdline"].endswith(
        "reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll usbcore.nousb"
    )


@pytest.mark.parametrize(
    ("line", "cmdline", "initrd", "kernel"),
    [
        ('/sbin/kexec -p -s --command-line="ro  panic=10" --initrd=/i /k\n', "ro  panic=10", "/i", "/k"),
        ('/sbin/kexec -p --command-line=" ro" /k', "ro", None, "/k"),
        ('/sbin/kexec -p --elf64-core-headers --command-line="a=\\"b c\\" d" /k', 'a="b c" d', None, "/k"),
        ("/sbin/kexec -p /k", None, None, "/k"),
    ],
)
def test_kexec_command(line: str, cmdline: str | None, initrd: str | None, kernel: str | None) -> None:
    assert kdump.kexec_command(line) == {"cmdline": cmdline, "initrd": initrd, "kernel": kernel}


def test_a_command_whose_quotes_do_not_match_is_an_error() -> None:
    with pytest.raises(FleetopsError, match="cannot be taken apart"):
        kdump.kexec_command('/sbin/kexec -p --command-line="ro')


# --- dumps -------------------------------------------------------------------------------------------


def flattened(body: bytes, end: bool) -> bytes:
    return kdump.FLATTENED.ljust(4096, b"\0") + body + (kdump.FLATTENED_END if end else b"")


@given(st.binary(max_size=64).map(lambda body: body.rstrip(b"\xff") + b"\0"), st.booleans())
def test_a_flattened_dump_is_complete_with_its_end_marker_only(body: bytes, end: bool) -> None:
    data = flattened(body, end)
    assert kdump.dump_complete(data[:16], data[-16:]) is end


@pytest.mark.parametrize("cut", [1, 8, 15, 16, 1 << 20])
def test_a_dump_that_was_cut_is_not_complete(cut: int) -> None:
    data = flattened(b"\0" * (1 << 20), True)[:-cut]
    assert kdump.dump_complete(data[:16], data[-16:]) is False


def test_other_kinds_do_not_tell() -> None:
    assert kdump.dump_complete(b"", b"") is False
    for head in (b"KDUMP   " + b"\0" * 8, b"\x7fELF" + b"\0" * 12, b"\x1f\x8b" + b"\0" * 14, b"makedump"):
        assert kdump.dump_complete(head, b"\xff" * 16) is None


# --- armed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserved", "loaded", "armed", "reason"),
    [
        (134217728, True, True, "a capture kernel is loaded"),
        (134217728, False, False, "no capture kernel is loaded"),
        (0, False, False, r"no memory is reserved .* asks for 9G"),
        (0, None, False, "no memory is reserved"),
        (None, False, False, "no capture kernel is loaded"),
        (None, True, None, "reservation.bytes is unknown .why not"),
        (134217728, None, None, "capture.loaded is unknown .why not"),
        (None, None, None, "is unknown .why not"),
    ],
)
def test_armed(reserved: int | None, loaded: bool | None, armed: bool | None, reason: str) -> None:
    why = {"reservation.bytes": "why not", "capture.loaded": "why not"}
    facts: Any = {
        "reservation": {"bytes": reserved, "requested": ["9G"]},
        "capture": {"loaded": loaded},
        "unknown": why,
    }
    got, said = kdump.armed(facts)
    assert got is armed
    assert re.search(reason, said)
