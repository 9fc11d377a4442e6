# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import grub

REAL = Path(__file__).parents[2] / "fixtures/hosts/debian-6.1-clean/boot/grub/grub.cfg"
UUID = "5f1ee700-1ab0-4000-8000-000000000001"

HEADER = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="{}"
fi
function savedefault {{
  if [ -z "${{boot_once}}" ]; then
    saved_entry="${{chosen}}"
  fi
}}
"""
# Ubuntu's entry: a tab behind `linux`, an if-else of which the second part is the usual boot, a variable at its end
MENU = """\
menuentry 'Ubuntu' --class gnu-linux $menuentry_id_option 'simple' {
\trecordfail
\tif [ "${initrdfail}" = 1 ]; then
\t  linux\t/vmlinuz-6.8.0-45-generic root=UUID=1 ro debug
\telse
\t  linux\t/vmlinuz-6.8.0-45-generic root=PARTUUID=2 ro  quiet splash $vt_handoff
\tfi
\tinitrd\t/initrd.img-6.8.0-45-generic
}
submenu 'Advanced options' $menuentry_id_option 'advanced' {
\tmenuentry 'Linux 6.8.0-45-generic' $menuentry_id_option '6.8.0-45-adv' {
\t\tlinux\t/vmlinuz-6.8.0-45-generic ro
\t}
\tmenuentry 'Linux 6.8.0-31-generic' $menuentry_id_option 'old' {
\t\tlinux\t/vmlinuz-6.8.0-31-generic ro dyndbg="file a.c +p"
\t}
\tmenuentry 'Linux 6.8.0-31-generic (recovery mode)' --id 'old-recovery-1' {
\t\tlinux\t/vmlinuz-6.8.0-31-generic ro recovery nomodeset
\t}
}
# menuentry 'in a comment' {
menuentry "It's another > system" --id=win {
\tchainloader +1
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' { fwsetup }
"""


def config(default: str) -> str:
    return HEADER.format(default) + MENU


def chosen(spec: str) -> str:
    return grub.choose(grub.menu(MENU), spec).node.path


def test_the_menu_of_a_real_machine() -> None:
    entries = grub.entries(grub.menu(REAL.read_text()))
    advanced = f"gnulinux-advanced-{UUID}>gnulinux-6.1.0-47-cloud-amd64"
    assert [(entry["id"], entry["recovery"]) for entry in entries] == [
        (f"gnulinux-simple-{UUID}", False),
        (f"{advanced}-advanced-{UUID}", False),
        (f"{advanced}-recovery-{UUID}", True),
    ]
    assert {entry["release"] for entry in entries} == {"6.1.0-47-cloud-amd64"}
    assert entries[0]["cmdline"][0] == f"root=UUID={UUID}"
    assert entries[0]["cmdline"][-3:] == ["crashkernel=224M", "quiet", "loglevel=4"]
    assert grub.default(REAL.read_text(), {})[0] == "0"


def test_entries_of_a_menu() -> None:
    assert grub.entries(grub.menu(config("0"))) == [
        {
            "id": "simple",
            "title": "Ubuntu",
            "release": "6.8.0-45-generic",
            "cmdline": ["root=PARTUUID=2", "ro", "quiet", "splash"],
            "recovery": False,
        },
        {
            "id": "advanced>6.8.0-45-adv",
            "title": "Linux 6.8.0-45-generic",
            "release": "6.8.0-45-generic",
            "cmdline": ["ro"],
            "recovery": False,
        },
        {
            "id": "advanced>old",
            "title": "Linux 6.8.0-31-generic",
            "release": "6.8.0-31-generic",
            "cmdline": ["ro", 'dyndbg="file a.c +p"'],
            "recovery": False,
        },
        {
            "id": "advanced>old-recovery-1",
            "title": "Linux 6.8.0-31-generic (recovery mode)",
            "release": "6.8.0-31-generic",
            "cmdline": ["ro", "recovery", "nomodeset"],
            "recovery": True,
        },
        {"id": "win", "title": "It's another > system", "release": None, "cmdline": [], "recovery": False},
        {
            "id": "uefi-firmware",
            "title": "UEFI Firmware Settings",
            "release": None,
            "cmdline": [],
            "recovery": False,
        },
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("menuentry 'a' {\n", "not closed"),
        ("}\n", "line 1 closes a block"),
        ("menuentry 'a {\n}\n", "line 1 cannot be taken apart"),
    ],
)
def test_a_menu_that_cannot_be_followed_is_an_error(text: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=says):
        grub.menu(text)


# --- the default -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "env", "spec", "where"),
    [
        ("0", {}, "0", "default in grub.cfg"),
        ("advanced>old", {}, "advanced>old", "default in grub.cfg"),
        ("${saved_entry}", {"saved_entry": "advanced>old"}, "advanced>old", "saved_entry in grubenv"),
        ("${saved_entry}", {}, "", "saved_entry in grubenv"),
        ("0", {"next_entry": "advanced>old"}, "advanced>old", "next_entry in grubenv, for one boot"),
        (
            "${saved_entry}",
            {"saved_entry": "simple", "next_entry": "old"},
            "old",
            "next_entry in grubenv, for one boot",
        ),
        ("0", {"next_entry": ""}, "0", "default in grub.cfg"),
        ("0", {"saved_entry": "advanced>old"}, "0", "default in grub.cfg"),
    ],
)
def test_default(default: str, env: dict[str, str], spec: str, where: str) -> None:
    assert grub.default(config(default), env) == (spec, where)


def test_a_menu_that_loads_no_environment_has_none() -> None:
    text = config("${saved_entry}").replace("load_env", "true")
    assert grub.default(text, {"next_entry": "old", "saved_entry": "old"})[0] == ""


@pytest.mark.parametrize(
    "text",
    [
        config("0") + 'set default="win"\n',  # 40_custom has the last word
        config("${chosen_by_a_script}>x"),
        MENU,
        config("0") + "blscfg\n",
    ],
)
def test_a_default_that_only_grub_can_work_out_is_an_error(text: str) -> None:
    with pytest.raises(FleetopsError):
        grub.default(text, {})


# --- the choice --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("0", "simple"),
        ("simple", "simple"),
        ("Ubuntu", "simple"),
        ("advanced>old", "advanced>old"),
        ("Advanced options>Linux 6.8.0-31-generic", "advanced>old"),
        ("1>1", "advanced>old"),
        ("advanced>1", "advanced>old"),
        ("0x1>01", "advanced>old"),
        ("1", "advanced>6.8.0-45-adv"),  # a submenu without more: its first
        ("win", "win"),
        ("It's another >> system", "win"),
        # GRUB takes the first for what it does not find, on each level
        ("", "simple"),
        ("old", "simple"),
        ("gone", "simple"),
        ("7", "simple"),
        ("advanced>gone", "advanced>6.8.0-45-adv"),
        ("gone>old", "simple"),
        # what begins with digits is a number to GRUB, whatever follows
        ("6.8.0-45-adv", "simple"),
        ("1 is ignored>1", "advanced>old"),
    ],
)
def test_choose(spec: str, path: str) -> None:
    assert chosen(spec) == path


def test_what_grub_had_to_make_up_for_is_said() -> None:
    menu = grub.menu(MENU)
    assert grub.choose(menu, "simple").notes == []
    assert grub.choose(menu, "0").notes == ["the first entry"]
    assert grub.choose(menu, "gone").notes == ["'gone' names no entry, so GRUB takes the first"]
    assert grub.choose(menu, "7").notes == ["'7' names no entry, so GRUB takes the first"]
    assert grub.choose(menu, "1>1").notes == [
        "entry 1: another kernel can take its place",
        "entry 1: another kernel can take its place",
    ]


def test_an_empty_menu_boots_nothing() -> None:
    with pytest.raises(FleetopsError, match="no entry"):
        grub.choose([], "0")


# GRUB itself cannot tell the two readings of a>>b apart, nor a name with digits in front from a position.
NAMES = st.text("ab>'\" {}1-", min_size=1, max_size=6).filter(
    lambda name: name.strip() == name and name[0] not in "1>" and name[-1] != ">"
)
LISTS = st.lists(NAMES, min_size=1, max_size=4, unique=True)


@given(LISTS, LISTS)
def test_every_entry_is_found_by_its_own_path(tops: list[str], subs: list[str]) -> None:
    """Whatever the names: quotes as grub-mkconfig writes them, and > in them."""

    def quoted(name: str) -> str:
        return "'" + name.replace("'", "'\\''") + "'"

    inner = "".join(f"menuentry {quoted(n)} --id {quoted(n)} {{\nlinux /vmlinuz-1\n}}\n" for n in subs)
    text = "".join(f"submenu {quoted(name)} --id {quoted(name)} {{\n{inner}}}\n" for name in tops)
    entries = grub.entries(grub.menu(text))
    assert len(entries) == len(tops) * len(subs)
    for entry in entries:
        assert grub.choose(grub.menu(text), entry["id"]).node.path == entry["id"]


# --- grubenv -----------------------------------------------------------------------------------------


def test_environment() -> None:
    block = "# GRUB Environment Block\nsaved_entry=a>b\nnext_entry=\nodd=a\\\\b=c\n" + "#" * 900
    assert grub.environment(block) == {"saved_entry": "a>b", "next_entry": "", "odd": "a\\b=c"}
    assert grub.environment("# GRUB Environment Block\n" + "#" * 999) == {}
