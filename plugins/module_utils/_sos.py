# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""An unpacked sosreport, as answers to what readers ask of a machine.

Files lie in it as they lay on the machine. Commands are answered where the report holds the same answer in other
words; where it does not, nobody is asked and the answer is unknown.
"""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any, Callable, Dict, List, Optional, Sequence

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import sos as rules

FOLDER, VERSION = "/sos_commands", "/version.txt"
MANIFEST = "/sos_reports/manifest.json"
LOG = "/sos_logs/sos.log"
RELEASE = "/proc/sys/kernel/osrelease"
MEMORY_BLOCKS = "/sys/devices/system/memory"
# The listing of a directory with all that is below it, by sos 4.0 and by newer ones.
LISTING = re.compile(r"ls -(?:lanR|alZR) /\S*")
LISTINGS_OF_BOOT = ("ls -lanR /boot", "ls -alZR /boot")
PS = "ps axo pid,ppid,user,group,lwp,nlwp,start_time,comm,cgroup"
LSMEM = "lsmem -a -o RANGE,SIZE,STATE,REMOVABLE,ZONES,NODE,BLOCK"
# Programs that readers look for, and the package that brings each on Debian and Ubuntu (None: no package does).
PROGRAMS = {
    "/usr/sbin/kdump-config": "kdump-tools",
    "/usr/bin/kdumpctl": None,
    "/usr/bin/unattended-upgrade": "unattended-upgrades",
    "/usr/bin/dnf-automatic": "dnf-automatic",
}
# Left in containers (systemd src/basic/virt.c, which is what decides on hostnamectl's chassis).
CONTAINER_MARKS = ("/run/systemd/container", "/.dockerenv", "/run/.containerenv")
_FIELD = re.compile(r"\$\{([\w:-]+)\}")  # of dpkg-query(1)
# Fields that stay empty, which they never are on a machine, so that a reader sees that they are unknown.
_SHOWN = ("Package", "Version", "db:Status-Abbrev", "Architecture")  # as in rules.Listed
_UNSHOWN = ("source:Package", "source:Version")

Answer = Dict[str, Any]  # rc, stdout, stderr


class Report:
    """One report. *read* reads a file of the tree and raises FleetopsError when it cannot; *resolve* follows links."""

    def __init__(self, read: Callable[[str], str], resolve: Callable[[str], str]) -> None:
        self._read = read
        self.manifest = rules.manifest(self._text(MANIFEST) or "")
        # sos says /lib/systemd/system, which is /usr/lib/systemd/system on most systems.
        self._whole = {*self.manifest.whole, *map(resolve, self.manifest.whole)}
        self.forbidden = rules.forbidden(self._text(LOG) or "")

    def whole(self, path: str) -> bool:
        """Is a path of a directory that was copied with all that was in it?"""
        if any(part.startswith(".") for part in path.split("/")):
            return False  # newer versions look for *, which leaves those out
        if any(
            fnmatch.fnmatchcase(path, f"{one.rstrip('/')}{tail}")
            for one in self.forbidden
            for tail in ("", "/*")
        ):
            return False
        return any(path == one or path.startswith(f"{one}/") for one in self._whole)

    def notes(self) -> Dict[str, Any]:
        """What the commands tell of files, in the shape of a capture file (see `_tree`)."""
        notes: Dict[str, Any] = {
            "listings": {},
            "sizes": {},
            "exists": [],
            "missing": [],
            "texts": {},
            "mounts": {},
        }
        notes["machine"] = rules.machine(self.output("kernel", "uname -a") or "")
        notes["time"] = rules.time(self.output("date", "date --utc") or "")
        self._kernel(notes)
        self._processes(notes)
        self._memory(notes)
        self._programs(notes)
        self._kdump(notes)
        self._listings(notes)
        if rules.chassis(self.output("host", "hostnamectl status") or "") not in (None, "container"):
            notes["missing"] += CONTAINER_MARKS
        for where, (total, free) in rules.disks(self.output("filesys", "df -al -x autofs") or "").items():
            notes["mounts"][where] = {"total": total, "free": free}
        return {key: value for key, value in notes.items() if value is not None}

    def run(self, argv: Sequence[str]) -> Optional[Answer]:
        """What a command would have answered, or None when the report does not tell."""
        if list(argv[:2]) == ["dpkg-query", "--show"]:
            return self._dpkg_query(argv[2], argv[3:])
        if list(argv[:2]) == ["systemctl", "show"] and argv[2].startswith("--property="):
            return self._systemctl_show(argv[2].partition("=")[2].split(","), argv[3:])
        if list(argv) == ["ip", "-j", "-d", "addr"]:
            links = rules.links(self.output("networking", "ip -d address") or "")
            return _said(json.dumps(links)) if links else None
        return None

    def output(self, plugin: str, command: str) -> Optional[str]:
        """The output of a command that ended well; None when it is not in the report."""
        known = self.manifest.commands.get(command)
        if known is not None and (known.path is None or known.rc != 0):
            return None
        path = known.path if known is not None else f"{FOLDER}/{plugin}/{rules.file_name(command)}"
        return self._text(f"/{str(path).lstrip('/')}")

    def _text(self, path: str) -> Optional[str]:
        try:
            return self._read(path)
        except FleetopsError:
            return None

    # --- notes ---------------------------------------------------------------------------------------

    def _kernel(self, notes: Dict[str, Any]) -> None:
        log = self.output("kernel", "dmesg") or ""
        banner = rules.banner(log)
        release = self._text(RELEASE)
        if banner is None or release is None or banner.split()[2] != release.strip():
            return
        notes["texts"]["/proc/version"] = f"{banner}\n"
        if not rules.tells_of_efi(log):
            notes["missing"].append("/sys/firmware/efi")
        signature = rules.signature(banner)
        if signature is None:
            notes["missing"].append("/proc/version_signature")
        else:
            notes["texts"]["/proc/version_signature"] = f"{signature}\n"

    def _processes(self, notes: Dict[str, Any]) -> None:
        processes = rules.processes(self.output("process", PS) or "")
        if processes:
            notes["listings"]["/proc"] = sorted(processes)
            notes["texts"].update({f"/proc/{pid}/comm": f"{name}\n" for pid, name in processes.items()})

    def _memory(self, notes: Dict[str, Any]) -> None:
        blocks = rules.memory_blocks(self.output("memory", LSMEM) or "")
        if blocks is not None:
            number, size = blocks
            notes["listings"][MEMORY_BLOCKS] = [
                "block_size_bytes",
                *(f"memory{index}" for index in range(number)),
            ]
            notes["texts"][f"{MEMORY_BLOCKS}/block_size_bytes"] = f"{size:x}\n"

    def _programs(self, notes: Dict[str, Any]) -> None:
        packages = self._packages()
        if packages is None:
            return
        there = {package.name for package in packages if package.status[1] == "i"}
        for program, package in PROGRAMS.items():
            notes["exists" if package in there else "missing"].append(program)

    def _listings(self, notes: Dict[str, Any]) -> None:
        for command in [*filter(LISTING.fullmatch, self.manifest.commands)] or LISTINGS_OF_BOOT:
            for folder, names in rules.listing(self.output("boot", command) or "").items():
                notes["listings"][folder] = sorted(names)
                notes["sizes"].update(
                    {f"{folder}/{name}": size for name, size in names.items() if size is not None}
                )

    def _kdump(self, notes: Dict[str, Any]) -> None:
        shown = rules.kdump(self.output("kdump", "kdump-config show") or "")
        if shown is not None:
            record = f"{shown.coredir.rstrip('/')}/kexec_cmd"
            if shown.kexec_command is None:
                notes["missing"].append(record)
            else:
                notes["texts"][record] = shown.kexec_command

    # --- commands ------------------------------------------------------------------------------------

    def _packages(self) -> Optional[List[rules.Listed]]:
        return rules.packages(self.output("dpkg", "dpkg -l") or "") or None

    def _dpkg_query(self, option: str, patterns: Sequence[str]) -> Optional[Answer]:
        """``dpkg -l`` shows name, version, status and architecture, and no more."""
        packages = self._packages()
        if packages is None or not option.startswith("--showformat="):
            return None
        row = option.partition("=")[2].replace(r"\t", "\t").replace(r"\n", "\n")
        if set(_FIELD.findall(row)) - {*_SHOWN, *_UNSHOWN}:
            return None
        found: List[str] = []
        unmatched = [one for one in patterns if not any(fnmatch.fnmatchcase(p.name, one) for p in packages)]
        for package in packages:
            if any(fnmatch.fnmatchcase(package.name, pattern) for pattern in patterns):
                values = {**dict(zip(_SHOWN, package)), **dict.fromkeys(_UNSHOWN, "")}
                found.append(re.sub(_FIELD, lambda field, of=values: of[field.group(1)], row))  # type: ignore[misc]
        return {**_said("".join(found)), "rc": 1 if unmatched else 0}

    def _systemctl_show(self, wanted: Sequence[str], units: Sequence[str]) -> Optional[Answer]:
        shown = rules.properties(self.output("systemd", "systemctl show *service --all") or "")
        files = rules.unit_files(self.output("systemd", "systemctl list-unit-files") or "")
        active = rules.units(self.output("systemd", "systemctl list-units") or "")
        blocks = []
        for unit in units:
            values = shown.get(unit)
            if values is None or not set(wanted) <= set(values):
                values = _state(unit, files, active)
            if values is None or not set(wanted) <= set(values):
                return None
            blocks.append("".join(f"{name}={values[name]}\n" for name in wanted))
        return _said("\n".join(blocks))


def _state(unit: str, files: Dict[str, str], active: Dict[str, Any]) -> Optional[Dict[str, str]]:
    """What ``systemctl show`` says of a unit, from the two lists; None where they do not tell."""
    if not (files and active) or "@" in unit or files.get(unit) == "alias":
        return None
    state = files.get(unit, "")
    load, now, sub = active.get(
        unit,
        (
            "not-found" if not state else "masked" if state.startswith("masked") else "loaded",
            "inactive",
            "dead",
        ),
    )
    return {"Id": unit, "LoadState": load, "ActiveState": now, "SubState": sub, "UnitFileState": state}


def _said(stdout: str) -> Answer:
    return {"rc": 0, "stdout": stdout, "stderr": ""}
