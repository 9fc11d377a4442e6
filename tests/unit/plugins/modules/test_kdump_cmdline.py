# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with a kdump-config that loads what the defaults file says, as the real one does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kdump
from ansible_collections.fleetops.kernel.plugins.modules import kdump_cmdline

WORDS = "reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll usbcore.nousb"
DEFAULTS = f"""# kdump-tools configuration
USE_KDUMP=1
KDUMP_COREDIR="/var/crash"
#KDUMP_CMDLINE=""
#KDUMP_CMDLINE_APPEND="{WORDS}"

# Architecture specific Overrides:
"""
CONFIG = f'KDUMP_CMDLINE_APPEND=${{KDUMP_CMDLINE_APPEND:="{WORDS}"}}\n'
LOADED = "/sys/kernel/kexec_crash_loaded"
SIZE = "/sys/kernel/kexec_crash_size"


class Machine(Host):
    """Runs kdump-config on the tree."""

    def __init__(self, root: Path) -> None:
        (root / CAPTURE_FILE).write_text("{}")  # what is not in this tree is not there
        super().__init__(str(root))
        self.ran: list[str] = []
        self.fails: list[bool] = []
        self.error = "'kdump-config load' failed with return code 1: kexec: Could not find a free area"
        self.forgets = False

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] != "kdump-config":
            raise FleetopsError(f"no {argv[0]} here")
        self.ran.append(argv[1])
        Path(self.root + LOADED).write_text("0\n")
        if argv[1] == "load":
            if self.fails and self.fails.pop(0):
                raise FleetopsError(self.error)
            self.load()
        return ""

    def load(self) -> None:
        script = (
            f"[ ! -e {self.root}/etc/default/kdump-tools ] || . {self.root}/etc/default/kdump-tools; {CONFIG}"
        )
        script += 'printf %s "$KDUMP_CMDLINE_APPEND"'
        append = WORDS if self.forgets else subprocess.check_output(["/bin/sh", "-c", script], text=True)
        line = f"BOOT_IMAGE=/vmlinuz-6.1 root=/dev/vda1 ro  {append}"
        command = f'/sbin/kexec -p --command-line="{line}" --initrd=/var/lib/kdump/initrd.img /var/lib/kdump/vmlinuz\n'
        Path(self.root, "var/crash/kexec_cmd").write_text(command)
        Path(self.root + LOADED).write_text("1\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    files = {
        "etc/default/kdump-tools": DEFAULTS,
        "usr/sbin/kdump-config": CONFIG,
        "proc/cmdline": "BOOT_IMAGE=/vmlinuz-6.1 root=/dev/vda1 ro crashkernel=128M\n",
        "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
        "sys/kernel/kexec_crash_size": "134217728\n",
        "sys/kernel/kexec_crash_loaded": "1\n",
        "var/lib/kdump/initrd.img": "x",
        "var/crash/kexec_cmd": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = Machine(tmp_path)
    made.load()
    monkeypatch.setattr(_guard, "require_platform", lambda host, role="": debian)
    return made


def params(**given: Any) -> dict[str, Any]:
    return {"panic": 10, "present": [], "absent": [], **given}


def play(
    host: Host, given: Mapping[str, Any], check_mode: bool = False
) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    result = kdump_cmdline.run(host, given)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(kdump_cmdline.apply(host, given, result) or {})
    return bool(result.plan), returned, result


def defaults(host: Host) -> str:
    return host.read(debian.KDUMP_DEFAULTS)


def test_one_line_is_added_and_the_image_loaded_again(machine: Machine) -> None:
    changed, predicted, result = play(machine, params(), check_mode=True)
    assert (changed, machine.ran, defaults(machine)) == (True, [], DEFAULTS)
    changed, returned, again = play(machine, params())
    assert changed
    commented = f'#KDUMP_CMDLINE_APPEND="{WORDS}"\n'
    expected = DEFAULTS.replace(commented, f'{commented}KDUMP_CMDLINE_APPEND="{WORDS} panic=10"\n')
    assert defaults(machine) == expected
    assert machine.ran == ["unload", "load"]
    assert " panic=10" in machine.read("/var/crash/kexec_cmd")
    assert returned["append"] == [*WORDS.split(), "panic=10"]
    assert (returned["reloaded"], returned["reloaded_because"]) == (
        True,
        "the words that it was loaded with were others",
    )
    assert {**returned, "undo": None} == predicted
    assert result.diff == again.diff
    assert result.diff is not None
    assert (result.diff["before"], result.diff["after"]) == ("", f'KDUMP_CMDLINE_APPEND="{WORDS} panic=10"\n')

    changed, returned, _result = play(machine, params())
    assert (changed, returned["reloaded"]) == (False, False)
    assert returned["reloaded_because"] == "it was loaded with these words"


def test_undo_brings_the_file_and_the_loaded_line_back(machine: Machine) -> None:
    line = machine.read("/var/crash/kexec_cmd")
    play(machine, params())
    (undo,) = _undo.records(machine)
    assert _restore.conflicts(machine, [undo]) == []
    _restore.put_back(machine, undo)
    assert defaults(machine) == DEFAULTS
    assert machine.read("/var/crash/kexec_cmd") == line
    assert machine.read(LOADED) == "1\n"


@pytest.mark.parametrize(
    ("site", "given", "expected"),
    [
        ("KDUMP_CMDLINE_APPEND='a panic=0 b'", {}, 'KDUMP_CMDLINE_APPEND="a b panic=10"'),
        (
            'KDUMP_CMDLINE_APPEND="a panic=10 b" # ours',
            {"present": ["c=1"]},
            'KDUMP_CMDLINE_APPEND="a panic=10 b c=1" # ours',
        ),
        ('KDUMP_CMDLINE_APPEND="a b=1 b=2"', {"absent": ["b=1", "a"]}, 'KDUMP_CMDLINE_APPEND="b=2 panic=10"'),
        ("KDUMP_CMDLINE_APPEND=a", {"panic": -1}, 'KDUMP_CMDLINE_APPEND="a panic=-1"'),
    ],
)
def test_the_site_s_words_stay(machine: Machine, site: str, given: dict[str, Any], expected: str) -> None:
    machine.write_atomic(debian.KDUMP_DEFAULTS, f"{DEFAULTS}{site}\nA=1\n")
    machine.load()
    play(machine, params(**given))
    assert defaults(machine) == f"{DEFAULTS}{expected}\nA=1\n"


def test_right_in_the_file_and_not_loaded_so(machine: Machine) -> None:
    machine.write_atomic(debian.KDUMP_DEFAULTS, f'{DEFAULTS}KDUMP_CMDLINE_APPEND="{WORDS} panic=10"\n')
    changed, returned, result = play(machine, params())
    assert changed
    assert (returned["reloaded"], returned["undo"]) == (True, None)
    assert result.diff is not None
    assert result.diff["before"] == result.diff["after"]
    assert " panic=10" in machine.read("/var/crash/kexec_cmd")


def test_right_in_the_file_and_cannot_be_loaded(machine: Machine) -> None:
    machine.write_atomic(debian.KDUMP_DEFAULTS, f'{DEFAULTS}KDUMP_CMDLINE_APPEND="{WORDS} panic=10"\n')
    machine.fails = [True]
    with pytest.raises(FleetopsError, match=r"Could not find a free area. No capture kernel is loaded now"):
        play(machine, params())


@pytest.mark.parametrize("loaded", ["0\n", "1\n"])
def test_nothing_is_reserved(machine: Machine, loaded: str) -> None:
    Path(machine.root + SIZE).write_text("0\n")
    Path(machine.root + LOADED).write_text(loaded)
    changed, returned, _result = play(machine, params())
    assert changed
    assert (returned["reloaded"], machine.ran) == (False, [])
    assert "no memory is reserved for a capture kernel" in returned["reloaded_because"]
    assert "panic=10" in defaults(machine)
    assert play(machine, params())[0] is False
    (undo,) = _undo.records(machine)
    _restore.put_back(machine, undo)
    assert (defaults(machine), machine.ran) == (DEFAULTS, [])


NOT_ARMED = "memory is reserved and no capture kernel is loaded"


def test_memory_is_reserved_and_nothing_loaded(machine: Machine) -> None:
    Path(machine.root + LOADED).write_text("0\n")
    changed, predicted, result = play(machine, params(), check_mode=True)
    assert (changed, machine.ran, defaults(machine)) == (True, [], DEFAULTS)
    changed, returned, again = play(machine, params())
    assert (changed, returned["reloaded"], returned["reloaded_because"]) == (True, True, NOT_ARMED)
    assert {**returned, "undo": None} == predicted
    assert result.diff == again.diff
    assert machine.read(LOADED) == "1\n"
    assert " panic=10" in machine.read("/var/crash/kexec_cmd")
    assert play(machine, params())[0] is False
    (undo,) = _undo.records(machine)
    assert undo["restore"][-1] == {"do": "reload_capture", "loaded": False}
    machine.ran.clear()
    _restore.put_back(machine, undo)  # one is loaded now: with the old words
    assert (defaults(machine), machine.ran) == (DEFAULTS, ["unload", "load"])
    assert " panic=10" not in machine.read("/var/crash/kexec_cmd")


def test_right_in_the_file_and_nothing_loaded(machine: Machine) -> None:
    machine.write_atomic(debian.KDUMP_DEFAULTS, f'{DEFAULTS}KDUMP_CMDLINE_APPEND="{WORDS} panic=10"\n')
    Path(machine.root + LOADED).write_text("0\n")
    changed, returned, result = play(machine, params())
    assert (changed, returned["reloaded"], returned["undo"]) == (True, True, None)
    assert returned["reloaded_because"] == NOT_ARMED
    assert result.diff is not None
    assert result.diff["before"] == result.diff["after"]
    assert machine.read(LOADED) == "1\n"


def test_nothing_is_loaded_where_nothing_can_load_it(machine: Machine) -> None:
    """A package that was removed leaves its defaults file."""
    machine.write_atomic(debian.KDUMP_DEFAULTS, f'{DEFAULTS}KDUMP_CMDLINE_APPEND="a"\n')
    machine.remove(debian.KDUMP_CONFIG)
    Path(machine.root + LOADED).write_text("0\n")
    changed, returned, _result = play(machine, params())
    assert (changed, returned["reloaded"], machine.ran) == (True, False, [])
    assert returned["reloaded_because"].startswith(
        "no capture kernel is loaded: the words hold from the next"
    )


def test_what_is_loaded_is_unknown(machine: Machine) -> None:
    facts = kdump.read(machine)
    facts["capture"]["loaded"] = None
    facts["unknown"]["capture.loaded"] = "not for you"
    assert kdump_cmdline.decide(facts, ["panic=10"]) == (
        False,
        "not for you: the words hold from the next time that it is loaded",
    )


@pytest.mark.parametrize(
    "error",
    [
        "'kdump-config load' failed with return code 1: USE_KDUMP is not set or zero",
        # A reservation that is too small to load into: the larger one comes with the next boot, and finds the words.
        "'kdump-config load' failed with return code 1: Could not find a free area of memory",
    ],
)
def test_nothing_loaded_before_and_nothing_can_be_loaded_now(machine: Machine, error: str) -> None:
    Path(machine.root + LOADED).write_text("0\n")
    machine.fails, machine.error = [True], error
    changed, returned, result = play(machine, params())
    assert (changed, returned["reloaded"]) == (True, False)
    assert returned["reloaded_because"].startswith(error)
    assert result.warnings == [returned["reloaded_because"]]
    assert "panic=10" in defaults(machine)
    assert machine.ran == ["unload", "load"]
    assert len(_undo.records(machine)) == 1


def test_a_load_that_fails_puts_the_old_image_back(machine: Machine) -> None:
    line = machine.read("/var/crash/kexec_cmd")
    machine.fails = [True]
    with pytest.raises(FleetopsError, match=r"Could not find a free area.*Everything was put back"):
        play(machine, params())
    assert machine.ran == ["unload", "load", "unload", "load"]
    assert defaults(machine) == DEFAULTS
    assert machine.read("/var/crash/kexec_cmd") == line
    assert machine.read(LOADED) == "1\n"
    assert _undo.records(machine) == []


def test_a_load_that_fails_twice_says_so(machine: Machine) -> None:
    machine.fails = [True, True]
    with pytest.raises(
        FleetopsError, match=r"Putting back how it was failed as well.*The undo record \S+ is kept"
    ):
        play(machine, params())
    assert defaults(machine) == DEFAULTS
    assert machine.read(LOADED) == "0\n"


def test_a_load_that_forgets_the_words(machine: Machine) -> None:
    machine.forgets = True
    with pytest.raises(FleetopsError, match=r"was loaded, but not with .*panic=10.*put back"):
        play(machine, params())
    assert defaults(machine) == DEFAULTS


@pytest.mark.parametrize(
    ("site", "given", "says"),
    [
        ("", {"panic": 0}, "panic: 0 would leave a capture kernel"),
        ("", {"present": ["a b"]}, "'a b' is not a kernel command-line token"),
        ("", {"present": ["panic=5"]}, "'panic=5' "),
        ("", {"present": ['a="b c"']}, "kdump's own shell removes its quotes"),
        ("", {"absent": ["panic"]}, "'panic=10' is asked for, but 'absent'"),
        ('KDUMP_CMDLINE_APPEND="$A b"', {}, "worked out by the shell"),
        ("KDUMP_CMDLINE_APPEND=a#b", {}, "more than a plain shell word"),
    ],
)
def test_bad_input_changes_nothing(machine: Machine, site: str, given: dict[str, Any], says: str) -> None:
    machine.write_atomic(debian.KDUMP_DEFAULTS, f"{DEFAULTS}{site}\n")
    with pytest.raises(FleetopsError) as caught:
        play(machine, params(**given))
    assert says in caught.value.msg
    assert defaults(machine) == f"{DEFAULTS}{site}\n"
    assert machine.ran == []


def test_without_kdump(machine: Machine) -> None:
    machine.remove(debian.KDUMP_DEFAULTS)
    with pytest.raises(FleetopsError, match="kdump is not installed here"):
        play(machine, params())
