# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""What kdump's files say: defaults files, the recorded kexec command, the end of a dump. Pure."""

from __future__ import annotations

import re
import shlex
from typing import Dict, Optional, Sequence, Tuple, TypedDict

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import bounds
from ansible_collections.fleetops.kernel.plugins.module_utils._types import KdumpFacts

# A flattened dump: this signature (16 bytes) in a padded header, records, and a last record header whose two
# big-endian int64 are -1 (makedumpfile.h SIG_MAKEDUMPFILE, END_FLAG_FLAT_HEADER; makedumpfile.c
# write_end_flat_header). Checked on a real dump.
FLATTENED = b"makedumpfile\0\0\0\0"
FLATTENED_END = b"\xff" * 16

# A shell word (POSIX sh, 2.2 Quoting). Expansions are not performed: they stay as they are written.
_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)="
    r"""(?P<word>(?:'[^']*'|"[^"\\]*(?:\\.[^"\\]*)*"|\\.|[^\s"'\\;&|<>()]+)*)""",
    re.MULTILINE | re.DOTALL,
)
_PIECE = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>[^"\\]*(?:\\.[^"\\]*)*)"|\\(?P<escaped>.)|(?P<bare>[^'"\\]+)""",
    re.DOTALL,
)


# kdump.conf(5): what can be named as a target; file systems are on a device of their own.
KDUMP_CONF_TARGETS = ("nfs", "ssh", "raw", "ext2", "ext3", "ext4", "xfs", "btrfs", "minix", "virtiofs")
# What kdumpctl takes from a command line: always (kdump-lib.sh prepare_cmdline), and where no setting says (kdumpctl).
KDUMPCTL_REMOVES = frozenset(
    "crashkernel panic_on_warn root rd.lvm.lv rd.luks.uuid rd.dm.uuid rd.md.uuid fcoe netroot rd.iscsi.initiator "
    "iscsi_initiator".split()
)
KDUMPCTL_REMOVE_DEFAULT = "hugepages hugepagesz slub_debug"


class KexecCommand(TypedDict):
    """The line with which kdump-config loaded the capture kernel."""

    cmdline: Optional[str]
    initrd: Optional[str]
    kernel: Optional[str]


def shell_assignments(text: str) -> Dict[str, str]:
    """``NAME=word`` at the beginning of lines, quotes taken off; the last of a name wins.

    Nothing is expanded: a value with ``$`` or a backquote in it is what a shell would go on to work on. Raises
    FleetopsError for a text that is longer than any such file.
    """
    found: Dict[str, str] = {}
    for match in _ASSIGNMENT.finditer(bounds.within(text, bounds.SHELL_FILE, "a file of shell assignments")):
        found[match.group("name")] = "".join(
            _unquoted(piece) for piece in _PIECE.finditer(match.group("word"))
        )
    return found


def is_literal(value: str) -> bool:
    """Is a value of :func:`shell_assignments` what the shell makes of it?"""
    return not re.search(r"[$`]", value)


def kexec_command(line: str) -> KexecCommand:
    """Take the recorded command apart. Raises FleetopsError when its quotes do not match, or it is too long for one."""
    bounds.within(line, bounds.COMMAND, "the recorded kexec command")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise FleetopsError(
            f"The recorded kexec command cannot be taken apart ({error}): {line.strip()}"
        ) from error
    found: KexecCommand = {"cmdline": None, "initrd": None, "kernel": None}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if name in ("--command-line", "--append") and equals:
            found["cmdline"] = value.strip()
        elif name in ("--initrd", "--ramdisk") and equals:
            found["initrd"] = value
        elif not word.startswith("-"):
            found["kernel"] = word
    return found


def kdump_conf(text: str) -> Dict[str, str]:
    """The directives of ``/etc/kdump.conf``, comments taken off (kdump.conf(5)); the first of a name wins."""
    found: Dict[str, str] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split(None, 1)
        if len(words) == 2:
            found.setdefault(words[0], words[1].strip())
    return found


def kdump_conf_target(conf: Dict[str, str]) -> Optional[Tuple[str, str]]:
    """(kind, place) of the target that is named; None when dumps go to ``path`` of the system itself."""
    for name in KDUMP_CONF_TARGETS:
        if name in conf:
            return name, conf[name]
    return None


def kdumpctl_line(tokens: Sequence[str], remove: Optional[str], append: str) -> str:
    """The capture kernel's command line, made of another as kdumpctl makes it (kdump-lib.sh prepare_cmdline).

    Without what it adds for one machine: pretimeouts of its watchdogs, the id of its first CPU.
    """
    gone = KDUMPCTL_REMOVE_DEFAULT if remove is None else remove
    names = {*KDUMPCTL_REMOVES, *(word.partition("=")[0] for word in gone.split())}
    kept = [token for token in tokens if token.partition("=")[0] not in names]
    return " ".join([*kept, *append.split()])


def dump_complete(head: bytes, tail: bytes) -> Optional[bool]:
    """Is a dump complete, by its first and its last bytes (16 of each are enough)? None: they do not tell."""
    if not head:
        return False
    if head.startswith(FLATTENED):
        return tail.endswith(FLATTENED_END)
    return None  # ELF and compressed dumps carry no end marker


def armed(kdump: KdumpFacts) -> Tuple[Optional[bool], str]:
    """Is memory reserved, and a capture kernel loaded into it? With the reason."""
    reserved, loaded = kdump["reservation"]["bytes"], kdump["capture"]["loaded"]
    if reserved == 0:
        asked = ", ".join(kdump["reservation"]["requested"] or []) or "nothing"
        return False, f"no memory is reserved for a capture kernel (crashkernel asks for {asked})"
    if loaded is False:
        return False, "no capture kernel is loaded"
    for path, value in (("reservation.bytes", reserved), ("capture.loaded", loaded)):
        if value is None:
            return None, f"{path} is unknown ({kdump['unknown'].get(path, 'no reason given')})"
    return True, "a capture kernel is loaded"


def _unquoted(piece: re.Match[str]) -> str:
    if piece.group("double") is not None:
        return re.sub(r'\\([$`"\\]|\n)', lambda escape: escape.group(1).strip("\n"), piece.group("double"))
    for name in ("single", "escaped", "bare"):
        if piece.group(name) is not None:
            return "" if piece.group(name) == "\n" and name == "escaped" else piece.group(name)
    return ""
