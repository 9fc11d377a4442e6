# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils import _guard, _netlink, _restore, _undo
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._module import Result
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import debian
from ansible_collections.fleetops.kernel.plugins.modules import undo as module

BOOT = "11111111-2222-3333-4444-555555555555"
LINK: dict[str, Any] = {
    "name": "kube-ipvs0",
    "index": 7,
    "kind": "dummy",
    "up": False,
    "addresses": [{"family": "inet", "address": "10.96.0.1", "prefixlen": 32, "scope": "global"}],
}


class Machine(Host):
    """A tree whose platform and links are lists."""

    def __init__(self, root: Path) -> None:
        (root / CAPTURE_FILE).write_text("{}")  # what is not in this tree is not there
        super().__init__(str(root))
        self.did: list[str] = []
        self.fails = ""
        self.installed: list[str] = []

    def platform(self) -> SimpleNamespace:
        def doing(name: str) -> Any:
            def do(_host: Host, *words: Sequence[str]) -> None:
                if name == self.fails:
                    raise FleetopsError(f"{name} does not work")
                self.did.append(" ".join([name, *(",".join(word) for word in words)]))

            return do

        return SimpleNamespace(
            update_boot_config=doing("update"),
            reload_capture=doing("reload"),
            remove_packages=doing("remove"),
            refuses_removal=lambda host, names, gone, again: (
                FleetopsError("remove does not work") if self.fails == "remove" else None
            ),
            kernel_package=debian.kernel_package,
            is_part=debian.is_part,
            exact_name=debian.exact_name,
            packages=lambda host: [
                {"name": "linux-image-6.1.0-47-amd64", "status": "ii"},
                {"name": "linux-image-6.1.0-40-amd64", "status": "rc"},
                *({"name": name, "status": "ii"} for name in self.installed),
            ],
        )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    files = {
        "proc/sys/kernel/random/boot_id": f"{BOOT}\n",
        "proc/sys/kernel/osrelease": "6.1.0-47-amd64\n",
        "sys/kernel/kexec_crash_loaded": "0\n",
        "sys/kernel/kexec_crash_size": "1048576\n",
        "etc/file": "zero\n",
        "sys/class/net/lo/address": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = Machine(tmp_path)
    monkeypatch.setattr(_guard, "require_platform", lambda host: made.platform())
    monkeypatch.setattr(
        _netlink, "add", lambda link, saved: made.did.append(f"add {link['name']} {saved['on']}")
    )
    monkeypatch.setattr(_netlink, "present", lambda name: {"index": 9, "kind": "veth"})
    return made


def play(host: Host, check_mode: bool = False, **given: Any) -> tuple[bool, dict[str, Any], Result]:
    """What `_module.execute` does."""
    params = {"state": "listed", "ids": None, "last": None, "name": None, "restore": None, **given}
    result = module.run(host, params)
    returned = dict(result.returned)
    if result.plan and not check_mode:
        returned.update(module.apply(host, params, result) or {})
    return bool(result.plan), returned, result


def change(host: Host, text: str, *more: Mapping[str, Any], name: str = "kernel_cmdline") -> str:
    undo = _undo.record(host, name, None, [_undo.restore_file(host, "/etc/file", text), *map(dict, more)])
    host.write_atomic("/etc/file", text)
    return undo["id"]


def removed_link(host: Host, on: str | None = None) -> str:
    step = {"do": "add_link", "link": LINK, "saved": {"on": on}}
    return _undo.record(host, "stale_interfaces", None, [step])["id"]


def test_listed_oldest_first_with_a_summary(machine: Machine) -> None:
    first = change(machine, "one\n", {"do": "update_boot_config"})
    second = removed_link(machine)
    Path(machine.root, "proc/sys/kernel/random/boot_id").write_text("another\n")
    third = change(machine, "two\n", {"do": "reload_capture", "loaded": True}, name="kdump_cmdline")
    changed, returned, _result = play(machine)
    assert not changed
    assert [(record["id"], record["this_boot"]) for record in returned["records"]] == [
        (first, False),
        (second, False),
        (third, True),
    ]
    assert [record["summary"] for record in returned["records"]] == [
        f"{first}: put back /etc/file, then generate the boot loader's configuration again",
        f"{second}: make the link kube-ipvs0 again",
        f"{third}: put back /etc/file, then load the capture kernel again",
    ]
    assert returned["records"][0]["conflicts"] == [
        f"{first}: '/etc/file' was changed again by {third}, which must be put back first"
    ]
    assert returned["records"][2]["conflicts"] == []


def test_restored_newest_first(machine: Machine) -> None:
    first = change(machine, "one\n", {"do": "update_boot_config"})
    second = removed_link(machine)
    third = change(machine, "two\n", {"do": "reload_capture", "loaded": True}, name="kdump_cmdline")
    ids = [first, third, second]
    changed, predicted, result = play(machine, state="restored", ids=ids, check_mode=True)
    assert changed
    assert machine.did == []
    assert machine.read("/etc/file") == "two\n"
    assert [record["id"] for record in predicted["records"]] == [third, second, first]
    assert [(part["before_header"], part["before"], part["after"]) for part in result.diff or []] == [
        ("/etc/file", "two\n", "one\n"),
        ("links", "", "kube-ipvs0: dummy DOWN 10.96.0.1/32\n"),
        ("/etc/file", "one\n", "zero\n"),
    ]
    changed, returned, again = play(machine, state="restored", ids=ids)
    assert returned == predicted
    assert again.diff == result.diff
    assert machine.did == ["reload", "add kube-ipvs0 None", "update"]
    assert machine.read("/etc/file") == "zero\n"
    # put back already: nothing is left to do
    assert play(machine, state="restored", ids=ids)[:2] == (False, {"records": [], "refused": []})
    assert play(machine)[1] == {"records": []}


def test_the_last_ones(machine: Machine) -> None:
    change(machine, "one\n")
    change(machine, "two\n")
    change(machine, "three\n")
    play(machine, state="restored", last=2)
    assert machine.read("/etc/file") == "one\n"
    play(machine, state="restored", last=7)
    assert machine.read("/etc/file") == "zero\n"
    assert play(machine, state="restored", last=1)[0] is False


def test_all_conflicts_are_named_and_nothing_is_touched(machine: Machine) -> None:
    first = change(machine, "one\n", {"do": "dance"})
    second = removed_link(machine, on="eth9")
    third = _undo.record(
        machine, "kernel_upgrade", None, [{"do": "remove_package", "names": ["linux-image-6.1.0-47-amd64"]}]
    )["id"]
    Path(machine.root, "sys/class/net/kube-ipvs0").mkdir()
    machine.write_atomic("/etc/file", "theirs\n")
    with pytest.raises(FleetopsError) as caught:
        play(machine, state="restored", last=3, check_mode=True)
    assert caught.value.context["conflicts"] == [
        f"{first}: '/etc/file' was changed by somebody else since",
        f"{third}: linux-image-6.1.0-47-amd64 is the kernel that runs now",
        f"{second}: 'eth9', on which kube-ipvs0 stood, is gone",
        f"{second}: there is another link of the name kube-ipvs0, of the kind veth",
        f"{first}: its step 'dance' is unknown to this version of the collection",
    ]
    assert caught.value.msg.startswith("Nothing was put back: ")
    assert machine.did == []
    assert machine.read("/etc/file") == "theirs\n"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"ids": ["20250102T030405-0009-none"]},
            "there is no undo record 20250102T030405-0009-none (records: 2",
        ),
        ({"ids": ["../../etc/passwd"]}, "'../../etc/passwd' is no id of an undo record"),
        ({"last": 0}, "last: 0 names no record"),
        ({"last": -1}, "last: -1 names no record"),
    ],
)
def test_bad_choices(machine: Machine, given: dict[str, Any], says: str) -> None:
    change(machine, "one\n")
    with pytest.raises(FleetopsError) as caught:
        play(machine, state="restored", **given)
    assert says in caught.value.msg
    assert machine.read("/etc/file") == "one\n"


def test_a_step_that_fails_says_how_far_it_came(machine: Machine) -> None:
    machine.remove("/etc/file")
    first = change(machine, "one\n", {"do": "update_boot_config"})
    second = change(machine, "two\n")
    machine.fails = "update"
    with pytest.raises(FleetopsError) as caught:
        play(machine, state="restored", last=2)
    assert caught.value.msg == (
        f"{first} was not put back: update does not work. Of {first}, done: remove /etc/file; "
        f"not done: generate the boot loader's configuration again. Put back: {second}"
    )
    assert [undo["id"] for undo in _undo.records(machine)] == [first]
    machine.fails = ""
    assert play(machine, state="restored", last=2)[0] is True
    assert machine.did == ["update"]


def test_a_change_that_failed_says_what_was_put_back_and_what_was_not(machine: Machine) -> None:
    identity = change(
        machine, "one\n", {"do": "update_boot_config"}, {"do": "reload_capture", "loaded": True}
    )
    (undo,) = _undo.records(machine)
    machine.fails = "update"
    with pytest.raises(FleetopsError) as caught:
        _restore.after_failure(machine, undo, FleetopsError("update-grub failed"))
    assert caught.value.msg == (
        "update-grub failed. Putting back how it was failed as well: update does not work. "
        f"Of {identity}, done: put back /etc/file; not done: generate the boot loader's configuration again, "
        f"load the capture kernel again. The undo record {identity} is kept"
    )
    assert machine.read("/etc/file") == "zero\n"
    assert machine.did == []
    assert _undo.records(machine) == [undo]


def test_a_removal_that_is_refused_is_announced_and_stops_nothing_else(machine: Machine) -> None:
    machine.installed = ["linux-image-6.1.0-49-amd64"]
    first = change(machine, "one\n")
    steps: list[dict[str, Any]] = [*RESTORE, {"do": "update_boot_config"}]
    second = _undo.record(machine, "kernel_packages", None, steps)["id"]
    machine.fails = "remove"
    _changed, looked, result = play(machine, state="restored", last=2, check_mode=True)
    assert looked["refused"] == [f"{second}: remove does not work"]
    assert result.warnings == [f"It is refused, and all else is put back: {second}: remove does not work"]
    assert [part["before_header"] for part in result.diff or []] == ["/etc/file"]
    with pytest.raises(FleetopsError) as caught:
        play(machine, state="restored", last=2)
    assert caught.value.msg == (
        f"{second} was not put back: remove does not work. Of {second}, done: generate the boot loader's "
        f"configuration again; not done: remove linux-image-6.1.0-49-amd64. Put back: {first}"
    )
    assert caught.value.context["restored"] == [first]
    assert machine.did == ["update"]
    assert [undo["id"] for undo in _undo.records(machine)] == [second]
    machine.fails = ""
    assert play(machine, state="restored", last=1)[1]["refused"] == []
    assert _undo.records(machine) == []


RESTORE = [{"do": "remove_package", "names": ["linux-image-6.1.0-49-amd64"]}]


def test_recorded_once(machine: Machine) -> None:
    changed, returned, _result = play(
        machine, state="recorded", name="kernel_upgrade", restore=RESTORE, check_mode=True
    )
    assert changed
    assert returned["records"][0]["id"] is None
    assert play(machine)[1] == {"records": []}
    changed, first, _result = play(machine, state="recorded", name="kernel_upgrade", restore=RESTORE)
    assert changed
    assert first["records"][0]["summary"].endswith("-0001-kernel_upgrade: remove linux-image-6.1.0-49-amd64")
    changed, second, _result = play(machine, state="recorded", name="kernel_upgrade", restore=RESTORE)
    assert (changed, second) == (False, first)
    machine.installed = ["linux-image-6.1.0-49-amd64"]
    play(machine, state="restored", last=1)
    assert machine.did == ["remove linux-image-6.1.0-49-amd64"]
    machine.installed = []
    # put back, and upgraded again
    assert play(machine, state="recorded", name="kernel_upgrade", restore=RESTORE)[0] is True


def test_what_is_installed_already_is_not_taken_away_later(machine: Machine) -> None:
    for name, installed in (("linux-image-6.1.0-47-amd64", True), ("linux-image-6.1.0-40-amd64", False)):
        restore = [{"do": "remove_package", "names": [name]}]
        if installed:
            with pytest.raises(FleetopsError, match=r"linux-image-6\.1\.0-47-amd64 is installed already"):
                play(machine, state="recorded", name="kernel_upgrade", restore=restore)
        else:
            assert play(machine, state="recorded", name="kernel_upgrade", restore=restore)[0] is True


def test_a_package_that_somebody_removed_since(machine: Machine) -> None:
    play(machine, state="recorded", name="kernel_upgrade", restore=RESTORE)
    assert play(machine, state="restored", last=1)[0] is True
    assert machine.did == []


def test_what_is_installed_beside_an_image_is_recorded_as_well(machine: Machine) -> None:
    """With the image alone taken away, apt would bring another image for it."""
    names = ["linux-image-5.15.0-204-generic", "linux-modules-extra-5.15.0-204-generic"]
    restore = [{"do": "remove_package", "names": names}]
    assert play(machine, state="recorded", name="kernel_upgrade", restore=restore)[0] is True


@pytest.mark.parametrize("name", ["linux-modules-extra-generic", "linux-modules-5.15.0-204-generic"])
def test_what_others_need_is_not_recorded(machine: Machine, name: str) -> None:
    restore = [{"do": "remove_package", "names": [name]}]
    with pytest.raises(FleetopsError, match=f"'{name}' is not the package of a kernel image"):
        play(machine, state="recorded", name="kernel_upgrade", restore=restore)


def test_only_kernels_are_recorded(machine: Machine) -> None:
    with pytest.raises(FleetopsError, match="'openssh-server' is not the package of a kernel image"):
        play(
            machine,
            state="recorded",
            name="kernel_upgrade",
            restore=[{"do": "remove_package", "names": ["openssh-server"]}],
        )


def test_a_name_that_is_no_part_of_a_file_name(machine: Machine) -> None:
    with pytest.raises(FleetopsError, match=r"'\.\./x' cannot name a record"):
        play(machine, state="recorded", name="../x", restore=RESTORE)
