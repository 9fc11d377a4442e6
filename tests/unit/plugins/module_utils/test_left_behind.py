# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node left behind: captured trees, sosreports, disks. What is not in them is no proof of anything."""

from __future__ import annotations

import functools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils import _host, _sos
from ansible_collections.fleetops.kernel.plugins.module_utils._errors import (
    FleetopsError,
    Missing,
    Unreadable,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import sos as rules
from ansible_collections.fleetops.kernel.plugins.modules import node_facts
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, records, report

FIXTURES = Path(__file__).parents[2] / "fixtures"
SOS = FIXTURES / "sos" / "debian-6.1-incident"
LIVE = FIXTURES / "sos" / "debian-6.1-incident.live"  # the same machine, captured in the same minutes
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'


def plant(root: Path, files: dict[str, str], *folders: str) -> Path:
    for name in folders:
        (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def disk(root: Path, fstab: str = "") -> Path:
    """A mounted root file system with nothing on it but what every system has."""
    folders = ("proc", "sys", "run", "dev", "boot", "usr/bin", "usr/sbin", "usr/lib", "var/lib", "var/log")
    return plant(root, {"/etc/os-release": OS_RELEASE, "/etc/fstab": fstab}, *folders)


@functools.cache
def catalogue() -> Any:
    return advisories.load([])


def judged(root: Path) -> records.Record:
    """The whole way: the readers, and all that is judged from what they read."""
    look = node_facts.run(Host(str(root)), {"gather_subset": ["all"]}).returned
    return records.record("n1", {records.LOOK: look}, catalogue())


# --- kinds -------------------------------------------------------------------------------------------


def test_each_kind_is_recognised(tmp_path: Path) -> None:
    assert Host().kind == _host.LIVE
    assert Host(str(plant(tmp_path / "a", {f"/{CAPTURE_FILE}": "{}"}))).kind == _host.CAPTURED
    assert Host(str(SOS)).kind == _host.SOSREPORT
    assert Host(str(disk(tmp_path / "b"))).kind == _host.DISK
    assert Host(str(plant(tmp_path / "c", {"/usr/lib/os-release": OS_RELEASE}))).kind == _host.DISK
    assert Host(str(plant(tmp_path / "d", {"/notes.txt": ""}))).kind == _host.BARE


def test_what_is_nothing_is_said_to_be_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        FleetopsError, match=r"junk' is nothing that a machine left behind: expected a captured"
    ):
        Host(str(plant(tmp_path / "junk", {"/notes.txt": ""}))).require_a_machine()
    Host(str(disk(tmp_path / "disk"))).require_a_machine()
    Host().require_a_machine()


def test_the_one_folder_of_an_archive_is_stepped_into(tmp_path: Path) -> None:
    inside = tmp_path / "n1" / "sosreport-n1-2026-11-24-abcdefg"
    shutil.copytree(SOS, inside, symlinks=True)
    assert (Host(str(tmp_path / "n1")).kind, Host(str(tmp_path / "n1")).root) == (
        _host.SOSREPORT,
        str(inside),
    )
    (tmp_path / "n1" / "sosreport-n1-2026-11-25-hijklmn").mkdir()
    assert Host(str(tmp_path / "n1")).kind == _host.BARE  # which of the two is meant, nobody said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not valid JSON"),
        ("[]", "expected a mapping, got list"),
        ("", "is not valid JSON"),
        ('{"sizes": ' * 100_000, "is not valid JSON"),
        ('{"unreadable": []}', "'unreadable' is not what a capture notes there"),
        ('{"unreadable": {"/x": 1}}', "'unreadable' is not"),
        ('{"time": 12}', "'time' is not"),
        ('{"missing": {}}', "'missing' is not"),
        ('{"listings": {"/x": [1]}}', "'listings' is not"),
        ('{"commands": {"x": "y"}}', "'commands' is not"),
        ('{"disks": {"/x": {"total": "1"}}}', "'disks' is not"),
        ('{"machine": {}}', "'machine' is not"),
    ],
    ids=range(12),
)
def test_a_broken_capture_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=rf"{CAPTURE_FILE}'.* {says}|{CAPTURE_FILE}': {says}"):
        Host(str(plant(tmp_path, {f"/{CAPTURE_FILE}": text})))


def test_what_a_capture_left_empty_is_not_known(tmp_path: Path) -> None:
    host = Host(
        str(plant(tmp_path, {f"/{CAPTURE_FILE}": '{"machine": null, "time": null, "missing": null}'}))
    )
    with pytest.raises(Unreadable, match="architecture was not captured"):
        host.machine()


def test_every_capture_of_ours_is_what_a_capture_notes() -> None:
    found = sorted(FIXTURES.glob(f"*/*/{CAPTURE_FILE}"))
    assert len(found) > 10
    for path in found:
        assert Host(str(path.parent)).kind == _host.CAPTURED


@pytest.mark.parametrize("name", ["etc/default", "/", "//", ""])
def test_a_manifest_that_copied_no_place_proves_nothing(name: str) -> None:
    copied = {"specification": name, "files_copied": ["x"]}
    plugin = {"commands": [], "files": [copied], "timeout_hit": False}
    text = json.dumps({"components": {"report": {"plugins": {"x": plugin}}}})
    assert rules.manifest(text).whole == []
    assert rules.manifest(text.replace(f'"{name}"', '"/etc/default"')).whole == ["/etc/default"]


def test_a_manifest_without_end_proves_nothing() -> None:
    assert rules.manifest('{"components": ' * 100_000) == rules.Manifest({}, [])


def test_a_report_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    plant(tmp_path, {}, "n1")
    os.symlink("/", tmp_path / "n1/sosreport-evil")
    host = Host(str(tmp_path / "n1"))
    assert (host.kind, host.root, host.live) == (_host.BARE, str(tmp_path / "n1"), False)


def test_a_disk_that_is_mounted_for_rescue_does_not_show_the_machine_that_looks(tmp_path: Path) -> None:
    """With /proc and its like bound below it, as whoever enters it with chroot does."""
    files = {
        "/proc/sys/kernel/osrelease": "of the rescuer\n",
        "/sys/kernel/kexec_crash_loaded": "1\n",
        "/run/reboot-required": "",
        "/dev/watchdog": "",
    }
    for kind, root in (
        (_host.DISK, disk(tmp_path / "disk")),
        (_host.BARE, plant(tmp_path / "bare", {"/etc/x": ""}, "proc")),
    ):
        host = Host(str(plant(root, files)))
        assert host.kind == kind
        os.symlink("/run/reboot-required", root / "etc/link")
        os.symlink("loop", root / "proc/loop")  # whoever looks at it, even if only at its name, says so
        for path in (*files, "/proc", "/sys/kernel", "/run", "/dev", "/etc/link", "/etc/../proc/loop"):
            assert absent(host, path) is None, path
        for pattern in ("/proc/*/comm", "/run/*"):
            with pytest.raises(Unreadable, match="is on no disk: only the running machine had /"):
                host.glob(pattern)
    facts = node_facts.run(Host(str(tmp_path / "disk")), {"gather_subset": ["all"]}).returned["ansible_facts"]
    assert "of the rescuer" not in json.dumps(facts)
    assert facts["fleetops_kernel"]["release"] is None
    assert facts["fleetops_kdump"]["capture"]["loaded"] is None


def test_when_a_tree_was_as_it_is(tmp_path: Path) -> None:
    assert Host().time() is None
    assert Host(str(SOS)).time() == "2026-11-24T16:35:35Z"  # date --utc
    captured = plant(tmp_path / "a", {f"/{CAPTURE_FILE}": "{}"})
    os.utime(captured / CAPTURE_FILE, (0, 1_795_000_000))
    assert Host(str(captured)).time() == "2026-11-18T11:06:40Z"
    noted = plant(tmp_path / "b", {f"/{CAPTURE_FILE}": '{"time": "2026-01-01T00:00:00Z"}'})
    assert Host(str(noted)).time() == "2026-01-01T00:00:00Z"
    assert Host(str(disk(tmp_path / "c"))).time() is None
    plant(tmp_path / "c", {"/var/log/wtmp": ""})
    os.utime(tmp_path / "c/var/log/wtmp", (0, 1_795_000_000))
    assert Host(str(tmp_path / "c")).time() == "2026-11-18T11:06:40Z"


# --- what is not there -------------------------------------------------------------------------------


def absent(host: Host, path: str) -> bool | None:
    """True: it was not there. None: nobody can tell. The four questions must agree."""
    answers: set[Any] = set()
    for question in (host.read, host.size, host.listdir):
        try:
            question(path)
            answers.add(False)
        except Missing:
            answers.add(True)
        except Unreadable:
            answers.add(None)
    try:
        answers.add(not host.exists(path))
    except Unreadable:
        answers.add(None)
    assert len(answers) == 1, (path, answers)
    (answer,) = answers
    return bool(answer) if answer is not None else None


def test_a_disk_holds_files_and_no_running_machine(tmp_path: Path) -> None:
    host = Host(str(disk(tmp_path)))
    for path in (
        "/etc/default/grub",
        "/usr/sbin/kdump-config",
        "/var/crash",
        "/boot/grub/grub.cfg",
        "/.dockerenv",
    ):
        assert absent(host, path) is True, path
    for path in ("/proc/version", "/sys/class/watchdog", "/run/reboot-required", "/dev/watchdog"):
        assert absent(host, path) is None, path
    with pytest.raises(Unreadable, match="'/proc' is on no disk: only the running machine had /proc"):
        host.listdir("/proc")
    assert host.glob("/etc/default/grub.d/*.cfg") == []
    with pytest.raises(Unreadable):
        host.glob("/sys/class/net/*/address")


def test_a_part_of_a_disk_proves_nothing_about_the_rest(tmp_path: Path) -> None:
    host = Host(str(plant(tmp_path, {"/etc/os-release": OS_RELEASE, "/usr/lib/x": ""})))
    assert absent(host, "/etc/default/grub") is True
    for path in ("/boot/grub/grub.cfg", "/var/lib/dkms", "/var/crash", "/usr/sbin/kdump-config"):
        assert absent(host, path) is None, path


def test_a_file_system_of_its_own_that_is_not_mounted(tmp_path: Path) -> None:
    fstab = "# <what> <where>\nUUID=1 / ext4 ro 0 1\nUUID=2 /boot ext4 ro 0 2\nUUID=3 none swap sw 0 0\n"
    host = Host(str(disk(tmp_path, fstab)))
    assert absent(host, "/boot/grub/grub.cfg") is None
    with pytest.raises(
        Unreadable, match=r"/boot is a file system of its own \(etc/fstab\), and not mounted here"
    ):
        host.listdir("/boot")
    plant(tmp_path, {"/boot/vmlinuz-1": ""})
    assert absent(host, "/boot/grub/grub.cfg") is True
    assert host.listdir("/boot") == ["vmlinuz-1"]


def captured(root: Path, files: dict[str, str], **notes: Any) -> Host:
    return Host(str(plant(root, {**files, f"/{CAPTURE_FILE}": json.dumps(notes)})))


def test_a_capture_knows_what_it_looked_for(tmp_path: Path) -> None:
    host = captured(
        tmp_path,
        {"/etc/os-release": OS_RELEASE, "/boot/grub/grub.cfg": ""},
        missing=["/etc/default/kdump-tools", "/var/crash"],
        listings={"/boot": ["grub"], "/proc": ["1", "2"]},
        globs={"/etc/default/grub.d/*.cfg": []},
    )
    for path in (
        "/etc/default/kdump-tools",
        "/var/crash",
        "/var/crash/kexec_cmd",
        "/boot/vmlinuz-1",
        "/proc/77/comm",
        "/etc/default/grub.d/x.cfg",
    ):
        assert absent(host, path) is True, path
    assert absent(host, "/etc/os-release/below") is True  # below a file there is nothing
    for path in ("/etc/default/grub", "/proc/version", "/boot/grub/grubenv", "/etc/default/grub.d/x.conf"):
        assert absent(host, path) is None, path
    assert host.glob("/etc/default/grub.d/*.cfg") == []
    with pytest.raises(Unreadable, match="'/etc' was not captured"):
        host.glob("/etc/*.conf")
    with pytest.raises(Unreadable, match="'/boot/grub' was not captured"):
        host.listdir("/boot/grub")


def test_a_capture_that_does_not_say_so_was_whole(tmp_path: Path) -> None:
    """Those of earlier versions, and those that a person wrote."""
    host = captured(tmp_path, {"/etc/os-release": OS_RELEASE}, machine="x86_64")
    for path in ("/etc/default/grub", "/proc/version"):
        assert absent(host, path) is True, path


def test_a_sosreport_holds_some_directories_whole(tmp_path: Path) -> None:
    host = Host(str(SOS))
    for path in (
        "/etc/default/no-such-file",  # the manifest says: /etc/default
        "/proc/sys/kernel/no_such_setting",
        "/proc/net/ip_vs_conn",
        "/boot/vmlinuz-9.9",  # ls -lanR /boot
        "/proc/99999/comm",  # ps
        "/proc/version_signature",  # dmesg
        "/run/systemd/container",  # hostnamectl
        "/usr/bin/kdumpctl",  # dpkg -l
    ):
        assert absent(host, path) is True, path
    for path in (
        "/proc/uptime",
        "/sys/class/watchdog",
        "/var/crash",
        "/run/reboot-required",
        "/etc/machine-id",
    ):
        assert absent(host, path) is None, path
    with pytest.raises(Unreadable, match="'/etc' is in this sosreport only in part"):
        host.listdir("/etc")
    assert host.glob("/etc/default/kdump-*") == ["/etc/default/kdump-tools"]
    with pytest.raises(Unreadable, match="only in part"):
        host.glob("/etc/*.conf")


def test_without_its_manifest_a_sosreport_proves_less(tmp_path: Path) -> None:
    """As those of sos 3: the commands are found by the names of their files."""
    root = tmp_path / "old"
    shutil.copytree(SOS, root, symlinks=True)
    shutil.rmtree(root / "sos_reports")
    shutil.move(
        root / "sos_commands/grub2", root / "sos_commands/boot"
    )  # in both at first; one was left out here
    host = Host(str(root))
    assert absent(host, "/etc/default/no-such-file") is None
    assert absent(host, "/boot/vmlinuz-9.9") is True
    assert host.machine() == "x86_64"
    assert "kdump-tools" in host.run(["dpkg-query", "--show", r"--showformat=${Package}\n", "kdump*"])


def test_what_sos_was_forbidden_to_copy_is_not_absent(tmp_path: Path) -> None:
    root = tmp_path / "n1"
    shutil.copytree(SOS, root, symlinks=True)
    plant(
        root,
        {"/sos_logs/sos.log": "INFO: [plugin:system] adding forbidden path '/etc/default/grub.d/50-*.cfg'\n"},
    )
    host = Host(str(root))
    assert absent(host, "/etc/default/grub.d/50-curtin-settings.cfg") is None
    assert absent(host, "/etc/default/grub.d/60-x.cfg") is True
    assert absent(host, "/etc/default/.hidden") is None  # newer versions of sos look for *


# --- nothing is fine because nothing is known ----------------------------------------------------------


@pytest.mark.parametrize("what", ["nothing", "only os-release", "an empty capture", "an empty report"])
def test_from_nothing_follows_nothing(tmp_path: Path, what: str) -> None:
    if what == "only os-release":
        plant(tmp_path, {"/usr/lib/os-release": OS_RELEASE})
    elif what == "an empty capture":
        plant(tmp_path, {f"/{CAPTURE_FILE}": '{"missing": []}'})
    elif what == "an empty report":
        plant(tmp_path, {"/version.txt": "sosreport: 4.0\n"}, "sos_commands")
    found = judged(tmp_path)
    assert len(found["findings"]) > 10
    assert {finding["status"] for finding in found["findings"]} == {"unknown"}
    assert found["on_panic"]["outcome"] == "unknown"


# What a disk can tell without a running machine: what is installed, what lies on it.
OF_DISKS = {
    "dumps-waiting",
    "fallback-may-be-removed",
    "packages-held",
    "packages-broken",
    "reboot-by-others",
}


def test_from_an_empty_disk_follows_nothing_about_the_machine(tmp_path: Path) -> None:
    found = judged(disk(tmp_path))
    fine = {finding["id"] for finding in found["findings"] if finding["status"] == "ok"}
    assert fine <= OF_DISKS
    assert found["on_panic"]["outcome"] == "unknown"


# --- a real sosreport, and the same machine live -------------------------------------------------------


def statuses(found: records.Record) -> dict[tuple[str, str], str]:
    return {(finding["id"], finding["subject"]): finding["status"] for finding in found["findings"]}


def test_a_report_is_judged_as_its_machine_was_or_unknown() -> None:
    live, report = judged(LIVE), judged(SOS)
    before, after = statuses(live), statuses(report)
    for key, status in after.items():
        assert status in ("unknown", before.get(key, "ok")), (key, status, before.get(key))
    # A fault of the machine is named, and if only as a doubt: under its own name, or of all that there are.
    for id_, subject in (key for key, status in before.items() if status == "affected"):
        doubts = {one for (one, _of), status in after.items() if status != "ok"}
        assert id_ in doubts, (id_, subject)
    assert live["on_panic"]["outcome"] == "hangs"
    assert report["on_panic"]["outcome"] == "unknown"


def test_a_report_tells_what_it_can() -> None:
    """So that the comparison above is not of unknowns alone."""
    found = judged(SOS)
    assert statuses(found)["capture-may-hang", "capture"] == "affected"
    assert statuses(found)["kdump-not-armed", "kdump"] == "ok"
    facts: Any = found["facts"]
    kernel, kdump, links = facts["kernel"], facts["kdump"], facts["links"]
    live: Any = judged(LIVE)["facts"]
    for name in (
        "release",
        "version",
        "architecture",
        "flavour",
        "distro",
        "container",
        "cmdline",
        "taint",
        "boot_id",
    ):
        assert kernel[name] == live["kernel"][name], name
    for name in ("memory_bytes", "panic_sysctls", "cpu_vendor", "file_systems", "modules"):
        assert kernel[name] == live["kernel"][name], name
    for name in ("crash_kexec_post_notifiers", "panic_sys_info", "microcode", "config_file", "load_kexec"):
        assert kernel[name] == live["kernel"][name], name
    for name in ("loaded", "cmdline", "panic", "initrd", "source"):
        assert kdump["capture"][name] == live["kdump"]["capture"][name], name
    assert kdump["service"] == live["kdump"]["service"]
    assert kdump["implementation"] == "kdump-tools"
    assert abs(kdump["target"]["free_bytes"] - live["kdump"]["target"]["free_bytes"]) < 64 << 20
    assert [link["name"] for link in links["links"]] == ["kube-ipvs0", "flannel.1"]
    for one, other in zip(links["links"], live["links"]["links"], strict=True):
        for name in ("index", "kind", "up", "mac", "mtu", "master", "addresses"):
            assert one[name] == other[name], name


def test_what_a_command_does_not_show_is_unknown() -> None:
    host = Host(str(SOS))
    rows = host.run(
        ["dpkg-query", "--show", r"--showformat=${Package}|${Version}|${source:Package}\n", "kdump-tools"]
    )
    assert rows == "kdump-tools|1:1.8.1|\n"
    for argv in (
        ["dpkg-query", "--show", r"--showformat=${Package} ${Depends}\n", "kdump-tools"],
        ["rpm", "-qa"],
        ["systemctl", "show", "--property=MainPID", "no-such.timer"],
    ):
        with pytest.raises(Unreadable, match="is not in this sosreport"):
            host.run(argv)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("kdump-tools.service", {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}),
        ("no-such.service", {"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": ""}),
        ("apt-daily.timer", None),
    ],
)
def test_units(unit: str, expected: dict[str, str] | None) -> None:
    text = Host(str(SOS)).run(["systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", unit])
    values = dict(line.split("=", 1) for line in text.splitlines())
    if expected is not None:
        assert values == expected
    assert list(values) == ["LoadState", "ActiveState", "UnitFileState"]


# --- bounds ------------------------------------------------------------------------------------------


def test_a_file_without_end_is_an_error_and_not_all_memory(tmp_path: Path) -> None:
    plant(tmp_path, {f"/{CAPTURE_FILE}": "{}"})
    with (tmp_path / "large").open("wb") as handle:
        handle.truncate(_host.LARGEST + 1)
    host = Host(str(tmp_path))
    with pytest.raises(FleetopsError, match=f"'/large' is larger than the {_host.LARGEST} bytes"):
        host.read("/large")
    assert host.read_bytes("/large", -4, 4) == b"\0" * 4
    with (tmp_path / "large").open("wb") as handle:
        handle.truncate(_host.LARGEST)
    assert len(host.read_bytes("/large")) == _host.LARGEST


def test_the_live_machine_is_read_in_pieces() -> None:
    """/proc/sys refuses a reader with a buffer of some MiB."""
    assert Host().read("/proc/sys/kernel/osrelease").strip() == os.uname().release


def test_the_first_that_is_there(tmp_path: Path) -> None:
    host = captured(tmp_path, {"/etc/b": "b"}, missing=["/etc/a", "/etc/d"])
    assert host.read_first(("/etc/a", "/etc/b")) == "b"
    assert (
        host.read_first(("/etc/c", "/etc/b")) == "b"
    )  # c may have been there: the old name is there for sure
    assert host.read_first(("/etc/a", "/etc/d")) is None
    for paths in (("/etc/a", "/etc/c"), ("/etc/c", "/etc/a")):
        with pytest.raises(Unreadable, match="'/etc/c' was not captured"):
            host.read_first(paths)


def test_commands_of_a_report_are_named_as_sos_names_their_files() -> None:
    names = {path.name for path in (SOS / "sos_commands").rglob("*")}
    commands = ("dpkg -l", "ip -d address", "ls -lanR /boot", "df -al -x autofs", _sos.PS, _sos.LSMEM)
    assert {rules.file_name(command) for command in commands} <= names


PARSERS = (
    rules.manifest,
    rules.file_name,
    rules.forbidden,
    rules.packages,
    rules.processes,
    rules.listing,
    rules.disks,
    rules.links,
    rules.units,
    rules.unit_files,
    rules.properties,
    rules.kdump,
    rules.memory_blocks,
    rules.banner,
    rules.signature,
    rules.machine,
    rules.chassis,
    rules.time,
)
OUTPUTS = [
    path.read_text(errors="replace")[:1500]
    for path in sorted((SOS / "sos_commands").rglob("*"))
    if path.is_file()
]


@given(
    st.one_of(
        st.text(max_size=200), st.tuples(st.sampled_from(OUTPUTS), st.integers(0, 1500), st.text(max_size=9))
    )
)
def test_what_is_no_output_of_a_command_is_nothing_and_no_error(spoilt: str | tuple[str, int, str]) -> None:
    """Any text, and the real outputs cut and spoilt anywhere."""
    text = (
        spoilt if isinstance(spoilt, str) else spoilt[0][: spoilt[1]] + spoilt[2] + spoilt[0][spoilt[1] + 1 :]
    )
    for parser in PARSERS:
        parser(text)


# --- the report ----------------------------------------------------------------------------------------

GOLDEN = """\
fleetops.kernel assess of what dead nodes left behind: 4 nodes in 1 zone, 2026-11-25 06:00:00Z

n1 (zone_a): if it panicked as it was in its captured tree of 2026-11-24 12:56:21Z, it HANGS,
    because it has no net.
n2: if it panicked as it was in its sosreport of 2026-11-24 16:35:35Z, it is UNKNOWN what happens,
    because it has no net.
n3: if it panicked as it was in its disk, it is UNKNOWN what happens, because it has no net.
n4: if it panicked as it was in its folder, it is UNKNOWN what happens, because it could not be
    read: it is nothing.

n1 (zone_a): debian 12, kernel 6.1.0-47-cloud-amd64
  read from /srv/dead/n1 (captured tree, 2026-11-24 12:56:21Z)

n2: debian 12, kernel 6.1.0-47-cloud-amd64
  read from /srv/dead/n2/sosreport-n2-2026-11-24-abcdefg (sosreport, 2026-11-24 16:35:35Z)

n3: unknown system, kernel unknown
  read from /srv/dead/n3 (disk, nothing in it says when)

COULD NOT BE READ: n4: it is nothing
On a panic then: 1 HANGS, 3 UNKNOWN.
NOT CLEAN: 3 of 4 nodes clean, 1 not read; 0 faults and 0 unknowns in all."""


def dead(kind: str, root: str, time: str | None, release: str | None, **more: Any) -> Any:
    distro = {"id": "debian", "version_id": "12"} if release else None
    return {
        "zone": "",
        "facts": {"kernel": {"release": release, "distro": distro}, "kdump": None, "links": None},
        "findings": [],
        "on_panic": {"outcome": "unknown", "because": "it has no net", "evidence": []},
        "unreachable": None,
        "unreadable": None,
        "bad_variables": None,
        "left_behind": {"kind": kind, "root": root, "time": time},
        "outcome": None,
        **more,
    }


DEAD = {
    "n1": dead(
        "captured tree",
        "/srv/dead/n1",
        "2026-11-24T12:56:21Z",
        "6.1.0-47-cloud-amd64",
        zone="zone_a",
        on_panic={"outcome": "hangs", "because": "it has no net", "evidence": []},
    ),
    "n2": dead(
        "sosreport",
        "/srv/dead/n2/sosreport-n2-2026-11-24-abcdefg",
        "2026-11-24T16:35:35Z",
        "6.1.0-47-cloud-amd64",
    ),
    "n3": dead("disk", "/srv/dead/n3", None, None),
    "n4": dead(
        "folder",
        "/srv/dead/n4",
        None,
        None,
        facts=None,
        unreadable="it is nothing",
        on_panic=records.unlooked(None, "it is nothing"),
    ),
}


def test_the_report_says_when_a_verdict_holds() -> None:
    made = report.build("assess", "after", DEAD, time="2026-11-25T06:00:00Z")
    assert report.render(made) == GOLDEN
    live = {name: {**record, "left_behind": None} for name, record in DEAD.items()}
    now = report.render(report.build("assess", "after", live, time="2026-11-25T06:00:00Z"))  # type: ignore[arg-type]
    assert "n2: if this node panics now, it is UNKNOWN what happens" in now
    assert "On a panic now: 1 HANGS, 3 UNKNOWN." in now
    assert "left behind" not in now
    assert "read from" not in now


def test_many_dead_nodes_are_told_in_one_page() -> None:
    many = {f"n{number}": DEAD["n2"] for number in range(1, 31)}
    text = report.render(report.build("assess", "after", many, time="2026-11-25T06:00:00Z"))
    assert "ON A PANIC AS EACH WAS WHEN IT WAS LAST READ" in text
    assert "UNKNOWN  30 nodes: n[1-30]" in text
    assert "IF A NODE PANICS NOW" not in text
