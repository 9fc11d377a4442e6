# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real GRUB boots, in a virtual machine, against what we say that it boots.

A boot takes a second: GRUB goes through one configuration after the other, of which each entry says its name and
hands over to the next configuration. After a few dozen it has no memory left for more, and the rest gets a new boot.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from ansible_collections.fleetops.kernel.plugins.module_utils._rules import grub

MODULES = "biosdisk memdisk tar normal configfile echo serial terminal test true loadenv halt".split()
BOOT_SECTOR = Path("/usr/lib/grub/i386-pc/boot.img")
PER_BOOT = 24

# 00_header of Ubuntu, and 08_fallback_counting of Fedora; but for save_env, which has nothing to write to here.
HEADER = """\
set timeout=0
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${{initrdfail}}" = 2 ]; then
   set initrdfail=
elif [ "${{initrdfail}}" = 1 ]; then
   set next_entry="${{prev_entry}}"
   set prev_entry=
   if [ "${{next_entry}}" ]; then
      set initrdfail=2
   fi
fi
if [ "${{next_entry}}" ] ; then
   set default="${{next_entry}}"
   set next_entry=
   set boot_once=true
else
   set default="{named}"
fi
if [ -n "${{boot_counter}}" -a "${{boot_success}}" = "0" ]; then
  if  [ "${{boot_counter}}" = "0" -o "${{boot_counter}}" = "-1" ]; then
    set default=1
  fi
fi
{added}
if [ x"${{feature_menuentry_id}}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
"""
ENTRY = """\
menuentry '{title}' --class x $menuentry_id_option '{id}' {{
  echo
  echo 'CHOSEN {number} <{id}>'
  {then}
}}
"""


class Case(NamedTuple):
    named: str
    env: dict[str, str]
    added: str


NAMES = """\
0 1 2 3 4 5 9 00 01 07 08 010 0x1 0x 0X1 0x4z 1z -1 +1 simple Ubuntu Simple advanced advanced>6.8-old advanced>new
1>1 1>0 1>2 1>9 1> 1>>1 advanced> advanced>>new advanced>gone gone > gone>new a>>b a>b 2digit 6.8-old simple>x simple>
advanced>old-recovery-1 advanced>1 advanced>01 advanced>1z 99999999999999999999999""".split()
NAMES += [
    "",
    " 1",
    "\t1",
    "Advanced options",
    "Advanced options>Linux old",
    "A >> B",
    "A > B",
    "1 digit",
    "  blank",
]
NAMES += [" sp", "advanced>Linux old ", "advanced> 1"]
SAVED = "${saved_entry}"
ENVIRONMENTS: list[tuple[str, dict[str, str]]] = [
    *((SAVED, {"saved_entry": name}) for name in ("simple", "advanced>new", "1>1", "gone", "")),
    (SAVED, {}),
    ("0", {"saved_entry": "a>>b"}),
    ("0", {"next_entry": "advanced>old-recovery-1"}),
    ("0", {"next_entry": "gone"}),
    ("0", {"initrdfail": "1", "prev_entry": "a>>b"}),
    ("0", {"initrdfail": "1", "next_entry": "a>>b"}),
    ("0", {"initrdfail": "2", "next_entry": "a>>b"}),
    ("0", {"boot_counter": "0", "boot_success": "0"}),
    ("0", {"boot_counter": "3", "boot_success": "0"}),
    ("2", {"boot_counter": "-1", "boot_success": "1"}),
]
SCRIPTS = [
    'set default="2digit"',
    r"default=a\>\>b",
    "unset default",
    'if [ "$none" ]; then set default=2; fi',
    "if [ $none ]; then set default=2; fi",
    "if [ -n $none ]; then set default=2; fi",
    "if [ ! -z x -a a != b ]; then set default=2; fi",
    "if [ a = a -a b = c -o d = d ]; then set default=2; fi",
    'if [ "" = "" ]; then set default=2; fi',
    "if ! false; then if true; then set default=2; fi; fi",
    "if test x = x; then set default=2; else set default=3; fi",
    "set x=y; if [ x$x = xy ]; then set default=2; elif true; then set default=3; fi",
    "function f {\n set default=2\n}",
    "function f {\n set default=2\n}\nf",
    "set other=2\nset default=${other}",
    "set default='${other}'",
    'set default="a>"">b"',
    "# set default=2",
    'set default="2";# c',
    'set default="\\$x"',
    'set a=1\nset default="$a>1"',
    "set a=1\nset default=${a}z",
]
CASES = [
    *(Case(name, {}, "") for name in NAMES),
    *(Case(name, env, "") for name, env in ENVIRONMENTS),
    *(Case("0", {}, script) for script in SCRIPTS),
]


def config(number: int, case: Case) -> str:
    def entry(title: str, identity: str) -> str:
        then = f"configfile (memdisk)/{number + 1}/grub.cfg"
        return ENTRY.format(title=title, id=identity, number=number, then=then)

    below = entry("Linux new", "new") + entry("Linux old", "6.8-old") + entry("Linux r", "old-recovery-1")
    return "".join(
        [
            HEADER.format(named=case.named, added=case.added),
            entry("Ubuntu", "simple"),
            f"submenu 'Advanced options' $menuentry_id_option 'advanced' {{\n{below}}}\n",
            entry("A > B", "a>b"),
            entry("1 digit", "2digit"),
            entry("  blank", " sp"),
        ]
    )


def environment(case: Case) -> str:
    lines = "".join(f"{name}={value}\n" for name, value in case.env.items())
    return f"# GRUB Environment Block\n{lines}".ljust(1024, "#")


def ours(number: int, case: Case) -> str:
    text = config(number, case)
    files = {"grubenv": environment(case), grub.CUSTOM: None}
    default = grub.default(grub.variables(text, grub.environment(environment(case)), files))
    return grub.choose(grub.menu(text), default.spec).node.id


def boot(folder: Path, first: int, cases: list[Case]) -> dict[int, str]:
    """What GRUB chose in each case, by its number."""
    files = {f"{first + len(cases)}/grub.cfg": "halt\n"}
    for number, case in enumerate(cases, first):
        files[f"{number}/grub.cfg"] = f"set prefix=(memdisk)/{number}\n{config(number, case)}"
        files[f"{number}/grubenv"] = environment(case)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with tarfile.open(folder / "memdisk.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in files:
            archive.add(folder / name, name)
    (folder / "early.cfg").write_text(
        "serial --unit=0\nterminal_input serial\nterminal_output serial\n"
        f"set prefix=(memdisk)/{first}\nexport prefix\nnormal (memdisk)/{first}/grub.cfg\n"
    )
    core, disk = folder / "core.img", folder / "disk.img"
    make = ["grub-mkimage", "-O", "i386-pc", "-p", "(memdisk)/", "-o", str(core)]
    make += ["-m", str(folder / "memdisk.tar"), "-c", str(folder / "early.cfg"), *MODULES]
    subprocess.run(make, check=True, capture_output=True)
    disk.write_bytes((BOOT_SECTOR.read_bytes() + core.read_bytes()).ljust(16 << 20, b"\0"))
    machine = ["qemu-system-x86_64", "-m", "256", "-display", "none", "-monitor", "none", "-serial", "stdio"]
    machine += ["-no-reboot", "-drive", f"file={disk},format=raw"]
    done = subprocess.run(
        machine,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    found = re.findall(r"^CHOSEN (\d+) <([^\r\n]*)>\s*$", done.stdout, re.MULTILINE)
    return {int(number): identity for number, identity in found}


@pytest.mark.parametrize("first", range(0, len(CASES), PER_BOOT))
def test_the_real_grub_boots_what_we_say(tmp_path: Path, first: int) -> None:
    cases = CASES[first : first + PER_BOOT]
    expected = {number: ours(number, case) for number, case in enumerate(cases, first)}
    assert boot(tmp_path, first, cases) == expected


def test_the_cases_come_to_every_entry() -> None:
    chosen = {ours(number, case) for number, case in enumerate(CASES)}
    assert chosen == {"simple", "new", "6.8-old", "old-recovery-1", "a>b", "2digit", " sp"}
