# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers over machines captured from the lab, as they are and with one thing changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import Unreadable
from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import dumps, kdump, kernel, links
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import crashkernel
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links as link_rules

FIXTURES = Path(__file__).parents[2] / "fixtures" / "hosts"
MACHINES = sorted(path.name for path in FIXTURES.iterdir())
CLEAN, INCIDENT, DUMPS = "debian-6.1-clean", "debian-6.1-incident", "debian-6.1-dumps"
READERS: dict[str, Callable[[Host], Any]] = {"kernel": kernel.read, "kdump": kdump.read, "links": links.read}
RUNNING = "6.1.0-47-cloud-amd64"
MIB = 1 << 20

Machine = Callable[..., Host]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A captured machine with files changed (None: not there) and notes merged into its capture file."""

    def make(name: str, files: dict[str, str | None] | None = None, **notes: Any) -> Host:
        root = Path(shutil.copytree(FIXTURES / name, tmp_path / "tree"))
        for path, text in (files or {}).items():
            file = root / path.lstrip("/")
            if text is None:
                file.unlink()
                if not any(file.parent.iterdir()):
                    file.parent.rmdir()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        capture = json.loads((root / CAPTURE_FILE).read_text())
        if "missing" in capture:
            gone = [path for path, text in (files or {}).items() if text is None]
            capture["missing"] += gone + notes.pop("missing", [])
        for key, value in notes.items():
            capture[key] = {**capture.get(key, {}), **value} if isinstance(value, dict) else value
        (root / CAPTURE_FILE).write_text(json.dumps(capture))
        return Host(str(root))

    return make


def notes_of(host: Host) -> Any:
    return json.loads((Path(host.root) / CAPTURE_FILE).read_text())


# --- every machine -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MACHINES)
def test_facts_of_a_machine_are_small(name: str) -> None:
    facts = {part: read(Host(str(FIXTURES / name))) for part, read in READERS.items()}
    assert len(json.dumps(facts)) < 8192


# What may be null without being unknown, since null is the answer.
KERNEL_ANSWERS = {"pinned", "trial"}
ANSWERS = {
    "implementation",
    "service",
    "target",
    "capture.cmdline",
    "capture.panic",
    "capture.initrd",
    "capture.initrd_bytes",
    "capture.source",
}


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key != "unknown":
                yield from nulls(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            name = next((str(inner[key]) for key in ("release", "name", "path") if key in inner), "")
            yield from nulls(inner, f"{path}.{name}".rstrip("."))


def explained(path: str, unknown: dict[str, str]) -> bool:
    """Does a reason stand at the path, above it or below it?"""
    return any(f"{path}.".startswith(f"{key}.") or f"{key}.".startswith(f"{path}.") for key in unknown)


@pytest.mark.parametrize("name", MACHINES)
def test_what_is_null_has_its_reason(name: str) -> None:
    host = Host(str(FIXTURES / name))
    kernel_facts, kdump_facts = kernel.read(host), kdump.read(host)
    for path in nulls(kernel_facts):
        assert explained(path, kernel_facts["unknown"]) or path in KERNEL_ANSWERS, path
    installed = kdump_facts["implementation"] is not None
    for path in nulls(kdump_facts):
        allowed = {"capture.panic"} if installed else ANSWERS
        assert explained(path, kdump_facts["unknown"]) or path in allowed, path


class Lossy(Host):
    """A machine of which one source cannot be read."""

    def __init__(self, root: str, lost: str) -> None:
        super().__init__(root)
        self.lost = lost
        self._captured.setdefault("unreadable", {})[lost] = "lost"

    def run(self, argv: Sequence[str], ok: Sequence[int] = (0,), env: dict[str, str] | None = None) -> str:
        if argv[0] == self.lost:
            raise Unreadable(f"Cannot run '{argv[0]}': lost")
        return super().run(argv, ok, env)


def sources(name: str) -> list[str]:
    """All that a machine was read from."""
    root = FIXTURES / name
    notes = json.loads((root / CAPTURE_FILE).read_text())
    files = [
        f"/{path.relative_to(root)}"
        for path in root.rglob("*")
        if path.is_file() and path.name != CAPTURE_FILE
    ]
    return sorted(
        {*files, *notes["listings"], *notes.get("sizes", {}), *notes.get("exists", [])}
        | {command.split()[0] for command in notes["commands"]}
    )


def flipped(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Values that are others now, and not null."""
    if after is None or before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if key not in ("unknown", "users_unknown"):
                yield from flipped(before[key], after.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            name = next((str(one[key]) for key in ("release", "name", "path") if key in one), "")
            yield from flipped(one, other, f"{path}.{name}".rstrip("."))
    else:
        yield path


# A watchdog that does not say what it is proves nothing; an empty list of requests is explained; of what keeps a kernel
# from booting, and of the dumps, what is known is there.
NOT_PROVED = re.compile(
    r"watchdogs\.\w+\.(identity|hardware)|reservation\.requested|panic_sysctls|installed\.\S+\.missing|dumps"
)


@pytest.mark.parametrize("name", MACHINES)
def test_a_source_that_cannot_be_read_never_turns_an_answer_into_another(name: str) -> None:
    """Each source lost alone: what it told becomes null with a reason, everything else stays as it was."""
    root = str(FIXTURES / name)
    before = {part: read(Host(root)) for part, read in READERS.items()}
    noticed = set()
    for lost in sources(name):
        for part, read in READERS.items():
            facts = read(Lossy(root, lost))
            for path in flipped(before[part], facts):
                assert NOT_PROVED.fullmatch(path), f"{lost}: {part} {path}"
                assert explained(path.replace("hardware", "identity"), facts["unknown"]), (
                    f"{lost}: {part} {path}"
                )
            known = set(nulls(before[part]))
            for path in set(nulls(facts)) - known:
                if path not in ("capture.source", "capture.panic"):  # explained by capture.cmdline
                    assert explained(path, facts["unknown"]), f"{lost}: {part} {path}"
            if facts != before[part]:
                noticed.add(lost)
    programs = {"dpkg-query", "rpm", "ip"} & {*sources(name)}
    assert {"/proc/sys/kernel/osrelease", "/proc/cmdline"} | programs <= noticed


@pytest.mark.parametrize("name", MACHINES)
def test_losing_a_source_of_use_is_a_doubt_and_not_an_absence(name: str) -> None:
    root = str(FIXTURES / name)
    for lost in ("/proc", "/proc/2/comm", "/var/lib/kubelet/pods", "/proc/net/route"):
        for link in links.read(Lossy(root, lost))["links"] or []:
            assert any(lost in line for line in link["users_unknown"]), (lost, link["name"])
            assert link_rules.judge(link)["stale"] is None


# --- kernel ------------------------------------------------------------------------------------------


def test_the_clean_machine() -> None:
    facts = kernel.read(Host(str(FIXTURES / CLEAN)))
    assert {*facts["unknown"]} == {"reboot_required"}  # plain Debian: nothing writes the marker
    assert facts["release"] == RUNNING
    assert facts["version"] == "#1 SMP PREEMPT_DYNAMIC Debian 6.1.170-3 (2026-05-08)"
    assert (facts["architecture"], facts["flavour"]) == ("x86_64", "cloud-amd64")
    assert facts["distro"] == {"id": "debian", "version_id": "12", "codename": "bookworm", "family": "debian"}
    assert facts["container"] is False
    assert facts["package"] is not None
    assert facts["package"]["version"] == "6.1.170-3"
    assert facts["installed"] is not None
    assert facts["installed"] == [
        {
            "release": RUNNING,
            "package": facts["package"],
            "bootable": True,
            "missing": [],
            "lacks": [],
            "prebuilt": [],
            "beside": [],
            "bytes": facts["installed"][0]["bytes"],
            "initrd_bytes": facts["installed"][0]["initrd_bytes"],
        }
    ]
    # A kernel and an initrd that holds the modules of a machine.
    assert 10 * MIB < (facts["installed"][0]["bytes"] or 0) < 200 * MIB
    assert 1 * MIB < (facts["installed"][0]["initrd_bytes"] or 0) < (facts["installed"][0]["bytes"] or 0)
    assert facts["next_boot"] is not None
    assert facts["next_boot"]["release"] == RUNNING
    assert facts["cmdline"] is not None
    assert facts["cmdline"]["tokens"][0] == f"BOOT_IMAGE=/boot/vmlinuz-{RUNNING}"
    assert facts["taint"] == {"value": 0, "names": []}
    assert facts["config_file"] == f"/boot/config-{RUNNING}"
    assert facts["fault_counts"] == {"oops": 0, "warn": 0}  # the others are of 6.16
    assert facts["panic_sysctls"]["kernel.panic"] == 0
    assert (facts["panic_sysctls"]["kernel.oops_limit"], facts["panic_sysctls"]["kernel.warn_limit"]) == (
        10000,
        0,
    )
    assert "kernel.kexec_load_limit_panic" not in facts["panic_sysctls"]  # of 6.3
    assert (facts["panic_sys_info"], facts["crash_kexec_post_notifiers"]) == ([], False)
    assert facts["boot_environment"] == {
        "path": "/boot/grub/grubenv",
        "writable": True,
        "because": "'/boot/grub/grubenv' is on ext4, on a plain partition (254:1)",
    }
    assert (facts["load_kexec"], facts["kexec_tool"]) == (False, True)
    assert (facts["cpu_vendor"], facts["microcode"]) == ("AuthenticAMD", "0x1000065")
    assert facts["packages"] is not None
    assert facts["packages"]["pins"] == []
    assert facts["watchdogs"] == []
    assert facts["memory_bytes"] == 1 << 30


@pytest.mark.parametrize(
    ("files", "missing", "rpm", "there", "why"),
    [
        ({"/usr/sbin/kexec": ""}, [], "", True, ""),
        ({}, ["/usr/sbin/kexec", "/sbin/kexec"], "", False, ""),
        ({}, [], "kexec-tools\t0\t2.0.29\t5.el9\tx86_64\tkexec-tools-2.0.29-5.el9.src.rpm\t1\n", True, ""),
        ({}, ["/boot/none"], "", None, "'/usr/sbin/kexec' was not captured"),
    ],
)
def test_the_command_kexec(
    machine: Machine, files: dict[str, str | None], missing: list[str], rpm: str, there: bool | None, why: str
) -> None:
    notes = json.loads((FIXTURES / "rocky-9" / CAPTURE_FILE).read_text())
    (asked,) = [command for command in notes["commands"] if command.startswith("rpm ")]
    host = machine(
        "rocky-9",
        files,
        commands={asked: {"rc": 0, "stdout": rpm, "stderr": ""}},
        **({"missing": missing} if missing else {}),
    )
    facts = kernel.read(host, ("running", "boot"))
    assert (facts["kexec_tool"], facts["unknown"].get("kexec_tool", "")) == (there, why)


def test_without_root() -> None:
    facts = kernel.read(Host(str(FIXTURES / "debian-6.1-incident-noroot")))
    why = "Cannot read '/boot/grub/grub.cfg': Permission denied (needs root)"
    for path in ("next_boot", f"installed.{RUNNING}.bootable"):
        assert facts["unknown"][path] == why
    assert facts["next_boot"] is None
    assert facts["installed"] is not None
    assert [(found["bootable"], found["missing"]) for found in facts["installed"]] == [(None, [])]
    assert facts["package"] is not None


def test_watchdogs() -> None:
    facts = kernel.read(Host(str(FIXTURES / "debian-6.1-generic-watchdog")))
    told = {"bootstatus": 0, "pretimeout": 0, "pretimeout_governor": "", "min_timeout": 1}
    assert facts["watchdogs"] == [
        {
            "name": "watchdog0",
            "identity": "i6300ESB timer",
            "hardware": True,
            "active": True,
            "timeout": 30,
            "nowayout": True,
            "max_timeout": 2046,
            "status": "0x8200",  # WDIOF_KEEPALIVEPING: systemd was there; and WDIOF_PRETIMEOUT
            **told,
        },
        {
            "name": "watchdog1",
            "identity": "Software Watchdog",
            "hardware": False,
            "active": False,
            "timeout": 60,
            "nowayout": False,
            "max_timeout": 65535,
            "status": "0x200",
            **told,
        },
    ]


def test_systemd_arms_a_watchdog_of_a_real_machine() -> None:
    facts = kernel.read(Host(str(FIXTURES / "debian-6.1-generic-watchdog")))
    source = "/etc/systemd/system.conf.d/watchdog.conf"
    assert facts["systemd_watchdog"] == {
        "runtime": 30.0,
        "reboot": 600.0,
        "kexec": 120.0,
        "device": "",
        "lines": [
            {"source": source, "text": "RuntimeWatchdogSec=30"},
            {"source": source, "text": "KExecWatchdogSec=2min"},
        ],
    }


# systemd 247 to 257, as they come, and written as they come.
@pytest.mark.parametrize("name", [name for name in MACHINES if name != "debian-6.1-generic-watchdog"])
def test_systemd_as_it_comes_arms_none_while_the_machine_runs(name: str) -> None:
    assert kernel.read(Host(str(FIXTURES / name)))["systemd_watchdog"] == {
        "runtime": 0.0,
        "reboot": 600.0,
        "kexec": 0.0,
        "device": "",
        "lines": [],
    }


def test_the_pin_of_a_real_machine() -> None:
    packages = kernel.read(Host(str(FIXTURES / "debian-6.1-generic-watchdog")))["packages"]
    assert packages is not None
    assert (packages["held"], packages["pins"]) == (
        [],
        [
            {
                "packages": "linux-image-*",
                "pin": "version 6.1.192-2",
                "priority": -1,
                "source": "/etc/apt/preferences.d/kernel",
            }
        ],
    )


def test_pins_of_everything_are_no_word_on_kernels() -> None:
    """As Ubuntu Pro's client brings them."""
    host = Host(str(FIXTURES / "ubuntu-24.04"))
    assert len(host.listdir("/etc/apt/preferences.d")) == 2
    packages = kernel.read(host)["packages"]
    assert packages is not None
    assert packages["pins"] == []


def test_pins_that_cannot_be_read_leave_the_rest(machine: Machine) -> None:
    host = machine(CLEAN, unreadable={"/etc/apt/preferences.d": "Permission denied"})
    facts = kernel.read(host)
    assert facts["packages"] is not None
    assert (facts["packages"]["held"], facts["packages"]["pins"]) == ([], None)
    assert "Permission denied" in facts["unknown"]["packages.pins"]


def test_a_watchdog_that_does_not_say_what_it_is_has_proved_nothing(machine: Machine) -> None:
    host = machine("debian-6.1-generic-watchdog", {"/sys/class/watchdog/watchdog0/identity": None})
    facts = kernel.read(host)
    assert facts["watchdogs"] is not None
    assert (facts["watchdogs"][0]["identity"], facts["watchdogs"][0]["hardware"]) == ("", False)
    assert "watchdogs.watchdog0.identity" in facts["unknown"]


IPMI = {"name": "ipmi_watchdog", "identity": "IPMI", "hardware": True, "active": None, "timeout": None}


@pytest.mark.parametrize("name", [CLEAN, "debian-6.1-generic-watchdog"])
def test_an_ipmi_watchdog_that_is_no_class_device_may_be_armed(machine: Machine, name: str) -> None:
    before = kernel.read(Host(str(FIXTURES / name)))["watchdogs"] or []
    facts = kernel.read(machine(name, exists=["/sys/module/ipmi_watchdog"]))
    assert facts["watchdogs"] == [*before, IPMI]
    for part in ("active", "timeout"):
        assert "no device in /sys/class/watchdog" in facts["unknown"][f"watchdogs.ipmi_watchdog.{part}"]
    assert {path for path in nulls(facts) if not explained(path, facts["unknown"])} == KERNEL_ANSWERS


def test_an_ipmi_watchdog_that_is_a_class_device_is_there_once(machine: Machine) -> None:
    host = machine(
        "debian-6.1-generic-watchdog",
        {"/sys/class/watchdog/watchdog0/identity": "IPMI\n", "/sys/module/ipmi_watchdog/version": "1\n"},
    )
    facts = kernel.read(host)
    assert [dog["name"] for dog in facts["watchdogs"] or []] == ["watchdog0", "watchdog1"]
    assert [path for path in facts["unknown"] if "ipmi" in path] == []


def test_a_machine_whose_kernel_is_not_of_the_distribution() -> None:
    facts = kernel.read(Host(str(FIXTURES / "debian-6.18-no-kdump")))
    assert facts["release"] == "6.18.44-fc-v782"
    assert (facts["package"], facts["installed"], facts["next_boot"], facts["flavour"]) == (
        None,
        [],
        None,
        None,
    )
    assert {"package", "next_boot", "flavour"} <= set(facts["unknown"])
    assert "installed" not in facts["unknown"]
    assert "not one of the distribution" in facts["unknown"]["package"]
    assert facts["cmdline"] is not None
    assert facts["cmdline"]["init_args"] == ["init-arguments-left-out"]


def test_a_newer_build_on_the_disk_is_not_what_runs(machine: Machine) -> None:
    host = machine(CLEAN)
    notes = notes_of(host)
    for command, outcome in notes["commands"].items():
        if command.startswith("dpkg-query"):
            outcome["stdout"] = (
                outcome["stdout"].replace("6.1.170-3", "6.1.170-4").replace("6.1.170+3", "6.1.170+4")
            )
    (Path(host.root) / CAPTURE_FILE).write_text(json.dumps(notes))
    facts = kernel.read(Host(host.root))
    assert facts["package"] is not None
    assert facts["package"]["version"] == "6.1.170-3"
    assert facts["installed"] is not None
    assert facts["installed"][0]["package"] is not None
    assert facts["installed"][0]["package"]["version"] == "6.1.170-4"


def test_ubuntu_says_what_runs_in_a_file_of_its_own(machine: Machine) -> None:
    host = machine(CLEAN, {"/proc/version_signature": "Ubuntu 5.15.0-112.122-generic 5.15.149\n"})
    package = kernel.read(host)["package"]
    assert package is not None
    assert package["version"] == "5.15.0-112.122"


def test_a_running_kernel_whose_package_was_removed(machine: Machine) -> None:
    host = machine(CLEAN)
    notes = notes_of(host)
    for command, outcome in notes["commands"].items():
        if command.startswith("dpkg-query"):
            outcome["stdout"] = ""
    (Path(host.root) / CAPTURE_FILE).write_text(json.dumps(notes))
    facts = kernel.read(Host(host.root))
    assert facts["package"] is not None
    assert (facts["package"]["version"], facts["package"]["status"]) == ("6.1.170-3", "un")
    assert facts["installed"] is not None
    assert facts["installed"][0]["package"] is None


VMLINUZ, INITRD = f"/boot/vmlinuz-{RUNNING}", f"/boot/initrd.img-{RUNNING}"


@pytest.mark.parametrize(
    ("size", "missing"),
    [
        (8 * MIB, []),
        (MIB, []),
        (MIB - 1, [f"{INITRD} (only {MIB - 1} bytes)"]),
        (0, [f"{INITRD} (only 0 bytes)"]),
    ],
)
def test_a_truncated_initrd_does_not_boot(machine: Machine, size: int, missing: list[str]) -> None:
    facts = kernel.read(machine(CLEAN, sizes={INITRD: size}))
    assert facts["installed"] is not None
    assert (facts["installed"][0]["bootable"], facts["installed"][0]["missing"]) == (not missing, missing)


def test_what_a_kernel_lacks_is_named(machine: Machine) -> None:
    """A kernel copied by hand, without initrd, modules and entry; leftovers of dpkg are no kernels."""
    other = "6.1.99-own"
    names = [f"vmlinuz-{RUNNING}", f"vmlinuz-{other}", f"vmlinuz-{other}.dpkg-bak", "vmlinuz.old", "vmlinuz"]
    sizes = {f"/boot/vmlinuz-{other}": 7 * MIB, f"/boot/vmlinuz-{other}.dpkg-bak": MIB}
    host = machine(CLEAN, listings={"/boot": names}, sizes=sizes, missing=[f"/lib/modules/{other}"])
    facts = kernel.read(host)
    assert facts["installed"] is not None
    assert facts["installed"][1] == {
        "release": other,
        "package": None,
        "lacks": None,
        "prebuilt": [],
        "beside": [],
        "bytes": 8 * MIB,
        "initrd_bytes": 0,
        "bootable": False,
        "missing": [
            f"/boot/initrd.img-{other}",
            f"/lib/modules/{other}/modules.dep",
            "an entry in the boot loader's menu",
        ],
    }
    assert [found["release"] for found in facts["installed"]] == [RUNNING, other]


def test_an_installed_package_whose_kernel_file_is_gone_is_still_seen(machine: Machine) -> None:
    host = machine(CLEAN, listings={"/boot": []}, exists=[f"/lib/modules/{RUNNING}"])
    notes = notes_of(host)
    del notes["sizes"][VMLINUZ]
    (Path(host.root) / CAPTURE_FILE).write_text(json.dumps(notes))
    facts = kernel.read(Host(host.root))
    assert facts["installed"] is not None
    assert [(found["release"], found["missing"]) for found in facts["installed"]] == [(RUNNING, [VMLINUZ])]


def test_a_distribution_that_is_not_known_is_unknown_and_the_rest_is_read(machine: Machine) -> None:
    host = machine(CLEAN, {"/etc/os-release": 'ID="void"\nVERSION_ID="9.4"\n'})
    facts = kernel.read(host)
    assert facts["distro"] == {"id": "void", "version_id": "9.4", "codename": "", "family": None}
    assert facts["release"] == RUNNING
    for path in ("package", "installed", "next_boot"):
        assert facts["unknown"][path] == "kernels of the distribution 'void' cannot be read yet"


def test_os_release_in_its_second_place(machine: Machine) -> None:
    text = (FIXTURES / CLEAN / "etc/os-release").read_text()
    facts = kernel.read(machine(CLEAN, {"/etc/os-release": None, "/usr/lib/os-release": text}))
    assert facts["distro"] is not None
    assert facts["distro"]["id"] == "debian"


def test_counters_that_a_kernel_has_not_are_left_out(machine: Machine) -> None:
    facts = kernel.read(machine(CLEAN, {"/sys/kernel/oops_count": None}))
    assert facts["fault_counts"] == {"warn": 0}


def test_the_counters_of_a_newer_kernel() -> None:
    facts = kernel.read(Host(str(FIXTURES / "debian-6.18-no-kdump")))
    assert facts["fault_counts"] == dict.fromkeys(
        ["oops", "warn", "hardlockup", "softlockup", "rcu_stall"], 0
    )
    assert (facts["config_file"], facts["panic_sys_info"]) == ("/proc/config.gz", [])


def test_a_boot_environment_on_a_partition_of_its_own() -> None:
    """The root is a volume of LVM, through which GRUB would not write."""
    found = {name: kernel.read(Host(str(FIXTURES / name)))["boot_environment"] for name in MACHINES}
    assert found["rocky-9"] == {
        "path": "/boot/grub2/grubenv",
        "writable": True,
        "because": "'/boot/grub2/grubenv' is on xfs, on a plain partition (8:2)",
    }
    assert found["openeuler-22.03"] is not None
    assert found["openeuler-22.03"]["because"].endswith("is on ext4, on a plain partition (8:1)")
    unknown = {name for name, environment in found.items() if environment is None}
    assert unknown == {"debian-6.1-incident-noroot", "debian-6.18-no-kdump"}


def test_a_sysctl_that_a_kernel_has_not_is_left_out(machine: Machine) -> None:
    facts = kernel.read(machine(CLEAN, {"/proc/sys/kernel/hung_task_panic": None}))
    assert "kernel.hung_task_panic" not in facts["panic_sysctls"]
    assert {*facts["unknown"]} == {"reboot_required"}


def test_a_source_that_is_not_as_ever_seen_is_unknown(machine: Machine) -> None:
    facts = kernel.read(machine(CLEAN, {"/proc/sys/kernel/tainted": "none\n", "/proc/uptime": "\n"}))
    assert (facts["taint"], facts["uptime"]) == (None, None)
    assert facts["unknown"]["taint"].startswith("cannot be understood: ValueError")
    assert "uptime" in facts["unknown"]


def test_taint_is_named(machine: Machine) -> None:
    facts = kernel.read(machine(CLEAN, {"/proc/sys/kernel/tainted": "640\n"}))
    assert facts["taint"] == {"value": 640, "names": ["DIE", "WARN"]}


def test_memory_without_memory_blocks(machine: Machine) -> None:
    meminfo = "MemTotal:         987654 kB\n"
    host = machine(CLEAN, {"/proc/meminfo": meminfo}, listings={"/sys/devices/system/memory": []})
    # MemTotal lacks what is reserved for the capture kernel.
    assert kernel.read(host)["memory_bytes"] == 987654 * 1024 + 224 * MIB


def test_memory_without_memory_blocks_and_an_unknown_reservation(machine: Machine) -> None:
    host = machine(
        CLEAN,
        {"/proc/meminfo": "MemTotal:         987654 kB\n"},
        listings={"/sys/devices/system/memory": []},
        unreadable={"/sys/kernel/kexec_crash_size": "lost"},
    )
    facts = kernel.read(host)
    assert facts["memory_bytes"] is None
    assert "kexec_crash_size" in facts["unknown"]["memory_bytes"]


@pytest.mark.parametrize("name", [name for name in MACHINES if name.startswith("debian-6.1-")])
def test_the_safe_size_of_the_lab_s_machines(name: str) -> None:
    """1 GiB of memory blocks, whatever of it is reserved: 224M is less than a quarter."""
    host = Host(str(FIXTURES / name))
    facts = kernel.read(host)
    assert facts["memory_bytes"] == 1024 * MIB
    assert crashkernel.safe_size(facts, kdump.read(host)) in ("224M", "256M")


MOUNTS = "27 1 254:0 / / rw - ext4 /dev/vda rw\n35 27 0:22 / /sys rw - sysfs sysfs rw\n"
OTHER_MOUNTS = "612 500 0:60 / / rw - overlay overlay rw\n"


@pytest.mark.parametrize(
    ("files", "exists", "container"),
    [
        ({}, [], False),
        ({}, ["/run/systemd/container"], True),
        ({"/proc/2/comm": "sh\n"}, [], True),
        ({"/proc/2/comm": None}, ["/proc/1"], True),
        ({"/proc/2/comm": None}, ["/.dockerenv"], True),
        # a machine made from a container's image
        ({"/proc/1/mountinfo": MOUNTS, "/proc/self/mountinfo": MOUNTS}, ["/.dockerenv"], False),
        # a container that shares the machine's processes
        ({"/proc/1/mountinfo": MOUNTS, "/proc/self/mountinfo": OTHER_MOUNTS}, ["/.dockerenv"], True),
        ({"/proc/1/mountinfo": MOUNTS, "/proc/self/mountinfo": OTHER_MOUNTS}, ["/run/.containerenv"], True),
    ],
)
def test_containers(
    machine: Machine, files: dict[str, str | None], exists: list[str], container: bool
) -> None:
    facts = kernel.read(machine(CLEAN, files, exists=exists))
    assert facts["container"] is container
    assert facts["release"] == RUNNING  # reading refuses nothing


@pytest.mark.parametrize(
    ("files", "exists", "says"),
    [
        ({"/proc/2/comm": None, "/proc/1/comm": None}, [], "processes of other users are hidden"),
        (
            {"/proc/2/comm": None, "/proc/1/comm": None},
            ["/.dockerenv"],
            "processes of other users are hidden",
        ),
        ({}, ["/.dockerenv"], "'/.dockerenv' is the mark of a container, but all processes"),
    ],
)
def test_what_may_be_a_container(
    machine: Machine, files: dict[str, str | None], exists: list[str], says: str
) -> None:
    facts = kernel.read(machine(CLEAN, files, exists=exists, missing=["/proc/1"]))
    assert facts["container"] is None
    assert says in facts["unknown"]["container"]


def test_an_empty_root_is_all_unknown(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    facts = kernel.read(host)
    assert {path for path in facts if facts[path] is None} <= set(facts["unknown"])  # type: ignore[literal-required]
    assert "only the running machine had /proc" in facts["unknown"]["container"]
    assert links.read(host)["links"] is None
    assert kdump.read(host)["capture"]["loaded"] is None


# --- kdump -------------------------------------------------------------------------------------------


def test_the_clean_machine_is_ready() -> None:
    facts = kdump.read(Host(str(FIXTURES / CLEAN)))
    assert facts["unknown"] == {}
    assert facts["implementation"] == "kdump-tools"
    assert facts["reservation"] == {
        "requested": ["224M"],
        "bytes": 224 * MIB,
        "low_bytes": 224 * MIB,
        "high_bytes": 0,
    }
    capture = facts["capture"]
    assert capture["cmdline"] is not None
    assert (capture["loaded"], capture["panic"], capture["source"]) == (True, 10, "/var/crash/kexec_cmd")
    assert capture["cmdline"]["tokens"][-2:] == ["usbcore.nousb", "panic=10"]
    assert capture["initrd"] == "/var/lib/kdump/initrd.img"
    assert 5 * MIB < (capture["initrd_bytes"] or 0) < 50 * MIB
    assert facts["service"] == {"name": "kdump-tools.service", "enabled": True, "active": True}
    assert facts["target"] is not None
    assert (facts["target"]["path"], facts["target"]["kind"]) == ("/var/crash", "local")
    assert 0 < (facts["target"]["free_bytes"] or 0) < (facts["target"]["total_bytes"] or 0)
    assert facts["dumps"] == []


def test_what_this_kernel_keeps_for_the_next(machine: Machine) -> None:
    facts = kdump.read(Host(str(FIXTURES / CLEAN)))
    # VMCOREINFO_NOTE_SIZE of x86: 4096 bytes and the head of a note; the file has it in hexadecimal.
    assert facts["vmcoreinfo"] == {"address": "0x3fea000", "bytes": 4096 + 36}
    assert (facts["kexec_loaded"], facts["capture"]["elfcorehdr_bytes"]) == (False, 0)
    # Renewed since 6.6: of 56 bytes each, for the kernel, the note, 8192 processors and 8192 pieces of memory.
    newer = kdump.read(Host(str(FIXTURES / "debian-6.12-clean")))
    assert newer["capture"]["elfcorehdr_bytes"] == 56 * (2 + 8192 + 8192)
    assert kdump.read(machine(CLEAN, {"/sys/kernel/kexec_loaded": "1\n"}))["kexec_loaded"] is True


def test_the_incident() -> None:
    facts = kdump.read(Host(str(FIXTURES / INCIDENT)))
    assert facts["reservation"]["bytes"] == 80 * MIB
    assert facts["capture"]["loaded"] is True
    assert facts["capture"]["cmdline"] is not None
    assert facts["capture"]["panic"] is None
    assert "capture.panic" not in facts["unknown"]  # it is known to have none


def test_low_and_high_need_root() -> None:
    facts = kdump.read(Host(str(FIXTURES / "debian-6.1-incident-noroot")))
    assert facts["reservation"]["bytes"] == 80 * MIB
    assert (facts["reservation"]["low_bytes"], facts["reservation"]["high_bytes"]) == (None, None)
    assert set(facts["unknown"]) == {"reservation.low_bytes", "reservation.high_bytes"}
    assert facts["unknown"]["reservation.low_bytes"] == "'/proc/iomem' shows its addresses to root only"


def test_a_reservation_in_two_parts(machine: Machine) -> None:
    iomem = (
        "00001000-0009fbff : System RAM\n"
        "00100000-7fffffff : System RAM\n"
        "  2b000000-3affffff : Crash kernel\n"
        "100000000-27fffffff : System RAM\n"
        "  240000000-25fffffff : Crash kernel\n"
    )
    facts = kdump.read(
        machine(CLEAN, {"/proc/iomem": iomem, "/sys/kernel/kexec_crash_size": f"{768 * MIB}\n"})
    )
    assert (facts["reservation"]["low_bytes"], facts["reservation"]["high_bytes"]) == (256 * MIB, 512 * MIB)


def test_where_newer_kernels_have_it(machine: Machine) -> None:
    files: dict[str, str | None] = {
        "/sys/kernel/kexec_crash_loaded": None,
        "/sys/kernel/kexec_crash_size": None,
        "/sys/kernel/kexec/crash_loaded": "1\n",
        "/sys/kernel/kexec/crash_size": f"{224 * MIB}\n",
    }
    facts = kdump.read(machine(CLEAN, files))
    assert (facts["capture"]["loaded"], facts["reservation"]["bytes"]) == (True, 224 * MIB)


def test_a_kernel_that_cannot_load_one_has_none_loaded() -> None:
    facts = kdump.read(Host(str(FIXTURES / "debian-6.18-no-kdump")))
    assert facts["implementation"] is None
    assert facts["capture"]["loaded"] is False
    assert facts["reservation"] == {"requested": [], "bytes": 0, "low_bytes": 0, "high_bytes": 0}
    assert facts["unknown"] == {}


def test_nothing_loaded(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, {"/sys/kernel/kexec_crash_loaded": "0\n"}))
    capture = facts["capture"]
    assert (capture["loaded"], capture["cmdline"], capture["source"]) == (False, None, None)
    assert facts["unknown"]["capture.cmdline"] == "no capture kernel is loaded"
    # An estimate can still be made.
    assert capture["initrd_bytes"] == kdump.read(Host(str(FIXTURES / CLEAN)))["capture"]["initrd_bytes"]


def test_a_capture_kernel_that_somebody_else_loaded_is_not_described_by_an_old_record(
    machine: Machine,
) -> None:
    cmdline = (FIXTURES / CLEAN / "proc/cmdline").read_text().replace("vmlinuz-6.1.0-47", "vmlinuz-6.1.0-56")
    facts = kdump.read(machine(CLEAN, {"/proc/cmdline": cmdline}))
    assert facts["capture"]["cmdline"] is None
    assert "6.1.0-47-cloud-amd64, but" in facts["unknown"]["capture.cmdline"]


def test_a_record_that_is_missing(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, {"/var/crash/kexec_cmd": None}))
    assert facts["capture"]["cmdline"] is None
    assert facts["unknown"]["capture.cmdline"] == "'/var/crash/kexec_cmd' does not exist"


def test_a_capture_kernel_without_an_initrd(machine: Machine) -> None:
    record = '/sbin/kexec -p --command-line="ro panic=3" /vmlinuz\n'
    facts = kdump.read(machine(CLEAN, {"/var/crash/kexec_cmd": record}))
    assert facts["capture"]["panic"] == 3
    assert (facts["capture"]["initrd"], facts["capture"]["initrd_bytes"]) == (None, None)
    assert facts["unknown"]["capture.initrd_bytes"] == "the capture kernel was loaded without one"


@pytest.mark.parametrize(
    ("line", "path", "kind"),
    [
        ("SSH=kdump@192.0.2.9", "kdump@192.0.2.9:/var/crash", "ssh"),
        ("NFS=192.0.2.9:/srv/crash", "192.0.2.9:/srv/crash", "nfs"),
        ('FTP="192.0.2.9:/in"', "192.0.2.9:/in", "ftp"),
    ],
)
def test_a_remote_target_is_named_and_not_asked(machine: Machine, line: str, path: str, kind: str) -> None:
    facts = kdump.read(machine(CLEAN, {"/etc/default/kdump-tools": f"{line}\n"}))
    assert facts["target"] == {"path": path, "kind": kind, "free_bytes": None, "total_bytes": None}
    assert "remote" in facts["unknown"]["target.free_bytes"]


def test_the_record_lies_where_the_dumps_go(machine: Machine) -> None:
    record = (FIXTURES / CLEAN / "var/crash/kexec_cmd").read_text()
    host = machine(
        CLEAN,
        {"/etc/default/kdump-tools": 'KDUMP_COREDIR="/srv/crash/"\n', "/srv/crash/kexec_cmd": record},
        disks={"/srv/crash": {"total": 10, "free": 4}},
    )
    facts = kdump.read(host)
    assert facts["capture"]["source"] == "/srv/crash/kexec_cmd"
    assert facts["target"] == {"path": "/srv/crash", "kind": "local", "free_bytes": 4, "total_bytes": 10}


def test_a_folder_that_only_a_shell_knows(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, {"/etc/default/kdump-tools": "KDUMP_COREDIR=$(date +/%Y)\n"}))
    assert facts["target"] is None
    assert "worked out by the shell" in facts["unknown"]["target"]
    assert facts["capture"]["loaded"] is True


def test_no_defaults_file_is_kdump_tools_own_default(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, {"/etc/default/kdump-tools": None}))
    assert facts["target"] is not None
    assert facts["target"]["path"] == "/var/crash"


def systemd(load: str, unit: str, active: str) -> dict[str, Any]:
    argv = "systemctl show --property=LoadState,ActiveState,UnitFileState kdump-tools.service"
    return {
        argv: {
            "rc": 0,
            "stdout": f"LoadState={load}\nActiveState={active}\nUnitFileState={unit}\n",
            "stderr": "",
        }
    }


@pytest.mark.parametrize(
    ("unit", "active", "service"),
    [
        ("enabled", "active", (True, True)),
        ("disabled", "failed", (False, False)),
        ("masked", "inactive", (False, False)),
    ],
)
def test_the_service(machine: Machine, unit: str, active: str, service: tuple[bool, bool]) -> None:
    facts = kdump.read(machine(CLEAN, commands=systemd("loaded", unit, active)))
    assert facts["service"] is not None
    assert (facts["service"]["enabled"], facts["service"]["active"]) == service


def test_a_service_that_is_not_there(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, commands=systemd("not-found", "", "inactive")))
    assert facts["service"] is None
    assert facts["unknown"]["service"] == "there is no unit 'kdump-tools.service'"


def test_kdumpctl_is_told_by_its_program(machine: Machine) -> None:
    facts = kdump.read(machine("debian-6.18-no-kdump", exists=["/usr/bin/kdumpctl"]))
    assert facts["implementation"] == "kdumpctl"
    assert "'/etc/kdump.conf'" in facts["unknown"]["dumps"]
    assert facts["capture"]["loaded"] is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('ID="sles"\n', "how kdump is set up on the distribution 'sles' cannot be read yet"),
        (None, "'/usr/lib/os-release'"),
    ],
)
def test_where_kdump_may_be_done_in_another_way_nobody_says_that_it_is_not(
    machine: Machine, text: str | None, says: str
) -> None:
    facts = kdump.read(machine("debian-6.18-no-kdump", {"/etc/os-release": text}))
    assert (facts["implementation"], facts["dumps"]) == (None, None)
    for path in ("implementation", "service", "dumps"):
        assert says in facts["unknown"][path]


@pytest.mark.parametrize(
    ("name", "path", "text"),
    [
        *(
            ("kexec_crash_loaded", "capture.loaded", text)
            for text in ("", "\n", "2\n", "1 1\n", "\0", "-1\n")
        ),
        *(
            ("kexec_crash_size", "reservation.bytes", text)
            for text in ("", "\n", "1 1\n", "\0", "-1\n", "7" * 30)
        ),
    ],
)
def test_what_the_kernel_would_not_say_of_a_capture_kernel(
    machine: Machine, name: str, path: str, text: str
) -> None:
    facts: Any = kdump.read(machine(CLEAN, {f"/sys/kernel/{name}": text}))
    part, fact = path.split(".")
    assert facts[part][fact] is None
    assert "a number was expected" in facts["unknown"][path]


def test_addresses_of_any_length_are_none(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, {"/proc/iomem": f"0-{'f' * 5000} : Crash kernel\n"}))
    assert facts["reservation"]["low_bytes"] is None
    assert "has no line 'Crash kernel'" in facts["unknown"]["reservation.low_bytes"]
    json.dumps(facts)


def test_a_command_line_that_a_copy_lost_is_unknown(machine: Machine) -> None:
    facts = kdump.read(machine(CLEAN, {"/proc/cmdline": ""}))
    assert "'/proc/cmdline' is empty" in facts["unknown"]["reservation.requested"]


@pytest.mark.parametrize(
    ("said", "says"), [("ActiveState=active\n", "UnitFileState"), ("x\n", "ActiveState")]
)
def test_a_service_of_which_too_little_is_said(machine: Machine, said: str, says: str) -> None:
    (argv,) = systemd("", "", "")
    facts = kdump.read(machine(CLEAN, commands={argv: {"rc": 0, "stdout": said, "stderr": ""}}))
    assert facts["service"] is None
    assert facts["unknown"]["service"] == f"'{argv}' did not say {says}"


def test_a_capture_kernel_loaded_by_hand(machine: Machine) -> None:
    host = machine("debian-6.18-no-kdump", {"/sys/kernel/kexec_crash_loaded": "1\n"})
    facts = kdump.read(host)
    assert (facts["implementation"], facts["capture"]["loaded"]) == (None, True)
    assert "nothing we know" in facts["unknown"]["capture.cmdline"]


# --- programs ----------------------------------------------------------------------------------------


def test_a_reading_runs_one_package_manager_systemctl_and_ip() -> None:
    programs = {
        name: {one.split()[0] for one in notes_of(Host(str(FIXTURES / name)))["commands"]}
        for name in MACHINES
    }
    for name, ran in programs.items():
        manager = "rpm" if name.startswith(("rocky", "openeuler")) else "dpkg-query"
        assert ran <= {manager, "systemctl", "ip"}, name
    assert "rpm" in programs["rocky-9"]


# --- dumps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["202601010101", "192.0.2.1-202601010101"])
def test_a_file_that_has_the_name_of_a_crash_hides_no_dump(machine: Machine, name: str) -> None:
    before = kdump.read(Host(str(FIXTURES / DUMPS)))["dumps"]
    names = [*notes_of(Host(str(FIXTURES / DUMPS)))["listings"]["/var/crash"], name]
    # What the recorder notes of a file that is asked for its names.
    facts = kdump.read(machine(DUMPS, listings={"/var/crash": names}, missing=[f"/var/crash/{name}"]))
    assert before
    assert facts["dumps"] == before
    assert facts["unknown"] == {}


def test_a_crash_that_cannot_be_read_hides_no_other(machine: Machine) -> None:
    before = kdump.read(Host(str(FIXTURES / DUMPS)))["dumps"] or []
    lost, kept = (Path(dump["path"]).parent for dump in before)
    host = machine(DUMPS, unreadable={str(lost): "lost"})
    facts = kdump.read(host)
    assert [Path(dump["path"]).parent for dump in facts["dumps"] or []] == [kept]
    assert "lost" in facts["unknown"][f"dumps.{lost}"]
    host._captured["unreadable"][str(kept)] = "lost"
    facts = kdump.read(host)
    assert facts["dumps"] is None  # and not none
    assert "lost" in facts["unknown"]["dumps"]


def test_a_whole_dump_and_the_same_one_cut_by_a_mebibyte() -> None:
    facts = kdump.read(Host(str(FIXTURES / DUMPS)))
    assert facts["dumps"] is not None
    assert [dump["complete"] for dump in facts["dumps"]] == [True, False]
    whole, cut = facts["dumps"][0], facts["dumps"][1]
    assert re.fullmatch(r"/var/crash/(\d{12})/dump\.\1", whole["path"])
    assert whole["bytes"] - cut["bytes"] == MIB
    assert whole["time"] < cut["time"]


def test_dumps_of_other_kinds(machine: Machine) -> None:
    folder = "/var/crash/202611241004"
    files: dict[str, str | None] = {
        f"{folder}/vmcore.202611241004": "\x7fELF" + "x" * 100,
        f"{folder}/dump-incomplete.gz": "x" * 100,
        f"{folder}/dump.202611241004": "",
        f"{folder}/dmesg.202611241004": "[ 0.0] not a dump",
    }
    listings = {
        "/var/crash": ["202611241004", "kexec_cmd", "linux-image-6.1.0-47.0.crash"],
        folder: [path.rpartition("/")[2] for path in files],
    }
    host = machine(CLEAN, files, listings=listings)
    facts = kdump.read(host)
    assert facts["dumps"] is not None
    assert {dump["path"].split("/")[-1]: dump["complete"] for dump in facts["dumps"]} == {
        "vmcore.202611241004": None,
        "dump-incomplete.gz": False,
        "dump.202611241004": False,
    }
    assert facts["unknown"] == {
        f"dumps.{folder}/vmcore.202611241004": "it is of a kind that has no end marker"
    }


def test_many_dumps_stay_few_facts(machine: Machine) -> None:
    stamps = [f"2026112410{minute:02d}" for minute in range(30)]
    host = machine(
        CLEAN,
        {f"/var/crash/{stamp}/dump.{stamp}": "makedumpfile" for stamp in stamps},
        listings={"/var/crash": stamps, **{f"/var/crash/{stamp}": [f"dump.{stamp}"] for stamp in stamps}},
        mtimes={f"/var/crash/{stamp}/dump.{stamp}": float(stamp) for stamp in stamps},
    )
    facts = kdump.read(host)
    assert facts["dumps"] is not None
    assert [dump["path"].split("/")[3] for dump in facts["dumps"]] == stamps[-dumps.MOST_DUMPS :]
    assert "of 30 folders" in facts["unknown"]["dumps.older"]


# --- links -------------------------------------------------------------------------------------------


def link_of(host: Host, name: str) -> Any:
    return next(link for link in links.read(host)["links"] or [] if link["name"] == name)


def test_the_links_of_the_incident() -> None:
    facts = links.read(Host(str(FIXTURES / INCIDENT)))
    assert (facts["total"], facts["unknown"]) == (4, {})
    assert facts["links"] is not None
    ipvs, flannel = facts["links"]
    assert (ipvs["name"], ipvs["kind"], ipvs["up"], ipvs["maker"]) == (
        "kube-ipvs0",
        "dummy",
        False,
        "kube-proxy",
    )
    assert [address["address"] for address in ipvs["addresses"]] == ["10.96.0.1", "10.96.0.10"]
    assert (flannel["name"], flannel["kind"], flannel["up"], flannel["mtu"]) == (
        "flannel.1",
        "vxlan",
        True,
        1450,
    )
    assert {"id": 1, "local": "10.0.2.15", "port": 8472, "learning": False}.items() <= flannel[
        "attributes"
    ].items()
    for link in facts["links"]:
        assert (link["users"], link["users_unknown"]) == ([], [])
        assert link_rules.judge(link)["stale"] is True


def test_the_links_of_a_clean_machine() -> None:
    assert links.read(Host(str(FIXTURES / CLEAN))) == {"links": [], "total": 2, "unknown": {}}


PROC = [*(FIXTURES / INCIDENT / "proc").iterdir()]
PIDS = [path.name for path in PROC if path.name.isdigit()]


@pytest.mark.parametrize(
    ("name", "files", "listings", "user"),
    [
        (
            "kube-ipvs0",
            {"/proc/4711/comm": "kube-proxy\n"},
            {"/proc": [*PIDS, "4711"]},
            "process kube-proxy (4711)",
        ),
        (
            "flannel.1",
            {"/proc/4711/comm": "flanneld\n"},
            {"/proc": [*PIDS, "4711"]},
            "process flanneld (4711)",
        ),
        (
            "flannel.1",
            {},
            {"/var/lib/kubelet/pods": ["u1"], "/var/lib/kubelet/pods/u1/containers": ["kube-flannel"]},
            "container kube-flannel of pod u1",
        ),
        (
            "kube-ipvs0",
            {"/proc/net/ip_vs_conn": "Pro FromIP\nTCP 0A000001 1\nTCP 0A000001 2\n"},
            {},
            "2 connections in /proc/net/ip_vs_conn",
        ),
        (
            "flannel.1",
            {"/proc/net/route": "Iface\tDestination\nflannel.1\t00000000\t0A0\t3\t0\t0\t0\t00000000\t0\n"},
            {},
            "a default route goes over flannel.1",
        ),
        (
            "flannel.1",
            {"/proc/net/ipv6_route": f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} 00000400 1 0 3 flannel.1\n"},
            {},
            "a default route goes over flannel.1",
        ),
    ],
)
def test_a_link_in_use_is_left_with_the_proof(
    machine: Machine, name: str, files: dict[str, str | None], listings: dict[str, list[str]], user: str
) -> None:
    host = machine(INCIDENT, files, listings=listings)
    link = link_of(host, name)
    assert link["users"] == [user]
    assert link_rules.judge(link)["stale"] is False
    other = link_of(host, "flannel.1" if name == "kube-ipvs0" else "kube-ipvs0")
    assert other["users"] == []


@pytest.mark.parametrize("name", ["kube-ipvs0", "flannel.1"])
@pytest.mark.parametrize("comm", ["k3s", "k3s-server", "k3s-agent", "kubelite", "k0s"])
def test_a_distribution_that_runs_the_maker_within_its_own_process(
    machine: Machine, name: str, comm: str
) -> None:
    host = machine(INCIDENT, {"/proc/400/comm": f"{comm}\n"}, listings={"/proc": [*PIDS, "400"]})
    link = link_of(host, name)
    assert link["users"] == [f"process {comm} (400)"]
    assert link_rules.judge(link)["stale"] is False


def test_rke2_runs_kube_proxy_within_itself_and_flannel_never(machine: Machine) -> None:
    host = machine(INCIDENT, {"/proc/400/comm": "rke2\n"}, listings={"/proc": [*PIDS, "400"]})
    assert link_of(host, "kube-ipvs0")["users"] == ["process rke2 (400)"]
    assert link_of(host, "flannel.1")["users"] == []


def with_devices(machine: Machine, change: Callable[[list[dict[str, Any]]], None]) -> Host:
    notes = json.loads((FIXTURES / INCIDENT / CAPTURE_FILE).read_text())
    devices = json.loads(notes["commands"]["ip -j -d addr"]["stdout"])
    change(devices)
    return machine(
        INCIDENT, commands={"ip -j -d addr": {"rc": 0, "stdout": json.dumps(devices), "stderr": ""}}
    )


def test_pods_on_the_bridge_are_users(machine: Machine) -> None:
    def add(devices: list[dict[str, Any]]) -> None:
        devices.append({"ifindex": 9, "ifname": "veth9", "flags": ["UP"], "mtu": 1450, "master": "cni0"})

    host = with_devices(machine, add)
    assert link_of(host, "flannel.1")["users"] == ["pods on cni0: 1 ports, the first is veth9"]
    assert link_of(host, "kube-ipvs0")["users"] == []


def test_the_node_s_own_address_on_a_link_is_a_use(machine: Machine) -> None:
    def add(devices: list[dict[str, Any]]) -> None:
        ipvs = next(device for device in devices if device["ifname"] == "kube-ipvs0")
        ipvs["addr_info"].append({"family": "inet", "local": "10.0.2.15", "prefixlen": 32, "scope": "global"})

    host = with_devices(machine, add)
    assert link_of(host, "kube-ipvs0")["users"] == ["it has 10.0.2.15, an address of eth0"]


def test_a_link_of_the_name_and_another_kind_is_somebody_else_s(machine: Machine) -> None:
    def change(devices: list[dict[str, Any]]) -> None:
        next(device for device in devices if device["ifname"] == "kube-ipvs0")["linkinfo"]["info_kind"] = (
            "veth"
        )

    facts = links.read(with_devices(machine, change))
    assert [link["name"] for link in facts["links"] or []] == ["flannel.1"]


def test_a_process_that_ends_while_we_look_is_no_doubt(machine: Machine) -> None:
    host = machine(INCIDENT, listings={"/proc": [*PIDS, "4711"]}, missing=["/proc/4711/comm"])
    link = link_of(host, "kube-ipvs0")
    assert (link["users"], link["users_unknown"]) == ([], [])


@pytest.mark.parametrize(
    ("files", "unreadable", "doubt"),
    [
        ({"/proc/2/comm": "sh\n"}, {}, "not all processes of the machine are seen"),
        ({}, {"/proc/1/comm": "Permission denied"}, "Cannot read '/proc/1/comm': Permission denied"),
        ({}, {"/var/lib/kubelet/pods": "Permission denied"}, "Cannot read '/var/lib/kubelet/pods'"),
    ],
)
def test_what_cannot_be_asked_is_a_doubt(
    machine: Machine, files: dict[str, str | None], unreadable: dict[str, str], doubt: str
) -> None:
    link = link_of(machine(INCIDENT, files, unreadable=unreadable), "flannel.1")
    assert [doubt in line for line in link["users_unknown"]] == [True]
    assert link_rules.judge(link)["stale"] is None


def test_no_ip_command_is_unknown(machine: Machine) -> None:
    facts = links.read(machine(INCIDENT, commands={"ip -j -d addr": {"missing": True}}))
    assert (facts["links"], facts["total"]) == (None, None)
    assert facts["unknown"]["links"] == "The command 'ip' does not exist on this node"


def test_output_that_is_no_json_is_unknown(machine: Machine) -> None:
    facts = links.read(
        machine(INCIDENT, commands={"ip -j -d addr": {"rc": 0, "stdout": "oops", "stderr": ""}})
    )
    assert "printed no JSON" in facts["unknown"]["links"]


def test_a_kernel_that_was_installed_boots_next_and_does_not_run() -> None:
    facts = kernel.read(Host(str(FIXTURES / "debian-6.1-two-kernels")))
    assert (facts["release"], {*facts["unknown"]}) == (RUNNING, {"reboot_required"})
    assert facts["installed"] is not None
    assert [(found["release"], found["bootable"]) for found in facts["installed"]] == [
        (RUNNING, True),
        ("6.1.0-56-cloud-amd64", True),
    ]
    assert facts["next_boot"] is not None
    assert facts["next_boot"]["release"] == "6.1.0-56-cloud-amd64"
