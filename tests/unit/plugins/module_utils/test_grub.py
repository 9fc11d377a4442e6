# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import grub, grubscript

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


def chosen(spec: str, whole_names: bool = False) -> str:
    return grub.choose(grub.menu(MENU), spec, whole_names).node.path


def default(text: str, env: dict[str, str], files: grubscript.Files = grub.ALONE) -> grub.Default:
    return grub.default(grub.variables(text, env, files))


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
    assert default(REAL.read_text(), {}) == ("0", "default in grub.cfg", False)


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
        ("if true; then\n", "what begins in line 1 has no 'fi'"),
        ("if true\n", "what begins in line 1 has no 'then'"),
        ("\nfi\n", "line 2 has a 'fi' that nothing asked for"),
        ("if true; then\nmenuentry a {\nfi\n}\n", "line 3 has a 'fi'"),
        ("while true; do\n", "what begins in line 1 has no 'done'"),
        ("if " * 100, "in more than 40 blocks"),
        pytest.param("#" * (grubscript.MOST_CHARACTERS + 1), "more than", id="too long"),
    ],
)
def test_a_menu_that_cannot_be_followed_is_an_error(text: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=says):
        grub.menu(text)


# --- the default -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "env", "spec", "where"),
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
        ("${nobody}>x", {}, ">x", "default in grub.cfg"),
    ],
)
def test_default(named: str, env: dict[str, str], spec: str, where: str) -> None:
    assert default(config(named), env, BOTH) == (spec, where, "one boot" in where)


BOTH = {"grubenv": "there", "custom.cfg": None}


def test_a_menu_that_finds_no_environment_has_none() -> None:
    env = {"next_entry": "old", "saved_entry": "old"}
    assert default(config("${saved_entry}").replace("load_env", "true"), env, BOTH).spec == ""
    assert default(config("${saved_entry}"), env, {**BOTH, "grubenv": None}).spec == ""
    assert default(config("${saved_entry}"), env, BOTH).spec == "old"


# As Ubuntu writes it (2.04 to 2.12), between the environment and the default.
INITRDFAIL = """\
if [ "${initrdfail}" = 2 ]; then
   set initrdfail=
elif [ "${initrdfail}" = 1 ]; then
   set next_entry="${prev_entry}"
   set prev_entry=
   save_env prev_entry
   if [ "${next_entry}" ]; then
      set initrdfail=2
   fi
fi
"""


@pytest.mark.parametrize(
    ("env", "spec"),
    [
        ({}, "0"),
        ({"next_entry": "old"}, "old"),
        ({"initrdfail": "2", "prev_entry": "new"}, "0"),
        # the boot without an initrd failed: what was tried is tried again
        ({"initrdfail": "1", "prev_entry": "new"}, "new"),
        ({"initrdfail": "1", "next_entry": "old"}, "0"),
    ],
)
def test_the_failed_boot_without_an_initrd_of_ubuntu(env: dict[str, str], spec: str) -> None:
    text = config("0").replace('if [ "${next_entry}" ]', INITRDFAIL + 'if [ "${next_entry}" ]')
    found = default(text, env, BOTH)
    assert (found.spec, found.once) == (spec, spec != "0")


# As Fedora writes it (08_fallback_counting), behind the default.
COUNTING = """\
if [ -n "${boot_counter}" -a "${boot_success}" = "0" ]; then
  if  [ "${boot_counter}" = "0" -o "${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi
"""


@pytest.mark.parametrize(
    ("env", "spec"),
    [
        ({"saved_entry": "old"}, "old"),
        ({"saved_entry": "old", "boot_counter": "2", "boot_success": "0"}, "old"),
        ({"saved_entry": "old", "boot_counter": "0", "boot_success": "0"}, "1"),
        ({"saved_entry": "old", "boot_counter": "0", "boot_success": "1"}, "old"),
        ({"next_entry": "new", "boot_counter": "-1", "boot_success": "0"}, "1"),
    ],
)
def test_the_fallback_of_fedora(env: dict[str, str], spec: str) -> None:
    assert default(config("${saved_entry}") + COUNTING, env, BOTH).spec == spec


@pytest.mark.parametrize(
    ("added", "spec"),
    [
        ('set default="win"', "win"),  # 40_custom has the last word
        ("default=win", "win"),
        ("unset default", ""),
        ('if [ "$none" ]; then set default=win; fi', "0"),
        ("if [ ! -z x -a a != b ]; then set default=win; fi", "win"),
        ("if ! false; then if true; then set default=win; fi; fi", "win"),
        ("function choose {\n set default=win\n}", "0"),
        ("function choose {\n set default=win\n}\nchoose", "win"),
        ("menuentry x { set default=win }", "0"),
        ("set other=win\nset default=${other}", "win"),
        ("set default='${other}'", "${other}"),
        ("# set default=win", "0"),
        ("echo set default=win", "0"),
    ],
)
def test_a_script_that_goes_on_is_followed(added: str, spec: str) -> None:
    assert default(f"{config('0')}\n{added}\n", {}, BOTH).spec == spec


@pytest.mark.parametrize(
    "added",
    [
        'if cmostest 5:6; then set default="win"; fi',
        'if [ "$grub_platform" = "efi" ]; then set default=win; fi',
        "if [ -f /there ]; then set default=win; fi",
        "while sleep 1; do set default=win; done",
        "set default=$root",
        "search --set=default --label x",
        "regexp --set 1:default '(.*)' x",
        "read default",
        "source $prefix/other.cfg",
        "function again {\n again\n}\nagain",
    ],
)
def test_a_default_that_only_grub_can_work_out_is_an_error(added: str) -> None:
    with pytest.raises(FleetopsError):
        default(f"{config('0')}\n{added}\n", {}, BOTH)


def test_a_branch_that_only_grub_knows_and_that_has_nothing_to_do_with_it_changes_nothing() -> None:
    added = "if keystatus --shift; then set timeout=-1; elif sleep 1; then set default=0; else set x=1; fi"
    assert default(config("0") + added, {}, BOTH).spec == "0"


def test_a_menu_without_a_default_takes_the_first() -> None:
    assert default(MENU, {}) == ("", "default in grub.cfg", False)


# 41_custom
CUSTOM = "if [ -f  ${config_directory}/custom.cfg ]; then\n  source ${config_directory}/custom.cfg\nfi\n"


def test_the_file_of_the_site_beside_the_menu_counts() -> None:
    text = config("0") + CUSTOM
    files = {"grubenv": None, "custom.cfg": "set default=mine\nmenuentry Mine --id mine {\n}\n"}
    assert default(text, {}, files).spec == "mine"
    assert grub.entries(grub.menu(text, files))[-1]["id"] == "mine"
    assert default(text, {}, BOTH).spec == "0"
    with pytest.raises(FleetopsError, match="takes in another file"):  # nobody knows whether it is there
        default(text, {}, {"grubenv": None})


def test_a_menu_of_boot_loader_specification_files() -> None:
    nodes = [grub.Node("T", "i", "i", "/vmlinuz-1", None)]
    text = "menuentry before { true }\ninsmod blscfg\nblscfg\nmenuentry behind { true }\n"
    assert [node.title for node in grub.menu(text, blscfg=nodes)] == ["before", "T", "behind"]
    assert grub.has_blscfg(text)
    assert not grub.has_blscfg(text.replace("\nblscfg", "\n# blscfg"))


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


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("advanced>old", "advanced>old"),
        ("win", "win"),
        ("Ubuntu", "simple"),
        ("1", "advanced>6.8.0-45-adv"),
        (" 1", "advanced>6.8.0-45-adv"),
        ("0x1", "advanced>6.8.0-45-adv"),
        ("advanced>6.8.0-45-adv", "advanced>6.8.0-45-adv"),
        ("advanced>1", "advanced>old"),
        # here it is no number with something behind it
        ("1>1", "simple"),
        ("1 is ignored>1", "simple"),
        ("6.8.0-45-adv", "simple"),
        # white space behind an id, and a title with it below one
        ("win ", "simple"),
        ("advanced>Linux 6.8.0-31-generic", "simple"),
        ("Advanced options>old", "advanced>old"),
        ("", "simple"),
        ("gone", "simple"),
    ],
)
def test_choose_as_fedora_does(spec: str, path: str) -> None:
    assert chosen(spec, whole_names=True) == path


def test_an_id_that_begins_with_digits_is_an_id_to_fedora_and_a_position_to_others() -> None:
    text = "".join(f"menuentry '{name}' --id {name} {{\n true\n}}\n" for name in ("a", "b", "1c0ffee-5.14"))
    menu = grub.menu(text)
    assert grub.choose(menu, "1c0ffee-5.14", whole_names=True).node.id == "1c0ffee-5.14"
    assert grub.choose(menu, "1c0ffee-5.14").node.id == "b"


@pytest.mark.parametrize(
    ("spec", "named_by"),
    [
        ("", "first"),
        ("gone", "first"),
        ("0", "first"),
        ("00", "first"),
        ("1", "position"),
        ("1>1", "position"),
        ("1>old", "position"),
        ("advanced>1", "position"),
        ("advanced>0", "first"),
        ("advanced", "first"),  # the first in there
        ("advanced>old", "id"),
        ("simple", "id"),
        ("Ubuntu", "title"),
        ("advanced>Linux 6.8.0-31-generic", "title"),
        ("Advanced options>old", "title"),
        ("99999999999999999999999999999999999999", "first"),
    ],
)
def test_what_it_is_named_by(spec: str, named_by: str) -> None:
    assert grub.choose(grub.menu(MENU), spec).named_by == named_by


@pytest.mark.parametrize(
    ("spec", "position"),
    [("09", 9), ("010", 8), ("0x", None), ("0x8", 8), ("0X8", 0), ("8z", 8), ("\u0668", None), ("\t8", 8)],
)
def test_numbers_are_those_of_grub(spec: str, position: int | None) -> None:
    menu = grub.menu("".join(f"menuentry e{number} {{\n true\n}}\n" for number in range(10)))
    found = grub.choose(menu, spec)
    assert found.node.title == f"e{position or 0}"
    assert ("names no entry" in " ".join(found.notes)) == (position is None)


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
    assert grub.environment("# GRUB Environment Block\na=1\\\n2\nb=3\n") == {"a": "1\n2", "b": "3"}
    # GRUB takes no other file for one
    assert grub.environment("saved_entry=a\n") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("set a=aa\n" + "set a=$a$a\n" * 40, "a value has more than"),
        ("set a=aa\n" + "set a=$a$a\n" * 14 + "set b=" + "$a" * 100_000 + "\n", "a value has more than"),
        (
            "".join(f"set a{i}=1\n" for i in range(4000)) + "if $x; then set b=1; fi\n" * 4000,
            "steps to follow",
        ),
    ],
)
def test_what_grows_without_end_is_refused(text: str, says: str) -> None:
    with pytest.raises(FleetopsError, match=says):
        grub.variables(text, {})


@pytest.mark.parametrize(("turns", "wanted"), [(5000, "1"), (5001, "2")])
@pytest.mark.parametrize("condition", ["test {}a", "{}true", "[ {}a ]"])
def test_any_number_of_turns_is_counted(condition: str, turns: int, wanted: str) -> None:
    condition = condition.format("! " * turns)
    found = grub.variables(f"if {condition}; then\nset a=1\nelse\nset a=2\nfi\n", {})
    assert found.values["a"] == wanted


def test_a_file_that_takes_in_itself_is_taken_in_once() -> None:
    entry = "menuentry 'own' { linux /vmlinuz-1 }\n"
    files = {"custom.cfg": entry + "source $prefix/custom.cfg\n" * 2}
    found = grub.menu("source $prefix/custom.cfg\n", files)
    assert [node.title for node in found] == ["own"]
