# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import systemd_boot

TOKEN = "d4c7a1f0b2e34956a1b0c9d8e7f60512"


def made(name: str, text: str) -> systemd_boot.Entry:
    found = systemd_boot.entry(name, text)
    assert found is not None
    return found[0]


def of(release: str, tries: str = "", extra: str = "sort-key debian\nmachine-id m\n") -> systemd_boot.Entry:
    """As kernel-install writes it."""
    text = f"title Debian\nversion {release}\noptions root=UUID=1 ro\nlinux /{TOKEN}/{release}/linux\n{extra}"
    return made(f"{TOKEN}-{release}{tries}.conf", text)


OLD, NEW = of("6.12.107+deb13-amd64"), of("6.12.115+deb13-amd64")


def test_an_entry() -> None:
    found = systemd_boot.entry(
        "Arch.conf", "# c\ntitle  'My Arch'\noptions\ta\noptions b c\nlinux \\vmlinuz-6.9-1\n"
    )
    assert found is not None
    one, path = found
    assert (one.id, one.title, one.release, one.options, path) == (
        "arch.conf",
        "My Arch",
        "6.9-1",
        "a b c",
        "/vmlinuz-6.9-1",
    )
    assert systemd_boot.shown(one)["cmdline"] == ["a", "b", "c"]
    assert systemd_boot.entry("x.conf", "title only\n") is None


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("linux /d4c7/6.12.115+deb13-amd64/linux\n", "6.12.115+deb13-amd64"),
        ("linux /d4c7/6.8.0-45-generic/vmlinuz\n", "6.8.0-45-generic"),
        ("linux /vmlinuz-linux\nversion 6.9.1-arch1\n", "6.9.1-arch1"),
        ("linux /kernel\nversion 6.9.1-arch1\n", "6.9.1-arch1"),
        ("linux /kernel\nversion rolling\n", None),
        ("linux /kernel\n", None),
        ("efi /EFI/Microsoft/Boot/bootmgfw.efi\nversion 10.0\n", None),
        ("uki /EFI/Linux/x-6.8.0-45-generic.efi\n", "6.8.0-45-generic"),
    ],
)
def test_the_release_of_an_entry(text: str, release: str | None) -> None:
    assert made("a.conf", text).release == release


@pytest.mark.parametrize(
    ("name", "release"),
    [
        (f"{TOKEN}-6.12.115+deb13-amd64.efi", "6.12.115+deb13-amd64"),
        (f"{TOKEN}-6.12.115+deb13-amd64+3.efi", "6.12.115+deb13-amd64"),
        (f"{TOKEN}-6.12.115+deb13-amd64+2-1.efi", "6.12.115+deb13-amd64"),
        ("ubuntu-6.8.0-45-generic.efi", "6.8.0-45-generic"),
        ("6.8.0-45-generic.efi", "6.8.0-45-generic"),
        ("linux.efi", None),
        ("arch-linux-2.efi", None),
    ],
)
def test_the_release_in_the_name_of_an_image(name: str, release: str | None) -> None:
    assert systemd_boot.release_of_image(name) == release
    assert systemd_boot.image(name, {}).release == release
    assert systemd_boot.image(name, {".uname": "7.0.0-44-generic\n"}).release == "7.0.0-44-generic"


def test_an_image_says_where_it_stands() -> None:
    found = systemd_boot.image(
        "a+0-3.efi",
        {".osrel": 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n', ".cmdline": "ro quiet\0"},
    )
    assert (found.sort_key, found.version, found.title, found.options) == (
        "debian",
        "13",
        "Debian 13",
        "ro quiet",
    )
    assert (found.tries_left, found.tries_done) == (0, 3)


def image_with(*sections: tuple[bytes, bytes]) -> bytes:
    """The smallest image that has these sections."""
    table, data, offset = b"", b"", 512
    for name, content in sections:
        table += struct.pack("<8sIIII16x", name, len(content), 0, 512, offset)
        data += content.ljust(512, b"\0")
        offset += 512
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 64)
    head += b"PE\0\0" + struct.pack("<HH12xHH", 0x8664, len(sections), 0, 0)
    return (head + table).ljust(512, b"\0") + data


def test_the_sections_of_an_image() -> None:
    raw = image_with((b".uname", b"6.12.115"), (b".osrel", b"ID=x\n"))
    found = systemd_boot.sections_of(raw)
    assert {name: raw[at : at + size] for name, (at, size) in found.items()} == {
        ".uname": b"6.12.115",
        ".osrel": b"ID=x\n",
    }


@pytest.mark.parametrize(
    "raw", [b"", b"MZ", b"\x7fELF".ljust(100, b"\0"), b"MZ".ljust(80, b"\xff"), image_with((b".a", b""))[:70]]
)
def test_what_is_no_image_is_an_error(raw: bytes) -> None:
    with pytest.raises(FleetopsError, match="no PE image"):
        systemd_boot.sections_of(raw)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.conf", True), ("A.CONF", True), (".a.conf", False), ("auto-x.conf", False), ("a.efi", False)],
)
def test_which_files_are_entries(name: str, is_one: bool) -> None:
    assert systemd_boot.is_entry(name) is is_one


def test_a_variable_of_the_firmware() -> None:
    raw = b"\x07\0\0\0" + "arch.conf\0".encode("utf-16-le")
    assert systemd_boot.variable(raw) == "arch.conf"
    assert systemd_boot.variable(raw + b"\xff") == "arch.conf"
    assert systemd_boot.variable(b"") == ""


# --- the order ---------------------------------------------------------------------------------------


def order(*entries: systemd_boot.Entry) -> list[str]:
    found = [one.id for one in systemd_boot.ordered(entries)]
    assert found == [one.id for one in systemd_boot.ordered(entries[::-1])]
    return found


def test_the_newest_version_comes_first() -> None:
    releases = [
        "6.12.94+deb13-amd64",
        "6.12.115+deb13-amd64",
        "6.12.115+deb13.1-amd64",
        "6.1.0-9-amd64",
        "6.1.0-47-amd64",
    ]
    newest_first = [of(releases[number]).id for number in (2, 1, 0, 4, 3)]
    assert order(*map(of, releases)) == newest_first
    # without a key to sort by, the ids tell
    assert order(*(of(release, extra="") for release in releases)) == newest_first


def test_those_with_a_key_come_first_then_by_machine() -> None:
    plain = of("9.0.0-1-amd64", extra="")
    other = made("other.conf", "linux /vmlinuz-1\nsort-key arch\nversion 1\n")
    second = made("second.conf", "linux /vmlinuz-2\nsort-key debian\nmachine-id n\nversion 9.0\n")
    assert order(plain, OLD, NEW, other, second) == [other.id, NEW.id, OLD.id, second.id, plain.id]


def test_what_was_tried_in_vain_comes_last() -> None:
    bad, fresh = of("7.0.0-1-amd64", "+0-3"), of("6.99.0-1-amd64", "+3")
    assert order(bad, NEW, fresh) == [fresh.id, NEW.id, bad.id]


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        ("6.12.115", "6.12.94", 1),
        ("6.12.115+deb13.1", "6.12.115+deb13", 1),
        ("1", "1~rc1", 1),
        ("1", "1^post", -1),
        ("1-2", "1.2", -1),
        ("1^2", "1.2", -1),
        ("00123", "123", 0),
        ("a", "1", -1),
        ("1.a", "1.1", -1),
        ("abc", "ab", 1),
        ("", "", 0),
        ("", "1", -1),
    ],
)
def test_versions(one: str, other: str, result: int) -> None:
    for left, right, wanted in ((one, other, result), (other, one, -result)):
        assert systemd_boot.compare_versions(left, right) == wanted


# --- the choice --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "default", "release", "once", "named_by"),
    [
        ({}, "", NEW.release, False, "first"),
        ({}, OLD.id, OLD.release, False, "id"),
        ({}, OLD.id.upper(), OLD.release, False, "id"),
        ({}, f"{TOKEN}-*", NEW.release, False, "first"),
        ({}, "*107*", OLD.release, False, "first"),
        ({}, "gone.conf", NEW.release, False, "first"),
        ({"LoaderEntryDefault": OLD.id}, NEW.id, OLD.release, False, "id"),
        ({"LoaderEntryOneShot": OLD.id}, NEW.id, OLD.release, True, "id"),
        ({"LoaderEntryOneShot": NEW.id, "LoaderEntryDefault": OLD.id}, OLD.id, NEW.release, True, "id"),
        ({"LoaderEntryOneShot": "gone.conf"}, OLD.id, OLD.release, False, "id"),
        ({"LoaderEntryLastBooted": OLD.id}, "@saved", OLD.release, False, "id"),
        ({"LoaderEntryLastBooted": OLD.id}, "", NEW.release, False, "first"),
        ({"LoaderEntryDefault": "@saved", "LoaderEntryLastBooted": OLD.id}, "", OLD.release, False, "id"),
        ({"LoaderEntryDefault": "@saved"}, "", NEW.release, False, "first"),
    ],
)
def test_choose(variables: dict[str, str], default: str, release: str, once: bool, named_by: str) -> None:
    found = systemd_boot.choose([OLD, NEW], variables, default)
    assert (found.entry.release, found.once, found.named_by) == (release, once, named_by)


def test_the_choice_says_why() -> None:
    assert systemd_boot.choose([OLD, NEW], {"LoaderEntryOneShot": "gone"}, OLD.id).because == (
        f"LoaderEntryOneShot: 'gone' names no entry; default in loader.conf: {OLD.id}"
    )
    assert systemd_boot.choose([NEW], {"LoaderEntryOneShot": NEW.id}, "").because == (
        f"LoaderEntryOneShot: {NEW.id}, for one boot"
    )


def test_no_entry_boots_nothing() -> None:
    with pytest.raises(FleetopsError, match="no entry"):
        systemd_boot.choose([], {}, "")
