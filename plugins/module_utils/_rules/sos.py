# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What the commands in a sosreport print, taken apart. Pure.

Written against reports of sos 4.0 and the sources of 4.0 and 4.11 (2026). Each function takes the text of one command,
and gives nothing, or less, for a text that is not what that command prints.
"""

from __future__ import annotations

import datetime
import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

KIB = 1024
_UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Command(NamedTuple):
    """A command that sos ran. ``path``: of its output in the report, None when it could not be run at all."""

    path: Optional[str]
    rc: int


class Manifest(NamedTuple):
    """sos_reports/manifest.json, which sos writes since 4.0."""

    commands: Dict[str, Command]
    # Directories that were asked for by their own name, and so copied with all that is in them.
    whole: List[str]


def manifest(text: str) -> Manifest:
    """What sos did. Of a plugin that ran out of time nothing counts as whole."""
    commands: Dict[str, Command] = {}
    whole = set()
    try:
        document = json.loads(text)
        plugins = document["components"]["report"]["plugins"].values()
        for plugin in plugins:
            for command in plugin["commands"]:
                commands[command["exec"]] = Command(command["filepath"], int(command["return_code"]))
            for copied in plugin["files"]:
                name = str(copied["specification"])
                # A relative one, and the root itself, are no directory that a plugin copies.
                if not re.match(r"/[^/]", name):
                    continue
                if copied["files_copied"] and not plugin["timeout_hit"] and not re.search(r"[*?\[]", name):
                    whole.add(name.rstrip("/"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Manifest({}, [])
    return Manifest(commands, sorted(whole))


def file_name(command: str) -> str:
    """The file that holds the output of a command: every character that is odd in a name became one _ or a dot."""
    name = re.sub(r"^/(?:usr/)?s?bin/", "", command)
    return re.sub(r"[^\w\-./]+", "_", name).replace("/", ".").strip(" ._-")


def forbidden(log: str) -> List[str]:
    """Patterns of what sos was told not to copy, from sos_logs/sos.log."""
    return re.findall(r"adding forbidden path '([^'\n]+)'", log)


class Listed(NamedTuple):
    """A package as ``dpkg -l`` lists it; ``status`` as ``db:Status-Abbrev`` prints it: three characters."""

    name: str
    version: str
    status: str
    architecture: str


def packages(text: str) -> List[Listed]:
    """``dpkg -l``. What another architecture adds to a name (``:amd64``) is left out."""
    lines = re.findall(
        r"^([uihrp][ncHUFWti][ R]) +([a-z0-9][a-z0-9+.-]*)(?::\S+)? +(\S+) +(\S+)", text, re.MULTILINE
    )
    return [Listed(name, version, status, arch) for status, name, version, arch in lines]


def processes(text: str) -> Dict[str, str]:
    """Process id to comm, of ``ps axo pid,ppid,user,group,lwp,nlwp,start_time,comm,cgroup``."""
    head, _newline, body = text.partition("\n")
    at = head.find("COMMAND")
    if head.split()[:2] != ["PID", "PPID"] or at < 0:
        return {}
    found = {}
    for line in body.splitlines():
        # A name may have blanks in it: the column tells where it ends. A longer user name moves all columns.
        row = re.match(r" *(\d+) +\d+ +\S+ +\S+ +\d+ +\d+ +\S+ ", line)
        if row:
            start = max(at, row.end())
            found[row.group(1)] = line[start : start + 15].strip()
    return found


def listing(text: str) -> Dict[str, Dict[str, Optional[int]]]:
    """Directory to its names and their sizes (None: not a file), of ``ls -lanR`` or ``ls -alZR``."""
    found: Dict[str, Dict[str, Optional[int]]] = {}
    here: Optional[Dict[str, Optional[int]]] = None
    row = re.compile(
        r"([-dlbcps])[rwxsStT-]{9}\S? +\d+ +\S+ +\S+ +(?:\S+:\S+ +|\? +)?(\d+) +\w{3} +\d+ +[\d:]+ (.+)\Z"
    )
    for line in text.splitlines():
        if line.startswith("/") and line.endswith(":"):
            here = found.setdefault(line[:-1].rstrip("/") or "/", {})
            continue
        entry = row.match(line)
        if entry and here is not None and entry.group(3) not in (".", ".."):
            kind, size, name = entry.groups()
            if kind == "l":
                name = name.partition(" -> ")[0]
            here[name] = int(size) if kind == "-" else None
    return found


def disks(text: str) -> Dict[str, Tuple[int, int]]:
    """Mount point to (total, free to root) bytes, of ``df -al``: blocks of 1 KiB, and used is all that is not free."""
    rows = re.findall(r"^\S+ +(\d+) +(\d+) +\d+ +\S+ (/.*)$", text, re.MULTILINE)
    if not text.startswith("Filesystem") or "1K-blocks" not in text.partition("\n")[0]:
        return {}
    return {
        where: (int(total) * KIB, (int(total) - int(used)) * KIB) for total, used, where in rows if int(total)
    }


def links(text: str) -> List[Dict[str, Any]]:
    """The network links of ``ip -d address``, as ``ip -j -d addr`` names them, without what its kind has of its own."""
    found: List[Dict[str, Any]] = []
    behind_link = False
    for line in text.splitlines():
        head = re.match(r"(\d+): ([^\s@]+?)(?:@\S+)?: <([^>]*)> mtu (\d+)(.*)", line)
        if head:
            index, name, flags, mtu, rest = head.groups()
            link: Dict[str, Any] = {
                "ifindex": int(index),
                "ifname": name,
                "flags": [flag for flag in flags.split(",") if flag],
                "mtu": int(mtu),
                "addr_info": [],
            }
            master = re.search(r" master (\S+)", rest)
            if master:
                link["master"] = master.group(1)
            found.append(link)
            continue
        if not found:
            continue
        words = line.split()
        if line.startswith("    link/"):
            if len(words) > 1 and ":" in words[1]:
                found[-1]["address"] = words[1]
        elif behind_link and re.match(r"    (?!inet6? |alias |altname |vf )[a-z]\w*(?<!_slave) ", line):
            # Right below it stands the kind, where a link has one; a port of a bridge may have only bridge_slave.
            found[-1]["linkinfo"] = {"info_kind": words[0]}
        else:
            address = re.match(
                r"    (inet6?) ([0-9a-fA-F.:]+)(?: peer [0-9a-fA-F.:]+)?/(\d+) .*?scope (\w+)", line
            )
            if address:
                family, local, length, scope = address.groups()
                found[-1]["addr_info"].append(
                    {"family": family, "local": local, "prefixlen": int(length), "scope": scope}
                )
        behind_link = line.startswith("    link/")
    return found


def units(text: str) -> Dict[str, Tuple[str, str, str]]:
    """Unit to (load, active, sub), of ``systemctl list-units``: those that are loaded and not just inactive."""
    rows = re.findall(r"^[ ●*x]* *([\w@.:\\-]+\.\w+) +(\w[\w-]*) +(\w+) +([\w-]+)", text, re.MULTILINE)
    return {name: (load, active, sub) for name, load, active, sub in rows}


def unit_files(text: str) -> Dict[str, str]:
    """Unit to the state of its file, of ``systemctl list-unit-files``."""
    if not text.startswith("UNIT FILE"):
        return {}
    return dict(re.findall(r"^([\w@.:\\-]+\.\w+) +([\w-]+)", text.partition("\n")[2], re.MULTILINE))


def properties(text: str) -> Dict[str, Dict[str, str]]:
    """Unit to its properties, of ``systemctl show *service --all``."""
    found: Dict[str, Dict[str, str]] = {}
    for block in text.split("\n\n"):
        values = dict(re.findall(r"^(\w+)=(.*)$", block, re.MULTILINE))
        for name in values.get("Names", "").split():
            found[name] = values
    return found


class Kdump(NamedTuple):
    """What ``kdump-config show`` says: where dumps go, and the recorded command; None when none is recorded."""

    coredir: str
    kexec_command: Optional[str]


def kdump(text: str) -> Optional[Kdump]:
    """``kdump-config show``, which prints the file kexec_cmd behind two blanks."""
    coredir = re.search(r"^KDUMP_COREDIR:\s+(/\S*)$", text, re.MULTILINE)
    command = re.search(r"^kexec command:\n  (.*)\Z", text, re.MULTILINE | re.DOTALL)
    if not (coredir and command):
        return None
    recorded = command.group(1)
    return Kdump(coredir.group(1), None if recorded.startswith("no kexec command recorded") else recorded)


def memory_blocks(text: str) -> Optional[Tuple[int, int]]:
    """(blocks, bytes of each), of ``lsmem -a -o RANGE,SIZE,STATE,…,BLOCK``: offline ones included."""
    size = re.search(r"^Memory block size: +(\d+)([BKMG])$", text, re.MULTILINE)
    rows = re.findall(r"^0x([0-9a-f]+)-0x([0-9a-f]+) ", text, re.MULTILINE)
    if not (size and rows):
        return None
    each = int(size.group(1)) * _UNITS[size.group(2)]
    total = sum(int(end, 16) - int(start, 16) + 1 for start, end in rows)
    return (total // each, each) if each and total % each == 0 else None


def banner(dmesg: str) -> Optional[str]:
    """/proc/version, from the first line of the kernel's log; None when newer lines have pushed it out."""
    found = re.search(r"^(?:<\d+>)?\[ *0\.000000\] (Linux version .+)$", dmesg, re.MULTILINE)
    return found.group(1) if found else None


def tells_of_efi(dmesg: str) -> bool:
    """Does a whole log say that EFI started this kernel (drivers/firmware/efi/efi.c: efi_systab_report_header)?"""
    return re.search(r"\] efi: EFI v\d", dmesg) is not None


def signature(version: str) -> Optional[str]:
    """/proc/version_signature, which Ubuntu's kernels repeat at the end of /proc/version; None for all others."""
    found = re.search(r" \((Ubuntu \S+ \S+)\)\s*\Z", version)
    return found.group(1) if found else None


def machine(uname: str) -> Optional[str]:
    """``uname -m``, from ``uname -a``: the word before the name of the system."""
    words = uname.split()
    return words[-2] if len(words) > 5 and words[-1] == "GNU/Linux" else None


def chassis(hostnamectl: str) -> Optional[str]:
    """What systemd takes this machine for (vm, server, container, …), from ``hostnamectl status``."""
    found = re.search(r"^ *Chassis: (\w+)", hostnamectl, re.MULTILINE)
    return found.group(1) if found else None


def time(date_utc: str) -> Optional[str]:
    """ISO 8601 of ``date --utc`` in the C locale (LC_ALL is what sos sets)."""
    words = date_utc.split()
    # Tue Nov 24 12:18:40 UTC 2026, or Tue Nov 24 12:18:40 PM UTC 2026
    if len(words) < 6 or words[-2] != "UTC":
        return None
    try:
        moment = datetime.datetime.strptime(
            f"{words[1]} {words[2]} {words[3]} {words[-1]} +0000", "%b %d %H:%M:%S %Y %z"
        )
    except ValueError:
        return None
    if len(words) == 7 and words[4] in ("AM", "PM"):
        moment = moment.replace(hour=moment.hour % 12 + 12 * (words[4] == "PM"))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
