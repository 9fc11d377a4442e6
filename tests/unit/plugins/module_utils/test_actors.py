# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of those who act on a node, over small trees: a setting, its absence, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._host import CAPTURE_FILE, Host
from ansible_collections.fleetops.kernel.plugins.module_utils._readers import actors

Files = dict[str, Any]  # None: there is no such file
Facts = dict[str, Any]
Read = Callable[..., Facts]

APT = "/etc/apt/apt.conf.d"
PERIODIC = 'APT::Periodic::Unattended-Upgrade "1";\n'
TIMERS = "/etc/systemd/system/timers.target.wants"
CONF = "/etc/systemd/networkd.conf"
SLICE = "/sys/fs/cgroup/system.slice"
NETWORKD = f"{SLICE}/systemd-networkd.service/cgroup.procs"
# A running machine of which all is seen, on which nobody acts.
QUIET: Files = {
    "/proc/version": "Linux version 6.1.0",
    "/proc/1/comm": "systemd\n",
    "/proc/2/comm": "kthreadd\n",
    "/proc/1/mountinfo": "22 28 0:21 / /run rw - tmpfs tmpfs rw\n",
    "/sys/class/net/lo/mtu": "65536",
    f"{SLICE}/ssh.service/cgroup.procs": "400\n",
}
APT_QUIET: Files = {
    "/usr/bin/unattended-upgrade": "",
    f"{APT}/20auto-upgrades": PERIODIC,
    f"{TIMERS}/apt-daily-upgrade.timer": "",
}
KURED: Files = {
    "/proc/77/comm": "kured\n",
    "/proc/77/cmdline": "/usr/bin/kured\0--reboot-sentinel=/sentinel/reboot-required\0--notify-url=slack://hunter2\0",
    "/proc/77/mountinfo": "1 0 0:9 / / rw - overlay o rw\n2 1 0:21 / /sentinel ro - tmpfs tmpfs rw\n",
}
DNF: Files = {
    "/usr/bin/dnf-automatic": "",
    "/etc/dnf/automatic.conf": "[commands]\napply_updates = yes\nreboot = when-needed\n",
    "/etc/dnf/dnf.conf": "[main]\ninstallonly_limit=3\n",
    f"{TIMERS}/dnf-automatic.timer": "",
}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The facts of a tree of these files; of *lost* paths it cannot be read what they hold."""

    def make(*parts: Files, lost: str = "", links: dict[str, str] | None = None) -> Facts:
        for path, text in {key: value for part in parts for key, value in part.items()}.items():
            if text is not None:
                file = tmp_path / path.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        for path, target in (links or {}).items():
            file = tmp_path / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to(target)
        notes = {"unreadable": {lost: "lost"} if lost else {}}
        (tmp_path / CAPTURE_FILE).write_text(json.dumps(notes))
        facts: Any = actors.read(Host(str(tmp_path)))
        return dict(facts)

    return make


def test_a_quiet_machine(read: Read) -> None:
    assert read(QUIET) == {
        "upgrades": [],
        "kured": {
            "running": False,
            "sentinel": "/var/run/reboot-required",
            "sentinel_present": False,
            "lines": [],
        },
        "networkd": {
            "active": False,
            "manages_foreign_routes": True,
            "manages_foreign_rules": True,
            "lines": [],
        },
        "cilium": False,
        "unknown": {},
    }


# --- upgrades ----------------------------------------------------------------------------------------


def upgrades(facts: Facts) -> tuple[Any, Any, Any]:
    (one,) = facts["upgrades"]
    return one["enabled"], one["reboots"], one["removes_kernels"]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, (True, False, True)),
        ({f"{APT}/20auto-upgrades": None}, (False, False, True)),
        ({f"{APT}/20auto-upgrades": 'APT::Periodic::Unattended-Upgrade "0";'}, (False, False, True)),
        ({f"{APT}/20auto-upgrades": 'APT::Periodic::Unattended-Upgrade "always";'}, (True, False, True)),
        ({f"{APT}/10x": 'APT::Periodic::Enable "0";'}, (False, False, True)),
        ({f"{APT}/10x": 'APT::Periodic::Enable "1";'}, (True, False, True)),
        ({f"{TIMERS}/apt-daily-upgrade.timer": None}, (False, False, True)),
        ({f"{APT}/52x": 'Unattended-Upgrade::Automatic-Reboot "true";'}, (True, True, True)),
        ({f"{APT}/52x": 'unattended-upgrade { automatic-reboot "yes"; };'}, (True, True, True)),
        ({f"{APT}/52x": '//Unattended-Upgrade::Automatic-Reboot "true";'}, (True, False, True)),
        ({f"{APT}/52x.dpkg-old": 'Unattended-Upgrade::Automatic-Reboot "true";'}, (True, False, True)),
        (
            {
                f"{APT}/52x": 'Unattended-Upgrade::Automatic-Reboot "true";',
                "/etc/apt/apt.conf": 'Unattended-Upgrade::Automatic-Reboot "false";',
            },
            (True, False, True),
        ),
        ({f"{APT}/52x": 'Unattended-Upgrade::Remove-Unused-Kernel-Packages "false";'}, (True, False, False)),
        (
            {
                f"{APT}/52x": 'Unattended-Upgrade::Remove-Unused-Kernel-Packages "false";\n'
                'Unattended-Upgrade::Remove-Unused-Dependencies "true";'
            },
            (True, False, True),
        ),
    ],
)
def test_unattended_upgrades(read: Read, files: Files, wanted: tuple[bool, bool, bool]) -> None:
    facts = read(QUIET, APT_QUIET, files)
    assert upgrades(facts) == wanted
    assert facts["unknown"] == {}


SECRETS: list[Files] = [
    {
        f"{APT}/52x": 'Unattended-Upgrade::Automatic-Reboot "true"; Acquire::http::Proxy "http://u:hunter2@p/";'
    },
    {f"{APT}/52x": 'Acquire::http::Proxy "http://u:hunter2@p/"'},
    {f"{APT}/52x": 'Acquire::http::Proxy "http://u:hunter2@p/" "x" "y";'},
    {f"{APT}/52x": '#include "http://u:hunter2@p/";'},
    {f"{APT}/52x": "Acquire%hunter2 x;"},
    {f"{APT}/52x": 'hunter2::::x "y";'},
    {"/etc/dnf/automatic.conf": "password = hunter2\n"},
    {"/etc/dnf/automatic.conf": "[commands]\npassword hunter2\n"},
    {"/etc/dnf/automatic.conf": "[commands]\nreboot = never\n proxy_password = hunter2\n"},
    {"/etc/dnf/automatic.conf": "[commands]\napply_updates = yes\n proxy_password = hunter2\n"},
]


@pytest.mark.parametrize("files", SECRETS)
def test_neither_a_reason_nor_the_evidence_tells_a_password(read: Read, files: Files) -> None:
    facts = read(QUIET, APT_QUIET, DNF, files)
    assert "hunter2" not in json.dumps(facts)
    (path,) = files
    told = [line["source"] for one in facts["upgrades"] for line in one["lines"]]
    assert path in told or any(f"'{path}'" in why for why in facts["unknown"].values())


def test_which_line_of_an_ini_is_wrong_is_told(read: Read) -> None:
    for number, text in ((1, "password = x\n"), (3, "[commands]\n\npassword x\n")):
        why = read(QUIET, DNF, {"/etc/dnf/automatic.conf": text})["unknown"]["upgrades.dnf-automatic"]
        assert why == f"'/etc/dnf/automatic.conf' line {number} is not in the form of an ini file"


def test_the_very_lines_of_unattended_upgrades(read: Read) -> None:
    facts = read(
        QUIET, APT_QUIET, {f"{APT}/52x": 'A "b";\n  Unattended-Upgrade::Automatic-Reboot  "true"; # us'}
    )
    assert facts["upgrades"][0]["lines"] == [
        {"source": f"{APT}/52x", "text": 'Unattended-Upgrade::Automatic-Reboot "true";'},
        {"source": f"{APT}/20auto-upgrades", "text": PERIODIC.strip()},
        {"source": TIMERS, "text": "apt-daily-upgrade.timer"},
    ]


@pytest.mark.parametrize("unit", ["apt-daily-upgrade.timer", "apt-daily-upgrade.service"])
@pytest.mark.parametrize("folder", ["/etc/systemd/system", "/run/systemd/system"])
def test_a_masked_timer_runs_nothing(read: Read, unit: str, folder: str) -> None:
    facts = read(QUIET, APT_QUIET, links={f"{folder}/{unit}": "/dev/null"})
    assert upgrades(facts) == (False, False, True)
    assert facts["upgrades"][0]["lines"][-1]["source"] == f"{folder}/{unit}"


@pytest.mark.parametrize(
    ("lost", "wanted"),
    [
        (f"{APT}/20auto-upgrades", (None, None, None)),
        (APT, (None, None, None)),
        (TIMERS, (None, False, True)),
    ],
)
def test_unattended_upgrades_that_cannot_be_read(
    read: Read, lost: str, wanted: tuple[bool | None, bool | None, bool | None]
) -> None:
    facts = read(QUIET, APT_QUIET, lost=lost)
    assert upgrades(facts) == wanted
    assert all("lost" in why for why in facts["unknown"].values())
    assert facts["unknown"]


def test_an_apt_conf_that_is_not_understood_is_unknown(read: Read) -> None:
    facts = read(QUIET, APT_QUIET, {f"{APT}/60x": '#include "/etc/other";'})
    assert upgrades(facts) == (None, None, None)
    assert "'/etc/apt/apt.conf.d/60x' line 1" in facts["unknown"]["upgrades.unattended-upgrades"]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, (True, True, True)),
        ({"/etc/dnf/automatic.conf": "[commands]\napply_updates = no\n"}, (False, False, True)),
        ({"/etc/dnf/automatic.conf": None}, (False, False, True)),
        ({"/etc/dnf/automatic.conf": "[commands]\napply_updates=1\nreboot=when-changed"}, (True, True, True)),
        (
            {"/etc/dnf/automatic.conf": "[commands]\napply_updates=1\n#reboot=when-changed"},
            (True, False, True),
        ),
        ({f"{TIMERS}/dnf-automatic.timer": None}, (False, True, True)),
        (
            {
                "/etc/dnf/automatic.conf": "[commands]\napply_updates = no\n",
                f"{TIMERS}/dnf-automatic-install.timer": "",
            },
            (True, False, True),
        ),
        ({f"{TIMERS}/dnf-automatic.timer": None, f"{TIMERS}/dnf5-automatic.timer": ""}, (True, True, True)),
        ({"/etc/dnf/dnf.conf": "[main]\ninstallonly_limit=0\n"}, (True, True, False)),
        ({"/etc/dnf/dnf.conf": None}, (True, True, True)),
    ],
)
def test_dnf_automatic(read: Read, files: Files, wanted: tuple[bool, bool, bool]) -> None:
    facts = read(QUIET, DNF, files)
    assert upgrades(facts) == wanted
    assert facts["unknown"] == {}


@pytest.mark.parametrize(
    ("text", "wanted", "path"),
    [
        ("[commands]\napply_updates = maybe\n", (None, False, True), ".enabled"),
        ("[commands]\napply_updates = yes\nreboot = sometimes\n", (True, None, True), ".reboots"),
        ("no ini at all\n", (None, None, True), ""),
    ],
)
def test_dnf_automatic_that_is_not_understood(read: Read, text: str, wanted: Any, path: str) -> None:
    facts = read(QUIET, DNF, {"/etc/dnf/automatic.conf": text})
    assert upgrades(facts) == wanted
    assert list(facts["unknown"]) == [f"upgrades.dnf-automatic{path}"]


# --- kured -------------------------------------------------------------------------------------------


def test_kured_and_its_sentinel(read: Read) -> None:
    facts = read(QUIET, KURED, {"/run/reboot-required": ""})
    assert facts["kured"] == {
        "running": True,
        "sentinel": "/run/reboot-required",
        "sentinel_present": True,
        "lines": [
            {"source": "/proc/77/comm", "text": "kured"},
            {"source": "/proc/77/cmdline", "text": "--reboot-sentinel=/sentinel/reboot-required"},
            {"source": "/run/reboot-required", "text": "it is there"},
        ],
    }
    assert "hunter2" not in json.dumps(facts)


@pytest.mark.parametrize(
    ("option", "sentinel"),
    [
        ("", "/var/run/reboot-required"),
        ("--reboot-sentinel=/var/run/x", "/var/run/x"),
        ("--reboot-sentinel\0/var/run/x", "/var/run/x"),
        ("--reboot-sentinel=/sentinel/x/y", "/run/x/y"),
    ],
)
def test_where_its_sentinel_is(read: Read, option: str, sentinel: str) -> None:
    facts = read(QUIET, KURED, {"/proc/77/cmdline": f"kured\0{option}\0"})
    assert (facts["kured"]["sentinel"], facts["kured"]["sentinel_present"]) == (sentinel, False)


def test_a_command_for_a_sentinel_is_not_run(read: Read) -> None:
    words = "kured\0--reboot-sentinel-command=curl -u a:hunter2 x\0"
    facts = read(QUIET, KURED, {"/proc/77/cmdline": words})
    assert (facts["kured"]["sentinel"], facts["kured"]["sentinel_present"]) == ("a command (not shown)", None)
    assert facts["unknown"]["kured.sentinel_present"] == "kured asks a command (not shown)"
    assert "hunter2" not in json.dumps(facts)


def test_a_mount_that_the_machine_does_not_show(read: Read) -> None:
    facts = read(QUIET, KURED, {"/proc/1/mountinfo": "22 28 0:5 / /run rw - tmpfs tmpfs rw\n"})
    assert facts["kured"]["sentinel_present"] is None
    assert "cannot be seen" in facts["unknown"]["kured.sentinel_present"]


def test_a_container_of_kured_is_enough(read: Read) -> None:
    facts = read(QUIET, {"/var/lib/kubelet/pods/u1/containers/kured/x": ""})
    assert facts["kured"]["running"] is True
    assert facts["kured"]["lines"] == [{"source": "/var/lib/kubelet/pods/u1/containers", "text": "kured"}]


@pytest.mark.parametrize("lost", ["/proc", "/proc/2/comm", "/var/lib/kubelet/pods"])
def test_kured_that_cannot_be_seen_is_unknown(read: Read, lost: str) -> None:
    facts = read(QUIET, {"/var/lib/kubelet/pods/u1/containers/web/x": ""}, lost=lost)
    assert (facts["kured"]["running"], facts["kured"]["sentinel_present"]) == (None, None)
    assert "lost" in facts["unknown"]["kured.running"]


# --- networkd and Cilium -----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice"])
def test_networkd_runs(read: Read, folder: str) -> None:
    source = f"{folder}/systemd-networkd.service/cgroup.procs"
    facts = read({**QUIET, f"{SLICE}/ssh.service/cgroup.procs": None}, {source: "412\n"})
    assert facts["networkd"]["active"] is True
    assert facts["networkd"]["lines"] == [{"source": source, "text": "412"}]


@pytest.mark.parametrize(
    ("files", "lost"),
    [
        ({f"{SLICE}/ssh.service/cgroup.procs": None}, ""),  # nothing of systemd is seen
        ({NETWORKD: "412"}, NETWORKD),
    ],
)
def test_networkd_that_cannot_be_seen_is_unknown(read: Read, files: Files, lost: str) -> None:
    facts = read(QUIET, files, lost=lost)
    assert facts["networkd"]["active"] is None
    assert "networkd.active" in facts["unknown"]


def test_a_networkd_that_has_ended_does_not_run(read: Read) -> None:
    assert read(QUIET, {NETWORKD: ""})["networkd"]["active"] is False


NO_ROUTES, NO_RULES = "ManageForeignRoutes=no\n", "ManageForeignRoutingPolicyRules=no\n"
VENDOR = "/usr/lib/systemd/networkd.conf"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({CONF: f"[Network]\n{NO_ROUTES}{NO_RULES}"}, (False, False)),
        ({CONF: f"[Network]\n{NO_ROUTES}"}, (False, True)),
        ({CONF: f"[Network]\n#{NO_ROUTES};{NO_RULES}"}, (True, True)),
        ({CONF: f"[DHCPv4]\n{NO_ROUTES}"}, (True, True)),
        ({CONF: f"[Network]\n{NO_ROUTES}ManageForeignRoutes=on\n"}, (True, True)),
        ({CONF: f"[Network]\n{NO_ROUTES}ManageForeignRoutes=perhaps\n"}, (False, True)),
        ({CONF: "[Network]\nManageForeignRoutes = OFF\n"}, (False, True)),
        ({CONF: "[Network]\nManageForeignRoutes= \\\n# why\n f\n"}, (False, True)),
        ({VENDOR: f"[Network]\n{NO_ROUTES}"}, (False, True)),
        ({VENDOR: f"[Network]\n{NO_ROUTES}", CONF: "[Network]\n"}, (True, True)),
        ({f"{VENDOR}.d/50-x.conf": f"[Network]\n{NO_ROUTES}", CONF: "[Network]\n"}, (False, True)),
        ({f"{CONF}.d/x": f"[Network]\n{NO_ROUTES}"}, (True, True)),
        (
            {
                f"{CONF}.d/10-x.conf": f"[Network]\n{NO_ROUTES}",
                f"{VENDOR}.d/20-y.conf": "[Network]\nManageForeignRoutes=1",
            },
            (True, True),
        ),
        (
            {
                f"{CONF}.d/10-x.conf": f"[Network]\n{NO_ROUTES}",
                f"{VENDOR}.d/10-x.conf": f"[Network]\n{NO_RULES}",
            },
            (False, True),
        ),
        (
            {
                "/run/systemd/networkd.conf.d/10-x.conf": "",
                f"{VENDOR}.d/10-x.conf": f"[Network]\n{NO_RULES}",
            },
            (True, True),
        ),
    ],
)
def test_what_networkd_manages(read: Read, files: Files, wanted: tuple[bool, bool]) -> None:
    facts = read(QUIET, files)
    networkd = facts["networkd"]
    assert (networkd["manages_foreign_routes"], networkd["manages_foreign_rules"]) == wanted
    assert facts["unknown"] == {}


def test_a_drop_in_that_is_masked(read: Read) -> None:
    facts = read(
        QUIET,
        {f"{VENDOR}.d/10-x.conf": f"[Network]\n{NO_RULES}"},
        links={f"{CONF}.d/10-x.conf": "/dev/null"},
    )
    assert facts["networkd"]["manages_foreign_rules"] is True


def test_the_very_line_of_networkd(read: Read) -> None:
    facts = read(QUIET, {f"{CONF}.d/10-x.conf": f"[Network]\n  {NO_ROUTES}"})
    assert facts["networkd"]["lines"] == [{"source": f"{CONF}.d/10-x.conf", "text": "ManageForeignRoutes=no"}]


@pytest.mark.parametrize("lost", [CONF, f"{CONF}.d"])
def test_settings_of_networkd_that_cannot_be_read_are_unknown(read: Read, lost: str) -> None:
    facts = read(QUIET, {CONF: f"[Network]\n{NO_ROUTES}", f"{CONF}.d/x.conf": ""}, lost=lost)
    for name in ("manages_foreign_routes", "manages_foreign_rules"):
        assert facts["networkd"][name] is None
        assert "lost" in facts["unknown"][f"networkd.{name}"]


@pytest.mark.parametrize(
    "sign",
    [
        "/sys/class/net/cilium_host/mtu",
        "/sys/class/net/cilium_net/mtu",
        "/run/cilium/cilium.pid",
        "/var/lib/kubelet/pods/u1/containers/cilium-agent/x",
    ],
)
def test_cilium(read: Read, sign: str) -> None:
    assert read(QUIET, {sign: ""})["cilium"] is True


def test_the_agent_of_cilium(read: Read) -> None:
    assert read(QUIET, {"/proc/88/comm": "cilium-agent\n"})["cilium"] is True


@pytest.mark.parametrize(
    "lost", ["/sys/class/net", "/proc", "/var/lib/kubelet/pods", "/run/cilium/cilium.pid"]
)
def test_cilium_that_cannot_be_seen_is_unknown(read: Read, lost: str) -> None:
    facts = read(QUIET, lost=lost)
    assert facts["cilium"] is None
    assert "lost" in facts["unknown"]["cilium"]


# --- everything --------------------------------------------------------------------------------------

BUSY: Files = {
    **QUIET,
    **APT_QUIET,
    **KURED,
    **DNF,
    f"{APT}/52x": 'Unattended-Upgrade::Automatic-Reboot "true";',
    NETWORKD: "412\n",
    CONF: f"[Network]\n{NO_ROUTES}",
    "/sys/class/net/cilium_host/mtu": "1500",
    "/run/reboot-required": "",
}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if key in ("unknown", "lines"):
            continue
        here = f"{path}.{key}".lstrip(".")
        if isinstance(inner, dict):
            yield from leaves(inner, here)
        elif isinstance(inner, list):
            yield from leaves({one["name"]: one for one in inner}, here)
        else:
            yield here, inner


@pytest.mark.parametrize("lost", [*sorted(BUSY), APT, TIMERS, "/proc", "/sys/class/net", SLICE, f"{CONF}.d"])
def test_what_is_lost_never_turns_an_answer_into_another(read: Read, lost: str) -> None:
    before = dict(leaves(read(BUSY)))
    assert None not in before.values()
    facts = read(lost=lost)
    for path, value in leaves(facts):
        if path != "kured.sentinel":
            assert value in (before.get(path), None), path
        if value is None:
            assert any(f"{path}.".startswith(f"{key}.") for key in facts["unknown"]), path


def test_a_mere_disk_proves_nothing_of_what_runs(read: Read, tmp_path: Path) -> None:
    read(
        {
            f"{APT}/20auto-upgrades": PERIODIC,
            "/usr/bin/unattended-upgrade": "",
            "/etc/os-release": "ID=debian\n",
        }
    )
    (tmp_path / CAPTURE_FILE).unlink()
    facts: Any = actors.read(Host(str(tmp_path)))
    assert [(one["name"], one["reboots"]) for one in facts["upgrades"]] == [
        ("unattended-upgrades", False),
        ("dnf-automatic", None),  # of /usr/lib this tree has nothing
    ]
    assert "/usr/lib" in facts["unknown"]["upgrades.dnf-automatic"]
    assert facts["kured"]["running"] is None
    assert facts["kured"]["sentinel_present"] is None
    assert facts["networkd"]["active"] is None
    assert facts["cilium"] is None


def test_the_running_machine() -> None:
    facts: Any = actors.read(Host("/"))
    for path, value in leaves(facts):
        assert value is not None or any(f"{path}.".startswith(f"{key}.") for key in facts["unknown"]), path
