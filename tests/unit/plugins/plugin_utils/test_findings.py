# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof by contrast, on captured machines: the fault alone, the clean machine, the unreadable source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import links
from ansible_collections.fleetops.kernel.plugins.plugin_utils import findings, verdict
from ansible_collections.fleetops.kernel.plugins.plugin_utils.matching import Advisory

Facts = dict[str, Any]
MIB = 1 << 20
WHY = "Cannot read it: Permission denied (needs root)"
KERNEL = {"role": "kernel_upgrade", "vars": {"kernel_upgrade_release": "6.1.0-56-cloud-amd64"}}


def opened(
    facts: Facts, catalogue: list[Advisory], **variables: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    """The findings that are not ok, by key."""
    found: list[Any] = findings.judge(facts, catalogue, variables)  # type: ignore[arg-type]
    keys = [(finding["id"], finding["subject"]) for finding in found]
    assert len(keys) == len(set(keys)), "a key stands for one finding"
    for finding in found:
        assert finding["reason"]
        assert "\n" not in finding["reason"]
        assert finding["status"] != "ok" or finding["remedy"] is None
    return {key: finding for key, finding in zip(keys, found, strict=True) if finding["status"] != "ok"}


def set_path(facts: Facts, path: str, value: Any, why: str | None = None) -> None:
    """Set one reading; None leaves its reason."""
    reader, *parts = path.split(".")
    part = facts[reader]
    for name in parts[:-1]:
        part = part[name]
    part[parts[-1]] = value
    if value is None and why:
        facts[reader]["unknown"][".".join(parts)] = why


# --- each fault alone --------------------------------------------------------------------------------


def small(facts: Facts) -> None:
    set_path(facts, "kdump.reservation.bytes", 80 * MIB)


def no_word(facts: Facts) -> None:
    set_path(facts, "kdump.capture.panic", None)


def word_zero(facts: Facts) -> None:
    set_path(facts, "kdump.capture.panic", 0)


def unloaded(facts: Facts) -> None:
    set_path(facts, "kdump.capture.loaded", False)
    set_path(facts, "kdump.capture.cmdline", None, "no capture kernel is loaded")
    set_path(facts, "kdump.capture.panic", None)


def unreserved(facts: Facts) -> None:
    unloaded(facts)
    facts["kdump"]["reservation"].update(requested=[], bytes=0, low_bytes=0, high_bytes=0)


def uninstalled(facts: Facts) -> None:
    unloaded(facts)
    facts["kdump"].update(implementation=None, service=None, target=None)
    facts["kdump"]["capture"].update(initrd=None, initrd_bytes=None)


FAULTS: dict[str, tuple[Callable[[Facts], None], tuple[str, str], dict[str, Any] | None, str]] = {
    "small": (
        small,
        ("crashkernel-too-small", "crashkernel"),
        {"role": "crashkernel", "vars": {"crashkernel_size": "224M", "crashkernel_capture_panic": 10}},
        "80 MiB are reserved",
    ),
    "no word": (
        no_word,
        ("capture-may-hang", "capture"),
        {"role": "crashkernel", "vars": {"crashkernel_capture_panic": 10}},
        "no panic=",
    ),
    "word zero": (
        word_zero,
        ("capture-may-hang", "capture"),
        {"role": "crashkernel", "vars": {"crashkernel_capture_panic": 10}},
        "panic=0",
    ),
    "unloaded": (
        unloaded,
        ("kdump-not-armed", "kdump"),
        {"role": "crashkernel", "vars": {"crashkernel_capture_panic": 10}},
        "no capture kernel",
    ),
    "unreserved": (
        unreserved,
        ("kdump-not-armed", "kdump"),
        {"role": "crashkernel", "vars": {"crashkernel_size": "224M", "crashkernel_capture_panic": 10}},
        "no memory is reserved",
    ),
    "uninstalled": (
        uninstalled,
        ("kdump-not-armed", "kdump"),
        None,
        "no kdump package is installed",
    ),
}


def test_a_clean_machine_has_no_finding(clean: Facts, ours: list[Advisory]) -> None:
    assert opened(clean, ours) == {}
    named = {finding["id"] for finding in findings.judge(clean, ours, {})}  # type: ignore[arg-type]
    assert named >= {
        "kernel-known-bad",
        "crashkernel-too-small",
        "kdump-not-armed",
        "capture-may-hang",
        "stale-link",
    }, "what was checked and found in order is part of the answer"


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone_gives_exactly_its_finding(clean: Facts, ours: list[Advisory], fault: str) -> None:
    plant, key, remedy, words = FAULTS[fault]
    plant(clean)
    found = opened(clean, ours)
    assert list(found) == [key]
    assert (found[key]["status"], found[key]["severity"]) == ("affected", "high")
    # The exact size is the rule's own matter (test_crashkernel.py).
    got = found[key]["remedy"]
    assert (got is None) == (remedy is None)
    if got is not None and remedy is not None:
        assert (got["role"], set(got["vars"])) == (remedy["role"], set(remedy["vars"]))
    assert words in found[key]["reason"]
    assert all(item["source"] and item["text"] for item in found[key]["evidence"])


def test_a_kernel_named_by_an_advisory_alone(
    clean: Facts, ours: list[Advisory], site: list[Advisory]
) -> None:
    found = opened(clean, ours + site)
    assert list(found) == [("kernel-known-bad", "site-hangs-at-night")]
    (finding,) = found.values()
    assert finding["severity"] == "critical"
    assert finding["remedy"] == KERNEL
    assert "6.1.170-3" in finding["reason"]
    assert {"source": "/proc/sys/kernel/osrelease", "text": "6.1.0-47-cloud-amd64"} in finding["evidence"]


@pytest.mark.parametrize(("name", "severity"), [("kube-ipvs0", "medium"), ("flannel.1", "high")])
def test_each_stale_link_alone(
    clean: Facts, incident: Facts, ours: list[Advisory], name: str, severity: str
) -> None:
    clean["links"]["links"] = [link for link in incident["links"]["links"] if link["name"] == name]
    found = opened(clean, ours)
    assert list(found) == [("stale-link", name)]
    (finding,) = found.values()
    assert (finding["status"], finding["severity"]) == ("affected", severity)
    assert finding["remedy"] == {
        "role": "cilium_migration_cleanup",
        "vars": {"cilium_migration_cleanup_links": [name]},
    }


def test_no_link_is_said_by_the_kinds_that_are_known(clean: Facts) -> None:
    (finding,) = [one for one in findings.judge(clean, [], {}) if one["id"] == "stale-link"]  # type: ignore[arg-type]
    assert finding["status"] == "ok"
    assert links.known_kinds() in finding["reason"]
    assert "former CNI" not in finding["reason"], "it knows some kinds, and not all"


def test_a_link_in_use_is_no_fault(clean: Facts, incident: Facts, ours: list[Advisory]) -> None:
    for link in incident["links"]["links"]:
        link["users"] = ["process kube-proxy (1234)"]
    clean["links"] = incident["links"]
    assert opened(clean, ours) == {}


def test_the_incident_has_all_its_faults_worst_first(incident: Facts, site: list[Advisory]) -> None:
    found = opened(incident, site)
    assert list(found) == [
        ("kernel-known-bad", "site-hangs-at-night"),
        ("capture-may-hang", "capture"),
        ("crashkernel-too-small", "crashkernel"),
        ("stale-link", "flannel.1"),
        ("stale-link", "kube-ipvs0"),
    ]


# --- what could not be read --------------------------------------------------------------------------

NULLS = [
    ("kernel.distro", ("kernel-known-bad", "site-hangs-at-night"), "critical"),
    ("kernel.package", ("kernel-known-bad", "site-hangs-at-night"), "critical"),
    ("kernel.package", ("newer-kernel-not-running", "kernel"), "medium"),
    ("kdump.reservation.bytes", ("crashkernel-too-small", "crashkernel"), "high"),
    ("kdump.reservation.bytes", ("kdump-not-reserved", "crashkernel"), "high"),
    ("kdump.capture.initrd_bytes", ("crashkernel-too-small", "crashkernel"), "high"),
    ("kdump.capture.loaded", ("kdump-not-armed", "kdump"), "high"),
    ("kdump.capture.loaded", ("capture-may-hang", "capture"), "high"),
    ("kdump.capture.cmdline", ("capture-may-hang", "capture"), "high"),
    ("links.links", ("stale-link", "links"), "high"),
]


@pytest.mark.parametrize(
    ("path", "key", "severity"), NULLS, ids=[f"{path} {key[0]}" for path, key, _severity in NULLS]
)
def test_an_unreadable_source_is_unknown_with_its_reason(
    clean: Facts, site: list[Advisory], path: str, key: tuple[str, str], severity: str
) -> None:
    set_path(clean, path, None, WHY)
    found = opened(clean, site)
    assert (found[key]["status"], found[key]["severity"], found[key]["remedy"]) == ("unknown", severity, None)
    assert WHY in found[key]["reason"]


@pytest.mark.parametrize("path", sorted({path for path, _key, _severity in NULLS}))
def test_nothing_but_its_own_findings_suffers(clean: Facts, site: list[Advisory], path: str) -> None:
    set_path(clean, path, None, WHY)
    wanted = {key for other, key, _severity in NULLS if other == path}
    assert {key for key, finding in opened(clean, site).items() if finding["status"] == "unknown"} == wanted


def test_a_reason_of_the_part_serves_for_what_is_in_it(clean: Facts, ours: list[Advisory]) -> None:
    set_path(clean, "kdump.capture.cmdline", None)
    clean["kdump"]["unknown"]["capture"] = WHY
    assert WHY in opened(clean, ours)["capture-may-hang", "capture"]["reason"]


@pytest.mark.parametrize("part", ["kernel", "kdump", "links"])
def test_a_reader_that_did_not_run_is_unknown(clean: Facts, ours: list[Advisory], part: str) -> None:
    clean[part] = None
    found = opened(clean, ours)
    assert found
    for finding in found.values():
        assert finding["status"] == "unknown"
        assert f"the {part} facts were not read" in finding["reason"]


def test_a_link_whose_users_cannot_be_asked_is_unknown(
    clean: Facts, incident: Facts, ours: list[Advisory]
) -> None:
    incident["links"]["links"][0]["users_unknown"] = [WHY]
    clean["links"] = incident["links"]
    key = "stale-link", incident["links"]["links"][0]["name"]
    assert opened(clean, ours)[key]["status"] == "unknown"
    assert opened(clean, ours)[key]["remedy"] is None


def test_between_too_small_and_enough_is_a_small_doubt_with_its_cure(
    clean: Facts, ours: list[Advisory]
) -> None:
    set_path(clean, "kdump.reservation.bytes", 128 * MIB)  # Debian's own default
    (finding,) = opened(clean, ours).values()
    assert (finding["id"], finding["status"], finding["severity"]) == (
        "crashkernel-too-small",
        "unknown",
        "low",
    )
    assert finding["remedy"]["role"] == "crashkernel"
    assert "128 MiB are reserved" in finding["reason"]


def test_the_captured_user_without_root_sees_the_same_faults_or_cannot_tell(
    facts_of: Callable[[str], Facts], incident: Facts, site: list[Advisory]
) -> None:
    def by_status(facts: Facts, status: str) -> set[tuple[str, str]]:
        return {key for key, finding in opened(facts, site).items() if finding["status"] == status}

    without_root, faults = facts_of("debian-6.1-incident-noroot"), by_status(incident, "affected")
    found, unknown = (by_status(without_root, status) for status in ("affected", "unknown"))
    assert found < faults <= found | unknown
    assert {id_ for id_, _subject in faults & unknown} == {
        "stale-link"
    }  # kubelet's folder is closed to others


LOSABLE = [
    *(
        f"kernel.{name}"
        for name in (
            "release version architecture flavour distro container package installed next_boot cmdline taint"
        ).split()
    ),
    *(f"kernel.{name}" for name in "boot_id uptime fault_counts watchdogs memory_bytes".split()),
    "kernel.panic",
    *(f"kdump.{name}" for name in ("implementation", "service", "target", "dumps")),
    *(f"kdump.reservation.{name}" for name in ("bytes", "low_bytes", "high_bytes")),
    *(f"kdump.capture.{name}" for name in ("loaded", "cmdline", "initrd", "initrd_bytes", "source")),
    "links.links",
    "links.total",
]


@pytest.mark.parametrize("tree", ["debian-6.1-clean", "debian-6.1-incident", "debian-6.18-no-kdump"])
@pytest.mark.parametrize("path", LOSABLE)
def test_a_lost_reading_never_turns_one_answer_into_another(
    facts_of: Callable[[str], Facts], site: list[Advisory], tree: str, path: str
) -> None:
    def answers(facts: Any) -> tuple[dict[tuple[str, str], str], str]:
        found = findings.judge(facts, site, {})
        return {(one["id"], one["subject"]): one["status"] for one in found}, verdict.on_panic(facts)[
            "outcome"
        ]

    full, proved = answers(facts_of(tree))
    facts = facts_of(tree)
    if path == "kernel.panic":
        facts["kernel"]["panic_sysctls"]["kernel.panic"] = None
    else:
        set_path(facts, path, None, WHY)
    if path == "kdump.capture.cmdline":
        facts["kdump"]["capture"]["panic"] = None
    less, outcome = answers(facts)
    for key, status in less.items():
        assert status in (full.get(key, "unknown"), "unknown"), key
    # reboots is the least that is certain where a dump cannot be promised.
    assert outcome in (proved, "unknown") or (proved, outcome) == ("dumps", "reboots")


@pytest.mark.parametrize(
    ("name", "value"),
    [("crashkernel_size", "much"), ("crashkernel_capture_panic", 0), ("crashkernel_capture_panic", "x")],
)
def test_a_choice_that_cannot_be_meant_is_an_error(incident: Facts, name: str, value: Any) -> None:
    with pytest.raises(FleetopsError, match=f"{value}.*expected"):
        opened(incident, [], **{name: value})


# --- the cure ----------------------------------------------------------------------------------------


def test_a_site_s_own_choices_are_proposed(incident: Facts, site: list[Advisory]) -> None:
    found = opened(
        incident,
        site,
        crashkernel_size="512M",
        crashkernel_capture_panic=30,
        kernel_upgrade_package="linux-image-6.1.0-55-cloud-amd64",
    )
    remedies = [finding["remedy"]["vars"] for finding in found.values()]
    assert {"crashkernel_size": "512M", "crashkernel_capture_panic": 30} in remedies
    assert {"crashkernel_capture_panic": 30} in remedies
    assert {"kernel_upgrade_package": "linux-image-6.1.0-55-cloud-amd64"} in remedies


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("96M", "reserves 96 MiB, and more than 96.5 MiB are needed"),
        ("64M", "reserves 64 MiB, and more than 96.5 MiB are needed"),
        ("4G-:512M", "reserves 0 MiB"),  # asks for nothing on this machine
        ("72M,low", "does not tell how much it reserves"),
    ],
)
@pytest.mark.parametrize("plant", [small, unreserved])
def test_a_chosen_size_that_would_cure_nothing_is_no_cure(
    clean: Facts, ours: list[Advisory], plant: Callable[[Facts], None], size: str, words: str
) -> None:
    plant(clean)
    (finding,) = opened(clean, ours, crashkernel_size=size).values()
    assert (finding["status"], finding["remedy"]) == ("affected", None)
    assert size in finding["reason"]
    assert words in finding["reason"]
    (finding,) = opened(clean, ours, crashkernel_size="128M").values()
    assert finding["remedy"]["vars"]["crashkernel_size"] == "128M"


@pytest.mark.parametrize(
    ("chosen", "now", "seconds"),
    [(None, 30, 30), (None, -1, -1), (None, 0, 10), (None, None, 10), (5, 30, 5)],
)
@pytest.mark.parametrize("plant", [small, unreserved, unloaded])
def test_the_role_gets_the_seconds_that_are_good_already(
    clean: Facts,
    ours: list[Advisory],
    plant: Callable[[Facts], None],
    chosen: Any,
    now: int | None,
    seconds: int,
) -> None:
    plant(clean)
    clean["kdump"]["capture"]["panic"] = now
    variables = {"crashkernel_capture_panic": chosen}
    for finding in opened(clean, ours, **variables).values():
        assert finding["remedy"]["vars"]["crashkernel_capture_panic"] == seconds


@pytest.mark.parametrize("empty", ["", "auto", None])
def test_no_choice_is_no_choice(incident: Facts, site: list[Advisory], empty: str | None) -> None:
    chosen = {"crashkernel_size": empty, "kernel_upgrade_release": "", "kernel_upgrade_package": ""}
    assert opened(incident, site, **chosen) == opened(incident, site)


def test_no_good_kernel_of_this_flavour_is_said(
    facts_of: Callable[[str], Facts], site: list[Advisory]
) -> None:
    facts = facts_of("debian-6.1-clean")
    facts["kernel"].update(flavour="rt-amd64", release="6.1.0-47-rt-amd64", installed=[])
    finding = known_bad(facts, site)
    assert finding["status"] == "affected"
    assert finding["remedy"] is None
    assert "no kernel of this kind (source linux, flavour rt-amd64) is known to be good" in finding["reason"]


def other_kernel(facts: Facts, release: str, version: str | None, bootable: bool | None = True) -> None:
    """Another kernel is installed and boots next."""
    package = version and {
        **facts["kernel"]["package"],
        "name": f"linux-image-{release}",
        "version": version,
    }
    one: dict[str, Any] = {"release": release, "package": package, "bootable": bootable, "missing": []}
    facts["kernel"]["installed"].append({**one, "lacks": [], "prebuilt": [], "bytes": None})
    entry = {"release": release, "entry": "x", "because": "default in grub.cfg: 0"}
    facts["kernel"]["next_boot"] = {**entry, "once": False, "named_by": "first"}


def known_bad(facts: Facts, catalogue: list[Advisory], **variables: Any) -> dict[str, Any]:
    """The one finding about the running kernel."""
    found = opened(facts, catalogue, **variables)
    (finding,) = [finding for (id_, _subject), finding in found.items() if id_ == "kernel-known-bad"]
    return finding


def test_a_good_kernel_that_boots_next_needs_a_reboot_only(clean: Facts, site: list[Advisory]) -> None:
    other_kernel(clean, "6.1.0-58-cloud-amd64", "6.1.199-1")
    finding = known_bad(clean, site)
    assert finding["remedy"]["vars"] == {"kernel_upgrade_release": "6.1.0-58-cloud-amd64"}
    assert "6.1.0-58-cloud-amd64 boots next: a reboot cures it" in finding["reason"]
    finding = known_bad(clean, site, kernel_upgrade_release="6.1.0-59-cloud-amd64")
    assert finding["remedy"]["vars"] == {"kernel_upgrade_release": "6.1.0-59-cloud-amd64"}, (
        "the site's choice"
    )
    finding = known_bad(clean, site, kernel_upgrade_release="6.1.0-57-cloud-amd64")
    assert finding["remedy"] is None, "58 would stand above it"
    assert "6.1.0-58-cloud-amd64 stands first" in finding["reason"]


@pytest.mark.parametrize(
    ("release", "version", "bootable"),
    [
        ("6.1.0-48-cloud-amd64", "6.1.171-1", True),  # named by the advisory as well
        ("6.1.0-58-cloud-amd64", None, True),  # nobody can tell
        ("6.1.0-58-amd64", "6.1.199-1", True),  # of another flavour
        ("6.1.0-58-cloud-amd64", "6.1.199-1", False),
        ("6.1.0-58-cloud-amd64", "6.1.199-1", None),
    ],
)
def test_what_boots_next_is_no_cure_unless_it_is_good(
    clean: Facts, site: list[Advisory], release: str, version: str | None, bootable: bool | None
) -> None:
    other_kernel(clean, release, version, bootable)
    finding = known_bad(clean, site)
    assert "a reboot cures it" not in finding["reason"]
    assert "to 6.1.0-56-cloud-amd64" in finding["reason"], "the target is always named"
    # What stands above the target would boot in its place.
    above = "-58-" in release
    assert finding["remedy"] == (None if above else KERNEL)
    assert (f"{release} stands first in the boot loader's menu" in finding["reason"]) is above


HERE = "gnulinux-6.1.0-47-cloud-amd64-advanced-1"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"named_by": "first"}, None),
        ({"named_by": "id"}, "pinned to 6.1.0-47-cloud-amd64 by the default: unpin it first"),
        ({"named_by": "title"}, "pinned to 6.1.0-47-cloud-amd64 by the default: unpin it first"),
        # The newest, whichever that is.
        ({"named_by": "id", "entry": "gnulinux-simple-1"}, None),
        ({"named_by": "title", "entry": "gnulinux-simple-1"}, None),
        ({"named_by": "position"}, "a position in the menu, now 6.1.0-47-cloud-amd64 (the default)"),
        ({"named_by": "id", "once": True}, "boots next, for one boot only"),
    ],
)
def test_what_the_boot_loader_would_not_take_is_no_cure(
    clean: Facts, site: list[Advisory], entry: Facts, words: str | None
) -> None:
    clean["kernel"]["next_boot"].update({"entry": HERE, "because": "the default", **entry})
    finding = known_bad(clean, site)
    assert "to 6.1.0-56-cloud-amd64" in finding["reason"], "the target is always named"
    assert finding["remedy"] == (None if words else KERNEL)
    assert (words or "") in finding["reason"]
    assert ("no cure from here" in finding["reason"]) is (words is not None)


@pytest.mark.parametrize(
    ("loader", "installed", "cured"),
    [
        ("grub", False, False),
        ("grub-bls", False, True),
        ("grub-bls", True, False),
    ],
)
def test_where_an_installation_names_the_new_kernel_a_name_is_no_pin(
    clean: Facts, site: list[Advisory], loader: str, installed: bool, cured: bool
) -> None:
    before = dict(clean["kernel"]["next_boot"], named_by="id", entry="0123-6.1.0-47-cloud-amd64")
    if installed:
        other_kernel(clean, "6.1.0-56-cloud-amd64", "6.1.192-2")
    clean["kernel"].update(next_boot=before, boot_loader=loader)
    assert (known_bad(clean, site)["remedy"] == KERNEL) is cured


def test_a_pin_to_the_cure_is_no_hindrance(clean: Facts, site: list[Advisory]) -> None:
    other_kernel(clean, "6.1.0-56-cloud-amd64", "6.1.192-2")
    clean["kernel"]["next_boot"].update(named_by="id", entry="gnulinux-6.1.0-56-cloud-amd64-advanced-1")
    finding = known_bad(clean, site)
    assert finding["remedy"] == KERNEL
    finding = known_bad(clean, site, kernel_upgrade_package="linux-image-6.1.0-57-cloud-amd64")
    assert finding["remedy"] is None
    assert "pinned to 6.1.0-56-cloud-amd64" in finding["reason"]


def test_a_size_that_nobody_knows_is_not_made_up(clean: Facts, ours: list[Advisory]) -> None:
    unreserved(clean)
    clean["kernel"]["architecture"] = "aarch64"
    finding = opened(clean, ours)["kdump-not-armed", "kdump"]
    assert (finding["status"], finding["remedy"]) == ("affected", None)
    assert "aarch64" in finding["reason"]
    assert opened(clean, ours, crashkernel_size="512M")["kdump-not-armed", "kdump"]["remedy"] is not None


def test_no_cure_is_proposed_that_its_role_would_refuse(incident: Facts, site: list[Advisory]) -> None:
    incident["kernel"]["distro"].update(id="rocky", family=None)
    for (id_, _subject), finding in opened(incident, site).items():
        assert (finding["remedy"] is None) is (id_ != "stale-link")
        if finding["status"] == "affected":
            assert id_ == "stale-link" or "rocky cannot be changed yet" in finding["reason"]


def test_a_container_is_told_to_be_one(incident: Facts, site: list[Advisory]) -> None:
    incident["kernel"]["container"] = True
    found = opened(incident, site)
    assert all(finding["remedy"] is None for finding in found.values())
    for id_ in ("crashkernel-too-small", "kdump-not-armed", "capture-may-hang"):
        ((_key, finding),) = [item for item in found.items() if item[0][0] == id_]
        assert finding["status"] == "unknown"
        assert "this is a container" in finding["reason"]


def test_a_kernel_that_breaks_kdump_says_so(clean: Facts, site: list[Advisory]) -> None:
    breaking: Any = {**site[0], "breaks_kdump": True}
    assert (
        "its dump may fail as well" in opened(clean, [breaking])["kernel-known-bad", breaking["id"]]["reason"]
    )
