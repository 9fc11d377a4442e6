# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with a GRUB of its own: `update-grub` does what 10_linux does; 00_header and grub-editenv are real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import kexec, situation
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import kernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bootpin, trialguard
from ansible_collections.fleetops.kernel.plugins.modules import next_boot

OLD, NEW = "6.1.0-47-cloud-amd64", "6.1.0-56-cloud-amd64"
WORDS = "root=UUID=42 ro console=ttyS0 quiet"
GRUBENV = "/boot/grub/grubenv"
SYS_LOADED = "/sys/kernel/kexec_loaded"
FILES = (trialguard.UNIT_PATH, trialguard.WANTS_PATH)


def path_of(release: str) -> str:
    return f"gnulinux-advanced-42>gnulinux-{release}-advanced-42"


class Machine(Host):
    """Runs what changes the boot on the tree."""

    def __init__(self, root: Path) -> None:
        notes = {"listings": {"/sys/dev/block/254:1": ["partition"], "/sys/firmware": ["acpi"]}}
        # What is not in this tree is not there.
        (root / CAPTURE_FILE).write_text(json.dumps({**notes, "machine": "x86_64"}))
        super().__init__(str(root))
        self.ran: list[list[str]] = []
        self.fails = ""
        self.left_at: dict[str, list[str]] = {}
        self.releases = [NEW, OLD]
        self.header = ""

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] == "/bin/sh":
            return self.really([word.replace("/etc/default/", f"{self.root}/etc/default/") for word in argv])
        if argv[0] == "dpkg-query":  # the facts ask, and nothing is changed by it
            raise Missing("The command 'dpkg-query' does not exist on this node")
        self.ran.append(list(argv))
        # What a power cut at this command would leave of a guard.
        self.left_at[argv[0]] = [path for path in FILES if self.exists(path)]
        if argv[0] == self.fails:
            raise FleetopsError(f"'{argv[0]}' failed with return code 1: no space left on device")
        if argv[0] == "update-grub":
            self.generate()
        elif argv[0] == "grub-reboot":
            self.really(["grub-editenv", self.root + GRUBENV, "set", f"next_entry={argv[1]}"])
        elif argv[0] == "grub-editenv":
            self.really([argv[0], self.root + argv[1], *argv[2:]])
        elif argv[0] == "kexec":
            self.put(SYS_LOADED, "0\n" if "-u" in argv else "1\n")
        elif argv[0] not in ("systemctl", "sync"):
            raise Missing(f"The command '{argv[0]}' does not exist on this node")
        return ""

    def really(self, argv: Sequence[str]) -> str:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return self._checked(argv, done.returncode, done.stdout, done.stderr, (0,))

    def put(self, path: str, text: str) -> None:
        file = Path(self.root + path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def generate(self) -> None:
        grub = f"{self.root}/etc/default/grub"
        loop = f"for x in {grub} {grub}.d/*.cfg; do [ ! -e $x ] || . $x; done"
        value = self.really(["/bin/sh", "-c", f'{loop}; printf %s "$GRUB_DEFAULT"'])
        variables = {"GRUB_DEFAULT": value, "GRUB_TERMINAL_INPUT": "serial", "GRUB_TERMINAL_OUTPUT": "serial"}
        words = [f"{name}={text}" for name, text in {**variables, "pkgdatadir": "/usr/share/grub"}.items()]
        header = self.really(["env", *words, "/bin/sh", "/etc/grub.d/00_header"])

        def entry(title: str, identity: str, release: str, words: str) -> str:
            return (
                f"menuentry '{title}' --class debian $menuentry_id_option '{identity}' {{\n"
                f"\tlinux\t/boot/vmlinuz-{release} {words}\n\tinitrd\t/boot/initrd.img-{release}\n}}\n"
            )

        text = f"{header}\n{self.header}\n"
        text += entry("Debian GNU/Linux", "gnulinux-simple-42", self.releases[0], WORDS)
        text += "submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-42' {\n"
        for release in self.releases:
            title = f"Debian GNU/Linux, with Linux {release}"
            text += entry(title, f"gnulinux-{release}-advanced-42", release, WORDS)
            text += entry(
                f"{title} (recovery mode)", f"gnulinux-{release}-recovery-42", release, f"{WORDS} single"
            )
        self.put("/boot/grub/grub.cfg", text + "}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    files = {
        "/etc/default/grub": "GRUB_DEFAULT=0\n",
        "/etc/default/grub.d/50-cloudimg-settings.cfg": "GRUB_TIMEOUT=0\n",
        "/etc/os-release": "ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n",
        "/proc/version": f"Linux version {OLD}\n",
        "/proc/sys/kernel/osrelease": f"{OLD}\n",
        "/proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
        "/proc/self/mountinfo": "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n",
        "/sys/class/x": "",
        "/sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
        SYS_LOADED: "0\n",
        "/sbin/kexec": "",
        "/run/x": "",
        **{f"/boot/{name}-{release}": name for name in ("vmlinuz", "initrd.img") for release in (OLD, NEW)},
    }
    for path, text in files.items():
        made.put(path, text)
    made.generate()
    made.really(["grub-editenv", made.root + GRUBENV, "create"])
    monkeypatch.setattr(_guard, "require_platform", lambda host, role="": debian)
    return made


def params(state: str, release: str | None = NEW, **given: Any) -> dict[str, Any]:
    return {"state": state, "release": release, "pin": False, "guard": 0, "panic": 0, **given}


def play(
    host: Host, given: Mapping[str, Any], check_mode: bool = False
) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    result = next_boot.run(host, given)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(next_boot.apply(host, given, result))
    return bool(result.plan), returned, result


def snapshot(root: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and "var/lib/fleetops" not in str(path)
    }


def without_undo(returned: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in returned.items() if key != "undo"}


PIN_OLD = params("default", OLD)
TRIALS = [
    PIN_OLD,
    params("default", NEW, pin=True),
    params("once", NEW),
    params("once", NEW, guard=600),
    params("kexec", NEW),
    params("kexec", NEW, guard=600, panic=10),
]


@pytest.mark.parametrize("given", TRIALS)
def test_check_mode_is_exact_twice_is_once_and_undo_is_byte_for_byte(
    machine: Machine, given: dict[str, Any]
) -> None:
    before = snapshot(machine.root)
    changed, predicted, result = play(machine, given, check_mode=True)
    assert changed
    assert snapshot(machine.root) == before
    assert machine.ran == []
    diff = result.diff

    changed, done, result = play(machine, given)
    assert changed
    assert without_undo(done) == without_undo(predicted)
    assert result.diff == diff
    after = snapshot(machine.root)
    assert after != before

    changed, again, _result = play(machine, given)
    assert not changed
    assert without_undo(again) == without_undo(done)
    assert snapshot(machine.root) == after

    (undo,) = _undo.records(machine)
    assert undo["id"] == done["undo"]
    assert _restore.conflicts(machine, [undo]) == []
    record = Path(f"{machine.root}{_undo.DIRECTORY}/{undo['id']}.json")
    text = record.read_text()
    for _turn in range(2):  # a restore that was killed is started again
        record.write_text(text)
        _restore.put_back(machine, undo)
        assert snapshot(machine.root) == before


# --- from now on -------------------------------------------------------------------------------------


def test_what_the_site_selects_anyhow_is_left_alone(machine: Machine) -> None:
    changed, returned, _result = play(machine, params("default"))
    assert not changed
    assert (returned["default"]["release"], returned["default"]["named_by"]) == (NEW, "first")
    assert returned["pinned"] is None
    assert _undo.records(machine) == []


@pytest.mark.parametrize(
    ("setting", "environment", "pins"),
    [
        ("0", "", True),
        ("1>2", "", True),  # by number: it is the old one today
        (path_of(OLD), "", False),
        ("saved", path_of(OLD), False),
        ("saved", path_of(NEW), True),
        ("", "", True),
        ("gnulinux-simple-42", "", True),
    ],
)
def test_a_pin_is_made_only_where_the_site_does_not_hold_the_kernel(
    machine: Machine, setting: str, environment: str, pins: bool
) -> None:
    machine.put("/etc/default/grub", f"GRUB_DEFAULT='{setting}'\n")
    if environment:
        machine.run(["grub-editenv", GRUBENV, "set", f"saved_entry={environment}"])
    machine.generate()
    changed, returned, _result = play(machine, params("default", OLD, pin=True))
    assert changed is pins
    assert returned["default"]["entry"] == path_of(OLD)
    assert returned["default"]["named_by"] == "id"
    assert bool(returned["pinned"]) is pins


def test_the_commit_leaves_the_site_s_own_default_in_place(machine: Machine) -> None:
    """The old kernel is pinned before the new one is installed; then the new one holds."""
    machine.releases = [OLD]
    machine.generate()
    before = snapshot(machine.root)
    assert not play(machine, PIN_OLD)[0]
    _changed, first, _result = play(machine, params("default", OLD, pin=True))
    assert first["pinned"] == {"path": debian.DEFAULT_DROPIN, "entry": path_of(OLD), "release": OLD}
    machine.releases = [NEW, OLD]
    machine.generate()
    assert debian.next_boot(machine)["release"] == OLD, "what was installed does not boot by itself"
    changed, second, _result = play(machine, params("default", NEW))
    assert changed
    assert (second["default"]["release"], second["default"]["named_by"]) == (NEW, "first")
    assert not machine.exists(debian.DEFAULT_DROPIN)
    # and back: the pin of before is there again
    _restore.put_back(machine, _undo.newest_first(_undo.records(machine))[0])
    assert debian.next_boot(machine)["release"] == OLD
    assert _restore.conflicts(machine, _undo.records(machine)) == []
    _restore.put_back(machine, _undo.records(machine)[0])
    machine.releases = [OLD]
    machine.generate()
    assert snapshot(machine.root) == before


def test_a_kernel_that_is_installed_later_boots_again_by_itself(machine: Machine) -> None:
    play(machine, PIN_OLD)
    play(machine, params("default", NEW))
    machine.releases = ["6.1.0-99-cloud-amd64", NEW, OLD]
    machine.generate()
    assert debian.next_boot(machine)["release"] == "6.1.0-99-cloud-amd64"


def test_a_run_that_was_killed_before_update_grub_is_finished(machine: Machine) -> None:
    result = next_boot.run(machine, PIN_OLD)
    machine.put(debian.DEFAULT_DROPIN, result.plan[0].steps[0]["text"])
    assert debian.next_boot(machine)["release"] == NEW
    changed, returned, _result = play(machine, PIN_OLD)
    assert changed
    assert returned["default"]["release"] == OLD
    assert not play(machine, PIN_OLD)[0]


def test_a_file_of_the_site_that_is_read_later_is_named(machine: Machine) -> None:
    machine.put("/etc/default/grub.d/zz-later.cfg", "GRUB_TIMEOUT=1\n")
    machine.put("/etc/default/grub.d/zzz-site.cfg", "GRUB_DEFAULT=0\n")
    before = snapshot(machine.root)
    with pytest.raises(FleetopsError, match=r"'/etc/default/grub\.d/zzz-site\.cfg' is read after"):
        play(machine, PIN_OLD)
    assert snapshot(machine.root) == before


@pytest.mark.parametrize("broken", ["update-grub", "script"])
def test_a_choice_that_does_not_come_about_is_put_back(machine: Machine, broken: str) -> None:
    before = snapshot(machine.root)
    if broken == "script":
        machine.header = "set default=0"
        with pytest.raises(
            FleetopsError, match=r"did not come about: default: 6\.1\.0-56.*put back as it was"
        ) as caught:
            play(machine, PIN_OLD)
        # By these, kernel_upgrade tells what an unfinished installation would make the default.
        assert (caught.value.context["boots"], "undo" in caught.value.context) == (NEW, False)
        machine.header = ""
    else:
        machine.fails = "update-grub"
        with pytest.raises(FleetopsError, match=r"no space left.*failed as well.*is kept") as caught:
            play(machine, PIN_OLD)
        assert "undo" in caught.value.context
        machine.fails = ""
        _restore.put_back(machine, _undo.records(machine)[0])
    machine.generate()
    assert snapshot(machine.root) == before


def test_an_entry_that_is_for_one_boot_is_no_default(machine: Machine) -> None:
    play(machine, PIN_OLD)
    play(machine, params("once"))
    assert debian.next_boot(machine)["release"] == NEW
    assert not play(machine, PIN_OLD)[0]


def test_a_file_of_that_name_which_is_not_ours_is_kept(machine: Machine) -> None:
    machine.put(debian.DEFAULT_DROPIN, "GRUB_DEFAULT=3\n")
    with pytest.raises(FleetopsError, match="is not as this collection writes it"):
        play(machine, PIN_OLD)
    assert machine.read(debian.DEFAULT_DROPIN) == "GRUB_DEFAULT=3\n"


# --- for one boot ------------------------------------------------------------------------------------


def test_once_names_the_entry_through_its_submenu_and_leaves_the_default(machine: Machine) -> None:
    _changed, returned, _result = play(machine, params("once", OLD))
    assert returned["once"] == path_of(OLD)
    assert returned["default"]["release"] == NEW
    found = debian.next_boot(machine)
    assert (found["release"], found["once"], found["named_by"]) == (OLD, True, "id")
    assert machine.ran == [["grub-reboot", path_of(OLD)]]


def lvm(machine: Machine) -> None:
    machine._captured["listings"]["/sys/dev/block/254:1"] = ["dm"]
    machine.put("/sys/dev/block/254:1/dm/uuid", "LVM-abc\n")


def no_mounts(machine: Machine) -> None:
    Path(machine.root + "/proc/self/mountinfo").unlink()


def kexec_by_reboot(machine: Machine) -> None:
    machine.put("/etc/default/kexec", "LOAD_KEXEC=true\n")


def loaded_by_others(machine: Machine) -> None:
    machine.put(SYS_LOADED, "1\n")


def pending_other(machine: Machine) -> None:
    machine.run(["grub-editenv", GRUBENV, "set", f"next_entry={path_of(OLD)}"])


def no_next_entry(machine: Machine) -> None:
    text = machine.read("/boot/grub/grub.cfg").replace('"${next_entry}"', '"${other}"')
    machine.put("/boot/grub/grub.cfg", text)


def no_tool(machine: Machine) -> None:
    Path(machine.root + "/sbin/kexec").unlink()


def disabled(machine: Machine) -> None:
    machine.put("/proc/sys/kernel/kexec_load_disabled", "1\n")


def no_image(machine: Machine) -> None:
    Path(machine.root + f"/boot/initrd.img-{NEW}").unlink()


def systemd_boot(machine: Machine) -> None:
    Path(machine.root + "/boot/grub/grub.cfg").unlink()


@pytest.mark.parametrize(
    ("prepare", "given", "says"),
    [
        (lvm, params("once"), "GRUB could not take back an entry for one boot: .*device mapper"),
        (no_mounts, params("once"), "could not take back an entry for one boot: '/proc/self/mountinfo' does not"),
        (kexec_by_reboot, params("once"), "LOAD_KEXEC is true in /etc/default/kexec"),
        (loaded_by_others, params("once"), "a kernel is loaded for kexec"),
        (pending_other, params("once"), f"another entry is for one boot already, '{path_of(OLD)}'"),
        (no_next_entry, params("once"), f"would boot {NEW}"),
        (lambda machine: None, params("once", "6.1.0-48-amd64"), f"no entry .* for 6.1.0-48-amd64.*{OLD}, {NEW}"),
        (lambda machine: None, params("once", OLD, guard=60), "a guard for it would reboot this very node in 60"),
        (lambda machine: None, params("once", guard=-1), "guard: -1 is no time"),
        (lambda machine: None, params("default", "6.1.0-48-amd64"), "no entry"),
        (loaded_by_others, params("kexec"), "loaded for kexec already, and not by this module"),
        (pending_other, params("kexec"), "is for one boot, and a reset after the kexec would take that"),
        (no_tool, params("kexec"), "install the package kexec-tools"),
        (disabled, params("kexec"), "kexec_load_disabled' keeps kernels from being loaded"),
        (no_image, params("kexec"), f"'/boot/initrd.img-{NEW}' does not exist"),
        (systemd_boot, params("once"), "there is no boot loader that can be asked"),
    ],
)  # fmt: skip
def test_refused_and_nothing_is_changed(
    machine: Machine, prepare: Callable[[Machine], None], given: dict[str, Any], says: str
) -> None:
    prepare(machine)
    before = snapshot(machine.root)
    machine.ran.clear()
    with pytest.raises(FleetopsError, match=says):
        play(machine, given)
    assert snapshot(machine.root) == before
    assert machine.ran == []
    assert not machine.exists(_undo.DIRECTORY)


def test_what_ubuntu_keeps_of_an_entry_for_one_boot_is_no_default(machine: Machine) -> None:
    """Its menu for images without an initrd tries an entry for one boot a second time."""
    again = '"${initrdfail}" = 1 ]; then\n  set next_entry="${prev_entry}"\nfi\nif [ "${next_entry}" ]'
    text = machine.read("/boot/grub/grub.cfg").replace('"${next_entry}" ]', again, 1)
    machine.put("/boot/grub/grub.cfg", text)
    machine.run(["grub-editenv", GRUBENV, "set", "initrdfail=1", f"prev_entry={path_of(OLD)}"])
    assert debian.next_boot(machine)["release"] == OLD
    assert debian.next_boot(machine, once="")["release"] == NEW
    with pytest.raises(FleetopsError, match=f"would boot {OLD}"):
        play(machine, params("once", NEW))


def test_an_entry_that_was_not_set_is_seen(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "boot_once", lambda entry: ["systemctl", "nothing", entry])
    with pytest.raises(FleetopsError, match=r"did not come about: for one boot: none.*put back"):
        play(machine, params("once", guard=600))
    assert not machine.exists(trialguard.UNIT_PATH)
    assert _undo.records(machine) == []


# --- by kexec ----------------------------------------------------------------------------------------


def test_kexec_takes_the_words_of_the_entry_and_adds_panic(machine: Machine) -> None:
    _changed, returned, _result = play(machine, params("kexec", panic=10))
    image = f"/boot/vmlinuz-{NEW}", f"--initrd=/boot/initrd.img-{NEW}"
    assert machine.ran == [["kexec", "-l", *image, f"--command-line={WORDS} panic=10"]]
    assert returned["kexec"] == {"release": NEW, "cmdline": f"{WORDS} panic=10"}
    assert play(machine, params("kexec", panic=20))[0]
    # the kernel was installed again since: what is loaded is another one
    machine.put(f"/boot/vmlinuz-{NEW}", "another upload")
    assert play(machine, params("kexec", panic=20))[0]


@pytest.mark.parametrize(
    ("words", "panic", "line"),
    [
        ("ro panic=30", 10, "ro panic=30"),
        ("ro panic=-1 x", 10, "ro panic=-1 x"),
        ("ro panic=0 x", 10, "ro x panic=10"),
        ("ro panic=0", 0, "ro panic=0"),
        ("ro -- single-user", 10, "ro panic=10 -- single-user"),
    ],
)
def test_where_panic_stands(machine: Machine, words: str, panic: int, line: str) -> None:
    text = machine.read("/boot/grub/grub.cfg").replace(WORDS, words)
    machine.put("/boot/grub/grub.cfg", text)
    assert play(machine, params("kexec", panic=panic))[1]["kexec"]["cmdline"] == line


def test_a_locked_kernel_verifies_what_is_loaded(machine: Machine) -> None:
    machine.put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    play(machine, params("kexec"))
    assert machine.ran[0][:3] == ["kexec", "-s", "-l"]
    play(machine, params("cleared", None))
    assert machine.ran[-1] == ["kexec", "-s", "-u"]


def test_an_image_that_does_not_load_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kexec, "kexec_tool", lambda facts: ["systemctl"])
    with pytest.raises(FleetopsError, match=r"did not come about: loaded for kexec: none.*put back"):
        play(machine, params("kexec", guard=600))
    assert not machine.exists(situation.KEXEC_RECORD)
    assert not machine.exists(trialguard.UNIT_PATH)


# --- the guard, and nothing --------------------------------------------------------------------------

RELOAD = ["systemctl", "daemon-reload"]
TAKEN_AWAY = [
    ["sync", "/etc/systemd/system/sysinit.target.d"],
    RELOAD,
    ["systemctl", "stop", "fleetops-trial-guard.*"],
]


def trial_boot(machine: Machine, release: str = NEW) -> None:
    """GRUB has taken the entry back, and this kernel runs."""
    machine.run(["grub-editenv", GRUBENV, "unset", "next_entry"])
    machine.put("/proc/sys/kernel/osrelease", f"{release}\n")
    machine.ran.clear()


def fire(machine: Machine) -> None:
    """The guard has rebooted the node, and nobody was there."""
    machine.remove(trialguard.WANTS_PATH)
    trial_boot(machine, OLD)


def test_the_guard_is_told_as_a_fact_and_confirmed_away(machine: Machine) -> None:
    _changed, returned, _result = play(machine, params("once", guard=600))
    assert returned["trial"] == {"release": NEW, "guard_seconds": 600}
    assert kernel.read(machine)["trial"] == returned["trial"]
    trial_boot(machine)
    changed, returned, _result = play(machine, params("default", NEW))
    assert (changed, returned["trial"], returned["undo"]) == (True, None, None)
    assert not any(machine.exists(path) for path in FILES)
    assert machine.ran == TAKEN_AWAY
    assert not play(machine, params("default", NEW))[0]
    facts = kernel.read(machine)
    assert facts["trial"] is None
    assert "trial" not in facts["unknown"]
    (undo,) = _undo.records(machine)
    assert _restore.conflicts(machine, [undo]) == [], "what was confirmed may be put back, and does no harm"


@pytest.mark.parametrize(("state", "command"), [("once", "grub-reboot"), ("kexec", "kexec")])
def test_no_power_cut_leaves_a_trial_without_its_guard(machine: Machine, state: str, command: str) -> None:
    play(machine, params(state, guard=600))
    assert [argv[0] for argv in machine.ran] == ["systemctl", command]
    assert machine.ran[0] == RELOAD
    assert machine.left_at[command] == list(FILES)
    # and the way back: first the choice, and then its guard
    machine.ran.clear()
    (undo,) = _undo.records(machine)
    _restore.put_back(machine, undo)
    assert [argv[0] for argv in machine.ran] == [
        {"once": "grub-editenv"}.get(state, "kexec"),
        "systemctl",
        "systemctl",
    ]
    assert machine.left_at[machine.ran[0][0]] == list(FILES)


def test_no_power_cut_leaves_a_guard_for_what_has_become_the_default(machine: Machine) -> None:
    play(machine, params("default", OLD, pin=True))
    play(machine, params("once", guard=600))
    trial_boot(machine)
    result = next_boot.run(machine, params("default", NEW))
    paths = [step["path"] for step in result.plan[0].steps if "path" in step]
    assert paths == [trialguard.WANTS_PATH, trialguard.UNIT_PATH, debian.DEFAULT_DROPIN]
    changed, returned, _result = play(machine, params("default", NEW))
    assert (changed, returned["trial"], returned["default"]["release"]) == (True, None, NEW)
    assert machine.ran == [*TAKEN_AWAY, ["update-grub"]]
    assert machine.left_at["update-grub"] == []


def test_a_run_that_was_killed_while_it_took_a_guard_away_is_finished(machine: Machine) -> None:
    """A guard that runs is stopped before the last trace of it goes, or nobody would stop it any more."""
    play(machine, params("once", guard=600))
    trial_boot(machine)
    play(machine, params("default", NEW))
    assert machine.left_at["systemctl"] == [trialguard.UNIT_PATH]
    assert machine.left_at["sync"] == [trialguard.UNIT_PATH]


@pytest.mark.parametrize(
    ("running", "fired", "given", "stays"),
    [
        (NEW, False, params("default", NEW), False),
        (NEW, False, params("default", OLD), False),  # a rollback, before it reboots
        (NEW, False, params("default", NEW, pin=True), False),
        (NEW, False, params("default", OLD, pin=True), True),
        (NEW, True, params("default", OLD, pin=True), False),
        (OLD, False, params("default", OLD), False),
        (OLD, False, params("default", OLD, pin=True), False),
        ("6.1.0-50-cloud-amd64", False, params("default", OLD), False),
        ("6.1.0-50-cloud-amd64", False, params("default", OLD, pin=True), False),
        (OLD, True, params("default", OLD), False),
    ],
)
def test_which_choice_of_a_default_ends_a_trial(
    machine: Machine, running: str, fired: bool, given: dict[str, Any], stays: bool
) -> None:
    play(machine, params("once", guard=600))
    trial_boot(machine, running)
    if fired:
        machine.remove(trialguard.WANTS_PATH)
    _changed, predicted, _result = play(machine, given, check_mode=True)
    _changed, returned, _result = play(machine, given)
    assert without_undo(returned) == without_undo(predicted)
    assert bool(returned["trial"]) is stays
    assert [machine.exists(path) for path in FILES] == [stays, stays]
    assert not play(machine, given)[0]


@pytest.mark.parametrize("state", ["once", "kexec"])
@pytest.mark.parametrize("pin", [False, True])
def test_a_trial_that_is_still_to_come_does_not_outlive_its_guard(
    machine: Machine, state: str, pin: bool
) -> None:
    play(machine, params(state, guard=600))
    machine.ran.clear()
    given = params("default", OLD, pin=pin)
    _changed, predicted, _result = play(machine, given, check_mode=True)
    _changed, returned, _result = play(machine, given)
    assert without_undo(returned) == without_undo(predicted)
    assert (returned["once"], returned["kexec"], returned["trial"]) == ("", None, None)
    command = {"once": "grub-editenv"}.get(state, "kexec")
    assert machine.ran[0][0] == command
    assert machine.left_at[command] == list(FILES)
    assert not play(machine, given)[0]
    _restore.put_back(machine, _undo.newest_first(_undo.records(machine))[0])
    assert debian.pending_boot(machine) == "", "it would have no guard"


def test_a_guard_that_has_fired_is_told_and_cleaned_up(machine: Machine) -> None:
    before = snapshot(machine.root)
    play(machine, params("once", guard=600))
    fire(machine)
    assert kernel.read(machine)["trial"] == {"release": NEW, "guard_seconds": 600}
    changed, returned, _result = play(machine, params("cleared", None))
    assert (changed, returned["trial"]) == (True, None)
    assert snapshot(machine.root) == before
    assert not play(machine, params("cleared", None))[0]


def test_a_trial_after_one_that_failed_is_guarded_again(machine: Machine) -> None:
    play(machine, params("once", guard=600))
    fire(machine)
    given = params("once", guard=600)
    changed, returned, _result = play(machine, given)
    assert (changed, returned["trial"]) == (True, {"release": NEW, "guard_seconds": 600})
    assert machine.left_at["grub-reboot"] == list(FILES)
    assert not play(machine, given)[0]
    fire(machine)
    changed, returned, _result = play(machine, params("once"))
    assert (changed, returned["trial"]) == (True, None)
    assert not any(machine.exists(path) for path in FILES)
    assert not play(machine, params("once"))[0]


def test_a_trial_whose_guard_has_fired_is_put_back(machine: Machine) -> None:
    before = snapshot(machine.root)
    play(machine, params("once", guard=600))
    fire(machine)
    undos = _undo.records(machine)
    assert _restore.conflicts(machine, undos) == []
    _restore.put_back(machine, undos[0])
    after = snapshot(machine.root)
    assert {**after, "proc/sys/kernel/osrelease": b""} == {**before, "proc/sys/kernel/osrelease": b""}


def test_a_guard_that_was_written_in_part_is_completed(machine: Machine) -> None:
    machine.put(trialguard.UNIT_PATH, trialguard.unit(NEW, 600))
    assert play(machine, params("once", guard=600))[0]
    assert machine.exists(trialguard.WANTS_PATH)
    assert play(machine, params("once", guard=300))[1]["trial"] == {"release": NEW, "guard_seconds": 300}
    assert play(machine, params("once"))[1]["trial"] is None


@pytest.mark.parametrize("given", [params("once", guard=600), params("kexec", guard=600)])
def test_cleared_takes_back_a_trial(machine: Machine, given: dict[str, Any]) -> None:
    before = snapshot(machine.root)
    assert not play(machine, params("cleared", None))[0]
    play(machine, given)
    changed, predicted, _result = play(machine, params("cleared", None), check_mode=True)
    changed, returned, _result = play(machine, params("cleared", None))
    assert changed
    assert without_undo(returned) == without_undo(predicted)
    assert (returned["once"], returned["kexec"], returned["trial"]) == ("", None, None)
    assert snapshot(machine.root) == before
    assert not play(machine, params("cleared", None))[0]
    if given["state"] == "once":
        _restore.put_back(machine, _undo.newest_first(_undo.records(machine))[0])
        assert debian.pending_boot(machine) == path_of(NEW)


def test_cleared_leaves_alone_what_others_have_loaded(machine: Machine) -> None:
    loaded_by_others(machine)
    assert not play(machine, params("cleared", None))[0]


def test_what_is_not_ours_is_unknown_to_the_facts(machine: Machine) -> None:
    machine.put(trialguard.UNIT_PATH, "[Service]\nExecStart=/bin/true\n")
    machine.put(debian.DEFAULT_DROPIN, "GRUB_DEFAULT=3\n")
    facts = kernel.read(machine)
    for fact, path in (("trial", trialguard.UNIT_PATH), ("pinned", debian.DEFAULT_DROPIN)):
        assert facts[fact] is None  # type: ignore[literal-required]
        assert facts["unknown"][fact] == f"'{path}' is not as this collection writes it"


@pytest.mark.parametrize("state", ["default", "once"])
def test_another_menu_of_grub_is_not_written_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(debian, "boot_loader", lambda host: "grub-bls")
    with pytest.raises(FleetopsError, match="booted by grub-bls, and only GRUB's own menu is supported"):
        play(machine, params(state))


# --- what is written ---------------------------------------------------------------------------------


def test_what_a_unit_and_a_pin_say_is_read_back() -> None:
    assert trialguard.parse(trialguard.unit(NEW, 600)) == {"release": NEW, "guard_seconds": 600}
    assert bootpin.parse("/x", bootpin.render(path_of(NEW), NEW)) == {
        "path": "/x",
        "entry": path_of(NEW),
        "release": NEW,
    }


@pytest.mark.parametrize(
    "release", ["", "6.1 0", "6.1\n[Service]", "%m", "6.1'", '6.1"', "$(x)", "*", "6.1;x"]
)
def test_nothing_that_is_no_release_comes_into_a_unit(release: str) -> None:
    with pytest.raises(FleetopsError, match="is no release"):
        trialguard.unit(release, 600)


@pytest.mark.parametrize("entry", ["", "a b", "a'b", 'a"b', "a$b", "a`b", "a\\b", "a\nb", "a;b"])
def test_nothing_that_a_shell_or_grub_would_take_apart_comes_into_a_pin(entry: str) -> None:
    with pytest.raises(FleetopsError, match="cannot be named in a shell's file"):
        bootpin.render(entry, NEW)


@pytest.mark.parametrize("change", [("600", "700"), ("sysinit", "x"), ("reboot -ff", "poweroff"), (NEW, OLD)])
def test_a_unit_that_was_changed_is_not_taken_for_ours(change: tuple[str, str]) -> None:
    text = trialguard.unit(NEW, 600)
    if change[0] in text:
        with pytest.raises(FleetopsError, match="is not as this collection writes it"):
            trialguard.parse(text.replace(*change, 1))


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = trialguard.unit(NEW, 600)
    assert f"ConditionKernelVersion={NEW}\n" in text
    assert "DefaultDependencies=no\nIgnoreOnIsolate=yes\n" in text
    assert not set("%$\\") & set(text)


def test_a_guard_leaves_a_dump_alone() -> None:
    """The capture kernel is mostly the one that has crashed, and then of the same release."""
    unit, _section, _service = trialguard.unit(NEW, 600).partition("[Service]")
    assert f"ConditionKernelVersion={NEW}\nConditionPathExists=!/proc/vmcore\n" in unit


@pytest.mark.parametrize("hangs", ["", "rm", "sync"])
def test_a_guard_fires_once_and_fires_whatever_hangs(tmp_path: Path, hangs: str) -> None:
    """A file system that hangs is a reason to reboot, and none not to."""
    (tmp_path / "bin").mkdir()
    done = tmp_path / "done"
    really = {"rm": f'/bin/rm "$1" "$(echo "$2" | sed s,^,{tmp_path},)"'}
    # Where nothing hangs, the while that it gets is long enough, however busy this machine is.
    forgotten = f'[ "$1" != {trialguard._FORGET} ] || until grep -q ^sync {done}; do /bin/sleep 0.05; done'
    waits = "/bin/sleep 0.2" if hangs else forgotten
    for name in ("sleep", "rm", "sync", "systemctl", "timeout"):
        act = {"timeout": 'shift; exec "$@"', "sleep": waits, **really}.get(name, ":")
        act = "exec /bin/sleep 3" if name == hangs else act
        tool = tmp_path / "bin" / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {done}\n{act}\n')
        tool.chmod(0o755)
    dropin = Path(f"{tmp_path}{trialguard.WANTS_PATH}")
    dropin.parent.mkdir(parents=True)
    dropin.write_text(trialguard.WANTS)
    (line,) = [x for x in trialguard.unit(NEW, 600).splitlines() if x.startswith("ExecStart=")]
    script = line.split("'")[1]
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    subprocess.run(
        ["/bin/sh", "-c", script], env=environment, check=True, timeout=30, stdout=subprocess.DEVNULL
    )
    ran = done.read_text().splitlines()
    assert ran[0] == "sleep 600"
    reboots = [x for x in ran if x.startswith("systemctl")]
    assert reboots == ["systemctl --no-block reboot", "systemctl reboot -ff"]
    assert f"rm -f {trialguard.WANTS_PATH}" in ran
    if not hangs:
        assert not dropin.exists()
        order = [x.split()[0] for x in ran]
        assert order.index("rm") < order.index("sync") < order.index("systemctl")
