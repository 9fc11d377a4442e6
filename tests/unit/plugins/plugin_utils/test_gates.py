# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import gates

RELEASE = "6.1.0-56-cloud-amd64"


def facts(**parts: Any) -> dict[str, Any]:
    return {f"fleetops_{name}": {"unknown": {}, **part} for name, part in parts.items()}


def capture(panic: int | None) -> dict[str, Any]:
    words = "nr_cpus=1" + (f" panic={panic}" if panic is not None else "")
    line = {"raw": words, "tokens": words.split(), "init_args": []}
    return facts(kdump={"capture": {"cmdline": line, "panic": panic, "source": "/var/crash/kexec_cmd"}})


def link(name: str, users: list[str], users_unknown: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "index": 7,
        "kind": "vxlan" if name == "flannel.1" else "dummy",
        "up": True,
        "mac": "02:00:00:00:00:01",
        "mtu": 1450,
        "master": None,
        "addresses": [{"family": "inet", "address": "10.244.1.0", "prefixlen": 32, "scope": "global"}],
        "attributes": {},
        "maker": "flannel" if name == "flannel.1" else "kube-proxy",
        "users": users,
        "users_unknown": users_unknown,
    }


@pytest.mark.parametrize("gate", sorted(gates.GATES))
@pytest.mark.parametrize(
    "nothing", [None, {}, {"fleetops_kernel": None, "fleetops_kdump": None}, "unreachable"]
)
def test_every_gate_is_closed_and_not_false_when_nothing_was_read(gate: str, nothing: Any) -> None:
    known: dict[str, dict[str, Any]] = {
        "crashkernel_reserved": {"want": "224M"},
        "prometheus_quiet": {"url": "http://prometheus:9090"},
        "command": {"argv": ["true"]},
    }
    options = known.get(gate, {"want": RELEASE} if gate.startswith("kernel_") else {})
    verdict = gates.judge(nothing, gate, **options)
    assert verdict["passed"] is None
    assert "cannot tell" in verdict["reason"]


@pytest.mark.parametrize(
    ("running", "passed"), [(RELEASE, True), ("6.1.0-47-cloud-amd64", False), (None, None)]
)
def test_kernel_running(running: str | None, passed: bool | None) -> None:
    verdict = gates.judge(facts(kernel={"release": running}), "kernel_running", want=RELEASE)
    assert verdict["passed"] is passed


def test_an_unknown_gate_tells_the_reason_that_the_reader_gave() -> None:
    look = facts(
        kernel={"next_boot": None, "unknown": {"next_boot": "Cannot read '/boot/grub/grub.cfg' (needs root)"}}
    )
    verdict = gates.judge(look, "kernel_boots_next", want=RELEASE)
    assert verdict["passed"] is None
    assert "needs root" in verdict["reason"]


def test_a_pinned_default_closes_the_gate_and_says_by_which_rule() -> None:
    entry = {"release": "6.1.0-47-cloud-amd64", "entry": "1>2", "because": "GRUB_DEFAULT is the number 1>2"}
    verdict = gates.judge(facts(kernel={"next_boot": entry}), "kernel_boots_next", want=RELEASE)
    assert verdict["passed"] is False
    assert "GRUB_DEFAULT is the number" in verdict["reason"]


@pytest.mark.parametrize(
    ("installed", "unknown", "passed", "words"),
    [
        ([(RELEASE, True, [])], {}, True, f"boots {RELEASE} next"),
        ([(RELEASE, False, ["/boot/initrd.img-x", "depmod"])], {}, False, "/boot/initrd.img-x, depmod"),
        ([(RELEASE, None, [])], {f"installed.{RELEASE}.bootable": "needs root"}, None, "needs root"),
        ([("6.1.0-47-cloud-amd64", True, [])], {}, None, "not among the installed kernels"),
        (None, {"installed": "Cannot read '/boot'"}, None, "Cannot read '/boot'"),
    ],
)
def test_the_kernel_that_boots_next_must_be_able_to(
    installed: Any, unknown: dict[str, str], passed: bool | None, words: str
) -> None:
    entry = {"release": RELEASE, "entry": "0", "because": "default in grub.cfg: 0"}
    names = ("release", "bootable", "missing")
    kernels = installed and [{**dict(zip(names, one, strict=True)), "lacks": []} for one in installed]
    look = facts(kernel={"next_boot": entry, "installed": kernels, "unknown": unknown})
    verdict = gates.judge(look, "kernel_boots_next", want=RELEASE)
    assert verdict["passed"] is passed
    assert words in verdict["reason"]


@pytest.mark.parametrize(
    ("lacks", "running", "passed", "words"),
    [
        ([], "6.1.0-47-cloud-amd64", True, f"boots {RELEASE} next"),
        (["bnxt_en"], "6.1.0-47-cloud-amd64", False, "it lacks modules in use: bnxt_en"),
        (None, "6.1.0-47-cloud-amd64", None, "whether it has the modules in use (needs root)"),
        # What runs has what is in use, wherever it was loaded from.
        (["bnxt_en"], RELEASE, True, f"boots {RELEASE} next"),
    ],
)
def test_the_kernel_that_boots_next_must_have_the_modules_in_use(
    lacks: list[str] | None, running: str, passed: bool | None, words: str
) -> None:
    entry = {"release": RELEASE, "entry": "0", "because": "default in grub.cfg: 0"}
    one = {"release": RELEASE, "bootable": True, "missing": [], "lacks": lacks}
    unknown = {f"installed.{RELEASE}.lacks": "needs root"} if lacks is None else {}
    look = facts(kernel={"release": running, "next_boot": entry, "installed": [one], "unknown": unknown})
    verdict = gates.judge(look, "kernel_boots_next", want=RELEASE)
    assert verdict["passed"] is passed
    assert words in verdict["reason"]


@pytest.mark.parametrize(
    ("disk", "passed"),
    [("6.1.192-2", True), ("6.1.192-3", False), ("6.1.192-1", True), (None, True)],
)
def test_a_newer_upload_of_what_runs_is_not_running(disk: str | None, passed: bool) -> None:
    runs = {"name": f"linux-image-{RELEASE}", "version": "6.1.192-2", "source": "linux-signed-amd64"}
    one = {"release": RELEASE, "package": disk and {**runs, "version": disk}}
    distro = {"id": "debian", "version_id": "12", "codename": "bookworm", "family": "debian"}
    more = {"distro": distro, "flavour": "cloud-amd64", "package": runs, "installed": [one]}
    verdict = gates.judge(facts(kernel={"release": RELEASE, **more}), "kernel_running", want=RELEASE)
    assert verdict["passed"] is passed
    assert ("6.1.192-3 is installed since" in verdict["reason"]) is not passed


# panic=0 waits for ever: having the word is not enough.
@pytest.mark.parametrize(("panic", "passed"), [(10, True), (-1, True), (0, False), (None, False)])
def test_capture_reboots(panic: int | None, passed: bool) -> None:
    assert gates.judge(capture(panic), "capture_reboots")["passed"] is passed


@pytest.mark.parametrize(
    ("want", "reserved", "passed"),
    [
        ("224M", 224 << 20, True),
        ("224M", 128 << 20, False),
        ("224M", None, None),
        ("0-4G:224M,4G-:512M", 224 << 20, True),
        ("4G-:512M", 0, True),  # asks for nothing on this machine
        ("", 0, True),
    ],
)
def test_crashkernel_reserved(want: str, reserved: int | None, passed: bool | None) -> None:
    look = facts(kernel={"memory_bytes": 2 << 30}, kdump={"reservation": {"bytes": reserved}})
    assert gates.judge(look, "crashkernel_reserved", want=want)["passed"] is passed


@pytest.mark.parametrize(
    ("users", "users_unknown", "passed"),
    [([], [], False), (["process flanneld"], [], True), ([], ["/var/lib/kubelet needs root"], None)],
)
def test_no_stale_links_judges_by_use(
    users: list[str], users_unknown: list[str], passed: bool | None
) -> None:
    look = facts(links={"links": [link("flannel.1", users, users_unknown)]})
    assert gates.judge(look, "no_stale_links")["passed"] is passed


def test_a_named_link_must_be_gone_whoever_uses_it() -> None:
    look = facts(links={"links": [link("flannel.1", ["process flanneld"], [])]})
    assert gates.judge(look, "no_stale_links", names=["flannel.1"])["passed"] is False
    assert gates.judge(look, "no_stale_links", names=["kube-ipvs0"])["passed"] is True


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(FleetopsError, match=r"no gate 'kernel_runs': expected one of .*kernel_running"):
        gates.judge({}, "kernel_runs")
