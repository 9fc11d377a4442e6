# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_cmdline and next_boot where boot entries are files: on composed trees, with the real grub-editenv and sh."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import words
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import redhat
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import trialguard
from ansible_collections.fleetops.kernel.plugins.modules import kernel_cmdline, next_boot

HOSTS = Path(__file__).parents[2] / "fixtures" / "hosts"
OLD, NEW = "5.14.0-570.33.1.el9_6.x86_64", "5.14.0-570.35.1.el9_6.x86_64"
ID = "0" * 32
ENTRIES = "/boot/loader/entries"
CRASH = "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M"
ROOT = f"root=/dev/mapper/rl-root ro {CRASH} resume=/dev/mapper/rl-swap rd.lvm.lv=rl/root rd.lvm.lv=rl/swap"
DEFAULTS = f"""\
GRUB_TIMEOUT=5
GRUB_DEFAULT=saved
GRUB_DISABLE_SUBMENU=true
GRUB_CMDLINE_LINUX="{ROOT.partition(" ro ")[2]}"
GRUB_ENABLE_BLSCFG=true
"""


class Machine(Host):
    """A composed tree that changes: grub2-editenv is Debian's grub-editenv, and sh is sh."""

    def __init__(self, root: Path, name: str = "rocky-9") -> None:
        shutil.copytree(HOSTS / name, root, dirs_exist_ok=True)
        super().__init__(str(root))
        self.ran: list[list[str]] = []
        self.stubborn = False
        self.full = False

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] == "rpm":
            return super().run(argv, ok, env)
        self.ran.append(list(argv))
        if argv[0] in ("systemctl", "sync"):
            return ""
        if argv[0] not in ("/bin/sh", redhat.EDITENV):
            raise Missing(f"The command '{argv[0]}' does not exist on this node")
        if self.stubborn:
            return ""
        if self.full:
            raise FleetopsError("'grub2-editenv' failed with return code 1: environment block too small")
        real = ["grub-editenv" if word == redhat.EDITENV else word for word in argv]
        real = [self.root + word if word.startswith("/boot/") else word for word in real]
        done = subprocess.run(real, capture_output=True, text=True, check=False)
        return self._checked(argv, done.returncode, done.stdout, done.stderr, ok)

    def put(self, path: str, text: str) -> None:
        file = Path(self.root + path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def note(self, **notes: Any) -> None:
        kept = json.loads(Path(self.root, CAPTURE_FILE).read_text())
        self.put(f"/{CAPTURE_FILE}", json.dumps({**kept, **notes}))
        self.__dict__.update(Host(self.root).__dict__)

    def options(self, line: str, release: str | None = None) -> None:
        for name in [release] if release else [OLD, NEW]:
            path = f"{ENTRIES}/{ID}-{name}.conf"
            head, _options, rest = self.read(path).partition("options ")
            self.put(path, f"{head}options {line}\n{rest.partition(chr(10))[2]}")

    def environment(self, *values: str) -> None:
        self.run([redhat.EDITENV, redhat.GRUBENV, "set", *values])
        self.ran.clear()

    def lines(self) -> dict[str, str]:
        return {entry["release"]: " ".join(entry["cmdline"]) for entry in words.entries(self, redhat)}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    made.put("/etc/default/grub", DEFAULTS)
    made.put("/etc/kernel/cmdline", f"{ROOT}\n")
    made.put("/etc/sysconfig/kernel", "UPDATEDEFAULT=no\nDEFAULTKERNEL=kernel-core\n")
    monkeypatch.setattr(_guard, "require_platform", lambda host, role="": redhat)
    return made


@pytest.fixture
def rhel_8(machine: Machine) -> Machine:
    """As RHEL 8 has it: the words of all entries in GRUB's environment, and no /etc/kernel/cmdline."""
    Path(machine.root + "/etc/kernel/cmdline").unlink()
    machine.put("/etc/os-release", 'ID="rocky"\nVERSION_ID="8.10"\n')
    machine.options("$kernelopts $tuned_params")
    machine.environment(f"kernelopts={ROOT}")
    return machine


def declared(**given: list[str]) -> dict[str, Any]:
    return {"present": [], "absent": [], "replace": [], **given}


def boots(state: str, release: str | None = NEW, **given: Any) -> dict[str, Any]:
    return {"state": state, "release": release, "pin": False, "guard": 0, "panic": 0, **given}


def play(
    host: Host, given: Mapping[str, Any], check_mode: bool = False
) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    module: Any = next_boot if "state" in given else kernel_cmdline
    result = module.run(host, given)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(module.apply(host, given, result))
    return bool(result.plan), returned, result


def snapshot(root: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and "var/lib/fleetops" not in str(path)
    }


def without_undo(returned: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in returned.items() if key != "undo"}


def proves_itself(machine: Machine, given: dict[str, Any]) -> dict[str, Any]:
    """Check mode is exact and changes nothing, twice is once, and undo is byte for byte, also when it was killed."""
    before = snapshot(machine.root)
    changed, predicted, result = play(machine, given, check_mode=True)
    assert changed
    assert snapshot(machine.root) == before
    diff = result.diff
    changed, done, result = play(machine, given)
    assert changed
    assert without_undo(done) == without_undo(predicted)
    assert result.diff == diff
    after = snapshot(machine.root)
    changed, again, _result = play(machine, given)
    assert not changed
    assert without_undo(again) == without_undo(done)
    assert snapshot(machine.root) == after
    undo = _undo.records(machine)[-1]
    assert undo["id"] == done["undo"]
    assert _restore.conflicts(machine, [undo]) == []
    record = Path(f"{machine.root}{_undo.DIRECTORY}/{undo['id']}.json")
    text = record.read_text()
    for _turn in range(2):
        record.write_text(text)
        _restore.put_back(machine, undo)
        assert snapshot(machine.root) == before
    play(machine, given)
    return done


# --- the words of the kernels ------------------------------------------------------------------------

PANIC = declared(replace=["crashkernel=512M"], present=["panic=30"], absent=["resume"])
EXPECTED = "root=/dev/mapper/rl-root ro rd.lvm.lv=rl/root rd.lvm.lv=rl/swap{tuned} crashkernel=512M panic=30"


def test_words_in_the_entries(machine: Machine) -> None:
    rescue = machine.read(f"{ENTRIES}/{ID}-0-rescue.conf")
    done = proves_itself(machine, PANIC)
    line = EXPECTED.format(tuned="")
    assert [(entry["release"], entry["cmdline"]) for entry in done["entries"]] == [(NEW, line), (OLD, line)]
    text = machine.read(f"{ENTRIES}/{ID}-{OLD}.conf")
    assert f"\noptions {EXPECTED.format(tuned=' $tuned_params')}\n" in text
    assert text.startswith("title Rocky Linux (5.14.0-570.33.1.el9_6.x86_64)")
    assert text.endswith("grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class rocky\n")
    assert machine.read(f"{ENTRIES}/{ID}-0-rescue.conf") == rescue
    assert done["reboot_required"] is True


def test_kernels_that_are_installed_later_get_the_same(machine: Machine) -> None:
    play(machine, PANIC)
    assert machine.read("/etc/kernel/cmdline") == f"{EXPECTED.format(tuned='')}\n"
    words_of_grub = EXPECTED.format(tuned="").partition(" ro ")[2]
    assert machine.read("/etc/default/grub") == DEFAULTS.replace(ROOT.partition(" ro ")[2], words_of_grub)


def test_what_only_later_kernels_lack_is_given_to_them(machine: Machine) -> None:
    play(machine, PANIC)
    machine.put("/etc/kernel/cmdline", f"{ROOT}\n")
    before = machine.lines()
    changed, _done, result = play(machine, PANIC)
    assert changed
    assert machine.lines() == before
    assert [part["before_header"] for part in result.diff or []] == ["/etc/kernel/cmdline", "boot entries"]


def test_words_in_grub_s_environment(rhel_8: Machine) -> None:
    files = {path: rhel_8.read(f"{ENTRIES}/{path}") for path in rhel_8.listdir(ENTRIES)}
    done = proves_itself(rhel_8, PANIC)
    assert [entry["cmdline"] for entry in done["entries"]] == [EXPECTED.format(tuned="")] * 2
    assert {path: rhel_8.read(f"{ENTRIES}/{path}") for path in rhel_8.listdir(ENTRIES)} == files
    assert "saved_entry=" in rhel_8.read(redhat.GRUBENV)
    assert rhel_8.size(redhat.GRUBENV) == 1024


def test_an_environment_behind_a_link(rhel_8: Machine) -> None:
    """With UEFI, RHEL 8 keeps it on the EFI system partition."""
    place = Path(rhel_8.root + redhat.GRUBENV)
    behind = Path(rhel_8.root + "/boot/efi/EFI/rocky/grubenv")
    behind.parent.mkdir(parents=True)
    place.rename(behind)
    place.symlink_to("../efi/EFI/rocky/grubenv")
    proves_itself(rhel_8, PANIC)
    proves_itself(rhel_8, boots("once"))
    assert place.is_symlink()
    assert not behind.is_symlink()


def test_an_entry_s_own_words_beside_those_it_shares(rhel_8: Machine) -> None:
    rhel_8.options("$kernelopts crashkernel=1G debug", OLD)
    rhel_8.options(f"{ROOT} $tuned_params", NEW)
    proves_itself(rhel_8, PANIC)
    assert rhel_8.lines() == {
        NEW: EXPECTED.format(tuned=""),
        OLD: EXPECTED.format(tuned="") + " debug",
    }


def test_what_somebody_changed_in_the_environment_is_not_put_back(rhel_8: Machine) -> None:
    play(rhel_8, PANIC)
    (undo,) = _undo.records(rhel_8)
    rhel_8.environment("kernelopts=by hand")
    before = snapshot(rhel_8.root)
    with pytest.raises(FleetopsError, match=r"kernelopts in \S+ was changed by somebody else since"):
        _restore.put_back(rhel_8, undo)
    assert snapshot(rhel_8.root) == before


@pytest.mark.parametrize("fault", ["full", "stubborn"])
def test_an_environment_that_does_not_take_it_is_put_back(rhel_8: Machine, fault: str) -> None:
    before = snapshot(rhel_8.root)
    setattr(rhel_8, fault, True)
    with pytest.raises(FleetopsError, match=r"too small|does not say what was declared"):
        play(rhel_8, PANIC)
    rhel_8.full = rhel_8.stubborn = False
    for undo in _undo.records(rhel_8):
        _restore.put_back(rhel_8, undo)
    assert snapshot(rhel_8.root) == before


def test_an_environment_too_small_is_refused_by_the_real_tool(rhel_8: Machine) -> None:
    before = snapshot(rhel_8.root)
    with pytest.raises(FleetopsError, match="environment block too small"):
        play(rhel_8, declared(present=[f"x={'y' * 900}"]))
    assert snapshot(rhel_8.root) == before


def test_words_of_tuned_stay_and_count(machine: Machine) -> None:
    machine.environment("tuned_params=isolcpus=2-3 nohz=on")
    changed, done, _result = play(machine, declared(present=["nohz=on"], absent=["quiet"]))
    assert changed  # only for the kernels that are installed later
    assert set(machine.lines().values()) == {f"{ROOT} isolcpus=2-3 nohz=on"}
    assert done["entries"][0]["cmdline"] == f"{ROOT} isolcpus=2-3 nohz=on"
    before = snapshot(machine.root)
    for given in (declared(absent=["isolcpus"]), declared(replace=["nohz=off"])):
        with pytest.raises(
            FleetopsError, match=r"Nothing was changed: .* names \$tuned_params, which others set"
        ):
            play(machine, given)
        assert snapshot(machine.root) == before


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        (f"{ENTRIES}/{ID}-{OLD}.conf", f"title x\nversion {OLD}\nlinux /vmlinuz-{OLD}\n", "exactly one line"),
        (
            f"{ENTRIES}/{ID}-{OLD}.conf",
            f"linux /vmlinuz-{OLD}\noptions ro\noptions crashkernel=1G\n",
            "exactly one line 'options'",
        ),
        (
            f"{ENTRIES}/{ID}-{OLD}.conf",
            f"linux /vmlinuz-{OLD}\noptions ro crashkernel=$mine\n",
            "is worked out by GRUB",
        ),
        (
            f"{ENTRIES}/{ID}-{OLD}.conf",
            f"linux /vmlinuz-{OLD}\noptions ro $root\n",
            r"what \$root holds, only GRUB can know",
        ),
        (
            f"{ENTRIES}/{ID}-{OLD}.conf",
            f"linux /vmlinuz-{OLD}\noptions ro $kernelopts\n",
            "it has no kernelopts",
        ),
        (f"{ENTRIES}/{ID}-{OLD}.conf", f'linux /vmlinuz-{OLD}\noptions ro a="b\n', "'panic=30' is missing"),
        ("/etc/default/grub", 'GRUB_CMDLINE_LINUX="$(cat /x)"\n', "worked out by the shell"),
        ("/etc/kernel/cmdline", "# mine\nro\n", "it has comments"),
        (
            redhat.GRUB_CFG,
            "menuentry x {\n linux /vmlinuz-1\n}\n",
            "is booted by grub, and only a menu that GRUB",
        ),
    ],
)
def test_what_cannot_be_done_safely_is_refused(machine: Machine, path: str, text: str, says: str) -> None:
    machine.put(path, text)
    before = snapshot(machine.root)
    with pytest.raises(FleetopsError, match=rf"Nothing was changed.*{says}"):
        play(machine, PANIC)
    assert snapshot(machine.root) == before
    assert machine.ran == []


@pytest.mark.parametrize("given", [PANIC, boots("default"), boots("once")])
def test_other_loaders_are_refused(machine: Machine, given: dict[str, Any]) -> None:
    machine.note(machine="s390x")
    with pytest.raises(FleetopsError, match=r"this machine is a s390x, .*zipl"):
        play(machine, given)


def test_openeuler_s_menu_is_refused(tmp_path: Path, machine: Machine) -> None:
    other = Machine(tmp_path / "other", "openeuler-22.03")
    for given in (PANIC, boots("default", "5.10.0-99.0.0.115.oe2203sp4.x86_64")):
        with pytest.raises(
            FleetopsError, match="booted by grub, and only a menu that GRUB makes of boot loader spec"
        ):
            play(other, given)


def test_entries_by_hand_are_not_looked_at(machine: Machine) -> None:
    text = machine.read(redhat.GRUB_CFG)
    machine.put(redhat.GRUB_CFG, f"{text}menuentry mine {{\n linux /vmlinuz-5.14.0-1.el9.x86_64 ro\n}}\n")
    assert set(machine.lines()) == {OLD, NEW}
    play(machine, PANIC)


def test_without_a_file_of_words_a_later_kernel_takes_those_of_the_running_one(machine: Machine) -> None:
    Path(machine.root + "/etc/kernel/cmdline").unlink()
    result = kernel_cmdline.run(machine, PANIC)
    assert result.warnings == [kernel_cmdline.FROM_RUNNING]
    machine.put("/proc/cmdline", EXPECTED.format(tuned=""))
    assert kernel_cmdline.run(machine, PANIC).warnings == []


def test_a_run_that_was_killed_in_between_is_finished(machine: Machine) -> None:
    whole = kernel_cmdline.run(machine, PANIC).plan[0]["change"]
    machine.put(whole.written[0].path, whole.written[0].after)
    proves_itself(machine, PANIC)
    assert set(machine.lines().values()) == {EXPECTED.format(tuned="")}


def test_a_file_that_changes_in_this_moment_stops_it(machine: Machine) -> None:
    result = kernel_cmdline.run(machine, PANIC)
    machine.put("/etc/kernel/cmdline", "ro\n")
    before = snapshot(machine.root)
    with pytest.raises(
        FleetopsError, match="'/etc/kernel/cmdline' was changed by somebody else in this moment"
    ):
        kernel_cmdline.apply(machine, PANIC, result)
    assert snapshot(machine.root) == before


# --- what boots next ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [boots("default"), boots("default", pin=True), boots("once"), boots("once", guard=600)],
)
def test_a_choice_proves_itself(machine: Machine, given: dict[str, Any]) -> None:
    done = proves_itself(machine, given)
    once = given["state"] == "once"
    assert done["default"]["release"] == (OLD if once else NEW)
    assert done["default"]["named_by"] == "id"
    assert done["once"] == (f"{ID}-{NEW}" if once else "")
    assert redhat.next_boot(machine)["release"] == NEW
    assert machine.exists(trialguard.UNIT_PATH) == bool(given["guard"])
    assert machine.size(redhat.GRUBENV) == 1024


def test_grub_takes_the_one_boot_back_by_itself(machine: Machine) -> None:
    play(machine, boots("once"))
    assert redhat.next_boot(machine)["because"].startswith("next_entry in grubenv, for one boot")
    machine.environment("next_entry=")  # what its script does before it boots
    assert redhat.next_boot(machine)["release"] == OLD
    changed, returned, _result = play(machine, boots("cleared", None))
    assert (changed, returned["once"]) == (False, "")


def test_what_nothing_takes_back_is_refused(machine: Machine) -> None:
    text = machine.read(redhat.GRUB_CFG)
    for change in (("save_env next_entry", "true"), ("set next_entry=", "true")):
        machine.put(redhat.GRUB_CFG, text.replace(*change, 1))
        with pytest.raises(FleetopsError, match="next_entry in grubenv, which nothing takes back"):
            play(machine, boots("once"))
    maybe = text.replace("save_env next_entry", "if [ -s $root ]; then save_env next_entry; fi", 1)
    machine.put(redhat.GRUB_CFG, maybe)
    with pytest.raises(FleetopsError, match="which nothing takes back"):
        play(machine, boots("once"))
    assert machine.ran == []


def test_a_count_of_failed_boots_goes_before_an_entry_for_one_boot(machine: Machine) -> None:
    counting = (
        'if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then\n  if [ "${boot_counter}" = "0" ]; then\n'
        "    set default=1\n  else\n    decrement boot_counter\n  fi\n  save_env boot_counter\nfi\n"
    )
    machine.put(redhat.GRUB_CFG, machine.read(redhat.GRUB_CFG).replace("insmod part_gpt\n", counting, 1))
    play(machine, boots("once"), check_mode=True)
    machine.environment("boot_counter=0", "boot_success=0")
    with pytest.raises(FleetopsError, match="would not take an entry for one boot"):
        play(machine, boots("once"))


def test_a_block_that_grub_cannot_write(machine: Machine) -> None:
    machine.put("/proc/self/mountinfo", "22 1 8:2 / / rw - btrfs /dev/sda2 rw\n")
    with pytest.raises(FleetopsError, match="GRUB could not take back an entry for one boot"):
        play(machine, boots("once"))


def test_a_default_by_number_is_no_place_for_a_name(machine: Machine) -> None:
    text = machine.read(redhat.GRUB_CFG)
    machine.put(redhat.GRUB_CFG, text.replace('set default="${saved_entry}"', 'set default="1"'))
    with pytest.raises(FleetopsError, match="set GRUB_DEFAULT=saved"):
        play(machine, boots("default"))


@pytest.mark.parametrize("text", ["UPDATEDEFAULT=yes\n", "", None])
def test_a_pin_needs_kernels_that_do_not_make_themselves_the_default(
    machine: Machine, text: str | None
) -> None:
    if text is None:
        Path(machine.root + redhat.KERNEL_SETTINGS).unlink()
    else:
        machine.put(redhat.KERNEL_SETTINGS, text)
    with pytest.raises(FleetopsError, match=r"pin cannot hold.*UPDATEDEFAULT=no"):
        play(machine, boots("default", OLD, pin=True))
    assert play(machine, boots("default", NEW))[0]


def test_a_default_that_is_first_by_chance_is_named_only_when_pinned(machine: Machine) -> None:
    machine.run([redhat.EDITENV, redhat.GRUBENV, "unset", "saved_entry"])
    assert not play(machine, boots("default"))[0]
    done = proves_itself(machine, boots("default", pin=True))
    assert done["default"]["named_by"] == "id"


def test_an_environment_that_does_not_take_the_default(machine: Machine) -> None:
    machine.stubborn = True
    with pytest.raises(FleetopsError, match="It was set, but did not come about"):
        play(machine, boots("default"))


def test_a_default_that_grub_replaces_at_the_next_boot(machine: Machine) -> None:
    machine.environment(f"prev_saved_entry={ID}-{OLD}")
    with pytest.raises(FleetopsError, match=r"the next boot puts '0+-5\S+' in the place of saved_entry"):
        play(machine, boots("default"))
    assert machine.ran == []


def test_a_default_that_somebody_changed_since_is_not_put_back(machine: Machine) -> None:
    play(machine, boots("default"))
    (undo,) = _undo.records(machine)
    machine.environment(f"saved_entry={ID}-0-rescue")
    with pytest.raises(FleetopsError, match=r"saved_entry in \S+ was changed by somebody else since"):
        _restore.put_back(machine, undo)
    assert f"saved_entry={ID}-0-rescue\n" in machine.read(redhat.GRUBENV)


def test_the_guard_is_gone_before_the_default_changes(machine: Machine) -> None:
    play(machine, boots("once", guard=600))
    machine.environment("next_entry=")
    machine.put("/proc/sys/kernel/osrelease", f"{NEW}\n")
    machine.ran.clear()
    done = play(machine, boots("default"))[1]
    assert (done["trial"], done["default"]["release"]) == (None, NEW)
    assert machine.ran[-1][:2] == [redhat.EDITENV, redhat.GRUBENV]
    assert not machine.exists(trialguard.UNIT_PATH)
