# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree with a GRUB of its own: `update-grub` does here what 10_linux does, and /bin/sh is the real one."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._boots import words
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _boot, debian
from ansible_collections.fleetops.kernel.plugins.modules import kernel_cmdline

RELEASES = ("6.1.0-49-cloud-amd64", "6.1.0-47-cloud-amd64")
CUSTOM = """
menuentry 'Somebody else on sdb' --class gnu-linux $menuentry_id_option 'osprober-gnulinux-simple-1' {
\tlinux /boot/vmlinuz-5.10.0-1-amd64 root=/dev/sdb1 ro single-user
}
menuentry 'By hand' {
\tlinux /boot/memtest
}
"""


class Machine(Host):
    """Runs update-grub and /bin/sh on the tree."""

    def __init__(self, root: Path) -> None:
        (root / CAPTURE_FILE).write_text("{}")  # what is not in this tree is not there
        super().__init__(str(root))
        self.ran: list[str] = []
        self.broken = False
        self.stubborn = ""

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        self.ran.append(argv[0])
        if argv[0] == "/bin/sh":
            here = [word.replace("/etc/default/", f"{self.root}/etc/default/") for word in argv]
            done = subprocess.run(here, capture_output=True, text=True, check=False)
            return self._checked(argv, done.returncode, done.stdout, done.stderr, ok)
        assert list(argv) == ["update-grub"]
        if self.broken:
            raise FleetopsError("'update-grub' failed with return code 1: no space left on device")
        self.generate()
        return ""

    def generate(self) -> None:
        grub = f"{self.root}/etc/default/grub"
        loop = f"for x in {grub} {grub}.d/*.cfg; do [ ! -e $x ] || . $x; done"
        script = f'set -e; {loop}; printf "%s\\n" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'
        linux, default = subprocess.check_output(["/bin/sh", "-c", script], text=True).split("\n")[:2]
        handoff = " $vt_handoff" if "splash" in default.split() else ""

        def entry(title: str, identity: str, release: str, words: str) -> str:
            return (
                f"menuentry '{title}' --class debian $menuentry_id_option '{identity}' {{\n"
                f"\tinsmod gzio\n\tlinux\t/boot/vmlinuz-{release} root=UUID=42 ro {words}{self.stubborn}\n"
                f"\tinitrd\t/boot/initrd.img-{release}\n}}\n"
            )

        normal, recovery = f"{linux} {default}{handoff}", f"single {linux}"
        text = 'set default="0"\n' + entry("Debian GNU/Linux", "gnulinux-simple-42", RELEASES[0], normal)
        text += "submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-42' {\n"
        for release in RELEASES:
            title = f"Debian GNU/Linux, with Linux {release}"
            text += entry(title, f"gnulinux-{release}-advanced-42", release, normal)
            text += entry(f"{title} (recovery mode)", f"gnulinux-{release}-recovery-42", release, recovery)
        path = Path(self.root, "boot/grub/grub.cfg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "}\n" + CUSTOM)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    files = {
        "etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="net.ifnames=0"\n',
        "etc/default/grub.d/50-cloud.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="console=tty0 console=ttyS0,115200"\n',
        "etc/default/grub.d/kdump-tools.cfg": (
            'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=384M-:128M"\n'
        ),
        "proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz root=UUID=42 ro console=tty0 crashkernel=384M-:128M\n",
        "proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = Machine(tmp_path)
    made.generate()
    monkeypatch.setattr(_guard, "require_platform", lambda host, role="": debian)
    return made


def params(**given: list[str]) -> dict[str, Any]:
    return {"present": [], "absent": [], "replace": [], **given}


def play(
    host: Host, given: Mapping[str, Any], check_mode: bool = False
) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    result = kernel_cmdline.run(host, given)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(kernel_cmdline.apply(host, given, result))
    return bool(result.plan), returned, result


def snapshot(root: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in Path(root).rglob("*")
        if path.is_file() and "var/lib/fleetops" not in str(path)
    }


CRASH = params(replace=["crashkernel=224M"], present=["panic=30"])
EXPECTED = "root=UUID=42 ro net.ifnames=0 console=tty0 console=ttyS0,115200 crashkernel=224M panic=30"


def test_check_mode_predicts_what_is_generated_and_touches_nothing(machine: Machine) -> None:
    before = snapshot(machine.root)
    changed, predicted, result = play(machine, CRASH, check_mode=True)
    assert changed
    assert snapshot(machine.root) == before
    assert "update-grub" not in machine.ran
    assert [entry["cmdline"] for entry in predicted["entries"]] == [EXPECTED] * 3
    diff = result.diff

    changed, done, result = play(machine, CRASH)
    assert changed
    assert done["entries"] == predicted["entries"]
    assert result.diff == diff
    assert [entry["cmdline"] for entry in words.entries(machine, debian)] == [EXPECTED.split()] * 3
    assert diff is not None
    assert "crashkernel=384M-:128M\n" in diff[1]["before"]
    assert diff[1]["after"].splitlines()[0] == f"Debian GNU/Linux: {EXPECTED}"


def test_twice_is_once_and_undo_is_byte_for_byte(machine: Machine) -> None:
    before = snapshot(machine.root)
    _changed, first, _result = play(machine, CRASH)
    after = snapshot(machine.root)
    changed, second, _result = play(machine, CRASH)
    assert not changed
    assert second["undo"] is None
    assert snapshot(machine.root) == after
    (undo,) = _undo.records(machine)
    assert undo["id"] == first["undo"]
    assert _restore.conflicts(machine, [undo]) == []
    _restore.put_back(machine, undo)
    assert snapshot(machine.root) == before


def test_a_second_call_joins_the_first(machine: Machine) -> None:
    play(machine, params(replace=["crashkernel=224M"]))
    play(machine, params(absent=["quiet", "net.ifnames"], present=["panic=30"]))
    line = "root=UUID=42 ro console=tty0 console=ttyS0,115200 crashkernel=224M panic=30"
    assert [entry["cmdline"] for entry in words.entries(machine, debian)] == [line.split()] * 3
    assert not play(machine, CRASH)[0]
    newest, oldest = _undo.newest_first(_undo.records(machine))
    assert _restore.conflicts(machine, [oldest]) != []
    assert _restore.conflicts(machine, [oldest, newest]) == []


def test_what_the_site_says_itself_is_left_where_it_stands(machine: Machine) -> None:
    changed, _returned, _result = play(machine, params(present=["console=tty0", "quiet=no"]))
    assert changed
    text = machine.read(debian.CMDLINE_DROPIN)
    assert '{"add": ["quiet=no"], "remove": []}' in text
    # the last console= is /dev/console: moving one of them would change that
    assert "console=tty0 console=ttyS0,115200" in " ".join(words.entries(machine, debian)[0]["cmdline"])


def test_reboot_required_is_about_the_running_kernel(machine: Machine) -> None:
    assert play(machine, CRASH)[1]["reboot_required"] is True
    Path(machine.root, "proc/cmdline").write_text(f"BOOT_IMAGE=/boot/vmlinuz {EXPECTED}\n")
    changed, returned, _result = play(machine, CRASH)
    assert (changed, returned["reboot_required"]) == (False, False)


def test_a_run_that_was_killed_before_update_grub_is_finished(machine: Machine) -> None:
    result = kernel_cmdline.run(machine, CRASH)
    machine.broken = True
    text = result.plan[0]["change"].files[0].after
    undo = _undo.record(
        machine,
        "kernel_cmdline",
        None,
        [_undo.restore_file(machine, debian.CMDLINE_DROPIN, text), {"do": "update_boot_config"}],
    )
    machine.write_atomic(debian.CMDLINE_DROPIN, text)
    machine.broken = False

    changed, returned, _result = play(machine, CRASH)
    assert changed
    assert returned["undo"] == undo["id"]
    assert returned["entries"][0]["cmdline"] == EXPECTED
    assert len(_undo.records(machine)) == 1


def test_a_drop_in_that_somebody_removed_without_update_grub_is_noticed(machine: Machine) -> None:
    play(machine, CRASH)
    machine.remove(debian.CMDLINE_DROPIN)
    changed, returned, _result = play(machine, CRASH)
    assert changed
    assert returned["entries"][0]["cmdline"] == EXPECTED


def test_what_update_grub_cannot_do_is_put_back(machine: Machine) -> None:
    before = snapshot(machine.root)
    machine.broken = True
    with pytest.raises(
        FleetopsError, match=r"no space left on device.*Putting back.*failed as well.*is kept"
    ):
        play(machine, CRASH)
    machine.broken = False
    (undo,) = _undo.records(machine)
    _restore.put_back(machine, undo)
    assert snapshot(machine.root) == before


def test_a_configuration_that_does_not_obey_is_put_back(machine: Machine) -> None:
    before = snapshot(machine.root)
    machine.stubborn = " crashkernel=1M"
    with pytest.raises(
        FleetopsError, match=r"not as declared.*'crashkernel=224M' is wanted alone.*put back as it was"
    ):
        play(machine, CRASH)
    assert not machine.exists(debian.CMDLINE_DROPIN)
    assert _undo.records(machine) == []
    machine.stubborn = ""
    machine.generate()
    assert snapshot(machine.root) == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"present": ["a b"]}, "'a b' is not a kernel command-line token"),
        ({"replace": ["crashkernel=224Q"]}, "224Q"),
        ({"replace": ["crashkernel"]}, "crashkernel"),
        ({"present": ["crashkernel=2G-1G:64M"]}, "2G-1G:64M"),
        ({"present": ["x"], "absent": ["x"]}, "'x' is asked for, but 'absent' takes it out"),
        # not from the variables: 10_linux writes it
        ({"absent": ["ro"]}, "'ro' is there"),
        ({"replace": ["root=/dev/sda1"]}, "'root=/dev/sda1' is wanted alone"),
        ({"present": ["x=" + "y" * 2000]}, "bytes, and the kernel cuts it at 2047"),
    ],
)
def test_bad_input_changes_nothing(machine: Machine, given: dict[str, list[str]], says: str) -> None:
    before = snapshot(machine.root)
    with pytest.raises(FleetopsError) as caught:
        play(machine, params(**given))
    assert says in caught.value.msg
    assert snapshot(machine.root) == before
    assert not machine.exists(_undo.DIRECTORY)
    assert "update-grub" not in machine.ran


def test_words_after_two_dashes_are_init_s(machine: Machine) -> None:
    machine.write_atomic(
        "/etc/default/grub.d/60-site.cfg", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX -- single"\n'
    )
    machine.generate()
    with pytest.raises(FleetopsError, match="'panic=30' is missing"):
        play(machine, params(present=["panic=30"]))


def test_a_file_of_that_name_which_is_not_ours_is_kept(machine: Machine) -> None:
    machine.write_atomic(debian.CMDLINE_DROPIN, "GRUB_TIMEOUT=1\n")
    with pytest.raises(FleetopsError, match=r"zz-fleetops\.cfg' is not as this collection writes it"):
        play(machine, CRASH)
    assert machine.read(debian.CMDLINE_DROPIN) == "GRUB_TIMEOUT=1\n"


def test_another_boot_loader(machine: Machine) -> None:
    machine.remove(debian.GRUB_CFG)
    with pytest.raises(
        FleetopsError, match=r"only GRUB is supported, and .*neither '/boot/grub/grub\.cfg' nor"
    ):
        play(machine, CRASH)
    machine.generate()
    path = Path(machine.root + _boot.LOADER_INFO)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\6\0\0\0" + "systemd-boot 252".encode("utf-16-le"))
    with pytest.raises(FleetopsError, match="booted by systemd-boot, and only GRUB's own menu is supported"):
        play(machine, CRASH)


def test_a_menu_without_such_an_entry(machine: Machine) -> None:
    Path(machine.root, "boot/grub/grub.cfg").write_text(CUSTOM)
    with pytest.raises(FleetopsError, match="no entry that update-grub made"):
        play(machine, CRASH)
