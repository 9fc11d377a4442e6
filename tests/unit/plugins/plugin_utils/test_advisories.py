# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.plugin_utils import advisories, matching

OURS = sorted(Path(advisories.OURS).glob("*.yml"))
GOOD = """\
id: x
title: t
severity: high
symptom: s
confidence: c
affects:
  - distro: debian
    versions: "< 2"
"""


def subject(**parts: str | None) -> matching.Subject:
    base: Any = {"distro": "debian", "codename": "bookworm", "source": "linux", "version": "6.1.170-3"}
    return {**base, "release": "6.1.0-47-cloud-amd64", "flavour": "cloud-amd64", **parts}  # type: ignore[typeddict-item]


def advisory(row: str, good: str = "[]", name: str = "x") -> matching.Advisory:
    text = GOOD.replace("id: x", f"id: {name}").replace(
        '  - distro: debian\n    versions: "< 2"\n', f"  - {row}\n"
    )
    return advisories.parse(f"{text}good: {good}\n", f"{name}.yml")


# --- ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_each_of_ours_has_sources_and_vectors_of_every_kind(path: Path) -> None:
    found = advisories.parse(path.read_text(), str(path))
    assert found["references"]
    assert {vector["status"] for vector in found["vectors"]} >= {"affected", "ok", "unknown", "silent"}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_each_vector_of_ours_is_judged_as_it_says(path: Path) -> None:
    found = advisories.parse(path.read_text(), str(path))
    for vector in found["vectors"]:
        node = matching.traits(vector["facts"])
        assert matching.say(found, advisories.subject_of_vector(vector), node) == vector["status"], vector


# The table of the study (domain.md B.1 and B.2), and where each kernel of it is built: (distro, codename, source).
JAMMY, FOCAL, NOBLE, RESOLUTE = (
    [(("ubuntu",), codename, source), (("ubuntu",), older, f"linux-hwe-{series}")]
    for codename, source, older, series in (
        ("jammy", "linux", "focal", "5.15"),
        ("focal", "linux", "bionic", "5.4"),
        ("noble", "linux", "jammy", "6.8"),
        ("resolute", "linux", "noble", "7.0"),
    )
)
HWE_513 = [(("ubuntu",), "focal", "linux-hwe-5.13")]
HWE_519 = [(("ubuntu",), "jammy", "linux-hwe-5.19"), (("ubuntu",), "kinetic", "linux")]
HWE_65 = [(("ubuntu",), "jammy", "linux-hwe-6.5")]
HWE_617 = [(("ubuntu",), "noble", "linux-hwe-6.17")]
# Backports of 6.1 to bullseye: of source linux from bullseye-backports, later of source linux-6.1.
BOOKWORM = [(("debian",), "bookworm", "linux"), (("debian",), "bullseye", "linux")]
BOOKWORM_LATE = [*BOOKWORM, (("debian",), "bullseye", "linux-6.1")]
TRIXIE = [
    (("debian",), "trixie", "linux"),
    (("debian",), "bookworm", "linux-6.12"),
    (("debian",), "bookworm", "linux"),
]
EL = [(("rhel", "rocky", "almalinux", "ol"), None, "kernel")]
EL7 = [(("rhel", "centos", "ol"), None, "kernel")]
EL8_S390X = [(("rhel", "rocky", "almalinux"), None, "kernel")]
STREAM = [(("centos",), None, "kernel")]

KVM, CIFS, NFSD, WLAN = ({"module": [name]} for name in ("kvm", "cifs", "nfsd", "cfg80211"))
IOMMU, AMD, EXT4 = {"iommu": [True]}, {"cpu_vendor": ["AuthenticAMD"]}, {"file_system": ["ext4"]}


def driver(name: str) -> dict[str, list[str]]:
    return {"driver": [name]}


# What it does decides how much it weighs: data lost, or each node hung or panicked, is critical; a fault that needs
# more than its condition says (a wireless device, a bond in broadcast mode, a switched off machine) weighs less.
CLASSES = {
    "corruption": {"critical"},
    "hang": {"critical", "high"},
    "panic": {"critical", "high"},
    "boot": {"high"},
    "dump": {"high"},
    "service": {"high"},
    "rare": {"medium", "low"},
}


class Row(NamedTuple):
    """``kernels``: where it is built, with its bounds, and those of what nobody knows."""

    class_: str
    severity: str
    conditions: list[dict[str, list[Any]]]
    kernels: list[tuple[list[Any], str, str | None]]
    breaks_kdump: bool = False


TABLE = {
    "ubuntu-5.15.0-91": Row(
        "hang", "critical", [], [(JAMMY, ">= 5.15.0-91.101, < 5.15.0-112.122", None)], breaks_kdump=True
    ),
    "lp2118407": Row("hang", "critical", [], [(JAMMY, ">= 5.15.0-144.157, < 5.15.0-153.163", None)]),
    "lp2117395": Row(
        "panic", "high", [{"module": ["raid10"]}], [(JAMMY, ">= 5.15.0-144.157, < 5.15.0-152.162", None)]
    ),
    "lp2089318": Row("hang", "critical", [], [(JAMMY, ">= 5.15.0-0, < 5.15.0-140.150", None)]),
    "lp2103564": Row("hang", "high", [NFSD], [(JAMMY, ">= 5.15.0-0, < 5.15.0-140.150", None)]),
    "lp2112440": Row("panic", "high", [CIFS], [(JAMMY, ">= 5.15.0-0, < 5.15.0-144.157", None)]),
    "lp2060780": Row("service", "high", [CIFS], [(JAMMY, ">= 5.15.0-102.112, < 5.15.0-105.115", None)]),
    "lp2068738": Row(
        "panic", "high", [driver("amdgpu"), IOMMU], [(JAMMY, ">= 5.15.0-111.121, < 5.15.0-116.126", None)]
    ),
    "lp2036675": Row("service", "high", [KVM], [(JAMMY, ">= 5.15.0-85.95, < 5.15.0-86.96", None)]),
    "lp2034447": Row("panic", "high", [], [(JAMMY, ">= 5.15.0-85.95, < 5.15.0-86.96", None)]),
    "lp2032176": Row(
        "hang",
        "high",
        [KVM],
        [
            (JAMMY, ">= 5.15.0-79, < 5.15.0-85.95", None),
            (HWE_519, ">= 5.19.0-46, < 5.19.0-47", ">= 5.19.0-47"),
        ],
    ),
    "lp2153556": Row(
        "rare",
        "low",
        [{"module": ["bonding"]}],
        [
            (NOBLE, ">= 6.8.0-117, < 6.8.0-130.130", None),
            (JAMMY, ">= 5.15.0-0, < 5.15.0-184.194", None),
            (HWE_617, ">= 6.17.0-0, < 6.17.0-38.38~24.04.1", None),
        ],
    ),
    "lp2158377": Row("panic", "high", [EXT4], [(NOBLE, ">= 6.8.0-0, < 6.8.0-136.136", None)]),
    "lp2089306": Row("rare", "medium", [KVM, IOMMU], [(NOBLE, ">= 6.8.0-0, < 6.8.0-146.146", None)]),
    "lp2163062": Row(
        "dump", "high", [driver("idxd")], [(RESOLUTE, ">= 7.0.0-0, < 7.0.0-38.38", None)], breaks_kdump=True
    ),
    "lp2166838": Row(
        "corruption", "critical", [driver("ahci"), AMD], [(RESOLUTE, ">= 7.0.0-0, < 7.0.0-41.41", None)]
    ),
    "lp1959665": Row("hang", "high", [CIFS], [(FOCAL, ">= 5.4.0-97.110, < 5.4.0-99.112", None)]),
    "lp1956575": Row("boot", "high", [AMD], [(FOCAL, ">= 5.4.0-92.103, < 5.4.0-94.106", None)]),
    "lp1978719": Row("panic", "high", [], [(FOCAL, ">= 5.4.0-117.132, < 5.4.0-122.138", None)]),
    "lp1894780": Row(
        "hang", "high", [{"module": ["dm_snapshot"]}], [(FOCAL, ">= 5.4.0-47, < 5.4.0-49.53", None)]
    ),
    "lp1895109": Row("panic", "high", [], [(FOCAL, ">= 5.4.0-45, < 5.4.0-48.52", None)]),
    "lp1922738": Row(
        "dump", "high", [IOMMU], [(FOCAL, ">= 5.4.0-0, < 5.4.0-73.82", None)], breaks_kdump=True
    ),
    # The dump of the guests: the host takes its own.
    "lp1948862": Row("dump", "high", [KVM], [(FOCAL, ">= 5.4.0-0, < 5.4.0-91.102", None)]),
    "lp1967924": Row(
        "panic",
        "critical",
        [{"module": ["overlay"]}],
        [(HWE_513, ">= 5.13.0-45.50, < 5.13.0-51.58~20.04.1", None)],
    ),
    "lp2042573": Row(
        "corruption",
        "critical",
        [{"architecture": ["aarch64"]}],
        [(HWE_65, ">= 6.5.0-0, < 6.5.0-14.14~22.04.1", None)],
    ),
    "deb1057843": Row("corruption", "critical", [EXT4], [(BOOKWORM, ">= 6.1.64-1, < 6.1.66-1", None)]),
    "deb1057967": Row("rare", "medium", [WLAN], [(BOOKWORM, ">= 6.1.66-1, < 6.1.67-1", None)]),
    "deb1057790": Row("hang", "high", [driver("r8169")], [(BOOKWORM, ">= 6.1.0-0, < 6.1.66-1", None)]),
    "deb1071562": Row("hang", "high", [NFSD], [(BOOKWORM_LATE, ">= 6.1.0-0, < 6.1.129-1", None)]),
    "deb1099138": Row("panic", "high", [driver("mana")], [(BOOKWORM_LATE, ">= 6.1.0-0, < 6.1.129-1", None)]),
    "deb1060005": Row("corruption", "critical", [CIFS], [(BOOKWORM, ">= 6.1.0-0, < 6.1.76-1", None)]),
    "deb1116358": Row("rare", "medium", [], [(TRIXIE, ">= 6.12.0-0, < 6.12.57-1", None)]),
    "deb1135599": Row("rare", "medium", [WLAN], [(BOOKWORM_LATE, ">= 6.1.170-1, < 6.1.170-2", None)]),
    "rhel-108138": Row(
        "panic", "critical", [], [(EL, ">= 5.14.0-570.33.1.el9_6, < 5.14.0-570.35.1.el9_6", None)]
    ),
    "rhel-33001": Row(
        "panic",
        "high",
        [{"module": ["ceph"]}],
        [(EL, ">= 5.14.0-284.64.1.el9_2, < 5.14.0-284.66.1.el9_2", None)],
    ),
    # No fix is known: 354 was good, 362 was bad.
    "bz2234390": Row(
        "rare", "medium", [], [(STREAM, "> 5.14.0-354.el9, <= 5.14.0-362.el9", "> 5.14.0-362.el9")]
    ),
    "bz1507149": Row("hang", "high", [], [(EL7, ">= 3.10.0-0, < 3.10.0-1075.el7", None)]),
    "bz2047242": Row(
        "panic", "high", [{"architecture": ["s390x"]}], [(EL8_S390X, ">= 4.18.0-372, < 4.18.0-373", None)]
    ),
}


def test_the_catalogue_has_every_row_of_the_table(ours: list[matching.Advisory]) -> None:
    assert {one["id"] for one in ours} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_each_of_ours_says_what_the_table_says(ours: list[matching.Advisory], name: str) -> None:
    (found,) = [one for one in ours if one["id"] == name]
    wanted = TABLE[name]
    rows = sorted(
        (*where, versions, perhaps) for kernels, versions, perhaps in wanted.kernels for where in kernels
    )
    got = [
        (tuple(row["distro"]), row["codename"], row["source"], row["versions"], row["perhaps"])
        for row in found["affects"]
    ]
    assert sorted(got) == rows
    assert all(row["flavours"] is None and row["releases"] is None for row in found["affects"])
    assert [{one["key"]: one["wanted"]} for one in found["conditions"]] == wanted.conditions
    assert (found["severity"], found["breaks_kdump"]) == (wanted.severity, wanted.breaks_kdump)
    assert found["severity"] in CLASSES[wanted.class_]


def test_each_condition_of_ours_is_tried_met_not_met_and_unknown(ours: list[matching.Advisory]) -> None:
    for found in ours:
        if not found["conditions"]:
            continue
        met = matching.judge(found, *_vector(found, "affected", facts=True))
        unmet = matching.judge(found, *_vector(found, "ok", facts=True))
        unknown = matching.judge(found, *_vector(found, "affected", facts=False))
        assert (met.status, met.assumed) == ("affected", ())
        assert (unmet.status, bool(unmet.unmet)) == ("ok", True)
        assert (unknown.status, len(unknown.assumed)) == ("affected", len(found["conditions"]))


def _vector(
    advisory: matching.Advisory, status: str, facts: bool
) -> tuple[matching.Subject, matching.Traits]:
    vector = next(
        one for one in advisory["vectors"] if one["status"] == status and bool(one["facts"]) is facts
    )
    return advisories.subject_of_vector(vector), matching.traits(vector["facts"])


def test_the_catalogue_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(GOOD)
    first = {one["id"]: one for one in advisories.load([str(tmp_path)])}
    again = {one["id"]: one for one in advisories.load([str(tmp_path)])}
    assert all(first[name] is again[name] for name in first)
    (tmp_path / "x.yml").write_text(GOOD.replace("title: t", "title: another"))
    changed = {one["id"]: one for one in advisories.load([str(tmp_path)])}
    assert changed["x"]["title"] == "another"
    assert "x" not in {one["id"] for one in advisories.load()}, "a site's file stays the site's"


# --- the schema --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "severity: high",
            "severity: bad",
            "'severity'.*expected one of critical, high, medium, low, got 'bad'",
        ),
        ("severity: high\n", "", "'severity' is missing"),
        ("title: t", "title: 5.15", "'title'.*expected text, got '5.15': put it into quotes"),
        ("title: t", "tilte: t", "'tilte' is not known: expected id, title"),
        ("title: t", "title: t\ntitle: u", "'title' stands there twice"),
        ("    versions", "    version", r"'affects\[0\].version' is not known: expected distro"),
        ('    versions: "< 2"', "    versions: 2 to 3", r"'affects\[0\].versions'.*expected bounds"),
        ('    versions: "< 2"\n', "", r"'affects\[0\]': expected 'releases' or 'versions'"),
        ("  - distro: debian\n    versions", "  - versions", r"'affects\[0\].distro' is missing"),
        (
            '    versions: "< 2"',
            "    releases: 6.1.0-*",
            r"'affects\[0\].releases': expected a list of at least 1",
        ),
        (
            "  - distro: debian\n",
            "  - debian\n  - distro: debian\n",
            r"'affects\[0\]': expected a row to be a mapping",
        ),
        ("id: x", "id: y", "'id': expected 'x', as the file is named, got 'y'"),
        ("id: x", "id: x\nbreaks_kdump: 1", "'breaks_kdump': expected true or false, got '1'"),
        (
            "id: x",
            "id: x\nconditions: [{filesystem: ext4}]",
            r"'conditions\[0\].filesystem' is not known: expected module, file_system, driver",
        ),
        (
            "id: x",
            "id: x\nconditions: [{module: a, driver: b}]",
            r"'conditions\[0\]': expected exactly one key of module.*got 2",
        ),
        ("id: x", "id: x\nconditions: [{}]", r"'conditions\[0\]': expected exactly one key of .*got 0"),
        ("id: x", "id: x\nconditions: [{iommu: on it}]", r"'conditions\[0\].iommu': expected true or false"),
        (
            "id: x",
            "id: x\nconditions: [{module: []}]",
            r"'conditions\[0\].module': expected a list of at least 1",
        ),
        ("id: x", "id: x\nconditions: {module: a}", "'conditions': expected a list, got a mapping"),
        (
            "id: x",
            "id: x\nvectors: [{distro: debian, facts: {module: [a]}, status: ok}]",
            r"'vectors\[0\].facts.module' is not known: expected modules",
        ),
        (
            "distro: debian",
            "distro: [debian, rhel]",
            r"'affects\[0\].distro'.*expected distributions whose .* one order",
        ),
        ("distro: debian", "distro: [beos]", r"'affects\[0\].distro': It is not known how 'beos' orders"),
        ("distro: debian", "distro: []", r"'affects\[0\].distro': expected a list of at least 1"),
        ('versions: "< 2"', 'versions: "< :"', r"'affects\[0\].versions': ':' is not a package version"),
        (
            "id: x",
            "id: x\ngood: [{release: 6.1.0-56}]",
            r"'good\[0\].release': expected a release as uname -r",
        ),
        (
            "id: x",
            "id: x\ngood: [{package: linux-generic}]",
            r"'good\[0\].package': expected the package of a kernel",
        ),
        (
            "id: x",
            "id: x\ngood: [{because: so}]",
            r"'good\[0\]': expected one of 'release', 'package' and 'version'",
        ),
        (
            "id: x",
            "id: x\ngood: [{release: 6.1.0-1-amd64, package: linux-image-6.1.0-1-amd64}]",
            r"'good\[0\]': expected 'release' or 'package', not both",
        ),
        (
            "id: x",
            "id: x\ngood: [{release: 0.0.1-1-amd64, version: 1.9}]",
            r"'good\[0\].version': expected text, got '1.9'",
        ),
        (
            "id: x",
            'id: x\ngood: [{release: 0.0.1-1-amd64, version: "1.9"}]',
            r"'good\[0\]': expected a kernel that is not itself affected",
        ),
        (
            "id: x",
            'id: x\nvectors: [{distro: debian, version: "1", status: ok}]',
            r"'vectors\[0\].status': expected 'ok', its own rows say 'affected'",
        ),
        ("id: x", "id: [x", "YAML: while parsing a flow sequence"),
        # What would never match, without a word.
        ('versions: "< 2"', 'versions: ">= 3, < 2"', r"'affects\[0\].versions'.*no version keeps all"),
        ('versions: "< 2"', 'versions: "> 2, < 2"', r"'affects\[0\].versions'.*no version keeps all"),
        (
            '    versions: "< 2"',
            '    versions: "< 2"\n    codename: bokworm',
            r"'affects\[0\].codename': expected a codename of debian, as 'bookworm', got 'bokworm'",
        ),
        (
            '    versions: "< 2"',
            '    versions: "< 2"\n    codename: Bookworm',
            r"'affects\[0\].codename': expected a codename of debian, as 'bookworm', got 'Bookworm'",
        ),
        (
            '    versions: "< 2"',
            '    versions: "< 2"\n    codename: jammy',
            r"'affects\[0\].codename': 'jammy' is one of ubuntu, not of debian",
        ),
        (
            "id: x",
            "id: x\ngood: [{distro: debian, codename: jammy, release: 6.1.0-1-amd64}]",
            r"'good\[0\].codename': 'jammy' is one of ubuntu, not of debian",
        ),
        (
            '    versions: "< 2"',
            '    releases: [6.1.0-1-*]\n    perhaps: "< 2"',
            r"'affects\[0\].perhaps': expected 'versions' beside it",
        ),
        ('versions: "< 2"', 'versions: "< 2"\n    perhaps: 3', r"'affects\[0\].perhaps': expected text"),
    ],
)
def test_a_mistake_is_named_by_file_key_and_what_was_expected(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(FleetopsError, match=f"(?s)'/etc/site/x.yml' is not valid.*{words}"):
        advisories.parse(GOOD.replace(old, new, 1), "/etc/site/x.yml")


@pytest.mark.parametrize("text", ["", "[]", "just words", "5"])
def test_what_is_no_mapping_is_no_advisory(text: str) -> None:
    with pytest.raises(FleetopsError, match="expected the file to be a mapping"):
        advisories.parse(text, "x.yml")


# --- folders -----------------------------------------------------------------------------------------


def test_a_site_adds_its_own_and_replaces_ours_by_their_id(
    tmp_path: Path, ours: list[matching.Advisory]
) -> None:
    (tmp_path / "x.yml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("no advisory")
    mine = GOOD.replace("id: x", "id: ubuntu-5.15.0-91").replace("title: t", "title: we know better")
    (tmp_path / "ubuntu-5.15.0-91.yml").write_text(mine)
    found = {one["id"]: one for one in advisories.load(str(tmp_path))}
    assert set(found) == {one["id"] for one in ours} | {"x"}
    assert found["ubuntu-5.15.0-91"]["title"] == "we know better"


def test_one_id_in_two_folders_of_the_site_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yml").write_text(GOOD)
    with pytest.raises(FleetopsError, match=r"'x' stands in two folders: .*/a' and '.*/b'"):
        advisories.load([str(tmp_path / "a"), str(tmp_path / "b")])


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FleetopsError, match="nowhere' cannot be read"):
        advisories.load([str(tmp_path / "nowhere")])


def test_one_id_in_two_files_of_a_folder_is_an_error(tmp_path: Path) -> None:
    for name in ("x.yml", "x.yaml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(FleetopsError, match=r"'x' stands in two files: .*/x.yaml' and '.*/x.yml'"):
        advisories.load([str(tmp_path)])


@pytest.mark.parametrize("name", ["x.YML", "x.Yaml", "x.json"])
def test_no_file_that_can_be_meant_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(yaml.safe_load(GOOD)))
    (tmp_path / ".x.yml.swp").write_text("no advisory")
    assert "x" in {one["id"] for one in advisories.load([str(tmp_path)])}


def test_a_link_into_nowhere_and_a_folder_like_a_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yml").symlink_to("gone.yml")
    with pytest.raises(FleetopsError, match=r"a/x\.yml'"):
        advisories.load([str(tmp_path / "a")])
    (tmp_path / "b" / "x.yml").mkdir(parents=True)
    with pytest.raises(FleetopsError, match=r"b/x\.yml'"):
        advisories.load([str(tmp_path / "b")])


@pytest.mark.parametrize("dirs", [None, "", [], ["", " "], ","])
def test_no_folder_of_the_site(
    dirs: Any, ours: list[matching.Advisory], monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "x.yml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert advisories.load(dirs) == ours


@pytest.mark.parametrize("dirs", [5, 0, True, {"a": 1}, [None], [5]])
def test_folders_that_cannot_be_meant(dirs: Any) -> None:
    with pytest.raises(FleetopsError, match=r"fleetops_advisories_dirs is .*: expected a list of folders"):
        advisories.load(dirs)


def test_the_example_of_the_readme_is_an_advisory_that_finds_its_kernel() -> None:
    readme = (Path(__file__).resolve().parents[4] / "README.md").read_text()
    (text,) = re.findall(r"```yaml\n(# advisories/site-hangs-at-night.yml.*?)```", readme, re.DOTALL)
    found = advisories.parse(text, "site-hangs-at-night.yml")
    assert "affected" in {vector["status"] for vector in found["vectors"]}


# --- matching ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "parts", "said"),
    [
        ('{distro: debian, versions: "< 6.1.192-2"}', {}, "affected"),
        ('{distro: debian, versions: "< 6.1.192-2"}', {"version": "6.1.192-2"}, "ok"),
        ('{distro: debian, versions: "< 6.1.192-2"}', {"version": None}, "unknown"),
        ('{distro: debian, versions: "< 6.1.192-2"}', {"version": "no version"}, "unknown"),
        ('{distro: debian, versions: "< 6.1.192-2"}', {"distro": "ubuntu"}, "silent"),
        ('{distro: debian, versions: "< 6.1.192-2"}', {"distro": None}, "unknown"),
        # A kernel of another series is outside, whatever its package is.
        ('{distro: debian, versions: ">= 6.12.0-0, < 6.12.57-1"}', {"version": None}, "ok"),
        ('{distro: debian, versions: "< 5.10.1-1"}', {"version": None}, "ok"),
        ('{distro: debian, versions: ">= 6.1.0-0, < 6.1.57-1"}', {"version": None}, "unknown"),
        ('{distro: [ubuntu, debian], versions: "< 9"}', {}, "affected"),
        # What is known to be outside stays outside, whatever else is unknown.
        ('{distro: debian, versions: "< 6.1.0-1"}', {"distro": None}, "ok"),
        ('{distro: debian, codename: trixie, versions: "< 9"}', {}, "silent"),
        ('{distro: debian, codename: trixie, versions: "< 9"}', {"codename": ""}, "unknown"),
        ('{distro: debian, source: linux-aws, versions: "< 9"}', {}, "silent"),
        ('{distro: debian, source: linux, versions: "< 9"}', {"source": None}, "unknown"),
        ('{distro: debian, flavours: [amd64], versions: "< 9"}', {}, "silent"),
        ('{distro: debian, flavours: [amd64, cloud-amd64], versions: "< 9"}', {}, "affected"),
        ('{distro: debian, flavours: [amd64], versions: "< 9"}', {"flavour": None}, "unknown"),
        # As a site may spell it: what is signed, and the case of a name.
        ('{distro: Debian, source: linux-signed-amd64, versions: "< 9"}', {}, "affected"),
        # No source tells of these.
        ('{distro: debian, versions: "< 6.1.170-3", perhaps: ">= 6.1.170-3"}', {}, "unknown"),
        ('{distro: debian, versions: "< 6.1.170-4", perhaps: ">= 6.1.170-4"}', {}, "affected"),
        ('{distro: debian, versions: "< 6.1.170-2", perhaps: "= 6.1.170-2"}', {}, "ok"),
        ('{distro: debian, versions: "< 6.1.170-3", perhaps: ">= 6.1.170-3"}', {"version": None}, "unknown"),
        ('{distro: debian, codename: trixie, versions: "< 6.1.170-3", perhaps: ">= 6.1"}', {}, "silent"),
        ('{distro: debian, releases: [5.*], versions: "< 6.1.170-3", perhaps: ">= 6.1"}', {}, "ok"),
        ("{distro: debian, releases: [6.1.0-47-*]}", {}, "affected"),
        ("{distro: debian, releases: [6.1.0-4, 6.1.0-47]}", {}, "ok"),
        ("{distro: debian, releases: [6.1.0-47-*]}", {"release": None}, "unknown"),
        ('{distro: debian, releases: [6.1.0-47-*], versions: "> 6.1.170-3"}', {}, "ok"),
    ],
)
def test_what_an_advisory_says(row: str, parts: dict[str, Any], said: str) -> None:
    assert matching.say(advisory(row), subject(**parts)) == said


@pytest.mark.parametrize(
    ("row", "parts", "doubt", "unsourced"),
    [
        (
            '{distro: debian, versions: "< 6", perhaps: ">= 6"}',
            {},
            "no source tells whether 6.1.170-3 has it",
            True,
        ),
        (
            '{distro: debian, versions: "< 9"}',
            {"version": "no version"},
            "'no version' is not a package version",
            False,
        ),
        ('{distro: debian, versions: "< 9"}', {"version": None}, "", False),
        ('{distro: debian, source: linux, versions: "< 9"}', {"source": None}, "", False),
        ('{distro: debian, releases: [6.1.0-47-*], versions: "< 9"}', {"release": None}, "", False),
    ],
)
def test_why_it_cannot_tell(row: str, parts: dict[str, Any], doubt: str, unsourced: bool) -> None:
    answer = matching.judge(advisory(row), subject(**parts))
    assert answer.status == "unknown"
    assert answer.doubt.startswith(doubt)
    assert bool(answer.doubt) is bool(doubt)
    assert answer.unsourced is unsourced


@pytest.mark.parametrize("spelt", ["openEuler", "openeuler"])
def test_the_case_of_a_distribution_does_not_count(spelt: str) -> None:
    found = advisory(f'{{distro: {spelt}, source: kernel, versions: "< 5.10.0-216"}}')
    facts: Any = {
        "distro": {"id": "openEuler", "codename": ""},
        "package": {"source": "kernel", "version": "5.10.0-60.18.0.50.oe2203"},
        "release": "5.10.0-60.18.0.50.oe2203.x86_64",
        "flavour": None,
    }
    assert matching.say(found, matching.subject_of(facts)) == "affected"


def test_one_fitting_row_is_enough() -> None:
    found = advisory('{distro: ubuntu, versions: "< 1"}\n  - {distro: debian, versions: "< 9"}')
    assert matching.say(found, subject()) == "affected"


@pytest.mark.parametrize(
    ("source", "compiled"),
    [
        ("linux", "linux"),
        ("linux-signed-amd64", "linux"),
        ("linux-signed-arm64", "linux"),
        ("linux-signed", "linux"),
        ("linux-signed-aws", "linux-aws"),
        ("linux-signed-hwe-5.15", "linux-hwe-5.15"),
        ("linux-aws", "linux-aws"),
        ("linux-signed-6.12-amd64", "linux-6.12"),
    ],
)
def test_the_signed_source_is_the_source_that_was_compiled(source: str, compiled: str) -> None:
    assert matching.source_of(source) == compiled


ROCKY: Any = {"distro": "rocky", "codename": "", "source": "kernel", "version": "5.14.0-570.33.1.el9_6"}


@pytest.mark.parametrize(
    ("row", "parts", "said"),
    [
        ('{distro: [rhel, rocky], versions: "< 5.14.0-570.35.1.el9_6"}', {}, "affected"),
        # In dpkg's order it would be the other way round.
        ('{distro: rocky, versions: "< 5.14.0-570.el9_6"}', {}, "ok"),
        ('{distro: rhel, versions: "< 9"}', {}, "silent"),
        ('{distro: rocky, flavours: [plain], versions: "< 9"}', {}, "affected"),
        ('{distro: rocky, flavours: [rt], versions: "< 9"}', {}, "silent"),
        ('{distro: rocky, flavours: [rt], versions: "< 9"}', {"flavour": "rt"}, "affected"),
    ],
)
def test_rpm_has_an_order_of_its_own_and_no_codename(row: str, parts: dict[str, Any], said: str) -> None:
    kernel = subject(**{**ROCKY, "release": "5.14.0-570.33.1.el9_6.x86_64", "flavour": "plain", **parts})
    assert matching.say(advisory(row), kernel) == said


# --- conditions --------------------------------------------------------------------------------------

ROW = '{distro: debian, versions: "< 9"}'


def conditional(conditions: str) -> matching.Advisory:
    return advisories.parse(f"{GOOD}conditions: {conditions}\n".replace("< 2", "< 9"), "x.yml")


@pytest.mark.parametrize(
    ("conditions", "facts", "said"),
    [
        ("[{module: cifs}]", {"modules": ["cifs"]}, "affected"),
        ("[{module: cifs}]", {"modules": []}, "ok"),
        ("[{module: cifs}]", {}, "affected"),
        ("[{module: [cifs, nfsd]}]", {"modules": ["nfsd"]}, "affected"),
        # One name, two spellings.
        ("[{module: vfio-pci}]", {"modules": ["vfio_pci"]}, "affected"),
        ("[{driver: vfio_pci}]", {"drivers": ["vfio-pci"]}, "affected"),
        # Loaded, and no device uses it.
        ("[{driver: amdgpu}]", {"modules": ["amdgpu"], "drivers": ["ahci"]}, "ok"),
        ("[{file_system: ext4}]", {"file_systems": ["ext4", "xfs"]}, "affected"),
        ("[{file_system: ext4}]", {"file_systems": ["xfs"]}, "ok"),
        ("[{cpu_vendor: AuthenticAMD}]", {"cpu_vendor": "GenuineIntel"}, "ok"),
        ("[{architecture: aarch64}]", {"architecture": "aarch64"}, "affected"),
        ("[{iommu: true}]", {"iommu": False}, "ok"),
        ("[{iommu: true}]", {"iommu": True}, "affected"),
        ("[{iommu: false}]", {"iommu": True}, "ok"),
        # All must hold; one that fails settles it, whatever else is unknown.
        ("[{driver: amdgpu}, {iommu: true}]", {"drivers": ["amdgpu"]}, "affected"),
        ("[{driver: amdgpu}, {iommu: true}]", {"iommu": False}, "ok"),
    ],
)
def test_conditions_are_judged_on_the_node(conditions: str, facts: dict[str, Any], said: str) -> None:
    found = conditional(conditions)
    assert matching.say(found, subject(), matching.traits(facts)) == said
    assert matching.say(found, subject(version="99-1"), matching.traits(facts)) == "ok"
    assert matching.say(found, subject(distro="ubuntu"), matching.traits(facts)) == "silent"
    unsure = matching.say(found, subject(version=None), matching.traits(facts))
    assert unsure == ("ok" if said == "ok" else "unknown")


def test_what_is_not_met_and_what_is_assumed_is_said() -> None:
    found = conditional("[{driver: amdgpu}, {iommu: true}]")
    facts: Any = dict.fromkeys(("distro", "package", "release", "modules"))
    facts.update(drivers=[], iommu=None, unknown={"iommu": "cannot list it"})
    answer = matching.judge(found, subject(), matching.traits_of(facts))
    assert answer.unmet == ("no device uses the driver amdgpu",)
    facts["drivers"] = ["amdgpu"]
    answer = matching.judge(found, subject(), matching.traits_of(facts))
    assert (answer.status, answer.unmet) == ("affected", ())
    assert answer.assumed == ("whether an IOMMU is in use (cannot list it)",)
