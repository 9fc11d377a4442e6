# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
        assert matching.say(found, advisories.subject_of_vector(vector)) == vector["status"], vector


def test_the_incident_is_cured_by_more_than_what_its_operators_took(ours: list[matching.Advisory]) -> None:
    (found,) = [one for one in ours if one["id"] == "ubuntu-5.15.0-91"]
    node = subject(distro="ubuntu", codename="jammy", release="5.15.0-91-generic", flavour="generic")
    node["version"] = "5.15.0-91.101"
    good = matching.good_for(found, node, ours)
    assert good is not None
    assert good["release"] == "5.15.0-204-generic"
    assert "5.15.0-112.122" in str(good["because"])


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
        ("id: x", "id: x\nconditions: [{filesystem: ext4}]", "'conditions': expected an empty list"),
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
        # What is known to be outside stays outside, whatever else is unknown.
        ('{distro: debian, versions: "< 6.1.0-1"}', {"distro": None}, "ok"),
        ('{distro: debian, codename: trixie, versions: "< 9"}', {}, "silent"),
        ('{distro: debian, codename: trixie, versions: "< 9"}', {"codename": ""}, "unknown"),
        ('{distro: debian, source: linux-aws, versions: "< 9"}', {}, "silent"),
        ('{distro: debian, source: linux, versions: "< 9"}', {"source": None}, "unknown"),
        ('{distro: debian, flavours: [amd64], versions: "< 9"}', {}, "silent"),
        ('{distro: debian, flavours: [amd64, cloud-amd64], versions: "< 9"}', {}, "affected"),
        ('{distro: debian, flavours: [amd64], versions: "< 9"}', {"flavour": None}, "unknown"),
        ("{distro: debian, releases: [6.1.0-47-*]}", {}, "affected"),
        ("{distro: debian, releases: [6.1.0-4, 6.1.0-47]}", {}, "ok"),
        ("{distro: debian, releases: [6.1.0-47-*]}", {"release": None}, "unknown"),
        ('{distro: debian, releases: [6.1.0-47-*], versions: "> 6.1.170-3"}', {}, "ok"),
    ],
)
def test_what_an_advisory_says(row: str, parts: dict[str, Any], said: str) -> None:
    assert matching.say(advisory(row), subject(**parts)) == said


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
    ],
)
def test_the_signed_source_is_the_source_that_was_compiled(source: str, compiled: str) -> None:
    assert matching.source_of(source) == compiled


@pytest.mark.parametrize(
    ("good", "parts", "release"),
    [
        ("[{release: 6.1.0-56-amd64}, {release: 6.1.0-57-cloud-amd64}]", {}, "6.1.0-57-cloud-amd64"),
        ("[{package: linux-image-6.1.0-57-cloud-amd64}]", {}, "6.1.0-57-cloud-amd64"),
        ("[{release: 6.1.0-56-amd64}]", {}, None),
        ("[{version: 6.1.192-2}]", {}, None),
        # A kernel of no known flavour is cured by what its advisory names.
        ("[{release: 6.1.0-56-amd64}]", {"flavour": None}, "6.1.0-56-amd64"),
        (
            "[{release: 6.1.0-1-cloud-amd64, distro: ubuntu}, {release: 6.1.0-2-cloud-amd64}]",
            {},
            "6.1.0-2-cloud-amd64",
        ),
        ("[{release: 6.1.0-1-cloud-amd64, codename: trixie}]", {}, None),
    ],
)
def test_the_first_good_kernel_of_this_flavour_is_taken(
    good: str, parts: dict[str, Any], release: str | None
) -> None:
    found = matching.good_for(advisory('{distro: debian, versions: "< 0"}', good), subject(**parts))
    assert (matching.release_of(found) if found else None) == release


def test_a_cure_that_another_advisory_names_as_bad_is_passed_over() -> None:
    good = "[{release: 6.1.0-50-cloud-amd64, version: 6.1.176-1}, {release: 6.1.0-56-cloud-amd64, version: 6.1.192-2}]"
    first = advisory('{distro: debian, versions: "< 6.1.176-1"}', good)
    other = advisory('{distro: debian, versions: ">= 6.1.176-1, < 6.1.180-1"}', name="other")
    alone, both = matching.good_for(first, subject()), matching.good_for(first, subject(), [first, other])
    assert alone is not None
    assert both is not None
    assert (alone["release"], both["release"]) == ("6.1.0-50-cloud-amd64", "6.1.0-56-cloud-amd64")
