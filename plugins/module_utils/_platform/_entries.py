# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""The kernel's words where boot entries are files: what would have to change for all of them to say what is declared.

The words stand in the file of each entry, or in ``kernelopts`` of GRUB's environment (RHEL 8). Two more files give
theirs to the kernels that are installed later, and are changed along: ``/etc/kernel/cmdline``, which kernel-install
reads, and ``/etc/default/grub``, which grub2-mkconfig reads.
"""

from __future__ import annotations

import contextlib
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.fleetops.kernel.plugins.module_utils._errors import FleetopsError, Missing
from ansible_collections.fleetops.kernel.plugins.module_utils._host import Host
from ansible_collections.fleetops.kernel.plugins.module_utils._platform import _boot
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import (
    bls,
    blsoptions,
    cmdline,
    grub,
    grubdefault,
    shellvar,
)
from ansible_collections.fleetops.kernel.plugins.module_utils._rules import kdump as kdump_rules

KERNEL_CMDLINE = "/etc/kernel/cmdline"
GRUB_SETTINGS = "/etc/default/grub"


class Change(NamedTuple):
    """Files as (path, before, after); ``kernelopts`` before and after; and the entries that come of it.

    ``others``: variables of GRUB that give words as well, and are not ours. ``from_running``: a kernel that is
    installed later gets the words of the one that runs then.
    """

    files: List[Tuple[str, str, str]]
    kernelopts: Optional[Tuple[str, str]]
    entries: List[grub.BootEntry]
    others: List[str]
    from_running: bool


class _Line(NamedTuple):
    """An entry's words as they stand in its file, and as the kernel gets them."""

    path: str
    words: str
    tokens: List[str]

    @property
    def shares(self) -> bool:
        return blsoptions.KERNELOPTS in blsoptions.variables(self.words)


def normal(host: Host, where: _boot.Grub, changes: Optional[_boot.Changes] = None) -> List[grub.BootEntry]:
    """The entries that are looked after: those of files that boot a kernel, and not for recovery."""
    ids = {_path_of(name) for name in _boot.entry_files(host)}
    found = _boot.entries(host, where, changes)
    return [entry for entry in found if entry["id"] in ids and entry["release"] and not entry["recovery"]]


def declare(host: Host, where: _boot.Grub, wanted: cmdline.Declaration) -> Change:
    """What to change for this declaration. Raises FleetopsError where it cannot be done safely."""
    texts = _boot.entry_files(host)
    lines = _lines(texts, normal(host, where))
    shared = cmdline.outstanding([line.tokens for line in lines.values() if line.shares], wanted)
    hidden = _boot.known_to_grub_alone(host, where)
    changed: Dict[str, str] = {}
    for name, line in lines.items():
        wants = cmdline.stripping(shared) if line.shares else cmdline.outstanding([line.tokens], wanted)
        with _naming(line.path):
            for variable in blsoptions.variables(line.words).intersection(hidden):
                raise FleetopsError(f"what ${variable} holds, only GRUB can know while it starts")
            words = blsoptions.settle(line.words, wants)
            if words != line.words:
                changed[name] = blsoptions.replace(name, texts[name], words)
    kernelopts = None
    before = _boot.saved(host, where).get(blsoptions.KERNELOPTS)
    if any(shared.values()):
        with _naming(where.environment):
            if before is None:
                raise FleetopsError(
                    f"it has no {blsoptions.KERNELOPTS}, which boot entries name: grub2-mkconfig puts it there"
                )
            after = blsoptions.settle(before, shared)
        kernelopts = (before, after) if after != before else None
    changes = _boot.Changes(changed, {blsoptions.KERNELOPTS: kernelopts[1]} if kernelopts else {})
    files = [(lines[name].path, texts[name], text) for name, text in changed.items()]
    shares = any(line.shares for line in lines.values())
    from_running = not shares and not host.exists(KERNEL_CMDLINE)
    named = {name for line in lines.values() for name in blsoptions.variables(line.words)}
    return Change(
        sorted([*files, *_for_later(host, wanted)]),
        kernelopts,
        normal(host, where, changes),
        sorted(named - {blsoptions.KERNELOPTS}),
        from_running,
    )


def _lines(texts: Dict[str, str], entries: List[grub.BootEntry]) -> Dict[str, _Line]:
    """Of the files, those of these entries."""
    tokens = {entry["id"]: cmdline.parse(" ".join(entry["cmdline"]))["tokens"] for entry in entries}
    found = {}
    for name, text in texts.items():
        if _path_of(name) in tokens:
            words = bls.entry(name, text).first(blsoptions.KEY) or ""
            found[name] = _Line(f"{_boot.BLS_ENTRIES}/{name}", words, tokens[_path_of(name)])
    return found


def _path_of(name: str) -> str:
    """How the menu names the entry of a file."""
    return bls.entry(name, "").id.replace(">", ">>")


# --- kernels that are installed later ----------------------------------------------------------------


def _for_later(host: Host, wanted: cmdline.Declaration) -> Iterator[Tuple[str, str, str]]:
    for path, change in ((KERNEL_CMDLINE, _kernel_cmdline), (GRUB_SETTINGS, _grub_settings)):
        # Where one is not there, nothing is made: it would have to say all the other words as well.
        with contextlib.suppress(Missing):
            text = host.read(path)
            with _naming(path):
                new = change(text, wanted)
            if new != text:
                yield path, text, new


def _kernel_cmdline(text: str, wanted: cmdline.Declaration) -> str:
    if any(line.lstrip().startswith("#") for line in text.splitlines()):
        raise FleetopsError("it has comments, which not every kernel-install takes for such: take them out")
    line = " ".join(text.split("\n")).strip()
    words = blsoptions.settle(line, wanted)
    return text if words == line else f"{words}\n"


def _grub_settings(text: str, wanted: cmdline.Declaration) -> str:
    """Taken out of both variables, and added to GRUB_CMDLINE_LINUX, as grubby does."""
    values = [kdump_rules.shell_assignments(text).get(name, "") for name in grubdefault.CMDLINE]
    old = [cmdline.tokenise(value) for value in values]
    wants = cmdline.outstanding([[*old[0], *old[1]]], wanted)
    if not any(wants.values()):
        return text
    for name, value in zip(grubdefault.CMDLINE, values):
        if not kdump_rules.is_literal(value):
            raise FleetopsError(f"{name} is worked out by the shell: write its words out")
    new = [cmdline.settle(words, cmdline.stripping(wants)) for words in old]
    new[0] = cmdline.settle(new[0], wants)
    for name, before, after in zip(grubdefault.CMDLINE, old, new):
        if after != before:
            text = shellvar.assign(text, name, " ".join(after))
    return text


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """An error names the file that it is about."""
    try:
        yield
    except FleetopsError as error:
        raise FleetopsError(f"Nothing was changed: '{path}': {error.msg}", path=path) from error
